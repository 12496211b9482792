"""The hook that writes every figure of a training run into `training/metrics.jsonl`, a line an event."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

from s2sbot import Progress, hookimpl

KEPT = ("step", "validation", "end")


@hookimpl
def training_progress(bot: Path, progress: Progress) -> None:
    """Append a line; at the start of a resumed run, drop what was written after its checkpoint."""
    file = bot / "training" / "metrics.jsonl"
    if progress.kind == "start" and file.exists():
        _cut(file, progress.step)
    if progress.kind not in KEPT:
        return
    figures = {key: _plain(value) for key, value in dataclasses.asdict(progress).items() if value not in (None, "", ())}
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(figures, ensure_ascii=False, allow_nan=False) + "\n")


def _cut(file: Path, step: int) -> None:
    """Keep the lines up to `step`; whatever happens meanwhile, the file is the old one or the new one."""
    # split("\n"), as splitlines() would also cut at U+2028 and others inside a sample
    kept = [line for line in file.read_text("utf-8", errors="replace").split("\n") if _step(line) <= step]
    new = file.with_name(f"{file.name}.new")
    with new.open("w", encoding="utf-8") as stream:
        stream.write("".join(f"{line}\n" for line in kept))
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(file)


def _plain(value: Any) -> Any:
    """Return a value that JSON has a word for: null for a perplexity beyond what a float holds."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _step(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 2**62  # a line that was cut short by a crash
