"""Turns of conversations go in, and come out again whatever happened in between: one SQLite file."""

from __future__ import annotations

from .records import TIP, Conversation, Message, Role
from .store import Store

__all__ = ["TIP", "Conversation", "Message", "Role", "Store"]
