"""The model `simple`: a context vector is the decoder's first input, and all that it ever sees of the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from s2sbot import hookimpl, knob
from s2sbot.nn import ContextFirst, EncoderDecoder, RecurrentConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleConfig(RecurrentConfig):
    """The knobs of the table `model`."""

    cell: str = knob("gru", "recurrent cell", choices=("lstm", "gru"))
    broadcast_state: bool = knob(False, "the decoder starts from the encoder's states too, not from zeros")


class Simple(ContextFirst):
    """An encoder, and a decoder that starts from zeros and gets a context vector before BOS, then its own tokens.

    The smallest thing that learns from exchanges, and the first rung of every comparison; after the old library's
    SimpleSeq2Seq.
    """

    Config = SimpleConfig

    def __init__(self, config: SimpleConfig, source_vocab: int, target_vocab: int) -> None:
        super().__init__(config, source_vocab, target_vocab, first=True)


@hookimpl
def register_models() -> Mapping[str, type[EncoderDecoder]]:
    """Offer `simple`."""
    return {"simple": Simple}
