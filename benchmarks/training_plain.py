"""The same model without s2sbot, as one would write it in plain PyTorch: what `benchmarks/training.py` compares with.

It has the layers of `attention` with a bidirectional LSTM, the score `general` and an output of its own, so that the
weights of the one can be put into the other. Padding is masked or packed wherever it could change a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from s2sbot import BOS, EOS, PAD
from s2sbot.text.packed import Packed

CLIP, RATE = 1.0, 1e-3
NAMES = {
    "source_embedding": "source_embedding",
    "target_embedding": "target_embedding",
    "encoder.pairs.0.0.stack.layers.0.fused": "encoder",
    "encoder.pairs.0.1.stack.layers.0.fused": "encoder reverse",
    "decoder.stack.layers.0.fused": "decoder",
    "bridge.0": "bridge_h",
    "bridge.1": "bridge_c",
    "attention.query": "query",
    "readout.0": "readout",
    "output": "output",
}
"""Layers of s2sbot's model by their names, and what they are called here."""

Pairs = Sequence[tuple[list[int], list[int]]]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Those of the common model; the tables of source and target are apart."""

    vocabulary: int = 8000
    embedding: int = 256
    hidden: int = 512
    dropout: float = 0.2

    @property
    def knobs(self) -> dict[str, object]:
        """Return them as s2sbot's table `model`."""
        return {
            "cell": "lstm",
            "embedding_size": self.embedding,
            "hidden_size": self.hidden,
            "depth": 1,
            "dropout": self.dropout,
            "bidirectional": True,
            "score": "general",
            "share_embeddings": False,
            "tie_output": False,
        }


class PlainModel(nn.Module):
    """A bidirectional LSTM encoder, an LSTM decoder, general attention, tanh readout, output layer.

    step_by_step   the decoder is a loop over LSTMCell that attends at every step, as tutorials have it; otherwise one
                   call over the whole target, and attention for all steps at once
    input_feeding  a step's attentional vector goes into the next step, which only a loop can do
    """

    def __init__(self, sizes: Sizes, *, step_by_step: bool, input_feeding: bool = False) -> None:
        super().__init__()
        size, hidden = sizes.embedding, sizes.hidden
        self.input_feeding = input_feeding
        self.source_embedding = nn.Embedding(sizes.vocabulary, size, padding_idx=PAD)
        self.target_embedding = nn.Embedding(sizes.vocabulary, size, padding_idx=PAD)
        self.encoder = nn.LSTM(size, hidden // 2, batch_first=True, bidirectional=True)
        entering = size + hidden if input_feeding else size
        self.decoder: nn.LSTM | nn.LSTMCell = (
            nn.LSTMCell(entering, hidden)
            if step_by_step or input_feeding
            else nn.LSTM(entering, hidden, batch_first=True)
        )
        self.bridge_h, self.bridge_c = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.query = nn.Linear(hidden, hidden, bias=False)
        self.readout = nn.Linear(2 * hidden, hidden)
        self.output = nn.Linear(hidden, sizes.vocabulary)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """Return logits, [batch, target_time, vocabulary], of a target that begins with BOS."""
        embedded = self.dropout(self.source_embedding(source))
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        states, (h, c) = self.encoder(packed)
        values = self.dropout(pad_packed_sequence(states, batch_first=True)[0])
        h = torch.tanh(self.bridge_h(torch.cat([h[0], h[1]], 1)))
        c = torch.tanh(self.bridge_c(torch.cat([c[0], c[1]], 1)))
        padding = source.eq(PAD).unsqueeze(1)
        embedded = self.dropout(self.target_embedding(target))
        if isinstance(self.decoder, nn.LSTM):
            hidden, _ = self.decoder(embedded, (h.unsqueeze(0), c.unsqueeze(0)))
            return self._logits(self._attend(hidden, values, padding))
        attentional = torch.zeros_like(h)
        found = []
        for time in range(target.shape[1]):
            entering = torch.cat([embedded[:, time], attentional], 1) if self.input_feeding else embedded[:, time]
            h, c = self.decoder(entering, (h, c))
            attentional = self._attend(h.unsqueeze(1), values, padding).squeeze(1)
            found.append(attentional)
        return self._logits(torch.stack(found, 1))

    def _attend(self, hidden: Tensor, values: Tensor, padding: Tensor) -> Tensor:
        scores = torch.bmm(self.query(hidden), values.transpose(1, 2)).masked_fill(padding, float("-inf"))
        context = torch.bmm(scores.softmax(2), values)
        return self.dropout(torch.tanh(self.readout(torch.cat([hidden, context], 2))))

    def _logits(self, attentional: Tensor) -> Tensor:
        logits: Tensor = self.output(attentional)
        return logits

    def take_weights(self, model: nn.Module) -> None:
        """Take those of s2sbot's model, so that both compute the same.

        Raises:
            RuntimeError: where one of the two has a weight that the other has not.
        """
        taken = {}
        for name, weight in model.state_dict().items():
            layer, kind = name.rsplit(".", 1)
            mine, _, reverse = NAMES[layer].partition(" ")
            if isinstance(getattr(self, mine), nn.LSTMCell):
                kind = kind.removesuffix("_l0")
            taken[f"{mine}.{kind}_{reverse}" if reverse else f"{mine}.{kind}"] = weight
        self.load_state_dict(taken)


def collate(pairs: Pairs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return source, its lengths, the target that goes in and the target that is to come out, padded on the right."""
    sources = [torch.tensor([*source, EOS]) for source, _ in pairs]
    entering = [torch.tensor([BOS, *target]) for _, target in pairs]
    leaving = [torch.tensor([*target, EOS]) for _, target in pairs]
    lengths = torch.tensor([len(source) for source in sources])
    source, before, after = (pad_sequence(rows, True, PAD) for rows in (sources, entering, leaving))
    return source, lengths, before, after


def plain_loss(model: PlainModel, pairs: Pairs) -> Tensor:
    """Return the mean cross-entropy a target token, EOS included, in nats."""
    source, lengths, before, after = collate(pairs)
    logits = model(source, lengths, before)
    return functional.cross_entropy(logits.flatten(0, 1), after.flatten(), ignore_index=PAD)


class PlainTraining:
    """The training step of a plain loop: torch's own Adam and clipping, as they come."""

    def __init__(self, model: PlainModel, packed: Packed) -> None:
        self.model, self.packed = model, packed
        self.optimizer = torch.optim.Adam(model.parameters(), lr=RATE)

    def step(self, rows: NDArray[np.int64]) -> float:
        """Learn from some exchanges, and return their loss."""
        self.model.train()
        self.optimizer.zero_grad()
        loss = plain_loss(self.model, [self.packed.row(int(row)) for row in rows])
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        return loss.item()
