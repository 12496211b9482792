"""A path goes in, its files or archive members come out, opened one by one and never unpacked to the disk."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from ..errors import CorpusError

__all__ = ["Document", "HashedStream", "find_documents", "listed_documents", "pair_document"]

MOST_ENTRIES = 100_000
MOST_BYTES = 8 * 2**30
"""Bytes that one document may hold once it is unpacked."""
MOST_RATIO = 200
"""Bytes that one packed byte may become, looked at beyond the first MiB."""


@dataclass(frozen=True, slots=True)
class Document:
    """One file or archive member, named inside its corpus; two openers where two files translate each other."""

    name: str
    openers: tuple[Callable[[], BinaryIO], ...]


def find_documents(path: Path) -> Iterator[Document]:
    """Yield every file below a folder, every member of a zip, or the one file that `path` is, in the order of names.

    Raises:
        CorpusError: for an archive that is damaged or hostile.
    """
    if path.is_dir():
        yield from _visible(path, path.rglob("*"))
    elif _is_zip(path):
        yield from _zip_documents(path)
    else:
        yield Document(path.name, (partial(_open_file, path),))


def listed_documents(folder: Path, patterns: Sequence[str], languages: Sequence[str]) -> Iterator[Document]:
    """Yield the files of a folder with `corpus.toml`: globs below it, or prefixes of two files."""
    listed: set[str] = set()
    for pattern in patterns:
        if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
            raise CorpusError(f"{folder / 'corpus.toml'}: {pattern!r} leaves the folder", "name files below it")
        try:
            found = [document for document in _visible(folder, folder.glob(pattern)) if document.name != "corpus.toml"]
        except (ValueError, IndexError, NotImplementedError) as error:
            raise CorpusError(f"{folder / 'corpus.toml'}: {pattern!r} is no pattern of files", str(error)) from error
        if not found and len(languages) == 2 and PurePosixPath(pattern).name:
            yield replace(pair_document(folder / pattern, languages), name=PurePosixPath(pattern).as_posix())
        elif not found:
            raise CorpusError(f"{folder / 'corpus.toml'}: no file fits {pattern!r}", "correct `files`")
        for document in found:
            if document.name not in listed:
                listed.add(document.name)
                yield document


def _visible(folder: Path, paths: Iterable[Path]) -> Iterator[Document]:
    """Yield the files among `paths`, without those that a dot hides."""
    for path in sorted(paths):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            yield Document(inside.as_posix(), (partial(_open_file, path),))


def pair_document(prefix: Path, languages: Sequence[str]) -> Document:
    """Return two files, one for each language, as one document.

    Raises:
        CorpusError: where a side is missing.
    """
    openers = []
    for language in languages:
        plain, packed = (prefix.with_name(f"{prefix.name}.{language}{ending}") for ending in ("", ".gz"))
        side = plain if plain.is_file() else packed
        if not side.is_file():
            raise CorpusError(
                f"the {language} side of {prefix} is missing: there is no {plain.name} and no {packed.name}",
                "a Moses prefix needs one file for each language, PREFIX.de and PREFIX.en for --source de --target en",
            )
        openers.append(partial(_open_file, side))
    return Document(prefix.name, tuple(openers))


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False  # it is named when it is opened as a document


def _zip_documents(path: Path) -> Iterator[Document]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CorpusError(f"{path}: damaged archive: {error}", "pack or download it again") from error
    with archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        if len(members) > MOST_ENTRIES:
            raise CorpusError(f"{path} holds {len(members)} files", f"at most {MOST_ENTRIES} are read from one archive")
        _refuse_overlaps(path, members)
        for info in sorted(members, key=lambda info: info.filename):
            parts = PurePosixPath(info.filename).parts
            if not any(part.startswith((".", "__MACOSX")) for part in parts):
                yield Document(info.filename, (partial(_open_member, archive, info),))


def _refuse_overlaps(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse archives whose members share their packed bytes: a way to make a small file unpack to a huge one."""
    end = 0
    for info in sorted(members, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise CorpusError(f"{path}: {info.filename} overlaps another member", "such an archive is not read")
        end = info.header_offset + info.compress_size


def _open_file(path: Path) -> BinaryIO:
    stream = path.open("rb")
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    if not packed:
        return stream
    unpacked = gzip.GzipFile(fileobj=stream)
    return _bounded(cast(BinaryIO, unpacked), path.stat().st_size, stream)


def _open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    if info.flag_bits & 0x1:
        raise ValueError("encrypted archive member")
    return _bounded(cast(BinaryIO, archive.open(info)), info.compress_size)


def _bounded(stream: BinaryIO, packed_size: int, below: BinaryIO | None = None) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_BoundedStream(stream, packed_size, below)))


class _BoundedStream(io.RawIOBase):
    """Reads from `stream` until it has given more than a packed file of `packed_size` bytes can honestly hold."""

    def __init__(self, stream: BinaryIO, packed_size: int, below: BinaryIO | None) -> None:
        self._stream = stream
        self._below = below
        self._most = min(MOST_BYTES, max(2**20, packed_size * MOST_RATIO))
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except (zlib.error, lzma.LZMAError, EOFError) as error:
            raise ValueError(f"damaged archive: {error}") from error
        self._given += len(data)
        if self._given > self._most:
            raise ValueError(f"unpacks to more than {self._most} bytes, which no honest file does")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        if self._below is not None:
            self._below.close()
        super().close()


class HashedStream(io.RawIOBase):
    """Passes `first` and then `stream` on, and hashes all of it."""

    def __init__(self, first: bytes, stream: BinaryIO) -> None:
        self._first = memoryview(first)
        self._stream = stream
        self.hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data: bytes | memoryview = self._first[: len(buffer)]
        self._first = self._first[len(data) :]
        if not data:
            data = self._stream.read(len(buffer))
        self.hash.update(data)
        buffer[: len(data)] = data
        return len(data)
