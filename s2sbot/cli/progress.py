"""The events of a training run go in; a live line on a terminal, or plain lines elsewhere, come out on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from ..progress import Progress
from .sanitize import sanitize

__all__ = ["describe", "drawn"]

PLAIN_EVERY = 10.0
"""Seconds between two plain lines of progress where nobody watches a terminal."""


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
        _KnownBar(bar_width=12),
        TaskProgressColumn(text_format_no_percentage=""),
        console=console,
    )
    with bar:
        yield _Live(bar, bar.add_task("preparing", total=None))


def describe(progress: Progress) -> str:
    """Return the figures of an event on one line."""
    parts = [f"step {progress.step:,}", f"epoch {progress.epoch:.2f}"]
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.3f}")
    if progress.perplexity is not None:
        parts.append(f"validation perplexity {progress.perplexity:,.2f}")
        if progress.best == progress.perplexity:
            parts.append("best so far")
    if progress.tokens_per_second is not None:
        parts.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    if progress.remaining is not None and progress.kind != "end":
        parts.append(f"{clock(progress.remaining)} left")
    return " · ".join(parts)


def clock(seconds: float) -> str:
    """Return seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _samples(progress: Progress) -> list[str]:
    """Return one sample, another one each time, as what was said and what the bot says."""
    if not progress.samples or progress.kind != "validation":
        return []
    sample = progress.samples[progress.step % len(progress.samples)]
    return [f"  > {sanitize(sample.source)}", f"  < {sanitize(sample.output) or '(nothing)'}"]


class _Plain:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if progress.kind == "step" or progress.transient:
            if time.monotonic() - self._last < PLAIN_EVERY:
                return
            self._last = time.monotonic()
        if progress.kind in ("checkpoint", "end"):
            return
        line = sanitize(progress.message) if progress.message else describe(progress)
        for text in [line, *_samples(progress)]:
            self._console.print(escape(text))


class _Live:
    def __init__(self, bar: Bar, task: TaskID) -> None:
        self._bar, self._task = bar, task
        self._perplexity = ""

    def __call__(self, progress: Progress) -> None:
        if progress.transient:
            self._bar.update(self._task, description=escape(sanitize(progress.message)))
            return
        if progress.kind in ("prepare", "start"):
            self._bar.update(self._task, description="preparing")
            self._bar.console.print(escape(sanitize(progress.message)))
            return
        if progress.kind == "validation":
            self._bar.console.print(f"[bold]{escape(describe(progress))}[/bold]")
            for line in _samples(progress):
                self._bar.console.print(escape(line))
            self._perplexity = f" · validation {progress.perplexity:,.2f}"
        done = progress.elapsed / (progress.elapsed + progress.remaining) if progress.remaining is not None else None
        total = None if done is None else 1.0
        figures = escape(describe(progress)) + self._perplexity if progress.kind == "step" else None
        if figures is not None:
            self._bar.update(self._task, description=figures, completed=done or 0.0, total=total)
        if progress.kind == "end" and not progress.stopped:
            self._bar.update(self._task, completed=1.0, total=1.0)
