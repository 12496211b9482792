"""Matrices go in, their product comes out, by the faster of torch's two libraries for it.

On CPUs `torch.mm` goes to the BLAS that torch was built with, recurrent layers to oneDNN. What torch compiles for
inference calls oneDNN for products too, by an operator that is here for all: measured in docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["FastLinear", "Product", "linear", "product", "repeated_product", "weight_gradient"]

LEAST_SIDE: Final = 64
LEAST_WORK: Final = 2**24
"""Multiplications from which on oneDNN was the faster one, of 1,500 shapes drawn at random."""

Product = Callable[[Tensor], Tensor]


@cache
def _onednn() -> tuple[Callable[..., Tensor], Callable[..., Tensor]] | None:
    """Return oneDNN's linear layer and what lays out a weight for it; None where this torch offers them not."""
    found = getattr(torch.ops, "mkldnn", None)
    linear, reorder = (getattr(found, name, None) for name in ("_linear_pointwise", "_reorder_linear_weight"))
    if linear is None or reorder is None:
        return None
    try:
        some = torch.ones(2, 2)
        right = torch.equal(linear(some, reorder(some, 2), None, "none", [], ""), some @ some)
    except (RuntimeError, TypeError):
        return None
    return (linear, reorder) if right else None


def _suits(inputs: Tensor, weight: Tensor) -> bool:
    return all(part.device.type == "cpu" and part.dtype == torch.float32 for part in (inputs, weight))


def _large(rows: int, weight: Tensor) -> bool:
    """Return whether a product is so large that a call of oneDNN, 0.02 ms, and its copies do not matter."""
    return min(rows, *weight.shape) >= LEAST_SIDE and rows * weight.numel() >= LEAST_WORK


def _dense(matrix: Tensor) -> Tensor:
    """Return a matrix that lies row by row or column by column; any other one takes oneDNN a thousand times as long."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


def product(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `inputs @ weight.t() + bias`, [rows, out], outside of autograd.

    Args:
        inputs: [rows, in]; copied where they do not lie row by row.
        weight: [out, in].
        bias: [out].
    """
    found = _onednn() if _suits(inputs, weight) and _large(len(inputs), weight) else None
    if found is not None:
        return found[0](inputs, _dense(weight), bias, "none", [], "")
    return inputs @ weight.t() if bias is None else torch.addmm(bias, inputs, weight.t())


def weight_gradient(inputs: Tensor, grads: Tensor) -> Tensor:
    """Return `grads.t() @ inputs`, [out, in], outside of autograd; it lies row by row, or column by column.

    Args:
        inputs: [rows, in].
        grads: [rows, out].
    """
    if grads.shape[1] > inputs.shape[1]:
        return product(inputs.t(), grads.t()).t()
    return product(grads.t(), inputs.t())


def repeated_product(weight: Tensor, rows: int) -> Product:
    """Return a function of [rows, in] to `inputs @ weight.t()`, outside of autograd, for many calls with one weight.

    The weight is laid out for it once: a change of it afterwards is not seen.

    Args:
        weight: [out, in].
        rows: how many rows a call will have; any other number works too.
    """
    found = _onednn() if _suits(weight, weight) and _large(rows, weight) else None
    if found is None:
        return lambda inputs: inputs @ weight.t()
    linear, reorder = found
    laid_out = reorder(_dense(weight.detach()), rows)
    return lambda inputs: linear(inputs, laid_out, None, "none", [], "")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return product(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        inputs, weight = ctx.saved_tensors
        to_inputs, to_weight, to_bias = ctx.needs_input_grad
        return (
            product(grad, weight.t()) if to_inputs else None,
            weight_gradient(inputs, grad) if to_weight else None,
            # a product with ones takes half as long as a sum over rows
            torch.mv(grad.t(), grad.new_ones(len(grad))) if to_bias else None,
        )


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return what torch's own linear layer does, [..., out] of [..., in], and its gradients, the faster way.

    It is torch's own where there is no faster one, where no gradient is asked for, and under autocast. A gradient of
    its gradients is refused.

    Args:
        inputs: [..., in].
        weight: [out, in].
        bias: [out].
    """
    fast = _suits(inputs, weight) and not torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()
    if not fast or _onednn() is None:
        return functional.linear(inputs, weight, bias)
    rows: Tensor = _Linear.apply(inputs.flatten(0, -2), weight, bias)  # type: ignore[no-untyped-call]
    return rows.view(*inputs.shape[:-1], len(weight))


class FastLinear(nn.Linear):
    """torch's linear layer, as `linear` computes it."""

    def forward(self, input: Tensor) -> Tensor:
        """Map [..., in_features] to [..., out_features]."""
        return linear(input, self.weight, self.bias)
