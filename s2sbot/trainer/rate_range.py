"""A run before its first step goes in; its loss at ever higher learning rates, and the rate to take, come out."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..errors import TrainingError
from ..nn.scoring import Minds
from .loop import Loop
from .update import Updater

__all__ = ["RatePoint", "RateRange", "highest_rate", "rate_points", "rate_range", "updates_within"]

LOWEST, HIGHEST = 1e-6, 10.0
SECONDS: Final = 45.0
"""How long the updates may take, as far as can be told before."""
FEWEST, MOST = 70, 210
"""Updates: ten to thirty for each power of ten."""
SMOOTHING: Final = 0.9
"""Decay of the running mean of losses; at 210 updates it looks back over a third of a power of ten."""
EXPLODED: Final = 4.0
"""Times the lowest smoothed loss at which there is nothing more to find."""
SHARE: Final = 0.5
"""Of the rate at the lowest smoothed loss, that which is recommended."""
UNSEEN: Final = 0.02
"""Share of the first loss by which it has to fall at all for a rate to be told from it."""


@dataclass(frozen=True, slots=True)
class RatePoint:
    """One update.

    rate      the learning rate
    loss      mean of its exchanges before it, nats a target token; infinite or NaN where it is not finite
    smoothed  running mean of the losses so far, with the bias towards its beginning taken out
    """

    rate: float
    loss: float
    smoothed: float


@dataclass(frozen=True, slots=True)
class RateRange:
    """What a range test found.

    points   in the order of rising rates
    lowest   the rate at the lowest smoothed loss
    setting  the value for `train.learning_rate`: a factor with the schedule noam, the highest rate of a run elsewhere
    rate     the highest rate of the run with it
    """

    points: tuple[RatePoint, ...]
    lowest: float
    setting: float
    rate: float


def highest_rate(loop: Loop) -> float:
    """Return the highest rate that a run has: the setting, of which the schedule noam makes another one."""
    train = loop.settings.train
    return loop.course.rate(max(0, train.warmup_steps - 1), 0.0) if train.schedule == "noam" else train.learning_rate


def updates_within(seconds: float) -> int:
    """Return how many updates a test makes, each of which takes so long."""
    return min(MOST, max(FEWEST, int(SECONDS / seconds)))


def rate_points(loop: Loop, *, updates: int) -> Iterator[RatePoint]:
    """Let the rate rise from update to update, the same factor each time, until all are made or the loss explodes.

    This is the range test of Smith 2017, "Cyclical learning rates for training neural networks", section 3.3, with a
    rate that rises exponentially. The updates, their order, the optimiser and the regularisation are those of the run;
    there is no warm-up. What learns is a copy: the run stands where it stood.
    """
    train = replace(loop.settings.train, ema=0.0)
    scratch = Updater(copy.deepcopy(loop.model), train, device=loop.device)
    own = loop.updater
    scratch.parts, scratch.subwords, scratch.proposal = own.parts, own.subwords, own.proposal
    minds = Minds(loop.order.slots)
    factor = (HIGHEST / LOWEST) ** (1 / (updates - 1))
    mean, best = 0.0, math.inf
    for number, update in enumerate(itertools.islice(itertools.cycle(loop.order.updates), updates)):
        rate = LOWEST * factor**number
        scratch.update(loop.prepared.train, update, minds, step=number, rate=rate, fraction=0.0)
        counts = scratch.read("nats", "tokens")
        scratch.reset("nats", "tokens")
        loss = counts["nats"] / counts["tokens"] if counts["tokens"] else math.nan
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        # Kingma & Ba 2015, section 3: without it the mean begins near 0
        smoothed = mean / (1 - SMOOTHING ** (number + 1))
        yield RatePoint(rate, loss, smoothed)
        if not math.isfinite(smoothed) or smoothed > EXPLODED * best:
            return
        best = min(best, smoothed)


def rate_range(loop: Loop, points: Sequence[RatePoint]) -> RateRange:
    """Say which rate to take: half of that at the lowest smoothed loss, to one digit.

    Bengio 2012, "Practical recommendations for gradient-based training of deep architectures", section 3.1.1, finds the
    best rate near half of the largest one at which training does not diverge. A tenth of the rate at the lowest loss,
    and the rate where the loss falls fastest, were 1.7 to 5 times worse in perplexity after a short run:
    docs/training.md has the figures.

    Raises:
        TrainingError: where the loss does not fall at any rate, so that none can be told.
    """
    finite = [point for point in points if math.isfinite(point.smoothed)]
    if not finite:
        raise TrainingError(
            "the loss is not finite from the first update on", "look into it: s2sbot train ... --doctor"
        )
    lowest = min(finite, key=lambda point: point.smoothed)
    if lowest.smoothed > (1 - UNSEEN) * finite[0].smoothed:
        raise TrainingError(
            f"the loss does not fall at any rate: it begins at {finite[0].smoothed:.3f} nats a token, and is"
            f" {lowest.smoothed:.3f} at best",
            "look into it: s2sbot train ... --doctor",
        )
    factor = highest_rate(loop) / loop.settings.train.learning_rate
    setting = float(f"{SHARE * lowest.rate / factor:.0e}")
    return RateRange(tuple(points), lowest.rate, setting, setting * factor)
