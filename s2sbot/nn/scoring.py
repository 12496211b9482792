"""Batches go in, the loss of a model and its perplexity come out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .batch import Batch
from .encoder_decoder import EncoderDecoder

__all__ = ["Score", "batch_loss", "evaluate"]


@dataclass(frozen=True, slots=True)
class Score:
    """How well a model foresees targets: summed negative log-likelihood in nats, and the tokens it was taken over.

    Every target's EOS counts as a token.
    """

    nats: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """Return the perplexity a token, infinite where it is beyond what a float holds."""
        try:
            return math.exp(self.nats / self.tokens)
        except OverflowError:
            return math.inf


def batch_loss(model: EncoderDecoder, batch: Batch, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return the summed cross-entropy of a batch under teacher forcing, in nats, and its number of target tokens.

    Only real positions reach the output layer, which is two thirds of the arithmetic of a small model.
    """
    memory = model.encode(batch.source, batch.source_mask)
    step = model.decode(batch.target_input, memory, memory.state)
    logits = model.project(step.hidden[batch.target_mask])
    wanted = batch.target_output[batch.target_mask]
    loss = functional.cross_entropy(logits.float(), wanted, reduction="sum", label_smoothing=label_smoothing)
    return loss, batch.target_mask.sum()


@torch.no_grad()
def evaluate(model: EncoderDecoder, batches: Iterable[Batch]) -> Score:
    """Score a model in evaluation mode, and leave it in the mode it was in."""
    was_training = model.training
    model.eval()
    nats, tokens = 0.0, 0
    try:
        for batch in batches:
            loss, count = batch_loss(model, batch)
            nats += float(loss)
            tokens += int(count)
    finally:
        model.train(was_training)
    return Score(nats, tokens)
