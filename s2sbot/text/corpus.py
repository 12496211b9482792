"""A path goes in, the exchanges of every document in it come out, with an account of what was read and what was not."""

from __future__ import annotations

import hashlib
import io
import logging
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import CorpusError, S2SBotError, SettingsError
from ..settings import merge_tables, nearest
from .dialogue import Cue, Dialogue, Exchange, Item, PairReader, Reader
from .documents import Document, HashedStream, find_documents, listed_documents, pair_document
from .pairing import cues_to_dialogues, dialogue_to_exchanges

__all__ = ["Corpus", "CorpusReport", "DocumentExchanges", "Skipped", "open_corpus", "read_corpus"]

AnyReader = Reader | PairReader
HEAD = 64 * 2**10
"""Bytes of a document that a reader may look at to know it."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """What a path holds, before any of it is read.

    `languages` has none, one, or the source's and the target's; `settings` are the knobs that the corpus asks for.
    """

    path: Path
    name: str
    files: tuple[str, ...] = ()
    reader: str | None = None
    languages: tuple[str, ...] = ()
    licence: str | None = None
    valid_share: float | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Return `translate` for pairs of two languages, `chat` for anything else."""
        return "translate" if len(set(self.languages)) == 2 else "chat"

    def documents(self) -> Iterator[Document]:
        """Yield every file or archive member, in the order of their names.

        Raises:
            CorpusError: for an archive that is damaged or hostile.
        """
        if self.files:
            yield from listed_documents(self.path, self.files, self.languages)
        elif self.path.exists():
            yield from find_documents(self.path)
        else:
            yield pair_document(self.path, self.languages)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A document that was not read, and why."""

    name: str
    cause: str


@dataclass(slots=True)
class CorpusReport:
    """What `read_corpus` has met so far."""

    files: int = 0
    cues: int = 0
    dialogues: int = 0
    exchanges: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """Return one SHA-256 for the names and contents of all documents read."""
        lines = "".join(f"{name}\0{value}\n" for name, value in sorted(self.hashes.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class DocumentExchanges:
    """The exchanges of one document; `paired` where each stands for itself, as in a file of pairs."""

    name: str
    reader: str
    exchanges: tuple[Exchange, ...]
    paired: bool


def open_corpus(path: Path, *, source: str | None = None, target: str | None = None) -> Corpus:
    """Find out what `path` is: a file, a folder, a zip, a folder with `corpus.toml`, or a prefix of two files.

    Raises:
        CorpusError: where there is nothing, or a side of a pair of files is missing.
    """
    if (source is None) != (target is None):
        raise CorpusError("--source and --target go together", "name both languages, as in --source de --target en")
    languages = () if source is None or target is None else (source, target)
    try:
        exists = path.exists()
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror}", "give the name of a file or a folder") from error
    if path.is_dir() and (path / "corpus.toml").is_file():
        corpus = _read_description(path)
        if languages and corpus.languages and languages != corpus.languages:
            raise CorpusError(
                f"{path} is {' to '.join(corpus.languages)}, not {' to '.join(languages)}",
                "leave --source and --target out: its corpus.toml names them",
            )
        return corpus
    name = path.name or path.resolve().name
    if exists:
        return Corpus(path, name, languages=languages)
    if languages:
        pair_document(path, languages)
        return Corpus(path, name, reader="moses", languages=languages)
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    sides = sorted(side for side in beside if side.name.startswith(f"{path.name}."))
    raise CorpusError(
        f"no such file or folder: {path}",
        f"found {', '.join(side.name for side in sides[:4])}: name two languages with --source and --target"
        if sides
        else "give a subtitle file, a folder or zip of them, a TSV of pairs, or a Moses prefix",
    )


_KINDS: Mapping[str, tuple[type[Any], str]] = {
    "name": (str, "a string"),
    "description": (str, "a string"),
    "reader": (str, "a string"),
    "licence": (str, "a string"),
    "files": (list, "a list of strings"),
    "languages": (list, "a list of strings"),
    "valid_share": (float, "a number with a point"),
    "settings": (dict, "tables, as in [settings.train]"),
}


def _read_description(folder: Path) -> Corpus:
    file = folder / "corpus.toml"
    try:
        described = tomllib.loads(file.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise CorpusError(f"{file}: {error}", "it must be a TOML file in UTF-8") from error
    for key in described:
        if key not in _KINDS:
            raise CorpusError(f"{file}: unknown key {key!r}", nearest(key, _KINDS))
    for key, (kind, noun) in _KINDS.items():
        value = described.get(key, kind())
        if not isinstance(value, kind) or (kind is list and not all(isinstance(item, str) for item in value)):
            raise CorpusError(f"{file}: {key} must be {noun}", "see corpora/README.md")
    if not described.get("files", ["*"]):
        raise CorpusError(f"{file}: `files` names none", "leave it out to take every file of the folder")
    if len(described.get("languages", [])) > 2:
        raise CorpusError(f"{file}: more than two languages", "name none, one, or the source's and the target's")
    if not 0.0 < described.get("valid_share", 0.5) <= 0.5:
        raise CorpusError(f"{file}: valid_share cannot be {described['valid_share']}", "it is above 0 and at most 0.5")
    try:
        settings = merge_tables(described.get("settings", {}))
    except SettingsError as error:
        raise CorpusError(f"{file}: {error.message}", error.hint) from error
    return Corpus(
        folder,
        described.get("name", folder.resolve().name),
        files=tuple(described.get("files", ["*"])),
        reader=described.get("reader"),
        languages=tuple(described.get("languages", [])),
        licence=described.get("licence"),
        valid_share=described.get("valid_share"),
        settings=settings,
    )


def read_corpus(
    corpus: Corpus,
    readers: Mapping[str, AnyReader],
    *,
    report: CorpusReport,
    scene_gap: float,
    context_turns: int,
) -> Iterator[DocumentExchanges]:
    """Yield the exchanges of every document that can be read; count and name the others in `report`.

    Raises:
        CorpusError: where nothing at all could be read.
    """
    for document in corpus.documents():
        found = CorpusReport()
        try:
            name, items = _read_document(document, corpus, readers, found)
            exchanges = _to_exchanges(items, document.name, found, scene_gap, context_turns)
        except S2SBotError:
            raise
        except Exception as error:
            # a reader may be a stranger's, and a run never dies of one file
            expected = isinstance(error, ValueError | OSError | EOFError) and str(error)
            cause = str(error) if expected else f"{type(error).__name__}: {error}"
            if len(document.openers) == 2:
                raise CorpusError(f"{corpus.path}: {cause}", "both files must have the same lines") from error
            report.skipped.append(Skipped(document.name, cause))
            continue
        if found.dialogues and corpus.kind == "translate":
            report.skipped.append(Skipped(document.name, "holds dialogue, not pairs of two languages"))
            continue
        if not exchanges:
            report.skipped.append(Skipped(document.name, "no exchange in it"))
            continue
        report.files += 1
        report.cues += found.cues
        report.dialogues += found.dialogues
        report.exchanges += len(exchanges)
        report.hashes.update(found.hashes)
        yield DocumentExchanges(document.name, name, exchanges, paired=not found.dialogues)
    if not report.files:
        causes = "; ".join(f"{skipped.name}: {skipped.cause}" for skipped in report.skipped[:3])
        raise CorpusError(
            f"nothing to learn from in {corpus.path}" + (f" ({causes})" if causes else " (it is empty)"),
            "`s2sbot plugins list` names the readers there are; `s2sbot corpus inspect` shows what each file holds",
        )


def _read_document(
    document: Document, corpus: Corpus, readers: Mapping[str, AnyReader], found: CorpusReport
) -> tuple[str, list[Item]]:
    with ExitStack() as stack:
        streams = []
        for opener in document.openers:
            stream = stack.enter_context(closing(opener()))
            head = stream.read(HEAD)
            if not head:
                raise ValueError("empty file")
            streams.append((head, HashedStream(head, stream)))
        opened = [cast(BinaryIO, io.BufferedReader(hashed)) for _, hashed in streams]
        name = corpus.reader or _best_reader(streams[0][0], document.name, readers, pair=len(opened) == 2)
        reader = readers.get(name)
        if reader is None:
            raise CorpusError(f"no reader {name!r}", nearest(name, readers))
        if len(opened) == 2:
            if not isinstance(reader, PairReader):
                raise CorpusError(f"the reader {name!r} reads no pairs of files", "use the reader 'moses'")
            items: list[Item] = list(reader.read_pair(opened[0], opened[1], document.name))
        elif isinstance(reader, Reader):
            items = list(reader.read(opened[0], document.name))
        else:
            raise CorpusError(f"the reader {name!r} reads pairs of files only", "correct `reader` in corpus.toml")
        for stream in opened:
            while stream.read(2**20):
                pass
    found.hashes[document.name] = ":".join(hashed.hash.hexdigest() for _, hashed in streams)
    return name, items


def _best_reader(head: bytes, name: str, readers: Mapping[str, AnyReader], *, pair: bool) -> str:
    if pair:
        return next(title for title, reader in sorted(readers.items()) if isinstance(reader, PairReader))
    scores = {
        title: _sniffed(reader, title, head, name)
        for title, reader in sorted(readers.items())
        if isinstance(reader, Reader)
    }
    best = max(scores, key=scores.__getitem__, default=None)
    if best is None or scores[best] <= 0:
        raise ValueError("binary data, not text" if b"\0" in head[:4096] else "no reader knows this kind of file")
    return best


def _sniffed(reader: Reader, title: str, head: bytes, name: str) -> float:
    try:
        return reader.sniff(head, name)
    except Exception as error:
        logging.getLogger("s2sbot.readers").warning("the reader %s failed on %s: %r", title, name, error)
        return 0.0


def _to_exchanges(
    items: Sequence[Item],
    name: str,
    found: CorpusReport,
    scene_gap: float,
    context_turns: int,
) -> tuple[Exchange, ...]:
    cues = [item for item in items if isinstance(item, Cue)]
    dialogues = [item for item in items if isinstance(item, Dialogue)]
    exchanges = [item for item in items if isinstance(item, Exchange)]
    dialogues += cues_to_dialogues(cues, name, scene_gap=scene_gap)
    for number, dialogue in enumerate(dialogues):
        exchanges += dialogue_to_exchanges(dialogue, context_turns=context_turns, number=number)
    found.cues, found.dialogues = len(cues), len(dialogues)
    return tuple(exchanges)
