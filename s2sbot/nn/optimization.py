"""Settings and how far a run has come go in; the optimiser and the learning rate of a step come out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import torch
from torch import nn

from ..settings import TrainSettings

__all__ = ["learning_rate", "make_optimizer"]

RHO: Final = 0.95
EPSILON: Final = 1e-6
"""Those of Adadelta in Cho et al. 2014 and Bahdanau et al. 2015."""


def make_optimizer(parameters: Iterable[nn.Parameter], train: TrainSettings) -> torch.optim.Optimizer:
    """Return the optimiser of `train.optimizer`; all of its state is tensors, as a checkpoint needs it.

    adam      AdamW (Kingma & Ba 2015; Loshchilov & Hutter 2019)
    sgd       plain gradient descent
    adagrad   Duchi et al. 2011
    adadelta  Zeiler 2012
    """
    rate, decay = train.learning_rate, train.weight_decay
    if train.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, weight_decay=decay)
    if train.optimizer == "adagrad":
        return torch.optim.Adagrad(parameters, lr=rate, weight_decay=decay)
    if train.optimizer == "adadelta":
        return torch.optim.Adadelta(parameters, lr=rate, rho=RHO, eps=EPSILON, weight_decay=decay)
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)


def learning_rate(train: TrainSettings, step: int, fraction: float) -> float:
    """Return the rate of step `step`, from 0, when a share `fraction` of the run is done.

    It rises over the warm-up and then follows the schedule:

    cosine    half a cosine down to `final_rate` of the highest (Loshchilov & Hutter 2017)
    constant  the highest
    halving   the highest up to `halving_start` of the run, then halved `halvings` times at even distances, the first
              time at once (Sutskever et al. 2014, section 3.4)
    """
    warm = min(1.0, (step + 1) / (train.warmup_steps + 1))
    done = min(1.0, max(0.0, fraction))
    share = 1.0
    if train.schedule == "cosine":
        fall = 0.5 * (1 + math.cos(math.pi * done))
        share = train.final_rate + (1 - train.final_rate) * fall
    elif train.schedule == "halving" and done >= train.halving_start:
        rest = 1 - train.halving_start
        passed = (done - train.halving_start) / rest if rest else 1.0
        share = 0.5 ** min(train.halvings, 1 + int(passed * train.halvings + 1e-9))
    return train.learning_rate * warm * share
