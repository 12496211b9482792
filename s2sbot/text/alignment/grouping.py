"""Two tracks on one clock and their wordings go in, the best way to group the cues of both comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .evidence import SharedWords, Wording
from .timing import Track

__all__ = ["FEATURES", "FEW", "SIZES", "Evidence", "Group", "Weights", "find_groups", "sum_evidence"]

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
SIZES: Final = tuple((a, b) for a in range(1, 5) for b in range(1, 5) if a + b <= 7)
"""How many cues of the source, and of the target, one group may hold."""
FEATURES: Final = ("prior", "start", "end", "overlap", "length", "words", "questions", "cries", "open", "gap")
FEW: Final = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 3), (3, 1))
"""Those that carry most of the evidence: enough where only the sum is asked for."""
_REACH: Final = 12.0
"""Seconds that cues which translate each other may be apart."""
_WIDEST: Final = 160
"""Cues of the target that one of the source is compared with at most."""
_CHUNK: Final = 2**15
_NONE: Final = -1e12
_CHANCE: Final = 0.25
"""Boundaries a second that any place in a film has."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What each kind of evidence counts; tuned on every other episode of One Pace (benchmarks/alignment.py)."""

    boundary: float = 0.5
    overlap: float = 0.35
    length: float = 1.9
    words: float = 0.6
    marks: float = 1.4
    open: float = 1.7
    merge: float = 0.5
    gap: float = 0.6
    skip: float = -0.6


@dataclass(frozen=True, slots=True)
class Group:
    """Cues `first` to `last` (not included) of each side that translate each other; `features` as `FEATURES`."""

    source: tuple[int, int]
    target: tuple[int, int]
    features: tuple[float, ...]


class Evidence:
    """All that speaks for or against a group, of many groups at once.

    `spread` is how far boundaries that belong together lie apart, in seconds; `ratio` how many letters of the target
    come for one of the source.
    """

    def __init__(
        self,
        source: Track,
        target: Track,
        wordings: tuple[Wording, Wording],
        words: SharedWords,
        *,
        spread: float,
        ratio: float,
        weights: Weights,
    ) -> None:
        self._tracks, self._wordings = (source, target), wordings
        self._spread, self._ratio, self._weights = spread, ratio, weights
        self._sums = [
            {
                name: np.concatenate([[0.0], np.cumsum(getattr(wording, name))])
                for name in ("letters", "questions", "cries")
            }
            for wording in wordings
        ]
        self._ends = [_running_ends(track) for track in self._tracks]
        self._breaks = [_breaks(track) for track in self._tracks]
        self._keys, self._weights_of_words = _word_table(words, len(target))

    def features(self, i: Integers, j: Integers, sizes: tuple[int, int]) -> list[Floats]:
        """Return each of `FEATURES` for the groups that begin at `i` and `j`, weighted, [k] each."""
        a, b = sizes
        w = self._weights
        (source, target), (left, right) = self._tracks, self._wordings
        s0, t0 = source.start[i], target.start[j]
        s1, t1 = self._ends[0][a - 1][i], self._ends[1][b - 1][j]
        here, there = (
            {name: sums[name][k + n] - sums[name][k] for name in sums}
            for sums, k, n in ((self._sums[0], i, a), (self._sums[1], j, b))
        )
        merged = (a + b - 2) / 2 * (0.75 if a == b else 1.0)
        return [
            np.full(len(i), -w.merge * merged),
            w.boundary * self._boundary(s0 - t0),
            w.boundary * self._boundary(s1 - t1),
            w.overlap * _overlap(s0, s1, t0, t1),
            w.length * (1.0 - _length_cost(here["letters"] * self._ratio, there["letters"])),
            w.words * np.minimum(self._shared(i, j, a, b), 12.0),
            w.marks * _agreement(here["questions"], there["questions"]),
            w.marks * 0.5 * _agreement(here["cries"], there["cries"]),
            -w.open * (left.open[i + a - 1] + right.open[j + b - 1]) / 2,
            -w.gap * (self._breaks[0][a - 1][i] + self._breaks[1][b - 1][j]),
        ]

    def _boundary(self, apart: Floats) -> Floats:
        """Return the log-likelihood ratio of two boundaries that far apart: one moment, or any two within reach."""
        same = 0.9 * np.exp(-np.abs(apart) / self._spread) / (2 * self._spread)
        return np.log((same + 0.1 / (2 * _REACH)) / _CHANCE)

    def _shared(self, i: Integers, j: Integers, a: int, b: int) -> Floats:
        total = np.zeros(len(i))
        if len(self._keys) < 2:
            return total
        for x in range(a):
            for y in range(b):
                key = (i + x) * len(self._tracks[1]) + j + y
                place = np.searchsorted(self._keys, key)
                total += np.where(self._keys[place] == key, self._weights_of_words[place], 0.0)
        return total


def _overlap(s0: Floats, s1: Floats, t0: Floats, t1: Floats) -> Floats:
    """Return the time that both spans share over that of either, and over the shorter; `_NONE` out of reach."""
    shared = np.minimum(s1, t1) - np.maximum(s0, t0)
    either = np.maximum(s1, t1) - np.minimum(s0, t0)
    shorter = np.maximum(np.minimum(s1 - s0, t1 - t0), 0.1)
    together = np.maximum(shared, 0.0) / either + np.clip(shared / shorter, -1.0, 1.0) - 1.0
    return np.where(shared < -_REACH, _NONE, together)


def _length_cost(expected: Floats, letters: Floats) -> Floats:
    """Return half the square of Gale & Church's delta (1993, section 3.2), with the variance of subtitles."""
    delta = (letters - expected) / np.sqrt(8.0 * ((letters + expected) / 2 + 4.0))
    return np.minimum(delta**2 / 2, 5.0)


def _agreement(here: Floats, there: Floats) -> Floats:
    return np.minimum(np.minimum(here, there), 2.0) - np.minimum(np.abs(here - there), 2.0)


def _running_ends(track: Track) -> list[Floats]:
    """Return for 1 to 4 cues from each on when the last of them ends."""
    ends = [track.end]
    for n in range(1, 4):
        ends.append(np.maximum(ends[-1], np.append(track.end[n:], np.full(min(n, len(track)), -np.inf))))
    return ends


def _breaks(track: Track) -> list[Floats]:
    """Return for 1 to 4 cues from each on the seconds of silence between them, as far as they say that a scene ends."""
    silence = (
        np.append(np.clip((track.start[1:] - track.end[:-1] - 0.5) / 1.5, 0.0, 4.0), 0.0) if len(track) else np.zeros(0)
    )
    sums = np.concatenate([[0.0], np.cumsum(silence), np.zeros(3)])
    sums[len(track) + 1 :] = sums[len(track)]
    return [sums[n : n + len(track)] - sums[: len(track)] for n in range(4)]


def _word_table(words: SharedWords, columns: int) -> tuple[Integers, Floats]:
    keys, place = np.unique(words.source * columns + words.target, return_inverse=True)
    weight = np.bincount(place, words.weight, minlength=len(keys)) if len(keys) else np.zeros(0)
    return np.append(keys, np.iinfo(np.int64).max), np.append(weight, 0.0)


def _band(source: Track, target: Track) -> tuple[Integers, Integers]:
    """Return for 0 to n source cues done the fewest and the most target cues that may be done then."""
    starts = np.maximum.accumulate(target.start)
    low = np.searchsorted(starts, source.start - _REACH)
    high = np.searchsorted(starts, source.start + _REACH)
    middle = np.searchsorted(starts, source.start)
    low = np.maximum(low, middle - _WIDEST // 2)
    high = np.minimum(high, middle + _WIDEST // 2)
    low, high = np.concatenate([[0], low]), np.concatenate([high, [len(target)]])
    low = np.maximum.accumulate(low)
    high = np.maximum(np.maximum.accumulate(high), np.append(low[1:], len(target)))
    return low, high


def find_groups(source: Track, target: Track, evidence: Evidence, *, skip: float) -> Iterator[Group]:
    """Yield the groups whose evidence is greatest in sum, where a cue in none of them counts `skip`.

    Dynamic programming over cues done on both sides, as Gale & Church (1993) do over sentences, within a band along
    the clock, so that time and memory grow with the number of cues.
    """
    (low, _, base), choice, _ = _solve(source, target, evidence, SIZES, skip)
    yield from reversed(list(_walk_back(choice, low, base, evidence)))


def sum_evidence(
    source: Track, target: Track, evidence: Evidence, *, skip: float, sizes: Sequence[tuple[int, int]] = SIZES
) -> Floats:
    """Return the greatest sum that groups can have up to each source cue, [n + 1]; the last is that of all.

    Groups of `sizes` alone are tried: `FEW` take half the time.
    """
    (_, _, base), _, value = _solve(source, target, evidence, sizes, skip)
    sums: Floats = np.maximum.reduceat(value, base[:-1])
    sums[-1] = value[base[-1] - 1]
    return sums


def _solve(
    source: Track, target: Track, evidence: Evidence, sizes: Sequence[tuple[int, int]], skip: float
) -> tuple[tuple[Integers, Integers, Integers], NDArray[np.int8], Floats]:
    low, high = _band(source, target)
    width = high - low + 1
    base = np.concatenate([[0], np.cumsum(width)])
    value = np.full(int(base[-1]) + 1, _NONE)
    choice = np.zeros(int(base[-1]), np.int8)
    row = 0
    while row < len(width):
        stop = max(int(np.searchsorted(base, base[row] + _CHUNK, side="right")) - 1, row + 1)
        _fill(value, choice, (low, high, base), range(row, stop), evidence, sizes, skip)
        row = stop
    return (low, high, base), choice, value[:-1]


def _fill(
    value: Floats,
    choice: NDArray[np.int8],
    band: tuple[Integers, Integers, Integers],
    rows: range,
    evidence: Evidence,
    sizes: Sequence[tuple[int, int]],
    skip: float,
) -> None:
    low, high, base = band
    first, last = int(base[rows.start]), int(base[rows.stop])
    i = np.repeat(np.arange(rows.start, rows.stop), (high - low + 1)[rows.start : rows.stop])
    j = np.arange(first, last) - base[i] + low[i]
    nowhere = len(value) - 1
    before = np.full((len(sizes) + 1, last - first), nowhere)
    gain = np.full((len(sizes) + 1, last - first), skip)
    for kind, (a, b) in enumerate((*sizes, (1, 0))):
        start_i, start_j = np.maximum(i - a, 0), j - b
        good = np.flatnonzero((i >= a) & (start_j >= low[start_i]) & (start_j <= high[start_i]))
        before[kind, good] = base[start_i[good]] + start_j[good] - low[start_i[good]]
        if b:
            gain[kind, good] = np.sum(evidence.features(start_i[good], start_j[good], (a, b)), axis=0)
    for row in rows:
        cells = slice(int(base[row]), int(base[row + 1]))
        local = slice(cells.start - first, cells.stop - first)
        reached = value[before[:, local]] + gain[:, local]
        best = reached.argmax(axis=0)
        top = reached[best, np.arange(reached.shape[1])]
        if row == 0:
            top[0] = 0.0
        # a target cue passed over moves along the row: the running maximum, on a slope of one skip a cue
        slope = skip * np.arange(len(top))
        level = top - slope
        highest = np.maximum.accumulate(level)
        passed = highest > level
        choice[cells] = np.where(passed, len(sizes) + 1, best)
        value[cells] = np.where(passed, highest + slope, top)


def _walk_back(choice: NDArray[np.int8], low: Integers, base: Integers, evidence: Evidence) -> Iterator[Group]:
    moves = (*SIZES, (1, 0), (0, 1))
    i, j = len(low) - 1, int(base[-1] - base[-2] - 1 + low[-1])
    while i > 0 or j > 0:
        a, b = moves[choice[base[i] + j - low[i]]] if i > 0 else (0, 1)
        if a and b:
            features = evidence.features(np.array([i - a]), np.array([j - b]), (a, b))
            yield Group((i - a, i), (j - b, j), tuple(float(feature[0]) for feature in features))
        i, j = i - a, j - b
