"""A run that has not begun goes in; what `--find-lr` and `--doctor` find of it is shown."""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import TrainingError
from ..pictures import line_chart
from ..progress import Progress
from .chart import text_chart
from .progress import clock
from .running import shown
from .sanitize import sanitize
from .signals import asked_to_end, interrupt

if TYPE_CHECKING:
    from ..trainer import Training
    from ..trainer.loop import Loop
    from ..trainer.rate_range import RatePoint, RateRange

__all__ = ["examine", "find_rate"]

Draw = Callable[[Progress], None]

SIGNS = {"right": "✓", "doubtful": "!", "wrong": "✗", "unknown": "-"}
PLAIN = {"✓": "ok", "✗": "WRONG"}
"""What stands for a sign where the encoding of the output has none."""


def find_rate(make: Callable[[Path], Training]) -> None:
    """Draw how the loss of a run goes with the learning rate, and say which one to take.

    Args:
        make: returns the run for a bot folder, which lies where nothing of it is kept.
    """
    from ..trainer.rate_range import rate_range

    with asked_to_end(interrupt), tempfile.TemporaryDirectory(prefix="s2sbot-") as folder:
        with make(Path(folder) / "rates.bot") as run, shown(run) as draw:
            loop = _walked(run.prepared_loop(), draw)
            points = _points(loop, draw)
        found = rate_range(loop, points)
    click.echo("\n".join(text_chart(_curve(points), mark=found.rate, unicode=_has("▁█│└"))))
    click.echo(
        f"\nThe loss is lowest at a rate of {found.lowest:.2g}; half of it is far enough from where it explodes."
        f" Give this with the same command:\n\n  --set train.learning_rate={found.setting:g}\n"
    )
    _write_picture(points, found)


def _walked(events: Generator[Progress, None, Loop], draw: Draw) -> Loop:
    """Show what happens until there is a run."""
    while True:
        try:
            draw(next(events))
        except StopIteration as end:
            loop: Loop = end.value
            return loop


def _points(loop: Loop, draw: Draw) -> list[RatePoint]:
    from ..trainer.rate_range import rate_points, updates_within

    draw(Progress(kind="prepare", message="trying the largest batch, and how fast this machine is"))
    trial = loop.try_machine()
    updates = updates_within(trial.seconds)
    told = f"{updates} updates at ever higher rates, about {clock(updates * trial.seconds)}"
    draw(Progress(kind="prepare", message=told))
    points: list[RatePoint] = []
    began = time.monotonic()
    for point in rate_points(loop, updates=updates):
        points.append(point)
        left = (time.monotonic() - began) / len(points) * (updates - len(points))
        message = f"update {len(points)} of {updates} · rate {point.rate:.1e} · loss {point.loss:.3f}"
        draw(Progress(kind="prepare", transient=True, message=f"{message} · at most {clock(left)} left"))
    return points


def _curve(points: Sequence[RatePoint]) -> list[tuple[float, float]]:
    """Return the smoothed losses, up to where they rise over the first one by half of it."""
    highest = 1.5 * points[0].smoothed
    kept = itertools.takewhile(lambda point: point.smoothed <= highest, points)
    return [(point.rate, point.smoothed) for point in kept]


def _write_picture(points: Sequence[RatePoint], found: RateRange) -> None:
    """Write the picture beside what is there, under a name that is free."""
    curve = _curve(points)
    picture = line_chart(
        {"smoothed loss": curve, "loss": [(point.rate, point.loss) for point in points[: len(curve)]]},
        title="Learning-rate range test",
        x_label="learning rate",
        y_label="nats a token",
        log_x=True,
        marks={f"to take: {found.rate:g}": found.rate, f"lowest loss: {found.lowest:.2g}": found.lowest},
    )
    for number in itertools.count(1):
        path = Path("learning-rate.svg" if number == 1 else f"learning-rate-{number}.svg")
        try:
            with path.open("x", encoding="utf-8") as stream:
                stream.write(picture)
        except FileExistsError:
            continue
        except OSError as error:
            click.echo(f"No picture of it: {path}: {error.strerror}", err=True)
            return
        click.echo(f"As a picture: {path}")
        return


def examine(run: Training, draw: Draw) -> None:
    """Say what is right and wrong with a run that has been entered; the run can go on from there.

    Raises:
        TrainingError: where something is wrong.
    """
    from ..trainer.doctor import diagnose

    loop = _walked(run.prepared_loop(sized=False), draw)

    def told(message: str) -> None:
        draw(Progress(kind="prepare", transient=True, message=message))

    wrong = []
    for found in diagnose(loop, told):
        _show(draw, found.state, found.name, found.said, found.remedy)
        wrong += [found.name] if found.state == "wrong" else []
    if wrong:
        raise TrainingError(
            f"not healthy: {', '.join(wrong)}", "mend what is marked above, from the top; no bot was begun"
        )
    draw(Progress(kind="prepare", message="healthy: the run begins"))


def _show(draw: Draw, state: str, name: str, said: str, remedy: str) -> None:
    sign = SIGNS[state]
    sign = sign if _has(sign, err=True) else PLAIN.get(sign, sign)
    hint = f"; {remedy}" if remedy and state != "right" else ""
    draw(Progress(kind="prepare", message=f"{sign} {name}: {sanitize(said)}{hint}"))


def _has(signs: str, *, err: bool = False) -> bool:
    """Tell whether standard output shows these signs, where it is a terminal, or standard error can be written them."""
    stream = sys.stderr if err else sys.stdout
    try:
        signs.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return err or stream.isatty()
