"""Files and archive members are opened one by one; hostile archives are refused or read as what they are."""

import gzip
import hashlib
import io
import struct
import zipfile
from contextlib import closing

import pytest

from s2sbot import CorpusError
from s2sbot.text import documents
from s2sbot.text.documents import HashedStream, find_documents, listed_documents, pair_document

SRT = b"1\n00:00:01,000 --> 00:00:02,000\nHello.\n\n2\n00:00:02,500 --> 00:00:03,000\nHi.\n"


def contents(found):
    """Return the bytes of every document by name, or the cause why they cannot be had."""
    read = {}
    for document in found:
        try:
            with closing(document.openers[0]()) as stream:
                read[document.name] = stream.read()
        except (ValueError, OSError, RuntimeError, zipfile.BadZipFile) as error:
            read[document.name] = str(error)
    return read


def write_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_file_is_one_document(tmp_path):
    (tmp_path / "a.srt").write_bytes(SRT)
    assert contents(find_documents(tmp_path / "a.srt")) == {"a.srt": SRT}


def test_a_folder_is_walked_in_the_order_of_names_without_hidden_files(tmp_path):
    for name in ("b/2.srt", "b/1.srt", "a.srt", ".hidden", ".git/config", "b/.DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    found = contents(find_documents(tmp_path))
    assert found == {name: name.encode() for name in ("a.srt", "b/1.srt", "b/2.srt")}
    assert list(found) == sorted(found)


def test_a_gzipped_file_is_unpacked_whatever_its_name(tmp_path):
    (tmp_path / "a.srt").write_bytes(gzip.compress(SRT))
    assert contents(find_documents(tmp_path / "a.srt")) == {"a.srt": SRT}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_is_read_without_unpacking_it(tmp_path, compression):
    path = write_zip(
        tmp_path / "a.zip", {"b/2.srt": SRT * 90, "a.srt": b"a", "__MACOSX/x": b"", ".x": b""}, compression
    )
    assert contents(find_documents(path)) == {"a.srt": b"a", "b/2.srt": SRT * 90}
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_climb_out_of_a_zip_write_nothing(tmp_path):
    (tmp_path / "inner").mkdir()
    path = write_zip(tmp_path / "inner" / "a.zip", {"../../x": SRT, "/etc/x": SRT})
    assert sorted(contents(find_documents(path)).values()) in ([SRT], [SRT, SRT])
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["a.zip", "inner"]


def test_a_zip_bomb_is_stopped_at_its_ratio(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"bomb.srt": b"\n" * (5 * 2**20), "good.srt": SRT})
    found = contents(find_documents(path))
    assert "no honest file" in found["bomb.srt"]
    assert found["good.srt"] == SRT


def test_a_gzip_bomb_is_stopped_at_its_ratio(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"\n" * (5 * 2**20)))
    assert "no honest file" in contents(find_documents(tmp_path / "a.gz"))["a.gz"]


def test_a_megabyte_may_be_packed_as_small_as_it_gets(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.srt": b"\n" * 2**20})
    assert contents(find_documents(path)) == {"a.srt": b"\n" * 2**20}


def test_the_most_bytes_hold_at_any_ratio(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MOST_BYTES", 2**10)
    path = write_zip(tmp_path / "a.zip", {"a.srt": b"x" * 2**11}, zipfile.ZIP_STORED)
    assert "no honest file" in contents(find_documents(path))["a.srt"]


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "a.zip", {"a": b"", "b": b"", "c": b""})
    monkeypatch.setattr(documents, "MOST_ENTRIES", 3)
    assert len(contents(find_documents(path))) == 3
    monkeypatch.setattr(documents, "MOST_ENTRIES", 2)
    with pytest.raises(CorpusError, match="holds 3 files"):
        list(find_documents(path))


def test_members_that_share_their_bytes_are_refused(tmp_path):
    data = bytearray(write_zip(tmp_path / "a.zip", {"a": SRT, "b": SRT}).read_bytes())
    second = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, second + 42, 0)  # the second entry of the directory points at the first member
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(CorpusError, match="overlaps another member"):
        list(find_documents(tmp_path / "a.zip"))


def test_an_encrypted_member_is_named_and_the_others_read(tmp_path):
    data = bytearray(write_zip(tmp_path / "a.zip", {"a": SRT, "b": SRT}).read_bytes())
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    assert contents(find_documents(tmp_path / "a.zip")) == {"a": "encrypted archive member", "b": SRT}


def test_a_cut_zip_is_a_damaged_archive(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a": SRT})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CorpusError, match="damaged archive"):
        list(find_documents(path))


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_any_flipped_byte_is_a_damaged_archive_or_member(tmp_path, compression):
    whole = write_zip(tmp_path / "a.zip", {"a": SRT * 3, "b": b"x"}, compression).read_bytes()
    for index in range(len(whole)):
        data = bytearray(whole)
        data[index] ^= 0xFF
        (tmp_path / "b.zip").write_bytes(data)
        try:
            found = contents(find_documents(tmp_path / "b.zip"))
        except CorpusError:
            continue
        assert all(isinstance(value, str) or value in (SRT * 3, b"x", bytes(data), b"") for value in found.values())


@pytest.mark.parametrize("index", range(10, 60, 3))
def test_a_damaged_gzip_file_is_a_named_cause(tmp_path, index):
    data = bytearray(gzip.compress(SRT * 3))
    data[index] ^= 0xFF
    (tmp_path / "a.gz").write_bytes(data)
    assert isinstance(contents(find_documents(tmp_path / "a.gz"))["a.gz"], str)


def test_a_cut_gzip_file_is_a_named_cause(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(SRT)[:-6])
    assert "damaged" in contents(find_documents(tmp_path / "a.gz"))["a.gz"]


def test_both_sides_of_a_pair_plain_or_packed(tmp_path):
    (tmp_path / "train.de").write_bytes(b"eins\n")
    (tmp_path / "train.en.gz").write_bytes(gzip.compress(b"one\n"))
    document = pair_document(tmp_path / "train", ("de", "en"))
    assert document.name == "train"
    sides = []
    for opener in document.openers:
        with closing(opener()) as stream:
            sides.append(stream.read())
    assert sides == [b"eins\n", b"one\n"]


def test_a_missing_side_is_named(tmp_path):
    (tmp_path / "train.de").write_bytes(b"eins\n")
    with pytest.raises(CorpusError, match=r"the en side of .*train is missing: there is no train\.en") as raised:
        pair_document(tmp_path / "train", ("de", "en"))
    assert "PREFIX.de and PREFIX.en" in raised.value.hint


def test_listed_files_come_once_each_and_never_hidden(tmp_path):
    for name in ("a.srt", "b.srt", "c.txt", ".a.srt", "corpus.toml"):
        (tmp_path / name).write_bytes(name.encode())
    found = [document.name for document in listed_documents(tmp_path, ["*.srt", "a*", "*"], ())]
    assert found == ["a.srt", "b.srt", "c.txt"]


def test_listed_prefixes_are_pairs_named_by_their_place(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        for language in ("de", "en"):
            (tmp_path / folder / f"train.{language}").write_bytes(b"1\n")
    found = list(listed_documents(tmp_path, ["x/train", "y/train"], ("de", "en")))
    assert [(document.name, len(document.openers)) for document in found] == [("x/train", 2), ("y/train", 2)]


@pytest.mark.parametrize("pattern", ["../x", "/etc/passwd", "a/../../x"])
def test_patterns_may_not_leave_the_folder(tmp_path, pattern):
    with pytest.raises(CorpusError, match="leaves the folder"):
        list(listed_documents(tmp_path, [pattern], ()))


@pytest.mark.parametrize("pattern", ["", "**x", ".", "nothing*"])
def test_patterns_that_fit_nothing_are_named(tmp_path, pattern):
    with pytest.raises(CorpusError, match=r"no pattern of files|no file fits"):
        list(listed_documents(tmp_path, [pattern], ()))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_hashed_stream_gives_and_hashes_everything(size):
    stream = HashedStream(b"first ", io.BytesIO(b"and second"))
    reader = io.BufferedReader(stream)
    read = b""
    while part := reader.read(size):
        read += part
    assert read == b"first and second"
    assert stream.hash.hexdigest() == hashlib.sha256(read).hexdigest()
