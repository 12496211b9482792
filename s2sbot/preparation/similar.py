"""The MinHash signatures of all rows go in; the rows that are like an earlier one come out."""

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


def similar_rows(rows: Rows, fates: Fates, fate: int, likeness: float) -> Iterator[tuple[Part, Array]]:
    """Yield parts of the rows that have a fate, and which of a part share a band with an earlier row and are like it.

    It is the first row with that band that the others are held against. A row must be given another fate before the
    next part is asked for: what has been left out is compared with nothing more.
    """
    with ExitStack() as stack:
        for shard, count in enumerate(rows.counts):
            _write_bands(rows, shard, count)
            for band in range(BANDS):
                stack.callback((rows.folder / f"read-{shard}.band-{band}").unlink)
        for band in range(BANDS):
            for part in rows.partitions(f"band-{band}", fates=fates, among=lambda fates, _: fates == fate):
                yield part, _alike(rows, part, likeness)


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


def _alike(rows: Rows, part: Part, likeness: float) -> Array:
    """Tell of each row of a part whether it is at least so like the first one with its key."""
    order = np.lexsort((part.ordinals, part.keys))
    keys = part.keys[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    counts = np.diff(np.r_[starts, len(keys)])
    first = order[np.repeat(starts, counts)]
    later = np.flatnonzero(order != first)
    found = np.zeros(len(order), bool)
    for begin in range(0, len(later), PIECE):
        here = later[begin : begin + PIECE]
        same = _signatures(rows, part, order[here]) == _signatures(rows, part, first[here])
        found[order[here]] = same.mean(1) >= likeness
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
