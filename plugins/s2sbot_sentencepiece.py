"""The tokenizer `sentencepiece`: a unigram language model over pieces of words, learnt from the corpus."""

from __future__ import annotations

import io
import math
import random
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import sentencepiece

from s2sbot import BOS, EOS, PAD, RESERVED, SEP, UNK, Tokenizer, TokenizerError, default_vocab_size, hookimpl

FILE = "sentencepiece.model"
LARGEST_FILE = 16 * 2**20
MOST_PIECES = 300_000
LARGEST_CHARSMAP = 2 * 2**20
LARGEST_SPEC = 16 * 2**10
LONGEST_NORMAL_FORM = 256
"""Bytes that one character, or a few, may become when text is normalised; 33 is the longest of NFKC."""
LOWEST_SCORE = 1e4
WAYS = 64
"""The likeliest ways to cut a word of which `sample` takes one."""
SMOOTHNESS = 0.2
"""Power of their probability that a way is drawn by: 0 draws all alike, many draw the likeliest."""
KNOWN_WORDS = 2**16
Ways = tuple[tuple[tuple[int, ...], ...], tuple[float, ...]]
BYTES_FROM = 4_000
"""From this vocabulary size on, what has no piece is written in bytes; in a smaller one 256 ids would be too dear."""
_MOST = re.compile(r"value <= (\d+)")
_LEAST = re.compile(r"required_chars\. \d+ vs (\d+)")


NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
"""Types of pieces."""
_NAMES = ("<pad>", "<unk>", "<s>", "</s>", "<sep>", *(f"<reserved{index}>" for index in range(SEP + 1, RESERVED)))
_FIRST = tuple((name.encode(), UNKNOWN if index == UNK else CONTROL) for index, name in enumerate(_NAMES))
_BYTES = tuple((f"<0x{byte:02X}>".encode(), BYTE) for byte in range(256))
_DAMAGED = "damaged SentencePiece model"
_STRANGE = "a SentencePiece model that s2sbot did not make"


class SentencePiece:
    """Kudo 2018, by way of the library of Kudo & Richardson 2018."""

    def __init__(self, model: bytes) -> None:
        self._model = model
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, TypeError, ValueError) as error:
            raise TokenizerError(_DAMAGED, "train the bot again, or copy it again") from error
        self._known: dict[str, Ways] = {}

    def __len__(self) -> int:
        return int(self._processor.get_piece_size())

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, normalised as Unicode NFKC."""
        known = text.encode("utf-8", errors="replace").decode("utf-8")  # a lone surrogate has no UTF-8
        ids: list[int] = self._processor.encode(known, out_type=int)
        return ids

    def sample(self, text: str, number: int) -> list[int]:
        """Return ids of `text` in pieces that are drawn by chance; the same for the same number.

        No piece goes beyond a word, so each word is cut by itself: a way to cut it is drawn by its probability, which
        is the product of those of its pieces, to the power of `SMOOTHNESS` (Kudo 2018, section 3.3).
        """
        chance = random.Random(number)
        ids: list[int] = []
        for word in text.split():
            if word not in self._known:
                if len(self._known) >= KNOWN_WORDS:
                    self._known.clear()
                self._known[word] = self._ways(word)
            ways, heights = self._known[word]
            ids += chance.choices(ways, cum_weights=heights)[0]
        return ids

    def _ways(self, word: str) -> Ways:
        """Return the likeliest ways to cut a word, and the running sum of what they are drawn by."""
        known = word.encode("utf-8", errors="replace").decode("utf-8")
        ways = tuple(tuple(way) for way in self._processor.nbest_encode(known, out_type=int, nbest_size=WAYS)) or ((),)
        scores = [sum(self._processor.get_score(index) for index in way) for way in ways]
        highest = max(scores)
        return ways, tuple(accumulate(math.exp(SMOOTHNESS * (score - highest)) for score in scores))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`; reserved ids are passed over."""
        text: str = self._processor.decode([int(index) for index in ids if index >= RESERVED])
        return text

    def save(self, folder: Path) -> None:
        """Write the model file."""
        (folder / FILE).write_bytes(self._model)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the model file."""
        path = folder / FILE
        try:
            with path.open("rb") as stream:
                model = stream.read(LARGEST_FILE + 1)
            if len(model) > LARGEST_FILE:
                raise ValueError(f"larger than {LARGEST_FILE} bytes")
            check_model(model)
        except OSError as error:
            raise TokenizerError(f"cannot read {path}: {error.strerror}", "copy the whole bot folder") from error
        except (ValueError, IndexError, struct.error) as error:
            raise TokenizerError(
                f"cannot use {path}: {_STRANGE}: {error}", "copy the whole bot folder again, or train it again"
            ) from error
        return cls(model)

    @classmethod
    def train(cls, lines: Iterable[str], vocab_size: int | None) -> Self:
        """Learn pieces; without `vocab_size`, as many as suit the number of words."""
        lines = [line for line in lines if line.strip()]
        if not lines:
            raise TokenizerError("no text to learn a vocabulary from", "check the corpus with `s2sbot corpus inspect`")
        if vocab_size is not None and vocab_size > MOST_PIECES:
            raise TokenizerError(f"a vocabulary of {vocab_size} pieces is too large", f"at most {MOST_PIECES} can be")
        size = vocab_size or default_vocab_size(sum(len(line.split()) for line in lines))
        try:
            return cls(_learn(lines, size, exactly=vocab_size is not None))
        except (RuntimeError, OSError) as error:
            least, most = _LEAST.search(str(error)), _MOST.search(str(error))
            if most and int(most[1]) < BYTES_FROM <= size:
                # it counted the bytes, which so small a vocabulary would not have
                raise _too_large(size, len(cls(_learn(lines, BYTES_FROM - 1, exactly=False)))) from error
            if vocab_size is not None or least is None:
                raise _refusal(size, str(error)) from error
        # a script of many characters: room for all of them, and for pieces besides
        size += int(least[1])
        try:
            return cls(_learn(lines, size, exactly=False))
        except (RuntimeError, OSError) as error:
            raise _refusal(size, str(error)) from error


def _learn(lines: Sequence[str], size: int, *, exactly: bool) -> bytes:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=written,
        vocab_size=size,
        hard_vocab_limit=exactly,
        byte_fallback=size >= BYTES_FROM,
        character_coverage=1.0 if size < BYTES_FROM else 0.9998,
        pad_id=PAD,
        unk_id=UNK,
        bos_id=BOS,
        eos_id=EOS,
        control_symbols=list(_NAMES[SEP:]),
        max_sentence_length=16_384,
        input_sentence_size=2_000_000,
        shuffle_input_sentence=True,
        minloglevel=2,
    )
    return written.getvalue()


def _refusal(size: int, cause: str) -> TokenizerError:
    most = _MOST.search(cause)
    if most:
        return _too_large(size, int(most[1]))
    least = _LEAST.search(cause)
    if least:
        return TokenizerError(
            f"a vocabulary of {size} has no room for every character of the corpus",
            f"--vocab-size {least[1]} is the least it can have; leave the option out to have it chosen",
        )
    return TokenizerError(
        f"a SentencePiece vocabulary of {size} cannot be had: {cause.splitlines()[-1]}",
        "try another --vocab-size, or leave the option out",
    )


def _too_large(size: int, most: int) -> TokenizerError:
    return TokenizerError(
        f"a vocabulary of {size} is larger than the corpus can support",
        f"--vocab-size {most} is the most it can; leave the option out to have it chosen",
    )


def check_model(model: bytes) -> None:
    """Refuse a model that is not as the library writes those it was asked for here, before the library reads it.

    It is a protobuf message (ModelProto): all pieces, then how it was trained, then how text is normalised. The
    library has crashed on hostile ones (google/sentencepiece, issues 1263 and 1269), as it trusts the numbers in them.

    Raises:
        ValueError, IndexError, struct.error: where it is otherwise.
    """
    pieces, at = _pieces(model)
    with_bytes = pieces[RESERVED : RESERVED + 1] == [_BYTES[0]]
    first = [*_FIRST, *(_BYTES if with_bytes else ())]
    if pieces[: len(first)] != first:
        raise ValueError("its ids 0 to 15 must be reserved")
    texts = [text for text, kind in pieces[len(first) :] if kind == NORMAL and text]
    if not texts or len(texts) < len(pieces) - len(first):
        raise ValueError("a piece of a type that none can have")
    if len({*texts, *(text for text, _ in first)}) < len(pieces):
        raise ValueError("a piece stands in it twice")
    parts = list(_fields(model, at))
    if [number for number, _ in parts] != [2, 3]:
        raise ValueError("more in it, or less, than pieces, training and normalisation")
    training, normalisation = (value for _, value in parts)
    _check_training(training, with_bytes=with_bytes)
    _check_normalisation(normalisation)


def _pieces(model: bytes) -> tuple[list[tuple[bytes, int]], int]:
    """Return text and type of every piece, and where the last one ends.

    Each is a message of the bytes 0a, length, 0a, length, text, 15, score as float; and 18, type, if it is not normal.
    """
    pieces: list[tuple[bytes, int]] = []
    at, end = 0, len(model)
    while at < end and model[at] == 0x0A:
        length, size = model[at + 1], model[at + 3]
        kind = NORMAL if length == size + 7 else model[at + 10 + size]
        closed = length == size + 7 or (length == size + 9 and model[at + 9 + size] == 0x18 and kind != NORMAL)
        if not (closed and length < 128 and model[at + 2] == 0x0A and model[at + 4 + size] == 0x15):
            raise ValueError(f"the piece {len(pieces)} is too long, or none")
        (score,) = struct.unpack_from("<f", model, at + 5 + size)
        if not -LOWEST_SCORE < score < LOWEST_SCORE or len(pieces) == MOST_PIECES:
            raise ValueError(f"the piece {len(pieces)} has no score, or is one too many")
        text = model[at + 4 : at + 4 + size]
        text.decode("utf-8")
        if 0 in text:
            raise ValueError(f"the piece {len(pieces)} has a NUL")
        pieces.append((text, kind))
        at += 2 + length
    if at > end:
        raise ValueError("it is cut short")
    return pieces, at


def _fields(message: bytes, at: int = 0) -> Iterator[tuple[int, Any]]:
    """Yield number and value of every field of a protobuf message: whole numbers, and bytes of those with a length."""
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
        elif wire in (1, 2, 5):
            size, at = _varint(message, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
            if at + size > len(message):
                raise ValueError("it is cut short")
            yield key >> 3, message[at : at + size]
            at += size
        else:
            raise ValueError("a field of no type")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift == 70:
            raise ValueError("a number that is too large")


def _check_training(spec: Any, *, with_bytes: bool) -> None:
    if not isinstance(spec, bytes) or len(spec) > LARGEST_SPEC:
        raise ValueError("a description of the training that is too large")
    fields = list(_fields(spec))
    values = dict(fields)
    wanted = {3: (1, 1), 24: (0, 0), 35: (int(with_bytes), 0), 40: (UNK, 0), 41: (BOS, 1), 42: (EOS, 2), 43: (PAD, -1)}
    for number, (value, default) in wanted.items():
        if values.get(number, default) != value or sum(number == other for other, _ in fields) > 1:
            raise ValueError("no unigram model, or its ids 0 to 15 must be reserved")


def _check_normalisation(spec: Any) -> None:
    if not isinstance(spec, bytes) or len(spec) > LARGEST_CHARSMAP:
        raise ValueError("a normalisation that is too large")
    fields = list(_fields(spec))
    values = dict(fields)
    if len(values) < len(fields) or values.get(6, b"") != b"":
        raise ValueError("a normalisation with rules of its own")
    charsmap = values.get(2, b"")
    if not isinstance(charsmap, bytes):
        raise ValueError("a normalisation without a map")
    if charsmap:
        _check_charsmap(charsmap)


def _check_charsmap(charsmap: bytes) -> None:
    """Follow every step that a search in the map can take.

    It is the size of a trie, the trie, and the texts that its leaves point to. The trie is a double array of 32-bit
    units (Yata 2011, darts-clone): the unit at i leads to those at i ^ offset ^ label, a leaf's lowest 31 bits are
    where its text begins.
    """
    (size,) = struct.unpack_from("<I", charsmap)
    forms = charsmap[4 + size :]
    if not size or size % 1024 or not forms.endswith(b"\0"):
        raise ValueError("a normalisation whose map is cut short")
    if max(map(len, forms.split(b"\0"))) > LONGEST_NORMAL_FORM:
        raise ValueError("a normalisation that makes long texts")
    forms.decode("utf-8")
    units = struct.unpack_from(f"<{size // 4}I", charsmap, 4)
    for index, unit in enumerate(units):
        if index and unit >> 31:
            valid = unit & 0x7FFFFFFF < len(forms)
        else:
            # size is a multiple of 256 units, so with one label all are inside
            child = index ^ ((unit >> 10) << ((unit & 0x200) >> 6))
            valid = child < len(units) and (not unit & 0x100 or units[child] >> 31)
        if not valid:
            raise ValueError("a normalisation that leads out of its map")


@hookimpl
def register_tokenizers() -> Mapping[str, type[Tokenizer]]:
    """Offer `sentencepiece`."""
    return {"sentencepiece": SentencePiece}
