"""A run that is killed goes on, and ends to the bit as the one that never was; `training_kills.py` is the proof."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from training_kills import FAULTS, kill_points

HARNESS = Path(__file__).with_name("training_kills.py")


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


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["seeds", "minds"])
def test_a_run_that_forgets_something_is_found_out(fault):
    done = killed("--kills", 12, "--fault", fault)
    assert done.returncode == 1
    assert "differs in" in done.stderr


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"seeds", "minds"}))
def test_a_run_that_forgets_something_else_is_found_out(fault):
    done = killed("--kills", 12, "--fault", fault)
    assert done.returncode == 1
    assert "differs in" in done.stderr
