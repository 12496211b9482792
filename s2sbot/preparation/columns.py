"""Rows go in one by one, plain binary files come out, a column each, read back in pieces of bounded size."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHUNK", "ColumnWriter", "read_column", "read_columns"]

CHUNK = 2**18
"""Rows that are in memory at a time."""


class ColumnWriter:
    """Appends values to columns, each a file `FOLDER/STEM.NAME`; `close` makes them durable."""

    def __init__(self, folder: Path, stem: str, types: Mapping[str, str]) -> None:
        self._files: dict[str, IO[bytes]] = {name: (folder / f"{stem}.{name}").open("wb") for name in types}
        self._values = {name: array(code) for name, code in types.items()}

    def append(self, **values: Any) -> None:
        """Add one value to each of the columns named."""
        for name, value in values.items():
            self._values[name].append(value)
        if len(self._values[name]) >= CHUNK:
            self.flush()

    def extend(self, name: str, values: Any) -> None:
        """Add many values to one column."""
        self._values[name].extend(values)

    def flush(self) -> None:
        """Hand what has gathered to the files."""
        for name, values in self._values.items():
            values.tofile(self._files[name])
            del values[:]

    def close(self) -> None:
        """Write all that is left, make it durable, and close the files."""
        self.flush()
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()


def read_column(path: Path, kind: str, begin: int = 0, count: int = -1) -> NDArray[Any]:
    """Read `count` values of a column from the one numbered `begin` on; all of them by default."""
    size = np.dtype(kind).itemsize
    return np.fromfile(path, kind, count=count, offset=begin * size)


def read_columns(folder: Path, stem: str, types: Mapping[str, str], rows: int) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield some columns of a stem together, `CHUNK` rows at a time."""
    for begin in range(0, rows, CHUNK):
        count = min(CHUNK, rows - begin)
        yield {name: read_column(folder / f"{stem}.{name}", kind, begin, count) for name, kind in types.items()}
