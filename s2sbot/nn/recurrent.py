"""Sequences go in, the hidden state of every step and the state at each row's true end come out."""

from __future__ import annotations

from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .encoder_decoder import State

__all__ = ["CELLS", "BidirectionalRecurrent", "Recurrent", "last_real", "reverse_rows"]

CELLS: Final = ("lstm", "gru")
_KEEP: Final = 1e4
"""Added to a gate's input, it opens the gate fully in any floating-point type; its negative shuts it."""


def last_real(sequence: Tensor, lengths: Tensor) -> Tensor:
    """Return the last real step of each row: [batch, time, size], [batch] -> [batch, size]."""
    index = (lengths - 1).clamp_min(0).view(-1, 1, 1).expand(-1, 1, sequence.shape[2])
    return sequence.gather(1, index).squeeze(1)


def reverse_rows(sequence: Tensor, lengths: Tensor) -> Tensor:
    """Turn the real part of each row around, [batch, time, size]; the padding stays where it is."""
    steps = torch.arange(sequence.shape[1], device=sequence.device)
    back = lengths.unsqueeze(1) - 1 - steps
    index = torch.where(back >= 0, back, steps)
    return sequence.gather(1, index.unsqueeze(2).expand(-1, -1, sequence.shape[2]))


class _Layer(nn.Module):
    """One layer of LSTM (Hochreiter & Schmidhuber 1997, with forget gate) or GRU (Cho et al. 2014), in one fused call.

    Padding never changes a result. On a CPU that takes no packed sequence: an extra input that is 1 on padding shuts
    the input gate and opens the forget gate (GRU: the update gate), so the state is handed through to the row's end.
    It costs a column; packing costs a third of the speed, as the fused kernel does not take packed input there.
    """

    hold: Tensor

    def __init__(self, input_size: int, hidden_size: int, cell: str) -> None:
        super().__init__()
        self.cell = cell
        fused = nn.LSTM if cell == "lstm" else nn.GRU
        self.fused = fused(input_size, hidden_size, batch_first=True)
        gates = (-_KEEP, _KEEP, 0.0, 0.0) if cell == "lstm" else (0.0, _KEEP, 0.0)
        hold = torch.tensor(gates).repeat_interleave(hidden_size).unsqueeze(1)
        self.register_buffer("hold", hold, persistent=False)

    def forward(self, inputs: Tensor, lengths: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Run over [batch, time, input_size]; `state` holds [batch, hidden_size] tensors."""
        if inputs.shape[1] == 1 and not torch.is_grad_enabled():
            return self._step(inputs, state)
        start = tuple(part.unsqueeze(0).contiguous() for part in state)
        hx = start if self.cell == "lstm" else start[0]
        if lengths is None:
            outputs, final = self.fused(inputs, hx)
        elif inputs.is_cuda:
            packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
            packed_outputs, final = self.fused(packed, hx)
            outputs, _ = pad_packed_sequence(packed_outputs, batch_first=True, total_length=inputs.shape[1])
        else:
            outputs, final = self._held(inputs, lengths, start)
        parts = final if isinstance(final, tuple) else (final,)
        return outputs, tuple(part.squeeze(0) for part in parts)

    def _step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """One step, without what the fused call costs to set up: a fifth of its time at batch 1."""
        weights = self._weights()
        after: State
        if self.cell == "lstm":
            after = torch.lstm_cell(inputs.squeeze(1), (state[0], state[1]), *weights)
        else:
            after = (torch.gru_cell(inputs.squeeze(1), state[0], *weights),)
        return after[0].unsqueeze(1), after

    def _weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        first, second, third, fourth = (cast(Tensor, getattr(self.fused, name)) for name in names)
        return first, second, third, fourth

    def _held(self, inputs: Tensor, lengths: Tensor, start: State) -> tuple[Tensor, State]:
        steps = torch.arange(inputs.shape[1], device=inputs.device)
        padding = (steps >= lengths.unsqueeze(1)).unsqueeze(2).to(inputs.dtype)
        input_weights, *others = self._weights()
        weights = [torch.cat([input_weights, self.hold.to(inputs.dtype)], 1), *others]
        widened = torch.cat([inputs, padding], 2)
        if self.cell == "gru":
            outputs, final = torch.gru(widened, start[0], weights, True, 1, 0.0, self.training, False, True)
            return outputs, (final,)
        outputs, _, memory = torch.lstm(widened, start, weights, True, 1, 0.0, self.training, False, True)
        return outputs, (last_real(outputs, lengths).unsqueeze(0), memory)


class Recurrent(nn.Module):
    """A stack of LSTM or GRU layers that runs forwards; dropout between layers is a layer of its own.

    A state is (h, c) for LSTM and (h,) for GRU, each [batch, depth, hidden_size].
    """

    def __init__(self, input_size: int, hidden_size: int, *, cell: str = "lstm", depth: int = 1, dropout: float = 0.0):
        super().__init__()
        self.cell, self.hidden_size, self.depth = cell, hidden_size, depth
        self.layers = nn.ModuleList(
            _Layer(input_size if index == 0 else hidden_size, hidden_size, cell) for index in range(depth)
        )
        self.dropout = nn.Dropout(dropout)

    @property
    def state_parts(self) -> int:
        """Return the number of tensors in a state."""
        return 2 if self.cell == "lstm" else 1

    def zeros(self, inputs: Tensor) -> State:
        """Return the state that nothing has gone into yet."""
        shape = (inputs.shape[0], self.depth, self.hidden_size)
        return tuple(inputs.new_zeros(shape) for _ in range(self.state_parts))

    def forward(self, inputs: Tensor, lengths: Tensor | None = None, state: State = ()) -> tuple[Tensor, State]:
        """Run over [batch, time, input_size] and return [batch, time, hidden_size] and the state at each row's end.

        Args:
            lengths: [batch], real steps of each row, all above zero; None where every row is full.
        """
        state = state or self.zeros(inputs)
        finals: list[State] = []
        for index, layer in enumerate(self.layers):
            inputs, final = layer(
                inputs if index == 0 else self.dropout(inputs),
                lengths,
                tuple(part[:, index] for part in state),
            )
            finals.append(final)
        return inputs, tuple(torch.stack(parts, 1) for parts in zip(*finals, strict=True))


class BidirectionalRecurrent(nn.Module):
    """A stack of layers that each read both ways and hand on both halves joined (Schuster & Paliwal 1997).

    `size` is that of the joined halves.
    """

    def __init__(self, input_size: int, size: int, *, cell: str = "lstm", depth: int = 1, dropout: float = 0.0):
        super().__init__()
        pairs = [
            nn.ModuleList(Recurrent(input_size if index == 0 else size, size // 2, cell=cell) for _ in range(2))
            for index in range(depth)
        ]
        self.pairs = nn.ModuleList(pairs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Run over [batch, time, input_size]; return [batch, time, size] and the last layer's final states.

        Each tensor of these is [batch, size], the forward half at the row's end and the backward half at its start.
        """
        finals: State = ()
        for index, pair in enumerate(self.pairs):
            inputs = inputs if index == 0 else self.dropout(inputs)
            forwards, backwards = cast(nn.ModuleList, pair)
            ahead, ahead_final = forwards(inputs, lengths)
            back, back_final = backwards(reverse_rows(inputs, lengths), lengths)
            inputs = torch.cat([ahead, reverse_rows(back, lengths)], 2)
            finals = tuple(
                torch.cat([one[:, 0], other[:, 0]], 1) for one, other in zip(ahead_final, back_final, strict=True)
            )
        return inputs, finals
