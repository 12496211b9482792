"""A run made again from its card alone: to the bit, by its plan, with other places of its corpora, and refused."""

import dataclasses
import shutil

import pytest
from small import tables, write_pairs

import s2sbot
from s2sbot import BotError, CorpusError
from s2sbot.bot import read_description
from s2sbot.record import read_record
from s2sbot.trainer.course import Course
from s2sbot.trainer.plan import Plan
from s2sbot.trainer.repeat import TOLERANCE, Rerun, Verdict, verdict_of


def made(*corpora, bot, settings=None, **options):
    with s2sbot.training(*corpora, bot=bot, settings=settings or tables(), **options) as run:
        for _ in run:
            pass
    return bot


def again(bot, new, **options):
    """Repeat a run whose training folder is gone, and return the verdict."""
    shutil.rmtree(bot / "training", ignore_errors=True)
    record = read_record(bot)
    run = Rerun(record, new, **options)
    with run:
        for _ in run:
            pass
    return verdict_of(record, bot, new, run.differences())


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Return a bot with all that its run left."""
    folder = tmp_path_factory.mktemp("done")
    return made(write_pairs(folder / "pairs.tsv"), bot=folder / "small.bot")


@pytest.fixture
def new(tmp_path):
    return tmp_path / "new.bot"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"metric": "bleu", "keep_best": 2, "select": "average"},
        {"steps": None, "epochs": 3, "ema": 0.9, "schedule": "plateau", "threads": None},
    ],
)
def test_a_run_is_repeated_to_the_bit(pairs, bot, new, changes):
    made(pairs, bot=bot, settings=tables(**changes))
    verdict = again(bot, new)
    assert verdict.others == ()
    assert verdict.same_weights
    assert verdict.holds
    assert "identical to the bit" in verdict.message
    assert read_record(new).settings == read_record(bot).settings


def test_a_translator_with_corpora_of_its_own_is_repeated(tmp_path, pairs, bot, new):
    held, other = write_pairs(tmp_path / "held.tsv", times=1), write_pairs(tmp_path / "other.tsv", times=3)
    made(pairs, other, bot=bot, valid=[held], languages=("en", "fr"))
    verdict = again(bot, new)
    assert verdict.same_weights
    assert read_description(new).languages == ("en", "fr")


def test_a_prepared_corpus_is_repeated(tmp_path, pairs, bot, new):
    from click.testing import CliRunner

    from s2sbot.cli import main

    words = ["corpus", "prepare", pairs, "--out", tmp_path / "ready", "--tokenizer", "words", "--workers", 1]
    done = CliRunner().invoke(main, [*map(str, words), "--set", "data.valid_share=0.2"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    settings = {name: table for name, table in tables().items() if name != "data"}
    made(tmp_path / "ready", bot=bot, settings=settings)
    assert again(bot, new).same_weights


def test_a_run_that_began_from_a_bot_is_repeated_from_it(tmp_path, pairs, bot, new):
    from s2sbot.trainer import Training

    first = made(pairs, bot=tmp_path / "first.bot")
    settings = {name: table for name, table in tables().items() if name == "train"}
    with Training([pairs], bot, settings=settings, start=first) as run:
        for _ in run:
            pass
    assert again(bot, new).same_weights
    shutil.rmtree(first)
    made(pairs, bot=first, settings=tables(seed=2))
    run = Rerun(read_record(bot), tmp_path / "third.bot")
    with pytest.raises(BotError, match="no longer the bot"), run:
        pass


@pytest.mark.parametrize("changes", [False, True])
def test_a_budget_is_repeated_by_its_steps_whatever_the_clock_says(pairs, bot, new, monkeypatch, changes):
    if changes:
        slower = lambda self, step, elapsed, fraction: step + 20 if self.changed is None else None  # noqa: E731
        with monkeypatch.context() as patch:
            patch.setattr(Plan, "corrected", slower)
            made(pairs, bot=bot, settings=tables(steps=None, budget=1.0))
    else:
        made(pairs, bot=bot, settings=tables(steps=None, budget=1.0))
    record = read_record(bot)
    assert bool(record.plan["changed"]) or not changes
    monkeypatch.setattr(Plan, "of", lambda *args, **options: pytest.fail("planned anew"))
    verdict = again(bot, new)
    assert verdict.same_weights
    assert read_record(new).plan == record.plan
    assert read_record(new).run["step"] == record.run["step"]


def test_a_frozen_plan_changes_where_the_first_one_did():
    plan = Plan(10.0, 9.0, 60, 0.1, 1.0, (20, 100), frozen=True)
    assert plan.corrected(10, 1e9, 0.1) is None
    assert plan.corrected(20, 1e9, 0.2) == 60
    assert plan.change(20, 60) == plan
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan(10.0, 9.0, 60, 0.1, 1.0, frozen=True).corrected(20, 1e9, 0.2) is None


def test_the_rate_of_a_repeated_plan_is_the_same_at_every_step():
    train = dataclasses.replace(s2sbot.settings.TrainSettings(), budget=10.0)
    first = Course(train, 100)
    changed = first.stretched(20, 60)
    plan = Plan(10.0, 10.0, 60, 0.0, 0.0, (20, 100), frozen=True)
    course = Course(train, plan.changed[1])
    for step in range(60):
        if (steps := plan.corrected(step, 0.0, course.fraction(step, 0.0))) is not None:
            course = course.stretched(step, steps)
        assert course.rate(step, 0.0) == (first if step < 20 else changed).rate(step, 0.0)


def test_other_places_of_the_corpora(tmp_path, pairs, bot, new):
    held = write_pairs(tmp_path / "held.tsv", times=1)
    made(pairs, bot=bot, valid=[held])
    (tmp_path / "moved").mkdir()
    moved = [shutil.move(path, tmp_path / "moved") for path in (pairs, held)]
    with pytest.raises(CorpusError, match=r"not there: .*pairs\.tsv, .*held\.tsv"), Rerun(read_record(bot), new):
        pass
    assert not new.exists()
    verdict = again(bot, new, corpora=[tmp_path / "moved" / path.rsplit("/")[-1] for path in map(str, moved)])
    assert verdict.same_weights


def test_a_changed_corpus_is_named_before_the_first_step(tmp_path, pairs, bot, new):
    other = write_pairs(tmp_path / "other.tsv", times=2)
    made(pairs, other, bot=bot)
    other.write_text(other.read_text("utf-8").replace("tea", "coffee"), "utf-8")
    run = Rerun(read_record(bot), new)
    with pytest.raises(CorpusError, match=r"other\.tsv is no longer what it was") as caught, run:
        list(run)
    assert "pairs.tsv is" not in caught.value.message
    assert "--corpus" in caught.value.hint
    assert not new.exists()


def test_too_many_corpora_are_refused(done, new):
    with pytest.raises(CorpusError, match="2 corpora are given"):
        Rerun(read_record(done), new, corpora=[done, done])


def test_what_is_otherwise_is_named(done, new):
    record = read_record(done)
    changed = {
        "learnt": {**record.learnt, "data": "0" * 64},
        "machine": {**record.machine, "cpu": "Z80", "device": "cuda"},
        "run": {**record.run, "parts": 3},
    }
    record = dataclasses.replace(record, **changed)
    run = Rerun(record, new)
    with run:
        list(run)
    verdict = verdict_of(record, done, new, run.differences())
    assert {"cpu", "device", "parts of a batch"} <= {line.partition(":")[0] for line in verdict.others}
    assert any("what became of them" in line for line in verdict.others)
    assert verdict.holds, "the numbers are the same all the same"


def test_a_metric_that_does_not_hold(done, tmp_path):
    other = made(done.parent / "pairs.tsv", bot=tmp_path / "other.bot", settings=tables(seed=2))
    verdict = verdict_of(read_record(done), done, other, [])
    assert not verdict.holds
    assert not verdict.same_weights
    metric = "valid_perplexity"
    assert repr(read_description(done).metrics[metric]) in verdict.message
    assert repr(read_description(other).metrics[metric]) in verdict.message


@pytest.mark.parametrize(
    ("now", "others", "holds", "said"),
    [
        (10.0, (), True, "identical to the bit"),
        (10.0, ("cpu",), True, "identical to the bit"),
        (10.0000001, (), False, "should be identical"),
        (10.0 * (1 + TOLERANCE) - 1e-9, ("cpu",), True, "within 5.00%"),
        (10.0 * (1 + TOLERANCE) + 1e-9, ("cpu",), False, "off by 5.00%"),
        (10.0 * (1 - TOLERANCE) + 1e-9, ("cpu",), True, "within 5.00%"),
    ],
)
def test_a_verdict(now, others, holds, said):
    verdict = Verdict(metric="bleu", before=10.0, now=now, same_weights=False, others=others)
    assert verdict.holds is holds
    assert said in verdict.message
    assert "10.0 then" in verdict.message and f"{now!r} now" in verdict.message
