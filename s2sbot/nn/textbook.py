"""Sequences go in, what the papers say of encoder and decoder comes out: the maths of the layers by default."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .attention import AdditiveAttention
from .cells import CellMaker
from .encoder_decoder import State
from .padding import last_real, reverse_rows
from .recurrent import Recurrent, RecurrentLayer, deep_cell
from .sizes import Sizes
from .stack import Readout, Stack

__all__ = ["AttentionCore", "ContextCore", "Kept", "broadcast"]

Kept = tuple[State, State]
"""What a stateful layer keeps from batch to batch: the encoder's state and the decoder's."""


def broadcast(state: State, parts: int, tensors: int) -> State:
    """Return the state that a decoder starts from, given the one that an encoder ended in.

    Layer by layer where the depths are equal; the last encoder layer's for every decoder layer where they are not.

    Args:
        parts: tensors in one layer's state.
        tensors: tensors in the decoder's state.
    """
    return state if len(state) == tensors else state[-parts:] * (tensors // parts)


class _Encoder(nn.Module):
    """A stack over the sequence, or two that read it in both directions and are summed."""

    def __init__(self, size: int, hidden: int, depth: int, *, bidirectional: bool, unroll: bool, **stack: Any) -> None:
        super().__init__()
        self.unroll = unroll
        self.forwards = Recurrent(size, hidden, depth=depth, **stack)
        self.backwards = Recurrent(size, hidden, depth=depth, **stack) if bidirectional else None

    def forward(self, x: Tensor, lengths: Tensor | None, state: State) -> tuple[Tensor, Tensor, State, State]:
        """Return every step's output, each row's last, the final state, and that which a next batch starts from.

        The last differs where there are two directions: only the forward one goes on from batch to batch.
        """
        outputs, carried = self._run(self.forwards.stack, x, lengths, state)
        last, final = last_real(outputs, lengths), carried
        if self.backwards is not None:
            back, other = self._run(self.backwards.stack, reverse_rows(x, lengths), lengths, ())
            last = last + last_real(back, lengths)
            outputs = outputs + reverse_rows(back, lengths)
            final = tuple(one + two for one, two in zip(carried, other, strict=True))
        return outputs, last, final, carried

    def _run(self, stack: Stack, x: Tensor, lengths: Tensor | None, state: State) -> tuple[Tensor, State]:
        return stack.unrolled(x, lengths, state) if self.unroll else stack.sequence(x, lengths, state)


class ContextCore(nn.Module):
    """A context vector between encoder and decoder.

    C = the encoder's last output, mapped to output_dim
    y(t) = decoder(s(t-1), y(t-1)),      y(-1) = C
    y(t) = decoder(s(t-1), y(t-1) + C),  y(-1) = 0      with peek
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        cell: str | CellMaker,
        activation: nn.Module,
        unroll: bool,
        bidirectional: bool,
        broadcast_state: bool,
        inner_broadcast_state: bool,
        peek: bool,
    ) -> None:
        super().__init__()
        self.broadcast_state, self.peek = broadcast_state, peek
        stack: dict[str, Any] = {"cell": cell, "dropout": sizes.dropout, "share_state": inner_broadcast_state}
        hidden, output, depth = sizes.hidden_dim, sizes.output_dim, sizes.depth
        self.encoder = _Encoder(sizes.input_dim, hidden, depth[0], bidirectional=bidirectional, unroll=unroll, **stack)
        self.context = nn.Linear(hidden, output)
        cells = deep_cell(output, hidden, depth=depth[1], **stack)
        self.parts, self.tensors = len(cells.cells[0].state_sizes), len(cells.state_sizes)
        head = Stack(cells, nn.Linear(hidden, output), activation)
        self.decoder = RecurrentLayer(
            Readout(head, "add" if peek else "readout_only"),
            output_length=sizes.output_length,
            return_states=True,
            teacher_force=True,
            unroll=unroll,
        )
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor, lengths: Tensor | None, truth: Tensor | None, kept: Kept) -> tuple[Tensor, Kept]:
        """Map [batch, input_length, input_dim] to [batch, output_length, output_dim]."""
        _, last, final, carried = self.encoder(x, lengths, kept[0])
        context = self.context(self.dropout(last))
        first = torch.zeros_like(context) if self.peek else context
        start = broadcast(final, self.parts, self.tensors) if self.broadcast_state else kept[1]
        start = start or self.decoder.cell.zeros(x)[:-1]
        outputs, state = self.decoder(context, state=(*start, first), target=truth)
        return outputs, (carried, () if self.broadcast_state else state[:-1])


class AttentionCore(nn.Module):
    """A weighted sum over the encoded sequence before every step (Bahdanau et al. 2015).

    v(t) = the sum of a(t, j) X(j), with a the softmax of an additive score of the decoder's last output s(t-1) and X(j)
    y(t) = decoder(s(t-1), y(t-1), v(t)),  y(-1) = 0,  s(-1) = 0
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        cell: str | CellMaker,
        activation: nn.Module,
        unroll: bool,
        bidirectional: bool,
    ) -> None:
        super().__init__()
        self.output_length, self.output_dim = sizes.output_length, sizes.output_dim
        hidden, depth = sizes.hidden_dim, sizes.depth
        stack: dict[str, Any] = {"cell": cell, "dropout": sizes.dropout}
        self.encoder = _Encoder(sizes.input_dim, hidden, depth[0], bidirectional=bidirectional, unroll=unroll, **stack)
        self.attention = AdditiveAttention(hidden, hidden)
        self.decoder = deep_cell(sizes.output_dim + hidden, hidden, depth=depth[1], **stack)
        self.output = nn.Sequential(nn.Linear(hidden, sizes.output_dim), activation)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor, lengths: Tensor | None, truth: Tensor | None, kept: Kept) -> tuple[Tensor, Kept]:
        """Map [batch, input_length, input_dim] to [batch, output_length, output_dim]."""
        values, _, _, carried = self.encoder(x, lengths, kept[0])
        values = self.dropout(values)
        mask = None if lengths is None else torch.arange(values.shape[1], device=x.device) < lengths.unsqueeze(1)
        keys = self.attention.keys(values)
        hidden = x.new_zeros(x.shape[0], self.decoder.output_size)
        state = self.decoder.zeros(x)
        if kept[1]:
            state, hidden = kept[1][:-1], kept[1][-1]
        y, outputs = x.new_zeros(x.shape[0], self.output_dim), []
        for time in range(self.output_length):
            if truth is not None and time:
                y = truth[:, time - 1]
            context, _ = self.attention(hidden.unsqueeze(1), values, mask, keys)
            hidden, state = self.decoder(torch.cat([y, context.squeeze(1)], 1), state)
            y = self.output(hidden)
            outputs.append(y)
        return torch.stack(outputs, 1), (carried, (*state, hidden))
