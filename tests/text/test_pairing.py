"""Every rule by which cues become dialogues, and dialogues exchanges, on a case as small as can be."""

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2sbot import Cue, Dialogue, Exchange, Origin, Turn, clean_line
from s2sbot.text import RULES, Rules, cues_to_dialogues, dialogue_to_exchanges
from s2sbot.text.pairing import clean_dialogue, previous_exchanges


def turns(*cues, scene_gap=10.0):
    """Return the texts of every dialogue of cues given as (start, end, text) or (start, end, text, speaker)."""
    made = [Cue(*cue) for cue in cues]
    return [
        [turn.text for turn in dialogue.turns]
        for dialogue in cues_to_dialogues(made, "f", rules=Rules(scene_gap=scene_gap))
    ]


def test_a_gap_longer_than_the_scene_gap_cuts():
    assert turns((0, 1, "One."), (11, 12, "Two."), (22.5, 23, "Three.")) == [["One.", "Two."], ["Three."]]
    assert turns((0, 1, "One."), (3, 4, "Two."), scene_gap=1.5) == [["One."], ["Two."]]


def test_a_long_cue_below_a_short_one_holds_the_scene():
    assert turns((0, 20, "I talk for long."), (1, 2, "Yes."), (29, 30, "So.")) == [["I talk for long.", "Yes.", "So."]]


def test_cues_are_sorted_by_time():
    assert turns((5, 6, "Two."), (0, 1, "One.")) == [["One.", "Two."]]


def test_repeated_cues_count_once():
    assert turns((0, 1, "Hi."), (0, 1, "Hi."), (1, 2, "Hi."), (2.05, 3, "Hi."), (3, 4, "Ho.")) == [["Hi.", "Ho."]]


def test_what_is_said_again_later_is_said_again():
    assert turns((0, 1, "Hi."), (1.5, 2, "Hi.")) == [["Hi.", "Hi."]]
    assert turns((0, 1, "Hi."), (1, 2, "Ho."), (2, 3, "Hi.")) == [["Hi.", "Ho.", "Hi."]]


def test_times_below_zero_are_times():
    assert turns((-1, 0, "Hi."), (-0.9, 0, "Ho."), (0, 1, "Hu.")) == [["Hi.", "Ho.", "Hu."]]


def test_a_sentence_goes_on_over_cues():
    assert turns((0, 1, "When we came"), (1, 2, "to the harbour,"), (2.5, 3, "It rained."), (3, 4, "Oh.")) == [
        ["When we came to the harbour, It rained.", "Oh."]
    ]


def test_a_sentence_that_ended_does_not_go_on():
    assert turns((0, 1, "Stop."), (1, 2, "no way")) == [["Stop.", "no way"]]
    assert turns((0, 1, "Stop"), (1, 2, "No way")) == [["Stop", "No way"]]
    assert turns((0, 1, 'He said "stop."'), (1, 2, "then he left")) == [['He said "stop."', "then he left"]]


def test_a_sentence_does_not_go_on_after_some_seconds():
    assert turns((0, 1, "When we"), (6, 7, "came home")) == [["When we came home"]]
    assert turns((0, 1, "When we"), (6.1, 7, "came home")) == [["When we", "came home"]]
    stops = tuple((20 + number, 20.9 + number, "It rained.") for number in range(3))
    assert turns((0, 1, "When we saw"), (3, 4, "Anna came."), *stops)[0] == ["When we saw Anna came."]
    assert turns((0, 1, "When we saw"), (3.1, 4, "Anna came."), *stops)[0] == ["When we saw", "Anna came."]


def test_a_turn_takes_in_no_whole_sentence_beyond_240_characters():
    half = "a" * 117 + "…"
    assert turns((0, 1, half), (1.5, 2, "B" * 122)) == [[f"{half} {'B' * 122}"]]
    assert turns((0, 1, half), (1.5, 2, "B" * 123)) == [[half, "B" * 123]]
    assert turns((0, 1, "A" * 120 + ".", "Ann"), (1, 2, "B" * 120 + ".", "Ann")) == [["A" * 120 + ".", "B" * 120 + "."]]


def test_a_sentence_may_be_longer_than_a_turn_of_whole_ones():
    part = "and so on " * 30
    assert turns((0, 1, f"So {part}"), (1, 2, part)) == [[f"So {part}{part}".strip()]]


def test_a_long_turn_that_goes_on_is_cut_where_its_last_sentence_begins():
    first, second = "One sentence " + "which is long " * 8 + "ends.", "And another"
    assert turns((0, 1, f"{first} {second}"), (1, 2, "goes on.")) == [[first, f"{second} goes on."]]
    parts = first.split(" ", 6)
    begun = [
        (place, place + 1, part) for place, part in enumerate([*parts[:-1], f"{parts[-1]} {second}", "goes", "on."])
    ]
    [dialogue] = cues_to_dialogues([Cue(*each) for each in begun], "f")
    assert dialogue.turns == (Turn(first, None, 0), Turn(f"{second} goes on.", None, 6))
    short = "It ends. And another"
    assert turns((0, 1, short), (1, 2, "goes on.")) == [[f"{short} goes on."]]


def test_a_sentence_that_is_cut_off_begins_when_its_first_cue_does():
    long = "It is a long sentence that has some " * 4 + "words."
    cues = [
        Cue(0, 1, f"{long} It"),
        Cue(1, 2, f"goes on. {long} So"),
        Cue(2, 3, "does"),
        Cue(3, 4, "this. It"),
        Cue(4, 5, "ends."),
    ]
    [dialogue] = cues_to_dialogues(cues, "f")
    assert dialogue.turns == (
        Turn(long, None, 0),
        Turn(f"It goes on. {long}", None, 0),
        Turn("So does this. It ends.", None, 1),
    )


def test_who_speaks_while_another_cue_is_shown_is_another():
    assert turns((0, 4, "I never said"), (1, 2, "Look out!"), (4, 5, "that.")) == [
        ["I never said", "Look out!", "that."]
    ]
    assert turns((0, 1.2, "I never said"), (1, 2, "that.")) == [["I never said that."]]
    rolling = [(2 * number, 2 * number + 3, "The captain" if number % 2 else "went home.") for number in range(60)]
    assert turns(*rolling[1:]) == [["The captain went home."] * 29 + ["The captain"]]


def test_a_note_over_several_cues_is_taken_off():
    assert turns((0, 1, "[He goes"), (1, 2, "to the door"), (2, 3, "and out] Hello."), (3, 4, "Hi.")) == [
        ["Hello.", "Hi."]
    ]
    assert turns((0, 1, "Oh. (He goes"), (1, 2, "away) Hi.")) == [["Oh.", "Hi."]]
    assert turns((0, 1, "So sad :("), (1, 2, "(he goes) Hi.")) == [["So sad :( Hi."]]
    assert turns((0, 1, "(He goes"), (9, 10, "away) Hi.")) == [["(He goes", "away) Hi."]]
    smiling = (0, 1, "I am sad :("), (1, 2, "Do not be sad."), (2, 3, "Never mind. a) it is late.")
    assert turns(*smiling) == [["I am sad :( Do not be sad.", "Never mind. a) it is late."]]
    assert turns((0, 1, "Two: (see"), (1, 2, "b) it is late.")) == [["Two: (see b) it is late."]]


def test_two_labels_in_one_cue_are_two_speakers():
    assert turns((0, 1, "ANN: Who is it?\nBEN: Me."), (1, 2, "ANN: Oh.\nBEN: Yes.")) == [
        ["Who is it?", "Me.", "Oh.", "Yes."]
    ]


def test_an_effect_of_many_frames_is_one_sign_and_what_is_said_in_its_style_is_said():
    spoken = [said(f"Line {number}.", number, style="Main") for number in range(40)]
    frames = [said("BAKERY", 5 + number / 24, style="Main", mark="positioned") for number in range(90)]
    signs = [said(f"Shop {number}", 9, style="Main", mark="positioned") for number in range(60)]
    texts, counts = rule_counts(*spoken, *frames, *signs)
    assert texts == [cue.text for cue in spoken]
    assert counts["signs"] == 150


def test_of_two_styles_with_as_many_texts_the_first_one_is_speech():
    for number in range(16):  # by the hashes of texts it would be either of them
        spoken = [said(f"{number} said {place}.", place, style=f"Sign {number}") for place in range(4)]
        shown = [said(f"{number} shown {place}.", place + 0.5, style=f"Note {number}") for place in range(4)]
        assert rule_counts(*spoken, *shown)[0] == [cue.text for cue in spoken]


def test_one_named_speaker_is_one_turn():
    assert turns((0, 1, "Hi.", "Ann"), (1, 2, "I am Ann.", "Ann"), (2, 3, "bob here", "Bob")) == [
        ["Hi. I am Ann.", "bob here"]
    ]
    assert turns((0, 1, "Well", "Ann"), (1, 2, "yes", None)) == [["Well yes"]]
    assert turns((0, 1, "Hi.", "Ann"), (3.5, 4, "I am Ann.", "Ann")) == [["Hi.", "I am Ann."]]


def test_dashes_are_speakers_on_two_lines_and_on_one():
    assert turns((0, 1, "- Hi.\n- Hello.")) == [["Hi.", "Hello."]]
    assert turns((0, 1, "- Hi. - Hello.")) == [["Hi.", "Hello."]]
    assert turns((0, 1, "- well,\n- what now")) == [["well,", "what now"]]


def test_a_dash_inside_a_sentence_is_a_dash():
    assert turns((0, 1, "I saw her - twice - in town.")) == [["I saw her - twice - in town."]]


def test_notes_music_and_labels_are_not_said():
    assert turns(
        (0, 1, "[thunder]"), (1, 2, "♪ Oh ♪"), (2, 3, "JOHN: Hi (sighs)."), (3, 4, "- (laughs)\n- ANN: Ho.")
    ) == [["Hi.", "Ho."]]
    assert turns((0, 1, "[thunder]"), (1, 2, "♪")) == []
    assert turns() == []


def test_turns_carry_speaker_and_time_and_the_dialogue_its_origin():
    cues = [Cue(3, 4, "Hi.", "Ann"), Cue(5, 6, "Ho.")]
    assert list(cues_to_dialogues(cues, "film.srt")) == [
        Dialogue((Turn("Hi.", "Ann", 3), Turn("Ho.", None, 5)), Origin("film.srt", seconds=3))
    ]


def exchanges(*texts, context_turns=0):
    made = tuple(Turn(text, start=float(number)) for number, text in enumerate(texts))
    return list(
        dialogue_to_exchanges(Dialogue(made, Origin("f", seconds=0.0)), rules=Rules(context_turns=context_turns))
    )


def test_every_turn_is_answered_by_the_next():
    assert [(one.source, one.target, one.context) for one in exchanges("a", "b", "c")] == [
        ("a", "b", ()),
        ("b", "c", ()),
    ]
    assert exchanges("a") == []


def test_context_turns_come_oldest_first():
    assert [one.context for one in exchanges("a", "b", "c", "d", "e", context_turns=2)] == [
        (),
        ("a",),
        ("a", "b"),
        ("b", "c"),
    ]


def test_an_exchange_tells_where_its_source_was():
    assert [one.origin for one in exchanges("a", "b", "c")] == [Origin("f", seconds=0.0), Origin("f", seconds=1.0)]
    timeless = Dialogue((Turn("a"), Turn("b")), Origin("talk.json", line=7))
    assert next(dialogue_to_exchanges(timeless, rules=Rules())).origin == Origin("talk.json", line=7)


CUES = st.lists(
    st.builds(
        Cue,
        st.floats(-5, 60),
        st.floats(-5, 90),
        st.text(st.sampled_from(list("aB .,?-\n[]♪"))),
        st.sampled_from([None, "Ann", "Bob"]),
    )
)


@given(CUES, st.floats(0.1, 20))
def test_cutting_into_scenes_neither_loses_nor_invents_a_letter(cues, scene_gap):
    dialogues = list(cues_to_dialogues(cues, "f", rules=Rules(scene_gap=scene_gap)))
    said = [turn.text for dialogue in dialogues for turn in dialogue.turns]
    assert all(text == " ".join(text.split()) and any(char.isalnum() for char in text) for text in said)
    assert all(dialogue.turns for dialogue in dialogues)
    starts = [turn.start for dialogue in dialogues for turn in dialogue.turns]
    assert starts == sorted(starts)
    letters = sum(char.isalnum() for text in said for char in text)
    assert letters <= sum(char.isalnum() for cue in cues for char in cue.text)


@given(st.lists(st.text(st.sampled_from(list("aB. ")), min_size=1).filter(clean_line), unique=True))
def test_distinct_cues_are_all_said(texts):
    cues = [Cue(3.0 * number, 3.0 * number + 1, text) for number, text in enumerate(texts)]
    said = [turn.text for dialogue in cues_to_dialogues(cues, "f") for turn in dialogue.turns]
    assert " ".join(said).split() == " ".join(texts).split()


def test_a_cue_that_is_shown_for_hours_holds_no_scenes_together():
    cues = [Cue(0, 36_000, "A watermark."), Cue(1, 2, "Hi."), Cue(100, 101, "Hello."), Cue(200, 201, "Bye.")]
    assert len(list(cues_to_dialogues(cues, "f"))) == 3


# What comes before


def cut(*dialogues, file="f"):
    """Return the exchanges of dialogues with so many turns each."""
    return [
        exchange
        for number, turns in enumerate(dialogues)
        for exchange in dialogue_to_exchanges(
            Dialogue(tuple(Turn(f"{number}.{turn}") for turn in range(turns)), Origin(file)),
            rules=Rules(),
            number=number,
        )
    ]


def test_the_exchange_before_begins_two_turns_earlier():
    exchanges = cut(5, 3)
    assert [exchange.source for exchange in exchanges] == ["0.0", "0.1", "0.2", "0.3", "1.0", "1.1"]
    assert previous_exchanges(exchanges) == [-1, -1, 0, 1, -1, -1]


def test_an_exchange_that_was_left_out_is_a_break():
    exchanges = cut(8)
    del exchanges[2]
    assert [exchange.turn for exchange in exchanges] == [0, 1, 3, 4, 5, 6]
    assert previous_exchanges(exchanges) == [-1, -1, 1, -1, 2, 3]


def test_files_and_dialogues_do_not_run_into_each_other():
    missing = cut(5, 5)
    del missing[4:6]  # the second dialogue begins with its third turn
    assert previous_exchanges(missing) == [-1, -1, 0, 1, -1, -1]
    assert previous_exchanges(cut(3, file="a") + cut(5, file="b")[2:]) == [-1, -1, -1, -1]


def test_pairs_stand_alone():
    assert previous_exchanges([Exchange("a", "b"), Exchange("c", "d"), Exchange("e", "f")]) == [-1, -1, -1]


def test_two_files_of_one_name_are_two():
    first, second = cut(5), cut(6)
    del second[:2]
    assert previous_exchanges(first + second) == [-1, -1, 0, 1, -1, -1, 4]


# What is not said


def rule_counts(*cues, **rules):
    counts = Counter()
    dialogues = list(cues_to_dialogues(cues, "f", rules=Rules(**rules), counts=counts))
    return [turn.text for dialogue in dialogues for turn in dialogue.turns], +counts


def said(text, start=0.0, **more):
    return Cue(start, start + 1, text, **more)


@pytest.mark.parametrize(
    ("rule", "cue"),
    [
        ("comments", said("Do it again.", mark="comment")),
        ("drawings", said("m 0 0 l 10 10", mark="drawing")),
        ("karaoke", said("la la", mark="karaoke")),
        ("signs", said("Bakery", style="Sign-Map")),
        ("signs", said("Bakery", mark="positioned")),
        ("songs", said("Oh, the sea", style="Lyrics Main")),
        ("songs", said("♪ Oh, the sea")),
        ("songs", said("# Oh, the sea #")),
        ("credits", said("Ann did this.", style="Credits-207+")),
        ("credits", said("Subtitles by Ann")),
        ("credits", said("www.example.org")),
        ("credits", said("Untertitel von Anna")),
    ],
)
def test_what_nobody_says_is_dropped_and_counted_unless_the_rule_is_off(rule, cue):
    spoken = said("Hello.", 5.0), said("Hi.", 9.0)
    assert rule_counts(cue, *spoken) == (["Hello.", "Hi."], Counter({rule: 1}))
    texts, counts = rule_counts(cue, *spoken, off=frozenset({rule}))
    assert len(texts) == 3
    assert counts == Counter()


def test_the_style_of_most_cues_is_that_of_speech_whatever_its_name():
    speech = [said(f"Line {number}.", float(number), style="OP Normal2 Captions") for number in range(3)]
    assert rule_counts(*speech, said("Shop.", 4.0, style="Sign")) == (
        ["Line 0.", "Line 1.", "Line 2."],
        Counter(signs=1),
    )


def test_a_style_that_mostly_has_places_is_one_of_signs():
    signs = [said(f"Shop {number}.", number, style="x", mark="positioned") for number in range(3)]
    speech = [said(f"Line {number}.", 10 + number, style="y") for number in range(3)]
    assert rule_counts(*signs, said("Shop.", 4.0, style="x"), *speech)[0] == ["Line 0.", "Line 1.", "Line 2."]


def test_speech_that_is_moved_out_of_the_way_once_stays_speech():
    speech = [said(f"Line {number}.", number, style="y") for number in range(40)]
    moved = said("Moved.", 41.0, style="y", mark="positioned")
    assert rule_counts(*speech, moved)[0][-1] == "Moved."
    assert rule_counts(*speech[:20], moved)[0][-1] == "Line 19."


def test_lines_that_roll_up_are_said_once():
    rolled = [Cue(0, 2, "One.\nTwo."), Cue(2, 4, "Two.\nThree."), Cue(4, 6, "Three.\nFour.")]
    assert " ".join(rule_counts(*rolled)[0]) == "One. Two. Three. Four."
    assert rule_counts(*rolled)[1]["repeated"] == 2
    assert rule_counts(*rolled, off=frozenset({"repeated"}))[0] == ["One. Two.", "Two. Three.", "Three. Four."]
    again = (Cue(0, 2, "One."), Cue(2, 4, "One."), Cue(4, 6, "One.\nTwo."))
    assert rule_counts(*again)[0] == ["One.", "Two."]


def test_notes_and_labels_are_taken_off_and_counted():
    assert rule_counts(said("[SIGHS] Well (coughs).")) == (["Well."], Counter(notes=1))
    assert rule_counts(said("[SIGHS] Well."), off=frozenset({"notes"})) == (["[SIGHS] Well."], Counter())
    assert rule_counts(said("ANNA: Well.")) == (["Well."], Counter(labels=1))
    assert rule_counts(said("ANNA: Well."), off=frozenset({"labels"})) == (["ANNA: Well."], Counter())


def test_a_label_becomes_the_speaker():
    [dialogue] = cues_to_dialogues([said("ANNA: Hi."), said("Ben: Ho.", 1.0)], "f")
    assert [turn.speaker for turn in dialogue.turns] == ["ANNA", None]


def test_a_name_that_stands_before_colons_again_and_again_is_a_speaker():
    cues = [said(f"{name}: Line {number}.", number) for number, name in enumerate(["Anna", "Ben"] * 3)]
    [dialogue] = cues_to_dialogues(cues, "f")
    assert [turn.speaker for turn in dialogue.turns] == ["Anna", "Ben"] * 3
    assert [turn.text for turn in dialogue.turns] == [f"Line {number}." for number in range(6)]
    [few] = cues_to_dialogues(cues[:4], "f")
    assert few.turns[0].text == "Anna: Line 0."


def test_two_marks_of_speakers():
    assert rule_counts(said(">> Hello.\n>> Hi.")) == (["Hello.", "Hi."], Counter(dashes=1))
    assert rule_counts(said("- Hello.\n- Hi."), off=frozenset({"dashes"}))[0] == ["- Hello. - Hi."]


def test_who_begins_with_a_dash_does_not_go_on_with_what_was_said():
    assert rule_counts(said("I saw the"), said("- what is it?", 1.0))[0] == ["I saw the", "what is it?"]
    assert rule_counts(said("I saw the"), said("what is it?", 1.0))[0] == ["I saw the what is it?"]


def test_dots_are_gone_on_from_unless_with_a_question():
    assert rule_counts(said("I saw..."), said("The ferry.", 1.5)) == (["I saw... The ferry."], Counter(sentences=1))
    assert rule_counts(said("I saw..."), said("What?", 1.5))[0] == ["I saw...", "What?"]
    for at_once_or_late in (1.0, 2.5):
        assert rule_counts(said("I saw..."), said("The ferry.", at_once_or_late))[0] == ["I saw...", "The ferry."]
    assert rule_counts(said("I saw..."), said("...the ferry.", 5.5))[0] == ["I saw... ...the ferry."]
    assert rule_counts(said("I saw the"), said("ferry.", 1.0), off=frozenset({"sentences"}))[0] == [
        "I saw the",
        "ferry.",
    ]


def test_an_abbreviation_ends_no_sentence():
    assert rule_counts(said("It was Mr."), said("Marrow.", 1.0))[0] == ["It was Mr. Marrow."]
    assert rule_counts(said("distance vs."), said("time.", 1.0))[0] == ["distance vs. time."]
    assert rule_counts(said("Monkey D."), said("Luffy!", 1.0))[0] == ["Monkey D. Luffy!"]
    assert rule_counts(said("Wait."), said("Marrow.", 1.0))[0] == ["Wait.", "Marrow."]


def test_a_few_mistaken_times_do_not_turn_the_file_around():
    cues = [said(f"Line {number}.", float(number)) for number in range(100)]
    cues[50] = said("Line 50.", 54.5)
    assert rule_counts(*cues)[0] == [f"Line {number}." for number in range(100)]
    cues[50] = said("Line 50.", 80.5)  # so far that it must be meant
    assert rule_counts(*cues)[0].index("Line 50.") == 80
    assert rule_counts(*reversed(cues[:20]))[0] == [f"Line {number}." for number in range(20)]
    assert rule_counts(*reversed(cues[:3]), off=frozenset({"order"}))[0] == ["Line 2.", "Line 1.", "Line 0."]


def test_a_file_whose_sentences_have_no_ends_gives_none():
    endless = [said(f"Then we saw {number} of the things that were there", float(number)) for number in range(50)]
    assert rule_counts(*endless) == ([], Counter(unpunctuated=50))
    assert rule_counts(*endless, off=frozenset({"unpunctuated"}))[0]
    assert rule_counts(*endless[:49])[0]
    stopped = [said(f"Then we saw {number} of them.", float(number)) for number in range(50)]
    assert len(rule_counts(*stopped)[0]) == 50
    chinese = [said("我们看见了很多东西", float(number)) for number in range(60)]
    assert rule_counts(*chinese)[1]["unpunctuated"] == 0


def test_a_part_of_a_sentence_is_dropped_and_cuts_the_dialogue():
    lines = [said(f"Line {number}.", 3.0 * number) for number in range(50)]
    parts = (said("and then", 151.0), said("Line 51.", 160.0), said("Well, I,", 170.0), said("Line 52.", 178.0))
    dialogues = list(cues_to_dialogues([*lines, *parts], "f", rules=Rules(scene_gap=60.0)))
    assert [len(dialogue.turns) for dialogue in dialogues] == [50, 1, 1]
    texts, counts = rule_counts(*lines, *parts, scene_gap=60.0)
    assert counts["fragments"] == 2
    assert {"and then", "Well, I,"}.isdisjoint(texts)
    assert len(rule_counts(*lines, *parts, scene_gap=60.0, off=frozenset({"fragments"}))[0]) == 54
    small = [said(f"line {number}.", 3.0 * number) for number in range(60)]
    assert len(rule_counts(*small)[0]) == 60


def test_one_speaker_does_not_answer_himself():
    turns = (Turn("A" * 130 + ".", "Ann"), Turn("B" * 130 + ".", "Ann"), Turn("Yes.", "Ben"))
    counts = Counter()
    made = list(dialogue_to_exchanges(Dialogue(turns, Origin("f")), rules=Rules(), counts=counts))
    assert [one.target for one in made] == ["Yes."]
    assert counts == Counter(speakers=1)
    off = Rules(off=frozenset({"speakers"}))
    assert len(list(dialogue_to_exchanges(Dialogue(turns, Origin("f")), rules=off))) == 2


def test_a_written_dialogue_joins_what_one_speaker_says_and_tidies_lines():
    turns = (
        Turn("One.\nTwo.", "Ann", 1.0),
        Turn(" Three. ", "Ann"),
        Turn("\u200b", "Ben"),
        Turn("Four.", "Ben"),
        Turn("Five."),
    )
    counts = Counter()
    made = clean_dialogue(Dialogue(turns, Origin("f"), "g"), rules=Rules(), counts=counts)
    assert made == Dialogue(
        (Turn("One. Two. Three.", "Ann", 1.0), Turn("Four.", "Ben"), Turn("Five.")), Origin("f"), "g"
    )
    assert counts == Counter(speakers=1)
    off = clean_dialogue(Dialogue(turns, Origin("f")), rules=Rules(off=frozenset({"speakers"})), counts=Counter())
    assert len(off.turns) == 4


def test_a_written_dialogue_is_repaired_before_it_is_one_line():
    turns = (Turn("S\u00c3\u00ad, aqu\u00c3\u00ad."), Turn("One.\u00e2\u20ac\u00a8Two, it\u00e2\u20ac\u2122s."))
    counts = Counter()
    made = clean_dialogue(Dialogue(turns, Origin("f")), rules=Rules(), counts=counts)
    # the second half of a letter is invisible, and a line's end may be among what is repaired
    assert [turn.text for turn in made.turns] == ["S\u00ed, aqu\u00ed.", "One. Two, it\u2019s."]
    assert counts == Counter(mojibake=2)


def test_very_much_at_once_takes_no_time():
    # by a look at all of it for each new piece, as it once was, these would take a minute
    cues = [Cue(0.001 * number, 10**6, f"Line {number}.") for number in range(40_000)]
    turns = (Turn("so", "Ann"),) * 200_000
    begin = time.process_time()
    [dialogue] = cues_to_dialogues(cues, "f")
    [turn] = clean_dialogue(Dialogue(turns, Origin("f")), rules=Rules(), counts=Counter()).turns
    assert time.process_time() - begin < 8
    assert (len(dialogue.turns), len(turn.text)) == (40_000, 599_999)


def test_a_cue_that_is_still_shown_is_repeated_however_many_came_after_it():
    cues = [Cue(0.0, 100.0, "First."), *(Cue(1 + 0.01 * n, 1.01 + 0.01 * n, f"Line {n}.") for n in range(500))]
    counts = Counter()
    again = [*cues, Cue(7.0, 8.0, "First."), Cue(7.1, 8.0, "Line 499."), Cue(9.0, 9.5, "Line 1.")]
    [dialogue] = cues_to_dialogues(again, "f", counts=counts)
    assert [turn.text for turn in dialogue.turns[501:]] == ["Line 499.", "Line 1."]
    assert counts["repeated"] == 1


def test_scenes_can_be_left_uncut():
    cues = [said("One."), said("Two.", 100.0)]
    assert len(list(cues_to_dialogues(cues, "f"))) == 2
    assert len(list(cues_to_dialogues(cues, "f", rules=Rules(off=frozenset({"scenes"}))))) == 1


WORDS = st.lists(st.text(st.sampled_from(list("abCD")), min_size=1, max_size=4), min_size=1, max_size=4)


@given(
    st.lists(
        st.tuples(
            WORDS, st.sampled_from(["", ".", "?", "!", "...", ",", "-"]), st.sampled_from(["", "- ", "♪", "[x] "])
        )
    ),
    st.sets(st.sampled_from(sorted(RULES))),
)
def test_no_rule_invents_or_reorders_words(lines, off):
    cues = [said(f"{before}{' '.join(words)}{end}", float(number)) for number, (words, end, before) in enumerate(lines)]
    texts, _ = rule_counts(*cues, off=frozenset(off))
    rest = iter(" ".join(cue.text for cue in cues).split())
    assert all(any(word in other for other in rest) for text in texts for word in text.split())
