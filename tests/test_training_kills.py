"""A run that is killed goes on, and ends to the bit as the one that never was; `training_kills.py` is the proof."""

import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest
from training_kills import FAULTS, kill_points

HARNESS = Path(__file__).with_name("training_kills.py")
OFTEN = ("minds", "seeds")
"""Faults that every run of the tests looks for; the soak looks for the others."""


def killed(*args, timeout=280):
    command = [sys.executable, str(HARNESS), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    sys.stdout.write(done.stdout)
    return done


def check(done, kills):
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.match(r"(\d+) kills \((\d+) at (\d+) kill points, .*, (\d+) failures", done.stdout)
    total, at_points, points, failures = map(int, found.groups())
    assert total >= kills
    assert at_points >= points == len(kill_points()) >= 20
    assert failures == 0


@pytest.mark.slow
def test_50_killed_runs_end_as_those_never_killed():
    check(killed("--kills", 50), 50)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_1000_killed_runs_end_as_those_never_killed(capsys):
    with capsys.disabled():
        check(killed("--kills", 1000, "--seed", 2, timeout=7000), 1000)


def check_found(*faults):
    """Look that each fault is seen, each in a case of its own, by a process that is started once for all."""
    done = killed("--kills", 12, *(word for fault in faults for word in ("--fault", fault)))
    assert done.returncode == 1
    assert [bool(re.search(r", [1-9]\d* failures", line)) for line in done.stdout.splitlines()] == [True] * len(faults)
    seen = re.findall(r"^([a-z]+): .*: differs in", done.stderr, re.M)
    assert [name for name, _ in groupby(seen)] == [FAULTS[fault] for fault in faults]


@pytest.mark.slow
def test_a_run_that_forgets_something_is_found_out():
    check_found(*OFTEN)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", sorted(set(FAULTS) - set(OFTEN)))
def test_a_run_that_forgets_something_else_is_found_out(fault):
    check_found(fault)
