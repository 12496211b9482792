"""Paths become documents with names that hang on nothing but the names of files; two files may become one document."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unpacked import contents

from s2sbot import CorpusError
from s2sbot.text.archives import Archives
from s2sbot.text.documents import (
    Document,
    HashedStream,
    Part,
    Skipped,
    find_documents,
    listed_documents,
    pair_by_language,
    pair_by_names,
    pair_document,
)

SRT = b"1\n00:00:01,000 --> 00:00:02,000\nHello.\n\n2\n00:00:02,500 --> 00:00:03,000\nHi.\n"
PAIRS = ("movie_lines.txt", "movie_conversations.txt")


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def write_zip(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name.encode())


def named(*names):
    return [Document(name, (Part(Path(name)),)) for name in names]


def test_a_file_is_one_document(tmp_path):
    (tmp_path / "a.srt").write_bytes(SRT)
    (document,) = find_documents(tmp_path / "a.srt")
    assert document == Document("a.srt", (Part(tmp_path / "a.srt", size=len(SRT)),))
    assert contents([document]) == {"a.srt": SRT}
    assert pickle.loads(pickle.dumps(document)) == document  # noqa: S301


def test_a_folder_is_walked_in_the_order_of_names_without_hidden_files(tmp_path):
    write(tmp_path, "b/2.srt", "b/1.srt", "b a/1", "b.srt", ".hidden", ".git/config", "b/.DS_Store", "__MACOSX/x")
    found = contents(find_documents(tmp_path))
    assert found == {name: name.encode() for name in ("b a/1", "b.srt", "b/1.srt", "b/2.srt")}
    assert list(found) == sorted(found)


def test_a_packed_file_is_unpacked_whatever_its_name(tmp_path):
    (tmp_path / "a.srt").write_bytes(gzip.compress(SRT))
    assert contents(find_documents(tmp_path / "a.srt")) == {"a.srt": SRT}


def test_archives_in_a_folder_are_folders_to_the_names(tmp_path):
    write(tmp_path, "b.srt", "c/d.srt")
    write_zip(tmp_path / "a.zip", "2.srt", "1/x.srt", ".x")
    with tarfile.open(tmp_path / "c" / "e.dat", "w:gz") as archive:
        archive.add(tmp_path / "b.srt", "f.srt")
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 and nothing more")
    assert contents(find_documents(tmp_path)) == {
        "a.zip/1/x.srt": b"1/x.srt",
        "a.zip/2.srt": b"2.srt",
        "b.srt": b"b.srt",
        "bad.zip": "damaged archive: it ends too early",
        "c/d.srt": b"c/d.srt",
        "c/e.dat/f.srt": b"b.srt",
    }
    with pytest.raises(CorpusError, match=r"bad\.zip: damaged archive") as raised:
        list(find_documents(tmp_path / "bad.zip"))
    assert raised.value.hint


def test_a_folder_and_an_archive_of_it_have_the_same_names(tmp_path):
    names = ["b/2.srt", "b a/1", "b.srt", "ä/x", "B/x", "a-b/1", "a/1"]
    write(tmp_path / "x", *names)
    write_zip(tmp_path / "x.zip", *reversed(names))
    found = [[document.name for document in find_documents(tmp_path / place)] for place in ("x", "x.zip")]
    assert found[0] == found[1] == sorted(names)


def test_links_to_folders_are_followed_without_a_loop(tmp_path):
    write(tmp_path, "here/a/1", "here/z/2", "there/3", "there/deep/4")
    for link, target in {
        "here/a/up": "..",
        "here/a/top": "../..",
        "here/b": "z",
        "here/c": "../there",
        "here/d": "../there/deep",
        "here/e": "nowhere",
        "here/f": "f",
        "there/back": "../here",
        "here/g": "a/1",
        "here/root": "/",
    }.items():
        (tmp_path / link).symlink_to(target)
    assert contents(find_documents(tmp_path / "here")) == {
        "a/1": b"here/a/1",
        "c/3": b"there/3",
        "c/deep/4": b"there/deep/4",
        "e": "a link to nothing",
        "f": "cannot be opened: Too many levels of symbolic links",
        "g": b"here/a/1",
        "z/2": b"here/z/2",
    }


def test_many_links_to_each_other_end(tmp_path):
    for index in range(20):
        write(tmp_path, f"{index}/x")
    for index in range(19):
        for link in ("left", "right"):
            (tmp_path / f"{index}/{link}").symlink_to(f"../{index + 1}")
    assert len(list(find_documents(tmp_path / "0"))) == 20
    assert [document.name for document in find_documents(tmp_path / "17")] == ["left/left/x", "left/x", "x"]


def test_pipes_in_a_folder_are_passed_over_and_refused_alone(tmp_path):
    write(tmp_path, "a")
    os.mkfifo(tmp_path / "pipe")
    assert contents(find_documents(tmp_path)) == {"a": b"a"}
    with pytest.raises(CorpusError, match="neither a file nor a folder"):
        list(find_documents(tmp_path / "pipe"))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_folder_that_is_closed_is_named(tmp_path):
    write(tmp_path, "a", "b/c")
    (tmp_path / "b").chmod(0)
    found = contents(find_documents(tmp_path))
    (tmp_path / "b").chmod(0o700)
    assert found == {"a": b"a", "b": "cannot be opened: Permission denied"}


def test_names_that_are_no_text_are_printable(tmp_path):
    for name in (b"\xff.srt", b"\x07\n.srt", b"\xc2\x85.srt", b"\xe2\x80\xae.srt", "ä\u3000.srt".encode()):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(SRT)
    found = contents(find_documents(tmp_path))
    assert set(found) == {"\\xff.srt", "\\x07\\x0a.srt", "\\u0085.srt", "\\u202e.srt", "ä\u3000.srt"}
    assert set(found.values()) == {SRT}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("subs/*.srt", ["a.srt", "b.srt"]),
        ("subs/**/*.srt", ["a.srt", "b.srt", "c/d.srt"]),
        ("*/[ab].srt", ["subs/a.srt", "subs/b.srt"]),
        ("subs/?/d.srt", ["c/d.srt"]),
        ("subs/*.zip", ["x.zip/1", "x.zip/2"]),
        ("subs/**/*", ["[1].txt", "a.srt", "b.srt", "c/d.srt", "x.zip/1", "x.zip/2"]),
    ],
)
def test_a_pattern_names_files(tmp_path, pattern, names):
    write(tmp_path, "subs/b.srt", "subs/a.srt", "subs/c/d.srt", "subs/.e.srt", "subs/[1].txt", "other/a.txt")
    write_zip(tmp_path / "subs/x.zip", "2", "1")
    assert [document.name for document in find_documents(tmp_path / pattern)] == names


def test_a_pattern_may_begin_where_one_is(tmp_path, monkeypatch):
    write(tmp_path, "a.srt", "b/c.srt")
    monkeypatch.chdir(tmp_path)
    assert [document.name for document in find_documents(Path("**/*.srt"))] == ["a.srt", "b/c.srt"]


def test_a_file_that_is_there_is_no_pattern(tmp_path):
    write(tmp_path, "a[1].srt", "a1.srt")
    assert [document.name for document in find_documents(tmp_path / "a[1].srt")] == ["a[1].srt"]


@pytest.mark.parametrize("name", ["nothing", "nothing*", "nothing/*", "**x", "[", "a/*", "x" * 300, "a*" * 200])
def test_what_is_not_there_is_named(tmp_path, name):
    write(tmp_path, "a")
    with pytest.raises(CorpusError) as raised:
        list(find_documents(tmp_path / name))
    assert raised.value.hint


def test_both_sides_of_a_pair_plain_or_packed(tmp_path):
    (tmp_path / "train.de").write_bytes(b"eins\n")
    (tmp_path / "train.en.gz").write_bytes(gzip.compress(b"one\n"))
    document = pair_document(tmp_path / "train", ("de", "en"))
    assert document.name == "train"
    with Archives() as archives:
        assert [archives.open(part).read() for part in document.parts] == [b"eins\n", b"one\n"]
    assert [part.size for part in document.parts] == [5, (tmp_path / "train.en.gz").stat().st_size]


def test_a_missing_side_is_named(tmp_path):
    (tmp_path / "train.de").write_bytes(b"eins\n")
    with pytest.raises(CorpusError, match=r"the en side of .*train is missing: there is no train\.en") as raised:
        pair_document(tmp_path / "train", ("de", "en"))
    assert "PREFIX.de and PREFIX.en" in raised.value.hint


def test_listed_files_come_once_each_and_never_hidden(tmp_path):
    write(tmp_path, "a.srt", "b.srt", "c.txt", ".a.srt", "corpus.toml")
    write_zip(tmp_path / "d.zip", "1", "2")
    found = [document.name for document in listed_documents(tmp_path, ["*.srt", "a*", "*"], ())]
    assert found == ["a.srt", "b.srt", "c.txt", "d.zip/1", "d.zip/2"]


def test_listed_prefixes_are_pairs_named_by_their_place(tmp_path):
    write(tmp_path, "x/train.de", "x/train.en", "y/train.de", "y/train.en")
    found = list(listed_documents(tmp_path, ["x/train", "y/train"], ("de", "en")))
    assert [(document.name, len(document.parts)) for document in found] == [("x/train", 2), ("y/train", 2)]


@pytest.mark.parametrize("pattern", ["../x", "/etc/passwd", "a/../../x"])
def test_patterns_may_not_leave_the_folder(tmp_path, pattern):
    with pytest.raises(CorpusError, match="leaves the folder"):
        list(listed_documents(tmp_path, [pattern], ()))


@pytest.mark.parametrize("pattern", ["", "**x", ".", "nothing*"])
def test_patterns_that_fit_nothing_are_named(tmp_path, pattern):
    with pytest.raises(CorpusError, match=r"no pattern of files|no file fits"):
        list(listed_documents(tmp_path, [pattern], ()))


def test_two_languages_of_a_folder_are_pairs(tmp_path):
    write(tmp_path, "a.de", "a.en", "b.de", "b/c.en.txt", "b/c.de.txt", "b/a.en", "readme", "d.fr")
    (tmp_path / "e.en.gz").write_bytes(gzip.compress(b"e"))
    (tmp_path / "e.de.txt.gz").write_bytes(gzip.compress(b"e"))
    found = list(pair_by_language(find_documents(tmp_path), ("de", "en")))
    pairs = [document for document in found if isinstance(document, Document)]
    parts = {document.name: [part.path.name for part in document.parts] for document in pairs}
    assert parts == {"a": ["a.de", "a.en"], "b/c": ["c.de.txt", "c.en.txt"], "e": ["e.de.txt.gz", "e.en.gz"]}
    assert {document.name: document.cause for document in found if isinstance(document, Skipped)} == {
        "b.de": "the en side is missing: there is no b.en",
        "b/a.en": "the de side is missing: there is no a.de",
        "d.fr": "no pair of de and en",
        "readme": "no pair of de and en",
    }
    assert [document.name for document in found] == sorted(document.name for document in found)


def test_two_languages_of_an_archive_are_pairs_that_can_be_read_side_by_side(tmp_path):
    with tarfile.open(tmp_path / "x", "w:gz") as archive:
        for name in ("b/1.en", "b/1.de", "2.de", "2.en", "3.en"):
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))
    found = list(pair_by_language(find_documents(tmp_path / "x"), ("en", "de")))
    assert [document.name for document in found] == ["2", "3.en", "b/1"]
    with Archives() as archives, archives.open(found[2].parts[0]) as source, archives.open(found[2].parts[1]) as target:
        assert (target.read(3), source.read(), target.read()) == (b"b/1", b"b/1.en", b".de")


def test_a_side_that_is_there_twice_is_read_once():
    found = list(pair_by_language(named("x.de.gz", "x.en", "x.de"), ("de", "en")))
    assert found == [
        Document("x", (Part(Path("x.de")), Part(Path("x.en")))),
        Skipped("x.de.gz", "x.de is the de side already"),
    ]


def test_names_with_signs_in_them_are_languages_too():
    found = list(pair_by_language(named("x.pt+br", "x.zh(tw)", "x.ptt"), ("pt+br", "zh(tw)")))
    assert [document.name for document in found] == ["x", "x.ptt"]


SIDES = st.lists(
    st.sampled_from("abc/d").flatmap(
        lambda stem: st.sampled_from([f"{stem}{end}" for end in (".de", ".en", ".de.gz", ".en.txt", ".txt", "")])
    ),
    unique=True,
)


@given(SIDES, st.randoms())
def test_pairing_loses_nothing_and_knows_no_order(names, chance):
    documents = [*named(*names), Skipped("gone", "why"), Document("two", (Part(Path("1")), Part(Path("2"))))]
    found = list(pair_by_language(documents, ("de", "en")))
    chance.shuffle(documents)
    assert list(pair_by_language(documents, ("de", "en"))) == found
    left = [document.name for document in found if isinstance(document, Skipped)]
    paired = [str(part.path) for document in found if isinstance(document, Document) for part in document.parts]
    assert sorted([*left, *paired]) == sorted([*names, "gone", "1", "2"])
    assert all(len(document.parts) == 2 for document in found if isinstance(document, Document))


def test_two_files_with_names_of_their_own_are_one_document():
    other = [Skipped("gone", "why"), *named("a/movie_lines.txt", "b/movie_conversations.txt", "movie_titles.txt")]
    both = named("x/movie_conversations.txt", "x/movie_lines.txt.gz", "movie_lines.txt", "movie_conversations.txt")
    assert list(pair_by_names([*other, *both], PAIRS)) == [
        *other,
        Document("x/movie_lines.txt.gz", (both[1].parts[0], both[0].parts[0])),
        Document("movie_lines.txt", (both[2].parts[0], both[3].parts[0])),
    ]


@pytest.mark.parametrize("turn", [1, -1])
def test_the_plain_one_of_two_files_of_a_name_is_taken(turn):
    documents = named("movie_lines.txt", "movie_lines.txt.gz", "movie_conversations.txt")[::turn]
    found = list(pair_by_names(documents, PAIRS))
    assert [(document.name, len(document.parts)) for document in found][::turn] == [
        ("movie_lines.txt", 2),
        ("movie_lines.txt.gz", 1),
    ]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_hashed_stream_gives_and_hashes_everything(size):
    stream = HashedStream(b"first ", io.BytesIO(b"and second"))
    reader = io.BufferedReader(stream)
    read = b""
    while part := reader.read(size):
        read += part
    assert read == b"first and second"
    assert stream.hash.hexdigest() == hashlib.sha256(read).hexdigest()
