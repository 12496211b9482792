"""The reader `subtitles`: SubRip, WebVTT, ASS/SSA and MicroDVD, of which only what somebody says is kept."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import BinaryIO

import pysubs2

from s2sbot import Cue, PairReader, Reader, decode_text, hookimpl, strip_markup

LARGEST_FILE = 64 * 2**20
_ASS = re.compile(r"^[^\S\n]*\[(Script Info|V4\+? Styles|Events)\]", re.IGNORECASE | re.MULTILINE)
_VTT = re.compile(r"^\s*WEBVTT\b")
_STAMP = r"(-?)(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[,.](\d+))?"
_SRT = re.compile(rf"^[^\S\n]*{_STAMP}[^\S\n]*-->[^\S\n]*{_STAMP}", re.MULTILINE)
_TIMES = re.compile(r"[^\S\n]*-?[\d:.,]+[^\S\n]*-->")
"""Begins a cue, though one without a time where `_SRT` cannot read it."""
_MICRODVD = re.compile(r"^[^\S\n]*\{\d+\}\{\d*\}", re.MULTILINE)
_FORMATS = (("ass", _ASS), ("vtt", _VTT), ("srt", _SRT), ("microdvd", _MICRODVD))

_PLACED = re.compile(r"\\(?:pos|move|org|i?clip)\s*\(|\\p[1-9]|\\[kK][fo]?\d|\\fsc[xy]0(?!\d)")
_NOT_SAID = re.compile(
    r"sign|caption|(?<!sub)title|credit|lyric|karaoke|song|note|warning|\bmap\b|logo|typeset|\bop\b|\bed\b|opening|ending|"
    r"chapter|staff|insert|end roll|musical",
    re.IGNORECASE,
)
DEFAULT_FRAME_RATE = 23.976
"""Frames a second of a MicroDVD file that does not say."""


def find_format(text: str) -> str | None:
    """Return the name of the format that `text` begins as, or None; the file's name has no say."""
    return next((name for name, pattern in _FORMATS if pattern.search(text)), None)


class Subtitles:
    """Reads four formats, two through `pysubs2`, and leaves out signs, drawings, comments, songs and credits."""

    def sniff(self, head: bytes, name: str) -> float:
        """Look for the marks of the four formats."""
        try:
            text, _ = decode_text(head, cut=True)
        except ValueError:
            return 0.0
        return 0.95 if find_format(text) else 0.0

    def read(self, stream: BinaryIO, name: str) -> Iterator[Cue]:
        """Yield the spoken cues."""
        data = stream.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise ValueError(f"larger than {LARGEST_FILE} bytes, which no subtitle file is")
        text, _ = decode_text(data)
        kind = find_format(text)
        if kind is None:
            raise ValueError("no subtitle format known here")
        if kind in ("srt", "vtt"):
            yield from _timed_cues(text, kind)
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of margins and layers, which nobody says
                frame_rate, text = _frame_rate(text) if kind == "microdvd" else (None, text)
                parsed = pysubs2.SSAFile.from_string(text, format_=kind, fps=frame_rate)
        except (
            pysubs2.Pysubs2Error,
            ValueError,
            IndexError,
            KeyError,
            AttributeError,
            OverflowError,
        ) as error:
            raise ValueError(f"damaged {kind} file: {error}") from error
        for event in parsed.events:
            if kind == "ass" and not _is_said(event):
                continue
            said = strip_markup(event.text)
            if said.strip():
                yield Cue(event.start / 1000, event.end / 1000, said, event.name.strip() or None, event.style)


def _timed_cues(text: str, kind: str) -> Iterator[Cue]:
    """Yield the cues of SubRip and WebVTT: a line of times, and the text below it.

    In WebVTT a blank line ends the text, and what follows up to the next times is identifiers, notes and styles; in
    SubRip text may hold blank lines, and only the number before the next times, or at the file's end, is none of it.
    """
    lines = text.split("\n")
    times = [(index, _SRT.match(line)) for index, line in enumerate(lines) if _TIMES.match(line)]
    for number, (index, match) in enumerate(times, 1):
        body = lines[index + 1 : times[number][0] if number < len(times) else None]
        if kind == "vtt":
            body = list(takewhile(str.strip, body))
        elif number < len(times):
            body = body[:-1] if body and body[-1].strip().isdecimal() else body
        else:
            while body and not body[-1].strip():
                body.pop()
            body = body[:-1] if len(body) > 1 and body[-1].strip().isdecimal() and not body[-2].strip() else body
        said = strip_markup("\n".join(body)).strip()
        if match and said:
            yield Cue(_seconds(*match.groups()[:5]), _seconds(*match.groups()[5:]), said)


def _seconds(sign: str, hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    total = (whole * 1000 + int((fraction or "0")[:3].ljust(3, "0"))) / 1000
    return -total if sign else total


def _is_said(event: pysubs2.SSAEvent) -> bool:
    return not (
        event.is_comment
        or _PLACED.search(event.text)
        or _NOT_SAID.search(event.style)
        or event.effect.lower().startswith(("karaoke", "template", "code", "fx"))
    )


def _frame_rate(text: str) -> tuple[float, str]:
    """Return the frames a second that a first line like `{1}{1}25` tells, and the text without it."""
    first = re.match(r"\s*\{[01]\}\{[01]\}\s*(\d+(?:[.,]\d+)?)\s*$", text, re.MULTILINE)
    return (float(first[1].replace(",", ".")), text[first.end() :]) if first else (DEFAULT_FRAME_RATE, text)


@hookimpl
def register_readers() -> Mapping[str, type[Reader] | type[PairReader]]:
    """Offer `subtitles`."""
    return {"subtitles": Subtitles}
