"""The tokenizer `characters`: every character of the corpus an id."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from s2sbot import RESERVED, UNK, Tokenizer, TokenizerError, default_vocab_size, hookimpl

FILE = "characters.json"
LARGEST_FILE = 4 * 2**20
MOST_CHARACTERS = 300_000
"""Unicode 17 has 160,000."""


class Characters:
    """A table of characters; what is not in it is UNK."""

    def __init__(self, characters: str) -> None:
        self._characters = characters
        self._ids = {character: RESERVED + index for index, character in enumerate(characters)}

    def __len__(self) -> int:
        return RESERVED + len(self._characters)

    def encode(self, text: str) -> list[int]:
        """Return an id for every character."""
        return [self._ids.get(character, UNK) for character in text]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the characters."""
        return "".join(self._characters[index - RESERVED] for index in ids if index >= RESERVED)

    def save(self, folder: Path) -> None:
        """Write the table as JSON."""
        (folder / FILE).write_text(json.dumps(self._characters, ensure_ascii=True), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the table."""
        path = folder / FILE
        try:
            with path.open("rb") as stream:
                data = stream.read(LARGEST_FILE + 1)
            if len(data) > LARGEST_FILE:
                raise ValueError("too large")
            # anything else could take thirty times its bytes once it is read
            if not data.startswith(b'"'):
                raise ValueError("not a string")
            characters: str = json.loads(data.decode("utf-8"))
            characters.encode()  # half a surrogate pair could not be shown
            if not 0 < len(characters) <= MOST_CHARACTERS or len(set(characters)) < len(characters):
                raise ValueError("no character, too many, or one of them twice")
        except (OSError, ValueError) as error:
            raise TokenizerError(f"cannot read {path}: {str(error)[:300]}", "copy the whole bot folder") from error
        return cls(characters)

    @classmethod
    def train(cls, lines: Iterable[str], vocab_size: int | None) -> Self:
        """Take the most frequent characters; ties in the order of Unicode."""
        counts = Counter(character for line in lines for character in line)
        if not counts:
            raise TokenizerError("no text to learn a vocabulary from", "check the corpus with `s2sbot corpus inspect`")
        if vocab_size is not None and vocab_size > RESERVED + len(counts):
            raise TokenizerError(
                f"a vocabulary of {vocab_size} is larger than the corpus can support",
                f"--vocab-size {RESERVED + len(counts)} is the most it can; leave the option out to have it chosen",
            )
        size = min(vocab_size or default_vocab_size(10 * counts.total()), RESERVED + len(counts))
        ranked = sorted(counts, key=lambda character: (-counts[character], character))
        return cls("".join(ranked[: max(1, size - RESERVED)]))


@hookimpl
def register_tokenizers() -> Mapping[str, type[Tokenizer]]:
    """Offer `characters`."""
    return {"characters": Characters}
