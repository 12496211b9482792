"""The rows of all shards go in; whether each is learnt from, validated on, or left out, comes out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..settings import DataSettings
from ..text.rules import Rules
from .partitions import Array, Rows
from .plan import Plan
from .reading import ReadShard
from .similar import similar_rows

__all__ = ["LEFT_OUT", "SIDES", "TRAIN", "Choice", "choose", "sides_of"]

SIDES = ("train", "valid", "test")
"""The fates of a row that is kept are their places here; those of one that is not begin at `LEFT_OUT`."""
TRAIN, VALID, TEST = range(3)
LEFT_OUT = 8
_REASONS = ("duplicates", "near-duplicates", "overlap", "replies")
_FATES: Final = {reason: LEFT_OUT + place for place, reason in enumerate(_REASONS)}
LEAST_CAP = 20
CAP_SHARE = 500
FREQUENT = 30


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

    What is compared goes by hashes, shared out so that half a million are in memory at a time; beside them a row takes
    one byte.
    """
    rows = Rows.of(folder, plan, shards)
    choice = Choice([np.zeros(sum(shard.rows), np.uint8) for shard in shards])
    _split(rows, choice, settings, plan)
    if "duplicates" in rules or "overlap" in rules:
        _drop_repeated(rows, choice, rules)
    if rules.near_duplicates:
        for part, alike in similar_rows(rows, choice.fates, TRAIN, LEFT_OUT, rules.near_duplicates):
            part.give(alike, _FATES["near-duplicates"], choice.fates)
    if "overlap" in rules:
        _drop_overlap(rows, choice)
    _cap_replies(rows, choice, settings.reply_cap, rules)
    counts: Counter[int] = Counter()
    for fates in choice.fates:
        counts.update(dict(enumerate(np.bincount(fates, minlength=LEFT_OUT + len(_REASONS)).tolist())))
    choice.kept = {side: counts[place] for place, side in enumerate(SIDES)}
    choice.left_out = Counter({reason: counts[fate] for reason, fate in _FATES.items()})
    return choice


def _split(rows: Rows, choice: Choice, settings: DataSettings, plan: Plan) -> None:
    """Give every unit to one side, by its hash alone: adding files moves none of the others.

    The unit whose hash is lowest is always held out, the one whose hash is highest never; where there is but one, the
    end of each of its documents is held out.
    """
    if any(plan.held_out):
        for shard in plan.shards:
            choice.fates[shard.number][:] = VALID if plan.held_out[shard.corpus] else TRAIN
        return
    lowest, highest = 2**64 - 1, 0
    for _, _, columns in rows.chunks("unit"):
        lowest, highest = min(lowest, int(columns["unit"].min())), max(highest, int(columns["unit"].max()))
    if lowest >= highest:
        _hold_out_ends(rows, choice, max(1, math.ceil(settings.valid_share * rows.total)))
        return
    for number, begin, columns in rows.chunks("unit"):
        units = columns["unit"]
        choice.fates[number][begin : begin + len(units)] = sides_of(
            units, lowest, highest, valid_share=settings.valid_share, test_share=settings.test_share
        )


def _hold_out_ends(rows: Rows, choice: Choice, most: int) -> None:
    """Hold out so many rows, shared out evenly to the ends of all documents.

    They may be versions of one film, and what is the end of one would be learnt from in the others.
    """
    for fates, (ends, shifts) in zip(choice.fates, rows.ordinals, strict=True):
        begins = np.r_[0, ends[:-1]]
        held = most * (ends + shifts) // max(1, rows.total) - most * (begins + shifts) // max(1, rows.total)
        for end, count in zip(ends.tolist(), held.tolist(), strict=True):
            fates[end - count : end] = VALID


def sides_of(
    units: Array, lowest: int, highest: int, *, valid_share: float, test_share: float = 0.0
) -> NDArray[np.uint8]:
    """Return the place in `SIDES` of each unit, given by its hash; `lowest` and `highest` are those of all units."""
    valid, test = valid_share * 2.0**64, min(1.0, valid_share + test_share) * 2.0**64
    found = np.where(units < valid, VALID, np.where(units < test, TEST, TRAIN))
    found[units == highest] = TRAIN
    found[units == lowest] = VALID
    return found.astype(np.uint8)


def _drop_repeated(rows: Rows, choice: Choice, rules: Rules) -> None:
    """Of the same exchange keep the first of each side; leave out to learn from what is held out, and so on."""
    for part in rows.partitions("key", fates=choice.fates, among=lambda fates, _: fates < LEFT_OUT):
        sides = part.fates(choice.fates)
        order = np.lexsort((part.ordinals, sides, part.keys))
        keys, ranked = part.keys[order], sides[order]
        left = np.ones(len(keys), bool)
        if "duplicates" in rules:
            left[1:] = (keys[1:] != keys[:-1]) | (ranked[1:] != ranked[:-1])
            part.give(_scatter(order, ~left), _FATES["duplicates"], choice.fates)
        if "overlap" in rules:
            starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
            highest = np.repeat(np.maximum.reduceat(ranked, starts), np.diff(np.r_[starts, len(keys)]))
            part.give(_scatter(order, (ranked < highest) & left), _FATES["overlap"], choice.fates)


def _drop_overlap(rows: Rows, choice: Choice) -> None:
    """Leave out of training every source of a pair, as of a translation, that is held out."""

    def pairs(fates: Array, columns: dict[str, Array]) -> Array:
        kept: Array = (fates < LEFT_OUT) & (columns["dialogue"] < 0)
        return kept

    for part in rows.partitions("unit", "dialogue", fates=choice.fates, among=pairs):
        sides = part.fates(choice.fates)
        held = np.unique(part.keys[sides != TRAIN])
        part.give((sides == TRAIN) & np.isin(part.keys, held), _FATES["overlap"], choice.fates)


def _cap_replies(rows: Rows, choice: Choice, cap: int | None, rules: Rules) -> None:
    """Keep of a reply that occurs too often as many as the cap allows, those whose hashes are lowest: any of them."""
    trained = sum(int((fates == TRAIN).sum()) for fates in choice.fates)
    choice.reply_cap = cap or max(LEAST_CAP, trained // CAP_SHARE)
    most = choice.reply_cap if "replies" in rules else rows.total
    frequent: list[tuple[int, int, int]] = []
    for part in rows.partitions("reply", "key", fates=choice.fates, among=lambda fates, _: fates == TRAIN):
        order = np.lexsort((part.ordinals, part.others[0], part.keys))
        keys = part.keys[order]
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        counts = np.diff(np.r_[starts, len(keys)])
        within = np.arange(len(keys)) - np.repeat(starts, counts)
        part.give(_scatter(order, within >= most), _FATES["replies"], choice.fates)
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
