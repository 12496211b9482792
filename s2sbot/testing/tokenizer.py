"""A tokenizer class and lines of text go in; what it does otherwise than the contract says comes out."""

from __future__ import annotations

import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..errors import TokenizerError
from ..text.tokenizer import RESERVED, UNK, SamplingTokenizer, Tokenizer
from ..trainer.subwords import cut_anew
from .findings import Check, Finding, Started, cause_of, require, run_checks

__all__ = ["SAMPLE_LINES", "check_tokenizer", "tokenizer_checks"]

SAMPLE_LINES = (
    "Hello, is it me you're looking for?",
    "No, it is not; it is “me” (myself).",
    "Where are we going? Across the water, as ever.",
    "Où êtes-vous ? J'ai 2,50 €, c'est tout !",
    "Übermorgen vielleicht, wenn das Wetter hält.",
    "Где мы? Дома.",
    "日本語のテキスト。",
    "a well-known rock'n'roll band, isn't it?!",
)
"""What a tokenizer is checked on where no lines are given."""
STRANGE = (
    "",
    " ",
    "\t \n",
    "never seen: \u2603 \U0001f600",
    "a\0b",
    "half \ud83d pair",
    "</s> <s> <pad> <unk>",
    "x" * 2000,
)
"""What no corpus holds and a user may still say."""
EXPLICIT = (RESERVED + 4, 32, 64, 272, 400, 100_000)
"""Sizes of a vocabulary that may be asked for."""
NUMBERS = (*range(12), 2**62)
"""What pieces are drawn by; training gives numbers of up to 63 bits."""
DRAWN_LINES = 500
"""Lines that pieces are drawn of, where more are given."""


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is checked: a class, and the lines that it is trained on."""

    kind: type[Tokenizer]
    lines: tuple[str, ...]
    texts: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", (*self.lines, *STRANGE))

    def trained(self, vocab_size: int | None = None) -> Tokenizer:
        """Train on the lines, which come once, as those of a corpus do."""
        return self.kind.train(iter(self.lines), vocab_size)


def check_tokenizer(kind: type[Tokenizer], lines: Iterable[str]) -> None:
    """Check the contract of a tokenizer on lines that it can be trained on.

    Raises:
        AssertionError: at the first check that fails; it says which one, and what differs.
    """
    require(tokenizer_checks(kind, lines))


def tokenizer_checks(
    kind: type[Tokenizer], lines: Iterable[str], *, started: Started | None = None
) -> Iterator[Finding]:
    """Yield a finding for every check of the contract of a tokenizer.

    Args:
        started: hears the name of every check before it runs.
    """
    subject = _Subject(kind, tuple(lines))
    return run_checks([Check(name, partial(check, subject)) for name, check in CONTRACT], started)


def _check_ids(subject: _Subject) -> None:
    tokenizer = subject.trained()
    size = len(tokenizer)
    assert size > RESERVED, f"{size} ids: none beyond the {RESERVED} that are reserved"
    for text in subject.texts:
        _check_range(tokenizer.encode(text), size, f"encode({text!r:.50})")
    assert any(UNK not in tokenizer.encode(line) for line in subject.lines), "it knows no line that it was trained on"


def _check_range(ids: list[int], size: int, what: str) -> None:
    assert isinstance(ids, list), f"{what} returns a {type(ids).__name__}, not a list"
    other = [index for index in ids if type(index) is not int]
    assert not other, f"{what} returns {other[0]!r}, a {type(other[0]).__name__}, not an int"
    beyond = [index for index in ids if index != UNK and not RESERVED <= index < size]
    assert not beyond, f"{what} returns {beyond[0]}, which is neither UNK nor in {RESERVED} to {size - 1}"


def _check_round_trip(subject: _Subject) -> None:
    tokenizer = subject.trained()
    for text in subject.texts:
        ids = tokenizer.encode(text)
        back = tokenizer.decode(ids)
        assert isinstance(back, str), f"decode() returns a {type(back).__name__}, not a str"
        if text in subject.lines and UNK not in ids:
            assert _plain(back) == _plain(text), f"{text!r} comes back as {back!r}"


def _plain(text: str) -> str:
    """Take away what a tokenizer may: the width of white space, and the forms of one character (Unicode NFKC)."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _check_decoding(subject: _Subject) -> None:
    tokenizer = subject.trained()
    for ids in ([], list(range(RESERVED)), list(range(RESERVED, len(tokenizer)))):
        assert isinstance(tokenizer.decode(ids), str), "decode() does not return a str"
    said = tokenizer.decode(list(range(RESERVED))).strip()
    assert not said, f"the reserved ids have the text {said!r}"
    for line in subject.lines:
        ids = [index for index in tokenizer.encode(line) if index >= RESERVED]
        mixed = [index for pair in zip(ids, [*range(RESERVED)] * len(ids), strict=False) for index in pair]
        assert tokenizer.decode(mixed) == tokenizer.decode(ids), (
            f"{line!r} is decoded otherwise with reserved ids in it"
        )
    for index in range(RESERVED, len(tokenizer)):
        assert isinstance(tokenizer.decode([index]), str), f"decode([{index}]) does not return a str"


def _check_determinism(subject: _Subject) -> None:
    one, other = subject.trained(), subject.trained()
    assert len(one) == len(other), f"trained twice on the same lines: {len(one)} ids, and {len(other)}"
    for text in subject.texts:
        ids = one.encode(text)
        assert one.encode(text) == ids, f"{text!r:.50} is encoded in two ways"
        assert other.encode(text) == ids, f"{text!r:.50} is encoded in two ways after training twice on the same lines"


def _check_saving(subject: _Subject) -> None:
    tokenizer = subject.trained()
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "one", "tokenizer")
        folder.mkdir(parents=True)
        tokenizer.save(folder)
        stray = sorted(path.name for path in (*Path(parent).iterdir(), *folder.parent.iterdir()))
        assert stray == ["one", "tokenizer"], f"save() writes outside its folder: {', '.join(stray)}"
        # elsewhere, as a bot may be moved
        moved = folder.rename(Path(parent, "moved"))
        again = subject.kind.load(moved)
        assert len(again) == len(tokenizer), f"{len(tokenizer)} ids before saving and {len(again)} after loading"
        for text in subject.texts:
            ids = tokenizer.encode(text)
            assert again.encode(text) == ids, f"{text!r:.50} is encoded otherwise after loading"
            assert again.decode(ids) == tokenizer.decode(ids), f"{text!r:.50} is decoded otherwise after loading"


def _check_damage(subject: _Subject) -> None:
    tokenizer = subject.trained()
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        tokenizer.save(folder)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            whole = path.read_bytes()
            path.unlink()
            loaded = _loaded(subject.kind, folder, f"without {path.name}")
            assert loaded is None, f"load() passes over a missing {path.name}, which save() wrote"
            for part in (whole[: len(whole) // 2], b"", b"\xff\0" * 40):
                path.write_bytes(part)
                _loaded(subject.kind, folder, f"with a damaged {path.name}")
            path.write_bytes(whole)


def _loaded(kind: type[Tokenizer], folder: Path, where: str) -> Tokenizer | None:
    """Return the tokenizer of a damaged folder, or None where it is refused as it should be."""
    try:
        return kind.load(folder)
    except TokenizerError:
        return None
    except Exception as error:
        raise AssertionError(f"load() {where} raises {cause_of(error)}; it must be a TokenizerError") from error


def _check_size(subject: _Subject) -> None:
    for size in (len(subject.trained()), *EXPLICIT):
        try:
            tokenizer = subject.trained(size)
        except TokenizerError as error:
            assert error.hint, f"a vocabulary of {size} is refused without a hint of what it can be"
        else:
            assert len(tokenizer) == size, (
                f"asked for {size} ids it makes {len(tokenizer)}, and raises no TokenizerError"
            )


def _check_nothing(subject: _Subject) -> None:
    for lines in ((), ("", " ")):
        try:
            tokenizer = subject.kind.train(iter(lines), None)
        except TokenizerError:
            continue
        assert isinstance(tokenizer.decode(tokenizer.encode("Hello.")), str), "decode() does not return a str"


def _check_sampling(subject: _Subject) -> None:
    """Of a tokenizer that has `sample`: the text stays, the number alone decides, and training sees other pieces."""
    tokenizer = subject.trained()
    if not isinstance(tokenizer, SamplingTokenizer):
        return
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder))
        again = subject.kind.load(Path(folder))
    assert isinstance(again, SamplingTokenizer), "it has sample() only before it is saved and loaded"
    lines = subject.lines[:DRAWN_LINES]
    drawn = {(text, number): tokenizer.sample(text, number) for text in (*lines, *STRANGE) for number in NUMBERS}
    # the other way round, so that neither the calls before nor this object can decide
    for (text, number), ids in reversed(drawn.items()):
        what = f"sample({text!r:.50}, {number})"
        _check_range(ids, len(tokenizer), what)
        whole = tokenizer.decode(tokenizer.encode(text))
        assert tokenizer.decode(ids) == whole, f"{what} has the text {tokenizer.decode(ids)!r:.50}, not {whole!r:.50}"
        assert tokenizer.sample(text, number) == ids, f"{what} is drawn in two ways"
        assert again.sample(text, number) == ids, f"{what} is drawn otherwise after loading"
    ways = (len({tuple(cut_anew(tokenizer, tokenizer.encode(line), n)) for n in NUMBERS}) for line in lines)
    assert max(ways, default=0) > 1, (
        "training would see every line in one way: sample() draws no other, or encode(decode(ids)) are other ids"
    )


CONTRACT: tuple[tuple[str, Callable[[_Subject], None]], ...] = (
    ("ids are whole numbers in range", _check_ids),
    ("a line comes back from its ids", _check_round_trip),
    ("every id has a text, and reserved ones none", _check_decoding),
    ("the same lines make the same ids", _check_determinism),
    ("saving and loading change nothing", _check_saving),
    ("a damaged folder is a TokenizerError", _check_damage),
    ("pieces that are drawn have the text of the line", _check_sampling),
    ("a given size is met or refused", _check_size),
    ("a corpus without text is learnt from or refused", _check_nothing),
)
