"""Hand-made stand-ins: models that fulfil the contract."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from s2sbot import PAD
from s2sbot.nn import EncoderDecoder, LinearOutput, Memory, Recurrent, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    size: int = 12
    dropout: float = 0.1
    cell: str = "gru"


class Right(EncoderDecoder):
    """A recurrent encoder and decoder, with attention and without a mind."""

    Config = Config
    attends = True

    def __init__(self, config, source_vocab, target_vocab):
        super().__init__(config, source_vocab, target_vocab)
        size = config.size
        self.source = nn.Embedding(source_vocab, size, padding_idx=PAD)
        self.target = nn.Embedding(target_vocab, size, padding_idx=PAD)
        self.encoder = Recurrent(size, size, cell=config.cell)
        self.decoder = Recurrent(size, size, cell=config.cell)
        self.joined = nn.Linear(2 * size, size) if self.attends else None
        self.output = nn.Linear(size, target_vocab)
        self.dropout = nn.Dropout(config.dropout)

    def encode(self, source, source_mask, carry=()):
        values, state = self.encoder(self.dropout(self.source(source)), source_mask.sum(1), carry)
        return Memory(values, source_mask, state)

    def decode(self, tokens, memory, state):
        hidden, state = self.decoder(self.dropout(self.target(tokens)), tokens.ne(PAD).sum(1), state)
        if self.joined is None:
            return Step(hidden, state, None)
        weights = self.weights(hidden @ memory.values.transpose(1, 2), memory.mask)
        return Step(torch.tanh(self.joined(torch.cat([hidden, weights @ memory.values], 2))), state, weights)

    def weights(self, scores, mask):
        return scores.masked_fill(~mask.unsqueeze(1), -torch.inf).softmax(2)

    def project(self, hidden):
        return self.output(hidden)

    def embeddings(self):
        return self.source, self.target


class Plain(Right):
    """The same without attention."""

    attends = False


class Mindful(Right):
    """The same with a mind: the encoder goes on from the decoder's state."""

    stateful = True

    def carry(self, memory, final_state):
        return final_state


class NearlyTied(Right):
    """Rounds otherwise in a batch than alone, so that one of two words that tie wins here and the other one there."""

    rounding = 1e-6

    def project(self, hidden):
        logits = super().project(hidden)
        if hidden.dim() == 2:
            best = torch.full_like(logits[:, :1], 30.0)
            first, second = (best, best + self.rounding) if len(hidden) == 1 else (best + self.rounding, best)
            logits = torch.cat([logits[:, :20], first, second, logits[:, 22:]], 1)
        return logits


class SaysItsOutputLayer(Right):
    """The same, whose loss training takes from its output layer."""

    def project(self, hidden):
        return self.output(hidden)

    def output_layer(self):
        return LinearOutput(self.output.weight, self.output.bias)


class ProjectsOtherwise(SaysItsOutputLayer):
    """Has a `project` of its own, so that what it inherits of its output layer counts no more."""

    def project(self, hidden):
        return 2 * super().project(hidden)


class Adaptive(Right):
    """The same with an adaptive output layer."""

    def __init__(self, config, source_vocab, target_vocab):
        super().__init__(config, source_vocab, target_vocab)
        self.output = nn.AdaptiveLogSoftmaxWithLoss(config.size, target_vocab, [18, 24], div_value=2, head_bias=True)

    def project(self, hidden):
        return self.output.log_prob(hidden.flatten(0, -2)).unflatten(0, hidden.shape[:-1])

    def output_layer(self):
        return self.output
