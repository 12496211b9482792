"""Pretrained vectors are read in every text format for the words of a tokenizer; a damaged line is named."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from s2sbot_bytes import Bytes
from s2sbot_words import JOINER, Words

from s2sbot import RESERVED, TokenizerError
from s2sbot.text import vectors
from s2sbot.text.vectors import read_vectors, vector_size

HELLO = Words(["hello", "world", "unseen"])
GLOVE = b"the 0.5 -1 2e-1\nhello 1 2 3\nworld -4 5.5 +6\n"
WORD2VEC = b"3 3\nthe 0.5 -1 2e-1 \nhello 1 2 3 \nworld -4 5.5 +6 \n"
FORMATS = {
    "glove": GLOVE,
    "word2vec, a space at the end of a line": WORD2VEC,
    "fasttext": b"3 3\n" + GLOVE,
    "lines of windows": b"3 3\n".replace(b"\n", b"\r\n") + GLOVE.replace(b"\n", b"\r\n"),
    "tabs": GLOVE.replace(b" ", b"\t"),
    "a tab after the word": b"the\t0.5 -1 2e-1\nhello\t1 2 3\nworld\t-4 5.5 +6",
    "wide separators": GLOVE.replace(b" ", b"  "),
    "no line end": GLOVE.rstrip(),
    "empty lines at the end": b"3 3\n" + GLOVE + b"\n\n",
    "a byte order mark": b"\xef\xbb\xbf" + WORD2VEC,
}


def finish(reading, told=None):
    """Return what a generator returns, and add what it yields to `told`."""
    while True:
        try:
            place = next(reading)
        except StopIteration as end:
            return end.value
        if told is not None:
            told.append(place)


@pytest.fixture
def read(tmp_path):
    """Return a function that reads bytes as a file of vectors."""

    def read(data, tokenizer=HELLO, told=None):
        path = tmp_path / "vectors.txt"
        path.write_bytes(data)
        return finish(read_vectors(path, tokenizer), told)

    return read


def by_id(found):
    assert found.ids.dtype == np.int64
    assert found.vectors.dtype == np.float32
    assert len(found.ids) == len(found.vectors)
    assert list(found.ids) == sorted(set(found.ids))
    return dict(zip(found.ids.tolist(), found.vectors.tolist(), strict=True))


# What is read


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("data", FORMATS.values(), ids=FORMATS.keys())
def test_every_format_gives_the_same(read, data, pack):
    found = read(pack(data))
    assert by_id(found) == {RESERVED: [1, 2, 3], RESERVED + 1: [-4, 5.5, 6]}
    assert found.vectors.shape == (2, 3)
    assert found.read == 3


def test_the_first_line_of_glove_is_a_word(read):
    assert by_id(read(GLOVE, Words(["the"]))) == {RESERVED: [0.5, -1, np.float32(0.2)]}


def test_a_first_word_of_digits_is_a_word(read):
    assert by_id(read(b"3 0.5 1\n. 2 3\n", Words(["3", "."]))) == {RESERVED: [0.5, 1], RESERVED + 1: [2, 3]}
    assert by_id(read(b"2 2\n3 4 5\n. 2 3\n", Words(["3", "."]))) == {RESERVED: [4, 5], RESERVED + 1: [2, 3]}


def test_words_have_spaces(read):
    data = b"a 1 2\n. . . 3 4\nat name@domain.com 5 6\nnew york 7 8\nnew\tyork state 9 10\n"
    found = read(data, Words(["at", ".", "new", "a", "new york", "new york state"]))
    assert by_id(found) == {RESERVED + 3: [1, 2], RESERVED + 4: [7, 8], RESERVED + 5: [9, 10]}
    assert found.read == 5


def test_the_first_word_has_spaces(read):
    assert by_id(read(b". . . 3 4\nhello 1 2\n")) == {RESERVED: [1, 2]}
    assert by_id(read(b"2 2\n. . . 3 4\nhello 1 2\n")) == {RESERVED: [1, 2]}


def test_the_exact_spelling_wins_over_the_lower_cased_one(read):
    words = Words(["Hello", "hello", "WORLD", "Straße", "Never"])
    found = by_id(read("hello 1\nHello 2\nworld 3\nWorld 4\nstraße 5\nNEVER 6\n".encode(), words))
    assert found == {RESERVED: [2], RESERVED + 1: [1], RESERVED + 2: [3], RESERVED + 3: [5]}
    assert by_id(read(b"Hello 2\nhello 1\n", words)) == {RESERVED: [2], RESERVED + 1: [1]}


def test_all_ids_of_one_text_get_its_vector(read):
    marks = Words([f"{JOINER},", "a", ",", f"{JOINER},{JOINER}", f",{JOINER}"])
    found = read(b"? 3 4\n, 1 2\n", marks)
    assert found.ids.tolist() == [RESERVED, RESERVED + 2, RESERVED + 3, RESERVED + 4]
    assert found.vectors.tolist() == [[1, 2]] * 4


def test_ids_without_text_are_passed_over(read):
    found = by_id(read(b"A 1 2\n 9 9\n  8 8\n~ 3 4\n", Bytes()))
    assert found == {RESERVED + ord("A"): [1, 2], RESERVED + ord("~"): [3, 4]}


def test_the_first_of_repeated_words_counts(read):
    found = read(b"4 1\nhello 1\nworld 2\nhello 3\nhello x\n")
    assert by_id(found) == {RESERVED: [1], RESERVED + 1: [2]}
    assert found.read == 4


@pytest.mark.parametrize("word", [b"\xff", b"caf\xe9", b"\xed\xa0\x80", b"", b"a\0b", b"\xc2\xa0"])
@pytest.mark.parametrize("header", [b"2 2\n", b""])
def test_words_that_are_no_text_are_counted_and_passed_over(read, word, header):
    for lines in ([word + b" 1 2\n", b"hello 3 4\n"], [b"hello 3 4\n", word + b" 1 2\n"]):
        # numbers with a point, as two whole ones alone are a header
        found = read(header + b"".join(lines).replace(b"1", b"1.5"))
        assert by_id(found) == {RESERVED: [3, 4]}
        assert found.read == 2


def test_numbers_of_other_words_are_not_looked_at(read):
    assert by_id(read(b"a 1 2\nother x y\nhello 3 4\n")) == {RESERVED: [3, 4]}


@given(data=st.data())
def test_what_is_written_is_read(tmp_path_factory, data):
    piece = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=4)
    name = st.text(st.characters(categories=["L"]), min_size=1, max_size=4).filter(lambda text: not is_number(text))
    word = piece | st.lists(name, min_size=1, max_size=3).map(" ".join)
    dimension = data.draw(st.integers(1, 4))
    row = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=dimension, max_size=dimension)
    rows = data.draw(st.dictionaries(word, row, min_size=1, max_size=8))
    known = data.draw(st.lists(st.sampled_from(sorted(rows)), min_size=1, unique=True))
    separator, end = data.draw(st.sampled_from(" \t")), data.draw(st.sampled_from(["\n", " \n", "\r\n"]))
    header = data.draw(st.sampled_from(["", f"{len(rows)} {dimension}{end}"]))
    text = header + "".join(separator.join([word, *map(repr, row)]) + end for word, row in rows.items())
    packed = data.draw(st.sampled_from([bytes, gzip.compress]))(text.encode())
    path = tmp_path_factory.mktemp("vectors") / "vectors"
    path.write_bytes(packed)
    found = finish(read_vectors(path, Table(known)))
    assert found.read == len(rows)
    assert by_id(found) == {RESERVED + index: rows[word] for index, word in enumerate(known)}


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


class Table:
    """As much of a tokenizer as `read_vectors` asks for: any text may be a word."""

    def __init__(self, words):
        self.words = words

    def __len__(self):
        return RESERVED + len(self.words)

    def decode(self, ids):
        return f" {''.join(self.words[index - RESERVED] for index in ids)} "


# What is told


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_progress_is_told(read, pack):
    lines = b"".join(b"word%d 0.%d\n" % (number, number) for number in range(150_000))
    packed = pack(b"hello 1\n" + lines)
    told = []
    assert read(packed, told=told).read == 150_001
    assert len(told) == 2
    assert {total for _, total in told} == {len(packed)}
    places = [done for done, _ in told]
    assert places == sorted(places)
    assert 0 < places[0] < places[1] <= len(packed)


@pytest.mark.parametrize("data", [GLOVE, WORD2VEC], ids=["glove", "word2vec"])
def test_the_size_is_known_from_the_first_lines(tmp_path, data):
    path = tmp_path / "vectors.txt"
    path.write_bytes(data)
    assert vector_size(path) == 3


# What is refused

AGAIN = "the file is damaged or cut short: download or write it again"
REFUSED = {
    "too few numbers": (b"a 1 2\nb 1\n", "{}, line 2: 1 numbers follow the word, 2 are expected"),
    "too few by a separator": (b"a 1 2\nb  1\n", "{}, line 2: 1 numbers follow the word, 2 are expected"),
    "too few by a trailing space": (b"2 2\na 1 2\nb 1 \n", "{}, line 3: 1 numbers follow the word, 2 are expected"),
    "no numbers": (b"a 1 2\n\nb\n", "{}, line 3: 0 numbers follow the word, 2 are expected"),
    "too many numbers": (b"a 1 2\nb 1 2 3 4\n", "{}, line 2: 4 numbers follow the word, 2 are expected"),
    "too many after digits": (b"a 1 2\n7 1 2 3\n", "{}, line 2: 3 numbers follow the word, 2 are expected"),
    "too many after spaces": (b"a 1 2\n. . 1 2 3\n", "{}, line 2: 3 numbers follow the word, 2 are expected"),
    "cut in a line": (b"2 2\na 1 2\nb 1 ", "{}, line 3: 1 numbers follow the word, 2 are expected"),
    "no number": (b"a 1 2\nhello 1 2x\n", "{}, line 2: '2x' is no finite number"),
    "no number of python": (b"a 1 2\nhello 1 1_0\n", "{}, line 2: '1_0' is no finite number"),
    "no UTF-8": (b"a 1 2\nhello \xff 1\n", "{}, line 2: '\ufffd' is no finite number"),
    "nan": (b"a 1 2\nhello nan 2\n", "{}, line 2: 'nan' is no finite number"),
    "infinity": (b"2 2\na 1 2\nhello 1 -inf\n", "{}, line 3: '-inf' is no finite number"),
    "infinity in the first line": (b"hello inf 2\n", "{}, line 1: 'inf' is no finite number"),
    "no number in the first line": (b"1 2\nhello x 2\n", "{}, line 2: 'x' is no finite number"),
    "infinity as float32": (b"a 1 2\nhello 1 1e39\n", "{}, line 2: '1e39' is no finite number"),
    "infinity as float64": (b"a 1 2\nhello 1 1e999\n", "{}, line 2: '1e999' is no finite number"),
    "header of more": (b"1 3\na 1 2\n", "{}, line 2: the header says 3 numbers a word, the first word has 2"),
    "header of fewer": (b"1 3\na 1 2 3 4\n", "{}, line 2: the header says 3 numbers a word, the first word has 4"),
    "fewer words": (b"3 2\nhello 1 2\nb 1 2\n\n", "{}: cut short: the header says 3 words, 2 are there"),
    "no words": (b"3 2\n", "{}: cut short: the header says 3 words, 0 are there"),
    "more words": (b"1 2\nhello 1 2\nb 1 2\n", "{}: the header says 1 words, 2 are there"),
}


def refusal(read, data, tokenizer=HELLO):
    with pytest.raises(TokenizerError) as raised:
        read(data, tokenizer)
    return raised.value.message, raised.value.hint


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_damaged_file_is_named_with_its_line(read, tmp_path, data, message, pack):
    assert refusal(read, pack(data)) == (message.format(tmp_path / "vectors.txt"), AGAIN)


@pytest.mark.parametrize("data", [b"\n", b"hello\n", b"hello world\n", b"hello 1 x\n", b"3 0\nhello\n", b"\r\n" * 9])
def test_text_that_is_no_vectors_is_refused(read, tmp_path, data):
    message, hint = refusal(read, data)
    assert message == f"{tmp_path / 'vectors.txt'}, line 1: words without numbers"
    assert "word2vec, GloVe and fastText" in hint


@pytest.mark.parametrize("data", [b"", gzip.compress(b""), b"\xef\xbb\xbf"], ids=["nothing", "gzip", "mark"])
def test_an_empty_file_is_refused(read, tmp_path, data):
    message, hint = refusal(read, data)
    assert message == f"{tmp_path / 'vectors.txt'} is empty"
    assert "word2vec, GloVe and fastText" in hint


def binary(words, dimension, end=b"\n"):
    rng = np.random.default_rng(words)
    rows = (b"word%d " % row + rng.normal(size=dimension).astype("<f4").tobytes() + end for row in range(words))
    return b"%d %d\n" % (words, dimension) + b"".join(rows)


@pytest.mark.parametrize(
    "data",
    [
        b"1 2\nhello " + struct.pack("<2f", 1, 2),
        # the first line ends inside a number, and all of it is text
        b"1 3\nhello 123\n" + struct.pack("<2f", 0.1, 0.2),
        binary(3, 2),
        binary(200, 100),
        binary(200, 300, end=b""),
        gzip.compress(binary(200, 100), mtime=0),
        b"PK\x03\x04\x14\x00\x00\x00\x08\x00 glove.6B.50d.txt\n" + binary(9, 50),
        "the 1 2\nhello 3 4\n".encode("utf-16"),
        b"\0" * 3 * vectors.BUFFER,
    ],
)
def test_a_binary_file_is_to_be_converted(read, tmp_path, data):
    message, hint = refusal(read, data)
    assert message == f"{tmp_path / 'vectors.txt'} is binary"
    assert "save_word2vec_format" in hint


def test_a_file_without_a_known_word_gives_none(read):
    for tokenizer in (Words(["nothing"]), Words([])):
        found = read(GLOVE, tokenizer)
        assert (found.ids.shape, found.vectors.shape, found.read) == ((0,), (0, 3), 3)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path, cause in [(tmp_path / "absent", "No such file or directory"), (tmp_path, "Is a directory")]:
        with pytest.raises(TokenizerError) as raised:
            finish(read_vectors(path, HELLO))
        assert raised.value.message == f"cannot read {path}: {cause}"
        assert raised.value.hint


def test_a_damaged_gzip_is_named(read, tmp_path):
    packed = gzip.compress(GLOVE * 5_000)
    place = f"cannot read {tmp_path / 'vectors.txt'}: "
    for damaged in (packed[: len(packed) // 2], packed[:-9] + b"\xff" + packed[-8:], packed[:-8] + bytes(8)):
        message, hint = refusal(read, damaged)
        assert message.startswith(place)
        assert len(message) > len(place)
        assert hint
