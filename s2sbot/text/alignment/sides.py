"""Cues of two languages go in; what can be compared of them comes out, and how much speaks for one clock or another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..dialogue import Cue
from .evidence import SharedWords, Wording, find_shared_words, leave_out_marks, read_wording
from .grouping import FEW, Evidence, Weights, sum_evidence
from .timing import Track, core, nearest_difference, read_track

__all__ = ["Sides", "measure_kinship", "read_sides", "weigh"]

Floats: TypeAlias = NDArray[np.float64]
_WRONG_CLOCKS: Final = 8
_LEAST_TURN: Final = 15.0
"""Seconds by which a clock must at least be wrong: farther than cues of a group may be apart."""
_DOUBT: Final = 30
"""Cues that say nothing, as many as are counted with those of every film: a few fit by chance."""
_PARTS: Final = 12
_LEAST_CUES: Final = 5
"""Cues of the source that a part has."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides made ready, on the clocks that `source` and `target` have: tracks, wordings, the words they share."""

    source: Track
    target: Track
    wordings: tuple[Wording, Wording]
    words: SharedWords

    def turned(self, share: float) -> Sides:
        """Return the target `share` of the film later, where what runs over the end comes in at the beginning."""
        ends = [track.start[place] for track in (core(self.source), core(self.target)) for place in (0, -1)]
        low, span = min(ends), max(max(ends) - min(ends) + 1.0, (_WRONG_CLOCKS + 1) * _LEAST_TURN)
        inside = (self.target.start >= low) & (self.target.start < low + span)
        start = np.where(inside, (self.target.start - low + share * span) % span + low, self.target.start)
        order = np.argsort(start, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        end = start + self.target.end - self.target.start
        wording = self.wordings[1]
        columns = {name: getattr(wording, name)[order] for name in ("letters", "questions", "cries", "open")}
        return Sides(
            self.source,
            Track(self.target.index[order], start[order], end[order]),
            (self.wordings[0], Wording(**columns, words=tuple(wording.words[number] for number in order))),
            replace(self.words, target=place[self.words.target]),
        )


def read_sides(source: Sequence[Cue], target: Sequence[Cue]) -> Sides:
    """Return what can be compared of two lists of cues, each on its own clock."""
    tracks = read_track(source), read_track(target)
    left, right = (
        read_wording([cues[place].text for place in track.index])
        for cues, track in zip((source, target), tracks, strict=True)
    )
    leave_out_marks(left, right)
    return Sides(*tracks, (left, right), find_shared_words(left, right))


def weigh(sides: Sides, weights: Weights) -> Evidence:
    """Return the evidence of all groups where both sides are on one clock, with spread and ratio as the film has."""
    source, target = sides.source, sides.target
    gaps = np.abs(
        np.concatenate(
            [
                nearest_difference(target.start, source.start),
                nearest_difference(np.sort(target.end), np.sort(source.end)),
            ]
        )
    )
    near = gaps[gaps < 1.5]
    spread = float(np.clip(np.median(near), 0.06, 0.6)) if len(near) else 0.6
    left, right = sides.wordings
    ratio = float(np.clip(right.letters.sum() / max(left.letters.sum(), 1.0), 0.1, 10.0))
    return Evidence(source, target, (left, right), sides.words, spread=spread, ratio=ratio, weights=weights)


def measure_kinship(sides: Sides, weights: Weights) -> float:
    """Return how far the evidence on the clock found stands above that on the best of eight wrong clocks.

    Wrong clocks turn the target round by ninths of the film, so that its cues, its pauses and its words stay what they
    are. The film is split into twelve parts, of which the best three count no more than the fourth: episodes of a
    series share opening and ending. The difference is over the root of the number of cues, with which what chance can
    add up to grows: about 0 for two films, whatever their length.
    """
    count = len(sides.source)
    parts = int(np.clip(count // _LEAST_CUES, 1, _PARTS))
    places = np.linspace(0, count, parts + 1).astype(np.int64)
    sums = []
    for number in range(_WRONG_CLOCKS + 1):
        turned = sides.turned(number / (_WRONG_CLOCKS + 1)) if number else sides
        evidence = weigh(turned, weights)
        gained = sum_evidence(turned.source, turned.target, evidence, skip=weights.skip, sizes=FEW)
        sums.append(np.diff(gained[places]))
    gains = np.sort(np.array(sums) - np.mean(sums[1:], axis=0), axis=1)
    common = np.minimum(gains, gains[:, [-1 - parts // 4]]).sum(axis=1)
    return float(common[0] - common[1:].max()) / math.sqrt(count + len(sides.target) + _DOUBT)
