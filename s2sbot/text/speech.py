"""The cues of one file go in, those that somebody speaks come out, by time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from .cleaning import is_credit, is_sung
from .dialogue import Cue
from .rules import Rules
from .scripts import one_script

__all__ = ["SENTENCE_GAP", "close_notes", "spoken_cues"]

SENTENCE_GAP = 5.0
"""Seconds within which what begins with a small letter may."""
SAME_TIME = 0.1
"""Seconds after its end in which a cue is still on the screen."""
MISTAKEN = 10.0
"""Seconds up to which a time that goes back is taken for a mistake, where hardly any does."""

_SIGN_STYLE = re.compile(
    r"sign|caption|(?<!sub)title|note|warning|\bmap\b|logo|typeset|chapter|insert|end roll", re.IGNORECASE
)
_SONG_STYLE = re.compile(
    r"lyric|karaoke|song|^(?:op|ed)[ _-]?(?:\d*|romaji|kanji|eng\w*|jap\w*)$|opening|ending|musical", re.I
)
_CREDIT_STYLE = re.compile(r"credit|staff", re.IGNORECASE)
_STYLES = (("songs", _SONG_STYLE), ("credits", _CREDIT_STYLE), ("signs", _SIGN_STYLE))
_MARKS = {"comment": "comments", "drawing": "drawings", "karaoke": "karaoke"}


def spoken_cues(
    cues: Iterable[Cue], *, rules: Rules | None = None, counts: Counter[str] | None = None
) -> Iterator[Cue]:
    """Yield the cues that somebody speaks, by time; arguments as in `cues_to_dialogues`."""
    rules = rules or Rules()
    counts = Counter() if counts is None else counts
    cues = list(cues)
    styles = _styles_dropped(cues) if any(cue.style or cue.mark for cue in cues) else {}
    spoken = []
    for cue in cues:
        rule = _MARKS.get(cue.mark or "") or styles.get((cue.style, cue.mark == "positioned"))
        if rule is None or rule not in rules:
            if is_sung(cue.text) and "songs" in rules:
                rule = "songs"
            elif is_credit(cue.text) and "credits" in rules:
                rule = "credits"
            else:
                spoken.append(cue)
                continue
        counts[rule] += 1
    if "bilingual" in rules:
        spoken, twofold = one_script(spoken, rules.languages)
        counts["bilingual"] += twofold
    if "order" in rules and not _in_order(spoken):
        before = spoken
        spoken = sorted(spoken, key=_time)
        counts["order"] += sum(one is not other for one, other in zip(before, spoken, strict=True))
    return _once(spoken, counts) if "repeated" in rules else iter(spoken)


def _in_order(cues: Sequence[Cue]) -> bool:
    """Tell whether cues stand in order, but for a few times that are mistaken by seconds: then the file is right."""
    back = [one.start - other.start for one, other in pairwise(cues) if one.start > other.start]
    return 50 * len(back) <= len(cues) and max(back, default=0.0) < MISTAKEN


def _time(cue: Cue) -> tuple[float, float]:
    return cue.start, cue.end


MOVED = 0.03
"""Share of the cues of a style up to which those with a place of their own are speech that was moved out of the way."""


def _styles_dropped(cues: Sequence[Cue]) -> dict[tuple[str | None, bool], str]:
    """Return by which rule the cues of a style are dropped: (style, with a place of their own) -> rule.

    Where most texts of a style have places, all are signs; where hardly any has, those too are speech. A text counts
    once, for an effect may show one in a hundred frames. The style of most texts without a place is that of speech,
    whatever it is called and however many signs it is used for.
    """
    # a dictionary, not a set: of two styles with as many texts the first one in the file is that of speech
    said = dict.fromkeys((cue.style, cue.text, cue.mark) for cue in cues if cue.mark != "comment")
    texts = Counter(style for style, _, _ in said)
    placed = Counter(style for style, _, mark in said if mark in ("positioned", "drawing"))
    [(main, _)] = Counter(style for style, _, mark in said if mark is None).most_common(1) or [(None, 0)]
    dropped: dict[tuple[str | None, bool], str] = {}
    for style, count in texts.items():
        named = next((rule for rule, pattern in _STYLES if style and style != main and pattern.search(style)), None)
        if named or (2 * placed[style] > count and style != main):
            dropped[style, False] = dropped[style, True] = named or "signs"
        elif placed[style] > MOVED * count:
            dropped[style, True] = "signs"
    return dropped


MANY_SHOWN = 64
"""Cues that are remembered, beside twice as many as are shown at once, before those that ended are forgotten."""


def _once(cues: Iterable[Cue], counts: Counter[str]) -> Iterator[Cue]:
    """Yield cues without those, and without those first lines, that say again what is still on the screen."""
    shown: dict[str, float] = {}
    most = MANY_SHOWN
    last_line, last_end = "", 0.0
    for cue in cues:
        now = cue.start - SAME_TIME
        if shown.get(cue.text, now - 1) >= now:
            shown[cue.text] = max(shown[cue.text], cue.end)
            last_end = max(last_end, cue.end)
            counts["repeated"] += 1
            continue
        if len(shown) > most:
            shown = {text: until for text, until in shown.items() if until >= now}
            most = MANY_SHOWN + 2 * len(shown)
        shown[cue.text] = cue.end
        first, more, rest = cue.text.partition("\n")
        rolled = more and first == last_line and last_end >= now
        last_line, last_end = cue.text.rpartition("\n")[2], cue.end
        if rolled:
            counts["repeated"] += 1
            cue = replace(cue, text=rest)
        yield cue


_BRACKETS = (("[", "]"), ("(", ")"), ("【", "】"), ("（", "）"))
NOTE_CUES = 3
"""Cues in which a note must be closed that one opens."""


def _opens(text: str, place: int) -> bool:
    """Tell whether a bracket stands before a word, and not in a face as `:(`."""
    before, after = text[:place], text[place + 1 :].lstrip(" -–—.…♪'\"")
    return (not before or before[-1].isspace()) and after[:1].isalnum()


def close_notes(cues: list[Cue], counts: Counter[str]) -> None:
    """Take off the notes that one cue opens and one of the next closes."""
    for place, cue in enumerate(cues):
        for opening, closing in _BRACKETS:
            begin = cue.text.rfind(opening)
            if begin < 0 or closing in cue.text[begin:] or not _opens(cue.text, begin):
                continue
            for last in range(place + 1, min(place + NOTE_CUES, len(cues))):
                end, another = cues[last].text.find(closing), cues[last].text.find(opening)
                if cues[last].start - cues[last - 1].end > SENTENCE_GAP:
                    break
                if another >= 0 and (end < 0 or another < end):
                    break
                if 0 <= end <= 2:
                    break  # `a) it is late`
                if end >= 0:
                    cues[place] = cue = replace(cue, text=cue.text[:begin])
                    cues[place + 1 : last] = [replace(each, text="") for each in cues[place + 1 : last]]
                    cues[last] = replace(cues[last], text=cues[last].text[end + 1 :])
                    counts["notes"] += last + 1 - place
                    break
