"""A model and what asks a run to stop go in; a computation that may be given up half-way comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..nn.encoder_decoder import EncoderDecoder

__all__ = ["Abandoned", "stoppable"]


class Abandoned(BaseException):
    """A computation was given up as the run is to stop; no `Exception`, so that nobody takes it for a fault."""


@contextmanager
def stoppable(model: EncoderDecoder, asked: Callable[[], bool]) -> Iterator[None]:
    """Let every encoding and decoding of the model look first whether the run is to stop.

    Raises:
        Abandoned: where it is; only between two computations of the model, never in the middle of a change of weights.
    """

    def looking(compute: Callable[..., Any]) -> Callable[..., Any]:
        def computed(*values: Any, **named: Any) -> Any:
            if asked():
                raise Abandoned
            return compute(*values, **named)

        return computed

    names = ("encode", "decode")
    for name in names:
        setattr(model, name, looking(getattr(model, name)))
    try:
        yield
    finally:
        for name in names:
            delattr(model, name)
