"""Where bytes lie goes in, a file or a member of a zip or tar; the bytes come out, unpacked as they are read."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from .tars import TarMember, Walk, tar_members
from .unpacking import BLOCK, CHUNK, MOST_ARCHIVE_BYTES, PACKED, Layer, Opened, Part, Region, Unpacked, kind_of
from .zips import zip_member, zip_members

__all__ = ["Archives", "Part", "archive_kind", "list_members"]

MOST_ARCHIVE_RATIO = 200
"""Bytes that one byte of an archive may become, looked at beyond the first 256 MiB."""
MOST_WALKS = 4
"""Tars that are kept open."""


def archive_kind(path: Path) -> str | None:
    """Return `zip`, `tar` (packed or not), the name of a kind that cannot be read, or None for any other file."""
    try:
        with Region(path) as region:
            head = region.first(BLOCK)
            kind = kind_of(head)
            if kind not in PACKED:
                return kind
            return "tar" if kind_of(Unpacked(region, kind, head=head).first(BLOCK)) == "tar" else None
    except (OSError, ValueError):
        return None  # it is named when it is opened as a document


def list_members(path: Path) -> Iterator[tuple[Part, str | None]]:
    """Yield the files in a zip or tar as they lie there, without its folders, each with the cause why it is not read.

    Raises:
        ValueError: for an archive that is damaged or hostile.
        OSError: where it cannot be read.
    """
    if archive_kind(path) == "zip":
        yield from zip_members(path)
        return
    walk = Walk(path)
    try:
        yield from tar_members(walk)
    finally:
        walk.close()


class Archives:
    """Opens parts, and keeps packed tars open between them.

    A packed tar is read forwards only: ask for parts in the order of (`path`, `offset`), for a step back reads it anew
    from its beginning. For one pass over the documents, in one thread.
    """

    def __init__(self) -> None:
        self._walks: list[Walk] = []
        self._left: dict[Path, list[int]] = {}
        self._closed = False

    def __enter__(self) -> Archives:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        while self._walks:
            self._walks.pop().close()

    def open(self, part: Part) -> BinaryIO:
        """Return the bytes of a part, to be read once from first to last; gzip, bz2 and xz are unpacked.

        Raises:
            ValueError: here or while reading, where they are damaged, encrypted, or more than an honest file holds.
            OSError: where the file cannot be read.
        """
        below, packed, left = self._place(part), part.member is not None, self._left_of(part)
        try:
            head = below.first(BLOCK)
            kind = kind_of(head)
            if kind in PACKED:
                below, packed = Unpacked(below, kind, head=head), True
                head = below.first(BLOCK)
                kind = kind_of(head)
            if kind is not None:
                what = "an archive inside an archive" if packed else f"a {kind} archive"
                raise ValueError(f"{what}, which is not read")
            return cast(BinaryIO, io.BufferedReader(Opened(below, head, packed=packed, left=left), CHUNK))
        except BaseException:
            below.close()
            raise

    def _left_of(self, part: Part) -> list[int]:
        """Return in a list of one how many bytes the archive may still unpack to."""
        if part.member is None:
            return [sys.maxsize]
        if part.path not in self._left:
            honest = max(2**28, part.path.stat().st_size * MOST_ARCHIVE_RATIO)
            self._left[part.path] = [min(MOST_ARCHIVE_BYTES, honest)]
        return self._left[part.path]

    def _place(self, part: Part) -> Layer:
        if part.member is None:
            return Region(part.path)
        if part.zipped is not None:
            return zip_member(part, part.zipped)
        ahead = [walk for walk in self._walks if walk.path == part.path and walk.reaches(part.offset)]
        if ahead:
            walk = max(ahead, key=lambda walk: walk.position)
            self._walks.remove(walk)
        else:
            walk = Walk(part.path)
        return TarMember(walk, part, self._give_back)

    def _give_back(self, walk: Walk) -> None:
        if not walk.failed:
            self._walks.append(walk)
        else:
            walk.close()
        while len(self._walks) > (0 if self._closed else MOST_WALKS):
            self._walks.pop(0).close()
