"""What asks a process to end goes in; a call of the function that has been chosen for it comes out."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["asked_to_end", "interrupt"]


@contextmanager
def asked_to_end(answer: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let `answer` be called at Ctrl-C, at SIGTERM, and at SIGHUP, which a terminal sends that is closed."""
    numbers = [signal.SIGINT, signal.SIGTERM]
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
