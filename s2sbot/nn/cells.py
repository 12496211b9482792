"""The input of one time step and a state go in, an output and the next state come out: cells, and many steps of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import LayerError
from ..settings import nearest
from .dropout import RowDropout
from .encoder_decoder import State
from .padding import last_real

if TYPE_CHECKING:
    from .recurrent import RecurrentLayer

__all__ = [
    "CELLS",
    "Cell",
    "CellMaker",
    "GRUCell",
    "LSTMCell",
    "OriginalLSTMCell",
    "RecurrentHighwayCell",
    "SimpleRNNCell",
    "StepCell",
    "is_whole",
    "make_cell",
]

_KEEP: Final = 1e4
"""Added to a gate's input, it opens the gate fully in any floating-point type; its negative shuts it."""
_ALIGNED: Final = 8
"""Columns by which an input grows on a GPU, so that rows of 16-bit numbers stay multiples of 16 bytes, for the sake of
its tensor cores (NVIDIA's guide to matrix multiplication)."""


def is_whole(number: Any) -> bool:
    """Tell whether that is a whole number from 1, of numpy too."""
    return not isinstance(number, bool) and isinstance(number, Integral) and int(number) >= 1


class Cell(nn.Module):
    """One step of a recurrence; what every stack and recurrent layer is made of.

    A cell of your own derives from this, says its sizes, and has a `forward`. What can run a whole sequence faster than
    step by step overrides `sequence`.

    input_size   size of the input at one step
    output_size  size of the output at one step
    state_sizes  size of each tensor of the state; each of them is [batch, size]
    """

    def __init__(self, input_size: int, output_size: int, state_sizes: Iterable[int]) -> None:
        super().__init__()
        self.input_size, self.output_size, self.state_sizes = input_size, output_size, tuple(state_sizes)
        self.recurrent_dropout: RowDropout | None = None
        for size in (input_size, output_size, *self.state_sizes):
            if not is_whole(size):
                raise LayerError(f"a size of {size!r} makes no {type(self).__name__}", "sizes are whole numbers from 1")

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Take one step: [batch, input_size] and a state to [batch, output_size] and the next state."""
        raise NotImplementedError

    def dropped(self, state: State) -> State:
        """Return a state whose first tensor, that from which a step computes, has lost what recurrent dropout takes.

        It is h of an LSTM; what c remembers stays (Gal & Ghahramani 2016, equation 5).
        """
        return state if self.recurrent_dropout is None else (self.recurrent_dropout(state[0]), *state[1:])

    def zeros(self, inputs: Tensor) -> State:
        """Return the state that nothing has gone into yet, of the batch, type and device of `inputs`."""
        return tuple(inputs.new_zeros(inputs.shape[0], size) for size in self.state_sizes)

    def sequence(self, inputs: Tensor, lengths: Tensor | None = None, state: State = ()) -> tuple[Tensor, State]:
        """Run over [batch, time, input_size]; return [batch, time, output_size] and the state at each row's end.

        Args:
            lengths: [batch], real steps of each row, all above zero; None where every row is full. What comes out
                beyond a row's length means nothing.
            state: what to start from; zeros where it is empty.
        """
        return self.unrolled(inputs, lengths, state)

    def unrolled(self, inputs: Tensor, lengths: Tensor | None = None, state: State = ()) -> tuple[Tensor, State]:
        """Do what `sequence` does, step by step: the reference of every faster way."""
        state = state or self.zeros(inputs)
        outputs = []
        for time in range(inputs.shape[1]):
            output, after = self(inputs[:, time], self.dropped(state))
            if not isinstance(after, tuple) or len(after) != len(self.state_sizes):
                given = f"{len(after)} in a {type(after).__name__}" if isinstance(after, list | tuple) else type(after)
                raise LayerError(
                    f"{type(self).__name__} returns a state of {given}, by its state_sizes it is"
                    f" {len(self.state_sizes)} tensors in a tuple",
                    "return (output, state) with a tensor in the state for each of state_sizes",
                )
            if lengths is not None:
                real = (time < lengths).unsqueeze(1)
                after = tuple(torch.where(real, new, old) for new, old in zip(after, state, strict=True))
            state = after
            outputs.append(output)
        return torch.stack(outputs, 1), state

    def layer(self, **options: Any) -> RecurrentLayer:
        """Return a layer over sequences that is made of this cell; the options are those of `RecurrentLayer`."""
        from .recurrent import RecurrentLayer

        return RecurrentLayer(self, **options)


class StepCell(Cell):
    """A cell of a function `step(inputs, state, *layers) -> (output, state)`.

    Layers with weights are handed to the function, not kept in it, so that they are trained, moved, saved and copied
    with the cell.
    """

    def __init__(
        self,
        step: Callable[..., tuple[Tensor, State]],
        *,
        input_size: int,
        output_size: int,
        state_sizes: Sequence[int],
        layers: Iterable[nn.Module] = (),
    ) -> None:
        super().__init__(input_size, output_size, state_sizes)
        self.step = step
        self.layers = nn.ModuleList(layers)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Call the function."""
        output, state = self.step(inputs, state, *self.layers)
        return output, tuple(state)


class _FusedCell(Cell):
    """A cell that runs a whole sequence in one call of torch's fused kernels. State and output: h.

    Padding never changes a result, and yet padded rows are not packed: that costs a third of the speed on a CPU, and on
    a GPU three waits for it. h at a row's true end is the output there.
    """

    kind: ClassVar[Callable[..., nn.RNNBase]]
    step: ClassVar[Callable[..., Any]]
    states: ClassVar[int] = 1

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, [hidden_size] * self.states)
        self.fused = self.kind(input_size, hidden_size, batch_first=True)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Take one step without what the fused call costs to set up: a fifth of its time at batch 1."""
        _check_step(self, inputs)
        before = state if self.states > 1 else state[0]
        after = type(self).step(inputs, before, *self.weights())
        state = tuple(after) if self.states > 1 else (after,)
        return state[0], state

    def sequence(self, inputs: Tensor, lengths: Tensor | None = None, state: State = ()) -> tuple[Tensor, State]:
        """Run over the whole sequence in one call; see `Cell.sequence`."""
        state = state or self.zeros(inputs)
        if inputs.shape[1] == 1 and not torch.is_grad_enabled():
            output, state = self(inputs.squeeze(1), state)
            return output.unsqueeze(1), state
        start = tuple(part.unsqueeze(0).contiguous() for part in state)
        if lengths is None:
            outputs, final = self.fused(inputs, start if self.states > 1 else start[0])
            parts = final if isinstance(final, tuple) else (final,)
            return outputs, tuple(part.squeeze(0) for part in parts)
        steps = torch.arange(inputs.shape[1], device=inputs.device)
        padding = (steps >= lengths.unsqueeze(1)).unsqueeze(2)
        # what stands in the padding may be so large that no gate keeps it out, or not even a number
        outputs, memory = self._padded(inputs.masked_fill(padding, 0.0), padding, start)
        real = (lengths > 0).unsqueeze(1)
        h = torch.where(real, last_real(outputs, lengths), state[0])
        return outputs, (h, *memory)

    def _padded(self, inputs: Tensor, padding: Tensor, start: State) -> tuple[Tensor, State]:
        """Run over padded rows without packing them; return all outputs, and the final state but for h.

        Args:
            padding: [batch, time, 1], True where a step is none.
            start: each [1, batch, size].
        """
        outputs, _ = self.fused(inputs, start[0])
        return outputs, ()

    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the weights of input, [gates, input_size], and state, [gates, size], and the biases of both."""
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        first, second, third, fourth = (cast(Tensor, getattr(self.fused, name)) for name in names)
        return first, second, third, fourth


class LSTMCell(_FusedCell):
    """LSTM with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    i, f, o = sigmoid of linear maps of input and h; c = f c + i tanh(g); h = o tanh(c). State: (h, c); output: h.
    """

    kind: ClassVar[Callable[..., nn.RNNBase]] = nn.LSTM
    step = staticmethod(torch.lstm_cell)
    states = 2

    def _padded(self, inputs: Tensor, padding: Tensor, start: State) -> tuple[Tensor, State]:
        """Hand c through to the row's end, as no output shows it; it costs a column.

        An extra input that is 1 on padding shuts the input gate and opens the forget gate.
        """
        far = inputs.device.type != "cpu"
        widened, weights = _holding(inputs, padding, self.weights(), columns=_ALIGNED if far else 1)
        if far:
            weights = _one_piece(weights)
        outputs, _, memory = torch.lstm(widened, start, weights, True, 1, 0.0, self.training, False, True)
        return outputs, (memory.squeeze(0),)


def _holding(
    inputs: Tensor, padding: Tensor, weights: Sequence[Tensor], *, columns: int
) -> tuple[Tensor, list[Tensor]]:
    """Return the input of an LSTM and its weights, both wider by `columns`: its c stays as it is where padding is.

    Only the first of the columns counts; the others are zeros.
    """
    input_weights, *others = weights
    size = len(input_weights) // 4
    hold = input_weights.new_zeros(4 * size, columns)
    hold[:size, 0], hold[size : 2 * size, 0] = -_KEEP, _KEEP
    extra = functional.pad(padding.to(inputs.dtype), (0, columns - 1))
    return torch.cat([inputs, extra], 2), [torch.cat([input_weights, hold], 1), *others]


def _one_piece(weights: Sequence[Tensor]) -> list[Tensor]:
    """Return weights one behind the other in one piece of memory, as cuDNN wants them; otherwise torch warns."""
    flat = torch.cat([part.flatten() for part in weights])
    pieces = torch.split(flat, [part.numel() for part in weights])
    return [piece.view_as(part) for piece, part in zip(pieces, weights, strict=True)]


class GRUCell(_FusedCell):
    """Gated recurrent unit (Cho et al. 2014, with the reset gate after the product). State and output: h."""

    kind: ClassVar[Callable[..., nn.RNNBase]] = nn.GRU
    step = staticmethod(torch.gru_cell)


class SimpleRNNCell(_FusedCell):
    """h = tanh(W x + U h + b) (Elman 1990). State and output: h."""

    kind: ClassVar[Callable[..., nn.RNNBase]] = nn.RNN
    step = staticmethod(torch.rnn_tanh_cell)


class RecurrentHighwayCell(Cell):
    """A highway of `micro_steps` layers from one time step to the next (Zilly et al. 2017, equations 6 to 9).

    s = h t + s (1 - t), with h = tanh and t = sigmoid of linear maps of s, and in the first layer of the input too; the
    carry gate is coupled to t, whose bias starts at -2, so that much is carried at first. State and output: s.
    """

    def __init__(self, input_size: int, hidden_size: int, *, micro_steps: int = 2) -> None:
        super().__init__(input_size, hidden_size, [hidden_size])
        if micro_steps < 1:
            raise LayerError(f"{micro_steps} layers make no highway", "give micro_steps a whole number from 1")
        self.input = nn.Linear(input_size, 2 * hidden_size, bias=False)
        self.recurrent = nn.ModuleList(nn.Linear(hidden_size, 2 * hidden_size) for _ in range(micro_steps))
        with torch.no_grad():
            for linear in self.recurrent:
                cast(nn.Linear, linear).bias[hidden_size:] = -2.0

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Take one step through all layers of the highway."""
        _check_step(self, inputs)
        [memory] = state
        extra = self.input(inputs)
        for linear in self.recurrent:
            new, transform = (linear(memory) + extra).chunk(2, 1)
            memory = memory + torch.sigmoid(transform) * (torch.tanh(new) - memory)
            extra = 0.0
        return memory, (memory,)


class OriginalLSTMCell(Cell):
    """The cell of the original library's encoders, odd as it is.

    With s(z) = clip(0.2 z + 0.5, 0, 1): f, i, o, g = x W + b + h U; c = tanh(s(f) c + s(i) tanh(g)); h = s(o) c. The
    stored c is the squashed one, so it cannot count. State: (h, c); output: h. Weights are [in, out].
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, [hidden_size, hidden_size])
        self.kernel = nn.Parameter(torch.empty(input_size, 4 * hidden_size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        self.recurrent_kernel = nn.Parameter(torch.empty(hidden_size, 4 * hidden_size))
        nn.init.xavier_uniform_(self.kernel)
        nn.init.orthogonal_(self.recurrent_kernel)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Take one step."""
        _check_step(self, inputs)
        h, c = state
        gates = inputs @ self.kernel + self.bias + h @ self.recurrent_kernel
        forget, enter, leave, new = gates.chunk(4, 1)
        c = torch.tanh(hard_sigmoid(forget) * c + hard_sigmoid(enter) * torch.tanh(new))
        h = hard_sigmoid(leave) * c
        return h, (h, c)


def _check_step(cell: Cell, inputs: Tensor) -> None:
    """Refuse what is not one step: some of it would broadcast and come out as nonsense."""
    if inputs.dim() != 2 or inputs.shape[1] != cell.input_size:
        raise LayerError(
            f"one step's input is {list(inputs.shape)}, this {type(cell).__name__} takes [batch, {cell.input_size}]",
            "" if inputs.dim() == 2 else "a cell that looks at a whole sequence at every step is one of your own",
        )


def hard_sigmoid(inputs: Tensor) -> Tensor:
    """Return clip(0.2 z + 0.5, 0, 1), the sigmoid of the original library; torch's own has a slope of 1/6."""
    return (0.2 * inputs + 0.5).clamp(0.0, 1.0)


CellMaker = Callable[[int, int], Cell]
"""Makes a cell of an input size and a hidden size, as a class of cells does."""

CELLS: Final[Mapping[str, CellMaker]] = {
    "lstm": LSTMCell,
    "gru": GRUCell,
    "rnn": SimpleRNNCell,
    "highway": RecurrentHighwayCell,
    "original": OriginalLSTMCell,
}
"""The cells that have a name."""


def make_cell(cell: str | CellMaker, input_size: int, hidden_size: int) -> Cell:
    """Return a cell by its name in `CELLS`, or of a class or function that makes one of two sizes.

    Raises:
        LayerError: where no cell has that name, or what was made is no cell of these sizes.
    """
    if isinstance(cell, str):
        if cell not in CELLS:
            raise LayerError(f"no cell {cell!r}", nearest(cell, CELLS))
        cell = CELLS[cell]
    if isinstance(cell, nn.Module) or not callable(cell):
        raise LayerError(
            f"{type(cell).__name__} is no cell to make more of",
            "give a name, a class of cells, or a function that makes one of two sizes",
        )
    made = cast(object, cell(input_size, hidden_size))
    needed = f"a Cell from {input_size} to {hidden_size} is needed"
    hint = "derive from s2sbot.nn.Cell and pass both sizes on to it"
    if not isinstance(made, Cell):
        raise LayerError(f"{getattr(cell, '__name__', cell)} made a {type(made).__name__}, where {needed}", hint)
    if (made.input_size, made.output_size) != (input_size, hidden_size):
        raise LayerError(
            f"{type(made).__name__} goes from {made.input_size} to {made.output_size}, where {needed}", hint
        )
    return made
