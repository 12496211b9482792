"""A path goes in, its documents come out: files and archive members in the order of their names, not yet opened."""

from __future__ import annotations

import hashlib
import heapq
import io
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from ..errors import CorpusError
from .archives import Part, archive_kind, list_members

__all__ = [
    "UNKNOWN",
    "Document",
    "HashedStream",
    "Part",
    "Skipped",
    "find_documents",
    "hold_languages",
    "is_prepared",
    "listed_documents",
    "pair_by_language",
    "pair_by_names",
    "pair_document",
]

LONGEST_PATTERN = 1000
MOST_STARS = 2
"""Parts `**` of a pattern: with each more, every folder is looked at as many times more as it lies deep."""
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
_MAGIC = re.compile(r"[*?\[]")
_NO_PATTERN = (OSError, ValueError, IndexError, NotImplementedError, RecursionError)
"""What `Path.glob` raises where a pattern is none, is longer than a name may be, or has too many parts."""


@dataclass(frozen=True, slots=True)
class Document:
    """One file or archive member named inside its corpus; two parts where two files belong together."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A document that was not read, and why."""

    name: str
    cause: str


def find_documents(path: Path) -> Iterator[Document | Skipped]:
    """Yield what a file, a folder, an archive or a pattern of files holds, in the order of names.

    An archive in a folder is a folder to all who look at names: `archive.zip/member.srt`.

    Raises:
        CorpusError: where there is nothing, or `path` itself is an archive that cannot be read.
    """
    try:
        if path.is_dir():
            yield from _with_members(_walk(path))
        elif path.is_file():
            yield from _one_file(path)
        elif path.exists():
            raise CorpusError(f"{path} is neither a file nor a folder", "save what it gives as a file")
        elif _MAGIC.search(str(path)):
            yield from _fitting(path)
        else:
            raise CorpusError(f"no such file or folder: {path}", "give the name of a file or a folder")
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror}", "give the name of a file or a folder") from error


def listed_documents(folder: Path, patterns: Sequence[str], languages: Sequence[str]) -> Iterator[Document | Skipped]:
    """Yield the files of a folder with `corpus.toml`: globs below it, or prefixes of two files."""
    listed: set[str] = set()
    for pattern in patterns:
        if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
            raise CorpusError(f"{folder / 'corpus.toml'}: {pattern!r} leaves the folder", "name files below it")
        try:
            files = [(name, file) for name, file in _globbed(folder, pattern) if name != "corpus.toml"]
        except _NO_PATTERN as error:
            cause = _cause(error) if isinstance(error, OSError) else str(error)
            raise CorpusError(f"{folder / 'corpus.toml'}: {pattern!r} is no pattern of files", cause) from error
        if not files and len(languages) == 2 and PurePosixPath(pattern).name:
            yield replace(pair_document(folder / pattern, languages), name=PurePosixPath(pattern).as_posix())
        elif not files:
            raise CorpusError(f"{folder / 'corpus.toml'}: no file fits {pattern!r}", "correct `files`")
        new = [(name, file) for name, file in files if name not in listed]
        listed.update(name for name, _ in new)
        yield from _with_members(new)


def _fitting(path: Path) -> Iterator[Document | Skipped]:
    """Yield the files that a pattern fits, named from its first part with a sign in it."""
    first = next(number for number, part in enumerate(path.parts) if _MAGIC.search(part))
    pattern = str(PurePosixPath(*path.parts[first:]))
    try:
        files = list(_globbed(Path(*path.parts[:first]), pattern))
    except _NO_PATTERN as error:
        raise CorpusError(f"{path} is no pattern of files: {error}", "as in 'subs/*.srt' or 'subs/**/*.srt'") from error
    if not files:
        raise CorpusError(f"no file fits {path}", "a pattern names files: 'subs/**/*' takes all below a folder")
    yield from _with_members(files)


def _globbed(folder: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"more than {LONGEST_PATTERN} characters")
    if pattern.split("/").count("**") > MOST_STARS:
        raise ValueError(f"`**` more than {MOST_STARS} times")
    for path in folder.glob(pattern):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(map(_is_hidden, parts)):
            yield "/".join(parts), path


def _walk(folder: Path) -> Iterator[tuple[str, Path | str]]:
    """Yield the files below a folder, each with its name, or with the cause why it cannot be read.

    Links to folders are followed last, and a folder that has been seen, or that holds this one, is not entered: so no
    link makes a loop, and what lies in a folder has the name that it has there.
    """
    seen = {_identity(parent) for parent in folder.resolve().parents}
    here, links = [("", folder)], list[tuple[str, Path]]()
    while here or links:
        prefix, inside = here.pop() if here else heapq.heappop(links)
        try:
            identity = _identity(inside)
            if identity in seen:
                continue
            seen.add(identity)
            entries = [entry for entry in os.scandir(inside) if not _is_hidden(entry.name)]
        except OSError as error:
            yield prefix.rstrip("/"), _cause(error)
            continue
        for entry in entries:
            name, path = prefix + entry.name, inside / entry.name
            try:
                if entry.is_file():
                    yield name, path
                elif entry.is_dir(follow_symlinks=False):
                    here.append((f"{name}/", path))
                elif entry.is_dir():
                    heapq.heappush(links, (f"{name}/", path))
                elif entry.is_symlink():
                    yield name, "a link to nothing"
            except OSError as error:
                yield name, _cause(error)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _cause(error: ValueError | OSError) -> str:
    return f"cannot be opened: {error.strerror}" if isinstance(error, OSError) else str(error)


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _one_file(path: Path) -> Iterator[Document | Skipped]:
    kind = archive_kind(path)
    if kind is None:
        yield _whole(path.name, path)
        return
    try:
        found = list(_members(path, kind, ""))
    except (ValueError, OSError) as error:
        hint = "pack or download it again" if kind in ("zip", "tar") else "unpack it, or pack it as zip or tar.gz"
        raise CorpusError(f"{path}: {_cause(error)}", hint) from error
    yield from sorted(found, key=_name)


def is_prepared(folder: Path) -> bool:
    """Tell whether a folder is what `s2sbot corpus prepare` wrote, whose text is that of its sources once more."""
    return (folder / "data.json").is_file() and (folder / "card.json").is_file()


def _with_members(files: Iterable[tuple[str, Path | str]]) -> list[Document | Skipped]:
    """Return the documents of files, and of the members of those that are archives, by name.

    Of what an earlier preparation wrote the folder alone is named, and skipped.
    """
    found: list[Document | Skipped] = []
    written = _Written()
    for name, path in files:
        if isinstance(path, str):
            found.append(Skipped(_printable(name), path))
            continue
        if written.holds(name, path):
            continue
        kind = archive_kind(path)
        if kind is None:
            found.append(_whole(name, path))
            continue
        try:
            found += list(_members(path, kind, f"{name}/"))
        except (ValueError, OSError) as error:
            found.append(Skipped(_printable(name), _cause(error)))
    found += [Skipped(_printable(f"{name}/"), "written by an earlier preparation") for name in written.names]
    return sorted(found, key=_name)


class _Written:
    """Knows the folders that preparations have written, by their names in a corpus; each is looked at once."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    @property
    def names(self) -> list[str]:
        return [name for name, written in self._known.items() if written]

    def holds(self, name: str, path: Path) -> bool:
        """Tell whether a file of this name lies in one, or below it."""
        parts = name.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if folder not in self._known:
                self._known[folder] = is_prepared(path.parents[len(parts) - depth - 1])
            if self._known[folder]:
                return True
        return False


def _name(document: Document | Skipped) -> str:
    return document.name


def _whole(name: str, path: Path) -> Document:
    try:
        size = path.stat().st_size
    except OSError:
        size = 0  # it is named when it is opened
    return Document(_printable(name), (Part(path, size=size),))


def _members(path: Path, kind: str, prefix: str) -> Iterator[Document | Skipped]:
    if kind not in ("zip", "tar"):
        raise ValueError(f"a {kind} archive, which is not read")
    named: dict[str, list[tuple[Part, str | None]]] = defaultdict(list)
    for part, cause in list_members(path):
        raw = str(part.member)
        pieces = [piece for piece in raw.split("/") if piece not in ("", ".")]
        if raw.startswith("/") or re.match("[A-Za-z]:/", raw):
            cause = "an absolute name, which leaves the archive"
        elif ".." in pieces or not pieces:
            cause = "a name that leaves the archive"
        elif any(map(_is_hidden, pieces)):
            continue
        else:
            raw = "/".join(pieces)
        named[_printable(prefix + raw)].append((part, cause))
    for name, several in named.items():
        part, cause = several[0]
        if len(several) > 1:
            cause = f"{len(several)} members have this name"
        yield Document(name, (part,)) if cause is None else Skipped(name, cause)


def _printable(name: str) -> str:
    """Return a name with what a terminal or an encoding would stumble over written as `\\x07`, `\\u202e`."""
    return _UNPRINTABLE.sub(lambda match: _escaped(ord(match[0])), name)


def _escaped(code: int) -> str:
    byte = code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code  # a byte of a name that is not UTF-8
    return f"\\x{byte:02x}" if byte < 0x80 or byte != code else f"\\u{code:04x}"


def pair_document(prefix: Path, languages: Sequence[str]) -> Document:
    """Return two files, one for each language, as one document.

    Raises:
        CorpusError: where a side is missing.
    """
    parts: list[Part] = []
    for language in languages:
        try:
            plain, packed = (prefix.with_name(f"{prefix.name}.{language}{ending}") for ending in ("", ".gz"))
            side = next((each for each in (plain, packed) if each.is_file()), None)
        except (OSError, ValueError) as error:
            cause = f"the {language} side of {prefix} has no name that a file can have"
            raise CorpusError(cause, "a language is given by its code, as de or en") from error
        if side is None:
            raise CorpusError(
                f"the {language} side of {prefix} is missing: there is no {plain.name} and no {packed.name}",
                "a Moses prefix needs one file for each language, PREFIX.de and PREFIX.en for --source de --target en",
            )
        parts += _whole(side.name, side).parts
    return Document(_printable(prefix.name), tuple(parts))


def pair_by_language(documents: Iterable[Document | Skipped], languages: Sequence[str]) -> Iterator[Document | Skipped]:
    """Yield `X.de` and `X.en`, each perhaps with `.txt` or `.gz` behind it, as one document `X`; skip all others.

    What is skipped already, or has two parts, stays as it is.
    """
    suffix = re.compile(rf"(.*[^/])\.({'|'.join(map(re.escape, languages))})(?:\.txt)?(?:\.gz)?", re.DOTALL)
    sides: dict[str, dict[str, Document]] = defaultdict(dict)
    found: list[Document | Skipped] = []
    for document in sorted(documents, key=_name):
        if isinstance(document, Skipped) or len(document.parts) > 1:
            found.append(document)
        elif not (match := suffix.fullmatch(document.name)):
            found.append(Skipped(document.name, f"no pair of {' and '.join(languages)}"))
        elif match[2] in sides[match[1]]:
            found.append(Skipped(document.name, f"{sides[match[1]][match[2]].name} is the {match[2]} side already"))
        else:
            sides[match[1]][match[2]] = document
    for stem, side in sides.items():
        missing = [language for language in languages if language not in side]
        if missing:
            cause = f"the {missing[0]} side is missing: there is no {PurePosixPath(stem).name}.{missing[0]}"
            found += [Skipped(document.name, cause) for document in side.values()]
        else:
            found.append(Document(stem, tuple(side[language].parts[0] for language in languages)))
    yield from sorted(found, key=_name)


UNKNOWN = "no reader knows this kind of file"
_SIDE = re.compile(r"(.*[^/])\.([a-z]{2}(?:[-_][A-Za-z]{2,4})?)(?:\.txt)?(?:\.gz)?", re.DOTALL)


def hold_languages(skipped: Iterable[Skipped]) -> bool:
    """Tell whether files were skipped because nobody has said which two languages of theirs are meant."""
    sides: dict[str, set[str]] = defaultdict(set)
    for each in skipped:
        if "than two languages" in each.cause:
            return True
        match = _SIDE.fullmatch(each.name)
        if match and each.cause == UNKNOWN:
            sides[match[1]].add(match[2])
    return any(len(languages) > 1 for languages in sides.values())


def pair_by_names(documents: Iterable[Document | Skipped], names: tuple[str, str]) -> Iterator[Document | Skipped]:
    """Yield two files of one folder with these names, each perhaps with `.gz`, as one document; all else as it is."""
    every = list(documents)
    folders: dict[str, dict[str, Document]] = defaultdict(dict)
    for document in every:
        folder, _, last = document.name.rpartition("/")
        base = last.removesuffix(".gz")
        if isinstance(document, Document) and len(document.parts) == 1 and base in names:
            held = folders[folder].setdefault(base, document)
            if held.name.endswith(".gz") and base == last:
                folders[folder][base] = document
    pairs = {sides[names[0]].name: sides for sides in folders.values() if len(sides) == 2}
    seconds = {sides[names[1]].name for sides in pairs.values()}
    for document in every:
        if document.name in pairs:
            sides = pairs[document.name]
            yield Document(document.name, (sides[names[0]].parts[0], sides[names[1]].parts[0]))
        elif document.name not in seconds:
            yield document


class HashedStream(io.RawIOBase):
    """Passes `first` and then `stream` on, and hashes all of it."""

    def __init__(self, first: bytes, stream: BinaryIO) -> None:
        self._first = memoryview(first)
        self._stream = stream
        self.hash = hashlib.sha256()
        self.given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data: bytes | memoryview = self._first[: len(buffer)]
        self._first = self._first[len(data) :]
        if not data:
            data = self._stream.read(len(buffer))
        self.hash.update(data)
        self.given += len(data)
        buffer[: len(data)] = data
        return len(data)
