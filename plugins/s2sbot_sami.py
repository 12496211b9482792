"""The reader `sami`: a file goes in, all cues of its most used language and what of it was lost come out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from s2sbot import Cue, Lost, PairReader, Reader, decode_text, hookimpl, read_whole, strip_markup

_SYNC = re.compile(r"<\s{0,9}sync\b([^<>]*)>?", re.IGNORECASE)
_PART = re.compile(r"<\s{0,9}p\b([^<>]*)>", re.IGNORECASE)
_VALUE = re.compile(r"\b(start|end|class|id)\s{0,9}=\s{0,9}[\"']?\s{0,9}([^\s\"'<>]+)", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_END = re.compile(r"</\s{0,9}(?:body|sami)\b", re.IGNORECASE)
_BR = re.compile(r"<\s{0,9}br\b[^<>]*>", re.IGNORECASE)
_UNCLOSED = re.compile(r"<[^<>]*\Z")
_MILLISECONDS = re.compile(r"-?\d{1,12}")


class Sami:
    """SAMI: a start in milliseconds, and paragraphs whose class is their language, of which the most used is read."""

    def sniff(self, head: bytes, name: str) -> float:
        """Look for its root, or for a point in time as it has them."""
        text = head[: 2**14].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe").decode("latin-1").lower()
        return 0.98 if text.lstrip().startswith("<sami") else 0.9 if "<sync start" in text or "<sami>" in text else 0.0

    def read(self, stream: BinaryIO, name: str) -> Iterator[Cue | Lost]:
        """Yield what stands behind each point in time until the next one of its language; a blank ends it too."""
        data = read_whole(stream)
        text = decode_text(data)[0].replace("\ufeff", "")
        if not _SYNC.search(text) and "<sami" not in text.lower():
            raise ValueError("no SAMI in it")
        closed, arrow, rest = text.rpartition("-->")
        text = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), closed + arrow) + rest
        paragraphs: list[_Paragraph] = []
        line, counted = 1, 0
        points = list(_SYNC.finditer(text))
        for number, point in enumerate(points):
            line, counted = line + text.count("\n", counted, point.start()), point.start()
            values = {key.lower(): value for key, value in _VALUE.findall(point[1])}
            start = _MILLISECONDS.match(values.get("start", ""))
            if start is None:
                yield Lost("a point in time that cannot be read", line)
                continue
            end = _MILLISECONDS.match(values.get("end", ""))
            block = text[point.end() : points[number + 1].start() if number + 1 < len(points) else None]
            for language, speaker, said in _spoken(_END.split(block, 1)[0]):
                times = int(start[0]) / 1000, int(end[0]) / 1000 if end else None
                paragraphs.append(_Paragraph(language, *times, said, speaker))
        yield from _most_used(paragraphs)


@dataclass(frozen=True, slots=True)
class _Paragraph:
    """What one language shows from a point in time on; nothing where `text` is empty."""

    language: str
    start: float
    end: float | None
    text: str
    speaker: str | None


def _spoken(block: str) -> Iterator[tuple[str, str | None, str]]:
    """Yield language, speaker and text of each paragraph of a block; one that is the name of a source is no text."""
    parts = _PART.split(_UNCLOSED.sub("", block))
    sources: dict[str, str] = {}
    inner = zip(["", *parts[1::2]], parts[::2], strict=True)
    for number, (attributes, inside) in enumerate(inner):
        values = {key.lower(): value for key, value in _VALUE.findall(attributes)}
        language = values.get("class", "").upper()
        said = _tidy(_BR.sub("\n", inside.replace("\n", " ")))
        if values.get("id", "").lower() == "source":
            sources[language] = said
        elif number or said or len(parts) == 1:
            yield language, sources.get(language) or None, said


def _most_used(paragraphs: Sequence[_Paragraph]) -> Iterator[Cue]:
    """Yield the language that has most cues, the first of several; what has no class is of every language."""
    counts = Counter(paragraph.language for paragraph in paragraphs if paragraph.text)
    best = max(counts, key=lambda language: (language != "", counts[language]), default="")
    track = [paragraph for paragraph in paragraphs if paragraph.language in (best, "")]
    for number, paragraph in enumerate(track):
        if not paragraph.text:
            continue
        start, end = paragraph.start, paragraph.end
        if end is None:
            end = track[number + 1].start if number + 1 < len(track) else None
        if end is None or (end < start and paragraph.end is None):
            end = round(start + 0.5 + 0.067 * len(paragraph.text), 3)
        yield Cue(start, max(start, end), paragraph.text, paragraph.speaker)


def _tidy(text: str) -> str:
    return strip_markup("\n".join(" ".join(line.split()) for line in text.split("\n"))).strip()


@hookimpl
def register_readers() -> Mapping[str, type[Reader] | type[PairReader]]:
    """Offer `sami`."""
    return {"sami": Sami}
