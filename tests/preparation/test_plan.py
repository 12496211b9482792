"""Documents are found and shared out: films are never torn apart, and nothing of our own is read."""

import gzip
import json
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from preparations import film, made, srt, texts, write_dialogues

from s2sbot.plugins import Plugins
from s2sbot.preparation import plan
from s2sbot.preparation.plan import make_plan
from s2sbot.settings import DataSettings
from s2sbot.text import Corpus, open_corpus
from s2sbot.text.documents import Document, Part
from s2sbot.text.packed import Packed
from s2sbot.text.unpacking import Zipped


@pytest.fixture(scope="module")
def plugins():
    return Plugins()


def planned(plugins, *paths, valid=(), own=(), **data):
    corpora, held = [open_corpus(path) for path in paths], [open_corpus(path) for path in valid]
    return make_plan(corpora, held, plugins.readers(), DataSettings(**data), own=own)


SIZES = st.lists(st.tuples(st.sampled_from(["", "a.zip", "b.tar"]), st.integers(0, 50)), min_size=1, max_size=40)


@given(SIZES, st.integers(1, 60), st.integers(1, 9))
def test_every_document_is_in_one_shard_and_no_shard_is_larger_than_it_must_be(sizes, most, count):
    """Only those of a tar, which is read from its beginning for each of them, are in few and larger ones."""
    documents = []
    for number, (archive, size) in enumerate(sizes):
        zipped = Zipped(0, size, 0) if archive == "a.zip" else None
        member = f"m{number}" if archive else None
        part = Part(Path(archive or f"f{number}"), member, size, 1_000 - number if archive else 0, zipped)
        documents.append((number, Document(f"d{number:02}", (part,))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "SHARD_BYTES", most)
        patch.setattr(plan, "SHARD_DOCUMENTS", count)
        groups = plan._groups(documents)
    assert sorted(each for group in groups for each in group) == sorted(documents)
    tar = sum(size for archive, size in sizes if archive == "b.tar")
    for group in groups:
        archives = {document.parts[0].path.name if document.parts[0].member else "" for _, document in group}
        limit = max(most, tar // plan.TAR_SHARDS) if archives == {"b.tar"} else most
        assert len(archives) == 1
        assert len(group) <= count
        assert len(group) == 1 or sum(document.parts[0].size for _, document in group) <= limit
        offsets = [document.parts[0].offset for _, document in group]
        assert offsets == sorted(offsets)


def changed(plugins, folder, change, **data):
    """Tell whether a change to a folder, or a setting, makes it another preparation."""
    before = planned(plugins, folder).fingerprint
    change()
    return planned(plugins, folder, **data).fingerprint != before


def test_what_decides_the_result_is_in_the_fingerprint(plugins, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "a.srt").write_text(film(1))
    assert not changed(plugins, folder, lambda: None)
    assert changed(plugins, folder, lambda: (folder / "b.srt").write_text(film(2)))
    assert changed(plugins, folder, lambda: (folder / "b.srt").rename(folder / "c.srt"))
    assert changed(plugins, folder, lambda: os.utime(folder / "c.srt", (1, 1)))
    assert changed(plugins, folder, lambda: None, context_turns=1)
    corpora = [open_corpus(folder)]
    one = make_plan(corpora, [], plugins.readers(), DataSettings(), versions={"ftfy": "6.2"})
    assert (
        one.fingerprint
        == make_plan(corpora, [], plugins.readers(), DataSettings(), versions={"ftfy": "6.2"}).fingerprint
    )
    assert (
        one.fingerprint
        != make_plan(corpora, [], plugins.readers(), DataSettings(), versions={"ftfy": "6.3"}).fingerprint
    )
    assert (
        one.fingerprint
        != make_plan([], corpora, plugins.readers(), DataSettings(), versions={"ftfy": "6.2"}).fingerprint
    )


def sides_of(result, folder):
    """Return for each file the sides that its rows are on."""
    found = {}
    for side in ("train", "valid", "test"):
        origins = result.origins(side)
        for row in range(len(Packed.load(folder, side))):
            found.setdefault(origins[row].file, set()).add(side)
    return found


def test_two_versions_of_one_film_are_on_the_same_side(plugins, tmp_path):
    folder = tmp_path / "films"
    for number in range(20):
        (folder / "xml" / "en" / "1994" / f"{number}").mkdir(parents=True)
        (folder / f"film {number}.en.srt").parent.mkdir(exist_ok=True)
        (folder / f"film {number}.en.srt").write_text(film(number))
        (folder / f"film {number}.de.srt").write_text(film(number + 100))
        for version in (1, 2):
            said = "".join(
                f'<s id="{n}"><time id="T{n}S" value="00:00:{2 * n:02},000"/><w>Version</w><w>{version}</w>'
                f"<w>of</w><w>{number}</w><w>says</w><w>{n}</w><w>.</w></s>"
                for n in range(12)
            )
            path = folder / "xml" / "en" / "1994" / f"{number}" / f"{version}.xml.gz"
            path.write_bytes(gzip.compress(f"<document>{said}</document>".encode()))
    result, _ = made(tmp_path / "out", folder, plugins=plugins, test_share=0.3, valid_share=0.3)
    sides = sides_of(result, tmp_path / "out")
    assert len(sides) == 80
    films = {}
    for name, where in sides.items():
        key = name.rpartition("/")[0] if name.endswith(".gz") else name[: -len(".en.srt")]
        films.setdefault(key, set()).update(where)
    assert {len(where) for where in films.values()} == {1}
    assert {side for where in films.values() for side in where} == {"train", "valid", "test"}


def test_more_films_move_no_other_but_the_two_at_the_ends(plugins, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    before = None
    for count in (6, 9, 15, 30):
        for number in range(count):
            (folder / f"{number}.srt").write_text(srt([f"Film {number} has a line {n}." for n in range(8)]))
        result, _ = made(tmp_path / str(count), folder, plugins=plugins, valid_share=0.3, test_share=0.2)
        sides = sides_of(result, tmp_path / str(count))
        if before is not None:
            assert sum(sides[name] != where for name, where in before.items()) <= 2
        before = sides


def test_a_group_of_dialogues_is_never_torn_apart(plugins, tmp_path):
    path = write_dialogues(tmp_path / "talk.jsonl", 60, groups=9)
    result, _ = made(tmp_path / "out", path, plugins=plugins, valid_share=0.3, test_share=0.3)
    groups = [json.loads(line)["group"] for line in path.read_text().splitlines()]
    found = {}
    for side in ("train", "valid", "test"):
        origins = result.origins(side)
        for row in range(len(Packed.load(tmp_path / "out", side))):
            found.setdefault(groups[origins[row].line - 1], set()).add(side)
    assert {len(sides) for sides in found.values()} == {1}
    assert {side for sides in found.values() for side in sides} == {"train", "valid", "test"}


def test_of_one_film_alone_the_end_is_held_out(plugins, tmp_path):
    (tmp_path / "one.srt").write_text(srt([f"There is a line {n}." for n in range(41)]))
    result, _ = made(tmp_path / "out", tmp_path / "one.srt", plugins=plugins, valid_share=0.1, tokenizer="bytes")
    assert len(result.train) == 36
    assert [source for source, _ in texts(result, "valid")] == [f"There is a line {n}." for n in range(36, 40)]


# our own


def test_what_lies_in_our_own_folder_is_not_read(plugins, tmp_path):
    """A folder to write into that lies in the corpus, and what an earlier preparation has left there."""
    for number in range(9):
        (tmp_path / f"{number}.srt").write_text(film(number))
    first, said = made(tmp_path / "out", tmp_path, plugins=plugins)
    again, _ = made(tmp_path / "out", tmp_path, plugins=plugins)
    assert again.facts == first.facts
    assert first.facts["corpora"][0]["files"] == 9
    assert not any("skipped" in line for line in said)
    other, said = made(tmp_path / "deep" / "other", tmp_path, plugins=plugins)
    assert other.facts["exchanges"] == first.facts["exchanges"]
    assert any("out/: written by an earlier preparation" in line for line in said)


@pytest.mark.parametrize("pattern", ["*", "**/*"])
def test_a_pattern_does_not_lead_into_our_own_folder_either(plugins, tmp_path, pattern):
    (tmp_path / "out").mkdir()
    for number in range(9):
        (tmp_path / f"{number}.srt").write_text(film(number))
        (tmp_path / "out" / f"{number}.srt").write_text(film(number + 9))
    names = planned(plugins, Path(f"{tmp_path}/{pattern}"), own=[tmp_path / "out"]).names
    assert names == tuple(f"{number}.srt" for number in range(9))


def test_a_corpus_inside_of_our_own_folder_is_read(plugins, tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.srt").write_text(film(1))
    assert planned(plugins, tmp_path / "films", own=[tmp_path]).names == ("a.srt",)
    assert planned(plugins, tmp_path / "films" / "a.srt", own=[tmp_path / "films"]).names == ("a.srt",)


def test_a_link_to_our_own_folder_leads_to_nothing(plugins, tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.srt").write_text(film(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "valid.jsonl").write_text('{"source": "a", "target": "b"}\n')
    (tmp_path / "films" / "link").symlink_to(tmp_path / "out")
    assert planned(plugins, tmp_path / "films", own=[tmp_path / "out"]).names == ("a.srt",)


def test_pairs_that_would_be_of_our_own_files_are_not_even_skipped(plugins, tmp_path):
    for language in ("de", "en"):
        (tmp_path / f"a.{language}").write_text("eins\nzwei\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "card.md").write_text("ours")
    corpus = Corpus(tmp_path, "x", languages=("de", "en"))
    found = make_plan([corpus], [], plugins.readers(), DataSettings(), own=[tmp_path / "out"])
    assert (found.names, found.skipped) == (("a",), ())


def test_two_names_that_are_written_alike_have_an_order(plugins, tmp_path):
    """Names are shown with what no terminal takes spelled out: two files may then have the same."""
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        archive.writestr("a.srt", film(1))
    (tmp_path / "a\x07.srt").write_text(film(2))
    (tmp_path / "a\\x07.srt").write_text(film(3))
    names = planned(plugins, tmp_path)
    assert names.names == ("a\\x07.srt", "a\\x07.srt", "films.zip/a.srt")
    paths = [document.parts[0].path for shard in names.shards for document in shard.documents]
    assert paths[:2] == sorted(paths[:2], key=str)


def test_files_of_one_name_in_two_corpora_are_told_apart(plugins, tmp_path):
    for place, word in (("one/films", "fog"), ("two/films", "rain")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a.srt").write_text(srt([f"Is {word} number {number} here?" for number in range(30)]))
    made(tmp_path / "out", tmp_path / "one/films", tmp_path / "two/films", valid_share=0.3)
    assert json.loads((tmp_path / "out" / "files.json").read_text()) == ["one/films/a.srt", "two/films/a.srt"]
    held = [json.loads(line) for line in (tmp_path / "out" / "valid.jsonl").read_text().splitlines()]
    assert held
    assert all(("rain" in row["source"]) == (row["file"] == "two/films/a.srt") for row in held)
    (tmp_path / "two/films/a.srt").rename(tmp_path / "two/films/b.srt")
    made(tmp_path / "again", tmp_path / "one/films", tmp_path / "two/films", valid_share=0.3)
    assert json.loads((tmp_path / "again" / "files.json").read_text()) == ["a.srt", "b.srt"]
