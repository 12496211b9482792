"""Lines with markup go in, the words somebody says come out."""

from __future__ import annotations

import html
import re
import unicodedata

__all__ = ["clean_line", "split_speakers", "strip_markup"]

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|<\d\d:[\d:.]+>")
_OVERRIDE = re.compile(r"\{[^}]*\}")
_BRACE = re.compile(r"[{}]")
_BREAK = re.compile(r"\\[Nn]|<br\s*/?>", re.IGNORECASE)


def strip_markup(text: str) -> str:
    """Take HTML tags, ASS override blocks and entities off a cue; line breaks stay, as `\\n`."""
    text = _BREAK.sub("\n", text).replace("\\h", " ")
    closed, brace, rest = text.rpartition("}")  # beyond the last brace there is no block to look for, however long
    text = _BRACE.sub("", _OVERRIDE.sub("", closed + brace) + rest)
    text = _TAG.sub("", text)
    return html.unescape(text) if "&" in text else text


_SQUARE_NOTE = re.compile(r"\[[^\[\]]*\]|【[^【】]*】")
_ROUND_NOTE = re.compile(r"\([^()]*\)|（[^（）]*）")
_LABEL = re.compile(r"^([^\W\d_][\w .'’#-]{1,24}):\s+(?=\S)")
_MUSIC = re.compile(r"[♪♫♬♩]")
_SPACES = re.compile(r"\s+")


def clean_line(text: str) -> str:
    """Return what is said in `text`, on one line, or an empty string where nothing is.

    Notes for the hearing-impaired in brackets go, and so do capital speaker labels and the invisible characters
    that change no letter; a line with a music sign is sung, so nothing of it stays.
    """
    if _MUSIC.search(text):
        return ""
    text = _without_notes(text)
    text = "".join(char for char in text if unicodedata.category(char) != "Cf" or char == "\u200d")
    text = _SPACES.sub(" ", text).strip().lstrip("> ")
    label = _LABEL.match(text)
    if label and label[1].isupper():
        text = text[label.end() :]
    return text if any(char.isalnum() for char in text) else ""


def _without_notes(text: str) -> str:
    """Take bracketed notes out, from the innermost outwards, as deep as an honest line goes."""
    for _ in range(4):
        text = _ROUND_NOTE.sub(" ", _SQUARE_NOTE.sub(" ", text))
    return text


_DASH_START = re.compile(r"^\s*[-–—‐]\s*(?![-–—‐])")
_DASH_INSIDE = re.compile(r"(?<=[.!?…\"”])\s+[-–—‐]\s*(?=[^\s\d–—‐-])")


def split_speakers(text: str) -> list[str]:
    """Cut a cue into what each speaker of it says; a dash begins a new speaker.

    `- Hi.\\n- Hello.` and, where the line itself begins with a dash, `- Hi. - Hello.` have two speakers; a dash inside
    a sentence has no say.
    """
    parts: list[str] = []
    for line in text.split("\n"):
        opened = _DASH_START.match(line)
        if not opened:
            if parts:
                parts[-1] += "\n" + line
            else:
                parts.append(line)
            continue
        parts += _DASH_INSIDE.split(line[opened.end() :])
    return [part for part in parts if part.strip()]
