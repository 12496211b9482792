"""Every model fulfils the contract with every knob it has, and each sees of the source what its table says."""

import itertools
import random

import pytest
import torch

from s2sbot import EOS, SettingsError
from s2sbot.nn import Batch, EncoderDecoder, RecurrentModel
from s2sbot.plugins import Plugins
from s2sbot.settings import build
from s2sbot.testing.findings import require, run_checks
from s2sbot.testing.model import checks_of_model

PLUGINS = Plugins()
MODELS = ["simple", "stateful-broadcast", "peek", "attention"]
KNOBS = {
    "cell": ["lstm", "gru"],
    "depth": [1, 2, [1, 3], [2, 1]],
    "bidirectional": [False, True],
    "broadcast_state": [False, True],
    "inner_broadcast_state": [False, True],
    "reverse_source": [False, True],
    "share_embeddings": [False, True],
    "tie_output": [False, True],
    "initialisation": ["scaled", "uniform", "orthogonal"],
}
OWN = {
    "stateful-broadcast": {"carry": [False, True]},
    "attention": {"score": ["additive", "dot", "general"], "input_feeding": [False, True]},
}
SMALL = {"embedding_size": 7, "hidden_size": 8, "init_scale": 0.3}


def knobs_of(model):
    return {**KNOBS, **OWN.get(model, {})}


def covering(knobs, seed=69):
    """Return settings in which every two values of two knobs occur together.

    Each is grown from a pair that is wanted, knob by knob in any order (Cohen et al., "The AETG System", 1997); the
    seed is one of those that come out with few.
    """
    draw = random.Random(seed)
    values = {name: list(range(len(options))) for name, options in knobs.items()}
    wanted = {
        ((one, a), (other, b))
        for one, other in itertools.combinations(knobs, 2)
        for a, b in itertools.product(values[one], values[other])
    }

    def grown(first):
        row = dict(first)
        for name in draw.sample(sorted(knobs.keys() - row.keys()), len(knobs) - 2):
            options = draw.sample(values[name], len(values[name]))
            row[name] = max(options, key=lambda option: len(wanted & pairs({**row, name: option})))
        return row

    def pairs(row):
        return set(itertools.combinations(((name, row[name]) for name in knobs if name in row), 2))

    rows = []
    while wanted:
        row = max((grown(draw.choice(sorted(wanted))) for _ in range(20)), key=lambda row: len(wanted & pairs(row)))
        wanted -= pairs(row)
        rows.append({name: options[row[name]] for name, options in knobs.items()})
    return rows


def make(model, **knobs) -> RecurrentModel:
    kind = PLUGINS.model(model)
    torch.manual_seed(0)
    return kind(build(kind.Config, {**SMALL, "dropout": 0.0, "cell": "lstm", **knobs}, "model"), 40, 40).eval()


ROWS = [(model, row) for model in MODELS for row in covering(knobs_of(model))]


@pytest.mark.parametrize(("model", "row"), ROWS, ids=[f"{model}-{index}" for index, (model, _) in enumerate(ROWS)])
def test_the_contract_holds_with_every_knob(model, row):
    kind = PLUGINS.model(model)
    require(run_checks(checks_of_model(kind, build(kind.Config, {**SMALL, **row}, "model"))))


@pytest.mark.parametrize("model", MODELS)
def test_every_knob_of_the_recurrent_models_is_there(model):
    fields = PLUGINS.model(model).Config.__dataclass_fields__
    assert set(knobs_of(model)) | {"hidden_size", "embedding_size", "dropout"} <= set(fields)
    assert all(field.metadata["help"] for field in fields.values())


# What each decoder starts from, and what it sees


def start(made: EncoderDecoder, *sources):
    batch = Batch.collate(sources, [[20]] * len(sources))
    return made.encode(batch.source, batch.source_mask), batch


@torch.no_grad()
def test_stateful_broadcast_starts_from_the_encoders_states_layer_by_layer():
    made = make("stateful-broadcast", depth=2)
    memory, batch = start(made, [20, 21, 22])
    _, finals = made.encoder(made.source_embedding(batch.source), batch.source_mask.sum(1))
    assert len(finals) == 4
    for one, other in zip(memory.state, finals, strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
def test_unequal_depths_take_the_last_encoder_layers_state_everywhere():
    made = make("stateful-broadcast", depth=[2, 3])
    memory, batch = start(made, [20, 21, 22])
    _, finals = made.encoder(made.source_embedding(batch.source), batch.source_mask.sum(1))
    for index, part in enumerate(memory.state):
        torch.testing.assert_close(part, finals[2 + index % 2])


@torch.no_grad()
def test_simple_starts_from_zeros_and_sees_the_context_before_bos():
    made = make("simple")
    memory, batch = start(made, [20, 21])
    _, finals = made.encoder(made.source_embedding(batch.source), batch.source_mask.sum(1))
    first = made.first(finals[-2]).unsqueeze(1)
    _, wanted = made.decoder(first, None, made.decoder.zeros(first))
    for one, other in zip(memory.state, wanted, strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
@pytest.mark.parametrize(("model", "at_every_step"), [("simple", False), ("stateful-broadcast", False), ("peek", True)])
def test_who_sees_the_context_after_the_first_step(model, at_every_step):
    made = make(model)
    one, batch = start(made, [20, 21, 22])
    other, _ = start(made, [23, 24, 25])
    # the same state, another context: only a decoder that looks at it again can tell
    seen = made.decode(batch.target_input, one, one.state).hidden
    swapped = made.decode(batch.target_input, other, one.state).hidden
    assert torch.equal(seen, swapped) != at_every_step


@torch.no_grad()
def test_attention_starts_from_a_bridge():
    made = make("attention", depth=2)
    memory, batch = start(made, [20, 21, 22])
    _, finals = made.encoder(made.source_embedding(batch.source), batch.source_mask.sum(1))
    h, c = (torch.tanh(bridge(part)) for bridge, part in zip(made.bridge, finals[-2:], strict=True))
    wanted = (h[:, :8], c[:, :8], h[:, 8:], c[:, 8:])
    for one, other in zip(memory.state, wanted, strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
def test_with_input_feeding_a_step_sees_what_the_one_before_attended_to():
    made = make("attention", input_feeding=True)
    memory, batch = start(made, [20, 21, 22])
    other = (*memory.state[:-1], memory.state[-1] + 1)
    assert not torch.equal(
        made.decode(batch.target_input, memory, memory.state).hidden,
        made.decode(batch.target_input, memory, other).hidden,
    )


@torch.no_grad()
@pytest.mark.parametrize("model", MODELS)
def test_reverse_source_reads_from_the_end_and_the_end_sign_last(model):
    plain, reverse = make(model), make(model, reverse_source=True)
    reverse.load_state_dict(plain.state_dict())
    turned, _ = start(reverse, [20, 21, 22])
    straight, _ = start(plain, [22, 21, 20])
    for one, other in zip(turned.state, straight.state, strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
def test_attention_weights_stand_at_their_tokens_when_the_source_is_reversed():
    plain, reverse = make("attention"), make("attention", reverse_source=True)
    reverse.load_state_dict(plain.state_dict())
    turned, batch = start(reverse, [20, 21, 22])
    straight, _ = start(plain, [22, 21, 20])
    weights = reverse.decode(batch.target_input, turned, turned.state).attention
    mirrored = plain.decode(batch.target_input, straight, straight.state).attention
    torch.testing.assert_close(weights, mirrored[:, :, [2, 1, 0, 3]])
    assert batch.source[0, 3] == EOS


@torch.no_grad()
@pytest.mark.parametrize("model", MODELS)
def test_tied_and_shared_tables_are_one(model):
    made = make(model, share_embeddings=True, tie_output=True)
    assert made.source_embedding is made.target_embedding
    hidden = torch.randn(3, 7)
    wanted = hidden @ made.target_embedding.weight.T + made.output_bias
    torch.testing.assert_close(made.project(hidden), wanted)
    apart = make(model, share_embeddings=False, tie_output=False)
    assert apart.source_embedding is not apart.target_embedding
    assert apart.output.weight.shape == (40, 8)


def test_halves_need_an_even_size():
    for model in MODELS:
        with pytest.raises(SettingsError, match=r"model\.hidden_size cannot be 9 with model\.bidirectional"):
            make(model, hidden_size=9, bidirectional=True)
