"""Corpora go in; which documents are read together comes out, with a fingerprint of all that decides the result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

from ..settings import DataSettings
from ..text.corpus import AnyReader, Corpus
from ..text.documents import Document, Skipped

__all__ = ["Plan", "Shard", "make_plan"]

SHARD_BYTES = 8 * 2**20
SHARD_DOCUMENTS = 512
TAR_SHARDS = 8
"""Parts at most that a tar is read in, since every part is reached by way of all before it."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Documents of one corpus that are read one after another by one process.

    ranks  the place of each document among all documents of a preparation, in the order of their names
    label  what stands before the names of its files, where another corpus has files of the same names
    """

    number: int
    corpus: int
    documents: tuple[Document, ...]
    ranks: tuple[int, ...]
    label: str = ""

    @property
    def size(self) -> int:
        """Return the bytes to read, packed as they are."""
        return sum(part.size for document in self.documents for part in document.parts)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a preparation will read; `held_out` says which corpora are for validation alone."""

    corpora: tuple[Corpus, ...]
    held_out: tuple[bool, ...]
    shards: tuple[Shard, ...]
    skipped: tuple[tuple[int, Skipped], ...]
    names: tuple[str, ...]
    fingerprint: str

    @property
    def size(self) -> int:
        """Return the bytes to read, packed as they are."""
        return sum(shard.size for shard in self.shards)


def make_plan(
    corpora: Sequence[Corpus],
    valid: Sequence[Corpus],
    readers: Mapping[str, AnyReader],
    settings: DataSettings,
    *,
    own: Sequence[Path] = (),
    versions: Mapping[str, str] | None = None,
) -> Plan:
    """Find every document and share them out.

    The order in which corpora are named, and documents lie in them, has no say: ranks go by names.

    Args:
        own: folders that the preparation writes into, of which nothing is read.
        versions: of all that has a say in the result.
    """
    ordered = sorted(
        [*((False, corpus) for corpus in corpora), *((True, corpus) for corpus in valid)],
        key=lambda each: (each[0], each[1].name, str(each[1].path)),
    )
    told = [
        [held, corpus.name, corpus.kind, corpus.languages, corpus.reader, corpus.licence] for held, corpus in ordered
    ]
    described = [told, dataclasses.asdict(settings), sorted(readers), dict(versions or {})]
    fingerprint = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    shards: list[Shard] = []
    skipped: list[tuple[int, Skipped]] = []
    names: list[str] = []
    stamp = _Stamp()
    known: list[set[str]] = []
    for index, (_, corpus) in enumerate(ordered):
        documents = []
        for document in _without(corpus.documents(readers), corpus, own):
            if isinstance(document, Skipped):
                skipped.append((index, document))
            else:
                documents.append(document)
        documents.sort(key=_place)
        known.append({document.name for document in documents})
        first = len(names)
        for document in documents:
            names.append(document.name)
            fingerprint.update(json.dumps([index, *stamp(document)]).encode())
        for group in _groups(list(enumerate(documents, first))):
            ranks, members = zip(*group, strict=True)
            shards.append(Shard(len(shards), index, members, ranks))
    labels = _labels([corpus.path for _, corpus in ordered], known)
    fingerprint.update(json.dumps(labels).encode())
    return Plan(
        tuple(corpus for _, corpus in ordered),
        tuple(held for held, _ in ordered),
        tuple(dataclasses.replace(shard, label=labels[shard.corpus]) for shard in shards),
        tuple(skipped),
        tuple(names),
        fingerprint.hexdigest(),
    )


def _labels(paths: Sequence[Path], names: Sequence[Set[str]]) -> tuple[str, ...]:
    """Return for a corpus that has a name in common with another the last parts of its path, up to a slash.

    They are as many as tell all corpora apart; a corpus of one file has the path of its folder.
    """
    counts = Counter(name for each in names for name in each)
    shared = [any(counts[name] > 1 for name in each) for each in names]
    # resolved, since "." has no name
    places = [path.resolve() for path in paths]
    places = [path.parent if each == {path.name} else path for path, each in zip(places, names, strict=True)]
    lengths = range(1, 1 + max(len(path.parts) for path in places))
    labels = next(
        found
        for found in (["/".join(path.parts[-length:]) + "/" for path in places] for length in lengths)
        if len(set(found)) == len(set(places))
    )
    return tuple(label if clashes else "" for label, clashes in zip(labels, shared, strict=True))


def _without(
    documents: Iterable[Document | Skipped], corpus: Corpus, own: Sequence[Path]
) -> Iterator[Document | Skipped]:
    """Yield the documents of a corpus but those in our own folders below it."""
    root = corpus.path.resolve()
    held = [folder for folder in map(Path.resolve, own) if not root.is_relative_to(folder)]
    prefixes = tuple(f"{folder.relative_to(root).as_posix()}/" for folder in held if folder.is_relative_to(root))

    @cache
    def is_own(folder: Path) -> bool:
        place = folder.resolve()
        return any(place.is_relative_to(each) for each in held)

    for document in documents:
        if isinstance(document, Skipped):
            if not (prefixes and document.name.startswith(prefixes)):
                yield document
            continue
        folders = {part.path.parent for part in document.parts}
        if not any(map(is_own, folders)):
            yield document


class _Stamp:
    """Says what changes when a document does, without reading it; an archive is looked at once."""

    def __init__(self) -> None:
        self._times: dict[Path, int] = {}

    def __call__(self, document: Document) -> list[object]:
        """Return the name of a document, and of its parts the times of their last change and their sizes."""
        for part in document.parts:
            if part.path not in self._times:
                try:
                    self._times[part.path] = part.path.stat().st_mtime_ns
                except OSError:
                    self._times[part.path] = 0  # it has gone since it was found, which is said when it is opened
        times = [self._times[part.path] for part in document.parts]
        return [document.name, times, [part.size for part in document.parts]]


def _place(document: Document) -> tuple[str, str, str]:
    part = document.parts[0]
    return document.name, str(part.path), part.member or ""


def _groups(documents: list[tuple[int, Document]]) -> list[list[tuple[int, Document]]]:
    """Share the documents of a corpus out; those of one archive in the order in which they lie in it."""
    groups: list[list[tuple[int, Document]]] = []
    for _, several in groupby(sorted(documents, key=_archive), key=_archive):
        members = sorted(several, key=lambda each: each[1].parts[0].offset)
        limit = SHARD_BYTES
        if any(_is_in_tar(document) for _, document in members):
            limit = max(limit, sum(_size(document) for _, document in members) // TAR_SHARDS)
        group: list[tuple[int, Document]] = []
        size = 0
        for rank, document in members:
            if group and (size + _size(document) > limit or len(group) >= SHARD_DOCUMENTS):
                groups.append(group)
                group, size = [], 0
            group.append((rank, document))
            size += _size(document)
        groups.append(group)
    return groups


def _is_in_tar(document: Document) -> bool:
    part = document.parts[0]
    return part.member is not None and part.zipped is None


def _archive(each: tuple[int, Document]) -> str:
    part = each[1].parts[0]
    return "" if part.member is None else str(part.path)


def _size(document: Document) -> int:
    return sum(part.size for part in document.parts)
