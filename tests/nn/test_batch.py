"""Rows of bare ids become padded tensors, and the target is shifted in one place."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2sbot import BOS, EOS, PAD, SEP
from s2sbot.nn.batch import Batch, pad_rows, source_rows

ROWS = st.lists(st.lists(st.integers(16, 40), max_size=6), min_size=1, max_size=5)


def test_a_batch_of_two():
    batch = Batch.collate([[21, SEP, 22], [23]], [[31], [32, 33]])
    assert batch.source.tolist() == [[21, SEP, 22, EOS], [23, EOS, PAD, PAD]]
    assert batch.source_mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert batch.target_input.tolist() == [[BOS, 31, PAD], [BOS, 32, 33]]
    assert batch.target_output.tolist() == [[31, EOS, PAD], [32, 33, EOS]]
    assert batch.target_mask.tolist() == [[True, True, False], [True, True, True]]
    assert len(batch) == 2
    assert batch.source.dtype == batch.target_output.dtype == torch.long


def test_empty_rows_still_have_a_token():
    batch = Batch.collate([[], [21]], [[], []])
    assert batch.source.tolist() == [[EOS, PAD], [21, EOS]]
    assert batch.target_input.tolist() == [[BOS], [BOS]]
    assert batch.target_output.tolist() == [[EOS], [EOS]]


def test_rows_are_padded_on_the_right():
    assert pad_rows([[1, 2, 3], [4]]).tolist() == [[1, 2, 3], [4, PAD, PAD]]
    padded, mask = source_rows([[21], []])
    assert padded.tolist() == [[21, EOS], [EOS, PAD]]
    assert mask.tolist() == [[True, True], [True, False]]


@given(ROWS, st.data())
def test_the_shift_and_the_masks_agree(sources, data):
    targets = data.draw(
        st.lists(st.lists(st.integers(16, 40), max_size=6), min_size=len(sources), max_size=len(sources))
    )
    batch = Batch.collate(sources, targets)
    assert batch.target_input.shape == batch.target_output.shape == batch.target_mask.shape
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        assert batch.source[row][batch.source_mask[row]].tolist() == [*source, EOS]
        assert batch.target_input[row][batch.target_mask[row]].tolist() == [BOS, *target]
        assert batch.target_output[row][batch.target_mask[row]].tolist() == [*target, EOS]
        assert not batch.source[row][~batch.source_mask[row]].any()
        assert not batch.target_input[row][~batch.target_mask[row]].any()
        assert not batch.target_output[row][~batch.target_mask[row]].any()


def test_a_batch_moves_as_a_whole():
    batch = Batch.collate([[21]], [[31, 32]])
    moved = batch.to(torch.device("meta"))
    for name in ("source", "source_mask", "target_input", "target_output", "target_mask"):
        assert getattr(moved, name).device.type == "meta"
        assert getattr(moved, name).shape == getattr(batch, name).shape


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_batch_moves_to_a_gpu():
    moved = Batch.collate([[21]], [[31]]).to(torch.device("cuda"))
    assert moved.target_output.tolist() == [[31, EOS]]
