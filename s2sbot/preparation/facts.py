"""Rows go in as they are encoded; what is counted and picked of them comes out, and adds up over shards."""

from __future__ import annotations

import heapq
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from ..text.tokenizer import SEP
from .lines import Row

__all__ = ["LONGEST_COUNTED", "Facts", "Picked", "Sampling", "described", "lowest"]

LONGEST_COUNTED = 64
"""Words from which lines are counted together."""
SHOWN = 64
"""Held-out exchanges from which those are chosen that a bot answers at every validation."""

_COUNTED = ("rows", "with_context", "after_another", "words", "tokens", "lengths")

Picked = tuple[int, dict[str, Any]]
"""A row that is shown, with its draw."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which rows are picked out on the way: those whose draw is below a limit, which depends on how many there are.

    replies   limit for the replies of which distinct words are counted
    samples   limit for the exchanges to learn from that a card shows
    frequent  hashes of the replies whose text is asked for
    """

    replies: int
    samples: int
    frequent: frozenset[int]


@dataclass(slots=True)
class Facts:
    """What is counted and picked while rows are encoded.

    with_context   rows of a side whose source holds turns from before it
    after_another  rows of a side that come after another one in their dialogue
    lengths        words of a target to learn from, as text -> how many have so many
    phrased        hash of a frequent reply, as text -> the lowest draw of its rows, and its text there
    """

    too_long: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    with_context: Counter[str] = field(default_factory=Counter)
    after_another: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    lengths: Counter[str] = field(default_factory=Counter)
    phrased: dict[str, tuple[int, str]] = field(default_factory=dict)
    replies: list[tuple[int, str]] = field(default_factory=list)
    samples: list[Picked] = field(default_factory=list)
    held_out: list[Picked] = field(default_factory=list)

    @property
    def frequent(self) -> dict[str, str]:
        """Return the frequent replies by their hashes."""
        return {reply: text for reply, (_, text) in self.phrased.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return them as plain values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make facts of what `to_dict` returned.

        Raises:
            ValueError, KeyError, TypeError: where that is not what it is.
        """
        facts = dict(values)
        for name in _COUNTED:
            facts[name] = Counter(facts[name])
        for name in ("replies", "samples", "held_out"):
            facts[name] = [tuple(each) for each in facts[name]]
        facts["phrased"] = {reply: tuple(each) for reply, each in facts["phrased"].items()}
        return cls(**facts)

    def add(self, other: Facts) -> None:
        """Take in the facts of another shard; in which order they come has no say."""
        self.too_long += other.too_long
        for name in _COUNTED:
            getattr(self, name).update(getattr(other, name))
        for reply, phrase in other.phrased.items():
            self._phrase(reply, phrase)
        self.replies = sorted(self.replies + other.replies)
        self.samples = lowest(len(self.samples) + len(other.samples), self.samples + other.samples)
        self.held_out = lowest(SHOWN, self.held_out + other.held_out)

    def count(
        self, row: Row, source: Sequence[int], target: Sequence[int], files: Sequence[str], sampling: Sampling
    ) -> None:
        """Take in a row with the ids of its sides; its file is one of `files`."""
        side, words = row.side, len(row.target.split())
        self.rows[side] += 1
        self.with_context[side] += bool(row.context) and SEP in source
        self.words[side] += words
        self.tokens[side] += len(target) + 1
        if side == "train":
            self.lengths[str(min(words, LONGEST_COUNTED))] += 1
            if row.draw < sampling.replies:
                self.replies.append((row.draw, row.target))
            if row.draw < sampling.samples:
                self.samples.append((row.draw, described(row, files)))
            if row.reply in sampling.frequent:
                self._phrase(str(row.reply), (row.draw, row.target))
        elif side == "valid":
            # neither one-word lines nor long ones, where there are others
            draw = row.draw + (0 if 3 <= len(row.source.split()) <= 12 else 2**64)
            self.held_out.append((draw, described(row, files)))
            if len(self.held_out) > 4 * SHOWN:
                self.held_out = lowest(SHOWN, self.held_out)

    def _phrase(self, reply: str, phrase: tuple[int, str]) -> None:
        self.phrased[reply] = min(self.phrased.get(reply, phrase), phrase)


def described(row: Row, files: Sequence[str]) -> dict[str, Any]:
    """Return a row as plain values, with the name of its file."""
    values: dict[str, Any] = {"source": row.source, "target": row.target}
    if row.context:
        values["context"] = list(row.context)
    values["file"] = files[row.file]
    if row.line:
        values["line"] = row.line
    if not math.isnan(row.seconds):
        values["seconds"] = row.seconds
    return values


def lowest(count: int, picked: Iterable[Picked]) -> list[Picked]:
    """Return those with the lowest draws in order, and of one draw those whose text and place come first."""
    return heapq.nsmallest(count, picked, key=lambda each: (each[0], json.dumps(each[1], sort_keys=True)))
