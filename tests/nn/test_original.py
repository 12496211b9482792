"""What the old Keras library computes: numbers recorded from it, and its equations written out once more in numpy."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from s2sbot.errors import LayerError
from s2sbot.nn import AttentionSeq2Seq, Seq2Seq, SimpleSeq2Seq, load_original_weights

FOLDER = Path(__file__).parents[1] / "parity"
RECORDED = json.loads((FOLDER / "configurations.json").read_text("utf-8"))
LAYERS = {layer.__name__: layer for layer in (SimpleSeq2Seq, Seq2Seq, AttentionSeq2Seq)}
SIZES = {"input_dim": 5, "input_length": 7, "hidden_dim": 10, "output_length": 8, "output_dim": 8}
TOLERANCES = {torch.float64: (1e-9, 1e-9), torch.float32: (2e-5, 1e-4)}
"""Of what is computed once, and of what has been through steps of training."""


@dataclass(frozen=True)
class Recording:
    """One configuration, as tests/parity/README.md describes it."""

    layer: type[nn.Module]
    kwargs: dict[str, Any]
    arrays: dict[str, np.ndarray]
    losses: list[float]
    mask: torch.Tensor | None

    def made(self, dtype: torch.dtype, **options: Any) -> nn.Module:
        layer = self.layer(original=True, **{**self.kwargs, **options}).to(dtype)
        load_original_weights(layer, [array for name, array in self.arrays.items() if name[1:3].isdigit()])
        return layer

    def tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        return torch.from_numpy(self.arrays[name]).to(dtype)


@cache
def recording(name: str) -> Recording:
    """Unpack a configuration: 40-bit whole numbers, lowest bytes first, in units of 2^-37."""
    about = RECORDED[name]
    with np.load(FOLDER / "recorded.npz", allow_pickle=False) as file:
        packed = file[name].astype(np.int64)
    whole = sum(part << (8 * place) for place, part in enumerate(packed))
    numbers = np.where(whole < 2**39, whole, whole - 2**40) / 2.0**37
    arrays, begin = {}, 0
    for key, shape in about["arrays"].items():
        arrays[key] = numbers[begin : begin + math.prod(shape)].reshape(shape)
        begin += math.prod(shape)
    assert begin == len(numbers)
    mask = torch.tensor([[step == "1" for step in row] for row in about["mask"]]) if "mask" in about else None
    return Recording(LAYERS[about["model"]], about["kwargs"], arrays, about.get("losses", []), mask)


def those(key: str) -> list[str]:
    return [name for name, about in RECORDED.items() if key in about["arrays"] or key in about["kwargs"]]


def close(actual: torch.Tensor, wanted: torch.Tensor | np.ndarray, tolerance: float) -> None:
    """Compare as many rows as were recorded."""
    wanted = torch.as_tensor(wanted)
    torch.testing.assert_close(actual[: len(wanted)].detach(), wanted.to(actual.dtype), atol=tolerance, rtol=0.0)


# Recorded numbers

both_types = pytest.mark.parametrize("dtype", TOLERANCES, ids=str)


def test_all_recordings_are_here() -> None:
    counts = {layer: sum(about["model"] == layer for about in RECORDED.values()) for layer in LAYERS}
    assert counts == {"SimpleSeq2Seq": 7, "Seq2Seq": 15, "AttentionSeq2Seq": 8}
    assert len(those("stateful")) == 4
    assert len(those("teacher_force")) == 2
    assert len(those("y_unmasked")) == 3
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_000_000


@both_types
@pytest.mark.parametrize("name", RECORDED)
def test_it_predicts_what_the_original_predicts(name: str, dtype: torch.dtype) -> None:
    recorded = recording(name)
    layer, x = recorded.made(dtype).eval(), recorded.tensor("x", dtype)
    close(layer(x, mask=recorded.mask), recorded.arrays["y"], TOLERANCES[dtype][0])
    if recorded.mask is not None:
        close(layer(x), recorded.arrays["y_unmasked"], TOLERANCES[dtype][0])


@both_types
@pytest.mark.parametrize("name", those("target"))
def test_it_learns_as_the_original_learns(name: str, dtype: torch.dtype) -> None:
    recorded = recording(name)
    once, trained = TOLERANCES[dtype]
    layer, x, target = recorded.made(dtype).train(), recorded.tensor("x", dtype), recorded.tensor("target", dtype)
    truth = target if layer.teacher_force else None
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        loss = nn.functional.mse_loss(layer(x, truth), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(recorded.losses[0], rel=0, abs=once)
    assert losses == pytest.approx(recorded.losses, rel=0, abs=trained)
    close(layer.eval()(x), recorded.arrays["y_after5"], trained)


@both_types
@pytest.mark.parametrize("name", those("y_train_phase"))
def test_forced_it_leaks_the_truth_as_the_original_does(name: str, dtype: torch.dtype) -> None:
    recorded = recording(name)
    layer, x, truth = recorded.made(dtype), recorded.tensor("x", dtype), recorded.tensor("target", dtype)
    close(layer.train()(x, truth), recorded.arrays["y_train_phase"], TOLERANCES[dtype][0])
    close(layer.eval()(x, truth), recorded.arrays["y"], TOLERANCES[dtype][0])
    assert torch.equal(layer(x, truth), layer(x))
    # the truth of the very step that it is to foresee
    other = truth.clone()
    other[:, 3] += 1.0
    changed = (layer.train()(x, other) != layer(x, truth)).any(2).any(0)
    assert changed.tolist() == [False] * 3 + [True] * 5


@both_types
@pytest.mark.parametrize("name", those("x_batches"))
def test_stateful_it_begins_every_batch_from_zero(name: str, dtype: torch.dtype) -> None:
    recorded = recording(name)
    layer = recorded.made(dtype).eval()
    batches = recorded.tensor("x_batches", dtype).repeat(1, 4, 1, 1)  # 4 rows of 16 are kept, the layer takes only 16
    for reset in (False, True):
        if reset:
            layer.reset_states()
        for x, wanted in zip(batches, recorded.arrays["y_batches"], strict=True):
            close(layer(x), wanted, TOLERANCES[dtype][0])


# The equations, written out: a row at a time, and a masked step is one that never was


def gate(z: np.ndarray) -> np.ndarray:
    return np.clip(0.2 * z + 0.5, 0.0, 1.0)


class Weights:
    """Gives weights in the order of the original's `get_weights()`; `drop` stands where dropout does."""

    def __init__(self, arrays: list[np.ndarray], drop: float) -> None:
        self.left, self.drop = list(arrays), drop

    def take(self, count: int) -> list[np.ndarray]:
        taken, self.left = self.left[:count], self.left[count:]
        return taken


def lstm(weights: Weights):
    """LSTMCell: gates in the order f, i, o, c; the memory is squashed before it is kept."""
    kernel, bias, recurrent = weights.take(3)

    def step(x, state):
        h, c = state
        f, i, o, g = np.split(x @ kernel + bias + h @ recurrent, 4)
        c = np.tanh(gate(f) * c + gate(i) * np.tanh(g))
        return gate(o) * c, (gate(o) * c, c)

    step.size = len(recurrent)
    return step


def decoder_step(into, recurrent, bias, out, out_bias):
    def step(x, state):
        h, c = state
        i, f, g, o = np.split(into(x, c) + h @ recurrent + bias, 4)
        c = gate(f) * c + gate(i) * np.tanh(g)
        h = gate(o) * np.tanh(c)
        return np.tanh(h @ out + out_bias), (h, c)

    step.size = len(recurrent)
    return step


def lstm_decoder(weights: Weights):
    """LSTMDecoderCell: gates in the order i, f, c, o; what comes out goes through a dense layer and a tanh."""
    kernel, *others = weights.take(5)
    return decoder_step(lambda x, c: x @ kernel, *others)


def attention_decoder(weights: Weights):
    """AttentionDecoderCell: x is the whole sequence, scored together with the memory by one linear map."""
    score, score_bias, kernel, bias, *others = weights.take(8)

    def into(sequence, c):
        scores = np.array([float((np.concatenate([x, c]) @ score + score_bias)[0]) for x in sequence])
        share = np.exp(scores) / np.exp(scores).sum()
        return sum(a * x for a, x in zip(share, sequence, strict=True)) @ kernel + bias

    return decoder_step(into, *others)


def zero_states(cells, share=False):
    return [(np.zeros(cell.size), np.zeros(cell.size)) for cell in cells][: 1 if share else None]


def climb(cells, x, states, share=False, *, before=1.0, between=1.0, after=1.0):
    """Take one step up a stack; `before`, `between` and `after` are factors where dropout would stand."""
    for index, cell in enumerate(cells):
        place = 0 if share else index
        x, states[place] = cell(x * before * (between if index else 1.0), states[place])
        x = x * after
    return x


def written_simple(weights, x, mask, truth, *, depth, output_length):
    drop = weights.drop
    encoder = [lstm(weights) for _ in range(depth[0])]
    decoder = [lstm(weights) for _ in range(max(2, depth[1]))]
    states = zero_states(encoder)
    for vector in x[mask]:
        climb(encoder, vector, states, between=drop)
    context = states[-1 if mask[-1] else 0][0]
    states = zero_states(decoder)
    return [climb(decoder, context * drop, states, between=drop) for _ in range(output_length)]


def written_seq2seq(weights, x, mask, truth, *, depth, output_length, broadcast, inner, peek):
    drop = weights.drop
    kernel, bias = weights.take(2)
    encoder = [lstm(weights) for _ in range(depth[0])]
    second_kernel, second_bias = weights.take(2)
    decoder = [lstm_decoder(weights) for _ in range(depth[1])]
    states, readout = zero_states(encoder, inner), 0.0
    for vector in x[mask]:
        readout = climb(encoder, vector @ kernel + bias + readout, states, inner, after=drop)
    context = (readout if mask[-1] else states[0][0]) @ second_kernel + second_bias
    states = [states[-1]] if broadcast else zero_states(decoder, inner)
    readout, outputs = context, []
    for time in range(output_length):
        if truth is not None and time:
            readout = truth[time]
        readout = climb(decoder, readout + context if peek else readout, states, inner, before=drop)
        outputs.append(readout)
    return outputs


def written_attention(weights, x, mask, truth, *, depth, output_length, bidirectional):
    drop = weights.drop
    directions = [[lstm(weights) for _ in range(depth[0])] for _ in range(2 if bidirectional else 1)]
    decoder = [attention_decoder(weights), *(lstm_decoder(weights) for _ in range(depth[1] - 1))]
    states = zero_states(directions[0])
    sequence = np.stack([climb(directions[0], vector, states, between=drop) for vector in x])
    if bidirectional:
        states = zero_states(directions[1])
        sequence = sequence + np.stack([climb(directions[1], vector, states, between=drop) for vector in x[::-1]])[::-1]
    states = zero_states(decoder)
    return [climb(decoder, sequence * drop, states, between=drop) for _ in range(output_length)]


def agrees(layer, *, mask=None, truth=None, drop=1.0, **written) -> None:
    """Give a layer weights that all matter, and compare it with the equations row by row."""
    layer = layer.double()
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.7, generator=generator)
    x = torch.randn(6, 7, 3, generator=generator, dtype=torch.float64)
    truth = None if not truth else torch.rand(6, 5, 4, generator=generator, dtype=torch.float64)
    arrays = [parameter.detach().numpy() for parameter in layer.core.parameters()]
    equations = {SimpleSeq2Seq: written_simple, Seq2Seq: written_seq2seq, AttentionSeq2Seq: written_attention}
    wanted = []
    for row in range(len(x)):
        weights = Weights(arrays, drop)
        real = np.ones(7, bool) if mask is None else mask[row].numpy()
        known = None if truth is None else truth[row].numpy()
        written = {"depth": layer.depth, "output_length": layer.output_length, **written}
        wanted.append(np.stack(equations[type(layer)](weights, x[row].numpy(), real, known, **written)))
        assert not weights.left
    close(layer(x, truth, mask), np.stack(wanted), 1e-9)


SMALL = {"input_dim": 3, "hidden_dim": 6, "output_length": 5, "output_dim": 4, "original": True}
MASK = torch.tensor(
    [
        [1, 1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 0, 0, 0],  # padding on the right
        [0, 0, 1, 1, 1, 1, 1],  # on the left
        [1, 0, 0, 1, 1, 0, 1],  # in between
        [0, 1, 0, 1, 1, 0, 0],  # all of that
        [0, 0, 0, 0, 0, 1, 0],
    ]
).bool()
BROADCASTS = [(broadcast, inner) for broadcast, inner in product([True, False], repeat=2)]
DEPTHS = [1, 2, 5, (2, 3), (3, 2), (1, 4), (4, 1)]

every_mask = pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
every_depth = pytest.mark.parametrize("depth", DEPTHS, ids=str)


@every_mask
@every_depth
@pytest.mark.parametrize("hidden_dim", [6, None])
def test_simple_is_its_equations(depth, mask, hidden_dim) -> None:
    agrees(SimpleSeq2Seq(**{**SMALL, "hidden_dim": hidden_dim}, depth=depth), mask=mask)


@every_mask
@every_depth
@pytest.mark.parametrize(("broadcast", "inner"), BROADCASTS)
@pytest.mark.parametrize("peek", [False, True])
def test_seq2seq_is_its_equations(depth, mask, broadcast, inner, peek) -> None:
    options = {**SMALL, "depth": depth, "broadcast_state": broadcast, "inner_broadcast_state": inner, "peek": peek}
    if broadcast and not inner and (depth if isinstance(depth, int) else depth[1]) > 1:
        with pytest.raises(LayerError, match=r"decoder of depth \d .* decoder of depth 1, or original=False"):
            Seq2Seq(**options)
    else:
        agrees(Seq2Seq(**options), mask=mask, broadcast=broadcast, inner=inner, peek=peek)


@pytest.mark.parametrize("peek", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_forced_seq2seq_is_its_equations(peek, training) -> None:
    layer = Seq2Seq(**SMALL, depth=(1, 3), peek=peek, teacher_force=True).train(training)
    if training:
        agrees(layer, truth=True, broadcast=True, inner=True, peek=peek)
    else:
        agrees(layer, broadcast=True, inner=True, peek=peek)


@every_depth
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("hidden_dim", [6, None])
def test_attention_is_its_equations(depth, bidirectional, hidden_dim) -> None:
    layer = AttentionSeq2Seq(**{**SMALL, "hidden_dim": hidden_dim}, depth=depth, bidirectional=bidirectional)
    agrees(layer, bidirectional=bidirectional)


@pytest.mark.parametrize("masked", [MASK, None], ids=["masked", "whole"])
@pytest.mark.parametrize("layer", LAYERS)
def test_dropout_stands_where_the_original_has_it(layer, masked) -> None:
    more = {"broadcast": True, "inner": True, "peek": False} if layer == "Seq2Seq" else {}
    more = {"bidirectional": True} if layer == "AttentionSeq2Seq" else more
    made = LAYERS[layer](**SMALL, depth=3, dropout=0.5)
    made.core._drop = lambda inputs: 1.5 * inputs  # a factor instead of a die
    agrees(made, mask=None if layer == "AttentionSeq2Seq" else masked, drop=1.5, **more)


@pytest.mark.parametrize("layer", LAYERS)
def test_dropout_throws_anew_at_every_step_and_only_in_training(layer) -> None:
    torch.manual_seed(0)
    made, plain = LAYERS[layer](**SMALL, depth=2, dropout=0.5), LAYERS[layer](**SMALL, depth=2)
    plain.load_state_dict(made.state_dict())
    x = torch.randn(4, 7, 3)
    assert torch.equal(made.eval()(x), plain.eval()(x))
    made.train()
    dice = []
    drop = made.core._drop
    made.core._drop = lambda inputs: dice.append(drop(torch.ones_like(inputs))) or inputs
    made(x)
    kept = torch.cat([die.flatten() for die in dice])
    assert set(kept.tolist()) == {0.0, 2.0}
    assert kept.mean().item() == pytest.approx(1.0, abs=0.1)
    same_shape = [die for die in dice if die.shape == dice[0].shape]
    assert len(same_shape) >= 5
    assert not all(torch.equal(one, same_shape[0]) for one in same_shape)
    made.core._drop = drop
    assert not torch.equal(made(x), made(x))


# Weights


@pytest.mark.parametrize("layer", LAYERS)
def test_fresh_weights_are_distributed_as_the_originals(layer) -> None:
    torch.manual_seed(3)
    sizes = {"input_dim": 40, "hidden_dim": 50, "output_length": 2, "output_dim": 30}
    made = LAYERS[layer](**sizes, depth=2, original=True)
    orthogonal = 0
    for name, weight in made.core.named_parameters():
        weight = weight.detach()
        if weight.dim() == 1:
            assert not weight.any(), name
        elif name.endswith("recurrent_kernel"):
            orthogonal += 1
            assert list(weight.shape) in ([50, 200], [30, 120])
            torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)), atol=1e-5, rtol=0)
        else:
            limit = math.sqrt(6 / sum(weight.shape))
            assert weight.abs().max() <= limit, name
            if weight.shape[1] > 1:
                assert weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.07), name
    assert orthogonal == {"SimpleSeq2Seq": 4, "Seq2Seq": 2, "AttentionSeq2Seq": 4}[layer]


def arrays_of(layer: nn.Module) -> list[np.ndarray]:
    generator = np.random.default_rng(5)
    return [generator.normal(size=tuple(parameter.shape)) for parameter in layer.core.parameters()]


@pytest.mark.parametrize("layer", LAYERS)
def test_weights_are_taken_as_arrays_tensors_and_from_a_file(layer, tmp_path: Path) -> None:
    made = LAYERS[layer](**SIZES, depth=2, original=True)
    arrays = arrays_of(made)
    np.savez(tmp_path / "weights.npz", *arrays)
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as file:
        saved = [file[name] for name in file.files]
    read_only = [array.copy() for array in arrays]
    for array in read_only:
        array.flags.writeable = False
    tensors = [nn.Parameter(torch.from_numpy(array)) for array in arrays]
    foreign = [array.astype(">f8") for array in arrays]
    for given in (arrays, saved, read_only, tensors, foreign, iter(arrays)):
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.zero_()
        load_original_weights(made, given)
        for parameter, array in zip(made.core.parameters(), arrays, strict=True):
            assert np.array_equal(parameter.detach().numpy(), array.astype(np.float32))
            assert parameter.requires_grad


def test_weights_that_do_not_fit_are_refused_and_nothing_is_changed() -> None:
    layer = Seq2Seq(**SIZES, depth=2, original=True)
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    arrays = arrays_of(layer)
    wrong_shape = [*arrays[:-1], arrays[-1][:-1]]
    names = [f"arr_{number}" for number in range(len(arrays))]
    for given, message in (
        (arrays[:-1], r"19 arrays are given, the layer has 20 weights"),
        ([*arrays, arrays[0]], r"21 arrays are given, the layer has 20 weights"),
        (wrong_shape, r"array 19 is \[7\], the weight decoder\.1\.core\.output\.bias is \[8\]"),
        ([arrays[0].T, *arrays[1:]], r"array 0 is \[10, 5\], the weight dense1\.kernel is \[5, 10\]"),
        (names, r"array 0 holds <U5, not numbers"),
    ):
        with pytest.raises(LayerError, match=message):
            load_original_weights(layer, given)
        for parameter, kept in zip(layer.parameters(), before, strict=True):
            assert torch.equal(parameter, kept)


@pytest.mark.parametrize("layer", LAYERS)
def test_only_the_originals_layers_take_its_weights(layer) -> None:
    for other in (LAYERS[layer](**SIZES), nn.Linear(2, 3), nn.Sequential(LAYERS[layer](**SIZES, original=True))):
        with pytest.raises(LayerError, match=r"this \w+ does not compute what the original does .*original=True"):
            load_original_weights(other, [])


# What the original cannot do


@pytest.mark.parametrize(
    ("layer", "options", "missing"),
    [
        (SimpleSeq2Seq, {"cell": "gru"}, "no cell"),
        (Seq2Seq, {"activation": "tanh"}, "no activation"),
        (AttentionSeq2Seq, {"cell": "lstm", "activation": "linear"}, "no cell and no activation"),
        (SimpleSeq2Seq, {"teacher_force": True}, "no teacher_force=True"),
        (AttentionSeq2Seq, {"teacher_force": True}, "no teacher_force=True"),
        (SimpleSeq2Seq, {"bidirectional": True}, "no bidirectional=True"),
        (Seq2Seq, {"bidirectional": True}, "no bidirectional=True"),
    ],
)
def test_what_the_original_does_not_have_is_refused(layer, options, missing) -> None:
    with pytest.raises(LayerError, match=f"the original {layer.__name__} has {missing} .*original=False"):
        layer(**SIZES, **options, original=True)
    layer(**SIZES, **options)


@pytest.mark.parametrize("layer", LAYERS)
def test_what_changes_nothing_in_the_original_is_taken(layer) -> None:
    torch.manual_seed(0)
    made = LAYERS[layer](**SIZES, original=True, unroll=True, stateful=True, dropout=0.0)
    plain = LAYERS[layer](**SIZES, original=True)
    plain.load_state_dict(made.state_dict())
    x = torch.randn(3, 7, 5)
    assert torch.equal(made(x), plain(x))
    assert torch.equal(made(x), plain(x))


def test_the_originals_attention_takes_no_mask() -> None:
    layer = AttentionSeq2Seq(**SIZES, original=True)
    with pytest.raises(LayerError, match=r"the original's attention fails on a mask .*original=False"):
        layer(torch.randn(6, 7, 5), mask=MASK)


@pytest.mark.parametrize("layer", [SimpleSeq2Seq, Seq2Seq])
@pytest.mark.parametrize("garbage", [1e30, math.inf, math.nan])
def test_what_stands_in_the_padding_does_not_matter(layer, garbage) -> None:
    torch.manual_seed(0)
    made = layer(**SIZES, depth=2, original=True)
    x = torch.randn(6, 7, 5)
    dirty = x.masked_fill(~MASK.unsqueeze(2), garbage)
    wanted = made(x, mask=MASK)
    outputs = made(dirty, mask=MASK)
    assert torch.equal(outputs, wanted)
    for given, clean in zip(
        torch.autograd.grad(outputs.sum(), made.parameters()),
        torch.autograd.grad(wanted.sum(), made.parameters()),
        strict=True,
    ):
        assert torch.equal(given, clean)


def test_the_originals_attention_weights_are_the_same_at_every_step() -> None:
    torch.manual_seed(0)
    layer = AttentionSeq2Seq(**SIZES, original=True)
    x = torch.randn(3, 7, 5)
    layer(x).square().sum().backward()
    score = layer.core.decoder[0].score
    assert score.bias.grad.abs().max() < 1e-6
    assert score.kernel.grad[10:].abs().max() < 1e-6
    assert score.kernel.grad[:10].abs().max() > 1e-5
