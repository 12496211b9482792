"""The model `attention`: a bidirectional encoder, and a decoder that looks back at all of it before every word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2sbot import PAD, hookimpl, knob
from s2sbot.nn import (
    CELLS,
    BidirectionalRecurrent,
    EncoderDecoder,
    GeneralAttention,
    Memory,
    Recurrent,
    State,
    Step,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionConfig:
    """The knobs of the table `model`."""

    cell: str = knob("lstm", "recurrent cell", choices=CELLS)
    embedding_size: int = knob(256, "size of a token's vector, and of the output layer's input", minimum=1)
    hidden_size: int = knob(512, "size of the decoder's state, and of both halves of the encoder's", minimum=2)
    depth: int = knob(1, "layers of the encoder, and of the decoder", minimum=1, maximum=16)
    dropout: float = knob(0.2, "share of activations dropped in training", minimum=0.0, maximum=0.9)
    share_embeddings: bool = knob(True, "one table of vectors for source and target, where they share a vocabulary")


class Attention(EncoderDecoder):
    """Luong et al. 2015 with general score and without input feeding, on the encoder of Bahdanau et al. 2015.

    As no step's input depends on the attention of the step before, the decoder's recurrence runs in one call over the
    whole target, and attention follows for all steps at once. The output layer is tied to the target's embedding.
    """

    Config = AttentionConfig
    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"embedding_size": 256, "hidden_size": 512, "depth": 1},
        "medium": {"embedding_size": 512, "hidden_size": 1024, "depth": 1},
        "large": {"embedding_size": 1024, "hidden_size": 2048, "depth": 2},
    }
    presets: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
        "luong2015": {
            "model": {
                "cell": "lstm",
                "embedding_size": 1000,
                "hidden_size": 1000,
                "depth": 4,
                "dropout": 0.2,
            },
            "data": {"vocab_size": 50_000, "max_length": 50},
        },
    }

    def __init__(self, config: AttentionConfig, source_vocab: int, target_vocab: int) -> None:
        super().__init__(config, source_vocab, target_vocab)
        embedding, hidden = config.embedding_size, config.hidden_size
        self.target_embedding = nn.Embedding(target_vocab, embedding, padding_idx=PAD)
        shared = config.share_embeddings and source_vocab == target_vocab
        self.source_embedding = self.target_embedding if shared else nn.Embedding(source_vocab, embedding, PAD)
        encoded = hidden + hidden % 2
        self.encoder = BidirectionalRecurrent(
            embedding, encoded, cell=config.cell, depth=config.depth, dropout=config.dropout
        )
        self.decoder = Recurrent(embedding, hidden, cell=config.cell, depth=config.depth, dropout=config.dropout)
        self.bridge = nn.ModuleList(nn.Linear(encoded, config.depth * hidden) for _ in range(self.decoder.state_parts))
        self.attention = GeneralAttention(hidden, encoded)
        self.combine = nn.Linear(hidden + encoded, embedding)
        self.output_bias = nn.Parameter(torch.zeros(target_vocab))
        self.dropout = nn.Dropout(config.dropout)
        for table in dict.fromkeys((self.source_embedding, self.target_embedding)):
            nn.init.normal_(table.weight, std=embedding**-0.5)
            with torch.no_grad():
                table.weight[PAD].zero_()

    def encode(self, source: Tensor, source_mask: Tensor, carry: State = ()) -> Memory:
        """Read the source both ways; the decoder starts from tanh of a linear map of the final states."""
        embedded = self.dropout(self.source_embedding(source))
        values, finals = self.encoder(embedded, source_mask.sum(1))
        depth, hidden = self.decoder.depth, self.decoder.hidden_size
        state = tuple(
            torch.tanh(bridge(final)).view(-1, depth, hidden) for bridge, final in zip(self.bridge, finals, strict=True)
        )
        return Memory(self.dropout(values), source_mask, state)

    def decode(self, tokens: Tensor, memory: Memory, state: State) -> Step:
        """Run the recurrence over all tokens, then attend for all of them (Luong et al. 2015, equation 5)."""
        embedded = self.dropout(self.target_embedding(tokens))
        lengths = None if tokens.shape[1] == 1 else tokens.ne(PAD).sum(1)
        hidden, state = self.decoder(embedded, lengths, state)
        context, weights = self.attention(hidden, memory.values, memory.mask)
        attentional = torch.tanh(self.combine(torch.cat([hidden, context], 2)))
        return Step(self.dropout(attentional), state, weights)

    def project(self, hidden: Tensor) -> Tensor:
        """Compare with every target token's embedding (Press & Wolf 2017)."""
        return functional.linear(hidden, self.target_embedding.weight, self.output_bias)


@hookimpl
def register_models() -> Mapping[str, type[EncoderDecoder]]:
    """Offer `attention`."""
    return {"attention": Attention}
