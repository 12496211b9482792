"""The kept rows of a shard go in; token ids come out, columns for each side, and what is counted on the way."""

from __future__ import annotations

import heapq
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import read_json, write_json
from ..settings import DataSettings
from ..text.tokenizer import Tokenizer, encode_source
from .choosing import SIDES
from .columns import ColumnWriter
from .lines import Row, rows_of
from .reading import ReadShard

__all__ = ["TYPES", "Facts", "PackedShard", "Sampling", "pack_shard"]

TYPES: Mapping[str, str] = {
    "source_ids": "i",
    "source_lengths": "i",
    "target_ids": "i",
    "target_lengths": "i",
    "dialogue": "i",
    "turn": "i",
    "file": "i",
    "line": "i",
    "seconds": "d",
}
LONGEST_COUNTED = 64
"""Words from which lines are counted together."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which rows are picked out on the way: those whose key is below a limit, which depends on how many there are.

    replies   limit for the replies of which distinct words are counted
    samples   limit for the exchanges to learn from that a card shows
    frequent  hashes of the replies whose text is asked for
    """

    replies: int
    samples: int
    frequent: frozenset[int]


@dataclass(slots=True)
class Facts:
    """What is counted and picked while rows are encoded; adds up over shards."""

    too_long: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    lengths: Counter[str] = field(default_factory=Counter)
    frequent: dict[str, str] = field(default_factory=dict)
    replies: list[tuple[int, str]] = field(default_factory=list)
    samples: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    held_out: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return them as plain values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in values.items()}

    def add(self, other: Facts) -> None:
        """Take in the facts of another shard."""
        self.too_long += other.too_long
        for mine, theirs in ((self.rows, other.rows), (self.words, other.words), (self.tokens, other.tokens)):
            mine.update(theirs)
        self.lengths.update(other.lengths)
        self.frequent.update(other.frequent)
        self.replies += other.replies
        self.samples += other.samples
        self.held_out = heapq.nsmallest(SHOWN, self.held_out + other.held_out, key=lambda each: each[0])


SHOWN = 64
"""Held-out exchanges from which those are chosen that a bot answers at every validation."""


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
        facts = data["facts"]
        for name in ("rows", "words", "tokens", "lengths"):
            facts[name] = Counter(facts[name])
        for name in ("replies", "samples", "held_out"):
            facts[name] = [tuple(each) for each in facts[name]]
        return cls({side: [tuple(each) for each in rows] for side, rows in data["counts"].items()}, Facts(**facts))


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
    writers = {side: ColumnWriter(folder, f"{stem}.{side}", TYPES) for side in SIDES}
    texts = {side: (folder / f"{stem}.{side}.jsonl").open("wb") for side in SIDES[1:]}
    counts = {side: np.zeros((len(shard.rows), 4), np.int64) for side in SIDES}
    facts = Facts()
    encode = _Encoder(tokenizers, settings)
    for done, row in enumerate(rows_of(folder, number, shard, fates)):
        if not done % 1_000:
            yield done
        source, target = encode(row)
        if not source or not target or max(len(source), len(target)) > settings.max_length:
            facts.too_long += 1
            continue
        writer = writers[row.side]
        writer.extend("source_ids", source)
        writer.extend("target_ids", target)
        writer.append(
            source_lengths=len(source),
            target_lengths=len(target),
            dialogue=row.dialogue,
            turn=row.turn,
            file=row.file,
            line=row.line,
            seconds=row.seconds,
        )
        written = texts[row.side].write(_as_json(row, shard)) if row.side in texts else 0
        counts[row.side][row.document] += (1, len(source), len(target), written)
        _count(row, len(target), shard, sampling, facts)
    for writer in writers.values():
        writer.close()
    for text in texts.values():
        text.flush()
        os.fsync(text.fileno())
        text.close()
    described = {"counts": {side: rows.tolist() for side, rows in counts.items()}, "facts": facts.to_dict()}
    write_json(folder / f"{stem}.json", described)


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
            source = self._last[1]
        target = self._target.encode(row.target)
        self._last = row.target, target
        return source, target


def _described(row: Row, shard: ReadShard) -> dict[str, Any]:
    described: dict[str, Any] = {"source": row.source, "target": row.target}
    if row.context:
        described["context"] = list(row.context)
    described["file"] = shard.files[row.file]
    if row.line:
        described["line"] = row.line
    if not math.isnan(row.seconds):
        described["seconds"] = row.seconds
    return described


def _as_json(row: Row, shard: ReadShard) -> bytes:
    return json.dumps(_described(row, shard), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _count(row: Row, tokens: int, shard: ReadShard, sampling: Sampling, facts: Facts) -> None:
    side = row.side
    words = len(row.target.split())
    facts.rows[side] += 1
    facts.words[side] += words
    facts.tokens[side] += tokens + 1
    if side == "train":
        facts.lengths[str(min(words, LONGEST_COUNTED))] += 1
        if row.key < sampling.replies:
            facts.replies.append((row.key, row.target))
        if row.key < sampling.samples:
            facts.samples.append((row.key, _described(row, shard)))
        if row.reply in sampling.frequent:
            facts.frequent.setdefault(str(row.reply), row.target)
    elif side == "valid":
        fitting = 0 if 3 <= len(row.source.split()) <= 12 else 2**64
        facts.held_out.append((row.key + fitting, _described(row, shard)))
        if len(facts.held_out) > 4 * SHOWN:
            facts.held_out = heapq.nsmallest(SHOWN, facts.held_out, key=lambda each: each[0])
