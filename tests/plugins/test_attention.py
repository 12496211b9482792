"""The model `attention`: sizes of its own, weights over the source alone, and that it learns."""

import pytest
import torch
from s2sbot_attention import Attention, AttentionConfig

from s2sbot import SettingsError
from s2sbot.nn import Batch, batch_loss, generate
from s2sbot.settings import DecodeSettings
from s2sbot.testing.findings import require, run_checks
from s2sbot.testing.model import checks_of_model


def test_odd_sizes_fit():
    for sizes in ({"hidden_size": 9, "bidirectional": False}, {"hidden_size": 9, "encoder_size": 4}):
        require(run_checks(checks_of_model(Attention, AttentionConfig(embedding_size=7, **sizes))))


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(SettingsError, match=r"model\.hidden_size cannot be 9 with model\.bidirectional"):
        AttentionConfig(hidden_size=9)
    with pytest.raises(SettingsError, match=r"model\.score cannot be 'dot' with states of 8 and an encoder of 6"):
        AttentionConfig(hidden_size=8, encoder_size=6, score="dot")


def test_source_and_target_may_have_vocabularies_of_their_own():
    model = Attention(AttentionConfig(embedding_size=8, hidden_size=8), 30, 50)
    assert model.source_embedding.weight.shape == (30, 8)
    batch = Batch.collate([[20]], [[49]])
    loss, _ = batch_loss(model, batch)
    assert torch.isfinite(loss)


def test_attention_is_over_the_source_and_nothing_else():
    model = Attention(AttentionConfig(embedding_size=8, hidden_size=8), 30, 30).eval()
    batch = Batch.collate([[20, 21, 22], [23]], [[24], [25]])
    memory = model.encode(batch.source, batch.source_mask)
    weights = model.decode(batch.target_input, memory, memory.state).attention
    assert weights.shape == (2, 2, 4)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 2))
    assert weights[1, :, 2:].abs().sum() == 0


def test_it_learns_to_turn_a_line_around():
    torch.manual_seed(1)
    model = Attention(AttentionConfig(embedding_size=24, hidden_size=48, dropout=0.0), 24, 24)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(2)

    def rows(count):
        return [
            torch.randint(16, 24, (int(size),), generator=generator).tolist()
            for size in torch.randint(1, 6, (count,), generator=generator)
        ]

    for _ in range(250):
        sources = rows(32)
        loss, tokens = batch_loss(model, Batch.collate(sources, [source[::-1] for source in sources]))
        optimizer.zero_grad()
        (loss / tokens).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    unseen = rows(50)
    found = generate(model, unseen, DecodeSettings(no_repeat_ngram=0, min_length=0))
    right = sum(list(hypothesis.tokens) == source[::-1] for hypothesis, source in zip(found, unseen, strict=True))
    assert right >= 45


def test_the_seed_fixes_every_weight():
    config = AttentionConfig(embedding_size=8, hidden_size=8, share_embeddings=False)
    built = []
    for _ in range(8):
        torch.manual_seed(3)
        model = Attention(config, 30, 40)
        built.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
        built.append(built[-1])  # keeps addresses from repeating
    assert all(torch.equal(weights, built[0]) for weights in built)
