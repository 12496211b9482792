"""A model class and its configuration go in; models with fixed weights, batches for them, and comparisons come out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..nn import Batch, EncoderDecoder, Memory, State, Step, select_rows
from ..text.tokenizer import RESERVED

__all__ = [
    "TOLERANCE",
    "Subject",
    "carries",
    "check_state",
    "close",
    "close_states",
    "close_steps",
    "loss_of",
    "rows_of",
    "run",
    "same_states",
    "train_a_little",
]

TOLERANCE = 1e-4
"""How far apart, absolutely and relatively, two numbers may be that should be one."""
VOCABULARY = 40
SOURCE_LENGTHS = (7, 3, 0, 5, 1)
TARGET_LENGTHS = (1, 4, 2, 0, 6)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked: a class, a configuration of it, and the two vocabularies."""

    kind: type[EncoderDecoder]
    config: Any
    source_vocab: int = VOCABULARY
    target_vocab: int = VOCABULARY

    def model(self, seed: int = 0) -> EncoderDecoder:
        """Make a model in training mode, its weights drawn after `seed`."""
        torch.manual_seed(seed)
        return self.kind(self.config, self.source_vocab, self.target_vocab).train()

    def ready(self, seed: int = 0) -> EncoderDecoder:
        """Make a model in evaluation mode."""
        return self.model(seed).eval()

    def rows(self, count: int, *, seed: int = 1) -> tuple[list[list[int]], list[list[int]]]:
        """Return sources and targets of different lengths; among them an empty one, and the highest id."""
        generator = torch.Generator().manual_seed(seed)

        def drawn(lengths: tuple[int, ...], vocabulary: int) -> list[list[int]]:
            sizes = itertools.islice(itertools.cycle(lengths), count)
            rows = [torch.randint(RESERVED, vocabulary, (size,), generator=generator).tolist() for size in sizes]
            rows[0][-1] = vocabulary - 1
            return rows

        return drawn(SOURCE_LENGTHS, self.source_vocab), drawn(TARGET_LENGTHS, self.target_vocab)

    def batch(self, count: int = 5, *, seed: int = 1) -> Batch:
        """Return exchanges of different lengths."""
        return Batch.collate(*self.rows(count, seed=seed))

    def level_batch(self, count: int = 5) -> Batch:
        """Return exchanges whose targets are of one length, so that no step is PAD."""
        sources, _ = self.rows(count)
        generator = torch.Generator().manual_seed(2)
        targets = torch.randint(RESERVED, self.target_vocab, (count, 4), generator=generator).tolist()
        return Batch.collate(sources, targets)

    def with_vocabularies(self, source: int, target: int) -> Subject:
        """Return the same with other vocabularies."""
        return replace(self, source_vocab=source, target_vocab=target)


def run(model: EncoderDecoder, batch: Batch, carry: State = ()) -> tuple[Memory, Step]:
    """Encode a batch, and decode all of its target tokens at once.

    Raises:
        AssertionError: where the model returns something else than a Memory and a Step.
    """
    memory = model.encode(batch.source, batch.source_mask, carry)
    assert isinstance(memory, Memory), f"encode() returns a {type(memory).__name__}, not a Memory"
    step = model.decode(batch.target_input, memory, memory.state)
    assert isinstance(step, Step), f"decode() returns a {type(step).__name__}, not a Step"
    return memory, step


def check_state(state: State, count: int, what: str) -> None:
    """Check that a state of so many rows is a tuple of tensors whose first dimension is the batch.

    Raises:
        AssertionError: that says what it is instead.
    """
    assert isinstance(state, tuple), f"{what} is a {type(state).__name__}, not a tuple"
    for part in state:
        assert isinstance(part, Tensor), f"{what} holds a {type(part).__name__}, not only tensors"
        assert part.dim() and part.shape[0] == count, (
            f"{what}: batch is not the first dimension of {tuple(part.shape)}, which are {count} rows"
        )


def carries(subject: Subject, model: EncoderDecoder, count: int) -> Iterator[State]:
    """Yield what so many rows may start from: nothing, and for a stateful model what a turn before left."""
    yield ()
    if model.stateful:
        with torch.no_grad():
            memory, step = run(model, subject.batch(count, seed=3))
            left = model.carry(memory, step.state)
        yield left  # not from within: whoever asked may want gradients


def loss_of(model: EncoderDecoder, batch: Batch, carry: State = ()) -> Tensor:
    """Return the mean cross-entropy of a batch that starts from `carry`."""
    _, step = run(model, batch, carry)
    logits = model.project(step.hidden[batch.target_mask])
    return functional.cross_entropy(logits.float(), batch.target_output[batch.target_mask])


def train_a_little(subject: Subject, seed: int = 0) -> EncoderDecoder:
    """Return a model in evaluation mode that has learnt for three steps: nothing stands where it was initialised."""
    model = subject.model(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batch = subject.batch()
    with torch.enable_grad():
        for _ in range(3):
            optimizer.zero_grad()
            losses = [loss_of(model, batch, carry) for carry in carries(subject, model, len(batch))]
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return model.eval()


def close(one: Tensor, other: Tensor, what: str) -> None:
    """Compare two tensors up to `TOLERANCE`.

    Raises:
        AssertionError: that says what differs by how much.
    """
    assert one.shape == other.shape, f"{what}: shapes {tuple(one.shape)} and {tuple(other.shape)}"
    assert one.dtype == other.dtype, f"{what}: types {one.dtype} and {other.dtype}"
    if not one.is_floating_point():
        assert torch.equal(one, other), f"{what} differ"
    elif not torch.allclose(one, other, atol=TOLERANCE, rtol=TOLERANCE):
        raise AssertionError(f"{what}: {(one - other).abs().max():.2e} apart")


def close_states(one: State, other: State, what: str) -> None:
    """Compare two states up to `TOLERANCE`; raises as `close` does."""
    assert len(one) == len(other), f"{what}: {len(one)} and {len(other)} tensors"
    for part, again in zip(one, other, strict=True):
        close(part, again, what)


def close_steps(one: Step, other: Step, what: str) -> None:
    """Compare hidden states, final states and attention up to `TOLERANCE`; raises as `close` does."""
    close(one.hidden, other.hidden, f"hidden states {what}")
    close_states(one.state, other.state, f"states {what}")
    assert (one.attention is None) == (other.attention is None), f"attention {what}: one has none"
    if one.attention is not None and other.attention is not None:
        close(one.attention, other.attention, f"attention {what}")


def same_states(one: State, other: State, what: str) -> None:
    """Compare two states to the bit.

    Raises:
        AssertionError: where they differ.
    """
    assert len(one) == len(other), f"{what}: {len(one)} and {len(other)} tensors"
    for part, again in zip(one, other, strict=True):
        assert part.dtype == again.dtype and torch.equal(part, again), f"{what} differ"


def rows_of(step: Step, index: Tensor) -> Step:
    """Return the rows of a step."""
    attention = None if step.attention is None else select_rows(step.attention, index)
    return Step(select_rows(step.hidden, index), select_rows(step.state, index), attention)
