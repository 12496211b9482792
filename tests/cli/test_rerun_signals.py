"""A rerun that is asked to end, or that nobody watches any more, is as safe as the training that it repeats."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from functools import partial

import pytest
from small import tables, write_pairs
from terminals import closed_on

import s2sbot
from s2sbot.trainer.checkpoint import Checkpoint

NAME = "my bot's folder"


@pytest.fixture
def bot(tmp_path):
    """Return a bot whose run is over soon."""
    with s2sbot.training(write_pairs(tmp_path / "pairs.tsv"), bot=tmp_path / NAME, settings=tables()) as run:
        for _ in run:
            pass
    return tmp_path / NAME


@pytest.fixture
def endless(bot):
    """Return the same bot with a card that says that its run was a long one."""
    file = bot / "card.json"
    card = json.loads(file.read_text("utf-8"))
    card["settings"]["train"].update(steps=100_000, validations=10_000)
    file.write_text(json.dumps(card), "utf-8")
    return bot


@pytest.fixture
def begin():
    """Return a function that begins a rerun in a process of its own, which is gone at the end of a test."""
    processes = []

    def start(bot, **pipes):
        env = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **pipes}
        words = [sys.executable, "-m", "s2sbot", "rerun", str(bot)]
        processes.append(subprocess.Popen(words, env=env, text=True, **pipes))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


def read_to(process, words):
    said = ""
    for line in process.stderr:
        said += line
        if words in line:
            return
    raise AssertionError(said)


def newest(bot):
    steps = sorted((bot / "training" / "checkpoints").iterdir(), key=lambda path: int(path.name[5:]))
    return Checkpoint.load(steps[-1]).state


def rerun_of(bot):
    return bot.with_name(f"{NAME}.rerun.bot")


def test_a_signal_saves_and_says_how_to_go_on_and_to_compare(endless, begin):
    process = begin(endless)
    read_to(process, "validation perplexity")
    process.send_signal(signal.SIGTERM)
    said = process.stderr.read()
    assert process.wait(60) == 75
    [resume, compare] = [
        shlex.split(re.search(f"{before}: (s2sbot .*)", said)[1]) for before in ("Go on with", "and then compare")
    ]
    assert resume == ["s2sbot", "train", "--bot", str(rerun_of(endless)), "--resume"]
    assert compare == ["s2sbot", "diff", str(endless), str(rerun_of(endless))]
    assert newest(rerun_of(endless))["step"] > 0


def test_a_terminal_that_closes_loses_nothing(endless, begin):
    process = closed_on(partial(begin, endless))
    assert process.wait(60) == 75
    assert newest(rerun_of(endless))["step"] > 0


def test_who_reads_may_go_away_and_the_exit_code_says_it_all_the_same(bot, begin):
    process = begin(bot, stdout=subprocess.PIPE)
    read_to(process, "parameters")
    for stream in (process.stdout, process.stderr):
        stream.close()
    process.stdout = process.stderr = None
    assert process.wait(120) == 0
    assert newest(rerun_of(bot))["finished"]
