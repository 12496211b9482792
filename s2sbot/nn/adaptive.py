"""Cutoffs go in, an output layer with fewer numbers for rare tokens comes out, and the loss it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import torch
from torch import Tensor, nn

from ..errors import SettingsError
from .encoder_decoder import LinearOutput
from .output_loss import LOGITS_BYTES, linear_cross_entropy

__all__ = ["adaptive_cross_entropy", "adaptive_log_probabilities", "make_adaptive"]

DIVISOR: Final = 4
"""A cluster's vectors are so many times smaller than those of the one before it (Grave et al. 2017, section 4.3)."""


def make_adaptive(size: int, vocabulary: int, cutoffs: Sequence[int]) -> nn.AdaptiveLogSoftmaxWithLoss:
    """Make an output layer in which ids below the first cutoff have logits of their own, all others one for a cluster.

    Ids must stand in the order of frequency.

    Raises:
        SettingsError: where the cutoffs do not fit the vocabulary, or leave a cluster's vectors without a number.
    """
    name = f"model.adaptive_output cannot be {list(cutoffs)}"
    if list(cutoffs) != sorted(set(cutoffs)) or not 0 < cutoffs[0] <= cutoffs[-1] < vocabulary:
        raise SettingsError(
            f"{name} with a vocabulary of {vocabulary:,}", "give numbers that rise, all below the vocabulary's"
        )
    if size < DIVISOR ** len(cutoffs):
        raise SettingsError(
            f"{name} with an output layer of {size}", f"its last cluster would have {size} / {DIVISOR ** len(cutoffs)}"
        )
    return nn.AdaptiveLogSoftmaxWithLoss(size, vocabulary, cutoffs, div_value=DIVISOR, head_bias=True)


def adaptive_log_probabilities(layer: nn.AdaptiveLogSoftmaxWithLoss, hidden: Tensor) -> Tensor:
    """Return the log-probabilities of all tokens, [..., vocabulary], of hidden states, [..., size]."""
    flat = hidden.reshape(-1, hidden.shape[-1])
    return layer.log_prob(flat).view(*hidden.shape[:-1], layer.n_classes)


def adaptive_cross_entropy(
    hidden: Tensor,
    wanted: Tensor,
    *,
    layer: nn.AdaptiveLogSoftmaxWithLoss,
    label_smoothing: float = 0.0,
    logits_bytes: int = LOGITS_BYTES,
) -> Tensor:
    """Return the summed cross-entropy, in nats, of an adaptive softmax (Grave et al. 2017).

    Labels are smoothed within the head and within each cluster, not over the whole vocabulary.

    Args:
        hidden: [tokens, size].
        wanted: [tokens].
    """
    shortlist, head, losses = layer.shortlist_size, wanted, []
    for index, tail in enumerate(layer.tail):
        first, end = layer.cutoffs[index], layer.cutoffs[index + 1]
        inside = (wanted >= first) & (wanted < end)
        head = torch.where(inside, shortlist + index, head)
        rows = inside.nonzero().squeeze(1)
        if len(rows):
            inner, outer = cast(nn.Sequential, tail)
            losses.append(
                linear_cross_entropy(
                    inner(hidden.index_select(0, rows)),
                    wanted.index_select(0, rows) - first,
                    layer=LinearOutput(cast(Tensor, outer.weight), None),
                    label_smoothing=label_smoothing,
                    logits_bytes=logits_bytes,
                )
            )
    losses.append(
        linear_cross_entropy(
            hidden,
            head,
            layer=LinearOutput(layer.head.weight, layer.head.bias),
            label_smoothing=label_smoothing,
            logits_bytes=logits_bytes,
        )
    )
    return torch.stack(losses).sum()
