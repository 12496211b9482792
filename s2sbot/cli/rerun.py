"""`s2sbot rerun`: a bot goes in, the run of its card is made again, and whether its metric holds comes out."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from .options import Place

__all__ = ["rerun"]


@click.command(no_args_is_help=True)
@click.argument("bot", type=Place())
@click.option(
    "--bot", "new", type=Place(), help="Folder to write the new bot into.  [default: NAME.rerun.bot beside BOT]"
)
@click.option(
    "--corpus", "corpora", multiple=True, type=Place(),
    help="Where a corpus is now; once for each, in the order they were given, and then those of --valid.",
)  # fmt: skip
@click.pass_context
def rerun(ctx: click.Context, bot: Path, new: Path | None, corpora: tuple[Path, ...]) -> None:
    """Train BOT again from its card, and say whether its metric holds.

    The corpora must be what they were. A run by a budget repeats its steps, not its seconds. Where torch, threads and
    machine are the same, the metric must be identical to the bit; elsewhere it may differ by 5% of itself. Exit code 1
    says that it does not hold.

    \b
    Examples:
      s2sbot rerun friends.bot
      s2sbot rerun friends.bot --bot again.bot --corpus moved/subtitles.zip
    """
    from ..record import read_record
    from .progress import drawn
    from .sanitize import sanitize
    from .train import STOPPED, _stopped_by_signals

    record = read_record(bot)
    place = new or bot.with_name(f"{bot.name.removesuffix('.bot')}.rerun.bot")
    from ..trainer.repeat import Rerun, verdict_of

    run = Rerun(record, place, corpora=corpora)
    with run, _stopped_by_signals(run, resumed=False), drawn() as draw:
        stopped = False
        for progress in run:
            draw(progress)
            stopped = progress.stopped
    if stopped:
        resume, compare = (["train", "--bot", str(place), "--resume"], ["diff", str(bot), str(place)])
        click.echo(
            f"Stopped, and everything is saved. Go on with: {shlex.join(['s2sbot', *resume])}\n"
            f"and then compare: {shlex.join(['s2sbot', *compare])}",
            err=True,
        )
        ctx.exit(STOPPED)
    verdict = verdict_of(record, bot, place, run.differences())
    for line in verdict.others:
        click.echo(sanitize(f"otherwise: {line}"))
    click.echo(sanitize(verdict.message))
    ctx.exit(0 if verdict.holds else 1)
