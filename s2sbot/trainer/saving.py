"""What has to be written at the end of a run goes in; it is on the disk, or a person knows what is safe without it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from typing import Final

from ..errors import DiskError
from ..progress import Progress
from .state import RunState

__all__ = ["PAUSES", "patiently", "save_left"]

PAUSES: Final = (1.0, 2.0, 4.0)
"""Seconds between the attempts; a run that is asked to end has half a minute, and not more, on most machines."""


def patiently(
    write: Callable[[], None], notice: Callable[[str], Progress], safe: Callable[[], str]
) -> Iterator[Progress]:
    """Write, and where that fails tell it and try again a few times.

    Raises:
        DiskError: where it fails the last time too; says what is safe.
    """
    for pause in PAUSES:
        try:
            write()
            return
        except DiskError as error:
            yield notice(f"{error.message}: tried again in {pause:.0f} s")
        time.sleep(pause)
    try:
        write()
    except DiskError as error:
        raise DiskError(
            error.message, f"safe is {safe()}: free some space, then go on with --resume, and without the corpus"
        ) from error


def save_left(run: RunState, rest: Iterator[Progress], kind: type[BaseException] | None) -> None:
    """Save what a run that is left has learnt; where it is asked to end for the second time, it ends at once.

    Args:
        rest: what is still to happen once the run is asked to stop: all that belongs to the step under way.
        kind: what it is left by; None where nothing has failed.

    Raises:
        DiskError: where it cannot be saved, and nothing else has failed.
    """
    if kind is KeyboardInterrupt and run.stopping:
        return
    run.stopping = True
    with suppress(DiskError) if kind else nullcontext():
        for _ in rest:
            pass
        if not run.saved:
            run.save_checkpoint()
