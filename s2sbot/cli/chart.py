"""Points go in, a small chart for a terminal comes out, line by line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

__all__ = ["text_chart"]

WIDTH, HEIGHT = 64, 14
"""Columns and rows of the chart itself; with its labels it fits into 80 columns."""
EIGHTHS = "▁▂▃▄▅▆▇█"


def text_chart(points: Sequence[tuple[float, float]], *, mark: float, unicode: bool) -> Iterator[str]:
    """Yield the lines of a chart of y over x, x on a logarithmic axis, with a mark under one place of it.

    Args:
        points: at least one, x rising and above 0.
        unicode: whether columns are drawn with blocks of an eighth, or with stars.
    """
    heights = [y for _, y in points]
    low, high = min(heights), max(heights)
    begin, end = math.log10(points[0][0]), math.log10(points[-1][0])
    columns = [_at(points, begin + (end - begin) * place / (WIDTH - 1)) for place in range(WIDTH)]
    eighths = [round((y - low) / ((high - low) or 1.0) * (8 * HEIGHT - 1)) + 1 for y in columns]
    for row in reversed(range(HEIGHT)):
        label = {HEIGHT - 1: f"{high:.2f}", 0: f"{low:.2f}"}.get(row, "")
        cells = "".join(_cell(count - 8 * row, unicode=unicode) for count in eighths)
        yield f"{label:>8} {'│' if unicode else '|'}{cells}".rstrip()
    yield f"{'loss':>8} {'└' if unicode else '+'}{('─' if unicode else '-') * WIDTH}"
    labels, ticks = [" "] * (WIDTH + 8), range(math.ceil(begin - 1e-9), math.floor(end + 1e-9) + 1)
    for power in ticks:
        place = _column(power, begin, end)
        labels[place : place + 5] = f"1e{power}".ljust(5)
    yield f"{'rate':>8}  {''.join(labels)}".rstrip()
    yield f"{'':10}{' ' * _column(math.log10(mark), begin, end)}^ {mark:g}"


def _at(points: Sequence[tuple[float, float]], power: float) -> float:
    """Return y at the point whose x is nearest to ten to that power."""
    return min(points, key=lambda point: abs(math.log10(point[0]) - power))[1]


def _column(power: float, begin: float, end: float) -> int:
    share = (power - begin) / ((end - begin) or 1.0)
    return round(min(1.0, max(0.0, share)) * (WIDTH - 1))


def _cell(eighths: int, *, unicode: bool) -> str:
    if eighths <= 0:
        return " "
    if not unicode:
        return "*" if eighths >= 4 else "."
    return EIGHTHS[min(8, eighths) - 1]
