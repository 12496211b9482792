"""The tokenizer `words`: a word or a punctuation mark an id, the most frequent ones of the corpus."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from s2sbot import RESERVED, UNK, Tokenizer, TokenizerError, default_vocab_size, hookimpl

FILE = "words.json"
LARGEST_FILE = 16 * 2**20
MOST_WORDS = 500_000
LONGEST_WORD = 10_000
JOINER = "\uffed"
"""Stands in a mark where it touches its neighbour, so that decoding knows where no space belongs."""
_LIST_OF_STRINGS = re.compile(rb'\s*+\[(?:\s*+"(?:[^"\\]++|\\.)*+"\s*+(?:,|(?=\])))*+\s*+\]\s*+', re.DOTALL)
"""What the table is before it is read as JSON: other values could take thirty times their bytes."""
_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


def split_words(text: str) -> list[str]:
    """Cut text into words, and marks that carry a joiner on every side where they touch something."""
    text = text.replace(JOINER, " ")
    tokens = []
    for match in _TOKEN.finditer(text):
        token, begin, end = match[0], match.start(), match.end()
        if not token[0].isalnum() and token[0] != "_":
            left = JOINER if begin > 0 and not text[begin - 1].isspace() else ""
            right = JOINER if end < len(text) and not text[end].isspace() else ""
            token = f"{left}{token}{right}"
        tokens.append(token)
    return tokens


def join_words(tokens: Iterable[str]) -> str:
    """Undo `split_words`, up to the width of white space."""
    text = " ".join(tokens)
    return re.sub(f" ?{JOINER} ?", "", text).strip()


class Words:
    """A table of words; what is not in it is UNK."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)
        self._ids = {word: RESERVED + index for index, word in enumerate(self._words)}

    def __len__(self) -> int:
        return RESERVED + len(self._words)

    def encode(self, text: str) -> list[int]:
        """Return an id for every word and mark."""
        return [self._ids.get(word, UNK) for word in split_words(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the words, with spaces where they belong."""
        return join_words(self._words[index - RESERVED] for index in ids if index >= RESERVED)

    def save(self, folder: Path) -> None:
        """Write the table as JSON."""
        data = json.dumps(self._words, ensure_ascii=False).encode()
        if len(data) > LARGEST_FILE:
            raise TokenizerError(f"{len(self)} words are more than {LARGEST_FILE} bytes", "try a smaller --vocab-size")
        (folder / FILE).write_bytes(data)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the table."""
        path = folder / FILE
        try:
            with path.open("rb") as stream:
                data = stream.read(LARGEST_FILE + 1)
            if len(data) > LARGEST_FILE:
                raise ValueError("too large")
            words = _parsed(data)
        except (OSError, ValueError) as error:
            raise TokenizerError(f"cannot read {path}: {str(error)[:300]}", "copy the whole bot folder") from error
        return cls(words)

    @classmethod
    def train(cls, lines: Iterable[str], vocab_size: int | None) -> Self:
        """Take the most frequent words; ties by the alphabet."""
        counts = Counter(word for line in lines for word in split_words(line) if len(word) <= LONGEST_WORD)
        if not counts:
            raise TokenizerError("no text to learn a vocabulary from", "check the corpus with `s2sbot corpus inspect`")
        if vocab_size is not None and vocab_size > RESERVED + len(counts):
            raise TokenizerError(
                f"a vocabulary of {vocab_size} is larger than the corpus can support",
                f"--vocab-size {RESERVED + len(counts)} is the most it can; leave the option out to have it chosen",
            )
        if vocab_size is not None and vocab_size > RESERVED + MOST_WORDS:
            raise TokenizerError(f"a table of {vocab_size} words is too large", f"{MOST_WORDS} is the most it can have")
        # words need a larger share than pieces: a rare word that is left out is lost
        size = vocab_size or 2 * default_vocab_size(counts.total())
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(ranked[: max(1, min(size, 8_000 if vocab_size is None else size) - RESERVED)])


def _parsed(data: bytes) -> list[str]:
    if not _LIST_OF_STRINGS.fullmatch(data) or data.count(b'"') > 2 * MOST_WORDS + 100:
        raise ValueError("not a list of words")
    words: list[str] = json.loads(data.decode("utf-8"))
    if len(words) > MOST_WORDS or len(set(words)) < len(words):
        raise ValueError("too many words, or one of them twice")
    if not all(0 < len(word) <= LONGEST_WORD for word in words):
        raise ValueError("a word without a letter, or of far too many")
    for word in words:
        word.encode()  # half a surrogate pair could not be shown
    return words


@hookimpl
def register_tokenizers() -> Mapping[str, type[Tokenizer]]:
    """Offer `words`."""
    return {"words": Words}
