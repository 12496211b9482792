"""A preparation that is killed, at any time and at every step, goes on and comes to what it would have come to."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from preparations import film, hashes, made, write_dialogues, write_films, write_pairs

from s2sbot.errors import CorpusError
from s2sbot.plugins import Plugins
from s2sbot.preparation import WORK, plan, shards, stages
from s2sbot.text import open_corpus

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and fork")

PLUGINS = Plugins()
DATA = {"context_turns": 1, "test_share": 0.2, "near_duplicates": 0.95}
STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}


@pytest.fixture(scope="module")
def corpora(once):
    def write(root):
        write_films(root / "films", 16)
        write_dialogues(root / "talk.jsonl", 12)
        write_pairs(root / "pairs.tsv", 20)

    root = once("killed corpora", write)
    return [open_corpus(root / name) for name in ("films", "talk.jsonl", "pairs.tsv")]


@pytest.fixture(scope="module", autouse=True)
def small_shards():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "SHARD_DOCUMENTS", 7)
        yield


@pytest.fixture(scope="module")
def wanted(corpora, tmp_path_factory):
    """Return what comes of them; made by each process, whose forks find all imported then."""
    out = tmp_path_factory.mktemp("wanted")
    made(out, *corpora, plugins=PLUGINS, **DATA)
    return hashes(out)


def killed(corpora, out, *, steps: int | None = None, seconds: float | None = None) -> list[str] | None:
    """Prepare in a process that is killed after so many steps on files or so many seconds.

    Returns what it said, which shards it read and how many steps it took, or None where it was killed.
    """
    log = out.with_name(f"{out.name}.log")
    log.unlink(missing_ok=True)
    process = os.fork()
    if process == 0:  # pragma: no cover
        _run_to_the_end(corpora, out, log, steps)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    assert os.waitstatus_to_exitcode(status) == 0
    return log.read_text().splitlines()


def _run_to_the_end(corpora, out, log, steps):  # pragma: no cover
    """Never return: this is the child of a fork."""
    code = 1
    try:
        passed = 0

        def count(event, arguments):
            nonlocal passed
            if event in STEPS and str(arguments[0]).startswith(str(out)):
                passed += 1
                if steps is not None and passed > steps:
                    os.kill(os.getpid(), signal.SIGKILL)

        read = shards.read_shard
        told = []
        shards.read_shard = lambda work, shard, *rest: told.append(f"shard {shard.number}") or read(work, shard, *rest)
        sys.addaudithook(count)
        told += made(out, *corpora, plugins=PLUGINS, **DATA)[1]
        log.write_text("\n".join([*told, f"steps {passed}"]))
        code = 0
    finally:
        os._exit(code)


def whole(out) -> set[int]:
    """Return the numbers of the shards that have been read to the end."""
    return {int(path.stem.removeprefix("read-")) for path in (out / WORK).glob("read-*.json")}


def check_going_on(corpora, out, wanted):
    """Go on to the end, and look that nothing was done twice and that the result is what it should be."""
    before = whole(out) if (out / WORK / "plan.json").exists() else set()
    said = killed(corpora, out)
    read = {int(line.removeprefix("shard ")) for line in said if line.startswith("shard ")}
    assert not read & before
    going_on = [line for line in said if line.startswith("going on")]
    total = len(read | before)
    assert going_on == ([f"going on: {len(before)} of {total} parts have been read before"] if before else [])
    assert hashes(out) == wanted
    assert not (out / WORK).exists()


@pytest.fixture(scope="module")
def steps(corpora, wanted, once):
    """Return the number of steps on files that a preparation takes."""

    def count(folder):
        (folder / "steps").write_text(killed(corpora, folder / "out")[-1].removeprefix("steps "))

    return int((once("steps", count) / "steps").read_text())


def test_a_kill_at_any_step_on_files_changes_nothing(corpora, wanted, steps, tmp_path):
    """Eighteen kills evenly over all steps, each into a folder of its own."""
    assert steps > 100
    for place in range(18):
        out = tmp_path / str(place)
        assert killed(corpora, out, steps=place * steps // 18) is None
        check_going_on(corpora, out, wanted)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_hundreds_of_kills_change_nothing(corpora, wanted, steps, tmp_path):
    for place in range(1, steps, 5):
        out = tmp_path / str(place)
        assert killed(corpora, out, steps=place) is None
        check_going_on(corpora, out, wanted)


def test_kills_again_and_again_at_random_times_change_nothing(corpora, wanted, steps, tmp_path):
    chance = random.Random(5)
    kills = 0
    for chain in range(3):
        out = tmp_path / str(chain)
        for _ in range(4):
            after = (
                {"steps": chance.randrange(steps // 2)} if chance.random() < 0.5 else {"seconds": chance.random() / 3}
            )
            kills += killed(corpora, out, **after) is None
        if (out / "data.json").exists() and not (out / WORK).exists():
            assert hashes(out) == wanted
        else:
            check_going_on(corpora, out, wanted)
    assert kills >= 6


def test_what_another_preparation_left_is_not_taken_for_ours(corpora, wanted, steps, tmp_path):
    out = tmp_path / "out"
    assert killed(corpora[:2], out, steps=steps // 2) is None
    assert whole(out)
    said = made(out, *corpora, **DATA)[1]
    assert not any(line.startswith("going on") for line in said)
    assert hashes(out) == wanted


@pytest.mark.parametrize("other", [{"share_tokenizer": False}, {"tokenizer": "bytes"}, {"test_share": 0.0}])
def test_nothing_is_left_of_a_preparation_with_other_settings(corpora, wanted, tmp_path, other, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(stages, "data_card", lambda *_: 1 / 0)  # all but the last stage is done
        with pytest.raises(ZeroDivisionError):
            made(tmp_path, *corpora, **DATA | other)
    made(tmp_path, *corpora, **DATA)
    assert hashes(tmp_path) == wanted
    assert (tmp_path / "test.jsonl").exists()
    made(tmp_path, *corpora, **DATA | {"test_share": 0.0})  # over what is whole
    assert not (tmp_path / "test.jsonl").exists()


def test_a_file_that_has_changed_is_read_again(corpora, wanted, steps, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.srt").write_text(film(number, 12))
    corpus = open_corpus(folder)
    assert killed([corpus], tmp_path / "out", steps=steps // 4) is None
    assert whole(tmp_path / "out")
    (folder / "7.srt").write_text(film(99, 12))
    said = made(tmp_path / "out", corpus, **DATA)[1]
    assert not any(line.startswith("going on") for line in said)
    made(tmp_path / "fresh", corpus, **DATA)
    assert hashes(tmp_path / "out") == hashes(tmp_path / "fresh")


def test_a_tokenizer_that_somebody_took_away_is_learnt_again(corpora, wanted, steps, tmp_path):
    out = tmp_path / "out"
    for place in range(steps // 2, steps, 3):
        if killed(corpora, out, steps=place) is None and (out / WORK / "vocabulary.json").exists():
            break
    (out / "tokenizer" / "words.json").unlink()
    check_going_on(corpora, out, wanted)


def test_two_at_a_time_are_refused(corpora, tmp_path, monkeypatch):
    first = shards.read_shard
    seen = []

    def read_again(*arguments):
        if not seen:
            seen.append(True)
            with pytest.raises(CorpusError, match="another process is preparing"):
                made(tmp_path / "out", *corpora, **DATA)
        return first(*arguments)

    monkeypatch.setattr(shards, "read_shard", read_again)
    made(tmp_path / "out", *corpora, **DATA)
    assert seen


# the command, with processes of its own


@pytest.fixture(scope="module")
def long_corpus(once):
    """Return a folder that takes some seconds to read."""

    def write(folder):
        for number in range(24):
            (folder / f"{number}.srt").write_text(film(number, 1_200))

    return once("long films", write)


def start(corpus, out, workers=2) -> subprocess.Popen[str]:
    code = (
        "import sys, os; os.fsync = lambda _: None;"
        "from s2sbot.preparation import plan; plan.SHARD_DOCUMENTS = 2; from s2sbot.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "corpus", "prepare", str(corpus), "--out", str(out), "--tokenizer", "words"]
    return subprocess.Popen(
        [*command, "--workers", str(workers)], start_new_session=True, stderr=subprocess.PIPE, text=True
    )


def parts_read(process, out, count, seconds=60):
    """Wait until so many shards have been read."""
    until = time.monotonic() + seconds
    while len(whole(out)) < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.01)


def group_of(process) -> list[int]:
    """Return the processes of the group of a process, and of those that it has started in groups of their own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == process.pid and fields[0] != "Z":  # the session
            found.append(int(path.parent.name))
    return sorted(found)


def workers_of(process) -> list[int]:
    def is_worker(number):
        try:
            return b"popen_loky" in Path(f"/proc/{number}/cmdline").read_bytes()
        except OSError:
            return False

    return [number for number in group_of(process) if number != process.pid and is_worker(number)]


def wait_for_all_to_end(process, seconds=5.0):
    """Wait until no process of the session is left."""
    process.stderr.close()
    until = time.monotonic() + seconds
    while group_of(process):
        assert time.monotonic() < until, group_of(process)
        time.sleep(0.05)


def finish(corpus, out, before) -> str:
    process = start(corpus, out)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert re.search(rf"going on: {before} of 12 parts have been read before", said)
    return said


@pytest.fixture(scope="module")
def long_hashes(long_corpus, once):
    def prepare(folder):
        process = start(long_corpus, folder / "out", 1)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said

    return hashes(once("long wanted", prepare) / "out")


linux_only = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


@linux_only
def test_the_whole_group_killed(long_corpus, long_hashes, tmp_path):
    process = start(long_corpus, tmp_path / "out")
    parts_read(process, tmp_path / "out", 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    wait_for_all_to_end(process)
    finish(long_corpus, tmp_path / "out", len(whole(tmp_path / "out")))
    assert hashes(tmp_path / "out") == long_hashes


@linux_only
def test_the_first_process_killed_leaves_no_orphans(long_corpus, long_hashes, tmp_path):
    process = start(long_corpus, tmp_path / "out")
    parts_read(process, tmp_path / "out", 2)
    assert len(workers_of(process)) == 2
    process.kill()
    process.wait(10)
    wait_for_all_to_end(process)
    finish(long_corpus, tmp_path / "out", len(whole(tmp_path / "out")))
    assert hashes(tmp_path / "out") == long_hashes


@linux_only
def test_one_worker_killed_is_said_and_the_work_of_all_is_kept(long_corpus, long_hashes, tmp_path):
    process = start(long_corpus, tmp_path / "out")
    parts_read(process, tmp_path / "out", 2)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "a process of the preparation was killed, perhaps for want of memory" in said
    assert "--workers" in said
    assert "Traceback" not in said
    wait_for_all_to_end(process)
    finish(long_corpus, tmp_path / "out", len(whole(tmp_path / "out")))
    assert hashes(tmp_path / "out") == long_hashes


@linux_only
@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_ends_it_at_once_and_keeps_the_work(long_corpus, long_hashes, tmp_path, workers):
    process = start(long_corpus, tmp_path / "out", workers)
    parts_read(process, tmp_path / "out", 2)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of them
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - began < 5
    assert "Traceback" not in said
    wait_for_all_to_end(process)
    before = len(whole(tmp_path / "out"))
    assert before >= 2
    finish(long_corpus, tmp_path / "out", before)
    assert hashes(tmp_path / "out") == long_hashes


def test_the_command_clears_up_after_a_kill_at_the_very_end(corpora, tmp_path):
    """All that was left to do was to remove what is not needed any more: the same command does it."""
    from click.testing import CliRunner

    from s2sbot.cli import main

    out = tmp_path / "out"
    command = ["corpus", "prepare", str(corpora[1].path), "--out", str(out), "--tokenizer", "words", "--workers", "1"]
    assert CliRunner().invoke(main, command).exit_code == 0
    done = hashes(out)
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 1
    assert "holds a prepared corpus already" in again.output
    (out / WORK).mkdir()
    (out / WORK / "lock").touch()
    assert CliRunner().invoke(main, command).exit_code == 0
    assert hashes(out) == done
    assert not (out / WORK).exists()
    other = tmp_path / "notes"
    other.mkdir()
    (other / "card.md").write_text("mine")
    refused = CliRunner().invoke(main, [*command[:4], str(other), *command[5:]])
    assert refused.exit_code == 1
    assert "is no preparation" in refused.output


def test_plugins_that_cannot_be_sent_to_another_process_are_used_in_one(corpora, tmp_path, wanted):
    import types

    module = types.ModuleType("nothing")
    made(tmp_path, *corpora, workers=3, plugins=Plugins(module), **DATA)
    assert hashes(tmp_path) == wanted
