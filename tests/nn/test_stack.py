"""Stacks, shared states and readouts against the same done by hand, one step after the other."""

from __future__ import annotations

from itertools import pairwise
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from s2sbot.errors import LayerError
from s2sbot.nn import (
    CELLS,
    MERGES,
    Cell,
    Feedback,
    GRUCell,
    LSTMCell,
    Readout,
    Recurrent,
    RecurrentHighwayCell,
    SimpleRNNCell,
    Stack,
    StepCell,
    deep_cell,
)

TIME = 5
LENGTHS = torch.tensor([5, 2, 4, 1])
REAL = (torch.arange(TIME) < LENGTHS.unsqueeze(1)).unsqueeze(2)
with_or_without = pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])


class Trace(Cell):
    """A cell of a user's own: a fading trace of what went in, with a weight for each number."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size, [size])
        self.weight = nn.Parameter(torch.randn(size))

    def forward(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        trace = 0.5 * state[0] + self.weight * inputs
        return torch.tanh(trace), (trace,)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def sequences(size: int, rows: int = 4) -> Tensor:
    return torch.randn(rows, TIME, size, dtype=torch.float64)


def random_state(cell: Cell, rows: int = 4) -> tuple[Tensor, ...]:
    return tuple(torch.randn(rows, size, dtype=torch.float64) for size in cell.state_sizes)


def close(found, wanted, within: float = 1e-12) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=within, atol=within)


# Stacks


def test_a_stack_of_mixed_kinds_does_what_is_done_by_hand():
    gru, linear, own, lstm = GRUCell(3, 4), nn.Linear(4, 6), Trace(6), LSTMCell(6, 2)
    stack = Stack(gru, linear, nn.ReLU(), own, lstm, nn.Linear(2, 7)).double()
    assert (stack.input_size, stack.output_size, stack.state_sizes) == (3, 7, (4, 6, 2, 2))
    assert stack.cells == [gru, own, lstm]
    inputs, state = sequences(3), random_state(stack)
    found, final = stack.sequence(inputs, None, state)
    (a, b, c, d), outputs = state, []
    for time in range(TIME):
        step, (a,) = gru(inputs[:, time], (a,))
        step, (b,) = own(linear(step).clamp_min(0), (b,))
        step, (c, d) = lstm(step, (c, d))
        outputs.append(stack.layers[-1](step))
    close([found, *final], [torch.stack(outputs, 1), a, b, c, d])


def test_ordinary_layers_may_stand_first_and_last():
    stack = Stack(nn.Dropout(0.1), nn.Linear(5, 3), nn.Tanh(), GRUCell(3, 4), nn.Linear(4, 2), nn.Sigmoid())
    assert (stack.input_size, stack.output_size) == (5, 2)


def test_a_container_of_ordinary_layers_has_the_sizes_of_those_in_it():
    middle = nn.Sequential(nn.Tanh(), nn.Linear(4, 9), nn.Sequential(nn.ReLU(), nn.Linear(9, 6)))
    stack = Stack(GRUCell(3, 4), middle, LSTMCell(6, 2), nn.Sequential(nn.Tanh())).double()
    assert (stack.input_size, stack.output_size) == (3, 2)
    inputs = sequences(3)
    close([stack.sequence(inputs)[0]], [stack.unrolled(inputs)[0]])


def test_an_ordinary_layer_of_ones_own_says_its_sizes():
    class Twice(nn.Module):
        in_features, out_features = 4, 8

        def forward(self, inputs: Tensor) -> Tensor:
            return torch.cat([inputs, inputs], 1)

    stack = Stack(GRUCell(3, 4), Twice(), GRUCell(8, 2)).double()
    inputs = sequences(3)
    close([stack.sequence(inputs)[0]], [stack.unrolled(inputs)[0]])
    assert Stack(GRUCell(3, 4), Twice()).output_size == 8


def test_a_stack_is_a_cell_of_another_stack():
    inner = Stack(LSTMCell(3, 4), nn.Linear(4, 5))
    outer = Stack(inner, Stack(GRUCell(5, 2))).double()
    flat = Stack(*inner.layers, outer.cells[1].cells[0]).double()
    assert outer.state_sizes == flat.state_sizes == (4, 4, 2)
    inputs, state = sequences(3), random_state(outer)
    found, final = outer.sequence(inputs, LENGTHS, state)
    wanted, wanted_final = flat.sequence(inputs, LENGTHS, state)
    close([found * REAL, *final], [wanted * REAL, *wanted_final], 0)


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_stack_runs_at_once_as_it_does_step_by_step(data):
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    lengths = data.draw(st.none() | st.lists(st.integers(1, TIME), min_size=3, max_size=3).map(torch.tensor))
    layers: list[nn.Module] = []
    for below, above in pairwise(sizes):
        kind = data.draw(st.sampled_from([*CELLS, "nested"]))
        cell = Stack(Trace(below), GRUCell(below, above)) if kind == "nested" else CELLS[kind](below, above)
        layers += [cell, *data.draw(st.sampled_from([[], [nn.Tanh()], [nn.Linear(above, above), nn.Dropout(0.5)]]))]
    stack = Stack(*layers).double().eval()
    inputs, state = sequences(sizes[0], 3), random_state(stack, 3)
    found, final = stack.sequence(inputs, lengths, state)
    wanted, wanted_final = stack.unrolled(inputs, lengths, state)
    real = torch.ones(3, TIME, 1) if lengths is None else (torch.arange(TIME) < lengths.unsqueeze(1)).unsqueeze(2)
    close([found * real, *final], [wanted * real, *wanted_final], 1e-10)


def test_dropout_of_a_stack_works_in_training_alone():
    stack = Stack(GRUCell(3, 4), nn.Dropout(0.5), GRUCell(4, 4)).double()
    inputs = sequences(3)
    assert not torch.equal(stack.sequence(inputs)[0], stack.sequence(inputs)[0])
    stack.eval()
    assert torch.equal(stack.sequence(inputs)[0], stack.sequence(inputs)[0])


def test_an_ordinary_layer_sees_rows_and_no_time():
    seen = []

    class Watch(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            seen.append(tuple(inputs.shape))
            return inputs.T.contiguous().T  # whose memory no view can take apart

    Stack(GRUCell(3, 4), Watch()).double().sequence(sequences(3))
    assert seen == [(4 * TIME, 4)]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "a stack without a cell"),
        ([nn.Linear(3, 4)], "a stack without a cell"),
        ([GRUCell(3, 4), GRUCell(5, 2)], "a GRUCell that takes 5 stands above what gives 4"),
        ([GRUCell(3, 4), nn.ReLU(), nn.Linear(3, 4)], "a Linear that takes 3 stands above what gives 4"),
        ([nn.Linear(3, 4), LSTMCell(3, 4)], "a LSTMCell that takes 3 stands above what gives 4"),
        ([GRUCell(3, 4), nn.Sequential(nn.Tanh(), nn.Linear(3, 4))], "a Sequential that takes 3"),
        ([Stack(GRUCell(3, 4)), Stack(GRUCell(3, 4))], "a Stack that takes 3 stands above what gives 4"),
        ([GRUCell(3, 4), nn.LSTMCell(4, 4)], "cannot keep the state of the LSTMCell"),
        ([GRUCell(3, 4), nn.LSTM(4, 4)], "cannot keep the state of the LSTM"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(type(layer).__name__ for layer in value) or "nothing",
)
def test_layers_that_do_not_fit_are_refused(layers, message):
    with pytest.raises(LayerError, match=message):
        Stack(*layers)


# Shared states


@with_or_without
def test_a_cell_takes_the_state_that_the_one_below_it_made_and_the_lowest_that_of_the_highest(lengths):
    first, second, third = GRUCell(3, 4), GRUCell(4, 4), Trace(4)
    stack = Stack(first, nn.Tanh(), second, third, share_state=True).double()
    assert stack.state_sizes == (4,)
    inputs, [state] = sequences(3), random_state(stack)
    found, [final] = stack.sequence(inputs, lengths, (state,))
    outputs = []
    for time in range(TIME):
        step, (one,) = first(inputs[:, time], (state,))
        step, (two,) = second(torch.tanh(step), (one,))
        step, (three,) = third(step, (two,))
        state = three if lengths is None else torch.where(REAL[:, time], three, state)
        outputs.append(step)
    wanted = torch.stack(outputs, 1)
    real = REAL if lengths is not None else 1
    close([found * real, final], [wanted * real, state])


def test_a_shared_state_of_two_tensors_goes_round_whole():
    lower, upper = LSTMCell(4, 4), LSTMCell(4, 4)
    stack = Stack(lower, upper, share_state=True).double()
    inputs, state = sequences(4), random_state(stack)
    output, after = stack(inputs[:, 0], state)
    wanted, wanted_after = upper(*lower(inputs[:, 0], state))
    close([output, *after], [wanted, *wanted_after])


def test_one_cell_shares_its_state_with_nobody():
    cell = LSTMCell(3, 4)
    inputs = sequences(3)
    shared, alone = Stack(cell, nn.Tanh(), share_state=True).double(), Stack(cell, nn.Tanh()).double()
    close([shared.sequence(inputs)[0]], [alone.sequence(inputs)[0]], 0)


@pytest.mark.parametrize(
    ("cells", "listed"),
    [
        ([GRUCell(3, 4), LSTMCell(4, 4)], r"GRUCell \[4\]; LSTMCell \[4, 4\]"),
        ([GRUCell(3, 4), GRUCell(4, 5)], r"GRUCell \[4\]; GRUCell \[5\]"),
        ([Stack(GRUCell(3, 4), GRUCell(4, 4)), GRUCell(4, 4)], r"Stack \[4, 4\]; GRUCell \[4\]"),
    ],
    ids=["kinds", "sizes", "numbers"],
)
def test_states_of_other_sizes_cannot_be_shared(cells, listed):
    with pytest.raises(LayerError, match=f"cannot share a state.*{listed}"):
        Stack(*cells, share_state=True)


def test_cells_of_two_kinds_with_states_of_one_size_may_share():
    stack = Stack(GRUCell(4, 4), SimpleRNNCell(4, 4), RecurrentHighwayCell(4, 4), share_state=True)
    assert stack.state_sizes == (4,)


# Readouts


BY_HAND = {
    "add": lambda given, before: given + before,
    "mul": lambda given, before: given * before,
    "avg": lambda given, before: 0.5 * given + 0.5 * before,
    "max": lambda given, before: torch.where(given > before, given, before),
    "readout_only": lambda given, before: before,
}


def by_hand(cell, merge, inputs, state, truth=None, lengths=None):
    """Feed back the output, or the truth, step by step and row by row."""
    outputs, finals = [], []
    for row in range(inputs.shape[0]):
        *inner, before = (part[row : row + 1] for part in state)
        steps = []
        for time in range(TIME if lengths is None else int(lengths[row])):
            if truth is not None and time:
                before = truth[row : row + 1, time - 1]
            before, inner = cell(merge(inputs[row : row + 1, time], before), tuple(inner))
            steps.append(before)
        if truth is not None:
            before = truth[row : row + 1, len(steps) - 1]
        outputs.append(nn.functional.pad(torch.cat(steps), (0, 0, 0, TIME - len(steps))))
        finals.append((*inner, before))
    return torch.stack(outputs), tuple(torch.cat(parts) for parts in zip(*finals, strict=True))


def test_every_named_merge_is_here():
    assert sorted(BY_HAND) == sorted(MERGES)


@pytest.mark.parametrize("merge", MERGES)
@pytest.mark.parametrize("forced", [False, True], ids=["free", "forced"])
@with_or_without
def test_a_readout_merges_the_output_of_the_step_before(merge, forced, lengths):
    cell = Stack(LSTMCell(3, 4), nn.Linear(4, 3)).double()
    readout = Readout(cell, merge).double()
    assert readout.state_sizes == (4, 4, 3)
    inputs, state, truth = sequences(3), random_state(readout), sequences(3)
    if forced:
        found, final = readout.forced(inputs, lengths, state, truth)
    else:
        found, final = readout.sequence(inputs, lengths, state)
    wanted, wanted_final = by_hand(cell, BY_HAND[merge], inputs, state, truth if forced else None, lengths)
    close([found * (1 if lengths is None else REAL), *final], [wanted, *wanted_final])


@pytest.mark.parametrize("name", CELLS)
@with_or_without
def test_a_truth_forced_at_once_equals_one_forced_step_by_step(name, lengths):
    readout = Readout(CELLS[name](3, 3)).double()
    inputs, state, truth = sequences(3).requires_grad_(), random_state(readout), sequences(3).requires_grad_()
    real = torch.ones(4, TIME, 1) if lengths is None else REAL
    sides = []
    for way in (Readout.forced, Feedback.forced):
        outputs, final = way(readout, inputs, lengths, state, truth)
        loss = (outputs * real).square().sum() + sum(part.sin().sum() for part in final[:-1])
        sides.append([outputs * real, *final, *torch.autograd.grad(loss, [inputs, truth, *readout.parameters()])])
    close(*sides, 1e-10)
    # the truth of the last step, and of padding, is no step's input
    assert sides[0][-len(list(readout.parameters())) - 1][:, -1].eq(0).all()


def test_forcing_starts_from_zeros_where_no_state_is_given():
    readout = Readout(GRUCell(3, 3)).double()
    inputs, truth = sequences(3), sequences(3)
    for way in (Readout.forced, Feedback.forced):
        found, wanted = (way(readout, inputs, None, state, truth) for state in ((), readout.zeros(inputs)))
        close([found[0], *found[1]], [wanted[0], *wanted[1]], 0)


def test_a_function_of_ones_own_merges_and_may_change_the_size():
    cell = GRUCell(8, 3).double()
    readout = Readout(cell, lambda given, before: torch.cat([given, before], 1), input_size=5)
    assert readout.input_size == 5
    inputs, state, truth = sequences(5), random_state(readout), sequences(3)
    found, _ = readout.sequence(inputs, None, state)
    wanted, _ = by_hand(cell, lambda given, before: torch.cat([given, before], 1), inputs, state)
    close([found], [wanted])
    forced, _ = readout.forced(inputs, None, state, truth)
    wanted, _ = by_hand(cell, lambda given, before: torch.cat([given, before], 1), inputs, state, truth)
    close([forced], [wanted])


def test_a_module_that_merges_is_trained_too():
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(6, 3)

        def forward(self, given: Tensor, before: Tensor) -> Tensor:
            share = torch.sigmoid(self.gate(torch.cat([given, before], 1)))
            return share * given + (1 - share) * before

    readout = Readout(GRUCell(3, 3), Gate()).double()
    readout.sequence(sequences(3))[0].sum().backward()
    assert readout.merge.gate.weight.grad.abs().sum() > 0
    assert "merge.gate.weight" in readout.state_dict()


def test_a_readout_alone_lets_the_input_be_of_any_size():
    readout = Readout(GRUCell(3, 3), "readout_only", input_size=7).double()
    inputs = sequences(7)
    found, _ = readout.sequence(inputs)
    wanted, _ = readout.sequence(torch.zeros_like(inputs))
    close([found], [wanted], 0)


def test_a_readout_reaches_a_cell_that_sees_the_whole_sequence():
    weights = torch.tensor([0.1, 0.2, 0.3, 0.2, 0.2], dtype=torch.float64).view(1, TIME, 1)
    looks = StepCell(lambda seen, _: ((weights * seen).sum(1), ()), input_size=3, output_size=3, state_sizes=[])
    readout = Readout(looks)
    # as many rows as steps: what is merged must not take rows for steps
    inputs, before = sequences(3, rows=TIME), torch.randn(TIME, 3, dtype=torch.float64)
    output, (after,) = readout(inputs, (before,))
    wanted = torch.stack([(weights[0] * (inputs[row] + before[row])).sum(0) for row in range(TIME)])
    close([output, after], [wanted, wanted])


def test_a_way_to_merge_must_be_known():
    with pytest.raises(LayerError, match=r"'addd' \(did you mean 'add'\?\)"):
        Readout(GRUCell(3, 3), "addd")


@pytest.mark.parametrize("merge", MERGES)
def test_a_readout_must_fit_the_input(merge):
    with pytest.raises(LayerError, match=f"a readout of 4 cannot be merged into an input of 3 by '{merge}'"):
        Readout(GRUCell(3, 4), merge)


@pytest.mark.parametrize("merge", sorted(set(MERGES) - {"readout_only"}))
def test_a_named_merge_keeps_the_size(merge):
    with pytest.raises(LayerError, match=f"'{merge}' makes no input of 3 of one of 7"):
        Readout(GRUCell(3, 3), merge, input_size=7)


def test_a_readout_of_no_input_is_refused():
    with pytest.raises(LayerError, match="a size of 0 makes no Readout"):
        Readout(GRUCell(3, 3), "readout_only", input_size=0)


@pytest.mark.parametrize("parts", [1, 3])
def test_a_state_that_does_not_fit_is_refused(parts):
    stack = deep_cell(3, 4, cell="gru", depth=2)
    state = tuple(torch.zeros(2, 4) for _ in range(parts))
    with pytest.raises(LayerError, match=r"the state is \[\(2, 4\).*it must be \[\(2, 4\), \(2, 4\)\]"):
        stack.sequence(torch.randn(2, 5, 3), None, state)


def test_what_sees_more_than_a_step_is_refused():
    for layer, message in (
        (nn.BatchNorm1d(4), "BatchNorm1d in a stack would mix steps"),
        (Recurrent(4, 4), "cannot keep the state of the"),
        (nn.Sequential(nn.LSTM(4, 4)), "cannot keep the state of the LSTM in a Sequential"),
    ):
        with pytest.raises(LayerError, match=message):
            Stack(LSTMCell(3, 4), layer)


@pytest.mark.parametrize("unroll", [False, True])
def test_parts_of_a_forced_sequence_give_what_the_whole_gives(unroll):
    torch.manual_seed(0)
    cell = Readout(Stack(GRUCell(3, 5), nn.Linear(5, 3)))
    options = {"teacher_force": True, "return_sequences": True, "unroll": unroll}
    inputs, truth = torch.randn(2, 6, 3), torch.randn(2, 6, 3)
    whole = cell.layer(**options)(inputs, target=truth)
    layer = cell.layer(**options, stateful=True)
    parts = [layer(inputs[:, part], target=truth[:, part]) for part in (slice(0, 3), slice(3, 6))]
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def test_what_is_named_can_be_sent_to_another_process():
    layer = Readout(GRUCell(3, 3), "avg").layer(initial_state="normal")
    assert ForkingPickler.dumps(layer)


def test_a_kept_state_follows_the_layer_and_may_be_trained_on():
    layer = GRUCell(3, 4).layer(stateful=True)
    with torch.inference_mode():
        layer(torch.randn(2, 5, 3))
    layer.double()(torch.randn(2, 5, 3).double()).sum().backward()
