"""Loss and perplexity against numbers that are worked out by hand."""

import math

import pytest
import torch
from s2sbot_attention import Attention, AttentionConfig

from s2sbot.nn import Batch, Packed, Score, batch_loss, evaluate

CONFIG = AttentionConfig(embedding_size=8, hidden_size=8, dropout=0.5)


def small() -> Attention:
    torch.manual_seed(0)
    return Attention(CONFIG, 30, 30)


def test_the_loss_is_the_summed_log_likelihood_of_real_tokens():
    model = small().eval()
    batch = Batch.collate([[20, 21], [22]], [[23], [24, 25, 26]])
    memory = model.encode(batch.source, batch.source_mask)
    logs = model.project(model.decode(batch.target_input, memory, memory.state).hidden).log_softmax(2).detach()
    wanted = 0.0
    for row, target in enumerate(([23, 3], [24, 25, 26, 3])):
        wanted -= sum(float(logs[row, time, token]) for time, token in enumerate(target))
    loss, tokens = batch_loss(model, batch)
    assert int(tokens) == 6
    assert float(loss.detach()) == pytest.approx(wanted, rel=1e-5)


def test_scoring_is_the_same_in_one_batch_and_in_many():
    model = small()
    pairs = [([20, 21], [23]), ([22], [24, 25, 26]), ([23, 24, 25], [20, 20])]
    whole = evaluate(model, Packed.pack(pairs), batch_tokens=1_000)
    parts = evaluate(model, Packed.pack(pairs), batch_tokens=1)
    assert whole.tokens == parts.tokens == 9
    assert whole.nats == pytest.approx(parts.nats, rel=1e-5)
    assert model.training, "scoring must leave the model in the mode it was in"


def test_perplexity():
    assert Score(10 * math.log(7), 10).perplexity == pytest.approx(7)
    assert Score(1e9, 10).perplexity == math.inf
