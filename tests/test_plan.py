"""What an update takes is tried without a trace; a budget becomes steps, once, and is kept to."""

import dataclasses

import pytest
import torch
from small import tables, write_pairs

import s2sbot
from s2sbot import TrainingError
from s2sbot.settings import TrainSettings
from s2sbot.trainer import plan as planning
from s2sbot.trainer.checkpoint import Checkpoint
from s2sbot.trainer.course import Course
from s2sbot.trainer.plan import Plan, Trial

TRIAL = Trial(parameters=1_000, largest=2**20, seconds=0.5, tokens_per_second=100.0, parts=1)


class TestPlan:
    def test_the_steps_fill_what_is_left(self):
        plan = Plan.of(TRIAL, budget=100.0, seconds=90.0, apart=10.0)
        assert plan.steps == 160
        assert "160 steps" in plan.message

    def test_a_run_that_is_made_longer_keeps_its_steps(self):
        plan = Plan.of(TRIAL, budget=200.0, seconds=100.0, apart=10.0, done=(160, 90.0))
        assert plan.steps == 160 + 180
        assert plan.seconds == 190.0

    def test_a_budget_that_is_used_up_still_has_some_steps(self):
        assert Plan.of(TRIAL, budget=1.0, seconds=-3.0, apart=10.0).steps == planning.MIN_STEPS

    def test_it_comes_back_from_a_checkpoint(self):
        for plan in (Plan.of(TRIAL, budget=9.0, seconds=8.0, apart=1.0), Plan(9.0, 8.0, 14, 0.5, 1.0, (7, 20))):
            assert Plan.from_json(plan.to_json()) == plan

    @pytest.mark.parametrize(
        ("fraction", "elapsed", "steps"),
        [
            (0.1, 90.0, None),  # too early to judge by
            (0.3, 27.0, None),  # as planned
            (0.3, 27.4, None),  # nearly so
            (0.3, 54.0, 80),  # half as fast: half of the steps
            (0.5, 22.5, 320),  # twice as fast
            (0.9, 300.0, 145),  # long over it: one more step and an end
        ],
    )
    def test_it_is_changed_where_the_end_would_be_missed(self, fraction, elapsed, steps):
        plan = Plan.of(TRIAL, budget=100.0, seconds=90.0, apart=10.0)
        assert plan.corrected(round(160 * fraction), elapsed, fraction) == steps

    def test_it_is_changed_once(self):
        plan = Plan.of(TRIAL, budget=100.0, seconds=90.0, apart=10.0).change(48, 80)
        assert (plan.steps, plan.changed) == (80, (48, 160))
        assert plan.corrected(60, 500.0, 0.6) is None


class TestCourse:
    def test_a_changed_plan_leaves_no_leap_in_the_rate(self):
        before = Course(TrainSettings(warmup_steps=0), 100)
        after = before.stretched(40, 70)
        assert after.rate(40, 0.0) == pytest.approx(before.rate(40, 0.0), rel=1e-12)
        assert after.fraction(70, 0.0) == pytest.approx(1.0)
        fractions = [after.fraction(step, 0.0) for step in range(40, 71)]
        assert fractions == sorted(fractions)

    def test_it_comes_back_from_a_checkpoint(self):
        train = TrainSettings()
        course = Course(train, 100, (7, 0.25), cuts=1, falls=2)
        assert Course.from_json(train, course.to_json()) == course

    def test_passes_are_counted_where_no_steps_are(self):
        assert Course(TrainSettings(epochs=4), None).fraction(999, 1.0) == 0.25


@pytest.fixture
def loop(tmp_path):
    """Return a loop before its first step."""
    pairs = write_pairs(tmp_path / "pairs.tsv")
    with s2sbot.training(pairs, bot=tmp_path / "a.bot", settings=tables(optimizer="adadelta")) as run:
        for event in run:
            if event.kind == "start":
                yield run._loop
                return


class TestTrial:
    def test_it_leaves_no_trace(self, loop):
        loop.trial = None
        before = {name: tensor.clone() for name, tensor in loop.model.state_dict().items()}
        loop.try_machine()
        assert all(torch.equal(before[name], tensor) for name, tensor in loop.model.state_dict().items())
        assert not loop.updater.optimizer.state
        assert loop.updater.read("tokens", "bad") == {"tokens": 0.0, "bad": 0.0}
        assert not any(bool(part.any()) for part in loop.minds.state)

    def test_the_largest_update_is_tried_before_any_step(self, loop, monkeypatch):
        tried = []
        original = planning.Updater.update

        def update(self, packed, update, minds, **options):
            tried.append(packed.tokens(update.turns))
            original(self, packed, update, minds, **options)

        monkeypatch.setattr(planning.Updater, "update", update)
        loop.trial = None
        loop.try_machine()
        assert tried[1] == max(loop.prepared.train.tokens(each.turns) for each in loop.order.updates)

    def test_a_batch_that_is_expected_not_to_fit_is_cut_beforehand(self, loop, monkeypatch):
        loop.trial = None
        largest = loop.try_machine().largest
        monkeypatch.setattr(planning, "free_memory", lambda device: largest // 2)
        loop.trial = None
        assert loop.try_machine().parts >= 4
        assert loop.updater.parts >= 4

    def test_what_is_expected_is_what_the_way_back_keeps(self, loop):
        """The decoder's hidden states alone are in it once at least, and all of it is no more than a thousandfold."""
        loop.trial = None
        largest = loop.try_machine().largest
        update = max(loop.order.updates, key=lambda each: loop.prepared.train.tokens(each.turns))
        tokens = loop.prepared.train.target_tokens(update.turns)
        hidden = loop.settings.config.hidden_size * 4 * tokens
        assert hidden < largest < 1_000 * hidden


class TestParts:
    """An update in parts is the update."""

    def one_step(self, tmp_path, parts, model, broken=None):
        name = f"{model}-{parts}.bot"
        knobs = tables(precision="float64", steps=1, bptt_turns=2)
        with s2sbot.training(
            write_pairs(tmp_path / "pairs.tsv"), bot=tmp_path / name, model=model, settings=knobs
        ) as run:
            for event in run:
                if event.kind == "start":
                    run._loop.updater.parts = parts
                    if broken:
                        broken(run._loop.updater)
                if event.kind == "step" and event.step == 1:
                    break
            return run._loop.updater.parts, {k: v.clone() for k, v in run._loop.model.state_dict().items()}

    @pytest.mark.parametrize("model", ["attention", "stateful-broadcast"])
    def test_gradients_are_accumulated_to_the_same(self, tmp_path, model):
        _, whole = self.one_step(tmp_path, 1, model)
        _, parts = self.one_step(tmp_path, 3, model)
        for name, tensor in whole.items():
            torch.testing.assert_close(tensor, parts[name], rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize(
        "error",
        [
            torch.OutOfMemoryError("CUDA out of memory"),
            RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
            MemoryError(),
        ],
    )
    def test_where_memory_runs_out_the_parts_are_halved(self, tmp_path, error):
        def breaking(updater):
            original, left = updater._backward, [2]

            def backward(*args):
                if left[0]:
                    left[0] -= 1
                    raise error
                return original(*args)

            updater._backward = backward

        _, whole = self.one_step(tmp_path, 1, "attention")
        (tmp_path / "attention-1.bot").rename(tmp_path / "whole.bot")
        parts, tried = self.one_step(tmp_path, 1, "attention", broken=breaking)
        assert parts == 4
        for name, tensor in whole.items():
            torch.testing.assert_close(tensor, tried[name], rtol=1e-9, atol=1e-12)

    def test_what_is_no_lack_of_memory_is_an_error(self, tmp_path):
        def breaking(updater):
            def backward(*args):
                raise RuntimeError("something else")

            updater._backward = backward

        with pytest.raises(RuntimeError, match="something else"):
            self.one_step(tmp_path, 1, "attention", broken=breaking)

    def test_an_exchange_that_never_fits_is_named(self, tmp_path):
        def breaking(updater):
            def backward(*args):
                raise MemoryError

            updater._backward = backward

        with pytest.raises(TrainingError, match="not enough memory") as caught:
            self.one_step(tmp_path, 1, "attention", broken=breaking)
        assert "--size" in caught.value.hint


class TestSize:
    def chosen(self, tmp_path, monkeypatch, rate, **options):
        """Return the size that is chosen where the machine makes so many tokens a second."""
        from s2sbot.trainer import sizing

        monkeypatch.setattr(sizing, "LARGER", {"medium": (100, 8), "large": (100, 20)})
        original = planning.try_updates
        monkeypatch.setattr(
            "s2sbot.trainer.loop.try_updates",
            lambda *args, **kw: dataclasses.replace(original(*args, **kw), tokens_per_second=rate, seconds=1e-3),
        )
        pairs = write_pairs(tmp_path / "pairs.tsv")
        knobs = {"data": {"tokenizer": "words", "valid_share": 0.2}, "train": {"budget": 60.0, "threads": 1}}
        knobs = {**knobs, **options.pop("settings", {})}
        messages = []
        with s2sbot.training(pairs, bot=tmp_path / "a.bot", settings=knobs, **options) as run:
            for event in run:
                messages.append(event.message)
                if event.kind == "start":
                    break
            return run.settings.config.hidden_size, " ".join(messages)

    def test_a_short_budget_takes_the_small_one(self, tmp_path, monkeypatch):
        hidden, said = self.chosen(tmp_path, monkeypatch, rate=1.0)
        assert hidden == 512
        assert "size small" in said

    def test_a_long_one_a_larger_one_and_says_why(self, tmp_path, monkeypatch):
        hidden, said = self.chosen(tmp_path, monkeypatch, rate=200.0)
        assert hidden == 1024
        assert "size medium" in said
        assert "passes" in said

    def test_what_was_asked_for_is_kept(self, tmp_path, monkeypatch):
        hidden, said = self.chosen(tmp_path, monkeypatch, rate=1e6, settings={"model": {"hidden_size": 30}})
        assert hidden == 30
        assert "size" not in said.replace("--size", "")


def test_a_budget_is_spent_as_planned_and_the_plan_is_kept(tmp_path):
    """The clock is not looked at: a machine that is busy may take longer."""
    bot = tmp_path / "a.bot"
    with s2sbot.training(
        write_pairs(tmp_path / "pairs.tsv"), bot=bot, settings=tables(steps=None, budget=3.0, keep_checkpoints=99)
    ) as run:
        events = list(run)
    states = [Checkpoint.load(path).state for path in (bot / "training" / "checkpoints").iterdir()]
    plans = {state["plan"]["steps"] for state in states}
    assert events[-1].step in plans
    assert len(plans) <= 2
    assert len(plans) == 1 + sum("the plan has changed" in event.message for event in events)
