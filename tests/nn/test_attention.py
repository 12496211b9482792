"""Every score of an attention against its definition, one query and one value at a time, and the mask."""

import pytest
import torch

from s2sbot.errors import LayerError
from s2sbot.nn import SCORES, AdditiveAttention, Attention, DotAttention, GeneralAttention

QUERY, VALUE = 3, 4
MASK = torch.tensor([[True] * 6, [True, False, True, True, False, False]])
every_score = pytest.mark.parametrize("name", SCORES)
masked = pytest.mark.parametrize("mask", [None, MASK], ids=["full", "masked"])


def make(name: str) -> Attention:
    torch.manual_seed(0)
    return SCORES[name](VALUE if name == "dot" else QUERY, VALUE).double()


def sequences(attention: Attention) -> tuple[torch.Tensor, torch.Tensor]:
    """Return queries [batch, time, query_size] and values [batch, source_time, value_size]."""
    torch.manual_seed(1)
    return torch.randn(2, 5, attention.query_size).double(), torch.randn(2, 6, attention.value_size).double()


def dot(attention, query, value):
    return sum(q * v for q, v in zip(query, value, strict=True))


def general(attention, query, value):
    return query @ attention.query.weight.T @ value


def additive(attention, query, value):
    w, u, b, a = attention.query.weight, attention.key.weight, attention.key.bias, attention.score.weight[0]
    return a @ torch.tanh(w @ query + u @ value + b)


DEFINITIONS = {"dot": dot, "general": general, "additive": additive}


def test_every_named_score_has_its_definition_here():
    assert sorted(DEFINITIONS) == sorted(SCORES)
    assert dict(SCORES) == {"additive": AdditiveAttention, "dot": DotAttention, "general": GeneralAttention}


@every_score
@masked
def test_weights_and_context_are_those_of_the_definition(name, mask):
    attention = make(name)
    queries, values = sequences(attention)
    context, weights = attention(queries, values, mask)
    for row in range(2):
        real = range(6) if mask is None else mask[row].nonzero().flatten().tolist()
        for time in range(5):
            scores = [DEFINITIONS[name](attention, queries[row, time], values[row, place]) for place in real]
            exponentials = torch.stack(scores).exp()
            wanted = torch.zeros(6, dtype=torch.float64)
            wanted[real] = exponentials / exponentials.sum()
            torch.testing.assert_close(weights[row, time], wanted, rtol=1e-12, atol=1e-12)
            summed = sum(wanted[place] * values[row, place] for place in range(6))
            torch.testing.assert_close(context[row, time], summed, rtol=1e-12, atol=1e-12)


@every_score
@masked
def test_keys_computed_before_change_nothing(name, mask):
    attention = make(name)
    queries, values = sequences(attention)
    wanted = attention(queries, values, mask)
    keys = attention.keys(values)
    # they, and not the values, are what a query is compared with
    for found, want in zip(attention(queries, values, mask, keys), wanted, strict=True):
        assert torch.equal(found, want)
    _, weights = attention(queries, torch.zeros_like(values), mask, keys)
    assert torch.equal(weights, wanted[1])
    assert not torch.allclose(attention(queries, values, mask, keys.flip(1))[1], wanted[1])


@every_score
def test_one_query_gets_what_it_gets_among_others(name):
    attention = make(name)
    queries, values = sequences(attention)
    context, weights = attention(queries, values, MASK)
    for time in range(5):
        one, weight = attention(queries[:, time : time + 1], values, MASK)
        torch.testing.assert_close(one, context[:, time : time + 1])
        torch.testing.assert_close(weight, weights[:, time : time + 1])


@every_score
def test_a_masked_position_has_weight_zero_and_no_gradient(name):
    attention = make(name)
    queries, values = sequences(attention)
    values.requires_grad_()
    context, weights = attention(queries, values, MASK)
    assert (weights.transpose(1, 2)[~MASK] == 0).all()
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 5, dtype=torch.float64))
    context.square().sum().backward()
    assert (values.grad[~MASK] == 0).all()
    assert (values.grad[MASK].abs().sum(1) > 0).all()


@every_score
def test_what_stands_behind_the_mask_changes_nothing(name):
    attention = make(name)
    queries, values = sequences(attention)
    other = torch.where(MASK.unsqueeze(2), values, 1e6)
    for one, two in zip(attention(queries, values, MASK), attention(queries, other, MASK), strict=True):
        assert torch.equal(one, two)


def test_the_weights_of_each_score_are_those_of_its_equation():
    assert list(make("dot").parameters()) == []
    assert {key: tuple(part.shape) for key, part in make("general").named_parameters()} == {"query.weight": (4, 3)}
    assert {key: tuple(part.shape) for key, part in make("additive").named_parameters()} == {
        "query.weight": (3, 3),
        "key.weight": (3, 4),
        "key.bias": (3,),
        "score.weight": (1, 3),
    }


def test_the_dot_score_refuses_sizes_that_differ():
    with pytest.raises(LayerError, match=r"queries of 3 with values of 4 .make the sizes equal, or take .*general"):
        DotAttention(3, 4)
