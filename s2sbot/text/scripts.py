"""Lines in two scripts go in, as of subtitles that say everything twice; the lines in one of them come out."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Final

from .dialogue import Cue

__all__ = ["one_script", "script_of"]

_SCRIPTS: Final = {
    "latin": re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]"),
    "greek": re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]"),
    "cyrillic": re.compile(r"[\u0400-\u052f]"),
    "hebrew": re.compile(r"[\u0590-\u05ff]"),
    "arabic": re.compile(r"[\u0600-\u06ff\u0750-\u077f]"),
    "thai": re.compile(r"[\u0e00-\u0e7f]"),
    "han": re.compile(r"[\u3040-\u30ff\u3400-\u9fff]"),
    "hangul": re.compile(r"[\uac00-\ud7af]"),
}
_OF_LANGUAGES: Final = {
    "zh": "han", "ja": "han", "ko": "hangul", "th": "thai", "he": "hebrew", "el": "greek",
    **dict.fromkeys(("ar", "fa", "ur"), "arabic"), **dict.fromkeys(("ru", "uk", "bg", "be", "mk", "sr"), "cyrillic"),
}  # fmt: skip
_WEIGHTS: Final = {"han": 3, "hangul": 3}
"""Letters of an alphabet that one sign is as much as."""
MOSTLY = 0.5
"""Share of the cues that are in two scripts from which a file says everything twice."""
MANY = 0.3
"""Share of the cues that are in a second script, alone, from which a file may say everything in cues of two kinds."""
BESIDE = 0.7
"""Share of those that must be shown at the time of a cue in the first script."""


def script_of(text: str) -> str | None:
    """Return the script that most letters of a text are in, or None where it has none."""
    if text.isascii():
        return "latin" if _SCRIPTS["latin"].search(text) else None
    counts = {name: len(letters.findall(text)) * _WEIGHTS.get(name, 1) for name, letters in _SCRIPTS.items()}
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] else None


def one_script(cues: Sequence[Cue], languages: Sequence[str]) -> tuple[list[Cue], int]:
    """Return cues with the lines of one script alone, and how many cues lost some, where a file says all in two.

    It says all in two where most cues are in two scripts, or where many cues are in another script than most, and are
    shown at the same times as those; else two speakers have two languages. The script that stays is that of the first
    of the `languages`, or else the one that more lines are in, the first of them where both are in as many.
    """
    if all(cue.text.isascii() for cue in cues):
        return list(cues), 0
    lined = [[(line, script_of(line)) for line in cue.text.split("\n")] for cue in cues]
    sets = [{script for _, script in lines if script} for lines in lined]
    alone = Counter(next(iter(scripts)) for scripts in sets if len(scripts) == 1).most_common(2)
    twofold = sum(len(scripts) > 1 for scripts in sets)
    if twofold < MOSTLY * len(cues):
        if len(alone) < 2 or alone[1][1] < MANY * len(cues):
            return list(cues), 0
        first, second = ([cue for cue, has in zip(cues, sets, strict=True) if has == {each}] for each, _ in alone)
        if _beside(second, first) < BESIDE * len(second):
            return list(cues), 0
    counts = Counter(script for lines in lined for _, script in lines if script)
    wanted = _OF_LANGUAGES.get(languages[0], "latin") if languages else counts.most_common(1)[0][0]
    kept, lost = [], 0
    for cue, lines in zip(cues, lined, strict=True):
        text = "\n".join(line for line, script in lines if script in (wanted, None))
        lost += text != cue.text
        if text.strip():
            kept.append(cue if text == cue.text else replace(cue, text=text))
    return kept, lost


def _beside(cues: Sequence[Cue], others: Sequence[Cue]) -> int:
    """Count the cues in the middle of which one of the others is shown."""
    others = sorted(others, key=lambda other: other.start)
    begins = [other.start for other in others]
    ends = list(accumulate((other.end for other in others), max))
    count = 0
    for cue in cues:
        middle = (cue.start + cue.end) / 2
        place = bisect_right(begins, middle)
        count += place > 0 and ends[place - 1] >= middle
    return count
