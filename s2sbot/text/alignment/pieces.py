"""A line between the clocks of two tracks goes in, the pieces that replace it where a scene was cut come out."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .timing import RATES, Piece, TimeMap, Track, fit, nearest_difference

__all__ = ["find_pieces"]

Floats: TypeAlias = NDArray[np.float64]
_WINDOW: Final = 40
"""Cues whose common offset is looked for; it moves on by half of that."""
_STEP: Final = 0.2
_FARTHEST: Final = 600.0
"""Seconds that a cut may be long."""
_MOST: Final = 10
"""Offsets that are tried for every cue."""
_JUMP: Final = 7.0
"""Cues that another offset must bring onto their place before the clock is taken to jump."""
_FIRM: Final = 0.3
"""Closeness that a piece must reach; unrelated files reach 0.1 to 0.2."""


def find_pieces(source: Track, target: Track, time_map: TimeMap) -> tuple[Piece, ...]:
    """Return the pieces of `time_map`: one, or more where an advertisement or a scene is missing on one side.

    The most likely offset of every target cue is found by Viterbi's algorithm over a few candidates, where each jump
    has a price.
    """
    whole = (Piece(-np.inf, time_map),)
    if min(len(source), len(target)) < 2 * _WINDOW:
        return whole
    rates = sorted({time_map.rate, 1.0, min(RATES, key=lambda rate: abs(rate - time_map.rate))})
    middle = float(target.start.mean())
    alone = _closeness(source, target, time_map)
    best, chosen = float(alone.sum()), None
    for rate in rates:
        base = TimeMap(rate, time_map.offset + (time_map.rate - rate) * middle)
        offsets = [base.offset + jump for jump in _candidates(source, target, base)]
        near = np.stack([_closeness(source, target, TimeMap(rate, offset)) for offset in offsets], axis=1)
        path, total = _viterbi(near)
        # pieces that fit no better than chance would be found in any file whose cues are cut anew
        moved = path != 0
        gained = near[moved, path[moved]].mean() if moved.any() else 0.0
        firm = gained > max(_FIRM, 1.5 * float(alone[moved].mean())) if moved.any() else False
        if firm and total > best + _JUMP / 2:
            best, chosen = total, (rate, offsets, path)
    if chosen is None:
        return whole
    rate, offsets, path = chosen
    starts = [0, *(np.flatnonzero(np.diff(path)) + 1), len(target)]
    pieces = []
    for first, last in pairwise(starts):
        part = Track(target.index[first:last], target.start[first:last], target.end[first:last])
        found = fit(source, part, TimeMap(rate, offsets[path[first]]))
        pieces.append(Piece(float(target.start[first]) if first else -np.inf, found))
    return tuple(pieces)


def _closeness(source: Track, target: Track, time_map: TimeMap) -> Floats:
    """Return for each target cue, 0 to 1, how near a source cue starts and one ends under `time_map`."""
    starts = nearest_difference(time_map(target.start), source.start)
    ends = nearest_difference(time_map(target.end), np.sort(source.end))
    return (np.exp(-np.abs(starts) / 0.25) + np.exp(-np.abs(ends) / 0.25)) / 2


def _candidates(source: Track, target: Track, base: TimeMap) -> list[float]:
    """Return the jumps, in seconds, that bring many cues of some window onto source cues; 0 is the first."""
    bins = int(2 * _FARTHEST / _STEP)
    support: dict[int, float] = {}
    starts, ends = base(target.start), base(target.end)
    for first in range(0, len(target), _WINDOW // 2):
        window = slice(first, first + _WINDOW)
        low, high = np.searchsorted(source.start, (starts[window][0] - _FARTHEST, starts[window][-1] + _FARTHEST))
        apart = np.concatenate(
            [
                (source.start[low:high, None] - starts[window]).ravel(),
                (source.end[low:high, None] - ends[window]).ravel(),
            ]
        )
        place = np.floor((apart + _FARTHEST) / _STEP).astype(np.int64)
        counts = np.bincount(place[(place >= 0) & (place < bins)], minlength=bins).astype(np.float64)
        counts = np.convolve(counts, (0.5, 1.0, 0.5), mode="same")
        for peak in np.argsort(counts, kind="stable")[-2:]:
            support[int(peak)] = support.get(int(peak), 0.0) + float(counts[peak])
    jumps = [0.0]
    for peak in sorted(support, key=lambda peak: (-support[peak], peak)):
        jump = (peak + 0.5) * _STEP - _FARTHEST
        if len(jumps) < _MOST and all(abs(jump - other) > 0.5 for other in jumps):
            jumps.append(jump)
    return jumps


def _viterbi(near: Floats) -> tuple[NDArray[np.int64], float]:
    """Return the best column of each row of `near` [n, k], where each change of columns costs `_JUMP`, and its sum."""
    rows, columns = near.shape
    came = np.empty((rows, columns), np.int64)
    value = np.zeros(columns)
    stay = np.arange(columns)
    for row in range(rows):
        top = int(value.argmax())
        came[row] = np.where(value >= value[top] - _JUMP, stay, top)
        value = np.maximum(value, value[top] - _JUMP) + near[row]
    path = np.empty(rows, np.int64)
    path[-1] = value.argmax()
    for row in range(rows - 1, 0, -1):
        path[row - 1] = came[row, path[row]]
    return path, float(value.max())
