"""The weight of a layer that is called step by step goes in; the layer, whose gradient is made once, comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from .products import Product, repeated_product, weight_gradient

__all__ = ["deferred", "deferred_batch"]

Linear = Callable[[Tensor], Tensor]


class _Calls:
    """The calls of one layer on the way forward, and what is known of them on the way back."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.made: list[tuple[Tensor, Tensor]] = []
        self._forward: Product | None = None
        self._backward: Product | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        if self._forward is None:
            self._forward = repeated_product(self.weight, len(inputs))
        return self._forward(inputs)

    def backward(self, grad: Tensor) -> Tensor:
        if self._backward is None:
            self._backward = repeated_product(self.weight.t(), len(grad))
        return self._backward(grad)

    def gradient(self) -> Tensor:
        inputs, outputs = (torch.cat(parts) for parts in zip(*self.made, strict=True))
        self.made.clear()
        return weight_gradient(inputs, outputs)


class _BatchCalls(_Calls):
    """Likewise of a layer that has a matrix for each row, [rows, in, out]."""

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.bmm(inputs.unsqueeze(1), self.weight).squeeze(1)

    def backward(self, grad: Tensor) -> Tensor:
        return torch.bmm(grad.unsqueeze(1), self.weight.transpose(1, 2)).squeeze(1)

    def gradient(self) -> Tensor:
        inputs, outputs = (torch.stack(parts, 1) for parts in zip(*self.made, strict=True))
        self.made.clear()
        return torch.bmm(inputs.transpose(1, 2), outputs)


class _Hold(torch.autograd.Function):
    """The weight of a layer that is called many times; on the way back it comes after all of these calls."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, calls: _Calls) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.calls = calls
        return weight.view_as(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None]:
        return ctx.calls.gradient() if ctx.calls.made else grads[0], None


class _Call(torch.autograd.Function):
    """One of these calls: [rows, in] to [rows, out]."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, held: Tensor, calls: _Calls) -> Tensor:
        # the weight too: autograd then refuses to go back where it was changed in between
        ctx.save_for_backward(inputs, held)
        ctx.calls = calls
        return calls.forward(inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        ctx.calls.made.append((ctx.saved_tensors[0], grads[0]))
        return (ctx.calls.backward(grads[0]) if ctx.needs_input_grad[0] else None), None, None


def _plain(weight: Tensor) -> bool:
    return not (torch.is_grad_enabled() and weight.requires_grad) or torch.is_autocast_enabled(weight.device.type)


def _held(weight: Tensor, calls: _Calls) -> Linear:
    held = cast(Tensor, _Hold.apply(weight, calls))  # type: ignore[no-untyped-call]
    return lambda inputs: cast(Tensor, _Call.apply(inputs, held, calls))  # type: ignore[no-untyped-call]


def deferred(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """Return a linear layer, [rows, in] to [rows, out], for the steps of one pass.

    The gradient of its weight is one product over the rows of all steps, not one product and one sum a step: those are
    small, and each goes through the whole weight. Nor is the weight laid out for its products at each step. Where no
    gradient is asked for it is the plain layer.

    Args:
        weight: [out, in].
        bias: [out].
    """
    if _plain(weight):
        return lambda inputs: functional.linear(inputs, weight, bias)
    call = _held(weight, _Calls(weight.detach()))
    return call if bias is None else lambda inputs: call(inputs) + bias


def deferred_batch(weight: Tensor) -> Linear:
    """Return a layer, [rows, in] to [rows, out], that multiplies each row with a matrix of its own; see `deferred`.

    Args:
        weight: [rows, in, out].
    """
    if _plain(weight):
        return lambda inputs: torch.bmm(inputs.unsqueeze(1), weight).squeeze(1)
    return _held(weight, _BatchCalls(weight.detach()))
