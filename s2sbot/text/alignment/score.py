"""Groups of cues go in, the chance that each is a right translation comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .grouping import FEATURES, Group

__all__ = ["calibration_features", "score_groups"]

Floats: TypeAlias = NDArray[np.float64]
_NEIGHBOURS: Final = 3
"""Groups on either side that tell whether a group stands where it belongs."""
_TIMES: Final = [FEATURES.index(name) for name in ("start", "end")]
_NEAR: Final = [FEATURES.index(name) for name in ("start", "end", "words")]
_SURELY_ONE: Final = 3.0
"""Kinship of two files beyond which more says nothing of a pair."""
_FIT: Final = (0.5, 2.0)
"""Evidence of times in a film between which its pairs are more or less likely right: boundaries met to 0.5 or 0.1 s."""
_CALIBRATION: Final = (-12.11, 4.41, 0.76, 1.01, 0.21, 0.73, 0.11, 0.25, 0.33, 1.73, 0.21, 0.19, 1.86, 4.20)
"""Weights of `calibration_features`, fitted to pairs known right or wrong (docs/alignment.md)."""


def calibration_features(groups: Sequence[Group], kinship: float) -> Floats:
    """Return what the score is made of, [n, 14]: 1, the evidence for each group, its neighbours', and the film's two.

    Times count by how much worse they fit than those of most groups of the film: of subtitles that somebody else timed
    no boundary is met, though all is right.
    """
    own = np.array([group.features for group in groups], np.float64).reshape(len(groups), len(FEATURES))
    usual = np.median(own[:, _TIMES], axis=0) if len(own) else np.zeros(2)
    own[:, _TIMES] -= usual
    near = np.clip(own[:, _NEAR].sum(axis=1), -3.0, 3.0)
    sums = np.concatenate([[0.0], np.cumsum(near)])
    place = np.arange(len(own))
    low, high = np.maximum(place - _NEIGHBOURS, 0), np.minimum(place + _NEIGHBOURS + 1, len(own))
    around = (sums[high] - sums[low] - near) / np.maximum(high - low - 1, 1)
    film = np.tile([np.clip(usual.sum(), *_FIT), np.clip(kinship, 0.0, _SURELY_ONE)], (len(own), 1))
    return np.column_stack([np.ones(len(own)), own, around, film])


def score_groups(groups: Sequence[Group], kinship: float) -> Floats:
    """Return the score of each group, 0 to 1, by logistic regression on its evidence."""
    if not groups:
        return np.zeros(0)
    logits = calibration_features(groups, kinship) @ np.array(_CALIBRATION)
    scores: Floats = 1 / (1 + np.exp(-np.clip(logits, -30.0, 30.0)))
    return scores
