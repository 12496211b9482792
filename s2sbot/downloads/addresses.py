"""An address on the net goes in; the parts that a request is made of, and where to connect, come out, or a refusal."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

from ..errors import CorpusError

__all__ = ["Place", "SocketAddress", "parse_url", "resolve"]

SocketAddress: TypeAlias = tuple[Any, ...]
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_HINT = "only https addresses of public hosts are downloaded from, without name and password"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file is on the net; `target` is the path with the query, quoted."""

    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Return the host as a `Host` line has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"


def parse_url(url: str, hosts: Collection[str] | None = None) -> Place:
    """Take an https address apart; `hosts`, where given, are the only ones that it may name.

    Raises:
        CorpusError: for another scheme, a name or password in it, no host, or a host that is not allowed.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 443
        host = (parts.hostname or "").encode("idna").decode("ascii").lower()
    except (ValueError, UnicodeError) as error:
        raise CorpusError(f"{url} is no address: {error}", _HINT) from error
    if any(mark <= " " or mark == "\x7f" for mark in url):
        raise CorpusError(f"{url!r} is no address: it holds blanks or control characters", _HINT)
    if parts.scheme != "https":
        raise CorpusError(f"{url} is no https address", _HINT)
    if parts.username is not None or parts.password is not None:
        raise CorpusError("an address with a name or a password in it is not used", _HINT)
    if not _HOST.fullmatch(host):
        raise CorpusError(f"{url} names no host", _HINT)
    if hosts is not None and host not in hosts:
        raise CorpusError(f"{host} is none of the hosts that this corpus comes from", f"they are {_listed(hosts)}")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    if parts.query:
        target += "?" + quote(parts.query, safe="/?%:@!$&'()*+,;=~")
    return Place(host, port, target)


def resolve(place: Place, allowed: Collection[str] = ()) -> list[tuple[int, SocketAddress]]:
    """Return the addresses of a host, as (family, socket address); connect to these, and the name is not asked again.

    Raises:
        OSError: where the name is not known.
        CorpusError: where one of them is neither public nor `allowed`.
    """
    found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    addresses: list[tuple[int, SocketAddress]] = [(entry[0], entry[4]) for entry in found]
    for _, address in addresses:
        bare = str(address[0]).partition("%")[0]
        if bare not in allowed and not _is_public(ipaddress.ip_address(bare)):
            raise CorpusError(
                f"{place.host} is {address[0]}, which is no public address",
                "nothing inside your own network is downloaded from; copy the file yourself and train on it",
            )
    return addresses


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)  # an IPv4 address in the clothes of an IPv6 one
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _listed(hosts: Collection[str]) -> str:
    return ", ".join(sorted(hosts))
