"""A model and a few exchanges go in; where it does otherwise in one way than in another comes out in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from ..nn.batch import Batch, Ids
from ..nn.decoding import generate
from ..nn.encoder_decoder import EncoderDecoder, State
from ..settings import DecodeSettings

__all__ = [
    "Fault",
    "batch_of",
    "decoding_fault",
    "evaluation_fault",
    "foretold",
    "padding_fault",
    "row_nats",
    "step_fault",
]

TOLERANCE: Final = 1e-3
"""How far apart two numbers may be, absolutely and relatively, that should be one; below it is rounding."""
WIDER: Final = 3
"""Columns of PAD beyond what a row needs."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What differs, and what to do about it."""

    said: str
    remedy: str


def row_nats(model: EncoderDecoder, batch: Batch) -> Tensor:
    """Return the loss of each row in nats, [batch], in the mode that the model is in."""
    memory = model.encode(batch.source, batch.source_mask)
    step = model.decode(batch.target_input, memory, memory.state)
    logits = model.project(step.hidden).float()
    nats = functional.cross_entropy(logits.flatten(0, 1), batch.target_output.flatten(), reduction="none")
    return nats.view(batch.target_mask.shape).masked_fill(~batch.target_mask, 0.0).sum(1)


def foretold(model: EncoderDecoder, batch: Batch) -> Tensor:
    """Return the log-probabilities of all tokens at each real place of the targets, [tokens, vocabulary]."""
    memory = model.encode(batch.source, batch.source_mask)
    step = model.decode(batch.target_input, memory, memory.state)
    return model.project(step.hidden[batch.target_mask]).float().log_softmax(1)


def _apart(one: Tensor, other: Tensor) -> bool:
    return one.shape != other.shape or not torch.allclose(one, other, atol=TOLERANCE, rtol=TOLERANCE)


@torch.no_grad()
def padding_fault(model: EncoderDecoder, rows: Sequence[tuple[Ids, Ids]], device: torch.device) -> Fault | None:
    """Tell whether the loss of a row by itself is another one with PAD behind its source, or among other rows."""
    model.eval()
    together = row_nats(model, batch_of(rows, device))
    for place, row in enumerate(rows):
        batch = batch_of([row], device)
        alone = row_nats(model, batch)
        length = f"an exchange of {len(row[0])} and {len(row[1])} tokens"
        if _apart(alone, row_nats(model, batch)):
            return Fault(
                "the same exchange has another loss each time that it is gone through, in evaluation too",
                "keep nothing from one call to the next but in what is returned, and draw nothing by chance there",
            )
        padded = row_nats(model, _wider_source(batch))
        if _apart(alone, padded):
            return Fault(
                f"the padding of a source counts: the loss of {length} is {float(alone):.4f} nats, and"
                f" {float(padded):.4f} with {WIDER} PAD behind its source",
                "heed `source_mask` in encode(), and `memory.mask` where decode() attends",
            )
        padded = row_nats(model, _wider_target(batch))
        if _apart(alone, padded):
            return Fault(
                f"what comes behind a token counts: the loss of {length} is {float(alone):.4f} nats, and"
                f" {float(padded):.4f} with {WIDER} PAD behind its target",
                "let decode() make each hidden state of the tokens up to its own place alone",
            )
        if _apart(alone[0], together[place]):
            return Fault(
                f"the other rows of a batch count: the loss of {length} is {float(alone):.4f} nats by itself, and"
                f" {float(together[place]):.4f} among {len(rows)}",
                "compute each row from itself alone: look for a mean, a norm or a place over the first dimension",
            )
    return None


@torch.no_grad()
def step_fault(model: EncoderDecoder, rows: Sequence[tuple[Ids, Ids]], device: torch.device) -> Fault | None:
    """Tell whether decoding token by token gives something else than decoding whole targets in a batch."""
    model.eval()
    batch = batch_of(rows, device)
    memory = model.encode(batch.source, batch.source_mask)
    whole = model.decode(batch.target_input, memory, memory.state)
    for name, state in (("encode()", memory.state), ("decode()", whole.state)):
        shapes = [tuple(part.shape) for part in state if part.dim() == 0 or part.shape[0] != len(rows)]
        if shapes:
            return Fault(
                f"the state that {name} returns for {len(rows)} rows has a tensor of shape {shapes[0]}",
                "make batch the first dimension of every tensor in it: searching picks rows of it",
            )
    for place, row in enumerate(rows):
        hidden, state = _stepped(model, batch_of([row], device))
        if _apart(hidden, whole.hidden[place : place + 1, : hidden.shape[1]]):
            return Fault(
                f"decode() with one token after the other makes other hidden states than with all {hidden.shape[1]} at"
                " once, so the bot would not say what it has learnt",
                "let all that decode() knows of the tokens before be in the state that it returns and is given",
            )
        if any(_apart(part, end[place : place + 1]) for part, end in zip(state, whole.state, strict=True)):
            return Fault(
                "the state that decode() returns for a row with PAD at its end is not that after its last real token",
                "hand the state at each row's length on, not that at the last column: see docs/adr/0002-padding.md",
            )
    return None


def _stepped(model: EncoderDecoder, batch: Batch) -> tuple[Tensor, State]:
    memory = model.encode(batch.source, batch.source_mask)
    state, hidden = memory.state, []
    for time in range(batch.target_input.shape[1]):
        step = model.decode(batch.target_input[:, time : time + 1], memory, state)
        state = step.state
        hidden.append(step.hidden)
    return torch.cat(hidden, 1), state


@torch.no_grad()
def evaluation_fault(model: EncoderDecoder, rows: Sequence[tuple[Ids, Ids]], device: torch.device) -> Fault | None:
    """Tell whether a model without dropout has another loss in evaluation than in training."""
    batch = batch_of(rows, device)
    learning = foretold(model.train(), batch)
    talking = foretold(model.eval(), batch)
    if not _apart(learning, talking):
        return None
    apart = float((learning - talking).abs().max())
    return Fault(
        f"without dropout, log-probabilities in training and in evaluation are up to {apart:.4f} apart",
        "look for what evaluation switches off besides dropout, and for what the model keeps from call to call",
    )


def decoding_fault(model: EncoderDecoder, rows: Sequence[tuple[Ids, Ids]], shown: Sequence[str]) -> Fault | None:
    """Tell whether greedy search finds something else than targets that are known by heart.

    Args:
        shown: the texts of the sources.
    """
    longest = max(len(target) for _, target in rows)
    settings = DecodeSettings(method="greedy", max_length=longest + 4, min_length=0, no_repeat_ngram=0)
    found = generate(model.eval(), [source for source, _ in rows], settings)
    wrong = [
        place
        for place, (hypothesis, (_, target)) in enumerate(zip(found, rows, strict=True))
        if list(hypothesis.tokens) != list(target)
    ]
    if not wrong:
        return None
    return Fault(
        f"the model knows all targets by heart, yet greedy search finds others for {len(wrong)} of {len(rows)} sources,"
        f" such as {shown[wrong[0]]!r}: decoding differs from training",
        "look at what decode() and project() do with one token a row, and at the state between steps",
    )


def batch_of(rows: Sequence[tuple[Ids, Ids]], device: torch.device) -> Batch:
    """Return exchanges of bare ids as tensors."""
    return Batch.collate([source for source, _ in rows], [target for _, target in rows]).to(device)


def _wider_source(batch: Batch) -> Batch:
    source, mask = (functional.pad(part, (0, WIDER)) for part in (batch.source, batch.source_mask))
    return replace(batch, source=source, source_mask=mask)


def _wider_target(batch: Batch) -> Batch:
    given, wanted, mask = (
        functional.pad(part, (0, WIDER)) for part in (batch.target_input, batch.target_output, batch.target_mask)
    )
    return replace(batch, target_input=given, target_output=wanted, target_mask=mask)
