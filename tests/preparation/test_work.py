"""The folder of what is not done yet belongs to one process at a time, and is never taken from another."""

import filelock
import pytest

from s2sbot.errors import CorpusError
from s2sbot.preparation.work import WORK, locked


def test_an_empty_folder_goes_in_the_end(tmp_path):
    with locked(tmp_path) as work:
        assert work.is_dir()
    assert not (tmp_path / WORK).exists()
    with pytest.raises(ZeroDivisionError), locked(tmp_path) as work:
        (work / "read-0.json").touch()
        raise ZeroDivisionError
    assert (tmp_path / WORK / "read-0.json").exists()


def test_another_process_that_comes_as_this_one_leaves_keeps_its_lock_and_its_folder(tmp_path, monkeypatch):
    release = filelock.FileLock.release
    other = locked(tmp_path)

    def release_and_lose(lock, *arguments, **named):
        monkeypatch.undo()
        release(lock, *arguments, **named)
        other.__enter__()

    with locked(tmp_path):
        monkeypatch.setattr(filelock.FileLock, "release", release_and_lose)
    assert (tmp_path / WORK / "lock").exists()
    with pytest.raises(CorpusError, match="another process"), locked(tmp_path):
        pass
    other.__exit__(None, None, None)
    assert not (tmp_path / WORK).exists()


def test_a_folder_that_goes_before_it_is_locked_is_another_process_too(tmp_path, monkeypatch):
    def acquire(lock, *_, **__):
        (tmp_path / WORK).rmdir()
        raise FileNotFoundError

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.raises(CorpusError, match="another process"), locked(tmp_path):
        pass
