"""A checkpoint whose files are whole and the run that it is for go in; what does not fit is told before it is taken."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..nn.encoder_decoder import State, model_tensors
from ..nn.optimization import make_optimizer
from ..settings import LENGTHS, TrainSettings
from ..text.tokenizer import BOS, EOS
from .checkpoint import Checkpoint
from .course import Course
from .plan import Plan
from .update import COUNTS

if TYPE_CHECKING:
    from .state import RunState

__all__ = ["all_finite", "check_fits", "learning_parameters", "optimizer_tensors", "restore_optimizer"]


def learning_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that an optimiser has, by name and in its order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: Iterable[str]) -> dict[str, Tensor]:
    """Return the state of an optimiser whose state is tensors, as Adam's is, by the names of its parameters."""
    state, names = optimizer.state_dict()["state"], list(parameters)
    return {f"{names[index]}.{key}": value for index, values in state.items() for key, value in values.items()}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Iterable[str], tensors: Mapping[str, Tensor]
) -> None:
    """Undo `optimizer_tensors`."""
    numbers = {name: number for number, name in enumerate(parameters)}
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        name, _, key = path.rpartition(".")
        state.setdefault(numbers[name], {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether all numbers are finite; both ends of a tensor are nan where one of its numbers is."""
    ends = [end for tensor in tensors if tensor.is_floating_point() and tensor.numel() for end in tensor.aminmax()]
    return all(bool(torch.isfinite(end)) for end in ends)


def check_fits(run: RunState, checkpoint: Checkpoint) -> None:
    """Compare names, shapes, types and ranges of all that a checkpoint holds with a run; the run stays as it is.

    Raises:
        ValueError: where something is missing, too much, of another shape or type, or no number.
    """
    parameters = learning_parameters(run.model)
    try:
        _check_tensors("weights", checkpoint.weights, model_tensors(run.model))
        _check_tensors("average", checkpoint.average, parameters if run.settings.train.ema else {})
        # how many there are can differ, so the plain values say it too
        for part, count in checkpoint.state["tensors"].items():
            if len(getattr(checkpoint, part)) != count:
                raise ValueError(f"its {part} have not {count} tensors")
        _check_optimizer(checkpoint.optimizer, parameters, run.settings.train)
        _check_minds(run, checkpoint.minds)
        _check_values(checkpoint.state, run.settings.train)
        _check_place(run, checkpoint.state)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError) as error:
        raise ValueError(f"it does not fit: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error


def _check_tensors(part: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    for name in sorted(found.keys() ^ wanted.keys()):
        raise ValueError(f"its {part} {'lack' if name in wanted else 'have also'} {name!r}")
    for name, tensor in found.items():
        if (tensor.shape, tensor.dtype) != (wanted[name].shape, wanted[name].dtype):
            raise ValueError(
                f"{name!r} of its {part} is {list(tensor.shape)} of {tensor.dtype}, where"
                f" {list(wanted[name].shape)} of {wanted[name].dtype} belongs"
            )
    if not all_finite(found.values()):
        raise ValueError(f"its {part} have numbers that are infinite or none")


def _check_optimizer(found: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter], train: TrainSettings) -> None:
    """A parameter that has had no gradient yet has no state."""
    wanted: dict[str, Tensor] = {}
    small = _small_state(train)
    for name, parameter in parameters.items():
        keys = {f"{name}.{key}": part for key, part in small.items()}
        if keys.keys() & found.keys():
            wanted |= {path: parameter.detach() if part.dim() else part for path, part in keys.items()}
    _check_tensors("optimizer", found, wanted)


def _small_state(train: TrainSettings) -> Mapping[str, Tensor]:
    """Return what an optimiser remembers of a parameter that is two numbers."""
    small = nn.Parameter(torch.zeros(2))
    small.grad = torch.zeros(2)
    optimizer = make_optimizer([small], train)
    optimizer.step()
    return dict(optimizer.state[small])


def _check_minds(run: RunState, minds: Mapping[str, Tensor]) -> None:
    if not minds:
        return
    one = _mind(run) if run.order.dialogues else ()
    slots = run.minds.slots
    _check_tensors(
        "minds", minds, {f"{number:03}": part.expand(slots, *part.shape[1:]) for number, part in enumerate(one)}
    )


def _mind(run: RunState) -> State:
    """Return what a dialogue of one short turn leaves in mind, [1, ...]."""
    model, training = run.model, run.model.training
    try:
        with torch.no_grad():
            model.eval()
            memory = model.encode(
                torch.full((1, 1), EOS, device=run.device), torch.ones(1, 1, dtype=torch.bool, device=run.device)
            )
            return model.carry(
                memory, model.decode(torch.full((1, 1), BOS, device=run.device), memory, memory.state).state
            )
    finally:
        model.train(training)


def _check_values(state: Mapping[str, Any], train: TrainSettings) -> None:
    updater, keeper, length = state["updater"], state["keeper"], state["length"]
    counted = [state[name] for name in ("step", "epoch", "position", "heard")]
    counted += [keeper["stalled"], updater["parts"] - 1, *(step for _, step in keeper["best"])]
    if not all(_is_count(number) for number in counted):
        raise ValueError("a place or a count in it is none")
    measured = [state["elapsed"], *(updater["counts"][name] for name in COUNTS)]
    measured += [value for value, _ in keeper["best"]]
    for row in state["validations"]:
        measured += [row["step"], row["perplexity"], row[train.metric], *row.values()]
    if not all(_is_number(number) for number in measured):
        raise ValueError("a figure in it is none")
    if len(length) != len(LENGTHS) or not all(each is None or _is_number(each) for each in length):
        raise ValueError("its length is none")
    if type(state["finished"]) is not bool:
        raise ValueError("it does not say whether the run has come to its end")
    if not all(isinstance(digest, str) for digest in keeper["hashes"].values()):
        raise ValueError("a hash in it is none")


def _check_place(run: RunState, state: Mapping[str, Any]) -> None:
    train, order = run.settings.train, copy(run.order)
    order.epoch, order.position = state["epoch"], state["position"]
    if not order.position < len(order.updates):
        raise ValueError(f"a pass has {len(order.updates)} updates, and it stands behind the {order.position}th")
    run.order.share(order)
    course = Course.from_json(train, state["course"], width=run.course.width)
    counts = [course.cuts, course.falls, course.waited, *([] if course.steps is None else [course.steps])]
    if not all(map(_is_count, counts)) or not all(map(_is_number, course.since)):
        raise ValueError("its course is none")
    if not _is_number(course.rate(state["step"], order.epochs)):
        raise ValueError("its learning rate is none")
    if state["plan"] is not None:
        plan = Plan.from_json(state["plan"])
        if not _is_count(plan.steps) or not all(map(_is_count, plan.changed or ())) or not _is_number(plan.budget):
            raise ValueError("its plan is none")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
