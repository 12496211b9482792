"""Cells and ordinary layers go in, one bigger cell comes out: stacks, shared states and readouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

from ..errors import LayerError
from ..settings import nearest
from .cells import Cell
from .dropout import RowDropout
from .encoder_decoder import State
from .padding import last_real

__all__ = ["MERGES", "Feedback", "Merge", "Readout", "Stack", "check_state"]


class Stack(Cell):
    """Cells and ordinary layers (linear, activation, dropout), one above the other, as one cell.

    Its state is that of its cells, the lowest one's first. A stack may be a layer of another one. An ordinary layer
    that does not say what it takes and gives (`in_features` and `out_features`, as nn.Linear does) keeps the size.

    share_state  all cells have one state: at a time step each takes the one that the cell below it made at the same
                 step, the lowest takes what the highest made at the step before
    """

    def __init__(self, *layers: nn.Module, share_state: bool = False) -> None:
        cells = [layer for layer in layers if isinstance(layer, Cell)]
        if not cells:
            raise LayerError("a stack without a cell", "put at least one Cell into it")
        if share_state and len({cell.state_sizes for cell in cells}) > 1:
            listed = "; ".join(f"{type(cell).__name__} {list(cell.state_sizes)}" for cell in cells)
            raise LayerError(
                f"these cells cannot share a state, for theirs have other sizes: {listed}",
                "give all of them the same hidden size and the same kind of state",
            )
        sized = cells[:1] if share_state else cells
        input_size, output_size = _fit(layers)
        super().__init__(input_size, output_size, [size for cell in sized for size in cell.state_sizes])
        self.layers = nn.ModuleList(layers)
        self.share_state = share_state
        self._fusible = not share_state or len(cells) == 1

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Take one step through every layer."""
        after: State = ()
        begin = 0
        for layer in self.layers:
            if not isinstance(layer, Cell):
                inputs = layer(inputs)
            elif self.share_state:
                inputs, state = layer(inputs, layer.dropped(state))
            else:
                parts = len(layer.state_sizes)
                inputs, own = layer(inputs, layer.dropped(state[begin : begin + parts]))
                after, begin = after + own, begin + parts
        return inputs, state if self.share_state else after

    def sequence(self, inputs: Tensor, lengths: Tensor | None = None, state: State = ()) -> tuple[Tensor, State]:
        """Run layer by layer, each over the whole sequence; only a shared state needs to go step by step."""
        state = state or self.zeros(inputs)
        check_state(self, state, inputs.shape[0])
        if not self._fusible:
            return self.unrolled(inputs, lengths, state)
        after: State = ()
        for layer in self.layers:
            if isinstance(layer, Cell):
                parts = len(layer.state_sizes)
                # no fused kernel lets a mask in between two steps
                run = layer.unrolled if layer.recurrent_dropout and layer.training else layer.sequence
                inputs, own = run(inputs, lengths, state[len(after) : len(after) + parts])
                after += own
            elif isinstance(layer, RowDropout):
                inputs = layer(inputs)
            else:
                # an ordinary layer sees [rows, size], as it does step by step
                inputs = layer(inputs.flatten(0, 1)).reshape(*inputs.shape[:2], -1)
        return inputs, after

    @property
    def cells(self) -> list[Cell]:
        """Return the cells, the lowest one first."""
        return [layer for layer in self.layers if isinstance(layer, Cell)]


def _sizes(layer: nn.Module) -> tuple[int, int] | None:
    """Return what a layer takes and gives; None where it says neither, and so keeps the size."""
    if isinstance(layer, Cell):
        return layer.input_size, layer.output_size
    if isinstance(layer, nn.Sequential):
        found = [sizes for inner in layer if (sizes := _sizes(inner)) is not None]
        return (found[0][0], found[-1][1]) if found else None
    takes, gives = getattr(layer, "in_features", None), getattr(layer, "out_features", None)
    return (takes, gives) if isinstance(takes, int) and isinstance(gives, int) else None


def _fit(layers: tuple[nn.Module, ...]) -> tuple[int, int]:
    """Return what goes into the layers and comes out of them, and refuse those that cannot stand above each other."""
    first: int | None = None
    size: int | None = None
    for layer in layers:
        _refuse(layer)
        sizes = _sizes(layer)
        if sizes is None:
            continue
        if size is not None and sizes[0] != size:
            raise LayerError(
                f"a {type(layer).__name__} that takes {sizes[0]} stands above what gives {size}",
                "make the sizes equal, or put an nn.Linear between them",
            )
        first, size = sizes[0] if first is None else first, sizes[1]
    assert first is not None and size is not None
    return first, size


def _refuse(layer: nn.Module) -> None:
    """Refuse a layer that cannot see one step at a time."""
    for inner in layer.modules() if not isinstance(layer, Cell) else ():
        name = type(inner).__name__
        if isinstance(inner, Cell | nn.RNNBase | nn.RNNCellBase):
            raise LayerError(
                f"a stack cannot keep the state of the {name} in a {type(layer).__name__}",
                "put a Cell of s2sbot.nn itself into it",
            )
        if isinstance(inner, nn.modules.batchnorm._BatchNorm):
            raise LayerError(
                f"a {name} in a stack would mix steps, and padding with them", "take nn.LayerNorm, which sees one step"
            )


def check_state(cell: Cell, state: State, batch: int) -> None:
    """Refuse a state that is not the cell's.

    Raises:
        LayerError: it names what was given and what is expected.
    """
    given = [tuple(part.shape) for part in state]
    wanted = [(batch, size) for size in cell.state_sizes]
    if given != wanted:
        raise LayerError(f"the state is {given}, for this input it must be {wanted}")


Merge = Callable[[Tensor, Tensor], Tensor]
"""Makes a step's input of what was given and what came out at the step before."""


def _readout_only(inputs: Tensor, previous: Tensor) -> Tensor:
    return previous


def _average(inputs: Tensor, previous: Tensor) -> Tensor:
    return (inputs + previous) / 2


MERGES: Final[dict[str, Merge]] = {
    "add": torch.add,
    "mul": torch.mul,
    "avg": _average,
    "max": torch.maximum,
    "readout_only": _readout_only,
}
"""The ways to merge that have a name; all but `readout_only` need input and output of one size."""


class Feedback(Cell):
    """A cell whose last tensor of state is its output at the step before; a recurrent layer can force truths on it."""

    def forced(self, inputs: Tensor, lengths: Tensor | None, state: State, truth: Tensor) -> tuple[Tensor, State]:
        """Run as `sequence` does, but as if every step had put out the truth, [batch, time, output_size].

        So the last tensor of the state that comes back is the truth at each row's end.
        """
        outputs = []
        for time in range(inputs.shape[1]):
            real = None if lengths is None else lengths - time
            if time:
                before = truth[:, time - 1]
                before = before if real is None else torch.where((real > 0).unsqueeze(1), before, state[-1])
                state = (*state[:-1], before)
            output, state = self.unrolled(inputs[:, time : time + 1], real, state)
            outputs.append(output)
        return torch.cat(outputs, 1), (*state[:-1], last_real(truth, lengths))


class Readout(Feedback):
    """A cell whose output is merged into its input at the next step.

    merge       a name in `MERGES`, or any function (a module too) of input and previous output; `readout_only` lets
                the output take the input's place
    input_size  size of the input where it is not what the cell takes, as for a function that joins the two

    The output before the first step is zero, or the last tensor of the state that is given. Where the cell sees a whole
    sequence at every step, the previous output is merged into it as [batch, 1, output_size].

    Raises:
        LayerError: where no way to merge has that name, or sizes cannot be merged by it.
    """

    def __init__(self, cell: Cell, merge: str | Merge = "add", *, input_size: int | None = None) -> None:
        if isinstance(merge, str) and merge not in MERGES:
            raise LayerError(f"no way to merge a readout is called {merge!r}", nearest(merge, MERGES))
        if isinstance(merge, str) and cell.input_size != cell.output_size:
            raise LayerError(
                f"a readout of {cell.output_size} cannot be merged into an input of {cell.input_size} by {merge!r}",
                "make the sizes equal, or give a function that merges them",
            )
        takes = cell.input_size if input_size is None else input_size
        if isinstance(merge, str) and merge != "readout_only" and takes != cell.input_size:
            raise LayerError(
                f"{merge!r} makes no input of {cell.input_size} of one of {takes}",
                "leave out input_size, or give a function that merges them",
            )
        super().__init__(takes, cell.output_size, [*cell.state_sizes, cell.output_size])
        self.cell = cell
        self.merge: Merge = MERGES[merge] if isinstance(merge, str) else merge

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Merge the output of the step before into the input, and take the step."""
        previous = state[-1] if inputs.dim() == 2 else state[-1].unsqueeze(1)
        output, inner = self.cell(self.merge(inputs, previous), state[:-1])
        return output, (*inner, output)

    def forced(self, inputs: Tensor, lengths: Tensor | None, state: State, truth: Tensor) -> tuple[Tensor, State]:
        """Do that for all steps at once, as none of them waits for the output of the one before."""
        state = state or self.zeros(inputs)
        before = torch.cat([state[-1].unsqueeze(1), truth[:, :-1]], 1)
        merged = self.merge(inputs.flatten(0, 1), before.flatten(0, 1))
        outputs, inner = self.cell.sequence(merged.reshape(*before.shape[:2], -1), lengths, state[:-1])
        return outputs, (*inner, last_real(truth, lengths))
