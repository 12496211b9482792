"""The types that flow from a file to an exchange, and the protocols of those who read files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol, TypeAlias, runtime_checkable

__all__ = ["MARKS", "Cue", "Dialogue", "Exchange", "Item", "Lost", "Origin", "PairReader", "Reader", "Turn"]

MARKS: Final = ("comment", "drawing", "karaoke", "positioned")
"""What a subtitle file itself may say that a cue is, so that nobody speaks it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something came from: a file (or archive member), and a line from 1 or a time in seconds."""

    file: str
    line: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Cue:
    """What a subtitle file shows from `start` to `end`, both in seconds; `text` without markup, line ends as `\\n`.

    speaker  who says it, where the file's format has a place for that
    style    name of the style it is drawn in
    mark     one of `MARKS`, where the file says by more than the style's name that nobody speaks it
    """

    start: float
    end: float
    text: str
    speaker: str | None = None
    style: str | None = None
    mark: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says before another one does; `start` in seconds."""

    text: str
    speaker: str | None = None
    start: float | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns that belong together: a scene, a conversation.

    group  what is never torn apart between training and validation, as a film; None where the dialogue stands alone
    """

    turns: tuple[Turn, ...]
    origin: Origin
    group: str | None = None


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


@dataclass(frozen=True, slots=True)
class Lost:
    """A piece of a file that could not be read while the rest could; `cause` in a few words, `line` from 1."""

    cause: str
    line: int | None = None


Item: TypeAlias = Cue | Dialogue | Exchange | Lost


@runtime_checkable
class Reader(Protocol):
    """Reads one kind of file.

    What it yields says what still has to be done: cues are paired, dialogues are cut, exchanges are ready. Nothing is
    passed over in silence: a piece that cannot be read is a `Lost`.
    """

    def sniff(self, head: bytes, name: str) -> float:
        """Return how surely this reader reads the file, 0 to 1; `head`, its first 64 KiB, counts before `name`."""
        ...

    def read(self, stream: BinaryIO, name: str) -> Iterator[Item]:
        """Yield what the file holds, as it comes; a file that may be large is never held whole.

        Raises:
            ValueError: where it cannot be read; the message says why, and the file is skipped and named.
        """
        ...


@runtime_checkable
class PairReader(Protocol):
    """Reads two files that belong together, as line by line translations of each other.

    Where both have names of their own, the class names them in `pair_names`: two such files in one folder are read
    together, and neither of them alone.
    """

    def read_pair(self, source: BinaryIO, target: BinaryIO, name: str) -> Iterator[Item]:
        """Yield what both files hold.

        Raises:
            ValueError: where the two sides do not have the same number of lines, or cannot be read.
        """
        ...
