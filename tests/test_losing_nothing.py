"""What a run has learnt, and was asked for, is not lost: whatever happens to its folder, and however it ends."""

import importlib
import json
import math
import os
import shutil
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from small import tables

import s2sbot
from s2sbot.bot import read_description
from s2sbot.cli import main
from s2sbot.cli.signals import stalled
from s2sbot.errors import BotError, TrainingError
from s2sbot.trainer import loop
from s2sbot.trainer import run as run_module
from s2sbot.trainer.checkpoint import Checkpoint
from s2sbot.trainer.plan import Trial
from s2sbot.trainer.resuming import remove_unfinished

running, train_module = (importlib.import_module(f"s2sbot.cli.{name}") for name in ("running", "train"))


@pytest.fixture(autouse=True)
def no_trial(monkeypatch):
    """Let no time be spent on trying the machine."""
    monkeypatch.setattr(loop, "try_updates", lambda *args, **named: Trial(1, 1, 0.01, 1000.0, 1))


def walk(bot, *corpora, on=lambda event, run: None, start=None, **knobs):
    """Train, or go on where no corpus is given, and return the events."""
    settings = tables(**knobs) if corpora and not start else {"train": knobs}
    events = []
    with s2sbot.training(*corpora, bot=bot, settings=settings, start=start, resume=not corpora) as run:
        for event in run:
            events.append(event)
            on(event, run)
    return events


def killed(kind, step=0):
    """Return what leaves a run at an event as `kill -9` would: nothing more is saved."""

    def on(event, run):
        if event.kind == kind and event.step >= step:
            run._loop.stopping = True
            raise KeyboardInterrupt

    return on


def newest(bot):
    steps = list((bot / "training" / "checkpoints").iterdir())
    return Checkpoint.load(max(steps, key=lambda path: int(path.name[5:])))


def same(one, other):
    return all(torch.equal(value, other.weights[name]) for name, value in one.weights.items())


class TestTheFolder:
    @pytest.mark.parametrize("resumed", [False, True])
    @pytest.mark.parametrize("lost", ["training", "training/settings.toml"])
    def test_a_bot_outlives_what_becomes_of_its_training_folder(self, pairs, bot, tmp_path, lost, resumed):
        if resumed:
            walk(bot, pairs, steps=4)

        def on(event, run):
            if event.kind == "validation" and (bot / lost).exists():
                (bot / lost).rename(tmp_path / "elsewhere")
                run.stop()

        walk(bot, *([] if resumed else [pairs]), on=on, steps=12)
        assert read_description(bot).weights
        assert s2sbot.load(bot)

    def test_nothing_is_removed_where_the_bot_was_before(self, pairs, bot, tmp_path):
        def on(event, run):
            if event.kind == "validation" and event.step == 6:
                bot.rename(tmp_path / "moved.bot")
                run.stop()

        walk(bot, pairs, on=on)
        assert newest(tmp_path / "moved.bot").state["step"] == 0
        assert newest(bot).state["step"] == 6

    def test_only_what_was_made_is_removed_of_a_preparation(self, pairs, bot):
        (bot / "tokenizer").mkdir(parents=True)
        (bot / "tokenizer" / "mine").touch()
        with s2sbot.training(pairs, bot=bot, settings=tables()) as run:
            next(iter(run))
        assert [path.name for path in bot.iterdir()] == ["tokenizer"]
        assert (bot / "tokenizer" / "mine").exists()

    def test_a_folder_with_checkpoints_is_not_begun_in_anew(self, pairs, bot):
        with pytest.raises(KeyboardInterrupt):
            walk(bot, pairs, on=killed("checkpoint"))
        (bot / "training" / "settings.toml").unlink()
        with pytest.raises(TrainingError, match="is there already, with checkpoints"):
            walk(bot, pairs)
        assert newest(bot).state["step"] == 0

    def test_the_lock_is_held_while_a_preparation_is_removed(self, pairs, bot, monkeypatch):
        said = []

        def meanwhile(folder, made):
            with pytest.raises(TrainingError, match="another run is training"):
                s2sbot.training(pairs, bot=bot, settings=tables()).__enter__()
            remove_unfinished(folder, made)
            said.append(bot.exists())

        with monkeypatch.context() as patch, s2sbot.training(pairs, bot=bot, settings=tables()) as run:
            patch.setattr(run_module, "remove_unfinished", meanwhile)
            next(iter(run))
        assert said == [False]
        walk(bot, pairs, steps=2)

    def test_who_takes_the_folder_after_the_lock_has_gone_keeps_it(self, bot, monkeypatch):
        folder = bot / "training"
        (folder / "data").mkdir(parents=True)
        (folder / "lock").touch()
        unlink = type(folder).unlink

        def unlinked(path, **named):
            unlink(path, **named)
            if path.name == "lock":
                path.write_text("another's")

        monkeypatch.setattr(type(folder), "unlink", unlinked)
        remove_unfinished(folder, [folder, bot])
        assert [path.name for path in folder.iterdir()] == ["lock"]

    def test_a_run_that_could_not_be_entered_holds_no_lock(self, pairs, bot, monkeypatch):
        first = s2sbot.training(pairs, bot=bot, settings=tables())
        calls = iter([None, TrainingError("too late", "x")])

        def refuse(self):
            if error := next(calls):
                raise error

        with monkeypatch.context() as patch, pytest.raises(TrainingError, match="too late"):
            patch.setattr(run_module.Training, "_refuse_existing", refuse)
            first.__enter__()
        with s2sbot.training(pairs, bot=bot, settings=tables()) as run:
            next(iter(run))


class TestTheStart:
    @pytest.fixture
    def before(self, pairs, tmp_path):
        walk(tmp_path / "before.bot", pairs, steps=4)
        return tmp_path / "before.bot"

    def test_a_run_that_ended_before_its_first_checkpoint_still_begins_from_its_bot(self, pairs, bot, tmp_path, before):
        def leave(event, run):
            if event.message.startswith("trying the largest batch"):
                run.stop()
                raise KeyboardInterrupt

        knobs = {"steps": 6, "batch_tokens": 120, "threads": 1}
        straight = tmp_path / "straight.bot"
        walk(straight, pairs, start=before, **knobs)
        with pytest.raises(KeyboardInterrupt):
            walk(bot, pairs, start=before, on=leave, **knobs)
        assert not (bot / "training" / "checkpoints").exists()
        aside = before.rename(tmp_path / "aside.bot")
        with pytest.raises(BotError, match="which the run begins from, is not there"):
            walk(bot)
        walk(before, pairs, steps=2)
        with pytest.raises(BotError, match="no longer the bot that the run began from"):
            walk(bot)
        shutil.rmtree(before)
        aside.rename(before)
        walk(bot)
        assert same(newest(bot), newest(straight))

    def test_one_that_has_a_checkpoint_does_not_need_it(self, pairs, bot, before):
        walk(bot, pairs, start=before, steps=2, threads=1)
        shutil.rmtree(before)
        assert walk(bot, steps=4)[-1].step == 4


class TestTheLength:
    @pytest.mark.parametrize(("kind", "step"), [("start", 0), ("validation", 12)])
    def test_it_is_kept_however_the_longer_run_ends(self, pairs, bot, tmp_path, kind, step):
        walk(bot, pairs, steps=4)
        straight = shutil.copytree(bot, tmp_path / "straight.bot")
        walk(straight, steps=20)
        with pytest.raises(KeyboardInterrupt):
            walk(bot, on=killed(kind, step), steps=20)
        assert walk(bot)[-1].step == 20
        assert same(newest(bot), newest(straight))
        assert newest(bot).state["length"] == newest(straight).state["length"]

    def test_another_one_takes_its_place(self, pairs, bot):
        walk(bot, pairs, steps=4)
        walk(bot, steps=6)
        assert walk(bot, epochs=4)[-1].epoch == pytest.approx(4, abs=0.5)
        assert "going on" in walk(bot)[1].message
        assert newest(bot).state["length"][1] == 4

    def test_one_that_is_refused_is_not_remembered(self, pairs, bot):
        walk(bot, pairs, steps=4)
        with pytest.raises(TrainingError, match="at step 4 already"):
            walk(bot, steps=2)
        assert walk(bot)[-1].step == 4

    def test_one_that_is_written_by_hand_counts(self, pairs, bot):
        walk(bot, pairs, steps=4)
        walk(bot, steps=6)
        file = bot / "training" / "settings.toml"
        file.write_text(file.read_text("utf-8").replace("steps = 4", "steps = 8"), "utf-8")
        assert walk(bot)[-1].step == 8
        assert walk(bot, steps=10)[-1].step == 10
        assert walk(bot)[-1].step == 10


class TestLostCheckpoints:
    def test_a_run_does_not_begin_anew_over_a_good_bot(self, pairs, bot):
        walk(bot, pairs)
        before = (bot / "bot.json").read_bytes()
        shutil.rmtree(bot / "training" / "checkpoints")
        with pytest.raises(TrainingError, match="came to step 12, and no checkpoint") as error:
            walk(bot, steps=20)
        assert "put that folder back" in error.value.hint
        assert (bot / "bot.json").read_bytes() == before

    def test_nor_over_what_a_record_alone_knows_of(self, pairs, bot):
        with pytest.raises(KeyboardInterrupt):
            walk(bot, pairs, on=killed("step", 10), validations=1)
        assert not (bot / "bot.json").exists()
        shutil.rmtree(bot / "training" / "checkpoints")
        with pytest.raises(TrainingError, match="came to step 10"):
            walk(bot)

    def test_one_that_was_ended_in_its_first_checkpoint_begins(self, pairs, bot):
        with pytest.raises(KeyboardInterrupt):
            walk(bot, pairs, on=killed("start"))
        (bot / "training" / "checkpoints" / "step-0.tmp").mkdir(parents=True)
        assert walk(bot)[-1].step == 12


class TestWhatIsSaid:
    def test_numbers_that_are_not_finite_are_not_said_to_be_saved(self, pairs, bot):
        def on(event, run):
            if event.kind == "step":
                with torch.no_grad():
                    run._loop.updater.parameters[0].view(-1)[0] = math.inf
                run.stop()
                runs.append(run)

        runs = []
        events = walk(bot, pairs, on=on, validations=1)
        assert not runs[0].saved
        assert "not finite" in events[-2].message
        said = running.said_stopped(runs[0], "x")
        assert "everything is saved" not in said
        assert "safe is the checkpoint of step 0" in said

    def test_a_run_that_is_saved_says_so(self, pairs, bot):
        runs = []
        walk(bot, pairs, on=lambda event, run: (run.stop(), runs.append(run)))
        assert runs[0].saved
        assert running.said_stopped(runs[0], "x") == "Stopped, and everything is saved. Go on with: x"

    def test_an_interrupt_in_a_step_says_what_is_safe(self, pairs, bot, monkeypatch):
        step = loop.Loop._train_step

        def interrupted(self):
            step(self)
            if self.step == 7:
                raise KeyboardInterrupt

        monkeypatch.setattr(loop.Loop, "_train_step", interrupted)
        with pytest.raises(KeyboardInterrupt) as error:
            walk(bot, pairs)
        assert "safe is the checkpoint of step 6 and the bot" in error.value.__notes__[0]

    def test_an_error_after_which_all_is_saved_has_no_note(self, pairs, bot):
        def on(event, run):
            if event.kind == "step":
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError) as error:
            walk(bot, pairs, on=on)
        assert not hasattr(error.value, "__notes__")


class TestSignals:
    def test_they_are_heard_while_a_failed_run_is_saved(self, pairs, bot, monkeypatch):
        heard = []
        save = run_module.save_left

        def saved(run, rest, kind):
            heard.append(kind)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)
            save(run, rest, kind)

        def fail(run, show):
            for event in run:
                if event.kind == "step":
                    raise ZeroDivisionError

        monkeypatch.setattr(run_module, "save_left", saved)
        monkeypatch.setattr(train_module, "walk", fail)
        before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append("by nobody"))
        try:
            options = [
                "--tokenizer",
                "words",
                "--steps",
                "20",
                "--set",
                "train.threads=1",
                "--set",
                "train.validations=1",
            ]
            result = CliRunner().invoke(main, ["train", str(pairs), "--bot", str(bot), *options])
        finally:
            signal.signal(signal.SIGTERM, before)
        assert result.exit_code != 0
        assert heard == [ZeroDivisionError]
        assert newest(bot).state["step"] > 0

    def test_a_pipe_that_nobody_reads_is_seen(self):
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        assert not stalled(writing)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        assert stalled(writing, seconds=0.0)
        os.close(reading)
        os.close(writing)
        assert not stalled(writing)

    def test_a_reader_who_stalls_holds_up_neither_the_first_signal_nor_the_second(self, monkeypatch):
        run = SimpleNamespace(learning=True, first=True, stops=0)
        run.stop = lambda: setattr(run, "stops", run.stops + 1)
        done, now = [], [1000.0]

        def left(code):
            raise SystemExit(code)

        monkeypatch.setattr(running, "stalled", lambda: run.stops == 1)
        monkeypatch.setattr(running, "lose_terminal", lambda: done.append(("lost", run.stops)))
        monkeypatch.setattr(running, "time", SimpleNamespace(monotonic=lambda: now[0]))
        monkeypatch.setattr(running.os, "write", lambda *args: done.append("written"))
        monkeypatch.setattr(running.os, "_exit", left)
        with pytest.raises(SystemExit) as error, running.stopped_by_signals(run, resumed=False, go_on=""):
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0)
                now[0] += 2
        assert error.value.code == 130
        assert done[0] == ("lost", 1)

    def test_nothing_is_shown_before_a_run_that_is_asked_to_stop_is_saved(self, pairs, bot):
        shown = []

        def show(event):
            steps = {path.name for path in (bot / "training").glob("checkpoints/*")}
            shown.append((event.kind, event.step, steps))
            if event.kind == "validation":
                run.stop()

        with s2sbot.training(pairs, bot=bot, settings=tables()) as run:
            assert running.walk(run, show)
        after = shown[[kind for kind, _, _ in shown].index("validation") + 1 :]
        assert [kind for kind, _, _ in after] == ["checkpoint", "end"]
        assert all("step-6" in steps for _, _, steps in after)


class TestWhatIsOtherwise:
    def notices(self, events):
        return [event.message for event in events if event.kind == "notice"]

    def test_what_decides_the_last_digits_is_named_once(self, pairs, bot):
        walk(bot, pairs, steps=4)
        assert not self.notices(walk(bot, steps=6))
        file = bot / "training" / "sitting.json"
        values = json.loads(file.read_text("utf-8"))
        assert {"torch", "threads", "device", "precision"} <= values["here"].keys()
        values["here"] |= {"torch": "1.0", "threads": 99}
        file.write_text(json.dumps(values), "utf-8")
        said = self.notices(walk(bot, steps=8))
        assert len(said) == 1
        assert "last digits" in said[0]
        assert f"torch: 1.0 then, {torch.__version__} now; threads: 99 then, 1 now" in said[0]
        assert not self.notices(walk(bot, steps=10))

    def test_settings_that_were_changed_by_hand_are_named_once(self, pairs, bot):
        walk(bot, pairs, steps=4)
        file = bot / "training" / "settings.toml"
        file.write_text(file.read_text("utf-8").replace("learning_rate = 0.01", "learning_rate = 0.02"), "utf-8")
        assert self.notices(walk(bot, steps=6)) == [
            "changed by hand in training/settings.toml: train.learning_rate",
        ]
        assert not self.notices(walk(bot, steps=8))

    @pytest.mark.parametrize("text", ["", '{"written": 1, "length": {}, "here": {}}'])
    def test_a_record_that_is_damaged_is_as_good_as_none(self, pairs, bot, text):
        walk(bot, pairs, steps=4)
        (bot / "training" / "sitting.json").write_text(text, "utf-8")
        assert not self.notices(walk(bot, steps=6))
        assert walk(bot)[-1].step == 6
