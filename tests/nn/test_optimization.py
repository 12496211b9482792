"""The rate of a step by each schedule, against numbers worked out by hand; and each optimiser by name."""

import pytest
import torch

from s2sbot.nn.optimization import learning_rate, make_optimizer
from s2sbot.settings import TrainSettings


def rates(train, fractions):
    return [learning_rate(train, 10_000, fraction) for fraction in fractions]


def test_half_a_cosine_down_to_the_final_rate():
    train = TrainSettings(learning_rate=0.1, final_rate=0.2, schedule="cosine")
    assert rates(train, [0, 0.5, 1, 2]) == pytest.approx([0.1, 0.06, 0.02, 0.02])


def test_constant():
    assert rates(TrainSettings(learning_rate=0.1, schedule="constant"), [0, 0.5, 1]) == [0.1, 0.1, 0.1]


def test_sutskevers_halving():
    """Eight passes at 0.7, halved every half pass from the fifth on."""
    train = TrainSettings(learning_rate=0.7, schedule="halving", halving_start=5 / 8, halvings=6)
    passes = [0, 4.9, 5.0, 5.4, 5.6, 6.1, 7.1, 7.6, 8.0]
    halved = [0, 0, 1, 1, 2, 3, 5, 6, 6]
    assert rates(train, [number / 8 for number in passes]) == pytest.approx([0.7 * 0.5**count for count in halved])


def test_a_halving_that_starts_at_the_end_is_one():
    train = TrainSettings(learning_rate=1.0, schedule="halving", halving_start=1.0, halvings=3)
    assert rates(train, [0.99, 1.0]) == pytest.approx([1.0, 0.5**3])


def test_the_rate_rises_over_the_warm_up():
    train = TrainSettings(learning_rate=1.0, schedule="constant", warmup_steps=3)
    assert [learning_rate(train, step, 0.0) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", torch.optim.AdamW),
        ("sgd", torch.optim.SGD),
        ("adagrad", torch.optim.Adagrad),
        ("adadelta", torch.optim.Adadelta),
    ],
)
def test_optimisers_by_name(name, kind):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = make_optimizer([weight], TrainSettings(optimizer=name, learning_rate=0.5))
    assert type(optimizer) is kind
    (weight**2).sum().backward()
    optimizer.step()
    assert float(weight.detach().max()) < 1


def test_adadelta_has_the_papers_constants():
    [group] = make_optimizer([torch.nn.Parameter(torch.ones(1))], TrainSettings(optimizer="adadelta")).param_groups
    assert (group["rho"], group["eps"]) == (0.95, 1e-6)
