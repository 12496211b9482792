"""Small corpora of every kind, and what is made of them, to be compared byte by byte."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from s2sbot import Progress
from s2sbot.plugins import Plugins
from s2sbot.preparation import Prepared, prepare, similar
from s2sbot.preparation.choosing import SIDES
from s2sbot.settings import DataSettings
from s2sbot.text import Corpus, open_corpus
from s2sbot.text.quality import SIGNATURE
from s2sbot.text.rules import Rules

OPENINGS = (
    "Where did you put",
    "I never wanted",
    "Did anybody see",
    "They have taken",
    "Tell me about",
    "Do not forget",
)
THINGS = ("the silver key", "that old boat", "my grandmother's letter", "the last train", "your hat", "a red umbrella")
BAND = 4
GENERIC = ("I don't know.", "Yes.", "No!", "What?", "I don't know!")


def srt(lines: list[str], gaps: list[int] | None = None) -> str:
    """Return lines as SubRip, a cue each; before line n there is a pause of `gaps[n]` seconds."""
    cues, clock = [], 0
    for number, line in enumerate(lines):
        clock += gaps[number] if gaps else 0
        cues.append(f"{number + 1}\n{_time(clock)} --> {_time(clock + 1)}\n{line}\n")
        clock += 2
    return "\n".join(cues)


def _time(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},000"


def film(seed: int, lines: int = 24) -> str:
    """Return a film of its own as SubRip: several scenes, replies that occur in every film, a duplicate."""
    chance = random.Random(seed)
    said = []
    for number in range(lines):
        if chance.random() < 0.3:
            said.append(chance.choice(GENERIC))
        else:
            said.append(f"{chance.choice(OPENINGS)} {chance.choice(THINGS)} {seed * chance.choice((1, 1, 0))}?")
        if number % 11 == 10:
            said[-2:] = ["Who goes there?", "A friend of yours."]
    return srt(said, [15 if chance.random() < 0.15 else 0 for _ in said])


def write_films(folder: Path, count: int = 24, *, first: int = 0) -> Path:
    """Write films into folders, with files between them that hold nothing, or nothing that can be read."""
    for number in range(first, first + count):
        place = folder / ("north" if number % 3 else "south") / f"film {number:03}.en.srt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(film(number), "utf-8")
    (folder / "empty.srt").write_bytes(b"")
    (folder / "picture.bin").write_bytes(bytes(range(256)) * 4)
    (folder / "one line.srt").write_text(srt(["Alone."]), "utf-8")
    return folder


def write_dialogues(path: Path, count: int = 30, groups: int = 6) -> Path:
    """Write dialogues as JSONL, several of a group."""
    chance = random.Random(7)
    rows = []
    for number in range(count):
        turns = [f"{chance.choice(OPENINGS)} {chance.choice(THINGS)} {number}?" for _ in range(chance.randrange(2, 7))]
        turns[1:1] = ["!?"] * (number % 5 == 0)  # has no letter, so both exchanges with it are dropped
        rows.append({"turns": turns, "group": f"group {number % groups}"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def write_pairs(path: Path, count: int = 60) -> Path:
    """Write pairs as TSV, some of them twice, and some sources with two targets."""
    chance = random.Random(3)
    rows = []
    for number in range(count):
        source = f"{chance.choice(OPENINGS)} {chance.choice(THINGS)} {number // 2}?"
        rows.append(f"{source}\t{chance.choice(GENERIC)}" if number % 4 else f"{source}\tIt is here {number}.")
        if number % 7 == 0:
            rows.append(rows[-1])
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


def made(
    out: Path,
    *corpora: Path | Corpus,
    valid: tuple[Path | Corpus, ...] = (),
    workers: int = 1,
    plugins: Plugins | None = None,
    **data: object,
) -> tuple[Prepared, list[str]]:
    """Prepare corpora into `out`; return what came of it, and what was said on the way."""
    settings = DataSettings(**{"tokenizer": "words", "valid_share": 0.2, **data})  # type: ignore[arg-type]
    opened, held_out = (
        [each if isinstance(each, Corpus) else open_corpus(each) for each in given] for given in (corpora, valid)
    )
    events = list(prepare(opened, held_out, settings, plugins or Plugins(), out=out, workers=workers))
    assert all(isinstance(event, Progress) for event in events[:-1])
    assert isinstance(events[-1], Prepared)
    return events[-1], [event.message for event in events[:-1] if isinstance(event, Progress)]


def hashes(out: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder by its name there."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def texts(made: Prepared, side: str) -> list[tuple[str, str]]:
    """Return the rows of a side as text."""
    packed = made.valid if side == "valid" else made.train
    source, target = made.tokenizers
    rows = [packed.row(index) for index in range(len(packed))]
    return [(source.decode(one), target.decode(other)) for one, other in rows]


@dataclass(frozen=True)
class Given:
    """All that is compared of one row."""

    unit: int
    key: int
    reply: int
    pair: bool
    signature: tuple[int, ...] = ()
    document: object = 0


def naive_choice(
    rows: list[Given], held: set[int] | None, data: DataSettings, rules: Rules
) -> tuple[list[str], list[tuple[int, int, int]]]:
    """Return what becomes of rows that stand in the order of their names; `held` are the numbers of those held out."""
    sides = split(rows, held, data)
    fates = [SIDES[side] for side in sides]

    def kept():
        return [number for number, fate in enumerate(fates) if fate in SIDES]

    if "duplicates" in rules:
        seen = set()
        for number in kept():
            fates[number] = "duplicates" if (rows[number].key, sides[number]) in seen else fates[number]
            seen.add((rows[number].key, sides[number]))
    if "overlap" in rules:
        highest = defaultdict(int)
        for number in kept():
            highest[rows[number].key] = max(highest[rows[number].key], sides[number])
        for number in kept():
            fates[number] = "overlap" if sides[number] < highest[rows[number].key] else fates[number]
    if rules.near_duplicates:
        for band in range(SIGNATURE // BAND):
            drop_similar(rows, fates, band, rules.near_duplicates)
    if "overlap" in rules:
        out = {rows[number].unit for number in kept() if fates[number] != "train" and rows[number].pair}
        for number in kept():
            if fates[number] == "train" and rows[number].pair and rows[number].unit in out:
                fates[number] = "overlap"
    frequent = cap_replies(rows, fates, data, rules)
    return fates, frequent


def drop_similar(rows: list[Given], fates: list[str], band: int, likeness: float) -> None:
    """Leave out what is like what is held out, then what is like the first of the rest, where a band is the same."""
    kept = [number for number, fate in enumerate(fates) if fate in SIDES]
    groups = defaultdict(list)
    for number in kept:
        groups[rows[number].signature[band * BAND : (band + 1) * BAND]].append(number)

    def alike(one: int, other: int) -> bool:
        pairs = zip(rows[one].signature, rows[other].signature, strict=True)
        return sum(a == b for a, b in pairs) / SIGNATURE >= likeness

    for numbers in groups.values():
        out = [number for number in numbers if fates[number] != "train"][: similar.HELD]
        first = None
        for number in (number for number in numbers if fates[number] == "train"):
            if any(alike(number, other) for other in out) or (first is not None and alike(number, first)):
                fates[number] = "near-duplicates"
            elif first is None:
                first = number


def split(rows: list[Given], held: set[int] | None, data: DataSettings) -> list[int]:
    """Return the side of each row, as its place in SIDES."""
    if held is not None:
        return [int(number in held) for number in range(len(rows))]
    units = [row.unit for row in rows]
    if len(set(units)) < 2:
        most, begin, ended = max(1, math.ceil(data.valid_share * len(rows))), 0, []
        for _, document in itertools.groupby(rows, key=lambda row: row.document):
            end = begin + len(list(document))
            held_out = most * end // len(rows) - most * begin // len(rows)
            ended += [0] * (end - begin - held_out) + [1] * held_out
            begin = end
        return ended
    valid, test = data.valid_share * 2**64, (data.valid_share + data.test_share) * 2**64
    sides = [1 if unit < valid else 2 if unit < test else 0 for unit in units]
    ends = {max(units): 0, min(units): 1}
    return [ends.get(unit, side) for unit, side in zip(units, sides, strict=True)]


def cap_replies(rows: list[Given], fates: list[str], data: DataSettings, rules: Rules) -> list[tuple[int, int, int]]:
    """Leave out what is said too often; return each reply with its number before and after, most frequent first."""
    trained = [number for number, fate in enumerate(fates) if fate == "train"]
    cap = data.reply_cap or max(20, len(trained) // 500)
    groups = defaultdict(list)
    for number in trained:
        groups[rows[number].reply].append(number)
    frequent = []
    for reply, numbers in groups.items():
        numbers.sort(key=lambda number: (rows[number].key, number))
        if "replies" in rules:
            for number in numbers[cap:]:
                fates[number] = "replies"
        frequent.append((reply, len(numbers), min(len(numbers), cap) if "replies" in rules else len(numbers)))
    return sorted(frequent, key=lambda each: (-each[1], each[0]))
