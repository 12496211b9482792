"""The readers `jsonl` and `blocks`: files of dialogues as programs and as people write them down."""

from __future__ import annotations

import codecs
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice, pairwise
from typing import Any, BinaryIO, Final

from s2sbot import (
    Dialogue,
    Exchange,
    Lost,
    Origin,
    PairReader,
    Reader,
    Turn,
    decode_text,
    first_character,
    hookimpl,
    json_elements,
    strip_markup,
    text_lines,
)

LARGEST: Final = 4 * 2**20
"""Characters that a block of plain text may have before it is cut; a turn counts 200 more."""
LONGEST_LINE: Final = 64 * 2**10
"""Characters of a line of plain text."""
SNIFFED: Final = 8 * 2**10
"""Bytes that say whether plain text is speech."""
SAMPLE: Final = 200
"""Lines that say what the rest of a file of plain text is like."""
LOOKED_AT: Final = 12
"""Objects that say whether a file of JSON is one of dialogues."""
LAST_LINE: Final = 2**31 - 1
"""The largest number of a line that a packed corpus can hold."""


def _plain(text: str) -> str:
    """Return `text` on one line, halves of surrogate pairs as question marks."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _name(value: str) -> str:
    """Return the name of a file or group, in which two spaces are two spaces."""
    return _BREAKS.sub(" ", value.encode("utf-8", "replace").decode())


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
_BREAKS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNSAID: Final = frozenset(["system", "developer", "tool", "function", "function_call", "observation"])
"""Roles of messages that nobody says; a speaker of such a name, as of a booking system, does speak."""
_CALLS: Final = ("tool_calls", "function_call")
_PAIRS: Final = (
    ("source", "target"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("question", "answer"),
)
_GAP: Final = re.compile(r"[\s,]*")
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
        known = isinstance(number, int) and not isinstance(number, bool) and 0 < number <= LAST_LINE
        origin = Origin(_name(value["file"]), number if known else None, seconds)
    try:
        key = next((key for key in _TURNS if key in value), None)
        if key is not None:
            group = value.get("group")
            group = _name(group) or None if isinstance(group, str) else _label(group)
            return Dialogue(tuple(_turns(value[key], key)), origin, group)
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
        calls = any(call in fields for call in _CALLS)  # beside a call the content may be left out
        text = _text(fields[found]) if found is not None else "" if calls else None
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


def _parsed(line: str) -> Any:
    """Return the value of a line of JSON; raise ValueError for anything else, however deep or large."""
    try:
        return json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError("no JSON") from error


class Jsonl:
    """Reads an object a line, or one array of objects: dialogues, messages with roles, or pairs."""

    def sniff(self, head: bytes, name: str) -> float:
        """Look for turns or pairs in what of the first lines, or of the array, is whole: half of it may be odd."""
        found: list[Dialogue | Exchange | Lost] = []
        first, stream = first_character(io.BytesIO(head))
        with suppress(ValueError, RecursionError):  # the head of a file breaks off
            if first == "[":
                found += (_item(value, name, 1) for value in islice(_first_values(head), LOOKED_AT))
            elif b"{" in head:
                found += _json_lines(islice(text_lines(stream), LOOKED_AT), name)
                if len(found) > 1 and isinstance(found[-1], Lost) and not head.rstrip(b"\0").endswith((b"\n", b"\r")):
                    found.pop()  # the line in which the head breaks off
        good = sum(not isinstance(item, Lost) for item in found)
        if good or first not in ("{", "["):
            return 0.9 if good and good >= 0.5 * len(found) else 0.0
        # one dialogue may be longer than what is looked at
        return 0.6 if len(found) < 2 and _BEGINNING.search(head.replace(b"\0", b"").decode("utf-8", "replace")) else 0.0

    def read(self, stream: BinaryIO, name: str) -> Iterator[Dialogue | Exchange | Lost]:
        """Yield a dialogue or an exchange for every object."""
        first, stream = first_character(stream)
        yield from _array(stream, name) if first == "[" else _json_lines(text_lines(stream), name)


def _first_values(head: bytes) -> Iterator[object]:
    """Yield the first elements of an array; what is as short as a head needs none of the care of `json_elements`."""
    text = head.decode(json.detect_encoding(head[:4]), "replace")
    decoder = json.JSONDecoder(parse_constant=_no_number)
    place = text.find("[") + 1
    while gap := _GAP.match(text, place):
        value, place = decoder.raw_decode(text, gap.end())
        yield value


def _array(stream: BinaryIO, name: str) -> Iterator[Dialogue | Exchange | Lost]:
    number = 0
    try:
        for number, (_, value) in enumerate(json_elements(stream), 1):
            yield _item(value, name, number)
    except ValueError as error:
        if not number:
            raise
        yield Lost(str(error), number + 1)


def _json_lines(lines: Iterable[str | Lost], name: str) -> Iterator[Dialogue | Exchange | Lost]:
    for number, line in enumerate(lines, 1):
        if isinstance(line, Lost):
            yield line
        elif line.strip():
            try:
                yield _item(_parsed(line), name, number)
            except ValueError as error:
                yield Lost(str(error), number)


_NAME: Final = re.compile(r"([^\W\d_][\w .'’-]{0,24})(?::\s+|：\s*)(?=\S)")
_DASH: Final = re.compile(r"(?:[-–—‐]{1,3}\s+|[–—‐](?=\S)|-(?=[^\W\d]))")
_RULE: Final = re.compile(r"[-=*_#~]{3,}")
_FOREIGN: Final = re.compile(
    r"-->|\t|__eou__|\+\+\+|```|https?://|^[<{\[#|>*@]|[;{}>\\]$|^(?:Dialogue|Comment): *\d|^\w+: *$"
)
"""In lines of subtitles, tables, code, markup and lists."""
_SENTENCE_END: Final = re.compile(r"[.!?…。！？؟][\"'”’»)\]]*$")
_QUESTION: Final = re.compile(r"[?？؟]")


class Blocks:
    """Reads a turn a line and a dialogue a block: a blank line, or one drawn of dashes, ends it.

    What is lost ends it too, for what comes next answers nothing that is known.
    """

    def sniff(self, head: bytes, name: str) -> float:
        """Look for what only speech has: blocks of lines or names that come again, sentences, and questions.

        A file without blank lines and names is never claimed, for a list of sentences looks the same.
        """
        # the layout is that of ASCII; only where it fits is it worth while to find out an old encoding
        rough = _first_lines(head[:SNIFFED], rough=True)
        return 0.1 if _is_laid_out(rough) and _is_speech(_first_lines(head[:SNIFFED], rough=False)) else 0.0

    def read(self, stream: BinaryIO, name: str) -> Iterator[Dialogue | Lost]:
        """Yield the blocks; a line without a name in a file that has them goes on with what the one before says."""
        lines = (_of_sensible_length(line, number) for number, line in enumerate(text_lines(stream), 1))
        first = list(islice(lines, SAMPLE))
        said = [line.strip() for line in first if isinstance(line, str) and line.strip()]
        named = sum(_NAME.match(line) is not None for line in said) > 0.5 * len(said)
        turns: list[Turn] = []
        begin, size = 1, 0
        for number, line in enumerate(chain(first, lines, [""]), 1):
            text = "" if isinstance(line, Lost) or _RULE.fullmatch(line.strip()) else line.strip()
            if turns and (not text or size > LARGEST):
                yield Dialogue(tuple(turns), Origin(name, line=begin))
                turns, size = [], 0
            if isinstance(line, Lost):
                yield line
            match = _NAME.match(text) if named else None
            speaker = match[1].strip() if match else turns[-1].speaker if turns and named else None
            text = text[match.end() :] if match else text
            text = text[dash.end() :] if (dash := _DASH.match(text)) else text
            text = _plain(strip_markup(text) if "<" in text or "&" in text else text)
            if text:
                begin = begin if turns else number
                size += len(text) + 200  # what a turn takes up beside its text
                turns.append(Turn(text, speaker))


def _of_sensible_length(line: str | Lost, number: int) -> str | Lost:
    long = isinstance(line, str) and len(line) > LONGEST_LINE
    return Lost(f"a line of more than {LONGEST_LINE} characters, which nobody says", number) if long else line


def _first_lines(head: bytes, *, rough: bool) -> list[str]:
    """Return the first lines without the white space around them; `rough` takes an old encoding for Latin-1."""
    try:
        rough = rough and 0 not in head
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head) if rough else decode_text(head, cut=True)[0]
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    except ValueError:
        return []
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = (text[: text.rfind("\n") + 1] or text).split("\n")[:SAMPLE]
    return "\n".join(line.strip() for line in lines).strip("\n").split("\n")


def _have_names(lines: Sequence[str]) -> bool:
    names = [match[1] for match in map(_NAME.match, lines) if match]
    return len(names) > 0.8 * len(lines) and len(set(names)) <= len(names) / 2


def _is_laid_out(lines: Sequence[str]) -> bool:
    """Tell whether lines stand together and apart as those of dialogues, or have names, and are of no other format.

    A paragraph of a book is a line without neighbours, and a list may have an empty line here and there.
    """
    said = [line for line in lines if line]
    together = sum(bool(left and right) for left, right in pairwise(lines))
    in_blocks = together >= 0.4 * len(said) and len(lines) - len(said) >= 0.025 * len(lines)
    if len(said) < 4 or not (in_blocks or _have_names(said)):
        return False
    foreign = (line for line in said if _FOREIGN.search(line))
    return next(islice(foreign, int(0.02 * len(said)), None), None) is None


def _is_speech(lines: Sequence[str]) -> bool:
    """Tell whether enough of the lines ask, and enough of them end as sentences do."""
    said = [line for line in lines if line]
    asked = sum(_QUESTION.search(line) is not None for line in said)
    ended = sum(_SENTENCE_END.search(line) is not None for line in said)
    return asked >= 0.08 * len(said) and ended >= (0.4 if _have_names(said) else 0.7) * len(said)


@hookimpl
def register_readers() -> Mapping[str, type[Reader] | type[PairReader]]:
    """Offer `jsonl` and `blocks`."""
    return {"jsonl": Jsonl, "blocks": Blocks}
