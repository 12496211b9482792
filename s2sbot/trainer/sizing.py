"""A small model that has been tried and a budget go in; the settings of the size that suits both come out."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Final

from ..plugins import Plugins
from ..progress import Progress
from ..run_settings import RunSettings
from .building import bytes_to_learn, count_parameters
from .loop import Loop
from .plan import ROOM, free_memory

__all__ = ["choose_size"]

LARGER: Final = {"medium": (1_000_000, 8), "large": (10_000_000, 8)}
"""Tokens of a corpus, and passes over them that a budget has time for, from which a size is taken unasked."""


def choose_size(
    loop: Loop, plugins: Plugins, *, began: float, sized: Callable[[str], RunSettings]
) -> Generator[Progress, None, RunSettings]:
    """Return the settings of a larger model where the budget and the corpus are large enough for it.

    Args:
        began: when the run began, by the monotonic clock, in seconds.
        sized: what makes settings of the name of a size.
    """
    yield Progress(kind="prepare", message="trying the largest batch, and how fast this machine is")
    trial = loop.try_machine()
    left = (loop.settings.train.budget or 0.0) - (time.monotonic() - began)
    tokens = len(loop.prepared.train.source_ids) + len(loop.prepared.train.target_ids)
    passes = {"small": max(0.0, left) * trial.tokens_per_second / tokens}
    chosen, taken = "small", loop.settings
    for size, (least_tokens, least_passes) in LARGER.items():
        if tokens < least_tokens:
            break
        settings = sized(size)
        # time is taken to grow with the weights; what is chosen is tried itself before its run is planned
        parameters = count_parameters(settings, loop.prepared, plugins)
        if parameters is None or bytes_to_learn(parameters, settings) > ROOM * free_memory(loop.device):
            break
        passes[size] = passes["small"] * trial.parameters / parameters
        if passes[size] >= least_passes:
            chosen, taken = size, settings
    told = ", ".join(f"{count:,.1f} with size {size}" for size, count in passes.items())
    least_tokens, least_passes = LARGER["medium"]
    yield Progress(
        kind="prepare",
        message=f"size {chosen}: there is time for so many passes over the {tokens:,} tokens: {told}"
        f" (medium from {least_passes} passes over {least_tokens:,} tokens on)",
    )
    return taken
