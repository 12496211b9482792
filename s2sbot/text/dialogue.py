"""The types that flow from a file to an exchange, and the protocols of those who read files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol, runtime_checkable

__all__ = ["Cue", "Dialogue", "Exchange", "Origin", "PairReader", "Reader", "Turn"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something came from: a file (or archive member), and a line from 1 or a time in seconds."""

    file: str
    line: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Cue:
    """What a subtitle file shows from `start` to `end`, both in seconds; `text` without markup."""

    start: float
    end: float
    text: str
    speaker: str | None = None
    style: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says before another one does; `start` in seconds."""

    text: str
    speaker: str | None = None
    start: float | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns that belong together: a scene, a conversation."""

    turns: tuple[Turn, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a model learns from: one reply to `source`, or one translation of it.

    context   the turns before `source`, oldest first
    dialogue  number of the dialogue in its file that it was cut from; None for a pair that stands alone
    turn      number of `source` among the turns of that dialogue
    """

    source: str
    target: str
    context: tuple[str, ...] = ()
    origin: Origin = Origin("")
    dialogue: int | None = None
    turn: int = 0


@runtime_checkable
class Reader(Protocol):
    """Reads one kind of file.

    What it yields says what still has to be done: cues are paired, dialogues are cut, exchanges are ready.
    """

    def sniff(self, head: bytes, name: str) -> float:
        """Return how surely this reader reads the file, 0 to 1; `head`, its first 64 KiB, counts before `name`."""
        ...

    def read(self, stream: BinaryIO, name: str) -> Iterator[Cue | Dialogue | Exchange]:
        """Yield what the file holds.

        Raises:
            ValueError: where it cannot be read; the message says why, and the file is skipped and named.
        """
        ...


@runtime_checkable
class PairReader(Protocol):
    """Reads two files, line by line, that are translations of each other."""

    def read_pair(self, source: BinaryIO, target: BinaryIO, name: str) -> Iterator[Exchange]:
        """Yield an exchange for every pair of lines.

        Raises:
            ValueError: where the two sides do not have the same number of lines, or cannot be read.
        """
        ...
