"""Counts of a data card go in, pictures of them come out: SVG without scripts, for light and for dark."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .facts import LONGEST_COUNTED

__all__ = ["lengths_picture", "rules_picture"]

WIDTH = 720
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1f2328}.page{fill:#fff}.bar{fill:#2f6fb0}.gone{fill:#c4512d}"
    ".line{stroke:#d0d7de}.head{font-weight:600}"
    "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}.bar{fill:#5b9bd8}.gone{fill:#e0795a}"
    ".line{stroke:#3d444d}}"
)


def lengths_picture(words: Mapping[str, int]) -> str:
    """Draw how many targets have how many words; `words` is the card's `words_a_target`."""
    counts = {int(length): count for length, count in words.items()}
    most, total = max(counts.values(), default=0), sum(counts.values())
    left, top, height, step = 84, 44, 200, 9
    shapes = [_text("Words a target", x=16, y=26, **{"class": "head"})]
    for value in _ticks(most):
        y = top + height - height * value / most
        shapes.append(_shape("line", x1=left, y1=y, x2=WIDTH - 24, y2=y, **{"class": "line"}))
        shapes.append(_text(f"{value:,}", x=left - 8, y=y + 4, **{"text-anchor": "end"}))
    for length, count in sorted(counts.items()):
        tall = height * count / most if count else 0
        size = {"x": left + step * length, "y": top + height - tall, "width": step - 1, "height": tall}
        shapes.append(_shape("rect", f"{_words(length)}: {count:,} targets", **size, **{"class": "bar"}))
    for length in (*range(0, LONGEST_COUNTED, 10), LONGEST_COUNTED):
        label = f"{length}+" if length == LONGEST_COUNTED else str(length)
        x = left + step * length + step / 2
        shapes.append(_text(label, x=x, y=top + height + 18, **{"text-anchor": "middle"}))
    common = max(counts, key=lambda length: (counts[length], -length), default=0)
    told = f"Histogram of {total:,} targets to learn from; {_words(common)} is the most frequent length."
    return _picture("Words a target", told, top + height + 34, shapes)


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
        shapes.append(_text(f"{noun.capitalize()}: what the rules dropped", x=16, y=y, **{"class": "head"}))
        y += 12
        for label, before, after in ((first, counts[noun], counts[noun]), *dropping, (last, left, left)):
            shapes += _step(label, before, after, counts[noun], y)
            y += 22
        y += 24
        told.append(f"Of {counts[noun]:,} {noun}, {left:,} are left.")
    return _picture("What the rules dropped", " ".join(told), y - 12, shapes)


def _step(label: str, before: int, after: int, most: int, y: int) -> Iterator[str]:
    """Draw one line of a waterfall: what is left, and beside it what has gone."""
    begin, wide = 150, 430
    kept = wide * after / most
    number = f"{after:,}" if before == after else f"−{before - after:,}"
    yield _text(label, x=begin - 8, y=y + 13, **{"text-anchor": "end"})
    yield _shape("rect", f"{label}: {after:,} left", x=begin, y=y, width=kept, height=18, **{"class": "bar"})
    if before != after:
        size = {"x": begin + kept, "y": y, "width": max(1.0, wide * (before - after) / most), "height": 18}
        yield _shape("rect", f"{label}: {before - after:,} dropped", **size, **{"class": "gone"})
    yield _text(number, x=begin + max(1.0, wide * before / most) + 8, y=y + 13)


def _words(length: int) -> str:
    return f"{length} words or more" if length == LONGEST_COUNTED else f"{length} word{'s' * (length != 1)}"


def _ticks(most: int) -> list[int]:
    """Return up to five round numbers from 0 to at most `most`."""
    step = next(digit * 10**power for power in range(20) for digit in (1, 2, 5) if most <= 4 * digit * 10**power)
    return list(range(0, most + 1, step)) if most else []


def _picture(title: str, told: str, height: float, shapes: Sequence[str]) -> str:
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {_number(height)}" width="{WIDTH}"'
        f' height="{_number(height)}" role="img" aria-labelledby="title told">\n'
        f'<title id="title">{html.escape(title)}</title>\n<desc id="told">{html.escape(told)}</desc>\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect class="page" width="{WIDTH}" height="{_number(height)}" rx="6"/>\n{body}\n</svg>\n'
    )


def _shape(kind: str, title: str = "", **attributes: object) -> str:
    inside = f"<title>{html.escape(title)}</title>" if title else ""
    return f"<{kind}{_written(attributes)}>{inside}</{kind}>"


def _text(text: str, **attributes: object) -> str:
    return f"<text{_written(attributes)}>{html.escape(text)}</text>"


def _written(attributes: Mapping[str, object]) -> str:
    return "".join(f' {name}="{html.escape(_number(value))}"' for name, value in attributes.items())


def _number(value: object) -> str:
    return f"{round(value, 2):g}" if isinstance(value, float) else str(value)
