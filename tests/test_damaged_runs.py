"""What a disk, a crash or a person did to the files of a run: it is named, and the run goes on from what is whole."""

import dataclasses
import errno
import hashlib
import json
import math
import os
import resource
import shutil
import struct
import sys
import time
from pathlib import Path

import pytest
import torch
from small import tables, write_pairs, write_subtitles

import s2sbot
from s2sbot import BotError, CorpusError, DiskError, TrainingError, files
from s2sbot.nn.encoder_decoder import model_tensors
from s2sbot.plugins import Plugins
from s2sbot.record import read_record
from s2sbot.trainer import loop, update
from s2sbot.trainer.checkpoint import Checkpoint, kept_states, set_aside, tensor_file
from s2sbot.trainer.fitting import learning_parameters, optimizer_tensors, restore_optimizer
from s2sbot.trainer.keeping import Keeper
from s2sbot.trainer.plan import Trial

KNOBS = {
    "steps": 20,
    "validations": 4,
    "ema": 0.9,
    "keep_best": 3,
    "keep_checkpoints": 2,
    "select": "average",
    "optimizer": "adam",
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Take the trial of the machine as made, which all of these runs would repeat."""
    monkeypatch.setattr(loop, "try_updates", lambda *args, **named: Trial(1, 1, 0.01, 1000.0, 1))


def walk(run, on):
    events = []
    with run:
        for event in run:
            events.append(event)
            on(event, run)
    return events


def train(bot, on=lambda event, run: None, **knobs):
    pairs = write_pairs(bot.parent / "pairs.tsv")
    return walk(s2sbot.training(pairs, bot=bot, settings=tables(**{**KNOBS, **knobs})), on)


def resume(bot, on=lambda event, run: None):
    return walk(s2sbot.training(bot=bot, resume=True), on)


def at(step, kind="checkpoint"):
    return lambda event, run: run.stop() if event.kind == kind and event.step >= step else None


@pytest.fixture(scope="session")
def stopped(once):
    """Return a bot whose run was stopped at step 10, with checkpoints of the steps 5 and 10."""

    def make(folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "try_updates", lambda *args, **named: Trial(1, 1, 0.01, 1000.0, 1))
            train(folder / "a.bot", at(10))

    return once("damaged-runs", make) / "a.bot"


@pytest.fixture
def run(stopped, tmp_path):
    """Return a copy of that bot."""
    return Path(shutil.copytree(stopped, tmp_path / "copy.bot"))


def folder_of(bot, step):
    return bot / "training" / "checkpoints" / f"step-{step}"


def names(bot):
    return sorted(path.name for path in (bot / "training" / "checkpoints").iterdir())


def flip(file, place=-5):
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.unlink()  # the content may have another name too
    file.write_bytes(data)


def rewrite(folder, name, data):
    """Change a file of a checkpoint, and the manifest with it."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest[name] = hashlib.sha256(data).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


def passed_over(events):
    return [event.message for event in events if "passed over" in event.message]


# 1: what is damaged does not push out what is whole


@pytest.mark.parametrize("keep", [1, 2])
def test_a_damaged_checkpoint_does_not_push_out_the_whole_ones(run, monkeypatch, keep):
    settings = run / "training" / "settings.toml"
    settings.write_text(settings.read_text("utf-8").replace("keep_checkpoints = 2", f"keep_checkpoints = {keep}"))
    flip(folder_of(run, 10) / "weights.safetensors")
    save_after_every_step(monkeypatch)
    assert len(passed_over(resume(run, at(7)))) == 1
    assert names(run) == sorted({"step-5", *("step-6", "step-7")[2 - keep :], "step-10.damaged"})
    again = resume(run, at(7))
    assert not passed_over(again)
    assert "going on from step 7" in [event.message for event in again]


def save_after_every_step(monkeypatch, before=lambda loop: None):
    real = loop.Loop._train_step

    def train_step(self):
        before(self)
        self._saved_at = -1e9
        real(self)

    monkeypatch.setattr(loop.Loop, "_train_step", train_step)


def test_a_run_whose_newest_anchor_was_damaged_can_go_back_still(run, monkeypatch):
    flip(folder_of(run, 10) / "weights.safetensors")
    bad, real = [False], update.update_loss

    def spoil(self):
        bad[0] = 5 <= self.step < 10 and not self.course.cuts

    def loss(*args, **named):
        found = real(*args, **named)
        return dataclasses.replace(found, nats=found.nats * math.nan) if bad[0] else found

    save_after_every_step(monkeypatch, spoil)
    monkeypatch.setattr(update, "update_loss", loss)
    events = resume(run)
    assert [event.step for event in events if event.kind == "notice" and "back to step" in event.message] == [5]
    assert events[-1].step == 20


def test_checkpoints_of_later_steps_do_not_count_among_those_that_are_kept(tmp_path):
    def save(step):
        Checkpoint({"step": step, "anchor": False}, {"w": torch.zeros(1)}, {}, {}, {}).save(tmp_path, keep=1)

    save(30)
    save(10)
    save(11)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-11", "step-30"]
    set_aside([tmp_path / "step-30", tmp_path / "step-11"])
    save(12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-12", "step-30.damaged"]


def test_where_no_checkpoint_fits_none_is_moved(run):
    settings = run / "training" / "settings.toml"
    settings.write_text(settings.read_text("utf-8").replace("hidden_size = 32", "hidden_size = 16"), "utf-8")
    before = names(run)
    with pytest.raises(TrainingError, match=r"no checkpoint in .* can be used") as raised:
        resume(run)
    assert "settings.toml" in raised.value.hint
    assert names(run) == before


# 2: weights are compared before they are read


def test_large_weights_that_do_not_fit_are_refused_before_they_are_read(run):
    weights = run / json.loads((run / "bot.json").read_text("utf-8"))["weights"]
    size = 7 * 2**30
    header = json.dumps({"other": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    with weights.open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + size)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(BotError, match="do not fit"):
        s2sbot.load(run)
    assert time.process_time() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 * 2 ** (
        20 if sys.platform == "darwin" else 10
    )


def test_weights_of_whole_numbers_are_no_weights(run):
    weights = run / json.loads((run / "bot.json").read_text("utf-8"))["weights"]
    tensors = model_tensors(s2sbot.load(run).model)
    weights.write_bytes(
        b"".join(map(bytes, tensor_file({name: each.to(torch.int8) for name, each in tensors.items()})))
    )
    with pytest.raises(BotError, match=r"is .* of int8"):
        s2sbot.load(run)


# 3 and 4: what is whole, and does not fit


def first(tensors):
    return next(name for name, tensor in tensors.items() if tensor.dim())


def change_first(change):
    return lambda tensors: {name: change(each) if name == first(tensors) else each for name, each in tensors.items()}


TENSORS = {
    "lost": lambda tensors: dict(list(tensors.items())[1:]),
    "none": lambda tensors: {},
    "one more": lambda tensors: {**tensors, "more": torch.ones(1)},
    "cut": change_first(lambda each: each.flatten()[:1].clone()),
    "not finite": change_first(lambda each: each * math.nan),
    "whole numbers": change_first(lambda each: each.to(torch.int8)),
}


@pytest.mark.parametrize("part", ["weights", "optimizer", "average"])
@pytest.mark.parametrize("damage", TENSORS)
def test_tensors_that_do_not_fit_are_a_damaged_checkpoint(run, part, damage):
    folder = folder_of(run, 10)
    tensors = TENSORS[damage](getattr(Checkpoint.load(folder), part))
    rewrite(folder, f"{part}.safetensors", b"".join(map(bytes, tensor_file(tensors))))
    events = resume(run, lambda event, run: run.stop())
    assert len(passed_over(events)) == 1
    assert "going on from step 5" in [event.message for event in events]
    assert "step-10.damaged" in names(run)


def test_minds_of_a_model_without_a_mind_are_a_damaged_checkpoint(run):
    rewrite(folder_of(run, 10), "minds.safetensors", b"".join(map(bytes, tensor_file({"000": torch.ones(3, 3)}))))
    assert passed_over(resume(run, lambda event, run: run.stop()))


def test_minds_of_another_shape_are_a_damaged_checkpoint(tmp_path):
    film, bot = write_subtitles(tmp_path / "film.srt", scenes=8), tmp_path / "b.bot"
    knobs = tables(steps=20, validations=4)
    knobs["data"] = {**knobs["data"], "scene_gap": 60.0}
    walk(s2sbot.training(film, bot=bot, model="stateful-broadcast", settings=knobs), at(10))
    folder = folder_of(bot, 10)
    minds = Checkpoint.load(folder).minds
    assert minds
    whole = Path(shutil.copytree(bot, tmp_path / "whole.bot"))
    assert not passed_over(resume(whole, lambda event, run: run.stop()))
    for number, changed in enumerate(({}, {name: each[:, :1].clone() for name, each in minds.items()})):
        copy = Path(shutil.copytree(bot, tmp_path / f"{number}.bot"))
        rewrite(folder_of(copy, 10), "minds.safetensors", b"".join(map(bytes, tensor_file(changed))))
        assert passed_over(resume(copy, lambda event, run: run.stop()))


VALUES = {
    "course": lambda state: {**state, "course": {**state["course"], "since": None}},
    "validations": lambda state: {**state, "validations": 5},
    "position beyond": lambda state: {**state, "position": 10**9},
    "position below": lambda state: {**state, "position": -3},
    "epoch": lambda state: {**state, "epoch": "x"},
    "parts": lambda state: {**state, "updater": {**state["updater"], "parts": 0}},
    "elapsed": lambda state: {**state, "elapsed": None},
    "keeper": lambda state: {**state, "keeper": None},
    "heard": lambda state: {key: value for key, value in state.items() if key != "heard"},
    "a list": lambda state: [state],
}


@pytest.mark.parametrize("damage", VALUES)
def test_plain_values_that_do_not_fit_are_a_damaged_checkpoint(run, damage):
    folder = folder_of(run, 10)
    state = VALUES[damage](json.loads((folder / "state.json").read_text("utf-8")))
    rewrite(folder, "state.json", (json.dumps(state) + "\n").encode())
    events = resume(run, lambda event, run: run.stop())
    assert len(passed_over(events)) == 1
    assert "going on from step 5" in [event.message for event in events]


@pytest.mark.parametrize(
    "change", [{"shape": [3]}, {"data_offsets": [0, 10**30]}, {"shape": [10**30]}, {"dtype": "Q"}, {"shape": None}]
)
def test_a_header_that_lies_is_a_damaged_checkpoint(run, change):
    file = folder_of(run, 10) / "weights.safetensors"
    data = file.read_bytes()
    begins = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:begins])
    header[next(iter(header))].update(change)
    text = json.dumps(header).encode()
    rewrite(file.parent, file.name, struct.pack("<Q", len(text)) + text + data[begins:])
    assert passed_over(resume(run, lambda event, run: run.stop()))


def test_a_file_of_holes_is_a_damaged_checkpoint(run):
    os.truncate(folder_of(run, 10) / "optimizer.safetensors", 2**43)
    [told] = passed_over(resume(run, lambda event, run: run.stop()))
    assert "its tensors are cut short or changed" in told


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.Adagrad])
def test_the_state_of_an_optimiser_finds_its_parameter_in_a_model_of_another_order(kind):
    def make(*order):
        parts = {"one": torch.nn.Linear(2, 3), "two": torch.nn.Linear(3, 2)}
        return torch.nn.ModuleDict({name: parts[name] for name in order})

    def state_of(model, optimizer):
        return optimizer_tensors(optimizer, learning_parameters(model))

    here, there = make("one", "two"), make("two", "one")
    mine, other = kind(here.parameters()), kind(there.parameters())
    for parameter in here.parameters():
        parameter.grad = torch.randn_like(parameter)
    mine.step()
    restore_optimizer(other, learning_parameters(there), state_of(here, mine))
    before, after = state_of(here, mine), state_of(there, other)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


# 5 and 9: links and pipes


@pytest.mark.parametrize(
    ("name", "precious"),
    [
        ("card", "mine.svg"),
        ("training/best", "step-7.safetensors"),
        ("training/checkpoints", "step-3.tmp"),
        ("training/data", "train.npy"),
    ],
)
def test_nothing_outside_of_the_bot_is_touched_through_a_link(run, tmp_path, name, precious):
    outside = tmp_path / "outside"
    if (run / name).exists():
        (run / name).rename(outside)
    outside.mkdir(exist_ok=True)
    (outside / precious).mkdir()
    (run / name).symlink_to(outside)
    before = sorted(path.name for path in outside.iterdir())
    with pytest.raises(TrainingError, match="a link stands where a folder must be"):
        resume(run)
    assert sorted(path.name for path in outside.iterdir()) == before


def test_no_checkpoint_is_written_through_a_link(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "checkpoints").symlink_to(tmp_path / "outside")
    with pytest.raises(DiskError, match="a link stands where a folder must be"):
        Checkpoint({"step": 1}, {}, {}, {}, {}).save(tmp_path / "checkpoints", keep=1)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_record_that_leads_elsewhere_is_refused(run):
    file, settings = run / "training" / "metrics.jsonl", run / "training" / "settings.toml"
    before = settings.read_bytes()
    file.unlink()
    file.symlink_to(settings)
    with pytest.raises(TrainingError, match="a link stands where a file must be"):
        resume(run)
    assert settings.read_bytes() == before


def test_a_record_that_is_a_pipe_is_not_waited_for(tmp_path, caplog):
    (tmp_path / "training").mkdir()
    os.mkfifo(tmp_path / "training" / "metrics.jsonl")
    Plugins().tell(tmp_path, s2sbot.Progress(kind="validation", step=3))
    assert "no regular file" in caplog.text


def test_a_pipe_in_the_place_of_plain_values_is_not_waited_for(run):
    (run / "training" / "asked.json").unlink()
    os.mkfifo(run / "training" / "asked.json")
    assert resume(run)[-1].step == 20
    (run / "training" / "data" / "data.json").unlink()
    os.mkfifo(run / "training" / "data" / "data.json")
    with pytest.raises(CorpusError, match="no regular file"):
        resume(run)


@pytest.mark.parametrize(
    "damage",
    [
        lambda card: card["learnt"].pop("data"),
        lambda card: card["learnt"]["corpora"][0].pop("name"),
        lambda card: card["learnt"].update(corpora=3),
        lambda card: card["asked"].pop("start_weights"),
        lambda card: card["asked"].update(languages=["a", "b", "c"]),
    ],
)
def test_a_card_that_lacks_something_is_damaged(run, damage):
    resume(run)
    card = json.loads((run / "card.json").read_text("utf-8"))
    damage(card)
    (run / "card.json").write_text(json.dumps(card), "utf-8")
    with pytest.raises(BotError, match="is damaged"):
        read_record(run)


# 6 and 10: errors of a disk


@pytest.fixture
def failing(monkeypatch):
    """Return a list of words; where one is in the path of what is deleted, that fails."""
    words, real = [], Path.unlink

    def unlink(self, missing_ok=False):
        if any(word in str(self) for word in words) and not self.name.endswith(".tmp"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
        real(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    return words


@pytest.mark.parametrize("word", ["weights-", "/best/", ".svg"])
def test_a_file_that_cannot_be_deleted_ends_no_run(run, failing, word):
    (run / "card").mkdir(exist_ok=True)
    (run / "card" / "old.svg").touch()
    failing.append(word)
    events = resume(run)
    assert events[-1].step == 20
    assert not events[-1].stopped
    assert read_record(run).run["step"] == 20


def test_where_checkpoints_cannot_be_listed_no_best_weights_are_deleted(run, monkeypatch):
    folder, keeper = run / "training" / "checkpoints", Keeper.__new__(Keeper)
    keeper.bot, real = run, os.scandir
    best = sorted(keeper.folder.iterdir())
    assert len(best) == 2

    def scan(path="."):
        if Path(path) == folder:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scan)
        keeper.prune(kept_states(folder))
    assert sorted(keeper.folder.iterdir()) == best
    keeper.prune(state for state in kept_states(folder) if state["step"] == 5)
    assert [file.name for file in keeper.folder.iterdir()] == ["step-5.safetensors"]


def test_an_error_of_the_disk_costs_no_line_of_the_record(run, monkeypatch):
    real, failed = Path.open, []

    def opened(self, mode="r", *args, **named):
        if self.name == "metrics.jsonl" and mode == "ab" and len(failed) < 2:
            failed.append(self)
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
        return real(self, mode, *args, **named)

    monkeypatch.setattr(Path, "open", opened)
    resume(run)
    assert len(failed) == 2
    lines = [json.loads(line) for line in (run / "training" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "validation"] == [5, 10, 15, 20]
    assert lines[-1]["kind"] == "end"


def test_a_folder_that_cannot_be_synced_is_not(tmp_path, monkeypatch):
    def sync(code):
        def fsync(descriptor):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(files.os, "fsync", fsync)
        files.sync_folder(tmp_path)

    sync(errno.EINVAL)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        sync(errno.EIO)


# 7 and 8: data and the best weights


def test_data_that_have_changed_are_noticed(run):
    flip(run / "training" / "data" / "train.target_ids.npy", -4)
    with pytest.raises(CorpusError, match=r"train\.target_ids\.npy is cut short or changed"):
        resume(run)


@pytest.mark.parametrize("damage", ["flip", "lose", "pipe"])
def test_best_weights_that_have_changed_are_named_and_not_averaged(run, damage):
    def spoil(event, training):
        if event.kind == "checkpoint" and event.step == 15:
            file = sorted((run / "training" / "best").iterdir())[0]
            if damage == "flip":
                flip(file, -1)
                return
            file.unlink()
            if damage == "pipe":
                os.mkfifo(file)

    events = resume(run, spoil)
    [told] = [event.message for event in events if event.kind == "notice"]
    assert "one of them is damaged" in told
    assert events[-1].step == 20


def test_the_best_weights_of_a_run_that_goes_on_are_averaged(run):
    [told] = [event.message for event in resume(run) if event.kind == "notice"]
    assert told.startswith("the mean of the 3 best")
