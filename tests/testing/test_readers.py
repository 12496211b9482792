"""The suite for readers passes what is right, and catches what is wrong in exactly one way."""

from __future__ import annotations

import dataclasses
import io
import re

import pytest

from s2sbot import Cue, Dialogue, Exchange, Origin, Turn, decode_text
from s2sbot.testing import check_reader, reader_checks

PLAY = b"ANNA: Is it far?\nBEN:  Not very.\n(They leave.)\n\nANNA: Here we are.\nBEN: At last.\n"
LINE = re.compile(r"([A-Z]+): +(\S.*)")


class Play:
    """`ANNA: Is it far?`, a line a turn; an empty line ends a scene."""

    def sniff(self, head, name):
        try:
            text, _ = decode_text(head, cut=True)
        except ValueError:
            return 0.0
        return 0.8 if LINE.match(text) else 0.0

    def read(self, stream, name):
        text, _ = decode_text(stream.read())
        for scene in text.split("\n\n"):
            said = [found for line in scene.split("\n") if (found := LINE.fullmatch(line.strip()))]
            if said:
                yield Dialogue(tuple(Turn(found[2], speaker=found[1]) for found in said), Origin(name))


class ReadsNothing(Play):
    def read(self, stream, name):
        yield from ()


class ReadsStrings(Play):
    def read(self, stream, name):
        yield from (turn.text for dialogue in super().read(stream, name) for turn in dialogue.turns)


class ReadsEmptyTurns(Play):
    def read(self, stream, name):
        yield from super().read(stream, name)
        yield Dialogue((Turn(" "),), Origin(name))


class ReadsDialoguesWithoutTurns(Play):
    def read(self, stream, name):
        yield Dialogue((), Origin(name))


class ReadsTimesThatAreNone(Play):
    def read(self, stream, name):
        for dialogue in super().read(stream, name):
            yield Cue(float("nan"), 1.0, dialogue.turns[0].text)


class RemembersLines(Play):
    def __init__(self):
        self.read_before = 0

    def read(self, stream, name):
        self.read_before += 1
        for dialogue in super().read(stream, name):
            yield dataclasses.replace(dialogue, origin=Origin(name, line=self.read_before))


class Seeks(Play):
    def read(self, stream, name):
        stream.seek(0)
        yield from super().read(stream, name)


class TakesOneReadForAll(Play):
    def read(self, stream, name):
        stream.tell()
        yield from super().read(stream, name)


class MakesSomethingOfNothing(Play):
    def read(self, stream, name):
        items = list(super().read(stream, name))
        yield from items or [Exchange("nothing", "at all")]


class FailsOnNothing(Play):
    def read(self, stream, name):
        data = stream.read()
        data[0]
        yield from Play.read(self, io.BytesIO(data), name)


class FailsWhereItIsCutOff(Play):
    def read(self, stream, name):
        data = stream.read()
        if data:
            data[len(PLAY) - 20]
        yield from Play.read(self, io.BytesIO(data), name)


class FailsOnByteOrderMarks(Play):
    def read(self, stream, name):
        data = stream.read()
        if data.startswith(b"\xef\xbb\xbf"):
            raise KeyError("\ufeff")
        yield from Play.read(self, io.BytesIO(data), name)


class EmptyAfterOtherLineEnds(Play):
    def read(self, stream, name):
        data = stream.read()
        if b"\r" in data:
            yield Exchange("\r", "\r")
        yield from Play.read(self, io.BytesIO(data), name)


class FailsOnRubbish(Play):
    def read(self, stream, name):
        data = stream.read()
        if b"\0\1\2" in data:
            raise MemoryError
        yield from Play.read(self, io.BytesIO(data), name)


class ClaimsAll(Play):
    def sniff(self, head, name):
        return 0.5


class ClaimsTooMuch(Play):
    def sniff(self, head, name):
        return 80.0 * super().sniff(head, name)


class ClaimsNothing(Play):
    def sniff(self, head, name):
        return 0.0


class CannotSniffNothing(Play):
    def sniff(self, head, name):
        if not head:
            raise ValueError("empty")
        return super().sniff(head, name)


WRONG_READERS = [
    (ReadsNothing, "cues, dialogues or exchanges with text are read", "nothing was read"),
    (ReadsStrings, "cues, dialogues or exchanges with text are read", "a str was read, which is no Cue or Dialogue or"),
    (ReadsEmptyTurns, "cues, dialogues or exchanges with text are read", "has no text"),
    (ReadsDialoguesWithoutTurns, "cues, dialogues or exchanges with text are read", "has no turn"),
    (ReadsTimesThatAreNone, "cues, dialogues or exchanges with text are read", r"a cue from nan to 1\.0 seconds"),
    (RemembersLines, "reading twice gives the same", "otherwise the second time"),
    (Seeks, "a stream that cannot seek is read", "UnsupportedOperation"),
    (TakesOneReadForAll, "a stream that cannot seek is read", "UnsupportedOperation"),
    (MakesSomethingOfNothing, "empty input is nothing, or a ValueError", "something was read of nothing"),
    (
        FailsOnNothing,
        "empty input is nothing, or a ValueError",
        "empty input: IndexError: .*; only a ValueError may be",
    ),
    (FailsWhereItIsCutOff, "a file that is cut off is read, or a ValueError", "the first 1 bytes: IndexError"),
    (FailsOnByteOrderMarks, "line ends and byte order marks are read, or a ValueError", "a byte order mark: KeyError"),
    (
        EmptyAfterOtherLineEnds,
        "line ends and byte order marks are read, or a ValueError",
        r"\\r\\n at the ends of lines: Exchange.* has no text",
    ),
    (FailsOnRubbish, "binary data is read, or a ValueError", "binary data: MemoryError"),
    (ClaimsAll, "binary data is read, or a ValueError", "it claims binary data"),
    (ClaimsTooMuch, "it knows its own file", r"its own file: sniff\(\) returns 64\.0, not 0 to 1"),
    (ClaimsNothing, "it knows its own file", "it does not know its own file"),
    (CannotSniffNothing, "empty input is nothing, or a ValueError", r"empty input: sniff\(\) raises ValueError: empty"),
]


def test_a_right_reader_passes():
    assert [finding.cause for finding in reader_checks(Play, PLAY, "play.txt")] == [None] * 8
    check_reader(Play, PLAY, "play.txt")


@pytest.mark.parametrize(("kind", "name", "cause"), WRONG_READERS)
def test_a_wrong_reader_is_caught(kind, name, cause):
    findings = {finding.name: finding.cause for finding in reader_checks(kind, PLAY, "play.txt")}
    assert len(findings) == 8, "a failure ends no other check"
    assert re.search(cause, findings[name] or "no cause"), findings[name]
    with pytest.raises(AssertionError):
        check_reader(kind, PLAY, "play.txt")


class Sides:
    """Line n of one file is the translation of line n of the other."""

    strict = True

    def read_pair(self, source, target, name):
        sides = ([line.strip() for line in decode_text(side.read())[0].split("\n")] for side in (source, target))
        pairs = zip(*(side[: -1 if side[-1] == "" else None] for side in sides), strict=self.strict)
        yield from (Exchange(left, right, origin=Origin(name)) for left, right in pairs if left and right)


class ForgivingSides(Sides):
    strict = False


class SidesOfCues(Sides):
    def read_pair(self, source, target, name):
        yield from (Cue(0.0, 1.0, exchange.source) for exchange in super().read_pair(source, target, name))


PAIR = ("où ?\nnon\n".encode(), b"where?\nno\n")


def test_a_right_reader_of_pairs_passes():
    assert [finding.cause for finding in reader_checks(Sides, PAIR, "train")] == [None] * 8
    check_reader(Sides, PAIR, "train")


def test_a_wrong_reader_of_pairs_is_caught():
    causes = {finding.name: finding.cause for finding in reader_checks(ForgivingSides, PAIR, "train")}
    wrong = {name: cause for name, cause in causes.items() if cause is not None}
    assert wrong == {
        "sides of different length are a ValueError": (
            "sides of different length are no ValueError: 2 exchanges were read"
        )
    }
    with pytest.raises(AssertionError, match="a Cue was read, which is no Dialogue or Exchange"):
        check_reader(SidesOfCues, PAIR, "train")


@pytest.mark.parametrize(
    ("kind", "data", "cause"),
    [(Sides, PAIR[0], "given one file, but is no Reader"), (Play, PAIR, "given two files, but is no PairReader")],
)
def test_as_many_files_as_the_reader_reads(kind, data, cause):
    with pytest.raises(AssertionError, match=cause):
        check_reader(kind, data, "x")
