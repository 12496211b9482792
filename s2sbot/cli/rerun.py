"""`s2sbot rerun`: a bot goes in, the run of its card is made again, and whether its metric holds comes out."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import shell_command
from .options import Place
from .running import STOPPED, going_on, said_stopped, shown, stopped_by_signals, walk
from .sanitize import sanitize
from .signals import say

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

    record = read_record(bot)
    place = new or bot.with_name(f"{bot.name.removesuffix('.bot')}.rerun.bot")
    from ..trainer.repeat import Rerun, verdict_of

    run = Rerun(record, place, corpora=corpora, of=bot)
    go_on = going_on(place)
    with stopped_by_signals(run, resumed=False, go_on=go_on), run, shown(run) as show:
        stopped = walk(run, show)
    if stopped and run.first:
        say(said_stopped(run, go_on))
        say(f"and then compare: {shell_command('s2sbot', 'diff', bot, place)}")
    if stopped:
        ctx.exit(STOPPED)
    if not run.first:
        return
    verdict = verdict_of(record, bot, place, run.differences())
    # whoever reads it or not, the exit code says it too
    for line in (*(f"otherwise: {other}" for other in verdict.others), verdict.message):
        say(sanitize(line), err=False)
    ctx.exit(0 if verdict.holds else 1)
