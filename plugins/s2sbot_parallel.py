"""The readers `tsv` and `moses`: a pair of sentences a line, in one file or in two."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator, Mapping
from itertools import islice, zip_longest
from typing import BinaryIO, Final, cast

from s2sbot import Exchange, Lost, Origin, PairReader, Reader, decode_text, hookimpl, text_lines

SNIFFED: Final = 8 * 2**10
"""Bytes that say whether a file has two columns."""
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


class Tsv:
    """Source, tab, target; further columns are passed over, and so are lines without both sides."""

    def sniff(self, head: bytes, name: str) -> float:
        """Look for tabs with text on both sides in most of the first lines."""
        rows = [row for row in head[:SNIFFED].replace(b"\r", b"\n").split(b"\n") if row.strip(b" \0")][:50]
        if sum(b"\t" in row for row in rows) < max(1, 0.8 * len(rows) - 1):  # the last one may be cut off
            return 0.0
        try:
            text, _ = decode_text(head[:SNIFFED], cut=True)
        except ValueError:
            return 0.0
        whole = text[: text.rfind("\n") + 1] or text
        lines = [line for line in islice(whole.split("\n"), 50) if line.strip()]
        good = sum(1 for line in lines if len([field for field in line.split("\t")[:2] if field.strip()]) == 2)
        if not lines or good < 0.8 * len(lines):
            return 0.0
        return 0.9 if name.lower().removesuffix(".gz").endswith((".tsv", ".tab")) else 0.7

    def read(self, stream: BinaryIO, name: str) -> Iterator[Exchange | Lost]:
        """Yield an exchange for every line with two sides."""
        for number, line in enumerate(_lines(stream), 1):
            if isinstance(line, Lost):
                yield line
                continue
            source, _, rest = line.partition("\t")
            target = rest.partition("\t")[0]
            if source.strip() and target.strip():
                yield Exchange(_text(source), _text(target), origin=Origin(name, line=number))


class Moses:
    """Two files of as many lines: line n of one is the translation of line n of the other."""

    def read_pair(self, source: BinaryIO, target: BinaryIO, name: str) -> Iterator[Exchange | Lost]:
        """Yield an exchange for every line that has text on both sides; what is lost on one side loses its pair."""
        number = 0
        for number, (left, right) in enumerate(zip_longest(_lines(source), _lines(target)), 1):
            if left is None or right is None:
                short = "source" if left is None else "target"
                raise ValueError(f"the {short} side of {name} ends after line {number - 1}, the other side goes on")
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
