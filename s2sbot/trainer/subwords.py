"""The exchanges of an update go in; the same with some sentences cut into other pieces of words come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, cast

import numpy as np

from ..errors import SettingsError
from ..nn.dataset import Update
from ..settings import TrainSettings
from ..text.packed import Packed
from ..text.tokenizer import RESERVED, UNK, SamplingTokenizer, Tokenizer

__all__ = ["SubwordSampling", "check_sampling", "cut_anew"]


def check_sampling(train: TrainSettings, tokenizer: Tokenizer | type[Tokenizer], name: str) -> None:
    """Refuse subword sampling with a tokenizer that knows only one way to cut a text.

    Raises:
        SettingsError: it names the tokenizer.
    """
    if train.subword_sampling and not hasattr(tokenizer, "sample"):
        raise SettingsError(
            f"the tokenizer {name!r} cuts a text in one way only, so train.subword_sampling cannot be",
            "take data.tokenizer=sentencepiece, or leave train.subword_sampling out",
        )


@dataclass(frozen=True, slots=True)
class SubwordSampling:
    """Sentences are cut anew by chance each time that they are learnt from (Kudo 2018, section 3).

    share       of the sentences, sources and targets alike
    tokenizers  of the source and of the target
    """

    share: float
    tokenizers: tuple[SamplingTokenizer, SamplingTokenizer]

    @classmethod
    def of(cls, train: TrainSettings, tokenizers: tuple[Tokenizer, Tokenizer]) -> Self | None:
        """Return that of a run; None where it has none.

        Raises:
            SettingsError: where a tokenizer cannot do it.
        """
        if not train.subword_sampling:
            return None
        for tokenizer in tokenizers:
            check_sampling(train, tokenizer, type(tokenizer).__name__)
        return cls(train.subword_sampling, cast(tuple[SamplingTokenizer, SamplingTokenizer], tokenizers))

    def cut(self, packed: Packed, update: Update, numbers: Sequence[int]) -> tuple[Packed, Update]:
        """Return the exchanges of an update alone, some of them cut anew, and the update over these.

        Args:
            numbers: what all chances depend on, as seed and step.
        """
        rows = np.concatenate(update.turns)
        random = np.random.default_rng([*numbers, len(rows)])
        chosen = random.random((len(rows), 2)) < self.share
        drawn = random.integers(2**62, size=(len(rows), 2))
        pairs = []
        for row, chances, own in zip(rows.tolist(), chosen.tolist(), drawn.tolist(), strict=True):
            source, target = packed.row(row)
            if chances[0]:
                source = cut_anew(self.tokenizers[0], source, own[0])
            if chances[1]:
                target = cut_anew(self.tokenizers[1], target, own[1])
            pairs.append((source, target))
        ends = np.cumsum([len(turn) for turn in update.turns])
        places = np.split(np.arange(len(rows)), ends[:-1])
        return Packed.pack(pairs), replace(update, turns=tuple(places))


def cut_anew(tokenizer: SamplingTokenizer, ids: list[int], number: int) -> list[int]:
    """Return ids of the same text in other pieces; the given ones where the text cannot be had from them whole.

    Reserved ids, as SEP between the turns of a context, stay where they are.
    """
    if UNK in ids:
        return ids
    cut: list[int] = []
    begin = 0
    for at in [*(place for place, index in enumerate(ids) if index < RESERVED), len(ids)]:
        run = ids[begin:at]
        text = tokenizer.decode(run)
        sampled = tokenizer.sample(text, number + begin) if run else []
        if tokenizer.encode(text) != run or tokenizer.decode(sampled) != text:
            return ids
        cut += [*sampled, *ids[at : at + 1]]
        begin = at + 1
    return cut
