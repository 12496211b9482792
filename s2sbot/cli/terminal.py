"""What somebody types goes in, the reply appears as it is made: the prompt of `s2sbot chat`."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import click
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.patch_stdout import patch_stdout

from ..errors import SettingsError
from ..files import make_private_folder
from ..settings import home, nearest
from ..tables import parse_assignment
from . import show_error
from .sanitize import sanitize

if TYPE_CHECKING:
    from ..bot import BotDescription
    from ..engine import Conversation, Reply
    from ..store import Message

__all__ = ["talk"]

HELP = {
    "/help": "this list",
    "/new": "begin a new conversation",
    "/set NAME=VALUE": "change how replies are searched for, as /set method=sample; /set alone shows all",
    "/info": "what this bot was made of",
    "/quit": "leave; so does Ctrl-D",
}
SHOWN_EARLIER = 10


def talk(
    folder: Path,
    description: BotDescription,
    start: Callable[[], Conversation],
    earlier: Sequence[Message],
    *,
    keep: bool = True,
) -> None:
    """Prompt, answer, and again, until /quit or Ctrl-D.

    `start` loads the bot and begins a conversation; it runs beside the first prompt, so that nobody waits for it.
    What is typed goes into the history file only where `keep` is true.
    Ctrl-C stops the reply under way, which is kept as far as it came, and at the prompt clears the line.
    """
    name = folder.resolve().name.removesuffix(".bot")
    click.secho(f"{name} · {description.model} · /help for help, Ctrl-D to leave", dim=True)
    _show_earlier(earlier)
    session: PromptSession[str] = PromptSession(
        history=_history() if keep else InMemoryHistory(),
        key_bindings=_keys(),
        completer=WordCompleter([command.split()[0] for command in HELP], sentence=True),
        complete_while_typing=False,
        prompt_continuation="  ",
    )
    with ThreadPoolExecutor(1) as pool:
        begun: Future[Conversation] = pool.submit(start)
        while True:
            try:
                with patch_stdout():
                    line = session.prompt(FormattedText([("bold", "> ")])).strip()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            if not line:
                continue
            if line in ("/quit", "/exit", "/q"):
                return
            try:
                if line.startswith("/"):
                    _command(line, begun, description)
                else:
                    _show_reply(_wait(begun), line)
            except SettingsError as error:
                show_error(error)


def _wait(begun: Future[Conversation]) -> Conversation:
    if not begun.done():
        click.secho("loading ...", dim=True)
    return begun.result()


def _show_reply(conversation: Conversation, line: str) -> None:
    """Write the reply piece by piece; an interrupt closes its stream, which stores what there is."""
    pieces = conversation.stream(line)
    reply: Reply | None = None
    try:
        while True:
            sys.stdout.write(sanitize(next(pieces)))
            sys.stdout.flush()
    except StopIteration as end:
        reply = end.value
    except KeyboardInterrupt:
        pieces.close()
        click.secho(" [stopped]", dim=True, nl=False)
    if reply is not None and not reply.text:
        click.secho("(it said nothing: try /set min_length=3 or /set method=sample)", dim=True, nl=False)
    click.echo()


def _command(line: str, begun: Future[Conversation], description: BotDescription) -> None:
    command, _, rest = line.partition(" ")
    if command == "/help":
        for title, meaning in HELP.items():
            click.echo(f"  {title:<18} {meaning}")
        click.echo(
            "  Alt-Enter begins a new line, Up brings back what you said, Ctrl-R searches it, Ctrl-C stops a reply."
        )
    elif command == "/new":
        _wait(begun).restart()
        click.secho("a new conversation", dim=True)
    elif command == "/info":
        _show_info(description)
    elif command == "/set":
        conversation = _wait(begun)
        if rest.strip():
            _, key, value = parse_assignment(f"decode.{rest.strip().replace(' ', '=', 1) if '=' not in rest else rest}")
            conversation.set(**{key: value})
        for option, setting in dataclasses.asdict(conversation.settings).items():
            click.echo(f"  {option:<18} {setting}")
    else:
        raise SettingsError(f"no command {command}", nearest(command, [known.split()[0] for known in HELP]))


def _show_info(description: BotDescription) -> None:
    click.echo(f"  model      {description.model}, {description.tokenizer} with {description.target_vocab:,} ids")
    for corpus in description.corpora:
        click.echo(f"  corpus     {sanitize(str(corpus.get('name')))}: {corpus.get('exchanges', 0):,} exchanges")
    perplexity = description.metrics.get("valid_perplexity")
    if perplexity:
        click.echo(f"  validation perplexity {perplexity:.2f} a token")


def _show_earlier(earlier: Sequence[Message]) -> None:
    if len(earlier) > SHOWN_EARLIER:
        click.secho(f"... {len(earlier) - SHOWN_EARLIER} earlier turns", dim=True)
    for message in earlier[-SHOWN_EARLIER:]:
        sign = "> " if message.role == "user" else ""
        click.secho(f"{sign}{sanitize(message.text)}", dim=True)


def _history() -> History:
    """Return the history of what was typed, in a file that only its owner may read, or in memory where none can be."""
    try:
        file = make_private_folder(home()) / "history"
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
        file.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(file))


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys
