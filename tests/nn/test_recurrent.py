"""Deep stacks, both directions, and every option of a recurrent layer; padding must do nothing anywhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from s2sbot.errors import LayerError
from s2sbot.nn import (
    CELLS,
    INITIAL_STATES,
    BidirectionalRecurrent,
    Cell,
    Feedback,
    GRUCell,
    LSTMCell,
    Readout,
    Recurrent,
    RecurrentLayer,
    Stack,
    StepCell,
    deep_cell,
    last_real,
    reverse_rows,
)
from s2sbot.nn.dropout import Dropout

TIME = 5
LENGTHS = torch.tensor([5, 2, 4, 1])
HOLES = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 0, 0, 1], [1, 0, 1, 1, 1], [0, 0, 1, 0, 0]], dtype=torch.bool)
every_cell = pytest.mark.parametrize("cell", CELLS)


class Fade(Cell):
    """A cell of a user's own whose output is not of the size of its state."""

    def __init__(self) -> None:
        super().__init__(3, 2, [4])
        self.enter, self.leave = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        memory = 0.5 * state[0] + self.enter(inputs)
        return torch.tanh(self.leave(memory)), (memory,)


class Count(nn.Module):
    """Says how often it is called."""

    calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        return inputs


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def sequences(size: int = 3, rows: int = 4, time: int = TIME) -> Tensor:
    return torch.randn(rows, time, size, dtype=torch.float64)


def random_state(cell, rows: int = 4) -> tuple[Tensor, ...]:
    return tuple(torch.randn(rows, size, dtype=torch.float64) for size in cell.state_sizes)


def close(found, wanted, within: float = 1e-12) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=within, atol=within)


def mixed() -> Stack:
    return Stack(GRUCell(3, 4), nn.Tanh(), LSTMCell(4, 4), nn.Linear(4, 2)).double()


# Deep stacks


@every_cell
def test_a_deep_state_is_flat_and_the_lowest_layers_first(cell):
    deep = Recurrent(3, 4, cell=cell, depth=2).double()
    parts = {"lstm": 2, "original": 2}.get(cell, 1)
    assert deep.layer_states == parts
    assert deep.state_sizes == (4,) * 2 * parts
    inputs, state = sequences(), random_state(deep)
    outputs, final = deep(inputs, None, state)
    lower, upper = deep.stack.cells
    between, low = lower.sequence(inputs, None, state[:parts])
    wanted, high = upper.sequence(between, None, state[parts:])
    close([outputs, *final], [wanted, *low, *high])
    assert all(part.shape == (4, 4) for part in (*final, *deep.zeros(inputs)))


@every_cell
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("share_state", [False, True])
def test_the_state_of_a_padded_row_is_that_at_its_true_end(cell, depth, share_state):
    deep = Recurrent(3, 4, cell=cell, depth=depth, share_state=share_state).double()
    assert len(deep.state_sizes) == deep.layer_states * (1 if share_state else depth)
    inputs, state = sequences(), random_state(deep)
    outputs, final = deep(inputs, LENGTHS, state)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = tuple(part[row : row + 1] for part in state)
        wanted, wanted_final = deep(inputs[row : row + 1, :length], None, alone)
        close([outputs[row, :length], *(part[row] for part in final)], [wanted[0], *(p[0] for p in wanted_final)])


@every_cell
def test_what_stands_in_the_padding_reaches_no_gradient(cell):
    deep = Recurrent(3, 4, cell=cell, depth=2)
    inputs = torch.randn(4, TIME, 3, requires_grad=True)
    _, final = deep(inputs, LENGTHS)
    sum(part.sum() for part in final).backward()
    for row, length in enumerate(LENGTHS.tolist()):
        assert inputs.grad[row, length:].abs().sum() == 0
        assert inputs.grad[row, :length].abs().sum() > 0


@every_cell
def test_one_step_equals_the_fused_call(cell):
    deep = Recurrent(3, 4, cell=cell, depth=2).eval()
    inputs = torch.randn(4, TIME, 3)
    wanted, wanted_final = deep(inputs)
    state, outputs = deep.zeros(inputs), []
    with torch.no_grad():
        for time in range(TIME):
            output, state = deep(inputs[:, time : time + 1], None, state)
            outputs.append(output)
    close([torch.cat(outputs, 1), *state], [wanted, *wanted_final], 1e-6)


def test_dropout_is_between_layers_and_a_layer_of_its_own():
    deep = Recurrent(3, 4, depth=3, dropout=0.5)
    assert [type(layer) for layer in deep.stack.layers] == [LSTMCell, Dropout, LSTMCell, Dropout, LSTMCell]
    assert all(cell.fused.dropout == 0.0 for cell in deep.stack.cells)
    inputs = torch.randn(2, 4, 3)
    assert not torch.equal(deep(inputs)[0], deep(inputs)[0])
    assert torch.equal(deep.eval()(inputs)[0], deep(inputs)[0])


def test_a_deep_cell_may_be_of_a_class_or_a_function_of_ones_own():
    made = []

    def maker(input_size: int, hidden_size: int) -> Cell:
        made.append((input_size, hidden_size))
        return GRUCell(input_size, hidden_size)

    stack = deep_cell(3, 4, cell=maker, depth=3)
    assert made == [(3, 4), (4, 4), (4, 4)]
    assert (stack.input_size, stack.output_size, stack.state_sizes) == (3, 4, (4, 4, 4))
    assert deep_cell(3, 4, depth=3, share_state=True).state_sizes == (4, 4)


@pytest.mark.parametrize("make", [deep_cell, Recurrent, BidirectionalRecurrent])
@pytest.mark.parametrize(
    ("sizes", "options", "kind", "message"),
    [
        ((3, 4), {"depth": 0}, LayerError, "a depth of 0 makes no stack"),
        ((3, 4), {"depth": -1, "share_state": True}, LayerError, "a depth of -1 makes no stack"),
        ((0, 4), {}, LayerError, "a size of 0 makes no LSTMCell"),
        ((3, 0), {}, LayerError, "a size of 0 makes no LSTMCell"),
        ((3, 4), {"cell": "gur"}, LayerError, "no cell 'gur' .did you mean 'gru'"),
        ((3, 4), {"cell": nn.LSTM}, LayerError, "LSTM made a LSTM, where a Cell from 3"),
    ],
    ids=lambda value: str(value) if isinstance(value, tuple | dict) else "",
)
def test_what_makes_no_stack_is_refused(make, sizes, options, kind, message):
    with pytest.raises(kind, match=message):
        make(*sizes, **options)


# Both directions


@every_cell
@pytest.mark.parametrize("share_state", [False, True])
def test_the_backward_half_reads_from_each_rows_true_end(cell, share_state):
    both = BidirectionalRecurrent(3, 8, cell=cell, depth=2, share_state=share_state).double().eval()
    inputs = sequences()
    outputs, finals = both(inputs, LENGTHS)
    assert outputs.shape == (4, TIME, 8)
    assert len(finals) == {"lstm": 2, "original": 2}.get(cell, 1) * (1 if share_state else 2)
    for row, length in enumerate(LENGTHS.tolist()):
        wanted, wanted_finals = both(inputs[row : row + 1, :length])
        close([outputs[row, :length], *(part[row] for part in finals)], [wanted[0], *(p[0] for p in wanted_finals)])


def test_both_directions_are_two_stacks_of_which_one_reads_rows_turned_around():
    both = BidirectionalRecurrent(3, 8, cell="gru", depth=2).double()
    inputs = sequences()
    outputs, finals = both(inputs, LENGTHS)
    wanted, wanted_finals = inputs, []
    for forwards, backwards in both.pairs:
        ahead, [end] = forwards(wanted, LENGTHS)
        back, [beginning] = backwards(reverse_rows(wanted, LENGTHS), LENGTHS)
        wanted = torch.cat([ahead, reverse_rows(back, LENGTHS)], 2)
        wanted_finals.append(torch.cat([end, beginning], 1))
    close([outputs, *finals], [wanted, *wanted_finals])


def test_a_state_that_is_given_is_where_the_forward_halves_start():
    both = BidirectionalRecurrent(3, 8, depth=2).double()
    inputs, state = sequences(), tuple(torch.randn(4, 8, dtype=torch.float64) for _ in range(4))
    outputs, _ = both(inputs, LENGTHS, state)
    assert not torch.equal(outputs, both(inputs, LENGTHS)[0])
    # the second half of each, which is the backward direction's, moves nothing
    half = tuple(torch.cat([part[:, :4], torch.zeros_like(part[:, 4:])], 1) for part in state)
    close([both(inputs, LENGTHS, half)[0]], [outputs], 0)
    forwards, backwards = both.pairs[0]
    ahead, _ = forwards(inputs, LENGTHS, (state[0][:, :4], state[1][:, :4]))
    back, _ = backwards(reverse_rows(inputs, LENGTHS), LENGTHS)
    above = torch.cat([ahead, reverse_rows(back, LENGTHS)], 2)
    top = both.pairs[1][0](above, LENGTHS, (state[2][:, :4], state[3][:, :4]))[0]
    close([outputs[..., :4]], [top])


def test_a_size_of_both_directions_is_even():
    with pytest.raises(LayerError, match="7 cannot be two halves"):
        BidirectionalRecurrent(3, 7)


# Rows turned around, and their ends


def test_reverse_rows_turns_only_what_is_real():
    sequence = torch.arange(1, 11).view(2, 5, 1)
    turned = reverse_rows(sequence, torch.tensor([5, 3]))
    assert turned.squeeze(2).tolist() == [[5, 4, 3, 2, 1], [8, 7, 6, 9, 10]]
    assert torch.equal(reverse_rows(turned, torch.tensor([5, 3])), sequence)
    assert torch.equal(reverse_rows(sequence.squeeze(2), torch.tensor([5, 3])), turned.squeeze(2))


def test_last_real_takes_the_last_step_of_each_row():
    sequence = torch.arange(1, 11).view(2, 5, 1)
    assert last_real(sequence, torch.tensor([5, 3])).tolist() == [[5], [8]]


# A recurrent layer: what comes out


def test_a_layer_gives_the_last_output_or_all_and_the_state_where_asked():
    cell = mixed()
    inputs = sequences()
    outputs, state = cell.unrolled(inputs)
    close([cell.layer()(inputs)], [outputs[:, -1]])
    close([cell.layer(return_sequences=True)(inputs)], [outputs])
    last, found = cell.layer(return_states=True)(inputs)
    close([last, *found], [outputs[:, -1], *state])
    whole, found = cell.layer(return_sequences=True, return_states=True)(inputs)
    close([whole, *found], [outputs, *state])
    assert isinstance(cell.layer(), RecurrentLayer)


@pytest.mark.parametrize("cell", [*CELLS, "own"])
@pytest.mark.parametrize("mask", [None, HOLES], ids=["full", "masked"])
def test_unroll_goes_step_by_step_to_the_same_end(cell, mask):
    made = (Fade() if cell == "own" else CELLS[cell](3, 4)).double()
    count = Count()
    stack = Stack(made, count)
    inputs = sequences()
    at_once, final = stack.layer(return_sequences=True, return_states=True)(inputs, mask=mask)
    assert count.calls == 1
    steps, wanted = stack.layer(return_sequences=True, return_states=True, unroll=True)(inputs, mask=mask)
    assert count.calls == 1 + TIME
    close([at_once, *final], [steps, *wanted], 1e-10)


# Variable length


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("unroll", [False, True])
def test_a_row_with_holes_equals_the_row_without_them(backwards, unroll):
    layer = RecurrentLayer(mixed(), return_sequences=True, return_states=True, go_backwards=backwards, unroll=unroll)
    inputs, state = sequences(), random_state(layer.cell)
    outputs, final = layer(inputs, mask=HOLES, state=state)
    assert outputs[~HOLES].eq(0).all()
    layer.return_sequences = False
    last, _ = layer(inputs, mask=HOLES, state=state)
    layer.return_sequences = True
    for row in range(4):
        own = tuple(part[row : row + 1] for part in state)
        wanted, wanted_final = layer(inputs[row : row + 1, HOLES[row]], state=own)
        found = [outputs[row, HOLES[row]], last[row], *(part[row] for part in final)]
        close(found, [wanted[0], wanted[0, -1], *(part[0] for part in wanted_final)])


def test_a_masked_step_gets_no_gradient():
    inputs = sequences().requires_grad_()
    RecurrentLayer(mixed(), return_sequences=True)(inputs, mask=HOLES).square().sum().backward()
    assert inputs.grad[~HOLES].eq(0).all()
    assert inputs.grad[HOLES].abs().sum(1).gt(0).all()


@pytest.mark.parametrize("unroll", [False, True])
def test_going_backwards_is_reading_what_is_turned_around(unroll):
    cell = mixed()
    inputs = sequences()
    options = {"return_sequences": True, "return_states": True, "unroll": unroll}
    outputs, final = cell.layer(go_backwards=True, **options)(inputs)
    wanted, wanted_final = cell.layer(**options)(inputs.flip(1))
    close([outputs, *final], [wanted, *wanted_final])


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (HOLES.long(), "the mask is of torch.int64, not of torch.bool"),
        (HOLES[:, :4], r"the mask is \[4, 4\], the input's batch and length \[4, 5\]"),
        (HOLES[:3], r"the mask is \[3, 5\]"),
        (HOLES & torch.tensor([[True], [False], [True], [False]]), "nothing in row 1, 3 of the mask is real"),
    ],
    ids=["numbers", "short", "few", "empty"],
)
def test_a_mask_must_fit(mask, message):
    with pytest.raises(LayerError, match=message):
        RecurrentLayer(mixed())(sequences(), mask=mask)


# The state


def test_a_stateful_layer_goes_on_where_it_stopped():
    cell = mixed()
    inputs = sequences(time=10)
    wanted, final = cell.unrolled(inputs)
    layer = cell.layer(return_sequences=True, return_states=True, stateful=True)
    first, _ = layer(inputs[:, :4])
    second, found = layer(inputs[:, 4:])
    close([torch.cat([first, second], 1), *found], [wanted, *final])
    # of no use to a gradient, and not a part of what is saved
    assert not any(part.requires_grad for part in layer.state)
    assert sorted(layer.state_dict()) == sorted(f"cell.{name}" for name in cell.state_dict())
    layer.reset_states()
    close([layer(inputs[:, :4])[0]], [first], 0)


def test_a_layer_that_is_not_stateful_starts_anew():
    layer = mixed().layer()
    inputs = sequences()
    assert torch.equal(layer(inputs), layer(inputs))
    assert layer.state == ()


def test_a_stateful_layer_with_masks_goes_on_from_each_rows_true_end():
    layer = mixed().layer(return_sequences=True, stateful=True)
    inputs, more = sequences(), sequences()
    layer(inputs, mask=HOLES)
    found = layer(more)
    for row in range(4):
        wanted, _ = layer.cell.unrolled(torch.cat([inputs[row, HOLES[row]], more[row]]).unsqueeze(0))
        close([found[row]], [wanted[0, -TIME:]])


def test_a_stateful_layer_refuses_a_batch_of_another_size_until_it_is_reset():
    layer = mixed().layer(stateful=True)
    layer(sequences())
    with pytest.raises(LayerError, match=r"a batch of 3, but the state is that of a batch of 4.*reset_states\(\)"):
        layer(sequences(rows=3))
    layer.reset_states()
    assert layer(sequences(rows=3)).shape == (3, 2)


@pytest.mark.parametrize("stateful", [False, True])
def test_a_state_that_is_given_is_what_the_layer_starts_from(stateful):
    layer = mixed().layer(return_states=True, stateful=stateful, initial_state="ones")
    inputs, state = sequences(), random_state(layer.cell)
    layer(inputs)
    outputs, final = layer(inputs, state=state)
    wanted, wanted_final = layer.cell.unrolled(inputs, None, state)
    close([outputs, *final], [wanted[:, -1], *wanted_final])


def first_state(initial_state, seed: int = 3) -> tuple[Tensor, ...]:
    """Return the state that a layer begins with: one step of a cell that hands its state on."""
    cell = StepCell(lambda inputs, state: (inputs, state), input_size=1, output_size=1, state_sizes=[300, 200])
    torch.manual_seed(seed)
    _, state = cell.layer(return_states=True, initial_state=initial_state)(torch.zeros(50, 1, 1))
    return state


def test_the_named_first_states():
    assert sorted(INITIAL_STATES) == ["normal", "ones", "uniform", "zeros"]
    assert all(part.eq(0).all() for part in first_state("zeros"))
    assert all(part.eq(1).all() for part in first_state("ones"))
    for part in first_state("normal"):
        assert 0.049 < part.std() < 0.051 and part.mean().abs() < 0.002 and part.abs().max() > 0.1
    for part in first_state("uniform"):
        assert -0.05 <= part.min() < -0.049 and 0.049 < part.max() <= 0.05
        assert part.std() == pytest.approx(0.05 / 3**0.5, rel=0.02)


def test_a_first_state_may_be_a_function_or_one_for_each():
    for part in first_state(lambda tensor: nn.init.constant_(tensor, 7.0)):
        assert part.eq(7).all()
    first, second = first_state(["ones", nn.init.normal_])
    assert first.eq(1).all() and 0.9 < second.std() < 1.1


def test_random_first_states_are_drawn_anew_at_each_call():
    layer = GRUCell(3, 4).layer(initial_state="normal")
    inputs = torch.zeros(2, 1, 3)
    assert not torch.equal(layer(inputs), layer(inputs))


@pytest.mark.parametrize(
    ("initial_state", "message"),
    [
        ("zeroes", r"no first state is called 'zeroes' \(did you mean 'zeros'\?\)"),
        (["zeros", "norml"], r"'norml' \(did you mean 'normal'\?\)"),
        (["zeros"], "1 first states for a cell with 2"),
        ([nn.init.zeros_] * 3, "3 first states for a cell with 2"),
    ],
    ids=["unknown", "one unknown", "too few", "too many"],
)
def test_a_first_state_that_is_none_is_refused(initial_state, message):
    with pytest.raises(LayerError, match=message):
        LSTMCell(3, 4).layer(initial_state=initial_state)


# Decoding


def test_decoding_from_a_vector_gives_it_to_every_step():
    cell = mixed()
    layer = cell.layer(output_length=6, return_states=True)
    vector, state = sequences()[:, 0], random_state(cell)
    outputs, final = layer(vector, state=state)
    wanted, wanted_final = cell.unrolled(vector.unsqueeze(1).repeat(1, 6, 1), None, state)
    close([outputs, *final], [wanted, *wanted_final])
    close([cell.layer(output_length=6, unroll=True)(vector, state=state)], [wanted])


def test_decoding_from_a_sequence_shows_all_of_it_to_every_step():
    seen = []

    def step(inputs, state):
        seen.append(inputs)
        memory = state[0] + inputs.mean(1)
        return memory[:, :2], (memory,)

    cell = StepCell(step, input_size=3, output_size=2, state_sizes=[3])
    inputs = sequences()
    outputs, [final] = cell.layer(output_length=7, return_states=True)(inputs)
    assert len(seen) == 7 and all(part is inputs for part in seen)
    mean = inputs.mean(1)
    close([outputs, final], [torch.stack([time * mean[:, :2] for time in range(1, 8)], 1), 7 * mean])


def test_a_stateful_decoder_goes_on_too():
    layer = Readout(GRUCell(3, 3)).double().layer(output_length=3, stateful=True)
    vector = sequences()[:, 0]
    wanted = layer.cell.layer(output_length=6)(vector)
    close([torch.cat([layer(vector), layer(vector)], 1)], [wanted])


@every_cell
def test_a_cell_that_takes_one_vector_does_not_decode_from_a_sequence(cell):
    layer = Stack(CELLS[cell](3, 4)).layer(output_length=2)
    # as many steps as rows, or as numbers: nothing may broadcast
    for time in (3, 4, 5):
        with pytest.raises(LayerError, match=rf"one step's input is \[4, {time}, 3\].*one of your own"):
            layer(torch.randn(4, time, 3))


def test_a_cell_that_leaves_a_sequence_a_sequence_does_not_decode_from_it():
    cell = StepCell(lambda inputs, state: (inputs, state), input_size=3, output_size=3, state_sizes=[1])
    with pytest.raises(LayerError, match=r"\[4, 5, 3\] the cell made \[4, 5, 3\] at a step, where \[4, 3\] is needed"):
        cell.layer(output_length=2)(sequences())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_length": 0}, "an output length of 0"),
        ({"output_length": 2, "go_backwards": True}, "no sequence to read backwards"),
        ({"teacher_force": True}, r"a Stack has no readout.*Readout\(cell\)"),
    ],
    ids=["length", "backwards", "forcing"],
)
def test_options_that_make_no_layer_are_refused(options, message):
    with pytest.raises(LayerError, match=message):
        mixed().layer(**options)


def test_what_decodes_takes_no_mask():
    with pytest.raises(LayerError, match="what decodes takes no mask"):
        mixed().layer(output_length=2)(sequences()[:, 0], mask=HOLES)


# Teacher forcing


def readout() -> Readout:
    return Readout(Stack(LSTMCell(3, 4), nn.Linear(4, 3))).double()


@pytest.mark.parametrize("unroll", [False, True])
def test_in_training_the_truth_of_the_step_before_takes_the_readouts_place(unroll):
    cell = readout()
    layer = cell.layer(teacher_force=True, return_sequences=True, return_states=True, unroll=unroll)
    inputs, truth, state = sequences(), sequences(), random_state(cell)
    outputs, final = layer(inputs, target=truth, state=state)
    fed = inputs + torch.cat([state[-1].unsqueeze(1), truth[:, :-1]], 1)
    wanted, inner = cell.cell.unrolled(fed, None, state[:-1])
    # a next call goes on from the truth as well
    close([outputs, *final], [wanted, *inner, truth[:, -1]])


def test_a_truth_is_forced_at_once_and_step_by_step_where_asked():
    count = Count()
    cell = Readout(Stack(GRUCell(3, 3), count)).double()
    inputs, truth = sequences(), sequences()
    cell.layer(teacher_force=True)(inputs, target=truth)
    assert count.calls == 1
    cell.layer(teacher_force=True, unroll=True)(inputs, target=truth)
    assert count.calls == 1 + TIME
    cell.layer(teacher_force=True)(inputs)
    assert count.calls == 1 + 2 * TIME


def test_in_evaluation_and_without_a_target_the_readout_is_the_output():
    cell = readout()
    layer = cell.layer(teacher_force=True, return_sequences=True)
    inputs, truth = sequences(), sequences()
    wanted, _ = cell.unrolled(inputs)
    close([layer(inputs)], [wanted])
    assert not torch.equal(layer(inputs, target=truth), wanted)
    layer.eval()
    close([layer(inputs, target=truth)], [wanted])


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_truth_with_holes_equals_the_truth_without_them(unroll, backwards):
    cell = readout()
    layer = cell.layer(
        teacher_force=True, return_sequences=True, return_states=True, unroll=unroll, go_backwards=backwards
    )
    inputs, truth = sequences(), sequences()
    outputs, final = layer(inputs, mask=HOLES, target=truth)
    assert outputs[~HOLES].eq(0).all()
    for row in range(4):
        real = HOLES[row]
        wanted, wanted_final = layer(inputs[row : row + 1, real], target=truth[row : row + 1, real])
        close([outputs[row, real], *(part[row] for part in final)], [wanted[0], *(part[0] for part in wanted_final)])


def test_going_backwards_the_truth_is_that_of_the_outputs_in_their_order():
    cell = readout()
    inputs, truth = sequences(), sequences()
    options = {"teacher_force": True, "return_sequences": True}
    found = cell.layer(go_backwards=True, **options)(inputs, target=truth)
    close([found], [cell.layer(**options)(inputs.flip(1), target=truth)])


@pytest.mark.parametrize("unroll", [False, True])
def test_a_decoder_is_forced_too(unroll):
    cell = readout()
    layer = cell.layer(output_length=6, teacher_force=True, unroll=unroll)
    vector, truth = sequences()[:, 0], sequences(time=6)
    fed = vector.unsqueeze(1) + torch.cat([torch.zeros(4, 1, 3), truth[:, :-1]], 1)
    close([layer(vector, target=truth)], [cell.cell.unrolled(fed)[0]])


def test_a_decoder_that_sees_a_sequence_is_forced_too():
    def step(seen, state):
        return state[0] + seen.mean(1), (2 * state[0],)

    cell = Readout(StepCell(step, input_size=3, output_size=3, state_sizes=[3]))
    layer = cell.layer(output_length=3, teacher_force=True, initial_state="ones")
    inputs, truth = sequences(), sequences()[:, :3]
    mean = inputs.mean(1)
    wanted = [mean + 2, mean + truth[:, 0] + 2, mean + truth[:, 1] + 4]
    close([layer(inputs, target=truth)], [torch.stack(wanted, 1)])
    free = [wanted[0], mean + wanted[0] + 2]
    close([layer(inputs)[:, :2]], [torch.stack(free, 1)])


def test_a_feedback_of_ones_own_is_forced_step_by_step():
    class Echo(Feedback):
        """The output before is a third of the output."""

        def __init__(self) -> None:
            super().__init__(2, 2, [2])

        def forward(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
            output = inputs + state[-1] / 3
            return output, (output,)

    inputs, truth = sequences(2), sequences(2)
    outputs, [final] = Echo().layer(teacher_force=True, return_sequences=True, return_states=True)(
        inputs, target=truth, mask=HOLES
    )
    for row in range(4):
        given, true = inputs[row, HOLES[row]], truth[row, HOLES[row]]
        wanted = given + torch.cat([torch.zeros(1, 2), true[:-1]]) / 3
        close([outputs[row, HOLES[row]], final[row]], [wanted, true[-1]])


def test_a_target_for_a_layer_that_forces_none_is_refused():
    with pytest.raises(LayerError, match=r"without teacher forcing \(pass teacher_force=True\)"):
        readout().layer()(sequences(), target=sequences())


# Shapes


@pytest.mark.parametrize("make", [lambda: LSTMCell(3, 4), mixed, lambda: Fade(), readout], ids=range(4))
@pytest.mark.parametrize("shape", [(), (4,), (4, 3), (4, 5, 2), (4, 5, 3, 1), (0, 5, 3), (4, 0, 3)], ids=str)
def test_an_input_of_a_wrong_shape_is_named_beside_what_is_expected(make, shape):
    layer = make().layer()
    with pytest.raises(LayerError) as error:
        layer(torch.zeros(shape))
    assert str(error.value).startswith(f"the input is {list(shape)}, the layer takes [batch, time, 3]")


@pytest.mark.parametrize("shape", [(4,), (4, 2), (0, 3), (4, 5, 2), (4, 0, 3)], ids=str)
def test_so_is_what_a_decoder_cannot_take(shape):
    with pytest.raises(LayerError) as error:
        mixed().layer(output_length=2)(torch.zeros(shape))
    assert str(error.value).startswith(f"the input is {list(shape)}, the layer takes [batch, 3] or [batch, time, 3]")


@pytest.mark.parametrize("shapes", [[(4, 4)], [(4, 4), (4, 5)], [(3, 4), (3, 4)], [(1, 4, 4), (1, 4, 4)]], ids=str)
def test_so_is_a_state(shapes):
    layer = LSTMCell(3, 4).layer()
    with pytest.raises(LayerError) as error:
        layer(torch.zeros(4, 5, 3), state=tuple(torch.zeros(shape) for shape in shapes))
    assert str(error.value) == f"the state is {shapes}, for this input it must be [(4, 4), (4, 4)]"


@pytest.mark.parametrize("shape", [(4, 5), (4, 4, 3), (4, 5, 2), (3, 5, 3)], ids=str)
def test_so_is_a_target(shape):
    with pytest.raises(LayerError) as error:
        readout().layer(teacher_force=True)(sequences(), target=torch.zeros(shape))
    assert str(error.value) == f"the target is {list(shape)}, the output [4, 5, 3]"


def test_a_layer_error_is_a_value_error_too():
    with pytest.raises(ValueError, match="the input is"):
        LSTMCell(3, 4).layer()(torch.zeros(4, 5, 9))


@pytest.mark.parametrize("rubbish", [1e6, float("inf"), float("nan")])
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_what_stands_at_masked_steps_is_never_looked_at(cell, rubbish):
    torch.manual_seed(0)
    layer = CELLS[cell](3, 4).layer(return_sequences=True, return_states=True)
    inputs, mask = torch.randn(2, 6, 3), torch.tensor([[1, 1, 0, 1, 0, 0], [0, 1, 1, 1, 1, 0]]).bool()
    wanted, wanted_state = layer(inputs, mask=mask)
    spoilt = inputs.masked_fill(~mask.unsqueeze(2), rubbish).requires_grad_()
    outputs, state = layer(spoilt, mask=mask)
    assert torch.equal(outputs, wanted)
    assert all(map(torch.equal, state, wanted_state))
    outputs.sum().backward()
    assert spoilt.grad.isfinite().all()


def test_weights_have_the_same_names_whatever_the_dropout():
    names = [list(Recurrent(3, 4, depth=3, dropout=dropout).state_dict()) for dropout in (0.0, 0.5)]
    assert names[0] == names[1]
