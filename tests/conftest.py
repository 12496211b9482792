"""Fixtures that every test may ask for."""

import os
from pathlib import Path

import pytest

# the models of the tests are so small that a second thread costs more than it does, here and in processes of their own
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["bots"]


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
