"""The hook that writes the figures and samples of a run for TensorBoard, where its package is installed."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

from s2sbot import Progress, hookimpl


@hookimpl
def training_progress(bot: Path, progress: Progress) -> None:
    """Hand an event on to the board of its run; without the package, do nothing."""
    if _installed():
        _board(bot / "training" / "tensorboard").hear(progress)


@functools.cache
def _installed() -> bool:
    return importlib.util.find_spec("tensorboard") is not None


@functools.cache
def _board(folder: Path) -> _Board:
    return _Board(folder)


class _Board:
    """The open file of one run; a run that goes on, or goes back, takes a new one that hides what is done again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None
        self.step = 0

    def hear(self, progress: Progress) -> None:
        """Write what an event has to show; a transient one has nothing."""
        if progress.kind == "start" or (self.writer is not None and progress.step < self.step):
            self._open(progress.step)
        self.step = progress.step
        if self.writer is None or progress.transient:
            return
        for tag, value in _scalars(progress):
            self.writer.add_scalar(tag, value, progress.step)
        if progress.kind == "validation":
            if progress.samples:
                self.writer.add_text("samples", _table(progress), progress.step)
            self.writer.flush()
        if progress.kind == "end":
            self.writer.close()
            self.writer = None

    def _open(self, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if self.writer is not None:
            self.writer.close()
        going_on = any(self.folder.glob("events.out.tfevents.*"))
        self.writer = SummaryWriter(self.folder, purge_step=step + 1 if going_on else None)


def _scalars(progress: Progress) -> list[tuple[str, float]]:
    """Return the curves that an event adds a point to."""
    found: list[tuple[str, float | None]] = []
    if progress.kind == "step":
        found = [
            ("train/loss", progress.loss),
            ("train/learning_rate", progress.learning_rate),
            ("train/tokens_per_second", progress.tokens_per_second),
            ("train/skipped", progress.skipped or None),
            ("train/gpu_memory", progress.gpu_memory),
        ]
    elif progress.kind == "validation":
        found = [(f"validation/{name}", value) for name, value in progress.figures.items()]
    return [(tag, value) for tag, value in found if value is not None]


def _table(progress: Progress) -> str:
    """Return the samples as a table in Markdown."""
    rows = [("line", "bot", "what really followed")]
    rows += [(sample.source, sample.output, sample.target) for sample in progress.samples]
    lines = ["| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "| --- | --- | --- |", *lines[1:]])
