"""The reader `cornell`: the two raw files of the Cornell Movie-Dialogs Corpus become its conversations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from s2sbot import Dialogue, Lost, Origin, PairReader, Reader, Turn, hookimpl, strip_markup

SEPARATOR = b"+++$+++"
LONGEST_LINE = 2**20
LARGEST_LINES = 256 * 2**20
"""Bytes of `movie_lines.txt`, which is held; the published one has 34 million."""
LARGEST_CONVERSATION = 4 * 2**20
MOST_SAID = 4
"""Times that each line may be in a conversation, on average; in the published corpus it is in one."""
MOST_LOST = 10_000
"""Lines of `movie_lines.txt` that cannot be read before none of it is."""
_ID = re.compile(rb"\w+")


def _rows(stream: BinaryIO, fields: int, what: str) -> Iterator[tuple[int, list[bytes]] | Lost]:
    """Yield the fields of every line that is not blank, with its number from 1."""
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise ValueError(f"line {number} of {what} is longer than {LONGEST_LINE} bytes")
        if b"\0" in line:
            raise ValueError(f"{what}: binary data, not text in an 8-bit encoding")
        row = [field.strip() for field in line.split(SEPARATOR, fields - 1)]
        if len(row) == fields:
            yield number, row
        elif line.strip():
            yield Lost(f"{what} has {len(row)} fields here, not {fields}", number)


def _decode(data: bytes) -> str:
    """Decode UTF-8, or else what the corpus was published in."""
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


class Cornell:
    """Reads a dialogue a conversation, in the order of `movie_conversations.txt`.

    Where a line of a conversation is missing, or has no text, nobody knows what was answered to what: the conversation
    is cut there, and the line is a `Lost`. No film is torn apart between training and validation.
    """

    pair_names = ("movie_conversations.txt", "movie_lines.txt")

    def read_pair(self, source: BinaryIO, target: BinaryIO, name: str) -> Iterator[Dialogue | Lost]:
        """Yield the dialogues of the conversations in `source`, whose lines are in `target`.

        Raises:
            ValueError: where the two files do not belong together, or cannot be read.
        """
        lines, lost = _read_lines(target)
        yield from lost
        left = [2**20 + MOST_SAID * sum(map(len, lines.values()))]
        conversations = found = 0
        for row in _rows(source, 4, self.pair_names[0]):
            if isinstance(row, Lost):
                yield row
                continue
            conversations += 1
            for item in _dialogues(*row, lines, name, left):
                found += isinstance(item, Dialogue)
                yield item
        if not conversations:
            raise ValueError(f"no conversation in {self.pair_names[0]}")
        if not found:
            raise ValueError(f"no line of any conversation is in {self.pair_names[1]}")


def _read_lines(stream: BinaryIO) -> tuple[dict[bytes, bytes], list[Lost]]:
    """Return speaker and text of each line by its id, as bytes in one piece: the whole corpus takes 62 MB."""
    what = Cornell.pair_names[1]
    lines: dict[bytes, bytes] = {}
    lost: list[Lost] = []
    size = repeated = 0
    for row in _rows(stream, 5, what):
        if len(lost) > MOST_LOST:
            raise ValueError(f"more than {MOST_LOST} lines of {what} cannot be read")
        if isinstance(row, Lost):
            lost.append(row)
            continue
        number, (key, _, _, speaker, text) = row
        key = key.removeprefix(b"\xef\xbb\xbf")
        size += len(key) + len(speaker) + len(text)
        if size > LARGEST_LINES:
            raise ValueError(f"{what} has more than {LARGEST_LINES} bytes of text")
        if key in lines:
            repeated += 1
            lost.append(Lost(f"{what} has a line of this id before", number))
        else:
            lines[key] = speaker + SEPARATOR + text
    if repeated > len(lines) // 2:
        raise ValueError(f"most lines of {what} are in it twice")
    if not lines:
        raise ValueError(f"no line in {what}")
    return lines, lost


def _dialogues(
    number: int, row: list[bytes], lines: dict[bytes, bytes], name: str, left: list[int]
) -> Iterator[Dialogue | Lost]:
    """Yield what of one conversation hangs together; all of it, where no line is missing.

    `left`, a list of one, are the bytes that conversations may still be made of.
    """
    group = f"cornell {_decode(row[2])}" if row[2] else None
    turns: list[Turn] = []
    size = 0
    for key in _ID.findall(row[3]):
        speaker, _, text = lines.get(key, b"").partition(SEPARATOR)
        size += len(text)
        left[0] -= len(text)
        if left[0] < 0:
            raise ValueError(f"its conversations say its lines more than {MOST_SAID} times")
        if size > LARGEST_CONVERSATION:
            yield Lost(f"a conversation of more than {LARGEST_CONVERSATION} bytes", number)
            return
        said = " ".join(strip_markup(_decode(text)).split())
        if said:
            turns.append(Turn(said, _decode(speaker) or None))
            continue
        yield Lost(
            f"line {key[:20].decode('ascii', 'replace')} {'has no text' if key in lines else 'is missing'}", number
        )
        if turns:
            yield Dialogue(tuple(turns), Origin(name, line=number), group)
            turns = []
    if turns:
        yield Dialogue(tuple(turns), Origin(name, line=number), group)


@hookimpl
def register_readers() -> Mapping[str, type[Reader] | type[PairReader]]:
    """Offer `cornell`."""
    return {"cornell": Cornell}
