"""The weight of a layer that is called step by step goes in; the layer, whose gradient is made once, comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["deferred"]

Linear = Callable[[Tensor], Tensor]
_Steps = list[tuple[Tensor, Tensor]]


class _Hold(torch.autograd.Function):
    """The weight of a layer that is called many times; on the way back it comes after all of these calls."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, steps: _Steps) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.steps = steps
        return weight.view_as(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None]:
        if not ctx.steps:
            return grads[0], None
        inputs, outputs = zip(*ctx.steps, strict=True)
        ctx.steps.clear()
        return torch.cat(outputs).t() @ torch.cat(inputs), None


class _Call(torch.autograd.Function):
    """One of these calls: [rows, in] to [rows, out]."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, steps: _Steps) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.steps = steps
        return inputs @ weight.t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        inputs, weight = ctx.saved_tensors
        ctx.steps.append((inputs, grads[0]))
        return (grads[0] @ weight if ctx.needs_input_grad[0] else None), None, None


def deferred(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """Return a linear layer, [rows, in] to [rows, out], for the steps of one pass.

    The gradient of its weight is one product over the rows of all steps, not one product and one sum a step: those are
    small, and each goes through the whole weight. Where no gradient is asked for it is the plain layer.

    Args:
        weight: [out, in].
        bias: [out].
    """
    if not (torch.is_grad_enabled() and weight.requires_grad) or torch.is_autocast_enabled(weight.device.type):
        return lambda inputs: functional.linear(inputs, weight, bias)
    steps: _Steps = []
    held = cast(Tensor, _Hold.apply(weight, steps))  # type: ignore[no-untyped-call]

    def call(inputs: Tensor) -> Tensor:
        outputs = cast(Tensor, _Call.apply(inputs, held, steps))  # type: ignore[no-untyped-call]
        return outputs if bias is None else outputs + bias

    return call
