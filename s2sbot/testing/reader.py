"""A reader class and the bytes of a file of its kind go in; what it does otherwise than the contract says comes out."""

from __future__ import annotations

import codecs
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, cast

from ..text.dialogue import MARKS, Cue, Dialogue, Exchange, Lost, PairReader, Reader
from .findings import Check, Finding, Started, cause_of, require, run_checks

__all__ = ["Data", "check_reader", "reader_checks"]

Data = bytes | tuple[bytes, bytes]
"""A file, or two that translate each other."""
HEAD = 2**16
RUBBISH = bytes(range(256)) * 16
CUTS = 24
"""Places at which a file is cut off, from its first byte to its last but one."""


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is checked: a class, a file of its kind or the two sides of a pair, and its name."""

    kind: type[Reader] | type[PairReader]
    sides: tuple[bytes, ...]
    name: str

    @property
    def pair(self) -> bool:
        return len(self.sides) == 2

    def reader(self) -> Any:
        """Make a reader that can read as many sides as there are."""
        reader = self.kind()
        wanted = PairReader if self.pair else Reader
        given = "two files" if self.pair else "one file"
        assert isinstance(reader, wanted), f"it is given {given}, but is no {wanted.__name__}"
        return reader

    def read(self, *sides: bytes, reader: Any = None) -> list[Any]:
        """Return all that is read of these bytes, by default the subject's own."""
        reader = reader or self.reader()
        streams = [cast(BinaryIO, io.BytesIO(side)) for side in sides or self.sides]
        return list((reader.read_pair if self.pair else reader.read)(*streams, self.name))


def check_reader(kind: type[Reader] | type[PairReader], data: Data, name: str) -> None:
    """Check the contract of a reader on a file of its kind, or of a reader of pairs on the two sides of one.

    Raises:
        AssertionError: at the first check that fails; it says which one, and what differs.
    """
    require(reader_checks(kind, data, name))


def reader_checks(
    kind: type[Reader] | type[PairReader], data: Data, name: str, *, started: Started | None = None
) -> Iterator[Finding]:
    """Yield a finding for every check of the contract of a reader.

    Args:
        started: hears the name of every check before it runs.
    """
    subject = _Subject(kind, data if isinstance(data, tuple) else (data,), name)
    contract = (*COMMON, *(OF_PAIRS if subject.pair else OF_ONE))
    return run_checks([Check(name, partial(check, subject)) for name, check in contract], started)


def _check_items(subject: _Subject) -> None:
    items = subject.read()
    assert any(not isinstance(item, Lost) for item in items), "nothing was read"
    _look_at(items, subject.pair)


def _look_at(items: Sequence[Any], pair: bool) -> None:
    """Check that all items are of the types of the contract, and have a text."""
    for item in items:
        known = (Dialogue, Exchange, Lost) if pair else (Cue, Dialogue, Exchange, Lost)
        assert isinstance(item, known), f"a {type(item).__name__} was read, which is no {_names(known)}"
        if isinstance(item, Lost):
            assert isinstance(item.cause, str) and item.cause.strip(), "something was lost, and it is not said why"
            continue
        if isinstance(item, Cue):
            assert item.mark is None or item.mark in MARKS, f"a cue's mark is {item.mark!r}, none of {', '.join(MARKS)}"
            assert math.isfinite(item.start) and math.isfinite(item.end), (
                f"a cue from {item.start} to {item.end} seconds"
            )
        texts = _texts(item)
        assert texts, f"{item!r:.80} has no turn"
        assert all(isinstance(text, str) and text.strip() for text in texts), f"{item!r:.80} has no text"


def _names(types: tuple[type, ...]) -> str:
    return " or ".join(kind.__name__ for kind in types)


def _texts(item: Cue | Dialogue | Exchange) -> list[str]:
    if isinstance(item, Cue):
        return [item.text]
    return [turn.text for turn in item.turns] if isinstance(item, Dialogue) else [item.source, item.target]


def _check_repetition(subject: _Subject) -> None:
    reader = subject.reader()
    first = subject.read(reader=reader)
    assert subject.read(reader=reader) == first, "one reader reads a file twice, and otherwise the second time"
    assert subject.read() == first, "two readers read one file in two ways"


class _Pipe(io.RawIOBase):
    """Bytes that come a few at a time and once only, as out of an archive."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        taken = self._data[self._place : self._place + min(len(buffer), 7)]
        buffer[: len(taken)] = taken
        self._place += len(taken)
        return len(taken)


def _check_stream(subject: _Subject) -> None:
    reader = subject.reader()
    streams = [io.BufferedReader(_Pipe(side)) for side in subject.sides]
    items = list((reader.read_pair if subject.pair else reader.read)(*streams, subject.name))
    assert items == subject.read(), "a stream that cannot seek is read otherwise than one that can"


def _check_empty(subject: _Subject) -> None:
    assert not _tried(subject, *[b""] * len(subject.sides), what="empty input"), "something was read of nothing"


def _check_truncation(subject: _Subject) -> None:
    longest = max(map(len, subject.sides))
    places = sorted({*range(1, min(longest, 8)), *(longest * part // CUTS for part in range(1, CUTS)), longest - 1})
    for place in places:
        _tried(subject, *(side[:place] for side in subject.sides), what=f"the first {place} bytes")
        if subject.pair:
            _tried(subject, subject.sides[0], subject.sides[1][:place], what=f"the first {place} bytes of one side")


def _check_variants(subject: _Subject) -> None:
    try:
        texts = [side.decode("utf-8-sig") for side in subject.sides]
    except UnicodeDecodeError:
        return  # no text, or of an encoding that has no variants of this kind
    if any("\0" in text for text in texts):
        return
    lined = [text.replace("\r\n", "\n") for text in texts]
    variants = {
        "\\r\\n at the ends of lines": [text.replace("\n", "\r\n").encode() for text in lined],
        "\\r at the ends of lines": [text.replace("\n", "\r").encode() for text in lined],
        "a byte order mark": [codecs.BOM_UTF8 + text.encode() for text in texts],
        "a byte order mark and \\r\\n": [codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode() for text in lined],
        "UTF-16": [text.encode("utf-16") for text in texts],
        "no end of the last line": [text.rstrip("\n").encode() for text in lined],
    }
    for what, sides in variants.items():
        _tried(subject, *sides, what=what)


def _check_rubbish(subject: _Subject) -> None:
    _tried(subject, *[RUBBISH] * len(subject.sides), what="binary data")
    if not subject.pair:
        assert subject.reader().sniff(RUBBISH, "rubbish.bin") == 0, "it claims binary data"


def _tried(subject: _Subject, *sides: bytes, what: str) -> list[Any]:
    """Return what is read of bytes that need not make sense, which may raise a ValueError and nothing else."""
    if not subject.pair:
        _sniffed(subject, sides[0], what)
    try:
        items = subject.read(*sides)
    except ValueError:
        return []
    except Exception as error:
        raise AssertionError(f"{what}: {cause_of(error)}; only a ValueError may be raised") from error
    try:
        _look_at(items, subject.pair)
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}") from error
    return [item for item in items if not isinstance(item, Lost)]


def _sniffed(subject: _Subject, data: bytes, what: str) -> float:
    """Return the score of a file that need not make sense."""
    try:
        score = subject.reader().sniff(data[:HEAD], subject.name)
    except Exception as error:
        raise AssertionError(f"{what}: sniff() raises {cause_of(error)}") from error
    assert isinstance(score, int | float) and 0 <= score <= 1, f"{what}: sniff() returns {score!r}, not 0 to 1"
    return score


def _check_sniffing(subject: _Subject) -> None:
    assert _sniffed(subject, subject.sides[0], "its own file") > 0, "it does not know its own file"


def _check_sides(subject: _Subject) -> None:
    source, target = subject.sides
    ended = target if target.endswith(b"\n") else target + b"\n"
    for sides in ((source, ended * 2), (source, b""), (b"", target)):
        try:
            items = subject.read(*sides)
        except ValueError:
            continue
        raise AssertionError(f"sides of different length are no ValueError: {len(items)} exchanges were read")


_Checks = tuple[tuple[str, Callable[[_Subject], None]], ...]
COMMON: _Checks = (
    ("cues, dialogues or exchanges with text are read", _check_items),
    ("reading twice gives the same", _check_repetition),
    ("a stream that cannot seek is read", _check_stream),
    ("empty input is nothing, or a ValueError", _check_empty),
    ("a file that is cut off is read, or a ValueError", _check_truncation),
    ("line ends and byte order marks are read, or a ValueError", _check_variants),
    ("binary data is read, or a ValueError", _check_rubbish),
)
OF_ONE: _Checks = (("it knows its own file", _check_sniffing),)
OF_PAIRS: _Checks = (("sides of different length are a ValueError", _check_sides),)
