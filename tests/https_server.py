"""A real HTTPS server on the loopback address, whose answers a test writes down byte by byte.

The authority in `certificates/` was made for these tests alone and is valid from 2020 to 2054; its key was thrown away.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from s2sbot.downloads import Policy

CERTIFICATES = Path(__file__).parent / "certificates"
AUTHORITY = CERTIFICATES / "authority.pem"


def loopback_policy(**limits) -> Policy:
    """Return a policy that trusts the test's authority and the one address 127.0.0.1."""
    values = {"timeout": 5.0, "patience": 5.0, "authorities": AUTHORITY, "allowed": ("127.0.0.1",)}
    return Policy(**{**values, **limits})


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]

    @property
    def start(self) -> int:
        """Return where the bytes asked for begin."""
        return int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


Answer = Callable[[Request], Iterable[bytes | float]]
"""Yields bytes to send and seconds to wait; where it ends, so does the connection."""


@dataclass
class Server:
    """Serves `answer` until it is left; `requests` are those it has met."""

    answer: Answer
    encrypted: bool = True
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> "Server":
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(CERTIFICATES / "server.pem")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(10)
        self._listener.close()

    def url(self, path: str = "/corpus.zip", host: str = "127.0.0.1") -> str:
        return f"https://{host}:{self.port}{path}"

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=[connection], daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(10)
        connection = plain
        try:
            if self.encrypted:
                connection = self._context.wrap_socket(plain, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(4096)
                if not piece:
                    return
                head += piece
            first, *lines = head.decode().split("\r\n\r\n")[0].split("\r\n")
            method, target, _ = first.split(" ")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            request = Request(method, target, headers)
            self.requests.append(request)
            for piece in self.answer(request):
                if isinstance(piece, float):
                    self._stopping.wait(piece)
                else:
                    connection.sendall(piece)
            if method == "CONNECT":
                self._pipe(connection, target)
        except OSError:
            pass  # the client has gone, which is often what a test is about
        finally:
            connection.close()

    def _pipe(self, client: socket.socket, target: str) -> None:
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port))) as server:
            back = threading.Thread(target=_copy, args=[server, client])
            back.start()
            _copy(client, server)
            back.join(10)


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(4096):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def head(status: int, **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def whole(body: bytes, *, version: str | None = '"one"', cut: int | None = None, wait: float = 0.0) -> Answer:
    """Answer with all of `body`, or from where a range begins whose version, if any, is right; `cut` ends it."""

    def answer(request: Request) -> Iterable[bytes | float]:
        marks = {} if version is None else {"ETag": version}
        start = request.start if version is not None and request.headers.get("if-range", version) == version else 0
        if start:
            marks["Content_Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        yield head(206 if start else 200, Content_Length=len(body) - start, **marks)
        yield body[start:cut]
        yield wait

    return answer


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
