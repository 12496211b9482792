"""The model `mean`: a decoder that sees, beside every token, the mean of the source's word vectors."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from s2sbot import PAD, hookimpl, knob
from s2sbot.nn import EncoderDecoder, Memory, Recurrent, State, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanConfig:
    """The knobs of the table `model`."""

    size: int = knob(256, "size of a token's vector and of the decoder's state", minimum=1)
    dropout: float = knob(0.1, "share of activations dropped in training", minimum=0.0, maximum=0.9)


class Mean(EncoderDecoder):
    """A bag of words and a GRU: which words the source has is kept, their order is not."""

    Config = MeanConfig

    def __init__(self, config: MeanConfig, source_vocab: int, target_vocab: int) -> None:
        super().__init__(config, source_vocab, target_vocab)
        self.source = nn.Embedding(source_vocab, config.size, padding_idx=PAD)
        self.target = nn.Embedding(target_vocab, config.size, padding_idx=PAD)
        self.decoder = Recurrent(2 * config.size, config.size, cell="gru")
        self.output = nn.Linear(config.size, target_vocab)
        self.dropout = nn.Dropout(config.dropout)

    def encode(self, source: Tensor, source_mask: Tensor, carry: State = ()) -> Memory:
        """Take the mean over the source: [batch, source_time] -> values [batch, 1, size]."""
        summed = self.source(source).sum(1)  # PAD's vector is zero
        mean = summed / source_mask.sum(1, keepdim=True)  # [batch, size]
        return Memory(self.dropout(mean).unsqueeze(1), source_mask[:, :1], self.decoder.zeros(mean))

    def decode(self, tokens: Tensor, memory: Memory, state: State) -> Step:
        """Put the mean beside every target token: [batch, time] -> hidden [batch, time, size]."""
        context = memory.values.expand(-1, tokens.shape[1], -1)
        inputs = torch.cat([self.dropout(self.target(tokens)), context], 2)
        hidden, state = self.decoder(inputs, tokens.ne(PAD).sum(1), state)
        return Step(self.dropout(hidden), state, None)

    def project(self, hidden: Tensor) -> Tensor:
        """[..., size] -> logits [..., target_vocab]."""
        return self.output(hidden)


@hookimpl
def register_models() -> Mapping[str, type[EncoderDecoder]]:
    """Offer `mean`."""
    return {"mean": Mean}
