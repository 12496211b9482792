"""The rate of a step by each schedule, and each optimiser's steps, against numbers worked out by hand or in numpy."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2sbot.errors import SettingsError
from s2sbot.nn import optimization
from s2sbot.nn.optimization import learning_rate, make_optimizer
from s2sbot.run_settings import RunSettings, resolve_settings
from s2sbot.settings import DataSettings, DecodeSettings, TrainSettings
from s2sbot.trainer.course import Course, model_width
from s2sbot.trainer.update import Updater

SCHEDULES = ("cosine", "constant", "halving", "noam", "inverse-sqrt", "plateau")


def rates(train, fractions):
    return [learning_rate(train, 10_000, fraction) for fraction in fractions]


class TestSchedules:
    def test_half_a_cosine_down_to_the_final_rate(self):
        train = TrainSettings(learning_rate=0.1, final_rate=0.2, schedule="cosine")
        assert rates(train, [0, 0.5, 1, 2]) == pytest.approx([0.1, 0.06, 0.02, 0.02])

    @pytest.mark.parametrize("schedule", ["constant", "plateau"])
    def test_constant(self, schedule):
        assert rates(TrainSettings(learning_rate=0.1, schedule=schedule), [0, 0.5, 1]) == [0.1, 0.1, 0.1]

    def test_sutskevers_halving(self):
        """Eight passes at 0.7, halved every half pass from the fifth on."""
        train = TrainSettings(learning_rate=0.7, schedule="halving", halving_start=5 / 8, halvings=6)
        passes = [0, 4.9, 5.0, 5.4, 5.6, 6.1, 7.1, 7.6, 8.0]
        halved = [0, 0, 1, 1, 2, 3, 5, 6, 6]
        assert rates(train, [number / 8 for number in passes]) == pytest.approx([0.7 * 0.5**count for count in halved])

    def test_a_halving_that_starts_at_the_end_is_one(self):
        train = TrainSettings(learning_rate=1.0, schedule="halving", halving_start=1.0, halvings=3)
        assert rates(train, [0.99, 1.0]) == pytest.approx([1.0, 0.5**3])

    def test_noam(self):
        """512 units, 4,000 steps of warm-up, as in the paper: highest at step 4,000, half of it four times later."""
        train = TrainSettings(learning_rate=2.0, schedule="noam", warmup_steps=4_000)
        found = [learning_rate(train, number - 1, 0.0, width=512) for number in (1, 2_000, 4_000, 16_000)]
        highest = 2 / math.sqrt(512 * 4_000)
        assert found == pytest.approx([highest / 4_000, highest / 2, highest, highest / 2], rel=1e-12)

    def test_noam_without_a_warm_up(self):
        train = TrainSettings(learning_rate=1.0, schedule="noam", warmup_steps=0)
        assert [learning_rate(train, step, 0.0, width=4) for step in (0, 3)] == [0.5, 0.25]

    def test_inverse_square_root(self):
        train = TrainSettings(learning_rate=0.5, schedule="inverse-sqrt", warmup_steps=3)
        found = [learning_rate(train, number - 1, 0.7) for number in (1, 3, 4, 16, 64)]
        assert found == pytest.approx([0.125, 0.375, 0.5, 0.25, 0.125])

    @pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "noam"])
    def test_the_rate_rises_over_the_warm_up(self, schedule):
        train = TrainSettings(learning_rate=1.0, schedule=schedule, warmup_steps=3)
        assert [learning_rate(train, step, 0.0) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])

    @given(
        schedule=st.sampled_from(SCHEDULES),
        warmup=st.integers(0, 300),
        steps=st.integers(1, 1_000),
        start=st.floats(0, 1),
        halvings=st.integers(1, 20),
    )
    @settings(max_examples=60, deadline=None)
    def test_a_rate_never_rises_after_the_warm_up_nor_falls_in_it(self, schedule, warmup, steps, start, halvings):
        train = TrainSettings(
            learning_rate=1.0, schedule=schedule, warmup_steps=warmup, halving_start=start, halvings=halvings
        )
        at = [learning_rate(train, step, 0.0, width=9) for step in range(warmup + 1)]
        assert all(earlier <= later * (1 + 1e-12) for earlier, later in itertools.pairwise(at[:-1]))
        found = [learning_rate(train, warmup + step, step / steps, width=9) for step in range(steps + 1)]
        assert all(later <= earlier * (1 + 1e-12) for earlier, later in itertools.pairwise(found))
        assert all(0 < rate <= 1 for rate in found)


class TestPlateau:
    def course(self, patience):
        train = TrainSettings(
            schedule="plateau", plateau_patience=patience, plateau_factor=0.1, learning_rate=1.0, warmup_steps=0
        )
        return Course(train, 100)

    def test_patience_begins_anew_after_a_fall_and_after_a_better_one(self):
        course, falls = self.course(2), []
        for better in (True, False, True, False, False, False, False, False, True, False):
            course = course.heard(better=better)
            falls.append(course.falls)
        assert falls == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]
        assert course.rate(50, 0.0) == pytest.approx(0.01)

    def test_what_it_waited_for_is_kept(self):
        course = self.course(3).heard(better=False).heard(better=False)
        kept = Course.from_json(course.train, course.to_json())
        assert kept.heard(better=False).falls == 1

    def test_other_schedules_hear_nothing(self):
        course = Course(TrainSettings(schedule="cosine"), 100)
        assert course.heard(better=False) is course


class Widthless:
    """The knobs of a model that has no hidden_size."""


class TestFactor:
    def settings(self, config, **train):
        return RunSettings("strange", config, DataSettings(), TrainSettings(**train), DecodeSettings())

    def test_noam_needs_a_width(self):
        with pytest.raises(SettingsError, match=r"noam needs the hidden_size .* 'strange'") as caught:
            model_width(self.settings(Widthless(), schedule="noam"))
        assert "inverse-sqrt" in caught.value.hint
        assert model_width(self.settings(Widthless(), schedule="cosine")) is None

    @pytest.mark.parametrize(
        ("size", "given", "rate"),
        [
            (None, {"schedule": "noam"}, 1.0),
            ("medium", {"schedule": "noam"}, 1.0),
            ("medium", {"schedule": "noam", "learning_rate": 0.5}, 0.5),
            ("medium", {"schedule": "cosine"}, 2e-3),
            (None, {}, 3e-3),
        ],
    )
    def test_the_factor_is_one_where_none_is_given(self, tmp_path, size, given, rate):
        from s2sbot.plugins import Plugins
        from s2sbot.text.corpus import open_corpus

        (tmp_path / "pairs.tsv").write_text("a\tb\n", "utf-8")
        corpora = [open_corpus(tmp_path / "pairs.tsv")]
        found = resolve_settings(corpora, "simple", None, size, {"train": given}, Plugins())
        assert found.train.learning_rate == rate


def adam(weight, grad, state, step, *, rate, decay):
    grad = grad + decay * weight
    return _adam(weight, grad, state, step, rate)


def adamw(weight, grad, state, step, *, rate, decay):
    return _adam(weight * (1 - rate * decay), grad, state, step, rate)


def _adam(weight, grad, state, step, rate):
    first = 0.9 * state.get("first", 0) + 0.1 * grad
    second = 0.999 * state.get("second", 0) + 0.001 * grad**2
    state.update(first=first, second=second)
    return weight - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)


def sgd(weight, grad, state, step, *, rate, decay):
    return weight - rate * (grad + decay * weight)


def adagrad(weight, grad, state, step, *, rate, decay):
    grad = grad + decay * weight
    state["sum"] = state.get("sum", 0) + grad**2
    return weight - rate * grad / (np.sqrt(state["sum"]) + 1e-10)


def adadelta(weight, grad, state, step, *, rate, decay):
    grad = grad + decay * weight
    state["square"] = 0.95 * state.get("square", 0) + 0.05 * grad**2
    delta = np.sqrt(state.get("delta", 0) + 1e-6) / np.sqrt(state["square"] + 1e-6) * grad
    state["delta"] = 0.95 * state.get("delta", 0) + 0.05 * delta**2
    return weight - rate * delta


NUMPY = {update.__name__: update for update in (adam, adamw, sgd, adagrad, adadelta)}
NAMES = {"adam": ("exp_avg", "first"), "adamw": ("exp_avg_sq", "second"), "adagrad": ("sum", "sum")}
NAMES["adadelta"] = ("acc_delta", "delta")


class Weights(torch.nn.Module):
    """Two tensors that have gradients put into them."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        shapes = ((3, 2), (4,))
        self.both = torch.nn.ParameterList(torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)


def steps(name, *, fused, monkeypatch, clip=1.5, decay=0.02, rate=0.3):
    """Take eight steps, the fourth with a NaN; return the weights, the optimiser, and what numpy makes of both."""
    if not fused:
        monkeypatch.setattr(optimization, "_can_fuse", lambda kind, device: False)
    train = TrainSettings(optimizer=name, learning_rate=rate, weight_decay=decay, clip=clip)
    updater = Updater(Weights(), train, device=torch.device("cpu"))
    random = np.random.default_rng(2)
    flat = np.concatenate([weight.detach().numpy().ravel() for weight in updater.parameters])
    state, number = {}, 0
    for step in range(8):
        grads = [random.normal(size=tuple(weight.shape)) * (1 + step % 3) for weight in updater.parameters]
        if step == 3:
            grads[0][0, 0] = np.nan
        for weight, grad in zip(updater.parameters, grads, strict=True):
            weight.grad = torch.from_numpy(grad.copy())
        finite, scale = updater._judge(torch.zeros(()))
        updater._step(finite, scale)
        whole = np.concatenate([grad.ravel() for grad in grads])
        norm = np.sqrt((whole**2).sum())
        assert bool(finite) == (step != 3)
        if step != 3:
            number += 1
            flat = NUMPY[name](flat, whole / max(1.0, norm / clip), state, number, rate=rate, decay=decay)
    weights = np.concatenate([weight.detach().numpy().ravel() for weight in updater.parameters])
    return weights, updater.optimizer, flat, state


@pytest.mark.parametrize("name", sorted(NUMPY))
@pytest.mark.parametrize("fused", [True, False])
def test_an_optimiser_steps_as_numpy_does(name, fused, monkeypatch):
    """Clipped where the norm is above 1.5, and with a step between that is skipped, as if it had not been."""
    weights, optimizer, wanted, state = steps(name, fused=fused, monkeypatch=monkeypatch)
    assert [bool(group.get("fused")) for group in optimizer.param_groups] == [fused and name != "adadelta"]
    # the divisor goes to a fused kernel as a float32
    np.testing.assert_allclose(weights, wanted, rtol=0, atol=1e-6 if fused else 1e-13)
    if name in NAMES:
        own, hand = NAMES[name]
        parts = [optimizer.state[weight][own].numpy().ravel() for weight in optimizer.param_groups[0]["params"]]
        np.testing.assert_allclose(np.concatenate(parts), state[hand], rtol=1e-6 if fused else 1e-12, atol=0)
        assert {int(values["step"]) for values in optimizer.state.values()} == {7}


def test_the_two_adams_differ_in_what_decays():
    """Beside a large gradient, decay that is a part of it hardly counts; decay that is decoupled counts whole."""
    found = {}
    for name in ("adam", "adamw"):
        weight = torch.nn.Parameter(torch.tensor([10.0], dtype=torch.float64))
        optimizer = make_optimizer([weight], TrainSettings(optimizer=name, learning_rate=0.1, weight_decay=0.5))
        weight.grad = torch.tensor([1e6], dtype=torch.float64)
        optimizer.step()
        found[name] = float(weight.detach())
    assert found == pytest.approx({"adam": 10 - 0.1, "adamw": 10 * (1 - 0.05) - 0.1}, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("sgd", torch.optim.SGD),
        ("adagrad", torch.optim.Adagrad),
        ("adadelta", torch.optim.Adadelta),
    ],
)
def test_optimisers_by_name(name, kind):
    assert type(make_optimizer([torch.nn.Parameter(torch.ones(3))], TrainSettings(optimizer=name))) is kind


def test_what_torch_cannot_fuse_goes_the_plain_way(monkeypatch):
    class Unfused(torch.optim.SGD):
        def step(self, closure=None):
            if self.param_groups[0]["fused"]:
                raise NotImplementedError("no such kernel")

    monkeypatch.setitem(optimization._FUSED, "sgd", Unfused)
    [group] = make_optimizer([torch.nn.Parameter(torch.ones(1))], TrainSettings(optimizer="sgd")).param_groups
    assert group["fused"] is False


def test_adadelta_has_the_papers_constants():
    [group] = make_optimizer([torch.nn.Parameter(torch.ones(1))], TrainSettings(optimizer="adadelta")).param_groups
    assert (group["rho"], group["eps"]) == (0.95, 1e-6)
