"""The name of a document goes in; what all versions of its film have in common comes out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Final

__all__ = ["film_of"]

_OPUS_FILM = re.compile(r"(?:^|/)(\d{4}/\d+)/[^/]+\.xml(?:\.gz)?$")
_ENDING = re.compile(r"\.\w{1,5}")
_WORD = re.compile(r"[^\s._\-\[\]()+&]+")
_BETWEEN_WORDS = re.compile(r"[\s_-]+")
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z]+")
"""SrtEN is Srt and EN."""

_CODES: Final = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en"
    " eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv"
    " ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mo mr ms mt my na nb nd"
    " ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr"
    " ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
    # those of countries that stand for languages
    " cn cz dk gr jp ua"
)
"""ISO 639-1."""
_LONG_CODES: Final = (
    "ara baq ben bul cat ces chi cze dan dut ell est eus fas fil fin fre ger glg gre heb hin hrv hun ice ind isl ita"
    " lav lit mac may mkd msa nob nor per pob pol por ron rum slk slo slv spa srp swe tam tel tha tur ukr urd"
    " vie"
)
"""ISO 639-2: words too, as the cat, so that they count only where a title has no words, behind a dot."""
_NAMES: Final = (
    # codes of three letters that are no words
    "eng deu fra esp jpn kor nld rus zho chs cht chn cmn"
    " english german french spanish italian portuguese brazilian dutch russian japanese chinese mandarin cantonese"
    " korean arabic polish turkish swedish danish finnish norwegian czech greek hungarian romanian hebrew hindi thai"
    " vietnamese ukrainian bulgarian croatian serbian slovenian slovak indonesian malay persian farsi latin"
    " deutsch francais français espanol español castellano latino italiano portugues português nederlands svenska"
    " dansk suomi norsk polski cesky česky čeština magyar romana română turkce türkçe русский українська 日本語 中文"
    " 英文 英语 简体 简中 繁体 繁體 繁中 한국어 العربية"
)
_OTHERS: Final = re.compile(
    # versions
    r"forced|full|sdh|cc|hi|hoh|dub(?:bed)?|auto|orig|v\d{1,2}|hans|hant|bilingual|双语|雙語"
    # qualities
    r"|\d{3,4}[pi]|[248]k|\d+kb|(?:8|10)bit|[xh]26[45]|hevc|avc|xvid|divx|aac|ac3|dts|hdr|u?hd|web|dl|webdl|remux"
    r"|(?:web|br|bd|dvd|hd|tv)rip|bluray|hdtv|dvd|mp4|m4v|mkv|avi|mov|webm|wmv|flv|mpe?g|ogv"
    # parts of a film
    r"|(?:cd|dis[ck])\d{0,2}"
    # formats
    r"|srt|sub|subs|subtitles?|ass|ssa|vtt|zip|tar|t?gz"
)
_SHORT = frozenset(_CODES.split()) | frozenset(_NAMES.split())
_LONG = frozenset(_LONG_CODES.split())
_REGION = re.compile(r"[A-Z]{2}|us|gb|419|latn|cyrl")
_CODEC = re.compile(r"[xh]26[45]|hevc|xvid|divx", re.IGNORECASE)
_DISC = re.compile(r"cd|dis[ck]", re.IGNORECASE)


def film_of(name: str) -> str:
    """Return what the versions of one film have in common: the name without tags of languages, versions, qualities.

    Tags go from the end of the name as long as there are any; a name of nothing else is that of its folder. Folders
    of nothing but tags are left out. Two films that seem to be one are only never torn apart, while one that seems
    to be two would be learnt from and validated on: in doubt it is one.

    OPUS keeps all versions of a film in one folder, YEAR/NUMBER, which is its name then.
    """
    opus = _OPUS_FILM.search(name)
    if opus:
        return opus[1]
    path = PurePosixPath(unicodedata.normalize("NFC", name))  # a Mac writes é as two signs
    if path.suffix.lower() in (".gz", ".bz2", ".xz"):
        path = path.with_suffix("")
    stem = path.stem if _ENDING.fullmatch(path.suffix) else path.name
    folders = [part for part in path.parent.parts if _without_tags(part)]
    return PurePosixPath(*folders, _without_tags(stem)).as_posix()


def _without_tags(text: str) -> str:
    """Take all tags off the end of a text; nothing is left where there is nothing else."""
    found = list(_WORD.finditer(text))
    words = [word[0] for word in found]
    separators = ["", *(text[one.end() : other.start()] for one, other in pairwise(found))]
    left = len(words)
    while left and (taken := _tag(words, separators, left)):
        left -= taken
    if not left:
        return "" if words else text
    # a bracket that is closed stays: (1994).en
    behind = text[found[left - 1].end() :]
    return text[: len(text) - len(behind.lstrip(")]"))]


def _tag(words: Sequence[str], separators: Sequence[str], count: int) -> int:
    """Return how many of the first `count` words are one tag at their end; before each word stands its separator."""
    last, separator = words[count - 1], separators[count - 1]
    if count > 1:
        before = words[count - 2]
        region = separator in ("-", "_") and _REGION.fullmatch(last)
        if (
            (region and before.casefold() in _SHORT | _LONG)
            or (separator == "-" and _CODEC.fullmatch(before))  # x264-GROUP
            or (last.isdecimal() and _DISC.fullmatch(before))
        ):
            return 2
    if _is_tag(last) or all(map(_is_tag, _PIECE.findall(last))):
        return 1
    return int(last.casefold() in _LONG and not _BETWEEN_WORDS.fullmatch(separator))


def _is_tag(word: str) -> bool:
    plain = word.casefold()
    return plain in _SHORT or _OTHERS.fullmatch(plain) is not None
