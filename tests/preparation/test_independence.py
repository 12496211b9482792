"""What is prepared does not depend on how the work is shared out, nor on the order in which anything is found."""

import os
import random
import shutil
import tarfile
import zipfile

import pytest
from preparations import hashes, made, write_dialogues, write_films, write_pairs

from s2sbot.preparation import columns, lines, merging, partitions, plan, similar

SETTINGS = (
    {"context_turns": 2, "test_share": 0.2, "near_duplicates": 0.9},
    {"without": "duplicates,overlap", "test_share": 0.2, "max_length": 9, "share_tokenizer": False},
)
"""With all that compares rows, and with rows that are told apart by nothing but their place."""
SIZES = {
    "CHUNK": (columns, partitions, merging),
    "GATHERED": (columns,),
    "PARTITION": (partitions,),
    "PIECE": (lines, similar),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with films, dialogues and pairs, and a corpus to validate on."""
    root = tmp_path_factory.mktemp("corpora")
    write_films(root / "films", 7)
    write_dialogues(root / "talk.jsonl")
    write_pairs(root / "pairs.tsv")
    write_films(root / "held", 2, first=6)
    return root


@pytest.fixture(scope="module", params=range(len(SETTINGS)))
def settings(request):
    return SETTINGS[request.param]


@pytest.fixture(scope="module")
def wanted(folder, settings, tmp_path_factory):
    """Return what comes of all corpora in one process."""
    return prepared(folder, tmp_path_factory.mktemp("wanted"), settings)


def prepared(folder, out, settings, names=("films", "talk.jsonl", "pairs.tsv"), **options):
    made(out, *(folder / name for name in names), **settings, **options)
    return hashes(out)


def test_all_three_sides_have_rows(wanted):
    assert {"valid.jsonl", "test.jsonl", "train.source_ids.npy", "card.json", "data.json"} <= wanted.keys()
    assert not any(name.startswith(".") for name in wanted)


def test_the_number_of_processes_changes_nothing(folder, settings, wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "SHARD_DOCUMENTS", 3)
    assert prepared(folder, tmp_path / "out", settings, workers=2 + SETTINGS.index(settings)) == wanted


def test_the_order_in_which_corpora_are_named_changes_nothing(folder, settings, wanted, tmp_path):
    names = ("pairs.tsv", "films", "talk.jsonl")
    assert prepared(folder, tmp_path / "out", settings, names) == wanted


@pytest.mark.parametrize(("size", "documents"), [(1, 100), (4_000, 3), (2**40, 1)])
def test_the_size_of_the_shards_changes_nothing(folder, settings, wanted, tmp_path, monkeypatch, documents, size):
    monkeypatch.setattr(plan, "SHARD_BYTES", size)
    monkeypatch.setattr(plan, "SHARD_DOCUMENTS", documents)
    assert prepared(folder, tmp_path / "out", settings) == wanted


@pytest.mark.parametrize("size", [2, 7])
def test_how_much_is_in_memory_changes_nothing(folder, settings, wanted, tmp_path, monkeypatch, size):
    for name, modules in SIZES.items():
        for module in modules:
            monkeypatch.setattr(module, name, 10 * size if name == "PARTITION" else size)
    assert prepared(folder, tmp_path / "out", settings) == wanted


def test_the_order_of_files_in_a_folder_changes_nothing(folder, settings, wanted, tmp_path, monkeypatch):
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: Entries(sorted(scandir(path), key=backwards)))
    assert prepared(folder, tmp_path / "out", settings) == wanted


class Entries(list):
    """A list that can be entered and left, as what `os.scandir` returns."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def backwards(entry):
    return [-ord(letter) for letter in entry.name]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_is_a_folder_and_the_order_in_it_changes_nothing(
    folder, settings, wanted, tmp_path, monkeypatch, kind
):
    monkeypatch.setattr(plan, "SHARD_DOCUMENTS", 4)
    for name in ("talk.jsonl", "pairs.tsv"):
        shutil.copy(folder / name, tmp_path / name)
    files = sorted(path for path in (folder / "films").rglob("*") if path.is_file())
    random.Random(kind).shuffle(files)
    pack(tmp_path / "films", kind, [(path, path.relative_to(folder / "films").as_posix()) for path in files])
    assert prepared(tmp_path, tmp_path / "out", settings) == wanted


def pack(archive, kind, files):
    """Write an archive without an ending, so that the corpus has the name that the folder has."""
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
            for path, name in files:
                opened.write(path, name)
        return
    with tarfile.open(archive, "w:gz" if kind.endswith("gz") else "w") as opened:
        for path, name in files:
            opened.add(path, name)


def test_when_the_files_were_written_changes_nothing(folder, settings, wanted, tmp_path):
    shutil.copytree(folder / "films", tmp_path / "films", copy_function=shutil.copyfile)
    for name in ("talk.jsonl", "pairs.tsv"):
        shutil.copyfile(folder / name, tmp_path / name)
        os.utime(tmp_path / name, (1, 1))
    assert prepared(tmp_path, tmp_path / "out", settings) == wanted


def test_the_same_holds_for_a_corpus_to_validate_on_and_a_learnt_vocabulary(folder, tmp_path, monkeypatch):
    settings = {"tokenizer": "sentencepiece", "valid": (folder / "held", folder / "pairs.tsv")}
    one = prepared(folder, tmp_path / "one", settings, ("films", "talk.jsonl"))
    monkeypatch.setattr(plan, "SHARD_DOCUMENTS", 2)
    settings["valid"] = settings["valid"][::-1]
    assert prepared(folder, tmp_path / "two", settings, ("talk.jsonl", "films"), workers=2) == one


def test_another_name_of_a_corpus_changes_what_is_told_of_it_alone(folder, settings, wanted, tmp_path):
    shutil.copytree(folder / "films", tmp_path / "cinema")
    for name in ("talk.jsonl", "pairs.tsv"):
        shutil.copy(folder / name, tmp_path / name)
    other = prepared(tmp_path, tmp_path / "out", settings, ("cinema", "talk.jsonl", "pairs.tsv"))
    assert {name for name in wanted if other[name] != wanted[name]} == {
        "card.json",
        "card.md",
        "data.json",
        "documents.jsonl",
    }
