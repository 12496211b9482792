"""Checks that a model can learn: gradients everywhere, and three small sets of exchanges known by heart."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..nn import Batch, EncoderDecoder, batch_loss, generate
from ..settings import DecodeSettings
from ..text.tokenizer import RESERVED
from .subject import Subject, carries, loss_of

__all__ = ["SETS", "check_by_heart", "check_gradients"]

Rows = Sequence[Sequence[int]]


def _rows(*rows: str) -> list[list[int]]:
    """Return ids of words that are written down as digits."""
    return [[RESERVED + int(digit) for digit in row] for row in rows]


_SOURCES = _rows("01", "234", "5", "613", "702", "46")
SETS: dict[str, tuple[Rows, Rows]] = {
    "copy": (_SOURCES, _SOURCES),
    "reverse": (_SOURCES, [row[::-1] for row in _SOURCES]),
    "exchanges": (_rows("012", "31", "456", "27", "60", "537"), _rows("76", "123", "04", "5", "226", "371")),
}
"""Sources and targets. No two sources have the same words in them, so that a bag of words is enough to tell them apart,
and no two targets are the same, so that who passes over the source cannot know them."""
STEPS, LOOK_EVERY = 1_000, 10
"""The budget, and how often greedy search says whether all is known. A plain GRU or LSTM encoder-decoder without
attention needs 60 steps at a hidden size of 32, up to 350 at 12, and twice as many with four layers."""
LEARNING_RATE, CLIP = 3e-3, 1.0


def check_gradients(subject: Subject) -> None:
    """In the first three steps every parameter that is to learn gets a gradient that is finite and not zero.

    Not in the first step alone: behind a gate that begins at zero the first gradient is zero, and rightly so.
    """
    model, batch = subject.model(), subject.batch()
    unreached = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert unreached, "the model has no parameter to learn"
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    for _ in range(3):
        optimizer.zero_grad()
        for carry in carries(subject, model, len(batch)):
            loss = loss_of(model, batch, carry)
            assert torch.isfinite(loss), f"the loss is {float(loss.detach())}"
            loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                assert torch.isfinite(parameter.grad).all(), f"the gradient of {name} is not finite"
                unreached -= {name} if parameter.grad.any() else set()
        optimizer.step()
    assert not unreached, f"no gradient reaches {', '.join(sorted(unreached))}"


def check_by_heart(subject: Subject, name: str) -> None:
    """Within a budget of steps, greedy search gives every target of a small set exactly."""
    sources, targets = SETS[name]
    model = dataclasses.replace(subject, config=_without_dropout(subject.config)).model()
    batch = Batch.collate(sources, targets)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    wrong: list[str] = []
    for step in range(1, STEPS + 1):
        loss, tokens = batch_loss(model.train(), batch)
        assert torch.isfinite(loss), f"after {step} steps the loss is {float(loss.detach())}"
        optimizer.zero_grad()
        (loss / tokens).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        if step % LOOK_EVERY == 0:
            wrong = _wrong(model.eval(), sources, targets)
            if not wrong:
                return
    raise AssertionError(f"after {STEPS} steps {len(wrong)} of {len(targets)} targets are wrong, such as {wrong[0]}")


def _wrong(model: EncoderDecoder, sources: Rows, targets: Rows) -> list[str]:
    found = generate(model, sources, DecodeSettings(max_length=8, min_length=0, no_repeat_ngram=0))
    return [
        f"{list(hypothesis.tokens)} for {list(target)}"
        for hypothesis, target in zip(found, targets, strict=True)
        if list(hypothesis.tokens) != list(target)
    ]


def _without_dropout(config: Any) -> Any:
    """Return a configuration without dropout, where it has a knob of that name."""
    known = dataclasses.is_dataclass(config) and any(field.name == "dropout" for field in dataclasses.fields(config))
    return dataclasses.replace(config, dropout=0.0) if known else config
