"""`s2sbot chat`: opens bot and store, and talks on a terminal, or from line to line on a pipe."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import decode_options, given_options

if TYPE_CHECKING:
    from ..engine import Conversation
    from ..store import Store

__all__ = ["chat"]


@click.command(no_args_is_help=True)
@click.argument("bot", type=click.Path(path_type=Path))
@click.option("--continue", "go_on", is_flag=True, help="Go on with the last conversation with this bot.")
@click.option("--conversation", metavar="ID", help="Go on with a stored conversation; see `s2sbot history list`.")
@click.option(
    "--ask", "lines", multiple=True, metavar="TEXT", help="Say this, print the reply, and exit; may be repeated."
)
@click.option("--no-store", is_flag=True, help="Keep nothing of this conversation.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@decode_options("method", "beam_size", "temperature", "top_k", "top_p", "max_length", "seed")
def chat(
    bot: Path,
    go_on: bool,
    conversation: str | None,
    lines: tuple[str, ...],
    no_store: bool,
    device: str,
    **options: Any,
) -> None:
    """Talk to BOT.

    On a terminal this opens a prompt; /help there says what else it can do. Elsewhere it reads a line and writes a
    reply, until the input ends. Every turn is stored, the user's before the reply begins.

    \b
    Examples:
      s2sbot chat friends.bot
      s2sbot chat friends.bot --continue --method sample --temperature 0.8
      echo "Hello." | s2sbot chat friends.bot
    """
    from ..bot import read_description

    if go_on and conversation:
        raise click.UsageError("--continue and --conversation exclude each other.")
    if no_store and (go_on or conversation):
        raise click.UsageError("--no-store leaves nothing to go on with.")
    description = read_description(bot)
    given = given_options(options)
    with ExitStack() as stack:
        store = None if no_store else _open_store(stack)
        resume = _find(store, description.uuid, go_on, conversation)

        def start() -> Conversation:
            from ..engine import Bot

            return Bot.load(bot, device=device).conversation(store=store, resume=resume, **given)

        if lines:
            _answer(start(), lines, echo=True)
        elif sys.stdin.isatty() and sys.stdout.isatty():
            from .terminal import talk

            earlier = store.path(resume) if store is not None and resume is not None else ()
            talk(bot, description, start, earlier, keep=not no_store)
        else:
            with click.open_file("-", encoding="utf-8", errors="replace") as stream:
                _answer(start(), (line.rstrip("\r\n") for line in stream), echo=False)


def _open_store(stack: ExitStack) -> Store:
    from ..store import Store

    return stack.enter_context(Store.open())


def _find(store: Store | None, bot_uuid: str, go_on: bool, conversation: str | None) -> str | None:
    """Return the id of the conversation to go on with."""
    from ..errors import StoreError

    if store is None:
        return None
    if conversation:
        return store.find(conversation).id
    if not go_on:
        return None
    latest = store.latest(bot_uuid)
    if latest is None:
        raise StoreError("there is no conversation with this bot yet", "leave --continue out to begin one")
    return latest.id


def _answer(conversation: Conversation, lines: Any, *, echo: bool) -> None:
    """Write a reply for every line; an empty one stays empty."""
    from .sanitize import sanitize

    clean = sanitize if echo or sys.stdout.isatty() else str
    for line in lines:
        if echo:
            click.echo(f"> {clean(line)}")
        text = conversation.reply(line).text if line.strip() else ""
        click.echo(clean(text).replace("\n", " "))
        sys.stdout.flush()
