"""A run from corpus to bot: its events, its folder, stopping and going on, and what it refuses."""

import dataclasses
import json
import tomllib

import pytest
import torch
from small import MODEL, tables, write_pairs, write_subtitles

import s2sbot
from s2sbot import BotError, CorpusError, DeviceError, SettingsError, TokenizerError, TrainingError
from s2sbot.bot import read_description
from s2sbot.plugins import Plugins
from s2sbot.trainer import Training
from s2sbot.trainer.checkpoint import Checkpoint
from s2sbot.trainer.loop import Loop


def run_to_end(run):
    with run:
        return list(run)


def newest(bot):
    steps = sorted((bot / "training" / "checkpoints").iterdir(), key=lambda path: int(path.name[5:]))
    return Checkpoint.load(steps[-1])


def test_a_run_tells_what_happens_and_leaves_a_bot(pairs, bot):
    events = run_to_end(s2sbot.training(pairs, bot=bot, settings=tables()))
    kinds = [event.kind for event in events]
    assert kinds[0] == "prepare"
    assert kinds.count("start") == 1
    assert kinds.count("validation") == 2
    assert kinds[-2:] == ["checkpoint", "end"]
    assert "24 exchanges" in " ".join(event.message for event in events)
    assert [event.step for event in events if event.kind == "validation"] == [6, 12]
    last = events[-1]
    assert last.perplexity is not None
    assert last.best == min(event.perplexity for event in events if event.kind == "validation")
    assert last.samples
    assert not last.stopped
    assert sorted(path.name for path in bot.iterdir() if not path.name.startswith("weights-")) == [
        "bot.json",
        "card",
        "card.json",
        "card.md",
        "tokenizer",
        "training",
    ]
    description = read_description(bot)
    assert description.kind == "chat"
    assert description.metrics["valid_perplexity"] == last.best
    assert len(list(bot.glob("weights-*"))) == 1
    lines = [json.loads(line) for line in (bot / "training" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "validation"] == [6, 12]
    assert s2sbot.load(bot).reply("Hello.").text


def test_the_settings_of_a_run_are_written_whole(pairs, bot):
    run_to_end(s2sbot.training(pairs, bot=bot, settings=tables(steps=2)))
    written = tomllib.loads((bot / "training" / "settings.toml").read_text("utf-8"))
    knobs = {**dataclasses.asdict(Plugins().model("attention").Config()), **MODEL}
    assert written["model"] == {"name": "attention", **{k: v for k, v in knobs.items() if v is not None}}
    assert written["train"]["steps"] == 2
    assert written["data"]["tokenizer"] == "words"
    assert written["decode"]["method"] == "greedy"


def test_two_languages_make_a_translator(pairs, bot):
    run_to_end(s2sbot.training(pairs, bot=bot, languages=("en", "fr"), settings=tables(steps=2)))
    description = read_description(bot)
    assert (description.kind, description.languages) == ("translate", ("en", "fr"))
    assert description.decode["method"] == "beam"


def test_whole_files_are_held_out(tmp_path, bot):
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(4):
        write_subtitles(folder / f"film{number}.srt", scenes=2, first=2 * number)
    run_to_end(s2sbot.training(folder, bot=bot, settings=tables(steps=2)))
    facts = json.loads((bot / "training" / "data" / "data.json").read_text("utf-8"))["facts"]
    assert facts["exchanges"]["valid"] % 12 == 0
    assert facts["exchanges"] == {
        "train": 48 - facts["exchanges"]["valid"],
        "valid": facts["exchanges"]["valid"],
        "test": 0,
        "too_long": 0,
    }


def test_a_run_repeats_to_the_bit(pairs, tmp_path):
    for name in ("one", "two"):
        run_to_end(s2sbot.training(pairs, bot=tmp_path / name, settings=tables()))
    assert same(newest(tmp_path / "one"), newest(tmp_path / "two"))


def same(one, other):
    tensors = [(one.weights, other.weights), (one.optimizer, other.optimizer), (one.average, other.average)]
    return all(
        left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
        for left, right in tensors
    )


@pytest.mark.parametrize("at", [1, 5, 6, 11])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(pairs, tmp_path, at, monkeypatch):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    run_to_end(s2sbot.training(pairs, bot=straight, settings=tables()))
    run = Training([pairs], stopped, settings=tables())
    with monkeypatch.context() as patch:
        stop_at(patch, run, at)
        events = run_to_end(run)
    assert events[-1].stopped
    assert newest(stopped).state["step"] == at
    events = run_to_end(s2sbot.training(bot=stopped, resume=True))
    assert not events[-1].stopped
    assert events[-1].step == 12
    assert same(newest(straight), newest(stopped))
    for key in ("step", "epoch", "position", "course", "keeper", "updater"):
        assert newest(straight).state[key] == newest(stopped).state[key]
    assert read_description(straight).weights == read_description(stopped).weights


def stop_at(patch, run, step):
    """Ask the run to stop as a signal would: while a step is under way."""
    original = Loop._train_step

    def asked(self):
        if self.step == step - 1:
            run.stop()
        original(self)

    patch.setattr(Loop, "_train_step", asked)


def test_leaving_the_loop_early_saves(pairs, bot):
    with s2sbot.training(pairs, bot=bot, settings=tables(steps=1000)) as run:
        for event in run:
            if event.kind == "validation":
                break
    step = newest(bot).state["step"]
    assert step == event.step
    resumed = run_to_end(s2sbot.training(bot=bot, resume=True, settings={"train": {"steps": step + 3}}))
    assert resumed[-1].step == step + 3


def test_a_finished_run_can_be_made_longer(pairs, bot):
    run_to_end(s2sbot.training(pairs, bot=bot, settings=tables(steps=4)))
    events = run_to_end(s2sbot.training(bot=bot, resume=True, settings={"train": {"epochs": 8}}))
    assert events[-1].step > 4
    assert events[-1].epoch == 8


def test_a_budget_ends_the_run(pairs, bot):
    events = run_to_end(s2sbot.training(pairs, bot=bot, settings=tables(steps=None, budget=1.0)))
    plan = newest(bot).state["plan"]
    assert plan["budget"] == 1.0
    assert events[-1].step == events[-1].steps == plan["steps"]
    assert any(event.message.startswith("plan: ") for event in events)
    rates = [event.learning_rate for event in events if event.learning_rate is not None]
    assert rates == sorted(rates, reverse=True)


def test_the_last_weights_where_the_corpus_asks_for_them(pairs, bot):
    run_to_end(s2sbot.training(pairs, bot=bot, settings=tables(select="last")))
    from safetensors.torch import load_file

    weights = load_file(bot / read_description(bot).weights)
    assert all(torch.equal(weights[name], tensor) for name, tensor in newest(bot).weights.items())


def test_a_checkpoint_that_was_cut_short_is_named_and_passed_over(pairs, bot):
    run_to_end(s2sbot.training(pairs, bot=bot, settings=tables(checkpoint_every=1e-9, steps=4)))
    damaged = bot / "training" / "checkpoints" / "step-4" / "weights.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-10])
    events = run_to_end(s2sbot.training(bot=bot, resume=True))
    messages = [event.message for event in events]
    assert any("step-4" in message and "cut short" in message for message in messages)
    assert any("going on from step 3" in message for message in messages)


def test_the_training_folder_may_be_deleted(pairs, bot):
    import shutil

    run_to_end(s2sbot.training(pairs, bot=bot, settings=tables(steps=2)))
    shutil.rmtree(bot / "training")
    assert s2sbot.load(bot).reply("Hello.").text
    with pytest.raises(TrainingError, match="no run to resume"), s2sbot.training(bot=bot, resume=True):
        pass


def refused(error, match, *corpora, **options):
    run = s2sbot.training(*corpora, **options)
    with pytest.raises(error, match=match) as caught, run:
        list(run)
    assert caught.value.hint
    return caught.value


class TestRefused:
    """Each one clear message with a hint, and nothing left behind."""

    def test_a_folder_without_subtitles(self, tmp_path, bot):
        (tmp_path / "empty").mkdir()
        refused(CorpusError, "nothing to learn from", tmp_path / "empty", bot=bot)
        assert not bot.exists()

    def test_a_vocabulary_that_the_corpus_cannot_support(self, pairs, bot):
        error = refused(
            TokenizerError, "larger than the corpus", pairs, bot=bot, settings={"data": {"vocab_size": 30_000}}
        )
        assert "--vocab-size" in error.hint
        assert not bot.exists()

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_a_gpu_that_is_not_there(self, pairs, bot):
        refused(DeviceError, "GPU", pairs, bot=bot, settings=tables(device="cuda"))
        assert not bot.exists()

    def test_a_bot_that_is_there_already(self, pairs, bot):
        run_to_end(s2sbot.training(pairs, bot=bot, settings=tables(steps=1)))
        before = (bot / "bot.json").read_bytes()
        error = refused(TrainingError, "is there already", pairs, bot=bot)
        assert "--resume" in error.hint
        assert (bot / "bot.json").read_bytes() == before

    def test_an_unknown_knob_names_the_nearest(self, pairs, bot):
        error = refused(SettingsError, "model.hiden_size", pairs, bot=bot, settings={"model": {"hiden_size": 3}})
        assert "hidden_size" in error.hint

    def test_two_lengths_at_once(self, pairs, bot):
        refused(SettingsError, "contradict", pairs, bot=bot, settings={"train": {"steps": 1, "epochs": 1}})

    def test_a_changed_setting_on_resuming(self, pairs, bot):
        run_to_end(s2sbot.training(pairs, bot=bot, settings=tables(steps=1)))
        refused(SettingsError, "model.hidden_size", bot=bot, resume=True, settings={"model": {"hidden_size": 99}})
        refused(SettingsError, "CORPUS", pairs, bot=bot, resume=True)

    def test_a_second_run_on_the_same_folder(self, pairs, bot):
        with s2sbot.training(pairs, bot=bot, settings=tables()) as run:
            next(event for event in run if event.kind == "start")
            refused(TrainingError, "another run", bot=bot, resume=True)

    def test_a_second_start_into_the_same_folder_harms_nothing(self, pairs, bot):
        with s2sbot.training(pairs, bot=bot, settings=tables()) as run:
            events = iter(run)
            assert next(events).kind == "prepare"
            refused(TrainingError, "another run", pairs, bot=bot)
            assert list(events)[-1].step == 12
        refused(TrainingError, "is there already", pairs, bot=bot)
        assert s2sbot.load(bot).reply("Hello. 1").text

    def test_a_place_that_cannot_be_written(self, pairs, tmp_path):
        (tmp_path / "file").write_text("x")
        refused(s2sbot.S2SBotError, "cannot write", pairs, bot=tmp_path / "file" / "x.bot")

    def test_options_that_a_resumed_run_cannot_take(self, pairs, bot):
        run_to_end(s2sbot.training(pairs, bot=bot, settings=tables(steps=1)))
        refused(SettingsError, "--size", bot=bot, resume=True, size="large")
        refused(SettingsError, "--source", bot=bot, resume=True, languages=("en", "fr"))

    def test_two_kinds_of_corpora(self, tmp_path, pairs, bot):
        translated = tmp_path / "translated"
        translated.mkdir()
        write_pairs(translated / "pairs.tsv")
        (translated / "corpus.toml").write_text('reader = "tsv"\nlanguages = ["en", "fr"]\n')
        refused(CorpusError, "do not fit together", pairs, translated, bot=bot)

    def test_unknown_preset_size_model_and_tokenizer(self, pairs, bot):
        refused(SettingsError, "preset", pairs, bot=bot, preset="luong2014")
        refused(SettingsError, "size", pairs, bot=bot, size="tiny")
        assert "attention" in refused(s2sbot.PluginError, "atention", pairs, bot=bot, model="atention").hint
        refused(s2sbot.PluginError, "wordz", pairs, bot=bot, settings={"data": {"tokenizer": "wordz"}})

    def test_exchanges_that_are_all_too_long(self, pairs, bot):
        refused(
            CorpusError, "at most 4 tokens", pairs, bot=bot,
            settings={"data": {"tokenizer": "characters", "max_length": 4, "valid_share": 0.2}},
        )  # fmt: skip
        assert not bot.exists()

    def test_a_disk_that_fills_up_while_preparing(self, pairs, bot, monkeypatch):
        import errno

        from s2sbot import files

        def full(*args):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(files.os, "fsync", full)
        refused(s2sbot.S2SBotError, "no space left", pairs, bot=bot, settings=tables())
        assert not bot.exists()

    def test_a_loss_that_is_not_finite(self, pairs, bot):
        refused(
            TrainingError, "not finite", pairs, bot=bot, settings=tables(learning_rate=1e30, clip=1e30, warmup_steps=0)
        )

    def test_prepared_data_that_is_damaged(self, pairs, bot):
        run_to_end(s2sbot.training(pairs, bot=bot, settings=tables(steps=1)))
        (bot / "training" / "data" / "train.source_ids.npy").write_bytes(b"\x93NUMPY")
        refused(CorpusError, "cannot be read", bot=bot, resume=True, settings={"train": {"steps": 2}})


def test_a_bot_without_a_validation_says_so(pairs, bot):
    with s2sbot.training(pairs, bot=bot, settings=tables()) as run:
        next(event for event in run if event.kind == "start")
    with pytest.raises(BotError, match="no bot yet"):
        s2sbot.load(bot)


def test_what_a_crash_left_of_a_preparation_is_no_bot(pairs, bot):
    (bot / "training").mkdir(parents=True)
    (bot / "training" / "lock").touch()
    (bot / "tokenizer").mkdir()
    run_to_end(s2sbot.training(pairs, bot=bot, settings=tables(steps=1)))
    assert s2sbot.load(bot).description.metrics["step"] == 1


def test_a_preparation_that_is_left_leaves_nothing(pairs, bot):
    with s2sbot.training(pairs, bot=bot, settings=tables()) as run:
        assert next(iter(run)).kind == "prepare"
    assert not bot.exists()
    bot.mkdir()
    with s2sbot.training(pairs, bot=bot, settings=tables()) as run:
        assert next(iter(run)).kind == "prepare"
    assert bot.is_dir()
    assert not list(bot.iterdir())


def test_a_longer_run_is_validated_as_evenly(pairs, bot):
    run_to_end(s2sbot.training(pairs, bot=bot, settings=tables(steps=6)))
    events = run_to_end(s2sbot.training(bot=bot, resume=True, settings={"train": {"steps": 24}}))
    assert [event.step for event in events if event.kind == "validation"] == [12, 24]


def test_resuming_a_finished_run_keeps_its_card(pairs, bot):
    run_to_end(s2sbot.training(pairs, bot=bot, settings=tables()))
    card = (bot / "card.md").read_text("utf-8")
    assert "24 |" in card
    events = run_to_end(s2sbot.training(bot=bot, resume=True))
    assert events[-1].step == 12
    assert (bot / "card.md").read_text("utf-8") == card


def test_a_bot_can_be_opened_while_its_weights_change(pairs, bot, monkeypatch):
    run_to_end(s2sbot.training(pairs, bot=bot, settings=tables(steps=1)))
    new = bot / read_description(bot).weights
    stale = dataclasses.replace(read_description(bot), weights="weights-0123456789abcdef.safetensors")
    from s2sbot import engine

    answers = iter([stale, read_description(bot)])
    monkeypatch.setattr(engine, "read_description", lambda folder: next(answers))
    assert s2sbot.load(bot).description.weights == new.name
