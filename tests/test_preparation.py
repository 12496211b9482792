"""Settings are laid over each other in their order, and a corpus becomes ids with a part held out."""

import dataclasses
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import MODEL, tables, write_pairs, write_subtitles

import s2sbot
from s2sbot import Progress
from s2sbot.errors import CorpusError, PluginError, SettingsError, TokenizerError
from s2sbot.plugins import Plugins
from s2sbot.preparation import Prepared, prepare
from s2sbot.preparation.choosing import sides_of
from s2sbot.run_settings import DEFAULT_BUDGET, RunSettings, kind_of, resolve_settings
from s2sbot.settings import SIZES, DataSettings
from s2sbot.text import Corpus, encode_source, open_corpus
from s2sbot.text.quality import hash_of

NAMES = st.lists(st.text("abcdef0123456789", min_size=1, max_size=6), unique=True, min_size=2, max_size=12)
SHARES = st.floats(0.001, 0.5)


@pytest.fixture(scope="module")
def plugins():
    return Plugins()


def held_out(names, share, test_share=0.0):
    """Return which of some units are held out, and which are kept for testing."""
    hashes = {name: hash_of(name) for name in names}
    found = sides_of(
        np.array(list(hashes.values()), np.uint64),
        min(hashes.values()),
        max(hashes.values()),
        valid_share=share,
        test_share=test_share,
    )
    return tuple({name for name, side in zip(hashes, found.tolist(), strict=True) if side == place} for place in (1, 2))


@given(NAMES, SHARES)
def test_some_units_are_held_out_and_never_none_or_all(names, share):
    assert 0 < len(held_out(names, share)[0]) < len(names)


@given(NAMES, st.text("xyz", min_size=1), SHARES)
def test_one_more_unit_moves_only_those_at_the_ends(names, new, share):
    before, after = held_out(names, share)[0], held_out([*names, new], share)[0] - {new}
    assert len(before - after) <= 1  # the lowest, no longer the lowest
    assert len(after - before) <= 1  # the highest, no longer the highest


@given(NAMES, SHARES, st.floats(0.001, 0.4))
def test_a_test_set_takes_nothing_from_validation(names, share, test_share):
    valid, test = held_out(names, share, test_share)
    assert valid == held_out(names, share)[0]
    assert not valid & test
    assert len(valid | test) < len(names)


def test_the_share_is_about_what_was_asked_for():
    valid, test = held_out([str(number) for number in range(2_000)], 0.1, 0.2)
    assert 150 < len(valid) < 250
    assert 320 < len(test) < 480


def corpus(**settings):
    return Corpus(None, "x", settings=settings)


def translator(**settings):
    return Corpus(None, "x", languages=("en", "fr"), settings=settings)


def resolve(plugins, *corpora, preset=None, size=None, **given):
    return resolve_settings(corpora or (corpus(),), "attention", preset, size, given, plugins)


def test_without_anything_there_is_a_budget(plugins):
    settings = resolve(plugins)
    assert (settings.train.budget, settings.train.epochs, settings.train.steps) == (DEFAULT_BUDGET, None, None)
    assert settings.data == DataSettings()
    assert settings.decode.method == "greedy"


def test_each_layer_lies_over_the_one_below(plugins):
    rate = "learning_rate"
    assert resolve(plugins, corpus(train={rate: 0.25})).train.learning_rate == 0.25
    large = SIZES["large"]["train"][rate]
    assert resolve(plugins, corpus(train={rate: 0.25}), size="large").train.learning_rate == large
    assert resolve(plugins, corpus(train={rate: 0.25}), size="large", train={rate: 0.5}).train.learning_rate == 0.5


def test_a_size_says_what_the_model_makes_of_it(plugins):
    kind = plugins.model("attention")
    for size, values in kind.sizes.items():
        config = dataclasses.asdict(resolve(plugins, size=size).config)
        assert {key: config[key] for key in values} == dict(values)


def test_every_preset_can_be_resolved(plugins):
    for preset, asked in plugins.model("attention").presets.items():
        settings = resolve(plugins, preset=preset)
        for key, value in asked.get("train", {}).items():
            assert getattr(settings.train, key) == value


def test_a_translator_has_other_defaults(plugins):
    settings = resolve(plugins, translator())
    assert (settings.data.max_length, settings.decode.method) == (100, "beam")
    assert resolve(plugins, translator(decode={"method": "greedy"})).decode.method == "greedy"
    assert resolve(plugins, translator(), decode={"method": "sample"}).decode.method == "sample"


@pytest.mark.parametrize("length", [{"epochs": 3}, {"steps": 7}, {"budget": 5.0}])
def test_a_length_that_is_given_replaces_any_other(plugins, length):
    train = resolve(plugins, corpus(train={"epochs": 90}), train=length).train
    assert {name: getattr(train, name) for name in ("budget", "epochs", "steps")} == {
        "budget": None,
        "epochs": None,
        "steps": None,
        **length,
    }


def test_a_length_of_the_corpus_holds_where_none_is_given(plugins):
    train = resolve(plugins, corpus(train={"epochs": 90})).train
    assert (train.epochs, train.budget) == (90, None)


@pytest.mark.parametrize(("one", "other"), [("budget", "epochs"), ("budget", "steps"), ("epochs", "steps")])
def test_two_lengths_contradict_each_other(plugins, one, other):
    with pytest.raises(SettingsError, match=f"{one} and {other} contradict each other"):
        resolve(plugins, train={one: 5, other: 5})


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"size": "lagre"}, "no size 'lagre'", "'large'"),
        ({"preset": "zzzz"}, "has no preset 'zzzz'", ""),
        ({"train": {"sede": 1}}, "unknown key train.sede", "'seed'"),
        ({"model": {"hiden_size": 1}}, "unknown key model.hiden_size", "'hidden_size'"),
        ({"data": {"valid_share": 0.6}}, "data.valid_share cannot be 0.6", "at most 0.5"),
        ({"tarin": {}}, "unknown table 'tarin'", "'train'"),
    ],
)
def test_wrong_settings_are_named(plugins, options, message, hint):
    with pytest.raises(SettingsError, match=re.escape(message)) as raised:
        resolve(plugins, **options)
    assert hint in raised.value.hint


def test_an_unknown_model_is_a_plugin_error(plugins):
    with pytest.raises(PluginError, match="'atention'") as raised:
        resolve_settings([corpus()], "atention", None, None, {}, plugins)
    assert "'attention'" in raised.value.hint


def test_settings_are_printed_and_read_back(plugins, tmp_path):
    settings = resolve(plugins, translator(), size="medium", train={"seed": 7}, data={"vocab_size": 99})
    (tmp_path / "settings.toml").write_text(settings.to_toml())
    assert RunSettings.from_file(tmp_path / "settings.toml", plugins) == settings


def test_corpora_of_a_kind_fit_together():
    assert kind_of([corpus(), corpus()]) == "chat"
    assert kind_of([translator(), translator()]) == "translate"
    assert kind_of([Corpus(None, "x", languages=("en",)), corpus()]) == "chat"
    for other in (corpus(), Corpus(None, "x", languages=("fr", "en"))):
        with pytest.raises(CorpusError, match="do not fit together"):
            kind_of([translator(), other])


def prepared(plugins, *paths, valid=(), workers=None, **data):
    out = Path(tempfile.mkdtemp(dir=Path(paths[0]).parent, prefix=".out"))
    stages = list(
        prepare(
            [open_corpus(path) for path in paths],
            [open_corpus(path) for path in valid],
            DataSettings(**{"tokenizer": "words", "valid_share": 0.2, **data}),
            plugins,
            out=out,
            workers=workers,
        )
    )
    assert all(isinstance(stage, Progress) for stage in stages[:-1])
    assert isinstance(stages[-1], Prepared)
    return stages[-1], [stage.message for stage in stages[:-1]]


def write_film(path):
    cues = [f"00:00:{2 * n:02},000 --> 00:00:{2 * n + 1:02},000\n{path.stem} has a line {n}.\n" for n in range(9)]
    path.write_text("\n".join(cues))


def texts(packed, tokenizers):
    rows = [packed.row(index) for index in range(len(packed))]
    return [(tokenizers[0].decode(source), tokenizers[1].decode(target)) for source, target in rows]


def test_pairs_become_ids_that_say_the_same(plugins, tmp_path):
    made, stages = prepared(plugins, write_pairs(tmp_path / "pairs.tsv"))
    train, valid = texts(made.train, made.tokenizers), texts(made.valid, made.tokenizers)
    assert len(train) + len(valid) == 24
    assert ("Do you like tea? 0", "Yes, with milk.") in train + valid
    assert made.tokenizers[0] is made.tokenizers[1]
    assert any("pairs.tsv: 1 files, 24 exchanges" in stage for stage in stages)
    assert made.facts["kind"] == "chat"
    assert made.facts["exchanges"] == {"train": len(train), "valid": len(valid), "test": 0, "too_long": 0}
    assert made.facts["corpora"][0]["files"] == 1


def test_the_same_corpus_makes_the_same_ids(plugins, tmp_path):
    path = write_pairs(tmp_path / "pairs.tsv")
    (one, _), (two, _) = prepared(plugins, path), prepared(plugins, path)
    assert texts(one.train, one.tokenizers) == texts(two.train, two.tokenizers)
    assert one.samples == two.samples
    assert one.facts == two.facts


def test_subtitles_become_ids_with_their_context(plugins, tmp_path):
    for number in range(3):
        write_film(tmp_path / f"{number}.srt")
    made, _ = prepared(plugins, tmp_path, context_turns=2)
    assert made.facts["corpora"][0]["dialogues"] == 3
    assert any(4 in made.train.row(index)[0] for index in range(len(made.train)))
    bare, _ = prepared(plugins, tmp_path)
    assert not any(4 in bare.train.row(index)[0] for index in range(len(bare.train)))


def test_a_corpus_of_its_own_is_held_out_whole(plugins, tmp_path):
    path = write_pairs(tmp_path / "pairs.tsv")
    (tmp_path / "valid.tsv").write_text("Hello. 0\tGood evening.\n")
    made, _ = prepared(plugins, path, valid=[tmp_path / "valid.tsv"])
    assert (len(made.train), len(made.valid)) == (23, 1)  # what stands in both is not learnt from
    assert [one["validation"] for one in made.facts["corpora"]] == [False, True]
    assert made.samples == ((tuple(encode_source(made.tokenizers[0], "Hello. 0")), "Hello. 0", "Good evening."),)


def test_what_was_not_read_is_told(plugins, tmp_path):
    write_pairs(tmp_path / "pairs.tsv")
    for number in range(7):
        (tmp_path / f"{number}.bin").write_bytes(bytes(range(256)))
    _, stages = prepared(plugins, tmp_path)
    assert any("skipped 7 (0.bin: binary data, not text; " in stage and "and 2 more" in stage for stage in stages)


def test_long_exchanges_are_left_out_and_counted(plugins, tmp_path):
    path = write_pairs(tmp_path / "pairs.tsv")
    with path.open("a") as stream:
        stream.write("word " * 60 + "\tHi.\n" + "Hi.\t" + "word " * 60 + "\n")
    made, _ = prepared(plugins, path)
    assert made.facts["exchanges"]["too_long"] == 2
    assert len(made.train) + len(made.valid) == 24


def test_a_context_gives_way_before_an_exchange_does(plugins, tmp_path):
    for number in range(3):
        write_film(tmp_path / f"{number}.srt")
    bare, _ = prepared(plugins, tmp_path, max_length=8)
    made, _ = prepared(plugins, tmp_path, max_length=8, context_turns=16)
    assert len(made.train) == len(bare.train)
    assert max(len(made.train.row(index)[0]) for index in range(len(made.train))) <= 8


@pytest.mark.parametrize("text", ["one\teins\n", "one\teins\none\tein\n"])
def test_too_little_to_hold_anything_out_is_a_corpus_error(plugins, tmp_path, text):
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(CorpusError, match="too few to learn from") as raised:
        prepared(plugins, tmp_path / "a.tsv")
    assert "--valid" in raised.value.hint


def test_nothing_short_enough_is_a_corpus_error(plugins, tmp_path):
    (tmp_path / "a.tsv").write_text("".join(f"{'word ' * 30}{number}\tHi.\n" for number in range(20)))
    with pytest.raises(CorpusError, match="no exchange has at most 9 tokens a side"):
        prepared(plugins, tmp_path / "a.tsv", max_length=9)


def test_a_vocabulary_that_cannot_be_had_is_a_tokenizer_error(plugins, tmp_path):
    with pytest.raises(TokenizerError, match="larger than the corpus can support"):
        prepared(plugins, write_pairs(tmp_path / "pairs.tsv"), vocab_size=5000)


def test_two_tokenizers_where_none_is_shared(plugins, tmp_path):
    made, _ = prepared(plugins, write_pairs(tmp_path / "pairs.tsv"), share_tokenizer=False)
    assert made.tokenizers[0] is not made.tokenizers[1]
    assert all(len(target.split()) for _, target in texts(made.train, made.tokenizers))
    assert 1 not in made.train.target_ids


def test_what_is_set_wins_over_the_share_that_a_corpus_asks_for(plugins, tmp_path):
    corpus = Corpus(tmp_path, "x", valid_share=0.3)
    assert resolve_settings([corpus], "attention", None, None, {}, plugins).data.valid_share == 0.3
    given = {"data": {"valid_share": 0.1}}
    assert resolve_settings([corpus], "attention", None, None, given, plugins).data.valid_share == 0.1


def test_a_corpus_may_ask_for_knobs_that_another_model_does_not_have(plugins, tmp_path):
    corpus = Corpus(tmp_path, "x", settings={"model": {"hidden_size": 64, "wings": 2}})
    assert resolve_settings([corpus], "attention", None, None, {}, plugins).config.hidden_size == 64
    with pytest.raises(SettingsError, match=r"model\.wings"):
        resolve_settings([corpus], "attention", None, None, {"model": {"wings": 2}}, plugins)


def test_two_vocabularies_never_share_their_embeddings(plugins, tmp_path):
    corpus = Corpus(tmp_path, "x")
    given = {"data": {"share_tokenizer": False}}
    assert not resolve_settings([corpus], "attention", None, None, given, plugins).config.share_embeddings
    assert resolve_settings([corpus], "attention", None, None, {}, plugins).config.share_embeddings


def test_a_length_that_is_taken_away_leaves_the_default(plugins, tmp_path):
    settings = resolve_settings([Corpus(tmp_path, "x")], "attention", None, None, {"train": {"budget": None}}, plugins)
    assert settings.train.budget == DEFAULT_BUDGET


def test_what_is_prepared_is_trained_on_as_it_is(plugins, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(6):
        write_subtitles(folder / f"{number}.srt", scenes=1, first=number)
    (folder / "corpus.toml").write_text('[settings.train]\nselect = "last"\n')
    made, _ = prepared(plugins, folder, max_length=30)
    settings = {"train": tables()["train"], "model": MODEL}
    with s2sbot.training(made.folder, bot=tmp_path / "a.bot", settings=settings) as run:
        events = list(run)
    assert not any("reading" in event.message for event in events)
    kept = RunSettings.from_file(tmp_path / "a.bot" / "training" / "settings.toml", plugins)
    assert (kept.train.select, kept.data.max_length, kept.data.tokenizer) == ("last", 30, "words")
    again = Prepared.load(tmp_path / "a.bot" / "training" / "data", made.tokenizers)
    assert texts(again.train, again.tokenizers) == texts(made.train, made.tokenizers)
    assert s2sbot.load(tmp_path / "a.bot").reply("Hello.")
    for data in ({"max_length": 20}, {"without": "songs"}, {"tokenizer": "bytes"}):
        with (
            pytest.raises(SettingsError, match=f"another data.{next(iter(data))}"),
            s2sbot.training(made.folder, bot=tmp_path / "b.bot", settings={**settings, "data": data}),
        ):
            pass
    with (
        pytest.raises(SettingsError, match="give it alone"),
        s2sbot.training(made.folder, folder, bot=tmp_path / "b.bot", settings=settings),
    ):
        pass
