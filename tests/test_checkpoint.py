"""A checkpoint is whole or not there; a damaged one is named and passed over."""

import pytest
import torch

from s2sbot.checkpoint import Checkpoint, latest_checkpoint


def checkpoint(step):
    return Checkpoint(
        {"step": step, "note": "ü"},
        {"weight": torch.full((3,), float(step))},
        {"0.exp_avg": torch.randn(2)},
        {"cpu": torch.get_rng_state()},
        {"000": torch.randn(2, 3)},
    )


def test_what_is_saved_comes_back_to_the_bit(tmp_path):
    saved = checkpoint(7)
    again = Checkpoint.load(saved.save(tmp_path, keep=2))
    assert again.state == saved.state
    for part in ("weights", "optimizer", "random"):
        for name, tensor in getattr(saved, part).items():
            assert torch.equal(getattr(again, part)[name], tensor)


def test_only_the_newest_are_kept(tmp_path):
    for step in (5, 10, 100):
        checkpoint(step).save(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-10", "step-100"]


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "optimizer.safetensors", "random.safetensors", "minds.safetensors", "state.json"]
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
