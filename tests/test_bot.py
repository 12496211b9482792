"""What a bot folder says is checked before torch opens anything of it."""

import dataclasses
import json
import subprocess
import sys

import pytest
import torch

import s2sbot
from s2sbot import BotError, NewerFormatError
from s2sbot.bot import FORMAT, read_description, save_weights, write_description


@pytest.fixture
def folder(small_bot, tmp_path):
    import shutil

    return shutil.copytree(small_bot, tmp_path / "copy.bot")


def change(folder, **values):
    data = json.loads((folder / "bot.json").read_text("utf-8"))
    (folder / "bot.json").write_text(json.dumps({**data, **values}), "utf-8")


def test_what_is_written_comes_back(folder):
    description = read_description(folder)
    write_description(folder, description)
    assert read_description(folder) == description
    assert description.format == FORMAT
    assert description.versions["s2sbot"] == s2sbot.__version__
    assert description.corpora[0]["exchanges"] == 24


def test_a_folder_that_is_no_bot(tmp_path):
    with pytest.raises(BotError, match="no bot") as caught:
        read_description(tmp_path)
    assert "s2sbot train" in caught.value.hint
    with pytest.raises(BotError, match="no bot"):
        s2sbot.load(tmp_path / "nowhere")


def test_a_newer_format_is_refused_by_its_own_exit_code(folder):
    change(folder, format=FORMAT + 1)
    with pytest.raises(NewerFormatError, match="upgrade") as caught:
        read_description(folder)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "values",
    [
        {"format": "1"},
        {"kind": "oracle"},
        {"weights": "../../etc/passwd"},
        {"weights": "weights-0123456789abcdef.pt"},
        {"model": "../evil"},
        {"tokenizer": ""},
        {"source_vocab": -1},
        {"source_vocab": 10**12},
        {"languages": "en"},
        {"decode": {"method": "guess"}},
        {"decode": {"beam": 3}},
        {"extra": 1},
        {"uuid": None},
    ],
)
def test_a_description_with_a_wrong_value_is_damaged(folder, values):
    change(folder, **values)
    with pytest.raises(BotError, match="damaged") as caught:
        read_description(folder)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '"' + "a" * 5_000_000 + '"', "\ufeff{}"])
def test_a_description_that_is_no_json_object_is_damaged(folder, text):
    (folder / "bot.json").write_text(text, "utf-8")
    with pytest.raises(BotError, match="damaged"):
        read_description(folder)


@pytest.mark.parametrize("data", [b"", b"short", b"\xff" * 64, b"PK\x03\x04" + b"\0" * 60, b"\x80\x04\x95" + b"." * 60])
def test_weights_that_are_no_safetensors_are_refused_before_torch(folder, data):
    (folder / read_description(folder).weights).write_bytes(data)
    program = f"""
import sys
from pathlib import Path
from s2sbot.bot import read_description
from s2sbot import BotError
try:
    read_description(Path({str(folder)!r}))
except BotError:
    sys.exit(7 if "torch" not in sys.modules else 8)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 7


def test_weights_cut_short_are_refused(folder):
    path = folder / read_description(folder).weights
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BotError):
        s2sbot.load(folder)


def test_missing_weights_are_named(folder):
    path = folder / read_description(folder).weights
    path.unlink()
    with pytest.raises(BotError, match=path.name):
        s2sbot.load(folder)


def test_weights_of_another_shape_are_refused(folder):
    change(folder, config={**read_description(folder).config, "hidden_size": 64})
    with pytest.raises(BotError, match="do not fit"):
        s2sbot.load(folder)


def test_a_tokenizer_of_another_size_is_refused(folder):
    words = json.loads((folder / "tokenizer" / "words.json").read_text("utf-8"))
    (folder / "tokenizer" / "words.json").write_text(json.dumps(words[:-1]), "utf-8")
    with pytest.raises(s2sbot.TokenizerError, match="ids"):
        s2sbot.load(folder)


def test_a_model_that_is_not_installed_is_named(folder):
    change(folder, model="telepathy")
    with pytest.raises(s2sbot.PluginError, match="telepathy"):
        s2sbot.load(folder)


def test_the_name_of_the_weights_is_that_of_their_content(tmp_path):
    one, two = {"a": torch.zeros(3)}, {"a": torch.ones(3)}
    assert save_weights(tmp_path, one) == save_weights(tmp_path, one) != save_weights(tmp_path, two)


def test_every_field_of_the_description_is_written(folder):
    data = json.loads((folder / "bot.json").read_text("utf-8"))
    assert set(data) == {field.name for field in dataclasses.fields(read_description(folder))}
