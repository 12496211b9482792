"""The readers `jsonl` and `blocks`: files of dialogues as programs and as people write them down."""

from __future__ import annotations

import codecs
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice, pairwise
from typing import Any, BinaryIO, Final

import ijson  # type: ignore[import-untyped]

from s2sbot import Dialogue, Exchange, Lost, Origin, PairReader, Reader, Turn, decode_text, hookimpl, strip_markup

CHUNK: Final = 64 * 2**10
LARGEST: Final = 4 * 2**20
"""Bytes that one dialogue may take up in a file of JSON, and characters in any other."""
LONGEST_LINE: Final = 256 * 2**10
"""Characters of a line of plain text."""
DEEPEST: Final = 32
SAMPLE: Final = 200
"""Lines that say what the rest of a file of plain text is like."""


class _Utf8(io.RawIOBase):
    """Passes JSON on as UTF-8 without a byte order mark, `left` bytes at most; `end` says why no more come."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        first = stream.read(CHUNK)
        encoding = json.detect_encoding(first[:4])
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()
        self._ready = self._decoded(first)
        self.begin = self._ready.lstrip()[:1]
        self.left: float = LARGEST
        self.end = ""

    def _decoded(self, data: bytes) -> bytes:
        try:
            return data if self._decoder is None else self._decoder.decode(data, final=not data).encode()
        except UnicodeDecodeError as error:
            raise ValueError(f"no text from here on: {error.reason}") from error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while len(buffer) and not self._ready and not self.end:
            data = self._stream.read(CHUNK)
            self.end = "" if data else "the file breaks off"
            self._ready = self._decoded(data)
        taken = self._ready[: len(buffer)]
        self._ready = self._ready[len(taken) :]
        buffer[: len(taken)] = taken
        self.left -= len(taken)
        if self.left >= 0:
            return len(taken)
        self.end = f"a dialogue of more than {LARGEST >> 20} MiB"
        return 0


_STARTS: Final = ("start_array", "start_map")
_ENDS: Final = ("end_array", "end_map")


def _elements(source: _Utf8) -> Iterator[tuple[str | None, Any]]:
    """Yield the elements of the one array or object that a file of JSON is, each with its key.

    ijson's events are put together here, not by `ijson.items`: that one holds the path of every event, which for
    brackets within brackets grows with their square. And numbers are machine numbers, because the C parser ends the
    program at an int of more than 4,300 digits.

    Raises:
        ValueError: where it is no JSON, or no more.
    """
    key, depth, built = None, 0, ijson.ObjectBuilder()
    try:
        for event, value in ijson.basic_parse(source, use_float=True):
            depth -= event in _ENDS
            if depth == 1 and event == "map_key":
                key = value
            elif depth:
                built.event(event, value)
                if depth == 1 and event not in _STARTS:
                    yield key, built.value
                    key, built, source.left = None, ijson.ObjectBuilder(), LARGEST
            depth += event in _STARTS
            if depth > DEEPEST:
                raise ValueError(f"JSON nested more than {DEEPEST} deep")
    except ijson.JSONError as error:
        cause = source.end if isinstance(error, ijson.IncompleteJSONError) else ""
        raise ValueError(cause or "no JSON from here on") from error


def _plain(text: str) -> str:
    """Return `text` on one line, halves of surrogate pairs as question marks."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _label(value: object) -> str | None:
    """Return a name or number as text; None where it is neither."""
    known = isinstance(value, str | int | float) and not isinstance(value, bool)
    return (_plain(str(value)) or None) if known else None


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


_TURNS: Final = ("turns", "messages", "conversations", "conversation", "dialogue", "dialog", "utterances")
_TEXTS: Final = ("text", "content", "utterance", "value")
_SPEAKERS: Final = ("speaker", "role", "from", "sender")
_ROLES: Final = ("role", "from")
_UNSAID: Final = frozenset(["system", "developer", "tool", "function", "function_call", "observation"])
"""Roles of messages that nobody says; a speaker of such a name, as of a booking system, does speak."""
_PAIRS: Final = (
    ("source", "target"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("question", "answer"),
)
_BEGINNING: Final = re.compile(rf'"(?:{"|".join(_TURNS)})"\s*:\s*\[\s*["{{]')


def _item(value: object, name: str, line: int) -> Dialogue | Exchange | Lost:
    """Return what one object of JSON, or a bare list of turns, is."""
    if isinstance(value, list):
        value = {"turns": value}
    if not isinstance(value, dict):
        return Lost("no object", line)
    origin = Origin(name, line=line)
    if isinstance(value.get("file"), str):
        number, seconds = value.get("line"), _number(value.get("seconds"))
        known = isinstance(number, int) and not isinstance(number, bool) and number > 0
        origin = Origin(_plain(value["file"]), number if known else None, None if known else seconds)
    try:
        key = next((key for key in _TURNS if key in value), None)
        if key is not None:
            return Dialogue(tuple(_turns(value[key], key)), origin, _label(value.get("group")))
        pair = next((pair for pair in _PAIRS if pair[0] in value and pair[1] in value), None)
        if pair is not None:
            return _exchange(value, *pair, origin)
    except ValueError as error:
        return Lost(str(error), line)
    return Lost("no turns and no pair", line)


def _turns(values: object, key: str) -> list[Turn]:
    if not isinstance(values, list):
        raise ValueError(f"{key!r} is no list")
    turns = []
    for number, value in enumerate(values, 1):
        fields = value if isinstance(value, dict) else {"text": value}
        roles = [fields.get(role) for role in _ROLES]
        if any(isinstance(role, str) and role.lower() in _UNSAID for role in roles):
            continue
        found = next((name for name in _TEXTS if name in fields), None)
        text = None if found is None else _text(fields[found])
        if text is None:
            raise ValueError(f"turn {number} has no text")
        speaker = next((_label(fields[name]) for name in _SPEAKERS if name in fields), None)
        if text:  # what is empty is a call of a tool, a picture, or a slip
            turns.append(Turn(text, speaker, _number(fields.get("start", fields.get("time")))))
    if not turns:
        raise ValueError("no turns")
    return turns


def _text(value: object) -> str | None:
    """Return a text, or a list of parts of which some are text, on one line; None where it is neither."""
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in value]
        value = " ".join(part for part in parts if isinstance(part, str))
    return _plain(value) if isinstance(value, str) else "" if value is None else None


def _exchange(value: Mapping[str, Any], source: str, target: str, origin: Origin) -> Exchange:
    sides = {side: _text(value[side]) for side in (source, target)}
    for side, text in sides.items():
        if not text:
            raise ValueError(f"{side!r} has no text")
    said = f"{sides[source]} {_text(value.get('input')) or ''}" if source == "instruction" else f"{sides[source]}"
    before = value.get("context") or []
    context = [_text(text) for text in (before if isinstance(before, list) else [before])]
    if None in context:
        raise ValueError("'context' is no list of texts")
    return Exchange(said.strip(), str(sides[target]), tuple(text for text in context if text), origin)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _parsed(line: bytes | str) -> Any:
    """Return the value of a line of JSON; raise ValueError for anything else, however deep or large."""
    try:
        return json.loads(line, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise ValueError("no UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise ValueError("no JSON") from error


class Jsonl:
    """Reads an object a line, or one array of objects: dialogues, messages with roles, or pairs."""

    def sniff(self, head: bytes, name: str) -> float:
        """Look for turns or pairs in what of the first lines, or of the array, is whole."""
        found: list[Dialogue | Exchange | Lost] = []
        with suppress(ValueError):  # the head of a file breaks off
            source = _Utf8(io.BytesIO(head))
            if source.begin == b"{":
                lines = source.read().rstrip(b"\n").split(b"\n")[:20]
                found += _json_lines(_Utf8(io.BytesIO(b"\n".join(lines[:-1] or lines))), name)
            elif source.begin == b"[":
                found += (_item(value, name, 1) for _, value in islice(_elements(source), 20))
        good = sum(not isinstance(item, Lost) for item in found)
        if not good:
            # one dialogue may be longer than the head
            return 0.6 if len(found) < 2 and _BEGINNING.search(head.decode("utf-8", "replace")) else 0.0
        return 0.9 if good >= 0.8 * len(found) else 0.0

    def read(self, stream: BinaryIO, name: str) -> Iterator[Dialogue | Exchange | Lost]:
        """Yield a dialogue or an exchange for every object."""
        source = _Utf8(stream)
        yield from _array(source, name) if source.begin == b"[" else _json_lines(source, name)


def _array(source: _Utf8, name: str) -> Iterator[Dialogue | Exchange | Lost]:
    number = 0
    try:
        for number, (_, value) in enumerate(_elements(source), 1):
            yield _item(value, name, number)
    except ValueError as error:
        if not number:
            raise
        yield Lost(str(error), number + 1)


def _json_lines(source: _Utf8, name: str) -> Iterator[Dialogue | Exchange | Lost]:
    source.left = math.inf
    lines = io.BufferedReader(source, CHUNK)
    number = 0
    while line := lines.readline(LARGEST + 1):
        number += 1
        if len(line) > LARGEST:
            yield Lost(f"a line of more than {LARGEST >> 20} MiB", number)
            while line and not line.endswith(b"\n"):
                line = lines.readline(LARGEST)
        elif line.strip():
            try:
                yield _item(_parsed(line), name, number)
            except ValueError as error:
                yield Lost(str(error), number)


def _text_lines(stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of plain text of any encoding as they come.

    Raises:
        ValueError: where it is no text, or a line is of no sensible length.
    """
    data = stream.read(2**20)
    _, encoding = decode_text(data, cut=True)
    errors = "strict" if encoding.startswith("utf") else "replace"
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(errors), translate=True)
    rest = ""
    while True:
        try:
            *lines, rest = (rest + decoder.decode(data, final=not data)).split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"not {encoding} to the end: {error.reason}") from error
        if any(len(line) > LONGEST_LINE for line in (*lines, rest)):
            raise ValueError(f"a line of more than {LONGEST_LINE} characters, which nobody says")
        yield from lines
        if not data:
            break
        data = stream.read(CHUNK)
    if rest:
        yield rest


def _first_lines(head: bytes) -> list[str]:
    """Return the whole lines among the first ones; none where it is no text."""
    try:
        text, _ = decode_text(head, cut=True)
    except ValueError:
        return []
    return (text[: text.rfind("\n") + 1] or text).split("\n")[:SAMPLE]


_NAME: Final = re.compile(r"([^\W\d_][\w .'’-]{0,24})(?::\s+|：\s*)(?=\S)")
_DASH: Final = re.compile(r"(?:[-–—‐]{1,3}\s+|[–—‐](?=\S)|-(?=[^\W\d]))")
_RULE: Final = re.compile(r"[-=*_#~]{3,}")
_FOREIGN: Final = re.compile(
    r"-->|\t|__eou__|\+\+\+|```|https?://|^[<{\[#|>*@]|[;{}>\\]$|^(?:Dialogue|Comment): *\d|^\w+: *$"
)
"""In lines of subtitles, tables, code, markup and lists."""
_SENTENCE_END: Final = re.compile(r"[.!?…。！？؟][\"'”’»)\]]*$")
_QUESTION: Final = re.compile(r"[?？؟]")


def _named_share(lines: Sequence[str]) -> float:
    return sum(_NAME.match(line) is not None for line in lines) / max(1, len(lines))


class Blocks:
    """Reads a turn a line and a dialogue a block: a blank line, or one drawn of dashes, ends it."""

    def sniff(self, head: bytes, name: str) -> float:
        """Look for what only speech has: blocks of lines or names that come again, sentences, and questions.

        A file without blank lines and names is never claimed, for a list of sentences looks the same.
        """
        lines = "\n".join(line.strip() for line in _first_lines(head)).strip("\n").split("\n")
        said = [line for line in lines if line]
        if len(said) < 4 or sum(_FOREIGN.search(line) is not None for line in said) > 0.02 * len(said):
            return 0.0
        names = [match[1] for match in map(_NAME.match, said) if match]
        named = len(names) > 0.8 * len(said) and len(set(names)) <= len(names) / 2
        # a paragraph of a book is a line without neighbours, and a list may have an empty line here and there
        together = sum(bool(left and right) for left, right in pairwise(lines))
        if not named and (together < 0.4 * len(said) or len(lines) - len(said) < 0.025 * len(lines)):
            return 0.0
        asked = sum(_QUESTION.search(line) is not None for line in said)
        ended = sum(_SENTENCE_END.search(line) is not None for line in said)
        return 0.1 if asked >= 0.08 * len(said) and ended >= (0.4 if named else 0.7) * len(said) else 0.0

    def read(self, stream: BinaryIO, name: str) -> Iterator[Dialogue]:
        """Yield the blocks; a line without a name in a file that has them goes on with what the one before says."""
        lines = _text_lines(stream)
        first = list(islice(lines, SAMPLE))
        named = _named_share([line.strip() for line in first if line.strip()]) > 0.5
        turns: list[Turn] = []
        begin, size = 1, 0
        for number, line in enumerate(chain(first, lines, [""]), 1):
            text = line.strip()
            if turns and (not text or _RULE.fullmatch(text) or size > LARGEST):
                yield Dialogue(tuple(turns), Origin(name, line=begin))
                turns, size = [], 0
            text = "" if _RULE.fullmatch(text) else text
            match = _NAME.match(text) if named else None
            speaker = match[1].strip() if match else turns[-1].speaker if turns and named else None
            text = text[match.end() :] if match else text
            text = text[dash.end() :] if (dash := _DASH.match(text)) else text
            text = _plain(strip_markup(text) if "<" in text or "&" in text else text)
            if text:
                begin = begin if turns else number
                size += len(text) + 200  # what a turn takes up beside its text
                turns.append(Turn(text, speaker))


@hookimpl
def register_readers() -> Mapping[str, type[Reader] | type[PairReader]]:
    """Offer `jsonl` and `blocks`."""
    return {"jsonl": Jsonl, "blocks": Blocks}
