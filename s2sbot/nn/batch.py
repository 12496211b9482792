"""Rows of bare token ids go in, padded tensors with BOS, EOS and masks come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..text.packed import Packed
from ..text.tokenizer import BOS, EOS, PAD

__all__ = ["Batch", "pad_rows", "send", "source_rows"]

Ids = Sequence[int]


def pad_rows(rows: Sequence[Ids], device: torch.device | str = "cpu") -> Tensor:
    """Return rows of ids as one tensor, [len(rows), longest], filled up with PAD on the right."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows], dtype=torch.long, device=device)


def source_rows(sources: Sequence[Ids], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Return sources with EOS, [batch, source_time], and their mask; so that no row is ever without a token."""
    padded = pad_rows([[*source, EOS] for source in sources], device)
    return padded, padded.ne(PAD)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor that is on the CPU on `device`, without waiting for what that has still to do.

    It goes through memory that stays where it is: a copy from any other begins when the device has nothing left to do.
    """
    fixed = tensor if device.type in ("cpu", "meta") else tensor.pin_memory()
    return fixed.to(device, non_blocking=True)


@dataclass(frozen=True, slots=True)
class Batch:
    """Exchanges as tensors; the one place where the target is shifted.

    source         [batch, source_time], EOS at each row's end
    source_mask    [batch, source_time], True where there is a token
    target_input   [batch, target_time], BOS and the target
    target_output  [batch, target_time], the target and EOS
    target_mask    [batch, target_time], True where there is a token
    """

    source: Tensor
    source_mask: Tensor
    target_input: Tensor
    target_output: Tensor
    target_mask: Tensor

    @classmethod
    def collate(cls, sources: Sequence[Ids], targets: Sequence[Ids]) -> Batch:
        """Pad and shift rows of bare ids."""
        source, source_mask = source_rows(sources)
        target = pad_rows([[BOS, *target, EOS] for target in targets])
        target_input = target[:, :-1].masked_fill(target[:, :-1] == EOS, PAD)
        target_output = target[:, 1:]
        return cls(source, source_mask, target_input, target_output, target_output.ne(PAD))

    @classmethod
    def of(cls, packed: Packed, rows: NDArray[np.int64]) -> Batch:
        """Return some packed exchanges as tensors."""
        pairs = [packed.row(int(index)) for index in rows]
        return cls.collate([source for source, _ in pairs], [target for _, target in pairs])

    def to(self, device: torch.device) -> Batch:
        """Return a batch that is on the CPU on `device`, for which nobody waits."""
        return Batch(
            send(self.source, device),
            send(self.source_mask, device),
            send(self.target_input, device),
            send(self.target_output, device),
            send(self.target_mask, device),
        )

    def __len__(self) -> int:
        return self.source.shape[0]
