"""Whatever is wrong with a corpus or a disk, a preparation says so in a line, and what can be prepared is."""

import errno
import json
import os
import signal
import sys
import zipfile
from pathlib import Path

import pytest
from preparations import film, hashes, made, srt, texts, write_films

from s2sbot import Cue, Exchange, Lost, Origin, PairReader
from s2sbot.errors import CorpusError, S2SBotError, SettingsError
from s2sbot.plugins import Plugins
from s2sbot.preparation import WORK, columns, plan, shards
from s2sbot.text import open_corpus
from s2sbot.text.packed import Packed


@pytest.fixture(scope="module")
def plugins():
    return Plugins()


@pytest.fixture
def films(tmp_path):
    return write_films(tmp_path / "films", 9)


def read_json_lines(path):
    return [json.loads(line) for line in path.read_bytes().decode("utf-8").splitlines()]


# the disk


class Full:
    """A file on a disk that takes so many bytes and no more."""

    def __init__(self, file, left):
        self._file, self._left = file, left

    def write(self, data):
        self._left[0] -= len(data)
        if self._left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()


@pytest.mark.parametrize("left", [0, 3_000, 30_000, 60_000])
def test_a_full_disk_is_said_and_the_work_goes_on_when_there_is_space(films, plugins, tmp_path, monkeypatch, left):
    made(tmp_path / "wanted", films, plugins=plugins)
    opened, bytes_left = Path.open, [left]

    def opens(path, mode="r", *arguments, **options):
        file = opened(path, mode, *arguments, **options)
        return Full(file, bytes_left) if mode in ("wb", "xb") else file

    with monkeypatch.context() as patch:
        patch.setattr(plan, "SHARD_DOCUMENTS", 2)
        patch.setattr(Path, "open", opens)
        with pytest.raises(S2SBotError, match="no space left on the disk while writing"):
            made(tmp_path / "out", films, plugins=plugins)
    done = len(list((tmp_path / "out" / WORK).glob("read-*.json")))
    monkeypatch.setattr(plan, "SHARD_DOCUMENTS", 2)
    _, said = made(tmp_path / "out", films, plugins=plugins)
    assert any(line.startswith(f"going on: {done} of") for line in said) == (done > 0)
    assert hashes(tmp_path / "out") == hashes(tmp_path / "wanted")
    assert (done > 0) == (left > 0)


@pytest.mark.skipif(os.name == "nt", reason="needs limits of the system")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_may_not_grow_is_said_from_any_process(films, tmp_path, workers):
    import resource

    said = tmp_path / "said"
    process = os.fork()
    if process == 0:  # pragma: no cover
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
            plan.SHARD_DOCUMENTS = 4
            try:
                made(tmp_path / "out", films, workers=workers)
            except S2SBotError as error:
                said.write_text(str(error)[:1_000])
        finally:
            os._exit(0)
    os.waitpid(process, 0)
    assert "cannot write" in said.read_text()
    assert "File too large" in said.read_text()


def test_a_folder_that_cannot_be_written_is_said(films, plugins, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(S2SBotError, match=r"cannot write .*file/out"):
        made(tmp_path / "file" / "out", films, plugins=plugins)


# documents that are not what they were, or not what they seem


def test_documents_that_change_or_go_between_planning_and_reading(films, plugins, tmp_path, monkeypatch):
    """What is read is what is there then; what is gone is named."""
    read = shards.read_shard

    def read_later(work, shard, *rest):
        monkeypatch.setattr(shards, "read_shard", read)
        (films / "south" / "film 000.en.srt").unlink()
        (films / "north" / "film 001.en.srt").write_text(srt(["Quite another film.", "So it is.", "Is it long?"]))
        (films / "north" / "film 002.en.srt").write_bytes(b"\0\1\2" * 99)
        yield from read(work, shard, *rest)

    monkeypatch.setattr(shards, "read_shard", read_later)
    made(tmp_path / "out", films, plugins=plugins)
    documents = {row["name"]: row for row in read_json_lines(tmp_path / "out" / "documents.jsonl")}
    assert documents["south/film 000.en.srt"]["cause"] == "No such file or directory"
    assert documents["north/film 001.en.srt"]["exchanges"] == 2
    assert documents["north/film 002.en.srt"]["cause"] == "binary data, not text"
    assert str(tmp_path) not in (tmp_path / "out" / "documents.jsonl").read_text()


def test_an_archive_that_changes_between_planning_and_reading(films, plugins, tmp_path, monkeypatch):
    archive = tmp_path / "films.zip"

    def pack(numbers):
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
            for number in numbers:
                opened.writestr(f"{number}.srt", film(number))

    pack(range(9))
    read = shards.read_shard

    def read_later(work, shard, *rest):
        if shard.number == 2:
            pack(range(20, 29))
        yield from read(work, shard, *rest)

    monkeypatch.setattr(plan, "SHARD_DOCUMENTS", 2)
    monkeypatch.setattr(shards, "read_shard", read_later)
    made(tmp_path / "out", archive, plugins=plugins)
    documents = read_json_lines(tmp_path / "out" / "documents.jsonl")
    assert len(documents) == 9
    assert all(row["exchanges"] or row["cause"] for row in documents)
    assert sum(bool(row["exchanges"]) for row in documents) >= 4


@pytest.mark.skipif(os.name == "nt", reason="needs permissions of files")
def test_files_that_cannot_be_read_are_named(films, plugins, tmp_path, monkeypatch):
    (films / "dangling.srt").symlink_to(films / "nowhere.srt")
    os.mkfifo(films / "pipe.srt")
    opened = Path.open

    def opens(path, *arguments, **options):
        if path.name == "film 004.en.srt":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", opens)
    _, said = made(tmp_path / "out", films, plugins=plugins)
    told = next(line for line in said if line.startswith("films: "))
    assert "8 files" in told
    causes = {
        row["name"]: row["cause"] for row in read_json_lines(tmp_path / "out" / "documents.jsonl") if row["cause"]
    }
    assert causes["dangling.srt"] == "a link to nothing"
    assert causes["north/film 004.en.srt"] == "Permission denied"


@pytest.mark.parametrize("kind", ["empty", "hidden", "only refused"])
def test_a_corpus_of_nothing_is_a_corpus_error(plugins, tmp_path, kind):
    folder = tmp_path / "films"
    folder.mkdir()
    if kind == "hidden":
        (folder / ".hidden.srt").write_text(film(1))
    elif kind == "only refused":
        (folder / "a.bin").write_bytes(bytes(99))
    with pytest.raises(CorpusError, match=r"nothing to learn from in .*films"):
        made(tmp_path / "out", folder, plugins=plugins)


def test_one_exchange_alone_is_a_corpus_error_and_two_are_enough(plugins, tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("One?\tTwo.\n")
    with pytest.raises(CorpusError, match="1 exchanges are too few"):
        made(tmp_path / "out", path, plugins=plugins)
    path.write_text("One?\tTwo.\nThree?\tFour.\n")
    result, _ = made(tmp_path / "out", path, plugins=plugins)
    assert (len(result.train), len(result.valid)) == (1, 1)


def test_one_exchange_to_learn_from_and_one_to_validate_on(plugins, tmp_path):
    (tmp_path / "a.tsv").write_text("One?\tTwo.\n")
    (tmp_path / "b.tsv").write_text("Three?\tFour.\n")
    result, _ = made(
        tmp_path / "out", tmp_path / "a.tsv", valid=(tmp_path / "b.tsv",), plugins=plugins, tokenizer="bytes"
    )
    assert (texts(result, "train"), texts(result, "valid")) == ([("One?", "Two.")], [("Three?", "Four.")])


@pytest.mark.parametrize("name", ["long.srt", "long.tsv", "long.jsonl", "long.txt"])
def test_a_line_of_64_megabytes(films, plugins, tmp_path, name):
    with (films / name).open("wb") as file:
        for _ in range(64):
            file.write(b"word " * (2**20 // 5) + b"!" * (2**20 % 5))
        file.write(b"\n")
    result, _ = made(tmp_path / "out", films, plugins=plugins)
    assert result.facts["corpora"][0]["files"] == 9


def test_names_that_no_encoding_and_no_terminal_takes(plugins, tmp_path):
    """What is written is UTF-8 and JSON, a line for each document, and every row still knows its file."""
    folder = tmp_path / os.fsdecode(b"corpus \xff\xfe")
    folder.mkdir()
    names = ["new\nline.srt", "\x1b[31mred.srt", os.fsdecode(b"latin \xe9.srt"), "\u202etxt.srt", 'quote".srt', "ä.srt"]
    for number, name in enumerate(names):
        (folder / name).write_text(film(number))
    with zipfile.ZipFile(folder / "z.zip", "w") as archive:
        archive.writestr("n" * 400 + ".srt", film(10))
        archive.writestr("d/" * 200 + "deep.srt", film(11))
    result, said = made(tmp_path / "out", folder, plugins=plugins)
    documents = read_json_lines(tmp_path / "out" / "documents.jsonl")
    assert len(documents) == 8
    assert all(row["exchanges"] for row in documents)
    listed = json.loads((tmp_path / "out" / "files.json").read_bytes().decode("utf-8"))
    assert sorted(listed) == sorted(row["name"] for row in documents)
    assert "new\\x0aline.srt" in listed
    assert "latin \\xe9.srt" in listed
    for file in ("card.json", "data.json"):
        json.loads((tmp_path / "out" / file).read_bytes().decode("utf-8"))
    origins = result.origins("train")
    assert {origins[row].file for row in range(len(Packed.load(tmp_path / "out", "train")))} <= set(listed)
    assert said


# readers of strangers


class Strange:
    """A reader that yields what none of ours does."""

    def sniff(self, head, name):
        return 1.0 if name.endswith(".odd") else 0.0

    def read(self, stream, name):
        bad = os.fsdecode(b"\xff")
        for number in range(40):
            context = ("two\nlines", f"three\r\n{bad}", "\u2028") if number % 3 else ()
            yield Exchange(
                f"Who is\nnumber {number}?",
                f"It is me, {bad} {number}.",
                context,
                Origin(f"{bad}{number % 2}", number + 1),
            )
        yield Exchange(
            "Who has a past?", "I have one.", tuple(f"Turn {number}." for number in range(400)), Origin("x", 1)
        )
        yield Lost(f"a piece with {bad}", 3)
        if name == "fails.odd":
            raise RuntimeError(f"fails {bad}")


def strange_plugins(reader=Strange):
    import types

    from s2sbot import hookimpl

    module = types.ModuleType("strange")
    module.register_readers = hookimpl(lambda: {"strange": reader})
    return Plugins(module)


def test_what_a_strangers_reader_yields_breaks_nothing(tmp_path):
    for name in ("a.odd", "fails.odd"):
        (tmp_path / name).write_bytes(b"x")
    result, _ = made(tmp_path / "out", tmp_path, plugins=strange_plugins(), max_length=512, tokenizer="characters")
    rows = texts(result, "train") + texts(result, "valid")
    assert len(rows) == 41
    for source, target in rows:
        number = source.rpartition("number ")[2].rstrip("?")
        assert target == ("I have one." if "past" in source else f"It is me, ? {number}."), (source, target)
    listed = json.loads((tmp_path / "out" / "files.json").read_bytes().decode("utf-8"))
    assert listed == ["?0", "?1", "x"]
    [one, two] = read_json_lines(tmp_path / "out" / "documents.jsonl")
    assert one["lost"] == {"a piece with ?": 1}
    assert two["lost"] == {"a piece with ?": 1, "breaks off: RuntimeError: fails ?": 1}


class Wild:
    """A reader whose cues have any time and nothing to say."""

    def sniff(self, head, name):
        return 1.0

    def read(self, stream, name):
        for number in range(30):
            yield Cue(float("nan") if number == 7 else 9.0 * number, -5.0, f"Line {number} is said here.")


def test_times_that_are_none_break_nothing(tmp_path):
    (tmp_path / "a.odd").write_bytes(b"x")
    result, _ = made(tmp_path / "out", tmp_path, plugins=strange_plugins(Wild), without="scenes")
    origins = result.origins("train")
    assert len(result.train) > 20
    assert all(origins[row].seconds is None or origins[row].seconds >= 0 for row in range(len(result.train)))


def test_pairs_of_files_of_unlike_length_end_it_by_name(plugins, tmp_path):
    (tmp_path / "a.de").write_text("eins\nzwei\n")
    (tmp_path / "a.en").write_text("one\ntwo\nthree\n")
    corpus = open_corpus(tmp_path / "a", source="de", target="en")
    assert isinstance(plugins.readers()["moses"], PairReader)
    with pytest.raises(CorpusError, match="same"):
        made(tmp_path / "out", corpus, plugins=plugins)


# optional libraries


@pytest.mark.parametrize(
    ("library", "data", "package"),
    [
        ("py3langid.langid", {"language": "en"}, "s2sbot[languages]"),
        ("rensa", {"near_duplicates": 0.8}, "s2sbot[near-duplicates]"),
    ],
)
def test_a_library_that_is_missing_is_named_with_the_command(
    films, plugins, tmp_path, monkeypatch, library, data, package
):
    from s2sbot.text import quality

    quality._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, library, None)
    (films / "a.srt").write_text(srt([f"This is quite a long line of a film, and it is number {n}." for n in range(9)]))
    with pytest.raises(SettingsError, match=library.partition(".")[0]) as raised:
        made(tmp_path / "out", films, plugins=plugins, **data)
    assert raised.value.hint == f"install it with: pip install '{package}'"


def test_a_column_is_closed_whatever_happens(tmp_path):
    with pytest.raises(KeyError), columns.ColumnWriter(tmp_path, "x", {"a": "i"}, {"b": "i"}) as writer:
        writer.append((1,))
        writer.extend("c", [1])
    assert all(file.closed for file in writer._files.values())
