"""The rows of all shards go in; whether each is learnt from, validated on, or left out, comes out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..settings import DataSettings
from ..text.quality import SIGNATURE
from ..text.rules import Rules
from .columns import CHUNK, read_column, read_columns
from .plan import Plan
from .reading import COLUMNS, ReadShard

__all__ = ["LEFT_OUT", "SIDES", "Choice", "choose", "sides_of"]

SIDES = ("train", "valid", "test")
"""The fates of a row that is kept are their places here; those of one that is not begin at `LEFT_OUT`."""
LEFT_OUT = 8
_REASONS = ("duplicates", "near-duplicates", "overlap", "replies")
PARTITION = 2**20
"""Rows whose keys are compared at a time; hashes share them out evenly."""
LEAST_CAP = 20
CAP_SHARE = 500
BAND = 4
FREQUENT = 30

Array = NDArray[Any]


@dataclass(slots=True)
class Choice:
    """What became of all rows.

    fates      for each shard [rows], a place in `SIDES`, or `LEFT_OUT` and more
    left_out   exchanges by the rule that left them out
    frequent   hashes of the most frequent replies to learn from, each with its number before and after `reply_cap`
    """

    fates: list[NDArray[np.uint8]]
    kept: dict[str, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    frequent: list[tuple[int, int, int]] = field(default_factory=list)
    reply_cap: int = 0


def choose(folder: Path, plan: Plan, shards: Sequence[ReadShard], settings: DataSettings, rules: Rules) -> Choice:
    """Split all rows by what is never torn apart, and leave out what is there twice or too often.

    What is compared goes by hashes, shared out so that about a million are in memory at a time; beside them a row
    takes one byte.
    """
    rows = _Rows.of(folder, plan, shards)
    choice = Choice([np.zeros(sum(shard.rows), np.uint8) for shard in shards])
    _split(rows, choice, settings, plan)
    if "duplicates" in rules or "overlap" in rules:
        _drop_repeated(rows, choice, rules)
    if rules.near_duplicates:
        _drop_similar(rows, choice, rules.near_duplicates)
    if "overlap" in rules:
        _drop_overlap(rows, choice)
    _cap_replies(rows, choice, settings.reply_cap, rules)
    counts: Counter[int] = Counter()
    for fates in choice.fates:
        counts.update(dict(enumerate(np.bincount(fates, minlength=LEFT_OUT + len(_REASONS)).tolist())))
    choice.kept = {side: counts[place] for place, side in enumerate(SIDES)}
    choice.left_out = Counter({reason: counts[LEFT_OUT + place] for place, reason in enumerate(_REASONS)})
    return choice


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where the rows of all shards lie, and the place of each among all of them by the names of their documents."""

    folder: Path
    counts: tuple[int, ...]
    ordinals: tuple[tuple[Array, Array], ...]  # for each shard, where its documents end, and what to add to a row
    held_out: tuple[bool, ...]

    @classmethod
    def of(cls, folder: Path, plan: Plan, shards: Sequence[ReadShard]) -> _Rows:
        rows = np.zeros(len(plan.names), np.int64)
        for planned, shard in zip(plan.shards, shards, strict=True):
            rows[list(planned.ranks)] = shard.rows
        begins = np.cumsum(rows) - rows
        ordinals = []
        for planned, shard in zip(plan.shards, shards, strict=True):
            ends = np.cumsum(shard.rows)
            ordinals.append((ends, begins[list(planned.ranks)] - (ends - np.array(shard.rows))))
        held = tuple(plan.held_out[shard.corpus] for shard in plan.shards)
        return cls(folder, tuple(sum(shard.rows) for shard in shards), tuple(ordinals), held)

    @property
    def total(self) -> int:
        return sum(self.counts)

    def chunks(self, *names: str) -> Iterator[tuple[int, int, dict[str, Array]]]:
        """Yield (shard, first row, columns by name)."""
        types = {name: COLUMNS[name] for name in names}
        for shard, count in enumerate(self.counts):
            for number, columns in enumerate(read_columns(self.folder, f"read-{shard}", types, count)):
                yield shard, number * CHUNK, columns

    def ordinal(self, shard: int, rows: Array) -> Array:
        """Return the places of some rows of a shard among all rows."""
        ends, shifts = self.ordinals[shard]
        return rows + shifts[np.searchsorted(ends, rows, side="right")]

    def partitions(
        self, name: str, *others: str, among: Callable[[Array], Array], fates: list[Array]
    ) -> Iterator[_Part]:
        """Yield the rows whose fate is `among` some, those with the same value in a column always together."""
        parts = max(1, math.ceil(self.total / PARTITION))
        for part in range(parts):
            gathered: list[tuple[Array, ...]] = []
            for shard, begin, columns in self.chunks(name, *others):
                keys = columns[name]
                chosen = among(fates[shard][begin : begin + len(keys)])
                if parts > 1:
                    chosen &= keys % np.uint64(parts) == part
                here = np.flatnonzero(chosen)
                places = np.full(len(here), shard, np.int32), here + begin
                gathered.append(
                    (keys[here], self.ordinal(shard, places[1]), *places, *(columns[other][here] for other in others))
                )
            if gathered:
                merged = [np.concatenate(arrays) for arrays in zip(*gathered, strict=True)]
                yield _Part(merged[0], merged[1], merged[2], merged[3], tuple(merged[4:]))


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows: their keys, their places among all rows, and where they lie."""

    keys: Array
    ordinals: Array
    shards: Array
    rows: Array
    others: tuple[Array, ...] = ()

    def fates(self, choice: Choice) -> Array:
        found = np.empty(len(self.keys), np.uint8)
        for shard in np.unique(self.shards).tolist():
            here = self.shards == shard
            found[here] = choice.fates[shard][self.rows[here]]
        return found

    def leave_out(self, chosen: Array, reason: str, choice: Choice) -> None:
        for shard in np.unique(self.shards[chosen]).tolist():
            here = chosen & (self.shards == shard)
            choice.fates[shard][self.rows[here]] = LEFT_OUT + _REASONS.index(reason)


def _kept(fates: Array) -> Array:
    return fates < LEFT_OUT


def _split(rows: _Rows, choice: Choice, settings: DataSettings, plan: Plan) -> None:
    """Give every unit to one side, by its hash alone: adding files moves none of the others.

    The unit whose hash is lowest is always held out, the one whose hash is highest never; where there is but one, its
    end is held out.
    """
    for shard, held in enumerate(rows.held_out):
        choice.fates[shard][:] = SIDES.index("valid") if held else 0
    if any(rows.held_out):
        return
    lowest, highest = 2**64 - 1, 0
    for _, _, columns in rows.chunks("unit"):
        lowest, highest = min(lowest, int(columns["unit"].min())), max(highest, int(columns["unit"].max()))
    if lowest >= highest:
        begin = rows.total - max(1, math.ceil(settings.valid_share * rows.total))
        for shard, count in enumerate(rows.counts):
            choice.fates[shard][rows.ordinal(shard, np.arange(count)) >= begin] = SIDES.index("valid")
        return
    for shard, begin, columns in rows.chunks("unit"):
        units = columns["unit"]
        choice.fates[shard][begin : begin + len(units)] = sides_of(
            units, lowest, highest, valid_share=settings.valid_share, test_share=settings.test_share
        )


def sides_of(
    units: Array, lowest: int, highest: int, *, valid_share: float, test_share: float = 0.0
) -> NDArray[np.uint8]:
    """Return the place in `SIDES` of each unit, given by its hash; `lowest` and `highest` are those of all units."""
    valid, test = valid_share * 2.0**64, min(1.0, valid_share + test_share) * 2.0**64
    found = np.where(units < valid, SIDES.index("valid"), np.where(units < test, SIDES.index("test"), 0))
    found[units == highest] = 0
    found[units == lowest] = SIDES.index("valid")
    return found.astype(np.uint8)


def _drop_repeated(rows: _Rows, choice: Choice, rules: Rules) -> None:
    """Of the same exchange keep the first of each side; leave out to learn from what is held out, and so on."""
    for part in rows.partitions("key", among=_kept, fates=choice.fates):
        sides = part.fates(choice)
        order = np.lexsort((part.ordinals, sides, part.keys))
        keys, ranked = part.keys[order], sides[order]
        same = np.zeros(len(keys), bool)
        same[1:] = (keys[1:] == keys[:-1]) & (ranked[1:] == ranked[:-1])
        if "duplicates" in rules:
            part.leave_out(_scatter(order, same), "duplicates", choice)
        if "overlap" in rules and len(keys):
            starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
            highest = np.repeat(np.maximum.reduceat(ranked, starts), np.diff(np.r_[starts, len(keys)]))
            part.leave_out(_scatter(order, (ranked < highest) & ~same), "overlap", choice)


def _drop_overlap(rows: _Rows, choice: Choice) -> None:
    """Leave out of a translator's training every source sentence that is held out."""
    for part in rows.partitions("unit", "dialogue", among=_kept, fates=choice.fates):
        sides = part.fates(choice)
        held = np.unique(part.keys[(sides > 0) & (part.others[0] < 0)])
        part.leave_out((sides == 0) & (part.others[0] < 0) & np.isin(part.keys, held), "overlap", choice)


def _drop_similar(rows: _Rows, choice: Choice, likeness: float) -> None:
    """Leave out of training what shares a band of its signature with an earlier row and is as like it as that."""
    for band in range(SIGNATURE // BAND):
        parts = max(1, math.ceil(rows.total * SIGNATURE / (8 * PARTITION)))
        for number in range(parts):
            gathered = []
            for shard, count in enumerate(rows.counts):
                for begin in range(0, count, CHUNK // 16):
                    size = min(CHUNK // 16, count - begin)
                    signatures = read_column(
                        rows.folder / f"read-{shard}.signature", "I", begin * SIGNATURE, size * SIGNATURE
                    ).reshape(size, SIGNATURE)
                    keys = _mixed(signatures[:, band * BAND : (band + 1) * BAND])
                    here = np.flatnonzero(
                        (choice.fates[shard][begin : begin + size] == 0) & (keys % np.uint64(parts) == number)
                    )
                    where = np.full(len(here), shard, np.int32)
                    gathered.append(
                        (keys[here], rows.ordinal(shard, here + begin), where, here + begin, signatures[here])
                    )
            if not gathered:
                continue
            keys, ordinals, shards, places, signatures = (np.concatenate(each) for each in zip(*gathered, strict=True))
            part = _Part(keys, ordinals, shards, places)
            order = np.lexsort((ordinals, keys))
            starts = np.r_[True, keys[order][1:] != keys[order][:-1]] if len(order) else np.zeros(0, bool)
            first = order[np.flatnonzero(starts)][np.cumsum(starts) - 1] if len(order) else order
            alike = (signatures[order] == signatures[first]).mean(1) >= likeness if len(order) else starts
            part.leave_out(_scatter(order, ~starts & alike), "near-duplicates", choice)


def _mixed(numbers: Array) -> Array:
    """Return one 64-bit hash for each row of numbers (the finaliser of SplitMix64, over one after another)."""
    state = np.zeros(len(numbers), np.uint64)
    for column in range(numbers.shape[1]):
        state = (state ^ numbers[:, column].astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state


def _cap_replies(rows: _Rows, choice: Choice, cap: int | None, rules: Rules) -> None:
    """Keep of a reply that occurs too often as many as the cap allows, those whose hashes are lowest: any of them."""
    trained = sum(int((fates == 0).sum()) for fates in choice.fates)
    choice.reply_cap = cap or max(LEAST_CAP, trained // CAP_SHARE)
    most = choice.reply_cap if "replies" in rules else 2**62
    frequent: list[tuple[int, int, int]] = []
    for part in rows.partitions("reply", "key", among=lambda fates: fates == 0, fates=choice.fates):
        order = np.lexsort((part.ordinals, part.others[0], part.keys))
        keys = part.keys[order]
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, np.int64)
        counts = np.diff(np.r_[starts, len(keys)])
        within = np.arange(len(keys)) - np.repeat(starts, counts)
        part.leave_out(_scatter(order, within >= most), "replies", choice)
        frequent += (
            (int(counts[place]), min(most, int(counts[place])), int(keys[starts[place]]))
            for place in np.argsort(-counts, kind="stable")[:FREQUENT]
        )
    frequent.sort(key=lambda each: (-each[0], each[2]))
    choice.frequent = [(key, before, after) for before, after, key in frequent[:FREQUENT]]


def _scatter(order: Array, flags: Array) -> Array:
    """Bring flags of sorted rows back into the order in which the rows were."""
    found = np.zeros(len(order), bool)
    found[order] = flags
    return found
