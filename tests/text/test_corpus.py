"""A path becomes exchanges, with an account of what was read and what was not."""

import io
import re
import tarfile
import zipfile

import pytest

from s2sbot import Cue, Exchange, Origin
from s2sbot.errors import CorpusError
from s2sbot.plugins import Plugins
from s2sbot.text import CorpusReport, Rules, open_corpus, read_corpus

SRT = "1\n00:00:01,000 --> 00:00:02,000\nHello.\n\n2\n00:00:02,500 --> 00:00:03,000\nHi.\n"
BINARY = bytes(range(256)) * 4


@pytest.fixture(scope="module")
def readers():
    return Plugins().readers()


@pytest.fixture
def read(readers):
    """Return a function that reads a path whole, and gives its documents and the report."""

    def read(path, *, context_turns=0, **languages):
        report = CorpusReport()
        corpus = open_corpus(path, **languages)
        found = read_corpus(corpus, readers, report=report, rules=Rules(context_turns=context_turns))
        return list(found), report

    return read


def lines(documents):
    return [(one.source, one.target) for document in documents for one in document.exchanges]


def test_one_file(tmp_path, read):
    (tmp_path / "a.srt").write_text(SRT)
    documents, report = read(tmp_path / "a.srt")
    assert documents[0].exchanges == (
        Exchange("Hello.", "Hi.", origin=Origin("a.srt", seconds=1.0), dialogue=0, turn=0),
    )
    assert (documents[0].name, documents[0].report.reader, documents[0].report.pairs) == ("a.srt", "srt", 0)
    assert (report.files, report.cues, report.dialogues, report.exchanges, report.skipped) == (1, 2, 1, 1, [])


def test_bad_files_among_good_ones_are_counted_and_named(tmp_path, read):
    (tmp_path / "a.srt").write_text(SRT)
    (tmp_path / "b.srt").write_bytes(b"")
    (tmp_path / "c.srt").write_bytes(BINARY)
    (tmp_path / "d.txt").write_text("just some words\n")
    (tmp_path / "e.srt").write_text(SRT[:44])
    documents, report = read(tmp_path)
    assert lines(documents) == [("Hello.", "Hi.")]
    assert report.files == 1
    assert {one.name: one.cause for one in report.skipped} == {
        "b.srt": "empty file",
        "c.srt": "binary data, not text",
        "d.txt": "no reader knows this kind of file",
        "e.srt": "no exchange in it",
    }


@pytest.mark.parametrize(
    ("name", "data", "cause"),
    [("a.srt", b"", "empty file"), ("a.srt", BINARY, "binary data"), ("a.txt", b"words", "no reader")],
)
def test_nothing_to_learn_from_is_an_error_with_causes_and_a_hint(tmp_path, read, name, data, cause):
    (tmp_path / name).write_bytes(data)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(CorpusError, match=f"nothing to learn from in .*{name}: {cause}") as raised:
            read(path)
        assert "s2sbot corpus inspect" in raised.value.hint


def test_an_empty_folder_is_an_error(tmp_path, read):
    with pytest.raises(CorpusError, match="it is empty"):
        read(tmp_path)


def test_a_path_that_is_not_there_is_named(tmp_path):
    for name in ("nothing.srt", "**", "x" * 300):
        with pytest.raises(CorpusError, match=r"no such file|cannot read|no file fits") as raised:
            open_corpus(tmp_path / name)
        assert raised.value.hint
    (tmp_path / "train.de").write_text("eins\n")
    with pytest.raises(CorpusError, match="no such file") as raised:
        open_corpus(tmp_path / "train")
    assert "train.de" in raised.value.hint
    assert "--source" in raised.value.hint


def test_the_order_and_packing_of_files_do_not_matter(tmp_path, read):
    names = ["c.srt", "a.srt", "b.srt"]
    digests = set()
    for number, order in enumerate((names, names[::-1])):
        folder = tmp_path / str(number)
        folder.mkdir()
        with zipfile.ZipFile(tmp_path / f"{number}.zip", "w") as archive:
            for name in order:
                (folder / name).write_text(SRT.replace("Hello", name))
                archive.writestr(name, SRT.replace("Hello", name))
        for path in (folder, tmp_path / f"{number}.zip"):
            documents, report = read(path)
            assert [document.name for document in documents] == sorted(names)
            digests.add(report.digest())
    assert len(digests) == 1
    (tmp_path / "0" / "a.srt").write_text(SRT)
    assert read(tmp_path / "0")[1].digest() not in digests


def test_a_damaged_member_is_skipped_and_named(tmp_path, read):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.srt", SRT * 20)
        archive.writestr("b.srt", SRT)
    data = bytearray(path.read_bytes())
    data[40] ^= 0xFF
    path.write_bytes(data)
    documents, report = read(path)
    assert lines(documents) == [("Hello.", "Hi.")]
    assert [one.name for one in report.skipped] == ["a.srt"]


def test_a_member_that_climbs_out_is_read_like_any_other(tmp_path, read):
    (tmp_path / "inner").mkdir()
    with zipfile.ZipFile(tmp_path / "inner" / "a.zip", "w") as archive:
        archive.writestr("../../x.srt", SRT)
        archive.writestr("a.srt", SRT)
    assert lines(read(tmp_path / "inner" / "a.zip")[0]) in ([("Hello.", "Hi.")], [("Hello.", "Hi.")] * 2)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip", "inner"]


def test_context_turns_are_asked_for(tmp_path, read):
    (tmp_path / "a.srt").write_text(SRT + "\n3\n00:00:04,000 --> 00:00:05,000\nBye.\n")
    documents, _ = read(tmp_path, context_turns=1)
    assert [(one.context, one.source) for one in documents[0].exchanges] == [((), "Hello."), (("Hello.",), "Hi.")]


def test_pairs_of_two_files(tmp_path, read):
    (tmp_path / "train.de").write_text("eins\n\ndrei\n")
    (tmp_path / "train.en").write_text("one\ntwo\nthree\n")
    documents, report = read(tmp_path / "train", source="de", target="en")
    assert documents[0].exchanges == (
        Exchange("eins", "one", origin=Origin("train", line=1)),
        Exchange("drei", "three", origin=Origin("train", line=3)),
    )
    assert documents[0].report.pairs == 2
    assert report.exchanges == 2
    turned, _ = read(tmp_path / "train", source="en", target="de")
    assert lines(turned) == [("one", "eins"), ("three", "drei")]


def test_a_pair_is_repaired_before_it_is_one_line(tmp_path, read):
    (tmp_path / "a.tsv").write_text(
        "S\u00c3\u00ad, aqu\u00c3\u00ad.\tOne.\u00e2\u20ac\u00a8It\u00e2\u20ac\u2122s here.\n", "utf-8"
    )
    documents, report = read(tmp_path / "a.tsv")
    assert lines(documents) == [("S\u00ed, aqu\u00ed.", "One. It\u2019s here.")]
    assert report.rules["mojibake"] == 1


def test_uneven_sides_name_the_line(tmp_path, read):
    (tmp_path / "train.de").write_text("eins\nzwei\n")
    (tmp_path / "train.en").write_text("one\ntwo\nthree\n")
    cause = "the source side of train ends after line 2, the other goes on; both must have the same lines"
    with pytest.raises(CorpusError, match=cause):
        read(tmp_path / "train", source="de", target="en")


def test_uneven_sides_are_skipped_by_name_and_none_of_their_pairs_is_believed(tmp_path, read):
    for name, count in (("good", 3), ("bad", 2)):
        (tmp_path / f"{name}.de").write_text("eins\nzwei\ndrei\n"[: 5 * count])
        (tmp_path / f"{name}.en").write_text("one\ntwo\nthree\n")
    documents, report = read(tmp_path, source="de", target="en")
    assert [document.name for document in documents] == ["good"]
    [skipped] = report.skipped
    assert skipped.name == "bad"
    assert "both must have the same lines" in skipped.cause


def test_a_missing_side_and_a_missing_language_are_errors(tmp_path):
    (tmp_path / "train.de").write_text("eins\n")
    with pytest.raises(CorpusError, match="the en side of"):
        open_corpus(tmp_path / "train", source="de", target="en")
    with pytest.raises(CorpusError, match="go together"):
        open_corpus(tmp_path / "train.de", source="de")


def test_dialogue_is_no_translation(tmp_path, read):
    (tmp_path / "a.srt").write_text(SRT)
    with pytest.raises(CorpusError, match="holds dialogue, not pairs of two languages"):
        read(tmp_path, source="de", target="en")
    (tmp_path / "b.tsv").write_text("eins\tone\n")
    documents, report = read(tmp_path, source="de", target="en")
    assert lines(documents) == [("eins", "one")]
    assert [one.name for one in report.skipped] == ["a.srt"]


def test_a_described_folder(tmp_path, read):
    (tmp_path / "corpus.toml").write_text(
        'name = "ferry"\nfiles = ["*.srt"]\nreader = "srt"\nlicence = "CC0-1.0"\nvalid_share = 0.1\n'
        '[settings.train]\nselect = "last"\n',
        encoding="utf-8-sig",
    )
    (tmp_path / "a.srt").write_text(SRT)
    (tmp_path / "b.tsv").write_text("not\tread\n")
    corpus = open_corpus(tmp_path)
    assert (corpus.name, corpus.licence, corpus.valid_share, corpus.kind) == ("ferry", "CC0-1.0", 0.1, "chat")
    assert corpus.settings["train"] == {"select": "last"}
    assert lines(read(tmp_path)[0]) == [("Hello.", "Hi.")]


def test_a_described_pair_of_languages_has_a_direction(tmp_path):
    (tmp_path / "corpus.toml").write_text('languages = ["en", "fr"]\n')
    assert open_corpus(tmp_path, source="en", target="fr").kind == "translate"
    for source, target in (("fr", "en"), ("en", "de")):
        with pytest.raises(CorpusError, match=f"is en to fr, not {source} to {target}"):
            open_corpus(tmp_path, source=source, target=target)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('nmae = "x"', "unknown key 'nmae'"),
        ("name = ", "Invalid value"),
        ("name = 3", "name must be a string"),
        ("licence = 3", "licence must be a string"),
        ('files = "a.srt"', "files must be a list of strings"),
        ("files = [3]", "files must be a list of strings"),
        ("files = []", "`files` names none"),
        ('languages = ["a", "b", "c"]', "more than two languages"),
        ("valid_share = 5.0", "valid_share cannot be 5.0"),
        ("valid_share = nan", "valid_share cannot be nan"),
        ("valid_share = 1", "valid_share must be a number"),
        ("settings = 3", "settings must be tables"),
        ("[settings]\ntrain = 3", "'train' must be a table"),
        ("[settings.tarin]\nseed = 3", "unknown table 'tarin'"),
        ("x = " + "[" * 3000, "recursion"),
        ("name = " + "9" * 5000, "Exceeds the limit"),
    ],
)
def test_a_wrong_description_is_a_corpus_error_that_names_the_file(tmp_path, text, message):
    (tmp_path / "corpus.toml").write_text(text)
    with pytest.raises(CorpusError, match=re.escape(message)) as raised:
        open_corpus(tmp_path)
    assert "corpus.toml" in raised.value.message
    assert raised.value.hint


def test_a_description_that_is_no_utf_8_is_a_corpus_error(tmp_path):
    (tmp_path / "corpus.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(CorpusError, match=r"corpus\.toml"):
        open_corpus(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('files = ["../x"]', "leaves the folder"),
        ('files = ["/etc/passwd"]', "leaves the folder"),
        ('files = ["z*"]', "no file fits 'z*'"),
        ('files = ["**z"]', "no pattern of files"),
        ('files = ["**/a/**/b/**/*.srt"]', "no pattern of files"),
        (f'files = ["{"a" * 400}"]', "no pattern of files"),
        (f'files = ["{"[" * 40_000}"]', "no pattern of files"),
        (f'files = ["{"*/" * 490}"]', "no pattern of files"),
        (f'files = ["{"a" * 253}"]\nlanguages = ["de", "en"]', "no name that a file can have"),
        ('files = ["x"]\nlanguages = ["d/e", "en"]', "no name that a file can have"),
        ('reader = "subtitels"', "no reader 'subtitels'"),
        ('reader = "moses"', "reads pairs of files only"),
        ('files = ["train"]\nlanguages = ["de", "en"]', "the en side of"),
    ],
)
def test_a_description_that_does_not_fit_its_folder(tmp_path, read, text, message):
    (tmp_path / "corpus.toml").write_text(text)
    (tmp_path / "a.srt").write_text(SRT)
    (tmp_path / "train.de").write_text("eins\n")
    with pytest.raises(CorpusError, match=re.escape(message)):
        read(tmp_path)


def test_a_file_that_may_not_be_opened_is_named(tmp_path, read, monkeypatch):
    (tmp_path / "a.srt").write_text(SRT)

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(CorpusError, match=r"a\.srt: .*Permission denied"):
        read(tmp_path / "a.srt")


class OfThree:
    """A reader that yields a cue, then an exchange."""

    def sniff(self, head: bytes, name: str) -> float:
        return 1.0 if head.startswith(b"three") else 0.0

    def read(self, stream: io.BufferedIOBase, name: str):
        assert stream.read() == b"three" + b"x" * 100_000
        yield Cue(0, 1, "One.")
        yield Cue(1, 2, "Two.")
        yield Exchange("three", "four")


def test_a_reader_gets_the_whole_stream_and_may_mix_what_it_yields(tmp_path, readers):
    (tmp_path / "a").write_bytes(b"three" + b"x" * 100_000)
    report = CorpusReport()
    found = read_corpus(open_corpus(tmp_path), {**readers, "three": OfThree()}, report=report, rules=Rules())
    assert lines(found) == [("three", "four"), ("One.", "Two.")]


def test_the_sample_suites_are_read_or_skipped_by_name(shared_data, read):
    root = shared_data("subs", "testsuites")
    documents, report = read(root)
    named = {document.name for document in documents} | {one.name for one in report.skipped}
    assert named == {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert all(one.cause for one in report.skipped)
    assert len(documents) >= 45
    assert not [pair for pair in lines(documents) if re.search(r"NOTE|STYLE|::cue|-->|</?[a-z]>|\{\\", " ".join(pair))]


def test_a_series_of_fan_subtitles_is_clean(shared_data, read, tmp_path):
    with (
        zipfile.ZipFile(shared_data("subs", "onepace", "onepace_en.zip")) as whole,
        zipfile.ZipFile(tmp_path / "some.zip", "w") as some,
    ):
        for name in sorted(whole.namelist())[::8]:
            some.writestr(name, whole.read(name))
    documents, report = read(tmp_path / "some.zip")
    assert report.files == 25
    assert report.skipped == []
    assert report.exchanges > 7_500  # of more than 60,000 in all 196
    dirty = re.compile(r"[{}\\<>]|Subtitles will likely not function|\bm -?\d+ -?\d+ [lb]\b|♪")
    assert not [pair for pair in lines(documents) if dirty.search(" ".join(pair))]


def test_a_digest_tells_names_and_contents_but_no_order():
    one, two = CorpusReport(hashes={"a": "1", "b": "2"}), CorpusReport(hashes={"b": "2", "a": "1"})
    assert one.digest() == two.digest()
    others = ({"a": "2", "b": "1"}, {"a": "1"}, {"a": "1", "c": "2"}, {})
    assert len({one.digest(), *(CorpusReport(hashes=hashes).digest() for hashes in others)}) == 5


def test_a_strangers_reader_that_fails_costs_only_its_own_files(tmp_path, caplog):
    class Stranger:
        def sniff(self, head, name):
            raise KeyError("sniff")

        def read(self, stream, name):
            raise KeyError("read")

    (tmp_path / "a.tsv").write_text("one\ttwo\n")
    report = CorpusReport()
    readers = {**Plugins().readers(), "stranger": Stranger()}
    found = list(read_corpus(open_corpus(tmp_path), readers, report=report, rules=Rules()))
    assert [document.report.reader for document in found] == ["tsv"]
    assert "stranger" in caplog.text
    (tmp_path / "corpus.toml").write_text('reader = "stranger"\n')
    with pytest.raises(CorpusError, match="KeyError"):
        list(read_corpus(open_corpus(tmp_path), readers, report=CorpusReport(), rules=Rules()))


TMX = """<?xml version="1.0"?>
<tmx version="1.4"><header srclang="en"/><body><tu>
<tuv xml:lang="en"><seg>One.</seg></tuv><tuv xml:lang="de"><seg>Eins.</seg></tuv><tuv xml:lang="fr"><seg>Un.</seg></tuv>
</tu></body></tmx>
"""


def test_a_reader_of_many_languages_is_told_which(tmp_path, read):
    (tmp_path / "a.tmx").write_text(TMX)
    assert lines(read(tmp_path / "a.tmx", source="fr", target="de")[0]) == [("Un.", "Eins.")]
    with pytest.raises(CorpusError, match="language"):
        read(tmp_path / "a.tmx")


def test_pairs_of_files_in_a_folder_and_in_an_archive(tmp_path, read):
    (tmp_path / "f" / "sub").mkdir(parents=True)
    for name, text in (
        ("a.de", "eins\nzwei\n"),
        ("a.en", "one\ntwo\n"),
        ("sub/b.de", "drei\n"),
        ("sub/b.en", "three\n"),
    ):
        (tmp_path / "f" / name).write_text(text)
    (tmp_path / "f" / "alone.de").write_text("vier\n")
    with tarfile.open(tmp_path / "f.tgz", "w:gz") as archive:
        archive.add(tmp_path / "f", "f")
    for path in (tmp_path / "f", tmp_path / "f.tgz"):
        documents, report = read(path, source="de", target="en")
        assert lines(documents) == [("eins", "one"), ("zwei", "two"), ("drei", "three")]
        assert [one.name.removeprefix("f/") for one in report.skipped] == ["alone.de"]


def test_questions_and_answers_in_two_files_make_a_chat_corpus(tmp_path, read):
    (tmp_path / "pairs.enc").write_text("Hello.\n")
    (tmp_path / "pairs.dec").write_text("Hi.\n")
    assert open_corpus(tmp_path / "pairs", source="enc", target="dec").kind == "chat"
    assert lines(read(tmp_path / "pairs", source="enc", target="dec")[0]) == [("Hello.", "Hi.")]


def test_a_pattern_of_files(tmp_path, read):
    (tmp_path / "a.en.srt").write_text(SRT)
    (tmp_path / "a.de.srt").write_text(SRT.replace("Hello", "Hallo"))
    assert lines(read(tmp_path / "*.de.srt")[0]) == [("Hallo.", "Hi.")]


def test_what_a_file_lost_is_counted_and_the_rest_is_read(tmp_path, read):
    (tmp_path / "a.srt").write_text(
        SRT + "\n3\n00:00:xx --> 00:00:04,000\nLost.\n\n4\n00:00:05,000 --> 00:00:06,000\nBye.\n"
    )
    documents, report = read(tmp_path / "a.srt")
    assert ("Hi.", "Bye.") in lines(documents)
    assert sum(report.lost.values()) == 1
    assert report.skipped == []


def prepared(folder):
    """Make a folder look like what a preparation leaves."""
    (folder / "tokenizer").mkdir(parents=True)
    for name in ("data.json", "card.json", "tokenizer/words.tsv", "valid.jsonl"):
        (folder / name).write_text('{"source": "Held", "target": "out."}\n')


def test_what_was_prepared_is_read_neither_by_itself_nor_in_a_folder(tmp_path, read):
    prepared(tmp_path / "films" / "deep" / "out")
    (tmp_path / "films" / "deep" / "a.srt").write_text(SRT)
    (tmp_path / "films" / "deep" / "data.json").write_text("{}")
    for path in (tmp_path / "films", tmp_path / "films" / "**" / "*"):
        documents, report = read(path)
        assert lines(documents) == [("Hello.", "Hi.")]
        skipped = {one.name: one.cause for one in report.skipped}
        assert skipped.pop("deep/out/") == "written by an earlier preparation"
        assert skipped.keys() == {"deep/data.json"}
    with pytest.raises(CorpusError, match="out is prepared already") as raised:
        open_corpus(tmp_path / "films" / "deep" / "out")
    assert "s2sbot train" in raised.value.hint


def test_folders_that_say_themselves_what_they_are_must_be_named(tmp_path, read):
    for name in ("ferry", "pairs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.srt").write_text(SRT)
        (tmp_path / name / "corpus.toml").write_text("")
    with pytest.raises(CorpusError, match=r"corpus\.toml of their own: .*ferry, .*pairs") as raised:
        read(tmp_path)
    assert "name each" in raised.value.hint
    assert lines(read(tmp_path / "ferry")[0]) == [("Hello.", "Hi.")]


THREE_LANGUAGES = (
    '<tmx version="1.4"><header srclang="en"/><body><tu>'
    + "".join(f'<tuv xml:lang="{each}"><seg>{each}</seg></tuv>' for each in ("en", "de", "fr"))
    + "</tu></body></tmx>"
)


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"train.de": "eins\n", "train.en": "one\n"}, True),
        ({"a.tmx": THREE_LANGUAGES}, True),
        ({"train.de": "eins\n", "other.en": "one\n"}, False),
        ({"a.md": "eins\n", "a.jpg": "one\n"}, False),
    ],
)
def test_of_two_languages_the_hint_asks_which(tmp_path, read, files, wanted):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(CorpusError, match="nothing to learn from") as raised:
        read(tmp_path)
    assert ("--source LANGUAGE --target LANGUAGE" in raised.value.hint) == wanted
