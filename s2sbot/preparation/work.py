"""The folder that a preparation writes into goes in; what has been done there before it was stopped is kept or goes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from ..errors import CorpusError
from ..files import read_json, write_json
from ..text.documents import is_prepared
from .plan import Plan
from .prepared import DATA

__all__ = ["WORK", "begin", "clear", "locked"]

WORK = ".work"
"""Folder below that of the result for what is not done yet."""
_PLAN = "plan.json"
_LOCK = "lock"
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


@contextmanager
def locked(out: Path) -> Iterator[Path]:
    """Make the folder of what is not done yet, hold it for one process alone, and yield it.

    In the end it goes where nothing has been done, and so does `out` where it was made for that.

    Raises:
        CorpusError: where another process holds it.
    """
    work = out / WORK
    made = not out.exists()
    work.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(work / _LOCK, timeout=0)
    try:
        lock.acquire()
    except (filelock.Timeout, FileNotFoundError) as error:  # the folder has gone: that process has just ended
        raise CorpusError(f"another process is preparing {out}", "wait for it, or give another --out") from error
    try:
        yield work
    finally:
        # what is no longer ours may be another's already: our file goes while we hold it, and the folder if it is empty
        with suppress(OSError):
            if {path.name for path in work.iterdir()} <= {_LOCK, _PLAN}:
                (work / _PLAN).unlink(missing_ok=True)  # nothing of it has been done
                (work / _LOCK).unlink()
        lock.release()
        with suppress(OSError):
            work.rmdir()
            if made:
                out.rmdir()


def begin(out: Path, plan: Plan) -> None:
    """Let what another preparation has left go, so that what is there belongs to this plan.

    Raises:
        CorpusError: where all that was left to do of another preparation was to clear up.
    """
    work = out / WORK
    if _planned(work) != plan.fingerprint:
        if (work / _PLAN).exists() and is_prepared(out):
            raise CorpusError(f"{out} holds a prepared corpus already", "give another --out, or delete it")
        (out / DATA).unlink(missing_ok=True)
        clear(work)
        write_json(work / _PLAN, {"fingerprint": plan.fingerprint})
    for file in [*out.glob(".*.tmp"), *work.glob(".*.tmp")]:
        if _TEMPORARY.fullmatch(file.name):
            file.unlink()


def clear(work: Path) -> None:
    """Remove all but the lock; the plan first, for without it nothing there is taken for whole."""
    (work / _PLAN).unlink(missing_ok=True)
    for path in work.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


def _planned(work: Path) -> str | None:
    try:
        planned = read_json(work / _PLAN)["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(planned)
