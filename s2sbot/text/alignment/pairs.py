"""Cues of one film in two languages go in, pairs that translate each other come out, each with a score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..dialogue import Cue
from .evidence import SharedWords, Wording, find_shared_words, read_wording
from .grouping import FEATURES, Evidence, Group, Weights, find_groups
from .pieces import find_pieces
from .timing import Piece, TimeMap, Track, nearest_difference, read_track, search

__all__ = ["AlignedPair", "Alignment", "align", "find_alignment", "find_time_map"]

Floats: TypeAlias = NDArray[np.float64]
_NEIGHBOURS: Final = 3
"""Groups on either side that tell whether a group stands where it belongs."""
_KINSHIP: Final = [FEATURES.index(name) for name in ("start", "end", "words")]
_CALIBRATION: Final = (-5.21, 3.94, 0.96, 0.96, 1.15, 0.57, 0.08, 0.18, 0.30, 1.97, 0.46, 0.08, 4.54)
"""Weights of `calibration_features`, fitted to pairs known right or wrong (docs/alignment.md)."""


@dataclass(frozen=True, slots=True)
class AlignedPair:
    """What one language says and what the other does at the same time.

    score        0 to 1, about the chance that it is a whole and right translation
    start, end   seconds, on the clock of the source
    source_cues  places of the cues in the list that was given
    target_cues  the same for the target
    """

    source: str
    target: str
    score: float
    start: float
    end: float
    source_cues: tuple[int, ...]
    target_cues: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Alignment:
    """The pairs of two files, and the pieces of the line between their clocks, the first from the beginning on."""

    pairs: tuple[AlignedPair, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class _Sides:
    """Both sides made ready, on clocks of their own: tracks, wordings, and the words they share."""

    source: Track
    target: Track
    wordings: tuple[Wording, Wording]
    words: SharedWords


def find_time_map(source: Sequence[Cue], target: Sequence[Cue]) -> TimeMap:
    """Find the one line that best carries the target's times onto the source's; `TimeMap()` where a side is empty."""
    return _best_map(_read_sides(source, target))


def align(source: Sequence[Cue], target: Sequence[Cue], *, time_map: TimeMap | None = None) -> list[AlignedPair]:
    """Pair the cues of two languages, many to many, in the order of time; cues without a counterpart are left out.

    Without `time_map` the line between both clocks is found, and where it jumps because something was cut.
    """
    return list(find_alignment(source, target, time_map=time_map).pairs)


def find_alignment(source: Sequence[Cue], target: Sequence[Cue], *, time_map: TimeMap | None = None) -> Alignment:
    """Do what `align` does, and return the clock that was found too."""
    sides = _read_sides(source, target)
    if time_map is not None:
        pieces: tuple[Piece, ...] = (Piece(-math.inf, time_map),)
    else:
        pieces = find_pieces(sides.source, sides.target, _best_map(sides))
    if not len(sides.source) or not len(sides.target):
        return Alignment((), pieces)
    target_track = sides.target.moved(pieces)
    groups = _find(sides, target_track, Weights())
    scores = score_groups(groups)
    return Alignment(
        tuple(
            _to_pair(group, float(score), (source, target), (sides.source, target_track))
            for group, score in zip(groups, scores, strict=True)
        ),
        pieces,
    )


def _read_sides(source: Sequence[Cue], target: Sequence[Cue]) -> _Sides:
    tracks = read_track(source), read_track(target)
    left, right = (
        read_wording([cues[place].text for place in track.index])
        for cues, track in zip((source, target), tracks, strict=True)
    )
    return _Sides(*tracks, (left, right), find_shared_words(left, right))


def _best_map(sides: _Sides) -> TimeMap:
    """Return the line under which the cues pair best, where times alone do not settle it."""
    lines = search(sides.source, sides.target, sides.words)
    if len(lines) == 1:
        return lines[0]
    weights = Weights()

    def evidence(line: TimeMap) -> float:
        groups = _find(sides, sides.target.moved([Piece(-math.inf, line)]), weights)
        paired = sum(sum(last - first for first, last in (group.source, group.target)) for group in groups)
        left_over = len(sides.source) + len(sides.target) - paired
        return sum(sum(group.features) for group in groups) + weights.skip * left_over

    return max(lines, key=evidence)


def _find(sides: _Sides, target: Track, weights: Weights) -> list[Group]:
    source = sides.source
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
    evidence = Evidence(source, target, (left, right), sides.words, spread=spread, ratio=ratio, weights=weights)
    return list(find_groups(source, target, evidence, skip=weights.skip))


def calibration_features(groups: Sequence[Group]) -> Floats:
    """Return what the score is made of, [n, 13]: 1, the evidence for each group, its neighbours', and all groups'."""
    own = np.array([group.features for group in groups], np.float64).reshape(len(groups), len(FEATURES))
    # how well times and shared words fit: what sets one film apart from two, of which any cues are about as long
    kinship = np.clip(own[:, _KINSHIP].sum(axis=1), -3.0, 5.0)
    sums = np.concatenate([[0.0], np.cumsum(kinship)])
    place = np.arange(len(own))
    low, high = np.maximum(place - _NEIGHBOURS, 0), np.minimum(place + _NEIGHBOURS + 1, len(own))
    around = (sums[high] - sums[low] - kinship) / np.maximum(high - low - 1, 1)
    whole = np.full(len(own), np.clip(kinship.mean(), -1.0, 1.5) if len(own) else 0.0)
    return np.column_stack([np.ones(len(own)), own, around, whole])


def score_groups(groups: Sequence[Group]) -> Floats:
    """Return the score of each group, 0 to 1, by logistic regression on its evidence."""
    if not groups:
        return np.zeros(0)
    logits = calibration_features(groups) @ np.array(_CALIBRATION)
    scores: Floats = 1 / (1 + np.exp(-np.clip(logits, -30.0, 30.0)))
    return scores


def _to_pair(
    group: Group, score: float, cues: tuple[Sequence[Cue], Sequence[Cue]], tracks: tuple[Track, Track]
) -> AlignedPair:
    places = [
        tuple(int(place) for place in track.index[slice(*span)])
        for track, span in zip(tracks, (group.source, group.target), strict=True)
    ]
    left, right = (
        " ".join(" ".join(side[place].text for place in chosen).split())
        for side, chosen in zip(cues, places, strict=True)
    )
    start, end = (getattr(tracks[0], name)[slice(*group.source)] for name in ("start", "end"))
    return AlignedPair(left, right, score, float(start.min()), float(end.max()), *places)
