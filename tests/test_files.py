"""Either the whole new file is on the disk, or the old one still is."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from s2sbot.errors import S2SBotError
from s2sbot.files import (
    make_private_folder,
    read_json,
    refuse_existing,
    sync_folder,
    write_atomically,
    write_json,
)


def fail_with(code):
    def fail(*_args, **_kwargs):
        raise OSError(code, "made up")

    return fail


def half_written(path: Path, code: int) -> None:
    path.write_bytes(b"hal")
    raise OSError(code, "made up")


def test_bytes_and_functions_are_written(tmp_path):
    path = tmp_path / "a"
    write_atomically(path, b"one")
    assert path.read_bytes() == b"one"
    write_atomically(path, lambda temporary: temporary.write_bytes(b"two") and None)
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, code):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(S2SBotError, match=r"no space left on the disk while writing .*a ") as raised:
        write_atomically(path, lambda temporary: half_written(temporary, code))
    assert str(path) in raised.value.message
    assert raised.value.hint
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["write_bytes", "replace", "fsync"])
def test_a_disk_full_at_any_step_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    target = "s2sbot.files.os.fsync" if step == "fsync" else f"pathlib.Path.{step}"
    with monkeypatch.context() as patch, pytest.raises(S2SBotError, match="no space left"):
        patch.setattr(target, fail_with(errno.ENOSPC))
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_place_that_may_not_be_written_is_named(tmp_path, code):
    with pytest.raises(S2SBotError, match=r"cannot write .*a: made up"):
        write_atomically(tmp_path / "a", lambda temporary: half_written(temporary, code))
    assert list(tmp_path.iterdir()) == []


def test_any_other_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(S2SBotError, match="made up"):
        write_atomically(path, lambda temporary: half_written(temporary, errno.EIO))
    with pytest.raises(ZeroDivisionError):
        write_atomically(path, lambda temporary: 1 // 0)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_renamed_is_durable_before_and_after(tmp_path, monkeypatch):
    done = []
    replace = Path.replace
    monkeypatch.setattr("s2sbot.files.os.fsync", lambda _descriptor: done.append("sync"))
    monkeypatch.setattr(Path, "replace", lambda self, path: (done.append("rename"), replace(self, path))[1])
    write_atomically(tmp_path / "a", b"one")
    assert done == ["sync", "rename", "sync"]


def test_json_comes_back(tmp_path):
    value = {"name": "Žluť", "list": [1, 2.5, None, True], "deep": {"a": {}}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "Žluť" in (tmp_path / "a.json").read_text("utf-8")


def test_numbers_that_json_has_not_are_refused_and_nothing_written(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe\xff", b"[" * 100_000, b"9" * 5000, b'"' + b"x" * 999 + b'"'])
def test_damaged_deep_and_large_json_is_a_value_error(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ValueError):
        read_json(tmp_path / "a.json", limit=1000 if data.startswith(b'"') else 10**6)


def test_json_at_its_limit_is_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps("x" * 8))
    assert read_json(tmp_path / "a.json", limit=10) == "x" * 8
    with pytest.raises(ValueError, match="larger than 9 bytes"):
        read_json(tmp_path / "a.json", limit=9)


def test_a_private_folder_is_the_owners_alone(tmp_path):
    folder = make_private_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert make_private_folder(folder) == folder


def test_a_folder_that_is_not_there_cannot_be_synced(tmp_path):
    sync_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "nothing")


@pytest.mark.parametrize("kind", ["file", "link", "link to nothing", "pipe", "device"])
def test_a_file_that_is_there_is_refused_whatever_it_is(tmp_path, kind):
    path = Path("/dev/null") if kind == "device" else tmp_path / "a"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "file":
        path.write_bytes(b"mine")
    elif kind != "device":
        (tmp_path / "b").write_bytes(b"mine")
        path.symlink_to("b" if kind == "link" else "c")
    with pytest.raises(S2SBotError, match="is there already") as raised:
        refuse_existing(path)
    assert ("no regular file" in raised.value.message) == (kind != "file")
    assert raised.value.hint
    refuse_existing(tmp_path / "new")
    refuse_existing(tmp_path / "none" / "new")
