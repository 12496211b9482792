"""The rows to learn from go in; tokenizers learnt from a sample of them come out."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from pathlib import Path

from ..bot import load_tokenizers, save_tokenizers
from ..errors import TokenizerError
from ..files import write_json
from ..plugins import Plugins
from ..progress import Progress
from ..settings import DataSettings
from ..text.tokenizer import Tokenizer
from .choosing import TRAIN, Choice
from .lines import rows_of
from .reading import ReadShard

__all__ = ["learn_tokenizers"]

LEARN_FROM = 200_000
"""Exchanges that a vocabulary is learnt from at most."""
LEARN_CHARACTERS = 8_000_000
"""Characters that they have at most: SentencePiece takes 25 bytes of memory for each, and of four times as many it
would make pieces of which a text needs half a percent fewer."""

Pair = tuple[int, str, str]


def learn_tokenizers(
    work: Path,
    folder: Path,
    read: Sequence[ReadShard],
    choice: Choice,
    settings: DataSettings,
    plugins: Plugins,
    *,
    known: tuple[Tokenizer, Tokenizer] | None = None,
) -> Generator[Progress, None, tuple[Tokenizer, Tokenizer]]:
    """Learn the vocabulary, or take the one that is known, or was learnt before the preparation was stopped."""
    mark = work / "vocabulary.json"
    if known:
        return _saved(work, folder, known)
    if mark.is_file():
        try:
            return load_tokenizers(folder, settings.tokenizer, plugins, shared=settings.share_tokenizer)
        except TokenizerError:
            mark.unlink()  # somebody took it away; what is learnt anew is the same
    kind = plugins.tokenizer(settings.tokenizer)
    sample = _sample(work, read, choice)
    yield Progress(
        kind="prepare", message=f"learning the vocabulary ({settings.tokenizer}) from {len(sample):,} exchanges"
    )
    sources, targets = (source for _, source, _ in sample), (target for _, _, target in sample)
    if settings.share_tokenizer:
        lines = (line for pair in zip(sources, targets, strict=True) for line in pair)
        shared = kind.train(lines, settings.vocab_size)
        tokenizers = shared, shared
    else:
        tokenizers = kind.train(sources, settings.vocab_size), kind.train(targets, settings.vocab_size)
    return _saved(work, folder, tokenizers)


def _saved(work: Path, folder: Path, tokenizers: tuple[Tokenizer, Tokenizer]) -> tuple[Tokenizer, Tokenizer]:
    shutil.rmtree(folder / "tokenizer", ignore_errors=True)  # perhaps one of another kind, of settings given before
    save_tokenizers(folder, *tokenizers)
    write_json(work / "vocabulary.json", {"sizes": [len(each) for each in tokenizers]})
    return tokenizers


def _sample(work: Path, read: Sequence[ReadShard], choice: Choice) -> list[Pair]:
    """Return the exchanges to learn from whose draws are lowest, as many as may be; how they are shared out has no say.

    No more than twice of them are in memory at a time.
    """
    sample: list[Pair] = []
    characters, below = 0, 2**64
    for number, shard in enumerate(read):
        fates = choice.fates[number]
        for row in rows_of(work, number, shard, fates + (fates != TRAIN) * 128, below=below):
            if row.draw >= below:  # it has sunk since the rows were asked for
                continue
            sample.append((row.draw, row.source, row.target))
            characters += len(row.source) + len(row.target)
            if len(sample) > 2 * LEARN_FROM or characters > 2 * LEARN_CHARACTERS:
                sample = _lowest(sample)
                characters, below = sum(map(_length, sample)), sample[-1][0] + 1
    return _lowest(sample)


def _lowest(sample: list[Pair]) -> list[Pair]:
    """Return as many of the lowest as a vocabulary is learnt from; one at least."""
    sample.sort()
    characters = 0
    for place, pair in enumerate(sample):
        characters += _length(pair)
        if place >= LEARN_FROM or (place and characters > LEARN_CHARACTERS):
            return sample[:place]
    return sample


def _length(pair: Pair) -> int:
    return len(pair[1]) + len(pair[2])
