"""Shapes and series of numbers go in, a picture comes out: SVG without scripts, for light and for dark."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["WIDTH", "line_chart", "picture", "round_numbers", "shape", "text"]

WIDTH: Final = 720
COLOURS: Final = {
    "#2f6fb0": "#5b9bd8",
    "#c4512d": "#e0795a",
    "#3a7d44": "#6abf76",
    "#7b51a8": "#b08ad9",
    "#8a6a00": "#d3b04a",
    "#0b7a7a": "#4cc0c0",
}
"""The colour of each series on a light page, and on a dark one."""
LARGEST: Final = 1e30
"""What is beyond that is as good as infinite to one who looks at a picture."""
LEFT, RIGHT, TOP, HEIGHT = 84, 32, 44, 240

Point = tuple[float, float]


def picture(title: str, told: str, *, height: float, shapes: Sequence[str]) -> str:
    """Return an SVG of `shapes`; `title` and `told` say in words what is seen."""
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {_number(height)}" width="{WIDTH}"'
        f' height="{_number(height)}" role="img" aria-labelledby="title told">\n'
        f'<title id="title">{html.escape(title)}</title>\n<desc id="told">{html.escape(told)}</desc>\n'
        f"<style>{_style()}</style>\n"
        f'<rect class="page" width="{WIDTH}" height="{_number(height)}" rx="6"/>\n{body}\n</svg>\n'
    )


def _style() -> str:
    light, dark = (
        "".join(f".s{number}{{stroke:{colour}}}.d{number}{{fill:{colour}}}" for number, colour in enumerate(colours))
        for colours in (COLOURS.keys(), COLOURS.values())
    )
    return (
        "text{font:12px system-ui,sans-serif;fill:#1f2328}.page{fill:#fff}.bar{fill:#2f6fb0}.gone{fill:#c4512d}"
        f".line{{stroke:#d0d7de}}.mark{{stroke:#656d76;stroke-dasharray:4 3}}.head{{font-weight:600}}{light}"
        "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}.bar{fill:#5b9bd8}.gone{fill:#e0795a}"
        f".line{{stroke:#3d444d}}.mark{{stroke:#8b949e}}{dark}}}"
    )


def shape(kind: str, title: str = "", **attributes: object) -> str:
    """Return one element; `title` is shown where the pointer rests on it."""
    inside = f"<title>{html.escape(title)}</title>" if title else ""
    return f"<{kind}{_written(attributes)}>{inside}</{kind}>"


def text(words: str, **attributes: object) -> str:
    """Return an element of text."""
    return f"<text{_written(attributes)}>{html.escape(words)}</text>"


def _written(attributes: Mapping[str, object]) -> str:
    return "".join(f' {name}="{html.escape(_number(value))}"' for name, value in attributes.items())


def _number(value: object) -> str:
    return f"{round(value, 2):g}" if isinstance(value, float) else str(value)


def line_chart(
    series: Mapping[str, Sequence[Point]],
    *,
    title: str,
    x_label: str = "",
    y_label: str = "",
    log_x: bool = False,
    log_y: bool = False,
    marks: Mapping[str, float] | None = None,
) -> str:
    """Return a chart of lines as SVG.

    Args:
        series: the points (x, y) of each line by its name, x rising; one that is not finite, or not above 0 on a
            logarithmic axis, leaves a gap.
        marks: places on the x axis to be marked with a dashed line, by name.
    """
    lines = {name: list(_pieces(points, log_x=log_x, log_y=log_y)) for name, points in series.items()}
    points = [point for pieces in lines.values() for piece in pieces for point in piece]
    shapes = [text(title, x=16, y=26, **{"class": "head"})]
    if not points:
        shapes.append(text("no figures", x=LEFT, y=TOP + 12))
        return picture(title, "There are no figures.", height=TOP + 32, shapes=shapes)
    marked = sorted((x, name) for name, x in (marks or {}).items() if _fits(x, log=log_x))
    top = TOP + 20 * (len(lines) > 1) + 16 * len(marked)
    xs = [*(x for x, _ in points), *(x for x, _ in marked)]
    across = _Axis.of(xs, log=log_x, begin=LEFT, end=WIDTH - RIGHT)
    upwards = _Axis.of([y for _, y in points], log=log_y, begin=top + HEIGHT, end=top, margin=0.04)
    shapes += _frame(across, upwards, x_label, y_label)
    for row, (x, name) in enumerate(marked):
        shapes += _mark(across.at(x), name, y=top - 16 * (len(marked) - row) + 10, below=upwards.begin)
    for number, (name, pieces) in enumerate(lines.items()):
        shapes += _line(name, [[(across.at(x), upwards.at(y)) for x, y in piece] for piece in pieces], number)
    if len(lines) > 1:
        shapes += _legend(list(lines))
    return picture(title, " ".join(_told(lines)), height=upwards.begin + 48, shapes=shapes)


def _fits(value: float, *, log: bool) -> bool:
    return abs(value) < LARGEST and (value > 1 / LARGEST or not log)


def _pieces(points: Sequence[Point], *, log_x: bool, log_y: bool) -> Iterator[list[Point]]:
    """Cut a line where a point cannot be drawn."""
    piece: list[Point] = []
    for x, y in points:
        if _fits(x, log=log_x) and _fits(y, log=log_y):
            piece.append((x, y))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


@dataclass(frozen=True, slots=True)
class _Axis:
    """Values from `low` to `high` lie between the places `begin` and `end` of a picture."""

    low: float
    high: float
    begin: float
    end: float
    log: bool

    @classmethod
    def of(cls, values: Sequence[float], *, log: bool, begin: float, end: float, margin: float = 0.0) -> _Axis:
        """Return an axis that has room for all values; `margin` is a share of it left free at both ends."""
        low, high = min(values), max(values)
        wide = high - low > 1e-9 * max(abs(low), abs(high))
        if log:
            room = (high / low) ** margin if wide else 2.0
            return cls(low / room, high * room, begin, end, log)
        room = margin * (high - low) if wide else abs(high) / 10 or 1.0
        return cls(low - room, high + room, begin, end, log)

    def at(self, value: float) -> float:
        """Return the place of a value."""
        share = (
            math.log(value / self.low) / math.log(self.high / self.low)
            if self.log
            else (value - self.low) / (self.high - self.low)
        )
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Return the values to be written along the axis."""
        found = _powers(self.low, self.high) if self.log else []
        return found if len(found) > 2 else round_numbers(self.low, self.high)


def _powers(low: float, high: float) -> list[float]:
    """Return powers of ten from `low` to `high`, and twice and five times them where there are few."""
    decades = math.log10(high / low)
    digits, every = ((1, 2, 5), 1) if decades < 3 else ((1,), math.ceil(decades / 8))
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1, every)
    found = [float(f"{digit}e{power}") for power in powers for digit in digits]
    return [value for value in found if low <= value <= high]


def round_numbers(low: float, high: float) -> list[float]:
    """Return three to six round numbers from `low` to `high`, evenly spaced."""
    power = math.floor(math.log10((high - low) / 5))
    steps = (float(f"{digit}e{exponent}") for exponent in (power, power + 1) for digit in (1, 2, 5))
    step = next(step for step in steps if high - low <= 5 * step * (1 + 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _label(value: float) -> str:
    if value and not 1e-4 <= abs(value) < 1e9:
        digits, power = f"{value:.6g}".split("e") if "e" in f"{value:.6g}" else (f"{value:.6g}", "0")
        return f"{digits}e{int(power)}"
    return f"{value:,.10g}"


def _frame(across: _Axis, upwards: _Axis, x_label: str, y_label: str) -> Iterator[str]:
    for value in upwards.ticks():
        y = upwards.at(value)
        yield shape("line", x1=across.begin, y1=y, x2=across.end, y2=y, **{"class": "line"})
        yield text(_label(value), x=across.begin - 8, y=y + 4, **{"text-anchor": "end"})
    yield shape("line", x1=across.begin, y1=upwards.begin, x2=across.end, y2=upwards.begin, **{"class": "line"})
    for value in across.ticks():
        x = across.at(value)
        yield shape("line", x1=x, y1=upwards.begin, x2=x, y2=upwards.begin + 5, **{"class": "line"})
        yield text(_label(value), x=x, y=upwards.begin + 18, **{"text-anchor": "middle"})
    yield text(x_label, x=(across.begin + across.end) / 2, y=upwards.begin + 38, **{"text-anchor": "middle"})
    x, y = 18, (upwards.begin + upwards.end) / 2
    yield text(y_label, x=x, y=y, transform=f"rotate(-90 {x} {_number(y)})", **{"text-anchor": "middle"})


def _mark(x: float, name: str, *, y: float, below: float) -> Iterator[str]:
    yield shape("line", name, x1=x, y1=y + 4, x2=x, y2=below, **{"class": "mark"})
    left = x > WIDTH / 2
    yield text(name, x=x - 5 if left else x + 5, y=y, **{"text-anchor": "end" if left else "start"})


def _line(name: str, pieces: Sequence[Sequence[Point]], number: int) -> Iterator[str]:
    colour = number % len(COLOURS)
    for piece in pieces:
        drawn = list(_thinned(piece))
        if len(drawn) == 1:
            (x, y) = drawn[0]
            yield shape("circle", name, cx=x, cy=y, r=3, **{"class": f"d{colour}"})
            continue
        way = "M" + " ".join(f"{_number(x)},{_number(y)}" for x, y in drawn)
        yield shape("path", name, d=way, fill="none", **{"stroke-width": 2, "class": f"s{colour}"})


def _thinned(piece: Sequence[Point]) -> Iterator[Point]:
    """Leave out what cannot be seen: of the points of one column its first and last, lowest and highest stay."""
    column: list[Point] = []
    for x, y in [*piece, (math.inf, 0.0)]:
        if column and (x == math.inf or int(x) != int(column[0][0])):
            ends = {0, len(column) - 1}
            by_height = sorted(range(len(column)), key=lambda place: column[place][1])
            yield from (column[place] for place in sorted({*ends, by_height[0], by_height[-1]}))
            column = []
        column.append((x, y))


def _legend(names: Sequence[str]) -> Iterator[str]:
    x = float(LEFT)
    for number, name in enumerate(names):
        yield shape("rect", x=x, y=TOP, width=12, height=4, **{"class": f"d{number % len(COLOURS)}"})
        yield text(name, x=x + 18, y=TOP + 7)
        x += 34 + 7 * len(name)


def _told(lines: Mapping[str, Sequence[Sequence[Point]]]) -> Iterator[str]:
    """Say in words what the lines show."""
    for name, pieces in lines.items():
        points = [point for piece in pieces for point in piece]
        if points:
            least = min(points, key=lambda point: point[1])
            yield (
                f"{name}: from {points[0][1]:.4g} at {points[0][0]:.4g} to {points[-1][1]:.4g} at {points[-1][0]:.4g},"
                f" lowest {least[1]:.4g} at {least[0]:.4g}."
            )
