"""Padded sequences and masks go in; their real steps, turned around or moved together, come out."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import LayerError

__all__ = ["check_mask", "last_real", "move_back", "move_together", "reverse_rows"]


def last_real(sequence: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the last real step of each row: [batch, time, size], [batch] -> [batch, size]; None where all are full."""
    if lengths is None:
        return sequence[:, -1]
    index = (lengths - 1).clamp_min(0).view(-1, 1, 1).expand(-1, 1, sequence.shape[2])
    return sequence.gather(1, index).squeeze(1)


def reverse_rows(sequence: Tensor, lengths: Tensor | None) -> Tensor:
    """Turn the real part of each row around, [batch, time] or [batch, time, size]; what is beyond it stays.

    Args:
        lengths: [batch]; None where every row is full.
    """
    if lengths is None:
        return sequence.flip(1)
    steps = torch.arange(sequence.shape[1], device=sequence.device)
    back = lengths.unsqueeze(1) - 1 - steps
    return _take(sequence, torch.where(back >= 0, back, steps))


def check_mask(mask: Tensor, batch: int, time: int) -> None:
    """Refuse a mask that is not bool [batch, time], or one with a row that has no real step.

    Raises:
        LayerError: it names what was given and what is expected.
    """
    if mask.dtype != torch.bool:
        raise LayerError(f"the mask is of {mask.dtype}, not of torch.bool", "True is real: give mask.bool()")
    if tuple(mask.shape) != (batch, time):
        raise LayerError(f"the mask is {list(mask.shape)}, the input's batch and length {[batch, time]}")
    empty = (~mask.any(1)).nonzero().flatten().tolist()
    if empty:
        rows = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
        raise LayerError(f"nothing in row {rows} of the mask is real", "each row needs a True: leave such rows out")


def move_together(sequence: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Move the real steps of each row to its front, in their order; wherever the padding is.

    Returns the moved sequence, [batch, time, size], the number of real steps, [batch], and the index for
    `move_back`.
    """
    order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
    return _take(sequence, order), mask.sum(1), order.argsort(1)


def move_back(sequence: Tensor, back: Tensor) -> Tensor:
    """Undo `move_together` by the index that it returned."""
    return _take(sequence, back)


def _take(sequence: Tensor, index: Tensor) -> Tensor:
    """Return the steps of each row that `index`, [batch, time], names."""
    if sequence.dim() == 2:
        return sequence.gather(1, index)
    # whole steps are copied, where gathering would look at each number's index: a tenth of its time
    rows = torch.arange(sequence.shape[0], device=sequence.device).unsqueeze(1) * sequence.shape[1]
    return sequence.flatten(0, 1).index_select(0, (rows + index).flatten()).view(*index.shape, -1)
