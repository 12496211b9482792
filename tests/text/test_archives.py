"""Members of archives are read where they lie; hostile archives are refused or stopped before they cost anything."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unpacked import contents

from s2sbot import CorpusError
from s2sbot.text import tars, unpacking, zips
from s2sbot.text.archives import Archives, Part, archive_kind
from s2sbot.text.documents import Document, find_documents

SRT = b"1\n00:00:01,000 --> 00:00:02,000\nHello.\n\n2\n00:00:02,500 --> 00:00:03,000\nHi.\n"
FILES = {"b/2.srt": SRT * 90, "a.srt": b"a", "c.txt": b"", "b/1.srt": bytes(range(256)) * 300}
METHODS = {"stored": 0, "deflate": 8, "bz2": 12, "lzma": 14}
TARS = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
PACKERS = {"gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def write_zip(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def write_tar(path, members, mode="w", form=tarfile.PAX_FORMAT):
    with tarfile.open(path, mode, format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_any(path, members, kind):
    return write_zip(path, members, METHODS[kind]) if kind in METHODS else write_tar(path, members, TARS[kind])


def block(name=b"a", size=0, kind=b"0", magic=b"ustar\x0000", tail=bytes(247)):
    """Return the header of a tar member; `size` a number, or the twelve bytes that stand for it."""
    size = b"%011o\0" % size if isinstance(size, int) else size
    head = bytearray(name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size + b"00000000000\0")
    head += b" " * 8 + kind + bytes(100) + magic + tail
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


@pytest.mark.parametrize("kind", [*METHODS, *TARS])
def test_an_archive_is_read_in_the_order_of_names_and_leaves_nothing_behind(tmp_path, kind):
    path = write_any(tmp_path / "x", FILES, kind)
    found = contents(find_documents(path))
    assert found == FILES
    assert list(found) == sorted(FILES)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_whole_in_every_form_of_tar(tmp_path, form):
    members = {f"{'folder' * 20}/{'x' * 60}.srt": SRT, "b.srt": b"b"}
    assert contents(find_documents(write_tar(tmp_path / "x", members, form=form))) == members


def test_a_tar_without_a_magic_word_is_known_by_its_check_sum(tmp_path):
    (tmp_path / "x").write_bytes(block(b"a.srt", 1, magic=bytes(8)) + b"a".ljust(512, b"\0") + bytes(1024))
    assert contents(find_documents(tmp_path / "x")) == {"a.srt": b"a"}


@pytest.mark.parametrize("kind", ["deflate", *TARS])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(sorted(FILES)))
def test_the_order_in_an_archive_changes_nothing(tmp_path, kind, names):
    path = write_any(tmp_path / "x", {name: FILES[name] for name in names}, kind)
    found = list(find_documents(path))
    assert [document.name for document in found] == sorted(FILES)
    assert contents(found) == FILES


NAMES = st.text(st.characters(exclude_characters="/\\", exclude_categories=["Cs"]), min_size=1, max_size=12)


@pytest.mark.parametrize("kind", ["deflate", "tar", "tar.gz"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, st.binary(max_size=3000), min_size=1, max_size=5))
def test_any_names_and_bytes_come_out_as_they_went_in(tmp_path, kind, members):
    members = {name: data for name, data in members.items() if not name.startswith(".") and "\0" not in name}
    path = write_any(tmp_path / "x", {f"x-{name}": b"." + data for name, data in members.items()}, kind)
    found = contents(find_documents(path)) if members else {}
    assert sorted(found.values()) == sorted(b"." + data for data in members.values())
    for name in found:
        assert name.encode()
        assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in name)


def test_a_part_can_be_sent_to_another_process(tmp_path):
    for kind in ("deflate", "tar.gz"):
        found = list(find_documents(write_any(tmp_path / kind, FILES, kind)))
        assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301


@pytest.mark.parametrize("kind", ["stored", "deflate", *TARS])
@pytest.mark.parametrize("packer", PACKERS)
def test_a_packed_member_is_unpacked_one_level(tmp_path, kind, packer):
    pack = PACKERS[packer]
    members = {"1.xml": pack(SRT), "2.xml": SRT, "3.xml": pack(pack(SRT)), "4.xml": pack(b"")}
    found = contents(find_documents(write_any(tmp_path / "x", members, kind)))
    nested = found.pop("3.xml")
    assert found == {"1.xml": SRT, "2.xml": SRT, "4.xml": b""}
    assert nested == "an archive inside an archive, which is not read"


@pytest.mark.parametrize("inner", ["deflate", *TARS])
@pytest.mark.parametrize("outer", ["stored", "deflate", "tar", "tar.gz"])
def test_an_archive_inside_an_archive_is_named(tmp_path, inner, outer):
    nested = write_any(tmp_path / "inner", FILES, inner).read_bytes()
    found = contents(find_documents(write_any(tmp_path / "outer", {"a": nested, "b": b"b"}, outer)))
    assert found == {"a": "an archive inside an archive, which is not read", "b": b"b"}


@pytest.mark.parametrize("packer", PACKERS)
def test_several_packed_pieces_and_zeros_behind_them_are_one_file(tmp_path, packer):
    pack = PACKERS[packer]
    (tmp_path / "x").write_bytes(pack(SRT) + pack(b"") + pack(b"more") + bytes(100))
    assert contents(find_documents(tmp_path / "x")) == {"x": SRT + b"more"}


@pytest.mark.parametrize("packer", PACKERS)
def test_a_packed_file_that_is_cut_is_damaged(tmp_path, packer):
    whole = PACKERS[packer](SRT)
    for size in range(10, len(whole)):
        (tmp_path / "x").write_bytes(whole[:size])
        assert contents(find_documents(tmp_path / "x"))["x"] in (unpacking.ENDS_EARLY, whole[:size])
    (tmp_path / "x").write_bytes(whole[:-1])
    assert contents(find_documents(tmp_path / "x")) == {"x": "damaged archive: it ends too early"}


@pytest.mark.parametrize("kind", [*METHODS, *TARS])
def test_a_cut_archive_is_damaged(tmp_path, kind):
    whole = write_any(tmp_path / "x", {"a": SRT * 3, "b": b"x"}, kind).read_bytes()
    sizes = range(600, 1600, 50) if kind == "tar" else range(len(whole) // 2, len(whole), 7)
    for size in sizes:
        (tmp_path / "y").write_bytes(whole[:size])
        try:
            found = contents(find_documents(tmp_path / "y"))
        except CorpusError as error:
            assert "damaged archive" in error.message
        else:
            assert found == {"y": "damaged archive: it ends too early"}  # too little to see a tar in it


@pytest.mark.parametrize("kind", ["deflate", "bz2", "lzma", "tar.gz", "tar.bz2", "tar.xz"])
def test_any_flipped_byte_is_a_damaged_archive_or_member(tmp_path, kind):
    whole = write_any(tmp_path / "a", {"a": SRT * 3, "b": b"x"}, kind).read_bytes()
    noticed = 0
    for index in range(len(whole)):
        data = bytearray(whole)
        data[index] ^= 0xFF
        (tmp_path / "b").write_bytes(data)
        try:
            found = contents(find_documents(tmp_path / "b"))
        except CorpusError:
            noticed += 1
            continue
        right = (SRT * 3, b"x", bytes(data))
        assert all(isinstance(value, str) or value in right for value in found.values())
    assert noticed


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["deflate", "tar", "tar.gz"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), max_size=6),
)
def test_no_damage_is_a_crash(tmp_path, kind, changes):
    whole = bytearray(write_any(tmp_path / "x", {"a": SRT, "b/c": b"x"}, kind).read_bytes())
    for place, new in changes:
        at = int(place * len(whole))
        whole[at : at + len(new)] = new
    (tmp_path / "y").write_bytes(whole)
    try:
        contents(find_documents(tmp_path / "y"))
    except CorpusError as error:
        assert error.hint


@pytest.mark.parametrize("kind", ["deflate", "tar"])
@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "C:/x", "..", "a/.."])
def test_names_that_leave_the_archive_are_refused(tmp_path, kind, name):
    (tmp_path / "inner").mkdir()
    path = write_any(tmp_path / "inner" / "x", {name: SRT, "good": b"good"}, kind)
    found = contents(find_documents(path))
    assert "leaves the archive" in found.pop(name)
    assert found == {"good": b"good"}
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["inner", "x"]


def test_the_separators_of_windows_separate(tmp_path):
    path = write_zip(tmp_path / "x", {"a\\b.srt": SRT, "..\\c.srt": SRT, "C:\\d.srt": SRT})
    found = contents(find_documents(path))
    assert found["a/b.srt"] == SRT
    assert [name for name, value in found.items() if isinstance(value, str)] == ["../c.srt", "C:/d.srt"]


@pytest.mark.parametrize("kind", ["deflate", "tar"])
def test_hidden_members_and_folders_are_passed_over(tmp_path, kind):
    members = {"__MACOSX/._a": b"x", ".x": b"x", "a/.b/c": b"x", "./b//c": b"good"}
    assert contents(find_documents(write_any(tmp_path / "x", members, kind))) == {"b/c": b"good"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("turn", [1, -1])
def test_members_of_one_name_are_refused_whichever_comes_first(tmp_path, turn):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed, tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, data in [("a", b"1"), ("./a", b"2"), ("b", b"3")][::turn]:
            packed.writestr(name, data)
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(data))
    for path in tmp_path.iterdir():
        assert contents(find_documents(path)) == {"a": "2 members have this name", "b": b"3"}


def test_the_check_sums_of_old_tars_hold(tmp_path):
    head = bytearray(block(b"\xc3\xa4", 1, magic=bytes(8)))
    head[148:156] = b"%06o\0 " % (sum(head) - sum(head[148:156]) + 256 - 512)
    (tmp_path / "x").write_bytes(bytes(head) + b"a".ljust(512, b"\0") + bytes(1024))
    assert contents(find_documents(tmp_path / "x")) == {"ä": b"a"}


def test_links_devices_and_pipes_in_a_tar_are_refused(tmp_path):
    kinds = {"link": b"2", "hard": b"1", "char": b"3", "block": b"4", "pipe": b"6", "odd": b"V", "sparse": b"S"}
    data = b"".join(block(name.encode(), kind=kind) for name, kind in kinds.items())
    (tmp_path / "x").write_bytes(data + block(b"good", 4) + b"good".ljust(512, b"\0") + bytes(1024))
    found = contents(find_documents(tmp_path / "x"))
    assert found.pop("good") == b"good"
    assert found == {
        "link": "a link, which is not followed",
        "hard": "a link, which is not followed",
        "char": "a device, not a file",
        "block": "a device, not a file",
        "pipe": "a pipe, not a file",
        "odd": "not a file",
        "sparse": "a sparse file, which is not read",
    }


def test_links_and_devices_in_a_zip_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        for name, mode in (("link", 0o120777), ("device", 0o20666), ("good", 0o100644)):
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = mode << 16
            archive.writestr(info, b"/etc/passwd")
    assert contents(find_documents(tmp_path / "x")) == {
        "link": "a link, which is not followed",
        "device": "a device, not a file",
        "good": b"/etc/passwd",
    }


@pytest.mark.parametrize("places", ["both", "directory", "member"])
def test_an_encrypted_member_is_named_and_the_others_read(tmp_path, places):
    data = bytearray(write_zip(tmp_path / "x", {"a": SRT, "b": SRT}).read_bytes())
    if places != "directory":
        data[data.index(b"PK\x03\x04") + 6] |= 1
    if places != "member":
        data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x").write_bytes(data)
    assert contents(find_documents(tmp_path / "x")) == {"a": "encrypted: unpack it with its password first", "b": SRT}


def test_an_unknown_method_is_named_and_the_others_read(tmp_path):
    data = bytearray(write_zip(tmp_path / "x", {"a": SRT, "b": SRT}).read_bytes())
    data[data.index(b"PK\x01\x02") + 10] = 9
    (tmp_path / "x").write_bytes(data)
    assert contents(find_documents(tmp_path / "x")) == {"a": "packed by method 9, which is not read", "b": SRT}


def test_a_zip_behind_other_bytes_and_before_a_comment_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("a", SRT)
        archive.comment = b"comment" * 100
    data = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(write_zip(tmp_path / "y", {"old": SRT}).read_bytes() + data)
    assert contents(find_documents(tmp_path / "x")) == {"a": SRT}


def test_a_large_zip_has_its_sizes_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    path = write_zip(tmp_path / "x", {"a": SRT, "b": SRT * 9, "c": b"c"}, zipfile.ZIP_STORED)
    assert b"PK\x06\x06" in path.read_bytes()
    assert contents(find_documents(path)) == {"a": SRT, "b": SRT * 9, "c": b"c"}


def test_names_that_are_no_utf_8_are_printable(tmp_path):
    data = write_zip(tmp_path / "x.zip", {"äx.srt": SRT, "\x07\u202e.srt": SRT}).read_bytes()
    (tmp_path / "x.zip").write_bytes(data.replace("äx.srt".encode(), b"\x84\xffx.srt"))  # its flag says UTF-8
    (tmp_path / "x.tar").write_bytes(block(b"\xff\xe9\x07.srt", 1) + b"a".ljust(512, b"\0") + bytes(1024))
    assert set(contents(find_documents(tmp_path / "x.zip"))) == {"ä\u00a0x.srt", "\\x07\\u202e.srt"}
    assert contents(find_documents(tmp_path / "x.tar")) == {"\\xff\\xe9\\x07.srt": b"a"}


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    (tmp_path / "x.tar").write_bytes(block(b"a") + block(b"b") + block(b"c", kind=b"5") + bytes(1024))
    paths = [write_zip(tmp_path / "x.zip", {"a": b"", "b": b"", "c/": b""}), tmp_path / "x.tar"]
    for most in (3, 2):
        for module in (zips, tars):
            monkeypatch.setattr(module, "MOST_ENTRIES", most)
        for path in paths:
            if most == 3:
                assert len(contents(find_documents(path))) == 2
            else:
                with pytest.raises(CorpusError, match="holds more than 2 files"):
                    list(find_documents(path))


def test_the_most_bytes_hold_at_any_ratio(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_BYTES", 2**10)
    for kind in ("stored", "tar"):
        path = write_any(tmp_path / kind, {"a.srt": b"x" * 2**11, "b": b"b"}, kind)
        found = contents(find_documents(path))
        assert "honest" in found["a.srt"]
        assert found["b"] == b"b"
    (tmp_path / "x.gz").write_bytes(gzip.compress(random.Random(1).randbytes(2**11)))
    assert "no honest file" in contents(find_documents(tmp_path / "x.gz"))["x.gz"]


def test_a_megabyte_may_be_packed_as_small_as_it_gets(tmp_path):
    for kind in ("deflate", "bz2", "lzma"):
        path = write_zip(tmp_path / "a.zip", {"a.srt": b"\n" * 2**20}, METHODS[kind])
        assert contents(find_documents(path)) == {"a.srt": b"\n" * 2**20}


def test_an_archive_may_unpack_to_so_much_in_all(tmp_path, monkeypatch):
    monkeypatch.setattr("s2sbot.text.archives.MOST_ARCHIVE_BYTES", 2500)
    path = write_zip(tmp_path / "x", dict.fromkeys("abc", b"x" * 1000))
    found = contents(find_documents(path))
    assert found["a"] == found["b"] == b"x" * 1000
    assert "honest" in found["c"]


# what is read, and how often


class Counted(unpacking.Unpacked):
    """Counts what all of its kind unpack."""

    begun = 0
    total = 0

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        Counted.begun += 1

    def _some(self, most):
        data = super()._some(most)
        Counted.total += len(data)
        return data


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.setattr(tars, "Unpacked", Counted)
    monkeypatch.setattr(Counted, "begun", 0)
    monkeypatch.setattr(Counted, "total", 0)
    return Counted


def many(tmp_path, number):
    chance = random.Random(0)
    members = {f"{index:05}.srt": b"." + chance.randbytes(chance.randrange(2000)) for index in range(number)}
    return write_tar(tmp_path / "x.tar.gz", members, "w:gz"), members


def test_a_packed_tar_of_many_members_is_read_in_one_go(tmp_path, counted):
    path, members = many(tmp_path, 2000)
    length = len(gzip.decompress(path.read_bytes()))
    found = list(find_documents(path))
    assert (counted.begun, counted.total) == (1, length)  # once to list it
    assert contents(found) == members
    assert counted.begun == 2
    assert counted.total <= 2 * length


def test_two_members_side_by_side_take_two_goes(tmp_path, counted):
    path, members = many(tmp_path, 200)
    length = len(gzip.decompress(path.read_bytes()))
    parts = [document.parts[0] for document in find_documents(path)]
    counted.begun = counted.total = 0
    with Archives() as archives:
        for first, second in zip(parts[::2], parts[1::2], strict=True):
            with archives.open(first) as one, archives.open(second) as other:
                assert other.read() == members[second.member]
                assert one.read() == members[first.member]
    assert counted.begun == 2
    assert counted.total <= 2 * length


def test_parts_may_be_asked_for_in_any_order_and_left_half_read(tmp_path):
    path, members = many(tmp_path, 30)
    parts = [document.parts[0] for document in find_documents(path)]
    random.Random(2).shuffle(parts)
    with Archives() as archives:
        for part in parts:
            with archives.open(part) as stream:
                assert stream.read(100) == members[part.member][:100]
        for part in reversed(parts):
            with archives.open(part) as stream:
                assert stream.read() == members[part.member]


def test_a_stream_outlives_the_archives_and_is_closed_alone(tmp_path):
    path, members = many(tmp_path, 3)
    with Archives() as archives:
        stream = archives.open(next(iter(find_documents(path))).parts[0])
    assert stream.read() == members["00000.srt"]
    stream.close()


@pytest.mark.parametrize("kind", ["deflate", "tar", "tar.gz"])
def test_an_archive_that_has_changed_is_a_named_cause(tmp_path, kind):
    found = list(find_documents(write_any(tmp_path / "x", FILES, kind)))
    write_any(tmp_path / "x", {"new": SRT * 5000}, kind)
    causes = {name: value for name, value in contents(found).items() if isinstance(value, str)}
    assert len(causes) >= 3
    (tmp_path / "x").unlink()
    with Archives() as archives, pytest.raises(FileNotFoundError):
        archives.open(found[0].parts[0])


def test_kinds_are_known_by_content_alone(tmp_path):
    (tmp_path / "a.zip").write_bytes(SRT)
    assert archive_kind(tmp_path / "a.zip") is None
    assert archive_kind(write_zip(tmp_path / "b.srt", {})) == "zip"
    for kind in TARS:
        assert archive_kind(write_any(tmp_path / "c.srt", FILES, kind)) == "tar"
    (tmp_path / "d").write_bytes(b"BZhello, said the file")
    assert archive_kind(tmp_path / "d") is None


@pytest.mark.parametrize("magic", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\x01", b"\x28\xb5\x2f\xfd", b"LZIP\x01"])
def test_other_archives_are_named(tmp_path, magic):
    (tmp_path / "x").write_bytes(magic + bytes(100))
    with pytest.raises(CorpusError, match=r"a \w+ archive, which is not read") as raised:
        list(find_documents(tmp_path / "x"))
    assert "zip or tar.gz" in raised.value.hint
    (found,) = contents(find_documents(tmp_path)).values()
    assert "archive, which is not read" in found
    with Archives() as archives, pytest.raises(ValueError, match="archive, which is not read"):
        archives.open(Part(tmp_path / "x"))


# bombs, in a process of their own, which tells what they took

CHILD = """
import json, sys, time
from pathlib import Path
from s2sbot import CorpusError
from s2sbot.text.archives import Archives
from s2sbot.text.documents import Skipped, find_documents
written = []
changes = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.truncate", "os.chmod")
def watch(event, args):
    if event == "open" and (args[2] & 0o3103 or set(args[1] or "") & set("wax+")):
        written.append(str(args[0]))
    elif event in changes or event.split(".")[0] in ("socket", "subprocess", "shutil"):
        written.append(event)
def read(path, causes):
    total = 0
    with Archives() as archives:
        for document in find_documents(path):
            try:
                if isinstance(document, Skipped):
                    raise ValueError(document.cause)
                with archives.open(document.parts[0]) as stream:
                    while data := stream.read(2**16):
                        total += len(data)
            except ValueError as error:
                causes[document.name] = str(error)
    return total
sys.addaudithook(watch)
results = []
for path in sys.argv[1:]:
    begun, causes, total = time.process_time(), {}, 0
    try:
        total = read(Path(path), causes)
    except CorpusError as error:
        causes[""] = error.message
    results.append([causes, total, time.process_time() - begun])
peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps([results, int(peak[0]) * 1024, written]))
"""


def explode(folder):
    """Read all archives of a folder in another process, where each must take little; return its causes and bytes."""
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc tells how much memory a process took")
    before = sorted(folder.rglob("*"))
    done = subprocess.run([sys.executable, "-B", "-c", CHILD, *before], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    results, peak, written = json.loads(done.stdout)
    assert peak < 200e6
    assert written == []
    assert sorted(folder.rglob("*")) == before
    assert {path.name: seconds for path, (_, _, seconds) in zip(before, results, strict=True) if seconds >= 2} == {}
    return {path.name: (causes, total) for path, (causes, total, _) in zip(before, results, strict=True)}


def test_the_process_that_reads_bombs_can_tell(tmp_path):
    (tmp_path / "x").write_bytes(SRT)
    assert explode(tmp_path) == {"x": ({}, len(SRT))}
    for crime in ("open('y', 'w')", "Path('z').touch()", "b'x' * 2**28"):
        child = CHILD.replace("total = read", f"{crime}; total = read")
        done = subprocess.run(
            [sys.executable, "-c", child, tmp_path / "x"], capture_output=True, cwd=tmp_path, timeout=60
        )
        _, peak, written = json.loads(done.stdout)
        assert written or peak > 200e6


def test_a_packed_bomb_is_stopped_at_its_ratio(tmp_path):
    for packer, pack in PACKERS.items():
        (tmp_path / packer).write_bytes(pack(bytes(2**24)) * 64)
    for packer, (causes, total) in explode(tmp_path).items():
        assert "no honest file" in causes[packer]
        assert total < 2**24


def test_a_zip_bomb_is_stopped_at_its_ratio(tmp_path):
    for kind in ("deflate", "bz2", "lzma"):
        write_zip(tmp_path / kind, {"bomb": bytes(2**26), "good": SRT}, METHODS[kind])
    for causes, total in explode(tmp_path).values():
        assert list(causes) == ["bomb"]
        assert "no honest file" in causes["bomb"]
        assert total < 2**24


def test_a_tar_bomb_is_refused(tmp_path):
    for kind in ("tar.gz", "tar.bz2", "tar.xz"):
        write_tar(tmp_path / kind, {"bomb": bytes(2**26)}, TARS[kind])
    for causes, total in explode(tmp_path).values():
        assert "no honest file" in causes[""]
        assert total == 0


def test_what_is_packed_twice_gains_nothing(tmp_path):
    bomb = gzip.compress(bytes(2**23)) * 20
    noise = random.Random(0).randbytes(2**20)  # without it the tar would be refused as a whole
    for kind in ("deflate", "tar.gz"):
        write_any(tmp_path / kind, {"0": noise, "1.gz": bomb, "2.gz": bomb}, kind)
    for causes, total in explode(tmp_path).values():
        assert list(causes) == ["1.gz", "2.gz"]
        assert "no honest file" in causes["1.gz"]
        assert total < 2**25


def test_archives_in_archives_in_archives_are_not_read(tmp_path):
    inside = write_zip(tmp_path / "x", {f"{index}": bytes(2**20) for index in range(16)}).read_bytes()
    for _ in range(3):
        inside = write_zip(tmp_path / "x", {f"{index}.zip": inside for index in range(16)}).read_bytes()
    causes, total = explode(tmp_path)["x"]
    assert set(causes.values()) == {"an archive inside an archive, which is not read"}
    assert total == 0


def overlapping(number, *, quoted):
    """Return a zip whose members share one kernel: all are one, or each packs the header of the next one before it."""
    packer = zlib.compressobj(9, wbits=-15)
    kernel = packer.compress(bytes(2**20)) + packer.flush()
    body, plain, entries = kernel, bytes(2**20), []
    for index in reversed(range(number)):
        name = b"%05d" % index
        facts = (zlib.crc32(plain), len(body), len(plain))
        header = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0, *facts, len(name), 0) + name
        entries.append((name, facts, len(header) + len(body)))
        if index and quoted:
            plain = header + plain
            body = struct.pack("<BHH", 0, len(header), len(header) ^ 0xFFFF) + header + body
    body = header + body
    directory = b""
    for name, facts, size in entries:
        offset = len(body) - size if quoted else 0
        directory += (
            struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, *facts, 5, 0, 0, 0, 0, 0, offset) + name
        )
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, number, number, len(directory), len(body), 0)
    return body + directory + end


@pytest.mark.parametrize("quoted", [False, True])
def test_members_that_share_their_bytes_are_refused(tmp_path, quoted):
    (tmp_path / "x").write_bytes(overlapping(1, quoted=quoted))
    assert contents(find_documents(tmp_path / "x")) == {"00000": bytes(2**20)}
    (tmp_path / "x").write_bytes(overlapping(2000, quoted=quoted))
    causes, _ = explode(tmp_path)["x"]
    assert "members of it overlap" in causes[""]


def test_a_member_that_grows_into_the_next_one_is_refused(tmp_path):
    data = bytearray(write_zip(tmp_path / "x", {"a": SRT, "b": SRT}, zipfile.ZIP_STORED).read_bytes())
    data[28:30] = b"\x05\0"  # an extra field, of which only the member itself knows
    (tmp_path / "x").write_bytes(data)
    assert contents(find_documents(tmp_path / "x")) == {
        "a": "damaged archive: it says two things of one member",
        "b": SRT,
    }


def test_a_list_of_members_may_not_be_endless(tmp_path):
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    for number in (500_001, 5_000_000):
        directory = entry * number
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), 4, 0)
        (tmp_path / f"{number}").write_bytes(b"PK\x03\x04" + directory + end)
    for causes, _ in explode(tmp_path).values():
        assert "more than" in causes[""]


HUGE = b"\x80\0\0\0\x3f" + b"\xff" * 7
HOSTILE_TARS = {
    "a header that describes a member with 8 GiB": block(kind=b"x", size=b"77777777777\0"),
    "a long name of 8 GiB": block(kind=b"L", size=b"77777777777\0"),
    "a header for all members of 8 GiB": block(kind=b"g", size=b"77777777777\0"),
    "a header of any length": block(kind=b"x", size=HUGE),
    "a member of any length": block(size=HUGE),
    "a member of less than nothing": block(size=b"\xff" * 12),
    "a member of minus so many": block(size=b"-0000002000\0"),
    "headers without end": block(kind=b"x") * 20_000,
    "long names without end": (block(kind=b"L", size=512) + b"a" * 512) * 10_000,
    "a map of holes without end": block(kind=b"S", tail=bytes(217) + b"\1" + bytes(29))
    + (bytes(504) + b"\1" + bytes(7)) * 20_000,
    "members without end": block() * 100_001,
    "a record of no length": block(kind=b"x", size=512) + b"0 a=b\n".ljust(512, b"\0"),
    "a record that is too long": block(kind=b"x", size=512) + b"9999999 a=b\n".ljust(512, b"\0"),
    "a length that is no number": block(kind=b"x", size=512) + b"16 size=99999x9\n".ljust(512, b"\0") + block(),
    "a length of many digits": block(kind=b"x", size=5120)
    + b"5000 size=".ljust(4999, b"9")
    + b"\n"
    + bytes(120)
    + block(),
}


def test_a_hostile_tar_is_refused_at_once(tmp_path):
    zeros = gzip.compress(bytes(2**24)) * 20
    for name, data in HOSTILE_TARS.items():
        (tmp_path / name).write_bytes(data)
        (tmp_path / f"{name}, packed").write_bytes(gzip.compress(data, 1) + (zeros if len(data) < 2**14 else b""))
    for name, (causes, total) in explode(tmp_path).items():
        assert list(causes) == [""], name
        assert "damaged archive" in causes[""] or "more than" in causes[""]
        assert total == 0


def test_unpacking_may_not_ask_for_any_memory(tmp_path):
    data = bytearray(lzma.compress(SRT))
    size = (data[12] + 1) * 4
    data[16] = 40  # a dictionary of 4 GiB
    data[12 + size - 4 : 12 + size] = struct.pack("<L", zlib.crc32(data[12 : 12 + size - 4]))
    (tmp_path / "x").write_bytes(data)
    causes, _ = explode(tmp_path)["x"]
    assert causes == {"x": "damaged archive: Memory usage limit exceeded"}


def test_a_file_of_countless_empty_pieces_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(gzip.compress(b"") * 300_000)
    causes, _ = explode(tmp_path)["x"]
    assert causes == {"x": "packed in more pieces than an honest file is"}


def test_real_archives_are_read(shared_data):
    found = list(find_documents(shared_data("subs", "onepace", "onepace_en.zip")))
    assert len(found) == 196
    assert all(isinstance(document, Document) for document in found)
    read = contents(found)
    assert sum(data.count(b"\nDialogue:") for data in read.values()) > 130_000
    assert set(contents(find_documents(shared_data("iwslt15_en-vi", "dev-2012-en-vi.tgz")))) == {
        "tst2012.en",
        "tst2012.vi",
    }
