"""Work is done by one process or several: what is said adds up, and what goes wrong in one of them is said."""

import os
import time

import pytest

from s2sbot.errors import CorpusError, S2SBotError
from s2sbot.preparation import workers as module
from s2sbot.preparation.workers import run_all


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "TELL_EVERY", 0.05)


def counting():
    """Return a work function that writes a file and counts to its size, and can be sent to another process."""

    def count(folder, size):
        yield from range(size + 1)
        (folder / f"{size}.done").write_text(str(os.getpid()))

    return count


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_all_of_it_is_done_and_the_sums_only_grow(tmp_path, workers):
    sizes = [3, 10, 0, 7, 5]
    told = list(run_all(counting(), [(tmp_path, size) for size in sizes], workers=workers, folder=tmp_path))
    assert told == sorted(told)
    assert told[-1] == sum(sizes)
    assert {path.name for path in tmp_path.iterdir()} == {f"{size}.done" for size in sizes}
    processes = {int((tmp_path / f"{size}.done").read_text()) for size in sizes}
    assert (os.getpid() in processes) == (workers == 1)
    assert len(processes) <= workers


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_to_do_is_nothing_said(tmp_path, workers):
    assert list(run_all(counting(), [], workers=workers, folder=tmp_path)) == []


def test_how_far_a_process_has_come_is_told_while_it_works(tmp_path, monkeypatch):
    def slowly(_):
        for done in range(1, 9):
            time.sleep(0.2)
            yield done

    told = list(run_all(slowly, [(1,), (2,)], workers=2, folder=tmp_path))
    assert any(0 < done < 16 for done in told)
    assert told[-1] == 16
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "error",
    [CorpusError("a message", "a hint"), OSError(28, "No space left on device"), ValueError("a fault of ours")],
)
def test_what_one_raises_is_raised_as_it_is(tmp_path, workers, error):
    def fails(number):
        yield 0
        if number == 2:
            raise error
        yield 1

    with pytest.raises(type(error)) as raised:
        list(run_all(fails, [(1,), (2,), (3,)], workers=workers, folder=tmp_path))
    assert str(raised.value) == str(error)
    assert getattr(raised.value, "hint", "") == getattr(error, "hint", "")
    assert getattr(raised.value, "errno", None) == getattr(error, "errno", None)


def test_a_process_that_is_killed_is_said(tmp_path):
    def dies(number):
        import os
        import signal

        yield 0
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(S2SBotError, match="was killed, perhaps for want of memory") as raised:
        list(run_all(dies, [(1,), (2,), (3,)], workers=2, folder=tmp_path))
    assert "go on" in raised.value.hint
    assert "--workers" in raised.value.hint
    assert not list(tmp_path.iterdir())


def test_who_stops_listening_ends_the_processes(tmp_path):
    def endless(folder):
        import os
        import time

        (folder / str(os.getpid())).touch()
        while True:
            time.sleep(0.01)
            yield 1

    ran = run_all(endless, [(tmp_path,), (tmp_path,)], workers=2, folder=tmp_path)
    while len([path for path in tmp_path.iterdir() if path.name.isdigit()]) < 2:
        next(ran)
    ran.close()
    for path in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)
