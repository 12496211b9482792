"""Rows, bytes and names of what a model holds."""

import torch
from s2sbot_attention import Attention, AttentionConfig

from s2sbot.nn import Memory, select_rows, state_from_bytes, state_to_bytes
from s2sbot.nn.encoder_decoder import load_model_tensors, model_tensors


def test_select_rows_keeps_the_kind_of_tree():
    memory = Memory(torch.arange(6).view(3, 2, 1), torch.tensor([[True], [False], [True]]), (torch.arange(3.0),))
    chosen = select_rows(memory, torch.tensor([2, 2]))
    assert isinstance(chosen, Memory)
    assert chosen.values[:, 0, 0].tolist() == [4, 4]
    assert chosen.state[0].tolist() == [2.0, 2.0]
    assert select_rows((), torch.tensor([0])) == ()


def test_a_state_comes_back_from_bytes_to_the_bit():
    state = tuple(torch.randn(1, 2, 3) for _ in range(12))
    again = state_from_bytes(state_to_bytes(state), torch.device("cpu"))
    assert len(again) == 12
    assert all(torch.equal(one, other) for one, other in zip(state, again, strict=True))
    assert state_to_bytes(()) is None
    assert state_from_bytes(None, torch.device("cpu")) == ()


def test_tied_weights_are_kept_once_and_stay_tied():
    config = AttentionConfig(embedding_size=8, hidden_size=8)
    model, again = Attention(config, 30, 30), Attention(config, 30, 30)
    tensors = model_tensors(model)
    assert sum("embedding.weight" in name for name in tensors) == 1
    load_model_tensors(again, tensors)
    assert again.source_embedding.weight is again.target_embedding.weight
    assert torch.equal(again.target_embedding.weight, model.target_embedding.weight)
