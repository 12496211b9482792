"""The model `stateful-broadcast`: the decoder takes over the encoder's states, the next turn takes over its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from s2sbot import hookimpl, knob
from s2sbot.nn import ContextFirst, EncoderDecoder, Memory, RecurrentConfig, State

SUTSKEVER: Mapping[str, Mapping[str, Any]] = {
    "model": {
        "cell": "lstm",
        "embedding_size": 1000,
        "hidden_size": 1000,
        "depth": 4,
        "dropout": 0.0,
        "reverse_source": True,
        "share_embeddings": False,
        "tie_output": False,
        "initialisation": "uniform",
        "init_scale": 0.08,
        "carry": False,
    },
    "data": {"tokenizer": "words", "vocab_size": 80_000, "share_tokenizer": False},
    # the rate falls by half every half pass from the fifth on, of which the paper makes seven and a half; gradients are
    # the mean of 128 sentences; the paper's source vocabulary is of 160,000 words
    "train": {
        "epochs": 8,
        "batch_tokens": 7_000,
        "optimizer": "sgd",
        "learning_rate": 0.7,
        "average": "exchanges",
        "schedule": "halving",
        "halving_start": 0.625,
        "halvings": 6,
        "warmup_steps": 0,
        "clip": 5.0,
    },
    "decode": {"method": "beam", "beam_size": 12},
}
VINYALS: Mapping[str, Mapping[str, Any]] = {
    # the paper maps its 4,096 to 2,048 before the softmax, by a linear map; it tells neither rate nor first weights
    # (of the small one, after 300 updates, perplexity is 109 with 0.02 and 245 with 0.05)
    "model": {
        "cell": "lstm",
        "embedding_size": 2048,
        "hidden_size": 4096,
        "depth": 2,
        "dropout": 0.0,
        "tie_output": False,
        "initialisation": "uniform",
        "init_scale": 0.08,
    },
    "data": {"tokenizer": "words", "vocab_size": 100_000},
    "train": {
        "epochs": 4,
        "batch_tokens": 4_000,
        "optimizer": "adagrad",
        "learning_rate": 0.02,
        "schedule": "constant",
        "warmup_steps": 0,
        "clip": 5.0,
    },
}


def _smaller(preset: Mapping[str, Mapping[str, Any]], **changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a preset with other values in some of its tables."""
    return {table: {**preset.get(table, {}), **changes.get(table, {})} for table in {**preset, **changes}}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatefulBroadcastConfig(RecurrentConfig):
    """The knobs of the table `model`."""

    cell: str = knob("gru", "recurrent cell", choices=("lstm", "gru"))
    carry: bool = knob(True, "keep a mind: the next turn is read from the state that the last reply ended in")


class StatefulBroadcast(ContextFirst):
    """The encoder's states become the decoder's, layer by layer (Sutskever et al. 2014; Vinyals & Le 2015).

    With `carry` the encoder of the next turn starts from the decoder's states at the end of this one, so the state is
    what the bot has in mind all through a conversation, and no text of earlier turns need be read again. Where the
    encoder reads both ways, the half of the mind that its forward direction has room for goes on.
    """

    Config = StatefulBroadcastConfig
    config: StatefulBroadcastConfig
    presets: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
        "sutskever2014": SUTSKEVER,
        "sutskever2014-small": _smaller(
            SUTSKEVER,
            model={"embedding_size": 256, "hidden_size": 256},
            data={"tokenizer": "sentencepiece", "vocab_size": None},
            train={"batch_tokens": 1_000},
        ),
        "vinyals2015": VINYALS,
        "vinyals2015-small": _smaller(
            VINYALS,
            model={"embedding_size": 256, "hidden_size": 512},
            data={"tokenizer": "sentencepiece", "vocab_size": None},
            train={"batch_tokens": 1_000},
        ),
    }

    def __init__(self, config: StatefulBroadcastConfig, source_vocab: int, target_vocab: int) -> None:
        # without the encoder's states the context vector is all that tells of the source
        super().__init__(config, source_vocab, target_vocab, first=not config.broadcast_state)

    @property
    def stateful(self) -> bool:
        """Return the knob `carry`."""
        return self.config.carry

    def carry(self, memory: Memory, final_state: State) -> State:
        """Hand on the decoder's state."""
        return final_state if self.config.carry else ()


@hookimpl
def register_models() -> Mapping[str, type[EncoderDecoder]]:
    """Offer `stateful-broadcast`."""
    return {"stateful-broadcast": StatefulBroadcast}
