"""A run goes in; its events are shown, whoever is there to see them, up to its end or to where it is asked to stop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from ..errors import shell_command
from ..settings import LENGTHS
from .signals import asked_to_end, lose_terminal, say, stalled

if TYPE_CHECKING:
    from ..progress import Progress
    from ..trainer import Training

__all__ = ["STOPPED", "going_on", "said_stopped", "shown", "stopped_by_signals", "walk"]

STOPPED: Final = 75
"""Exit code of a run that was stopped on request, with everything saved."""
INTERRUPTED: Final = 130
"""Exit code of one that was left at once."""
SAME: Final = 0.5
"""Seconds within which a second signal is the same request: a closing terminal and schedulers send several at once."""
LEFT_PREPARING: Final = (
    "Stopped while preparing, and nothing of it is kept: the same command begins anew. What `s2sbot corpus prepare` has"
    " done is kept."
)
LEFT_RESUMING: Final = (
    "Stopped before a step was made; what was saved is untouched: the same command goes on from there."
)


def going_on(bot: Path, asked: Mapping[str, Any] | None = None) -> str:
    """Return the command that goes on with a run; what was asked for when it went on before is asked for again."""
    given = asked or {}
    words: list[str | Path] = ["s2sbot", "train", "--bot", bot, "--resume"]
    for name in (*LENGTHS, "device", "config"):
        words += [f"--{name}", str(given[name])] if given.get(name) is not None else []
    for text in given.get("assignments", ()):
        words += ["--set", text]
    return shell_command(*words)


def said_stopped(run: Training, go_on: str) -> str:
    """Return what is said of a run that was stopped on request."""
    if run.saved:
        return f"Stopped, and everything is saved. Go on with: {go_on}"
    return f"Stopped; what was learnt since the last checkpoint is not saved, safe is {run.safe}. Go on with: {go_on}"


@contextmanager
def stopped_by_signals(run: Training, *, resumed: bool, go_on: str) -> Iterator[None]:
    """Let the first request to end stop the run between two steps, and a second one, or one before, at once.

    To be entered before the run is, so that it holds while a run that has failed is saved. Nothing waits here for
    whoever reads what is written: a run is saved, or left, without him.

    Args:
        resumed: whether it goes on, so that there is something saved before its first step.
        go_on: the command that goes on with it.
    """
    asked, unread = 0.0, False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked, unread
        now = time.monotonic()
        if asked and now - asked < SAME:
            return
        again, asked = bool(asked), now
        # first of all, as a further signal may come in between
        run.stop()
        if stalled():
            unread = True
            lose_terminal()
        if again and unread:
            # another thread may wait for the reader too, and would be waited for
            os._exit(INTERRUPTED)
        if again or not run.learning:
            raise KeyboardInterrupt
        if not run.first:
            return
        try:
            # not through a stream, which may be in the middle of writing
            os.write(2, b"\nStopping after this step; once more to leave at once.\n")
        except OSError:
            lose_terminal()

    try:
        with asked_to_end(ask):
            yield
    except KeyboardInterrupt:
        if not run.first:
            raise
        if run.learning:
            say(f"\nLeft at once: what was saved before is untouched. Go on with: {go_on}")
        else:
            say("\n" + (LEFT_RESUMING if resumed else LEFT_PREPARING))
        raise


@contextmanager
def shown(run: Training) -> Iterator[Callable[[Progress], None]]:
    """Yield what shows an event of a run that was entered, if this process is the one to do so.

    Where who watched has gone, nothing is shown any more, and the run goes on.
    """
    from .progress import drawn

    with drawn() if run.first else nullcontext(lambda progress: None) as draw:

        def show(progress: Progress) -> None:
            try:
                draw(progress)
            except (OSError, SystemExit):  # rich makes the one of a broken pipe into the other
                lose_terminal()

        yield show


def walk(run: Training, show: Callable[[Progress], None]) -> bool:
    """Show every event of a run, and return whether it was stopped before its end.

    Once it is asked to stop, it is saved before anything is shown.
    """
    stopped = False
    late: list[Progress] = []
    try:
        for progress in run:
            stopped = progress.stopped
            if run.stopping:
                late.append(progress)
            else:
                show(progress)
    finally:
        for progress in late:
            show(progress)
    return stopped
