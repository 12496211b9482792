"""General attention against its definition, and the mask."""

import torch

from s2sbot.nn import GeneralAttention


def test_weights_and_context_are_those_of_the_definition():
    torch.manual_seed(0)
    attention = GeneralAttention(3, 4).double()
    queries, values = torch.randn(2, 5, 3).double(), torch.randn(2, 6, 4).double()
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1, 4:] = False
    context, weights = attention(queries, values, mask)
    matrix = attention.query.weight
    for row in range(2):
        for time in range(5):
            scores = torch.stack(
                [(matrix @ queries[row, time]) @ values[row, place] for place in range(6) if mask[row, place]]
            )
            wanted = scores.exp() / scores.exp().sum()
            torch.testing.assert_close(weights[row, time, : len(wanted)], wanted)
            torch.testing.assert_close(context[row, time], wanted @ values[row, : len(wanted)])


def test_a_masked_position_has_weight_zero_and_no_gradient():
    attention = GeneralAttention(3, 4)
    values = torch.randn(1, 3, 4, requires_grad=True)
    mask = torch.tensor([[True, True, False]])
    context, weights = attention(torch.randn(1, 2, 3), values, mask)
    assert weights[0, :, 2].tolist() == [0.0, 0.0]
    torch.testing.assert_close(weights.sum(2), torch.ones(1, 2))
    context.sum().backward()
    assert values.grad[0, 2].abs().sum() == 0
