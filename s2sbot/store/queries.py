"""What is asked of the store goes in; the queries that walk its trees come out."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, literal, literal_column, select

from .schema import ConversationRow, MessageRow

__all__ = ["containing", "newest", "overview", "way_to_tip"]

OPENING_LENGTH = 200


def newest(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Put the conversation talked in last first; of one microsecond, the row made later."""
    return query.order_by(ConversationRow.updated.desc(), literal_column("conversation.rowid").desc())


def way_to_tip(conversation_id: str) -> Select[*tuple[Any, ...]]:
    """Return the messages from the first turn to the tip, found from the tip upwards."""
    tip = select(MessageRow.id, MessageRow.parent_id, literal(0).label("height"))
    tip = tip.join(ConversationRow, ConversationRow.tip_id == MessageRow.id)
    walk = tip.where(ConversationRow.id == conversation_id).cte("walk", recursive=True)
    parent = select(MessageRow.id, MessageRow.parent_id, walk.c.height + 1)
    walk = walk.union_all(parent.join(walk, MessageRow.id == walk.c.parent_id))
    return select(MessageRow).join(walk, MessageRow.id == walk.c.id).order_by(walk.c.height.desc())


def containing(words: str, limit: int) -> Select[*tuple[Any, ...]]:
    """Return the newest messages that contain `words`, whatever their case."""
    matching = select(MessageRow).where(func.instr(func.casefold(MessageRow.text), words.casefold()) > 0)
    return matching.order_by(MessageRow.created.desc(), literal_column("message.rowid").desc()).limit(limit)


def overview(*wanted: ColumnElement[bool], limit: int | None = None) -> Select[*tuple[Any, ...]]:
    """Return conversations with their turns counted and their first words, all walked to the root at once."""
    chosen = newest(select(ConversationRow.id, ConversationRow.tip_id).where(*wanted)).limit(limit).cte("chosen")
    # Only a root gives its text, so that long conversations are not read as a whole.
    opening = case((MessageRow.parent_id.is_(None), func.substr(MessageRow.text, 1, OPENING_LENGTH)))
    tips = select(chosen.c.id.label("conversation_id"), MessageRow.parent_id, opening.label("opening"))
    walk = tips.join(MessageRow, MessageRow.id == chosen.c.tip_id).cte("walk", recursive=True)
    parents = select(walk.c.conversation_id, MessageRow.parent_id, opening)
    walk = walk.union_all(parents.join(MessageRow, MessageRow.id == walk.c.parent_id))
    query = (
        select(
            ConversationRow,
            func.count(walk.c.conversation_id).label("turns"),
            func.coalesce(func.max(walk.c.opening), "").label("opening"),
        )
        .join(chosen, chosen.c.id == ConversationRow.id)
        .outerjoin(walk, walk.c.conversation_id == ConversationRow.id)
        .group_by(ConversationRow.id)
    )
    return newest(query)
