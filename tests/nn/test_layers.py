"""The three layers by default: against their equations step by step, and what padding, state and truth may do."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from s2sbot.errors import LayerError, S2SBotError
from s2sbot.nn import CELLS, AttentionSeq2Seq, Cell, LayerOptions, Seq2Seq, SimpleSeq2Seq, StepCell

SIZES = {"input_dim": 3, "hidden_dim": 6, "output_length": 5, "output_dim": 4}
BASES = (SimpleSeq2Seq, Seq2Seq, AttentionSeq2Seq)
KINDS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "simple": (SimpleSeq2Seq, {}),
    "simple both ways": (SimpleSeq2Seq, {"bidirectional": True}),
    "seq2seq": (Seq2Seq, {}),
    "seq2seq both ways": (Seq2Seq, {"bidirectional": True}),
    "layer by layer": (Seq2Seq, {"inner_broadcast_state": False}),
    "layer by layer both ways": (Seq2Seq, {"inner_broadcast_state": False, "bidirectional": True}),
    "shared, from zero": (Seq2Seq, {"broadcast_state": False}),
    "each its own, from zero": (Seq2Seq, {"broadcast_state": False, "inner_broadcast_state": False}),
    "peek": (Seq2Seq, {"peek": True}),
    "peek, from zero": (Seq2Seq, {"peek": True, "broadcast_state": False, "inner_broadcast_state": False}),
    "attention": (AttentionSeq2Seq, {}),
    "attention one way": (AttentionSeq2Seq, {"bidirectional": False}),
}
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

every_kind = pytest.mark.parametrize("kind", KINDS)
every_layer = pytest.mark.parametrize("layer", BASES, ids=lambda layer: layer.__name__)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def make(kind: str, **options: Any) -> nn.Module:
    layer, own = KINDS[kind]
    return layer(**{**SIZES, **own, **options})


def twin(layer: nn.Module, kind: str, **options: Any) -> nn.Module:
    other = make(kind, **options).to(next(layer.parameters()))
    # by order, for a dropout layer between them moves the names of cells
    with torch.no_grad():
        for mine, its in zip(other.parameters(), layer.parameters(), strict=True):
            mine.copy_(its)
    return other


def close(actual: torch.Tensor, wanted: torch.Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(actual, wanted, atol=tolerance, rtol=0.0)


# The equations: one step of one cell after the other


def climb(cells, x, states, share):
    """Take one step up a stack of cells; `states` has one entry a cell, or one for all of them."""
    for index, cell in enumerate(cells):
        place = 0 if share else index
        x, states[place] = cell(x, states[place])
    return x


def zeros(cells, x, share):
    return [tuple(x.new_zeros(x.shape[0], size) for size in cell.state_sizes) for cell in cells][: 1 if share else None]


def read(encoder, x, share, states):
    """Run an encoder both ways; return the summed outputs, the summed final states and the forward ones."""
    cells = encoder.forwards.stack.cells
    states = states or zeros(cells, x, share)
    outputs = [climb(cells, x[:, time], states, share) for time in range(x.shape[1])]
    last, finals = outputs[-1], states
    if encoder.backwards is not None:
        cells = encoder.backwards.stack.cells
        back = zeros(cells, x, share)
        others = [climb(cells, x[:, time], back, share) for time in reversed(range(x.shape[1]))]
        last = last + others[-1]
        outputs = [one + other for one, other in zip(outputs, reversed(others), strict=True)]
        finals = [
            tuple(a + b for a, b in zip(one, other, strict=True)) for one, other in zip(states, back, strict=True)
        ]
    return torch.stack(outputs, 1), last, finals, states


def by_hand(layer, x, truth=None, kept=(None, None)):
    """Compute what a layer without dropout computes of rows without padding; `kept` is that of the batch before."""
    core = layer.core
    attends = isinstance(layer, AttentionSeq2Seq)
    broadcast = getattr(layer, "broadcast_state", False)
    share = getattr(layer, "inner_broadcast_state", False)
    sequence, last, finals, carried = read(core.encoder, x, share, list(kept[0]) if kept[0] else None)
    if attends:
        cells, output = core.decoder.cells, core.output
        y, hidden = x.new_zeros(x.shape[0], layer.output_dim), x.new_zeros(x.shape[0], layer.hidden_dim)
        if kept[1]:
            hidden = kept[1][1]
    else:
        stack, *after = core.decoder.cell.cell.layers
        cells, output = stack.cells, nn.Sequential(*after)
        context = core.context(last)
        y, hidden = torch.zeros_like(context) if getattr(layer, "peek", False) else context, None
    if broadcast:
        states = list(finals) if share or len(finals) == len(cells) else [finals[-1]] * len(cells)
    else:
        states = list(kept[1][0]) if kept[1] else zeros(cells, x, share)
    outputs = []
    for time in range(layer.output_length):
        if truth is not None and time:
            y = truth[:, time - 1]
        if attends:
            attention = core.attention
            score = torch.tanh(attention.query(hidden).unsqueeze(1) + attention.key(sequence))
            weights = attention.score(score).squeeze(2).softmax(1)
            y = torch.cat([y, (weights.unsqueeze(2) * sequence).sum(1)], 1)
        elif getattr(layer, "peek", False):
            y = y + context
        hidden = climb(cells, y, states, share)
        y = output(hidden)
        outputs.append(y)
    return torch.stack(outputs, 1), (carried, (states, hidden))


@every_kind
@pytest.mark.parametrize("depth", [1, 2, (2, 3), [3, 1]], ids=str)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_layer_is_its_equations(kind, depth, cell) -> None:
    layer = make(kind, depth=depth, cell=cell).double()
    assert layer.depth == (depth, depth) if isinstance(depth, int) else layer.depth == tuple(depth)
    x = torch.randn(2, 7, 3, dtype=torch.float64)
    outputs = layer(x)
    assert outputs.shape == (2, 5, 4)
    close(outputs, by_hand(layer, x)[0], 1e-12)


@every_kind
@pytest.mark.parametrize("depth", [1, (2, 3)], ids=str)
def test_a_forced_layer_is_its_equations(kind, depth) -> None:
    layer = make(kind, depth=depth, teacher_force=True).double()
    x, truth = torch.randn(2, 7, 3, dtype=torch.float64), torch.randn(2, 5, 4, dtype=torch.float64)
    close(layer.train()(x, truth), by_hand(layer, x, truth)[0], 1e-12)
    close(layer(x), by_hand(layer, x)[0], 1e-12)


@every_kind
def test_there_are_as_many_layers_as_are_asked_for(kind) -> None:
    layer = make(kind, depth=(4, 3))
    cells = [module for module in layer.modules() if isinstance(module, CELLS["lstm"])]
    assert len(cells) == 3 + 4 * (2 if layer.bidirectional else 1)
    assert all(cell.output_size == 6 for cell in cells)
    assert make(kind, hidden_dim=None).hidden_dim == 4


@every_layer
def test_the_output_is_not_squashed(layer) -> None:
    made = layer(**SIZES)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(20.0)
    assert made(torch.randn(20, 7, 3)).abs().max() > 3.0


# Fast and slow


@every_kind
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("forced", [False, True])
def test_the_fused_way_is_the_unrolled_way(kind, cell, forced) -> None:
    fused = make(kind, depth=(2, 3), cell=cell, teacher_force=True)
    slow = twin(fused, kind, depth=(2, 3), cell=cell, teacher_force=True, unroll=True)
    weight, truth = torch.randn(6, 5, 4), torch.randn(6, 5, 4)
    for mask in (None, MASK):
        results = []
        for layer in (fused, slow):
            layer.zero_grad()
            x = torch.randn(6, 7, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
            outputs = layer(x, truth if forced else None, mask)
            (outputs * weight).sum().backward()
            results.append([outputs, x.grad, *(parameter.grad for parameter in layer.parameters())])
        for one, other in zip(*results, strict=True):
            close(one, other)


# Padding, masks, lengths


@every_kind
@pytest.mark.parametrize(("cell", "unroll"), [*((cell, False) for cell in CELLS), ("lstm", True)])
def test_padding_changes_nothing_wherever_it_stands(kind, cell, unroll) -> None:
    layer = make(kind, depth=2, unroll=unroll, cell=cell)
    x = torch.randn(6, 7, 3)
    alone = torch.cat([layer(x[row : row + 1, MASK[row]]) for row in range(6)])
    for garbage in (1e6, math.nan):
        dirty = x.masked_fill(~MASK.unsqueeze(2), garbage).requires_grad_()
        outputs = layer(dirty, mask=MASK)
        close(outputs, alone)
        outputs.square().sum().backward()
        assert dirty.grad[~MASK].abs().sum() == 0.0
        assert (dirty.grad[MASK].abs().sum(1) > 0.0).all()
        assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@every_kind
@pytest.mark.parametrize("cell", CELLS)
def test_a_gpu_gives_what_a_cpu_gives(kind, cell) -> None:
    layer = make(kind, depth=2, cell=cell).double()
    x = torch.randn(6, 7, 3, dtype=torch.float64)
    wanted = [layer(x), layer(x, mask=MASK)]
    layer.cuda()
    close(layer(x.cuda()).cpu(), wanted[0], 1e-9)
    close(layer(x.cuda(), mask=MASK.cuda()).cpu(), wanted[1], 1e-9)


@every_kind
def test_a_full_mask_and_columns_of_padding_change_nothing(kind) -> None:
    layer = make(kind, depth=2)
    x = torch.randn(3, 4, 3)
    wanted = layer(x)
    close(layer(x, mask=torch.ones(3, 4, dtype=torch.bool)), wanted)
    wider = torch.cat([torch.randn(3, 2, 3), x, torch.randn(3, 5, 3)], 1)
    close(layer(wider, mask=torch.arange(11).sub(2).expand(3, -1).lt(4) & (torch.arange(11) >= 2)), wanted)


@every_kind
def test_any_length_and_any_batch_may_go_in(kind) -> None:
    layer = make(kind)
    for rows, steps in ((1, 1), (2, 1), (4, 12)):
        x = torch.randn(rows, steps, 3)
        outputs = layer(x)
        assert outputs.shape == (rows, 5, 4)
        close(outputs, torch.cat([layer(x[row : row + 1]) for row in range(rows)]))


@every_layer
def test_the_order_of_the_steps_matters(layer) -> None:
    made, x = layer(**SIZES), torch.randn(2, 7, 3)
    assert not torch.allclose(made(x), made(x.flip(1)), atol=1e-3)


# Teacher forcing


@every_kind
@pytest.mark.parametrize("unroll", [False, True])
def test_a_forced_step_sees_the_truth_of_the_step_before(kind, unroll) -> None:
    layer = make(kind, depth=2, teacher_force=True, unroll=unroll).train()
    x, truth = torch.randn(2, 7, 3), torch.randn(2, 5, 4)
    before = layer(x, truth)
    for time in range(5):
        other = truth.clone()
        other[:, time] += 1.0
        changed = (layer(x, other) - before).abs().amax((0, 2)) > 1e-6
        assert changed[: time + 1].tolist() == [False] * (time + 1)
        assert changed[time + 1 : time + 2].tolist() == [True] * (time < 4)


@every_kind
def test_truth_is_for_training_only_and_never_needed(kind) -> None:
    layer = make(kind, teacher_force=True)
    plain = twin(layer, kind)
    x, truth = torch.randn(2, 7, 3), torch.randn(2, 5, 4)
    assert not torch.allclose(layer.train()(x, truth), layer(x), atol=1e-3)
    close(layer(x), plain(x))
    assert torch.equal(layer.eval()(x, truth), layer(x))
    assert torch.equal(layer(x), plain.eval()(x))


# The context vector


def test_the_context_is_added_once_at_every_step_of_peek() -> None:
    layer = make("peek, from zero", teacher_force=True).train()
    plain = make("each its own, from zero", teacher_force=True).train()
    plain.load_state_dict(layer.state_dict())
    x, truth = torch.randn(2, 7, 3), torch.randn(2, 5, 4)
    _, last, _, _ = layer.core.encoder(x, torch.tensor([7, 7]), ())
    context = layer.core.context(last).unsqueeze(1)
    # without peek the first step gets C and a forced one the truth, so truth + C without peek is truth with it
    close(layer(x, truth), plain(x, truth + context))


@pytest.mark.parametrize("kind", ["simple", "shared, from zero", "peek", "peek, from zero"])
def test_the_context_is_seen_at_every_step_with_peek_only(kind) -> None:
    layer = make(kind, teacher_force=True).train()
    x, truth = torch.randn(2, 7, 3), torch.randn(2, 5, 4)
    seen: list[torch.Tensor] = []
    layer.core.decoder.cell.cell.layers[0].cells[0].register_forward_pre_hook(
        lambda module, given: seen.append(given[0])
    )
    layer.core.decoder.unroll = True
    layer(x, truth)
    contexts = [given - (truth[:, time - 1] if time else 0.0) for time, given in enumerate(seen)]
    assert len(contexts) == 5
    for context in contexts[1:]:
        close(context, contexts[0] if layer.core.peek else torch.zeros_like(context))


@pytest.mark.parametrize("depth", [1, (1, 3)], ids=str)
def test_outputs_are_fed_back(depth) -> None:
    for kind in KINDS:
        layer = make(kind, depth=depth, teacher_force=True).train()
        x = torch.randn(2, 7, 3)
        outputs = layer(x)
        close(layer(x, outputs.detach()), outputs)
        assert not torch.allclose(layer(x, outputs.detach() + 1.0), outputs, atol=1e-3)


# Attention


def weights_of(layer, *given, **named) -> torch.Tensor:
    seen: list[torch.Tensor] = []
    hook = layer.core.attention.register_forward_hook(lambda module, inputs, outputs: seen.append(outputs[1]))
    layer(*given, **named)
    hook.remove()
    return torch.cat(seen, 1)


@pytest.mark.parametrize("kind", ["attention", "attention one way"])
def test_attention_follows_the_decoder(kind) -> None:
    layer = make(kind, depth=2)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(3.0)
    x = torch.randn(6, 7, 3)
    weights = weights_of(layer, x, mask=MASK)
    assert weights.shape[:2] == (6, 5)
    close(weights.sum(2), torch.ones(6, 5))
    for row, steps in enumerate(MASK.sum(1).tolist()):
        assert weights[row, :, steps:].abs().sum() == 0.0
        assert (weights[row, :, :steps] > 0.0).all()
    several = MASK.sum(1) > 1
    between = (weights[several, 1:] - weights[several, :-1]).abs().amax(2)
    assert (between > 1e-4).all()
    layer(x).square().sum().backward()
    assert layer.core.attention.query.weight.grad.abs().max() > 1e-4


def test_directions_are_summed_and_may_be_left_out() -> None:
    both, one = make("attention"), make("attention one way")
    assert both.core.encoder.backwards is not None
    assert one.core.encoder.backwards is None
    x = torch.randn(1, 7, 3)
    outputs, *_ = one.core.encoder(x, torch.tensor([7]), ())
    later = x.clone()
    later[:, 6] += 1.0
    changed, *_ = one.core.encoder(later, torch.tensor([7]), ())
    close(changed[:, :6], outputs[:, :6])
    outputs, *_ = both.core.encoder(x, torch.tensor([7]), ())
    changed, *_ = both.core.encoder(later, torch.tensor([7]), ())
    assert ((changed - outputs).abs().amax(2) > 1e-6).all()


# State from batch to batch


@every_kind
@pytest.mark.parametrize("training", [False, True])
def test_stateful_goes_on_until_it_is_reset(kind, training) -> None:
    layer = make(kind, depth=(2, 3), stateful=True).double().train(training)
    stateless = twin(layer, kind, depth=(2, 3))
    batches = [torch.randn(2, 7, 3, dtype=torch.float64) for _ in range(3)]
    first = []
    kept = (None, None)
    for x in batches:
        outputs = layer(x)
        wanted, kept = by_hand(layer, x, None, kept)
        close(outputs, wanted, 1e-12)
        first.append(outputs)
    close(first[0], stateless(batches[0]), 1e-12)
    assert not torch.allclose(first[1], stateless(batches[1]), atol=1e-8)
    assert not torch.allclose(layer(batches[0]), first[0], atol=1e-8)
    layer.reset_states()
    for x, wanted in zip(batches, first, strict=True):
        assert torch.equal(layer(x), wanted)


@pytest.mark.parametrize("kind", ["seq2seq", "layer by layer", "peek"])
@pytest.mark.parametrize("mask", [None, MASK[:4]], ids=["whole", "masked"])
def test_two_halves_are_one_sequence(kind, mask) -> None:
    """Holds where the decoder takes all its state from the encoder."""
    layer = make(kind, depth=2, stateful=True)
    stateless = twin(layer, kind, depth=2)
    halves = torch.randn(2, 4, 7, 3)
    layer(halves[0], mask=mask)
    both = None if mask is None else torch.cat([mask, mask], 1)
    close(layer(halves[1], mask=mask), stateless(torch.cat([*halves], 1), mask=both))


@every_kind
def test_no_gradient_goes_into_the_batch_before(kind) -> None:
    layer = make(kind, stateful=True)
    before, after = torch.randn(2, 7, 3).requires_grad_(), torch.randn(2, 7, 3).requires_grad_()
    layer(before)
    layer(after).sum().backward()
    assert before.grad is None
    assert after.grad.abs().sum() > 0
    layer(after).sum().backward()


@every_layer
def test_a_stateful_layer_refuses_another_batch_size_until_it_is_reset(layer) -> None:
    made = layer(**SIZES, stateful=True)
    made(torch.randn(2, 7, 3))
    with pytest.raises(LayerError, match=r"a batch of 3, but the state that is kept is .* of 2 .*reset_states\(\)"):
        made(torch.randn(3, 7, 3))
    made.reset_states()
    assert made(torch.randn(3, 7, 3)).shape == (3, 5, 4)


@every_layer
def test_the_state_is_copied_and_moved_but_not_saved(layer) -> None:
    made = layer(**SIZES, stateful=True)
    x = torch.randn(2, 7, 3)
    names = set(made.state_dict())
    made(x)
    assert set(made.state_dict()) == names == {name for name, _ in made.named_parameters()}
    copied = copy.deepcopy(made)
    wanted = made(x)
    assert torch.equal(copied(x), wanted)
    close(copied.double()(x.double()).float(), made(x))


@every_layer
def test_a_layer_that_is_not_stateful_remembers_nothing(layer) -> None:
    made, x = layer(**SIZES).eval(), torch.randn(2, 7, 3)
    assert torch.equal(made(x), made(x))


# Dropout


@every_kind
@pytest.mark.parametrize("depth", [1, 3])
def test_dropout_is_for_training_only(kind, depth) -> None:
    layer = make(kind, depth=depth, dropout=0.5)
    plain = twin(layer, kind, depth=depth)
    x = torch.randn(4, 7, 3)
    assert torch.equal(layer.eval()(x), plain.eval()(x))
    assert not torch.equal(layer.train()(x), layer(x))
    shares = [module.p for module in layer.modules() if isinstance(module, nn.Dropout) and module.p]
    # between the cells of each stack, and on what the decoder gets from the encoder
    assert shares == [0.5] * ((depth - 1) * (3 if layer.bidirectional else 2) + 1)


# As a part of something bigger


class Reader(nn.Module):
    """Words go in, probabilities of other words come out."""

    def __init__(self, layer: type[nn.Module]) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 3, padding_idx=0)
        self.layer = layer(**SIZES, depth=2)
        self.out = nn.Sequential(nn.Linear(4, 9), nn.LogSoftmax(2))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(self.layer(self.words(ids), mask=ids != 0))
        return out


@every_layer
def test_a_layer_stands_in_bigger_modules(layer) -> None:
    stacked = nn.Sequential(
        nn.Linear(2, 3), layer(**SIZES), nn.Tanh(), layer(input_dim=4, output_length=2, output_dim=7), nn.Linear(7, 1)
    )
    assert stacked(torch.randn(3, 6, 2)).shape == (3, 2, 1)
    ids = torch.tensor([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
    model = Reader(layer)
    outputs = model(ids)
    close(outputs[:1], model(ids[:1, :3]))
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())

    other = Reader(layer)
    other.load_state_dict(load(save(model.state_dict())))
    assert torch.equal(other(ids), outputs)
    assert torch.equal(copy.deepcopy(model)(ids), outputs)
    double = copy.deepcopy(model).double()
    assert double(ids).dtype == torch.float64
    close(double(ids).float(), outputs)
    assert model.bfloat16()(ids).isfinite().all()


# Spellings

SPELLINGS: list[LayerOptions] = [
    {"input_dim": 3},
    {"input_dim": 3, "input_length": 7},
    {"input_dim": 3, "input_length": 7, "batch_size": 2},
    {"input_shape": (7, 3)},
    {"input_shape": [None, 3]},
    {"input_shape": (7, None), "input_dim": 3},
    {"input_shape": (7, 3), "batch_size": 2},
    {"batch_input_shape": (2, 7, 3)},
    {"batch_input_shape": (None, None, 3)},
    {"input_dim": np.int64(3), "input_shape": (np.int64(7), None), "depth": (np.int64(1), 1)},
    {"batch_input_shape": torch.Size([2, 7, 3]), "input_shape": (7, 3), "input_dim": 3, "input_length": 7},
]


@every_layer
@pytest.mark.parametrize("spelling", SPELLINGS, ids=str)
def test_a_shape_may_be_spelled_in_many_ways(layer, spelling) -> None:
    made = layer(**spelling, output_length=5, output_dim=4)
    assert made.input_dim == 3
    assert type(made.input_dim) is type(made.depth[0]) is int
    x = torch.randn(2, 7, 3)
    assert made(x).shape == (2, 5, 4)
    text = str(spelling)
    for fixed, other in (("2" in text, torch.randn(1, 7, 3)), ("7" in text, torch.randn(2, 6, 3))):
        if fixed:
            with pytest.raises(LayerError, match=r"the input is \[\d, \d, 3\], the layer takes \["):
                made(other)
        else:
            assert made(other).shape[1:] == (5, 4)


# Cells and activations


class Fading(Cell):
    """A cell of our own with two memories of other sizes than its output, one of them a count of steps."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, [2 * hidden_size, 1])
        self.mix = nn.Linear(input_size + 2 * hidden_size, 2 * hidden_size)

    def forward(self, inputs, state):
        memory, count = state
        memory = 0.5 * memory + torch.relu(self.mix(torch.cat([inputs, memory], 1)))
        return memory[:, : self.output_size] / (1.0 + count), (memory, count + 1.0)


def stepped(input_size: int, hidden_size: int) -> Cell:
    linear = nn.Linear(input_size + hidden_size, hidden_size)

    def step(inputs, state, linear):
        new = torch.tanh(linear(torch.cat([inputs, state[0]], 1)))
        return new, (new,)

    sizes = {"input_size": input_size, "output_size": hidden_size, "state_sizes": [hidden_size]}
    return StepCell(step, **sizes, layers=[linear])


@every_kind
@pytest.mark.parametrize("cell", [Fading, stepped, *CELLS.values()], ids=lambda cell: cell.__name__)
def test_any_cell_will_do(kind, cell) -> None:
    layer = make(kind, cell=cell, depth=2).double()
    x = torch.randn(6, 7, 3, dtype=torch.float64)
    outputs = layer(x, mask=MASK)
    alone = [by_hand(layer, x[row : row + 1, MASK[row]])[0] for row in range(6)]
    close(outputs, torch.cat(alone), 1e-10)
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


@every_layer
def test_a_cell_that_makes_something_else_is_refused(layer) -> None:
    with pytest.raises(LayerError, match=r"made a Linear.* where a Cell from \d to 6 is needed"):
        layer(**SIZES, cell=nn.Linear)
    with pytest.raises(S2SBotError, match=r"no cell 'lstn'.*lstm"):
        layer(**SIZES, cell="lstn")


@every_layer
def test_the_output_goes_through_the_activation(layer) -> None:
    plain = layer(**SIZES, teacher_force=True)
    x, truth = torch.randn(2, 7, 3), torch.randn(2, 5, 4)
    wanted = plain(x, truth)
    activations = {
        "linear": wanted,
        "tanh": wanted.tanh(),
        "sigmoid": wanted.sigmoid(),
        "relu": wanted.relu(),
        nn.Softmax(1): wanted.softmax(2),
    }
    for activation, squashed in activations.items():
        made = layer(**SIZES, teacher_force=True, activation=activation)
        made.load_state_dict(plain.state_dict())
        close(made(x, truth), squashed)
    trained = layer(**SIZES, activation=nn.PReLU(4))
    assert sum(parameter.numel() for parameter in trained.parameters()) == 4 + sum(
        parameter.numel() for parameter in plain.parameters()
    )


# Learning


@every_layer
@pytest.mark.parametrize("forced", [False, True])
def test_a_layer_learns_to_reverse(layer, forced) -> None:
    made = layer(input_dim=2, hidden_dim=24, output_length=3, output_dim=2, teacher_force=forced)
    x = torch.rand(32, 3, 2).mul(2.0).sub(1.0)
    target = x.flip(1)
    optimizer = torch.optim.Adam(made.parameters(), lr=0.02)
    losses = []
    for _ in range(120):
        loss = nn.functional.mse_loss(made(x, target if forced else None), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


# Bad input


@every_layer
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, r"depth=0 \(a depth is a whole number from 1\)"),
        ({"depth": -1}, r"depth=-1 "),
        ({"depth": (2, 0)}, r"depth=\(2, 0\) "),
        ({"depth": 1.5}, r"depth=1\.5 "),
        ({"depth": True}, r"depth=True "),
        ({"depth": (1, 2, 3)}, r"depth=\(1, 2, 3\) has 3 numbers \(give one, or two: \(encoder, decoder\)\)"),
        ({"depth": [2]}, r"depth=\[2\] has 1 numbers"),
        ({"depth": None}, r"depth=None "),
        ({"output_dim": None}, r"output_dim is not given \(it is a whole number from 1\)"),
        ({"output_length": None}, r"output_length is not given"),
        ({"output_dim": 4.0}, r"output_dim=4\.0 \(it is a whole number from 1\)"),
        ({"hidden_dim": 6.5}, r"hidden_dim=6\.5 "),
        ({"hidden_dim": 0}, r"hidden_dim=0 "),
        ({"output_length": "5"}, r"output_length='5' "),
        ({"input_dim": 3.0}, r"input_dim=3\.0 "),
        ({"input_dim": None}, r"input_dim is not given \(pass it, or input_shape or batch_input_shape\)"),
        ({"input_dim": None, "input_shape": (7, None)}, r"input_dim is not given"),
        ({"input_length": True}, r"input_length=True "),
        ({"batch_size": 0}, r"batch_size=0 "),
        ({"input_shape": (7, 4)}, r"input_dim is 3 and 4 \(say it once\)"),
        ({"input_shape": (7, 3), "batch_input_shape": (2, 8, 3)}, r"input_length is 7 and 8 "),
        ({"batch_size": 4, "batch_input_shape": (2, 8, 3)}, r"batch_size is 2 and 4 "),
        ({"input_shape": (2, 7, 3)}, r"input_shape=\(2, 7, 3\) \(it is \(input_length, input_dim\), None where"),
        ({"batch_input_shape": (7, 3)}, r"batch_input_shape=\(7, 3\) \(it is \(batch_size, input_length, input_dim\)"),
        ({"batch_input_shape": 3}, r"batch_input_shape=3 "),
        ({"batch_input_shape": (2, 7.0, 3)}, r"input_length=7\.0 "),
        ({"dropout": 1.0}, r"dropout=1\.0 \(it is a share, from 0 up to but not 1\)"),
        ({"dropout": -0.1}, r"dropout=-0\.1 "),
        ({"dropout": "0.5"}, r"dropout='0\.5' "),
        ({"dropout": None}, r"dropout=None "),
        ({"activation": "tahn"}, r"activation='tahn' \(give a module, or one of linear, tanh, sigmoid, relu\)"),
        ({"activation": len}, r"activation=<.*give a module"),
        ({"hiden_dim": 6}, r"no argument 'hiden_dim' .*hidden_dim"),
        ({"return_sequences": True}, r"no argument 'return_sequences'"),
    ],
    ids=str,
)
def test_options_that_make_no_layer_are_refused(layer, options, message) -> None:
    with pytest.raises(LayerError, match=message) as caught:
        layer(**{**SIZES, **options})
    assert isinstance(caught.value, S2SBotError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("layer", [SimpleSeq2Seq, AttentionSeq2Seq])
@pytest.mark.parametrize("option", ["peek", "broadcast_state", "inner_broadcast_state"])
def test_only_seq2seq_has_its_own_options(layer, option) -> None:
    with pytest.raises(LayerError, match=f"no argument '{option}'"):
        layer(**SIZES, **{option: True})


@pytest.mark.parametrize("original", [False, True])
@every_layer
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": (7, 3)}, r"the input is \[7, 3\], the layer takes \[any, 7, 3\]"),
        ({"x": (6, 7, 3, 1)}, r"the input is \[6, 7, 3, 1\], the layer takes"),
        ({"x": (6, 7, 4)}, r"the input is \[6, 7, 4\], the layer takes \[any, 7, 3\]"),
        ({"x": (6, 8, 3)}, r"the input is \[6, 8, 3\], the layer takes \[any, 7, 3\]"),
        ({"x": (0, 7, 3)}, r"the input is \[0, 7, 3\], the layer takes"),
        ({"mask": MASK.long()}, r"the mask is of torch\.int64, not of torch\.bool \(.*mask\.bool\(\)\)"),
        ({"mask": MASK.float()}, r"the mask is of torch\.float32"),
        ({"mask": MASK[:5]}, r"the mask is \[5, 7\], the input's batch and length \[6, 7\]"),
        ({"mask": MASK[:, :6]}, r"the mask is \[6, 6\], the input's batch and length \[6, 7\]"),
        ({"mask": MASK.unsqueeze(2)}, r"the mask is \[6, 7, 1\]"),
        ({"mask": MASK & (torch.arange(6) != 4).unsqueeze(1)}, r"nothing in row 4 of the mask is real"),
        ({"mask": torch.zeros(6, 7).bool()}, r"nothing in row 0, 1, 2, 3, 4, \.\.\. of the mask is real"),
        ({"target": (6, 5, 4)}, r"a target, but the layer was made without teacher forcing \(pass teacher_force=True"),
        ({"target": (6, 6, 4)}, r"the target is \[6, 6, 4\], the output \[6, 5, 4\]"),
        ({"target": (6, 5, 3)}, r"the target is \[6, 5, 3\], the output \[6, 5, 4\]"),
        ({"target": (1, 5, 4)}, r"the target is \[1, 5, 4\], the output \[6, 5, 4\]"),
        ({"target": (5, 4)}, r"the target is \[5, 4\], the output \[6, 5, 4\]"),
    ],
    ids=str,
)
def test_what_does_not_fit_a_layer_is_refused(layer, given, message, original) -> None:
    made = layer(**SIZES, input_length=7, original=original)
    shaped = {name: torch.zeros(value) if isinstance(value, tuple) else value for name, value in given.items()}
    for training in (True, False):
        with pytest.raises(LayerError, match=message):
            made.train(training)(**{"x": torch.zeros(6, 7, 3), **shaped})


@every_layer
def test_a_target_of_another_length_is_refused_though_it_is_not_needed(layer) -> None:
    made = layer(**SIZES, teacher_force=True).eval()
    with pytest.raises(LayerError, match=r"the target is \[2, 4, 4\], the output \[2, 5, 4\]"):
        made(torch.zeros(2, 7, 3), torch.zeros(2, 4, 4))
