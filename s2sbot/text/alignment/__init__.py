"""Cues of one film in two languages go in, pairs that translate each other come out, each with a score."""

from __future__ import annotations

from .pairs import ONE_FILM, AlignedPair, Alignment, align, find_alignment, find_time_map
from .timing import Piece, TimeMap

__all__ = ["ONE_FILM", "AlignedPair", "Alignment", "Piece", "TimeMap", "align", "find_alignment", "find_time_map"]
