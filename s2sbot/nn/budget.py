"""A number of numbers goes in; what asks for more of them while it is built is refused before it gets any."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["Budget"]

_OF_A_SIZE: Final = frozenset(
    {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.empty_strided}
)
_OF_A_SIZE_LIKE: Final = frozenset({Tensor.new_empty, Tensor.new_zeros, Tensor.new_ones, Tensor.new_full})


class Budget(TorchFunctionMode):
    """Inside `with Budget(numbers)`, new tensors may have so many numbers together.

    What knobs of a stranger ask for is so refused before it is allocated. Building on the meta device would do it too,
    but the first use of that takes a second and a half (torch 2.13), and not every model can be built there.
    """

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self._left = numbers

    def __torch_function__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count what makes a tensor of a given size.

        Raises:
            ValueError: where it is more than what is left.
        """
        given = kwargs or {}
        if func in _OF_A_SIZE:
            self._spend(given.get("size", args))
        elif func in _OF_A_SIZE_LIKE:
            self._spend(given.get("size", args[1:]))
        return func(*args, **given)

    def _spend(self, size: Sequence[Any]) -> None:
        sizes = size[0] if size and isinstance(size[0], Sequence) else size
        self._left -= math.prod(number for number in sizes if isinstance(number, int))
        if self._left < 0:
            raise ValueError("the model that its knobs describe is larger than they are")
