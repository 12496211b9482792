"""The readers `tsv` and `moses`: a pair of sentences a line, in one file or in two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, zip_longest
from typing import BinaryIO

from s2sbot import Exchange, Origin, PairReader, Reader, decode_text, hookimpl

CHUNK = 2**20
_MISSING = object()


def _lines(stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of a UTF-8 file as they come; another encoding is found by looking at the whole of it."""
    head = stream.read(CHUNK)
    rest = stream.readline() if head and not head.endswith(b"\n") else b""
    try:
        first = (head + rest).decode("utf-8-sig")
    except UnicodeDecodeError:
        first = "\0"
    if "\0" in first:
        text, _ = decode_text(head + rest + stream.read())
        yield from _cut(text)
        return
    yield from (line.rstrip("\r") for line in _cut(first if "\n" in first else first.replace("\r", "\n")))
    for number, line in enumerate(stream, 2):
        try:
            yield line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8 beyond the first MiB, {number} lines on: {error.reason}") from error


def _cut(text: str) -> list[str]:
    """Cut at `\\n` alone: whatever else Unicode takes for a line's end may stand inside a sentence."""
    return text.removesuffix("\n").split("\n") if text else []


class Tsv:
    """Source, tab, target; further columns are passed over, and so are lines without both sides."""

    def sniff(self, head: bytes, name: str) -> float:
        """Look for tabs with text on both sides in most of the first lines."""
        try:
            text, _ = decode_text(head, cut=True)
        except ValueError:
            return 0.0
        whole = text[: text.rfind("\n") + 1] or text
        lines = [line for line in islice(whole.split("\n"), 50) if line.strip()]
        good = sum(1 for line in lines if len([field for field in line.split("\t")[:2] if field.strip()]) == 2)
        if not lines or good < 0.8 * len(lines):
            return 0.0
        return 0.9 if name.lower().removesuffix(".gz").endswith((".tsv", ".tab")) else 0.7

    def read(self, stream: BinaryIO, name: str) -> Iterator[Exchange]:
        """Yield an exchange for every line with two sides."""
        for number, line in enumerate(_lines(stream), 1):
            source, _, rest = line.partition("\t")
            target = rest.partition("\t")[0]
            if source.strip() and target.strip():
                yield Exchange(source.strip(), target.strip(), origin=Origin(name, line=number))


class Moses:
    """Two files of as many lines: line n of one is the translation of line n of the other."""

    def read_pair(self, source: BinaryIO, target: BinaryIO, name: str) -> Iterator[Exchange]:
        """Yield an exchange for every line that has text on both sides."""
        number = 0
        pairs = zip_longest(_lines(source), _lines(target), fillvalue=_MISSING)
        for number, (left, right) in enumerate(pairs, 1):
            if not isinstance(left, str) or not isinstance(right, str):
                short = "source" if left is _MISSING else "target"
                raise ValueError(f"the {short} side of {name} ends after line {number - 1}, the other side goes on")
            if left.strip() and right.strip():
                yield Exchange(left.strip(), right.strip(), origin=Origin(name, line=number))


@hookimpl
def register_readers() -> Mapping[str, type[Reader] | type[PairReader]]:
    """Offer `tsv` and `moses`."""
    return {"tsv": Tsv, "moses": Moses}
