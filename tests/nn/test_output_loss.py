"""Every way to the loss of an output layer against the plain one: a linear map, then cross-entropy over all logits."""

import math

import numpy as np
import pytest
import torch
from s2sbot_simple import Simple, SimpleConfig
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from s2sbot import SettingsError
from s2sbot.nn import (
    Batch,
    LinearOutput,
    Packed,
    Proposal,
    RecurrentConfig,
    batch_loss,
    evaluate,
    linear_cross_entropy,
    output_loss,
    sampled_cross_entropy,
)
from s2sbot.nn.adaptive import adaptive_cross_entropy, make_adaptive
from s2sbot.nn.dataset import Update
from s2sbot.nn.encoder_decoder import trusted_output_layer
from s2sbot.nn.output_loss import chunks, projected_cross_entropy
from s2sbot.nn.sampled_softmax import COLUMNS
from s2sbot.nn.scoring import Minds, update_loss
from s2sbot.plugins import Plugins
from s2sbot.settings import build
from s2sbot.testing.findings import require, run_checks
from s2sbot.testing.model import checks_of_model

TOKENS, SIZE, VOCABULARY = 11, 5, 17
MODELS = ["simple", "stateful-broadcast", "peek", "attention"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def tensors(dtype=torch.float64, bias=True, seed=0):
    """Return hidden states, weight, bias or None, and wanted tokens, one of them twice."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(*shape, generator=generator).to(dtype) for shape in ((TOKENS, SIZE), (VOCABULARY, SIZE))]
    drawn.append(torch.randn(VOCABULARY, generator=generator).to(dtype))
    hidden, weight, shift = (part.requires_grad_() for part in drawn)
    wanted = torch.randint(VOCABULARY, (TOKENS,), generator=generator)
    wanted[1] = wanted[0]
    return hidden, weight, shift if bias else None, wanted


def plain(hidden, weight, bias, wanted, label_smoothing=0.0):
    logits = functional.linear(hidden, weight, bias)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return functional.cross_entropy(logits, wanted, reduction="sum", label_smoothing=label_smoothing)


def fused(hidden, weight, bias, wanted, label_smoothing=0.0, rows=None):
    budget = {} if rows is None else {"logits_bytes": rows * VOCABULARY * hidden.element_size()}
    layer = LinearOutput(weight, bias)
    return linear_cross_entropy(hidden, wanted, layer=layer, label_smoothing=label_smoothing, **budget)


def gradients(loss, *inputs):
    return torch.autograd.grad(loss * 0.37, [part for part in inputs if part is not None])


# The fused way


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [*range(1, TOKENS + 1), None])
def test_chunks_of_any_size_give_the_plain_loss_and_gradients(rows, smoothing, bias):
    hidden, weight, shift, wanted = tensors(bias=bias)
    slow = plain(hidden, weight, shift, wanted, smoothing)
    fast = fused(hidden, weight, shift, wanted, smoothing, rows)
    torch.testing.assert_close(fast, slow, **EXACT)
    for one, other in zip(gradients(fast, hidden, weight, shift), gradients(slow, hidden, weight, shift), strict=True):
        torch.testing.assert_close(one, other, **EXACT)
    with torch.no_grad():
        torch.testing.assert_close(fused(hidden, weight, shift, wanted, smoothing, rows), slow.detach(), **EXACT)


def test_gradients_are_the_differences_of_the_loss():
    hidden, weight, shift, wanted = tensors()
    found = gradients(fused(hidden, weight, shift, wanted, 0.1, 4), hidden, weight, shift)
    for part, gradient in zip((hidden, weight, shift), found, strict=True):
        flat = part.detach().view(-1)
        for place in range(0, len(flat), 7):
            losses = []
            for step in (1e-6, -2e-6):
                flat[place] += step
                losses.append(0.37 * float(fused(hidden, weight, shift, wanted, 0.1, 4).detach()))
            flat[place] += 1e-6
            assert float(gradient.view(-1)[place]) == pytest.approx((losses[0] - losses[1]) / 2e-6, abs=1e-7)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_only_what_needs_a_gradient_gets_one(frozen):
    inputs = list(tensors())
    wanted = inputs.pop()
    inputs[frozen] = inputs[frozen].detach()
    left = [part for place, part in enumerate(inputs) if place != frozen]
    fast, slow = fused(*inputs, wanted, rows=4), plain(*inputs, wanted)
    for one, other in zip(gradients(fast, *left), gradients(slow, *left), strict=True):
        torch.testing.assert_close(one, other, **EXACT)


def test_gradients_accumulate_and_a_tied_table_gets_both_of_its_own():
    def accumulated(way):
        torch.manual_seed(0)
        table = nn.Embedding(VOCABULARY, SIZE, dtype=torch.float64)
        for seed in range(3):
            wanted = tensors(seed=seed)[3]
            (way(torch.tanh(table(wanted.flip(0))), table.weight, None, wanted) / TOKENS).backward()
        return table.weight.grad

    torch.testing.assert_close(accumulated(fused), accumulated(plain), **EXACT)


def test_a_second_time_is_refused_and_not_wrong():
    hidden, weight, shift, wanted = tensors()
    loss = fused(hidden, weight, shift, wanted)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_unlikely_tokens_and_large_logits_have_a_finite_loss():
    hidden, weight, shift, wanted = (part.detach() for part in tensors(torch.float32))
    for scale in (1.0, 100.0, 1e4):
        slow, fast = plain(scale * hidden, weight, shift, wanted), fused(scale * hidden, weight, shift, wanted)
        assert math.isfinite(fast)
        torch.testing.assert_close(fast, slow, rtol=1e-5, atol=0.0)
    assert math.isnan(fused(hidden * math.nan, weight, shift, wanted))


@pytest.mark.parametrize("rows", [4, None])
def test_autocast_multiplies_in_bf16_and_has_a_softmax_of_float32(rows):
    hidden, weight, shift, wanted = tensors(torch.float32)
    for states in (hidden, hidden.detach().bfloat16().requires_grad_()):
        with torch.autocast("cpu", torch.bfloat16):
            fast = fused(states, weight, shift, wanted, 0.1, rows)
            slow = plain(states, weight, shift, wanted, 0.1)
        assert fast.dtype == torch.float32
        torch.testing.assert_close(fast, slow, rtol=1e-5, atol=0.0)
        found, expected = gradients(fast, states, weight, shift), gradients(slow, states, weight, shift)
        for one, other, of in zip(found, expected, (states, weight, shift), strict=True):
            assert one.dtype == of.dtype
            torch.testing.assert_close(one.float(), other.float(), rtol=0.03, atol=0.03)


def test_no_chunk_has_more_logits_than_the_budget():
    for tokens in range(1, 40):
        for row_bytes, budget in ((10, 100), (10, 95), (10, 10), (10, 4), (64, 1_000)):
            parts = list(chunks(tokens, row_bytes, budget))
            assert [row for part in parts for row in range(part.start, part.stop)] == list(range(tokens))
            most = max(part.stop - part.start for part in parts)
            assert most == 1 or most * row_bytes <= budget
            assert len(parts) == -(-tokens // max(1, budget // row_bytes))


class Largest(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes the largest tensor with a column for every token that was made."""

    rows = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for part in made if isinstance(made, tuple) else (made,):
            if isinstance(part, torch.Tensor) and part.dim() == 2 and part.shape[1] == VOCABULARY:
                self.rows = max(self.rows, part.shape[0])
        return made


@pytest.mark.parametrize("projected", [False, True])
def test_the_logits_that_are_made_keep_within_the_budget(projected):
    model = Simple(SimpleConfig(embedding_size=SIZE, hidden_size=SIZE), VOCABULARY, VOCABULARY)
    hidden, wanted = tensors(torch.float32)[0], tensors()[3]
    way = projected_cross_entropy if projected else output_loss
    with Largest() as largest:
        way(model, hidden, wanted, logits_bytes=4 * 6 * VOCABULARY).backward()
    assert largest.rows == 6  # of 11, and more than the weight has columns


# Sampled softmax


def proposal(negatives, power=0.75):
    return Proposal.of_counts(np.array([1000 // (rank + 1) for rank in range(VOCABULARY)]), negatives, power=power)


def test_chances_sum_to_the_negatives_follow_the_counts_and_are_at_most_one():
    for negatives in (1, 5, 12, VOCABULARY - 1):
        chances = proposal(negatives).chances
        assert float(chances.sum()) == pytest.approx(negatives)
        assert float(chances.max()) <= 1.0 and float(chances.min()) > 0.0
        assert bool((chances.diff() <= 0).all())
    assert bool((proposal(VOCABULARY).chances == 1).all())
    even = proposal(5, power=0.0).chances
    torch.testing.assert_close(even, torch.full_like(even, 5 / VOCABULARY))


def test_draws_hold_all_wanted_tokens_and_follow_torchs_generator():
    wanted = tensors()[3]
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = proposal(4).draw(wanted)
    after = proposal(4).draw(wanted)
    torch.set_rng_state(state)
    again = proposal(4).draw(wanted)
    assert torch.equal(first.ids, again.ids) and torch.equal(first.chances, again.chances)
    assert not torch.equal(first.ids, after.ids)
    assert torch.equal(first.ids[first.places], wanted)
    counts = first.chances.isfinite()
    assert bool((first.ids[counts].diff() > 0).all())
    assert len(counts) % COLUMNS == 0 and not counts[int(counts.sum()) :].any()
    assert bool((first.chances[first.places] == 1).all())


def test_tokens_are_drawn_as_often_as_their_chances_say():
    torch.manual_seed(0)
    chosen = torch.zeros(VOCABULARY)
    for _ in range(2_000):
        chosen[proposal(5).draw(torch.tensor([16])).ids] += 1
    torch.testing.assert_close(chosen[:16] / 2_000, proposal(5).chances[:16].float(), atol=0.05, rtol=0.0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_sample_of_the_whole_vocabulary_is_exact(smoothing, bias):
    hidden, weight, shift, wanted = tensors(bias=bias)
    candidates = proposal(VOCABULARY).draw(wanted)
    layer = LinearOutput(weight, shift)
    estimate = sampled_cross_entropy(hidden, candidates, layer=layer, label_smoothing=smoothing)
    exact = plain(hidden, weight, shift, wanted, smoothing)
    torch.testing.assert_close(estimate, exact, **EXACT)
    found, expected = gradients(estimate, hidden, weight, shift), gradients(exact, hidden, weight, shift)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


def test_the_normaliser_is_estimated_without_bias_and_the_gradient_comes_nearer_with_more_negatives():
    generator = torch.Generator().manual_seed(0)
    vocabulary, hidden = 300, torch.randn(1, 8, generator=generator)
    weight = (torch.randn(vocabulary, 8, generator=generator) * 0.5).requires_grad_()
    wanted, layer = torch.tensor([7]), LinearOutput(weight, None)
    target = float(hidden.detach() @ weight[7].detach())
    [exact] = torch.autograd.grad(plain(hidden, weight, None, wanted), weight)
    total = float((hidden @ weight.T).exp().sum().detach())
    counts = np.array([1000 // (rank + 1) for rank in range(vocabulary)])
    distances = []
    for negatives in (10, 50, 200):
        some, normalisers, apart = Proposal.of_counts(counts, negatives), [], []
        for _ in range(400):
            loss = sampled_cross_entropy(hidden, some.draw(wanted, generator=generator), layer=layer)
            normalisers.append(math.exp(float(loss.detach()) + target))
            apart.append(float((torch.autograd.grad(loss, weight)[0] - exact).norm()))
        error = np.std(normalisers) / math.sqrt(len(normalisers))
        assert abs(np.mean(normalisers) - total) < 4 * error + 1e-6 * total
        distances.append(np.mean(apart))
    assert distances[0] > 1.5 * distances[1] > 2.25 * distances[2]


def test_a_sample_gives_gradients_to_its_own_rows_alone():
    hidden, weight, shift, wanted = tensors()
    candidates = proposal(2).draw(wanted, generator=torch.Generator().manual_seed(1))
    loss = sampled_cross_entropy(hidden, candidates, layer=LinearOutput(weight, shift), label_smoothing=0.1)
    _, found, _ = gradients(loss, hidden, weight, shift)
    touched = found.abs().sum(1).nonzero().squeeze(1)
    ids = candidates.ids[candidates.chances.isfinite()]
    assert len(ids) < VOCABULARY
    assert torch.equal(touched, ids)


def test_updates_learn_from_samples_and_evaluation_is_exact():
    model = small()
    packed = Packed.pack([([20, 21], [23]), ([22], [24, 25, 26])])
    update, minds = Update.of_batch(np.array([0, 1])), Minds(0)
    everything = Proposal.of_counts(np.ones(30, np.int64), 30)
    few = Proposal.of_counts(np.ones(30, np.int64), 3)
    with torch.no_grad():
        exact = update_loss(model, packed, update, minds).nats
        torch.testing.assert_close(update_loss(model, packed, update, minds, proposal=everything).nats, exact)
        torch.manual_seed(0)
        losses = {float(update_loss(model, packed, update, minds, proposal=few).nats) for _ in range(3)}
    assert len(losses) == 3 and float(exact) not in losses
    assert evaluate(model, packed, batch_tokens=1_000).nats == pytest.approx(float(exact), rel=1e-6)


# Adaptive softmax


@pytest.mark.parametrize("cutoffs", [(4,), (4, 9), (1, 16)])
@pytest.mark.parametrize("rows", [2, None])
def test_adaptive_softmax_is_torchs_and_its_log_probabilities_are_whole(cutoffs, rows):
    torch.manual_seed(0)
    layer = make_adaptive(16, VOCABULARY, cutoffs).double()
    hidden = torch.randn(TOKENS, 16, dtype=torch.float64, requires_grad=True)
    wanted = tensors()[3]
    budget = {} if rows is None else {"logits_bytes": rows * 8 * 4}
    fast, slow = adaptive_cross_entropy(hidden, wanted, layer=layer, **budget), -layer(hidden, wanted).output.sum()
    torch.testing.assert_close(fast, slow, **EXACT)
    logs = layer.log_prob(hidden)
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(TOKENS, dtype=torch.float64))
    torch.testing.assert_close(fast, functional.nll_loss(logs, wanted, reduction="sum"), **EXACT)
    weights = [hidden, *layer.parameters()]
    for one, other in zip(
        torch.autograd.grad(fast, weights, allow_unused=True, materialize_grads=True),
        torch.autograd.grad(slow, weights, allow_unused=True, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other, **EXACT)


def test_adaptive_softmax_learns_under_autocast():
    layer = make_adaptive(16, VOCABULARY, (4, 9))
    hidden, wanted = torch.randn(TOKENS, 16, requires_grad=True), tensors()[3]
    slow = adaptive_cross_entropy(hidden, wanted, layer=layer)
    with torch.autocast("cpu", torch.bfloat16):
        fast = adaptive_cross_entropy(hidden, wanted, layer=layer)
    fast.backward()
    torch.testing.assert_close(fast, slow, rtol=0.02, atol=0.0)


def test_cutoffs_that_cannot_be_are_refused():
    for cutoffs in ((0,), (9, 4), (4, 4), (VOCABULARY,)):
        with pytest.raises(SettingsError, match=r"model\.adaptive_output cannot be"):
            make_adaptive(16, VOCABULARY, cutoffs)
    with pytest.raises(SettingsError, match="its last cluster would have 8 / 16"):
        make_adaptive(8, VOCABULARY, (4, 9))
    with pytest.raises(SettingsError, match=r"model\.tie_output"):
        RecurrentConfig(adaptive_output=4)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("cutoffs", [20, [18, 24]])
def test_the_contract_holds_with_an_adaptive_output_layer(model, cutoffs):
    kind = Plugins().model(model)
    knobs = {"embedding_size": 8, "hidden_size": 16, "tie_output": False, "adaptive_output": cutoffs}
    require(run_checks(checks_of_model(kind, build(kind.Config, knobs, "model"))))


# Which way a model takes


def small(kind=Simple, **knobs):
    torch.manual_seed(0)
    return kind(SimpleConfig(embedding_size=8, hidden_size=8, dropout=0.0, **knobs), 30, 30)


class Doubled(Simple):
    """A stranger's model that changes what it inherits."""

    def project(self, hidden):
        return 2 * super().project(hidden)


class DoubledAndSaid(Doubled):
    """One that says so."""

    def output_layer(self):
        weight, bias = super().output_layer()
        return LinearOutput(2 * weight, 2 * bias)


def slow_loss(model, batch, smoothing=0.0):
    memory = model.encode(batch.source, batch.source_mask)
    step = model.decode(batch.target_input, memory, memory.state)
    logits, wanted = model.project(step.hidden[batch.target_mask]), batch.target_output[batch.target_mask]
    return functional.cross_entropy(logits, wanted, reduction="sum", label_smoothing=smoothing)


@pytest.mark.parametrize(
    ("kind", "knobs", "layer"),
    [
        (Simple, {}, LinearOutput),
        (Simple, {"tie_output": False}, LinearOutput),
        (Simple, {"tie_output": False, "adaptive_output": 18}, nn.AdaptiveLogSoftmaxWithLoss),
        (Doubled, {}, type(None)),
        (Doubled, {"tie_output": False, "adaptive_output": 18}, type(None)),
        (DoubledAndSaid, {}, LinearOutput),
    ],
)
def test_every_model_has_the_loss_of_its_own_project(kind, knobs, layer):
    model, batch = small(kind, **knobs), Batch.collate([[20, 21], [22]], [[23], [24, 25, 26]])
    assert isinstance(trusted_output_layer(model), layer)
    weights = list(model.parameters())
    for smoothing in (0.0,) if "adaptive_output" in knobs else (0.0, 0.1):
        slow = slow_loss(model, batch, smoothing)
        fast, tokens = batch_loss(model, batch, label_smoothing=smoothing)
        assert int(tokens) == 6
        torch.testing.assert_close(fast, slow)
        for one, other in zip(
            torch.autograd.grad(fast, weights, allow_unused=True, materialize_grads=True),
            torch.autograd.grad(slow, weights, allow_unused=True, materialize_grads=True),
            strict=True,
        ):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_an_output_layer_that_was_changed_after_the_fact_is_not_trusted():
    batch = Batch.collate([[20, 21]], [[23, 24]])
    replaced, patched, hooked, normed = (small(tie_output=False) for _ in range(4))
    replaced.output = nn.Sequential(nn.Linear(8, 30), nn.Tanh())
    patched.project = lambda hidden: Simple.project(patched, hidden) ** 2
    hooked.output.register_forward_hook(lambda layer, given, logits: 2 * logits)
    parametrizations.weight_norm(normed.output)
    for model in (replaced, patched, hooked, normed):
        assert trusted_output_layer(model) is None
        torch.testing.assert_close(batch_loss(model, batch)[0], slow_loss(model, batch))


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_a_project_of_any_kind_goes_in_chunks(rows):
    model = small(Doubled).double()
    hidden = torch.randn(TOKENS, 8, dtype=torch.float64, requires_grad=True)
    wanted = torch.randint(30, (TOKENS,))
    weights = [hidden, model.target_embedding.weight, model.output_bias]
    slow = functional.cross_entropy(model.project(hidden), wanted, reduction="sum", label_smoothing=0.1)
    fast = output_loss(model, hidden, wanted, label_smoothing=0.1, logits_bytes=4 * 30 * rows)
    torch.testing.assert_close(fast, slow, **EXACT)
    for one, other in zip(torch.autograd.grad(fast, weights), torch.autograd.grad(slow, weights), strict=True):
        torch.testing.assert_close(one, other, **EXACT)


def test_samples_need_a_linear_output_layer():
    everything = Proposal.of_counts(np.ones(30, np.int64), 30)
    hidden, wanted = torch.randn(2, 8), torch.tensor([20, 21])
    with pytest.raises(SettingsError, match="the output layer of Doubled is not linear"):
        output_loss(small(Doubled), hidden, wanted, candidates=everything.draw(wanted))


def test_waiting_for_no_device_changes_nothing():
    model = small().eval()
    packed = Packed.pack([([20, 21], [23]), ([22], [24, 25, 26])])
    loss = update_loss(model, packed, Update.of_batch(np.array([0, 1])), Minds(0))
    other, _ = batch_loss(model, Batch.of(packed, np.array([0, 1])))
    assert torch.equal(loss.nats, other)


def test_no_tokens_have_no_loss():
    hidden, weight, shift, wanted = tensors()
    loss = fused(hidden[:0], weight, shift, wanted[:0])
    assert float(loss.detach()) == 0
    assert all(not part.any() for part in gradients(loss, hidden, weight, shift))
