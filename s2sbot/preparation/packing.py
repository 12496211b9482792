"""The kept rows of a shard go in; token ids come out, columns for each side, and what is counted on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import read_json, write_json
from ..settings import DataSettings
from ..text.tokenizer import LONGEST_SOURCE, SEP, Tokenizer, encode_source
from .choosing import SIDES
from .columns import ColumnWriter, check_sizes, open_anew, written
from .facts import Facts, Sampling, described
from .lines import Row, rows_of
from .reading import ReadShard

__all__ = ["TYPES", "PackedShard", "pack_shard"]

_ROW: Mapping[str, str] = {
    "source_lengths": "i",
    "target_lengths": "i",
    "dialogue": "i",
    "turn": "i",
    "file": "i",
    "line": "i",
    "seconds": "d",
}
_IDS: Mapping[str, str] = {"source_ids": "i", "target_ids": "i"}
TYPES: Mapping[str, str] = {**_ROW, **_IDS}
"""The columns of each side, with their types as in `array`."""


@dataclass(frozen=True, slots=True)
class PackedShard:
    """How many rows, ids and bytes of text each document of a shard has on each side, and the facts of the shard."""

    counts: dict[str, list[tuple[int, int, int, int]]]
    facts: Facts

    @classmethod
    def load(cls, path: Path) -> PackedShard:
        """Read what `pack_shard` wrote last of all.

        Raises:
            OSError, ValueError, KeyError, TypeError: where it is not there, or not whole.
        """
        data = read_json(path, limit=2**30)
        check_sizes(path.parent, data["sizes"])
        counts = {side: [tuple(each) for each in rows] for side, rows in data["counts"].items()}
        return cls(counts, Facts.from_dict(data["facts"]))


def pack_shard(
    folder: Path,
    number: int,
    shard: ReadShard,
    fates: NDArray[np.uint8],
    tokenizers: tuple[Tokenizer, Tokenizer],
    settings: DataSettings,
    sampling: Sampling,
) -> Iterator[int]:
    """Encode the kept rows of a shard into `folder`; yield how many rows have been encoded so far.

    `packed-N.json` is written when all else is there, and says that the shard is done.
    """
    stem = f"packed-{number}"
    facts = Facts()
    encode = _Encoder(tokenizers, settings)
    with ExitStack() as stack:
        sides = {side: _Side(folder, stem, side, shard, stack) for side in SIDES}
        for done, row in enumerate(rows_of(folder, number, shard, fates)):
            if not done % 1_000:
                yield done
            source, target = encode(row)
            if source[-1:] in ([], [SEP]) or not target or max(len(source), len(target)) > settings.max_length:
                facts.too_long += 1
                continue
            sides[row.side].write(row, source, target)
            facts.count(row, source, target, shard.files, sampling)
        sizes = {name: size for side in sides.values() for name, size in side.finish().items()}
    counts = {name: side.counts for name, side in sides.items()}
    write_json(folder / f"{stem}.json", {"counts": counts, "facts": facts.to_dict(), "sizes": sizes})


class _Side:
    """Writes the rows of one side, and the text of those that are held out; counts them for each document."""

    def __init__(self, folder: Path, stem: str, side: str, shard: ReadShard, stack: ExitStack) -> None:
        self._columns = stack.enter_context(ColumnWriter(folder, f"{stem}.{side}", _ROW, _IDS))
        held_out = side != SIDES[0]
        self._text = stack.enter_context(open_anew(folder / f"{stem}.{side}.jsonl")) if held_out else None
        self._shard = shard
        self.counts = [[0, 0, 0, 0] for _ in shard.rows]

    def write(self, row: Row, source: list[int], target: list[int]) -> None:
        """Write one row with the ids of its sides."""
        columns = self._columns
        columns.append((len(source), len(target), row.dialogue, row.turn, row.file, row.line, row.seconds))
        columns.extend("source_ids", source)
        columns.extend("target_ids", target)
        counts = self.counts[row.document]
        counts[0] += 1
        counts[1] += len(source)
        counts[2] += len(target)
        if self._text is not None:
            counts[3] += self._text.write(_as_json(row, self._shard))

    def finish(self) -> dict[str, int]:
        """Write all that is left, and return the sizes of the files by name."""
        return self._columns.finish() | (dict([written(self._text)]) if self._text is not None else {})


class _Encoder:
    """Encodes rows; of neighbours, the target of one is the source of the next, and is encoded once."""

    def __init__(self, tokenizers: tuple[Tokenizer, Tokenizer], settings: DataSettings) -> None:
        self._source, self._target = tokenizers
        self._most = settings.max_length
        self._last: tuple[str, list[int]] = ("", [])

    def __call__(self, row: Row) -> tuple[list[int], list[int]]:
        if row.context or self._source is not self._target or row.source != self._last[0]:
            source = encode_source(self._source, row.source, row.context, most=self._most)
        else:
            source = self._last[1][:LONGEST_SOURCE]
        target = self._target.encode(row.target)
        self._last = row.target, target
        return source, target


def _as_json(row: Row, shard: ReadShard) -> bytes:
    return json.dumps(described(row, shard.files), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
