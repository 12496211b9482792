"""Bytes of any encoding and lines with markup go in, the words somebody says come out."""

from __future__ import annotations

import codecs
import html
import re
import unicodedata

__all__ = ["clean_line", "decode_text", "split_speakers", "strip_markup"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins the same way
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode_text(data: bytes, *, cut: bool = False) -> tuple[str, str]:
    """Return the text of `data` and the name of its encoding, line ends as `\\n`.

    A byte order mark counts first, then strict UTF-8, then UTF-16 by its zero bytes, then detection. `cut` data, as
    the head of a file is, may end inside a character.

    Raises:
        ValueError: where it is no text.
    """
    text, encoding = _decode(data, cut)
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding


def _decode(data: bytes, cut: bool) -> tuple[str, str]:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _strictly(data, encoding, cut), encoding
    if not data.count(0):
        try:
            return _strictly(data, "utf-8", cut), "utf-8"
        except UnicodeDecodeError:
            return _detect(data)
    for encoding, zeros in (("utf-16-le", data[1::2]), ("utf-16-be", data[0::2])):
        if zeros.count(0) > 0.3 * len(zeros) and data.count(0) <= 0.55 * len(data):
            try:
                return _strictly(data, encoding, cut), encoding
            except UnicodeDecodeError:
                continue
    raise ValueError("binary data, not text")


def _strictly(data: bytes, encoding: str, cut: bool) -> str:
    return codecs.getincrementaldecoder(encoding)().decode(data, final=not cut)


_WESTERN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÖØŒÙÚÛÜßàáâãäåæçèéêëìíîïñòóôöøœùúûüÿ¿¡«»·°‘’“”„–—…€²×±\xa0")


def _detect(data: bytes) -> tuple[str, str]:
    import charset_normalizer

    best = charset_normalizer.from_bytes(data[:200_000], explain=False).best()
    if best is None:
        raise ValueError("text in no known encoding")
    if best.encoding == "cp1250":
        # it is often taken for what is Spanish or French, whose letters its bytes are too: ñ for ń, ¿ for ż
        western = data.decode("cp1252", errors="replace")
        if {char for char in western if char >= "\x80"} <= _WESTERN:
            return western, "cp1252"
    return data.decode(best.encoding, errors="replace"), best.encoding


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
