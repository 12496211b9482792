"""Token ids of many exchanges and where each of them came from, as arrays that lie in files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import read_json, write_atomically
from .dialogue import Origin

__all__ = ["Origins", "Packed", "load_array", "save_array"]

_ARRAYS = ("source_ids", "source_ends", "target_ids", "target_ends", "previous")
_ORIGINS = ("file", "line", "seconds")


@dataclass(frozen=True, slots=True)
class Packed:
    """Bare token ids of many exchanges, end to end; row i ends at `ends[i]`.

    `previous[i]` is the row that comes before row i in its dialogue, or -1.
    """

    source_ids: NDArray[np.int32]
    source_ends: NDArray[np.int64]
    target_ids: NDArray[np.int32]
    target_ends: NDArray[np.int64]
    previous: NDArray[np.int64]

    @classmethod
    def pack(cls, pairs: Iterable[tuple[list[int], list[int]]], previous: Sequence[int] | None = None) -> Packed:
        """Put (source, target) rows end to end; without `previous` each of them stands alone."""
        flat: tuple[list[int], list[int]] = ([], [])
        ends: tuple[list[int], list[int]] = ([], [])
        for pair in pairs:
            for side, row in enumerate(pair):
                flat[side].extend(row)
                ends[side].append(len(flat[side]))
        return cls(
            np.array(flat[0], np.int32),
            np.array(ends[0], np.int64),
            np.array(flat[1], np.int32),
            np.array(ends[1], np.int64),
            np.full(len(ends[0]), -1, np.int64) if previous is None else np.array(previous, np.int64),
        )

    def save(self, folder: Path, name: str) -> None:
        """Write the arrays as `.npy` files into `folder`."""
        for array in _ARRAYS:
            save_array(folder / f"{name}.{array}.npy", getattr(self, array))

    @classmethod
    def load(cls, folder: Path, name: str) -> Packed:
        """Map the arrays of `save` into memory.

        Raises:
            OSError, EOFError, ValueError: where one is missing or damaged.
        """
        return cls(*(load_array(folder / f"{name}.{array}.npy") for array in _ARRAYS))

    def __len__(self) -> int:
        return len(self.source_ends)

    def row(self, index: int) -> tuple[list[int], list[int]]:
        """Return the source and the target ids of one exchange."""
        return (
            _slice(self.source_ids, self.source_ends, index),
            _slice(self.target_ids, self.target_ends, index),
        )

    def lengths(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the number of source and of target tokens of every exchange, with the EOS that a batch adds."""
        return np.diff(self.source_ends, prepend=0) + 1, np.diff(self.target_ends, prepend=0) + 1

    def target_tokens(self, turns: Iterable[NDArray[np.int64]]) -> int:
        """Return the number of target tokens of some rows, with the EOS that a batch adds."""
        return sum(_tokens(self.target_ends, rows) for rows in turns)

    def tokens(self, turns: Iterable[NDArray[np.int64]]) -> int:
        """Return the number of source and target tokens of some rows, with the EOS that a batch adds."""
        return sum(_tokens(ends, rows) for rows in turns for ends in (self.source_ends, self.target_ends))

    @property
    def has_dialogues(self) -> bool:
        """Return whether any exchange comes after another one."""
        return bool((self.previous >= 0).any())


@dataclass(frozen=True, slots=True)
class Origins:
    """Where each row of a `Packed` came from.

    names    names of all files
    file     [rows], the number of its file among `names`
    line     [rows], counted from 1; 0 where there is none
    seconds  [rows], from the beginning of the film; NaN where there is none
    """

    names: tuple[str, ...]
    file: NDArray[np.int32]
    line: NDArray[np.int32]
    seconds: NDArray[np.float64]

    @classmethod
    def load(cls, folder: Path, name: str) -> Origins:
        """Map into memory what a preparation wrote.

        Raises:
            OSError, EOFError, ValueError: where something is missing or damaged.
        """
        names = read_json(folder / "files.json", limit=2**30)
        return cls(tuple(names), *(load_array(folder / f"{name}.{array}.npy") for array in _ORIGINS))

    def __getitem__(self, row: int) -> Origin:
        line, seconds = int(self.line[row]), float(self.seconds[row])
        return Origin(self.names[int(self.file[row])], line or None, None if seconds != seconds else seconds)


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as `.npy`, whole or not at all."""
    write_atomically(path, partial(_save, array=array))


def load_array(path: Path) -> NDArray[Any]:
    """Map an array of `save_array` into memory.

    Raises:
        OSError, EOFError, ValueError: where it is missing or damaged.
    """
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _save(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


def _tokens(ends: NDArray[np.int64], rows: NDArray[np.int64]) -> int:
    return int((ends[rows] - np.where(rows > 0, ends[rows - 1], 0)).sum()) + len(rows)


def _slice(ids: NDArray[np.int32], ends: NDArray[np.int64], index: int) -> list[int]:
    begin = int(ends[index - 1]) if index else 0
    row: list[int] = ids[begin : int(ends[index])].tolist()
    return row
