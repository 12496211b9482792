"""The command line: the commands by name, and the one place where an error is shown to the user."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from typing import Any, Final

import click

from .. import __version__
from ..errors import S2SBotError
from .sanitize import sanitize

__all__ = ["main"]

COMMANDS: Final = {
    "train": "Make a bot from subtitles, dialogues or parallel text.",
    "chat": "Talk to a bot.",
    "translate": "Translate lines with a bot.",
    "evaluate": "Say how well a bot foresees a corpus.",
    "corpus": "Look into corpora, prepare, align and fetch them.",
    "rerun": "Train a bot again from its card, and say whether its metric holds.",
    "diff": "Name what differs between two bots.",
    "history": "Read, search, export and delete stored conversations.",
    "plugins": "List and check models, tokenizers and readers.",
}


class _Commands(click.Group):
    """Imports a command when it is called, and not for `--help`; shows what a user can mend without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(_entry_points())]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            command: click.Command = getattr(importlib.import_module(f".{name}", __package__), name)
            return command
        entry = _entry_points().get(name)
        if entry is None:
            return None
        try:
            loaded = entry.load()
        except Exception as error:
            raise S2SBotError(
                f"the command {name!r} cannot be used: {entry.value}: {error!r}", "mend or uninstall that plugin"
            ) from error
        if not isinstance(loaded, click.Command):
            raise S2SBotError(f"the command {name!r} cannot be used: {entry.value} is no click command")
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [
            *COMMANDS.items(),
            *((name, f"From the plugin {entry.module}.") for name, entry in _entry_points().items()),
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except BrokenPipeError:
            # who reads us has gone: say nothing, and keep Python from flushing into the broken pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except S2SBotError as error:
            show_error(error)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.filename is None:
                raise
            cause = f"{error.filename}: {error.strerror}"
            show_error(S2SBotError(cause, "check the name, and whether you may read and write there"))
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo(err=True)
            ctx.exit(130)


def show_error(error: S2SBotError) -> None:
    """Write what is wrong and what to do about it to standard error."""
    click.secho("Error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(sanitize(error.message), err=True)
    if error.hint:
        click.secho("Hint: ", fg="cyan", nl=False, err=True)
        click.echo(sanitize(error.hint), err=True)


def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    """Return the commands of plugins by name; a name that s2sbot itself has is not given away."""
    found = importlib.metadata.entry_points(group="s2sbot.commands")
    if not found:
        return {}
    from ..plugins import allowed

    return {
        entry.name: entry
        for entry in found
        if entry.name not in COMMANDS and allowed(entry.name, entry.dist.name if entry.dist else "")
    }


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="s2sbot")
def main() -> None:
    """Sequence-to-sequence chatbots and translators from subtitles and parallel text, on your own machine.

    \b
    Examples:
      s2sbot train subtitles.zip --bot friends.bot --budget 15m
      s2sbot chat friends.bot
    """
