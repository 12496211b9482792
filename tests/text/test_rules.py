"""Every rule, from a file to the card: what it counts when it is on, and that it counts nothing when it is left out."""

import json
from dataclasses import dataclass, field

import pytest
from preparations import made, srt

from s2sbot.errors import SettingsError
from s2sbot.plugins import Plugins
from s2sbot.settings import DataSettings
from s2sbot.text import open_corpus
from s2sbot.text.rules import RULES, Rules

HEAD = "[Script Info]\n[V4+ Styles]\nFormat: Name\nStyle: Default\nStyle: Song\n[Events]\n"
FORMAT = "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"


def ass(*events):
    """Return events, each (kind, style, name, text), as ASS with speech around them, so that they are few."""
    speech = [("Dialogue", "Default", "", f"We talk about number {n}.") for n in range(9)]
    lines = [
        f"{kind}: 0,0:00:{2 * n:02}.00,0:00:{2 * n + 1:02}.00,{style},{name},0,0,0,,{text}"
        for n, (kind, style, name, text) in enumerate([*events, *speech])
    ]
    return HEAD + FORMAT + "\n".join(lines) + "\n"


def timed(*cues):
    """Return cues, each (start in seconds, text), of a second."""
    return "\n".join(
        f"{n}\n00:00:{at:02},000 --> 00:00:{at + 1:02},000\n{text}\n" for n, (at, text) in enumerate(cues, 1)
    )


def pairs(*rows):
    return "".join(f"{source}\t{target}\n" for source, target in rows)


OTHERS = (("Who is there?", "A friend of yours."), ("What is it?", "A letter for you."))
LONG = "This is a rather long sentence in the language that most of the lines here are in, and so on."
FRENCH = "Ceci est une phrase assez longue dans une langue qui n'est pas celle de toutes les autres lignes."


@dataclass(frozen=True)
class Case:
    """A file on which a rule counts so many; `held` is a file to validate on, `beside` one beside it."""

    name: str
    text: str
    count: int
    data: dict = field(default_factory=dict)
    held: str = ""
    languages: dict = field(default_factory=dict)
    beside: str = ""


CASES = {
    "comments": Case("a.ass", ass(("Comment", "Default", "", "Not said by anybody.")), 1),
    "drawings": Case("a.ass", ass(("Dialogue", "Default", "", "{\\p1}m 0 0 l 1 1{\\p0}")), 1),
    "karaoke": Case("a.ass", ass(("Dialogue", "Default", "", "{\\k10}la{\\k20}la")), 1),
    "signs": Case("a.ass", ass(("Dialogue", "Default", "", "{\\pos(1,1)}KEEP OUT")), 1),
    "songs": Case("a.srt", srt(["♪ La la la ♪", "Hello.", "Hi.", "Bye."]), 1),
    "credits": Case("a.srt", srt(["Subtitles by somebody", "Hello.", "Hi.", "Bye."]), 1),
    "bilingual": Case("a.srt", srt([f"We say {n}.\nМы говорим {n}." for n in range(6)]), 6),
    "order": Case("a.srt", timed((20, "Third."), (0, "First."), (4, "Second."), (40, "Fourth.")), 3),
    "repeated": Case("a.srt", timed((0, "Hello."), (1, "Hello."), (2, "Hi."), (4, "Bye.")), 1),
    "mojibake": Case("a.srt", srt(["CafÃ© au lait, s'il vous plaÃ®t.", "Hello.", "Hi.", "Bye."]), 1),
    "notes": Case("a.srt", srt(["[door slams] Hello.", "Hi.", "(sighs)", "Bye."]), 2),
    "labels": Case("a.srt", srt(["JOHN: Hello.", "MARY: Hi.", "Bye."]), 2),
    "unpunctuated": Case(
        "a.srt", srt([f"and so we go on and on about number {n}" for n in range(60)]), 60, beside=srt(["Hello.", "Hi."])
    ),
    "dashes": Case("a.srt", srt(["- Hello.\n- Hi.", "- Who is it?\n- Me.", "Bye."]), 2),
    "sentences": Case("a.srt", srt(["I was going,", "but then it rained.", "I see.", "Bye."]), 1),
    "speakers": Case("a.srt", srt(["JOHN: Hello.", "JOHN: Are you there?", "MARY: Hi.", "JOHN: Good."]), 1),
    "fragments": Case("a.srt", srt([*(f"This is number {n}." for n in range(60)), "And then,"]), 1),
    "scenes": Case("a.srt", srt(["Hello.", "Hi.", "Bye.", "So long."], [0, 0, 30, 0]), 1),
    "length": Case("a.tsv", pairs(("a" * 41, "Yes."), ("?!", "No."), *OTHERS), 2, {"max_characters": 40}),
    "ratio": Case(
        "a.tsv", pairs(("Ja.", "a" * 50), *OTHERS), 1, {}, "", {"source": "de", "target": "en"}
    ),
    "letters": Case("a.tsv", pairs(("a + b = 12 * 12 / 7", "Yes."), *OTHERS), 1),
    "echo": Case("a.tsv", pairs(("Stop it!", "Stop it!"), *OTHERS), 1),
    "language": Case("a.tsv", pairs((LONG, LONG + "!"), (FRENCH, FRENCH + "!"), *OTHERS), 1, {"language": "en"}),
    "duplicates": Case("a.tsv", pairs(OTHERS[0], ("who is THERE", "a friend of yours!"), *OTHERS), 2),
    "near-duplicates": Case(
        "a.tsv", pairs((LONG, "Yes."), (LONG + " Yes!", "Yes."), *OTHERS), 1, {"near_duplicates": 0.7}
    ),
    "overlap": Case("a.tsv", pairs(("What now?", "Nothing."), *OTHERS), 1, {}, pairs(("WHAT NOW", "Nothing!"))),
    "replies": Case("a.tsv", pairs(*((f"Is it number {n}?", "No.") for n in range(6)), *OTHERS), 4, {"reply_cap": 2}),
}  # fmt: skip
"""With a corpus to validate on beside each, all of it is learnt from, and no other rule has anything to do."""


@pytest.fixture(scope="module")
def plugins():
    return Plugins()


def count(case, plugins, folder, name, **data):
    """Prepare a case and return what the card says that a rule counted, and whether it was on."""
    given, held = folder / "given", folder / "held.tsv"
    given.mkdir(parents=True)
    (given / case.name).write_text(case.text, "utf-8")
    if case.beside:
        (given / "beside.srt").write_text(case.beside, "utf-8")
    held.write_text(case.held or pairs(("Is this held out?", "It is."), ("And this?", "So is this.")), "utf-8")
    corpora = [open_corpus(path, **case.languages) for path in (given if case.beside else given / case.name, held)]
    settings = {"tokenizer": "bytes", "max_length": 512, **case.data, **data}
    made(folder / "out", corpora[0], valid=(corpora[1],), plugins=plugins, **settings)
    card = json.loads((folder / "out" / "card.json").read_text("utf-8"))
    found = {rule["name"]: rule for rule in card["rules"]}[name]
    return found["count"], found["on"], card


def test_every_rule_has_a_case():
    assert list(CASES) == list(RULES)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_counts_what_it_does_and_nothing_when_it_is_left_out(name, plugins, tmp_path):
    case = CASES[name]
    counted, on, card = count(case, plugins, tmp_path / "on", name)
    assert (counted, on) == (case.count, True)
    counted, on, bare = count(case, plugins, tmp_path / "off", name, without=name)
    assert (counted, on) == (0, False)
    if RULES[name].does == "drops":
        for kind in (card, bare):
            before, after = next((rule["before"], rule["after"]) for rule in kind["rules"] if rule["name"] == name)
            assert before is None or before - after == (case.count if kind is card else 0)
    assert card["counts"]["cues"] == bare["counts"]["cues"]


# which are on


def rules(without="", **data):
    return Rules.of(DataSettings(without=without, **data))


def test_all_are_on_and_each_can_be_left_out():
    assert all(name in rules() for name in RULES)
    for name in RULES:
        assert [each for each in RULES if each not in rules(name)] == [name]
    assert [each for each in RULES if each not in rules(" signs, songs ,,length")] == ["signs", "songs", "length"]


@pytest.mark.parametrize(
    ("wrong", "near"), [("song", "songs"), ("duplicate", "duplicates"), ("near_duplicates", "near-")]
)
def test_an_unknown_rule_names_the_nearest(wrong, near):
    with pytest.raises(SettingsError, match=f"there is no rule '{wrong}'") as raised:
        rules(f"signs,{wrong}")
    assert f"did you mean '{near}" in raised.value.hint


def test_a_rule_like_none_names_all():
    with pytest.raises(SettingsError) as raised:
        rules("zzzzzz")
    assert all(name in raised.value.hint for name in RULES)


def test_a_rule_that_needs_a_number_is_off_without_one():
    assert rules().near_duplicates == 0.0
    assert rules(near_duplicates=0.5).near_duplicates == 0.5
    assert rules("near-duplicates", near_duplicates=0.5).near_duplicates == 0.0
    assert rules().languages == ()
    assert rules(language="de-en").languages == ("de", "en")
    assert rules("language", language="de").languages == ()


def test_nobody_asks_for_a_rule_that_there_is_not():
    with pytest.raises(AssertionError):
        _ = "sing" in rules()
