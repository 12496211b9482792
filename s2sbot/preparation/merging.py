"""The packed columns of all shards go in; one set of arrays, documents in the order of their names, comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..files import write_atomically, write_json
from .choosing import SIDES
from .columns import CHUNK, read_column
from .facts import Facts
from .packing import TYPES, PackedShard
from .plan import Plan
from .reading import ReadShard

__all__ = ["merge", "previous_rows", "rows_by_corpus"]


def merge(work: Path, out: Path, plan: Plan, read: Sequence[ReadShard], packed: Sequence[PackedShard]) -> Facts:
    """Bring the columns of all shards together in `out`, and add their facts up."""
    facts = Facts()
    for shard in packed:
        facts.add(shard.facts)
    names = sorted({name for shard in read for name in shard.files})
    places = {name: number for number, name in enumerate(names)}
    numbers = tuple(np.array([places[name] for name in shard.files], np.int32) for shard in read)
    write_json(out / "files.json", names)
    for name in SIDES:
        side = _Side(work, name, _slices(plan, packed, name), numbers)
        side.write(out)
        facts.after_another[name] = side.linked
    return facts


def rows_by_corpus(plan: Plan, packed: Sequence[PackedShard]) -> list[dict[str, int]]:
    """Return how many rows of each side are of each corpus; they lie there in this order, one after the other."""
    rows = [dict.fromkeys(SIDES, 0) for _ in plan.corpora]
    for planned, shard in zip(plan.shards, packed, strict=True):
        for side in SIDES:
            rows[planned.corpus][side] += sum(count[0] for count in shard.counts[side])
    return rows


@dataclass(frozen=True, slots=True)
class _Slice:
    """A document's part of its shard: where its rows, source ids, target ids and text begin, and how many there are."""

    shard: int
    begins: tuple[int, ...]
    counts: tuple[int, ...]


def _slices(plan: Plan, packed: Sequence[PackedShard], side: str) -> tuple[_Slice, ...]:
    found: list[tuple[int, _Slice]] = []
    for planned, shard in zip(plan.shards, packed, strict=True):
        counts = np.array(shard.counts[side], np.int64).reshape(-1, 4)
        begins = np.cumsum(counts, axis=0) - counts
        for rank, begin, count in zip(planned.ranks, begins.tolist(), counts.tolist(), strict=True):
            if count[0]:
                found.append((rank, _Slice(planned.number, tuple(begin), tuple(count))))
    return tuple(piece for _, piece in sorted(found, key=lambda each: each[0]))


@dataclass(slots=True)
class _Side:
    """One side of the split: its slices in order, and for each shard the final numbers of its files.

    linked  rows written so far that come after another one
    """

    work: Path
    side: str
    slices: tuple[_Slice, ...]
    numbers: tuple[NDArray[np.int32], ...]
    linked: int = 0

    def write(self, out: Path) -> None:
        """Write all arrays, each as it comes in pieces, and the text of what is held out."""
        rows, sources, targets, _ = (sum(piece.counts[column] for piece in self.slices) for column in range(4))
        for name, kind, size, pieces in (
            ("source_ids", np.int32, sources, self._pieces("source_ids", 1)),
            ("target_ids", np.int32, targets, self._pieces("target_ids", 2)),
            ("source_ends", np.int64, rows, self._ends("source_lengths")),
            ("target_ends", np.int64, rows, self._ends("target_lengths")),
            ("previous", np.int64, rows, self._previous()),
            ("file", np.int32, rows, self._files()),
            ("line", np.int32, rows, self._pieces("line", 0)),
            ("seconds", np.float64, rows, self._pieces("seconds", 0)),
        ):
            _save(out / f"{self.side}.{name}.npy", kind, size, pieces)
        text = out / f"{self.side}.jsonl"
        if self.side in SIDES[1:] and rows:
            write_atomically(text, self._copy_text)
        else:
            text.unlink(missing_ok=True)  # of an earlier preparation that held out more

    def _read(self, piece: _Slice, name: str, column: int) -> Iterator[NDArray[Any]]:
        path = self.work / f"packed-{piece.shard}.{self.side}.{name}"
        for begin in range(0, piece.counts[column], CHUNK):
            count = min(CHUNK, piece.counts[column] - begin)
            yield read_column(path, TYPES[name], piece.begins[column] + begin, count)

    def _pieces(self, name: str, column: int) -> Iterator[NDArray[Any]]:
        for piece in self.slices:
            yield from self._read(piece, name, column)

    def _ends(self, name: str) -> Iterator[NDArray[np.int64]]:
        last = 0
        for lengths in self._pieces(name, 0):
            ends = last + np.cumsum(lengths, dtype=np.int64)
            last = int(ends[-1])
            yield ends

    def _files(self) -> Iterator[NDArray[np.int32]]:
        for piece in self.slices:
            for numbers in self._read(piece, "file", 0):
                yield self.numbers[piece.shard][numbers]

    def _previous(self) -> Iterator[NDArray[np.int64]]:
        first = 0
        for piece in self.slices:
            held = np.zeros((2, 0), np.int32)  # the last two rows of what came before in the document
            for columns in zip(self._read(piece, "dialogue", 0), self._read(piece, "turn", 0), strict=True):
                known = np.concatenate([held, columns], axis=1)
                found = previous_rows(known[0], known[1])
                found[found >= 0] += first - held.shape[1]
                self.linked += int((found[held.shape[1] :] >= 0).sum())
                yield found[held.shape[1] :]
                first += len(columns[0])
                held = known[:, -2:]

    def _copy_text(self, temporary: Path) -> None:
        with temporary.open("wb") as out:
            for piece in self.slices:
                with (self.work / f"packed-{piece.shard}.{self.side}.jsonl").open("rb") as stream:
                    stream.seek(piece.begins[3])
                    _copy(stream, out, piece.counts[3])


def previous_rows(dialogue: NDArray[np.int32], turn: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return for each row of one document the row two turns earlier in its dialogue, or -1.

    `text.pairing.previous_exchanges` is the slow reference.
    """
    found = np.full(len(turn), -1, np.int64)
    for step in (2, 1):  # turns only ever go on, so it is one of the two rows before
        here = np.arange(step, len(turn))
        linked = (dialogue[step:] == dialogue[:-step]) & (dialogue[step:] >= 0) & (turn[step:] - turn[:-step] == 2)
        found[here[linked]] = here[linked] - step
    return found


def _save(path: Path, kind: type[np.generic], size: int, pieces: Iterator[NDArray[Any]]) -> None:
    """Write an array that comes in pieces as `.npy`, whole or not at all."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False, "shape": (size,)}
            np.lib.format.write_array_header_1_0(stream, header)
            written = 0
            for piece in pieces:
                stream.write(np.ascontiguousarray(piece, kind).data)  # tofile would not say that the disk is full
                written += len(piece)
        assert written == size, (path, written, size)

    write_atomically(path, write)


def _copy(stream: IO[bytes], out: IO[bytes], size: int) -> None:
    while size:
        data = stream.read(min(size, 2**20))
        if not data:
            raise EOFError("the text of a shard is shorter than was counted")
        out.write(data)
        size -= len(data)
