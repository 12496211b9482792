"""Every hook that a plugin may implement; the whole surface between the engine and its plugins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pluggy

if TYPE_CHECKING:
    from .nn.encoder_decoder import EncoderDecoder
    from .progress import Progress
    from .text.dialogue import PairReader, Reader
    from .text.metric import Metric
    from .text.tokenizer import Tokenizer

__all__ = ["GROUPS", "Hooks", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("s2sbot")
hookimpl = pluggy.HookimplMarker("s2sbot")

GROUPS = {
    "s2sbot.models": "register_models",
    "s2sbot.tokenizers": "register_tokenizers",
    "s2sbot.readers": "register_readers",
    "s2sbot.metrics": "register_metrics",
    "s2sbot.hooks": "training_progress",
}
"""The entry-point groups, each with the hook that its plugins answer; one is loaded when it is first needed."""


class Hooks(Protocol):
    """The hooks, with the arguments they are called with; an implementation may leave out those it does not need."""

    @hookspec
    def register_models(self) -> Mapping[str, type[EncoderDecoder]]:
        """Offer models by name."""
        ...

    @hookspec
    def register_tokenizers(self) -> Mapping[str, type[Tokenizer]]:
        """Offer tokenizers by name."""
        ...

    @hookspec
    def register_readers(self) -> Mapping[str, type[Reader] | type[PairReader]]:
        """Offer readers of corpus files by name."""
        ...

    @hookspec
    def register_metrics(self) -> Mapping[str, type[Metric]]:
        """Offer metrics of a validation by name."""
        ...

    @hookspec
    def training_progress(self, bot: Path, progress: Progress) -> None:
        """Hear of every event of a training run, as the one who runs it does; `bot` is the folder it writes."""
        ...
