"""Settings and how far a run has come go in; the optimiser and the learning rate of a step come out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
from torch import nn

from ..settings import TrainSettings

__all__ = ["learning_rate", "make_optimizer"]

RHO: Final = 0.95
EPSILON: Final = 1e-6
"""Those of Adadelta in Cho et al. 2014 and Bahdanau et al. 2015."""

_FUSED: Final[dict[str, Callable[..., torch.optim.Optimizer]]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
}
"""Those of which torch has a kernel for all weights at once, on some device or other."""


def make_optimizer(
    parameters: Iterable[nn.Parameter], train: TrainSettings, *, fused: bool | None = None
) -> torch.optim.Optimizer:
    """Return the optimiser of `train.optimizer`; all of its state is tensors, as a checkpoint needs it.

    adam      Kingma & Ba 2015, algorithm 1; weight decay is part of the gradient
    adamw     Loshchilov & Hutter 2019, algorithm 2; the rate times the decay is taken off the weights themselves
    sgd       plain gradient descent
    adagrad   Duchi et al. 2011
    adadelta  Zeiler 2012, algorithm 1

    Args:
        fused: whether the step is one kernel, which also divides gradients and skips by itself; where torch has it for
            the device of the weights if not given.
    """
    parameters = list(parameters)
    options: dict[str, Any] = {"lr": train.learning_rate, "weight_decay": train.weight_decay}
    if train.optimizer == "adadelta":
        return torch.optim.Adadelta(parameters, rho=RHO, eps=EPSILON, **options)
    kind = _FUSED[train.optimizer]
    if fused is None:
        fused = _can_fuse(kind, parameters[0].device)
    return kind(parameters, fused=fused, **options)


def _can_fuse(kind: Callable[..., torch.optim.Optimizer], device: torch.device) -> bool:
    """Try it: which devices have which kernel is written nowhere, and changes with torch."""
    probe = nn.Parameter(torch.zeros(1, device=device))
    probe.grad = torch.zeros_like(probe)
    try:
        kind([probe], lr=1.0, fused=True).step()
    except RuntimeError:
        return False
    return True


def learning_rate(train: TrainSettings, step: int, fraction: float, *, width: int | None = None) -> float:
    """Return the rate of step `step`, from 0, when a share `fraction` of the run is done.

    With r = `learning_rate`, w = `warmup_steps` and s = step + 1, all but noam rise as r s / (w + 1) over the warm-up,
    are at r from s = w + 1 on, and go on from there:

    cosine        half a cosine down to `final_rate` of the highest (Loshchilov & Hutter 2017, equation 5)
    constant      the highest
    plateau       the highest, which `Course` multiplies with `plateau_factor` when validation has stalled
    halving       the highest up to `halving_start` of the run, then halved `halvings` times at even distances, the
                  first time at once (Sutskever et al. 2014, section 3.4)
    inverse-sqrt  r sqrt((w + 1) / s)
    noam          r d^-0.5 min(s^-0.5, s w^-1.5), which is highest at s = w (Vaswani et al. 2017, equation 3)

    Args:
        width: d, the model's `hidden_size`; needed by noam alone.
    """
    number, warmup = step + 1, train.warmup_steps
    if train.schedule == "noam":
        if width is None:
            raise ValueError("the schedule noam needs the width of the model")
        rising = number * math.pow(warmup, -1.5) if warmup else math.inf
        return train.learning_rate * math.pow(width, -0.5) * min(math.pow(number, -0.5), rising)
    warm = min(1.0, number / (warmup + 1))
    return train.learning_rate * warm * _share(train, number, min(1.0, max(0.0, fraction)))


def _share(train: TrainSettings, number: int, done: float) -> float:
    """Return the share of the highest rate that a schedule has at the step of that number, from 1."""
    if train.schedule == "cosine":
        fall = 0.5 * (1 + math.cos(math.pi * done))
        return train.final_rate + (1 - train.final_rate) * fall
    if train.schedule == "inverse-sqrt":
        highest = train.warmup_steps + 1
        return math.sqrt(highest / max(number, highest))
    if train.schedule == "halving" and done >= train.halving_start:
        rest = 1 - train.halving_start
        passed = (done - train.halving_start) / rest if rest else 1.0
        return float(0.5 ** min(train.halvings, 1 + int(passed * train.halvings + 1e-9)))
    return 1.0
