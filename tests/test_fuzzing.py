"""A hundred thousand mutated files do no harm; and a reader that does is caught and named, whatever it does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import fuzzing
import pytest
from fuzzing_seeds import ARCHIVES, DESCRIPTION, Seed, every_seed

from s2sbot import Cue, Dialogue, Exchange, Lost, Origin, Turn
from s2sbot.plugins import FIRST_PARTY, Plugins

COUNT = 100_000
PLANT = """
import os
import socket
import time

from s2sbot import Cue, hookimpl


class Planted:
    def sniff(self, head, name):
        return 0.0

    def read(self, stream, name):
        data = stream.read()
        if b"&" in data:
            {fault}
        yield Cue(0.0, 1.0, "Hello.")


@hookimpl
def register_readers():
    return {{"planted": Planted}}
"""
FAULTS = {
    "an error": ('raise KeyError("no key")', "planted: read raises KeyError: 'no key' at plant.py:16"),
    "an error without words": ("raise ValueError", "planted: a ValueError that does not say why"),
    "a loop": ("while True: pass", "takes more than 0.5 s"),
    "a loop that catches all": (
        "try:\n                while True: pass\n            except Exception: pass",
        "takes more",
    ),
    "sleep": ("time.sleep(60)", "hangs: it goes on after 2 s"),
    "memory": ("self.held = b'x' * 300 * 2**20", "MiB of memory"),
    "all memory": ("self.held = b'x' * 2**40", "planted: read raises MemoryError"),
    "a crash": ("os.abort()", "its process ended: SIGABRT"),
    "an exit": ("os._exit(7)", "its process ended: exit code 7"),
    "an end": ("raise SystemExit", "SystemExit"),
    "a socket": ("socket.socket()", "does what it must not: socket."),
    "a caught socket": (
        "try:\n                socket.socket()\n            except BaseException: pass",
        "does what it must not: socket.",
    ),
    "writing": ('open(name, "w")', "does what it must not: open"),
    "reading": ('open("/etc/hostname")', "does what it must not: open"),
    "removing": ('os.remove("a")', "does what it must not: os.remove"),
    "no item": ("yield 3", "planted: a int was read"),
    "no time": ('yield Cue(0.0, float("inf"), "x")', "planted: a time that is none"),
    "no text": ('yield Cue(0.0, 1.0, " ")', "planted: no text"),
    "half a letter": ('yield Cue(0.0, 1.0, "\\ud800")', "planted: half a surrogate pair"),
}


def planted(folder: Path, fault: str) -> Path:
    path = folder / "plant.py"
    path.write_text(PLANT.format(fault=fault), "utf-8")
    return path


@pytest.fixture(scope="module")
def seeds() -> list[Seed]:
    return every_seed()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mutated_files_do_no_harm(tmp_path: Path, seeds: list[Seed]) -> None:
    outcome = fuzzing.fuzz(COUNT, folder=tmp_path, seeds=seeds)
    assert outcome.failures == []
    assert outcome.inputs.total() == COUNT
    assert outcome.inputs.keys() == {seed.kind for seed in seeds}
    assert outcome.slowest[0] < fuzzing.Limits().seconds
    # the inputs are not so wrong that nothing is read of them, nor so right that nothing is refused
    assert 0.5 * COUNT < outcome.read.total() < 0.9 * COUNT
    assert all(outcome.items[kind] for kind in outcome.inputs)


def test_there_are_seeds_for_every_reader(seeds: list[Seed]) -> None:
    shipped = {name for name, offer in Plugins().reader_offers().items() if offer.distribution == FIRST_PARTY}
    assert {seed.kind for seed in seeds} == shipped | {*ARCHIVES, DESCRIPTION}


def test_every_seed_is_read_by_its_reader(seeds: list[Seed], tmp_path: Path) -> None:
    readers = Plugins().readers()
    examination = fuzzing.Examination(readers, tmp_path)
    for number, seed in enumerate(seeds):
        if seed.encoding == "utf-8":
            given = fuzzing.Given(number, seed.kind, seed.name, seed.sides)
            examination.prepare(given)
            assert examination.of(given), f"nothing is read of {seed.kind}: {seed.sides[0][:60]!r}"


def test_a_number_gives_the_same_input_again_and_another_number_another(seeds: list[Seed]) -> None:
    once, twice, other = fuzzing.Inputs(seeds, 1), fuzzing.Inputs(seeds, 1), fuzzing.Inputs(seeds, 2)
    made = [once[number] for number in range(400)]
    assert made == [twice[number] for number in reversed(range(400))][::-1]
    assert len({given.sides for given in made}) > 350
    assert made != [other[number] for number in range(400)]
    assert all(len(side) <= 2**16 for given in made for side in given.sides if given.kind not in ARCHIVES)


@pytest.mark.parametrize(("fault", "cause"), FAULTS.values(), ids=list(FAULTS))
def test_a_fault_is_caught_named_and_repeated(tmp_path: Path, fault: str, cause: str) -> None:
    sample = Seed("planted", "a.planted", (b"One.\nTwo.\n",))
    found = fuzzing.fuzz(
        40,
        folder=tmp_path / "failures",
        seeds=[sample],
        plants=planted(tmp_path, fault),
        limits=fuzzing.Limits(seconds=0.5, patience=2.0),
        processes=1,
    )
    assert found.failures, "nothing was caught"
    assert len(found.failures) < 20
    assert found.inputs.total() == 40
    for failure in found.failures:
        assert cause in failure.cause
        assert failure.kind == "planted"
    file = found.failures[0].file
    assert file is not None and file.parent == tmp_path / "failures"
    told = json.loads(file.read_text("utf-8"))
    assert (told["kind"], told["number"], told["seed"]) == ("planted", found.failures[0].number, 0)
    if "hangs" in cause:
        return
    command = [sys.executable, fuzzing.__file__, "replay", str(file)]
    again = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert again.returncode != 0
    assert cause.partition(" at ")[0].replace("0.5 s", "1 s") in again.stdout or "process ended" in cause


def test_a_reader_that_does_no_harm_is_not_accused(tmp_path: Path) -> None:
    sample = Seed("planted", "a.planted", (b"One.\nTwo.\n",))
    found = fuzzing.fuzz(200, folder=tmp_path, seeds=[sample], plants=planted(tmp_path, "pass"), processes=1)
    assert (found.failures, found.inputs, found.read) == ([], {"planted": 200}, {"planted": 200})
    assert 10 * 2**20 < found.peak < 128 * 2**20


def test_a_seed_without_a_reader_is_a_failure(tmp_path: Path) -> None:
    sample = Seed("no such reader", "a", (b"One.",))
    found = fuzzing.fuzz(1, folder=tmp_path, seeds=[sample], processes=1)
    assert [failure.cause[:25] for failure in found.failures] == ["KeyError: 'no such reader"]


def soak(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, fuzzing.__file__, "soak", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_soak_shows_what_went_through(tmp_path: Path) -> None:
    done = soak("--inputs", "60", "--first", "1000", "--only", "srt,moses", "--failures", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["kind", "inputs", "read", "items"]
    assert [row[0] for row in rows[1:4]] == ["moses", "srt", "all"]
    counts = {row[0]: int(row[1]) for row in rows[1:4]}
    assert counts["all"] == counts["moses"] + counts["srt"] == 60
    assert re.search(
        r"^slowest input: 0\.\d{3} s, number 10\d\d, (srt|moses); most memory: \d+ MiB$", done.stdout, re.M
    )


def test_make_soak_is_a_million() -> None:
    text = (fuzzing.ROOT / "Makefile").read_text("utf-8")
    assert "\nINPUTS ?= 1000000\n" in text
    assert "fuzzing.py soak --inputs $(INPUTS) --seed $(SEED)" in text.partition("\nsoak:")[2].partition("\n\n")[0]


@pytest.mark.parametrize(
    ("item", "wrong"),
    [
        (Cue(0.0, 1.0, "x"), ""),
        (Cue(1.0, 0.0, "x"), "ends before it begins"),
        (Cue(0.0, float("nan"), "x"), "a time that is none"),
        (Cue(0.0, 1.0, "x", mark="sung"), "mark"),
        (Cue(0.0, 1.0, "x", speaker="\ud800"), "half a surrogate pair"),
        (Dialogue((), Origin("f")), "no text"),
        (Dialogue((Turn("x", start=float("inf")),), Origin("f")), "a time that is none"),
        (Dialogue((Turn("x"),), Origin("f", line=0)), "a line below 1"),
        (Exchange("x", "\n"), "no text"),
        (Exchange("x", "y", ("",)), "no text"),
        (Lost(" "), "Lost"),
        (Lost("x", 0), "Lost"),
        (Lost("x", 1), ""),
        ("x", "a str was read"),
    ],
)
def test_an_item_is_held_to_the_contract(item: object, wrong: str) -> None:
    found = fuzzing.wrong_with(item)
    assert wrong in found and bool(wrong) == bool(found)
