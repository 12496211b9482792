"""`s2sbot corpus`: the commands about corpora by name, each in a file of its own."""

from __future__ import annotations

import importlib
from typing import Final

import click

__all__ = ["corpus"]

COMMANDS: Final = {
    "inspect": "Say what is in a corpus.",
    "prepare": "Turn corpora into packed token ids with a data card.",
    "align": "Make translation pairs of two languages of a film.",
    "get": "Fetch a known corpus.",
    "from-chats": "Turn stored conversations into a corpus.",
}


class _Commands(click.Group):
    """Imports a command when it is called, and not for `--help`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        word = name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f".corpus_{word}", __package__), word)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, no_args_is_help=True)
def corpus() -> None:
    """Look into corpora, prepare, align and fetch them.

    \b
    Examples:
      s2sbot corpus inspect subtitles.zip
      s2sbot corpus prepare subtitles.zip --out prepared
    """
