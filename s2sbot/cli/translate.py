"""`s2sbot translate`: lines go in, as many lines come out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from .options import decode_options, given_options

__all__ = ["translate"]


@click.command(no_args_is_help=True)
@click.argument("bot", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True), default="-")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@decode_options("method", "beam_size", "length_penalty", "max_length", "seed")
def translate(bot: Path, file: str, device: str, **options: Any) -> None:
    """Translate the lines of FILE, or of standard input, to as many lines.

    On a terminal each line is translated when it is entered; Ctrl-D ends. Elsewhere 64 lines go through the model
    together.

    \b
    Examples:
      s2sbot translate en-fr.bot letter.txt > lettre.txt
      echo "Good morning." | s2sbot translate en-fr.bot
    """
    from ..engine import Bot
    from .sanitize import sanitize

    loaded = Bot.load(bot, device=device)
    given = given_options(options)
    clean = sanitize if sys.stdout.isatty() else str
    with click.open_file(file, encoding="utf-8", errors="replace") as stream:
        lines = (line.rstrip("\r\n") for line in stream)
        if file == "-" and sys.stdin.isatty():
            click.echo(f"{loaded.name}: enter lines to translate, Ctrl-D to end", err=True)
            found: Iterator[str] = (loaded.translate([line], **given)[0] for line in lines)
        else:
            found = loaded.translate_stream(lines, **given)
        for translated in found:
            click.echo(clean(translated))
