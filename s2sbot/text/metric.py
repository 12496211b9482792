"""What a bot has said and what was really said go in, one number comes out: the protocol of metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Metric"]


class Metric(Protocol):
    """Makes one number of all held-out exchanges; a class of it is made without arguments.

    higher_is_better  whether the largest number is the best one
    """

    higher_is_better: bool

    def score(self, outputs: Sequence[str], targets: Sequence[str], sources: Sequence[str]) -> float:
        """Return a finite number for at least one exchange.

        Args:
            outputs: what the bot said, as plain text; it may be empty.
            targets: what was really said, line n for output n.
            sources: what it was said to, without the turns before it.
        """
        ...
