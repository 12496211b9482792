"""The hook that writes every figure of a training run into `training/metrics.jsonl`, a line an event."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import math
import os
import stat
from pathlib import Path
from typing import Any

from s2sbot import Progress, hookimpl

KEPT = ("step", "validation", "notice", "end")
FULL = (errno.ENOSPC, errno.EDQUOT)
ATTEMPTS = 3


@hookimpl
def training_progress(bot: Path, progress: Progress) -> None:
    """Append a line; where a run goes on from a checkpoint, or back to one, drop what was written after it.

    What fails is tried again at once, but for a full disk. A line that cannot be written nevertheless is lost, and
    those after it are not.
    """
    file = bot / "training" / "metrics.jsonl"
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _write(file, progress)
            return
        except OSError as error:
            if error.errno not in FULL and attempt < ATTEMPTS:
                continue
            if progress.kind != "step":
                cause = "no space left on the disk" if error.errno in FULL else error.strerror
                said = "%s: %s has no line for the %s at step %d"
                logging.getLogger("s2sbot.plugins").warning(said, cause, file, progress.kind, progress.step)
            return


def _write(file: Path, progress: Progress) -> None:
    if file.is_symlink() or (file.exists() and not stat.S_ISREG(file.stat().st_mode)):
        # a link leads out of the bot, and a pipe is waited for
        raise OSError(errno.EINVAL, "no regular file", str(file))
    if progress.kind in ("start", "notice", "validation") and file.exists():
        _cut(file, progress)
    if progress.kind in KEPT and not progress.transient:
        _append(file, progress)


def _append(file: Path, progress: Progress) -> None:
    """Write a line whole or not at all."""
    figures = {key: _plain(value) for key, value in dataclasses.asdict(progress).items() if value not in (None, "", ())}
    line = json.dumps(figures, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"
    with file.open("ab", buffering=0) as stream:
        before = stream.tell()
        try:
            if stream.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        except OSError:
            stream.truncate(before)
            raise


def _cut(file: Path, progress: Progress) -> None:
    """Cut the file off where what was written after this step begins; that takes no room, and is done or not.

    A validation that a run was killed after, before it was saved, is made again, and stands there once.
    """
    with file.open("rb+") as stream:
        kept = 0
        for line in stream:
            step, kind = _step_and_kind(line)
            if step > progress.step or (step == progress.step and kind == progress.kind == "validation"):
                stream.truncate(kept)
                break
            kept += len(line)


def _plain(value: Any) -> Any:
    """Return a value that JSON has a word for: null for a perplexity beyond what a float holds."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _step_and_kind(line: bytes) -> tuple[float, str]:
    """Return both; infinity for what is to go: an end that was none, or what a crash cut short."""
    try:
        values = json.loads(line)
        kind = str(values["kind"])
        return math.inf if kind == "end" else int(values["step"]), kind
    except (ValueError, KeyError, TypeError):
        return math.inf, ""
