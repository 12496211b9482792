"""Tables of conversations and their messages, as typed classes; migrations/versions is what creates them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Dialect, Float, ForeignKey, MetaData, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

__all__ = ["REVISION", "Base", "ConversationRow", "MessageRow"]

# Written down here so that opening a store that is up to date need not import Alembic (0.2 s).
REVISION = "0001"


class UtcText(TypeDecorator[datetime]):
    """A moment as ISO 8601 text in UTC: text sorts as time and any SQLite shell shows it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


class Base(DeclarativeBase):
    """Names every constraint, as a batch migration can only change what has a name."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class ConversationRow(Base):
    """One conversation with one bot; `tip_id` is the message that it ends in now."""

    __tablename__ = "conversation"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    title: Mapped[str | None] = mapped_column(Text)
    bot_uuid: Mapped[str] = mapped_column(Text)
    bot_name: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(UtcText)
    updated: Mapped[datetime] = mapped_column(UtcText, index=True)
    tip_id: Mapped[str | None] = mapped_column(Text, ForeignKey("message.id", use_alter=True))


class MessageRow(Base):
    """One turn. The parents make a tree of it: an answer tried again is a second child of the same question.

    `parent_id` does not cascade: a chain of cascades longer than 1,000 exceeds SQLite's trigger depth, and a
    conversation's messages all go with `conversation_id` anyway.
    """

    __tablename__ = "message"
    __table_args__ = (CheckConstraint("role IN ('user', 'bot')", name="role"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    conversation_id: Mapped[str] = mapped_column(Text, ForeignKey("conversation.id", ondelete="CASCADE"), index=True)
    parent_id: Mapped[str | None] = mapped_column(Text, ForeignKey("message.id"), index=True)
    role: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(UtcText)
    bot_uuid: Mapped[str | None] = mapped_column(Text)
    seed: Mapped[int | None]
    options: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    score: Mapped[float | None] = mapped_column(Float)
    state: Mapped[bytes | None]
    stopped: Mapped[bool]
