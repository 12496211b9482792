"""The lines and rows of a read shard go in; exchanges as text come out, one document after another, few in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .choosing import LEFT_OUT, SIDES
from .columns import read_columns
from .reading import COLUMNS, ReadShard

__all__ = ["Row", "rows_of"]

PIECE = 2**14


@dataclass(frozen=True, slots=True)
class Row:
    """An exchange that is kept, as text, with all that is known of it; `document` counts within the shard."""

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
    key: int
    reply: int


def rows_of(folder: Path, number: int, shard: ReadShard, fates: NDArray[np.uint8]) -> Iterator[Row]:
    """Yield the rows of a shard whose fate is to be kept, in their order."""
    ends = np.cumsum(shard.rows)
    with (folder / f"read-{number}.turns").open(encoding="utf-8", newline="\n") as turns:
        window = _Window(turns)
        begin = 0
        for columns in read_columns(folder, f"read-{number}", COLUMNS, int(ends[-1]) if len(ends) else 0):
            size = len(columns["key"])
            kept = np.flatnonzero(fates[begin : begin + size] < LEFT_OUT)
            documents = np.searchsorted(ends, kept + begin, side="right").tolist()
            sides = fates[begin : begin + size][kept].tolist()
            picked: dict[str, list[Any]] = {name: values[kept].tolist() for name, values in columns.items()}
            for index, (document, side) in enumerate(zip(documents, sides, strict=True)):
                source, target, context = (picked[name][index] for name in ("source", "target", "context"))
                texts = window.lines(source - context, target)
                yield Row(
                    SIDES[side],
                    document,
                    texts[-2],
                    texts[-1],
                    tuple(texts[:-2]),
                    *(picked[name][index] for name in ("dialogue", "turn", "file", "line", "seconds", "key", "reply")),
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
