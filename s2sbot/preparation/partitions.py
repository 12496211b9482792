"""The rows of all shards go in; those with the same value in a column come out together, some at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import CHUNK, read_columns
from .plan import Plan
from .reading import COLUMNS, ReadShard

__all__ = ["Array", "Fates", "Part", "Rows", "mixed"]

PARTITION = 2**19
"""Rows whose keys are compared at a time; hashes share them out evenly."""

Array = NDArray[Any]
Fates = Sequence[NDArray[np.uint8]]
"""What becomes of the rows of each shard, a number for each of them."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows of all shards lie, and the place of each among all of them by the names of their documents.

    ordinals  for each shard, where its documents end, and what is to be added to the number of a row
    """

    folder: Path
    counts: tuple[int, ...]
    ordinals: tuple[tuple[Array, Array], ...]

    @classmethod
    def of(cls, folder: Path, plan: Plan, shards: Sequence[ReadShard]) -> Rows:
        """Take the places of documents from a plan, and the numbers of their rows from what has been read."""
        rows = np.zeros(len(plan.names), np.int64)
        for planned, shard in zip(plan.shards, shards, strict=True):
            rows[list(planned.ranks)] = shard.rows
        begins = np.cumsum(rows) - rows
        ordinals = []
        for planned, shard in zip(plan.shards, shards, strict=True):
            ends = np.cumsum(shard.rows)
            ordinals.append((ends, begins[list(planned.ranks)] - (ends - np.array(shard.rows))))
        return cls(folder, tuple(sum(shard.rows) for shard in shards), tuple(ordinals))

    @property
    def total(self) -> int:
        """Return the number of all rows."""
        return sum(self.counts)

    def chunks(self, *names: str) -> Iterator[tuple[int, int, dict[str, Array]]]:
        """Yield (shard, first row, columns by name); a column that is none of `COLUMNS` has 64-bit hashes."""
        types = {name: COLUMNS.get(name, "Q") for name in names}
        for shard, count in enumerate(self.counts):
            for number, columns in enumerate(read_columns(self.folder, f"read-{shard}", types, count, CHUNK)):
                yield shard, number * CHUNK, columns

    def ordinal(self, shard: int, rows: Array) -> Array:
        """Return the places of some rows of a shard among all rows."""
        ends, shifts = self.ordinals[shard]
        return rows + shifts[np.searchsorted(ends, rows, side="right")]

    def partitions(
        self, name: str, *others: str, fates: Fates, among: Callable[[Array, dict[str, Array]], Array]
    ) -> Iterator[Part]:
        """Yield the rows for which `among`, given fates and columns, is true; those with one value always together."""
        parts = max(1, math.ceil(self.total / PARTITION))
        for part in range(parts):
            gathered: list[tuple[Array, ...]] = []
            for shard, begin, columns in self.chunks(name, *others):
                keys = columns[name]
                chosen = among(fates[shard][begin : begin + len(keys)], columns)
                if parts > 1:
                    chosen &= keys % np.uint64(parts) == part
                here = np.flatnonzero(chosen)
                if len(here):
                    rows = here + begin
                    gathered.append(
                        (
                            keys[here],
                            self.ordinal(shard, rows),
                            np.full(len(here), shard, np.int32),
                            rows,
                            *(columns[other][here] for other in others),
                        )
                    )
            if gathered:
                merged = [np.concatenate(arrays) for arrays in zip(*gathered, strict=True)]
                yield Part(merged[0], merged[1], merged[2], merged[3], tuple(merged[4:]))


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows: their keys, their places among all rows, and where they lie."""

    keys: Array
    ordinals: Array
    shards: Array
    rows: Array
    others: tuple[Array, ...] = ()

    def fates(self, fates: Fates) -> Array:
        """Return the fate of each of these rows."""
        found = np.empty(len(self.keys), np.uint8)
        for shard in np.unique(self.shards).tolist():
            here = self.shards == shard
            found[here] = fates[shard][self.rows[here]]
        return found

    def give(self, chosen: Array, fate: int, fates: Fates) -> None:
        """Give the chosen of these rows another fate."""
        for shard in np.unique(self.shards[chosen]).tolist():
            fates[shard][self.rows[chosen & (self.shards == shard)]] = fate


def mixed(numbers: Array) -> Array:
    """Return one 64-bit hash for each row of numbers (the finaliser of SplitMix64, over one after another)."""
    state = np.zeros(len(numbers), np.uint64)
    for column in range(numbers.shape[1]):
        state = (state ^ numbers[:, column].astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state
