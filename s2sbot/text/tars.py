"""A tar goes in, packed or not; where each of its files lies comes out, and the bytes there, read on the way."""

from __future__ import annotations

import io
import re
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from .unpacking import (
    BLOCK,
    CHANGED,
    CHUNK,
    ENDS_EARLY,
    MOST_ARCHIVE_BYTES,
    MOST_ENTRIES,
    MOST_NAMES,
    PACKED,
    Layer,
    Part,
    Region,
    Unpacked,
    kind_of,
)

__all__ = ["TarMember", "Walk", "tar_members"]

MOST_HEADER = 2**20
"""Bytes that may describe one member."""

_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_CAUSES = {
    tarfile.LNKTYPE: "a link, which is not followed",
    tarfile.SYMTYPE: "a link, which is not followed",
    tarfile.CHRTYPE: "a device, not a file",
    tarfile.BLKTYPE: "a device, not a file",
    tarfile.FIFOTYPE: "a pipe, not a file",
    tarfile.GNUTYPE_SPARSE: "a sparse file, which is not read",
}
_DESCRIPTIONS = (
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_LENGTH = re.compile(rb"\d{1,7} ")


class _Header(NamedTuple):
    name: bytes
    size: int
    kind: bytes


class Walk:
    """A way through a tar: to any place where it is not packed, only forwards where it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        self.failed = False
        self._size = sys.maxsize
        self._below: Layer = Region(path)
        try:
            head = self._below.first(BLOCK)
            kind = kind_of(head)
            if kind in PACKED:
                self._below = Unpacked(self._below, kind, head=head, most=MOST_ARCHIVE_BYTES)
            else:
                self._size = self._below.seek(0, io.SEEK_END)
                self._below.seek(0)
        except BaseException:
            self._below.close()
            raise
        self._stream = io.BufferedReader(self._below, CHUNK)

    def close(self) -> None:
        self._stream.close()

    def taken(self) -> int:
        """Return how many bytes were read from the disk."""
        return self._below.taken()

    def reaches(self, position: int) -> bool:
        """Return whether `position` is still ahead, or may be gone back to."""
        return self.position <= position or self._stream.seekable()

    def read(self, size: int, *, may_end: bool = False) -> bytes:
        """Return the next `size` bytes; none at the end, where that may be here.

        Raises:
            ValueError: where there are less, or the bytes before them are damaged.
        """
        self.failed = True
        data = self._stream.read(size)
        if len(data) < size and (data or not may_end):
            raise ValueError(ENDS_EARLY)
        self.failed = False
        self.position += len(data)
        return data

    def skip_to(self, position: int) -> None:
        """Go to a place that can be reached."""
        if self._stream.seekable():
            if position > self._size:
                raise ValueError(ENDS_EARLY)
            self.position = self._stream.seek(position)
        while self.position < position:
            self.read(min(CHUNK, position - self.position))

    def finish(self) -> None:
        """Read what is left of a packed tar, whose end has the check sum."""
        while not self._stream.seekable() and self._stream.read(CHUNK):
            pass


class TarMember(Layer):
    """The bytes of a member, and then the walk is given back for the next one."""

    def __init__(self, walk: Walk, part: Part, give_back: Callable[[Walk], None]) -> None:
        self._walk = walk
        self._left = part.size
        self._give_back = give_back
        try:
            walk.skip_to(part.offset)
            self._before = walk.taken()
            header = _header(walk.read(BLOCK))
            if header is None or header.kind not in _FILES:
                raise ValueError(CHANGED)
        except BaseException:
            self.close()
            raise

    def _some(self, most: int) -> bytes:
        data = self._walk.read(min(most, self._left))
        self._left -= len(data)
        return data

    def taken(self) -> int:
        return self._walk.taken() - self._before + CHUNK  # as much may have been read ahead

    def close(self) -> None:
        if not self.closed:
            io.RawIOBase.close(self)
            self._give_back(self._walk)


def tar_members(walk: Walk) -> Iterator[tuple[Part, str | None]]:
    """Yield the files of a tar in the order in which they lie there, each with the cause why it is not read.

    Raises:
        ValueError: for a tar that is damaged or hostile. Headers are read here, since the standard library takes as
            much memory for them as they ask for.
    """
    described, names, entries = 0, 0, 0
    told: dict[bytes, bytes] = {}
    while header := _header(block := walk.read(BLOCK, may_end=True)):
        described += BLOCK
        if header.kind in _DESCRIPTIONS:
            described = _described(described + header.size)
            data = walk.read(_padded(header.size))[: header.size]
            if header.kind == tarfile.GNUTYPE_LONGNAME:
                told[b"path"] = data.partition(b"\0")[0]
            elif header.kind in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                told |= _records(data)
            continue
        offset = walk.position - BLOCK
        more = block[482] if header.kind == tarfile.GNUTYPE_SPARSE else 0
        while more:
            described = _described(described + BLOCK)
            more = walk.read(BLOCK)[504]
        name = told.get(b"path", header.name).decode("utf-8", "surrogateescape")
        size = _whole_number(told[b"size"]) if b"size" in told else header.size
        entries, names = entries + 1, names + len(name)
        if entries > MOST_ENTRIES or names > MOST_NAMES:
            raise ValueError(f"holds more than {MOST_ENTRIES} files, or names of more than {MOST_NAMES} bytes")
        if header.kind != tarfile.DIRTYPE:
            sparse = any(key.startswith(b"GNU.sparse") for key in told)
            kind = tarfile.GNUTYPE_SPARSE if sparse else header.kind
            yield Part(walk.path, name, size, offset), None if kind in _FILES else _CAUSES.get(kind, "not a file")
        if header.kind in tarfile.REGULAR_TYPES or header.kind not in tarfile.SUPPORTED_TYPES:
            walk.skip_to(walk.position + _padded(size))
        described, told = 0, {}
    walk.finish()


def _described(size: int) -> int:
    if size > MOST_HEADER:
        raise ValueError(f"damaged archive: more than {MOST_HEADER} bytes describe one member")
    return size


def _header(block: bytes) -> _Header | None:
    """Return what a block says of a member; None for one of zeros, which ends the archive."""
    if not block.strip(b"\0"):
        return None
    check_sum = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    expected = _number(block[148:156])
    if expected != check_sum and expected != check_sum - 256 * sum(byte > 127 for byte in block):  # as old ones add up
        raise ValueError("damaged archive: a wrong check sum")
    name, kind = block[:100].partition(b"\0")[0], block[156:157]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    if kind == tarfile.AREGTYPE and name.endswith(b"/"):
        kind = tarfile.DIRTYPE
    return _Header(name, _number(block[124:136]), kind)


def _number(field: bytes) -> int:
    """Return a number in octal digits, or in bytes behind the first one where that says so."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    if digits.strip(b"01234567"):
        raise ValueError("damaged archive: a wrong number")
    return int(digits or b"0", 8)


def _records(data: bytes) -> dict[bytes, bytes]:
    """Return what an extended header tells, each as `LENGTH KEY=VALUE` and a line's end."""
    records: dict[bytes, bytes] = {}
    start = 0
    while match := _LENGTH.match(data, start):
        end = start + int(match[0])
        key, equals, value = data[match.end() : end].partition(b"=")
        if not equals or not value.endswith(b"\n") or end > len(data):
            raise ValueError("damaged archive: a wrong description of a member")
        records[key] = value[:-1]
        start = end
    return records


def _whole_number(digits: bytes) -> int:
    if not re.fullmatch(rb"\d{1,18}", digits):
        raise ValueError("damaged archive: a wrong description of a member")
    return int(digits)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
