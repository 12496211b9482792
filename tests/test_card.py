"""What a run leaves when it has come to its end: the card, its curves, and the record that it can be repeated from."""

import json
import shutil
from xml.etree import ElementTree

import pytest
from small import tables, write_pairs

import s2sbot
from s2sbot import BotError, NewerFormatError
from s2sbot.bot import read_description
from s2sbot.record import RECORD, read_record
from s2sbot.trainer import Training
from s2sbot.trainer.recording import Asked, machine, metric_lines


def made(pairs, bot, **changes):
    """Train a bot and return its events."""
    with s2sbot.training(pairs, bot=bot, settings=tables(**changes)) as run:
        return list(run)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a finished bot, its card as text, its record and the events of its run."""
    folder = tmp_path_factory.mktemp("card")
    events = made(write_pairs(folder / "pairs.tsv"), folder / "small.bot", steps=40)
    bot = folder / "small.bot"
    return bot, (bot / "card.md").read_text("utf-8"), read_record(bot), events


def test_the_figures_are_those_of_the_run(finished):
    bot, card, record, events = finished
    validations = [event for event in events if event.kind == "validation"]
    best = min(validations, key=lambda event: event.perplexity)
    assert [row["perplexity"] for row in record.validations] == [event.perplexity for event in validations]
    assert (record.best["step"], record.best["perplexity"]) == (best.step, best.perplexity)
    assert (record.last["step"], record.last["perplexity"]) == (40, validations[-1].perplexity)
    assert f"| perplexity | {best.perplexity:,.2f} | {validations[-1].perplexity:,.2f} |" in card
    assert record.weights == read_description(bot).weights
    assert record.run["step"] == 40
    assert record.run["epoch"] == events[-1].epoch
    speeds = sorted(event.tokens_per_second for event in events if event.kind == "step" and not event.transient)
    assert record.run["tokens_per_second"] == pytest.approx((speeds[1] + speeds[2]) / 2)
    assert record.run["seconds"] == pytest.approx(events[-1].elapsed, abs=1.0)


def test_the_tokens_are_those_of_the_passes(pairs, bot):
    with s2sbot.training(pairs, bot=bot, settings=tables(steps=None, epochs=3)) as run:
        list(run)
        train = run._loop.prepared.train
        tokens = sum(len(side) + 1 for row in range(len(train)) for side in train.row(row))
    assert read_record(bot).run["tokens"] == 3 * tokens


def test_the_card_shows_every_curve_and_every_sample(finished):
    bot, card, _, events = finished
    pictures = {path.name for path in (bot / "card").iterdir()}
    assert pictures == {"loss.svg", "perplexity.svg", "learning-rate.svg"}
    assert all(f"](card/{name})" in card for name in pictures)
    for name in pictures:
        ElementTree.parse(bot / "card" / name)
    steps = [line["step"] for line in metric_lines(bot) if line["kind"] == "step"]
    told = (bot / "card" / "loss.svg").read_text("utf-8")
    assert f"at {steps[0]} to" in told and f"at {steps[-1]}," in told
    for sample in events[-1].samples:
        assert f"| {sample.source} | " in card


def test_the_machine_is_named(finished):
    _, card, record, _ = finished
    import torch

    assert record.machine["threads"] == 1
    assert record.machine["device"] == "cpu"
    assert record.machine["memory"] > 2**20
    assert record.versions["torch"] == torch.__version__
    assert record.machine["cpu"] and record.machine["cpu"] in card
    assert f"| torch | {torch.__version__} |" in card
    assert machine(torch.device("cpu"), processes=3)["processes"] == 3


def test_a_card_is_written_whole_though_the_words_are_hostile(tmp_path, bot):
    corpus = tmp_path / "a|b.tsv"
    lines = [f"say | {number} <b>\tpipe | {number}" for number in range(20)]
    corpus.write_text("\n".join(lines) + "\n", "utf-8")
    made(corpus, bot, steps=4)
    rows = [line for line in (bot / "card.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    assert any("a\\|b.tsv" in row for row in rows)
    # an escaped pipe is no border of a cell
    samples = [row for row in rows if row.startswith("| say")]
    assert samples
    assert {row.replace("\\|", "").count("|") for row in samples} == {4}


def test_what_was_skipped_changed_and_told_stands_in_the_card(pairs, bot, monkeypatch):
    from s2sbot.trainer.plan import Plan

    slower = lambda self, step, elapsed, fraction: step + 20 if self.changed is None else None  # noqa: E731
    monkeypatch.setattr(Plan, "corrected", slower)
    made(pairs, bot, steps=None, budget=1.0)
    record, card = read_record(bot), (bot / "card.md").read_text("utf-8")
    step, before = record.plan["changed"]
    assert record.plan["steps"] == step + 20 == record.run["step"]
    assert f"changed at step {step:,}: from {before:,} steps to {record.plan['steps']:,}" in card
    [told] = record.run["notices"]
    assert told[0] == step
    assert told[1].startswith("the plan has changed")
    assert f"- Step {step:,}: the plan has changed" in card


def test_a_run_that_was_stopped_has_no_card_before_its_end(pairs, bot):
    with s2sbot.training(pairs, bot=bot, settings=tables(steps=40)) as run:
        next(event for event in run if event.kind == "validation")
    assert not (bot / "card.md").exists()
    with pytest.raises(BotError, match="has not come to its end") as caught:
        read_record(bot)
    assert "--resume" in caught.value.hint
    with s2sbot.training(bot=bot, resume=True) as run:
        list(run)
    record = read_record(bot)
    assert record.asked["corpora"] == [str(pairs)]
    assert not record.run["changed_length"]
    assert (bot / "card.md").is_file()


def test_a_run_that_was_made_longer_says_so(pairs, bot):
    made(pairs, bot, steps=4)
    assert not read_record(bot).run["changed_length"]
    with s2sbot.training(bot=bot, resume=True, settings={"train": {"steps": 8}}) as run:
        list(run)
    assert read_record(bot).run["changed_length"]
    assert read_record(bot).settings["train"]["steps"] == 8


def test_the_record_does_not_need_the_training_folder(pairs, bot):
    made(pairs, bot)
    before = read_record(bot)
    shutil.rmtree(bot / "training")
    assert read_record(bot) == before


# The command


def test_the_command_asks_for_what_was_asked_for(tmp_path, monkeypatch):
    from click.testing import CliRunner

    import s2sbot.trainer
    from s2sbot.cli import main

    given = {
        "model": {"hidden_size": 32, "bidirectional": False},
        "data": {"tokenizer": "words", "without": "a b'c\"d\\", "vocab_size": None},
        "train": {"budget": 90.0, "learning_rate": 1e-5, "metric": "bleu"},
    }
    asked = Asked(
        bot="out dir/my.bot",
        corpora=("it's here.tsv", "b"),
        valid=("v 1",),
        languages=("en", "fr"),
        model="simple",
        size="large",
        settings=given,
    )
    import shlex

    words = shlex.split(asked.command)
    assert words[:4] == ["s2sbot", "train", "it's here.tsv", "b"]
    taken = {}

    class TakenError(Exception):
        pass

    class Spy:
        def __init__(self, corpora, bot, **options):
            taken.update(options, corpora=corpora, bot=bot)
            raise TakenError

    monkeypatch.setattr(s2sbot.trainer, "Training", Spy)
    result = CliRunner().invoke(main, words[1:])
    assert isinstance(result.exception, TakenError), result.output
    assert (list(map(str, taken["corpora"])), str(taken["bot"])) == (list(asked.corpora), asked.bot)
    assert list(map(str, taken["valid"])) == ["v 1"]
    assert (taken["model"], taken["size"], taken["languages"]) == ("simple", "large", ("en", "fr"))
    for table, values in given.items():
        assert {key: taken["settings"][table][key] for key in values} == values


def test_the_command_stands_in_the_card(finished):
    bot, card, record, _ = finished
    assert record.command.startswith("s2sbot train ")
    assert "--steps 40" in record.command
    assert f"\n{record.command}\n" in card
    assert f"s2sbot rerun {bot}" in card


# Reading a record that another one wrote


def damaged(bot, tmp_path, change):
    copy = tmp_path / "copy"
    copy.mkdir()
    data = json.loads((bot / RECORD).read_text("utf-8"))
    change(data)
    (copy / RECORD).write_text(json.dumps(data), "utf-8")
    return copy


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("plan"),
        lambda data: data.update(more=1),
        lambda data: data.update(settings={}),
        lambda data: data.update(format="1"),
        lambda data: data["asked"].update(corpora="pairs.tsv"),
        lambda data: data["asked"].update(corpora=[1]),
        lambda data: data["asked"].pop("languages"),
        lambda data: data["asked"].update(start=3),
        lambda data: data["learnt"].update(corpora=[{"name": "x"}]),
        lambda data: data["best"].update(perplexity="low"),
        lambda data: data.update(plan={"steps": 0, "changed": None}),
        lambda data: data.update(plan={"steps": 5, "changed": [1]}),
    ],
)
def test_a_damaged_record_is_refused(finished, tmp_path, change):
    with pytest.raises(BotError, match="is damaged"):
        read_record(damaged(finished[0], tmp_path, change))


def test_a_newer_record_is_refused(finished, tmp_path):
    with pytest.raises(NewerFormatError):
        read_record(damaged(finished[0], tmp_path, lambda data: data.update(format=99)))


def test_a_record_is_no_link(finished, tmp_path):
    (tmp_path / RECORD).symlink_to(finished[0] / RECORD)
    with pytest.raises(BotError, match="damaged"):
        read_record(tmp_path)


def test_a_new_run_into_a_folder_with_a_card_is_refused(pairs, bot):
    made(pairs, bot, steps=2)
    with pytest.raises(s2sbot.TrainingError, match="is there already"), Training([pairs], bot, settings=tables()):
        pass
