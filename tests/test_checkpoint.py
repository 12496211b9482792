"""A checkpoint is whole or not there; a damaged one is named and passed over."""

import itertools
import json
import os
import random
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load as load_tensors

from s2sbot import errors, files
from s2sbot.trainer import checkpoint as module
from s2sbot.trainer.checkpoint import Checkpoint, checkpoint_bytes, kept_states, latest_checkpoint, tensor_file


def checkpoint(step, run="mine", **state):
    return Checkpoint(
        {"step": step, "note": "ü", "run": run, **state},
        {"weight": torch.full((3,), float(step))},
        {"0.exp_avg": torch.randn(2)},
        {"00000": torch.randn(4)},
        {"000": torch.randn(2, 3)},
    )


def test_what_is_saved_comes_back_to_the_bit(tmp_path):
    saved = checkpoint(7)
    again = Checkpoint.load(saved.save(tmp_path, keep=2))
    assert again.state == saved.state
    for part in ("weights", "optimizer", "average", "minds"):
        for name, tensor in getattr(saved, part).items():
            assert torch.equal(getattr(again, part)[name], tensor)


def test_only_the_newest_are_kept(tmp_path):
    for step in (5, 10, 100):
        checkpoint(step).save(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-10", "step-100"]


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "optimizer.safetensors", "average.safetensors", "minds.safetensors", "state.json"]
)
@pytest.mark.parametrize("damage", ["cut", "flip", "missing"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, name, damage):
    checkpoint(1).save(tmp_path, keep=2)
    newest = checkpoint(2).save(tmp_path, keep=2)
    data = bytearray((newest / name).read_bytes())
    if damage == "cut":
        (newest / name).write_bytes(data[:-1])
    elif damage == "flip":
        data[len(data) // 2] ^= 1
        (newest / name).write_bytes(data)
    else:
        (newest / name).unlink()
    damaged = []
    found = latest_checkpoint(tmp_path, lambda path, cause: damaged.append((path.name, cause)))
    assert found is not None
    assert found.state["step"] == 1
    assert [path for path, _ in damaged] == ["step-2"]
    assert damaged[0][1]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"weights.safetensors": 3}'])
def test_a_damaged_manifest_is_a_damaged_checkpoint(tmp_path, text):
    folder = checkpoint(1).save(tmp_path, keep=1)
    (folder / "manifest.json").write_text(text)
    damaged = []
    assert latest_checkpoint(tmp_path, lambda path, cause: damaged.append(path)) is None
    assert damaged == [folder]


def test_an_unfinished_checkpoint_does_not_count(tmp_path):
    checkpoint(1).save(tmp_path, keep=2)
    (tmp_path / "step-2.tmp").mkdir()
    found = latest_checkpoint(tmp_path, lambda path, cause: pytest.fail(f"{path}: {cause}"))
    assert found is not None
    assert found.state["step"] == 1
    assert latest_checkpoint(tmp_path / "nowhere", lambda path, cause: None) is None


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    import errno

    from s2sbot import S2SBotError, files

    checkpoint(1).save(tmp_path, keep=1)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(S2SBotError, match="no space left"):
        checkpoint(2).save(tmp_path, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert Checkpoint.load(tmp_path / "step-1").state["step"] == 1


def test_a_checkpoint_of_the_same_step_takes_the_place_of_the_one_before(tmp_path):
    checkpoint(3).save(tmp_path, keep=1)
    second = checkpoint(3)
    second.save(tmp_path, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-3"]
    assert torch.equal(Checkpoint.load(tmp_path / "step-3").optimizer["0.exp_avg"], second.optimizer["0.exp_avg"])


def test_a_crash_between_two_checkpoints_of_a_step_leaves_one(tmp_path):
    checkpoint(3).save(tmp_path, keep=1).rename(tmp_path / "step-3.old")
    found = latest_checkpoint(tmp_path, lambda path, cause: pytest.fail(f"{path}: {cause}"))
    assert found is not None
    assert found.state["step"] == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool])
def test_the_library_reads_the_tensors_as_they_were(dtype):
    first = torch.randn(3, 5).to(dtype)
    tensors = {
        "b": first,
        "a": torch.ones(1, dtype=torch.uint8),
        "none": first[:0],
        "turned": first.t(),
        "one": first[0, 0],
    }
    again = load_tensors(b"".join(map(bytes, tensor_file(tensors))))
    assert again.keys() == tensors.keys()
    assert all(
        torch.equal(again[name], tensor) and again[name].dtype == tensor.dtype for name, tensor in tensors.items()
    )


def test_tensors_of_any_kind_come_back(tmp_path):
    tensors = {"half": torch.randn(3).half(), "wide": torch.randn(2, 2).double(), "odd": torch.arange(3).to(torch.int8)}
    saved = Checkpoint({"step": 1}, tensors, {"none": torch.empty(0, 3)}, {}, {})
    again = Checkpoint.load(saved.save(tmp_path, keep=1))
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in tensors.items())
    assert again.optimizer["none"].shape == (0, 3)
    assert again.average == again.minds == {}


def test_the_last_anchor_is_kept_besides_the_newest(tmp_path):
    for step in range(1, 7):
        checkpoint(step, anchor=step in (1, 3)).save(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-3", "step-5", "step-6"]
    found = latest_checkpoint(tmp_path, lambda path, cause: pytest.fail(cause), anchor=True)
    assert found.state["step"] == 3


def test_an_anchor_whose_words_were_changed_is_none(tmp_path):
    checkpoint(1, anchor=True).save(tmp_path, keep=9)
    state = checkpoint(2, anchor=False).save(tmp_path, keep=9) / "state.json"
    state.write_text(state.read_text().replace('"anchor": false', '"anchor": true'))
    assert latest_checkpoint(tmp_path, lambda path, cause: None, anchor=True).state["step"] == 1
    assert [state["step"] for state in kept_states(tmp_path)] == [1]


def test_what_is_strange_in_the_folder_is_let_be(tmp_path):
    checkpoint(1).save(tmp_path, keep=1)
    for name in ("step-²", "step-01", "step--1", "step-99999999999999999999", "step-x"):
        (tmp_path / name).mkdir()
    assert latest_checkpoint(tmp_path, lambda path, cause: pytest.fail(cause)).state["step"] == 1


def test_what_will_not_fit_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    checkpoint(1).save(tmp_path, keep=1)
    usage = type("Usage", (), {"free": 1000})
    with monkeypatch.context() as patch, pytest.raises(errors.DiskError, match=r"1\.0 MiB are needed, 0\.0 are free"):
        patch.setattr(files.shutil, "disk_usage", lambda path: usage)
        checkpoint(2).save(tmp_path, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert checkpoint_bytes(tmp_path) == sum(file.stat().st_size for file in (tmp_path / "step-1").iterdir())


def test_all_is_synced_before_the_folder_has_its_name(tmp_path, monkeypatch):
    done, replace, sync = [], os.replace, os.fsync

    def synced(descriptor):
        done.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(files.os, "fsync", synced)
    monkeypatch.setattr(module.Path, "replace", lambda self, to: (done.append("renamed"), replace(self, to)))
    checkpoint(2).save(tmp_path / "checkpoints", keep=1)
    parts = [f"{name}.safetensors" for name in ("weights", "optimizer", "average", "minds")]
    before = [*parts, "state.json", "manifest.json", "step-2.tmp"]
    assert done == [*before, "renamed", "checkpoints", tmp_path.name]


FILES = ("weights.safetensors", "optimizer.safetensors", "average.safetensors", "minds.safetensors", "state.json")
ALL = (*FILES, "manifest.json")


def flip(draw, folder, older):
    path = folder / draw.choice(ALL)
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def cut(draw, folder, older):
    path = folder / draw.choice(ALL)
    path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)])


def lengthen(draw, folder, older):
    with (folder / draw.choice(ALL)).open("ab") as stream:
        stream.write(draw.choice([b"\0", b"\n", b" ", b"{}"]))


def lose(draw, folder, older):
    (folder / draw.choice(ALL)).unlink()


def zero(draw, folder, older):
    """As a file system does that has lost the content of a file, or a part of it, but not its length."""
    path = folder / draw.choice(ALL)
    size = path.stat().st_size
    begin = draw.randrange(size)
    path.write_bytes(path.read_bytes()[:begin] + bytes(size - begin))


def swap(draw, folder, older):
    one, other = draw.sample(ALL, 2)
    held = (folder / one).read_bytes()
    (folder / one).write_bytes((folder / other).read_bytes())
    (folder / other).write_bytes(held)


def take_from_older(draw, folder, older):
    """Some of the files, but not all of them, are those of the checkpoint before."""
    for name in draw.sample(ALL, draw.randrange(1, len(ALL))):
        shutil.copy(older / name, folder / name)


def be_older(draw, folder, older):
    shutil.rmtree(folder)
    shutil.copytree(older, folder)


def be_of_another_run(draw, folder, older):
    shutil.rmtree(folder)
    checkpoint(2, run="another").save(folder.parent, keep=9)


def add(draw, folder, older):
    (folder / draw.choice(["more.safetensors", ".hidden", "state.json.bak"])).write_bytes(b"{}")


def stand_in(draw, folder, older):
    """A folder, a link to the very same bytes, a pipe, or nothing that may be read stands in a file's place."""
    path = folder / draw.choice(ALL)
    kind = draw.choice(["folder", "link", "pipe"])
    if kind == "link":
        path.rename(folder.parent / "moved")
        path.symlink_to(folder.parent / "moved")
        return
    path.unlink()
    path.mkdir() if kind == "folder" else os.mkfifo(path)


def be_no_folder(draw, folder, older):
    moved = folder.parent / "aside"
    folder.rename(moved)
    if draw.random() < 0.5:
        folder.symlink_to(moved)
    else:
        folder.write_bytes(b"")


def lie(draw, folder, older):
    """The manifest is changed and still is JSON: a line less, one more, other hashes, another type."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    name = draw.choice(FILES)
    kind = draw.randrange(5)
    if kind == 0:
        del manifest[name]
    elif kind == 1:
        manifest["../../secret"] = manifest[name]
    elif kind == 2:
        manifest[name] = "0" * 64
    elif kind == 3:
        manifest[name] = draw.choice([None, 3, [], {"a": {}}])
    else:
        manifest = draw.choice([[], None, "x", {}])
    path.write_text(json.dumps(manifest, indent=2) + "\n")


def lose_with_its_line(draw, folder, older):
    name = draw.choice(FILES)
    (folder / name).unlink()
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest[name]
    path.write_bytes(module._json(manifest))


DAMAGES = (
    flip, cut, lengthen, lose, zero, swap, take_from_older, be_older, be_of_another_run, add, stand_in, be_no_folder,
    lie, lose_with_its_line,
)  # fmt: skip


def seen(folder, count, seed):
    """Damage the newer of two checkpoints in so many ways; return how often each was seen, and what was not."""
    draw, counts, missed = random.Random(seed), Counter(), []
    source = folder / "source"
    checkpoint(1).save(source, keep=9)
    checkpoint(2).save(source, keep=9)
    before = {file.name: file.read_bytes() for file in (source / "step-2").iterdir()}
    for number in itertools.count():
        if sum(counts.values()) == count:
            return counts, missed
        work = folder / "work"
        shutil.copytree(source, work)
        how = DAMAGES[number % len(DAMAGES)]
        how(draw, work / "step-2", work / "step-1")
        whole = work / "step-2"
        same = whole.is_dir() and not whole.is_symlink() and how not in (stand_in, add)
        if same and {file.name: file.read_bytes() for file in whole.iterdir()} == before:
            shutil.rmtree(work)
            continue  # zeros where zeros were
        counts[how.__name__] += 1
        damaged = []
        found = latest_checkpoint(work, lambda *told, into=damaged: into.append(told), run="mine")
        if (
            [path.name for path, _ in damaged] != ["step-2"]
            or not damaged[0][1]
            or found is None
            or found.state["step"] != 1
        ):
            missed.append(how.__name__)
        shutil.rmtree(work)
    return counts, missed


def test_200_damaged_checkpoints_are_seen(tmp_path):
    counts, missed = seen(tmp_path, 200, seed=1)
    assert sum(counts.values()) == 200
    assert not missed


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_10000_damaged_checkpoints_are_seen(tmp_path, capsys):
    counts, missed = seen(tmp_path, 10_000, seed=2)
    with capsys.disabled():
        sys.stdout.write(f"\n{sum(counts.values()):,} damaged checkpoints, {len(missed)} not seen: {dict(counts)}\n")
    assert not missed


def test_an_undamaged_one_is_used(tmp_path):
    checkpoint(1).save(tmp_path, keep=9)
    checkpoint(2).save(tmp_path, keep=9)
    assert latest_checkpoint(tmp_path, lambda path, cause: pytest.fail(cause), run="mine").state["step"] == 2
