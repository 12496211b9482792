"""The events of a training run go in; a live line on a terminal, or plain lines elsewhere, come out on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from ..progress import Progress
from .sanitize import sanitize

__all__ = ["clock", "describe", "drawn"]

PLAIN_EVERY = 10.0
"""Seconds between two plain lines of progress where nobody watches a terminal."""
BAR = 12
"""Cells of the bar of a live line."""
BESIDE = BAR + 7
"""Cells of a live line that its figures do not have: the bar, its share in per cent, and what is between."""
LESS_USEFUL = ("tokens/s", "of the GPU", "epoch", "validation", "skipped", "loss")
"""What figures have in them that are left out of a live line, the first one first, where it is too long."""
PLAIN_WIDTH = 200
"""Cells that a line of a sample takes at most where nobody watches a terminal."""


class _KnownBar(ProgressColumn):
    """A bar where it is known how much there is in all; the message of a preparation says its share itself."""

    def __init__(self, bar_width: int) -> None:
        super().__init__()
        self._bar = BarColumn(bar_width=bar_width)

    def render(self, task: Task) -> RenderableType:
        return Text() if task.total is None else self._bar.render(task)


@contextmanager
def drawn() -> Iterator[Callable[[Progress], None]]:
    """Yield a function that shows an event."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield _Plain(console)
        return
    bar = Bar(
        TextColumn("{task.description}"),
        _KnownBar(bar_width=BAR),
        TaskProgressColumn(text_format_no_percentage=""),
        console=console,
    )
    with bar:
        yield _Live(bar, bar.add_task("preparing", total=None))


def describe(progress: Progress, *, best: bool = False) -> str:
    """Return the figures of an event on one line; `best` says that a validation was better than those before."""
    parts = [f"step {progress.step:,}", f"epoch {progress.epoch:.2f}"]
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.3f}")
    if progress.perplexity is not None:
        parts.append(f"validation perplexity {progress.perplexity:,.2f}")
        parts += [f"{name} {value:,.4g}" for name, value in progress.figures.items() if name != "perplexity"]
        if best:
            parts.append("best so far")
    if progress.tokens_per_second is not None:
        parts.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    if progress.gpu_memory is not None:
        parts.append(f"{progress.gpu_memory / 2**30:.1f} GiB of the GPU")
    if progress.skipped:
        parts.append(f"{progress.skipped:,} updates skipped")
    if progress.remaining is not None and progress.kind != "end":
        parts.append(f"{clock(progress.remaining)} left")
    return " · ".join(parts)


def _fitting(figures: str, width: int) -> str:
    """Return the figures without the less useful ones of them, as many as have to go."""
    parts = figures.split(" · ")
    for word in LESS_USEFUL:
        if cell_len(" · ".join(parts)) <= width:
            break
        parts = [part for part in parts if word not in part]
    return " · ".join(parts)


def clock(seconds: float) -> str:
    """Return seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _samples(progress: Progress, width: int) -> Iterator[Text]:
    """Yield all samples, each as what was said and what the bot says, every line cut to the width."""
    for sample in progress.samples:
        for mark, said in ((">", sample.source), ("<", sample.output or "(nothing)")):
            line = Text(f"  {mark} {' '.join(sanitize(said).split())}", no_wrap=True)
            line.truncate(width, overflow="ellipsis")
            yield line


class _Best:
    """Tells whether a validation is better than those before, whatever metric it is that counts."""

    def __init__(self) -> None:
        self._best: float | None = None

    def __call__(self, progress: Progress) -> bool:
        better = progress.kind == "validation" and progress.best != self._best
        if progress.kind in ("start", "validation"):
            self._best = progress.best
        return better


class _Plain:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = time.monotonic()
        self._is_best = _Best()

    def __call__(self, progress: Progress) -> None:
        best = self._is_best(progress)
        if progress.kind == "step" or progress.transient:
            if time.monotonic() - self._last < PLAIN_EVERY:
                return
            self._last = time.monotonic()
        if progress.kind in ("checkpoint", "end"):
            return
        line = sanitize(progress.message) if progress.message else describe(progress, best=best)
        self._console.print(escape(line))
        if progress.kind == "validation":
            for text in _samples(progress, PLAIN_WIDTH):
                self._console.print(text)


class _Live:
    def __init__(self, bar: Bar, task: TaskID) -> None:
        self._bar, self._task = bar, task
        self._validated = ""
        self._is_best = _Best()

    def __call__(self, progress: Progress) -> None:
        best, console = self._is_best(progress), self._bar.console
        if progress.kind == "step":
            done = (
                progress.elapsed / (progress.elapsed + progress.remaining) if progress.remaining is not None else None
            )
            figures = escape(_fitting(describe(progress) + self._validated, console.width - BESIDE))
            self._bar.update(
                self._task, description=figures, completed=done or 0.0, total=None if done is None else 1.0
            )
        elif progress.transient:
            self._bar.update(self._task, description=escape(sanitize(progress.message)))
        elif progress.kind in ("prepare", "start"):
            self._bar.update(self._task, description="preparing")
            console.print(escape(sanitize(progress.message)))
        elif progress.kind == "notice":
            console.print(f"[yellow]{escape(sanitize(progress.message))}[/yellow]")
        elif progress.kind == "validation":
            console.print(f"[bold]{escape(describe(progress, best=best))}[/bold]")
            for text in _samples(progress, console.width):
                console.print(text)
            self._validated = f" · validation {progress.perplexity:,.2f}"
        elif progress.kind == "end" and not progress.stopped:
            self._bar.update(self._task, completed=1.0, total=1.0)
