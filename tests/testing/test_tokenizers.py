"""The suite for tokenizers passes what is right, and catches what is wrong in exactly one way."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from s2sbot import PAD, RESERVED, UNK, TokenizerError
from s2sbot.testing import check_tokenizer, tokenizer_checks

DRAWN = "pieces that are drawn have the text of the line"
LINES = ["is it far ?", "not very .", "it is a long way , is it not ?", "not at all ."]


class Spaces:
    """A word between spaces is an id."""

    def __init__(self, words):
        self.words = list(words)
        self.ids = {word: RESERVED + index for index, word in enumerate(self.words)}

    def __len__(self):
        return RESERVED + len(self.words)

    def encode(self, text):
        return [self.ids.get(word, UNK) for word in text.split()]

    def decode(self, ids):
        return " ".join(self.words[index - RESERVED] for index in ids if index >= RESERVED)

    def save(self, folder):
        (folder / "words.json").write_text(json.dumps(self.words), "utf-8")

    @classmethod
    def load(cls, folder):
        try:
            return cls(json.loads((folder / "words.json").read_text("utf-8")))
        except (OSError, ValueError) as error:
            raise TokenizerError("cannot read the words", "copy the whole bot folder") from error

    @classmethod
    def train(cls, lines, vocab_size):
        counts = Counter(word for line in lines for word in line.split())
        most = RESERVED + len(counts)
        if vocab_size is not None and vocab_size > most:
            raise TokenizerError(f"the corpus cannot support {vocab_size} ids", f"{most} is the most it can")
        return cls([word for word, _ in counts.most_common((vocab_size or most) - RESERVED)])


class TrueForNumbers(Spaces):
    def encode(self, text):
        return [index if index != UNK else True for index in super().encode(text)]


class TupleOfIds(Spaces):
    def encode(self, text):
        return tuple(super().encode(text))


class PutsEndIn(Spaces):
    def encode(self, text):
        return [*super().encode(text), 3]


class OutOfRange(Spaces):
    def encode(self, text):
        return [len(self) if index == UNK else index for index in super().encode(text)]


class KnowsNothing(Spaces):
    def encode(self, text):
        return [UNK for _ in text.split()]


class NothingButReserved(Spaces):
    def __len__(self):
        return RESERVED


class Lossy(Spaces):
    def decode(self, ids):
        return super().decode(ids).replace("far", "near")


class ReservedHaveText(Spaces):
    def decode(self, ids):
        return " ".join(self.words[index - RESERVED] if index >= RESERVED else "<unk>" for index in ids)


class ReservedMisplace(Spaces):
    def decode(self, ids):
        return "" if PAD in ids else super().decode(ids)


class FailsOnHalfAPair(Spaces):
    def encode(self, text):
        text.encode("utf-8")
        return super().encode(text)


class AnyOrder(Spaces):
    trained = 0

    @classmethod
    def train(cls, lines, vocab_size):
        AnyOrder.trained += 1
        words = Spaces.train(lines, vocab_size).words
        return cls(words if AnyOrder.trained % 2 else words[::-1])


class Tires(Spaces):
    def encode(self, text):
        self.words.append("tired")
        return super().encode(text)[: max(1, 24 - len(self.words))]


class SavesBeside(Spaces):
    def save(self, folder):
        super().save(folder)
        (folder.parent / "beside.txt").write_text("x")


class LoadsFromWhereItWas(Spaces):
    saved: Path

    def save(self, folder):
        super().save(folder)
        LoadsFromWhereItWas.saved = folder

    @classmethod
    def load(cls, folder):
        return super().load(cls.saved)


class LosesTheLastWord(Spaces):
    def save(self, folder):
        (folder / "words.json").write_text(json.dumps(self.words[:-1]), "utf-8")


class ShufflesOnLoading(Spaces):
    @classmethod
    def load(cls, folder):
        return cls(super().load(folder).words[::-1])


class LoadRaisesAnything(Spaces):
    @classmethod
    def load(cls, folder):
        return cls(json.loads((folder / "words.json").read_text("utf-8")))


class LoadsNothing(Spaces):
    @classmethod
    def load(cls, folder):
        return super().load(folder) if (folder / "words.json").exists() else cls(["is"])


class TakesNoSize(Spaces):
    @classmethod
    def train(cls, lines, vocab_size):
        return super().train(lines, None)


class RefusesWithoutAHint(Spaces):
    @classmethod
    def train(cls, lines, vocab_size):
        try:
            return super().train(lines, vocab_size)
        except TokenizerError as error:
            raise TokenizerError(error.message) from error


class RefusesWithAValueError(Spaces):
    @classmethod
    def train(cls, lines, vocab_size):
        try:
            return super().train(lines, vocab_size)
        except TokenizerError as error:
            raise ValueError(error.message) from error


class FailsWithoutText(Spaces):
    @classmethod
    def train(cls, lines, vocab_size):
        tokenizer = super().train(lines, vocab_size)
        max(map(len, tokenizer.words))
        return tokenizer


class TrainsTwiceOnItsLines(Spaces):
    """Takes lines for a list, which those of a corpus are not."""

    @classmethod
    def train(cls, lines, vocab_size):
        count = len([line for line in lines if line.strip()])
        return super().train(lines, vocab_size) if count else cls([])


class Pieces(Spaces):
    """A word that is known is an id, or as many as it has characters, by chance; its beginning is one of them."""

    def cut(self, word, whole):
        return [self.ids[word]] if whole and word in self.ids else [self.ids.get(sign, UNK) for sign in word]

    def encode(self, text):
        return [index for word in text.split() for index in self.cut(f"_{word}", True)]

    def sample(self, text, number):
        chance = random.Random(number)
        return [index for word in text.split() for index in self.cut(f"_{word}", chance.random() < 0.5)]

    def decode(self, ids):
        return "".join(self.words[index - RESERVED] for index in ids if index >= RESERVED).replace("_", " ").strip()

    @classmethod
    def train(cls, lines, vocab_size):
        words = [f"_{word}" for line in lines for word in line.split()]
        return super().train(
            [" ".join(sorted({*words, *"".join(words)}, key=lambda word: (len(word), word)))], vocab_size
        )


class DrawsOtherText(Pieces):
    def sample(self, text, number):
        return super().sample(text.replace("far", "near"), number)


class DrawsByChance(Pieces):
    def sample(self, text, number):
        return super().sample(text, random.getrandbits(32))


class DrawsByTheCallsBefore(Pieces):
    calls = 0

    def sample(self, text, number):
        self.calls += 1
        return super().sample(text, self.calls)


class DrawsByItself(Pieces):
    made = itertools.count()

    def __init__(self, words):
        super().__init__(words)
        self.salt = next(DrawsByItself.made)

    def sample(self, text, number):
        return super().sample(text, 1000 * self.salt + number)


class DrawsOneWay(Pieces):
    def sample(self, text, number):
        return self.encode(text)


class DrawsByTextAlone(Pieces):
    def sample(self, text, number):
        return super().sample(text, len(text))


class DrawsEnd(Pieces):
    def sample(self, text, number):
        return [*super().sample(text, number), 3]


class DrawsBySmallNumbers(Pieces):
    def sample(self, text, number):
        return super().sample(text, number.to_bytes(4, "little"))


class DecodesWhatItEncodesOtherwise(Pieces):
    """Keeps a space at the end that `decode` puts there, so that training takes no line for cut anew."""

    def encode(self, text):
        return super().encode(text) + ([self.ids["_"]] if text.endswith(" ") else [])

    def sample(self, text, number):
        return super().sample(text, number) + ([self.ids["_"]] if text.endswith(" ") else [])

    def decode(self, ids):
        return f"{super().decode(ids)} "


class CannotDrawAfterLoading(Pieces):
    @classmethod
    def load(cls, folder):
        return Spaces.load.__func__(Spaces, folder)


WRONG_TOKENIZERS = [
    (TrueForNumbers, "ids are whole numbers in range", "returns True, a bool, not an int"),
    (TupleOfIds, "ids are whole numbers in range", "returns a tuple, not a list"),
    (PutsEndIn, "ids are whole numbers in range", "returns 3, which is neither UNK nor in 16 to"),
    (OutOfRange, "ids are whole numbers in range", "neither UNK nor in 16 to"),
    (KnowsNothing, "ids are whole numbers in range", "it knows no line"),
    (NothingButReserved, "ids are whole numbers in range", "none beyond the 16"),
    (FailsOnHalfAPair, "ids are whole numbers in range", "UnicodeEncodeError"),
    (TrainsTwiceOnItsLines, "ids are whole numbers in range", "none beyond the 16|it knows no line"),
    (Lossy, "a line comes back from its ids", r"'is it far \?' comes back as 'is it near \?'"),
    (ReservedHaveText, "every id has a text, and reserved ones none", "the reserved ids have the text '<unk> <unk>"),
    (ReservedMisplace, "every id has a text, and reserved ones none", "decoded otherwise with reserved ids in it"),
    (AnyOrder, "the same lines make the same ids", "in two ways after training twice"),
    (Tires, "the same lines make the same ids", "is encoded in two ways"),
    (SavesBeside, "saving and loading change nothing", "writes outside its folder: beside.txt"),
    (LoadsFromWhereItWas, "saving and loading change nothing", "cannot read the words"),
    (LosesTheLastWord, "saving and loading change nothing", "ids before saving and"),
    (ShufflesOnLoading, "saving and loading change nothing", "is encoded otherwise after loading"),
    (LoadRaisesAnything, "a damaged folder is a TokenizerError", r"without words\.json raises FileNotFoundError"),
    (LoadsNothing, "a damaged folder is a TokenizerError", r"passes over a missing words\.json"),
    (DrawsOtherText, DRAWN, "has the text 'is it near .*', not 'is it far"),
    (DrawsByChance, DRAWN, r"sample\(.*\) is drawn (in two ways|otherwise after)"),
    (DrawsByTheCallsBefore, DRAWN, "is drawn in two ways"),
    (DrawsByItself, DRAWN, "is drawn otherwise after loading"),
    (DrawsOneWay, DRAWN, "training would see every line in one way"),
    (DrawsByTextAlone, DRAWN, "training would see every line in one way"),
    (DrawsEnd, DRAWN, "returns 3, which is neither UNK nor in 16 to"),
    (DrawsBySmallNumbers, DRAWN, "OverflowError"),
    (DecodesWhatItEncodesOtherwise, DRAWN, "training would see every line in one way"),
    (CannotDrawAfterLoading, DRAWN, r"it has sample\(\) only before"),
    (TakesNoSize, "a given size is met or refused", "asked for 20 ids it makes"),
    (RefusesWithoutAHint, "a given size is met or refused", "is refused without a hint"),
    (RefusesWithAValueError, "a given size is met or refused", "ValueError: the corpus cannot support"),
    (FailsWithoutText, "a corpus without text is learnt from or refused", "ValueError"),
]


@pytest.mark.parametrize("kind", [Spaces, Pieces])
def test_a_right_tokenizer_passes(kind):
    assert [finding.cause for finding in tokenizer_checks(kind, LINES)] == [None] * 9
    check_tokenizer(kind, iter(LINES))


@pytest.mark.parametrize(("kind", "name", "cause"), WRONG_TOKENIZERS)
def test_a_wrong_tokenizer_is_caught(kind, name, cause):
    findings = {finding.name: finding.cause for finding in tokenizer_checks(kind, LINES)}
    assert len(findings) == 9, "a failure ends no other check"
    assert re.search(cause, findings[name] or "no cause"), findings[name]
    with pytest.raises(AssertionError):
        check_tokenizer(kind, LINES)
