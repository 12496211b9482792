"""Updates and a budget go in; what an update takes of memory and time, and how many there will be, come out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import torch
from safetensors.torch import save
from torch import Tensor, nn

from ..errors import TrainingError
from ..files import write_atomically
from ..nn.dataset import Update
from ..nn.encoder_decoder import model_tensors
from ..nn.scoring import Minds
from ..settings import TrainSettings
from ..text.packed import Packed
from .update import Updater

__all__ = ["Plan", "Trial", "free_memory", "refuse_shorter", "seconds_to_write", "try_updates"]

TRIED: Final = 2
TIMED: Final = 4
"""Updates that are tried for their speed besides the largest, and in a run by a budget."""
MIN_STEPS: Final = 10
JUDGED: Final = 0.25
"""Share of a run after which a plan may be changed."""
OFF: Final = 0.025
"""How far from the budget, as a share of it, a run may be expected to end without a change."""
COPIES: Final = {"adam": 4, "adamw": 4, "adadelta": 4, "adagrad": 3, "sgd": 2}
"""How often a model's weights are in memory while it learns: they, their gradients, and what the optimiser keeps."""
SHARE: Final = 1 / 3
"""Share of a run's time from which validations and checkpoints are too much of it."""
ROOM: Final = 0.8
"""Share of the free memory that the largest update may be expected to take."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What was found by trying a few updates.

    parameters         numbers in the model
    largest            bytes that the largest update keeps for its gradients
    seconds            of an update, mean
    tokens_per_second  source and target tokens without padding
    parts              pieces that an update is cut into, as it would not fit otherwise
    """

    parameters: int
    largest: int
    seconds: float
    tokens_per_second: float
    parts: int

    def memory(self, optimizer: str) -> str:
        """Say how much memory weights, gradients, optimiser and the largest update take."""
        weights = self.parameters * 4 * COPIES[optimizer]
        cut = f", cut into {self.parts} parts" if self.parts > 1 else ""
        largest = self.largest / 2**20
        return f"{weights / 2**20:,.0f} MiB for weights and optimiser, {largest:,.0f} for the largest batch{cut}"


def free_memory(device: torch.device) -> int:
    """Return the bytes that a process can still have where the model is."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    try:
        # a container's own limit
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        return min(free, limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        return free


class _Kept:
    """Counts the bytes that are kept for the way back, each tensor's once, the weights not."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._known = {parameter.untyped_storage().data_ptr() for parameter in parameters}
        self.bytes = 0

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._known:
            self._known.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor


def try_updates(
    updater: Updater, updates: Sequence[Update], packed: Packed, slots: int, *, seconds: float = 0.0
) -> Trial:
    """Go through a few updates, the largest first, and leave the model as it was.

    Where memory runs out, or is expected to, the updater is left with as many parts as make the largest one fit.

    Args:
        seconds: how long updates are timed, at least; a few updates are in any case.

    Raises:
        TrainingError: where not even a single exchange fits into memory.
    """
    model, device = updater.model, updater.device
    # not where the model is: a GPU has no room to spare
    kept = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
    scratch = Updater(
        model,
        replace(updater.train, ema=0.0),
        device=device,
        processes=updater.processes,
        subwords=updater.subwords,
    )
    scratch.parts, scratch.subwords, scratch.proposal = updater.parts, updater.subwords, updater.proposal
    minds = Minds(slots)
    sizes = np.array([packed.tokens(update.turns) for update in updates])
    largest, middle = updates[int(sizes.argmax())], updates[int(sizes.argsort()[len(sizes) // 2])]
    try:
        found = _Kept(updater.parameters)
        with torch.autograd.graph.saved_tensors_hooks(found.pack, lambda tensor: tensor):
            scratch.update(packed, middle, minds, step=0, rate=0.0, fraction=0.5)
        expected = found.bytes * float(sizes.max()) / packed.tokens(middle.turns)
        while expected / scratch.parts > ROOM * free_memory(device) and scratch.parts < len(largest.turns[0]):
            scratch.parts *= 2
        scratch.update(packed, largest, minds, step=0, rate=0.0, fraction=0.5)
        took, tokens = _timed(scratch, updates, packed, minds, seconds=seconds)
    finally:
        model.load_state_dict(kept)
    updater.parts = scratch.parts
    return Trial(
        sum(parameter.numel() for parameter in updater.parameters),
        int(expected),
        took / tokens * float(sizes.mean()),
        tokens / took,
        scratch.parts,
    )


def seconds_to_write(model: nn.Module, folder: Path) -> float:
    """Return how long it takes to write the weights into `folder`, where nothing of them is left."""
    began = time.perf_counter()
    path = folder / "trial.safetensors"
    write_atomically(path, save({name: tensor.cpu().contiguous() for name, tensor in model_tensors(model).items()}))
    path.unlink()
    return time.perf_counter() - began


def _timed(
    updater: Updater, updates: Sequence[Update], packed: Packed, minds: Minds, *, seconds: float
) -> tuple[float, int]:
    """Return the seconds of some updates, of all sizes that there are, and their tokens.

    Each goes before without being timed: the first one of a shape takes up to twice as long. They are made as in the
    middle of a run, since what a step takes may change on the way.
    """
    count = min(TIMED if seconds else TRIED, len(updates))
    by_size = sorted(updates, key=lambda update: packed.tokens(update.turns))
    chosen = [by_size[(2 * part + 1) * len(updates) // (2 * count)] for part in range(count)]

    def through() -> float:
        began = time.perf_counter()
        for number, update in enumerate(chosen):
            updater.update(packed, update, minds, step=number, rate=0.0, fraction=0.5)
        updater.read("nats")
        return time.perf_counter() - began

    through()
    turns = [through()]
    while sum(turns) < seconds:
        turns.append(through())
    return sum(turns), len(turns) * sum(packed.tokens(update.turns) for update in chosen)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run by a budget spends it; frozen in steps, so that a run of the same plan repeats.

    budget   what was asked for, in seconds
    seconds  what is left of it for the run itself
    steps    updates that fit into that
    each     seconds of an update, as measured
    apart    seconds for validations and checkpoints
    changed  the step at which the plan was changed, and the number of steps before; none where it was not
    short    whether there is no time for the fewest steps, which are made nevertheless; it is kept to then
    frozen   whether it is that of an earlier run, and changes where that one did, whatever the clock says
    """

    budget: float
    seconds: float
    steps: int
    each: float
    apart: float
    changed: tuple[int, int] | None = None
    frozen: bool = False
    short: bool = False

    @classmethod
    def of(
        cls, trial: Trial, *, budget: float, seconds: float, apart: float, done: tuple[int, float] = (0, 0.0)
    ) -> Plan:
        """Plan a run.

        Args:
            seconds: what is left for the run itself.
            apart: what validations and checkpoints will take of it.
            done: steps that were made before, and the seconds that they took with all around them.
        """
        steps, spent = done
        more = int((seconds - apart) / trial.seconds)
        return cls(
            budget,
            max(0.0, spent + seconds),
            steps + max(MIN_STEPS, more),
            trial.seconds,
            apart,
            short=more < MIN_STEPS,
        )

    @property
    def message(self) -> str:
        """Say it in a line."""
        if self.short:
            lacking = (
                f"what is left of the budget of {self.budget:,.0f} s does not suffice"
                if self.seconds
                else f"preparing has used up the budget of {self.budget:,.0f} s"
            )
            return (
                f"plan: {lacking}: {MIN_STEPS} steps of about {1e3 * self.each:,.0f} ms, and {self.apart:,.0f} s for"
                " validations and checkpoints, are made nevertheless"
            )
        return (
            f"plan: {self.steps:,} steps of about {1e3 * self.each:,.0f} ms, and {self.apart:,.0f} s for validations"
            f" and checkpoints, fill the {self.seconds:,.0f} s that are left of {self.budget:,.0f}"
        )

    def advice(self, validations: int) -> str:
        """Say how many validations would leave most of the time for steps, where so many do not."""
        if validations == 1 or self.apart <= SHARE * self.seconds:
            return ""
        fewer = max(1, int(validations * SHARE * self.seconds / self.apart))
        return f"; --set train.validations={fewer} leaves more of the time for steps"

    def corrected(self, step: int, elapsed: float, fraction: float) -> int | None:
        """Return how many steps the run should have, where that is not what was planned, and the plan may change.

        It may once, when the run has come far enough to be judged by.
        """
        if self.frozen:
            return self.steps if self.changed is not None and step == self.changed[0] else None
        if self.short or self.changed is not None or fraction < JUDGED or step == 0:
            return None
        if abs(elapsed / fraction / self.seconds - 1) <= OFF:
            return None
        return max(step + 1, int(step * self.seconds / elapsed))

    def change(self, step: int, steps: int) -> Plan:
        """Return the plan with another number of steps from `step` on."""
        return self if self.frozen else replace(self, steps=steps, changed=(step, self.steps))

    def to_json(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Plan:
        """Undo `to_json`."""
        changed = values["changed"]
        return cls(**{**values, "changed": None if changed is None else (changed[0], changed[1])})


def refuse_shorter(train: TrainSettings, plan: Plan | None, *, step: int, epochs: float, elapsed: float) -> None:
    """Raise where a run that goes on is to end before where it is.

    Args:
        plan: what it had, where it was by a budget.
        step, epochs, elapsed: where it is, `elapsed` in seconds.

    Raises:
        TrainingError: it says where that is.
    """
    if train.steps is not None and step > train.steps:
        raise TrainingError(f"the run is at step {step:,} already", "--steps counts from its beginning: give more")
    if train.epochs is not None and epochs > train.epochs:
        raise TrainingError(
            f"the run has made {epochs:.2f} passes already", "--epochs counts from its beginning: give more"
        )
    if train.budget and (plan is None or plan.budget != train.budget) and elapsed > train.budget:
        raise TrainingError(
            f"the run has taken {elapsed:,.0f} s already", "--budget is the time of the whole run: give more"
        )
