"""Sequences go in, what a stack of cells makes of every step and the state at each row's true end come out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from ..errors import LayerError
from ..settings import nearest
from .cells import Cell, CellMaker, is_whole, make_cell
from .dropout import RowDropout, make_dropout
from .encoder_decoder import State
from .padding import check_mask, last_real, move_back, move_together, reverse_rows
from .stack import Feedback, Stack, check_state

__all__ = ["INITIAL_STATES", "BidirectionalRecurrent", "Recurrent", "RecurrentLayer", "deep_cell", "detached"]


def deep_cell(
    input_size: int,
    hidden_size: int,
    *,
    cell: str | CellMaker = "lstm",
    depth: int = 1,
    dropout: float = 0.0,
    variational: bool = False,
    recurrent_dropout: float = 0.0,
    share_state: bool = False,
) -> Stack:
    """Return `depth` cells of one kind, one above the other, with dropout between them.

    Dropout is a layer of its own, never that of the fused kernels, which keep random numbers that no checkpoint sees.

    Args:
        variational: what is dropped is the same at all steps of a row.
        recurrent_dropout: share of what a step takes over from the one before that is dropped, the same at all steps
            of a row (Gal & Ghahramani 2016); training then goes step by step.

    Raises:
        LayerError: where depth or a size is no whole number from 1, or no cell has that name.
    """
    _check_depth(depth)
    layers: list[nn.Module] = []
    for index in range(depth):
        if index:
            # there without dropout too, so that weights have the same names whatever it is
            layers.append(make_dropout(dropout, variational=variational))
        made = make_cell(cell, input_size if index == 0 else hidden_size, hidden_size)
        if recurrent_dropout:
            made.recurrent_dropout = RowDropout(recurrent_dropout)
        layers.append(made)
    return Stack(*layers, share_state=share_state)


def _check_depth(depth: int) -> None:
    if not is_whole(depth):
        raise LayerError(f"a depth of {depth!r} makes no stack", "depth is a whole number from 1")


class Recurrent(nn.Module):
    """A deep stack of one kind of cell that runs forwards; what models over tokens are built from.

    A state is a flat tuple of [batch, hidden_size] tensors, the lowest layer's first: (h, c) of each layer for LSTM,
    (h,) for GRU; with `share_state` that of one layer.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        cell: str | CellMaker = "lstm",
        depth: int = 1,
        dropout: float = 0.0,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        share_state: bool = False,
    ) -> None:
        super().__init__()
        self.stack = deep_cell(
            input_size,
            hidden_size,
            cell=cell,
            depth=depth,
            dropout=dropout,
            variational=variational,
            recurrent_dropout=recurrent_dropout,
            share_state=share_state,
        )

    @property
    def layer_states(self) -> int:
        """Return the number of tensors in one layer's state."""
        return len(self.stack.cells[0].state_sizes)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Return the size of each tensor of a state."""
        return self.stack.state_sizes

    def zeros(self, inputs: Tensor) -> State:
        """Return the state that nothing has gone into yet."""
        return self.stack.zeros(inputs)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None, state: State = ()) -> tuple[Tensor, State]:
        """Run over [batch, time, input_size]; see `Cell.sequence`."""
        return self.stack.sequence(inputs, lengths, state)


class BidirectionalRecurrent(nn.Module):
    """A stack of layers that each read both ways and hand on both halves joined (Schuster & Paliwal 1997).

    `size` is that of the joined halves. With `share_state` the layers of one direction share one state, so each
    direction is a stack of its own, and the halves are joined above it.
    """

    def __init__(
        self,
        input_size: int,
        size: int,
        *,
        cell: str | CellMaker = "lstm",
        depth: int = 1,
        dropout: float = 0.0,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        share_state: bool = False,
    ) -> None:
        super().__init__()
        _check_depth(depth)
        if size % 2:
            raise LayerError(f"{size} cannot be two halves", "give a size that is even")
        levels, inner = (1, depth) if share_state else (depth, 1)
        self.pairs = nn.ModuleList(
            nn.ModuleList(
                Recurrent(
                    input_size if index == 0 else size,
                    size // 2,
                    cell=cell,
                    depth=inner,
                    dropout=dropout,
                    variational=variational,
                    recurrent_dropout=recurrent_dropout,
                    share_state=share_state,
                )
                for _ in range(2)
            )
            for index in range(levels)
        )
        first = cast(Recurrent, cast(nn.ModuleList, self.pairs[0])[0])
        self.tensors = levels * len(first.state_sizes)
        self.dropouts = nn.ModuleList(make_dropout(dropout, variational=variational) for _ in range(levels - 1))

    def forward(self, inputs: Tensor, lengths: Tensor | None = None, state: State = ()) -> tuple[Tensor, State]:
        """Run over [batch, time, input_size]; return [batch, time, size] and every layer's final states.

        These are as of a `Recurrent` of hidden size `size`: [batch, size], the forward half at the row's end and the
        backward half at its start. A `state` that is given is what the forward halves start from; the backward ones
        start from zeros.
        """
        if state and len(state) != self.tensors:
            raise LayerError(f"{len(state)} tensors of state are given, there are {self.tensors}")
        finals: State = ()
        for index, pair in enumerate(self.pairs):
            inputs = self.dropouts[index - 1](inputs) if index else inputs
            forwards, backwards = cast(nn.ModuleList, pair)
            parts = len(cast(Recurrent, forwards).state_sizes)
            begin = tuple(part.chunk(2, 1)[0] for part in state[len(finals) : len(finals) + parts])
            ahead, ahead_final = forwards(inputs, lengths, begin)
            back, back_final = backwards(reverse_rows(inputs, lengths), lengths)
            inputs = torch.cat([ahead, reverse_rows(back, lengths)], 2)
            finals += tuple(torch.cat(halves, 1) for halves in zip(ahead_final, back_final, strict=True))
        return inputs, finals


def detached(state: State) -> State:
    """Return a state that no gradient goes back through, and that training may go on from, whatever it came from."""
    with torch.inference_mode(False):
        return tuple(part.detach().clone() for part in state)


def _normal(tensor: Tensor) -> Tensor:
    return nn.init.normal_(tensor, std=0.05)


def _uniform(tensor: Tensor) -> Tensor:
    return nn.init.uniform_(tensor, -0.05, 0.05)


INITIAL_STATES: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "zeros": nn.init.zeros_,
    "ones": nn.init.ones_,
    "normal": _normal,
    "uniform": _uniform,
}
"""The distributions of a first state that have a name."""

InitialState = str | Callable[[Tensor], Any]


class RecurrentLayer(nn.Module):
    """A cell, run over sequences: the step of one time becomes a layer.

    return_sequences  the output of every step, [batch, time, size], not only each row's last, [batch, size]
    return_states     the final state as well: (output, state)
    go_backwards      read each row from its end; outputs come in the order of reading
    stateful          start from the state that the call before ended in, until `reset_states`
    unroll            go step by step even where a fused kernel could run; the reference
    output_length     decode: the input is one vector [batch, size], given at every step, or a whole sequence that the
                      cell sees at every step, and so many steps come out
    teacher_force     in training, where a `target` is given, its previous step takes the place of the readout
    initial_state     `zeros`, `ones`, `normal`, `uniform` or a function that fills a tensor, as `torch.nn.init` has
                      them; one for all tensors of the state, or one for each
    """

    def __init__(
        self,
        cell: Cell,
        *,
        return_sequences: bool = False,
        return_states: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        output_length: int | None = None,
        teacher_force: bool = False,
        initial_state: InitialState | Sequence[InitialState] = "zeros",
    ) -> None:
        super().__init__()
        if output_length is not None and not is_whole(output_length):
            raise LayerError(f"an output length of {output_length!r}", "it is a whole number from 1")
        if output_length is not None and go_backwards:
            raise LayerError("what decodes has no sequence to read backwards", "leave out one of the two")
        if teacher_force and not isinstance(cell, Feedback):
            raise LayerError(
                f"a {type(cell).__name__} has no readout that a truth could be forced on", "wrap it into Readout(cell)"
            )
        self.cell = cell
        self.return_sequences, self.return_states = return_sequences, return_states
        self.go_backwards, self.stateful, self.unroll = go_backwards, stateful, unroll
        self.output_length, self.teacher_force = output_length, teacher_force
        self.fillers = _fillers(initial_state, len(cell.state_sizes))
        self.state: State = ()

    def reset_states(self) -> None:
        """Let a stateful layer start anew at the next call."""
        self.state = ()

    def forward(
        self, inputs: Tensor, *, state: State = (), mask: Tensor | None = None, target: Tensor | None = None
    ) -> Any:
        """Run the cell.

        Args:
            inputs: [batch, time, input_size]; where the layer decodes, [batch, input_size] or a sequence.
            state: what to start from, each [batch, size]; for a readout the last one is the output before the first
                step.
            mask: [batch, time], True where a step is real, wherever the padding stands; outputs there are zero.
            target: [batch, time, output_size], the truth; used in training with `teacher_force`.

        Raises:
            LayerError: where shapes do not fit the layer, or a row of the mask is empty.
        """
        self._check_input(inputs)
        # the layer may have been moved or made double since the call before
        kept = tuple(part.to(inputs) for part in self.state) if self.stateful else ()
        state = state or kept or self._begin(inputs)
        self._check_state(inputs, state)
        truth = self._truth(target, [inputs.shape[0], self.output_length or inputs.shape[1], self.cell.output_size])
        if self.output_length is None:
            outputs, last, final = self._run(inputs, mask, state, truth)
        elif mask is not None:
            raise LayerError("what decodes takes no mask", "mask the layer that made its input")
        elif inputs.dim() == 2:
            outputs, last, final = self._run(inputs.unsqueeze(1).expand(-1, self.output_length, -1), None, state, truth)
        else:
            outputs, last, final = self._look(inputs, state, truth)
        if self.stateful:
            self.state = detached(final)
        result = outputs if self.return_sequences or self.output_length is not None else last
        return (result, final) if self.return_states else result

    def _begin(self, inputs: Tensor) -> State:
        state = self.cell.zeros(inputs)
        with torch.no_grad():
            for tensor, fill in zip(state, self.fillers, strict=True):
                fill(tensor)
        return state

    def _check_input(self, inputs: Tensor) -> None:
        decodes, size = self.output_length is not None, self.cell.input_size
        if inputs.dim() not in ((2, 3) if decodes else (3,)) or 0 in inputs.shape or inputs.shape[-1] != size:
            wanted = f"[batch, {size}] or [batch, time, {size}]" if decodes else f"[batch, time, {size}]"
            raise LayerError(f"the input is {list(inputs.shape)}, the layer takes {wanted}, none of them 0")

    def _check_state(self, inputs: Tensor, state: State) -> None:
        if self.stateful and state[:1] and state[0].shape[0] != inputs.shape[0]:
            raise LayerError(
                f"a batch of {inputs.shape[0]}, but the state is that of a batch of {state[0].shape[0]}",
                "call reset_states() before a batch of another size",
            )
        check_state(self.cell, state, inputs.shape[0])

    def _truth(self, target: Tensor | None, wanted: list[int]) -> Tensor | None:
        if target is None:
            return None
        if list(target.shape) != wanted:
            raise LayerError(f"the target is {list(target.shape)}, the output {wanted}")
        if not self.teacher_force:
            raise LayerError("a target, but the layer was made without teacher forcing", "pass teacher_force=True")
        return target if self.training else None

    def _run(
        self, inputs: Tensor, mask: Tensor | None, state: State, truth: Tensor | None
    ) -> tuple[Tensor, Tensor, State]:
        """Return the output of every step, the last one of each row, and the final state."""
        lengths: Tensor | None = None
        if mask is not None:
            check_mask(mask, inputs.shape[0], inputs.shape[1])
            # what stands in the padding may be so large that no gate keeps it out, or not even a number
            inputs, lengths, back = move_together(inputs.masked_fill(~mask.unsqueeze(2), 0.0), mask)
            truth = move_together(truth, mask)[0] if truth is not None else None
        if self.go_backwards:
            inputs = reverse_rows(inputs, lengths)
        if truth is not None:
            cell = cast(Feedback, self.cell)
            outputs, final = (partial(Feedback.forced, cell) if self.unroll else cell.forced)(
                inputs, lengths, state, truth
            )
        else:
            outputs, final = (self.cell.unrolled if self.unroll else self.cell.sequence)(inputs, lengths, state)
        last = last_real(outputs, lengths)
        if mask is not None:
            outputs = move_back(outputs, back).masked_fill(~mask.unsqueeze(2), 0.0)
        return outputs, last, final

    def _look(self, sequence: Tensor, state: State, truth: Tensor | None) -> tuple[Tensor, Tensor, State]:
        """Let the cell see the whole sequence at every step; return as `_run` does."""
        outputs = []
        for time in range(self.output_length or 0):
            if truth is not None and time:
                state = (*state[:-1], truth[:, time - 1])
            output, state = self.cell(sequence, state)
            if output.shape != (sequence.shape[0], self.cell.output_size):
                raise LayerError(
                    f"of the whole input {list(sequence.shape)} the cell made {list(output.shape)} at a step,"
                    f" where {[sequence.shape[0], self.cell.output_size]} is needed",
                    "give one vector, or a cell that makes one step's output of a whole sequence",
                )
            outputs.append(output)
        if truth is not None:
            state = (*state[:-1], truth[:, -1])
        return torch.stack(outputs, 1), outputs[-1], state


def _fillers(initial_state: InitialState | Sequence[InitialState], parts: int) -> tuple[Callable[[Tensor], Any], ...]:
    """Return a function for each tensor of a state that fills it."""
    one = isinstance(initial_state, str) or callable(initial_state)
    each = [cast(InitialState, initial_state)] * parts if one else list(cast(Sequence[InitialState], initial_state))
    if len(each) != parts:
        raise LayerError(f"{len(each)} first states for a cell with {parts}", "give one for all, or one for each")
    for name in each:
        if isinstance(name, str) and name not in INITIAL_STATES:
            raise LayerError(f"no first state is called {name!r}", nearest(name, INITIAL_STATES))
    return tuple(INITIAL_STATES[fill] if isinstance(fill, str) else fill for fill in each)
