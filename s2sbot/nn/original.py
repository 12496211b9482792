"""Sequences go in, what the original Keras library makes of them comes out, bug for bug.

The equations are told in `docs/original.md`; gate orders, squashed memories and readouts are as odd there as here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import LayerError
from .cells import Cell, OriginalLSTMCell, hard_sigmoid
from .encoder_decoder import State
from .sizes import Sizes

__all__ = ["OriginalAttention", "OriginalSeq2Seq", "OriginalSimple"]


def _glorot(*shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(*shape)))


class _Dense(nn.Module):
    """x W + b, W stored [in, out]."""

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        self.kernel = _glorot(input_size, output_size)
        self.bias = nn.Parameter(torch.zeros(output_size))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ self.kernel + self.bias


class _Core(nn.Module):
    """What both decoder cells do with an input that has been mapped to the gates, [batch, 4 hidden_size].

    i, f, g, o = input + h U + bU; c = s(f) c + s(i) tanh(g); h = s(o) tanh(c); y = tanh(h W2 + b2).
    """

    def __init__(self, hidden_size: int, output_size: int) -> None:
        super().__init__()
        self.recurrent = _Dense(hidden_size, 4 * hidden_size)
        self.output = _Dense(hidden_size, output_size)

    def forward(self, mapped: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        enter, forget, new, leave = (mapped + self.recurrent(h)).chunk(4, 1)
        c = hard_sigmoid(forget) * c + hard_sigmoid(enter) * torch.tanh(new)
        h = hard_sigmoid(leave) * torch.tanh(c)
        return torch.tanh(self.output(h)), (h, c)


class _DecoderCell(Cell):
    """Maps its input to the gates by x W1."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int) -> None:
        super().__init__(input_size, output_size, [hidden_size, hidden_size])
        self.kernel = _glorot(input_size, 4 * hidden_size)
        self.core = _Core(hidden_size, output_size)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        output, state = self.core(inputs @ self.kernel, state)
        return output, state


class _AttentionCell(Cell):
    """Sees the whole sequence X: e = [X ; c] W3 + b3, which is linear, so the weights are the same at every step."""

    def __init__(self, value_size: int, hidden_size: int, output_size: int) -> None:
        super().__init__(value_size, output_size, [hidden_size, hidden_size])
        self.score = _Dense(value_size + hidden_size, 1)
        self.input = _Dense(value_size, 4 * hidden_size)
        self.core = _Core(hidden_size, output_size)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        memory = state[1].unsqueeze(1).expand(-1, inputs.shape[1], -1)
        weights = self.score(torch.cat([inputs, memory], 2)).softmax(1)
        output, state = self.core(self.input((weights * inputs).sum(1)), state)
        return output, state


class _Original(nn.Module):
    """What the three have in common."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout

    def _drop(self, inputs: Tensor) -> Tensor:
        return functional.dropout(inputs, self.dropout, self.training)


def _encoder(input_size: int, hidden_size: int, depth: int) -> nn.ModuleList:
    widths = [input_size, *[hidden_size] * (depth - 1)]
    return nn.ModuleList(OriginalLSTMCell(width, hidden_size) for width in widths)


def _zeros(cells: Iterable[nn.Module], inputs: Tensor) -> list[State]:
    return [cell.zeros(inputs) for cell in cells if isinstance(cell, Cell)]


def _choose(real: Tensor, new: State, old: State) -> State:
    return tuple(torch.where(real, one, other) for one, other in zip(new, old, strict=True))


class OriginalSimple(_Original):
    """SimpleSeq2Seq: the encoder's last output is the input at every step of a decoder that starts from zero.

    A decoder of depth 1 has two cells, both of the output's size.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes.dropout)
        self.output_length = sizes.output_length
        hidden, output, depth = sizes.hidden_dim, sizes.output_dim, sizes.depth
        self.encoder = _encoder(sizes.input_dim, hidden, depth[0])
        widths = [*[hidden] * (depth[1] - 1), output]
        widths = widths if len(widths) > 1 else 2 * widths
        self.decoder = nn.ModuleList(OriginalLSTMCell(before, width) for before, width in pairwise([hidden, *widths]))

    def forward(self, x: Tensor, truth: Tensor | None, mask: Tensor | None) -> Tensor:
        """Map [batch, input_length, input_dim] to [batch, output_length, output_dim]."""
        context = _read(self.encoder, x, mask, self._drop)[:, -1]
        states, outputs = _zeros(self.decoder, x), []
        for _ in range(self.output_length):
            output = self._drop(context)
            for index, cell in enumerate(self.decoder):
                output, states[index] = cell(self._drop(output) if index else output, states[index])
            outputs.append(output)
        return torch.stack(outputs, 1)


def _read(cells: nn.ModuleList, x: Tensor, mask: Tensor | None, drop: Callable[[Tensor], Tensor]) -> Tensor:
    """Run encoder cells that have states of their own; where a step is masked, the FIRST cell's h comes out."""
    states, outputs = _zeros(cells, x), []
    for time in range(x.shape[1]):
        before, output = list(states), x[:, time]
        for index, cell in enumerate(cells):
            output, states[index] = cell(drop(output) if index else output, states[index])
        if mask is not None:
            real = mask[:, time : time + 1]
            states = [_choose(real, new, old) for new, old in zip(states, before, strict=True)]
            output = torch.where(real, output, before[0][0])
        outputs.append(output)
    return torch.stack(outputs, 1)


class OriginalSeq2Seq(_Original):
    """Seq2Seq: an encoder that reads its own last output too, and a decoder that feeds back its own.

    The output before the first step is the context C, with `peek` too, whose first step so sees 2C. Teacher forcing
    feeds in the very truth of the step that is being foreseen.
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        broadcast_state: bool,
        inner_broadcast_state: bool,
        peek: bool,
    ) -> None:
        super().__init__(sizes.dropout)
        if broadcast_state and not inner_broadcast_state and sizes.depth[1] > 1:
            raise LayerError(
                "the original cannot be made with broadcast_state=True, inner_broadcast_state=False and a decoder of"
                f" depth {sizes.depth[1]}",
                "give a decoder of depth 1, or original=False, where this is defined",
            )
        self.output_length = sizes.output_length
        hidden, output, depth = sizes.hidden_dim, sizes.output_dim, sizes.depth
        self.broadcast_state, self.share_state, self.peek = broadcast_state, inner_broadcast_state, peek
        self.dense1 = _Dense(sizes.input_dim, hidden)
        self.encoder = _encoder(hidden, hidden, depth[0])
        self.dense2 = _Dense(hidden, output)
        self.decoder = nn.ModuleList(_DecoderCell(output, hidden, output) for _ in range(depth[1]))

    def forward(self, x: Tensor, truth: Tensor | None, mask: Tensor | None) -> Tensor:
        """Map [batch, input_length, input_dim] to [batch, output_length, output_dim]."""
        last, states = self._encode(self.dense1(x), mask)
        context = self.dense2(last)
        readout, outputs = context, []
        # a decoder of one cell takes the last encoder cell's pair; one whose cells share a pair has only that
        states = [states[-1]] if self.broadcast_state else _zeros(self.decoder, x)
        for time in range(self.output_length):
            if truth is not None and time:
                readout = truth[:, time]
            readout = self._step(self.decoder, context + readout if self.peek else readout, states, before=True)
            outputs.append(readout)
        return torch.stack(outputs, 1)

    def _encode(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, list[State]]:
        states = _zeros(list(self.encoder)[:1] if self.share_state else self.encoder, x)
        output = readout = torch.zeros_like(x[:, 0])
        for time in range(x.shape[1]):
            before = list(states)
            output = self._step(self.encoder, x[:, time] + readout, states, before=False)
            if mask is not None:
                real = mask[:, time : time + 1]
                states = [_choose(real, new, old) for new, old in zip(states, before, strict=True)]
                readout = torch.where(real, output, readout)
                output = torch.where(real, output, before[0][0])
            else:
                readout = output
        return output, states

    def _step(self, cells: nn.ModuleList, output: Tensor, states: list[State], *, before: bool) -> Tensor:
        """Take one step up the cells, and put their next states into `states`; dropout before or after each."""
        for index, cell in enumerate(cells):
            own = 0 if self.share_state else index
            output, states[own] = cell(self._drop(output) if before else output, states[own])
            output = output if before else self._drop(output)
        return output


class OriginalAttention(_Original):
    """AttentionSeq2Seq: directions summed, weights that no decoder's state moves, and no output fed back."""

    def __init__(
        self,
        sizes: Sizes,
        *,
        bidirectional: bool,
    ) -> None:
        super().__init__(sizes.dropout)
        self.output_length = sizes.output_length
        hidden, output, depth = sizes.hidden_dim, sizes.output_dim, sizes.depth
        self.forwards = _encoder(sizes.input_dim, hidden, depth[0])
        self.backwards = _encoder(sizes.input_dim, hidden, depth[0]) if bidirectional else None
        cells: list[nn.Module] = [_AttentionCell(hidden, hidden, output)]
        widths = [output, *[hidden] * (depth[1] - 2), output] if depth[1] > 1 else []
        cells += [_DecoderCell(before, hidden, width) for before, width in pairwise(widths)]
        self.decoder = nn.ModuleList(cells)

    def forward(self, x: Tensor, truth: Tensor | None, mask: Tensor | None) -> Tensor:
        """Map [batch, input_length, input_dim] to [batch, output_length, output_dim].

        Raises:
            LayerError: where there is a mask, on which the original fails.
        """
        if mask is not None:
            raise LayerError("the original's attention fails on a mask", "make the layer with original=False")
        values = _read(self.forwards, x, None, self._drop)
        if self.backwards is not None:
            values = values + _read(self.backwards, x.flip(1), None, self._drop).flip(1)
        states, outputs = _zeros(self.decoder, x), []
        for _ in range(self.output_length):
            output = self._drop(values)
            for index, cell in enumerate(self.decoder):
                output, states[index] = cell(self._drop(output) if index else output, states[index])
            outputs.append(output)
        return torch.stack(outputs, 1)
