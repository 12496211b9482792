"""Batches go in, the loss of a model and its perplexity come out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import SettingsError
from ..text.packed import Packed
from .adaptive import adaptive_cross_entropy
from .batch import Batch, send
from .dataset import Update, dialogue_slots, sequential_batches, sequential_dialogues
from .encoder_decoder import EncoderDecoder, LinearOutput, State, select_rows, trusted_output_layer
from .output_loss import LOGITS_BYTES, linear_cross_entropy, projected_cross_entropy
from .sampled_softmax import Candidates, Proposal, sampled_cross_entropy
from .sampling import decode_own, drop_words

__all__ = [
    "Minds",
    "Score",
    "UpdateLoss",
    "batch_loss",
    "evaluate",
    "in_dialogue_order",
    "output_loss",
    "turn_loss",
    "update_loss",
]


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
    loss, tokens, _ = turn_loss(model, batch, (), label_smoothing=label_smoothing)
    return loss, tokens


def turn_loss(
    model: EncoderDecoder,
    batch: Batch,
    carry: State,
    *,
    label_smoothing: float = 0.0,
    logits_bytes: int = LOGITS_BYTES,
    candidates: Candidates | None = None,
    target_tokens: int | None = None,
    scheduled_sampling: float = 0.0,
) -> tuple[Tensor, Tensor, State]:
    """Return what `batch_loss` does of turns that go on from `carry`, and what the turns after them start from.

    Args:
        logits_bytes: what the logits that are in memory at a time may take.
        candidates: what the real tokens of `batch.target_output` were drawn into, row by row.
        target_tokens: how many these are, where that is known, so that no device is waited for.
        scheduled_sampling: share of the previous tokens that are the model's own; see `decode_own`.
    """
    memory = model.encode(batch.source, batch.source_mask, carry)
    if scheduled_sampling:
        hidden, after = decode_own(model, batch.target_input, memory, scheduled_sampling)
    else:
        step = model.decode(batch.target_input, memory, memory.state)
        hidden, after = step.hidden, model.carry(memory, step.state)
    mask = batch.target_mask.flatten()
    real = (mask.nonzero() if target_tokens is None else torch.nonzero_static(mask, size=target_tokens)).squeeze(1)
    loss = output_loss(
        model,
        hidden.flatten(0, 1).index_select(0, real),
        batch.target_output.flatten().index_select(0, real),
        label_smoothing=label_smoothing,
        logits_bytes=logits_bytes,
        candidates=candidates,
    )
    return loss, mask.sum(), after


def output_loss(
    model: EncoderDecoder,
    hidden: Tensor,
    wanted: Tensor,
    *,
    label_smoothing: float = 0.0,
    logits_bytes: int = LOGITS_BYTES,
    candidates: Candidates | None = None,
) -> Tensor:
    """Return the summed cross-entropy, in nats, of `model.project(hidden)`, by the fastest way that equals it.

    Args:
        hidden: [tokens, size].
        wanted: [tokens].
        candidates: with them the loss is an estimate, in the training of a model whose output layer is linear.

    Raises:
        SettingsError: for candidates where the output layer is not linear.
    """
    layer = trusted_output_layer(model)
    if isinstance(layer, LinearOutput) and candidates is not None:
        return sampled_cross_entropy(
            hidden, candidates, layer=layer, label_smoothing=label_smoothing, logits_bytes=logits_bytes
        )
    if candidates is not None:
        raise SettingsError(
            f"the output layer of {type(model).__name__} is not linear, so it cannot learn from a sample of the tokens",
            "leave sampled softmax out",
        )
    if isinstance(layer, LinearOutput):
        return linear_cross_entropy(
            hidden, wanted, layer=layer, label_smoothing=label_smoothing, logits_bytes=logits_bytes
        )
    if layer is not None:
        return adaptive_cross_entropy(
            hidden, wanted, layer=layer, label_smoothing=label_smoothing, logits_bytes=logits_bytes
        )
    return projected_cross_entropy(model, hidden, wanted, label_smoothing=label_smoothing, logits_bytes=logits_bytes)


class Minds:
    """What open dialogues have in mind, by slot, from one update to the next.

    state  each [slots, ...]; empty before anything was kept, and for a model without a mind
    """

    def __init__(self, slots: int, state: State = ()) -> None:
        self.slots, self.state = slots, state

    def recall(self, update: Update) -> State:
        """Return what the dialogues of an update start from; zeros for those that begin."""
        if not self.state or not len(update.slots):
            return ()
        device = self.state[0].device
        fresh = send(torch.from_numpy(update.fresh), device)
        chosen = select_rows(self.state, send(torch.from_numpy(update.slots), device))
        return tuple(part.masked_fill(fresh.view(-1, *[1] * (part.dim() - 1)), 0.0) for part in chosen)

    def keep(self, update: Update, state: State) -> None:
        """Keep what the dialogues of an update ended in; no gradient goes back through it.

        Those that have fewer turns than the update are at their end, so `state` has rows for the others alone.
        """
        if not state or not len(update.slots):
            return
        if not self.state:
            self.state = tuple(part.new_zeros(self.slots, *part.shape[1:]) for part in state)
        slots = send(torch.from_numpy(update.slots[: state[0].shape[0]]), state[0].device)
        for kept, part in zip(self.state, state, strict=True):
            kept.index_copy_(0, slots, part.detach())


@dataclass(frozen=True, slots=True)
class UpdateLoss:
    """The summed loss of an update in nats, with its gradients, what it was taken over, and the minds at its end."""

    nats: Tensor
    carry: State
    target_tokens: int
    source_tokens: int
    exchanges: int


def update_loss(
    model: EncoderDecoder,
    packed: Packed,
    update: Update,
    minds: Minds,
    *,
    label_smoothing: float = 0.0,
    logits_bytes: int = LOGITS_BYTES,
    proposal: Proposal | None = None,
    word_dropout: float = 0.0,
    scheduled_sampling: float = 0.0,
) -> UpdateLoss:
    """Return the loss of an update, whose dialogues go on from `minds`; to keep what they end in is the caller's.

    Gradients go back through all turns of the update, and no further. With a proposal the loss is an estimate from the
    tokens that are drawn of it.
    """
    device = next(model.parameters()).device
    carry, losses = minds.recall(update), []
    targets = sources = exchanges = 0
    for rows in update.turns:
        carry = tuple(part[: len(rows)] for part in carry)
        batch = Batch.of(packed, rows)
        # counted before it is moved, so that no device is waited for
        target_tokens = int(batch.target_mask.sum())
        if word_dropout:
            batch = drop_words(batch, word_dropout)
        candidates = proposal.draw(batch.target_output[batch.target_mask]).to(device) if proposal else None
        targets += target_tokens
        sources += int(batch.source_mask.sum())
        exchanges += len(batch)
        loss, _, carry = turn_loss(
            model,
            batch.to(device),
            carry,
            label_smoothing=label_smoothing,
            logits_bytes=logits_bytes,
            candidates=candidates,
            target_tokens=target_tokens,
            scheduled_sampling=scheduled_sampling,
        )
        losses.append(loss)
    return UpdateLoss(torch.stack(losses).sum(), carry, targets, sources, exchanges)


def in_dialogue_order(model: EncoderDecoder, packed: Packed) -> bool:
    """Tell whether a model learns these exchanges in the order of their dialogues."""
    return model.stateful and packed.has_dialogues


@torch.no_grad()
def evaluate(model: EncoderDecoder, packed: Packed, *, batch_tokens: int) -> Score:
    """Score a model in evaluation mode, and leave it in the mode it was in.

    A model with a mind goes through each dialogue from its beginning, one of more than 32 exchanges in parts.
    """
    was_training = model.training
    model.eval()
    # summed up where the model is, so that no batch waits for the one before
    nats, tokens = torch.zeros((), dtype=torch.float64, device=next(model.parameters()).device), 0
    updates: Iterable[Update]
    if in_dialogue_order(model, packed):
        updates = sequential_dialogues(packed, batch_tokens)
    else:
        updates = map(Update.of_batch, sequential_batches(packed, batch_tokens))
    minds = Minds(dialogue_slots(packed, batch_tokens, 1))
    try:
        for update in updates:
            loss = update_loss(model, packed, update, minds)
            minds.keep(update, loss.carry)
            nats += loss.nats
            tokens += loss.target_tokens
    finally:
        model.train(was_training)
    return Score(float(nats), tokens)
