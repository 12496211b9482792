"""The settings of a run go in; its model with first weights, and a line on what learns from what, come out."""

from __future__ import annotations

import torch

from ..nn.encoder_decoder import EncoderDecoder, put_vectors
from ..plugins import Plugins
from ..preparation import Prepared
from ..run_settings import RunSettings
from .order import Order
from .plan import Trial

__all__ = ["build_model", "told_start"]


def build_model(settings: RunSettings, prepared: Prepared, plugins: Plugins, device: torch.device) -> EncoderDecoder:
    """Return the model of a run with its first weights."""
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
        f" {facts['valid']:,} held out, {len(order.updates):,} updates an epoch, on {place};"
        f" {trial.memory(settings.train.optimizer)}, about {trial.tokens_per_second:,.0f} tokens/s"
        + ("; no dialogues in it, so no mind to keep" if mind and not order.dialogues else "")
    )
