"""A file goes in, packed or not; what it unpacks to comes out, no more of it than an honest file holds."""

from __future__ import annotations

import bz2
import io
import lzma
import sys
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "BLOCK",
    "CHANGED",
    "CHUNK",
    "ENDS_EARLY",
    "MOST_ARCHIVE_BYTES",
    "MOST_ENTRIES",
    "MOST_NAMES",
    "PACKED",
    "Checked",
    "Layer",
    "Opened",
    "Part",
    "Region",
    "Unpacked",
    "Zipped",
    "kind_of",
]

MOST_BYTES = 8 * 2**30
"""Bytes that one document may hold once it is unpacked."""
MOST_ARCHIVE_BYTES = 256 * 2**30
"""Bytes that all of an archive may unpack to."""
MOST_ENTRIES = 100_000
"""Files and folders in one tar."""
MOST_NAMES = 24 * 2**20
"""Bytes that the names in a tar may have."""
MOST_RATIO = 200
"""Bytes that one byte on the disk may become, looked at beyond the first MiB."""
MOST_MEMORY = 128 * 2**20
"""Bytes that unpacking may take; `xz -9` asks for 65 MiB."""
CHUNK = 2**16
BLOCK = tarfile.BLOCKSIZE
ENDS_EARLY = "damaged archive: it ends too early"
CHANGED = "the archive is not what it was when it was listed"
PACKED = ("gzip", "bz2", "xz")

_MAGIC = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b\x08": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"LZIP\x01": "lzip",
    b"\x1f\x9d": "compress",
}
_UNPACKERS: Mapping[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "bz2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_MEMORY),
    "deflate": lambda: zlib.decompressobj(wbits=-15),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MOST_MEMORY),
}


@dataclass(frozen=True, slots=True)
class Zipped:
    """What a zip says of a member: how it is packed, what its bytes must be, and those between it and the next one."""

    method: int
    unpacked: int
    check_sum: int
    room: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """Where the bytes of a document lie: a file, or a member of an archive.

    size    bytes there, packed as they are
    offset  where the member begins in its archive; in a packed tar, in what that unpacks to
    """

    path: Path
    member: str | None = None
    size: int = 0
    offset: int = 0
    zipped: Zipped | None = None


def kind_of(head: bytes) -> str | None:
    """Return what a file that begins with `head`, its first block, is packed or archived by; None for any other."""
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bz2"
    if head[257:262] == b"ustar":
        return "tar"
    if len(head) == BLOCK and not head[148:156].strip(b" \x0001234567"):  # older ones are known by their check sum only
        try:
            tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            return None
        return "tar"
    return None


class Layer(io.RawIOBase):
    """A stream over another one, which it closes with itself; it gives at most `CHUNK` bytes at a time."""

    def __init__(self, below: Layer) -> None:
        self._below = below

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._some(min(len(buffer), CHUNK))
        buffer[: len(data)] = data
        return len(data)

    def first(self, size: int) -> bytes:
        """Return the next `size` bytes, less only where the stream ends."""
        data = b""
        while len(data) < size and (more := self.read(size - len(data))):
            data += more
        return data

    def taken(self) -> int:
        """Return how many bytes were read from the disk for this stream."""
        return self._below.taken()

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._below.close()

    def _some(self, most: int) -> bytes:
        raise NotImplementedError


class Region(Layer):
    """The bytes of a file from `start` on, all of them or `left`."""

    def __init__(self, path: Path, start: int = 0, left: int = sys.maxsize) -> None:
        self.left = left
        self._taken = 0
        self._file = path.open("rb", buffering=0)
        self._file.seek(start)

    def _some(self, most: int) -> bytes:
        data = self._file.read(min(most, self.left)) or b""
        self.left -= len(data)
        self._taken += len(data)
        return data

    def taken(self) -> int:
        return self._taken

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def close(self) -> None:
        io.RawIOBase.close(self)
        if "_file" in vars(self):  # not where it could not be opened
            self._file.close()


class Unpacked(Layer):
    """What `head` and then `below` unpack to, as far as an honest file goes: `most` bytes at any ratio.

    The ratio is that to the bytes on the disk, so that what is packed twice gains nothing by it.
    """

    def __init__(
        self, below: Layer, kind: str, *, head: bytes = b"", most: int | None = None, single: bool = False
    ) -> None:
        super().__init__(below)
        self._kind = kind
        self._unpacker = _UNPACKERS[kind]()
        self._packed = head
        self._most = MOST_BYTES if most is None else most
        self._single = single
        self._given = 0
        self._pieces = 1

    def _some(self, most: int) -> bytes:
        data = b""
        while not data and not (self._unpacker.eof and not self._next()):
            ended = False
            if not self._packed and getattr(self._unpacker, "needs_input", True):
                self._packed = self._below.read(CHUNK) or b""
                ended = not self._packed
            try:
                data = self._unpacker.decompress(self._packed, most)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
                raise ValueError(f"damaged archive: {error}") from error
            self._packed = getattr(self._unpacker, "unconsumed_tail", b"")
            if ended and not data and not self._unpacker.eof:
                raise ValueError(ENDS_EARLY)
        self._given += len(data)
        allowed = min(self._most, max(2**20, MOST_RATIO * self.taken()))
        if self._given > allowed:
            raise ValueError(f"unpacks to more than {allowed} bytes, which no honest file does")
        return data

    def _next(self) -> bool:
        """Begin the next one of several packed pieces, and return whether there is one."""
        if self._single:
            return False
        rest = self._unpacker.unused_data.lstrip(b"\0")
        while not rest and (chunk := self._below.read(CHUNK)):
            rest = chunk.lstrip(b"\0")
        if not rest:
            return False
        self._pieces += 1
        if self._pieces > 1000 + self._given // 64:
            raise ValueError("packed in more pieces than an honest file is")
        self._unpacker, self._packed = _UNPACKERS[self._kind](), rest
        return True


class Checked(Layer):
    """Bytes whose number and CRC-32 are known beforehand."""

    def __init__(self, below: Layer, size: int, check_sum: int) -> None:
        super().__init__(below)
        self._expected = (size, check_sum)
        self._given = 0
        self._check_sum = 0

    def _some(self, most: int) -> bytes:
        data = self._below.read(most) or b""
        self._given += len(data)
        self._check_sum = zlib.crc32(data, self._check_sum)
        if self._given > self._expected[0] or (not data and (self._given, self._check_sum) != self._expected):
            raise ValueError("damaged archive: a member is not what the archive says of it")
        return data


class Opened(Layer):
    """What a reader sees: `head` and then `below`, of packed bytes no more than is left for it and for its archive."""

    def __init__(self, below: Layer, head: bytes, *, packed: bool, left: list[int]) -> None:
        super().__init__(below)
        self._head = head
        self._own = MOST_BYTES if packed else sys.maxsize
        self._left = left

    def _some(self, most: int) -> bytes:
        data = self._head[:most] or self._below.read(most) or b""
        self._head = self._head[len(data) :]
        self._own -= len(data)
        self._left[0] -= len(data)
        if self._own < 0 or self._left[0] < 0:
            raise ValueError("unpacks to more bytes than an honest file does")
        return data
