"""The model `peek`: the decoder sees the context vector of the source at every step, beside the previous token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from s2sbot import hookimpl
from s2sbot.nn import EncoderDecoder, Memory, RecurrentConfig, RecurrentModel, State, Step, initialise

# what is not the paper's: the output layer sees tanh of a linear map of all three where the paper has 500 maxout units
CHO: Mapping[str, Mapping[str, Any]] = {
    "model": {
        "cell": "gru",
        "embedding_size": 100,
        "hidden_size": 1000,
        "depth": 1,
        "dropout": 0.0,
        "share_embeddings": False,
        "tie_output": False,
        "initialisation": "orthogonal",
        "init_scale": 0.01,
    },
    "data": {"tokenizer": "words", "vocab_size": 15_000, "share_tokenizer": False},
    # 64 pairs an update; the paper clips nothing
    "train": {
        "epochs": 4,
        "batch_tokens": 2_000,
        "optimizer": "adadelta",
        "learning_rate": 1.0,
        "average": "exchanges",
        "schedule": "constant",
        "warmup_steps": 0,
        "clip": 1e6,
    },
}


class Peek(RecurrentModel):
    """Cho et al. 2014: h(t) = f(h(t-1), y(t-1), c), and the output sees y(t-1) and c beside h(t) as well.

    The decoder starts from the encoder's states.
    """

    Config = RecurrentConfig
    presets: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
        "cho2014": CHO,
        "cho2014-small": {
            # so few units need larger first weights than 0.01 to begin with: perplexity 105 for 133 after 300 updates
            "model": {**CHO["model"], "hidden_size": 400, "init_scale": 0.05},
            "train": {**CHO["train"], "batch_tokens": 1_000},
        },
    }

    def __init__(self, config: RecurrentConfig, source_vocab: int, target_vocab: int) -> None:
        hidden, embedding = config.hidden_size, config.embedding_size
        super().__init__(config, source_vocab, target_vocab, extra_input=hidden, extra_output=embedding + hidden)
        initialise(self, config)

    def encode(self, source: Tensor, source_mask: Tensor, carry: State = ()) -> Memory:
        """Read the source; `values` is the context vector alone, [batch, 1, hidden_size]."""
        _, finals = self.encode_states(source, source_mask)
        context = self.memory_dropout(self.context(finals))
        return Memory(context.unsqueeze(1), source_mask[:, :1], self.start(finals))

    def decode(self, tokens: Tensor, memory: Memory, state: State) -> Step:
        """Run over the target tokens, each with the context vector beside it."""
        context = memory.values.expand(-1, tokens.shape[1], -1)
        embedded, hidden, state = self.run_decoder(tokens, state, context)
        readout = self.readout(torch.cat([self.dropout(hidden), embedded, context], 2))
        return Step(self.readout_dropout(readout), state, None)


@hookimpl
def register_models() -> Mapping[str, type[EncoderDecoder]]:
    """Offer `peek`."""
    return {"peek": Peek}
