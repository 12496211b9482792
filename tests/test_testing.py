"""Checks run one after the other, and each leaves a finding."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from s2sbot.testing import Finding
from s2sbot.testing.findings import Check, require, run_checks


def test_any_exception_is_a_cause_but_an_interrupt_is_not():
    def fail(error):
        def run():
            raise error

        return Check("name", run)

    errors = [ValueError("two\nlines"), AssertionError(), AssertionError("why"), SystemExit(3), KeyError("k")]
    causes = [finding.cause for finding in run_checks([fail(error) for error in errors])]
    assert causes == ["ValueError: two lines", "AssertionError", "why", "SystemExit: 3", "KeyError: 'k'"]
    with pytest.raises(KeyboardInterrupt):
        list(run_checks([fail(KeyboardInterrupt())]))


def test_a_finding_is_a_value():
    assert Finding("a", None, 0.5) == Finding("a", None, 0.5, ValueError())
    with pytest.raises(dataclasses.FrozenInstanceError):
        Finding("a", None, 0.5).name = "b"


def test_the_first_thing_that_is_wrong_is_raised_and_nothing_after_it_runs():
    ran = []

    def fail():
        raise KeyError("k")

    checks = [Check("one", lambda: ran.append(1)), Check("two", fail), Check("three", lambda: ran.append(3))]
    with pytest.raises(AssertionError, match=r"^two: KeyError: 'k'$") as raised:
        require(run_checks(checks))
    assert isinstance(raised.value.__cause__, KeyError)
    assert ran == [1]
    require(run_checks(checks[::2]))


def test_nothing_passes_where_assertions_are_left_out():
    command = [sys.executable, "-O", "-m", "s2sbot", "plugins", "check", "bytes"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Error: no check can fail under python -O" in done.stderr
    assert "ok" not in done.stdout
