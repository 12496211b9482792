"""Packed exchanges go in; the updates of one pass after the other come out, in an order that two numbers fix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingsError
from ..nn.dataset import Update, dialogue_slots, epoch_batches, epoch_dialogues
from ..preparation import Prepared
from ..settings import TrainSettings

__all__ = ["Order", "shares_of"]

MOST: Final = 1_000
"""How often a pass may go through a corpus."""
DRAWS: Final = 2**32
"""Added to the seed, so that what is left out has nothing to do with the order of the rest."""


class Order:
    """Where a run stands in its exchanges: so many passes, and so many updates of the one under way.

    dialogues  whether it goes through dialogues in their order, as a model with a mind does
    shares     for each corpus, in the order of rows, its rows and how often a pass goes through them; empty for once
    """

    def __init__(self, prepared: Prepared, train: TrainSettings, *, dialogues: bool) -> None:
        self.packed, self.train, self.dialogues = prepared.train, train, dialogues
        self.shares = shares_of(train.corpus_weights, prepared.facts)
        self.epoch, self.position = 0, 0
        self._planned: tuple[int, list[Update]] = (-1, [])

    @property
    def batch_tokens(self) -> int:
        """Return the setting, or what gives a hundred updates a pass within what a CPU multiplies well."""
        tokens = len(self.packed.source_ids) + len(self.packed.target_ids) + 2 * len(self.packed)
        return self.train.batch_tokens or min(1_000, max(400, tokens // 100))

    @property
    def slots(self) -> int:
        """Return how many dialogues are open at the same time, at most."""
        return dialogue_slots(self.packed, self.batch_tokens, self.train.bptt_turns)

    @property
    def updates(self) -> list[Update]:
        """Return the updates of the pass; they are planned when the first of them is due."""
        if self._planned[0] != self.epoch:
            self._planned = (self.epoch, self._plan())
        return self._planned[1]

    def share(self, other: Order) -> None:
        """Take over what a copy of this one has planned, so that the same pass is not planned twice."""
        self._planned = other._planned

    def _plan(self) -> list[Update]:
        seed, epoch, copies = self.train.seed, self.epoch, self._copies()
        if self.dialogues:
            return epoch_dialogues(
                self.packed, self.batch_tokens, turns=self.train.bptt_turns, seed=seed, epoch=epoch, copies=copies
            )
        batches = epoch_batches(self.packed, self.batch_tokens, seed=seed, epoch=epoch, copies=copies)
        return list(map(Update.of_batch, batches))

    def _copies(self) -> NDArray[np.int64] | None:
        """Return how often each row occurs in the pass: by its corpus' weight, of which a fraction is drawn for."""
        if all(weight == 1.0 for _, weight in self.shares):
            return None
        random = np.random.Generator(np.random.Philox(key=[self.train.seed + DRAWS, self.epoch]))
        weights = np.repeat([weight for _, weight in self.shares], [rows for rows, _ in self.shares])
        copies = np.floor(weights + random.random(len(weights))).astype(np.int64)
        if not copies.any():
            copies[int(random.integers(len(copies)))] = 1
        return copies

    @property
    def epochs(self) -> float:
        """Return the passes so far, with fraction."""
        return self.epoch + (self.position / len(self.updates) if self.position else 0.0)

    def take(self) -> Update:
        """Return the update that is due, and stand before the next one."""
        update = self.updates[self.position]
        self.position += 1
        if self.position == len(self.updates):
            self.epoch, self.position = self.epoch + 1, 0
        return update

    def before(self, steps: int) -> Update | None:
        """Return the update that was taken so many steps ago, 1 being the last; None where that was in another pass."""
        position = self.position - steps
        return self.updates[position] if 0 <= position < len(self.updates) else None


def shares_of(weights: str, facts: Mapping[str, Any]) -> list[tuple[int, float]]:
    """Return for each corpus its rows to learn from, and how often a pass goes through them.

    Args:
        weights: the knob `train.corpus_weights`.
        facts: of the preparation.

    Raises:
        SettingsError: where the weights are no numbers above zero, or not as many as there are corpora.
    """
    if not weights:
        return []
    corpora = [corpus for corpus in facts["corpora"] if not corpus["validation"]]
    try:
        numbers = [float(word) for word in weights.split(",")]
    except ValueError as error:
        raise SettingsError(
            f"train.corpus_weights cannot be {weights!r}", "write numbers with commas between, as 2,0.5"
        ) from error
    if len(numbers) != len(corpora) or not all(0 < number <= MOST for number in numbers):
        names = ", ".join(str(corpus["name"]) for corpus in corpora)
        raise SettingsError(
            f"train.corpus_weights cannot be {weights!r} for {len(corpora)} corpora: {names}",
            f"give a number above 0, up to {MOST:,}, for each of them, in this order",
        )
    if not all("rows" in corpus for corpus in corpora):
        raise SettingsError(
            "the corpus was prepared by an earlier version, which did not count by corpus", "prepare it again"
        )
    return [(corpus["rows"]["train"], number) for corpus, number in zip(corpora, numbers, strict=True)]
