"""A run that is asked to end: finishes its step, saves, says how to go on; with real processes where it matters."""

import importlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial

import pytest
import torch
from click.testing import CliRunner
from small import tables
from terminals import closed_on

import s2sbot
from s2sbot.cli import main
from s2sbot.trainer import Training, validation
from s2sbot.trainer.checkpoint import Checkpoint
from s2sbot.trainer.stopping import Abandoned, stoppable

module = importlib.import_module("s2sbot.cli.running")
OPTIONS = [
    "--tokenizer", "words", "--set", "model.hidden_size=16", "--set", "model.embedding_size=16",
    "--set", "data.valid_share=0.2",
]  # fmt: skip


def newest(bot):
    steps = sorted((bot / "training" / "checkpoints").iterdir(), key=lambda path: int(path.name[5:]))
    return Checkpoint.load(steps[-1])


def same(one, other):
    return all(
        getattr(one, part).keys() == getattr(other, part).keys()
        and all(torch.equal(value, getattr(other, part)[name]) for name, value in getattr(one, part).items())
        for part in ("weights", "optimizer", "average", "minds")
    )


def begin(*args, **pipes):
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **pipes}
    return subprocess.Popen([sys.executable, "-m", "s2sbot", *map(str, args)], env=env, text=True, **pipes)


def read_to(process, words):
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"never said: {words}")


@pytest.fixture
def ended():
    """Return a list of processes that are gone, with their pipes, at the end of a test."""
    processes = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def test_a_scheduler_s_signal_saves_and_the_command_it_says_goes_on(pairs, tmp_path, ended):
    bot = tmp_path / "my bot's $HOME; dir" / "--a.bot"
    process = begin("train", pairs, "--bot", bot, *OPTIONS, "--steps", 100_000, "--set", "train.validations=20000")
    ended.append(process)
    read_to(process, "validation perplexity")
    process.send_signal(signal.SIGUSR1)
    said = process.stderr.read()
    assert process.wait(60) == 75
    words = shlex.split(re.search(r"Go on with: (s2sbot train .*)", said)[1])
    step = newest(bot).state["step"]
    going = CliRunner().invoke(main, [*words[1:], "--steps", str(step + 3), "--set", "train.threads=1"])
    assert going.exit_code == 0, going.output
    assert newest(bot).state["step"] == step + 3


def test_a_terminal_that_closes_loses_nothing(pairs, tmp_path, ended):
    bot = tmp_path / "a.bot"
    long = ("--steps", 100_000, "--set", "train.validations=20000")
    process = closed_on(partial(begin, "train", pairs, "--bot", bot, *OPTIONS, *long))
    ended.append(process)
    assert process.wait(60) == 75
    assert newest(bot).state["step"] > 0


def test_who_reads_the_progress_may_go_away(pairs, tmp_path, ended):
    process = begin("train", pairs, "--bot", tmp_path / "a.bot", *OPTIONS, "--steps", 20)
    ended.append(process)
    read_to(process, "parameters")
    process.stderr.close()
    process.stderr = None
    assert process.wait(120) == 0
    assert newest(tmp_path / "a.bot").state["finished"]


def test_the_trial_of_the_machine_is_given_up(pairs, tmp_path, ended):
    process = begin("train", pairs, "--bot", tmp_path / "a.bot", *OPTIONS, "--budget", "20m")
    ended.append(process)
    read_to(process, "trying the largest batch")
    process.send_signal(signal.SIGTERM)
    said = process.stderr.read()
    assert process.wait(60) == 75
    assert "Go on with" in said
    resume = ["train", "--bot", str(tmp_path / "a.bot"), "--resume", "--steps", "2", "--set", "train.threads=1"]
    again = CliRunner().invoke(main, resume)
    assert again.exit_code == 0, again.output


class TestAskedTwice:
    class Run:
        learning, first, stops, bot = True, True, 0, "x.bot"

        def stop(self):
            self.stops += 1

    def ask(self, *pauses):
        run, clock = self.Run(), iter([0.0, *pauses])
        before = signal.getsignal(signal.SIGTERM)
        with pytest.MonkeyPatch.context() as patch:
            now = [1000.0]
            patch.setattr(module.time, "monotonic", lambda: now[0])
            with module.stopped_by_signals(run, resumed=False, go_on=""):
                for pause in clock:
                    now[0] += pause
                    os.kill(os.getpid(), signal.SIGTERM)
                    time.sleep(0)
        assert signal.getsignal(signal.SIGTERM) == before
        return run.stops

    def test_signals_that_come_together_are_one_request(self, capfd):
        assert self.ask(0.1, 0.1) == 1
        assert "once more to leave at once" in capfd.readouterr().err

    def test_another_one_leaves_at_once(self, capfd):
        with pytest.raises(KeyboardInterrupt):
            self.ask(2.0)
        assert "Left at once" in capfd.readouterr().err


def test_who_is_asked_twice_saves_nothing_more(pairs, tmp_path):
    bot = tmp_path / "a.bot"
    with pytest.raises(KeyboardInterrupt), s2sbot.training(pairs, bot=bot, settings=tables(steps=50)) as run:
        for event in run:
            if event.kind == "step":
                run.stop()
                raise KeyboardInterrupt
    assert newest(bot).state["step"] == 0


def test_who_leaves_by_an_error_of_his_own_has_saved_what_was_learnt(pairs, tmp_path):
    bot = tmp_path / "a.bot"
    with pytest.raises(ZeroDivisionError), s2sbot.training(pairs, bot=bot, settings=tables(steps=50)) as run:
        for event in run:
            if event.kind == "step" and event.step == 10:
                raise ZeroDivisionError
    assert newest(bot).state["step"] == 10
    with s2sbot.training(bot=bot, resume=True) as run:
        list(run)
    straight = tmp_path / "straight.bot"
    with s2sbot.training(pairs, bot=straight, settings=tables(steps=50)) as run:
        list(run)
    assert same(newest(straight), newest(bot))


@pytest.mark.parametrize("when", ["figures", "samples", "average"])
def test_a_validation_that_is_given_up_is_made_when_the_run_goes_on(pairs, tmp_path, when, monkeypatch):
    knobs = tables(steps=12, validations=3, ema=0.9, keep_best=3, select="average")
    straight, bot = tmp_path / "straight.bot", tmp_path / "a.bot"
    with s2sbot.training(pairs, bot=straight, settings=knobs) as run:
        list(run)
    run = Training([pairs], bot, settings=knobs)
    calls, name = [], "generate" if when == "samples" else "evaluate"
    compute = getattr(validation, name)

    def interrupted(*args, **named):
        calls.append(1)
        if len(calls) == {"figures": 2, "samples": 2, "average": 4}[when]:
            run.stop()
        return compute(*args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(validation, name, interrupted)
        with run:
            events = list(run)
    assert events[-1].stopped
    stopped = newest(bot)
    assert stopped.state["step"] == (12 if when == "average" else 8)
    assert len(stopped.state["validations"]) == (3 if when == "average" else 1)
    assert not stopped.state["finished"]
    with s2sbot.training(bot=bot, resume=True) as run:
        events = list(run)
    assert not events[-1].stopped
    assert same(newest(straight), newest(bot))
    for key in ("keeper", "course", "heard", "finished", "updater"):
        assert newest(straight).state[key] == newest(bot).state[key]
    assert s2sbot.bot.read_description(straight).weights == s2sbot.bot.read_description(bot).weights
    assert (bot / "card.md").is_file()


def test_what_is_given_up_leaves_the_model_as_it_was(small_bot):
    model = s2sbot.load(small_bot).model
    asked = []
    with suppress(Abandoned), stoppable(model, lambda: bool(asked)):
        source = torch.tensor([[20, 21]])
        memory = model.encode(source, source > 0)
        asked.append(1)
        model.encode(source, source > 0)
        raise AssertionError("it went on")
    assert memory is not None
    assert not {"encode", "decode"} & set(vars(model))


def test_a_resumed_run_says_what_it_was_asked_for(tmp_path):
    asked = {
        "steps": 20,
        "budget": None,
        "epochs": None,
        "device": "cpu",
        "config": None,
        "assignments": ("train.threads=1",),
    }
    said = module.going_on(tmp_path / "a b.bot", asked)
    assert shlex.split(said)[4:] == ["--resume", "--steps", "20", "--device", "cpu", "--set", "train.threads=1"]
    assert f"'{tmp_path / 'a b.bot'}'" in said


def test_a_validation_that_is_told_and_not_saved_is_told_once(pairs, tmp_path, monkeypatch):
    """Asked to stop in a validation, then killed after it was made and before it was saved: it is made a third time."""
    bot = tmp_path / "a.bot"
    run = Training([pairs], bot, settings=tables(steps=12, validations=3))
    evaluate = validation.evaluate

    def interrupted(*args, **named):
        if run._loop.step == 8:
            run.stop()
        return evaluate(*args, **named)

    def killed(self, *args, **named):
        raise MemoryError("as good as killed")

    with monkeypatch.context() as patch, run:
        patch.setattr(validation, "evaluate", interrupted)
        list(run)
    assert newest(bot).state["heard"] == 1
    again = s2sbot.training(bot=bot, resume=True)
    with monkeypatch.context() as patch, pytest.raises(MemoryError), again:
        patch.setattr(Checkpoint, "save", killed)
        list(again)
    assert newest(bot).state["heard"] == 1
    with s2sbot.training(bot=bot, resume=True) as last:
        list(last)
    lines = [json.loads(line) for line in (bot / "training" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "validation"] == [4, 8, 12]
