"""The hook that writes every figure of a training run into `training/metrics.jsonl`, a line an event."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from s2sbot import Progress, hookimpl

KEPT = ("step", "validation", "end")


@hookimpl
def training_progress(bot: Path, progress: Progress) -> None:
    """Append a line; at the start of a resumed run, drop what was written after its checkpoint."""
    file = bot / "training" / "metrics.jsonl"
    if progress.kind == "start" and file.exists():
        kept = [line for line in file.read_text("utf-8").splitlines() if _step(line) <= progress.step]
        file.write_text("".join(f"{line}\n" for line in kept), "utf-8")
    if progress.kind not in KEPT:
        return
    figures = {key: value for key, value in dataclasses.asdict(progress).items() if value not in (None, "", ())}
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(figures, ensure_ascii=False) + "\n")


def _step(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 2**62  # a line that was cut short by a crash
