"""The MinHash signatures of all rows go in; the rows that are like one held out, or an earlier one, come out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np

from ..text.quality import SIGNATURE
from .columns import open_anew, read_column
from .partitions import Array, Fates, Part, Rows, mixed

__all__ = ["similar_rows"]

BAND = 4
"""Numbers of a signature that two rows must have in common to be compared (Leskovec et al., Mining of Massive Datasets,
3.4)."""
BANDS = SIGNATURE // BAND
PIECE = 2**14
"""Signatures that are in memory at a time."""
HELD = 2**6
"""Rows held out with one band that the others are held against. Where there are more, all rows have some words in
common; those that have more have other bands too, with fewer rows in them."""


def similar_rows(rows: Rows, fates: Fates, learnt: int, left_out: int, likeness: float) -> Iterator[tuple[Part, Array]]:
    """Yield parts of the rows, and which of a part are to learn from and like another one that shares a band with them.

    They are held against rows held out, and those that are left against the first of themselves. A row must be given
    another fate before the next part is asked for: what has been left out is compared with nothing more.

    Args:
        learnt: fate of the rows to learn from.
        left_out: the lowest fate of those that are not kept; all others are held out.
    """
    with ExitStack() as stack:
        for shard, count in enumerate(rows.counts):
            _write_bands(rows, shard, count)
            for band in range(BANDS):
                stack.callback((rows.folder / f"read-{shard}.band-{band}").unlink)
        for band in range(BANDS):
            for part in rows.partitions(f"band-{band}", fates=fates, among=lambda fates, _: fates < left_out):
                yield part, _alike(rows, part, part.fates(fates) == learnt, likeness)


def _write_bands(rows: Rows, shard: int, count: int) -> None:
    """Write a hash of each band of the signatures of a shard, a column each."""
    with ExitStack() as stack:
        files = [stack.enter_context(open_anew(rows.folder / f"read-{shard}.band-{band}")) for band in range(BANDS)]
        for begin in range(0, count, PIECE):
            size = min(PIECE, count - begin)
            path = rows.folder / f"read-{shard}.signature"
            signatures = read_column(path, "I", begin * SIGNATURE, size * SIGNATURE).reshape(size, SIGNATURE)
            for band, file in enumerate(files):
                file.write(mixed(signatures[:, band * BAND : (band + 1) * BAND]).tobytes())


def _alike(rows: Rows, part: Part, learnt: Array, likeness: float) -> Array:
    """Tell of each row of a part whether it is learnt from and at least so like another one with its key."""
    order = np.lexsort((part.ordinals, learnt, part.keys))
    keys, learnt = part.keys[order], learnt[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    counts = np.diff(np.r_[starts, len(keys)])
    first, held = np.repeat(starts, counts), np.repeat(np.add.reduceat(~learnt, starts, dtype=np.int64), counts)
    found = np.zeros(len(order), bool)
    waiting = np.flatnonzero(learnt)
    for turn in range(HELD):
        waiting = waiting[~found[waiting] & (held[waiting] > turn)]
        if not len(waiting):
            break
        found[waiting] = _compared(rows, part, order[waiting], order[first[waiting] + turn], likeness)
    left = np.flatnonzero(learnt & ~found)
    if len(left):
        begins = np.r_[True, keys[left[1:]] != keys[left[:-1]]]
        leader = left[np.maximum.accumulate(np.where(begins, np.arange(len(left)), 0))]
        later = left != leader
        found[left[later]] = _compared(rows, part, order[left[later]], order[leader[later]], likeness)
    alike = np.zeros(len(order), bool)
    alike[order] = found
    return alike


def _compared(rows: Rows, part: Part, places: Array, others: Array, likeness: float) -> Array:
    """Tell of each of some rows of a part whether it is at least so like another one."""
    found = np.empty(len(places), bool)
    for begin in range(0, len(places), PIECE):
        here = slice(begin, begin + PIECE)
        same = _signatures(rows, part, places[here]) == _signatures(rows, part, others[here])
        found[here] = same.mean(1) >= likeness
    return found


def _signatures(rows: Rows, part: Part, places: Array) -> Array:
    """Return the signatures [places, numbers] of some rows of a part."""
    found = np.empty((len(places), SIGNATURE), np.uint32)
    shards = part.shards[places]
    for shard in np.unique(shards).tolist():
        here = shards == shard
        path, shape = rows.folder / f"read-{shard}.signature", (rows.counts[shard], SIGNATURE)
        found[here] = np.memmap(path, np.uint32, "r", shape=shape)[part.rows[places[here]]]
    return found
