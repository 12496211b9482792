"""What a training run tells of itself: one frozen event for everything that happens in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Progress", "Sample"]


@dataclass(frozen=True, slots=True)
class Sample:
    """A held-out source, what the bot made of it, and what really came."""

    source: str
    output: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One event of a training run.

    kind        what happened: `prepare` (a stage of the preparation has begun, or says how it ended), `start`, `step`,
                `validation`, `checkpoint`, `notice` (something a person should know of), `end`
    message     one line for a person, at `prepare`, `start` and `notice`; a `transient` one says only how far a stage
                has come
    step        updates of the weights so far; `steps` is their number in the whole run, where known
    epoch       passes over the corpus so far, with fraction
    elapsed     seconds of training so far, over all sittings; `remaining` is an estimate, where there is one
    loss        nats a target token, mean since the last `step` event
    perplexity  on the held-out exchanges, at `validation` and `end`
    figures     all that a validation found, by name, `perplexity` among it; `best` is the best so far of the metric
                that weights are chosen by
    tokens_per_second  source and target tokens without padding
    skipped     updates so far that changed nothing, as their loss or gradients were not finite
    gpu_memory  bytes that the model and its updates took on the GPU at most; None without one
    """

    kind: Literal["prepare", "start", "step", "validation", "checkpoint", "notice", "end"]
    message: str = ""
    transient: bool = False
    step: int = 0
    steps: int | None = None
    epoch: float = 0.0
    elapsed: float = 0.0
    remaining: float | None = None
    loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    perplexity: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    best: float | None = None
    skipped: int = 0
    gpu_memory: int | None = None
    samples: tuple[Sample, ...] = ()
    stopped: bool = False
