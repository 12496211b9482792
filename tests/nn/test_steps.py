"""Step by step with what is known made beforehand is what the stack's own steps make, forwards and backwards."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from s2sbot.nn import Recurrent, Stepper, deferred
from s2sbot.nn.attention import SCORES


def steps_of(recurrent, known, fed, state, *, fast):
    """Run over all steps: fast, or as the stack itself steps."""
    stepper = Stepper(recurrent.stack, known) if fast else None
    outputs = []
    for time in range(known.shape[1]):
        if stepper:
            output, state = stepper(time, fed[:, time], state)
        else:
            output, state = recurrent.stack(torch.cat([known[:, time], fed[:, time]], 1), state)
        outputs.append(output)
    return torch.stack(outputs, 1), state


def gradients(loss, tensors):
    return torch.autograd.grad(loss, tensors)


@pytest.mark.parametrize(
    ("cell", "depth", "share_state"), [*itertools.product(("lstm", "gru"), (1, 2, 3), (False,)), ("lstm", 2, True)]
)
def test_it_is_the_stack(cell, depth, share_state):
    torch.manual_seed(depth)
    recurrent = Recurrent(3 + 5, 7, cell=cell, depth=depth, share_state=share_state).double()
    known = torch.randn(4, 6, 3, dtype=torch.float64, requires_grad=True)
    fed = torch.randn(4, 6, 5, dtype=torch.float64, requires_grad=True)
    begin = tuple(torch.randn(4, 7, dtype=torch.float64, requires_grad=True) for _ in recurrent.state_sizes)
    assert Stepper(recurrent.stack, known).fast is not share_state
    wanted = [known, fed, *begin, *recurrent.parameters()]
    found = []
    for fast in (False, True):
        outputs, state = steps_of(recurrent, known, fed, begin, fast=fast)
        loss = outputs.square().sum() + sum(part.sin().sum() for part in state)
        found.append((outputs, *state, *gradients(loss, wanted)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


def test_any_other_cell_is_stepped_as_it_is():
    recurrent = Recurrent(8, 7, cell="highway")
    known, fed = torch.randn(4, 6, 3), torch.randn(4, 6, 5)
    begin = recurrent.zeros(known)
    one, _ = steps_of(recurrent, known, fed, begin, fast=False)
    other, _ = steps_of(recurrent, known, fed, begin, fast=True)
    assert torch.equal(one, other)


class TestDeferred:
    def chain(self, call, inputs, times=5):
        for _ in range(times):
            inputs = torch.tanh(call(inputs))
        return inputs.square().sum()

    @pytest.mark.parametrize("bias", [True, False])
    def test_the_gradient_is_that_of_the_layer(self, bias):
        torch.manual_seed(0)
        layer = nn.Linear(6, 6, bias=bias).double()
        inputs = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
        wanted = [inputs, *layer.parameters()]
        plain = gradients(self.chain(layer, inputs), wanted)
        made = gradients(self.chain(deferred(layer.weight, layer.bias), inputs), wanted)
        for one, other in zip(plain, made, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)

    def test_two_passes_before_one_way_back_add_up(self):
        torch.manual_seed(0)
        layer = nn.Linear(6, 6).double()
        inputs = torch.randn(3, 6, dtype=torch.float64)
        for call in (layer, deferred(layer.weight, layer.bias)):
            (self.chain(call, inputs) + self.chain(call, 2 * inputs)).backward()
        layer_twice = layer.weight.grad.clone()
        layer.zero_grad()
        (self.chain(layer, inputs) + self.chain(layer, 2 * inputs)).backward()
        torch.testing.assert_close(layer_twice, 2 * layer.weight.grad, rtol=1e-12, atol=1e-13)

    def test_a_layer_that_was_never_called_has_no_gradient(self):
        layer = nn.Linear(6, 6)
        deferred(layer.weight, layer.bias)
        layer(torch.randn(2, 6)).sum().backward()
        assert layer.weight.grad is not None

    def test_a_step_whose_result_is_not_used_adds_nothing(self):
        torch.manual_seed(0)
        layer = nn.Linear(6, 6).double()
        inputs = torch.randn(3, 6, dtype=torch.float64)
        call = deferred(layer.weight, layer.bias)
        used, _ = call(inputs), call(3 * inputs)
        used.sum().backward()
        made = layer.weight.grad.clone()
        layer.zero_grad()
        layer(inputs).sum().backward()
        torch.testing.assert_close(made, layer.weight.grad, rtol=1e-12, atol=1e-13)

    def test_without_gradients_it_is_the_layer(self):
        layer = nn.Linear(6, 6)
        inputs = torch.randn(3, 6)
        with torch.no_grad():
            assert torch.equal(
                deferred(layer.weight, layer.bias)(inputs), functional.linear(inputs, layer.weight, layer.bias)
            )

    def test_a_slice_of_a_weight_gets_its_part(self):
        torch.manual_seed(0)
        weight = torch.randn(6, 9, dtype=torch.float64, requires_grad=True)
        inputs = torch.randn(3, 6, dtype=torch.float64)
        [made] = gradients(self.chain(deferred(weight[:, 3:]), inputs), [weight])
        [plain] = gradients(self.chain(lambda rows: functional.linear(rows, weight[:, 3:]), inputs), [weight])
        torch.testing.assert_close(made, plain, rtol=1e-12, atol=1e-13)
        assert not made[:, :3].any()


@pytest.mark.parametrize("score", sorted(SCORES))
def test_attention_step_by_step_is_attention(score):
    torch.manual_seed(0)
    attention = SCORES[score](6, 6).double()
    values = torch.randn(3, 5, 6, dtype=torch.float64, requires_grad=True)
    queries = torch.randn(3, 4, 6, dtype=torch.float64, requires_grad=True)
    mask = torch.arange(5) < torch.tensor([[5], [2], [4]])
    wanted = [values, queries, *attention.parameters()]
    found = []
    for stepwise in (False, True):
        keys = attention.keys(values)
        if stepwise:
            attend = attention.stepwise(values, mask, keys)
            parts = [attend(queries[:, time]) for time in range(4)]
            contexts, weights = (torch.stack(part, 1) for part in zip(*parts, strict=True))
        else:
            contexts, weights = attention(queries, values, mask, keys)
        loss = contexts.square().sum() + weights.sin().sum()
        found.append((contexts, weights, *gradients(loss, wanted)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("cell", "score", "depth"), [("lstm", "general", 1), ("gru", "additive", 2), ("lstm", "dot", 2)]
)
def test_input_feeding_at_once_is_input_feeding_token_by_token(cell, score, depth):
    """The reference is `decode` itself, called with one token after the other."""
    from s2sbot_attention import Attention, AttentionConfig

    torch.manual_seed(0)
    config = AttentionConfig(
        embedding_size=6, hidden_size=8, cell=cell, score=score, depth=depth, input_feeding=True, dropout=0.0
    )
    model = Attention(config, 30, 30).double()
    source = torch.randint(16, 30, (4, 5))
    source[1, 3:] = 0
    tokens = torch.randint(16, 30, (4, 7))
    tokens[0, 4:] = tokens[2, 1:] = 0
    mask = source.ne(0)
    memory = model.encode(source, mask)
    whole = model.decode(tokens, memory, memory.state)
    memory = model.encode(source, mask)
    state, outputs, attentions = memory.state, [], []
    for time in range(7):
        step = model.decode(tokens[:, time : time + 1], memory, state)
        real = tokens[:, time : time + 1].ne(0)
        state = tuple(torch.where(real, new, old) for new, old in zip(step.state, state, strict=True))
        outputs.append(step.hidden)
        attentions.append(step.attention)
    real = tokens.ne(0)
    one = (whole.hidden[real], whole.attention[real], *whole.state)
    other = (torch.cat(outputs, 1)[real], torch.cat(attentions, 1)[real], *state)
    parameters = [parameter for name, parameter in model.named_parameters() if "output" not in name]
    for left, right in zip(one, other, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)
    losses = [sum(part.square().sum() for part in parts) for parts in (one, other)]
    for left, right in zip(*(torch.autograd.grad(loss, parameters) for loss in losses), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)
