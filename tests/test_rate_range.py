"""The range test of learning rates: what it goes through, when it ends, and what it recommends."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from small import tables, write_pairs

import s2sbot
from s2sbot.errors import TrainingError
from s2sbot.nn.encoder_decoder import model_tensors
from s2sbot.plugins import Plugins
from s2sbot.settings import TrainSettings
from s2sbot.trainer.course import Course
from s2sbot.trainer.loop import Loop
from s2sbot.trainer.rate_range import RatePoint, highest_rate, rate_points, rate_range, updates_within


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rates")
    with s2sbot.training(write_pairs(folder / "pairs.tsv"), bot=folder / "a.bot", settings=tables()) as run:
        events = run.prepared_loop()
        while True:
            try:
                next(events)
            except StopIteration as end:
                yield end.value
                return


def planned(**train):
    """Return as much of a run as a recommendation needs."""
    settings = TrainSettings(**train)
    return SimpleNamespace(
        settings=SimpleNamespace(train=settings), course=Course(settings, settings.steps, width=64)
    )  # fmt: skip


def points(*losses):
    return [RatePoint(10.0 ** (number - 6), loss, loss) for number, loss in enumerate(losses)]


def test_rates_rise_by_the_same_factor_without_a_warm_up(loop):
    rates = [point.rate for point in rate_points(loop, updates=15)]
    assert rates[0] == 1e-6
    assert rates[1] / rates[0] == pytest.approx(10 ** (7 / 14))
    assert all(after / before == pytest.approx(rates[1] / rates[0]) for before, after in itertools.pairwise(rates))


def test_the_loss_falls_and_then_explodes(loop):
    found = list(rate_points(loop, updates=70))
    smoothed = [point.smoothed for point in found]
    assert smoothed[0] == pytest.approx(found[0].loss)
    assert smoothed[0] == pytest.approx(math.log(len(loop.prepared.tokenizers[1])), rel=0.1)
    assert min(smoothed) < 0.9 * smoothed[0]
    assert found[-1].rate < 10 * 1.001
    recommended = rate_range(loop, found)
    assert 1e-4 < recommended.setting < 1


def test_smoothing_has_no_bias_towards_its_beginning(loop):
    found = list(rate_points(loop, updates=15))[:2]
    assert found[1].smoothed == pytest.approx((0.9 * found[0].loss + found[1].loss) / 1.9)


def test_it_ends_when_the_loss_explodes_or_is_not_finite(loop, monkeypatch):
    losses = iter([4.0, 3.0, 2.0, 2.0, 300.0, 1.0])

    class Told:
        parts, subwords, proposal = 1, None, None

        def __init__(self, *arguments, **options):
            pass

        def update(self, *arguments, **options):
            pass

        def reset(self, *names):
            pass

        def read(self, *names):
            loss = next(losses)
            return {"nats": 0.0, "tokens": 0.0} if math.isnan(loss) else {"nats": 2 * loss, "tokens": 2.0}

    monkeypatch.setattr("s2sbot.trainer.rate_range.Updater", Told)
    assert [point.loss for point in rate_points(loop, updates=70)] == [4.0, 3.0, 2.0, 2.0, 300.0]
    losses = iter([4.0, math.nan, 3.0])
    assert len(list(rate_points(loop, updates=70))) == 2


def test_the_run_stands_where_it_stood(loop):
    before = {name: tensor.clone() for name, tensor in model_tensors(loop.model).items()}
    once = [point.loss for point in rate_points(loop, updates=20)]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model_tensors(loop.model).items())
    assert (loop.step, loop.order.position, loop.order.epoch) == (0, 0, 0)
    assert not loop.updater.optimizer.state
    assert [point.loss for point in rate_points(loop, updates=20)] == once


def test_the_first_update_is_that_of_the_run(loop, tmp_path):
    first = next(iter(rate_points(loop, updates=20))).loss
    again = Loop(tmp_path / "b.bot", loop.settings, loop.prepared, Plugins(), torch.device("cpu"))
    update = again.order.take()
    again.updater.update(loop.prepared.train, update, again.minds, step=0, rate=1e-6, fraction=0.0)
    counts = again.updater.read("nats", "tokens")
    assert first == counts["nats"] / counts["tokens"]


def test_the_recommendation_is_a_share_of_the_rate_at_the_lowest_loss():
    found = rate_range(planned(), points(7.0, 6.9, 6.0, 5.0, 4.0, 9.0))
    assert found.lowest == pytest.approx(1e-2)
    assert found.setting == found.rate == 0.005


def test_with_noam_the_setting_is_the_factor():
    run = planned(schedule="noam", warmup_steps=100, learning_rate=2.0)
    found = rate_range(run, points(7.0, 6.9, 6.0, 5.0, 4.0, 9.0))
    assert found.rate == pytest.approx(0.005, rel=0.5)
    set_to_it = planned(schedule="noam", warmup_steps=100, learning_rate=found.setting)
    assert highest_rate(set_to_it) == pytest.approx(found.rate)
    assert max(set_to_it.course.rate(step, 0.0) for step in range(300)) == pytest.approx(found.rate)


def test_points_that_are_not_finite_are_passed_over():
    found = rate_range(planned(), points(7.0, 6.0, 5.0, math.nan))
    assert found.lowest == pytest.approx(1e-4)


@pytest.mark.parametrize("losses", [(math.nan,), (7.0, 6.99, 7.2, 9.0)])
def test_where_nothing_falls_there_is_nothing_to_recommend(losses):
    with pytest.raises(TrainingError) as error:
        rate_range(planned(), points(*losses))
    assert "--doctor" in error.value.hint


def test_fast_updates_make_a_finer_test_within_a_minute():
    assert updates_within(0.001) == 210
    assert updates_within(0.4) == 112
    assert updates_within(60.0) == 70
