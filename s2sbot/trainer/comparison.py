"""Two files of weights go in; how many tensors differ, and by how much at most, come out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ..errors import BotError

__all__ = ["WeightsApart", "weights_apart"]


@dataclass(frozen=True, slots=True)
class WeightsApart:
    """How far apart weights are.

    differing  tensors that both have, with one shape, and with other numbers
    common     tensors that both have with one shape
    largest    the largest absolute difference of two numbers, and `name` the tensor that has it
    """

    differing: int
    common: int
    largest: float
    name: str


def weights_apart(one: Path, other: Path) -> WeightsApart:
    """Compare the tensors that two files of weights have in common, one after the other.

    Raises:
        BotError: where a file cannot be read.
    """
    differing, common, largest, place = 0, 0, 0.0, ""
    try:
        with safe_open(one, framework="pt") as left, safe_open(other, framework="pt") as right:
            for name in sorted({*left.keys()} & {*right.keys()}):
                pair = left.get_tensor(name), right.get_tensor(name)
                if pair[0].shape != pair[1].shape:
                    continue
                common += 1
                if pair[0].dtype == pair[1].dtype and torch.equal(*pair):
                    continue
                differing += 1
                off = (pair[0].double() - pair[1].double()).abs()
                if off.numel() and float(off.max()) >= largest:
                    largest, place = float(off.max()), name
    except (SafetensorError, OSError) as error:
        raise BotError(f"cannot read {one} and {other}: {error}", "copy the whole bot folder again") from error
    return WeightsApart(differing, common, largest, place)
