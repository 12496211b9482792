"""A step of a training sends its work to the device and waits for nothing, on a device that only looks like one.

What a GPU does by itself inside an operation cannot be seen here; what asks for a number, a size or a copy can.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FAR = Path(__file__).with_name("far_device.py")
WAITING = {"adadelta": {"aten._local_scalar_dense.default"}, "adaptive": {"aten.nonzero.default"}}
"""What waits by its nature, as docs/training.md says."""


@pytest.fixture(scope="module")
def seen():
    done = subprocess.run([sys.executable, FAR], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_all_that_waits_is_noticed_and_nothing_else(seen):
    assert len(seen["waiting"]) == 15
    assert all(len(found) == 1 for found in seen["waiting"].values()), seen["waiting"]
    assert not any(seen["fine"].values()), seen["fine"]


def test_no_update_waits(seen):
    assert len(seen["cases"]) == 10
    for name, case in seen["cases"].items():
        # a batch was sent, so it was on that device
        assert case["sent"] >= 15
        assert set(case["waits"]) == WAITING.get(name, set()), name


def test_a_validation_waits_once(seen):
    for name, case in seen["cases"].items():
        numbers = [wait for wait in case["validation"] if wait == "aten._local_scalar_dense.default"]
        assert len(numbers) == 1, name


def test_the_ways_of_a_gpu_learn_what_those_of_a_cpu_do(seen):
    for name, case in seen["cases"].items():
        assert case["apart"] < 2e-4, name
        assert case["found"] == pytest.approx(case["wanted"], rel=1e-5), name
