"""What is chosen, by columns and hashes in pieces, is what a dictionary in memory would choose."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preparations import BAND, Given, naive_choice

from s2sbot.preparation import columns, partitions, similar
from s2sbot.preparation.choosing import LEFT_OUT, SIDES, choose
from s2sbot.preparation.columns import ColumnWriter, read_column
from s2sbot.preparation.partitions import mixed
from s2sbot.preparation.plan import Plan, Shard
from s2sbot.preparation.reading import COLUMNS, ReadShard
from s2sbot.settings import DataSettings
from s2sbot.text import Corpus
from s2sbot.text.quality import SIGNATURE
from s2sbot.text.rules import Rules

REASONS = ("duplicates", "near-duplicates", "overlap", "replies")
HASHES = [0, 1, 2**61, 2**62, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1]


ROW = st.builds(
    Given,
    unit=st.sampled_from(HASHES),
    key=st.sampled_from(HASHES[:5]),
    reply=st.sampled_from(HASHES[3:]),
    pair=st.booleans(),
    signature=st.lists(st.sampled_from([0, 0, 0, 0, 1, 2]), min_size=SIGNATURE // BAND, max_size=SIGNATURE // BAND).map(
        lambda kinds: tuple(10 * band + kind + 1000 * n for band, kind in enumerate(kinds) for n in range(BAND))
    ),
)
DOCUMENTS = st.lists(st.lists(ROW, max_size=5), min_size=1, max_size=6)


def write(folder, shards, near):
    """Write rows by shard and document as a reader of shards does."""
    read = []
    for number, documents in enumerate(shards):
        with ColumnWriter(folder, f"read-{number}", COLUMNS, {"signature": "I"} if near else {}) as writer:
            for row in (row for rows in documents for row in rows):
                values = {"unit": row.unit, "key": row.key, "reply": row.reply, "dialogue": -1 if row.pair else 0}
                writer.append(tuple(values.get(name, 0) for name in COLUMNS))
                if near:
                    writer.extend("signature", row.signature)
            writer.finish()
        read.append(ReadShard((), tuple(len(rows) for rows in documents), ()))
    return read


@settings(max_examples=120, deadline=None)
@given(
    documents=DOCUMENTS,
    order=st.randoms(use_true_random=False),
    held=st.one_of(st.none(), st.integers(0, 6)),
    off=st.sets(st.sampled_from(["duplicates", "overlap", "replies"])),
    near=st.sampled_from([0.0, 0.0, 0.3, 0.75, 1.0]),
    cap=st.one_of(st.none(), st.integers(1, 3)),
    shares=st.sampled_from([(0.04, 0.0), (0.3, 0.3), (0.5, 0.4)]),
    partition=st.sampled_from([2, 5, 2**19]),
    chunk=st.sampled_from([1, 3, 2**18]),
    most=st.sampled_from([1, 2, 256]),
    one=st.sampled_from([False, False, False, True]),
)
def test_what_is_chosen_is_what_a_dictionary_would_choose(
    documents, order, held, off, near, cap, shares, partition, chunk, most, one
):
    data = DataSettings(
        without=",".join(off), near_duplicates=near, reply_cap=cap, valid_share=shares[0], test_share=shares[1]
    )
    rules = Rules.of(data)
    units = {"unit": HASHES[2]} if one else {}
    documents = [[replace(row, document=rank, **units) for row in rows] for rank, rows in enumerate(documents)]
    held = None if held is None else min(held, len(documents))  # documents from this one on are a corpus held out
    corpora = [0 if held is None or rank < held else 1 for rank in range(len(documents))]
    shards = shared_out(list(enumerate(documents)), corpora, order)
    numbers = iter(range(sum(map(len, documents))))
    ordinals = [[next(numbers) for _ in rows] for rows in documents]
    out = None if held is None else {number for numbers in ordinals[held:] for number in numbers}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(similar, "HELD", most)
        wanted, frequent = naive_choice([row for rows in documents for row in rows], out, data, rules)
        patch.setattr(partitions, "PARTITION", partition)
        patch.setattr(partitions, "CHUNK", chunk)
        patch.setattr(columns, "GATHERED", chunk)
        patch.setattr(similar, "PIECE", chunk)
        read = write(Path(folder), [[documents[rank] for rank, _ in shard] for shard in shards], near)
        plan = Plan(
            (Corpus(Path("a"), "a"), Corpus(Path("b"), "b")),
            (False, held is not None),
            tuple(
                Shard(number, corpora[shard[0][0]], (), tuple(rank for rank, _ in shard))
                for number, shard in enumerate(shards)
            ),
            (),
            tuple(str(rank) for rank in range(len(documents))),
            "",
        )
        choice = choose(Path(folder), plan, read, data, rules)
        left = {path.name for path in Path(folder).iterdir() if "band" in path.name}
    found = {}
    for number, shard in enumerate(shards):
        places = [ordinal for rank, _ in shard for ordinal in ordinals[rank]]
        found |= dict(zip(places, choice.fates[number].tolist(), strict=True))
    names = dict(enumerate(SIDES)) | {LEFT_OUT + place: reason for place, reason in enumerate(REASONS)}
    assert [names[found[number]] for number in range(len(wanted))] == wanted
    assert choice.kept == {side: wanted.count(side) for side in SIDES}
    assert choice.left_out == {reason: wanted.count(reason) for reason in REASONS}
    assert choice.frequent == frequent[:30]
    assert not left


def shared_out(documents, corpora, order):
    """Share documents out as any plan might: those of one corpus together, in any order, some shards without rows."""
    order.shuffle(documents)
    shards = []
    for corpus in (0, 1):
        for each in (each for each in documents if corpora[each[0]] == corpus):
            if not shards or corpora[shards[-1][0][0]] != corpus or order.random() < 0.5:
                shards.append([])
            shards[-1].append(each)
    return shards


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50, unique=True))
def test_a_draw_is_another_hash_for_every_key(keys):
    draws = mixed(np.array(keys, np.uint64)[:, None])
    assert len(set(draws.tolist())) == len(keys)


def test_the_draws_of_the_lowest_keys_lie_anywhere():
    draws = mixed(np.arange(4_000, dtype=np.uint64)[:, None])
    assert 0.45 < float((draws < 2**63).mean()) < 0.55


@given(
    rows=st.lists(st.tuples(st.integers(-(2**31), 2**31 - 1), st.floats(allow_nan=False)), max_size=20),
    lists=st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=4), max_size=9),
    gathered=st.integers(1, 7),
)
def test_columns_are_read_back_whole_and_in_pieces(rows, lists, gathered):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "GATHERED", gathered)
        with ColumnWriter(Path(folder), "x", {"one": "i", "two": "d"}, {"many": "I"}) as writer:
            for row in rows:
                writer.append(row)
            for values in lists:
                writer.extend("many", values)
            sizes = writer.finish()
        flat = [value for values in lists for value in values]
        assert sizes == {"x.one": 4 * len(rows), "x.two": 8 * len(rows), "x.many": 4 * len(flat)}
        assert read_column(Path(folder) / "x.one", "i").tolist() == [one for one, _ in rows]
        assert read_column(Path(folder) / "x.many", "I", 1, 2).tolist() == flat[1:3]
        pieces = list(columns.read_columns(Path(folder), "x", {"two": "d", "one": "i"}, len(rows), 3))
        assert [value for piece in pieces for value in piece["two"].tolist()] == [two for _, two in rows]
        assert all(len(piece["one"]) <= 3 for piece in pieces)
