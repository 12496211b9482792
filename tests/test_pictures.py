"""The line chart: what it shows, for whom, and that no numbers can break it."""

import itertools
import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2sbot.pictures import COLOURS, line_chart, round_numbers

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*args, **options):
    return ElementTree.fromstring(line_chart(*args, **{"title": "Loss", **options}))


def texts(root):
    return [text.text for text in root.iter(f"{SVG}text")]


def ways(root):
    return [
        [tuple(map(float, point.split(","))) for point in path.get("d")[1:].split()] for path in root.iter(f"{SVG}path")
    ]


def test_a_line_goes_where_its_points_are():
    [way] = ways(drawn({"a": [(0, 1), (5, 3), (10, 2)]}))
    xs, ys = zip(*way, strict=True)
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.1)
    assert ys[0] - ys[1] == pytest.approx(2 * (ys[0] - ys[2]), abs=0.1)


def test_a_logarithmic_axis_has_even_decades():
    root = drawn({"a": [(0.001, 1), (0.01, 1), (0.1, 2), (1, 2), (10, 2)]}, log_x=True)
    [way] = ways(root)
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(way)]
    assert gaps == pytest.approx([gaps[0]] * 4, abs=0.1)
    assert {"0.001", "0.01", "0.1", "1", "10"} <= set(texts(root))


def test_small_and_large_figures_are_written_short():
    root = drawn({"a": [(1e-6, 0), (1e-1, 100_000)]}, log_x=True)
    assert {"1e-6", "1e-5", "0.0001", "100,000"} <= set(texts(root))


def test_what_cannot_be_drawn_leaves_a_gap():
    assert len(ways(drawn({"a": [(0, 1), (1, 2), (2, math.nan), (3, 4), (4, 3)]}))) == 2
    assert len(ways(drawn({"a": [(0, 1), (1, 2), (2, 0.0), (3, 4), (4, 3)]}, log_y=True))) == 2
    assert len(ways(drawn({"a": [(0, 1), (1, 2), (2, 0.0), (3, 4), (4, 3)]}))) == 1


def test_a_single_point_is_a_dot_and_nothing_is_told_as_such():
    assert len(list(drawn({"a": [(3, 4.0)]}).iter(f"{SVG}circle"))) == 1
    root = drawn({"a": [(1, math.inf)], "b": []})
    assert "no figures" in texts(root)


def test_every_series_is_named_and_every_text_escaped():
    source = line_chart(
        {"<train>": [(0, 1), (1, 2)], "valid & more": [(0, 2), (1, 3)]},
        title="a < b",
        x_label="<x>",
        y_label="y&y",
        marks={'"best"': 0.5},
    )
    assert {"<train>", "valid & more", "a < b", "<x>", "y&y", '"best"'} <= set(texts(ElementTree.fromstring(source)))
    assert "<script" not in source
    assert all(colour in source for pair in COLOURS.items() for colour in pair)


def test_many_points_are_thinned_without_losing_a_peak():
    points = [(step, 1.0) for step in range(100_000)]
    points[54_321] = (54_321, 9.0)
    root = drawn({"a": points})
    [way] = ways(root)
    assert len(way) < 3_000
    heights = [y for _, y in way]
    assert min(heights) < sorted(heights)[1]
    assert root.find(f"{SVG}desc").text == "a: from 1 at 0 to 1 at 1e+05, lowest 1 at 0."


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 40), (-3, 3), (0.0011, 0.0012), (1e8, 3e8), (6.99, 7.01)])
def test_round_numbers_are_three_to_six_within_the_range(low, high):
    found = round_numbers(low, high)
    assert 3 <= len(found) <= 6
    assert all(low - 1e-9 * abs(low) <= number <= high + 1e-9 * abs(high) for number in found)
    assert all(len(f"{number:.12e}".partition("e")[0].strip("0-").replace(".", "")) <= 4 for number in found)


figures = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(figures, figures)), st.booleans(), st.booleans(), st.lists(figures, max_size=2))
def test_any_figures_make_a_picture(points, log_x, log_y, marks):
    source = line_chart(
        {"a": sorted(points)}, title="t", log_x=log_x, log_y=log_y, marks={f"m{x}": x for x in marks}
    )  # fmt: skip
    ElementTree.fromstring(source)
    assert not re.search(r"[\" ,(](nan|inf)", source)
