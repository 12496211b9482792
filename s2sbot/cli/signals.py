"""What asks a process to end goes in, a call of the function chosen for it comes out; and words for who still reads."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click

__all__ = ["asked_to_end", "interrupt", "lose_terminal", "say", "stalled"]


@contextmanager
def asked_to_end(answer: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let `answer` be called at Ctrl-C, at SIGTERM and SIGUSR1 of schedulers, and at SIGHUP of a closed terminal."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGUSR1"):
        numbers.append(signal.SIGUSR1)
    # what `nohup` has asked for holds
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, answer) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Answer as Python does to Ctrl-C."""
    raise KeyboardInterrupt


def say(text: str, *, err: bool = True) -> None:
    """Write a line to standard error, or to standard output, for whoever is still there to read it."""
    try:
        click.echo(text, err=err)
    except OSError:
        lose_terminal(2 if err else 1)


def stalled(descriptor: int = 2, *, seconds: float = 0.1) -> bool:
    """Return whether writing would wait, as who reads standard error has not done so for some seconds."""
    try:
        return not select.select([], [descriptor], [], seconds)[1]
    except (OSError, ValueError):  # it is closed, or the system cannot tell
        return False


def lose_terminal(descriptor: int = 2) -> None:
    """Let what is written to standard error, or to standard output (1), go nowhere, as who read it has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
