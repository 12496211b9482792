"""A pair a line, in one file or in two, whatever its encoding and line ends."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s2sbot_parallel import SNIFFED, Moses, Tsv

from s2sbot import Exchange, Lost, Origin
from s2sbot.testing import check_reader
from s2sbot.text.encoding import CHUNK, LONGEST_LINE

TEXT = "où ?\twhere?\nnon\tno\t# note\n"
PAIRS = [("où ?", "where?"), ("non", "no")]


def read(data):
    return [(one.source, one.target) for one in Tsv().read(io.BytesIO(data), "x.tsv")]


def read_pair(source, target):
    return [(one.source, one.target) for one in Moses().read_pair(io.BytesIO(source), io.BytesIO(target), "train")]


def test_source_tab_target_with_their_line():
    data = b"one\teins\n \t \nno tab\n \tempty\nempty\t\nthree\tdrei\tnote\n"
    assert list(Tsv().read(io.BytesIO(data), "x.tsv")) == [
        Exchange("one", "eins", origin=Origin("x.tsv", line=1)),
        Lost("a row without a tab", 3),
        Lost("a row without text on a side", 4),
        Lost("a row without text on a side", 5),
        Exchange("three", "drei", origin=Origin("x.tsv", line=6)),
    ]


@pytest.mark.parametrize(
    "header",
    [
        "en\tfr",
        "EN\tFR",
        "eng\tfra",
        "en-GB\tpt_BR",
        "source\ttarget",
        "SRC\tTGT",
        "src_text\ttrg_text",
        "English\tFrench",
        "sentence1\tsentence2",
        '"en"\t"fr"\t"score"',
        "# source\ttarget\tscore",
        "\nen\tfr",
    ],
)
def test_a_header_is_no_exchange(header):
    data = f"{header}\nbread\tpain\nen\tfr\n".encode()
    assert Tsv().sniff(data, "x") > 0.5
    assert read(data) == [("bread", "pain"), ("en", "fr")]


@pytest.mark.parametrize(
    "row", ["no\tno", "It\tEs", "En\tin", "a\tb", "id card\ttext", "English people\tFrench", "en\tbread", "12\ttarget"]
)
def test_a_first_row_of_words_is_an_exchange(row):
    assert read(f"{row}\nbread\tpain\n".encode()) == [tuple(row.split("\t")), ("bread", "pain")]
    assert read(f"bread\tpain\n{row}\n".encode()) == [("bread", "pain"), tuple(row.split("\t"))]


def test_a_glossary_may_begin_with_words_that_are_codes():
    assert read(b"it\tes\nthe\tdas\nof\tvon\n") == [("it", "es"), ("the", "das"), ("of", "von")]
    assert read(b"it\tes\nWhere is the bread?\tDove \xc3\xa8 il pane?\n") == [
        ("Where is the bread?", "Dove è il pane?")
    ]


def test_a_row_alone_is_no_header_and_lines_without_a_tab_are_lost_above_one():
    assert read(b"en\tfr\n") == [("en", "fr")]
    found = list(Tsv().read(io.BytesIO(b"words\nen\tfr\nbread\tpain\n"), "x"))
    assert found[0] == Lost("a row without a tab", 1)


@pytest.mark.parametrize("header", ["", "id\ten\tfr\n", "\tsource\ttarget\n", "sentence_id\tEnglish\tFrench\tnote\n"])
@pytest.mark.parametrize("numbers", [["1", "2", "3"], ["-0.5", "1,25", "3 "]])
def test_numbers_in_front_are_passed_over(header, numbers):
    rows = zip(numbers, ["the bread\tle pain\tnote", "7\tsept", "no\tnon"], strict=True)
    data = header + "".join(f"{number}\t{row}\n" for number, row in rows) + "4\twithout\n5\n"
    many = "".join(f"{number}\tthe bread\tle pain\n" for number in range(99))
    found = list(Tsv().read(io.BytesIO((data + many).encode()), "x"))
    assert [(item.source, item.target) for item in found if isinstance(item, Exchange)] == [
        ("the bread", "le pain"),
        ("7", "sept"),
        ("no", "non"),
        *[("the bread", "le pain")] * 99,
    ]
    lost = [item for item in found if isinstance(item, Lost)]
    line = 4 + bool(header)
    assert lost == [Lost("a row without text on a side", line), Lost("a row without a tab", line + 1)]


def test_exports_of_tatoeba():
    data = "".join(f"{n}\tLet's go {n}.\t{n + 9}\tAllons-y {n}.\n" for n in range(99)).encode()
    assert read(data) == [(f"Let's go {n}.", f"Allons-y {n}.") for n in range(99)]
    numbers = b"id\ttext\tid\ttext\n1276\t3\t2\tTrois\n1277\tHi!\t5\tSalut !\n"
    assert read(numbers) == [("3", "Trois"), ("Hi!", "Salut !")]
    assert read(b"Go.\tVa !\tCC-BY 2.0 #1\n12\t13\tCC-BY\n") == [("Go.", "Va !"), ("12", "13")]


def test_numbers_in_some_rows_are_a_side():
    assert read(b"1\tone\tx\nthree\tdrei\ty\n") == [("1", "one"), ("three", "drei")]
    assert read(b"1\tone\n2\ttwo\n") == [("1", "one"), ("2", "two")]
    assert read(b"1\tone\tx\n" * 60) == [("1", "one")] * 60
    assert read(b"1\tone\t\n2\ttwo\t\n") == [("1", "one"), ("2", "two")]
    later = b"1\tthe one\tan x\n" * 60 + b"word\ttwo\ty\n"  # beyond what is looked at
    assert read(later) == [("the one", "an x")] * 60 + [("word", "two")]


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


LATER = CHUNK // 8 + 10
"""Lines of eight bytes that reach beyond what is read at once."""


def test_a_line_in_another_encoding_is_lost_wherever_it_stands():
    assert list(Tsv().read(io.BytesIO("é\tb\n".encode() + b"\xff\tb\n" + "é\tb\n".encode()), "x")) == [
        Exchange("é", "b", origin=Origin("x", line=1)),
        Lost("not UTF-8", 2),
        Exchange("é", "b", origin=Origin("x", line=3)),
    ]
    found = list(Tsv().read(io.BytesIO(b"\xc3\xa9aaa\tb\n" * LATER + b"\xff\tb\n" + b"a\tb\n"), "x"))
    assert found[-2:] == [Lost("not UTF-8", LATER + 1), Exchange("a", "b", origin=Origin("x", line=LATER + 2))]


def test_a_line_that_nobody_wrote_is_lost():
    found = list(Tsv().read(io.BytesIO(b"a\tb\n" + b"x" * 2 * LONGEST_LINE + b"\ty\nc\td\n"), "x"))
    assert [item.line for item in found if isinstance(item, Lost)] == [2]
    assert [item.origin.line for item in found if isinstance(item, Exchange)] == [1, 3]


GOOD = ["où ?".encode(), b"word", b"", b" ", b"a\rb", b"a\r\rb\tc", "日本".encode()]
BAD = [b"\xff\xfe", b"caf\xe9", b"x" * (LONGEST_LINE + 1)]
SIDES = st.lists(st.tuples(*[st.sampled_from([*GOOD * 3, *BAD])] * 2), min_size=1, max_size=20)


@given(SIDES, st.sampled_from([b"\n", b"\r\n"]), st.integers(1, 9))
def test_a_lost_line_loses_its_pair_and_moves_no_other(pairs, end, step):
    pairs = [("Où est-il allé ?".encode(),) * 2] * 9 + pairs
    sides = [b"".join(pair[side] + end for pair in pairs) for side in (0, 1)]

    class Trickle(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, step * 1000))

    found = list(Moses().read_pair(Trickle(sides[0]), io.BytesIO(sides[1]), "x"))
    wanted = []
    for number, pair in enumerate(pairs, 1):
        lost = [side for side, text in zip(("source", "target"), pair, strict=True) if text in BAD]
        texts = [text.replace(b"\r\r", b" ").replace(b"\r", b" ").decode(errors="replace").strip() for text in pair]
        if lost:
            wanted.append((number, f"{lost[0]} side"))
        elif all(texts):
            wanted.append((number, *texts))
    assert [
        (item.line, item.cause.partition(":")[0])
        if isinstance(item, Lost)
        else (item.origin.line, item.source, item.target)
        for item in found
    ] == wanted


@pytest.mark.parametrize("place", [CHUNK - 2, CHUNK - 1, CHUNK, CHUNK + 1])
@pytest.mark.parametrize("sign", [b"\r", b"\r\r", b"\r\n", b"\r\r\n"])
def test_a_stray_return_at_the_end_of_a_chunk(place, sign):
    start = b"a\n"
    data = start + b"b" * (place - len(start)) + sign + b"c\n"
    lines = [text for text, _ in read_pair(data, data)]
    body = "b" * (place - len(start))
    assert lines == ["a", body, "c"] if sign.endswith(b"\n") else lines == ["a", f"{body} c"]


def test_returns_without_end_take_no_memory_and_no_time():
    assert read(b"a\tb\n" + b"\r" * 2**22 + b"c\td\n") == [("a", "b"), ("c", "d")]


def test_a_letter_that_looks_like_a_return_in_utf_16_stays():
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        assert read("češi\tčč\n".encode(encoding)) == [("češi", "čč")]


def test_no_tab_at_the_beginning_is_no_tsv_and_nothing_is_decoded(monkeypatch):
    monkeypatch.setattr("s2sbot_parallel.decode_text", None)
    assert Tsv().sniff("příliš žluťoučký\n".encode("cp1250") * 1000, "x") == 0
    assert Tsv().sniff(b"word\n" * (SNIFFED // 5 + 1) + b"a\tb\n" * 9000, "x") == 0
    assert Tsv().sniff("\tpříliš\nžluťoučký\n\n".encode("cp1250") * 1000, "x") == 0


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


def test_escapes_of_moses_are_undone_and_no_others():
    [pair] = Tsv().read(
        io.BytesIO(b"it &apos;s &quot;x&quot; &amp; y &#91; &copy; a&b\t&lt;i&gt; &amp;amp;\n"), "a.tsv"
    )
    assert (pair.source, pair.target) == ('it \'s "x" & y [ &copy; a&b', "<i> &amp;")
