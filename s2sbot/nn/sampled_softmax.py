"""Counts of tokens and the wanted tokens of an update go in; a sample of tokens, and the loss it gives, come out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .batch import send
from .encoder_decoder import LinearOutput
from .output_loss import LOGITS_BYTES, linear_cross_entropy

__all__ = ["Candidates", "Proposal", "sampled_cross_entropy"]

COLUMNS: Final = 128
"""There is a multiple of so many candidates."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The tokens of one update that stand for the whole vocabulary.

    ids         [candidates], rising; at the end some may be zero that count nothing
    chances     [candidates], how likely each was to be among them; 1 for the wanted ones, infinite for what counts not
    places      [tokens], where in `ids` each wanted token is
    vocabulary  how many tokens they stand for
    """

    ids: Tensor
    chances: Tensor
    places: Tensor
    vocabulary: int

    def to(self, device: torch.device) -> Candidates:
        """Return candidates that are on the CPU on `device`, for which nobody waits."""
        ids, chances, places = (send(part, device) for part in (self.ids, self.chances, self.places))
        return replace(self, ids=ids, chances=chances, places=places)


@dataclass(frozen=True, slots=True)
class Proposal:
    """How likely each token is to be drawn for an update; the draws are independent of each other.

    chances  [vocabulary], on the CPU
    """

    chances: Tensor

    @classmethod
    def of_counts(cls, counts: NDArray[np.int64], negatives: int, *, power: float = 0.75) -> Proposal:
        """Return chances that sum to `negatives`, in proportion to (count + 1) ** power but none above 1.

        Args:
            counts: [vocabulary], how often the corpus has each token.
        """
        weights = (counts + 1.0) ** power
        certain = np.zeros(len(counts), bool)
        chances = np.ones(len(counts))
        while negatives < len(counts):
            chances = np.where(certain, 1.0, weights * (negatives - certain.sum()) / weights[~certain].sum())
            if not (chances > 1.0).any():
                break
            certain |= chances >= 1.0
        return cls(torch.from_numpy(chances))

    def draw(self, wanted: Tensor, *, generator: torch.Generator | None = None) -> Candidates:
        """Draw the candidates of an update: all wanted tokens, and others by chance.

        Args:
            wanted: [tokens], on the CPU, so that no other device is waited for.
            generator: torch's own of the CPU where not given, which a checkpoint holds.
        """
        chosen = torch.rand(len(self.chances), generator=generator) < self.chances
        chances = self.chances.index_fill(0, wanted, 1.0)
        ids = chosen.index_fill_(0, wanted, True).nonzero().squeeze(1)
        places = torch.searchsorted(ids, wanted.contiguous())
        # one whose chance is infinite counts nothing: with a multiple of some, products have few shapes
        rest = (0, -len(ids) % COLUMNS)
        chances = functional.pad(chances[ids], rest, value=torch.inf)
        return Candidates(functional.pad(ids, rest), chances, places, len(self.chances))


def sampled_cross_entropy(
    hidden: Tensor,
    candidates: Candidates,
    *,
    layer: LinearOutput,
    label_smoothing: float = 0.0,
    logits_bytes: int = LOGITS_BYTES,
) -> Tensor:
    """Return an estimate of the summed cross-entropy, in nats, from some rows of the output layer alone.

    Each logit is corrected by the log of the chance that its token had to be among the candidates, so that the sum of
    their exponentials estimates the normaliser of the softmax without bias (importance sampling: Bengio & Senecal 2008,
    section III; of a set for a whole update: Jean et al. 2015, section 3.1); the log of it is too low on average.

    Args:
        hidden: [tokens, size].
    """
    weight = layer.weight.index_select(0, candidates.ids)
    bias = None if layer.bias is None else layer.bias.index_select(0, candidates.ids)
    correction = -candidates.chances.log().to(weight.dtype)
    loss = linear_cross_entropy(
        hidden,
        candidates.places,
        layer=LinearOutput(weight, correction if bias is None else bias + correction),
        logits_bytes=logits_bytes,
    )
    if not label_smoothing:
        return loss
    # the mean logit of all tokens, estimated without bias too
    shares = (1 / (candidates.vocabulary * candidates.chances)).to(weight.dtype)
    mean = (hidden.sum(0) * (shares.unsqueeze(1) * weight).sum(0)).sum()
    target = (hidden * weight.index_select(0, candidates.places)).sum()
    if bias is not None:
        mean = mean + len(hidden) * (shares * bias).sum()
        target = target + bias.index_select(0, candidates.places).sum()
    return loss + label_smoothing * (target - mean)
