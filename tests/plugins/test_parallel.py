"""A pair a line, in one file or in two, whatever its encoding and line ends."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s2sbot_parallel import CHUNK, Moses, Tsv

from s2sbot import Exchange, Origin
from s2sbot.testing import check_reader

TEXT = "où ?\twhere?\nnon\tno\t# note\n"
PAIRS = [("où ?", "where?"), ("non", "no")]


def read(data):
    return [(one.source, one.target) for one in Tsv().read(io.BytesIO(data), "x.tsv")]


def read_pair(source, target):
    return [(one.source, one.target) for one in Moses().read_pair(io.BytesIO(source), io.BytesIO(target), "train")]


def test_source_tab_target_with_their_line():
    data = b"one\teins\n\nno tab\n \tempty\nempty\t\nthree\tdrei\tnote\n"
    assert list(Tsv().read(io.BytesIO(data), "x.tsv")) == [
        Exchange("one", "eins", origin=Origin("x.tsv", line=1)),
        Exchange("three", "drei", origin=Origin("x.tsv", line=6)),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_every_encoding_and_line_end(encoding, end):
    for text in (TEXT, TEXT.rstrip("\n")):
        data = text.replace("\n", end).encode(encoding)
        assert Tsv().sniff(data, "x") > 0.5
        assert read(data) == PAIRS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
@pytest.mark.parametrize("cut", range(8))
def test_a_head_that_ends_inside_a_character_is_known(encoding, cut):
    data = ("日🚢\t日🚢\n" * 20).encode(encoding)
    assert Tsv().sniff(data[: 100 + cut], "x") > 0.5


@pytest.mark.parametrize("name", ["x.tsv", "x.TAB", "x.tsv.gz"])
def test_the_name_adds_a_little(name):
    assert Tsv().sniff(b"a\tb\n", name) > Tsv().sniff(b"a\tb\n", "x.txt") > 0
    assert Tsv().sniff(b"words\n", name) == 0


@pytest.mark.parametrize("data", [b"", b"\n\n", b"words\n", b"a\tb\nc\nd\n", b"\tb\n\td\n", bytes(range(256))])
def test_what_is_no_tsv(data):
    assert Tsv().sniff(data, "x.tsv") == 0


def test_binary_data_is_a_value_error():
    with pytest.raises(ValueError, match="binary data"):
        read(b"a\tb\n" + bytes(range(128)))


@pytest.mark.parametrize("odd", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_line_ends_end_a_line(odd, end):
    source = f"a{odd}b{end}c{end}".encode()
    assert read_pair(source, f"x{end}y{end}".encode()) == [(f"a{odd}b", "x"), ("c", "y")]


def test_sides_with_different_line_ends_and_encodings_fit():
    assert read_pair("é\r\nb\r\n".encode("utf-8-sig"), b"x\ny") == [("é", "x"), ("b", "y")]
    assert read_pair("é\nb\n".encode("utf-16"), b"x\ny\n") == [("é", "x"), ("b", "y")]


def test_beyond_the_first_chunk_it_is_the_same():
    line = "é" * 500 + "\tx\r\n"
    many = CHUNK // len(line.encode()) + 50
    assert read((line * many).encode()) == [("é" * 500, "x")] * many


def test_another_encoding_beyond_the_first_chunk_is_named():
    with pytest.raises(ValueError, match="not UTF-8 beyond the first MiB"):
        read(b"a\tb\n" * (CHUNK // 4 + 10) + b"\xff\tb\n")


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (b"a\nb\n", b"x\n", "the target side of train ends after line 1"),
        (b"a\n", b"x\ny\nz\n", "the source side of train ends after line 1"),
        (b"a\nb", b"x\n", "the target side of train ends after line 1"),
        (b"", b"x\n", "the source side of train ends after line 0"),
    ],
)
def test_uneven_sides_name_the_line(source, target, message):
    with pytest.raises(ValueError, match=message):
        read_pair(source, target)


def test_pairs_without_text_on_a_side_are_passed_over_and_counted():
    found = list(Moses().read_pair(io.BytesIO(b"a\n\nc\n"), io.BytesIO(b"x\ny\n z \n"), "train"))
    assert found == [
        Exchange("a", "x", origin=Origin("train", line=1)),
        Exchange("c", "z", origin=Origin("train", line=3)),
    ]


SIDE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\t\0\ufeff")).filter(str.strip)


@given(st.lists(st.tuples(SIDE, SIDE), min_size=1))
def test_printed_pairs_are_read_back(pairs):
    stripped = [(source.strip(), target.strip()) for source, target in pairs]
    assert read("".join(f"{source}\t{target}\n" for source, target in pairs).encode()) == stripped
    sides = ["".join(f"{pair[side]}\n" for pair in pairs).encode() for side in (0, 1)]
    assert read_pair(*sides) == stripped


def test_the_contract_of_readers():
    check_reader(Tsv, TEXT.encode(), "x.tsv")
