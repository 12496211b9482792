"""Exchanges as token ids go in, batches in an order that two numbers fix come out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..text.packed import Packed

__all__ = [
    "Update",
    "dialogue_slots",
    "epoch_batches",
    "epoch_dialogues",
    "sequential_batches",
    "sequential_dialogues",
]

LONGEST_DIALOGUE = 32
"""Exchanges after which a dialogue is cut, so that no update is left over to one long dialogue alone."""
OPEN_DIALOGUES = 32
"""Times as many dialogues are open as go into an update."""
MANY = 16
"""Rows of a batch from which on it does not matter whether there are a few less."""


def epoch_batches(
    packed: Packed, batch_tokens: int, *, seed: int, epoch: int, copies: NDArray[np.int64] | None = None
) -> list[NDArray[np.int64]]:
    """Return the rows of every batch of one epoch; the same for the same seed and epoch, anywhere.

    Rows of like length come together, ties in random order, so hardly anything is padding (bucketing was worth 2.1
    times the speed of random batches); the order of the batches is random. A batch holds at most `batch_tokens` source
    and target tokens with padding, or a single row.

    Args:
        copies: [rows], how often each row occurs; once where it is None.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    sources, targets = packed.lengths()
    order = np.lexsort((random.permutation(len(packed)), sources, targets))
    if copies is not None:
        order = np.repeat(order, copies[order])
    batches = _cut(order, sources, targets, batch_tokens)
    return [batches[index] for index in random.permutation(len(batches))]


def sequential_batches(packed: Packed, batch_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of every batch once, longest first, so that what does not fit into memory shows at once."""
    sources, targets = packed.lengths()
    yield from reversed(_cut(np.lexsort((sources, targets)), sources, targets, batch_tokens))


def _whole(rows: int) -> int:
    """Return how many of the rows that there is room for a batch takes: of more than a few, a multiple of four.

    So batches have few shapes, for each of which a library for products or recurrences may have to prepare itself.
    """
    return rows if rows < MANY else rows - rows % 4


def _cut(
    order: NDArray[np.int64], sources: NDArray[np.int64], targets: NDArray[np.int64], batch_tokens: int
) -> list[NDArray[np.int64]]:
    batches = []
    begin, longest_source, longest_target = 0, 0, 0
    for index, row in enumerate(order.tolist()):
        widest_source, widest_target = (
            max(longest_source, int(sources[row])),
            max(longest_target, int(targets[row])),
        )
        if index > begin and (index + 1 - begin) * (widest_source + widest_target) > batch_tokens:
            end = begin + _whole(index - begin)
            batches.append(order[begin:end])
            begin, rest = end, order[end : index + 1]
            widest_source, widest_target = int(sources[rest].max()), int(targets[rest].max())
        longest_source, longest_target = widest_source, widest_target
    if begin < len(order):
        batches.append(order[begin:])
    return batches


@dataclass(frozen=True, slots=True)
class Update:
    """The exchanges of one update of the weights: a batch, or a few turns of dialogues that go on side by side.

    turns  for each turn the rows, [dialogues]; a dialogue that has fewer turns left stands behind those that have more
    slots  [dialogues], the place where a dialogue's mind is kept from update to update; empty where there are none
    fresh  [dialogues], True where a dialogue begins
    """

    turns: tuple[NDArray[np.int64], ...]
    slots: NDArray[np.int64]
    fresh: NDArray[np.bool_]

    @classmethod
    def of_batch(cls, rows: NDArray[np.int64]) -> Update:
        """Return the update of exchanges that stand alone."""
        return cls((rows,), np.zeros(0, np.int64), np.zeros(0, np.bool_))

    def parts(self, number: int) -> list[Update]:
        """Return the update in as many pieces as can be had, at most `number`, each with some of the dialogues.

        The dialogues of a piece stand as far apart as can be, so that each has as many long ones as the others.
        """
        first = len(self.turns[0])
        if number == 1 or first == 1:
            return [self]
        pieces = []
        for begin in range(min(number, first)):
            turns = tuple(rows[begin::number] for rows in self.turns)
            pieces.append(
                Update(tuple(rows for rows in turns if len(rows)), self.slots[begin::number], self.fresh[begin::number])
            )
        return pieces


def dialogue_slots(packed: Packed, batch_tokens: int, turns: int) -> int:
    """Return how many dialogues are open at the same time, at most."""
    sources, targets = packed.lengths()
    together = max(1, round(batch_tokens / (turns * float((sources + targets).mean()))))
    begun = int((packed.previous < 0).sum())
    return min(OPEN_DIALOGUES * together, begun + (len(packed) - begun) // LONGEST_DIALOGUE)


def epoch_dialogues(
    packed: Packed,
    batch_tokens: int,
    *,
    turns: int,
    seed: int,
    epoch: int,
    copies: NDArray[np.int64] | None = None,
) -> list[Update]:
    """Return the updates of one epoch in dialogue order; the same for the same seed and epoch, anywhere.

    An update takes `turns` turns of as many dialogues as `batch_tokens` tokens with padding have room for. Dialogues
    come in random order, cut after `LONGEST_DIALOGUE` exchanges. Many are open at a time, and those whose next turns
    are of like length go together: seven tenths of an update are real tokens then, of dialogues in any order half.

    Args:
        copies: [rows], how often the dialogue that a row begins occurs; once where it is None.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    dialogues = _dialogues(packed)
    if copies is not None:
        dialogues = [rows for rows in dialogues for _ in range(int(copies[rows[0]]))]
    order = [dialogues[index] for index in random.permutation(len(dialogues))]
    updates = []
    desk = _Desk(packed, order, dialogue_slots(packed, batch_tokens, turns), turns)
    while desk.open_slots.any():
        anchor = random.choice(np.flatnonzero(desk.open_slots))
        updates.append(desk.take(int(anchor), batch_tokens))
    return updates


def sequential_dialogues(packed: Packed, batch_tokens: int) -> Iterator[Update]:
    """Yield every exchange once, in dialogue order, the longest dialogues first."""
    dialogues = sorted(_dialogues(packed), key=len, reverse=True)
    desk = _Desk(packed, dialogues, dialogue_slots(packed, batch_tokens, 1), 1)
    while desk.open_slots.any():
        yield desk.take(int(np.flatnonzero(desk.open_slots)[0]), batch_tokens)


class _Desk:
    """The dialogues that are open; each lies in a slot until it has been gone through, then the next takes the slot."""

    def __init__(self, packed: Packed, dialogues: Iterable[list[int]], slots: int, turns: int) -> None:
        self.lengths = np.stack(packed.lengths(), 1)  # [rows, 2]
        self.waiting = iter(dialogues)
        self.turns = turns
        self.rows: list[list[int]] = [[] for _ in range(slots)]
        self.place = np.zeros(slots, np.int64)
        self.open_slots = np.zeros(slots, np.bool_)
        self.keys = np.zeros((slots, 2 * turns), np.int64)
        for slot in range(slots):
            self._open(slot)

    def _open(self, slot: int) -> None:
        rows = next(self.waiting, None)
        self.open_slots[slot] = rows is not None
        self.rows[slot], self.place[slot] = rows or [], 0
        if rows is not None:
            self._look(slot)

    def _look(self, slot: int) -> None:
        """Write down the lengths of the next turns; of turns that are not there, those of the last one."""
        rows = self._next(slot)
        self.keys[slot] = self.lengths[rows + [rows[-1]] * (self.turns - len(rows))].ravel()

    def _next(self, slot: int) -> list[int]:
        place = int(self.place[slot])
        return self.rows[slot][place : place + self.turns]

    def take(self, anchor: int, batch_tokens: int) -> Update:
        """Take the next turns of the dialogues whose next turns are most like those in slot `anchor`.

        They are as many as `batch_tokens` tokens with padding have room for, but at least one.
        """
        slots = np.flatnonzero(self.open_slots)
        nearest = slots[np.argsort(np.abs(self.keys[slots] - self.keys[anchor]).sum(1), kind="stable")]
        padded = np.maximum.accumulate(self.keys[nearest]).sum(1) * np.arange(1, len(nearest) + 1)
        chosen = nearest[: max(1, int((padded <= batch_tokens).sum()))].tolist()
        chosen.sort(key=lambda slot: -len(self._next(slot)))
        taken = [self._next(slot) for slot in chosen]
        fresh = self.place[chosen] == 0
        steps = (np.array([rows[turn] for rows in taken if len(rows) > turn], np.int64) for turn in range(self.turns))
        update = Update(tuple(rows for rows in steps if len(rows)), np.array(chosen, np.int64), fresh)
        for slot, rows in zip(chosen, taken, strict=True):
            self.place[slot] += len(rows)
            if self.place[slot] == len(self.rows[slot]):
                self._open(slot)
            else:
                self._look(slot)
        return update


def _dialogues(packed: Packed) -> list[list[int]]:
    """Return the rows of every dialogue in order, cut where they are long."""
    following = np.full(len(packed), -1, np.int64)
    linked = np.flatnonzero(packed.previous >= 0)
    following[packed.previous[linked]] = linked
    if len(np.unique(packed.previous[linked])) < len(linked):
        raise ValueError("two exchanges follow the same one")
    dialogues = []
    for first in np.flatnonzero(packed.previous < 0).tolist():
        rows = [first]
        while (after := int(following[rows[-1]])) >= 0:
            rows.append(after)
        dialogues += [rows[begin : begin + LONGEST_DIALOGUE] for begin in range(0, len(rows), LONGEST_DIALOGUE)]
    return dialogues
