"""The settings of a run go in; its model with first weights, and a line on what learns from what, come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import TrainingError
from ..nn.encoder_decoder import EncoderDecoder, put_vectors
from ..plugins import Plugins
from ..preparation import Prepared
from ..run_settings import RunSettings
from .order import Order
from .plan import COPIES, Trial, free_memory

__all__ = ["build_model", "bytes_to_learn", "count_parameters", "told_start", "without_memory"]


class _Undrawn(TorchFunctionMode):
    """Leaves out `normal_`, for which torch loads its compiler, seconds of it, where a tensor has no memory."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is nn.init.normal_ or func is Tensor.normal_:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def without_memory() -> Iterator[None]:
    """Let models be made whose tensors have shapes and nothing else."""
    with torch.device("meta"), _Undrawn():
        yield


def count_parameters(settings: RunSettings, prepared: Prepared, plugins: Plugins) -> int | None:
    """Return how many numbers the model has, without making it; None where they are too many to be counted."""
    source, target = prepared.tokenizers
    try:
        with without_memory():
            model = plugins.model(settings.model)(settings.config, len(source), len(target))
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        return None
    return sum(parameter.numel() for parameter in model.parameters())


def bytes_to_learn(parameters: int, settings: RunSettings) -> int:
    """Return the memory that weights, their gradients and what the optimiser keeps take."""
    train = settings.train
    copies = COPIES[train.optimizer] + bool(train.ema)
    return parameters * (8 if train.precision == "float64" else 4) * copies


def _refuse_too_large(settings: RunSettings, prepared: Prepared, plugins: Plugins, device: torch.device) -> None:
    """Raise where the memory has no room for the model, before it is asked for.

    Raises:
        TrainingError: it says how much is needed, and how much there is.
    """
    try:
        parameters = count_parameters(settings, prepared, plugins)
    except NotImplementedError:  # a model that computes its first weights cannot be counted without making it
        return
    smaller = "take a smaller --size, or smaller knobs of the table model"
    if parameters is None:
        raise TrainingError("no memory can hold the weights of the model", smaller)
    needed, free = bytes_to_learn(parameters, settings), free_memory(device)
    if needed > free:
        raise TrainingError(
            f"the weights and their optimiser need {needed / 2**30:,.1f} GiB, and there are {free / 2**30:,.1f} free:"
            f" the model has {parameters:,} parameters",
            smaller,
        )


def build_model(settings: RunSettings, prepared: Prepared, plugins: Plugins, device: torch.device) -> EncoderDecoder:
    """Return the model of a run with its first weights.

    Raises:
        TrainingError: where the memory has no room for it.
    """
    _refuse_too_large(settings, prepared, plugins, device)
    torch.manual_seed(settings.train.seed)
    kind = plugins.model(settings.model)
    model = kind(settings.config, len(prepared.tokenizers[0]), len(prepared.tokenizers[1]))
    if settings.train.precision == "float64":
        model = model.double()
    model = model.to(device)
    if prepared.vectors:
        put_vectors(model, prepared.vectors)
    return model


def told_start(settings: RunSettings, prepared: Prepared, trial: Trial, order: Order, *, mind: bool, place: str) -> str:
    """Say what learns from what, where, and what that takes.

    Args:
        mind: whether the model has one.
        place: the device, or how many of them.
    """
    facts = prepared.facts["exchanges"]
    return (
        f"{settings.model}: {trial.parameters / 1e6:.1f}M parameters, {facts['train']:,} exchanges,"
        f" {facts['valid']:,} held out, {len(order.updates):,} updates an epoch, in batches of at most"
        f" {order.batch_tokens:,} tokens, on {place};"
        f" {trial.memory(settings.train.optimizer)}, about {trial.tokens_per_second:,.0f} tokens/s"
        + ("; no dialogues in it, so no mind to keep" if mind and not order.dialogues else "")
    )
