"""Bucketing loses and repeats nothing, keeps to its budget, and is fixed by two numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2sbot import EOS
from s2sbot.errors import S2SBotError
from s2sbot.nn import Batch
from s2sbot.nn.dataset import epoch_batches, sequential_batches
from s2sbot.text.packed import Packed

IDS = st.lists(st.integers(16, 30), max_size=9)
PAIRS = st.lists(st.tuples(IDS, IDS), max_size=40)
SOME = Packed.pack([([16] * (index % 7), [17] * (index % 5)) for index in range(60)])


def all_rows(batches):
    return [int(row) for batch in batches for row in batch]


def cost(packed, rows):
    sources, targets = packed.lengths()
    return len(rows) * int(sources[rows].max() + targets[rows].max())


@given(PAIRS)
def test_rows_come_back_as_they_were_packed(pairs):
    packed = Packed.pack(pairs)
    assert len(packed) == len(pairs)
    assert [packed.row(index) for index in range(len(packed))] == pairs
    sources, targets = packed.lengths()
    assert sources.tolist() == [len(source) + 1 for source, _ in pairs]
    assert targets.tolist() == [len(target) + 1 for _, target in pairs]


@given(PAIRS, st.integers(1, 60), st.integers(0, 2**31 - 1), st.integers(0, 9))
def test_an_epoch_loses_and_repeats_nothing_and_keeps_its_budget(pairs, budget, seed, epoch):
    packed = Packed.pack(pairs)
    batches = epoch_batches(packed, budget, seed=seed, epoch=epoch)
    assert sorted(all_rows(batches)) == list(range(len(pairs)))
    assert all(len(rows) == 1 or cost(packed, rows) <= budget for rows in batches)
    again = epoch_batches(packed, budget, seed=seed, epoch=epoch)
    assert [rows.tolist() for rows in batches] == [rows.tolist() for rows in again]


@given(PAIRS, st.integers(1, 60))
def test_in_sequence_too_and_longest_first(pairs, budget):
    packed = Packed.pack(pairs)
    batches = list(sequential_batches(packed, budget))
    assert sorted(all_rows(batches)) == list(range(len(pairs)))
    assert all(len(rows) == 1 or cost(packed, rows) <= budget for rows in batches)
    longest = [int(packed.lengths()[1][rows].max()) for rows in batches]
    assert longest == sorted(longest, reverse=True)


def test_seed_and_epoch_each_change_the_order():
    orders = {
        (seed, epoch): all_rows(epoch_batches(SOME, 40, seed=seed, epoch=epoch)) for seed in (1, 2) for epoch in (0, 1)
    }
    assert len({tuple(order) for order in orders.values()}) == 4


def test_the_order_is_the_same_on_every_machine():
    assert all_rows(epoch_batches(Packed.pack([([16], [17])] * 8), 8, seed=1, epoch=0)) == [
        2,
        1,
        5,
        7,
        4,
        6,
        0,
        3,
    ]


def test_a_row_over_the_budget_comes_alone():
    packed = Packed.pack([([16] * 50, [17] * 50), ([16], [17]), ([16], [17])])
    assert sorted(sorted(rows.tolist()) for rows in epoch_batches(packed, 10, seed=1, epoch=0)) == [[0], [1, 2]]


def test_batches_are_filled_up_to_the_budget():
    packed = Packed.pack([([16] * 3, [17] * 5)] * 12)
    assert [len(rows) for rows in epoch_batches(packed, 40, seed=1, epoch=0)] == [4, 4, 4]
    assert len(epoch_batches(packed, 39, seed=1, epoch=0)) == 4


def test_batches_of_many_rows_have_few_shapes():
    generator = np.random.default_rng(3)
    pairs = [([20] * int(a), [20] * int(b)) for a, b in generator.integers(1, 12, (3_000, 2))]
    batches = epoch_batches(Packed.pack(pairs), 600, seed=1, epoch=0)
    many = [len(rows) for rows in batches if len(rows) >= 16]
    # all but the last, which has what is left
    assert len([rows for rows in many if rows % 4]) <= 1
    assert sum(map(len, batches)) == 3_000
    packed = Packed.pack(pairs)
    sources, targets = packed.lengths()
    room = [600 - len(rows) * int(sources[rows].max() + targets[rows].max()) for rows in batches]
    assert min(room) >= 0 and sum(room) / len(room) < 0.15 * 600


def test_rows_of_like_length_come_together():
    packed = Packed.pack([([16] * (index % 29), [17] * (index % 31)) for index in range(29 * 31)])
    targets = packed.lengths()[1]
    padded = sum(len(rows) * int(targets[rows].max()) for rows in epoch_batches(packed, 600, seed=1, epoch=0))
    assert padded < 1.1 * int(targets.sum())


def test_a_batch_of_rows():
    packed = Packed.pack([([16], [17, 18]), ([19, 20], [21])])
    batch = Batch.of(packed, np.array([1, 0]))
    assert batch.source.tolist() == [[19, 20, EOS], [16, EOS, 0]]
    assert batch.target_output.tolist() == [[21, EOS, 0], [17, 18, EOS]]


@pytest.mark.parametrize("pairs", [[], [([], [16])], [([16, 17], [18]), ([], [])]])
def test_saved_and_loaded_is_the_same(tmp_path, pairs):
    Packed.pack(pairs).save(tmp_path, "train")
    again = Packed.load(tmp_path, "train")
    assert [again.row(index) for index in range(len(again))] == pairs
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "train.previous.npy",
        "train.source_ends.npy",
        "train.source_ids.npy",
        "train.target_ends.npy",
        "train.target_ids.npy",
    ]


@pytest.mark.parametrize("data", [None, b"no array", b"\x93NUMPY\x01\x00"])
def test_a_missing_or_damaged_array_is_named(tmp_path, data):
    SOME.save(tmp_path, "train")
    (tmp_path / "train.source_ids.npy").unlink()
    if data is not None:
        (tmp_path / "train.source_ids.npy").write_bytes(data)
    with pytest.raises((OSError, ValueError)):
        Packed.load(tmp_path, "train")


def test_no_pickle_is_read(tmp_path):
    SOME.save(tmp_path, "train")
    np.save(tmp_path / "train.source_ids.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        Packed.load(tmp_path, "train")


def test_a_full_disk_is_explained(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("s2sbot.nn.dataset.np.save", full)
    with pytest.raises(S2SBotError, match="no space left"):
        SOME.save(tmp_path, "train")
    assert list(tmp_path.iterdir()) == []
