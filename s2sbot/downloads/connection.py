"""An https address goes in; its server's answer comes out in pieces, within limits of time and place."""

from __future__ import annotations

import base64
import http.client
import importlib.metadata
import io
import socket
import ssl
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from ..errors import CorpusError
from .addresses import Place, SocketAddress, parse_url, resolve

__all__ = ["Answer", "BrokenOffError", "Policy", "UnavailableError", "opened"]

CHUNK = 64 * 2**10
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits of a download.

    timeout      seconds without a single byte, and for connecting
    patience     seconds for the head of an answer, and the span over which `slowest` is measured
    slowest      bytes a second that a server must send
    redirects    how many a server may answer with
    largest      bytes of a file, whatever it is said to be
    allowed      addresses that may be connected to though they are not public; for tests
    authorities  file of certificates to trust in place of the system's; for tests
    """

    timeout: float = 30.0
    patience: float = 60.0
    slowest: float = 512.0
    redirects: int = 5
    largest: int = 64 * 2**30
    allowed: tuple[str, ...] = ()
    authorities: Path | None = None


class UnavailableError(CorpusError):
    """A server that cannot be reached, or does not have the file; another one may."""


class BrokenOffError(CorpusError):
    """A connection that ended before the file did."""


class _Channel(io.RawIOBase):
    """Reads and writes a socket; a read fails when `deadline` passes, however many bytes drip in before."""

    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self._socket = connection
        self._timeout = timeout
        self.deadline = float("inf")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("too slow")
        self._socket.settimeout(min(self._timeout, left))
        return self._socket.recv_into(buffer)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def ask(self, method: str, target: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """Send a request without a body and return the head of the answer to it."""
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        self._socket.settimeout(self._timeout)
        self._socket.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii"))
        answer = http.client.HTTPResponse(cast(socket.socket, self), method=method)
        answer.begin()
        return answer


class Answer:
    """What a server has answered: its status, its headers, and the body in pieces.

    Only of one that is `bounded`, by a length or in chunks, can be told whether it has ended or broken off.
    """

    def __init__(self, raw: http.client.HTTPResponse, channel: _Channel, policy: Policy, host: str) -> None:
        self._raw = raw
        self._channel = channel
        self._policy = policy
        self._host = host
        self.status = raw.status
        self.length = raw.length
        self.bounded = raw.length is not None or raw.chunked

    def header(self, name: str) -> str | None:
        """Return the header `name`."""
        return self._raw.getheader(name)

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it comes.

        Raises:
            BrokenOffError: where it ends too early, stands still or is too slow.
        """
        left = self.length
        since, count = time.monotonic(), 0
        while left != 0:
            self._channel.deadline = time.monotonic() + self._policy.patience
            try:
                piece = self._raw.read1(CHUNK if left is None else min(CHUNK, left))
            except (OSError, http.client.HTTPException) as error:
                raise BrokenOffError(f"the connection to {self._host} broke: {_cause(error)}") from error
            if not piece:
                break
            yield piece
            count += len(piece)
            left = None if left is None else left - len(piece)
            span = time.monotonic() - since
            if span >= self._policy.patience:
                if count < self._policy.slowest * span:
                    raise BrokenOffError(f"{self._host} sends only {count / span:.0f} bytes a second")
                since, count = time.monotonic(), 0
        if left:
            raise BrokenOffError(f"{self._host} ended the connection {left:,} bytes too early")


@contextmanager
def opened(url: str, *, hosts: Collection[str] | None, policy: Policy, headers: Mapping[str, str]) -> Iterator[Answer]:
    """Ask for `url`, follow its redirects, and yield the answer: 200, 206 or 416.

    `hosts` are those that it may lead to; None allows every public one. The environment's `https_proxy` and
    `no_proxy` are heeded.

    Raises:
        UnavailableError: where the server cannot be reached in time, is not who it says, or answers with an error.
        CorpusError: where it leads to where nothing is downloaded from.
    """
    for _ in range(policy.redirects + 1):
        place = parse_url(url, hosts)
        try:
            connection = _connected(place, policy)
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(f"cannot reach {place.host}: {_cause(error)}", _hint(error)) from error
        with closing(connection):
            channel = _Channel(connection, policy.timeout)
            channel.deadline = time.monotonic() + policy.patience
            try:
                raw = channel.ask("GET", place.target, {**_standing_headers(place), **headers})
            except (OSError, http.client.HTTPException) as error:
                raise UnavailableError(f"{place.host} gives no proper answer: {_cause(error)}", _hint(error)) from error
            if raw.status in (200, 206, 416):
                yield Answer(raw, channel, policy, place.host)
                return
            if raw.status not in _REDIRECTS or not (onward := raw.getheader("Location")):
                reason = http.client.responses.get(raw.status, "an answer not known here")
                raise UnavailableError(f"{place.host} answers {raw.status}, {reason}, for {url}", "try again later")
            url = urljoin(url, onward)
    raise UnavailableError(f"{place.host} redirects more than {policy.redirects} times", "try again later")


def _standing_headers(place: Place) -> dict[str, str]:
    return {
        "Host": place.authority,
        "User-Agent": f"s2sbot/{importlib.metadata.version('s2sbot')}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


def _connected(place: Place, policy: Policy) -> ssl.SSLSocket:
    """Connect to an address of the host that was looked at, or through a proxy, and make sure who answers."""
    context = ssl.create_default_context(cafile=policy.authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    proxy = None if proxy_bypass_environment(place.host) else getproxies_environment().get("https")
    plain = _tunnel(proxy, place, policy) if proxy else _dial(resolve(place, policy.allowed), policy)
    try:
        return context.wrap_socket(plain, server_hostname=place.host)
    except BaseException:
        plain.close()
        raise


def _dial(addresses: list[tuple[int, SocketAddress]], policy: Policy) -> socket.socket:
    failure: OSError = OSError("no address")
    for family, address in addresses:
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(policy.timeout)
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _tunnel(proxy: str, place: Place, policy: Policy) -> socket.socket:
    """Connect through a proxy, which is where the user says and so may be anywhere; its target still may not."""
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme != "http" or not parts.hostname:
        raise OSError("https_proxy must be an http:// address")
    with suppress(socket.gaierror):  # behind a proxy the names of the world outside are often not known
        resolve(place, policy.allowed)
    target = f"{place.authority.removesuffix(f':{place.port}')}:{place.port}"
    headers = {"Host": target}
    if parts.username:
        words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(words.encode()).decode()
    connection = socket.create_connection((parts.hostname, parts.port or 8080), policy.timeout)
    channel = _Channel(connection, policy.timeout)
    channel.deadline = time.monotonic() + policy.patience
    try:
        answer = channel.ask("CONNECT", target, headers)
        if answer.status != 200:
            raise OSError(f"the proxy {parts.hostname} answers {answer.status}")
    except BaseException:
        connection.close()
        raise
    connection.settimeout(policy.timeout)
    return connection


def _cause(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _hint(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "check this machine's clock and certificates; nothing is downloaded without a trusted certificate"
    return "check the connection to the internet, and https_proxy if there is one, or try again later"
