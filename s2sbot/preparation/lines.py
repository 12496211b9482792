"""The lines and rows of a read shard go in; exchanges as text come out, one document after another, few in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .choosing import LEFT_OUT, SIDES
from .columns import read_columns
from .partitions import mixed
from .reading import COLUMNS, ReadShard

__all__ = ["Row", "rows_of"]

PIECE = 2**13
"""Rows, and lines, that are in memory at a time."""
_AS_THEY_ARE = ("dialogue", "turn", "file", "line", "seconds")
_NEEDED = ("source", "target", "context", *_AS_THEY_ARE, "key", "reply")


class Row(NamedTuple):
    """An exchange that is kept, as text, with all that is known of it; `document` counts within the shard.

    draw   a hash of the exchange that has no say in what is kept: samples are those with the lowest
    reply  a hash of the target

    It is a tuple since millions are made: a frozen dataclass takes four times as long.
    """

    side: str
    document: int
    source: str
    target: str
    context: tuple[str, ...]
    dialogue: int
    turn: int
    file: int
    line: int
    seconds: float
    draw: int
    reply: int


def rows_of(
    folder: Path, number: int, shard: ReadShard, fates: NDArray[np.uint8], *, below: int = 2**64
) -> Iterator[Row]:
    """Yield the rows of a shard whose fate is to be kept, and whose draw is `below` a limit, in their order."""
    ends = np.cumsum(shard.rows)
    types = {name: COLUMNS[name] for name in _NEEDED}
    with (folder / f"read-{number}.turns").open(encoding="utf-8", newline="\n") as turns:
        window = _Window(turns)
        begin = 0
        for columns in read_columns(folder, f"read-{number}", types, int(ends[-1]) if len(ends) else 0, PIECE):
            size = len(columns["key"])
            here = fates[begin : begin + size]
            # by the key itself a reply is capped, whose lowest keys a sample would have too many of
            draws = mixed(columns["key"][:, None])
            kept = np.flatnonzero((here < LEFT_OUT) & (draws <= np.uint64(below - 1)))
            documents = np.searchsorted(ends, kept + begin, side="right").tolist()
            picked = [columns[name][kept].tolist() for name in ("source", "target", "context")]
            rest = [columns[name][kept].tolist() for name in _AS_THEY_ARE]
            for side, document, source, target, context, dialogue, turn, file, line, seconds, draw, reply in zip(
                here[kept].tolist(),
                documents,
                *picked,
                *rest,
                draws[kept].tolist(),
                columns["reply"][kept].tolist(),
                strict=True,
            ):
                texts = window.lines(source - context, target)
                yield Row(
                    SIDES[side],
                    document,
                    texts[-2],
                    texts[-1],
                    tuple(texts[:-2]),
                    dialogue,
                    turn,
                    file,
                    line,
                    seconds,
                    draw,
                    reply,
                )
            begin += size


class _Window:
    """The lines of a file around the place that is read; it moves forwards only."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._first = 0
        self._held: list[str] = []

    def lines(self, begin: int, end: int) -> list[str]:
        """Return the lines from `begin` to `end`, both included, without their ends."""
        missing = end + 1 - self._first - len(self._held)
        if missing > 0:
            del self._held[: begin - self._first]
            if not self._held:
                self._skip(begin - (end + 1 - missing))
            self._first = begin
            self._held += (line[:-1] for line in islice(self._lines, max(PIECE, end + 1 - begin - len(self._held))))
        return self._held[begin - self._first : end + 1 - self._first]

    def _skip(self, count: int) -> None:
        for _ in islice(self._lines, count):
            pass
