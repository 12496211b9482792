"""What `--doctor` says of models, data and settings that are right, and of those that are wrong in one way each."""

import dataclasses

import pytest
import torch
import wrong_models
from right_models import Config, Mindful, Plain, Right
from small import SETTINGS, tables, write_pairs

import s2sbot
from s2sbot.nn.encoder_decoder import LinearOutput, model_tensors
from s2sbot.plugins import Plugins
from s2sbot.text.packed import Packed
from s2sbot.text.tokenizer import PAD, UNK
from s2sbot.trainer.doctor import diagnose
from s2sbot.trainer.handful import handful, rows_verdict, texts_verdict
from s2sbot.trainer.loop import Loop

CHECKS = [
    "texts", "rows", "first loss", "finite", "gradients", "padding", "steps", "evaluation", "by heart", "decoding",
    "largest batch", "learning rate",
]  # fmt: skip


class OneModel(Plugins):
    """Plugins, and a model of the test's own."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def model(self, name):
        return self.kind if name == "own" else super().model(name)


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """Return settings, and exchanges prepared with them."""
    folder = tmp_path_factory.mktemp("doctor")
    with s2sbot.training(write_pairs(folder / "pairs.tsv"), bot=folder / "a.bot", settings=tables(steps=1)) as run:
        for _ in run:
            pass
        return run._loop.settings, run._loop.prepared


@pytest.fixture
def loop_of(ready, tmp_path):
    """Return a function that returns a run of a model, before its first step."""
    settings, prepared = ready

    def make(kind, config=None, prepared=prepared, **train):
        config = config or Config(size=32)
        changed = dataclasses.replace(
            settings, model="own", config=config, train=dataclasses.replace(settings.train, **train)
        )
        return Loop(tmp_path / "b.bot", changed, prepared, OneModel(kind), torch.device("cpu"))

    return make


def found_by(check, loop):
    return next(found for found in diagnose(loop) if found.name == check)


class DetachesTheEncoder(Right):
    def encode(self, source, source_mask, carry=()):
        memory = super().encode(source, source_mask, carry)
        return memory._replace(values=memory.values.detach(), state=tuple(part.detach() for part in memory.state))


class DividesByZero(Right):
    def project(self, hidden):
        return super().project(hidden) * (hidden[..., :1] / 0)


class LooksAhead(Right):
    def decode(self, tokens, memory, state):
        step = super().decode(tokens, memory, state)
        return step._replace(hidden=step.hidden + step.hidden.mean(1, keepdim=True))


class SaysOtherwiseThanItLearns(Right):
    def project(self, hidden):
        logits = super().project(hidden)
        return logits.roll(1, -1) if torch.is_inference_mode_enabled() else logits


class LearnsFromOtherLogits(Right):
    def output_layer(self):
        return LinearOutput(self.output.weight * 30, self.output.bias)

    def project(self, hidden):
        return super().project(hidden)


class RaisesInDecode(Right):
    def decode(self, tokens, memory, state):
        raise RuntimeError("mat1 and mat2\nshapes cannot be multiplied")


@pytest.mark.parametrize("kind", [Right, Plain, Mindful, wrong_models.OpensAGateLater])
def test_a_right_model_is_healthy(loop_of, kind):
    found = list(diagnose(loop_of(kind)))
    assert [each.name for each in found] == CHECKS
    assert {each.name: (each.said, each.remedy) for each in found if each.state != "right"} == {}
    assert "known after" in found[CHECKS.index("by heart")].said


@pytest.mark.parametrize("name", ["attention", "simple", "peek", "stateful-broadcast"])
def test_our_own_models_are_healthy(ready, tmp_path, name):
    settings, prepared = ready
    plugins = Plugins()
    config = plugins.model(name).Config(embedding_size=24, hidden_size=32)
    loop = Loop(tmp_path / "b.bot", dataclasses.replace(settings, model=name, config=config), prepared, plugins,
                torch.device("cpu"))  # fmt: skip
    assert loop.settings.config.dropout > 0
    assert [(each.name, each.said) for each in diagnose(loop) if each.state != "right"] == []


@pytest.mark.parametrize(
    ("kind", "check", "words"),
    [
        (DetachesTheEncoder, "gradients", "encoder.stack.layers.0.fused.weight_ih_l0"),
        (wrong_models.HasAnUnusedParameter, "gradients", "no gradient reaches spare"),
        (wrong_models.HasAParameterTimesZero, "gradients", "no gradient reaches spare"),
        (wrong_models.HasGradientsWithoutEnd, "finite", "the gradient of"),
        (DividesByZero, "first loss", "not finite"),
        (wrong_models.PaddingReachesTheEncoder, "padding", "the padding of a source counts"),
        (wrong_models.PaddingIsAttendedTo, "padding", "the padding of a source counts"),
        (wrong_models.RowsMix, "padding", "the other rows of a batch count"),
        (wrong_models.CountsCalls, "padding", "another loss each time"),
        (wrong_models.StateNotBatchFirst, "steps", "has a tensor of shape (1, "),
        (wrong_models.CountsTheCallsTime, "steps", "with one token after the other"),
        (LooksAhead, "padding", "what comes behind a token counts"),
        (LooksAhead, "steps", "with one token after the other"),
        (wrong_models.StateAtTheEndOfThePadding, "steps", "not that after its last real token"),
        (wrong_models.KeepsItsMindInTraining, "evaluation", "in training and in evaluation are up to"),
        (SaysOtherwiseThanItLearns, "decoding", "greedy search finds others for"),
        (LearnsFromOtherLogits, "first loss", "let output_layer() return what project() computes"),
        (RaisesInDecode, "first loss", "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (wrong_models.ReturnsAPlainTuple, "first loss", "AttributeError"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)  # fmt: skip
def test_a_wrong_model_is_found_out(loop_of, monkeypatch, kind, check, words):
    monkeypatch.setattr("s2sbot.trainer.doctor.UPDATES", 100)
    found = found_by(check, loop_of(kind))
    assert found.state == "wrong"
    assert words in f"{found.said}; {found.remedy}"
    assert found.remedy


def test_a_source_that_counts_for_nothing_is_named(loop_of, monkeypatch):
    monkeypatch.setattr("s2sbot.trainer.doctor.UPDATES", 60)
    found = {each.name: each for each in diagnose(loop_of(wrong_models.IgnoresTheSource))}
    assert found["by heart"].state == "wrong"
    assert "it is the same with every source" in found["by heart"].said
    assert found["decoding"].state == "unknown"


def test_what_cannot_be_looked_at_is_said(loop_of):
    found = list(diagnose(loop_of(DividesByZero)))
    assert [each.name for each in found if each.state == "unknown"] == CHECKS[CHECKS.index("padding") :]


def test_a_rate_that_explodes_is_named(loop_of):
    found = found_by("learning rate", loop_of(Right, learning_rate=30.0))
    assert found.state == "wrong"
    assert "20 updates at 30 bring the loss from" in found.said
    assert "--find-lr" in found.remedy


def test_a_rate_that_is_far_too_low_is_doubted(loop_of):
    *_, last = diagnose(loop_of(Right, learning_rate=1e-9))
    assert (last.name, last.state) == ("learning rate", "doubtful")


def test_a_first_loss_far_off_is_doubted(loop_of):
    class SureOfItself(Right):
        def project(self, hidden):
            return 100 * super().project(hidden)

    found = next(each for each in diagnose(loop_of(SureOfItself)) if each.name == "first loss")
    assert found.state == "doubtful"
    assert "sure of wrong tokens" in found.said


def test_the_run_stands_where_it_stood(loop_of):
    loop = loop_of(Right)
    before = {name: tensor.clone() for name, tensor in model_tensors(loop.model).items()}
    list(diagnose(loop))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model_tensors(loop.model).items())
    assert (loop.step, loop.order.position, loop.order.epoch, loop.minds.state) == (0, 0, 0, ())
    assert not loop.updater.optimizer.state
    assert loop.model.dropout.p == pytest.approx(0.1)


def test_regularisation_is_off_while_learning_by_heart(loop_of):
    from s2sbot.trainer.doctor import _Patient

    loop = loop_of(Right, label_smoothing=0.3, word_dropout=0.5, ema=0.9, weight_decay=0.1, optimizer="sgd")
    patient = _Patient(loop, handful(loop.prepared.train, len(loop.prepared.tokenizers[1])))
    assert patient.model.dropout.p == 0.0
    train = patient.updater(1e-3).train
    assert (train.label_smoothing, train.word_dropout, train.ema, train.weight_decay) == (0, 0, 0, 0)
    assert train.optimizer == "adam"


class TestData:
    def test_a_handful_can_be_told_apart(self, ready):
        _, prepared = ready
        packed, vocabulary = prepared.train, len(prepared.tokenizers[1])
        rows = [packed.row(row) for row in handful(packed, vocabulary)]
        assert 2 <= len(rows) <= 16
        assert len({tuple(source) for source, _ in rows}) == len({tuple(target) for _, target in rows}) == len(rows)
        assert handful(packed, vocabulary) == handful(packed, vocabulary)

    def test_what_cannot_be_said_is_not_asked_for(self):
        packed = Packed.pack([([20], [UNK]), ([21], []), ([22], [20] * 25), ([23], [99]), ([24], [20]), ([25], [20])])
        assert [packed.row(row)[1] for row in handful(packed, 40)] == [[20]]

    def test_one_reply_to_everything_is_too_few(self, loop_of, ready):
        _, prepared = ready
        packed = Packed.pack([([20 + row], [20]) for row in range(9)])
        loop = loop_of(Right, prepared=dataclasses.replace(prepared, train=packed))
        *_, last = diagnose(loop)
        assert (last.name, last.state) == ("exchanges", "wrong")

    def test_a_tokenizer_that_loses_words_is_named(self, ready):
        _, prepared = ready
        own = prepared.tokenizers[0]

        class Forgetful:
            def __len__(self):
                return len(own)

            def encode(self, text):
                return own.encode(text)

            def decode(self, ids):
                return own.decode(ids[:-1])

        state, said, _ = texts_verdict(dataclasses.replace(prepared, tokenizers=(Forgetful(), Forgetful())), [])
        assert state == "wrong"
        assert "becomes" in said

    @pytest.mark.parametrize(
        ("rows", "state", "words"),
        [
            ([([20, 21], [22]), ([20], [])], "wrong", "1 of 2 rows have an empty target"),
            ([([20, PAD], [22])], "wrong", "such as PAD"),
            ([([20], [22, 5])], "wrong", "such as id 5"),
            ([([20], [22, 10_000])], "wrong", "such as id 10000"),
            ([([20], [22] * 9)], "wrong", "more than data.max_length"),
            ([([20, UNK], [UNK, 23])], "doubtful", "50.0% of all tokens are UNK"),
            ([([20, 4, 21], [22, 23])], "right", "none empty, targets up to 2 tokens; 0.0%"),
        ],
    )
    def test_odd_rows_are_counted(self, ready, rows, state, words):
        _, prepared = ready
        found = rows_verdict(dataclasses.replace(prepared, train=Packed.pack(rows)), 8)
        assert found[0] == state
        assert words in found[1]


def test_the_same_run_comes_out_with_and_without_a_look(tmp_path):
    pairs = write_pairs(tmp_path / "pairs.tsv")
    figures = []
    for looked in (False, True):
        with s2sbot.training(pairs, bot=tmp_path / f"{looked}.bot", settings=SETTINGS) as run:
            if looked:
                events = run.prepared_loop(sized=False)
                while True:
                    try:
                        next(events)
                    except StopIteration as end:
                        assert all(found.state == "right" for found in diagnose(end.value))
                        break
            figures.append([event.perplexity for event in run if event.kind == "validation"])
    assert len(figures[0]) == 2
    assert figures[0] == figures[1]
    weights = [sorted((tmp_path / f"{looked}.bot").glob("weights-*"))[0].name for looked in (False, True)]
    assert weights[0] == weights[1]


def test_a_run_that_is_only_prepared_leaves_nothing(tmp_path):
    pairs = write_pairs(tmp_path / "pairs.tsv")
    with s2sbot.training(pairs, bot=tmp_path / "a.bot", settings=SETTINGS) as run:
        kinds = [event.kind for event in run.prepared_loop()]
    assert set(kinds) == {"prepare"}
    assert not (tmp_path / "a.bot").exists()
