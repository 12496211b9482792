"""The reader `subtitles`: SubRip, WebVTT, ASS/SSA and MicroDVD, of which only what somebody says is kept."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import pysubs2

from s2sbot import Cue, PairReader, Reader, decode_text, hookimpl, strip_markup

LARGEST_FILE = 64 * 2**20
_ASS = re.compile(r"^\s*\[(Script Info|V4\+? Styles|Events)\]", re.IGNORECASE | re.MULTILINE)
_VTT = re.compile(r"^\s*WEBVTT\b")
_SRT = re.compile(r"^\s*-?\d{1,3}:\d{1,2}(?::\d{1,2})?(?:[,.]\d+)?\s*-->", re.MULTILINE)
_MICRODVD = re.compile(r"^\s*\{\d+\}\{\d*\}", re.MULTILINE)
_FORMATS = (("ass", _ASS), ("vtt", _VTT), ("srt", _SRT), ("microdvd", _MICRODVD))

_PLACED = re.compile(r"\\(?:pos|move|org|i?clip)\s*\(|\\p[1-9]|\\[kK][fo]?\d|\\fsc[xy]0(?!\d)")
_NOT_SAID = re.compile(
    r"sign|caption|title|credit|lyric|karaoke|song|note|warning|\bmap\b|logo|typeset|\bop\b|\bed\b|opening|ending|"
    r"chapter|staff|insert|end roll|musical",
    re.IGNORECASE,
)
DEFAULT_FRAME_RATE = 23.976
"""Frames a second of a MicroDVD file that does not say."""


def find_format(text: str) -> str | None:
    """Return the name of the format that `text` begins as, or None; the file's name has no say."""
    return next((name for name, pattern in _FORMATS if pattern.search(text)), None)


class Subtitles:
    """Reads what `pysubs2` parses, and leaves out signs, drawings, comments, songs and credits."""

    def sniff(self, head: bytes, name: str) -> float:
        """Look for the marks of the four formats."""
        try:
            text, _ = decode_text(head)
        except (ValueError, LookupError):
            # a head may end inside a character
            text = head.decode("utf-8", errors="ignore") if b"\0" not in head else ""
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
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of margins and layers, which nobody says
                frame_rate = _frame_rate(text) if kind == "microdvd" else None
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


def _is_said(event: pysubs2.SSAEvent) -> bool:
    return not (
        event.is_comment
        or event.is_drawing
        or _PLACED.search(event.text)
        or _NOT_SAID.search(event.style)
        or event.effect.lower().startswith(("karaoke", "template", "code", "fx"))
    )


def _frame_rate(text: str) -> float:
    first = re.match(r"\s*\{[01]\}\{[01]\}\s*(\d+(?:[.,]\d+)?)\s*$", text, re.MULTILINE)
    return float(first[1].replace(",", ".")) if first else DEFAULT_FRAME_RATE


@hookimpl
def register_readers() -> Mapping[str, type[Reader] | type[PairReader]]:
    """Offer `subtitles`."""
    return {"subtitles": Subtitles}
