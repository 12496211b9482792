"""Files of JSON of any size give their elements one by one, and nothing in them can do harm."""

import gc
import io
import json
import sys
import tracemalloc
from itertools import islice

import ijson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2sbot.text.json_stream import DEEPEST, FARTHEST, LARGEST_ELEMENT, first_character, json_elements

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def elements(data, under=None):
    return list(json_elements(io.BytesIO(data if isinstance(data, bytes) else data.encode()), under=under))


def until_it_fails(data, under=None):
    """Return the elements that come, and why no more do."""
    found = []
    with pytest.raises(ValueError) as raised:
        found.extend(json_elements(io.BytesIO(data), under=under))
    return found, str(raised.value)


@pytest.fixture(params=["yajl2_c", "python"])
def backend(request, monkeypatch):
    """Parse with the C library or with Python alone."""
    try:
        monkeypatch.setattr(ijson, "basic_parse", ijson.get_backend(request.param).basic_parse)
    except ImportError:
        pytest.skip(f"ijson has no {request.param} here")
    yield
    # its parser in Python, left in the middle, complains when it is thrown away: here, not in a later test
    with monkeypatch.context() as quiet:
        quiet.setattr(sys, "unraisablehook", lambda unraisable: None)
        gc.collect()


class Trickle(io.RawIOBase):
    """Gives three bytes at a time."""

    def __init__(self, data):
        self._stream = io.BytesIO(data)

    def read(self, size=-1):
        return self._stream.read(min(3, size) if size >= 0 else 3)


def test_the_elements_of_an_array_have_no_key(backend):
    assert elements('[1, "a", null, [2, [3]], {"b": {"c": []}}, 2.5, true]') == [
        (None, value) for value in (1, "a", None, [2, [3]], {"b": {"c": []}}, 2.5, True)
    ]
    assert elements("[]") == elements(" {} ") == []


def test_the_elements_of_an_object_have_theirs(backend):
    assert elements('{"a": 1, "b": {"c": 2}, "": [3], "a": 4}') == [("a", 1), ("b", {"c": 2}), ("", [3]), ("a", 4)]


def test_the_elements_of_the_array_under_a_key(backend):
    text = '{"a": [9], "x": {"m": [9]}, "m": [1, {"m": [2]}, [3]], "b": {"m": 9}, "c": 9}'
    assert elements(text, "m") == [(None, 1), (None, {"m": [2]}), (None, [3])]


@pytest.mark.parametrize(
    "text", ["{}", '{"m": 5}', '{"m": {"a": [1]}}', '{"a": {"m": [1]}}', '[{"m": [1]}]', '["m", [1]]']
)
def test_no_array_under_the_key_is_no_element(backend, text):
    assert elements(text, "m") == []


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("under", [None, "é"])
def test_every_encoding_of_unicode(encoding, under):
    values = ["où ?", {"日": "🚢"}, "\ufeff"]
    data = json.dumps(values if under is None else {under: values}, ensure_ascii=False).encode(encoding)
    assert elements(data, under) == [(None, value) for value in values]
    assert list(json_elements(Trickle(data), under=under)) == elements(data, under)


@given(st.lists(VALUES), st.sampled_from(ENCODINGS), st.booleans())
def test_written_arrays_are_read_back(values, encoding, escaped):
    data = json.dumps(values, ensure_ascii=escaped).encode(encoding, "surrogatepass")
    assert elements(data) == [(None, value) for value in values]
    assert elements(b'{"a": {"m": [0]}, "m": ' + json.dumps(values).encode() + b', "b": [0]}', "m") == elements(data)


@given(st.dictionaries(st.text(), VALUES))
def test_written_objects_are_read_back(values):
    assert elements(json.dumps(values)) == list(values.items())


@pytest.mark.parametrize("under", [None, "m"])
@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (b"", "the file breaks off"),
        (b', {"turns": ["Hi."', "the file breaks off"),
        (b", {turns: 3}]", "no JSON from here on"),
        (b", NaN]", "no JSON from here on"),
        (b", " + b"9" * 5000 + b"]", "no JSON from here on"),
        (b", -" + b"9" * 5000 + b"]", "no JSON from here on"),
        (b", " + b"[" * 100_000, f"JSON nested more than {DEEPEST} deep"),
        (b", " + b'{"a":' * 100_000, f"JSON nested more than {DEEPEST} deep"),
        (b", " + b"[" * 100_000 + b"]" * 100_001, f"JSON nested more than {DEEPEST} deep"),
        (b', "' + b"x" * (2 * LARGEST_ELEMENT) + b'"]', "one element is larger than 4 MiB"),
        (b", [" + (b'"' + b"x" * 1000 + b'",') * 9000 + b"0]]", "one element is larger than 4 MiB"),
        (b"," + b" " * (2 * LARGEST_ELEMENT) + b"3]", "one element is larger than 4 MiB"),
    ],
    ids=lambda value: value[:12] or "nothing",
)
def test_what_goes_bad_is_read_up_to_there(backend, under, end, cause):
    start = b'[{"turns": ["Hi."]}' if under is None else b'{"m": [{"turns": ["Hi."]}'
    assert until_it_fails(start + end, under) == ([(None, {"turns": ["Hi."]})], cause)


@pytest.mark.parametrize(
    "data", [b"", b" ", b"x", b"[3", b"\xff\xfe\x00", b"[\xff]", b'["\xff"]', b"\xff\xfe[\0\x00\xd8]\0"]
)
def test_what_is_no_json_is_a_value_error_with_a_short_cause(backend, data):
    _, cause = until_it_fails(data)
    assert cause in ("the file breaks off", "no JSON from here on", "no text from here on")


@pytest.mark.parametrize("number", [b"1e999", b"1e999999999999999999999", b"123456789012345678901234567890"])
def test_large_numbers_end_nothing_but_the_reading(backend, number):
    try:
        found = elements(b"[1, " + number + b"]")
    except ValueError:
        return
    assert found[0] == (None, 1)


@pytest.mark.parametrize("under", [None, "m"])
def test_a_file_of_any_length_is_read_in_little_memory(under):
    class Long(io.RawIOBase):
        def __init__(self):
            self.start = b"[" if under is None else b'{"m": ['

        def read(self, size=-1):
            start, self.start = self.start, b""
            return start + b'{"a": "' + b"word " * 2000 + b'"}, ' if size else b""

    tracemalloc.start()
    try:
        found = sum(len(value["a"]) for _, value in islice(json_elements(Long(), under=under), 2000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == 2000 * 10_000
    assert peak < 2**20


def test_what_is_beside_the_array_is_never_held():
    class Long(io.RawIOBase):
        def __init__(self):
            self.pieces = iter([b'{"a": [', *[(b'"' + b"word " * 200 + b'", ') * 8] * 1000, b'1], "m": [7]}'])

        def read(self, size=-1):
            return next(self.pieces, b"") if size else b""

    tracemalloc.start()
    try:
        assert list(json_elements(Long(), under="m")) == [(None, 7)]
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("text", "first"), [("[1]", "["), ("\n \t{}", "{"), ("word", "w"), ("", ""), (" \n", "")])
def test_the_first_character_and_all_bytes(encoding, text, first):
    data = text.encode(encoding)
    if len(data) < 4 and not encoding.startswith("utf-8"):
        return  # so short that no encoding can be told
    found, stream = first_character(Trickle(data))
    assert (found, io.BufferedReader(stream).read()) == (first, data)


@given(st.binary(max_size=3000), st.lists(st.integers(0, 2000)))
def test_the_stream_gives_all_bytes_in_pieces_of_any_size(data, sizes):
    _, stream = first_character(io.BytesIO(data))
    pieces = [stream.read(size) for size in sizes]
    assert b"".join(pieces) + stream.read() == data
    wanted = io.BytesIO(data)
    assert pieces == [wanted.read(size) for size in sizes]


def test_white_space_without_end_is_no_beginning():
    class Blank(io.RawIOBase):
        given = 0

        def read(self, size=-1):
            self.given += size
            return b" " * size

    blank = Blank()
    assert first_character(blank)[0] == ""
    assert blank.given < 2 * FARTHEST
    assert first_character(io.BytesIO(b"\n" * 5000 + b"{"))[0] == "{"
