"""A metric class goes in; what it does otherwise than the contract says comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ..text.metric import Metric
from .findings import Check, Finding, Started, require, run_checks

__all__ = ["check_metric", "metric_checks"]

_SOURCES = ("How are you?", "Where are we going?", "Wer ist da?", "Good night.", "日本語ですか。")
_TARGETS = ("Quite well, thank you.", "Across the water, as ever.", "Nur ich, wie immer.", "Sleep well.", "はい。")
_OUTPUTS = ("Well, thank you.", "Across the road, I think.", "", "Sleep well.", "ええ、そうです。")


def check_metric(kind: type[Metric]) -> None:
    """Check a metric; raises AssertionError at the first thing that is wrong."""
    require(metric_checks(kind))


def metric_checks(kind: type[Metric], *, started: Started | None = None) -> Iterator[Finding]:
    """Yield what each check of a metric finds."""
    checks: tuple[tuple[str, Callable[[type[Metric]], None]], ...] = (
        ("it says which direction is better", _check_direction),
        ("its score is a finite number", _check_numbers),
        ("what was really said is no worse than nothing", _check_order),
        ("it repeats, and lets its arguments be", _check_repetition),
        ("the order of exchanges has no say", _check_reversal),
    )
    return run_checks([Check(name, partial(check, kind)) for name, check in checks], started)


def _score(kind: type[Metric], outputs: Sequence[str], places: slice = slice(None)) -> float:
    number = kind().score(list(outputs[places]), list(_TARGETS[places]), list(_SOURCES[places]))
    assert isinstance(number, float | int) and not isinstance(number, bool), f"its score is {number!r}, no number"
    assert math.isfinite(number), f"its score is {number}"
    return float(number)


def _check_direction(kind: type[Metric]) -> None:
    better = getattr(kind, "higher_is_better", None)
    assert isinstance(better, bool), f"higher_is_better is {better!r}, neither True nor False"


def _check_numbers(kind: type[Metric]) -> None:
    for outputs in (_OUTPUTS, _TARGETS, [""] * len(_TARGETS), ["word " * 500] * len(_TARGETS)):
        _score(kind, outputs)
        for row in range(len(_TARGETS)):
            _score(kind, outputs, slice(row, row + 1))


def _check_order(kind: type[Metric]) -> None:
    truth, nothing = _score(kind, _TARGETS), _score(kind, [""] * len(_TARGETS))
    right = truth >= nothing if kind.higher_is_better else truth <= nothing
    assert right, f"{truth} for what was really said, {nothing} for nothing: is higher_is_better the wrong way round?"


def _check_repetition(kind: type[Metric]) -> None:
    metric, given = kind(), ([*_OUTPUTS], [*_TARGETS], [*_SOURCES])
    first = metric.score(*given)
    assert metric.score(*given) == first, "one metric scores the same twice, and otherwise the second time"
    assert kind().score(*given) == first, "two metrics of one class score otherwise"
    assert given == ([*_OUTPUTS], [*_TARGETS], [*_SOURCES]), "its arguments were changed"


def _check_reversal(kind: type[Metric]) -> None:
    forth = _score(kind, _OUTPUTS)
    back = kind().score(*(list(reversed(lines)) for lines in (_OUTPUTS, _TARGETS, _SOURCES)))
    assert math.isclose(forth, back, rel_tol=1e-9, abs_tol=1e-12), f"{forth} in one order, {back} in the other"
