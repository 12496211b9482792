"""The readers `srt`, `vtt` and `ass`: a file of subtitles goes in, all its cues and what of it was lost come out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain, takewhile
from typing import TypeAlias

from s2sbot import Cue, Lost, PairReader, Reader, SubtitleReader, hookimpl, strip_markup

_Found: TypeAlias = Iterator[Cue | Lost]

_STAMP = r"(-?)(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9})(?:[,.:;](\d*))?"
_EXACT = re.compile(r"(\d\d):(\d\d):(\d\d)[,.](\d\d\d) --> (\d\d):(\d\d):(\d\d)[,.](\d\d\d)")
_TIMES = re.compile(rf"[^\S\n]*(?:\d{{1,9}}[^\S\n]+)?{_STAMP}[^\S\n]*-->[^\S\n]*{_STAMP}(?![\w:;.,])")
_TIMES_MEANT = re.compile(r"[^\S\n]*-?[\d.,;]*:[\d:.,; -]*-->|[^\n>]*-->[^\S\n]*-?\d{1,9}:\d{1,9}[:,.]\d")
_SPACED = re.compile(r" ?([:.,;]) ?")
_SIGNED = re.compile(r"^[^\S\n]*+(?:#(\d{1,9})|(\d{1,9})\.)[^\S\n]*+\n(?=\s*+[-\d][^\n>]*-->)", re.MULTILINE)
_SIGNED_FIRST = re.compile(r"\s*(?:#\d{1,9}|\d{1,9}\.)[^\S\n]*\n")
_SETTING = re.compile(r"[A-Za-z]\w*[:=]")
_MARKED = re.compile(r"\\(?:p[1-9]|[kK][oft]?\s*\d|(?:pos|move|org|i?clip)\s*\(|fsc[xy]0(?!\d))")
_SUNG = re.compile(r"\\[kK][oft]?\s*\d")
_PLACED = re.compile(r"\\(?:(?:pos|move|org|i?clip)\s*\(|fsc[xy]0(?!\d))")
_BLOCK = re.compile(r"(\{[^{}]*\})")
_DRAWING = re.compile(r"\\p(\d)")


class _Lines:
    """Numbers the lines of a text by ever later positions in it."""

    def __init__(self, text: str) -> None:
        self._text, self._position, self._line = text, 0, 1

    def at(self, position: int) -> int:
        self._line += self._text.count("\n", self._position, position)
        self._position = position
        return self._line


def _said(text: str) -> str:
    """Return `text` without markup."""
    return strip_markup(text).strip()


def _marked(text: str) -> tuple[str | None, str]:
    """Return what override blocks say that a text is, and the text without drawings that stand beside words."""
    if not _MARKED.search(text):
        return None, text
    if _DRAWING.search(text):
        words, drawn = [], False
        for part in _BLOCK.split(text):
            if part.startswith("{") and part.endswith("}"):
                scales = _DRAWING.findall(part)
                drawn = scales[-1] != "0" if scales else drawn
            elif not drawn:
                words.append(part)
        if not _said("".join(words)):
            return "drawing", text
        return ("karaoke" if _SUNG.search(text) else "positioned" if _PLACED.search(text) else None), "".join(words)
    return ("karaoke" if _SUNG.search(text) else "positioned"), text


def _seconds(sign: str, hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    total = (whole * 1000 + int(((fraction or "") + "000")[:3])) / 1000
    return -total if sign else total


def _time_lines(text: str) -> Iterator[tuple[int, int, tuple[float, float] | None, str]]:
    """Yield where each line of times begins and ends, the times where they can be read, and what stands behind them."""
    position, arrow = 0, text.find("-->")
    while arrow >= 0:
        begin = text.rfind("\n", position, arrow) + 1 or position
        end = text.find("\n", arrow)
        end = len(text) if end < 0 else end
        line = text[begin:end]
        if exact := _EXACT.fullmatch(line):
            h, m, s, f, hh, mm, ss, ff = map(int, exact.groups())
            first, last = h * 3600000 + m * 60000 + s * 1000 + f, hh * 3600000 + mm * 60000 + ss * 1000 + ff
            yield begin, end, (first / 1000, max(first, last) / 1000), ""
        elif found := _TIMES.match(line) or _TIMES.match(_SPACED.sub(r"\1", line[:80])):
            start = _seconds(*found.groups()[:5])
            rest = line[found.end() :] if found.string is line else ""
            yield begin, end, (start, max(start, _seconds(*found.groups()[5:]))), rest
        elif _TIMES_MEANT.match(line):
            yield begin, end, None, ""
        position, arrow = end, text.find("-->", end)


class Srt(SubtitleReader):
    """SubRip: a number, a line of times, text, a blank line; all but the times may be missing."""

    title = "SubRip times"
    gate = b"-->"
    sign = re.compile(r"^(?=[^\n>]{0,30}:)[^\S\n]*-?\d[\d:.,; \t]{2,30}-->[^\S\n]*-?\d[\d:.,; ]+", re.MULTILINE)

    def score(self, text: str, found: re.Match[str]) -> float:
        """Return less for times below other text."""
        before = text[: found.start()].strip()
        return 0.95 if not before or before.isdecimal() else 0.6

    def cues(self, text: str) -> _Found:
        """Yield what stands below each line of times; the number above the next one is none of it."""
        text = _plainly_numbered(text)
        times: tuple[float, float] | None = None
        lines, count, at, rest, number = _Lines(text), _Count(), 0, "", ""
        for begin, end, following, behind in chain(_time_lines(text), [(len(text), 0, None, "")]):
            body, above = count.cut(text, at, begin) if end else (count.cut_last(text[at:], number), "")
            lost = _without_times(body, number, above) if number and "\n\n" in body else -1
            if lost >= 0:
                body = body[:lost]
            if times:
                if rest and not all(map(_SETTING.match, rest.split())):
                    body = f"{rest}\n{body}"
                mark, body = _marked(body) if "{\\" in body else (None, body)
                if said := _said(body):
                    yield Cue(times[0], times[1], said, mark=mark)
            elif at == 0 and body.strip():
                yield Lost("text before the first times", 1)
            if lost >= 0:
                yield Lost("a cue without times", lines.at(at + lost + 2))
            if following is None and end:
                yield Lost("times that cannot be read", lines.at(begin))
            times, at, rest, number = following, end + 1, behind, above


def _plainly_numbered(text: str) -> str:
    """Return the text with `2` for the number `#2` or `2.` above the times, where nearly all cues are numbered so."""
    if not _SIGNED_FIRST.match(text):
        return text
    plain, count = _SIGNED.subn(r"\1\2\n", text)
    return plain if count >= 0.9 * sum(1 for _ in _time_lines(text)) else text


def _is_number(line: str) -> bool:
    return line.isdecimal() and len(line) < 10


def _without_times(body: str, number: str, above: str) -> int:
    """Return where the cue behind `number` begins in its text, which is without times; -1 where there is none."""
    following = int(number) + 1
    # where the next times have that number, one that stands in the text is said
    return -1 if above and int(above) == following else body.find(f"\n\n{following}\n")


class _Count:
    """Tells the numbers of cues from numbers that are said, by the count so far."""

    def __init__(self) -> None:
        self._last = ""
        self._spaced = False

    def cut(self, text: str, at: int, begin: int) -> tuple[str, str]:
        """Return what stands in front of a line of times, and the number above that line.

        With blank lines between, it is a number where it stands alone and goes on with the count; and in any case where
        the cue before is numbered so.
        """
        body, _, above = text[at : max(at, begin - 1)].rpartition("\n")
        above = above.strip()
        if above.isdecimal() and len(above) < 10:
            self._last, self._spaced = above, False
            return body, above
        spaced, self._spaced = self._spaced, False
        if above:
            return text[at:begin], ""
        before, line_end, found = body.rstrip().rpartition("\n")
        found = found.strip()
        if not _is_number(found):
            return text[at:begin], ""
        alone = (at == 0 or line_end) and not before.rpartition("\n")[2].strip()
        if spaced or (alone and (at == 0 or self._goes_on(found))):
            self._last, self._spaced = found, True
            return before, found
        if self._last:  # the count may begin again here, which the next number shows
            self._last = found
        return text[at:begin], ""

    def cut_last(self, body: str, number: str) -> str:
        """Return the last text of a file without the number of a cue that is missing."""
        before, line_end, last = body.rstrip().rpartition("\n")
        last = last.strip()
        # where numbers stand apart from the times, so does the text, which may be a number
        alone = bool(line_end) and not before.rpartition("\n")[2].strip() and (bool(before.strip()) or not self._spaced)
        return before if number and alone and _is_number(last) and self._goes_on(last) else body

    def _goes_on(self, number: str) -> bool:
        return self._last != "" and int(number) == int(self._last) + 1


_VOICE = re.compile(r"<v(?:\.[^\s<>]{0,200})?\s([^<>]{0,200})>|(</v>)")
_RUBY = re.compile(r"<rt[^<>]{0,200}>[^<]*")
_STRAY = re.compile(r"(?:NOTE|STYLE|REGION|Region:|WEBVTT)\b", re.IGNORECASE)
_MAP = re.compile(r"^X-TIMESTAMP-MAP=(?=.{0,99}LOCAL:([\d:.]+))(?=.{0,99}MPEGTS:(\d{1,18}))", re.MULTILINE)


class Vtt(SubtitleReader):
    """WebVTT: a blank line ends the text; notes, styles, regions and identifiers are none of it."""

    title = "WEBVTT at its beginning"
    gate = b"WEBVTT"
    sign = re.compile(r"\A\s*WEBVTT\b")

    def score(self, text: str, found: re.Match[str]) -> float:
        """Return near certainty."""
        return 0.99

    def cues(self, text: str) -> _Found:
        """Yield what stands below each line of times, a cue for each voice."""
        times: tuple[float, float] | None = None
        lines, at, shift, first_shift = _Lines(text), 0, 0.0, None
        for begin, end, following, _ in chain(_time_lines(text), [(len(text), 0, None, "")]):
            below = text[at:begin].split("\n")
            payload = [] if at == 0 else list(takewhile(str.strip, below))
            others = below[len(payload) :]
            if end and others and len(others) > 1 and others[-2].strip():
                del others[-2]  # the identifier
            elif end and payload and not others[1:] and payload[-1].strip().isdecimal():
                payload.pop()
            if at and not payload and others and not _STRAY.match("\n".join(others).strip()):
                payload, others = others, []  # blank lines above the text, which no player shows
            if times:
                yield from _voiced(times[0] + shift, times[1] + shift, "\n".join(payload).strip())
            block = "\n".join(others)
            if mapped := _MAP.search(block):
                offset = int(mapped[2]) / 90000 - _clock(mapped[1])
                first_shift = offset if first_shift is None else first_shift
                shift = round(offset - first_shift, 3)
            if at and any(part.strip() and not _STRAY.match(part.strip()) for part in block.split("\n\n")):
                yield Lost("text outside of a cue", lines.at(at + len(text[at:begin].partition("\n\n")[0]) + 2))
            if following is None and end:
                yield Lost("times that cannot be read", lines.at(begin))
            times, at = following, end + 1


def _clock(stamp: str) -> float:
    found = re.fullmatch(_STAMP, stamp)
    return _seconds(*found.groups()) if found else 0.0


def _voiced(start: float, end: float, text: str) -> Iterator[Cue]:
    """Yield a cue for each voice; words beside a voice on its line are its own."""
    if "<rt" in text:
        text = _RUBY.sub("", text)
    voices: list[tuple[str | None, list[str]]] = []
    parts = _VOICE.split(text) if "<v" in text else [text]
    for speaker, said in zip([None, *parts[1::3]], parts[::3], strict=True):
        name = " ".join(_said(speaker).split()) or None if speaker else None
        if not said.strip():
            continue
        if voices and name is None:
            beside, _, below = said.partition("\n")
            voices[-1][1].append(beside)
            voices += [(None, [below])] * bool(below.strip())
        elif voices and voices[-1][0] == name:
            voices[-1][1][-1] = voices[-1][1][-1].rstrip()
            voices[-1][1].append(f"\n{said.lstrip()}")
        elif voices and voices[-1][0] is None and not voices[-1][1][-1].endswith("\n"):
            before, _, beside = "".join(voices.pop()[1]).rpartition("\n")
            voices += [(None, [before])] * bool(before) + [(name, [beside, said])]
        else:
            voices.append((name, [said]))
    for name, pieces in voices:
        if words := _said("".join(pieces)):
            yield Cue(start, end, words, name)


_SECTION = re.compile(
    r"\s*\[(script info|v4\+? styles\+?|events|fonts|graphics|aegisub [\w ]{1,50})\]\s*", re.IGNORECASE
)
_CENTISECONDS = re.compile(r"\s*(\d):(\d\d):(\d\d)\.(\d\d)\s*")
_EFFECTS = (("karaoke", ("karaoke", "template", "code", "mixin", "fx")), ("positioned", ("banner", "scroll ")))
_ORDER = "layer, start, end, style, name, marginl, marginr, marginv, effect, text"
_WORDLESS = frozenset(("picture", "sound", "movie", "command"))


class Ass(SubtitleReader):
    """ASS and SSA: an event a line, its fields in the order that a line `Format` tells."""

    title = "ASS or SSA sections"
    gate = b":"
    sign = re.compile(
        r"^[^\S\n]*(?:\[(?:Script Info|V4\+? Styles\+?|Events)\]|Dialogue:[^\S\n]*(?:Marked=)?\d+[^\S\n]*,)",
        re.IGNORECASE | re.MULTILINE,
    )

    def score(self, text: str, found: re.Match[str]) -> float:
        """Return near certainty for a section at the beginning."""
        return 0.98 if not text[: found.start()].strip() else 0.9

    def cues(self, text: str) -> _Found:
        """Yield every event that has a text, comments and drawings too."""
        order, inside = _Order(_ORDER), True
        for number, line in enumerate(text.split("\n"), 1):
            kind, colon, fields = line.partition(":")
            kind = kind.strip()
            if inside and colon and kind in ("Dialogue", "Comment"):
                item = order.event(fields, number, comment=kind == "Comment")
                if item is not None:
                    yield item
            elif "[" in line and (section := _SECTION.fullmatch(line)):
                inside = section[1].lower() == "events"
            elif inside and line.strip() and not line.lstrip().startswith((";", "!:")):
                if kind.lower() == "format" and colon:
                    order = _Order(fields)
                elif not (colon and kind.lower() in _WORDLESS):
                    yield Lost("a line that is no event", number)


class _Order:
    """Reads the events below one line `Format`."""

    def __init__(self, fields: str) -> None:
        names = [name.strip().lower() for name in fields.split(",")]
        places = {"name" if name == "actor" else name: place for place, name in enumerate(names)}
        self._most = len(names) - 1
        self._start, self._end, self._text = (places.get(name, -1) for name in ("start", "end", "text"))
        self._style, self._name, self._effect = (places.get(name, -1) for name in ("style", "name", "effect"))
        self._whole = min(self._start, self._end, self._text) >= 0
        self._known: dict[str, float | None] = {}

    def event(self, line: str, number: int, *, comment: bool) -> Cue | Lost | None:
        """Return the cue of an event; None where it shows no text."""
        fields = line.split(",", self._most)
        if len(fields) <= self._most or not self._whole:
            return Lost("an event of too few fields", number)
        start, end = self._time(fields[self._start]), self._time(fields[self._end])
        text = fields[self._text]
        mark = None
        if "{" in text:
            mark, text = _marked(text)
        if not (said := _said(text)):
            return None
        if start is None or end is None:
            return Lost("a time that cannot be read", number)
        if self._effect >= 0 and (effect := fields[self._effect].strip().lower()) and mark != "drawing":
            mark = next((name for name, beginnings in _EFFECTS if effect.startswith(beginnings)), mark)
        style = fields[self._style].strip().lstrip("*") if self._style >= 0 else ""
        name = fields[self._name].strip() if self._name >= 0 else ""
        speaker = None if name in ("", "NTP") else name  # NTP is what SSA writes where there is no name
        return Cue(start, max(start, end), said, speaker, style or None, "comment" if comment else mark)

    def _time(self, stamp: str) -> float | None:
        """Return a time in seconds; many events have the same ones."""
        if stamp in self._known:
            return self._known[stamp]
        seconds = None
        if exact := _CENTISECONDS.fullmatch(stamp):
            h, m, s, c = map(int, exact.groups())
            seconds = (h * 360000 + m * 6000 + s * 100 + c) / 100
        elif found := re.fullmatch(_STAMP, stamp.strip()):
            seconds = _seconds(*found.groups())
        self._known[stamp] = seconds
        return seconds


@hookimpl
def register_readers() -> Mapping[str, type[Reader] | type[PairReader]]:
    """Offer `srt`, `vtt` and `ass`, which reads SSA too."""
    return {"srt": Srt, "vtt": Vtt, "ass": Ass}
