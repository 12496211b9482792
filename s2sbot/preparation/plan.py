"""Corpora go in; which documents are read together comes out, with a fingerprint of all that decides the result."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from ..errors import CorpusError
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
    """

    number: int
    corpus: int
    documents: tuple[Document, ...]
    ranks: tuple[int, ...]

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
    corpora: Sequence[Corpus], valid: Sequence[Corpus], readers: Mapping[str, AnyReader], settings: DataSettings
) -> Plan:
    """Find every document and share them out.

    The order in which corpora are named, and documents lie in them, has no say: ranks go by names.
    """
    ordered = sorted(
        [*((False, corpus) for corpus in corpora), *((True, corpus) for corpus in valid)],
        key=lambda each: (each[0], each[1].name, str(each[1].path)),
    )
    shards: list[Shard] = []
    skipped: list[tuple[int, Skipped]] = []
    names: list[str] = []
    listed = []
    for index, (_, corpus) in enumerate(ordered):
        documents = []
        for document in corpus.documents(readers):
            if isinstance(document, Skipped):
                skipped.append((index, document))
            else:
                documents.append(document)
        documents.sort(key=lambda document: document.name)
        first = len(names)
        names += [document.name for document in documents]
        listed.append([_stamp(document) for document in documents])
        for group in _groups(list(enumerate(documents, first))):
            ranks, members = zip(*group, strict=True)
            shards.append(Shard(len(shards), index, members, ranks))
    described = {
        "version": importlib.metadata.version("s2sbot"),
        "corpora": [
            [held, corpus.name, corpus.kind, corpus.languages, corpus.reader, corpus.licence]
            for held, corpus in ordered
        ],
        "documents": listed,
        "settings": dataclasses.asdict(settings),
        "readers": sorted(readers),
    }
    return Plan(
        tuple(corpus for _, corpus in ordered),
        tuple(held for held, _ in ordered),
        tuple(shards),
        tuple(skipped),
        tuple(names),
        hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest(),
    )


def _stamp(document: Document) -> list[object]:
    """Return what changes when a document does, without reading it."""
    try:
        times = [part.path.stat().st_mtime_ns for part in document.parts]
    except OSError as error:
        raise CorpusError(f"cannot read {document.parts[0].path}: {error.strerror}", "it was there just now") from error
    return [document.name, times, [part.size for part in document.parts]]


def _groups(documents: list[tuple[int, Document]]) -> list[list[tuple[int, Document]]]:
    """Share the documents of a corpus out; those of one tar in the order in which they lie in it."""
    groups: list[list[tuple[int, Document]]] = []
    for path, several in groupby(sorted(documents, key=_archive), key=_archive):
        members = list(several)
        limit = SHARD_BYTES
        if path and any(document.parts[0].offset for _, document in members):
            members.sort(key=lambda each: each[1].parts[0].offset)
            limit = max(limit, sum(_size(document) for _, document in members) // TAR_SHARDS)
        size = SHARD_DOCUMENTS * limit  # the first document of an archive begins a group
        for rank, document in members:
            if size + _size(document) > limit or len(groups[-1]) >= SHARD_DOCUMENTS:
                groups.append([])
                size = 0
            groups[-1].append((rank, document))
            size += _size(document)
    return groups


def _archive(each: tuple[int, Document]) -> str:
    part = each[1].parts[0]
    return "" if part.member is None else str(part.path)


def _size(document: Document) -> int:
    return sum(part.size for part in document.parts)
