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
LARGEST_FILE = 64 * 2**20
JOINER = "\uffed"
"""Stands in a mark where it touches its neighbour, so that decoding knows where no space belongs."""
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
        (folder / FILE).write_text(json.dumps(self._words, ensure_ascii=False), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the table."""
        path = folder / FILE
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise ValueError("too large")
            words = json.loads(path.read_text("utf-8"))
            if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
                raise ValueError("not a list of words")
        except (OSError, ValueError, RecursionError) as error:
            raise TokenizerError(f"cannot read {path}: {error}", "copy the whole bot folder") from error
        return cls(words)

    @classmethod
    def train(cls, lines: Iterable[str], vocab_size: int | None) -> Self:
        """Take the most frequent words; ties by the alphabet."""
        counts = Counter(word for line in lines for word in split_words(line))
        if not counts:
            raise TokenizerError("no text to learn a vocabulary from", "check the corpus with `s2sbot corpus inspect`")
        if vocab_size is not None and vocab_size > RESERVED + len(counts):
            raise TokenizerError(
                f"a vocabulary of {vocab_size} is larger than the corpus can support",
                f"--vocab-size {RESERVED + len(counts)} is the most it can; leave the option out to have it chosen",
            )
        # words need a larger share than pieces: a rare word that is left out is lost
        size = vocab_size or 2 * default_vocab_size(counts.total())
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(ranked[: max(1, min(size, 8_000 if vocab_size is None else size) - RESERVED)])


@hookimpl
def register_tokenizers() -> Mapping[str, type[Tokenizer]]:
    """Offer `words`."""
    return {"words": Words}
