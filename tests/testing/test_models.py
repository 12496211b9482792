"""The suite for models passes what is right, and catches what is wrong in exactly one way."""

from __future__ import annotations

import re

import pytest
import torch
import wrong_models as wrong
from right_models import Adaptive, Config, Mindful, NearlyTied, Plain, ProjectsOtherwise, Right, SaysItsOutputLayer

from s2sbot.nn import state_to_bytes
from s2sbot.testing import check_model, model_checks
from s2sbot.testing.findings import Check, run_checks
from s2sbot.testing.learning import SETS, check_by_heart
from s2sbot.testing.model import checks_of_model, heart_checks
from s2sbot.testing.subject import Subject

SHAPES = "batch comes first, and shapes fit"
VOCABULARIES = "source and target have vocabularies of their own"
STEPS = "all steps at once equal one by one"
PADDING = "padding changes nothing"
ROWS = "rows can be dropped, repeated and reordered"
BATCHES = "the rest of the batch changes nothing"
BEAM = "greedy search equals a beam of one"
SAVING = "saving and loading change nothing"
EVALUATION = "evaluation is deterministic"
SEED = "it chooses no seed"
GRADIENTS = "a gradient reaches every parameter"
MIND = "it has a mind between turns where it says so, and only there"
ZEROS = "no mind yet is a mind of zeros"
MIND_ROWS = "a mind is its row's own, and survives storage"
TABLES = "tables of embeddings are its own"
OUTPUT = "the loss by output_layer() equals that by project()"
KNOBS = "sizes and presets are of knobs that it has"

WRONG_MODELS = [
    (wrong.PaddingReachesTheEncoder, PADDING, "hidden states of a row in a batch and by itself: .* apart"),
    (wrong.StateAtTheEndOfThePadding, PADDING, "final states of a row in a batch and by itself"),
    (wrong.PaddingIsAttendedTo, PADDING, "a row in a batch and by itself"),
    (wrong.StateNotBatchFirst, SHAPES, r"the memory's state: batch is not the first dimension of \(1, 5, 12\)"),
    (wrong.StateGrows, SHAPES, "is given a state of .* and returns one of"),
    (wrong.ReturnsAPlainTuple, SHAPES, "returns a tuple, not a Memory"),
    (wrong.MaskOfNumbers, SHAPES, "the memory's mask is torch.int64, not bool"),
    (wrong.LogitsOfTheSource, VOCABULARIES, r"shape \(5, 7, 40\), not \(5, 7, 29\)"),
    (wrong.OneTableForBoth, VOCABULARIES, "IndexError"),
    (wrong.CountsTheCallsTime, STEPS, "hidden states of all steps at once and one by one"),
    (wrong.RowsMix, ROWS, "selected before and after encode()"),
    (wrong.RowsMix, PADDING, "in a batch and by itself"),
    (wrong.PlaceInTheBatchCounts, BATCHES, "greedy search by itself and in a batch of 5: .* apart"),
    (
        wrong.FarFromTied,
        BATCHES,
        "\\[20, 20, 20, 20, 20, 20, 20, 20\\], though the best candidates where they part are .*e-0[34] apart",
    ),
    (wrong.RemembersTheBatch, ROWS, r"hidden states of rows \(4, 3, 2, 1, 0\) selected before and after a step"),
    (wrong.ChangesTheStateInPlace, EVALUATION, "a second call|memory before and after"),
    (wrong.CountsCalls, BEAM, "greedy search and a beam of one"),
    (wrong.CountsCalls, EVALUATION, "a second call"),
    (wrong.DrawsInEvaluation, EVALUATION, "a second call returns other hidden states"),
    (wrong.DrawsForNothing, EVALUATION, "random numbers are drawn"),
    (wrong.LeavesEvaluation, EVALUATION, "leaves evaluation mode"),
    (wrong.KeepsWeightsToItself, SAVING, "answers otherwise"),
    (wrong.LosesABuffer, SAVING, "answers otherwise"),
    (wrong.SetsASeed, SEED, "the constructor sets the seed"),
    (wrong.HasASeedOfItsOwn, SEED, "a seed of the model's own"),
    (wrong.SetsASeedInTraining, SEED, r"encode\(\) or decode\(\) sets the seed"),
    (wrong.DrawsFromElsewhere, SEED, "two models of one seed have different weights"),
    (wrong.HasAnUnusedParameter, GRADIENTS, "no gradient reaches spare"),
    (wrong.HasAParameterTimesZero, GRADIENTS, "no gradient reaches spare"),
    (wrong.HasGradientsWithoutEnd, GRADIENTS, "the gradient of .* is not finite"),
    (wrong.SaysItHasAMind, MIND, r"`stateful` is True, but carry\(\) is empty"),
    (wrong.HasAMindAndForgets, MIND, "the same whatever the carry is"),
    (wrong.HasAMindAndDoesNotSay, MIND, r"`stateful` is False, but carry\(\) returns 1 tensors"),
    (wrong.KeepsItsMindInside, MIND, r"depends on turns before, but not by way of carry\(\)"),
    (wrong.KeepsItsMindInTraining, MIND, "in training a turn depends on those before"),
    (wrong.MindThatGrows, MIND_ROWS, "changes shape from turn to turn"),
    (wrong.MindNotBatchFirst, MIND, r"carry\(\): batch is not the first dimension of \(1, 3, 12\)"),
    (wrong.MindOfANumber, MIND, r"carry\(\) holds a int, not only tensors"),
    (wrong.ZerosAreAMind, ZEROS, "after a carry of zeros and after an empty one"),
    (wrong.MindsMix, ZEROS, "a row that begins, in a batch where others go on"),
    (wrong.MindAtTheEndOfThePadding, MIND_ROWS, "the first carry of a row in a padded batch and by itself"),
    (wrong.TablesOfAnotherSize, TABLES, "the source's table has 29 rows for a vocabulary of 40"),
    (wrong.TablesOfNobody, TABLES, "the source's table is none of the model's parameters"),
    (wrong.TablesThatAreNone, TABLES, "the target's table is a Linear"),
    (
        wrong.OutputLayerWithoutItsBias,
        OUTPUT,
        r"losses of tokens by output_layer\(\) and by project\(\) in eval.* apart",
    ),
    (
        wrong.OutputLayerWithoutItsDropout,
        OUTPUT,
        r"losses of tokens by output_layer\(\) and by project\(\) in training",
    ),
    (wrong.OutputLayerThatDoesNotLearn, OUTPUT, "gradients of output.weight by .* in evaluation: .* apart"),
    (wrong.OutputLayerOfTheBeginning, OUTPUT, "losses of tokens"),
    (wrong.OutputLayerIsALinear, OUTPUT, "returns a Linear, not a LinearOutput"),
    (wrong.AdaptiveOutputLayerOfAnother, OUTPUT, "losses of tokens"),
    (wrong.UnknownSize, KNOBS, "there is no size huge"),
    (wrong.SizeOfAnUnknownKnob, KNOBS, "unknown key model.hidden"),
    (wrong.PresetOfAnUnknownTable, KNOBS, "the preset paper has a table models"),
    (wrong.PresetOutOfLimits, KNOBS, "model.size cannot be 'wide'"),
    (wrong.ConfigNeedsAValue, KNOBS, "TypeError"),
]


def found(checks: list[Check]) -> dict[str, str | None]:
    return {finding.name: finding.cause for finding in run_checks(checks)}


RIGHT_MODELS = [
    Right,
    Plain,
    Mindful,
    NearlyTied,
    SaysItsOutputLayer,
    ProjectsOtherwise,
    Adaptive,
    wrong.OpensAGateLater,
]


@pytest.mark.parametrize("kind", RIGHT_MODELS)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_what_is_right_passes(kind, cell):
    causes = found(checks_of_model(kind, Config(cell=cell)))
    assert len(causes) == 17
    assert {name: cause for name, cause in causes.items() if cause is not None} == {}


@pytest.mark.parametrize(("kind", "name", "cause"), WRONG_MODELS, ids=lambda value: getattr(value, "__name__", None))
def test_what_is_wrong_is_caught(kind, name, cause):
    [check] = [check for check in checks_of_model(kind, Config()) if check.name == name]
    [finding] = run_checks([check])
    assert finding.cause is not None
    assert re.search(cause, finding.cause), finding.cause
    assert "\n" not in finding.cause


# each is wrong in one way only, which the other checks do not mistake for another one
ALONE = [
    wrong.CountsTheCallsTime,
    wrong.DrawsForNothing,
    wrong.SetsASeed,
    wrong.HasAnUnusedParameter,
    wrong.HasAParameterTimesZero,
    wrong.UnknownSize,
]
ALONE += [
    wrong.SaysItHasAMind,
    wrong.HasAMindAndDoesNotSay,
    wrong.ZerosAreAMind,
    wrong.TablesOfNobody,
    wrong.FarFromTied,
    wrong.LosesABuffer,
    wrong.OutputLayerWithoutItsBias,
    wrong.OutputLayerWithoutItsDropout,
    wrong.OutputLayerThatDoesNotLearn,
]


@pytest.mark.parametrize("kind", ALONE)
def test_one_fault_is_one_failure(kind):
    causes = found(checks_of_model(kind, Config()))
    [expected] = [name for each, name, _ in WRONG_MODELS if each is kind]
    assert [name for name, cause in causes.items() if cause is not None] == [expected]


@pytest.mark.parametrize("name", SETS)
def test_a_set_can_be_told_apart_only_by_its_sources(name):
    sources, targets = SETS[name]
    assert len(sources) == len(targets) == 6
    assert len({tuple(sorted(row)) for row in sources}) == 6
    assert len({tuple(row) for row in targets}) == 6


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(("cell", "size"), [("gru", 16), ("lstm", 16), ("gru", 32), ("lstm", 32), ("lstm", 512)])
def test_a_plain_model_learns_by_heart(name, cell, size):
    check_by_heart(Subject(Plain, Config(size=size, cell=cell, dropout=0.5)), name)


def test_a_model_that_ignores_its_source_learns_nothing_by_heart(monkeypatch):
    monkeypatch.setattr("s2sbot.testing.learning.STEPS", 200)
    causes = found(heart_checks(wrong.IgnoresTheSource, Config(size=32)))
    assert len(causes) == 3
    for cause in causes.values():
        assert cause is not None
        assert re.match(r"after 200 steps [56] of 6 targets are wrong, such as \[", cause)


def test_a_model_whose_loss_is_not_finite_learns_nothing():
    class Broken(Plain):
        def project(self, hidden):
            return super().project(hidden) * torch.inf

    [finding, *_] = run_checks(heart_checks(Broken, Config()))
    assert finding.cause == "after 1 steps the loss is nan"


def test_what_storage_rounds_is_caught(monkeypatch):
    def rounded(state):
        return state_to_bytes(tuple(part.half().float() for part in state))

    monkeypatch.setattr("s2sbot.testing.weights.state_to_bytes", rounded)
    causes = found(checks_of_model(Mindful, Config()))
    assert {name: cause for name, cause in causes.items() if cause is not None} == {
        SAVING: "a state and what was stored of it differ",
        MIND_ROWS: "a carry and what was stored of it differ",
    }


def test_dropout_is_left_out_only_for_learning_by_heart():
    seen = []

    class Watched(Plain):
        def __init__(self, config, source_vocab, target_vocab):
            super().__init__(config, source_vocab, target_vocab)
            seen.append(config.dropout)

    check_by_heart(Subject(Watched, Config(size=32, dropout=0.3)), "copy")
    assert seen == [0.0]
    run = checks_of_model(Watched, Config(dropout=0.3))[0].run
    run()
    assert seen == [0.0, 0.3]


def test_check_model_raises_what_differs_and_from_where():
    check_model(Plain, Config(size=8), by_heart=Config(size=32))
    with pytest.raises(AssertionError, match=f"{GRADIENTS}: no gradient reaches spare"):
        check_model(wrong.HasAnUnusedParameter, Config())
    with pytest.raises(AssertionError, match=f"{VOCABULARIES}: IndexError: index out of range") as raised:
        check_model(wrong.OneTableForBoth, Config())
    assert isinstance(raised.value.__cause__, IndexError)


def test_findings_go_on_after_a_failure_and_say_what_starts():
    names = []
    findings = model_checks(wrong.HasAnUnusedParameter, Config(size=32), started=names.append)
    first = next(findings)
    assert names == [first.name]
    rest = list(findings)
    assert [finding.name for finding in (first, *rest)] == names
    assert [finding.name for finding in rest if finding.cause is not None] == [GRADIENTS]
    assert all(finding.seconds >= 0 for finding in rest)
    assert names[-3:] == [f"it learns by heart: {name}" for name in ("copy", "reverse", "exchanges")]


def test_checks_leave_the_random_state_the_threads_and_the_mode_of_gradients_alone():
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    found(checks_of_model(Mindful, Config()))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()
