"""Documents are read whatever their readers do, and reports add up."""

import hashlib
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2sbot import Cue, Dialogue, Exchange, Lost, Origin, Turn
from s2sbot.errors import CorpusError
from s2sbot.text import Corpus, Rules
from s2sbot.text.archives import Archives
from s2sbot.text.documents import Document, Part
from s2sbot.text.reading import CorpusReport, DocumentReport, fit_exchanges, read_corpus, read_document

# readers


class Says:
    """A reader that yields what it is given, and fails then."""

    def __init__(self, *items, error=None):
        self.items, self.error = items, error

    def sniff(self, head, name):
        return 1.0

    def read(self, stream, name):
        yield from self.items
        if self.error is not None:
            raise self.error


def read(tmp_path, reader, *, languages=(), **rules):
    """Return the items of a document, and the report on it."""
    file = tmp_path / "a.x"
    file.write_bytes(b"some bytes")
    report = DocumentReport("a.x")
    corpus = Corpus(file, "a.x", languages=languages)
    with Archives() as archives:
        document = Document("a.x", (Part(file, size=10),))
        items = list(read_document(document, corpus, {"says": reader}, archives, Rules(**rules), report))
    return items, report


PAIR = Exchange("Hello.", "Hi.", origin=Origin("a.x", 1))


def test_what_was_read_is_reported(tmp_path):
    talk = Dialogue((Turn("One."), Turn("Two.")), Origin("a.x", 1))
    items, report = read(tmp_path, Says(PAIR, Lost("half a line", 2), Lost("half a line", 3), talk))
    assert [type(item) for item in items] == [Exchange, Dialogue]
    assert (report.reader, report.cause, report.pairs, report.dialogues) == ("says", "", 1, 1)
    assert report.lost == {"half a line": 2}
    assert report.bytes == 10


def test_a_hash_is_of_all_bytes_though_a_reader_reads_none(tmp_path):
    assert read(tmp_path, Says(PAIR))[1].sha256 == hashlib.sha256(b"some bytes").hexdigest()


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ValueError("no subtitles in it"), "no subtitles in it"),
        (ValueError(), "ValueError: "),
        (RuntimeError("a fault"), "RuntimeError: a fault"),
        (KeyError("a"), "KeyError: 'a'"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (PermissionError(13, "Permission denied", "/secret/place"), "Permission denied"),
        (EOFError("it ends too soon"), "it ends too soon"),
        (MemoryError(), "MemoryError: "),
    ],
)
def test_a_reader_that_fails_ends_its_document_alone(tmp_path, error, cause):
    items, report = read(tmp_path, Says(error=error))
    assert (items, report.cause, report.lost) == ([], cause, {})
    items, report = read(tmp_path, Says(PAIR, error=error))
    assert (items, report.cause, report.lost) == ([PAIR], "", {f"breaks off: {cause}": 1})


def test_an_interrupt_is_no_fault_of_a_reader(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        read(tmp_path, Says(error=KeyboardInterrupt()))


def test_an_exchange_is_on_one_line_and_so_is_what_comes_before_it(tmp_path):
    before = ("one\ntwo", "three\u2028 four\r\n", "five")
    items, _ = read(tmp_path, Says(Exchange("a\nb", "c\x85d", before, Origin("a.x", 1))))
    assert items == [Exchange("a b", "c d", ("one two", "three four", "five"), Origin("a.x", 1))]
    assert read(tmp_path, Says(PAIR))[0][0] is PAIR


def test_an_exchange_is_repaired_and_so_is_what_comes_before_it(tmp_path):
    broken = Exchange("DÃ©jÃ ?", "VoilÃ\u00a0", ("C\u2019est lÃ ", "Oui."), Origin("a.x", 1))
    items, report = read(tmp_path, Says(broken))
    assert items == [Exchange("Déjà ?", "Voilà", ("C\u2019est là", "Oui."), Origin("a.x", 1))]
    assert report.rules == {"mojibake": 1}


def test_cues_come_when_all_are_there_with_the_film_as_their_group(tmp_path):
    cues = [Cue(2.0 * n, 2.0 * n + 1, f"Line {n}.") for n in range(4)]
    items, report = read(tmp_path, Says(*cues[:2], PAIR, *cues[2:]))
    assert items[0] == PAIR
    assert [item.group for item in items[1:]] == ["a"]
    assert report.cues == 4


def test_dialogue_is_no_translation(tmp_path):
    talk = Dialogue((Turn("One."), Turn("Two.")), Origin("a.x", 1))
    _, report = read(tmp_path, Says(talk), languages=("de", "en"))
    assert report.cause == "holds dialogue, not pairs of two languages"


def test_what_is_not_fit_is_counted_by_its_rule(tmp_path):
    corpus, report = Corpus(tmp_path, "x"), DocumentReport("x")
    turns = tuple(Turn(text) for text in ("Hello.", "Hi.", "Hi.", "?!", "Bye."))
    found = list(fit_exchanges(Dialogue(turns, Origin("x", 7)), corpus, Rules(context_turns=2), report, 5))
    assert [(each.source, each.target, each.context, each.dialogue, each.turn) for each in found] == [
        ("Hello.", "Hi.", (), 5, 0)
    ]
    assert report.rules == {"echo": 1, "length": 2}


def test_an_empty_file_and_one_that_nobody_knows_are_named(tmp_path):
    class Knows(Says):
        def sniff(self, head, name):
            return 0.0

    (tmp_path / "films").mkdir()
    for name, data in (("a.bin", b"\0\0\0"), ("b.txt", b"what"), ("c.srt", b"")):
        (tmp_path / "films" / name).write_bytes(data)
    report = CorpusReport()
    with pytest.raises(CorpusError, match="nothing to learn from"):
        list(read_corpus(Corpus(tmp_path / "films", "films"), {"k": Knows()}, report=report, rules=Rules()))
    assert [(skipped.name, skipped.cause) for skipped in report.skipped] == [
        ("a.bin", "binary data, not text"),
        ("b.txt", "no reader knows this kind of file"),
        ("c.srt", "empty file"),
    ]


def test_a_reader_that_cannot_even_look_is_passed_over(tmp_path, caplog):
    class Blind(Says):
        def sniff(self, head, name):
            raise RuntimeError("blind")

    file = tmp_path / "a.x"
    file.write_bytes(b"some bytes")
    report = CorpusReport()
    readers = {"blind": Blind(), "says": Says(PAIR)}
    assert [each.exchanges for each in read_corpus(Corpus(file, "a"), readers, report=report, rules=Rules())] == [
        (PAIR,)
    ]
    assert report.readers == {"says": 1}
    assert "the reader blind failed on a.x" in caplog.text


# reports

REPORT = st.builds(
    DocumentReport,
    name=st.text("abc", min_size=1),
    reader=st.sampled_from(["one", "other"]),
    cause=st.sampled_from(["", "", "empty file"]),
    sha256=st.text("0123456789abcdef", min_size=4, max_size=4),
    cues=st.integers(0, 9),
    dialogues=st.integers(0, 9),
    exchanges=st.integers(0, 9),
    rules=st.dictionaries(st.sampled_from(["echo", "signs"]), st.integers(1, 3)).map(Counter),
    lost=st.dictionaries(st.sampled_from(["half"]), st.integers(1, 3)).map(Counter),
)


@given(REPORT)
def test_a_report_is_read_back(report):
    assert DocumentReport.from_dict(report.to_dict()) == report


@given(st.lists(REPORT, max_size=6, unique_by=lambda report: report.name), st.randoms(use_true_random=False))
def test_reports_add_up_in_any_order(reports, order):
    def added(some):
        total = CorpusReport()
        for report in some:
            total.add(report)
        return total

    one, other = added(reports), added(order.sample(reports, len(reports)))
    for name in ("files", "cues", "dialogues", "exchanges", "rules", "lost", "readers", "hashes"):
        assert getattr(one, name) == getattr(other, name)
    assert one.digest() == other.digest()
    good = [report for report in reports if not report.cause]
    assert one.files == len(good)
    assert one.exchanges == sum(report.exchanges for report in good)
    assert one.cues == sum(report.cues for report in reports)
    assert one.rules == sum((report.rules for report in reports), Counter())


@given(st.lists(REPORT, min_size=1, max_size=4, unique_by=lambda report: report.name))
def test_a_digest_is_another_one_for_other_names_or_contents(reports):
    total = CorpusReport(hashes={report.name: report.sha256 for report in reports})
    renamed = CorpusReport(hashes={f"{report.name}x": report.sha256 for report in reports})
    changed = CorpusReport(hashes={**total.hashes, reports[0].name: f"{reports[0].sha256}0"})
    assert len({total.digest(), renamed.digest(), changed.digest()}) == 3


def test_a_file_that_is_gone_is_named_without_its_place(tmp_path):
    document = Document("a.x", (Part(tmp_path / "a.x", size=10),))
    report = DocumentReport("a.x")
    with Archives() as archives:
        found = read_document(document, Corpus(Path("a"), "a"), {"says": Says()}, archives, Rules(), report)
        assert list(found) == []
    assert report.cause == os.strerror(2)
