"""Checks of what `encode`, `decode` and `project` return: shapes, stepping, padding, and rows that are selected."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..nn import Batch, EncoderDecoder, Memory, Step, select_rows
from .subject import Subject, carries, check_state, close, close_states, close_steps, loss_of, rows_of, run

__all__ = ["check_padding", "check_selection", "check_shapes", "check_steps", "check_vocabularies"]

COUNTS = (5, 3)
"""Two sizes of a batch, so that no other size that happens to be the same passes for it."""
SELECTIONS = ((4, 3, 2, 1, 0), (3,), (1, 1, 4), (0, 2, 2, 2, 0, 4, 3))
WIDER = 3
"""Columns of PAD beyond what the longest row needs."""


@torch.no_grad()
def check_shapes(subject: Subject) -> None:
    """Batch is the first dimension of everything, and the other dimensions are those that the contract gives."""
    model = subject.ready()
    for count in COUNTS:
        batch = subject.batch(count)
        for carry in carries(subject, model, count):
            memory, step = run(model, batch, carry)
            _check_memory(memory, count)
            _check_step(step, batch, memory)
            for hidden in (step.hidden, step.hidden[:, 0], step.hidden[batch.target_mask]):
                wanted = (*hidden.shape[:-1], subject.target_vocab)
                _shaped(model.project(hidden), wanted, f"project() of {tuple(hidden.shape)}")


def _check_memory(memory: Memory, count: int) -> None:
    assert memory.values.dim() == 3, f"the memory's values have {memory.values.dim()} dimensions, not 3"
    _shaped(memory.mask, (count, memory.values.shape[1]), "the memory's mask")
    assert memory.mask.dtype == torch.bool, f"the memory's mask is {memory.mask.dtype}, not bool"
    assert memory.mask.any(1).all(), "a row of the memory's mask has no position"
    check_state((memory.values, memory.mask), count, "the memory")
    check_state(memory.state, count, "the memory's state")


def _check_step(step: Step, batch: Batch, memory: Memory) -> None:
    count, time = batch.target_input.shape
    assert step.hidden.dim() == 3, f"the hidden states have {step.hidden.dim()} dimensions, not 3"
    _shaped(step.hidden[..., 0], (count, time), "the hidden states without their last dimension")
    check_state(step.state, count, "the state of decode()")
    before, after = ([(part.dtype, part.shape) for part in state] for state in (memory.state, step.state))
    assert before == after, f"decode() is given a state of {before} and returns one of {after}"
    if step.attention is not None:
        _shaped(step.attention, (count, time, memory.values.shape[1]), "attention")


def _shaped(tensor: Tensor, wanted: tuple[int, ...], what: str) -> None:
    assert tuple(tensor.shape) == wanted, f"{what}: shape {tuple(tensor.shape)}, not {wanted}"


def check_vocabularies(subject: Subject) -> None:
    """A source and a target of two vocabularies, whichever is the larger, can be learnt from."""
    larger, smaller = subject.source_vocab, subject.source_vocab - 11
    for source, target in ((larger, smaller), (smaller, larger)):
        other = subject.with_vocabularies(source, target)
        check_shapes(other)
        loss = loss_of(other.model(), other.batch())
        assert torch.isfinite(loss), f"vocabularies of {source} and {target}: the loss is {float(loss.detach())}"
        loss.backward()  # type: ignore[no-untyped-call]


@torch.no_grad()
def check_steps(subject: Subject) -> None:
    """Decoding token by token gives what decoding all tokens at once gives."""
    model, batch = subject.ready(), subject.level_batch()
    for carry in carries(subject, model, len(batch)):
        memory, whole = run(model, batch, carry)
        state, hidden, attention = memory.state, [], []
        for time in range(batch.target_input.shape[1]):
            step = model.decode(batch.target_input[:, time : time + 1], memory, state)
            state = step.state
            hidden.append(step.hidden)
            attention += [] if step.attention is None else [step.attention]
        joined = Step(torch.cat(hidden, 1), state, torch.cat(attention, 1) if attention else None)
        close_steps(whole, joined, "of all steps at once and one by one")


@torch.no_grad()
def check_padding(subject: Subject) -> None:
    """A row comes out the same by itself, among longer ones, and among more PAD than any row needs."""
    model = subject.ready()
    sources, targets = subject.rows(5)
    batch = Batch.collate(sources, targets)
    for carry in carries(subject, model, len(batch)):
        for together, where in ((batch, "in a batch"), (_widened(batch), "with more PAD than needed")):
            _, step = run(model, together, carry)
            for index in range(len(batch)):
                one = torch.tensor([index])
                alone = Batch.collate([sources[index]], [targets[index]])
                memory, own = run(model, alone, select_rows(carry, one))
                _check_row(model, rows_of(step, one), own, memory, f"of a row {where} and by itself")


def _widened(batch: Batch) -> Batch:
    source, mask, given, wanted, real = (
        functional.pad(part, (0, WIDER))
        for part in (batch.source, batch.source_mask, batch.target_input, batch.target_output, batch.target_mask)
    )
    return Batch(source, mask, given, wanted, real)


def _check_row(model: EncoderDecoder, padded: Step, own: Step, memory: Memory, what: str) -> None:
    time = own.hidden.shape[1]
    close(padded.hidden[:, :time], own.hidden, f"hidden states {what}")
    close(model.project(padded.hidden[:, :time]), model.project(own.hidden), f"logits {what}")
    close_states(padded.state, own.state, f"final states {what}")
    if padded.attention is not None and own.attention is not None:
        positions = memory.values.shape[1]
        close(padded.attention[:, :time, :positions], own.attention, f"attention {what}")
        beyond = padded.attention[:, :time, positions:]
        assert not beyond.abs().gt(0).any(), f"attention {what}: PAD is attended to"


@torch.no_grad()
def check_selection(subject: Subject) -> None:
    """Rows selected before a step are the rows selected after it; so it is with the memory."""
    model, batch = subject.ready(), subject.level_batch()
    tokens = batch.target_input
    for carry in carries(subject, model, len(batch)):
        memory = model.encode(batch.source, batch.source_mask, carry)
        first = model.decode(tokens[:, :1], memory, memory.state)
        second = model.decode(tokens[:, 1:2], memory, first.state)
        for selection in SELECTIONS:
            index = torch.tensor(selection)
            what = f"of rows {selection} selected before and after a step"
            chosen, state = select_rows(memory, index), select_rows(memory.state, index)
            step = model.decode(tokens[index, :1], chosen, state)
            close_steps(step, rows_of(first, index), what)
            step = model.decode(tokens[index, 1:2], chosen, select_rows(first.state, index))
            close_steps(step, rows_of(second, index), what)
        for selection in SELECTIONS:
            index = torch.tensor(selection)
            again = model.encode(batch.source[index], batch.source_mask[index], select_rows(carry, index))
            chosen = select_rows(memory, index)
            what = f"of rows {selection} selected before and after encode()"
            close(again.values, chosen.values, f"the memory's values {what}")
            close(again.mask, chosen.mask, f"the memory's mask {what}")
            close_states(again.state, chosen.state, f"the memory's state {what}")
