"""The tokenizer `sentencepiece`: a unigram language model over pieces of words, learnt from the corpus."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

import sentencepiece

from s2sbot import BOS, EOS, PAD, RESERVED, SEP, UNK, Tokenizer, TokenizerError, default_vocab_size, hookimpl

FILE = "sentencepiece.model"
LARGEST_FILE = 64 * 2**20
BYTES_FROM = 4_000
"""From this vocabulary size on, what has no piece is written in bytes; in a smaller one 256 ids would be too dear."""
_MOST = re.compile(r"value <= (\d+)")
_LEAST = re.compile(r"required_chars\. \d+ vs (\d+)")


class SentencePiece:
    """Kudo 2018, by way of the library of Kudo & Richardson 2018."""

    def __init__(self, model: bytes) -> None:
        self._model = model
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, TypeError, ValueError) as error:
            raise TokenizerError("damaged SentencePiece model", "train the bot again, or copy it again") from error
        if self._processor.bos_id() != BOS or self._processor.pad_id() != PAD or len(self) <= RESERVED:
            raise TokenizerError("a SentencePiece model that s2sbot did not make", "its ids 0 to 15 must be reserved")

    def __len__(self) -> int:
        return int(self._processor.get_piece_size())

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, normalised as Unicode NFKC."""
        known = text.encode("utf-8", errors="replace").decode("utf-8")  # a lone surrogate has no UTF-8
        ids: list[int] = self._processor.encode(known, out_type=int)
        return ids

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
            if path.stat().st_size > LARGEST_FILE:
                raise TokenizerError(f"{path} is larger than {LARGEST_FILE} bytes", "no honest model is")
            return cls(path.read_bytes())
        except OSError as error:
            raise TokenizerError(f"cannot read {path}: {error.strerror}", "copy the whole bot folder") from error

    @classmethod
    def train(cls, lines: Iterable[str], vocab_size: int | None) -> Self:
        """Learn pieces; without `vocab_size`, as many as suit the number of words."""
        lines = [line for line in lines if line.strip()]
        if not lines:
            raise TokenizerError("no text to learn a vocabulary from", "check the corpus with `s2sbot corpus inspect`")
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
        control_symbols=["<sep>", *(f"<reserved{index}>" for index in range(SEP + 1, RESERVED))],
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


@hookimpl
def register_tokenizers() -> Mapping[str, type[Tokenizer]]:
    """Offer `sentencepiece`."""
    return {"sentencepiece": SentencePiece}
