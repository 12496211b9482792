"""Checks of what a model hands on from one turn to the next: all of it through `carry`, and only where it says so."""

from __future__ import annotations

import torch
from torch import Tensor

from ..nn import Batch, EncoderDecoder, State, select_rows
from .subject import Subject, check_state, close, close_states, run, same_states, train_a_little
from .weights import stored

__all__ = ["check_mind", "check_mind_rows", "check_mind_zeros"]

FELT = 1e-6
"""By how much a mind must change some logit to have a say."""


@torch.no_grad()
def check_mind(subject: Subject) -> None:
    """`carry` is empty for a model that is not stateful; for one that is, replies depend on it, and on nothing else."""
    model, batch = subject.ready(), subject.batch()
    before = _logits(model, batch)
    for count in (3, 5):
        left = _left(subject, model, count)
        check_state(left, count, "carry()")
        if not model.stateful:
            assert not left, f"`stateful` is False, but carry() returns {len(left)} tensors"
        else:
            assert left, "`stateful` is True, but carry() is empty"
    assert torch.equal(before, _logits(model, batch)), "a reply depends on turns before, but not by way of carry()"
    learning = [_learning_logits(subject, batch, before=seed) for seed in (3, 4)]
    assert torch.equal(*learning), "in training a turn depends on those before, but not by way of carry()"
    if model.stateful:
        # a gate that begins shut is no fault, so the model learns a little first
        model = train_a_little(subject)
        minds = [_logits(model, batch, _left(subject, model, len(batch), seed=seed)) for seed in (3, 4)]
        for one, other in (minds, (_logits(model, batch), minds[0])):
            assert (one - other).abs().max() > FELT, "`stateful` is True, but a reply is the same whatever the carry is"


@torch.no_grad()
def check_mind_zeros(subject: Subject) -> None:
    """A carry of zeros equals an empty one, in all rows of a batch or in some of them."""
    model = train_a_little(subject)
    if not model.stateful:
        return
    batch = subject.batch()
    left = _left(subject, model, len(batch))
    empty = _logits(model, batch)
    zeros = tuple(torch.zeros_like(part) for part in left)
    close(_logits(model, batch, zeros), empty, "logits after a carry of zeros and after an empty one")
    begun = torch.arange(len(batch)) % 2 == 1
    some = tuple(part * begun.view(-1, *[1] * (part.dim() - 1)).to(part.dtype) for part in left)
    mixed = _logits(model, batch, some)
    what = "logits of a row that begins, in a batch where others go on and in one where none does"
    close(mixed[~begun], empty[~begun], what)
    what = "logits of a row that goes on, in a batch where others begin and in one where none does"
    close(mixed[begun], _logits(model, batch, left)[begun], what)


@torch.no_grad()
def check_mind_rows(subject: Subject) -> None:
    """A row's carry is that of the row by itself, commutes with selecting rows, and survives bytes to the bit."""
    model = train_a_little(subject)
    if not model.stateful:
        return
    sources, targets = subject.rows(5)
    batch = Batch.collate(sources, targets)
    left: State = ()
    for turn in ("first", "second"):
        before, (memory, step) = left, run(model, batch, left)
        left = model.carry(memory, step.state)
        if before:
            shapes = [[(tuple(part.shape), part.dtype) for part in each] for each in (before, left)]
            assert shapes[0] == shapes[1], f"carry() changes shape from turn to turn: {shapes[0]}, then {shapes[1]}"
        for row in range(len(batch)):
            one = torch.tensor([row])
            own = run(model, Batch.collate([sources[row]], [targets[row]]), select_rows(before, one))
            what = f"the {turn} carry of a row in a padded batch and by itself"
            close_states(select_rows(left, one), model.carry(own[0], own[1].state), what)
        index = torch.tensor([4, 2, 2, 0])
        chosen = model.carry(select_rows(memory, index), select_rows(step.state, index))
        close_states(chosen, select_rows(left, index), "carries of rows selected before and after")
        same_states(stored(left), left, "a carry and what was stored of it")


def _learning_logits(subject: Subject, batch: Batch, *, before: int) -> Tensor:
    """Return the logits of a new model in training mode, the same chances for dropout, after one other batch."""
    model = subject.model()
    _left(subject, model, len(batch), seed=before)
    torch.manual_seed(0)
    return _logits(model, batch)


def _left(subject: Subject, model: EncoderDecoder, count: int, *, seed: int = 3) -> State:
    """Return what a turn leaves."""
    memory, step = run(model, subject.batch(count, seed=seed))
    return model.carry(memory, step.state)


def _logits(model: EncoderDecoder, batch: Batch, carry: State = ()) -> Tensor:
    """Return the logits of the real tokens of a batch, PAD as zeros: [batch, time, vocabulary]."""
    _, step = run(model, batch, carry)
    return model.project(step.hidden) * batch.target_mask.unsqueeze(2)
