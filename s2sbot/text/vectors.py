"""A file of pretrained word vectors goes in, the vectors of a tokenizer's words come out."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Generator, Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import TokenizerError
from .tokenizer import RESERVED, Tokenizer

__all__ = ["WordVectors", "read_vectors", "vector_size"]

LINES_A_BLOCK = 2**12
TELL_EVERY = 2**16
"""Lines between two words of how far it has come."""
BUFFER = 2**20
_LARGEST = float(np.finfo(np.float32).max)
_AGAIN = "the file is damaged or cut short: download or write it again"
_CONVERT = "convert a .bin to the text format, as gensim's save_word2vec_format does; unpack a .zip"
_FORMATS = "word vectors are read in the text formats of word2vec, GloVe and fastText, gzipped or not"


@dataclass(frozen=True, slots=True)
class WordVectors:
    """Token ids [found], ascending; their vectors [found, dimension], all finite; and how many words the file has."""

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]
    read: int


def read_vectors(path: Path, tokenizer: Tokenizer) -> Generator[tuple[int, int], None, WordVectors]:
    """Read the vectors of a tokenizer's words from the text formats of word2vec, GloVe and fastText, gzipped or not.

    An id's word is its decoded text; where the file does not have that spelling, the lower-cased one counts. Of words
    that are repeated, the first counts. Yields the bytes read, of a gzipped file those before unpacking, and the bytes
    of the file, about each 65,536 lines; the generator's return value is what was found.

    Raises:
        TokenizerError: for a file that cannot be read, is none of these formats, or is damaged.
    """
    spellings = dict(_spellings(tokenizer))
    place = _Place()
    with closing(_lines(path, place)) as lines:
        form, numbered = _begin(path, lines)
        rows, read = yield from _collect(form, numbered, frozenset(chain.from_iterable(spellings.values())), place)
    if form.words is not None and form.words != read:
        cut = "cut short: " if read < form.words else ""
        raise TokenizerError(f"{path}: {cut}the header says {form.words} words, {read} are there", _AGAIN)
    taken = ((index, exact if exact in rows else lower) for index, (exact, lower) in spellings.items())
    found = {index: rows[spelling] for index, spelling in taken if spelling in rows}
    if not found:
        return WordVectors(np.zeros(0, np.int64), np.zeros((0, form.dimension), np.float32), read)
    return WordVectors(np.array(list(found), np.int64), np.stack(list(found.values())), read)


def vector_size(path: Path) -> int:
    """Return how many numbers a word of such a file has, by its first lines alone; raises as `read_vectors` does."""
    with closing(_lines(path, _Place())) as lines:
        return _begin(path, lines)[0].dimension


@dataclass(slots=True)
class _Place:
    """How far a file has been read, in bytes, and how many it has."""

    done: int = 0
    total: int = 0


def _spellings(tokenizer: Tokenizer) -> Iterator[tuple[int, tuple[bytes, bytes]]]:
    """Yield each id that means text with the UTF-8 of its word, as it is and lower-cased."""
    for index in range(RESERVED, len(tokenizer)):
        if text := tokenizer.decode([index]).strip():
            yield index, (text.encode("utf-8", "surrogatepass"), text.lower().encode("utf-8", "surrogatepass"))


def _lines(path: Path, place: _Place) -> Generator[bytes, None, None]:
    for place.done, place.total, block in _blocks(path):
        yield from block


def _blocks(path: Path) -> Iterator[tuple[int, int, list[bytes]]]:
    """Yield the bytes read so far, the bytes of the file, and the next lines; the first line by itself."""
    try:
        with io.BufferedReader(io.FileIO(path), BUFFER) as below:
            total = path.stat().st_size
            stream: BinaryIO = below
            if below.peek(2)[:2] == b"\x1f\x8b":
                # a buffer of its own, as each line would cost a call in Python
                stream = io.BufferedReader(gzip.GzipFile(fileobj=below), BUFFER)
            # bounded, as what is no text may have no second line
            block = [stream.readline(BUFFER)]
            while block:
                yield below.tell(), total, block
                block = list(islice(stream, LINES_A_BLOCK))
    except (OSError, EOFError, zlib.error) as error:
        message = f"cannot read {path}: {getattr(error, 'strerror', None) or error}"
        raise TokenizerError(message, "give the name of a whole file of word vectors") from error


@dataclass(frozen=True, slots=True)
class _Format:
    """What the first line says of all others: numbers a word, and with a header the number of words."""

    path: Path
    dimension: int
    words: int | None

    def split(self, line: bytes, number: int) -> tuple[bytes, list[bytes]]:
        """Return the word of a line, whatever spaces it has, and the text of its numbers."""
        # the point makes a word of nothing a token, too, here as in `_begin`
        left, *values = (b"." + line).rsplit(None, self.dimension)
        pieces = left[1:].split()
        given = len(values) + _trailing_numbers(pieces)
        if given != self.dimension:
            message = f"{given} numbers follow the word, {self.dimension} are expected"
            if self.words is not None and number == 2:
                message = f"the header says {self.dimension} numbers a word, the first word has {given}"
            raise TokenizerError(f"{self.path}, line {number}: {message}", _AGAIN)
        return b" ".join(pieces), values

    def vector(self, line: bytes, number: int) -> NDArray[np.float32]:
        """Return the numbers of a line, [dimension]."""
        values = self.split(line, number)[1]
        # what is no number is NaN here
        row = np.array([_number(value) for value in values], np.float64)
        wrong = ~(np.abs(row) <= _LARGEST)
        if wrong.any():
            shown = values[int(wrong.argmax())][:40].decode("utf-8", "replace")
            raise TokenizerError(f"{self.path}, line {number}: {shown!r} is no finite number", _AGAIN)
        return row.astype(np.float32)


def _begin(path: Path, lines: Iterator[bytes]) -> tuple[_Format, Iterator[tuple[int, bytes]]]:
    """Find out the format from the first lines; return the numbered lines of words too, the first of them included."""
    first = next(lines, b"").removeprefix(codecs.BOM_UTF8)
    if not first:
        raise TokenizerError(f"{path} is empty", _FORMATS)
    tokens = first.split()
    words, dimension, number, line = None, _trailing_numbers((b"." + first).split()), 1, first
    if len(tokens) == 2 and all(token.isdigit() and len(token) < 19 for token in tokens):
        words, dimension = map(int, tokens)
        number, line = 2, next(lines, b"")
    form = _Format(path, dimension, words)
    try:
        if not dimension:
            raise TokenizerError(f"{path}, line 1: words without numbers", _FORMATS)
        if line.strip():
            form.vector(line, number)
    except TokenizerError:
        if _is_binary(line + b"".join(islice(lines, 64))):
            raise TokenizerError(f"{path} is binary", _CONVERT) from None
        raise
    return form, enumerate(chain([line] if line else [], lines), number)


def _is_binary(data: bytes) -> bool:
    try:
        # not final, as the end may cut a character
        return "\0" in codecs.utf_8_decode(data, "strict", False)[0]
    except UnicodeDecodeError:
        return True


def _number(token: bytes) -> float | None:
    try:
        return None if b"_" in token else float(token)
    except ValueError:
        return None


def _trailing_numbers(tokens: Sequence[bytes]) -> int:
    """Count the numbers at the end of a line; the first token is the word, even one of digits."""
    return sum(1 for _ in takewhile(lambda token: _number(token) is not None, reversed(tokens[1:])))


def _collect(
    form: _Format, numbered: Iterator[tuple[int, bytes]], wanted: Set[bytes], place: _Place
) -> Generator[tuple[int, int], None, tuple[dict[bytes, NDArray[np.float32]], int]]:
    """Return the vectors of the words that are wanted, and how many words there are in all."""
    rows: dict[bytes, NDArray[np.float32]] = {}
    read, dimension = 0, form.dimension
    for number, line in numbered:
        line = line.rstrip(b" \t\r\n")
        if b"\t" in line:
            line = line.replace(b"\t", b" ")
        # nearly all lines have just so many separators; only the others, or what is wanted, are worth a split
        word = line[: line.find(b" ")] if line.count(b" ") == dimension and b"  " not in line else b""
        if not word and not line:
            continue
        word = word or form.split(line, number)[0]
        read += 1
        if read % TELL_EVERY == 0:
            yield place.done, place.total
        # words are compared as bytes: what is no UTF-8 equals none of them
        if word in wanted and word not in rows:
            rows[word] = form.vector(line, number)
    return rows, read
