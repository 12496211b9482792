"""Every rule by which cues become dialogues, and dialogues exchanges, on a case as small as can be."""

from hypothesis import given
from hypothesis import strategies as st

from s2sbot import Cue, Dialogue, Exchange, Origin, Turn, clean_line
from s2sbot.text import Rules, cues_to_dialogues, dialogue_to_exchanges
from s2sbot.text.pairing import previous_exchanges


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


def test_a_sentence_does_not_go_on_after_two_seconds():
    assert turns((0, 1, "When we"), (3, 4, "came home")) == [["When we came home"]]
    assert turns((0, 1, "When we"), (3.1, 4, "came home")) == [["When we", "came home"]]


def test_a_turn_takes_in_no_whole_sentence_beyond_240_characters():
    half = "a" * 117 + "…"
    assert turns((0, 1, half), (1, 2, "B" * 122)) == [[f"{half} {'B' * 122}"]]
    assert turns((0, 1, half), (1, 2, "B" * 123)) == [[half, "B" * 123]]
    assert turns((0, 1, "A" * 120 + ".", "Ann"), (1, 2, "B" * 120 + ".", "Ann")) == [["A" * 120 + ".", "B" * 120 + "."]]


def test_a_sentence_may_be_longer_than_a_turn_of_whole_ones():
    part = "and so on " * 30
    assert turns((0, 1, f"So {part}"), (1, 2, part)) == [[f"So {part}{part}".strip()]]


def test_a_long_turn_that_goes_on_is_cut_where_its_last_sentence_begins():
    first, second = "One sentence " + "which is long " * 8 + "ends.", "And another"
    assert turns((0, 1, f"{first} {second}"), (1, 2, "goes on.")) == [[first, f"{second} goes on."]]
    short = "It ends. And another"
    assert turns((0, 1, short), (1, 2, "goes on.")) == [[f"{short} goes on."]]


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
    ) == [["Hi .", "Ho."]]
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
