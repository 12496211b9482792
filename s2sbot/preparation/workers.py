"""A generator function and arguments for it go in; it is run on all of them, in several processes where asked."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import S2SBotError

__all__ = ["run_all"]

TELL_EVERY = 0.5
"""Seconds between two looks at how far the processes have come."""
LOOK_EVERY = 0.2
"""Seconds between two looks of a process at whether its parent lives."""

Work = Callable[..., Iterator[int]]


def run_all(work: Work, arguments: Sequence[tuple[Any, ...]], *, workers: int, folder: Path) -> Iterator[int]:
    """Run `work(*each)` for each of the arguments; yield the sum of what all of them have said last.

    Which process does what has no say in what comes out. With several workers, `work` and the arguments are sent to
    processes of their own, which write how far they have come into `folder`.

    Raises:
        S2SBotError: whatever `work` raises; and where a process was killed.
    """
    if min(workers, len(arguments)) < 2:
        done = 0
        for each in arguments:
            last = 0
            for last in work(*each):
                yield done + last
            done += last
        return
    from loky import ProcessPoolExecutor  # type: ignore[import-untyped]

    pool = ProcessPoolExecutor(
        max_workers=min(workers, len(arguments)), initializer=_begin_apart, initargs=(os.getpid(),)
    )
    running: dict[Future[int], Path] = {}
    try:
        for number, each in enumerate(arguments):
            told = folder / f"worker-{number}.progress"
            running[pool.submit(partial(_drive, work, told), *each)] = told
        done = 0
        while running:
            finished, _ = wait(running, timeout=TELL_EVERY, return_when=FIRST_COMPLETED)
            for future in finished:
                done += future.result()
                running.pop(future).unlink(missing_ok=True)
            yield done + sum(map(_told, running.values()))
        pool.shutdown()
    except BrokenProcessPool as error:
        raise S2SBotError(
            "a process of the preparation was killed, perhaps for want of memory",
            "run the same command again to go on, with fewer --workers",
        ) from error
    finally:
        for told in running.values():
            told.unlink(missing_ok=True)
        pool.shutdown(kill_workers=True)


def _drive(work: Work, told: Path, *arguments: Any) -> int:
    """Run one piece of work to its end, and write down now and then how far it has come."""
    last, next_time = 0, time.monotonic() + TELL_EVERY
    for last in work(*arguments):
        if time.monotonic() > next_time:
            told.write_text(str(last))
            next_time = time.monotonic() + TELL_EVERY
    return last


def _told(path: Path) -> int:
    try:
        return int(path.read_text() or 0)
    except (OSError, ValueError):
        return 0


def _begin_apart(parent: int) -> None:
    """Make ready a process of its own."""
    # the terminal sends Ctrl-C to every process, and it is the first one that ends the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when the one that gave it work was killed: it could not do so itself."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY)
    os._exit(1)
