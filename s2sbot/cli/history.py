"""The name of a conversation goes in; it is listed, shown, found, exported or deleted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..settings import home
from .sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..store import Conversation, Message, Store

__all__ = ["history"]

SHORT_ID = 8
EXCERPT = 60


@click.group()
def history() -> None:
    """Show, search, export and delete saved conversations.

    A conversation is named by its id, by the first digits of it (at least 4), or by the word `last`.

    \b
    Example:
      s2sbot history show last
    """


@history.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most rows to show.")
def list_(limit: int) -> None:
    """List conversations, the one talked in last first.

    \b
    Example:
      s2sbot history list --limit 5
    """
    with _open() as store:
        found = store.conversations(limit=limit + 1)
    if not found:
        click.echo("No conversations yet.")
        return
    rows = ((one.id[:SHORT_ID], _moment(one), one.bot_name, str(one.turns), _name(one)) for one in found[:limit])
    _table(("id", "last turn (UTC)", "bot", "turns", "title"), rows)
    if len(found) > limit:
        click.echo(f"There are more: s2sbot history list --limit {limit * 2}")


@history.command()
@click.argument("conversation")
def show(conversation: str) -> None:
    """Show a conversation as it was talked.

    \b
    Example:
      s2sbot history show 3f9a
    """
    with _open() as store:
        found = store.find(conversation)
        messages = store.path(found.id)
    click.echo(f"{found.id}  {_moment(found)} UTC  {_line(found.bot_name)}")
    if found.title:
        click.echo(_line(found.title))
    for message in messages:
        cut = "  [stopped]" if message.stopped else ""
        click.echo(f"{_speaker(found, message)}: {_indented(message.text)}{cut}")


@history.command()
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Most rows to show.")
def search(words: tuple[str, ...], limit: int) -> None:
    """Find turns that contain WORDS, whatever their case, the newest first.

    \b
    Example:
      s2sbot history search night ferry
    """
    wanted = " ".join(words)
    with _open() as store:
        found = store.search(wanted, limit=limit)
    if not found:
        click.echo(f"Nothing contains {sanitize(wanted)!r}.")
        return
    rows = ((one.id[:SHORT_ID], _moment(turn), _speaker(one, turn), _around(turn.text, wanted)) for one, turn in found)
    _table(("id", "said (UTC)", "by", "text"), rows)


@history.command()
@click.argument("conversation")
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "markdown"]),
    default="json",
    show_default=True,
    help="json has every branch that was tried, markdown the conversation as it ended.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write instead of stdout.")
@click.option("--with-state", is_flag=True, help="Put the recurrent states into the JSON, as base64.")
def export(conversation: str, form: str, output: Path | None, with_state: bool) -> None:
    """Write a conversation as JSON or Markdown.

    \b
    Example:
      s2sbot history export last --format markdown --output talk.md
    """
    with _open() as store:
        found = store.find(conversation)
        if form == "markdown":
            text = _markdown(found, store.path(found.id))
        else:
            # A terminal gets escapes for all that could steer it; a file gets the letters themselves.
            escaped = output is None and sys.stdout.isatty()
            values = store.export(found.id, with_state=with_state)
            text = json.dumps(values, indent=2, ensure_ascii=escaped) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    from ..errors import StoreError
    from ..files import write_atomically

    if not output.parent.is_dir():
        raise StoreError(f"there is no folder {output.parent}", "make it first, or choose another --output")
    write_atomically(output, text.encode())


@history.command()
@click.argument("conversation")
@click.option("--yes", is_flag=True, help="Delete without asking.")
def delete(conversation: str, yes: bool) -> None:
    """Delete a conversation and remove its text from the file.

    \b
    Example:
      s2sbot history delete 3f9a
    """
    with _open() as store:
        found = store.find(conversation)
        if not yes:
            what = f"{found.id[:SHORT_ID]}, {found.turns} turns with {_line(found.bot_name)}"
            click.confirm(f"Delete {what}: {_name(found)}?", abort=True)
        store.delete(found.id)
        copies = store.backups()
    click.echo(f"Deleted {found.id[:SHORT_ID]}.")
    if copies:
        click.echo("Copies made before an upgrade may still hold it; delete them if it must be gone:", err=True)
        for copy in copies:
            click.echo(f"  {sanitize(str(copy))}", err=True)
    typed = home() / "history"
    if typed.exists():
        click.echo(
            f"What you typed at the prompt is also in {sanitize(str(typed))}, which Up and Ctrl-R read.", err=True
        )


def _open() -> Store:
    from ..store import Store

    return Store.open()


def _moment(record: Conversation | Message) -> str:
    moment = getattr(record, "updated", None) or record.created
    return f"{moment:%Y-%m-%d %H:%M}"


def _line(text: str) -> str:
    return " ".join(sanitize(text).split())


def _indented(text: str) -> str:
    # Else a turn of two lines could pass its second off as the other's answer.
    return sanitize(text).replace("\n", "\n  ")


def _name(conversation: Conversation) -> str:
    text = _line(conversation.title or conversation.opening)
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"


def _speaker(conversation: Conversation, message: Message) -> str:
    return "you" if message.role == "user" else _line(conversation.bot_name)


def _around(text: str, wanted: str) -> str:
    """Return the part of a long text where the words stand."""
    line = _line(text)
    start = max(0, line.casefold().find(_line(wanted).casefold()) - EXCERPT // 3)
    part = line[start : start + EXCERPT]
    return ("…" if start else "") + part + ("…" if start + EXCERPT < len(line) else "")


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Draw a table on a terminal; write lines of tab-separated cells where another program reads."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(_line(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*heads, box=None, pad_edge=False)
    for column in table.columns[:-1]:
        column.no_wrap = True
    for row in rows:
        table.add_row(*(Text(_line(cell)) for cell in row))
    Console().print(table)


def _markdown(conversation: Conversation, messages: Iterable[Message]) -> str:
    escape = _escape_markdown
    parts = [
        f"# {escape(_name(conversation)) or conversation.id}",
        f"*{escape(_line(conversation.bot_name))}, {_moment(conversation)} UTC, {conversation.turns} turns*",
    ]
    for message in messages:
        cut = " *(stopped)*" if message.stopped else ""
        # Two spaces before a line's end keep it in Markdown.
        text = escape(sanitize(message.text)).replace("\n", "  \n")
        parts.append(f"**{escape(_speaker(conversation, message))}:** {text}{cut}")
    return "\n\n".join(parts) + "\n"


def _escape_markdown(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>#|~" else letter for letter in text)
