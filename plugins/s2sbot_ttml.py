"""The reader `ttml`, of DFXP and IMSC too: a file goes in, all its cues and what of it was lost come out."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, BinaryIO

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from s2sbot import Cue, Lost, PairReader, Reader, decode_text, hookimpl, read_whole, strip_markup

DEEPEST = 200
"""Elements inside each other; an honest file has ten."""

_ROOT = re.compile(r"<(?:[\w.-]{1,50}:)?([A-Za-z][\w.-]{0,50})")
_ENCODING = re.compile(rb"<\?xml[^>]{0,200}encoding\s*=\s*[\"']([\w.-]{1,40})[\"']")
_CLOCK = re.compile(r"(?:(?:(\d{1,9}):)?(\d{1,9}):)?(\d{1,9})(?:[.,](\d{0,9})|[:;](\d{1,9})(?:\.(\d{1,9}))?)?")
_OFFSET = re.compile(r"(\d{1,15}(?:[.,]\d{1,9})?)\s*(h|ms|m|s|f|t)")
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]{0,500}\?>")
_PREFIX = re.compile(r"[<\s]/?([A-Za-z_][\w.-]{0,30}):[A-Za-z]")
UNBOUND_PREFIX = 27
"""Expat's number for a prefix without a declaration."""
_WHITE = re.compile(r"[ \t\r\n]+")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def _text(stream: BinaryIO) -> str:
    data = read_whole(stream)
    told = _ENCODING.search(data[:300])
    if told and 0 not in data[:300]:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            try:
                return data.decode(told[1].decode())
            except (LookupError, ValueError):
                pass
    return decode_text(data)[0]


def _plain(head: bytes) -> str:
    """Return what of a file is ASCII, in whatever encoding."""
    return head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe").decode("latin-1")


def _guessed_end(start: float, text: str) -> float:
    return round(start + 0.5 + 0.067 * len(text), 3)


@dataclass(slots=True)
class _Span:
    """What an open element hands on to those inside it, times in seconds."""

    name: str
    begin: float = 0.0
    end: float | None = None
    timed: bool = False
    seq: bool = False
    speaker: str | None = None
    style: str | None = None


@dataclass(frozen=True, slots=True)
class _Paragraph:
    """Words by speaker, and their times inside an element that lasts from `base` to `limit`."""

    base: float
    limit: float | None
    begin: float | None
    end: float | None
    duration: float | None
    style: str | None
    words: list[tuple[str | None, str]]

    def times(self, *, absolute: bool) -> tuple[float, float | None]:
        """Return start and end; `absolute` times do not count from `base`."""
        base = 0.0 if absolute else self.base
        start = self.base if self.begin is None else round(base + self.begin, 3)
        if self.end is not None:
            return start, round(base + self.end, 3)
        return start, self.limit if self.duration is None else round(start + self.duration, 3)


class _Rates:
    """Turns the times of a file to seconds by what its root says of frames and ticks."""

    def __init__(self, root: Mapping[str, str]) -> None:
        found = {name.rpartition("}")[2]: value for name, value in root.items()}
        frames, sub_frames, ticks = (self._number(found.get(f"{name}Rate")) for name in ("frame", "subFrame", "tick"))
        multiplier = [self._number(part) for part in re.split(r"[\s:]+", found.get("frameRateMultiplier", "").strip())]
        above, below = (multiplier[0] or 1.0, (multiplier[1] if len(multiplier) > 1 else 0.0) or 1.0)
        self._frames = (frames or 30.0) * above / below
        self._sub_frames = sub_frames or 1.0
        self._ticks = ticks or (self._frames * self._sub_frames if frames else 1.0)

    @staticmethod
    def _number(value: str | None) -> float:
        return float(value) if value and re.fullmatch(r"\d{1,12}(\.\d{1,9})?", value.strip()) else 0.0

    def seconds(self, expression: str) -> float:
        """Return a time in seconds.

        Raises:
            ValueError: where it is none.
        """
        expression = expression.strip()
        if found := _OFFSET.fullmatch(expression):
            count, unit = float(found[1].replace(",", ".")), found[2]
            if unit in _UNITS:
                return round(count * _UNITS[unit], 3)
            return round(count / (self._frames if unit == "f" else self._ticks), 3)
        if found := _CLOCK.fullmatch(expression):
            whole = int(found[1] or 0) * 3600 + int(found[2] or 0) * 60 + int(found[3])
            if found[5]:
                return round(whole + (int(found[5]) + int(found[6] or 0) / self._sub_frames) / self._frames, 3)
            return (whole * 1000 + int(f"{found[4] or ''}000"[:3])) / 1000
        raise ValueError("a time that cannot be read")


class Ttml:
    """TTML, DFXP and IMSC: paragraphs in XML, with times of their own or of what is around or inside them."""

    def sniff(self, head: bytes, name: str) -> float:
        """Look at the root element."""
        text = _plain(head)
        if not text.lstrip().startswith("<"):
            return 0.0
        root = _ROOT.search(re.sub(r"<!--[^<>]{0,9999}-->", "", text[:20000]))
        return 0.98 if root and root[1] == "tt" else 0.0

    def read(self, stream: BinaryIO, name: str) -> Iterator[Cue | Lost]:
        """Yield every paragraph that has a text, a cue for each agent in it."""
        # the declaration may name an encoding that the text no longer has
        text = _DECLARATION.sub("", _text(stream).lstrip("\ufeff")).replace("&nbsp;", "&#160;").lstrip()
        document, error = _parse(text)
        if error and error.code == UNBOUND_PREFIX:
            document, error = _parse(_bind_prefixes(text))
        if error and not document.found:
            raise ValueError(f"damaged XML: {error}") from error
        yield from document.cues()
        if error:
            yield Lost(f"damaged XML: {error}", error.position[0])


def _parse(text: str) -> tuple[_Document, ParseError | None]:
    """Return a document as far as it can be read, and what then was wrong."""
    document = _Document()
    try:
        for event, element in iterparse(io.StringIO(text), ("start", "end")):
            if event == "start":
                document.begin(element)
            else:
                document.close(element)
    except DefusedXmlException as error:
        raise ValueError(f"XML with entities or references, which is not read: {type(error).__name__}") from error
    except ParseError as error:
        return document, error
    return document, None


def _bind_prefixes(text: str) -> str:
    """Declare the prefixes that a file uses and forgot to declare."""
    root = _ROOT.search(text)
    prefixes = {found[1] for found in islice(_PREFIX.finditer(text), 10_000)} - {"xml", "xmlns"}
    missing = [prefix for prefix in sorted(prefixes)[:100] if f"xmlns:{prefix}=" not in text]
    declared = "".join(f' xmlns:{prefix}="{prefix}"' for prefix in missing)
    return f"{text[: root.end()]}{declared}{text[root.end() :]}" if root else text


class _Document:
    """Follows the elements of a file as they open and close, and keeps its paragraphs."""

    def __init__(self) -> None:
        self.found: list[_Paragraph | Lost] = []
        self._rates = _Rates({})
        self._open: list[_Span] = []
        self._agents: dict[str, str] = {}
        self._paragraph: Any = None

    def begin(self, element: Any) -> None:
        """Open an element: its times count from those of the element around it."""
        name = _local(element.tag)
        if not self._open:
            if name != "tt":
                raise ValueError(f"XML, but its root is {name[:40]!r} and not 'tt'")
            self._rates = _Rates(element.attrib)
        if len(self._open) >= DEEPEST:
            raise ValueError(f"more than {DEEPEST} elements inside each other")
        around = self._open[-1] if self._open else _Span("")
        span = replace(around, name=name, seq=_attribute(element, "timeContainer") == "seq")
        span.speaker = _attribute(element, "agent") or span.speaker
        span.style = _attribute(element, "style") or span.style
        if self._paragraph is None and name in ("body", "div"):
            try:
                begin, end, duration = self._times(element)
                times = _Paragraph(around.begin, around.end, begin, end, duration, None, [])
                span.begin, span.end = times.times(absolute=False)
                span.timed |= any(time is not None for time in (begin, end, duration))
            except ValueError as error:
                self.found.append(Lost(str(error)))
        elif self._paragraph is None and name == "p":
            self._paragraph = element
        self._open.append(span)

    def close(self, element: Any) -> None:
        """Close an element, a paragraph with its words."""
        span = self._open.pop()
        around = self._open[-1] if self._open else span
        if span.name == "agent" and (name := " ".join("".join(element.itertext()).split())):
            self._agents[_attribute(element, "id") or ""] = name
        if element is self._paragraph:
            self._paragraph = None
            try:
                self._collect(element, span, around)
            except ValueError as error:
                self.found.append(Lost(str(error)))
        elif around.seq and span.name == "div" and span.end is not None:
            around.begin = span.end
        if self._paragraph is None and around.name != "agent":
            element.clear()  # what is read is not held any longer

    def cues(self) -> Iterator[Cue | Lost]:
        """Yield the paragraphs, by times from the beginning of the file where they would else never be shown."""
        absolute = any(
            isinstance(item, _Paragraph) and item.begin is not None and item.limit is not None
            and item.base > 0 and item.begin + item.base >= item.limit
            for item in self.found
        )  # fmt: skip
        shown = [
            item for item in self.found if isinstance(item, Lost) or _tidy("".join(said for _, said in item.words))
        ]
        for number, item in enumerate(shown):
            if isinstance(item, Lost):
                yield item
                continue
            start, end = item.times(absolute=absolute)
            for agents, text in _turns(item.words):
                if end is None:
                    after = shown[number + 1] if number + 1 < len(shown) else None
                    end = _guessed_end(start, text)
                    if isinstance(after, _Paragraph) and start < after.times(absolute=absolute)[0]:
                        end = min(end, after.times(absolute=absolute)[0])
                speaker = ", ".join(self._agents.get(agent, agent) for agent in (agents or "").split())
                yield Cue(start, max(start, end), text, speaker or None, item.style)

    def _times(self, element: Any) -> tuple[float | None, float | None, float | None]:
        begin, end, duration = (_attribute(element, name) for name in ("begin", "end", "dur"))
        duration = duration or _attribute(element, "duration")
        return (
            self._rates.seconds(begin) if begin else None,
            self._rates.seconds(end) if end else None,
            self._rates.seconds(duration) if duration else None,
        )

    def _collect(self, element: Any, span: _Span, around: _Span) -> None:
        """Keep a paragraph, or each span of it that has times where it has none itself."""
        times = self._times(element)
        timed = [] if any(time is not None for time in times) else list(_timed_spans(element))
        for part in timed or [element]:
            begin, end, duration = self._times(part)
            words = list(_words(part, _attribute(part, "agent") or span.speaker))
            if not _tidy("".join(said for _, said in words)):
                continue
            if begin is None and end is None and duration is None and not around.timed:
                raise ValueError("a paragraph without times")
            style = _attribute(part, "style") or span.style
            limit = None if around.seq else around.end
            kept = _Paragraph(around.begin, limit, begin, end, duration, style, words)
            self.found.append(kept)
            if around.seq:
                around.begin = kept.times(absolute=False)[1] or around.begin


def _local(name: object) -> str:
    return name.rpartition("}")[2] if isinstance(name, str) else ""


def _attribute(element: Any, name: str) -> str | None:
    """Return an attribute by its name in any namespace."""
    for key, value in element.attrib.items():
        if key == name or key.endswith("}" + name):
            return str(value).strip() or None
    return None


def _timed_spans(element: Any) -> Iterator[Any]:
    """Yield the spans with times; one inside another is part of that, or its words would be said twice."""
    for child in element:
        if _local(child.tag) == "span" and any(_attribute(child, name) for name in ("begin", "end", "dur")):
            yield child
        else:
            yield from _timed_spans(child)


def _words(element: Any, speaker: str | None) -> Iterator[tuple[str | None, str]]:
    """Yield what stands inside an element, with who says it; readings above characters are left out."""
    if element.text:
        yield speaker, _WHITE.sub(" ", element.text)
    for child in element:
        name = _local(child.tag)
        if name == "br":
            yield speaker, "\n"
        elif name == "span" and _attribute(child, "ruby") not in ("text", "textContainer", "delimiter"):
            yield from _words(child, _attribute(child, "agent") or speaker)
        if child.tail:
            yield speaker, _WHITE.sub(" ", child.tail)


def _turns(words: Sequence[tuple[str | None, str]]) -> Iterator[tuple[str | None, str]]:
    """Yield what each speaker says, blanks aside."""
    speaker: str | None = None
    said: list[str] = []
    for other, word in words:
        if word.strip() and other != speaker:
            if text := _tidy("".join(said)):
                yield speaker, text
                said.clear()
            speaker = other
        said.append(word)
    if text := _tidy("".join(said)):
        yield speaker, text


def _tidy(text: str) -> str:
    lines = "\n".join(line.strip() for line in text.split("\n"))
    return strip_markup(lines).strip()


@hookimpl
def register_readers() -> Mapping[str, type[Reader] | type[PairReader]]:
    """Offer `ttml`."""
    return {"ttml": Ttml}
