"""The tokens of a batch go in; unknown words in their places, or words that the model chose itself, come out."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..text.tokenizer import EOS, PAD, RESERVED, UNK
from .batch import Batch, send
from .encoder_decoder import EncoderDecoder, Memory, State

__all__ = ["decode_own", "drop_words"]


def drop_words(batch: Batch, share: float) -> Batch:
    """Return a batch, on the CPU, in which a share of the tokens is UNK, but none of those that are to be foretold.

    They are of the source, and those before the foretold one (Bowman et al. 2016, section 3.1); reserved ids stay.
    """
    source, target = (_unknown(tokens, share) for tokens in (batch.source, batch.target_input))
    return replace(batch, source=source, target_input=target)


def _unknown(tokens: Tensor, share: float) -> Tensor:
    dropped = (torch.rand(tokens.shape) < share) & tokens.ge(RESERVED)
    return tokens.masked_fill(dropped, UNK)


def decode_own(model: EncoderDecoder, tokens: Tensor, memory: Memory, share: float) -> tuple[Tensor, State]:
    """Decode step by step, where a share of the tokens after BOS are the model's own, not those that are given.

    Before each step a coin is flipped for each row (scheduled sampling: Bengio et al. 2015, section 2.4). A token of
    the model's own is drawn from what it foretells, of which the paper allows the likeliest too; no gradient goes
    through the choice. It is never a reserved id: the given row goes on, so EOS cannot stand before its end.

    Args:
        tokens: target input, [batch, time].

    Returns:
        the hidden states, [batch, time, size], which mean nothing on padding; and what `model.carry` makes of the state
        at each row's end.
    """
    real = tokens.ne(PAD)
    ends = real.sum(1) - 1
    # a row that has ended goes on with something, and nobody looks at it
    tokens = tokens.masked_fill(~real, EOS)
    # flipped on the CPU, so that no device is waited for
    coins = torch.rand(tokens.shape) < share
    steps: list[Tensor] = []
    state = memory.state
    carried: State = ()
    for time in range(tokens.shape[1]):
        given = tokens[:, time]
        own = coins[:, time].nonzero().squeeze(1)
        if steps and len(own):
            given = _choose(model, steps[-1].squeeze(1), given, send(own, given.device))
        step = model.decode(given.unsqueeze(1), memory, state)
        steps.append(step.hidden)
        state = step.state
        now = model.carry(memory, state)
        carried = _at_ends(now, carried, ends == time) if carried else now
    return torch.cat(steps, 1), carried


@torch.no_grad()
def _choose(model: EncoderDecoder, hidden: Tensor, given: Tensor, rows: Tensor) -> Tensor:
    """Return the given tokens, [batch], with some rows' drawn from what the model foretells there.

    Drawn as the largest of logits with Gumbel noise, which waits for no device and stands numbers that are not finite.
    """
    logits = model.project(hidden.index_select(0, rows))
    scores = logits - torch.empty_like(logits).exponential_().log()
    scores[:, :RESERVED] = -torch.inf
    return given.index_copy(0, rows, scores.argmax(1))


def _at_ends(now: State, before: State, ended: Tensor) -> State:
    """Return the rows of `now` where a row ends, those of `before` elsewhere."""
    return tuple(
        torch.where(ended.view(-1, *[1] * (new.dim() - 1)), new, old) for new, old in zip(now, before, strict=True)
    )
