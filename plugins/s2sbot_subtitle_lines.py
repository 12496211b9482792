"""The readers of subtitles with a cue a line or a time a line, as MicroDVD: cues and what was lost come out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from s2sbot import Cue, Lost, PairReader, Reader, SubtitleReader, hookimpl, strip_markup

MOST_REPEATED = 2**13
"""Characters that a line of LRC comes to with all its times; far more, and a small file would fill the memory."""
DEFAULT_FRAME_RATE = 23.976
"""Frames a second of a MicroDVD file that does not say."""


_Found: TypeAlias = Iterator[Cue | Lost]
_Timed: TypeAlias = tuple[float, float | None, str]
"""Start, end where the file says it, and text; without text it only ends what is before it."""


_STAMP = r"(-?)(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9})(?:[,.:;](\d*))?"
_COMMA = re.compile(rf"\s*{_STAMP}\s*,\s*{_STAMP}\s*")
_COMMA_MEANT = re.compile(r"\s*[\d.]*:[\d:.]*,[\d:.,\s]*")
_BREAK = re.compile(r"\[br\]", re.IGNORECASE)

_DRAWN = re.compile(r"\\p[1-9]")
_PLACED = re.compile(r"\\(?:(?:pos|move|org|i?clip)\s*\(|fsc[xy]0(?!\d))")


def _said(text: str) -> str:
    """Return `text` without markup."""
    return strip_markup(text).strip()


def _mark(text: str) -> str | None:
    """Return what override blocks, which came from ASS, say that a text is."""
    return "drawing" if _DRAWN.search(text) else "positioned" if _PLACED.search(text) else None


def _seconds(sign: str, hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    total = (whole * 1000 + int(((fraction or "") + "000")[:3])) / 1000
    return -total if sign else total


def _ended(entries: Sequence[_Timed], *, until_next: bool) -> Iterator[Cue]:
    """Yield the entries with a text; where no end is said, the next entry or the time it takes to read is it."""
    following: float | None = None
    later: list[float | None] = []
    for number in range(len(entries) - 1, -1, -1):
        later.append(following)
        if number and entries[number - 1][0] != entries[number][0]:
            following = entries[number][0]
    for (start, end, text), after in zip(entries, reversed(later), strict=True):
        if said := _said(text):
            if end is None:
                read = round(start + 0.5 + 0.067 * len(said), 3)
                end = read if after is None or after < start else after if until_next else min(read, after)
            yield Cue(start, max(start, end), said, mark=_mark(text) if "{\\" in text else None)


_COMMA_TIMES = r"^[^\S\n]*\d{1,2}:\d{1,2}:\d{1,2}(?:[.:]\d{1,3})?,\d{1,2}:\d{1,2}:\d{1,2}(?:[.:](\d{1,3}))?[^\S\n]*$"
_BRACKETED = r"^[^\S\n]*\[-?\d{1,2}:\d{1,2}:\d{1,2}(?:[.,]\d{1,3})?\][^\S\n]*$"


class Sbv(SubtitleReader):
    """YouTube's SubViewer: start and end with a comma between them, text, a blank line."""

    title = "times with a comma between"
    gate = b","
    sign = re.compile(_COMMA_TIMES, re.MULTILINE)

    def score(self, text: str, found: re.Match[str]) -> float:
        """Return more for thousandths of a second."""
        return 0.95 if len(found[1] or "") == 3 and "[INFORMATION]" not in text else 0.5

    def cues(self, text: str) -> _Found:
        """Yield what stands below each line of times."""
        return _comma_cues(text.split("\n"), "")


class SubViewer(SubtitleReader):
    """SubViewer: version 2 has start and end with a comma between them, version 1 has each in brackets on a line."""

    title = "SubViewer times"
    gate = b":"
    sign = re.compile(f"(?:{_COMMA_TIMES}|{_BRACKETED})", re.MULTILINE)

    def score(self, text: str, found: re.Match[str]) -> float:
        """Return more for a header, brackets, and hundredths of a second."""
        return 0.5 if len(found[1] or "") == 3 and "[INFORMATION]" not in text else 0.95

    def cues(self, text: str) -> _Found:
        """Yield what stands below each line of times."""
        found = self.sign.search(text)
        if found and found[0].lstrip().startswith("["):
            return self._bracketed(text.split("\n"))
        return _comma_cues(text.split("\n"), "[")

    def _bracketed(self, lines: list[str]) -> _Found:
        """Yield version 1: a time in brackets begins a text, the next one ends it."""
        entries: list[_Timed] = []
        for number, line in enumerate(lines, 1):
            stamp = re.fullmatch(rf"\s*\[{_STAMP}\]\s*", line)
            if stamp:
                entries.append((_seconds(*stamp.groups()), None, ""))
            elif line.strip().upper() == "[END]":
                break
            elif entries and line.strip():
                start, _, before = entries.pop()
                entries.append((start, None, f"{before}\n{line}" if before else line))
                if len(before) > 5000:
                    yield Lost("text without times", number)
                    entries[-1] = (start, None, before)
        yield from _ended([(start, end, text.replace("|", "\n")) for start, end, text in entries], until_next=True)


def _comma_cues(lines: list[str], header: str) -> _Found:
    """Yield what stands below each line of two times; lines that begin with `header` are none of it."""
    places = [
        number
        for number, line in enumerate(lines)
        if line.count(":") > 1 and "," in line and _COMMA_MEANT.fullmatch(line)
    ]
    if not header and any(map(str.strip, lines[: places[0] if places else 0])):
        yield Lost("text before the first times", 1)
    for number, following in zip(places, [*places[1:], len(lines)], strict=True):
        if not (found := _COMMA.fullmatch(lines[number])):
            yield Lost("times that cannot be read", number + 1)
            continue
        body = "\n".join(line for line in lines[number + 1 : following] if not header or not _HEADER.match(line))
        if said := _said(_BREAK.sub("\n", body.replace("|", "\n") if header else body)):
            start, end = _seconds(*found.groups()[:5]), _seconds(*found.groups()[5:])
            yield Cue(start, max(start, end), said)


_HEADER = re.compile(r"\[(?:COLF|STYLE|SIZE|FONT|SUBTITLE|END|INFORMATION)\b", re.IGNORECASE)
_FRAMES = re.compile(r"\s*\{ {0,9}(\d{1,9}) {0,9}\}\s*\{ {0,9}(\d{0,9}) {0,9}\}(.*)")
_RATE = re.compile(r"(\d{1,9}(?:[.,]\d{1,9})?)(?: ?fps)?", re.IGNORECASE)


class MicroDvd(SubtitleReader):
    """MicroDVD: two numbers of frames in braces, and text in which `|` breaks lines."""

    title = "MicroDVD frames"
    gate = b"{"
    sign = re.compile(r"^[^\S\n]*\{ {0,9}\d{1,9} {0,9}\}[^\S\n]*\{ {0,9}\d{0,9} {0,9}\}", re.MULTILINE)

    def cues(self, text: str) -> _Found:
        """Yield each line by the frame rate that the first one tells."""
        rate, entries, told = DEFAULT_FRAME_RATE, list[_Timed](), False
        for number, line in enumerate(text.split("\n"), 1):
            if found := _FRAMES.match(line):
                start, end, said = found.groups()
                declared = _RATE.fullmatch(said.strip()) if start in "01" and end in "01" else None
                if declared and not told and not entries:
                    rate, told = float(declared[1].replace(",", ".")), True
                    if not 1 <= rate <= 1000:
                        raise ValueError(f"a frame rate of {declared[1]} frames a second")
                else:
                    seconds = [round(int(frame) / rate, 3) if frame else None for frame in (start, end)]
                    entries.append((seconds[0] or 0.0, seconds[1], said.replace("|", "\n")))
            elif line.strip() and not line.lstrip().upper().startswith("{DEFAULT}"):
                yield Lost("text without frames", number)
        yield from _ended(entries, until_next=False)


_TENTHS = re.compile(r"\s*\[(-?\d{1,9})\]\[(-?\d{1,9})?\](.*)")


class Mpl2(SubtitleReader):
    """MPL2: two numbers of tenths of a second in brackets, and text in which `|` breaks lines and `/` slants one."""

    title = "MPL2 times"
    gate = b"]["
    sign = re.compile(r"^[^\S\n]*\[-?\d{1,9}\]\[(?:-?\d{1,9})?\]", re.MULTILINE)

    def cues(self, text: str) -> _Found:
        """Yield each line."""
        entries: list[_Timed] = []
        for number, line in enumerate(text.split("\n"), 1):
            if found := _TENTHS.match(line):
                said = "\n".join(part.strip().removeprefix("/") for part in found[3].split("|"))
                entries.append((int(found[1]) / 10, int(found[2]) / 10 if found[2] else None, said))
            elif line.strip():
                yield Lost("text without times", number)
        yield from _ended(entries, until_next=False)


_START = re.compile(r"\s*(\d{1,9}):(\d{1,2}):(\d{1,2})(?:,(\d))?[:= ](.*)")


class TmPlayer(SubtitleReader):
    """TMPlayer: a start in whole seconds, and text in which `|` breaks lines."""

    title = "TMPlayer times"
    gate = b":"
    sign = re.compile(r"^[^\S\n]*\d{1,2}:\d{1,2}:\d{1,2}(?:,\d)?[:=]", re.MULTILINE)

    def score(self, text: str, found: re.Match[str]) -> float:
        """Return less than for formats that look less like a log."""
        return super().score(text, found) * 0.8

    def cues(self, text: str) -> _Found:
        """Yield each line; one of the same time and a higher number goes on with it."""
        entries: list[_Timed] = []
        last = "9"
        for number, line in enumerate(text.split("\n"), 1):
            if found := _START.match(line):
                start, said = _seconds("", found[1], found[2], found[3], None), found[5].replace("|", "\n")
                if entries and last < (found[4] or "") and entries[-1][0] == start:
                    start, _, before = entries.pop()
                    said = f"{before}\n{said}"
                entries.append((start, None, said))
                last = found[4] or "9"
            elif line.strip():
                yield Lost("text without a time", number)
        yield from _ended(entries, until_next=False)


_SUNG_AT = re.compile(r"\s*\[(?:(\d{1,3}):(?=\d{1,3}:\d{1,2}\.))?(\d{1,9}):(\d{1,2})(?:[.:,](\d*))?\]")
_ABOUT = re.compile(r"\s*\[\s*([A-Za-z#]\w*)\s*:([^\n]*)\]\s*")


class Lrc(SubtitleReader):
    """LRC: one start or several in brackets, and a line of a song that lasts until the next one."""

    title = "LRC times"
    gate = b"["
    sign = re.compile(
        r"^[^\S\n]*\[\d{1,3}:\d{1,2}(?:[.,]\d{1,3}|:\d{1,3}(?=\][^\S\n]*\S)|:\d{1,2}\.\d{1,3}(?=\]))?\]", re.MULTILINE
    )

    def score(self, text: str, found: re.Match[str]) -> float:
        """Return less for minutes and seconds alone, which a chat has too."""
        lines = [line for line in text.split("\n", 99)[:99] if line.strip()]
        about = sum(1 for line in lines if _ABOUT.fullmatch(line))
        whole = sum(1 for line in lines if self.sign.match(line)) + about > 0.6 * len(lines)
        return (0.94 if about or re.search(r"\d[.,:]\d+\]", found[0]) else 0.4) if whole else 0.3

    def cues(self, text: str) -> _Found:
        """Yield each line as often as it has times."""
        entries: list[_Timed] = []
        offset = 0.0
        for number, line in enumerate(text.split("\n"), 1):
            starts, at = [], 0
            if not line.strip():
                continue
            while stamp := _SUNG_AT.match(line, at):
                starts.append(_seconds("", *stamp.groups()))
                at = stamp.end()
            if len(starts) > 1 and len(starts) * len(line) > MOST_REPEATED:
                yield Lost("a line too long for so many times", number)
                continue
            entries += [(start, None, line[at:]) for start in starts]
            if not starts and (about := _ABOUT.fullmatch(line)):
                shift = re.fullmatch(r"[+-]?\d{1,9}", about[2].strip())
                offset = int(shift[0]) / 1000 if shift and about[1].lower() == "offset" else offset
            elif not starts:
                yield Lost("text without a time", number)
        entries.sort(key=lambda entry: entry[0])
        yield from _ended([(round(start - offset, 3), end, said) for start, end, said in entries], until_next=True)


@hookimpl
def register_readers() -> Mapping[str, type[Reader] | type[PairReader]]:
    """Offer the formats by their names."""
    return {
        "sbv": Sbv,
        "subviewer": SubViewer,
        "microdvd": MicroDvd,
        "mpl2": Mpl2,
        "tmplayer": TmPlayer,
        "lrc": Lrc,
    }
