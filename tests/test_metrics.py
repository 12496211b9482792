"""Metrics: what the shipped ones say, how a run is validated and chosen by them, and the record of a run."""

import itertools
import json
import sys

import pytest
import sacrebleu
import torch
from small import LINES, tables

import s2sbot
from s2sbot import PluginError, Progress, Sample, SettingsError
from s2sbot.bot import read_description
from s2sbot.plugins import Plugins
from s2sbot.testing import check_metric, metric_checks
from s2sbot.trainer import Training, validation
from s2sbot.trainer.validation import Validator, best_is_highest

FAILING = """
from s2sbot import hookimpl

class Broken:
    higher_is_better = True
    def score(self, outputs, targets, sources):
        FAULT

class Lines:
    higher_is_better = False
    def score(self, outputs, targets, sources):
        seen.append((outputs, targets, sources))
        return float(len(outputs))

seen = []

@hookimpl
def register_metrics():
    return {"broken": Broken, "lines": Lines}
"""


def strange(monkeypatch, fault="return float('nan')"):
    """Return plugins with two more metrics, of a module made by hand."""
    from types import ModuleType

    module = ModuleType("strange_metrics")
    exec(FAILING.replace("FAULT", fault), module.__dict__)
    monkeypatch.setitem(sys.modules, "strange_metrics", module)
    return module, Plugins(module)


def events_of(run):
    with run:
        return list(run)


def lines_of(bot):
    return [json.loads(line) for line in (bot / "training" / "metrics.jsonl").read_text("utf-8").splitlines()]


# What the metrics say


@pytest.mark.parametrize("name", ["bleu", "chrf", "distinct-1", "distinct-2"])
def test_every_shipped_metric_does_what_one_must(name):
    check_metric(Plugins().metric(name))


def test_hook_register_metrics():
    plugins = Plugins()
    assert {"bleu", "chrf", "distinct-1", "distinct-2"} <= plugins.metrics().keys()
    offer = plugins.metrics()["bleu"]
    assert (offer.plugin, offer.distribution) == ("s2sbot_scores", "s2sbot")
    assert plugins.metric("bleu") is offer.value
    assert "register_metrics" in plugins.hooks()
    assert plugins.broken == []


def test_a_class_that_is_no_metric_is_named():
    from types import ModuleType

    module = ModuleType("no_metric")
    exec(
        "from s2sbot import hookimpl\nclass Half:\n    higher_is_better = True\n"
        "@hookimpl\ndef register_metrics(): return {'half': Half}",
        module.__dict__,
    )
    plugins = Plugins(module)
    assert "half" not in plugins.metrics()
    assert "lacks score" in plugins.broken[0].cause


def test_bleu_and_chrf_are_sacrebleus():
    outputs, targets = ["the cat sat on the mat .", ""], ["The cat sat on the mat.", "Yes."]
    plugins = Plugins()
    assert plugins.metric("bleu")().score(outputs, targets, ["", ""]) == sacrebleu.corpus_bleu(outputs, [targets]).score
    assert plugins.metric("chrf")().score(outputs, targets, ["", ""]) == sacrebleu.corpus_chrf(outputs, [targets]).score


def test_distinct_counts_what_is_said_once_only():
    plugins, said = Plugins(), ["a b a", "a b"]
    assert plugins.metric("distinct-1")().score(said, ["", ""], ["", ""]) == 2 / 5
    assert plugins.metric("distinct-2")().score(said, ["", ""], ["", ""]) == 2 / 5  # a b, b a; scaled by words
    assert plugins.metric("distinct-2")().score(["", "a"], ["", ""], ["", ""]) == 0.0


class Constant:
    higher_is_better = True
    value: object = 1.0

    def score(self, outputs, targets, sources):
        return self.value


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        (type("Wordy", (Constant,), {"value": "1"}), "no number"),
        (type("Infinite", (Constant,), {"value": float("inf")}), "is inf"),
        (type("Undecided", (Constant,), {"higher_is_better": None}), "neither True nor False"),
        (
            type("Around", (), {"higher_is_better": False, "score": lambda self, o, t, s: float(sum(map(len, o)))}),
            "the wrong way round",
        ),
        (
            type("First", (), {"higher_is_better": True, "score": lambda self, o, t, s: float(len(o[0]))}),
            "in one order",
        ),
        (
            type("Eater", (), {"higher_is_better": True, "score": lambda self, o, t, s: float(o.sort() is None)}),
            "were changed",
        ),
    ],
)
def test_a_wrong_metric_is_found_out(kind, cause):
    assert any(cause in (finding.cause or "") for finding in metric_checks(kind))


# How a run is chosen by one


def test_a_run_chosen_by_bleu_tells_all_figures_everywhere(pairs, bot):
    events = events_of(s2sbot.training(pairs, bot=bot, settings=tables(metric="bleu", steps=60, validations=3)))
    told = [event.figures for event in events if event.kind == "validation"]
    names = {"perplexity", "bleu", "chrf", "distinct-1", "distinct-2"}
    assert all(set(figures) == names for figures in told)
    values = [figures["bleu"] for figures in told]
    assert events[-1].best == max(values)
    metrics = read_description(bot).metrics
    assert {f"valid_{name}" for name in names} <= metrics.keys()
    assert metrics["valid_bleu"] == max(values)
    assert metrics["step"] == [20, 40, 60][values.index(max(values))]
    assert [line["figures"] for line in lines_of(bot) if line["kind"] == "validation"] == [dict(each) for each in told]
    card = (bot / "card.md").read_text("utf-8")
    assert all(f"| {name} |" in card or name in card for name in names)
    assert (bot / "card" / "bleu.svg").is_file()


def test_perplexity_alone_answers_nothing_but_the_samples(pairs, bot, monkeypatch):
    monkeypatch.setattr(Validator, "answers", lambda *args: pytest.fail("answered"))
    events = events_of(s2sbot.training(pairs, bot=bot, settings=tables()))
    assert set(events[-1].figures) == {"perplexity"}


def test_a_run_stops_early_by_its_metric(pairs, bot):
    settings = tables(metric="distinct-1", steps=400, validations=40, early_stopping=2, learning_rate=1e-9)
    events = events_of(s2sbot.training(pairs, bot=bot, settings=settings))
    assert events[-1].step == 30, "the first is the best, and two others are as good"
    assert (bot / "card.md").is_file(), "an early end is an end"


def test_an_unknown_metric_names_the_nearest_before_anything_is_read(bot, tmp_path):
    (tmp_path / "empty").mkdir()
    run = s2sbot.training(tmp_path / "empty", bot=bot, settings=tables(metric="bleau"))
    with pytest.raises(SettingsError, match="no metric 'bleau'") as caught, run:
        pytest.fail("entered")
    assert "'bleu'" in caught.value.hint
    assert not bot.exists()


def test_the_texts_are_those_of_the_corpus_and_not_of_the_tokenizer(pairs, bot, monkeypatch):
    module, plugins = strange(monkeypatch)
    run = Training([pairs], bot, settings=tables(metric="lines", steps=2, validations=1), plugins=plugins)
    events_of(run)
    outputs, targets, sources = module.seen[-1]
    known = {f"{source} {number}": target for source, target in LINES for number in range(4)}
    assert len(outputs) == len(targets) == len(sources) > 0
    assert [known[source] for source in sources] == targets


@pytest.mark.parametrize("fault", ["return float('nan')", "raise OSError('gone')"])
def test_a_metric_that_fails_is_named_and_left_out(pairs, bot, monkeypatch, fault):
    _, plugins = strange(monkeypatch, fault)
    run = Training([pairs], bot, settings=tables(metric="lines"), plugins=plugins)
    events = events_of(run)
    assert "broken" not in events[-1].figures
    assert "lines" in events[-1].figures
    assert [each.plugin for each in plugins.broken] == ["strange_metrics"]


def test_the_metric_chosen_by_must_not_fail(pairs, bot, monkeypatch):
    _, plugins = strange(monkeypatch, "raise OSError('gone')")
    run = Training([pairs], bot, settings=tables(metric="broken"), plugins=plugins)
    with pytest.raises(PluginError, match="'broken' has failed: OSError: gone"), run:
        list(run)


def test_the_direction_is_the_metrics_own(monkeypatch):
    _, plugins = strange(monkeypatch)
    assert not best_is_highest("perplexity", plugins)
    assert best_is_highest("bleu", plugins)
    assert not best_is_highest("lines", plugins)


def test_answers_in_batches_are_those_one_by_one(pairs, bot, monkeypatch):
    run = s2sbot.training(pairs, bot=bot, settings=tables(metric="bleu", steps=60))
    with run:
        list(run)
        loop = run._loop
        rows = list(range(len(loop.prepared.valid)))
        alone = [loop.validator.answers(loop.model, [row])[0] for row in rows]
        monkeypatch.setattr(validation, "ROWS", 3)
        assert loop.validator.answers(loop.model, rows) == alone
        assert any(alone)


def test_what_is_answered_is_spread_evenly_and_bounded():
    assert validation._spread(5, 10) == [0, 1, 2, 3, 4]
    rows = validation._spread(100_000, 1_000)
    assert len(set(rows)) == 1_000
    assert (rows[0], rows[-1]) == (0, 99_999)
    assert {later - earlier for earlier, later in itertools.pairwise(rows)} == {100, 101}


def test_the_time_of_a_validation_counts_the_answers(pairs, bot, monkeypatch):
    run = s2sbot.training(pairs, bot=bot, settings=tables(metric="bleu", steps=2))
    with run:
        list(run)
        validator, asked = run._loop.validator, []
        monkeypatch.setattr(validator, "_rows", validator._rows * 200)
        monkeypatch.setattr(validator, "answers", lambda model, rows: asked.append(len(rows)))
        clock = iter([0.0, 1.0, 3.0, 4.0, 5.0, 5.0])
        monkeypatch.setattr(validation.time, "perf_counter", lambda: next(clock))
        seconds = validator.seconds(run._loop.model)
        assert asked[0] <= 256
        assert seconds == pytest.approx(4.0 + 2.0 * (len(validator._rows) / asked[0] - 1))


# The record, metrics.jsonl


def hear(bot, *events):
    from s2sbot_metrics import training_progress

    for event in events:
        training_progress(bot, event)


def step(number, **values):
    return Progress(kind="step", step=number, loss=1.0 / number, **values)


def test_the_record_has_notices_and_nothing_transient(tmp_path):
    (tmp_path / "training").mkdir()
    hear(tmp_path, Progress(kind="start"), step(10), step(15, transient=True))
    hear(tmp_path, Progress(kind="notice", step=15, message="slower"), Progress(kind="checkpoint", step=15))
    assert [(line["kind"], line["step"]) for line in lines_of(tmp_path)] == [("step", 10), ("notice", 15)]


def test_a_record_that_is_taken_up_again_is_that_of_a_run_never_stopped(tmp_path):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    for bot in (straight, stopped):
        (bot / "training").mkdir(parents=True)
    end = Progress(kind="end", step=40)
    hear(straight, Progress(kind="start"), step(10), step(20), step(30), step(40), end)
    hear(stopped, Progress(kind="start"), step(10), step(20), step(30), Progress(kind="end", step=30, stopped=True))
    hear(stopped, Progress(kind="start", step=20), step(30), step(40), end)
    assert lines_of(straight) == lines_of(stopped)


def test_a_run_that_goes_back_writes_no_step_twice(tmp_path):
    (tmp_path / "training").mkdir()
    hear(tmp_path, Progress(kind="start"), step(10), step(20), step(30))
    with (tmp_path / "training" / "metrics.jsonl").open("ab") as stream:
        stream.write(b'{"kind": "step", "step": 5}')  # cut off by a crash, though it can be read
    hear(tmp_path, Progress(kind="notice", step=10, message="back"), step(20))
    assert [(line["kind"], line["step"]) for line in lines_of(tmp_path)] == [("step", 10), ("notice", 10), ("step", 20)]


def test_a_full_disk_costs_the_line_and_no_more(tmp_path, monkeypatch, caplog):
    import errno
    import io
    import pathlib

    (tmp_path / "training").mkdir()
    hear(tmp_path, step(10))
    original = pathlib.Path.open

    class Full(io.FileIO):
        def write(self, data):
            super().write(data[:7])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(
            pathlib.Path,
            "open",
            lambda self, *args, **options: Full(self, "ab") if args == ("ab",) else original(self, *args, **options),
        )
        hear(tmp_path, step(20), Progress(kind="validation", step=20))
    assert pathlib.Path.open is original
    hear(tmp_path, step(30))
    assert [line["step"] for line in lines_of(tmp_path)] == [10, 30]
    [record] = caplog.records
    assert "no line for the validation at step 20" in record.getMessage()


def test_a_figure_that_json_has_no_word_for_is_null(tmp_path):
    (tmp_path / "training").mkdir()
    hear(tmp_path, Progress(kind="validation", step=1, figures={"perplexity": float("inf")}, perplexity=float("inf")))
    [line] = lines_of(tmp_path)
    assert line["figures"] == {"perplexity": None}
    assert line["perplexity"] is None


# TensorBoard


def board_events(bot):
    """Return the scalars by tag and the texts that TensorBoard would show."""
    pytest.importorskip("tensorboard", reason="the extra s2sbot[tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(bot / "training" / "tensorboard"), size_guidance={"tensors": 0, "scalars": 0}).Reload()
    scalars = {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    texts = [event.tensor_proto.string_val[0].decode() for event in found.Tensors("samples/text_summary")]
    return scalars, texts


def show(bot, *events):
    from s2sbot_tensorboard import training_progress

    for event in events:
        training_progress(bot, event)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_shows_a_resumed_run_once(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard", reason="the extra s2sbot[tensorboard] is not installed")
    from tensorboard.summary.writer import event_file_writer

    # files of one second are read in the order of this number, as text
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))
    sample = Sample("Who | are you?", "I am\nhere.", "Me.")
    validated = Progress(
        kind="validation", step=20, perplexity=9.0, figures={"perplexity": 9.0, "bleu": 3.0}, samples=(sample,)
    )
    show(tmp_path, Progress(kind="start"), step(10, learning_rate=0.5, tokens_per_second=7.0), step(15, transient=True))
    show(tmp_path, step(20), validated, step(30), Progress(kind="end", step=30, stopped=True))
    show(tmp_path, Progress(kind="start", step=20), step(30), step(40))
    show(tmp_path, Progress(kind="notice", step=30, message="back"), step(40), Progress(kind="end", step=40))
    scalars, texts = board_events(tmp_path)
    assert [number for number, _ in scalars["train/loss"]] == [10, 20, 30, 40]
    assert scalars["train/learning_rate"] == [(10, 0.5)]
    assert scalars["train/tokens_per_second"] == [(10, 7.0)]
    assert scalars["validation/bleu"] == [(20, 3.0)]
    assert scalars["validation/perplexity"] == [(20, 9.0)]
    head = "| line | bot | what really followed |\n| --- | --- | --- |\n"
    assert texts == [head + "| Who \\| are you? | I am here. | Me. |"]


def test_without_the_package_nothing_is_written_and_nothing_loaded(tmp_path, monkeypatch):
    import s2sbot_tensorboard

    monkeypatch.setattr(s2sbot_tensorboard, "_installed", lambda: False)
    monkeypatch.setattr(s2sbot_tensorboard, "_board", lambda folder: pytest.fail("opened"))
    show(tmp_path, Progress(kind="start"), step(10))
    assert not (tmp_path / "training").exists()


def test_weights_do_not_depend_on_the_metric(pairs, tmp_path):
    from safetensors.torch import load_file

    bots = [tmp_path / "one", tmp_path / "two"]
    for bot, metric in zip(bots, ("perplexity", "bleu"), strict=True):
        events_of(s2sbot.training(pairs, bot=bot, settings=tables(metric=metric, select="last")))
    one, two = (load_file(bot / read_description(bot).weights) for bot in bots)
    assert all(torch.equal(one[name], two[name]) for name in one)
