"""Two languages of one film are paired, whatever their clocks and however they are cut; two films are not."""

import math
import random
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pysubs2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2sbot.text.alignment import TimeMap, align, find_alignment, find_time_map
from s2sbot.text.alignment.evidence import find_shared_words, read_wording
from s2sbot.text.alignment.timing import read_track
from s2sbot.text.dialogue import Cue

TONGUES = (("ba", "du", "fe", "gi", "ko", "la", "mu"), ("ne", "po", "ri", "sa", "tu", "vo", "zi"))
NAMES = ("Anselm", "Brunhild", "Corvinus", "Dorothea", "Emmerich", "Florentin")


def speak(chance, letters, syllables):
    text = ""
    while len(text) < letters:
        text += "".join(chance.choices(syllables, k=chance.randint(1, 4))) + " "
    return text.strip()


def film(seed, count=150):
    """Return a film in two tongues of which the second is a fifth longer; a few names are the same in both."""
    chance = random.Random(seed)
    sides, clock = ([], []), 10.0
    for _ in range(count):
        clock += chance.choice((0.0, 0.1, 0.4, 1.5, 6.0))
        length = chance.uniform(0.8, 4.5)
        letters = length * 14
        name = chance.choice(NAMES) if chance.random() < 0.2 else ""
        mark = chance.choice("...?!")
        for side, ratio, syllables in zip(sides, (1.0, 1.2), TONGUES, strict=True):
            words = [speak(chance, letters * ratio * chance.uniform(0.85, 1.15), syllables), name]
            side.append(Cue(clock, clock + length, " ".join(filter(None, words)) + mark))
        clock += length
    return sides


def on_clock(cues, rate, offset):
    """Return cues as they are timed on a clock from which `TimeMap(rate, offset)` leads back."""
    return [replace(cue, start=(cue.start - offset) / rate, end=(cue.end - offset) / rate) for cue in cues]


def shaken(cues, seed, seconds):
    chance = random.Random(seed)
    return [
        replace(cue, start=cue.start + chance.gauss(0, seconds), end=cue.end + chance.gauss(0, seconds)) for cue in cues
    ]


def cues_of(pairs):
    return [(pair.source_cues, pair.target_cues) for pair in pairs]


def one_to_one(count):
    return [((number,), (number,)) for number in range(count)]


def test_two_tongues_on_one_clock():
    source, target = film(1)
    pairs = align(source, target)
    assert cues_of(pairs) == one_to_one(150)
    assert min(pair.score for pair in pairs) > 0.9
    first = pairs[0]
    assert (first.source, first.target) == (source[0].text, target[0].text)
    assert (first.start, first.end) == (source[0].start, source[0].end)


def test_a_film_with_itself():
    source, _ = film(2)
    assert cues_of(align(source, source)) == one_to_one(150)
    assert find_time_map(source, source) == TimeMap(1.0, pytest.approx(0.0, abs=1e-6))


@pytest.mark.parametrize("rate", [1.0, 25 / 24, 24 / 25, 25 / 23.976, 23.976 / 25, 24 / 23.976, 23.976 / 24, 1.0137])
@pytest.mark.parametrize("offset", [0.0, -212.5, 3600.0])
def test_the_clock_is_found(rate, offset):
    source, target = film(3)
    moved = shaken(on_clock(target, rate, offset), 4, 0.1)
    found = find_time_map(source, moved)
    ends = [moved[0].start, moved[-1].end]
    assert found(np.array(ends)) == pytest.approx([rate * end + offset for end in ends], abs=0.3)
    assert cues_of(align(source, moved)) == one_to_one(150)


def test_known_rates_are_found_exactly():
    source, target = film(5)
    found = find_time_map(source, shaken(on_clock(target, 25 / 24, 30.0), 6, 0.1))
    assert found.rate == pytest.approx(25 / 24, abs=1e-8)


def test_a_given_clock_is_believed():
    source, target = film(7)
    moved = on_clock(target, 1.0, 500.0)
    assert cues_of(align(source, moved, time_map=TimeMap(1.0, 500.0))) == one_to_one(150)
    wrong = align(source, moved, time_map=TimeMap(1.0, 5000.0))
    assert not wrong, "under a clock that is an hour off nothing is near"


def test_jitter():
    source, target = film(8)
    found = cues_of(align(source, shaken(target, 9, 0.25)))
    assert len(set(found) & set(one_to_one(150))) >= 140


def test_merged_and_split_cues():
    source, target = film(10, 40)
    joined = replace(target[10], end=target[11].end, text=f"{target[10].text} {target[11].text}")
    words = target[20].text.split()
    middle = (target[20].start + target[20].end) / 2
    halves = [
        replace(target[20], end=middle, text=" ".join(words[: len(words) // 2])),
        replace(target[20], start=middle, text=" ".join(words[len(words) // 2 :])),
    ]
    pairs = cues_of(align(source, [*target[:10], joined, *target[12:20], *halves, *target[21:]]))
    assert ((10, 11), (10,)) in pairs
    assert ((20,), (19, 20)) in pairs
    assert len(pairs) == 39


def test_what_one_side_lacks_is_left_over():
    source, target = film(11)
    pairs = cues_of(align(source, target[:50] + target[90:]))
    assert pairs == [((n,), (n,)) for n in range(50)] + [((n,), (n - 40,)) for n in range(90, 150)]


@pytest.mark.parametrize("turned", [False, True])
def test_a_cut_is_a_new_piece(turned):
    source, target = film(12, 200)
    later = [replace(cue, start=cue.start + 95, end=cue.end + 95) for cue in target[120:]]
    sides = (source, target[:120] + later)
    found = find_alignment(*(reversed(sides) if turned else sides))
    assert cues_of(found.pairs) == one_to_one(200)
    assert [piece.time_map.offset for piece in found.pieces] == pytest.approx([0, 95 if turned else -95], abs=0.1)


def test_no_group_ends_inside_a_sentence():
    source = [Cue(0, 4, "We went to the"), Cue(4, 6, "house of my aunt."), Cue(8, 10, "She was not there.")]
    target = [Cue(0, 1.6, "Wir gingen zum Haus,"), Cue(1.6, 6, "das meiner Tante gehört."), Cue(8, 10, "Sie war fort.")]
    assert cues_of(align(source, target)) == [((0, 1), (0, 1)), ((2,), (2,))]


def test_two_films_score_low():
    source, _ = film(13)
    _, other = film(14)
    pairs = align(source, other)
    assert all(pair.score < 0.3 for pair in pairs)
    assert sum(pair.score for pair in pairs) < 0.05 * len(pairs)


def test_turned_around_it_pairs_the_same():
    source, target = film(15)
    moved = shaken(on_clock(target, 1.001, 12.0), 16, 0.15)
    there = cues_of(align(source, moved))
    back = [(right, left) for left, right in cues_of(align(moved, source))]
    assert len(set(there) & set(back)) >= 0.97 * len(there)


def test_the_order_in_the_list_does_not_matter():
    source, target = film(17, 60)
    order = random.Random(18).sample(range(60), 60)
    pairs = align([source[n] for n in order], target)
    assert [(order[pair.source_cues[0]], *pair.target_cues) for pair in pairs] == [(n, n) for n in range(60)]


def test_it_is_deterministic():
    source, target = film(19)
    assert align(source, shaken(target, 20, 0.3)) == align(source, shaken(target, 20, 0.3))


@pytest.mark.parametrize("sides", [([], []), (film(21, 3)[0], []), ([], film(21, 3)[0])])
def test_an_empty_side(sides):
    assert align(*sides) == []
    assert find_time_map(*sides) == TimeMap()


def test_one_cue_each():
    (pair,) = align([Cue(1, 3, "Good evening, Anselm.")], [Cue(1.1, 3.1, "Guten Abend, Anselm.")])
    assert cues_of([pair]) == [((0,), (0,))]
    assert pair.score < 0.5, "one cue could be of any film"


def test_times_that_are_no_numbers_are_left_over():
    source, target = film(22, 40)
    source[5] = replace(source[5], start=math.nan)
    source[6] = replace(source[6], end=math.nan)
    target[7] = replace(target[7], start=math.inf)
    target[8] = replace(target[8], end=-3.0)
    used = {number for left, _ in cues_of(align(source, target)) for number in left}
    assert 5 not in used
    assert {6, 8} <= used
    assert len(read_track(source)) == 39


def test_an_advertisement_at_the_end_of_time_does_no_harm():
    source, target = film(23)
    target.append(Cue(359_990.0, 359_999.0, "Subtitles by nobody."))
    found = find_time_map(source, on_clock(target, 25 / 24, 40.0))
    assert found.rate == pytest.approx(25 / 24, abs=1e-6)
    assert found.offset == pytest.approx(40.0, abs=0.2)


@pytest.mark.parametrize("count", [1500, 4000])
def test_cues_at_one_and_the_same_time_end_soon(count):
    cues = [Cue(5.0, 6.0, f"{number}.") for number in range(count)]
    begin = time.perf_counter()
    pairs = align(cues, cues[: count // 2])
    assert time.perf_counter() - begin < 60
    assert len(pairs) <= count


def test_a_long_film_takes_no_time():
    source, target = film(24, 1500)
    moved = shaken(on_clock(target, 25 / 24, -70.0), 25, 0.1)
    begin = time.perf_counter()
    pairs = align(source, moved)
    assert time.perf_counter() - begin < 10, "0.3 s where nothing else runs"
    assert len(set(cues_of(pairs)) & set(one_to_one(1500))) > 1450


seconds = st.floats(width=32) | st.floats(-10, 500)
anything = st.lists(st.builds(Cue, seconds, seconds, st.text(max_size=30)), max_size=25)


@settings(max_examples=60, deadline=None)
@given(anything, anything)
def test_whatever_comes_in_pairs_are_in_order_and_share_no_cue(source, target):
    pairs = align(source, target)
    for side, names in ((source, "source_cues"), (target, "target_cues")):
        used = [number for pair in pairs for number in getattr(pair, names)]
        assert len(used) == len(set(used))
        assert all(0 <= number < len(side) for number in used)
        starts = [side[number].start for number in used]
        assert starts == sorted(starts)
    for pair in pairs:
        assert 0.0 <= pair.score <= 1.0
        assert math.isfinite(pair.start)
        assert math.isfinite(pair.end)
        assert pair.source_cues
        assert pair.target_cues
        assert pair.source == " ".join(" ".join(source[n].text for n in pair.source_cues).split())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(-1000, 1000))
def test_a_shift_changes_no_pair(seed, offset):
    source, target = film(seed, 30)
    assert cues_of(align(source, on_clock(target, 1.0, offset))) == cues_of(align(source, target))


def test_shared_words_are_stems_and_numbers():
    source = read_wording(["Dorothea has 42 cats", "nothing else here", "some words"])
    target = read_wording(["rien du tout", "Dorothée a 42 chats", "des mots"])
    shared = find_shared_words(source, target)
    assert set(zip(shared.source.tolist(), shared.target.tolist(), strict=True)) == set()
    filled = [read_wording([*side, *("...",) * 20]) for side in (["Dorothea has 42 cats"], ["Dorothée a 42 chats"])]
    shared = find_shared_words(*filled)
    assert shared.source.tolist() == shared.target.tolist() == [0, 0]


def test_a_file_without_full_stops_has_no_open_sentences():
    assert read_wording(["one two", "three four"]).open.tolist() == [0.0, 0.0]
    assert read_wording(["One two", "three four.", "Yes.", "No!"]).open.tolist() == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("language", ["de", "fr", "es"])
def test_real_subtitles_on_another_clock(shared_data, language):
    sides = [
        [
            Cue(event.start / 1000, event.end / 1000, event.plaintext)
            for event in pysubs2.load(str(path), encoding="utf-8-sig").events
            if event.style.startswith(("Main", "OP Normal2")) and not event.is_comment
        ]
        for path in (shared_data("subs", "onepace", f"13_jaya_01.{tongue}.ass") for tongue in ("en", language))
    ]
    rate, offset = 25 / 23.976, -33.0
    pairs = align(sides[0], shaken(on_clock(sides[1], rate, offset), 26, 0.1))
    near = [
        abs(pair.start - min(sides[1][number].start for number in pair.target_cues)) < 1.0
        for pair in pairs
        if pair.score >= 0.5
    ]
    assert len(near) > 0.75 * len(sides[0])
    assert sum(near) > 0.97 * len(near)


def test_the_example_of_the_page_prints_what_the_page_says(capsys):
    page = (Path(__file__).parents[2] / "docs" / "alignment.md").read_text("utf-8")
    blocks = {
        name: re.search(rf"^```{name}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1] for name in ("python", "text")
    }
    exec(compile(blocks["python"], "alignment.md", "exec"), {})
    assert capsys.readouterr().out == blocks["text"]
