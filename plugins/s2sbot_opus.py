"""The readers `opus` and `tmx`: XML of OPUS OpenSubtitles becomes cues, translation memories become exchanges."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from s2sbot import Cue, Exchange, Lost, Origin, PairReader, Reader, decode_text, hookimpl, strip_markup

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LARGEST_PIECE = 2**21
"""Bytes between the ends of two sentences or units, beyond which no honest file goes on."""
DEEPEST = 64
MOST_WAITING = 1000
"""Sentences that may wait for the time that ends them."""
_SENTENCE = re.compile(r"<s\b[^<>]{0,200}>")
_TIMED = re.compile(r"<time\b[^<>]{0,200}\bvalue\s*=")
_ROOT = re.compile(r"<(document|text)\b[^<>]{0,1000}>")
_TMX = re.compile(r"<tmx\b[^<>]{0,1000}>", re.IGNORECASE)
_TIME = re.compile(r"\s*(-?)(\d{1,4}):(\d{1,2}):(\d{1,2})(?:[,.:]\s*(\d{1,9}))?\s*$")


class _Watched:
    """Passes a stream on, and refuses one that goes on for too long after the last good piece."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.since = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.since += len(data)
        if self.since > LARGEST_PIECE:
            raise ValueError(f"one piece of it is larger than {LARGEST_PIECE} bytes, or none of it is of this format")
        return data


def _elements(stream: BinaryIO, wanted: frozenset[str]) -> Iterator[Element | Lost]:
    """Yield the outermost elements of these names, each whole and then forgotten.

    Raises:
        ValueError: for what is no XML from the start, declares entities, or is too large or too deep.
    """
    watched = _Watched(stream)
    above: list[Element] = []
    inside = 0
    found = False
    try:
        for event, element in iterparse(watched, ("start", "end")):
            is_wanted = _name(element) in wanted
            if event == "start":
                if len(above) == DEEPEST:
                    raise ValueError(f"elements inside each other, more than {DEEPEST} deep")
                above.append(element)
                inside += is_wanted
                continue
            above.pop()
            inside -= is_wanted
            if inside:
                continue
            if is_wanted:
                found, watched.since = True, 0
                yield element
            if above:
                above[-1].remove(element)
    except DefusedXmlException as error:
        raise ValueError("it declares or uses entities of its own, which are not read") from error
    except ParseError as error:
        cause, line = str(error).partition(": line")[0], error.position[0]
        if not found:
            raise ValueError(f"damaged XML: {cause} in line {line}") from error
        yield Lost(f"breaks off: {cause}", line)
    except LookupError as error:
        raise ValueError(f"damaged XML: {error}") from error


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2].lower()


class Opus:
    """Reads a cue a sentence, with or without `<w>`; the times of a cue are those of the blocks it is shown in."""

    def sniff(self, head: bytes, name: str) -> float:
        """Look for sentences and times; without times there is a little doubt left, for `read` to say why not."""
        text = _start(head)
        if not (_ROOT.search(text) and _SENTENCE.search(text)):
            return 0.0
        return 0.95 if _TIMED.search(text) else 0.3

    def read(self, stream: BinaryIO, name: str) -> Iterator[Cue | Lost]:
        """Yield the sentences: from the last time before a sentence's words to the first time after them."""
        clock = _Clock()
        for element in _elements(stream, frozenset({"s", "time"})):
            if isinstance(element, Lost):
                yield element
            elif _name(element) == "s":
                yield from clock.hear(element)
            else:
                yield from clock.strike(element.get("value", ""))
        yield from clock.stop()


class _Clock:
    """The times and sentences of one file, as they come."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._waiting: list[tuple[float | None, str]] = []

    def strike(self, value: str) -> Iterator[Cue | Lost]:
        """Yield what waited for a time."""
        time = _seconds(value)
        if time is None:
            yield Lost(f"no time: {value[:20]!r}")
            return
        yield from self._release(time)
        self._last = time

    def hear(self, sentence: Element) -> Iterator[Cue | Lost]:
        """Yield a sentence that ends with a time; any other one waits for the next."""
        start, end = self._last, None
        raw: list[str] = []
        words: list[str] = []
        for kind, text in _parts(sentence):
            if kind == "time":
                yield from self.strike(text)
                heard = bool(raw or words)
                end = _seconds(text) if heard else None
                start = start if heard else self._last
                raw += [" "] * bool(raw)
            elif text.strip():
                end = None
                (words if kind == "word" else raw).append(text)
            elif raw:
                raw.append(" ")
        said = join_words([*" ".join(raw).split(), *words]) if words else " ".join("".join(raw).split())
        said = strip_markup(said).strip()
        if not said:
            return
        if end is not None:
            yield _cue(start, end, said)
            return
        self._waiting.append((start, said))
        if len(self._waiting) > MOST_WAITING:
            yield from self.stop()

    def stop(self) -> Iterator[Cue]:
        """Yield what no time will end."""
        if self._last is None:
            raise ValueError("no times in it: not OPUS OpenSubtitles" if self._waiting else "no sentence in it")
        yield from self._release(self._last)

    def _release(self, time: float) -> Iterator[Cue]:
        for start, said in self._waiting:
            yield _cue(start, time, said)
        self._waiting = []


def _cue(start: float | None, end: float, said: str) -> Cue:
    """Return a cue that does not end before it starts."""
    first = end if start is None else start
    return Cue(first, max(first, end), said)


def _parts(element: Element) -> Iterator[tuple[str, str]]:
    """Yield the texts, words and times inside an element, in their order."""
    if element.text:
        yield "text", element.text
    for child in element:
        name = _name(child)
        if name == "time":
            yield "time", child.get("value", "")
        elif name == "w":
            yield "word", "".join(child.itertext())
        else:
            yield from _parts(child)
        if child.tail:
            yield "text", child.tail


def _seconds(value: str) -> float | None:
    match = _TIME.match(value)
    if not match:
        return None
    sign, hours, minutes, seconds, fraction = match.groups()
    total = int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int((fraction or "0")[:3].ljust(3, "0")) / 1000
    return -total if sign else total


_TO_LEFT = re.compile(r"[.,;:!?…%)\]}»”]+|['’](?:s|m|d|t|ll|re|ve)|n['’]t", re.IGNORECASE)
_TO_RIGHT = re.compile(r"[(\[{«“¿¡]+|(?:[ldjmnstc]|\w{0,8}qu)['’]", re.IGNORECASE)
_EAST = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]")
"""Characters of Chinese and Japanese, between which there is no space."""


def join_words(words: Sequence[str]) -> str:
    """Return a sentence of words that were cut at punctuation, without the spaces that are surely none.

    A quotation mark in a sentence with an even number of them opens and closes in turn; any other stays alone, and so
    do dashes.
    """
    words = [word.strip() for word in words if word.strip()]
    quoted = words.count('"') % 2 == 0
    joined: list[str] = []
    opened = False
    glued = True
    for word in words:
        closing = word == '"' and quoted and opened
        before = joined[-1] if joined else ""
        apart = not (glued or closing or _TO_LEFT.fullmatch(word) or (_EAST.match(word) and _EAST.match(before[-1:])))
        joined.append(f" {word}" if apart else word)
        opened ^= word == '"' and quoted
        glued = _TO_RIGHT.fullmatch(word) is not None or (word == '"' and quoted and opened)
    return "".join(joined)


def _start(head: bytes) -> str:
    """Return the text of a file's head, nothing where it is no XML."""
    if head[:64].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1] != b"<":
        return ""
    try:
        text = decode_text(head, cut=True)[0].lstrip("\ufeff \n\t")
    except ValueError:
        return ""
    return text if text.startswith("<") else ""


_CODES = frozenset({"bpt", "ept", "it", "ph", "ut"})
_BREAKS = frozenset({"lb", "pb", "cb"})
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


class Tmx:
    """Reads an exchange a unit of a translation memory, TMX 1.1 to 1.4b, whose `origin` counts the units.

    languages  source and target, where the file has more than two or is to be turned around; `en` takes `en-GB` too

    Without them the file must have exactly two, and its `srclang` is the source.
    """

    def __init__(self, languages: tuple[str, ...] = ()) -> None:
        if len(languages) not in (0, 2):
            raise ValueError("a translation memory is read in two languages")
        self._languages = tuple(map(_tag, languages))

    def of_languages(self, languages: tuple[str, ...]) -> Tmx:
        """Return a reader of these two languages."""
        return Tmx(languages)

    def sniff(self, head: bytes, name: str) -> float:
        """Look for the root element."""
        return 0.95 if _TMX.search(_start(head)) else 0.0

    def read(self, stream: BinaryIO, name: str) -> Iterator[Exchange | Lost]:
        """Yield an exchange for every unit that has text in both languages."""
        pair = self._languages
        srclang = ""
        number = found = 0
        for element in _elements(stream, frozenset({"header", "tu"})):
            if isinstance(element, Lost):
                yield element
                continue
            if _name(element) == "header":
                srclang = _tag(element.get("srclang", ""))
                continue
            number += 1
            sides = [_side(child) for child in element if _name(child) == "tuv"]
            if not self._languages:
                pair = _languages(pair, [tag for tag, _ in sides], srclang)
            texts = [_text(sides, *order) for order in (pair, pair[::-1])] if pair else [""]
            if all(texts):
                found += 1
                yield Exchange(texts[0], texts[1], origin=Origin(name, line=number))
            else:
                yield Lost("a unit without text in both languages", number)
        if not found:
            raise ValueError(f"no unit with text in {' and '.join(pair) or 'two languages'}")


def _tag(language: str) -> str:
    return language.strip().lower().replace("_", "-")


def _primary(tag: str) -> str:
    return tag.partition("-")[0]


def _side(variant: Element) -> tuple[str, str]:
    """Return the language and the text of one side of a unit."""
    text = "".join(_segment(child) for child in variant if _name(child) == "seg")
    return _tag(variant.get(_LANG) or variant.get("lang") or ""), " ".join(text.split())


def _segment(element: Element) -> str:
    """Return a text without the codes of its format; one that breaks the line becomes a space."""
    pieces = [element.text or ""]
    for child in element:
        if _name(child) not in _CODES:
            pieces.append(_segment(child))
        elif child.get("type") in _BREAKS:
            pieces.append(" ")
        pieces.append(child.tail or "")
    return "".join(pieces)


def _languages(pair: tuple[str, ...], tags: list[str], srclang: str) -> tuple[str, ...]:
    """Return source and target of a file, found in the first unit that has both; no language may come beside them."""
    tags = list(dict.fromkeys(tags))
    if not pair and len(tags) == 2:
        return tuple(sorted(tags, key=lambda tag: (tag != srclang, _primary(tag) != _primary(srclang))))
    known = [_primary(tag) for tag in pair]
    others = [tag for tag in tags if _primary(tag) not in known] if pair else tags[1:]
    if others:
        raise ValueError(f"more than two languages: {', '.join([*(pair or tags[:1]), *others])[:80]}")
    return pair


def _text(sides: Sequence[tuple[str, str]], wanted: str, other: str) -> str:
    """Return the text in the language `wanted`, or in a kind of it; nothing where there is none."""
    exact = (text for tag, text in sides if tag == wanted and text)
    near = (text for tag, text in sides if tag != other and _primary(tag) == _primary(wanted) and text)
    return next(exact, "") or next(near, "")


@hookimpl
def register_readers() -> Mapping[str, type[Reader] | type[PairReader]]:
    """Offer `opus` and `tmx`."""
    return {"opus": Opus, "tmx": Tmx}
