"""The folder of a preparation: packed token ids, where they came from, and what is said of them."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bot import load_tokenizers
from ..bot_files import open_regular
from ..errors import CorpusError, SettingsError
from ..files import read_json, write_json
from ..plugins import Plugins
from ..progress import Progress
from ..settings import DataSettings
from ..tables import merge_tables
from ..text.corpus import Corpus
from ..text.packed import Origins, Packed, load_array, save_array
from ..text.tokenizer import Tokenizer
from .vectors import SIDES, Vectors, vectors_of

__all__ = ["DATA", "FORMAT", "Prepared", "adopt", "open_prepared", "prepared_corpus", "with_vectors"]

DATA = "data.json"
"""Written when all else is there: a folder without it is no whole preparation."""
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run learns from; `facts` is what the bot will say of it.

    samples  held-out exchanges, as (source with context, source to show, target)
    vectors  pretrained vectors of the source's and of the target's tokens, as (token ids, vectors); or none
    """

    folder: Path
    train: Packed
    valid: Packed
    tokenizers: tuple[Tokenizer, Tokenizer]
    samples: tuple[tuple[tuple[int, ...], str, str], ...]
    facts: Mapping[str, Any]
    vectors: tuple[Vectors, ...] = ()

    @classmethod
    def load(cls, folder: Path, tokenizers: tuple[Tokenizer, Tokenizer]) -> Prepared:
        """Map into memory what a preparation wrote; what a run has adopted is compared with its hashes.

        Raises:
            CorpusError: where something is missing or damaged, or was written by another version.
        """
        try:
            data = read_json(folder / DATA)
            if data["format"] != FORMAT:
                raise ValueError(f"its format is {data['format']}, not {FORMAT}")
            if "sha256" in data:
                _check_hashes(folder, data["sha256"])
            samples = tuple((tuple(ids), source, target) for ids, source, target in data["samples"])
            sides = SIDES if data["facts"].get("vectors") else ()
            vectors = tuple(
                (load_array(folder / f"{side}.vector_ids.npy"), load_array(folder / f"{side}.vectors.npy"))
                for side in sides
            )
            train, valid = Packed.load(folder, "train"), Packed.load(folder, "valid")
            return cls(folder, train, valid, tokenizers, samples, data["facts"], vectors)
        except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise CorpusError(
                f"the prepared data in {folder} cannot be read: {error}", "prepare it again, into a new folder"
            ) from error

    def origins(self, side: str) -> Origins:
        """Return where the rows of a side, `train`, `valid` or `test`, came from."""
        return Origins.load(self.folder, side)

    def named(self, rows: Iterable[int], *, most: int = 3) -> str:
        """Name where some rows to learn from came from, the first few of them."""
        rows = [int(row) for row in rows]
        try:
            origins = self.origins("train")
        except (OSError, EOFError, ValueError):
            return f"rows {', '.join(map(str, rows[:most]))} of the corpus"
        places = []
        for row in rows[:most]:
            origin = origins[row]
            where = f"line {origin.line}" if origin.line else f"second {origin.seconds:,.1f}" if origin.seconds else ""
            places.append(f"{origin.file} {where}".rstrip())
        return "; ".join(places) + (f"; and {len(rows) - most:,} more" if len(rows) > most else "")


def open_prepared(folder: Path, settings: DataSettings, plugins: Plugins) -> Prepared:
    """Map what `s2sbot corpus prepare` left in a folder into memory, with its tokenizers."""
    tokenizers = load_tokenizers(folder, settings.tokenizer, plugins, shared=settings.share_tokenizer)
    return Prepared.load(folder, tokenizers)


def prepared_corpus(folder: Path) -> Corpus:
    """Return what `s2sbot corpus prepare` left in a folder as a corpus that asks for the settings it was made with.

    Raises:
        CorpusError: where its card cannot be read.
    """
    try:
        card = read_json(folder / "card.json")
        settings = {key: value for key, value in card["settings"].items() if value is not None}
        asked = merge_tables(card["asks"], {"data": settings})
        return Corpus(folder, folder.resolve().name, languages=tuple(card["languages"]), settings=asked)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SettingsError) as error:
        raise CorpusError(f"{folder / 'card.json'}: {error}", "prepare the corpus again, into a new folder") from error


def adopt(prepared: Prepared, folder: Path) -> Prepared:
    """Take prepared data into the training folder of a bot, which is given a name of its own.

    Its files are linked where that can be done, since none of them is ever changed, and copied elsewhere.
    """
    if prepared.folder != folder:
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(prepared.folder.iterdir()):
            if file.is_file() and file.name != DATA:
                _link(file, folder / file.name)
    data = read_json(prepared.folder / DATA)
    data["facts"]["uuid"] = str(uuid.uuid4())
    data["sha256"] = _hashes(folder)
    write_json(folder / DATA, data)
    return Prepared.load(folder, prepared.tokenizers)


def _hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every array in a folder, by the file's name."""
    return {file.name: _hash(file) for file in sorted(folder.glob("*.npy"))}


def _hash(file: Path) -> str:
    with open_regular(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def _check_hashes(folder: Path, wanted: Mapping[str, str]) -> None:
    for name, digest in wanted.items():
        if _hash(folder / Path(name).name) != digest:
            raise ValueError(f"{name} is cut short or changed")


def _link(file: Path, link: Path) -> None:
    link.unlink(missing_ok=True)
    try:
        link.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, link)


def with_vectors(prepared: Prepared, path: Path) -> Generator[Progress, None, Prepared]:
    """Read the word vectors of the tokens, keep them beside the prepared data, and return both."""
    vectors, said = yield from vectors_of(path, prepared.tokenizers)
    for side, (ids, numbers) in zip(SIDES, vectors, strict=True):
        save_array(prepared.folder / f"{side}.vector_ids.npy", ids)
        save_array(prepared.folder / f"{side}.vectors.npy", numbers)
    data = read_json(prepared.folder / DATA)
    data["facts"]["vectors"] = said
    data["sha256"] = _hashes(prepared.folder)
    write_json(prepared.folder / DATA, data)
    return Prepared.load(prepared.folder, prepared.tokenizers)
