"""Rows go in one by one, plain binary files come out, a column each, read back in pieces of bounded size."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHUNK", "ColumnWriter", "check_sizes", "open_anew", "read_column", "read_columns", "written"]

CHUNK = 2**18
"""Numbers of a column that are in memory at a time."""
GATHERED = 2**12
"""Rows after which what has gathered is written."""


class ColumnWriter:
    """Writes rows to columns, each a file `FOLDER/STEM.NAME`.

    Args:
        types: columns that have one value in each row, with their types as in `array`.
        lists: columns that take any number of values at a time.
    """

    def __init__(self, folder: Path, stem: str, types: Mapping[str, str], lists: Mapping[str, str]) -> None:
        self._types = tuple(types.values())
        self._rows: list[tuple[Any, ...]] = []
        self._lists = {name: array(code) for name, code in lists.items()}
        self._files = {name: open_anew(folder / f"{stem}.{name}") for name in (*types, *self._lists)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for file in self._files.values():
            with suppress(OSError):  # what is left to write after an error has no use
                file.close()

    def append(self, values: tuple[Any, ...]) -> None:
        """Add a row: a value for each of the columns `types`, in their order."""
        self._rows.append(values)
        if len(self._rows) >= GATHERED:
            self.flush()

    def extend(self, name: str, values: Sequence[Any]) -> None:
        """Add many values to one of the columns `lists`."""
        self._lists[name].extend(values)

    def flush(self) -> None:
        """Hand what has gathered to the files."""
        columns = zip(*self._rows, strict=True) if self._rows else ((),) * len(self._types)
        files = iter(self._files.values())
        for code, values, file in zip(self._types, columns, files, strict=False):
            file.write(array(code, values))
        self._rows.clear()
        for name, gathered in self._lists.items():
            self._files[name].write(gathered)
            del gathered[:]

    def finish(self) -> dict[str, int]:
        """Write all that is left, and return the size in bytes of each file by its name."""
        self.flush()
        return dict(written(file) for file in self._files.values())


def open_anew(path: Path) -> IO[bytes]:
    """Open a new file to write: not the one of this name, into which a process that lost its parent may still write."""
    path.unlink(missing_ok=True)
    return path.open("xb")


def written(file: IO[bytes]) -> tuple[str, int]:
    """Hand all that was written to a file on to the system; return its name and its size in bytes.

    Nothing is made durable: after a crash of the machine a file that is not whole does not have its size, and is made
    anew. It would take longer than all the rest where files are small.
    """
    file.flush()
    return Path(file.name).name, file.tell()


def check_sizes(folder: Path, sizes: Mapping[str, int]) -> None:
    """Look whether files are there and whole.

    Raises:
        OSError, ValueError: where one of them is not.
    """
    for name, size in sizes.items():
        if (folder / name).stat().st_size != size:
            raise ValueError(f"{name} does not have {size} bytes")


def read_column(path: Path, kind: str, begin: int = 0, count: int = -1) -> NDArray[Any]:
    """Read `count` values of a column from the one numbered `begin` on; all of them by default."""
    size = np.dtype(kind).itemsize
    return np.fromfile(path, kind, count=count, offset=begin * size)


def read_columns(
    folder: Path, stem: str, types: Mapping[str, str], rows: int, size: int | None = None
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield some columns of a stem together, `size` rows at a time, by default `CHUNK`."""
    step = size or CHUNK
    for begin in range(0, rows, step):
        count = min(step, rows - begin)
        yield {name: read_column(folder / f"{stem}.{name}", kind, begin, count) for name, kind in types.items()}
