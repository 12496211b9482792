"""`s2sbot corpus from-chats`: stored conversations go in, a corpus of dialogues comes out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import Place

if TYPE_CHECKING:
    from ..store import Conversation, Message

__all__ = ["from_chats"]


@click.command()
@click.option("--out", required=True, type=Place(dir_okay=False), help="JSONL file to write; - is standard output.")
@click.option("--bot", help="Only talks with this bot: its name, or its id.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only talks that went on after this day (UTC).")
@click.option("--min-turns", type=click.IntRange(min=2), default=2, show_default=True, help="Turns at least.")
def from_chats(out: Path, bot: str | None, since: datetime | None, min_turns: int) -> None:
    """Write the stored conversations, each as it ended, as a corpus that `s2sbot train` reads.

    A reply that was stopped ends its dialogue, and the next turn begins another one. Every dialogue keeps the
    conversation's id and the time of each turn. The file is readable by you alone.

    \b
    Examples:
      s2sbot corpus from-chats --out chats.jsonl
      s2sbot train subtitles.zip chats.jsonl --bot friends.bot
    """
    from ..errors import CorpusError, shell_command
    from ..files import refuse_existing, write_atomically
    from ..store import Store
    from .sanitize import sanitize

    if out != Path("-"):
        refuse_existing(out)
    if not out.parent.is_dir():
        raise CorpusError(f"there is no folder {out.parent}", "make it first, or choose another --out")
    after = None if since is None else since.replace(tzinfo=UTC)
    lines: list[str] = []
    with Store.open() as store:
        for conversation in reversed(store.conversations()):
            named = bot is None or bot in (conversation.bot_name, conversation.bot_uuid)
            if named and (after is None or conversation.updated >= after):
                lines += (
                    json.dumps(dialogue, ensure_ascii=False) + "\n"
                    for dialogue in _dialogues(conversation, store.path(conversation.id))
                    if len(dialogue["turns"]) >= min_turns
                )
    if not lines:
        raise CorpusError(
            "no stored conversation fits", "list them with: s2sbot history list; leave --bot and --since out for all"
        )
    if out == Path("-"):
        for line in lines:
            click.echo(sanitize(line) if sys.stdout.isatty() else line, nl=False)
        click.echo(f"{len(lines):,} dialogues", err=True)
        return
    write_atomically(out, "".join(lines).encode())
    out.chmod(0o600)
    following = shell_command("s2sbot", "train", out, "--bot", "NAME.bot")
    click.echo(f"{len(lines):,} dialogues. Now: {following}", err=True)


def _dialogues(conversation: Conversation, messages: Iterable[Message]) -> Iterator[dict[str, Any]]:
    """Yield what was said in one conversation, cut at replies that were stopped."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.stopped or not message.text.strip():
            yield _described(conversation, turns)
            turns = []
            continue
        seconds = (message.created - conversation.created).total_seconds()
        turns.append({"text": message.text, "speaker": message.role, "start": round(seconds, 3)})
    yield _described(conversation, turns)


def _described(conversation: Conversation, turns: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "turns": turns,
        "file": f"conversation {conversation.id}",
        "group": f"conversation {conversation.id}",
        "bot": conversation.bot_name,
        "date": conversation.created.isoformat(),
    }
