"""Text goes in, bare token ids come out: the protocol of a tokenizer, and the ids that every one of them keeps free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol, Self, runtime_checkable

__all__ = [
    "BOS",
    "EOS",
    "LONGEST_SOURCE",
    "PAD",
    "RESERVED",
    "SEP",
    "UNK",
    "SamplingTokenizer",
    "Tokenizer",
    "default_vocab_size",
    "encode_source",
]

PAD: Final = 0
"""Fills a row of a batch up to the longest one."""
UNK: Final = 1
"""Stands for text that the tokenizer has no token for; never decoded into a reply."""
BOS: Final = 2
"""Begins every target."""
EOS: Final = 3
"""Ends every source and every target."""
SEP: Final = 4
"""Stands between the turns of a context."""
RESERVED: Final = 16
"""Ids below this mean no text: the five above, the others are kept for speaker, language and task tags."""

LONGEST_SOURCE = 1_000
"""Tokens of a line that a bot reads; the rest of a longer one is lost on it."""
LARGEST_DEFAULT = 8_000
SMALLEST_DEFAULT = 400
WORDS_PER_TOKEN = 10


@runtime_checkable
class Tokenizer(Protocol):
    """Turns text into ids and back. Ids are bare: BOS and EOS are added by `Batch`, never here."""

    def __len__(self) -> int:
        """Return the number of ids, the reserved ones included."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`; none of them is below 16 but UNK."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`; reserved ids are passed over."""
        ...

    def save(self, folder: Path) -> None:
        """Write all that `load` needs into `folder`, which exists."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            TokenizerError: where a file is missing or damaged.
        """
        ...

    @classmethod
    def train(cls, lines: Iterable[str], vocab_size: int | None) -> Self:
        """Learn a vocabulary of `vocab_size` ids, or of as many as suit the corpus.

        Raises:
            TokenizerError: where the lines cannot support an explicit `vocab_size`; the hint says how many they can.
        """
        ...


@runtime_checkable
class SamplingTokenizer(Tokenizer, Protocol):
    """A tokenizer that has several ways to cut a text, of which training may see now this and now that one."""

    def sample(self, text: str, number: int) -> list[int]:
        """Return ids that `decode` makes the same of as of `encode(text)`, by chance; the same for the same number."""
        ...


def default_vocab_size(words: int) -> int:
    """Return the vocabulary that suits a corpus of so many running words: one id for ten words, 400 to 8,000."""
    return min(LARGEST_DEFAULT, max(SMALLEST_DEFAULT, words // WORDS_PER_TOKEN))


def encode_source(
    tokenizer: Tokenizer, text: str, context: Sequence[str] = (), *, most: int = LONGEST_SOURCE
) -> list[int]:
    """Return the ids of a line with the turns before it, SEP between them.

    Of the context, the newest turns that fit into `most` tokens are taken, each whole; so training and talking agree.
    """
    ids = tokenizer.encode(text)[:LONGEST_SOURCE]
    for turn in reversed(context):
        longer = [*tokenizer.encode(turn), SEP, *ids]
        if len(longer) > most:
            break
        ids = longer
    return ids
