"""Knobs are checked, laid over each other, and printed so that they can be read back."""

import dataclasses
import math
import tomllib
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2sbot.errors import SettingsError
from s2sbot.settings import (
    SIZES,
    DataSettings,
    DecodeSettings,
    TrainSettings,
    build,
    home,
    knob,
    nearest,
    parse_duration,
)
from s2sbot.tables import TABLE_NAMES, merge_tables, parse_assignment, read_tables, tables_to_toml


@dataclasses.dataclass(frozen=True, kw_only=True)
class Knobs:
    whole: int = knob(1, "", minimum=0, maximum=9)
    number: float = knob(1.0, "", above=0.0)
    flag: bool = knob(False, "")
    word: str = knob("a", "", choices=("a", "beam"))
    maybe: int | None = knob(None, "", minimum=2)
    pair: tuple[int, int] = knob((1, 2), "", minimum=1)
    side: Literal["left", "right"] = "left"


@pytest.mark.parametrize(
    ("key", "given", "built"),
    [
        ("whole", 0, 0),
        ("whole", 9, 9),
        ("number", 3, 3.0),
        ("number", 1e-9, 1e-9),
        ("flag", True, True),
        ("word", "beam", "beam"),
        ("maybe", None, None),
        ("maybe", 2, 2),
        ("pair", [3, 4], (3, 4)),
        ("side", "right", "right"),
    ],
)
def test_a_value_is_taken_as_its_type(key, given, built):
    value = getattr(build(Knobs, {key: given}, "model"), key)
    assert value == built
    assert type(value) is type(built)


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("whole", -1, "at least 0"),
        ("whole", 10, "at most 9"),
        ("whole", 1.0, "a whole number"),
        ("whole", True, "a whole number"),
        ("whole", "1", "a whole number"),
        ("whole", None, "a whole number"),
        ("number", 0.0, "above 0"),
        ("number", math.nan, ""),
        ("number", math.inf, "a number"),
        ("number", -math.inf, "a number"),
        ("number", 10**400, "a number"),
        ("number", True, "a number"),
        ("flag", 1, "true or false"),
        ("word", "baem", "did you mean 'beam'?"),
        ("word", 1, "a word"),
        ("maybe", 1, "at least 2"),
        ("maybe", "x", "a whole number"),
        ("pair", [1], "a list of 2"),
        ("pair", [1, 0], "at least 1"),
        ("pair", 5, "a list of 2"),
        ("side", "up", "'left' or 'right'"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_what_can(key, value, hint):
    with pytest.raises(SettingsError, match=rf"^model\.{key} cannot be ") as raised:
        build(Knobs, {key: value}, "model")
    assert hint in raised.value.hint


def test_limits_are_printed_in_full():
    with pytest.raises(SettingsError) as raised:
        build(TrainSettings, {"seed": 2**31}, "train")
    assert raised.value.hint == "it must be at most 2147483647"


def test_an_unknown_key_is_named_with_the_nearest():
    with pytest.raises(SettingsError, match=r"unknown key train\.learnin_rate") as raised:
        build(TrainSettings, {"learnin_rate": 1.0}, "train")
    assert raised.value.hint == "did you mean 'learning_rate'?"
    with pytest.raises(SettingsError) as raised:
        build(Knobs, {"zzzz": 1}, "model")
    assert raised.value.hint.startswith("known: flag, maybe")


@pytest.mark.parametrize("kind", [DataSettings, TrainSettings, DecodeSettings])
def test_defaults_are_within_their_own_limits(kind):
    assert build(kind, dataclasses.asdict(kind()), "table") == kind()


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_valid_settings(size):
    tables = merge_tables(SIZES[size])
    build(DataSettings, tables["data"], "data")
    build(TrainSettings, tables["train"], "train")
    assert not tables["decode"]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.lists(st.integers(), max_size=3),
)


@given(st.dictionaries(st.sampled_from([field.name for field in dataclasses.fields(Knobs)]), VALUES))
def test_anything_is_built_or_a_settings_error(values):
    try:
        built = build(Knobs, values, "model")
    except SettingsError as error:
        assert error.message.startswith("model.")
        return
    assert build(Knobs, dataclasses.asdict(built), "model") == built
    for key, value in values.items():
        coerced = getattr(built, key)
        assert coerced == (tuple(value) if isinstance(value, list) else value)


TABLES = st.dictionaries(
    st.sampled_from(TABLE_NAMES), st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(), max_size=3)
)


@given(TABLES, TABLES, TABLES)
def test_the_last_layer_wins_and_merging_is_associative(low, middle, high):
    merged = merge_tables(low, middle, high)
    assert merged == merge_tables(merge_tables(low, middle), high) == merge_tables(low, merge_tables(middle, high))
    assert set(merged) == set(TABLE_NAMES)
    for name, values in merged.items():
        expected = {**low.get(name, {}), **middle.get(name, {}), **high.get(name, {})}
        assert values == expected


def test_merging_changes_no_layer():
    low = {"train": {"a": 1}}
    merged = merge_tables(low, {"train": {"a": 2}})
    merged["train"]["a"] = 3
    assert low == {"train": {"a": 1}}


def test_unknown_tables_and_tables_that_are_none_are_errors():
    with pytest.raises(SettingsError, match="unknown table 'tarin'") as raised:
        merge_tables({"tarin": {}})
    assert raised.value.hint == "did you mean 'train'?"
    with pytest.raises(SettingsError, match="'train' must be a table"):
        merge_tables({"train": 3})


def test_nearest():
    assert nearest("sentencpiece", ["words", "sentencepiece"]) == "did you mean 'sentencepiece'?"
    assert nearest("zzz", ["b", "a"]) == "known: a, b"
    assert nearest("zzz", []) == ""


@pytest.mark.parametrize(
    ("text", "assigned"),
    [
        ("model.hidden_size=512", ("model", "hidden_size", 512)),
        (" train.learning_rate = 1e-3 ", ("train", "learning_rate", 1e-3)),
        ("data.share_tokenizer=false", ("data", "share_tokenizer", False)),
        ("data.tokenizer=words", ("data", "tokenizer", "words")),
        ('data.tokenizer="words"', ("data", "tokenizer", "words")),
        ("decode.seed=none", ("decode", "seed", None)),
        ("train.budget=15m", ("train", "budget", "15m")),
        ("train.budget=90", ("train", "budget", 90)),
        ("model.sizes=[1, 2]", ("model", "sizes", [1, 2])),
        ("model.word=a=b", ("model", "word", "a=b")),
        ("model.word=", ("model", "word", "")),
        ("model.deep=" + "[" * 3000, ("model", "deep", "[" * 3000)),
        ("model.long=" + "9" * 5000, ("model", "long", "9" * 5000)),
    ],
)
def test_assignments(text, assigned):
    assert parse_assignment(text) == assigned


@pytest.mark.parametrize("text", ["", "model", "model=3", "hidden_size=3", ".x=3", "model.=3", "tarin.seed=3"])
def test_what_is_no_assignment_is_a_settings_error(text):
    with pytest.raises(SettingsError) as raised:
        parse_assignment(text)
    assert raised.value.hint


@given(st.text())
def test_any_text_is_an_assignment_or_a_settings_error(text):
    for tried in (text, f"model.{text}", f"train.budget={text}"):
        try:
            table, key, _ = parse_assignment(tried)
        except SettingsError:
            continue
        assert table in TABLE_NAMES
        assert key


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1h 30m 5s", 5405),
        ("1.5h", 5400),
        ("1D", 86400),
        ("0.5", 0.5),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5m", "5x", "m", "1h30", "1.5.2s", "1e3", "inf", "nan", "9" * 400])
def test_what_is_no_duration_is_a_settings_error(text):
    with pytest.raises(SettingsError, match="cannot read the time"):
        parse_duration(text)


@given(st.integers(0, 50), st.integers(0, 59), st.integers(0, 59))
def test_durations_add_up(hours, minutes, seconds):
    total = 3600 * hours + 60 * minutes + seconds
    if total:
        assert parse_duration(f"{hours}h{minutes}m{seconds}s") == total


PLAIN = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
KEYS = st.text("abcdefghij_0123456789-", min_size=1)


@given(
    st.dictionaries(KEYS, st.dictionaries(KEYS, st.one_of(st.none(), PLAIN, st.lists(PLAIN), st.tuples(PLAIN, PLAIN))))
)
def test_printed_tables_are_read_back(tables):
    read = tomllib.loads(tables_to_toml(tables))
    assert read == {
        name: {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in values.items()
            if value is not None
        }
        for name, values in tables.items()
    }
    assert all(
        type(read[name][key]) is (list if isinstance(value, tuple) else type(value))
        for name, values in tables.items()
        for key, value in values.items()
        if value is not None
    )


def test_tables_of_a_file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('[train]\nbudget = "1h30m"\nseed = 3\n[data]\ntokenizer = "words"\n', encoding="utf-8-sig")
    assert read_tables(path) == {
        "data": {"tokenizer": "words"},
        "model": {},
        "train": {"budget": "1h30m", "seed": 3},
        "decode": {},
    }
    assert build(TrainSettings, {"budget": "1h30m", "checkpoint_every": "5m"}, "train").budget == 5400.0
    with pytest.raises(SettingsError, match="cannot read the time 'soon'"):
        build(TrainSettings, {"budget": "soon"}, "train")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[train]\nseed = \n", "line 2"),
        (b"[train\n", "run.toml"),
        (b"\xff\xfe", "run.toml"),
        (b"x = " + b"[" * 3000, "recursion"),
        (b"x = " + b"9" * 5000, "Exceeds the limit"),
        (b"[tarin]\n", "unknown table 'tarin'"),
        (b"train = 3\n", "'train' must be a table"),
    ],
)
def test_a_damaged_file_is_a_settings_error(tmp_path, data, message):
    path = tmp_path / "run.toml"
    path.write_bytes(data)
    with pytest.raises(SettingsError, match=message):
        read_tables(path)


def test_a_missing_file_is_a_settings_error(tmp_path):
    with pytest.raises(SettingsError, match=r"cannot read .*run\.toml"):
        read_tables(tmp_path / "run.toml")


def test_one_variable_moves_all_state(tmp_path, monkeypatch):
    monkeypatch.setenv("S2SBOT_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.setenv("S2SBOT_HOME", "")
    assert home().name == "s2sbot"
