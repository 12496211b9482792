"""The readers `tsv` and `moses`: a pair of sentences a line, in one file or in two."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice, zip_longest
from typing import BinaryIO, Final, cast

from s2sbot import Exchange, Lost, Origin, PairReader, Reader, decode_text, hookimpl, text_lines

SNIFFED: Final = 8 * 2**10
"""Bytes that say whether a file has two columns."""
ROWS: Final = 50
"""Lines of them that are looked at."""
_RETURNS: Final = re.compile(rb"\r+(\n?)")


class _StrayReturns(io.BufferedIOBase):
    """Passes a file on whose `\\r` are line ends only before a `\\n`, and else spaces, unless it has no `\\n` at all.

    Such a sign inside a sentence would move all further lines of its side against those of the other one.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._mends: bool | None = None
        self._held = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        while data := self._stream.read(-1 if size is None else size):
            if self._mends is None:  # in UTF-16, `\r` may be half of any character
                self._mends = b"\n" in data and b"\0" not in data
            if not self._mends:
                return data
            data, self._held = self._held + data.replace(b"\r\n", b"\n"), b""
            if data.endswith(b"\r"):
                data, self._held = data.rstrip(b"\r"), b"\r"
            if data:
                return _RETURNS.sub(lambda found: found[1] or b" ", data) if b"\r" in data else data
        data, self._held = self._held, b""
        return data


def _lines(stream: BinaryIO) -> Iterator[str | Lost]:
    return text_lines(cast(BinaryIO, _StrayReturns(stream)))


_ESCAPED = re.compile(r"&(?:amp|apos|quot|lt|gt|#39|#91|#93|#124);")
"""What the tokenizer of Moses makes of signs that mean something to it."""


def _text(line: str) -> str:
    """Return a side of a pair without the escapes of Moses."""
    line = line.strip()
    return _ESCAPED.sub(lambda found: html.unescape(found[0]), line) if "&" in line else line


_CODES: Final = frozenset(
    re.findall(
        r"\w+",
        "af am ar az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja ka "
        "kk km kn ko ku la lt lv mk ml mn mr ms mt my nb ne nl nn no pa pl ps pt ro ru si sk sl so sq sr sv sw ta "
        "te th tl tr uk ur uz vi yi zh afr ara aze bel ben bos bul cat ces cmn cym dan deu ell eng epo est eus fas "
        "fin fra ger gla gle glg heb hin hrv hun hye ind isl ita jpn kat kaz kor lat lav lit mkd mon msa mya nld "
        "nno nob nor pes pol por ron rus slk slv spa sqi srp swa swe tam tel tgl tha tur ukr urd uzb vie zho zsm",
    )
)
_HEADINGS: Final = frozenset(
    re.findall(
        r"\w+",
        "source target src tgt trg id sentence text translation afrikaans albanian arabic armenian azerbaijani "
        "basque belarusian bengali bosnian bulgarian catalan chinese croatian czech danish dutch english esperanto "
        "estonian finnish french galician georgian german greek hebrew hindi hungarian icelandic indonesian irish "
        "italian japanese kazakh khmer korean latin latvian lithuanian macedonian malay mandarin mongolian "
        "norwegian persian polish portuguese romanian russian serbian slovak slovenian somali spanish swahili "
        "swedish tagalog tamil telugu thai turkish ukrainian urdu uzbek vietnamese welsh yiddish",
    )
)
_NUMBER: Final = re.compile(r"\s*-?\d+(?:[.,]\d+)?\s*")


def _is_heading(field: str) -> bool:
    """Whether a field says what stands below it: `en`, `pt-BR`, `French`, `source`, `sentence1`, `src_text`."""
    word = re.split(r"[-_\d]", field.strip(' "#'), maxsplit=1)[0]
    # `It` and `No` begin with a capital letter because they are words
    return word.lower() in _HEADINGS or (word.lower() in _CODES and word in (word.lower(), word.upper()))


def _columns(rows: list[list[str]], *, headed: bool = False) -> tuple[int, int]:
    """Return which columns are the pair: the first two, or those behind the numbers that every row begins with.

    Without a header, what stands behind one number must be sentences: a list of words may begin with numbers too.
    """
    for numbers, pair in (((0, 2), (1, 3)), ((0,), (1, 2))):
        full = [row for row in rows if len(row) > pair[1] and all(row[place].strip() for place in pair)]
        said = sum(all(" " in row[place].strip() for place in pair) for row in full)
        wide = len(full) >= max(1, 0.8 * len(rows)) and (headed or len(numbers) > 1 or 2 * said > len(full))
        if wide and all(_NUMBER.fullmatch(row[place]) for row in rows for place in numbers if place < len(row)):
            return pair
    return 0, 1


def _layout(lines: list[tuple[int, str | Lost]]) -> tuple[int, int, int]:
    """Return the number of the line that is a header, 0 where none is, and the columns of source and target."""
    rows = [(number, line.split("\t")) for number, line in lines if isinstance(line, str) and line.strip()]
    fields = [row for _, row in rows if len(row) > 1]
    if len(fields) > 1 and fields[0] is rows[0][1] and not _NUMBER.fullmatch(fields[0][0]):
        pair = _columns(fields[1:], headed=True)
        above = [fields[0][place] for place in pair if place < len(fields[0])]
        # `no` and `no` are a word and its translation
        is_header = len(above) == 2 and all(map(_is_heading, above))
        if is_header and (pair != (0, 1) or (above[0] != above[1] and not _are_words(fields[1:], above))):
            return rows[0][0], *pair
    return 0, *_columns(fields)


_WORDS = frozenset(
    [
        "am",
        "an",
        "as",
        "be",
        "da",
        "do",
        "es",
        "he",
        "id",
        "is",
        "it",
        "ja",
        "la",
        "my",
        "na",
        "ne",
        "no",
        "or",
        "sa",
        "se",
        "si",
        "so",
        "ta",
        "te",
        "ti",
        "to",
        "tu",
        "vi",
        "wa",
    ]
)
"""Codes of languages that are words in some language."""


def _are_words(rows: list[list[str]], above: list[str]) -> bool:
    """Tell whether a list of words begins with two that happen to be codes of languages."""
    lengths = [len(field.strip()) for row in rows for field in row[:2]]
    return _WORDS.issuperset(word.strip().lower() for word in above) and sum(lengths) < 10 * len(lengths)


class Tsv:
    """Source, tab, target; numbers in front, further columns and a header are passed over."""

    def sniff(self, head: bytes, name: str) -> float:
        """Look for tabs with text on both sides in most of the first lines."""
        rows = [row for row in head[:SNIFFED].replace(b"\r", b"\n").split(b"\n") if row.strip(b" \0")][:ROWS]
        if sum(b"\t" in row for row in rows) < max(1, 0.8 * len(rows) - 1):  # the last one may be cut off
            return 0.0
        try:
            text, _ = decode_text(head[:SNIFFED], cut=True)
        except ValueError:
            return 0.0
        whole = text[: text.rfind("\n") + 1] or text
        lines = [line for line in islice(whole.split("\n"), ROWS) if line.strip()]
        good = sum(1 for line in lines if len([field for field in line.split("\t")[:2] if field.strip()]) == 2)
        if not lines or good < 0.8 * len(lines):
            return 0.0
        return 0.9 if name.lower().removesuffix(".gz").endswith((".tsv", ".tab")) else 0.7

    def read(self, stream: BinaryIO, name: str) -> Iterator[Exchange | Lost]:
        """Yield an exchange for every line with two sides; another one is lost, unless it is blank."""
        lines = enumerate(_lines(stream), 1)
        first: list[tuple[int, str | Lost]] = []
        length = 0
        for number, line in islice(lines, ROWS):
            first.append((number, line))
            length += 0 if isinstance(line, Lost) else len(line)
            if length >= SNIFFED:
                break
        header, left, right = _layout(first)
        for number, line in chain(first, lines):
            if isinstance(line, Lost):
                yield line
                continue
            fields = line.split("\t", right + 1)
            here = (left, right) if number == header or not left or _NUMBER.fullmatch(fields[0]) else (0, 1)
            if len(fields) > here[1] and all(fields[place].strip() for place in here):
                if number != header:
                    source, target = (_text(fields[place]) for place in here)
                    yield Exchange(source, target, origin=Origin(name, line=number))
            elif line.strip():
                yield Lost("a row without text on a side" if len(fields) > 1 else "a row without a tab", number)


class Moses:
    """Two files of as many lines: line n of one is the translation of line n of the other."""

    def read_pair(self, source: BinaryIO, target: BinaryIO, name: str) -> Iterator[Exchange | Lost]:
        """Yield an exchange for every line that has text on both sides; what is lost on one side loses its pair."""
        number = 0
        for number, (left, right) in enumerate(zip_longest(_lines(source), _lines(target)), 1):
            if left is None or right is None:
                short = "source" if left is None else "target"
                raise ValueError(
                    f"the {short} side of {name} ends after line {number - 1}, the other goes on; both must have the "
                    "same lines"
                )
            if isinstance(left, Lost):
                yield Lost(f"source side: {left.cause}", number)
            elif isinstance(right, Lost):
                yield Lost(f"target side: {right.cause}", number)
            elif left.strip() and right.strip():
                yield Exchange(_text(left), _text(right), origin=Origin(name, line=number))


@hookimpl
def register_readers() -> Mapping[str, type[Reader] | type[PairReader]]:
    """Offer `tsv` and `moses`."""
    return {"tsv": Tsv, "moses": Moses}
