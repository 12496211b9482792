"""Losses and weights that are not finite: skipped and counted, gone back from, given up with names; never saved."""

import dataclasses
import json
import math

import pytest
import torch
from safetensors.torch import load_file
from small import tables

import s2sbot
from s2sbot.errors import DivergedError
from s2sbot.trainer import update
from s2sbot.trainer.checkpoint import Checkpoint
from s2sbot.trainer.loop import Loop
from s2sbot.trainer.plan import Trial


@pytest.fixture(autouse=True)
def no_trial(monkeypatch):
    from s2sbot.trainer import loop

    monkeypatch.setattr(loop, "try_updates", lambda *args, **named: Trial(1, 1, 0.01, 1000.0, 1))


@pytest.fixture
def bad(monkeypatch):
    """Make the losses of some steps NaN: those for which a function of (step, how often the rate was cut) is true."""
    now, step, loss = {"value": 1.0}, Loop._train_step, update.update_loss

    def choose(asked, value=math.nan):
        def train_step(self):
            now["value"] = value if asked(self.step, self.course.cuts) else 1.0
            step(self)

        monkeypatch.setattr(Loop, "_train_step", train_step)

    def update_loss(*args, **named):
        found = loss(*args, **named)
        return dataclasses.replace(found, nats=found.nats * now["value"])

    monkeypatch.setattr(update, "update_loss", update_loss)
    return choose


def run(pairs, bot, **train):
    options = {"validations": 4, "steps": 40, **train}
    with s2sbot.training(pairs, bot=bot, settings=tables(**options)) as training:
        return list(training)


def checkpoints(bot):
    return [Checkpoint.load(path) for path in (bot / "training" / "checkpoints").iterdir()]


def all_are_finite(bot):
    tensors = [load_file(file) for file in bot.rglob("*.safetensors")]
    return tensors and all(bool(torch.isfinite(value).all()) for part in tensors for value in part.values())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_bad_step_changes_nothing_and_is_counted(pairs, tmp_path, bad, value, optimizer, monkeypatch):
    seen = []
    bad(lambda step, cuts: step in (4, 5, 11), value)
    counted = Loop._train_step

    def watched(self):
        before = [each.detach().clone() for each in self.model.parameters()]
        counted(self)
        seen.append(all(map(torch.equal, before, self.model.parameters())))

    monkeypatch.setattr(Loop, "_train_step", watched)
    events = run(pairs, tmp_path / "a.bot", steps=16, optimizer=optimizer, ema=0.9, validations=1)
    assert [number for number, same in enumerate(seen) if same] == [4, 5, 11]
    assert events[-1].skipped == 3
    lines = [json.loads(line) for line in (tmp_path / "a.bot" / "training" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["skipped"] == 3
    assert "3" in next(line for line in (tmp_path / "a.bot" / "card.md").read_text().splitlines() if "skipped" in line)
    assert all_are_finite(tmp_path / "a.bot")


def test_five_in_a_row_go_back_to_the_anchor_and_halve_the_rate(pairs, tmp_path, bad):
    bad(lambda step, cuts: 22 <= step < 27 and not cuts)
    events = run(pairs, tmp_path / "a.bot", schedule="constant")
    [notice] = [event for event in events if event.kind == "notice"]
    assert "5 steps in a row, up to step 26: back to step 20, with half the learning rate" in notice.message
    assert [event.step for event in events if event.kind == "validation"] == [10, 20, 30, 40]
    rates = {event.step: event.learning_rate for event in events if event.kind == "step" and not event.transient}
    assert rates[40] == pytest.approx(rates[20] / 2)
    # what was made after the anchor is made again, and nothing of it is told twice
    lines = [json.loads(line) for line in (tmp_path / "a.bot" / "training" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "step"] == [10, 20, 30, 40]
    assert events[-1].skipped == 0


def test_four_in_a_row_are_skipped_alone(pairs, tmp_path, bad):
    bad(lambda step, cuts: 22 <= step < 26)
    events = run(pairs, tmp_path / "a.bot")
    assert not [event for event in events if event.kind == "notice"]
    assert events[-1].skipped == 4


def test_the_second_time_it_stops_and_names_the_exchanges(pairs, tmp_path, bad):
    bad(lambda step, cuts: step >= 22)
    with pytest.raises(DivergedError, match="again, at half the learning rate too") as caught:
        run(pairs, tmp_path / "a.bot")
    assert "pairs.tsv line" in caught.value.message
    assert "step 29" in caught.value.message
    assert caught.value.exit_code == 4
    assert caught.value.hint
    assert all_are_finite(tmp_path / "a.bot")
    # going on from there ends there again
    with pytest.raises(DivergedError), s2sbot.training(bot=tmp_path / "a.bot", resume=True) as training:
        list(training)


def test_the_exchanges_of_a_pass_before_are_named_too(pairs, tmp_path):
    with s2sbot.training(pairs, bot=tmp_path / "a.bot", settings=tables(steps=40)) as training:
        events = iter(training)
        while (event := next(events)).step < 30 or event.kind != "step":
            pass
        loop = training._loop
        assert loop.order.epoch > 1
        taken = {}
        loop.order.epoch, loop.order.position = 0, 0
        for step in range(30):
            taken[step] = loop.prepared.named(loop.order.take().turns[0])
        loop.step = 30
        first = 30 - loop.order.position - len(loop.order.updates)
        assert first > 0
        assert [loop.origins(step) for step in range(first, 30)] == [taken[step] for step in range(first, 30)]
        assert loop.origins(first - 1) == f"step {first - 1}"


@pytest.mark.parametrize("where", ["weights", "optimizer", "average"])
def test_numbers_that_are_not_finite_are_never_saved(pairs, tmp_path, where):
    """The loss may know nothing of it: a word that does not occur, a state of the optimiser, the average alone."""
    spoilt, bot = [], tmp_path / "a.bot"
    settings = tables(steps=20, validations=2, ema=0.9, checkpoint_every=1e-9, keep_checkpoints=3)
    with s2sbot.training(pairs, bot=bot, settings=settings) as training:
        for event in training:
            if event.kind == "checkpoint" and event.step == 12 and not spoilt:
                loop = training._loop
                spoilt.append(where)
                with torch.no_grad():
                    if where == "weights":
                        loop.model.source_embedding.weight[3, 0] = math.inf
                    elif where == "average":
                        loop.updater.average[0].view(-1)[0] = math.nan
                    else:
                        state = next(iter(loop.updater.optimizer.state.values()))
                        state["exp_avg_sq"].view(-1)[0] = math.inf
            if event.kind == "checkpoint" and spoilt:
                assert all_are_finite(bot)
            if event.kind == "notice":
                spoilt.append((event.step, event.message))
    assert spoilt[1][0] == 10
    assert "not finite" in spoilt[1][1]
    assert "back to step 10, with half the learning rate" in spoilt[1][1]
    assert event.step == 20
    assert all_are_finite(bot)
    assert all(found.state["step"] != 13 for found in checkpoints(bot))


def test_a_model_that_diverges_is_gone_back_from_and_then_given_up(pairs, tmp_path):
    with pytest.raises(DivergedError, match="not finite") as caught:
        run(pairs, tmp_path / "a.bot", learning_rate=1e30, clip=1e30, warmup_steps=0)
    assert "--set train.learning_rate" in caught.value.hint
    assert all_are_finite(tmp_path / "a.bot")


def test_random_bad_steps_end_right(pairs, tmp_path, bad):
    import random

    draw = random.Random(3)
    steps = {draw.randrange(120) for _ in range(40)}
    bad(lambda step, cuts: step in steps and not cuts)
    events = run(pairs, tmp_path / "a.bot", steps=120)
    assert events[-1].step == 120
    cut = any(event.kind == "notice" for event in events)
    assert cut or events[-1].skipped == len(steps)
    assert all_are_finite(tmp_path / "a.bot")
