"""The table of known corpora goes in as TOML; each comes out as a dataclass, and as the `corpus.toml` of its folder."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from .transfer import RemoteFile

__all__ = ["KnownCorpus", "describe", "known_corpora"]


@dataclass(frozen=True, slots=True)
class KnownCorpus:
    """A corpus that others publish.

    page       where people read about it
    kind       `chat` or `translate`
    languages  one, or two: the first is translated into the second
    files      what is downloaded; none, where its name alone does not do: then `use` says how to get it
    use        what to do with it
    reader     reader of every file, where their content does not say
    read       which files are read, as in `corpus.toml`; left out, all of them
    ready      whether the folder can be trained on as it is, and so gets a `corpus.toml`
    """

    name: str
    description: str
    page: str
    licence: str
    citation: str
    kind: str
    languages: tuple[str, ...]
    use: str
    files: tuple[RemoteFile, ...] = ()
    reader: str | None = None
    read: tuple[str, ...] = ()
    ready: bool = True

    @property
    def size(self) -> int | None:
        """Return the bytes of all files, or None where one is not known."""
        sizes = [file.size for file in self.files]
        return sum(size for size in sizes if size is not None) if None not in sizes else None


def known_corpora() -> dict[str, KnownCorpus]:
    """Read the table that comes with s2sbot, by name, in its order."""
    table = tomllib.loads(files(__package__).joinpath("known_corpora.toml").read_text("utf-8"))
    found = {}
    for name, row in table.items():
        remote = tuple(RemoteFile(**_frozen(file)) for file in row.get("files", []))
        found[name] = KnownCorpus(name, **{**_frozen(row), "files": remote})
    return found


def _frozen(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def describe(corpus: KnownCorpus) -> str:
    """Return the `corpus.toml` that makes a folder with the files of `corpus` a corpus."""
    read = list(corpus.read)
    if not read and len(corpus.languages) != 2:
        read = [file.name for file in corpus.files]  # of two languages, the pairs are found where no files are named
    values: Mapping[str, str | list[str] | None] = {
        "name": corpus.name,
        "description": corpus.description,
        "licence": corpus.licence,
        "languages": list(corpus.languages),
        "files": read,
        "reader": corpus.reader,
    }
    # a string or a list of strings is written the same in JSON and in TOML
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items() if value]
    return f"# {corpus.page}\n# {corpus.citation}\n" + "".join(lines)
