"""Decoder states and a memory of the source go in, context vectors and attention weights come out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["GeneralAttention"]


class GeneralAttention(nn.Module):
    """score(q, v) = q^T W v, a softmax over the source, and the weighted sum of v (Luong et al. 2015, section 3.1)."""

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, value_size, bias=False)

    def forward(self, queries: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Attend from [batch, time, query_size] to [batch, source_time, value_size].

        Returns context vectors, [batch, time, value_size], and weights, [batch, time, source_time]; a position where
        `mask`, [batch, source_time], is False has weight 0.
        """
        scores = torch.bmm(self.query(queries), values.transpose(1, 2))
        scores = scores.masked_fill(~mask.unsqueeze(1), float("-inf"))
        weights = scores.softmax(2)
        return torch.bmm(weights, values), weights
