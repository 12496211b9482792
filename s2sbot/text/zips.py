"""A zip goes in; where each of its files lies comes out, and the bytes there, unpacked as they are read."""

from __future__ import annotations

import io
import stat
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from .unpacking import (
    CHANGED,
    ENDS_EARLY,
    MOST_ARCHIVE_BYTES,
    Checked,
    Layer,
    Part,
    Region,
    Unpacked,
    Zipped,
)

__all__ = ["zip_member", "zip_members"]

_METHODS = {0: "stored", 8: "deflate", 12: "bz2", 14: "lzma"}
_ENCRYPTION = 0x2041
"""Bits of the flags: encrypted, strongly encrypted, directory encrypted."""
_PATCHED = 0x20
_ENCRYPTED = "encrypted: unpack it with its password first"
_END = struct.Struct("<4s4H2LH")
_LOCATOR_64 = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 2**16 - 1
MOST_ENTRIES = 500_000
"""Files and folders in one zip: all English subtitles of OPUS are half a million in one."""
MOST_NAMES = 192 * 2**20
"""Bytes of its list of members."""


def zip_members(path: Path) -> Iterator[tuple[Part, str | None]]:
    """Yield the files of a zip in the order in which they lie there, each with the cause why it is not read.

    Raises:
        ValueError: for a zip that is damaged or hostile: one whose members share bytes can make little look like much.
    """
    with path.open("rb") as file:
        begin, size, shift = _directory(file)
        if size > MOST_NAMES:
            raise ValueError(f"a list of members of more than {MOST_NAMES} bytes")
        file.seek(begin)
        data = file.read(size)
    entries = sorted(_entries(path, data, shift), key=lambda entry: entry[0].offset)
    unpacked = 0
    ends = [part.offset for part, _, _ in entries[1:]] + [begin]
    for (part, cause, folder), end in zip(entries, ends, strict=True):
        assert part.zipped is not None
        room = end - part.offset
        if part.size + _LOCAL.size > room:
            raise ValueError("members of it overlap, so it would unpack to more than it holds")
        unpacked += part.zipped.unpacked
        if unpacked > MOST_ARCHIVE_BYTES:
            raise ValueError(f"unpacks to more than {MOST_ARCHIVE_BYTES} bytes")
        if not folder:
            yield replace(part, zipped=replace(part.zipped, room=room)), cause


def _directory(file: BinaryIO) -> tuple[int, int, int]:
    """Return where the list of members begins, its bytes, and how many others stand before the zip."""
    length = file.seek(0, io.SEEK_END)
    tail_begin = file.seek(max(0, length - _END.size - _LONGEST_COMMENT))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise ValueError(ENDS_EARLY)
    *_, size, offset, _ = _END.unpack_from(tail, at)
    end = tail_begin + at
    before = max(0, end - _LOCATOR_64.size - _END_64.size)
    file.seek(before)
    large = file.read(_END_64.size)
    if large.startswith(b"PK\x06\x06") and file.read(4) == b"PK\x06\x07":
        *_, size, offset = _END_64.unpack(large)
        end = before
    shift = end - size - offset
    if shift < 0:
        raise ValueError("damaged archive: its list of members is not where it should be")
    return end - size, size, shift


def _entries(path: Path, data: bytes, shift: int) -> Iterator[tuple[Part, str | None, bool]]:
    """Yield what the list of members says: the place of each, the cause why it is not read, whether it is a folder."""
    if data.count(b"PK\x01\x02") > MOST_ENTRIES:
        raise ValueError(f"holds more than {MOST_ENTRIES} files and folders")
    position = 0
    while position < len(data):
        if not data.startswith(b"PK\x01\x02", position) or position + _ENTRY.size > len(data):
            raise ValueError("damaged archive: a wrong list of members")
        fields = _ENTRY.unpack_from(data, position)
        _, made_by, _, flags, method, _, _, check_sum, size, unpacked, names, extras, comments, _, _, mode, offset = (
            fields
        )
        position += _ENTRY.size
        name = _name(data[position : position + names])
        extra = data[position + names : position + names + extras]
        position += names + extras + comments
        if position > len(data):
            raise ValueError("damaged archive: a wrong list of members")
        unpacked, size, offset = _large(extra, unpacked, size, offset)
        kind = stat.S_IFMT(mode >> 16) if made_by >> 8 in (3, 19) else 0  # only Unix and macOS say it
        cause = None
        if flags & _ENCRYPTION:
            cause = _ENCRYPTED
        elif method not in _METHODS or flags & _PATCHED:
            cause = f"packed by method {method}, which is not read"
        elif kind == stat.S_IFLNK:
            cause = "a link, which is not followed"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            cause = "a device, not a file"
        zipped = Zipped(method, unpacked, check_sum)
        yield Part(path, name, size, offset + shift, zipped), cause, name.endswith("/") or kind == stat.S_IFDIR


def _large(extra: bytes, *values: int) -> list[int]:
    """Return sizes and an offset, those beyond 32 bits from the extra field that then has them."""
    large: list[int] = []
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if kind == 1:
            field = extra[4 : 4 + size]
            large = [int.from_bytes(field[at : at + 8], "little") for at in range(0, len(field) - 7, 8)]
            break
        extra = extra[4 + size :]
    found = []
    for value in values:
        if value == 2**32 - 1:
            if not large:
                raise ValueError("damaged archive: the size of a member is missing")
            value = large.pop(0)
        found.append(value)
    return found


def _name(data: bytes) -> str:
    """Return a name as UTF-8, or as the old code page; what its flag says of that is too often wrong.

    Windows programs write the separator of Windows.
    """
    try:
        name = data.decode("utf-8")
    except UnicodeDecodeError:
        name = data.decode("cp437")
    return name.replace("\\", "/")


def zip_member(part: Part, zipped: Zipped) -> Layer:
    """Return the unpacked bytes of a member.

    Raises:
        ValueError: where the zip contradicts itself, or the member cannot be unpacked.
    """
    region = Region(part.path, part.offset, zipped.room)
    try:
        local = region.first(_LOCAL.size)
        if len(local) < _LOCAL.size or not local.startswith(b"PK\x03\x04"):
            raise ValueError(CHANGED)
        _, _, flags, method, *_, names, extras = _LOCAL.unpack(local)
        name = _name(region.first(names))
        region.first(extras)
        if flags & _ENCRYPTION:
            raise ValueError(_ENCRYPTED)
        if name != part.member or method != zipped.method or part.size > region.left:
            raise ValueError("damaged archive: it says two things of one member")
        if method not in _METHODS:
            raise ValueError(f"packed by method {method}, which is not read")
        region.left = part.size
        below: Layer = region
        if method:
            head = _lzma_head(region, zipped, flags) if _METHODS[method] == "lzma" else b""
            below = Unpacked(region, _METHODS[method], head=head, single=True)
        return Checked(below, zipped.unpacked, zipped.check_sum)
    except BaseException:
        region.close()
        raise


def _lzma_head(region: Region, zipped: Zipped, flags: int) -> bytes:
    """Return the header of an `.lzma` file in place of that which LZMA has in a zip."""
    head = region.first(9)
    if len(head) < 9 or head[2:4] != b"\x05\0":
        raise ValueError("damaged archive: a wrong header of LZMA")
    size = 2**64 - 1 if flags & 2 else zipped.unpacked  # the flag says that a mark ends it
    return head[4:] + size.to_bytes(8, "little")
