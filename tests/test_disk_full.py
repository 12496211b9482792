"""A disk that is full, or fails at any call: told, tried again, the run goes on, and what was there is whole."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small import tables

import s2sbot
from s2sbot import files
from s2sbot.bot import read_description
from s2sbot.errors import DiskError
from s2sbot.trainer import loop, saving
from s2sbot.trainer.checkpoint import Checkpoint, latest_checkpoint
from s2sbot.trainer.plan import Trial


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    slept = []
    monkeypatch.setattr(saving.time, "sleep", slept.append)
    monkeypatch.setattr(loop, "try_updates", lambda *args, **named: Trial(1, 1, 0.01, 1000.0, 1))
    return slept


class Disk:
    """Fails some of the calls that write: open for writing, fsync, rename; `full` is asked before each of them."""

    def __init__(self, monkeypatch):
        self.calls, self.failed, self.full = 0, 0, lambda name, number: False
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "open"), (Path, "write_bytes"), (Path, "mkdir")):
            monkeypatch.setattr(owner, name, self._failing(getattr(owner, name), name))

    def _failing(self, call, name):
        def failing(*args, **named):
            writes = name != "open" or any(letter in str((*args[1:], *named.values())) for letter in "wxa")
            if writes and "lock" not in str(args[0]):
                self.calls += 1
                if self.full(name, self.calls):
                    self.failed += 1
                    raise OSError(errno.ENOSPC, "No space left on device")
            return call(*args, **named)

        return failing


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def whole(bot):
    """Return the step of the newest checkpoint, which has to be whole, and see that the bot is."""
    damaged = []
    found = latest_checkpoint(bot / "training" / "checkpoints", lambda path, cause: damaged.append(cause))
    assert not damaged
    if (bot / "bot.json").is_file():
        weights = bot / read_description(bot).weights
        assert weights.name == f"weights-{hashlib.sha256(weights.read_bytes()).hexdigest()[:16]}.safetensors"
    return found.state["step"] if found else None


def left_over(bot):
    return [path for path in bot.rglob("*") if path.name.endswith((".tmp", ".old", ".new"))]


def train(pairs, bot, on_event=lambda event: None, **knobs):
    events = []
    with s2sbot.training(pairs, bot=bot, settings=tables(**{"steps": 20, "validations": 4, **knobs})) as run:
        for event in run:
            events.append(event)
            on_event(event)
    return events


def test_a_run_goes_on_while_the_disk_is_full_and_saves_when_there_is_room(pairs, tmp_path, disk):
    straight = tmp_path / "straight.bot"
    train(pairs, straight)
    bot = tmp_path / "a.bot"

    def fill(event):
        if event.kind == "validation":
            disk.full = lambda name, number: event.step in (5, 10)
            if event.step <= 15:
                assert whole(bot) == 0

    events = train(pairs, bot, fill)
    notices = [event for event in events if event.kind == "notice"]
    assert any("the run goes on" in event.message and "no space left" in event.message for event in notices)
    assert any("the bot gets its new weights when there is room" in event.message for event in notices)
    assert disk.failed > 2
    assert events[-1].step == 20
    assert whole(bot) == 20
    assert not left_over(bot)
    # nothing of what was learnt is lost, and the bot has the best weights after all
    assert read_description(bot).weights == read_description(straight).weights


def test_at_the_end_it_is_tried_again_and_then_said_what_is_safe(pairs, tmp_path, disk, no_waiting):
    def fill(event):
        if event.kind == "validation" and event.step == 20:
            disk.full = lambda name, number: True

    with pytest.raises(DiskError, match="no space left") as caught:
        train(pairs, tmp_path / "a.bot", fill)
    assert "safe is the checkpoint of step 15 and the bot" in caught.value.hint
    assert "--resume" in caught.value.hint
    assert caught.value.exit_code == 74
    assert no_waiting == list(saving.PAUSES)
    disk.full = lambda name, number: False
    assert whole(tmp_path / "a.bot") == 15
    with s2sbot.training(bot=tmp_path / "a.bot", resume=True) as run:
        assert list(run)[-1].step == 20
    assert whole(tmp_path / "a.bot") == 20
    assert (tmp_path / "a.bot" / "card.md").is_file()


def test_room_in_time_saves_the_end(pairs, tmp_path, disk):
    def fill(event):
        if event.kind == "validation" and event.step == 20:
            since = disk.failed
            disk.full = lambda name, number: disk.failed < since + 2

    events = train(pairs, tmp_path / "a.bot", fill)
    assert any("tried again in 1 s" in event.message for event in events)
    assert not events[-1].stopped
    assert whole(tmp_path / "a.bot") == 20
    assert (tmp_path / "a.bot" / "card.md").is_file()


def test_a_run_that_will_not_fit_is_refused_with_what_it_needs(pairs, tmp_path, monkeypatch):
    bot = tmp_path / "a.bot"
    real = files.shutil.disk_usage

    def usage(path):
        # the preparation fits, the run does not
        found = real(path)
        return type(found)(
            found.total, found.used, 10_000 if (bot / "training" / "settings.toml").exists() else found.free
        )

    monkeypatch.setattr(files.shutil, "disk_usage", usage)
    with pytest.raises(DiskError, match=r"no space left on the disk for the checkpoints of this run .* MiB are needed"):
        train(pairs, bot)
    assert whole(bot) is None
    monkeypatch.setattr(files.shutil, "disk_usage", real)
    with s2sbot.training(bot=bot, resume=True) as run:
        assert list(run)[-1].step == 20


def test_a_save_that_will_not_fit_touches_nothing(pairs, tmp_path, monkeypatch):
    real = files.shutil.disk_usage
    low = []

    def usage(path):
        found = real(path)
        return type(found)(found.total, found.used, 10_000) if low else found

    monkeypatch.setattr(files.shutil, "disk_usage", usage)
    messages = []

    def fill(event):
        if event.kind == "validation" and event.step == 5:
            low.append(1)
        if event.kind == "validation" and event.step == 15:
            low.clear()
        if event.kind == "notice":
            assert whole(tmp_path / "a.bot") == 0
            messages.append(event.message)

    train(pairs, tmp_path / "a.bot", fill)
    assert all("MiB are needed, 0.0 are free" in message for message in messages)
    assert len(messages) == 2
    assert whole(tmp_path / "a.bot") == 20


def test_a_record_that_cannot_be_written_does_not_end_a_run(pairs, tmp_path):
    def spoil(event):
        if event.kind == "start":
            (tmp_path / "a.bot" / "training" / "metrics.jsonl").mkdir()

    assert train(pairs, tmp_path / "a.bot", spoil)[-1].step == 20


def test_whichever_call_of_a_save_fails_all_is_whole(pairs, tmp_path, disk):
    """At step 1 the first call that writes fails, at step 2 the second, and so on, for bot and checkpoint alike."""
    knobs = {"steps": 40, "validations": 40, "select": "last", "keep_best": 3, "checkpoint_every": 1e-9}
    straight, bot, reached = tmp_path / "straight.bot", tmp_path / "a.bot", []
    train(pairs, straight, **knobs)
    assert disk.failed == 0
    real = loop.Loop._train_step

    def train_step(self):
        real(self)
        if self.bot == bot and self.step < 40:
            if reached:
                assert whole(bot) is not None
                assert left_over(bot) == []
            reached.append(disk.failed)
            first, step = disk.calls, self.step
            disk.full = lambda name, number: number == first + step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "_train_step", train_step)
        events = train(pairs, bot, lambda event: None, **knobs)
    # as many calls as a step makes were failing ones
    assert disk.failed > 30
    assert [event.step for event in events if event.kind == "validation"] == list(range(1, 41))
    assert whole(bot) == events[-1].step == 40
    assert read_description(bot).weights == read_description(straight).weights
    best = {path.name: path.read_bytes() for path in (straight / "training" / "best").iterdir()}
    assert best == {path.name: path.read_bytes() for path in (bot / "training" / "best").iterdir()}


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_every_call_that_fails_leaves_all_whole(pairs, tmp_path, disk):
    """Every call of a run fails, each in a run of its own, once; the run ends right all the same."""
    begun = []

    def begin(event):
        if event.kind == "start":
            begun.append(disk.calls)

    train(pairs, tmp_path / "a.bot", begin, steps=8, validations=2)
    count = disk.calls - begun[0]
    weights = read_description(tmp_path / "a.bot").weights
    for offset in range(1, count + 1):
        bot = tmp_path / f"{offset}.bot"

        def fail(event, offset=offset):
            if event.kind == "start":
                disk.full = lambda name, number, first=disk.calls: number == first + offset

        before = disk.failed
        events = train(pairs, bot, fail, steps=8, validations=2)
        disk.full = lambda name, number: False
        assert disk.failed == before + 1
        assert whole(bot) == events[-1].step == 8
        assert not left_over(bot)
        assert read_description(bot).weights == weights


LIMITED = """
import resource, sys
sys.path.insert(0, {tests!r})
from small import tables
import s2sbot
from s2sbot.trainer import saving
saving.time.sleep = lambda seconds: None
notices = []
with s2sbot.training({pairs!r}, bot={bot!r}, settings=tables(steps=20, validations=4)) as run:
    for event in run:
        if event.kind == "validation" and event.step == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        if event.kind == "validation" and event.step == 15:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if event.kind == "notice":
            notices.append(event.message)
print(len(notices), event.step)
"""


def test_a_real_limit_of_the_kernel_is_told_and_outlived(pairs, tmp_path):
    """Writing half a file and then failing is what only a kernel does."""
    bot = tmp_path / "a.bot"
    program = LIMITED.format(tests=str(Path(__file__).parent), pairs=str(pairs), bot=str(bot))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    notices, step = map(int, done.stdout.split())
    assert notices >= 2
    assert step == 20
    assert whole(bot) == 20
    assert not left_over(bot)


def test_a_checkpoint_is_as_large_as_it_says(tmp_path):
    import torch

    saved = Checkpoint({"step": 1}, {"a": torch.zeros(1000)}, {}, {}, {})
    folder = saved.save(tmp_path, keep=1)
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert 4000 < size <= saved.bytes
    assert json.loads((folder / "state.json").read_text())["step"] == 1
