"""Counts of a data card go in, pictures of them come out: SVG without scripts, for light and for dark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..pictures import WIDTH, picture, round_numbers, shape, text
from .facts import LONGEST_COUNTED

__all__ = ["lengths_picture", "rules_picture"]


def lengths_picture(words: Mapping[str, int]) -> str:
    """Draw how many targets have how many words; `words` is the card's `words_a_target`."""
    counts = {int(length): count for length, count in words.items()}
    most, total = max(counts.values(), default=0), sum(counts.values())
    left, top, height, step = 84, 44, 200, 9
    shapes = [text("Words a target", x=16, y=26, **{"class": "head"})]
    for value in filter(float.is_integer, round_numbers(0.0, most) if most else ()):
        y = top + height - height * value / most
        shapes.append(shape("line", x1=left, y1=y, x2=WIDTH - 24, y2=y, **{"class": "line"}))
        shapes.append(text(f"{value:,.0f}", x=left - 8, y=y + 4, **{"text-anchor": "end"}))
    for length, count in sorted(counts.items()):
        tall = height * count / most if count else 0
        size = {"x": left + step * length, "y": top + height - tall, "width": step - 1, "height": tall}
        shapes.append(shape("rect", f"{_words(length)}: {count:,} targets", **size, **{"class": "bar"}))
    for length in (*range(0, LONGEST_COUNTED, 10), LONGEST_COUNTED):
        label = f"{length}+" if length == LONGEST_COUNTED else str(length)
        x = left + step * length + step / 2
        shapes.append(text(label, x=x, y=top + height + 18, **{"text-anchor": "middle"}))
    common = max(counts, key=lambda length: (counts[length], -length), default=0)
    told = f"Histogram of {total:,} targets to learn from; {_words(common)} is the most frequent length."
    return picture("Words a target", told, height=top + height + 34, shapes=shapes)


def rules_picture(counts: Mapping[str, int], rules: Sequence[Mapping[str, Any]]) -> str:
    """Draw what every rule that drops something left of the cues, and of the exchanges, down to those that are packed.

    `counts` and `rules` are those of the card.
    """
    y, shapes, told = 26, [], []
    for noun, first, last in (("cues", "cues", "cues left"), ("exchanges", "exchanges", "exchanges packed")):
        if not counts[noun]:
            continue
        dropping = [
            (rule["name"], rule["before"], rule["after"]) for rule in rules if rule["what"] == noun and rule["count"]
        ]
        dropping = [each for each in dropping if each[1] is not None]
        left = dropping[-1][2] if dropping else counts[noun]
        if noun == "exchanges" and counts["too_long"]:
            dropping.append(("too long", left, left - counts["too_long"]))
            left -= counts["too_long"]
        shapes.append(text(f"{noun.capitalize()}: what the rules dropped", x=16, y=y, **{"class": "head"}))
        y += 12
        for label, before, after in ((first, counts[noun], counts[noun]), *dropping, (last, left, left)):
            shapes += _step(label, before, after, counts[noun], y)
            y += 22
        y += 24
        told.append(f"Of {counts[noun]:,} {noun}, {left:,} are left.")
    return picture("What the rules dropped", " ".join(told), height=y - 12, shapes=shapes)


def _step(label: str, before: int, after: int, most: int, y: int) -> Iterator[str]:
    """Draw one line of a waterfall: what is left, and beside it what has gone."""
    begin, wide = 150, 430
    kept = wide * after / most
    number = f"{after:,}" if before == after else f"−{before - after:,}"
    yield text(label, x=begin - 8, y=y + 13, **{"text-anchor": "end"})
    yield shape("rect", f"{label}: {after:,} left", x=begin, y=y, width=kept, height=18, **{"class": "bar"})
    if before != after:
        size = {"x": begin + kept, "y": y, "width": max(1.0, wide * (before - after) / most), "height": 18}
        yield shape("rect", f"{label}: {before - after:,} dropped", **size, **{"class": "gone"})
    yield text(number, x=begin + max(1.0, wide * before / most) + 8, y=y + 13)


def _words(length: int) -> str:
    return f"{length} words or more" if length == LONGEST_COUNTED else f"{length} word{'s' * (length != 1)}"
