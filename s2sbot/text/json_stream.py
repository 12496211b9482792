"""A file of JSON of any size goes in, its elements come out one by one, as values of Python."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, cast

__all__ = ["DEEPEST", "LARGEST_ELEMENT", "first_character", "json_elements"]

LARGEST_ELEMENT: Final = 4 * 2**20
"""Bytes of JSON from the end of one element to the end of the next."""
DEEPEST: Final = 32
"""Brackets within brackets, those around all elements among them."""
FARTHEST: Final = 64 * 2**10
"""Bytes of white space that a file may begin with."""
_STARTS: Final = ("start_array", "start_map")
_ENDS: Final = ("end_array", "end_map")


def json_elements(stream: BinaryIO, *, under: str | None = None) -> Iterator[tuple[str | None, Any]]:
    """Yield the elements of the one array or object that a file of JSON is, each with its key, None in an array.

    The encoding is UTF-8, UTF-16 or UTF-32, with or without a mark. No more than one element is held. Numbers are
    machine numbers: an integer beyond 64 bits ends the reading.

    Args:
        under: the key of the object that the file is then, whose array has the elements.

    Raises:
        ValueError: where it is no JSON, or from there on none; where an element is larger than `LARGEST_ELEMENT` or
            more than `DEEPEST` deep.
    """
    import ijson  # type: ignore[import-untyped]

    # ijson.items holds the path of every event, which for brackets within brackets grows with their square
    source = _Metered(stream)
    level = 1 if under is None else 2
    key: str | None = None
    depth, inside, built = 0, False, ijson.ObjectBuilder()
    for event, value in _events(source):
        depth -= event in _ENDS
        if depth < level:
            if event in _STARTS and depth == level - 1:
                inside = under is None or (event == "start_array" and key == under)
            key = value if event == "map_key" else None
        elif inside and depth == level and event == "map_key":
            key = value
        elif inside:
            built.event(event, value)
            if depth == level and event not in _STARTS:
                yield key, built.value
                key, built = None, ijson.ObjectBuilder()
        if depth <= level and event not in _STARTS:
            source.left = LARGEST_ELEMENT
        depth += event in _STARTS
        if depth > DEEPEST:
            raise ValueError(f"JSON nested more than {DEEPEST} deep")


def _events(source: _Metered) -> Iterator[tuple[str, Any]]:
    import ijson

    try:
        # the C parser ends the program at an int of more than 4,300 digits, unless numbers are machine numbers
        yield from ijson.basic_parse(source, use_float=True)
    except (ijson.JSONError, OverflowError, ValueError) as error:
        broken_off = isinstance(error, ijson.IncompleteJSONError) or source.refused
        raise ValueError((source.end if broken_off else "") or "no JSON from here on") from error


class _Metered:
    """Passes JSON on as UTF-8 without a mark, about `left` bytes at most; `end` says why no more come."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ready, encoding = _begun(stream, 4)
        self._decoder = None if encoding.startswith("utf-8") else codecs.getincrementaldecoder(encoding)()
        self._ready = self._decoded(self._ready.removeprefix(codecs.BOM_UTF8))
        self.left = LARGEST_ELEMENT
        self.end = ""
        self.refused = False

    def read(self, size: int) -> bytes:
        """Return some bytes, none at the end; ijson asks for none to see what it gets."""
        data = b""
        while size and not data and not self.end:
            data, self._ready = self._ready, b""
            if not data:
                piece = self._stream.read(size)
                self.end = "" if piece else "the file breaks off"
                data = self._decoded(piece)
            self.left -= len(data)
            if self.left < 0:
                self.end = f"one element is larger than {LARGEST_ELEMENT >> 20} MiB"
                data = b""
        return data

    def _decoded(self, data: bytes) -> bytes:
        try:
            return data if self._decoder is None else self._decoder.decode(data, final=not data).encode()
        except UnicodeError as error:
            self.end, self.refused = "no text from here on", True
            raise ValueError(self.end) from error


def _begun(stream: BinaryIO, size: int) -> tuple[bytes, str]:
    """Return the first bytes of a stream, that many where it has them, and the encoding if it is JSON."""
    data = b""
    while len(data) < size and (piece := stream.read(size - len(data))):
        data += piece
    return data, json.detect_encoding(data[:4])


def first_character(stream: BinaryIO) -> tuple[str, BinaryIO]:
    """Return the first character that is no white space, empty where there is none, and a stream with all bytes.

    It tells JSON, which begins with `[` or `{`, from what has lines. What is no Unicode gives U+FFFD.
    """
    data, encoding = _begun(stream, 512)
    while not (text := data.decode(encoding, "replace").strip()) and len(data) < FARTHEST:
        if not (more := stream.read(4096)):
            break
        data += more
    return text[:1], cast(BinaryIO, _Rejoined(data, stream))


class _Rejoined(io.BufferedIOBase):
    """Passes on what has been read of a stream, and then the rest of it."""

    def __init__(self, first: bytes, stream: BinaryIO) -> None:
        self._first, self._stream = first, stream

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            first, self._first = self._first, b""
            return first + self._stream.read()
        first, self._first = self._first[:size], self._first[size:]
        return first + self._stream.read(size - len(first)) if len(first) < size else first
