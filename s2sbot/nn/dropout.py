"""Activations go in; some of them zero and the others larger come out, drawn for every step or once for a whole row."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Dropout", "RowDropout", "forget_masks", "make_dropout"]


class Dropout(nn.Dropout):
    """Dropout that draws a byte for each activation on a CPU, where random floats take most of the time.

    The share is rounded to a 256th there, and what is kept is scaled by the rounded one, so means stay as they are.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drop from activations of any shape; nothing outside of training."""
        if not self.training or not self.p:
            return input
        if input.device.type != "cpu":
            return functional.dropout(input, self.p)
        below = min(255, max(1, round(256 * self.p)))
        # from the lowest number on, as otherwise the first bit of each number is always 0
        numbers = torch.empty((input.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = numbers.view(torch.uint8)[: input.numel()].view(input.shape) >= below
        return input * kept.to(input.dtype).mul_(256 / (256 - below))


class RowDropout(nn.Module):
    """Dropout with one mask for all time steps of a row (Gal & Ghahramani 2016, section 4).

    The mask is kept until `forget_masks`, so that steps taken one call at a time have it too; one such layer stands in
    one place of a model alone. It is drawn when it is first needed, and anew for rows of another number or size.

    share  how much of the activations is dropped
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.mask: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Drop from [batch, size] or [batch, time, size]; nothing outside of training."""
        if not self.training or not self.share:
            return inputs
        shape = (inputs.shape[0], inputs.shape[-1])
        if self.mask is None or (self.mask.shape, self.mask.dtype, self.mask.device) != (
            shape,
            inputs.dtype,
            inputs.device,
        ):
            self.mask = functional.dropout(torch.ones(shape, dtype=inputs.dtype, device=inputs.device), self.share)
        return inputs * (self.mask if inputs.dim() == 2 else self.mask.unsqueeze(1))

    def extra_repr(self) -> str:
        """Return what is shown of it."""
        return f"share={self.share}"


def make_dropout(share: float, *, variational: bool) -> nn.Module:
    """Return a layer that drops anew at every step, or `variational`, the same at all steps of a row."""
    return RowDropout(share) if variational else Dropout(share)


def forget_masks(model: nn.Module) -> None:
    """Let every `RowDropout` draw anew: what comes next are other rows."""
    for layer in model.modules():
        if isinstance(layer, RowDropout):
            layer.mask = None
