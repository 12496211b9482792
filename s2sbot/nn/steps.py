"""Inputs known in part beforehand go into a stack step by step; its outputs and states come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .cells import Cell, GRUCell, LSTMCell
from .deferred import deferred
from .encoder_decoder import State
from .products import linear
from .stack import Stack

__all__ = ["Stepper"]


class _LSTMGates(torch.autograd.Function):
    """What an LSTM makes of its gates, [batch, 4 * size], and its memory; kept for the way back is what that needs."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        size = memory.shape[1]
        opened = torch.empty_like(gates)
        torch.sigmoid(gates[:, : 2 * size], out=opened[:, : 2 * size])
        torch.tanh(gates[:, 2 * size : 3 * size], out=opened[:, 2 * size : 3 * size])
        torch.sigmoid(gates[:, 3 * size :], out=opened[:, 3 * size :])
        i, f, g, o = opened.chunk(4, 1)
        after = torch.addcmul(f * memory, i, g)
        squashed = torch.tanh(after)
        ctx.save_for_backward(opened, memory, squashed)
        return o * squashed, after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        opened, memory, squashed = ctx.saved_tensors
        grad_h, grad_c = grads
        i, f, g, o = opened.chunk(4, 1)
        sigmoid, tanh = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
        grad = grad_c + tanh(grad_h * o, squashed)
        back = torch.cat(
            [sigmoid(grad * g, i), sigmoid(grad * memory, f), tanh(grad * i, g), sigmoid(grad_h * squashed, o)], 1
        )
        return back, grad * f


class Stepper:
    """The steps of a stack whose input is [known, fed]: `known` is there for all steps, `fed` only when it is its time.

    The products with what is known are made at once. It computes what the stack's own steps do, for a stack of LSTM or
    GRU cells that have a state each; any other one is called step by step as it is.

    Args:
        known: [batch, time, size].
    """

    def __init__(self, stack: Stack, known: Tensor) -> None:
        self.stack, self.known = stack, known
        self.fast = not stack.share_state and all(
            isinstance(cell, LSTMCell | GRUCell) and cell.recurrent_dropout is None for cell in stack.cells
        )
        if not self.fast:
            return
        self._steps: list[Callable[[Tensor, State, Tensor | None], tuple[Tensor, State]] | nn.Module] = []
        first = True
        for layer in stack.layers:
            if isinstance(layer, Cell):
                self._steps.append(self._cell(cast(LSTMCell | GRUCell, layer), first=first))
                first = False
            else:
                self._steps.append(layer)

    def _cell(
        self, cell: LSTMCell | GRUCell, *, first: bool
    ) -> Callable[[Tensor, State, Tensor | None], tuple[Tensor, State]]:
        """Return a step of a cell: of its input, its state, and the product with what was known of its input."""
        input_weights, state_weights, input_bias, state_bias = cell.weights()
        if first:
            size = self.known.shape[2]
            # an LSTM adds its two biases to the same sum
            bias = input_bias + state_bias if isinstance(cell, LSTMCell) else input_bias
            self._products = linear(self.known, input_weights[:, :size], bias).unbind(1)
            input_weights = input_weights[:, size:]
        if isinstance(cell, LSTMCell):
            gates_of = deferred(torch.cat([input_weights, state_weights], 1))
            gate_bias = input_bias + state_bias

            def lstm(inputs: Tensor, state: State, product: Tensor | None) -> tuple[Tensor, State]:
                gates = gates_of(torch.cat([inputs, state[0]], 1))
                gates = gates + (gate_bias if product is None else product)
                h, c = _LSTMGates.apply(gates, state[1])  # type: ignore[no-untyped-call]
                return h, (h, c)

            return lstm
        of_input, of_state = deferred(input_weights, None if first else input_bias), deferred(state_weights, state_bias)

        def gru(inputs: Tensor, state: State, product: Tensor | None) -> tuple[Tensor, State]:
            made = of_input(inputs)
            reset, update, new = (made if product is None else made + product).chunk(3, 1)
            reset_state, update_state, new_state = of_state(state[0]).chunk(3, 1)
            share = torch.sigmoid(update + update_state)
            candidate = torch.tanh(torch.addcmul(new, torch.sigmoid(reset + reset_state), new_state))
            h = torch.lerp(candidate, state[0], share)
            return h, (h,)

        return gru

    def __call__(self, time: int, fed: Tensor, state: State) -> tuple[Tensor, State]:
        """Take step `time`: return the output, [batch, size], and the state after it.

        Args:
            fed: [batch, fed_size].
        """
        if not self.fast:
            return cast(tuple[Tensor, State], self.stack(torch.cat([self.known[:, time], fed], 1), state))
        after: State = ()
        product: Tensor | None = self._products[time]
        inputs = fed
        for layer in self._steps:
            if isinstance(layer, nn.Module):
                inputs = layer(inputs)
                continue
            parts = len(state) // len(self.stack.cells)
            inputs, own = layer(inputs, state[len(after) : len(after) + parts], product)
            after, product = after + own, None
        return inputs, after
