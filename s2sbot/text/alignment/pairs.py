"""Cues of one film in two languages go in, pairs that translate each other come out, each with a score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..dialogue import Cue
from .grouping import Group, Weights, find_groups, sum_evidence
from .pieces import find_pieces
from .score import score_groups
from .sides import Sides, measure_kinship, read_sides, weigh
from .timing import Piece, TimeMap, Track, search

__all__ = ["ONE_FILM", "AlignedPair", "Alignment", "align", "find_alignment", "find_time_map"]

ONE_FILM: Final = 3.0
"""Kinship of the least related files that are one film (docs/alignment.md)."""


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
    """The pairs of two files, and the pieces of the line between their clocks, the first from the beginning on.

    kinship  how much more speaks for this clock than for wrong ones; below `ONE_FILM` both may well be of two films
    """

    pairs: tuple[AlignedPair, ...]
    pieces: tuple[Piece, ...]
    kinship: float


def find_time_map(source: Sequence[Cue], target: Sequence[Cue]) -> TimeMap:
    """Find the one line that best carries the target's times onto the source's; `TimeMap()` where a side is empty."""
    return _best_map(read_sides(source, target))


def align(source: Sequence[Cue], target: Sequence[Cue], *, time_map: TimeMap | None = None) -> list[AlignedPair]:
    """Pair the cues of two languages, many to many, in the order of time; cues without a counterpart are left out.

    Without `time_map` the line between both clocks is found, and where it jumps because something was cut.
    """
    return list(find_alignment(source, target, time_map=time_map).pairs)


def find_alignment(source: Sequence[Cue], target: Sequence[Cue], *, time_map: TimeMap | None = None) -> Alignment:
    """Do what `align` does, and return the clock that was found too."""
    sides = read_sides(source, target)
    if time_map is not None:
        pieces: tuple[Piece, ...] = (Piece(-math.inf, time_map),)
    else:
        pieces = find_pieces(sides.source, sides.target, _best_map(sides))
    if not len(sides.source) or not len(sides.target):
        return Alignment((), pieces, 0.0)
    weights = Weights()
    sides = replace(sides, target=sides.target.moved(pieces))
    groups = list(find_groups(sides.source, sides.target, weigh(sides, weights), skip=weights.skip))
    kinship = measure_kinship(sides, weights)
    return Alignment(
        tuple(
            _to_pair(group, float(score), (source, target), (sides.source, sides.target))
            for group, score in zip(groups, score_groups(groups, kinship), strict=True)
        ),
        pieces,
        kinship,
    )


def _best_map(sides: Sides) -> TimeMap:
    """Return the line under which the cues pair best, where times alone do not settle it."""
    lines = search(sides.source, sides.target, sides.words)
    if len(lines) == 1:
        return lines[0]
    weights = Weights()

    def evidence(line: TimeMap) -> float:
        moved = replace(sides, target=sides.target.moved([Piece(-math.inf, line)]))
        return float(sum_evidence(moved.source, moved.target, weigh(moved, weights), skip=weights.skip)[-1])

    return max(lines, key=evidence)


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
