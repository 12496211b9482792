"""Named checks go in, what each of them found and the seconds it took come out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ..errors import S2SBotError

__all__ = ["Check", "Finding", "Started", "cause_of", "require", "run_checks"]

Started = Callable[[str], object]
"""Hears the name of every check before it runs."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold; `run` raises where it does not."""

    name: str
    run: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a check.

    cause    what differs, on one line; None where nothing does
    seconds  how long the check took
    error    what was raised, with its traceback
    """

    name: str
    cause: str | None
    seconds: float
    error: BaseException | None = field(default=None, repr=False, compare=False)


def run_checks(checks: Iterable[Check], started: Started | None = None) -> Iterator[Finding]:
    """Run one check after the other, whatever they raise but an interrupt.

    Raises:
        S2SBotError: under `python -O`, which leaves assertions out, so that everything would pass.
    """
    if not __debug__:
        raise S2SBotError("no check can fail under python -O", "leave -O out, and PYTHONOPTIMIZE too")
    for check in checks:
        if started is not None:
            started(check.name)
        begun = time.perf_counter()
        error: BaseException | None = None
        try:
            check.run()
        except (Exception, SystemExit) as raised:
            error = raised
        seconds = time.perf_counter() - begun
        yield Finding(check.name, None if error is None else cause_of(error), seconds, error)


def require(findings: Iterable[Finding]) -> None:
    """Look at findings up to the first one that is wrong.

    Raises:
        AssertionError: that names the check and its cause.
    """
    for finding in findings:
        if finding.cause is not None:
            raise AssertionError(f"{finding.name}: {finding.cause}") from finding.error


def cause_of(error: BaseException) -> str:
    """Return an error on one line; of an assertion that says something, only what it says."""
    said = " ".join(str(error).split())
    if isinstance(error, AssertionError) and said:
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
