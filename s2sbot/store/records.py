"""Rows of the store go in, frozen records and plain JSON values come out."""

from __future__ import annotations

import base64
import enum
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

__all__ = ["TIP", "Conversation", "Message", "Role", "Tip"]

Role = Literal["user", "bot"]


class Tip(enum.Enum):
    """The type of `TIP`, which stands for "the message that the conversation ends in"."""

    TIP = "tip"


# None cannot stand for it: a message without a parent opens another first turn.
TIP: Final = Tip.TIP


@dataclass(frozen=True, slots=True)
class Message:
    """One turn as it was said, and what it takes to say it again.

    `score` is the log-probability of a reply, `state` the recurrent state carried after it, `stopped` whether
    the user cut it.
    """

    id: str
    conversation_id: str
    parent_id: str | None
    role: Role
    text: str
    created: datetime
    bot_uuid: str | None = None
    seed: int | None = None
    options: dict[str, Any] | None = None
    score: float | None = None
    state: bytes | None = None
    stopped: bool = False

    def to_json(self, *, with_state: bool = False) -> dict[str, Any]:
        """Return JSON values; `state` is there as base64 `with_state`, and left out without it."""
        # JSON has no word for an infinite score.
        score = self.score if self.score is not None and math.isfinite(self.score) else None
        values: dict[str, Any] = {
            "id": self.id,
            "parent_id": self.parent_id,
            "role": self.role,
            "text": self.text,
            "created": self.created.isoformat(),
            "bot_uuid": self.bot_uuid,
            "seed": self.seed,
            "options": self.options,
            "score": score,
            "stopped": self.stopped,
        }
        if with_state:
            values["state"] = None if self.state is None else base64.b64encode(self.state).decode("ascii")
        return values


@dataclass(frozen=True, slots=True)
class Conversation:
    """A tree of messages and the one it ends in.

    `turns` counts the messages from the root to the tip; `opening` holds the first words of the root.
    """

    id: str
    title: str | None
    bot_uuid: str
    bot_name: str
    created: datetime
    updated: datetime
    tip_id: str | None = None
    turns: int = 0
    opening: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values of all but `opening`, which the messages hold."""
        return {
            "id": self.id,
            "title": self.title,
            "bot_uuid": self.bot_uuid,
            "bot_name": self.bot_name,
            "created": self.created.isoformat(),
            "updated": self.updated.isoformat(),
            "tip_id": self.tip_id,
            "turns": self.turns,
        }
