"""Lines with markup go in, the words somebody says come out."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Set
from itertools import pairwise
from typing import Literal

__all__ = [
    "clean_line",
    "composed",
    "is_credit",
    "is_sung",
    "one_line",
    "recurring_labels",
    "split_labels",
    "split_speakers",
    "strip_markup",
    "take_label",
    "without_notes",
]

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|<\d\d:[\d:.]+>")
_OVERRIDE = re.compile(r"\{[^}]*\}")
_BRACE = re.compile(r"[{}]")
_BREAK = re.compile(r"\\[Nn]|<br\s*/?>", re.IGNORECASE)


def strip_markup(text: str) -> str:
    """Take HTML tags, ASS override blocks and entities off a cue; line breaks stay, as `\\n`."""
    if "\\" in text or "<" in text:
        text = _BREAK.sub("\n", text).replace("\\h", " ")
    if "{" in text or "}" in text:
        closed, brace, rest = text.rpartition("}")  # beyond the last brace there is no block to look for, however long
        text = _BRACE.sub("", _OVERRIDE.sub("", closed + brace) + rest)
    if "<" in text:
        text = _TAG.sub("", text)
    return html.unescape(text) if "&" in text else text


_NOTE = r"(?:\[[^\[\]]*\]|\([^()]*\)|【[^【】]*】|（[^（）]*）)"
_NOTE_AT_STOP = re.compile(rf"\s?{_NOTE}(?=[.,!?…])")
_NOTE_ANYWHERE = re.compile(_NOTE)


def without_notes(text: str) -> str:
    """Take notes for the hearing-impaired off: what stands in brackets, and a line in a bracket that never closes.

    They go from the innermost outwards, as deep as an honest line has them.
    """
    if "(" not in text and "[" not in text and "【" not in text and "（" not in text:
        return text
    for _ in range(4):
        text = _NOTE_ANYWHERE.sub(" ", _NOTE_AT_STOP.sub("", text))
    opened = text.rfind("[")
    return text[:opened] if opened >= 0 and "]" not in text[opened:] and not text[:opened].strip() else text


_LABEL = re.compile(r"([^\W\d_][\w .'’#&-]{1,24}?) ?(?::\s+|：\s*)(?=\S)")


def take_label(text: str, known: Set[str] = frozenset()) -> tuple[str, str | None]:
    """Return a line without the speaker's name before a colon, and the name.

    A name in capitals is one wherever it stands first, any other where it is among `known`.
    """
    if ":" not in text and "：" not in text:
        return text, None
    label = _LABEL.match(text)
    if label and (label[1].isupper() or label[1] in known):
        return text[label.end() :], label[1]
    return text, None


LONGEST_LABEL = 40
"""Characters that a label and the first letter after it are within."""
_CALLED = re.compile(r"(?<=[.!?…–—\"”’)-])[^\S\n]+(?=[^\W\d_][\w .'’#&-]{2,24}?:\s)")


def split_labels(text: str, known: Set[str] = frozenset()) -> list[str]:
    """Cut what is said in a cue wherever another speaker's name and a colon begin a line, or stand after a sentence."""
    if ":" not in text and "：" not in text:
        return [text]
    parts: list[list[str]] = []
    for line in text.split("\n"):
        called = (found.end() for found in _CALLED.finditer(line))
        begins = [0, *(place for place in called if _calls(line[place : place + LONGEST_LABEL], known))]
        for begin, end in pairwise([*begins, len(line)]):
            said = line[begin:end]
            if parts and not begin and not _calls(said[:LONGEST_LABEL], known):
                parts[-1].append(said)
            else:
                parts.append([said])
    return ["\n".join(part) for part in parts]


def _calls(text: str, known: Set[str]) -> bool:
    """Tell whether a label and the beginning of a sentence stand here, and no word as `NOTE: do not touch it`."""
    said, label = take_label(text, known)
    return label is not None and (label in known or not said[:1].islower())


OFTEN = 3
"""Lines of a file that must begin with the same name and a colon before it is taken for a speaker's."""
USUAL = 100
"""Lines of a file to one that begins with a name, before any is taken for one: who calls `Listen:` thrice in a film
names nobody."""


def recurring_labels(texts: Iterable[str]) -> frozenset[str]:
    """Return the names that stand before a colon and the beginning of a sentence again and again in one file."""
    texts = list(texts)
    lines = (line for text in texts if ":" in text or "：" in text for line in text.split("\n"))
    labels = (_LABEL.match(line.lstrip("-–—‐> ")) for line in lines)
    found = [(label[1], label.string[label.end()]) for label in labels if label]
    # no small letter, rather than a capital: Chinese has neither
    counts = Counter(name for name, after in found if after.isalpha() and not (name[0].islower() or after.islower()))
    names = {name: count for name, count in counts.items() if count >= OFTEN}
    return frozenset(names if USUAL * sum(names.values()) >= len(texts) else ())


_MUSIC = re.compile(r"[♪♫♬♩]")


def is_sung(text: str) -> bool:
    """Tell whether a cue is sung: it has a music sign, or # at both ends."""
    if not text.isascii() and _MUSIC.search(text):
        return True
    if "#" not in text:
        return False
    stripped = text.strip()
    return len(stripped) > 2 and stripped[0] == stripped[-1] == "#"


_ADDRESS = re.compile(r"://|\bwww\.|[a-z0-9-]{2}\.(?:com|net|org|info|tv|eu)(?!\w)")
SHOWN_WITH_ADDRESS = 5
"""Words of a cue up to which an address in it is shown rather than said."""
_LINKS = frozenset(
    [
        "by",
        "von",
        "par",
        "por",
        "di",
        "da",
        "door",
        "av",
        "af",
        "przez",
        "od",
        "de",
        "la",
        "dari",
        "készítette",
        "your",
        "us",
        "vip",
    ]
)
_CREDIT = re.compile(
    r"(?:^|\n)\W{0,40}(?:sub(?:title|bing|)s?(?:\s*edited)?|subtitled|subtitling|captions?|captioned|captioning"
    r"|transcripts?|transcribed|translat(?:ed|ion)|synchro\w*|sync(?:ed|hed)?(?:\s*(?:and|&|,)\s*correct\w*)?|correct(?:ed|ions)|timed|timing"
    r"|ripped|encoded|edited|qc(?:ed)?|proofread)\s*(?:by\b|:)"
    r"|(?:\b(?P<noun>untertitel|übersetzung|sous-titrage|sous-titres|traduction|adaptation|subtítulos|traducción|sincronización"
    r"|legendas?|tradução|sottotitoli|traduzione|ondertitel\w*|vertaling|vertaald|undertexter|översättning|oversættelse"
    r"|undertekster|tekstet|tekstitys|napisy|tłumaczenie|titulky|překlad|preklad|felirat\w*|fordította|traducerea"
    r"|subtitrare\w*|titlovi|prijevod|prevod|υπότιτλοι|μετάφραση|субтитры|перевод|субтитри|превод|altyazı|çeviri)\s*"
    r"(?::|\b(?P<link>von|par|por|di|da|door|av|af|przez|od|de|la|dari|készítette)\b))"
    r"|字幕(?:组|組|翻译|翻譯|制作|製作)|\b(?:opensubtitles|podnapisi|subscene)\b"
    r"|\badvertise your product\b|\bsupport us and become\b"
)


def is_credit(text: str) -> bool:
    """Tell whether a cue says who made the subtitles, or advertises a web site."""
    lower = text.lower()
    if _has_address_part(lower) and (found := _ADDRESS.search(lower)):
        # an address that somebody says stands in a sentence
        return found[0] in ("://", "www.") or len(lower.split()) <= SHOWN_WITH_ADDRESS
    # the long expression is dear, and few lines have a word or sign that leads to a name
    leads = ":" in lower or "subs" in lower or "字幕" in lower or not _LINKS.isdisjoint(lower.split())
    return leads and any(_names_somebody(found, text, lower) for found in _CREDIT.finditer(lower, 0, LONGEST_CREDIT))


LONGEST_CREDIT = 400
"""Characters from the beginning of a cue in which a credit is looked for."""
FEW_WORDS = 4
"""Words up to which a cue that begins as a credit is one, though the name in it has no capital."""


def _names_somebody(found: re.Match[str], text: str, lower: str) -> bool:
    """Tell whether what follows is a name, and no sentence about translations."""
    after = text[found.end() : found.end() + 2].lstrip() if len(text) == len(lower) else ""
    small = after[:1].islower()
    if found["link"]:
        before = lower[lower.rfind("\n", 0, found.start()) + 1 : found.start()]
        return len(before.split()) <= 1 and (not small or len(lower.split(None, FEW_WORDS)) <= FEW_WORDS)
    return found["noun"] is not None or not (small and lower.endswith((".", "!", "?")))


def _has_address_part(text: str) -> bool:
    """Tell whether an address may be in it; one look after another, since a loop over all takes three times as long."""
    return (
        ".com" in text
        or ".net" in text
        or ".org" in text
        or ".info" in text
        or ".tv" in text
        or ".eu" in text
        or "www." in text
        or "://" in text
    )


_INVISIBLE = re.compile(
    "[\u00ad\u0600-\u0605\u061c\u06dd\u070f\u08e2\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


def one_line(text: str) -> str:
    """Return text on one line, its letters composed (NFC), without the invisible characters that change no letter."""
    return " ".join(text.split()) if text.isascii() else " ".join(composed(_INVISIBLE.sub("", text), "NFC").split())


LONGEST_WORD = 256
"""Characters of a word beyond which it is left as it is: time grows with the square of the signs on one letter."""


def composed(text: str, form: Literal["NFC", "NFKC"]) -> str:
    """Return text in a normal form of Unicode."""
    words = text.split()
    if all(len(word) <= LONGEST_WORD for word in words):
        return unicodedata.normalize(form, text)
    return " ".join(word if len(word) > LONGEST_WORD else unicodedata.normalize(form, word) for word in words)


def clean_line(text: str) -> str:
    """Return what is said in `text`, on one line, or an empty string where nothing is.

    Notes for the hearing-impaired in brackets go, and so do capital speaker labels and the invisible characters
    that change no letter; a line with a music sign is sung, so nothing of it stays.
    """
    if is_sung(text):
        return ""
    said, _ = take_label(one_line(without_notes(text)).lstrip("> "))
    return said if any(map(str.isalnum, said)) else ""


_SPEAKER_SIGNS = re.compile(r"(?m)^[^\S\n]*(?:[-–—‐]|>>)")
_DASH_START = re.compile(r"^\s*(?:[-–—‐]\s*(?![-–—‐])|>>+\s*)")
_MINUS = re.compile(
    r"\s*[-–]\d{1,4}(?:[.,]\d{1,4})?\s?(?:°|%|degrees?\b|percent\b|grad\b|degrés?\b|grados\b|graus\b|gradi\b)", re.I
)
"""A number below zero; `-5 minutes.` is what another speaker says."""
_DASH_INSIDE = re.compile(r"(?<=[.!?…\"”])\s+(?:[-–—‐]\s*(?=[^\s\d–—‐-])|>>+\s*)")


def split_speakers(text: str) -> list[str]:
    """Cut a cue into what each speaker of it says; a dash, or `>>`, begins a new speaker.

    `- Hi.\\n- Hello.` and, where the line itself begins with a dash, `- Hi. - Hello.` have two speakers; a dash inside
    a sentence has no say.
    """
    if (text.isascii() and "-" not in text and ">>" not in text) or not _SPEAKER_SIGNS.search(text):
        return [text] if text.strip() else []
    parts: list[list[str]] = []
    if _MINUS.match(text) and len(_SPEAKER_SIGNS.findall(text)) == 1:
        return [text]
    for line in text.split("\n"):
        opened = _DASH_START.match(line)
        if opened:
            parts += ([said] for said in _DASH_INSIDE.split(line[opened.end() :]))
        elif parts:
            parts[-1].append(line)
        else:
            parts.append([line])
    return [part for part in map("\n".join, parts) if part.strip()]
