"""Turns go in and are on the disk when the call returns; conversations come out as frozen records."""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, Engine, delete, insert, literal_column, select, update

from .. import settings
from ..errors import StoreError
from . import connection as files
from .migrate import backups, bring_up_to_date
from .queries import containing, newest, overview, way_to_tip
from .records import TIP, Conversation, Message, Role, Tip
from .schema import ConversationRow, MessageRow

__all__ = ["Store"]

FEWEST_DIGITS = 4
_SURROGATES = re.compile("[\ud800-\udfff]")


class Store:
    """The conversations of one file; every method is a transaction of its own, from any thread or process."""

    def __init__(self, engine: Engine, file: Path) -> None:
        self._engine = engine
        self.file = file
        self._closed = False

    @classmethod
    def open(cls, path: Path | None = None) -> Store:
        """Open the store at `path` (`conversations.db` in S2SBOT_HOME), made or upgraded where it has to be.

        Raises:
            NewerStoreError: where a newer s2sbot wrote it.
            StoreError: where the file is no store, is damaged or locked, or cannot be written.
        """
        path = (path or settings.home() / "conversations.db").expanduser().absolute()
        with files.explained(path):
            files.create_private_file(path)
            bring_up_to_date(path)
            files.tighten(path)
        return cls(files.make_engine(path), path)

    def close(self) -> None:
        """Refuse every later call."""
        self._closed = True
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, bot_uuid: str, bot_name: str, *, title: str | None = None) -> Conversation:
        """Open an empty conversation with a bot."""
        now = datetime.now(UTC)
        title = None if title is None else _storable(title)
        conversation = Conversation(uuid.uuid4().hex, title, bot_uuid, _storable(bot_name), now, now)
        with self._transaction(writing=True) as connection:
            row = {
                "id": conversation.id,
                "title": title,
                "bot_uuid": bot_uuid,
                "created": now,
                "updated": now,
            }
            connection.execute(insert(ConversationRow).values(**row, bot_name=conversation.bot_name))
        return conversation

    def append(
        self,
        conversation_id: str,
        role: Role,
        text: str,
        *,
        parent_id: str | Tip | None = TIP,
        bot_uuid: str | None = None,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
        score: float | None = None,
        state: bytes | None = None,
        stopped: bool = False,
    ) -> Message:
        """Add a turn below `parent_id` and end the conversation in it; durable when this returns.

        The parent is the present tip where not given; None opens another first turn.

        Raises:
            StoreError: where there is no such conversation, or it has no such parent.
        """
        message_id, now = uuid.uuid4().hex, datetime.now(UTC)
        with self._transaction(writing=True) as connection:
            tip = self._tip(connection, conversation_id)
            parent = tip if isinstance(parent_id, Tip) else parent_id
            if parent is not None and parent != tip:
                self._check_parent(connection, conversation_id, parent)
            message = Message(
                message_id, conversation_id, parent, role, _storable(text), now,
                bot_uuid, seed, None if options is None else dict(options), score, state, stopped,
            )  # fmt: skip
            row = {name: getattr(message, name) for name in Message.__slots__}
            connection.execute(insert(MessageRow).values(**row))
            chosen = update(ConversationRow).where(ConversationRow.id == conversation_id)
            connection.execute(chosen.values(tip_id=message.id, updated=now))
        return message

    def path(self, conversation_id: str) -> tuple[Message, ...]:
        """Return the messages from the first turn to the tip.

        Raises:
            StoreError: where there is no such conversation.
        """
        with self._transaction() as connection:
            self._tip(connection, conversation_id)
            return tuple(Message(**row) for row in connection.execute(way_to_tip(conversation_id)).mappings())

    def conversations(self, *, limit: int | None = None) -> list[Conversation]:
        """Return the conversations, the one talked in last first."""
        with self._transaction() as connection:
            return self._read(connection, limit=limit)

    def latest(self, bot_uuid: str | None = None) -> Conversation | None:
        """Return the conversation talked in last, with that bot or any; None where there is none."""
        wanted = () if bot_uuid is None else (ConversationRow.bot_uuid == bot_uuid,)
        with self._transaction() as connection:
            return next(iter(self._read(connection, *wanted, limit=1)), None)

    def find(self, prefix_or_last: str) -> Conversation:
        """Return the conversation that a user names: its id, the first digits of it, or the word `last`.

        Raises:
            StoreError: where no conversation or more than one goes by that name, or it has under 4 digits.
        """
        word = prefix_or_last.strip().lower()
        if word == "last":
            newest = self.latest()
            if newest is None:
                raise StoreError("there is no conversation yet", "talk to a bot first: s2sbot chat FOLDER")
            return newest
        prefix = word.replace("-", "")
        if len(prefix) < FEWEST_DIGITS:
            raise StoreError(
                f"{prefix_or_last!r} is too short for a conversation's id",
                f"give at least {FEWEST_DIGITS} digits of it; they are shown by: s2sbot history list",
            )
        with self._transaction() as connection:
            # A range instead of LIKE, as it uses the index and knows no wildcards.
            wanted = (ConversationRow.id >= prefix, ConversationRow.id < prefix + "\U0010ffff")
            found = self._read(connection, *wanted, limit=10)
            if len(found) == 1:
                return found[0]
            if not found:
                raise StoreError(f"no conversation has the id {prefix_or_last!r}", self._near(connection, prefix))
        raise StoreError(
            f"more than one conversation begins with {prefix_or_last!r}",
            "give more digits: " + ", ".join(one.id[: len(prefix) + 6] for one in found[:5]),
        )

    def search(self, words: str, *, limit: int = 50) -> list[tuple[Conversation, Message]]:
        """Return the newest messages that contain `words`, whatever their case, with their conversations."""
        with self._transaction() as connection:
            rows = connection.execute(containing(words, limit)).mappings()
            messages = [Message(**row) for row in rows]
            ids = {message.conversation_id for message in messages}
            known = {one.id: one for one in self._read(connection, ConversationRow.id.in_(ids))}
        return [(known[message.conversation_id], message) for message in messages]

    def export(self, conversation_id: str, *, with_state: bool = False) -> dict[str, Any]:
        """Return the whole tree as JSON values, parents before children; states only where asked for.

        Raises:
            StoreError: where there is no such conversation.
        """
        query = select(MessageRow).where(MessageRow.conversation_id == conversation_id)
        with self._transaction() as connection:
            self._tip(connection, conversation_id)
            [conversation] = self._read(connection, ConversationRow.id == conversation_id)
            rows = connection.execute(query.order_by(literal_column("message.rowid"))).mappings()
            messages = [Message(**row).to_json(with_state=with_state) for row in rows]
        return {"format": 1, "conversation": conversation.to_json(), "messages": messages}

    def delete(self, conversation_id: str) -> None:
        """Remove a conversation and its text from the file; copies in `backups()` keep it.

        Raises:
            StoreError: where there is no such conversation, or the file cannot be rewritten without it.
        """
        with self._transaction(writing=True) as connection:
            self._tip(connection, conversation_id)
            connection.execute(delete(ConversationRow).where(ConversationRow.id == conversation_id))
        try:
            files.compact(self.file)
        except StoreError as error:
            raise StoreError(
                f"the conversation is deleted, but traces of it may still be in the file: {error.message}",
                "the next conversation that you delete takes them along",
            ) from error

    def backups(self) -> list[Path]:
        """Return the copies that upgrades of the store have left beside it, newest first."""
        return backups(self.file)

    @contextmanager
    def _transaction(self, *, writing: bool = False) -> Iterator[Connection]:
        if self._closed:
            raise ValueError("the store is closed")
        engine = self._engine.execution_options(writing=writing)
        with files.explained(self.file), engine.begin() as connection:
            yield connection

    def _tip(self, connection: Connection, conversation_id: str) -> str | None:
        query = select(ConversationRow.tip_id).where(ConversationRow.id == conversation_id)
        found = connection.execute(query).one_or_none()
        if found is None:
            raise StoreError(f"no conversation has the id {conversation_id!r}", self._near(connection, conversation_id))
        return found[0]

    def _check_parent(self, connection: Connection, conversation_id: str, parent_id: str) -> None:
        query = select(MessageRow.conversation_id).where(MessageRow.id == parent_id)
        if connection.execute(query).scalar() != conversation_id:
            raise StoreError(
                f"conversation {conversation_id[:8]} has no message {parent_id!r}",
                f"its messages are shown by: s2sbot history export {conversation_id[:8]}",
            )

    def _near(self, connection: Connection, prefix: str) -> str:
        known = connection.execute(newest(select(ConversationRow.id)).limit(1000)).scalars()
        heads = {one[: max(8, len(prefix))]: one for one in known}
        close = difflib.get_close_matches(prefix, heads, n=3, cutoff=0.7)
        listing = "list them with: s2sbot history list"
        return f"near ones: {', '.join(head[:12] for head in close)}; {listing}" if close else listing

    def _read(
        self, connection: Connection, *wanted: ColumnElement[bool], limit: int | None = None
    ) -> list[Conversation]:
        rows = connection.execute(overview(*wanted, limit=limit)).mappings()
        return [Conversation(**row) for row in rows]


def _storable(text: str) -> str:
    """Return `text` with a replacement character for each half of a broken pair, which UTF-8 cannot hold."""
    return _SURROGATES.sub("\ufffd", text)
