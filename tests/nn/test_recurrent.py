"""The fused layers against a loop that is written out, and what padding must not do."""

import pytest
import torch
from torch import nn

from s2sbot.nn import CELLS, BidirectionalRecurrent, Recurrent, last_real, reverse_rows

LENGTHS = torch.tensor([5, 2, 4, 1])


def written_out(layer: nn.Module, cell: str, inputs: torch.Tensor, state: tuple[torch.Tensor, ...]):
    """One layer step by step, from the equations (Hochreiter & Schmidhuber 1997; Cho et al. 2014, torch's variant)."""
    weight_ih, weight_hh = layer.weight_ih_l0, layer.weight_hh_l0
    bias_ih, bias_hh = layer.bias_ih_l0, layer.bias_hh_l0
    outputs = []
    for time in range(inputs.shape[1]):
        given = inputs[:, time] @ weight_ih.T + bias_ih
        recurrent = state[0] @ weight_hh.T + bias_hh
        if cell == "lstm":
            i, f, g, o = (given + recurrent).chunk(4, 1)
            c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
            state = (o.sigmoid() * c.tanh(), c)
        else:
            reset, update, new = zip(given.chunk(3, 1), recurrent.chunk(3, 1), strict=True)
            r, z = (reset[0] + reset[1]).sigmoid(), (update[0] + update[1]).sigmoid()
            n = (new[0] + r * new[1]).tanh()
            state = ((1 - z) * n + z * state[0],)
        outputs.append(state[0])
    return torch.stack(outputs, 1), state


@pytest.mark.parametrize("cell", CELLS)
def test_a_layer_equals_the_equations(cell):
    torch.manual_seed(0)
    stack = Recurrent(3, 4, cell=cell).double().eval()
    inputs = torch.randn(4, 5, 3, dtype=torch.float64)
    state = tuple(torch.randn(4, 1, 4, dtype=torch.float64) for _ in range(stack.state_parts))
    outputs, final = stack(inputs, None, state)
    wanted, wanted_final = written_out(stack.layers[0].fused, cell, inputs, tuple(part[:, 0] for part in state))
    torch.testing.assert_close(outputs, wanted)
    for part, want in zip(final, wanted_final, strict=True):
        torch.testing.assert_close(part[:, 0], want)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("depth", [1, 3])
def test_the_state_of_a_padded_row_is_that_at_its_true_end(cell, depth):
    torch.manual_seed(0)
    stack = Recurrent(3, 4, cell=cell, depth=depth).eval()
    inputs = torch.randn(4, 5, 3)
    state = tuple(torch.randn(4, depth, 4) for _ in range(stack.state_parts))
    outputs, final = stack(inputs, LENGTHS, state)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = tuple(part[row : row + 1] for part in state)
        wanted, wanted_final = stack(inputs[row : row + 1, :length], None, alone)
        torch.testing.assert_close(outputs[row, :length], wanted[0], atol=1e-6, rtol=1e-6)
        for part, want in zip(final, wanted_final, strict=True):
            assert part.shape == (4, depth, 4)
            torch.testing.assert_close(part[row], want[0], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_what_stands_in_the_padding_reaches_no_gradient(cell):
    torch.manual_seed(0)
    stack = Recurrent(3, 4, cell=cell, depth=2)
    inputs = torch.randn(4, 5, 3, requires_grad=True)
    _, final = stack(inputs, LENGTHS)
    sum(part.sum() for part in final).backward()
    for row, length in enumerate(LENGTHS.tolist()):
        assert inputs.grad[row, length:].abs().sum() == 0
        assert inputs.grad[row, :length].abs().sum() > 0


@pytest.mark.parametrize("cell", CELLS)
def test_one_step_equals_the_fused_call(cell):
    torch.manual_seed(0)
    stack = Recurrent(3, 4, cell=cell, depth=2).eval()
    inputs = torch.randn(4, 5, 3)
    wanted, wanted_final = stack(inputs)
    state, outputs = stack.zeros(inputs), []
    with torch.no_grad():
        for time in range(5):
            output, state = stack(inputs[:, time : time + 1], None, state)
            outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), wanted, atol=1e-6, rtol=1e-6)
    for part, want in zip(state, wanted_final, strict=True):
        torch.testing.assert_close(part, want, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_the_backward_half_reads_from_each_rows_true_end(cell):
    torch.manual_seed(0)
    both = BidirectionalRecurrent(3, 8, cell=cell, depth=2).eval()
    inputs = torch.randn(4, 5, 3)
    outputs, finals = both(inputs, LENGTHS)
    assert outputs.shape == (4, 5, 8)
    for row, length in enumerate(LENGTHS.tolist()):
        wanted, wanted_finals = both(inputs[row : row + 1, :length], torch.tensor([length]))
        torch.testing.assert_close(outputs[row, :length], wanted[0], atol=1e-6, rtol=1e-6)
        for part, want in zip(finals, wanted_finals, strict=True):
            torch.testing.assert_close(part[row], want[0], atol=1e-6, rtol=1e-6)


def test_dropout_is_between_layers_and_a_layer_of_its_own():
    stack = Recurrent(3, 4, depth=3, dropout=0.5)
    assert all(layer.fused.dropout == 0.0 for layer in stack.layers)
    inputs = torch.randn(2, 4, 3)
    assert not torch.equal(stack(inputs)[0], stack(inputs)[0])
    assert torch.equal(stack.eval()(inputs)[0], stack(inputs)[0])


def test_reverse_rows_turns_only_what_is_real():
    sequence = torch.arange(1, 11).view(2, 5, 1)
    turned = reverse_rows(sequence, torch.tensor([5, 3]))
    assert turned.squeeze(2).tolist() == [[5, 4, 3, 2, 1], [8, 7, 6, 9, 10]]
    assert torch.equal(reverse_rows(turned, torch.tensor([5, 3])), sequence)


def test_last_real_takes_the_last_step_of_each_row():
    sequence = torch.arange(1, 11).view(2, 5, 1)
    assert last_real(sequence, torch.tensor([5, 3])).tolist() == [[5], [8]]
