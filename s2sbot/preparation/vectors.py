"""A file of word vectors and tokenizers go in, the vectors of their token ids come out, and what is said of it."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import TokenizerError
from ..progress import Progress
from ..text.tokenizer import RESERVED, Tokenizer
from ..text.vectors import WordVectors, read_vectors

__all__ = ["SIDES", "Vectors", "vectors_of"]

Vectors = tuple[NDArray[np.int64], NDArray[np.float32]]
SIDES = ("source", "target")
TELL_EVERY = 0.5
"""Seconds of reading between two events that say how far it has come."""


def vectors_of(
    path: Path, tokenizers: tuple[Tokenizer, Tokenizer]
) -> Generator[Progress, None, tuple[tuple[Vectors, ...], dict[str, Any]]]:
    """Return the vectors of both sides, and what the bot will say of them; the file is read once a tokenizer."""
    found: dict[int, Vectors] = {}
    for tokenizer in tokenizers:
        if id(tokenizer) in found:
            continue
        yield Progress(kind="prepare", message=f"reading word vectors from {path}")
        reading, began, told = read_vectors(path, tokenizer), time.monotonic(), 0.0
        while True:
            try:
                done, total = next(reading)
            except StopIteration as end:
                vectors: WordVectors = end.value
                break
            passed = time.monotonic() - began
            if passed - told > TELL_EVERY:
                told = passed
                left = passed * (total - done) / max(1, done)
                message = f"word vectors: {done / max(1, total):.0%}, {done / passed / 1e6:.0f} MB/s, {left:.0f} s left"
                yield Progress(kind="prepare", message=message, transient=True)
        found[id(tokenizer)] = (vectors.ids, vectors.vectors)
        words = len(tokenizer) - RESERVED
        side = "" if tokenizers[0] is tokenizers[1] else f" of the {SIDES[len(found) - 1]}"
        size = vectors.vectors.shape[1]
        yield Progress(
            kind="prepare", message=f"{len(vectors.ids):,} of {words:,} token ids{side} have a vector of {size} numbers"
        )
    sides = tuple(found[id(tokenizer)] for tokenizer in tokenizers)
    if not any(len(ids) for ids, _ in sides):
        raise TokenizerError(
            f"{path}: none of its words is in the vocabulary",
            "take the tokenizer `words`, and vectors of the corpus's language: words are looked up as they are and in"
            " lower case",
        )
    return sides, {"file": path.name, "found": [len(ids) for ids, _ in sides]}
