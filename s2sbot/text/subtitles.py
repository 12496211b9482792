"""What readers of subtitles in text formats have in common: a file goes in, its text comes out to be cut into cues."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from .dialogue import Cue, Lost
from .encoding import decode_text

__all__ = ["SubtitleReader", "read_whole"]

LARGEST_FILE: Final = 64 * 2**20
"""Bytes of a file beyond which it is none of subtitles."""


def read_whole(stream: BinaryIO) -> bytes:
    """Return the bytes of a file that may be one of subtitles.

    Raises:
        ValueError: where it is too large for that.
    """
    data = stream.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ValueError(f"larger than {LARGEST_FILE} bytes, which no subtitle file is")
    return data


class SubtitleReader:
    """Reads a whole file as text; a format gives the sign to know it by, what no such file lacks, and cuts cues out."""

    title: str
    gate: bytes
    sign: re.Pattern[str]

    def sniff(self, head: bytes, name: str) -> float:
        """Look for what the format's lines begin with."""
        # what makes a format is ASCII in every encoding, so nothing has to be decoded
        plain = head[: 2**14].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe")
        if self.gate not in plain:
            return 0.0
        text = plain.decode("latin-1").replace("\r", "\n")
        found = self.sign.search(text)
        return self.score(text, found) if found else 0.0

    def score(self, text: str, found: re.Match[str]) -> float:
        """Return how surely this is the format, by the share of lines that fit."""
        lines = [line for line in text.split("\n", 99)[:99] if line.strip()]
        return 0.94 if sum(1 for line in lines if self.sign.match(line)) > 0.6 * len(lines) else 0.3

    def read(self, stream: BinaryIO, name: str) -> Iterator[Cue | Lost]:
        """Yield every cue that has a text."""
        text, _ = decode_text(read_whole(stream).replace(b"\r\r\n", b"\r\n"))
        text = text.replace("\ufeff", "")  # where files were put together, marks stand inside
        if not self.sign.search(text):
            raise ValueError(f"no {self.title} in it")
        yield from self.cues(text)

    def cues(self, text: str) -> Iterator[Cue | Lost]:
        """Cut the cues out."""
        raise NotImplementedError
