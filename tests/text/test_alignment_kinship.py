"""What is one film is told from what is two, and a score keeps its meaning where somebody else timed the film."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from click.testing import CliRunner

from s2sbot.cli.corpus_align import align as align_files
from s2sbot.plugins import Plugins
from s2sbot.text.alignment import ONE_FILM, find_alignment
from s2sbot.text.alignment.evidence import leave_out_marks, read_wording
from s2sbot.text.archives import Archives
from s2sbot.text.dialogue import Cue
from s2sbot.text.documents import find_documents
from s2sbot.text.reading import read_cues

LOOSE = [
    ("ada_zangemann/en.srt", "ada_zangemann/sk.srt"),
    ("elephants_dream/captions.en.vtt", "elephants_dream/captions.ar.vtt"),
    ("elephants_dream/captions.sv.vtt", "elephants_dream/captions.ja.vtt"),
    ("3b1b/2018_basel-problem.en.srt", "3b1b/2018_basel-problem.de.srt"),
]


@pytest.fixture(scope="module")
def readers():
    return Plugins().readers()


@pytest.fixture
def cues(shared_data, readers):
    def read(name):
        (document,) = find_documents(shared_data("subs", *name.split("/")))
        with Archives() as archives:
            return read_cues(document, readers, archives)

    return read


def film(seed, count):
    """Return a film in two languages without a word or a mark in common, the second timed by somebody else."""
    chance = random.Random(seed)
    sides, clock = ([], []), 10.0
    for _ in range(count):
        clock += chance.choice((0.1, 0.4, 1.5, 5.0))
        length = chance.uniform(0.8, 4.5)
        for side, letter, shake in zip(sides, "xл", (0.0, 0.6), strict=True):
            start, end = (moment + chance.gauss(0, shake) for moment in (clock, clock + length))
            side.append(Cue(start, max(end, start + 0.3), letter * int(length * 12 * chance.uniform(0.85, 1.15))))
        clock += length
    return sides


@pytest.mark.parametrize("names", LOOSE)
def test_a_film_that_somebody_else_timed_is_one_film(cues, names):
    found = find_alignment(*map(cues, names))
    assert found.kinship > ONE_FILM
    assert sum(pair.score >= 0.5 for pair in found.pairs) > 0.5 * len(found.pairs)


def test_two_episodes_and_two_talks_are_not_one_film(cues, shared_data):
    chance = random.Random(4)
    for folder, ending in (("onepace", "*.ass"), ("3b1b", "*.srt")):
        names = chance.sample(sorted(path.name for path in shared_data("subs", folder).glob(ending)), 6)
        for one, other in pairwise(names):
            if one.split(".")[0] != other.split(".")[0]:
                assert find_alignment(cues(f"{folder}/{one}"), cues(f"{folder}/{other}")).kinship < ONE_FILM


@pytest.mark.parametrize("names", [("02_orange_town_01", "02_orange_town_03"), ("03_syrup_village_03", "04_gaimon_01")])
def test_an_opening_that_two_episodes_share_does_not_make_them_one(cues, names):
    found = find_alignment(*(cues(f"onepace/{name}.es.ass") for name in names))
    assert found.kinship < ONE_FILM


def test_loose_times_alone_make_a_film_whose_pairs_score_as_they_are_right():
    source, target = film(1, 150)
    found = find_alignment(source, [replace(cue, start=cue.start + 40, end=cue.end + 40) for cue in target])
    right = [pair.source_cues == pair.target_cues for pair in found.pairs]
    assert found.kinship > ONE_FILM
    assert sum(right) / len(right) > 0.9
    assert sum(pair.score for pair in found.pairs) / len(right) == pytest.approx(sum(right) / len(right), abs=0.1)


def test_the_least_score_has_no_say_in_what_is_one_film(shared_data):
    english, slovak = (str(shared_data("subs", "ada_zangemann", f"{tongue}.srt")) for tongue in ("en", "sk"))
    other = str(shared_data("subs", "elephants_dream", "captions.sv.vtt"))
    counts = []
    for least in ("0", "0.2", "0.5"):
        result = CliRunner().invoke(align_files, [english, slovak, "--min-score", least])
        assert result.exit_code == 0, result.output
        counts.append(result.stdout.count("\n"))
        refused = CliRunner().invoke(align_files, [english, other, "--min-score", least])
        assert "do not look like one film" in str(refused.exception)
    assert counts[0] > counts[1] > counts[2] > 200


def test_marks_that_a_language_never_writes_are_no_evidence():
    english, thai = read_wording(["Who? Me!", "You."]), read_wording(["ใคร ฉัน", "คุณ!"])
    leave_out_marks(english, thai)
    assert english.questions.tolist() == thai.questions.tolist() == [0.0, 0.0]
    assert english.cries.tolist() == [1.0, 0.0]
    assert thai.cries.tolist() == [0.0, 1.0]


def test_a_language_that_writes_no_full_stops_has_no_open_sentences():
    japanese = read_wording(["ケガはないか？", "大丈夫…", "なぜだ", "危ない！", "行くぞ"])
    assert not japanese.open.any()
