"""The tokenizer `bytes`: UTF-8 as it is, a byte an id; nothing to learn and nothing unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from s2sbot import RESERVED, Tokenizer, TokenizerError, hookimpl

SIZE = RESERVED + 256


class Bytes:
    """Every byte b has the id 16 + b."""

    def __len__(self) -> int:
        return SIZE

    def encode(self, text: str) -> list[int]:
        """Return an id for every byte of UTF-8; lone surrogates, which have none, become `?`."""
        return [RESERVED + byte for byte in text.encode("utf-8", errors="replace")]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text; bytes that are no UTF-8 become U+FFFD."""
        return bytes(index - RESERVED for index in ids if index >= RESERVED).decode("utf-8", errors="replace")

    def save(self, folder: Path) -> None:
        """Write nothing: there is nothing to keep."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the one tokenizer of this kind."""
        return cls()

    @classmethod
    def train(cls, lines: Iterable[str], vocab_size: int | None) -> Self:
        """Return the one tokenizer of this kind; its size is always 272."""
        if vocab_size not in (None, SIZE):
            raise TokenizerError(f"the tokenizer `bytes` cannot have {vocab_size} ids", f"it always has {SIZE}")
        return cls()


@hookimpl
def register_tokenizers() -> Mapping[str, type[Tokenizer]]:
    """Offer `bytes`."""
    return {"bytes": Bytes}
