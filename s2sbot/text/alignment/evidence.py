"""The text of cues goes in; what two languages share of it comes out: lengths, marks, sentence ends, words."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["SharedWords", "Wording", "find_shared_words", "leave_out_marks", "read_wording"]

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
_WORD: Final = re.compile(r"\d+|[^\W\d_]{3,}")
_END: Final = re.compile(r"[.!?…。！？؟۔।:][\"'”’»«“)\]\s♪-]*$|[–—-]\s*$")
_STOP: Final = re.compile(r"(?<!\.)[.。।۔](?!\.|\w)")
_PUNCTUATED: Final = 0.05
"""Share of cues with a full stop from which a cue that no mark closes goes on in the next."""
_STEM: Final = 4
"""Letters that make two words cognates: the endings are each language's own (Simard, Foster & Isabelle 1992)."""
_LONGEST_TEXT: Final = 2000
"""Characters of a cue that are looked at."""
_COMMONEST: Final = 0.1
"""Share of cues beyond which a word says nothing of where it stands."""
_MOST_PAIRS: Final = 300_000


@dataclass(frozen=True, slots=True)
class Wording:
    """What of the text of n cues can be compared over languages, each [n].

    letters    letters and digits
    questions  question marks
    cries      exclamation marks
    open       1 where the sentence goes on in the next cue, all 0 where the file has next to no full stops
    words      the stems and numbers of each cue
    """

    letters: Floats
    questions: Floats
    cries: Floats
    open: Floats
    words: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class SharedWords:
    """Pairs of cues with a word in common, each [k].

    source, target  places of the cues
    weight          nats, more for a rarer word
    share           the same, divided by how many pairs there are of which at most one can be meant
    """

    source: Integers
    target: Integers
    weight: Floats
    share: Floats


def read_wording(texts: Sequence[str]) -> Wording:
    """Return what can be compared of texts that stand in the order of time."""
    texts = [text[:_LONGEST_TEXT] for text in texts]
    closed = np.array([bool(_END.search(text.rstrip()[-12:])) for text in texts], np.bool_)
    # Japanese and Arabic subtitles have "?", "!" and "...", and none of them where a statement ends
    stops = sum(bool(_STOP.search(text)) for text in texts)
    punctuated = len(texts) > 0 and closed.mean() > 0.15 and stops > _PUNCTUATED * len(texts)
    return Wording(
        np.array([sum(map(str.isalnum, text)) for text in texts], np.float64),
        np.array([_count(text, "?？؟") for text in texts], np.float64),
        np.array([_count(text, "!！") for text in texts], np.float64),
        np.where(closed, 0.0, 1.0) if punctuated else np.zeros(len(texts)),
        tuple(_stems(text) for text in texts),
    )


def leave_out_marks(left: Wording, right: Wording) -> None:
    """Take out the question and exclamation marks that one of them never writes."""
    for name in ("questions", "cries"):
        if not (getattr(left, name).any() and getattr(right, name).any()):
            for side in (left, right):
                getattr(side, name)[:] = 0.0


def _count(text: str, marks: str) -> int:
    return sum(text.count(mark) for mark in marks)


def _stems(text: str) -> frozenset[str]:
    plain = unicodedata.normalize("NFKD", text).casefold()
    if not plain.isascii():
        plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return frozenset(word if word[0].isdigit() else word[:_STEM] for word in _WORD.findall(plain))


def find_shared_words(source: Wording, target: Wording) -> SharedWords:
    """Return where words stand on both sides; the rarer a word and the more even its counts, the more it weighs."""
    left, right = _places(source), _places(target)
    found = []
    room = _MOST_PAIRS
    for word in sorted(left.keys() & right.keys(), key=lambda word: (len(left[word]) * len(right[word]), word)):
        here, there = left[word], right[word]
        room -= len(here) * len(there)
        rarer, commoner = sorted((len(here) / len(source.words), len(there) / len(target.words)))
        if room < 0:
            break
        if commoner <= _COMMONEST:
            weight = math.log(1 / commoner) * rarer / commoner
            column = np.empty(len(here) * len(there))
            found.append((np.repeat(here, len(there)), np.tile(there, len(here)), column, column.copy()))
            found[-1][2][:], found[-1][3][:] = weight, weight / max(len(here), len(there))
    if not found:
        none = np.zeros(0, np.int64)
        return SharedWords(none, none, np.zeros(0), np.zeros(0))
    return SharedWords(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _places(wording: Wording) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, words in enumerate(wording.words):
        for word in words:
            places.setdefault(word, []).append(place)
    return places
