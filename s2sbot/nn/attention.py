"""Decoder states and a memory of the source go in, context vectors and attention weights come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor, nn

from ..errors import LayerError
from .deferred import deferred, deferred_batch
from .products import FastLinear, linear

__all__ = ["SCORES", "AdditiveAttention", "Attention", "DotAttention", "GeneralAttention"]


class Attention(nn.Module):
    """A softmax of scores over the source, and the sum of its values weighted by that; a score derives from it.

    query_size  size of a decoder's state
    value_size  size of a value
    key_size    size of what it is compared by
    """

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        self.query_size, self.value_size = query_size, value_size
        self.key_size = value_size

    def keys(self, values: Tensor) -> Tensor:
        """Return what queries are compared with, [batch, source_time, ...], the same for every query."""
        return values

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return [batch, time, source_time] of queries [batch, time, query_size]."""
        raise NotImplementedError

    def forward(
        self, queries: Tensor, values: Tensor, mask: Tensor | None = None, keys: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Attend from [batch, time, query_size] to [batch, source_time, value_size].

        Returns context vectors, [batch, time, value_size], and weights, [batch, time, source_time]; a position where
        `mask`, [batch, source_time], is False has weight 0. `keys` may be given where they have been computed before.
        """
        scores = self.scores(queries, self.keys(values) if keys is None else keys)
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(1), float("-inf"))
        weights = scores.softmax(2)
        return torch.bmm(weights, values), weights

    def stepwise(self, values: Tensor, mask: Tensor, keys: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Return what attends from one step after the other, [batch, query_size], to the same source.

        It returns what `forward` does of a single step, [batch, value_size] and [batch, source_time]; all that does not
        depend on the query is made beforehand, for all steps.
        """
        score, mix = self._step_scores(keys), deferred_batch(values)
        hidden = torch.zeros_like(mask, dtype=values.dtype).masked_fill_(~mask, float("-inf"))

        def attend(query: Tensor) -> tuple[Tensor, Tensor]:
            weights = (score(query) + hidden).softmax(1)
            return mix(weights), weights

        return attend

    def _step_scores(self, keys: Tensor) -> Callable[[Tensor], Tensor]:
        """Return a function of a query, [batch, query_size], to its scores, [batch, source_time]."""
        return lambda query: self.scores(query.unsqueeze(1), keys).squeeze(1)


class DotAttention(Attention):
    """score(q, v) = q^T v (Luong et al. 2015, section 3.1)."""

    def __init__(self, query_size: int, value_size: int) -> None:
        if query_size != value_size:
            raise LayerError(
                f"the dot score compares queries of {query_size} with values of {value_size}",
                "make the sizes equal, or take the score `general`",
            )
        super().__init__(query_size, value_size)

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return the products."""
        return torch.bmm(queries, keys.transpose(1, 2))

    def _step_scores(self, keys: Tensor) -> Callable[[Tensor], Tensor]:
        return deferred_batch(keys.transpose(1, 2))


class GeneralAttention(Attention):
    """score(q, v) = q^T W v (Luong et al. 2015, section 3.1)."""

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__(query_size, value_size)
        self.query = FastLinear(query_size, value_size, bias=False)

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return the products."""
        return torch.bmm(self.query(queries), keys.transpose(1, 2))

    def _step_scores(self, keys: Tensor) -> Callable[[Tensor], Tensor]:
        """Map the source once, W^T v, in place of every query."""
        return deferred_batch(linear(keys, self.query.weight.t()).transpose(1, 2))


class AdditiveAttention(Attention):
    """score(q, v) = a^T tanh(W q + U v + b) (Bahdanau et al. 2015, section A.1.2); inside it is as wide as a query."""

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__(query_size, value_size)
        self.key_size = query_size
        self.query = FastLinear(query_size, query_size, bias=False)
        self.key = FastLinear(value_size, query_size)
        self.score = nn.Linear(query_size, 1, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """Return U v + b."""
        keys: Tensor = self.key(values)
        return keys

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Compare every query with every key: [batch, time, source_time, size] inside."""
        hidden = torch.tanh(self.query(queries).unsqueeze(2) + keys.unsqueeze(1))
        scores: Tensor = self.score(hidden).squeeze(3)
        return scores

    def _step_scores(self, keys: Tensor) -> Callable[[Tensor], Tensor]:
        query_of = deferred(self.query.weight)
        return lambda query: torch.tanh(query_of(query).unsqueeze(1) + keys) @ self.score.weight.squeeze(0)


SCORES: Final[Mapping[str, Callable[[int, int], Attention]]] = {
    "additive": AdditiveAttention,
    "dot": DotAttention,
    "general": GeneralAttention,
}
"""The scores that have a name."""
