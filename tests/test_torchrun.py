"""Several processes that torchrun starts train as one does: losses, checkpoints for any number of them, one end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from small import tables, write_subtitles

import s2sbot
from s2sbot import S2SBotError, SettingsError, TrainingError
from s2sbot.trainer.checkpoint import Checkpoint
from s2sbot.trainer.loop import Loop
from s2sbot.trainer.processes import Processes

STEPS, HALT, DEATH, SHORT = 20, 7, 13, 8
MODELS = ("attention", "stateful-broadcast")
CASES = {"whole": {}, "begun": {}, "few": {"batch_tokens": 16, "ema": 0.9}}
"""Knobs of runs that go on to the end, stop half-way, and have so few tokens that a process has no row."""
EVENTS = {"whole": {"short": SHORT}, "begun": {"stop": HALT}}
RUNS = [(model, case) for model in MODELS for case in CASES if (model, case) != ("attention", "few")]


def settings(**train):
    train = {"steps": STEPS, "precision": "float64", "validations": 4, "checkpoint_every": 1e9, **train}
    return {**tables(**train), "data": {"tokenizer": "words", "valid_share": 0.2, "scene_gap": 60.0}}


def start(folder, model, case, *, where):
    bot = folder / f"{model}-{case}-{where}"
    return s2sbot.training(folder / "film.srt", bot=bot, model=model, settings=settings(**CASES.get(case, {})))


def no_memory(*values):
    raise MemoryError


def losses(run, *, stop=None, death=None, short=None, apart=None, lone=None):
    """Go through a run and return the loss of every step, in nats a token.

    The last process alone asks to stop at step `stop`, is killed at step `death`, has too little memory for a whole
    larger update from step `short` on, has a weight that no other has from step `apart` on, and an error of its own at
    step `lone`.
    """
    found, step = [], Loop._train_step

    def stepped(loop):
        loop.updater.reset("nats", "tokens")
        many = len(loop.order.updates[loop.order.position].turns[0]) > 4
        ending = loop.processes.rank == loop.processes.world - 1
        if ending and many and short is not None and loop.step >= short and loop.updater.parts == 1:
            compute, halve = loop.updater._loss, loop.updater._halve

            def halved(*values):
                loop.updater._loss = compute
                halve(*values)

            loop.updater._loss, loop.updater._halve = no_memory, halved
        step(loop)
        counts = loop.updater.read("nats", "tokens")
        found.append(counts["nats"] / counts["tokens"])
        if ending and loop.step == stop:
            loop.stopping = True
        if ending and loop.step == apart:
            next(loop.model.parameters()).data[-1] += 1e-3
        if ending and loop.step == lone:
            raise SettingsError("this machine lacks something")
        if ending and loop.step == death:
            os.kill(os.getpid(), signal.SIGKILL)

    Loop._train_step = stepped
    try:
        with run:
            for _ in run:
                pass
    finally:
        Loop._train_step = step
    return found


def main(folder):
    """Do what each process of the fixture `together` does; the last run is begun by two that die, and ended by two."""
    found = folder / "found.json"
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        told = {}
        for model, case in RUNS:
            told[model, case] = losses(start(folder, model, case, where="two"), **EVENTS.get(case, {}))
        for model in MODELS:
            told[model, "resumed"] = losses(s2sbot.training(bot=folder / f"{model}-begun-one", resume=True))
        if os.environ["RANK"] == "0":
            found.write_text(json.dumps({" ".join(key): value for key, value in told.items()}), "utf-8")
    killed = start(folder, "stateful-broadcast", "killed", where="two")
    rest = losses(killed, death=DEATH if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" else None)
    if os.environ["RANK"] == "0":
        told = json.loads(found.read_text("utf-8"))
        found.write_text(json.dumps({**told, "stateful-broadcast killed": rest}), "utf-8")
    fails(folder, "apart", lambda: losses(start(folder, "attention", "apart", where="two"), apart=HALT))
    bot = folder / "attention-begun-two"
    longer = {"train": {"steps": STEPS + int(os.environ["RANK"])}}
    fails(folder, "other", lambda: losses(s2sbot.training(bot=bot, resume=True, settings=longer)))
    fails(folder, "lone", lambda: losses(start(folder, "attention", "lone", where="two"), lone=HALT))


def fails(folder, name, train):
    try:
        train()
    except (S2SBotError, SystemExit) as error:
        (folder / f"{name}-{os.environ['RANK']}").write_text(f"{type(error).__name__} {error}", "utf-8")
    torch.distributed.destroy_process_group()  # a process that fails ends otherwise


def torchrun(*words, **options):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=environment, **pipes, **options)


def ended(process):
    """Return what torchrun and all below it have said, and how it ended."""
    try:
        said, _ = process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        process.terminate()
        said, _ = process.communicate(timeout=60)
        pytest.fail(f"it hangs: {said}")
    return said, process.returncode


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_subtitles(folder / "film.srt", scenes=8)
    return folder


@pytest.fixture(scope="module")
def alone(folder):
    return {
        f"{model} {case}": losses(start(folder, model, case, where="one"), **EVENTS.get(case, {}))
        for model, case in RUNS
    }


@pytest.fixture(scope="module")
def together(folder, alone):
    """Return the losses that two processes had; they go on from runs of one too."""
    said, code = ended(torchrun("--max-restarts", "1", __file__, folder))
    assert code == 0, said
    return json.loads((folder / "found.json").read_text("utf-8"))


def newest(bot):
    steps = sorted((bot / "training" / "checkpoints").iterdir(), key=lambda path: int(path.name[5:]))
    return Checkpoint.load(steps[-1])


def tensors(checkpoint):
    parts = ("weights", "optimizer", "average", "minds")
    return {(part, name): tensor for part in parts for name, tensor in getattr(checkpoint, part).items()}


def same(one, two):
    wanted, got = tensors(one), tensors(two)
    assert wanted.keys() == got.keys()
    assert {part for part, _ in got} >= {"weights", "optimizer"}
    for name, tensor in wanted.items():
        torch.testing.assert_close(got[name], tensor, rtol=1e-6, atol=1e-9, msg=str(name))
    figures = [[row["perplexity"] for row in checkpoint.state["validations"]] for checkpoint in (one, two)]
    assert len(figures[0]) == 4
    assert figures[1] == pytest.approx(figures[0], rel=1e-9)


def test_two_processes_train_as_one(folder, alone, together):
    # one test, as what it looks at takes so long
    for model, case in RUNS:
        one, two = alone[f"{model} {case}"], together[f"{model} {case}"]
        assert len(one) == (HALT if case == "begun" else STEPS)
        assert len(set(one)) == len(one)
        assert two == pytest.approx(one, rel=0, abs=1e-9), (model, case)
        if case != "begun":
            same(newest(folder / f"{model}-{case}-one"), newest(folder / f"{model}-{case}-two"))
    for model in MODELS:
        goes_on_with_another_number(folder, alone, together, model)
    goes_on_after_a_death(folder, alone, together)
    assert newest(folder / "attention-whole-two").state["updater"]["parts"] == 2
    assert told_once(folder, "apart").startswith("TrainingError the processes have come to different weights")
    assert told_once(folder, "other").startswith("SettingsError the processes have found different data, settings")
    assert told_once(folder, "lone") == "SettingsError process 1 of 2: this machine lacks something"


def told_once(folder, name):
    """Return what the one of two processes says that does not leave it to the other."""
    told = sorted(((folder / f"{name}-{rank}").read_text("utf-8") for rank in range(2)), key=len)
    assert told[0] == "SystemExit 1"
    return told[1]


def goes_on_with_another_number(folder, alone, together, model):
    rest = alone[f"{model} whole"][HALT:]
    begun = newest(folder / f"{model}-begun-two")
    assert begun.state["step"] == HALT
    assert bool(begun.minds) == (model != "attention")
    assert together[f"{model} resumed"] == pytest.approx(rest, rel=0, abs=1e-9)
    assert losses(s2sbot.training(bot=folder / f"{model}-begun-two", resume=True)) == pytest.approx(rest, abs=1e-9)
    for where in ("one", "two"):
        same(newest(folder / f"{model}-whole-one"), newest(folder / f"{model}-begun-{where}"))


def goes_on_after_a_death(folder, alone, together):
    # four validations in twenty steps: the last checkpoint before step 13 is that of step 10
    rest = alone["stateful-broadcast whole"][10:]
    assert together["stateful-broadcast killed"] == pytest.approx(rest, rel=0, abs=1e-9)
    lines = (folder / "stateful-broadcast-killed-two" / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    steps = [(row["kind"], row["step"]) for row in map(json.loads, lines) if row["kind"] != "step"]
    assert steps == [*(("validation", step) for step in (5, 10, 15, 20)), ("end", 20)]


def begun(*words, bot, rows):
    """Start a long run, and return its torchrun when the record has more than so many lines."""
    run, metrics = torchrun("-m", "s2sbot", "train", *words, "--bot", bot, start_new_session=True), record(bot)
    while len(metrics.read_text("utf-8").splitlines() if metrics.is_file() else ()) <= rows and run.poll() is None:
        time.sleep(0.05)
    return run


def record(bot):
    return bot / "training" / "metrics.jsonl"


def rows_of(bot):
    return [json.loads(line) for line in record(bot).read_text("utf-8").splitlines()]


def test_a_run_whose_torchrun_ends_stops_all_at_one_step_and_goes_on(tmp_path):
    """First torchrun is asked to end, then it is killed, and cannot end what it has started."""
    film = write_subtitles(tmp_path / "film.srt", scenes=8)
    bot, steps = tmp_path / "stopped.bot", 0
    knobs = [f"--set={name}" for name in ("model.hidden_size=16", "model.embedding_size=16", "data.tokenizer=words")]
    for end, words in (
        (signal.SIGTERM, [film, "--steps", 1_000_000, *knobs]),
        (signal.SIGKILL, ["--resume"]),
    ):
        run = begun(*words, bot=bot, rows=len(rows_of(bot)) if steps else 0)
        workers = psutil.Process(run.pid).children()
        run.send_signal(end)
        said, code = ended(run)
        assert code != 0
        assert "Stopped, and everything is saved." in said
        assert "Error:" not in said
        assert ("torchrun has ended, so the run stops too" in said) == (end == signal.SIGKILL)
        assert psutil.wait_procs(workers, timeout=60)[1] == []
        assert len(workers) == 2
        before, steps = steps, newest(bot).state["step"]
        assert steps > before
        last = rows_of(bot)[-1]
        assert (last["kind"], last["step"], last["stopped"]) == ("end", steps, True)


def test_an_error_of_the_first_process_is_told_once_and_ends_all(tmp_path):
    corpus, bot = tmp_path / "none.srt", tmp_path / "none.bot"
    corpus.write_text("1\n00:00:01,000 --> 00:00:02,000\nAlone.\n", "utf-8")
    said, code = ended(torchrun("-m", "s2sbot", "train", corpus, "--bot", bot, "--steps", 2))
    assert code != 0
    assert [line for line in said.splitlines() if line.startswith("Error: ")] == [
        f"Error: nothing to learn from in {corpus} (none.srt: no exchange in it)"
    ], said
    assert not bot.exists()


PLACE = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"RANK": "1"}, "RANK=1, but not WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2, but not RANK, LOCAL_RANK"),
        (PLACE, "but not MASTER_ADDR, MASTER_PORT"),
        ({**PLACE, "RANK": "first"}, "RANK=first"),
        ({**PLACE, "RANK": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}, "there is no such process"),
    ],
)
def test_a_place_that_is_told_in_part_is_refused(monkeypatch, given, told):
    set_place(monkeypatch, given)
    with pytest.raises(SettingsError, match=told):
        Processes.join()


@pytest.mark.parametrize("given", [{}, {"RANK": "0", "WORLD_SIZE": "1"}, {"LOCAL_RANK": "0"}])
def test_a_launcher_that_says_little_of_a_process_that_is_alone_is_understood(monkeypatch, given):
    set_place(monkeypatch, given)
    assert Processes.join() == Processes()


def test_a_port_that_is_taken_is_told(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        set_place(monkeypatch, {**PLACE, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port})
        with pytest.raises(TrainingError, match=f"process 0 cannot meet the others at 127.0.0.1, port {port}: "):
            Processes.join()


def set_place(monkeypatch, given):
    for name in (*PLACE, "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE"):
        monkeypatch.delenv(name, raising=False)
    for name, text in given.items():
        monkeypatch.setenv(name, text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
