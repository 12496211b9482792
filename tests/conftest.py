"""Fixtures that every test may ask for."""

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from small import write_pairs

# the models of the tests are so small that a second thread costs more than it does, here and in processes of their own
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["bots"]


@pytest.fixture(scope="session")
def once(tmp_path_factory, pytestconfig):
    """Return a function that makes a folder once for all processes of a run of the tests; nobody may change it after.

    `once("name", make)` calls `make` with the new folder, and returns it.
    """
    # each process of xdist has a folder of its own in one of all
    root = tmp_path_factory.getbasetemp()
    shared = (root.parent if hasattr(pytestconfig, "workerinput") else root) / "once"
    shared.mkdir(exist_ok=True)

    def made(name, make):
        folder, done = shared / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of one who failed
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture
def pairs(tmp_path):
    """Return a file of the pairs of `small.LINES`."""
    return write_pairs(tmp_path / "pairs.tsv")


@pytest.fixture
def bot(tmp_path):
    """Return where a bot will be."""
    return tmp_path / "small.bot"


@pytest.fixture(scope="session")
def shared_data():
    """Return a function that finds real data: below $S2SBOT_TEST_DATA or ../shared, or in a folder `data` there."""
    root = Path(os.environ.get("S2SBOT_TEST_DATA") or Path(__file__).parents[2] / "shared")
    root = root / "data" if (root / "data").is_dir() else root

    def find(*parts: str) -> Path:
        path = root.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"no {path}: S2SBOT_TEST_DATA names the folder of real data")
        return path

    return find


@pytest.fixture(params=["yajl2_c", "python"])
def backend(request, monkeypatch):
    """Parse JSON with the C library or with Python alone."""
    import ijson

    try:
        monkeypatch.setattr(ijson, "basic_parse", ijson.get_backend(request.param).basic_parse)
    except ImportError:
        pytest.skip(f"ijson has no {request.param} here")
