"""Every cell against its equations, its fused call against its steps, and what padding must not do."""

from __future__ import annotations

import ast
import copy
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from s2sbot.errors import LayerError
from s2sbot.nn import CELLS, Cell, GRUCell, LSTMCell, RecurrentHighwayCell, SimpleRNNCell, StepCell, make_cell
from s2sbot.nn.cells import _holding, _one_piece

ROOT = Path(__file__).parents[2]
INPUT, HIDDEN, TIME = 3, 4, 5
LENGTHS = torch.tensor([5, 2, 4, 1])
REAL = torch.arange(TIME) < LENGTHS.unsqueeze(1)


class Tally(Cell):
    """A cell of a user's own, with two tensors of state of other sizes than its output."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, [hidden_size, 2])
        self.linear = nn.Linear(input_size + hidden_size + 2, hidden_size)
        self.count = nn.Linear(hidden_size, 2)

    def forward(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        hidden, tally = state
        hidden = torch.tanh(self.linear(torch.cat([inputs, hidden, tally], 1)))
        return hidden * tally.sum(1, keepdim=True), (hidden, 0.9 * tally + self.count(hidden))


MAKERS = {**CELLS, "own": Tally}
every_cell = pytest.mark.parametrize("name", MAKERS)
every_type = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
with_or_without = pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])


def make(name: str, dtype: torch.dtype = torch.float64) -> Cell:
    torch.manual_seed(0)
    return MAKERS[name](INPUT, HIDDEN).to(dtype)


def given_for(cell: Cell, dtype: torch.dtype = torch.float64) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return an input of four rows and a first state that is not zero."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(4, TIME, INPUT, dtype=dtype, generator=generator, requires_grad=True)
    return inputs, tuple(
        torch.randn(4, size, dtype=dtype, generator=generator, requires_grad=True) for size in cell.state_sizes
    )


# The equations


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def clip(z: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(0.2 * z + 0.5, 0), 1)


def torch_gates(cell: Cell, count: int) -> list[tuple[np.ndarray, ...]]:
    """Return W, U, b and b' of each gate of one of torch's layers."""
    layer = cell.fused
    parts = [
        np.split(tensor.detach().numpy(), count)
        for tensor in (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0)
    ]
    return list(zip(*parts, strict=True))


def lstm(cell, x, state):
    h, c = state
    i, f, g, o = (w @ x + b + u @ h + b2 for w, u, b, b2 in torch_gates(cell, 4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)


def gru(cell, x, state):
    [h] = state
    (wr, ur, br, br2), (wz, uz, bz, bz2), (wn, un, bn, bn2) = torch_gates(cell, 3)
    r, z = sigmoid(wr @ x + br + ur @ h + br2), sigmoid(wz @ x + bz + uz @ h + bz2)
    h = (1 - z) * np.tanh(wn @ x + bn + r * (un @ h + bn2)) + z * h
    return h, (h,)


def rnn(cell, x, state):
    [(w, u, b, b2)] = torch_gates(cell, 1)
    h = np.tanh(w @ x + b + u @ state[0] + b2)
    return h, (h,)


def highway(cell, x, state):
    [s] = state
    wh, wt = np.split(cell.input.weight.detach().numpy(), 2)
    for level, linear in enumerate(cell.recurrent):
        rh, rt = np.split(linear.weight.detach().numpy(), 2)
        bh, bt = np.split(linear.bias.detach().numpy(), 2)
        first = 1.0 if level == 0 else 0.0
        new = np.tanh(first * (wh @ x) + rh @ s + bh)
        transform = sigmoid(first * (wt @ x) + rt @ s + bt)
        s = new * transform + s * (1 - transform)
    return s, (s,)


def original(cell, x, state):
    h, c = state
    kernel, bias, recurrent = (tensor.detach().numpy() for tensor in (cell.kernel, cell.bias, cell.recurrent_kernel))
    f, i, o, g = np.split(x @ kernel + bias + h @ recurrent, 4)
    c = np.tanh(clip(f) * c + clip(i) * np.tanh(g))
    h = clip(o) * c
    return h, (h, c)


EQUATIONS = {"lstm": lstm, "gru": gru, "rnn": rnn, "highway": highway, "original": original}


def by_equations(equation, cell, inputs, state):
    """Run an equation, which knows of no batch and no time."""
    outputs, finals = [], []
    for row in range(inputs.shape[0]):
        own, steps = tuple(part[row].detach().numpy() for part in state), []
        for time in range(inputs.shape[1]):
            output, own = equation(cell, inputs[row, time].detach().numpy(), own)
            steps.append(output)
        outputs.append(steps)
        finals.append(own)
    return torch.tensor(np.array(outputs)), tuple(torch.tensor(np.array(part)) for part in zip(*finals, strict=True))


def close(found, wanted, within: float) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=within, atol=within)


def test_every_named_cell_has_its_equations_here():
    assert sorted(EQUATIONS) == sorted(CELLS)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("way", ["sequence", "unrolled"])
def test_a_cell_is_its_equations(name, way):
    cell = make(name)
    with torch.no_grad():
        for parameter in cell.parameters():
            # biases too are no longer zero, and the clipped gates reach their limits
            parameter.add_(torch.randn_like(parameter))
    inputs, state = given_for(cell)
    outputs, final = getattr(cell, way)(inputs, None, state)
    wanted, wanted_final = by_equations(EQUATIONS[name], cell, inputs, state)
    close([outputs, *final], [wanted, *wanted_final], 1e-12)


@pytest.mark.parametrize("micro_steps", [1, 3])
def test_a_highway_has_as_many_layers_as_it_is_told(micro_steps):
    torch.manual_seed(0)
    cell = RecurrentHighwayCell(INPUT, HIDDEN, micro_steps=micro_steps).double()
    assert len(cell.recurrent) == micro_steps
    assert all((linear.bias[HIDDEN:] == -2).all() for linear in cell.recurrent)
    inputs, state = given_for(cell)
    outputs, _ = cell.unrolled(inputs, None, state)
    close([outputs], [by_equations(highway, cell, inputs, state)[0]], 1e-12)


def test_the_memory_of_the_original_is_squashed_and_its_gates_shut_fully():
    cell = make("original")
    with torch.no_grad():
        cell.kernel.zero_()
        cell.recurrent_kernel.zero_()
        # f and i fully open, o shut for the first unit alone
        cell.bias.copy_(torch.tensor([3.0] * 8 + [-3.0] + [3.0] * 3 + [9.0] * 4))
    inputs = torch.zeros(1, 40, INPUT, dtype=torch.float64)
    outputs, (_, memory) = cell.unrolled(inputs)
    assert memory.max() < 1
    assert outputs[0, :, 0].eq(0).all()
    assert torch.equal(outputs[0, -1, 1:], memory[0, 1:])


# All steps at once, and one by one


def run(way, inputs, lengths, state):
    """Return what comes out, [.., real steps only], and every gradient of a sum that weighs all of it differently."""
    outputs, final = way(inputs, lengths, state)
    if lengths is not None:
        outputs = outputs * REAL.unsqueeze(2)
    loss = sum((part * torch.arange(part.numel()).view_as(part).cos()).sum() for part in (outputs, *final))
    module = way.__self__
    gradients = torch.autograd.grad(loss, [inputs, *state, *module.parameters()])
    return [outputs, *final], gradients


@every_cell
@every_type
@with_or_without
def test_a_sequence_equals_its_steps_and_so_do_its_gradients(name, dtype, lengths):
    cell = make(name, dtype)
    inputs, state = given_for(cell, dtype)
    found, gradients = run(cell.sequence, inputs, lengths, state)
    wanted, wanted_gradients = run(cell.unrolled, inputs, lengths, state)
    assert all(part.dtype == dtype for part in found)
    close(found, wanted, 1e-5)
    close(gradients, wanted_gradients, 1e-5)


@every_cell
@every_type
def test_a_padded_row_equals_the_row_by_itself(name, dtype):
    cell = make(name, dtype)
    inputs, state = given_for(cell, dtype)
    outputs, final = cell.sequence(inputs, LENGTHS, state)
    for row, length in enumerate(LENGTHS.tolist()):
        own = tuple(part[row : row + 1] for part in state)
        wanted, wanted_final = cell.sequence(inputs[row : row + 1, :length], None, own)
        close([outputs[row, :length], *(part[row] for part in final)], [wanted[0], *(p[0] for p in wanted_final)], 1e-6)


@every_cell
def test_what_stands_in_the_padding_changes_nothing_and_gets_no_gradient(name):
    cell = make(name)
    inputs, state = given_for(cell)
    found, gradients = run(cell.sequence, inputs, LENGTHS, state)
    assert gradients[0][~REAL].eq(0).all()
    assert gradients[0][REAL].abs().sum(1).gt(0).all()
    other = torch.where(REAL.unsqueeze(2), inputs, 100 * torch.randn_like(inputs)).detach().requires_grad_()
    again, gradients_again = run(cell.sequence, other, LENGTHS, state)
    close(again, found, 1e-12)
    close(gradients_again, gradients, 1e-12)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_a_state_goes_through_a_thousand_steps_of_padding_unchanged(name, dtype):
    cell = make(name, dtype)
    inputs, state = given_for(cell, dtype)
    padded = torch.cat([inputs[:, :1], torch.randn(4, 1000, INPUT).to(dtype)], 1)
    with torch.no_grad():
        _, final = cell.sequence(padded, torch.ones(4, dtype=torch.int64), state)
        _, longer = cell.sequence(padded[:, :2], torch.ones(4, dtype=torch.int64), state)
    # a GRU whose update gate were only held open would drift: (h - n) + n is not h
    close(final, longer, 2 * torch.finfo(dtype).eps)


@every_cell
def test_one_step_without_gradient_equals_the_whole_call(name):
    cell = make(name)
    inputs, state = given_for(cell)
    wanted, wanted_final = cell.sequence(inputs, None, state)
    outputs = []
    with torch.no_grad():
        for time in range(TIME):
            output, state = cell.sequence(inputs[:, time : time + 1], None, state)
            assert output.shape == (4, 1, HIDDEN)
            outputs.append(output)
    close([torch.cat(outputs, 1), *state], [wanted, *wanted_final], 1e-12)


@every_cell
def test_no_state_is_a_state_of_zeros(name):
    cell = make(name)
    inputs, _ = given_for(cell)
    zeros = cell.zeros(inputs)
    assert [tuple(part.shape) for part in zeros] == [(4, size) for size in cell.state_sizes]
    assert all(part.dtype == inputs.dtype and not part.any() for part in zeros)
    for way in (cell.sequence, cell.unrolled):
        outputs, final = way(inputs)
        wanted, wanted_final = way(inputs, None, zeros)
        close([outputs, *final], [wanted, *wanted_final], 0)


@pytest.mark.parametrize("columns", [1, 8])
def test_more_columns_hold_the_memory_of_an_lstm_too(columns):
    cell = make("lstm")
    inputs, state = given_for(cell)
    wanted, wanted_final = cell.unrolled(inputs, LENGTHS, state)
    padding = ~REAL.bool().unsqueeze(2)
    widened, weights = _holding(inputs.masked_fill(padding, 0.0), padding, cell.weights(), columns=columns)
    assert widened.shape[2] == weights[0].shape[1] == INPUT + columns
    start = tuple(part.unsqueeze(0) for part in state)
    outputs, _, memory = torch.lstm(widened, start, _one_piece(weights), True, 1, 0.0, False, False, True)
    real = REAL.unsqueeze(2)
    close([outputs * real, memory.squeeze(0)], [wanted * real, wanted_final[1]], 1e-12)


def test_weights_in_one_piece_lie_one_behind_the_other():
    cell = make("lstm")
    pieces = _one_piece(cell.weights())
    begins = [(piece.data_ptr() - pieces[0].data_ptr()) // piece.element_size() for piece in pieces]
    assert begins == [0, *itertools.accumulate(piece.numel() for piece in pieces[:-1])]
    assert all(piece.is_contiguous() for piece in pieces)
    close(pieces, cell.weights(), 0)
    sum((number + 1) * piece.sum() for number, piece in enumerate(pieces)).backward()
    for number, weight in enumerate(cell.weights()):
        assert weight.grad.eq(number + 1).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@every_cell
@with_or_without
def test_a_gpu_gives_what_the_steps_give(name, lengths):
    cell = make(name)
    inputs, state = given_for(cell)
    wanted, wanted_final = cell.unrolled(inputs, lengths, state)
    moved = lengths if lengths is None else lengths.cuda()
    found, final = cell.cuda().sequence(inputs.cuda(), moved, tuple(part.cuda() for part in state))
    real = REAL.unsqueeze(2) if lengths is not None else torch.ones(1)
    close([found.cpu() * real, *(part.cpu() for part in final)], [wanted * real, *wanted_final], 1e-8)


@given(data=st.data(), name=st.sampled_from(sorted(MAKERS)))
@settings(max_examples=25, deadline=None)
def test_any_lengths_give_what_the_steps_give(data, name):
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=5)))
    cell = make(name)
    inputs = torch.randn(len(lengths), 7, INPUT, dtype=torch.float64)
    real = (torch.arange(7) < lengths.unsqueeze(1)).unsqueeze(2)
    found, final = cell.sequence(inputs, lengths)
    wanted, wanted_final = cell.unrolled(inputs, lengths)
    close([found * real, *final], [wanted * real, *wanted_final], 1e-12)


# A cell of a function


def test_a_step_function_equals_the_class_it_was_taken_from():
    own = make("own")

    def step(inputs, state, linear, count):
        hidden, tally = state
        hidden = torch.tanh(linear(torch.cat([inputs, hidden, tally], 1)))
        return hidden * tally.sum(1, keepdim=True), [hidden, 0.9 * tally + count(hidden)]

    cell = StepCell(step, input_size=INPUT, output_size=HIDDEN, state_sizes=[HIDDEN, 2], layers=[own.linear, own.count])
    inputs, state = given_for(own)
    found, gradients = run(cell.sequence, inputs, LENGTHS, state)
    wanted, wanted_gradients = run(own.unrolled, inputs, LENGTHS, state)
    close(found, wanted, 0)
    close(gradients, wanted_gradients, 0)
    assert len(list(cell.parameters())) == 4
    assert isinstance(cell(inputs[:, 0], state)[1], tuple)


def test_a_step_function_may_have_no_state():
    cell = StepCell(lambda inputs, state: (2 * inputs, ()), input_size=3, output_size=3, state_sizes=[])
    inputs = torch.randn(4, TIME, 3)
    outputs, final = cell.sequence(inputs, LENGTHS)
    assert torch.equal(outputs, 2 * inputs) and final == ()


# What is refused


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("sizes", [(0, 4), (3, 0), (3, -1), (3, 2.5)], ids=str)
def test_a_size_below_one_makes_no_cell(name, sizes):
    with pytest.raises(LayerError, match=r"a size of (0|-1|2\.5) makes no \w+.*whole numbers from 1"):
        MAKERS[name](*sizes)


def test_a_highway_without_a_layer_is_refused():
    with pytest.raises(LayerError, match="0 layers make no highway"):
        RecurrentHighwayCell(3, 4, micro_steps=0)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 3), (3,)], ids=str)
def test_what_is_not_one_step_is_refused_by_a_named_cell(name, shape):
    cell = CELLS[name](3, 4)
    state = cell.zeros(torch.zeros(2, 3))
    with pytest.raises(LayerError, match=rf"one step's input is \[{shape[0]}.* takes \[batch, 3\]"):
        cell(torch.randn(shape), state)


def test_make_cell_takes_a_name_a_class_or_a_function():
    assert type(make_cell("gru", 3, 4)) is GRUCell
    assert type(make_cell(SimpleRNNCell, 3, 4)) is SimpleRNNCell
    deep = make_cell(lambda size, hidden: RecurrentHighwayCell(size, hidden, micro_steps=4), 3, 4)
    assert len(deep.recurrent) == 4


def test_make_cell_names_the_nearest_name():
    with pytest.raises(LayerError, match=r"no cell 'ltsm' \(did you mean 'lstm'\?\)"):
        make_cell("ltsm", 3, 4)
    with pytest.raises(LayerError, match=r"known: gru, highway, lstm, original, rnn"):
        make_cell("xyzzy", 3, 4)


@pytest.mark.parametrize(
    ("maker", "message"),
    [
        (nn.Linear, "Linear made a Linear, where a Cell from 3 to 4 is needed"),
        (nn.LSTM, "LSTM made a LSTM, where a Cell from 3 to 4"),
        (lambda size, hidden: None, "made a NoneType, where a Cell"),
        (lambda size, hidden: LSTMCell(hidden, size), "LSTMCell goes from 4 to 3, where a Cell from 3 to 4 is needed"),
        (LSTMCell(3, 4), "LSTMCell is no cell to make more of"),
        (4, "int is no cell to make more of"),
    ],
    ids=["linear", "torch's own", "nothing", "other sizes", "one that is made", "a number"],
)
def test_make_cell_refuses_what_makes_no_cell(maker, message):
    with pytest.raises(LayerError, match=message):
        make_cell(maker, 3, 4)


# The fused kernels keep random numbers that no checkpoint sees


FUSED = {"LSTM": 0, "GRU": 0, "RNN": 0, "RNNBase": 0, "kind": 0, "lstm": 5, "gru": 5, "rnn_tanh": 5, "rnn_relu": 5}
"""What calls a fused kernel, and where its dropout stands (0: only by name)."""


@pytest.mark.parametrize(
    "path",
    sorted([*(ROOT / "s2sbot").rglob("*.py"), *(ROOT / "plugins").glob("*.py")]),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_no_fused_kernel_is_given_a_dropout(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FUSED:
            assert "dropout" not in [keyword.arg for keyword in node.keywords], f"line {node.lineno}"
            place = FUSED[node.func.attr]
            if place and ast.unparse(node.func.value) == "torch":
                assert ast.unparse(node.args[place]) == "0.0", f"line {node.lineno}"


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_a_fused_cell_drops_nothing(name):
    cell = make(name)
    assert cell.fused.dropout == 0.0 and cell.training
    inputs, _ = given_for(cell)
    assert torch.equal(cell.sequence(inputs)[0], cell.sequence(inputs)[0])
    # what hands the memory through padding is made anew, not saved
    assert sorted(cell.state_dict()) == sorted(f"fused.{key}" for key in cell.fused.state_dict())


def test_a_copy_of_a_step_cell_has_weights_of_its_own():
    cell = StepCell(
        lambda inputs, state, linear: (linear(inputs), ()),
        input_size=3,
        output_size=2,
        state_sizes=[],
        layers=[nn.Linear(3, 2)],
    )
    copied = copy.deepcopy(cell)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    inputs = torch.randn(2, 3)
    assert not copied(inputs, ())[0].any()
    assert cell(inputs, ())[0].any()


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("rubbish", [1e6, float("nan")])
def test_padding_of_any_value_changes_nothing(name, rubbish):
    torch.manual_seed(0)
    cell = CELLS[name](3, 4)
    inputs, lengths = torch.randn(3, 5, 3), torch.tensor([5, 2, 0])
    padding = torch.arange(5) >= lengths.unsqueeze(1)
    state = tuple(torch.randn(3, 4) for _ in cell.state_sizes)
    _, wanted = cell.unrolled(inputs, lengths, state)
    spoilt = inputs.masked_fill(padding.unsqueeze(2), rubbish)
    _, final = cell.sequence(spoilt, lengths, state)
    for one, other in zip(final, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)
    for one, start in zip(final, state, strict=True):
        assert torch.equal(one[2], start[2]), "a row without a step keeps its state"
    sum(part.sum() for part in final).backward()
    assert all(parameter.grad.isfinite().all() for parameter in cell.parameters())


def test_a_cell_that_breaks_its_word_is_named():
    class Forgetful(Cell):
        def forward(self, inputs, state):
            return inputs, state[:1]

    with pytest.raises(LayerError, match=r"Forgetful returns a state of 1 in a tuple, by its state_sizes it is 2"):
        Forgetful(3, 3, [3, 3]).layer()(torch.randn(2, 4, 3))


def test_a_cell_made_without_memory_and_filled_later_is_right():
    source = LSTMCell(3, 4)
    with torch.device("meta"):
        made = LSTMCell(3, 4)
    made = made.to_empty(device="cpu")
    made.load_state_dict(source.state_dict())
    inputs, lengths = torch.randn(2, 5, 3), torch.tensor([5, 2])
    for one, other in zip(made.sequence(inputs, lengths)[1], source.sequence(inputs, lengths)[1], strict=True):
        assert torch.equal(one, other)
