"""Packed exchanges go in; a few that can be known by heart, and what is odd about the rest, come out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import numpy as np

from ..preparation import Prepared
from ..text.packed import Packed
from ..text.tokenizer import EOS, PAD, RESERVED, SEP, UNK, Tokenizer

__all__ = ["handful", "rows_verdict", "texts_verdict"]

Verdict = tuple[Literal["right", "doubtful", "wrong"], str, str]

MOST: Final = 16
LONGEST: Final = 24
"""Tokens of a target that is to be known by heart."""
LOOKED_AT: Final = 2_000
"""Rows among which a few are chosen."""
TOKENS: Final = 10_000_000
"""Tokens of a side that are looked at."""
UNKNOWN: Final = 0.05
"""Share of UNK from which a vocabulary is doubtful."""


def handful(packed: Packed, vocabulary: int) -> list[int]:
    """Return up to 16 rows, the same ones every time, of many lengths, no two of which share a source or a target.

    Their targets have nothing in them that cannot be said.
    """
    chance = np.random.Generator(np.random.Philox(key=[0, len(packed)]))
    sources: set[tuple[int, ...]] = set()
    targets: set[tuple[int, ...]] = set()
    found: list[int] = []
    for row in chance.permutation(len(packed))[:LOOKED_AT].tolist():
        source, target = map(tuple, packed.row(row))
        sayable = target and len(target) <= LONGEST and all(RESERVED <= token < vocabulary for token in target)
        if sayable and len(source) <= 2 * LONGEST and source not in sources and target not in targets:
            sources.add(source)
            targets.add(target)
            found.append(row)
        if len(found) == 4 * MOST:
            break
    if not found:
        return []
    found.sort(key=lambda row: (len(packed.row(row)[1]), len(packed.row(row)[0]), row))
    return [found[place] for place in sorted({round(place) for place in np.linspace(0, len(found) - 1, MOST)})]


def rows_verdict(prepared: Prepared, max_length: int) -> Verdict:
    """Look for empty rows, rows that are too long, and ids that should not be there; count UNK."""
    packed = prepared.train
    unknown, looked = 0, 0
    for side, ids, lengths, tokenizer in zip(
        ("source", "target"), (packed.source_ids, packed.target_ids), packed.lengths(), prepared.tokenizers, strict=True
    ):
        ids = np.asarray(ids[:TOKENS])
        allowed = (ids >= RESERVED) & (ids < len(tokenizer)) | (ids == UNK)
        if side == "source":
            allowed |= ids == SEP
        odd = [int(lengths[lengths <= 1].size), int((~allowed).sum())]
        if odd[0]:
            return "wrong", f"{odd[0]:,} of {len(packed):,} rows have an empty {side}", "prepare the corpus again"
        if odd[1]:
            ids = ids[~allowed]
            named = {PAD: "PAD", EOS: "EOS"}.get(int(ids[0]), f"id {int(ids[0])}")
            return "wrong", f"{odd[1]:,} ids of a {side} mean no text, such as {named}", "prepare the corpus again"
        unknown, looked = unknown + int((ids == UNK).sum()), looked + len(ids)
    longest = int(packed.lengths()[1].max()) - 1
    if longest > max_length:
        return "wrong", f"a target has {longest} tokens, more than data.max_length", "prepare the corpus again"
    share = unknown / max(1, looked)
    said = f"{len(packed):,} rows, none empty, targets up to {longest} tokens; {share:.1%} of all tokens are UNK"
    if share > UNKNOWN:
        return "doubtful", said, "take a larger --vocab-size, or --tokenizer sentencepiece or bytes, which have no UNK"
    return "right", said, ""


def texts_verdict(prepared: Prepared, rows: Sequence[int]) -> Verdict:
    """Look whether texts come back from their ids as they were, but for case and blanks."""
    count = 0
    for tokenizer, text in _texts(prepared, rows):
        ids = tokenizer.encode(text)
        if UNK in ids:
            continue
        count += 1
        again = tokenizer.decode(ids)
        if _bare(again) != _bare(text):
            return (
                "wrong",
                f"the tokenizer does not give back what it was given: {text!r} becomes {again!r}",
                "look closer with s2sbot plugins check NAME",
            )
    if not count:
        return "doubtful", "every text that was tried has UNK in it", "take a larger --vocab-size"
    return "right", f"{count} texts come back from their ids as they were", ""


def _texts(prepared: Prepared, rows: Sequence[int]) -> Iterator[tuple[Tokenizer, str]]:
    source, target = prepared.tokenizers
    for _, said, answer in prepared.samples:
        yield source, said
        yield target, answer
    for row in rows:
        yield target, target.decode(prepared.train.row(row)[1])


def _bare(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())
