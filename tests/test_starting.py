"""A run that begins from a bot, and corpora that count more or less than others."""

import pytest
import torch
from safetensors.torch import load_file
from small import MODEL, tables, write_pairs

import s2sbot
from s2sbot import SettingsError
from s2sbot.bot import read_description
from s2sbot.trainer.checkpoint import Checkpoint
from s2sbot.trainer.order import shares_of


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    with s2sbot.training(write_pairs(folder / "pairs.tsv"), bot=folder / "first.bot", settings=tables()) as run:
        list(run)
    return folder / "first.bot"


def other_pairs(path):
    rows = [f"Is it late, number {number}?\tYes, milk and tea." for number in range(12)]
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


class TestFrom:
    def test_weights_and_tokenizer_are_the_bots(self, first, tmp_path):
        bot = tmp_path / "second.bot"
        knobs = {"train": tables(steps=3, keep_checkpoints=9)["train"], "data": {"valid_share": 0.2}}
        with s2sbot.training(other_pairs(tmp_path / "other.tsv"), bot=bot, settings=knobs, start=first) as run:
            events = list(run)
        begun = Checkpoint.load(bot / "training" / "checkpoints" / "step-0")
        kept = load_file(first / read_description(first).weights)
        assert begun.weights.keys() == kept.keys()
        assert all(torch.equal(begun.weights[name], kept[name]) for name in kept)
        assert not begun.optimizer  # a fresh one
        for file in (first / "tokenizer").iterdir():
            assert (bot / "tokenizer" / file.name).read_bytes() == file.read_bytes()
        description = read_description(bot)
        assert description.config == read_description(first).config
        assert description.config["hidden_size"] == MODEL["hidden_size"]
        assert description.uuid != read_description(first).uuid
        assert events[-1].step == 3

    def test_it_is_resumed_as_any_run(self, first, tmp_path):
        knobs = {"train": tables(steps=6)["train"], "data": {"valid_share": 0.2}}
        corpus = other_pairs(tmp_path / "other.tsv")
        for name, halt in (("straight.bot", None), ("halted.bot", 3)):
            with s2sbot.training(corpus, bot=tmp_path / name, settings=knobs, start=first) as run:
                for event in run:
                    if halt and event.kind == "validation" and event.step == halt:
                        break
        with s2sbot.training(bot=tmp_path / "halted.bot", resume=True) as run:
            list(run)
        assert read_description(tmp_path / "straight.bot").weights == read_description(tmp_path / "halted.bot").weights

    def test_a_prepared_corpus_must_have_the_bots_tokenizer(self, first, tmp_path):
        from s2sbot.plugins import Plugins
        from s2sbot.preparation import prepare
        from s2sbot.settings import DataSettings
        from s2sbot.text.corpus import open_corpus

        settings = DataSettings(tokenizer="words", valid_share=0.2)
        corpus = open_corpus(other_pairs(tmp_path / "other.tsv"))
        list(prepare([corpus], [], settings, Plugins(), out=tmp_path / "prepared"))
        run = s2sbot.training(tmp_path / "prepared", bot=tmp_path / "b.bot", start=first)
        with pytest.raises(SettingsError, match="another tokenizer"), run:
            pass
        assert not (tmp_path / "b.bot").exists()

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("--model", {"model": "simple"}),
            ("--size", {"size": "large"}),
            ("--tokenizer", {"settings": {"data": {"tokenizer": "bytes"}}}),
            ("--vocab-size", {"settings": {"data": {"vocab_size": 100}}}),
        ],
    )
    def test_what_the_bot_has_settled_cannot_be_asked_for(self, first, tmp_path, name, options):
        run = s2sbot.training(other_pairs(tmp_path / "o.tsv"), bot=tmp_path / "b.bot", start=first, **options)
        with pytest.raises(SettingsError, match=name), run:
            pass

    def test_another_shape_is_refused(self, first, tmp_path):
        knobs = {"model": {"hidden_size": 40}}
        run = s2sbot.training(other_pairs(tmp_path / "o.tsv"), bot=tmp_path / "b.bot", start=first, settings=knobs)
        with pytest.raises(s2sbot.S2SBotError, match="hidden_size"), run:
            list(run)
        assert not (tmp_path / "b.bot").exists()


class TestWeights:
    @pytest.fixture
    def corpora(self, tmp_path):
        # not in the order of their names, which is that of the rows
        return write_pairs(tmp_path / "zebra.tsv"), other_pairs(tmp_path / "ape.tsv")

    def rows(self, corpora, bot, weights, **options):
        """Return how often a pass has rows of the first and of the second corpus, in each of the first passes."""
        with s2sbot.training(*corpora, bot=bot, settings=tables(steps=1), weights=weights, **options) as run:
            list(run)
            order, facts = run._loop.order, run._loop.prepared.facts
            ape = next(corpus["rows"]["train"] for corpus in facts["corpora"] if corpus["name"] == "ape.tsv")
            found = []
            for order.epoch in range(20):
                rows = [int(row) for update in order.updates for turn in update.turns for row in turn]
                found.append((sum(row >= ape for row in rows), sum(row < ape for row in rows)))
            zebra = len(order.packed) - ape
        return found, zebra, ape

    @pytest.mark.parametrize("model", ["attention", "stateful-broadcast"])
    def test_a_pass_goes_through_a_corpus_as_often_as_asked(self, corpora, tmp_path, model):
        found, zebra, ape = self.rows(corpora, tmp_path / "a.bot", (2, 0.5), model=model)
        assert all(first == 2 * zebra for first, _ in found)
        mean = sum(second for _, second in found) / len(found)
        assert 0.3 * ape < mean < 0.7 * ape
        assert len({second for _, second in found}) > 1

    def test_without_weights_each_row_comes_once(self, corpora, tmp_path):
        found, zebra, ape = self.rows(corpora, tmp_path / "a.bot", ())
        assert set(found) == {(zebra, ape)}

    def test_they_stand_in_the_settings_in_the_order_of_names(self, corpora, tmp_path):
        with s2sbot.training(*corpora, bot=tmp_path / "a.bot", settings=tables(steps=1), weights=(2, 0.5)) as run:
            assert run.settings.train.corpus_weights == "0.5,2"
            list(run)
        run = s2sbot.training(bot=tmp_path / "a.bot", resume=True, weights=(1, 1))
        with pytest.raises(SettingsError, match="--weight"), run:
            pass

    def test_a_weight_too_few(self, corpora, tmp_path):
        run = s2sbot.training(*corpora, bot=tmp_path / "a.bot", weights=(2,))
        with pytest.raises(SettingsError, match="1 weights for 2 corpora"), run:
            pass

    @pytest.mark.parametrize("text", ["1", "1,x", "0,1", "-1,1", "nan,1", "inf,1", "1,1,1", "1,,1"])
    def test_a_knob_that_makes_no_sense(self, text):
        facts = {"corpora": [{"name": name, "validation": False, "rows": {"train": 3}} for name in "ab"]}
        with pytest.raises(SettingsError, match="corpus_weights") as caught:
            shares_of(text, facts)
        assert caught.value.hint
