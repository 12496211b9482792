"""A path goes in, the dialogues and exchanges of every document in it come out, with an account of what was read."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CorpusError, SettingsError, shell_command
from ..settings import nearest
from ..tables import merge_tables
from .dialogue import PairReader, Reader
from .documents import (
    Document,
    Skipped,
    find_documents,
    is_prepared,
    listed_documents,
    pair_by_language,
    pair_by_names,
    pair_document,
)

__all__ = ["AnyReader", "Corpus", "open_corpus"]

AnyReader = Reader | PairReader
_SIDES_OF_TALK = (("enc", "dec"), ("question", "answer"), ("questions", "answers"))
"""Endings of two files that are no languages: line n of the second answers line n of the first."""


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
        return "translate" if len(set(self.languages)) == 2 and self.languages not in _SIDES_OF_TALK else "chat"

    def documents(self, readers: Mapping[str, AnyReader]) -> Iterator[Document | Skipped]:
        """Yield every file or archive member, in the order of their names.

        Two files that belong together are one document: those of two languages, and those that a reader names.

        Raises:
            CorpusError: for an archive that is damaged or hostile.
        """
        if self.files:
            found = listed_documents(self.path, self.files, self.languages)
        elif not self.path.exists() and (
            _has_sides(self.path, self.languages) or (len(self.languages) == 2 and not _is_pattern(self.path))
        ):
            yield pair_document(self.path, self.languages)
            return
        else:
            found = _described_apart(self.path, list(find_documents(self.path)))
        if len(self.languages) == 2 and self.reader in (None, "moses"):
            found = _sides_paired(list(found), self.languages)
        for _, reader in sorted(readers.items()):
            names = getattr(reader, "pair_names", None)
            if names:
                found = pair_by_names(found, names)
        yield from found


def _described_apart(path: Path, documents: list[Document | Skipped]) -> Iterator[Document | Skipped]:
    """Yield the documents of a folder, unless a folder below says itself what it is."""
    places = [each.parts[0] for each in documents if isinstance(each, Document)]
    folders = [str(each.path.parent) for each in places if each.member is None and each.path.name == "corpus.toml"]
    if folders:
        more = f" and {len(folders) - 4} more" if len(folders) > 4 else ""
        raise CorpusError(
            f"folders in {path} have a corpus.toml of their own: {', '.join(folders[:4])}{more}",
            "name each of them, instead of the folder that holds them",
        )
    yield from documents


def _sides_paired(documents: list[Document | Skipped], languages: tuple[str, ...]) -> Iterator[Document | Skipped]:
    """Pair files of two languages, where there are any such pairs; else yield what there is, as a TSV."""
    alone = [each for each in documents if not isinstance(each, Document) or len(each.parts) == 1]
    paired = list(pair_by_language(alone, languages))
    if not any(isinstance(each, Document) and len(each.parts) == 2 for each in paired):
        return iter(documents)
    together = [each for each in documents if isinstance(each, Document) and len(each.parts) == 2]
    return iter(sorted([*together, *paired], key=lambda each: each.name))


def _is_pattern(path: Path) -> bool:
    return any(sign in str(path) for sign in "*?[")


def _has_sides(path: Path, languages: tuple[str, ...]) -> bool:
    """Tell whether a path is the prefix of two files as it stands, whatever signs of a pattern are in it."""
    try:
        pair_document(path, languages)
    except CorpusError:
        return False
    return len(languages) == 2


def open_corpus(path: Path, *, source: str | None = None, target: str | None = None) -> Corpus:
    """Find out what `path` is: a file, a folder, an archive, a pattern of files, or a prefix of two files.

    A folder with `corpus.toml` says itself what it is.

    Raises:
        CorpusError: where there is nothing, a side of a pair of files is missing, or the folder is prepared already.
    """
    if (source is None) != (target is None):
        raise CorpusError("--source and --target go together", "name both languages, as in --source de --target en")
    languages = () if source is None or target is None else (source, target)
    try:
        exists = path.exists()
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror}", "give the name of a file or a folder") from error
    if exists and is_prepared(path):
        raise CorpusError(
            f"{path} is prepared already: its text is that of its sources once more",
            f"train with it as it is, {shell_command('s2sbot', 'train', path, '--bot', 'NAME.bot')};"
            f" {path / 'card.md'} says what is in it",
        )
    if path.is_dir() and (path / "corpus.toml").is_file():
        corpus = _read_description(path)
        if languages and corpus.languages and languages != corpus.languages:
            raise CorpusError(
                f"{path} is {' to '.join(corpus.languages)}, not {' to '.join(languages)}",
                "leave --source and --target out: its corpus.toml names them",
            )
        return corpus
    name = path.name or path.resolve().name
    if not exists and _has_sides(path, languages):
        return Corpus(path, name, reader="moses", languages=languages)
    if exists or (_is_pattern(path) and any(True for _ in find_documents(path))):
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
