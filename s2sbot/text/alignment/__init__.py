"""Cues of one film in two languages go in, pairs that translate each other come out, each with a score."""

from __future__ import annotations

from .pairs import AlignedPair, Alignment, align, find_alignment, find_time_map
from .timing import Piece, TimeMap

__all__ = ["AlignedPair", "Alignment", "Piece", "TimeMap", "align", "find_alignment", "find_time_map"]
