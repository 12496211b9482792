"""The model `attention`: a bidirectional encoder, and a decoder that looks back at all of it before every word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from s2sbot import PAD, SettingsError, hookimpl, knob
from s2sbot.nn import (
    SCORES,
    EncoderDecoder,
    Memory,
    RecurrentConfig,
    RecurrentModel,
    State,
    Step,
    Stepper,
    deferred,
    initialise,
    last_real,
)

# What is not the paper's: a state is compared with the source after the step, not before it, and its context goes into
# the next step (Luong et al. 2015, section 3.3); the output layer sees tanh of a linear map of both, not 500 maxout
# units of the previous token's vector too; and the decoder starts from both ends of the source, not from its beginning.
BAHDANAU: Mapping[str, Mapping[str, Any]] = {
    "model": {
        "cell": "gru",
        "embedding_size": 620,
        "hidden_size": 1000,
        "encoder_size": 2000,
        "depth": 1,
        "dropout": 0.0,
        "score": "additive",
        "input_feeding": True,
        "share_embeddings": False,
        "tie_output": False,
        "initialisation": "orthogonal",
        "init_scale": 0.01,
    },
    "data": {"tokenizer": "words", "vocab_size": 30_000, "share_tokenizer": False, "max_length": 50},
    # 80 sentences an update
    "train": {
        "epochs": 5,
        "batch_tokens": 4_000,
        "optimizer": "adadelta",
        "learning_rate": 1.0,
        "average": "exchanges",
        "schedule": "constant",
        "warmup_steps": 0,
        "clip": 1.0,
    },
    "decode": {"method": "beam"},
}

# with dropout: twelve passes, the rate halved every pass from the eighth on; 128 sentences an update
LUONG: Mapping[str, Mapping[str, Any]] = {
    "model": {
        "cell": "lstm",
        "embedding_size": 1000,
        "hidden_size": 1000,
        "depth": 4,
        "dropout": 0.2,
        "bidirectional": False,
        "reverse_source": True,
        "score": "general",
        "input_feeding": True,
        "share_embeddings": False,
        "tie_output": False,
        "initialisation": "uniform",
        "init_scale": 0.1,
    },
    "data": {"tokenizer": "words", "vocab_size": 50_000, "share_tokenizer": False, "max_length": 50},
    "train": {
        "epochs": 12,
        "batch_tokens": 7_000,
        "optimizer": "sgd",
        "learning_rate": 1.0,
        "average": "exchanges",
        "schedule": "halving",
        "halving_start": 2 / 3,
        "halvings": 4,
        "warmup_steps": 0,
        "clip": 5.0,
    },
    "decode": {"method": "beam", "beam_size": 10},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionConfig(RecurrentConfig):
    """The knobs of the table `model`."""

    bidirectional: bool = knob(True, "the encoder reads in both directions, with half of its size each")
    broadcast_state: bool = knob(True, "the decoder starts from a map of the encoder's last states, not from zeros")
    score: str = knob("general", "how states are compared with the source", choices=tuple(SCORES))
    input_feeding: bool = knob(
        False, "what was attended to goes into the next step too; slower, as training goes step by step"
    )
    encoder_size: int | None = knob(None, "size of the encoder's state; hidden_size where not given", minimum=2)

    def __post_init__(self) -> None:
        """Refuse what no knob can see by itself."""
        encoder = self.encoder_size or self.hidden_size
        if self.bidirectional and encoder % 2:
            name = "encoder_size" if self.encoder_size else "hidden_size"
            raise SettingsError(
                f"model.{name} cannot be {encoder} with model.bidirectional", "each direction has half: make it even"
            )
        if self.score == "dot" and encoder != self.hidden_size:
            raise SettingsError(
                f"model.score cannot be 'dot' with states of {self.hidden_size} and an encoder of {encoder}",
                "it needs equal sizes: take `general`, or leave model.encoder_size out",
            )


class Attention(RecurrentModel):
    """Luong et al. 2015 on the encoder of Bahdanau et al. 2015.

    Without `input_feeding` no step's input depends on the attention of the step before, so the decoder's recurrence
    runs in one call over the whole target, and attention follows for all steps at once. With it the attentional vector
    of a step goes into the next one (section 3.3), and is part of the state.
    """

    Config = AttentionConfig
    config: AttentionConfig
    presets: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
        "luong2015": LUONG,
        "luong2015-small": {
            "model": {**LUONG["model"], "embedding_size": 256, "hidden_size": 256, "depth": 2},
            "train": {**LUONG["train"], "batch_tokens": 1_000},
            "decode": LUONG["decode"],
        },
        "bahdanau2015": BAHDANAU,
        "bahdanau2015-small": {
            "model": {
                **BAHDANAU["model"],
                "embedding_size": 256,
                "hidden_size": 256,
                "encoder_size": 512,
                "init_scale": 0.05,
            },
            # clipped to 1, gradients are small beside Adadelta's constant: after 300 updates perplexity is 327, not 151
            "train": {**BAHDANAU["train"], "batch_tokens": 1_000, "clip": 1e6},
            "decode": BAHDANAU["decode"],
        },
    }

    def __init__(self, config: AttentionConfig, source_vocab: int, target_vocab: int) -> None:
        encoded = config.encoder_size or config.hidden_size
        width = config.embedding_size if config.tie_output else config.hidden_size
        super().__init__(
            config,
            source_vocab,
            target_vocab,
            extra_input=width if config.input_feeding else 0,
            extra_output=encoded,
            encoder_size=encoded,
        )
        tensors = len(self.decoder.state_sizes) // self.decoder.layer_states * config.hidden_size
        bridges = self.decoder.layer_states if config.broadcast_state else 0
        self.bridge = nn.ModuleList(nn.Linear(encoded, tensors) for _ in range(bridges))
        self.attention = SCORES[config.score](config.hidden_size, encoded)
        initialise(self, config)

    def encode(self, source: Tensor, source_mask: Tensor, carry: State = ()) -> Memory:
        """Read the source; the decoder starts from tanh of a linear map of the last layer's final states."""
        values, finals = self.encode_states(source, source_mask)
        state = self.decoder.zeros(values)
        if self.config.broadcast_state:
            last = finals[-self.decoder.layer_states :]
            mapped = [torch.tanh(bridge(part)) for bridge, part in zip(self.bridge, last, strict=True)]
            layers = zip(*(torch.split(part, self.config.hidden_size, 1) for part in mapped), strict=True)
            state = tuple(part for layer in layers for part in layer)
        if self.config.input_feeding:
            state = (*state, values.new_zeros(values.shape[0], self.width))
        values = self.memory_dropout(values)
        if self.config.score == "additive":
            # what queries are compared with stands beside the values, so that no step maps the source anew
            values = torch.cat([values, self.attention.keys(values)], 2)
        return Memory(values, source_mask, state)

    def decode(self, tokens: Tensor, memory: Memory, state: State) -> Step:
        """Run the recurrence over all tokens, then attend for all of them; or both step by step with input feeding."""
        if self.config.input_feeding:
            return self._fed(tokens, memory, state)
        _, hidden, state = self.run_decoder(tokens, state)
        attentional, weights = self._attend(hidden, memory)
        return Step(attentional, state, weights)

    def _attend(self, hidden: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return tanh(W [h ; c]) and the weights (Luong et al. 2015, equation 5)."""
        size = self.attention.value_size
        values, keys = memory.values[..., :size], memory.values[..., -self.attention.key_size :]
        context, weights = self.attention(hidden, values, memory.mask, keys)
        return self.readout_dropout(self.readout(torch.cat([hidden, context], 2))), weights

    def readout_weights(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the linear map of [h ; c]."""
        linear = self.readout.get_submodule("0")
        return linear.get_parameter("weight"), linear.get_parameter("bias")

    def _fed(self, tokens: Tensor, memory: Memory, state: State) -> Step:
        embedded = self.target_dropout(self.target_embedding(tokens))
        if tokens.shape[1] == 1:
            hidden, after = self.decoder.stack(torch.cat([embedded[:, 0], state[-1]], 1), state[:-1])
            attentional, weights = self._attend(hidden.unsqueeze(1), memory)
            return Step(attentional, (*after, attentional.squeeze(1)), weights)
        step = Stepper(self.decoder.stack, embedded)
        size = self.attention.value_size
        attend = self.attention.stepwise(
            memory.values[..., :size].contiguous(), memory.mask, memory.values[..., -self.attention.key_size :]
        )
        readout = deferred(*self.readout_weights())
        states, alignments = [], []
        for time in range(tokens.shape[1]):
            hidden, after = step(time, state[-1], state[:-1])
            context, weights = attend(hidden)
            fed = torch.tanh(readout(torch.cat([hidden, context], 1)))
            state = (*after, self.readout_dropout(fed))
            states.append(state)
            alignments.append(weights)
        steps = [torch.stack(parts, 1) for parts in zip(*states, strict=True)]
        lengths = tokens.ne(PAD).sum(1)
        # where a row has ended, what comes after its last token means nothing
        return Step(steps[-1], tuple(last_real(part, lengths) for part in steps), torch.stack(alignments, 1))


@hookimpl
def register_models() -> Mapping[str, type[EncoderDecoder]]:
    """Offer `attention`."""
    return {"attention": Attention}
