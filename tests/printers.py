"""Cues as each subtitle format prints them, so that what a reader makes of them can be held against them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import quoteattr

from s2sbot import Cue

FRAME_RATE = 25


def escaped(text: str, more: str = "") -> str:
    """Spell what is markup somewhere, and the characters of `more`, as numbers, which every reader turns back."""
    return "".join(f"&#{ord(char)};" if char in "\\{}<>&" or char in more else char for char in text)


def _parts(seconds: float) -> tuple[int, int, int, int]:
    """Return hours, minutes, seconds and milliseconds."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return whole // 3600, whole // 60 % 60, whole % 60, milliseconds


def _stamp(seconds: float, point: str, digits: int = 3) -> str:
    h, m, s, ms = _parts(seconds)
    return f"{h:02}:{m:02}:{s:02}{point}{f'{ms:03}'[:digits]}"


def print_srt(cues: Sequence[Cue]) -> str:
    """Print SubRip."""
    return "\n".join(
        f"{number}\n{_stamp(cue.start, ',')} --> {_stamp(cue.end, ',')}\n{escaped(cue.text)}\n"
        for number, cue in enumerate(cues, 1)
    )


def print_vtt(cues: Sequence[Cue]) -> str:
    """Print WebVTT, with voices."""
    blocks = ["WEBVTT\n"]
    for cue in cues:
        voice = f"<v {escaped(cue.speaker)}>" if cue.speaker else ""
        blocks.append(f"{_stamp(cue.start, '.')} --> {_stamp(cue.end, '.')}\n{voice}{escaped(cue.text)}\n")
    return "\n".join(blocks)


def print_ass(cues: Sequence[Cue]) -> str:
    """Print ASS, with names, styles and comments."""
    lines = [
        "[Script Info]",
        "ScriptType: v4.00+",
        "",
        "[Events]",
        "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text",
    ]
    for cue in cues:
        h, m, s, ms = _parts(cue.start)
        hh, mm, ss, mss = _parts(cue.end)
        times = f"{h}:{m:02}:{s:02}.{ms // 10:02},{hh}:{mm:02}:{ss:02}.{mss // 10:02}"
        kind = "Comment" if cue.mark == "comment" else "Dialogue"
        text = escaped(cue.text).replace("\n", "\\N")
        lines.append(f"{kind}: 0,{times},{cue.style or 'Default'},{cue.speaker or ''},0,0,0,,{text}")
    return "\n".join(lines) + "\n"


def print_microdvd(cues: Sequence[Cue]) -> str:
    """Print MicroDVD of `FRAME_RATE` frames a second."""
    lines = [f"{{1}}{{1}}{FRAME_RATE}"]
    for cue in cues:
        start, end = round(cue.start * FRAME_RATE), round(cue.end * FRAME_RATE)
        lines.append(f"{{{start}}}{{{end}}}{_barred(cue)}")
    return "\n".join(lines) + "\n"


def print_subviewer(cues: Sequence[Cue]) -> str:
    """Print SubViewer 2."""
    head = (
        "[INFORMATION]\n[TITLE]A film\n[END INFORMATION]\n[SUBTITLE]\n[COLF]&HFFFFFF,[STYLE]bd,[SIZE]18,[FONT]Arial\n"
    )
    return head + "\n".join(
        f"{_stamp(cue.start, '.', 2)},{_stamp(cue.end, '.', 2)}\n{escaped(cue.text, '[|:').replace(chr(10), '[br]')}\n"
        for cue in cues
    )


def print_subviewer1(cues: Sequence[Cue]) -> str:
    """Print SubViewer 1."""
    head = "[TITLE]\nA film\n[BEGIN]\n******** START SCRIPT ********\n"
    body = "".join(f"[{_stamp(cue.start, '', 0)}]\n{_barred(cue, '[')}\n[{_stamp(cue.end, '', 0)}]\n\n" for cue in cues)
    return f"{head}{body}[END]\n******** END SCRIPT ********\n"


def print_sbv(cues: Sequence[Cue]) -> str:
    """Print what YouTube calls SubViewer."""
    blocks = []
    for cue in cues:
        h, m, s, ms = _parts(cue.start)
        hh, mm, ss, mss = _parts(cue.end)
        times = f"{h}:{m:02}:{s:02}.{ms:03},{hh}:{mm:02}:{ss:02}.{mss:03}"
        blocks.append(f"{times}\n{escaped(cue.text, '[:')}\n")
    return "\n".join(blocks)


def print_sami(cues: Sequence[Cue]) -> str:
    """Print SAMI of one language, where a blank ends each cue."""
    lines = ["<SAMI><HEAD><STYLE><!-- .ENCC {Name: English; lang: en-US;} --></STYLE></HEAD><BODY>"]
    for cue in cues:
        text = escaped(cue.text).replace("\n", "<br>")
        lines.append(f"<SYNC Start={round(cue.start * 1000)}><P Class=ENCC>{text}")
        lines.append(f"<SYNC Start={round(cue.end * 1000)}><P Class=ENCC>&nbsp;")
    return "\n".join([*lines, "</BODY></SAMI>"]) + "\n"


def print_ttml(cues: Sequence[Cue]) -> str:
    """Print TTML, with agents and styles."""
    lines = [
        '<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttm="http://www.w3.org/ns/ttml#metadata">',
        "<body><div>",
    ]
    for cue in cues:
        # what would be markup in another format is escaped for the reader, and that once more for XML
        text = "<br/>".join(escaped(line).replace("&", "&amp;") for line in cue.text.split("\n"))
        style = f" style={quoteattr(cue.style)}" if cue.style else ""
        agent = f" ttm:agent={quoteattr(cue.speaker)}" if cue.speaker else ""
        lines.append(f'<p begin="{_stamp(cue.start, ".")}" end="{_stamp(cue.end, ".")}"{style}{agent}>{text}</p>')
    return "\n".join([*lines, "</div></body></tt>"]) + "\n"


def print_lrc(cues: Sequence[Cue]) -> str:
    """Print LRC, which has no ends; lines of a text are songs' lines of one time."""
    lines = ["[ti:A song]"]
    for cue in cues:
        h, m, s, ms = _parts(cue.start)
        lines.append(f"[{h * 60 + m:02}:{s:02}.{ms // 10:02}]{escaped(cue.text, '[')}")
    return "\n".join(lines) + "\n"


def print_mpl2(cues: Sequence[Cue]) -> str:
    """Print MPL2."""
    return "".join(f"[{round(cue.start * 10)}][{round(cue.end * 10)}]{_barred(cue, '/')}\n" for cue in cues)


def print_tmplayer(cues: Sequence[Cue]) -> str:
    """Print TMPlayer, which has no ends."""
    return "".join(f"{_stamp(cue.start, '', 0)}:{_barred(cue)}\n" for cue in cues)


def _barred(cue: Cue, more: str = "") -> str:
    return escaped(cue.text, f"|{more}").replace("\n", "|")


PRINTERS: Final[Mapping[str, Callable[[Sequence[Cue]], str]]] = {
    "srt": print_srt,
    "vtt": print_vtt,
    "ass": print_ass,
    "microdvd": print_microdvd,
    "subviewer": print_subviewer,
    "sbv": print_sbv,
    "sami": print_sami,
    "ttml": print_ttml,
    "lrc": print_lrc,
    "mpl2": print_mpl2,
    "tmplayer": print_tmplayer,
}
"""The printer of each format, by the name of its reader."""

RESOLUTION: Final[Mapping[str, int]] = {
    "srt": 1,
    "vtt": 1,
    "ass": 10,
    "microdvd": 1000 // FRAME_RATE,
    "subviewer": 10,
    "sbv": 1,
    "sami": 1,
    "ttml": 1,
    "lrc": 10,
    "mpl2": 100,
    "tmplayer": 1000,
}
"""Milliseconds that a format's times are multiples of."""
