"""What a shard holds comes back as it was read, whatever a reader yields and however little is in memory."""

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2sbot import Dialogue, Exchange, Origin, Turn
from s2sbot.preparation import columns, lines, merging, shards
from s2sbot.preparation.choosing import LEFT_OUT, SIDES
from s2sbot.preparation.facts import SHOWN, Facts, Sampling, described
from s2sbot.preparation.lines import Row, rows_of
from s2sbot.preparation.merging import merge, previous_rows
from s2sbot.preparation.packing import PackedShard, pack_shard
from s2sbot.preparation.plan import Plan, Shard
from s2sbot.preparation.reading import ReadShard, read_shard
from s2sbot.settings import DataSettings
from s2sbot.text import Corpus
from s2sbot.text.archives import Archives
from s2sbot.text.documents import Document, Part
from s2sbot.text.packed import Origins, Packed
from s2sbot.text.pairing import previous_exchanges
from s2sbot.text.reading import DocumentReport, fit_exchanges, read_document
from s2sbot.text.rules import Rules
from s2sbot.text.tokenizer import LONGEST_SOURCE, RESERVED, SEP

LETTERS = st.characters(codec=None, categories=("L", "N", "P", "Zs", "Cc", "Cs"))
TEXT = st.text(LETTERS, max_size=12)
TURN = st.builds(Turn, TEXT, st.sampled_from([None, "A", "B"]), st.one_of(st.none(), st.floats(0, 9e3)))
DIALOGUE = st.builds(
    Dialogue,
    st.lists(TURN, max_size=7).map(tuple),
    st.builds(Origin, TEXT, st.one_of(st.none(), st.integers(1, 9))),
    st.one_of(st.none(), TEXT),
)
PAIR = st.builds(
    Exchange,
    TEXT,
    TEXT,
    st.lists(TEXT, max_size=3).map(tuple),
    st.builds(Origin, TEXT, st.one_of(st.none(), st.integers(1, 9)), st.one_of(st.none(), st.floats(0, 9e3))),
)
DOCUMENTS = st.lists(st.lists(st.one_of(DIALOGUE, PAIR), max_size=4), max_size=4)
PICK_NONE = Sampling(0, 0, frozenset())


class Dictated:
    """A reader that yields what it was given, by the name of the document."""

    def __init__(self, documents):
        self.documents = documents

    def sniff(self, head, name):
        return 1.0

    def read(self, stream, name):
        yield from self.documents[int(name)]


class Letters:
    """A tokenizer with an id for each character."""

    def __len__(self):
        return 2**21

    def encode(self, text):
        return [ord(letter) + RESERVED for letter in text]


def read(folder, documents, rules):
    """Read documents as one shard; return it, and the exchanges of each document read directly."""
    file = folder / "document"
    file.write_bytes(b"not looked at")
    names = [str(number) for number in range(len(documents))]
    shard = Shard(0, 0, tuple(Document(name, (Part(file, size=13),)) for name in names), tuple(range(len(names))))
    corpus, readers = Corpus(folder, "x"), {"dictated": Dictated(documents)}
    done = list(read_shard(folder, shard, corpus, readers, rules))
    assert done == sorted(done)
    exchanges = []
    for document in shard.documents:
        report = DocumentReport(document.name)
        with Archives() as archives:
            items = enumerate(read_document(document, corpus, readers, archives, rules, report))
            exchanges.append([each for n, item in items for each in fit_exchanges(item, corpus, rules, report, n)])
    return shard, ReadShard.load(folder / "read-0.json"), exchanges


def known(text):
    """Return text as UTF-8 can hold it."""
    return text.encode("utf-8", "replace").decode()


def as_row(exchange, side, document, shard, row):
    """Return the row that an exchange should be; its hashes are taken from the row that it is."""
    origin = exchange.origin
    assert known(origin.file) == shard.files[row.file]
    return Row(
        side,
        document,
        known(exchange.source),
        known(exchange.target),
        tuple(map(known, exchange.context)),
        -1 if exchange.dialogue is None else exchange.dialogue,
        exchange.turn,
        row.file,
        origin.line or 0,
        -1.0 if origin.seconds is None else origin.seconds,
        row.draw,
        row.reply,
    )


@settings(max_examples=60, deadline=None)
@given(
    documents=DOCUMENTS,
    context=st.integers(0, 4),
    off=st.sampled_from(["", "length", "length,letters,echo,speakers,mojibake"]),
    piece=st.sampled_from([1, 2, 5, 2**13]),
    fates=st.lists(st.sampled_from([0, 1, 2, LEFT_OUT, LEFT_OUT + 3]), min_size=24, max_size=24),
    below=st.sampled_from([2**64, 2**63, 2**61]),
)
def test_rows_come_back_as_they_were_read(documents, context, off, piece, fates, below):
    rules = Rules.of(DataSettings(without=off, context_turns=context))
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "PIECE", piece)
        patch.setattr(columns, "GATHERED", piece)
        _, shard, exchanges = read(Path(name), documents, rules)
        given = np.resize(np.array(fates, np.uint8), sum(shard.rows))
        every = list(rows_of(Path(name), 0, shard, np.zeros(len(given), np.uint8)))
        found = list(rows_of(Path(name), 0, shard, given, below=below))
    assert list(shard.rows) == [len(each) for each in exchanges]
    flat = [(number, exchange) for number, each in enumerate(exchanges) for exchange in each]
    wanted = [
        as_row(exchange, SIDES[fate], document, shard, row)
        for (document, exchange), fate, row in zip(flat, given.tolist(), every, strict=True)
        if fate < LEFT_OUT and row.draw < below
    ]
    assert [row._replace(seconds=row.seconds if row.seconds == row.seconds else -1.0) for row in found] == wanted


@settings(max_examples=50, deadline=None)
@given(documents=DOCUMENTS, sides=st.lists(st.integers(0, 2), min_size=24, max_size=24), chunk=st.integers(1, 5))
def test_what_is_packed_and_merged_is_what_packing_in_memory_makes(documents, sides, chunk):
    rules = Rules.of(DataSettings(context_turns=1, without="length,echo,letters"))
    data = DataSettings(max_length=10)
    tokenizer = Letters()
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "CHUNK", chunk)
        folder = Path(name)
        planned, shard, exchanges = read(folder, documents, rules)
        fates = np.resize(np.array(sides, np.uint8), sum(shard.rows))
        list(pack_shard(folder, 0, shard, fates, (tokenizer, tokenizer), data, PICK_NONE))
        done = PackedShard.load(folder / "packed-0.json")
        plan = Plan((), (), (planned,), (), tuple(map(str, range(len(documents)))), "")
        facts = merge(folder, folder, plan, [shard], [done])
        numbered = iter(fates.tolist())
        chosen = [[(exchange, next(numbered)) for exchange in each] for each in exchanges]
        for place, side in enumerate(SIDES):
            kept = [[exchange for exchange, fate in each if fate == place and fits(exchange)] for each in chosen]
            previous = [previous_exchanges(each) for each in kept]
            begins = np.cumsum([0, *map(len, kept)]).tolist()
            linked = [
                index + begin if index >= 0 else -1
                for begin, each in zip(begins, previous, strict=False)
                for index in each
            ]
            flat = [exchange for each in kept for exchange in each]
            wanted = Packed.pack([(source_of(each), tokenizer.encode(known(each.target))) for each in flat], linked)
            found, origins = Packed.load(folder, side), Origins.load(folder, side)
            for array in Packed.__slots__:
                assert getattr(found, array).tolist() == getattr(wanted, array).tolist(), array
            assert [origins[row] for row in range(len(flat))] == [
                replace(each.origin, file=known(each.origin.file)) for each in flat
            ]
            assert facts.rows[side] == len(flat)
    assert facts.too_long == sum(map(len, exchanges)) - facts.rows.total()


def fits(exchange):
    return 0 < len(known(exchange.source)) <= 10 and 0 < len(known(exchange.target)) <= 10


def source_of(exchange):
    """Return the ids of a source of at most ten, with as many whole turns before it as fit."""
    ids = Letters().encode(known(exchange.source))
    for turn in reversed(exchange.context):
        longer = [*Letters().encode(known(turn)), SEP, *ids]
        if len(longer) > 10:
            break
        ids = longer
    return ids


DIALOGUES = st.lists(st.tuples(st.booleans(), st.lists(st.booleans(), max_size=9)), max_size=5)


@given(DIALOGUES)
def test_the_rows_before_are_those_of_the_slow_reference(dialogues):
    exchanges = []
    for number, (alone, kept) in enumerate(dialogues):
        turns = [turn for turn, keep in enumerate(kept) if keep]
        exchanges += [
            Exchange("a", "b", dialogue=None if alone else number, turn=0 if alone else turn) for turn in turns
        ]
    dialogue = np.array([-1 if each.dialogue is None else each.dialogue for each in exchanges], np.int32)
    turn = np.array([each.turn for each in exchanges], np.int32)
    assert previous_rows(dialogue, turn).tolist() == previous_exchanges(exchanges)


def test_a_source_that_was_a_target_is_cut_where_every_source_is(tmp_path):
    """A target of more tokens than a source is read of is encoded once, and yet not taken whole for the next source."""
    long = "a" * (LONGEST_SOURCE + 5)
    turns = tuple(Turn(text) for text in ("Hello.", long, "Bye."))
    rules = Rules.of(DataSettings(max_characters=5_000))
    _, shard, _ = read(tmp_path, [[Dialogue(turns, Origin("x"))]], rules)
    fates = np.zeros(2, np.uint8)
    tokenizer = Letters()
    list(pack_shard(tmp_path, 0, shard, fates, (tokenizer, tokenizer), DataSettings(max_length=1024), PICK_NONE))
    [counts] = PackedShard.load(tmp_path / "packed-0.json").counts["train"]
    assert counts[:3] == (2, 6 + LONGEST_SOURCE, LONGEST_SOURCE + 5 + 4)


@pytest.mark.parametrize("name", ["read-0.turns", "read-0.key", "packed-0.train.source_ids", "packed-0.valid.jsonl"])
def test_a_shard_of_which_a_file_is_not_whole_is_none(tmp_path, name):
    documents = [[Dialogue(tuple(Turn(f"Turn {n}.") for n in range(6)), Origin("x"))]]
    _, shard, _ = read(tmp_path, documents, Rules())
    fates = np.array([0, 1, 0, 1, 0], np.uint8)
    list(pack_shard(tmp_path, 0, shard, fates, (Letters(), Letters()), DataSettings(), PICK_NONE))
    kind = ReadShard if name.startswith("read") else PackedShard
    marker = tmp_path / f"{name.split('.')[0]}.json"
    assert kind.load(marker)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1])
    with pytest.raises(ValueError, match="does not have"):
        kind.load(marker)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError):
        kind.load(marker)


ROWS = st.lists(
    st.builds(
        Row,
        side=st.sampled_from(SIDES),
        document=st.just(0),
        source=st.sampled_from(["One two three.", "One."]),
        target=st.sampled_from(["Yes.", "yes!", "No no."]),
        context=st.just(()),
        dialogue=st.just(-1),
        turn=st.just(0),
        file=st.integers(0, 1),
        line=st.integers(1, 3),
        seconds=st.just(float("nan")),
        draw=st.sampled_from([3, 5, 8]),
        reply=st.sampled_from([1, 2]),
    ),
    max_size=12,
)


@given(ROWS, st.randoms(use_true_random=False), st.integers(1, 4))
def test_facts_add_up_to_the_same_however_rows_are_shared_out(rows, order, parts):
    sampling = Sampling(replies=6, samples=9, frequent=frozenset([1]))
    files = ("a.srt", "b.srt")

    def counted(some):
        facts = Facts()
        for row in some:
            facts.count(row, [9], [9, 9], files, sampling)
        return facts

    one, many = Facts(), Facts()
    one.add(counted(rows))
    mixed = order.sample(rows, len(rows))
    for part in range(parts):
        many.add(Facts.from_dict(counted(mixed[part::parts]).to_dict()))
    assert many == one
    train = [row for row in rows if row.side == "train"]
    assert one.rows == Counter(row.side for row in rows)
    assert one.replies == sorted((row.draw, row.target) for row in train if row.draw < 6)
    said = [(row.draw, row.target) for row in train if row.reply == 1]
    assert one.frequent == ({"1": min(said)[1]} if said else {})


def test_of_many_held_out_rows_those_with_the_lowest_draws_are_shown():
    facts, whole = Facts(), Facts()
    for number in range(9 * SHOWN):
        draw = number * 7919 % (9 * SHOWN)
        row = Row("valid", 0, "One two three." if draw % 2 else "One.", "Yes.", (), -1, 0, 0, draw, 0.0, draw, 0)
        facts.count(row, [9], [9, 9], ("a",), PICK_NONE)
    whole.add(facts)
    assert [draw for draw, _ in whole.held_out] == list(range(1, 2 * SHOWN, 2))
    assert whole.held_out[0][1] == described(row._replace(source="One two three.", line=1), ("a",))


def test_how_long_it_takes_is_said_when_that_is_known(monkeypatch):
    """Done, and the seconds that have passed: neither the first two seconds nor the first two percent tell the rest."""
    steps = [(10, 1.0), (50, 1.5), (100, 2.0), (500, 5.0), (19, 10.0)]
    times = iter([0.0, *(seconds for _, seconds in steps)])
    monkeypatch.setattr(shards.time, "monotonic", lambda: next(times))
    said = [event.message for event in shards._told("reading", (done for done, _ in steps), 1000, 1, "bytes")]
    assert [message.partition("/s")[2] for message in said] == ["", "", ", 18 s left", ", 5 s left", ""]
    assert [message.split(",")[0] for message in said] == [f"reading: {done / 1000:.0%}" for done, _ in steps]
