"""The two raw files of Cornell Movie-Dialogs become conversations, and what is missing in them is named."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s2sbot_cornell import LONGEST_LINE, MOST_LOST, Cornell

from s2sbot import Dialogue, Lost, Origin, PairReader, Turn
from s2sbot.testing import check_reader

DATA = Path(__file__).parents[3] / "shared" / "data" / "cornell"

CONVERSATIONS = b"""u0 +++$+++ u2 +++$+++ m0 +++$+++ ['L1', 'L2', 'L3']
u3 +++$+++ u4 +++$+++ m7 +++$+++ ['L9', 'L10']
"""
LINES = b"""L10 +++$+++ u4 +++$+++ m7 +++$+++ REX +++$+++ Sit <u>down</u> &amp; wait.
L9 +++$+++ u3 +++$+++ m7 +++$+++ \xc9LISE +++$+++ D\xe9j\xe0 vu?\tYes \x96 no.
L3 +++$+++ u0 +++$+++ m0 +++$+++ BIANCA +++$+++ No  spaces   left.
L2 +++$+++ u2 +++$+++ m0 +++$+++ CAMERON +++$+++ They do to!
L1 +++$+++ u0 +++$+++ m0 +++$+++ BIANCA +++$+++ They do not!
"""


def read(conversations=CONVERSATIONS, lines=LINES):
    return list(Cornell().read_pair(io.BytesIO(conversations), io.BytesIO(lines), "cornell"))


def conversation(ids, movie="m0"):
    return f"u0 +++$+++ u2 +++$+++ {movie} +++$+++ [{', '.join(map(repr, ids))}]\n".encode()


def line(key, text, speaker="ANN"):
    return f"{key} +++$+++ u0 +++$+++ m0 +++$+++ {speaker} +++$+++ {text}\n".encode()


def test_a_dialogue_a_conversation():
    assert read() == [
        Dialogue(
            (
                Turn("They do not!", "BIANCA"),
                Turn("They do to!", "CAMERON"),
                Turn("No spaces left.", "BIANCA"),
            ),
            Origin("cornell", line=1),
            "cornell m0",
        ),
        Dialogue(
            (Turn("Déjà vu? Yes – no.", "ÉLISE"), Turn("Sit down & wait.", "REX")),
            Origin("cornell", line=2),
            "cornell m7",
        ),
    ]


def test_utf_8_gives_the_same():
    assert read(CONVERSATIONS, LINES.decode("cp1252").encode()) == read()
    assert read(CONVERSATIONS.replace(b"\n", b"\r\n"), LINES.replace(b"\n", b"\r\n")) == read()


@pytest.mark.parametrize("text", ["", " ", "\t", "<u></u>", "<b> </b>"])
def test_a_line_without_text_cuts_the_conversation(text):
    lines = line("L1", "One.") + line("L2", "Two.") + line("L3", text) + line("L4", "Four.") + line("L5", "Five.")
    lost, first, second = read(conversation(["L1", "L2", "L3", "L4", "L5"]), lines)
    assert lost == Lost("line L3 has no text", 1)
    assert [turn.text for turn in first.turns] == ["One.", "Two."]
    assert [turn.text for turn in second.turns] == ["Four.", "Five."]
    assert first.group == second.group == "cornell m0"


def test_the_separator_may_end_a_line_without_its_space():
    lines = line("L1", "One.") + b"L2 +++$+++ u0 +++$+++ m0 +++$+++ KAT +++$+++\n"
    assert Lost("line L2 has no text", 1) in read(conversation(["L1", "L2"]), lines)


def test_a_dangling_id_is_lost_and_the_rest_is_read():
    items = read(conversation(["L7", "L1", "L2"]) + conversation(["L8"]), LINES)
    assert [item for item in items if isinstance(item, Lost)] == [
        Lost("line L7 is missing", 1),
        Lost("line L8 is missing", 2),
    ]
    assert [[turn.text for turn in item.turns] for item in items if isinstance(item, Dialogue)] == [
        ["They do not!", "They do to!"]
    ]


def test_rows_with_other_fields_are_lost():
    items = read(b"\nu0 +++$+++ m0\n" + CONVERSATIONS, b"rubbish\n" + LINES)
    assert [item for item in items if isinstance(item, Lost)] == [
        Lost("movie_lines.txt has 1 fields here, not 5", 1),
        Lost("movie_conversations.txt has 2 fields here, not 4", 2),
    ]
    assert [item.origin.line for item in items if isinstance(item, Dialogue)] == [3, 4]


def test_of_two_lines_with_one_id_the_first_stands():
    items = read(CONVERSATIONS, LINES + line("L1", "Another one."))
    assert items[0] == Lost("movie_lines.txt has a line of this id before", 6)
    assert items[1].turns[0].text == "They do not!"


def test_without_speaker_or_movie():
    [dialogue] = read(conversation(["L1"], movie=""), line("L1", "Hi.", speaker=""))
    assert dialogue == Dialogue((Turn("Hi."),), Origin("cornell", line=1), None)


@pytest.mark.parametrize(
    ("conversations", "lines", "message"),
    [
        (b"", LINES, "no conversation in movie_conversations.txt"),
        (CONVERSATIONS, b"", "no line in movie_lines.txt"),
        (CONVERSATIONS, LINES * 2, "most lines of movie_lines.txt are in it twice"),
        (CONVERSATIONS, line("L77", "Hi."), "no line of any conversation is in movie_lines.txt"),
        (LINES, CONVERSATIONS, "no line in movie_lines.txt"),
        (CONVERSATIONS.decode().encode("utf-16"), LINES, "binary data"),
        (CONVERSATIONS, bytes(range(256)), "binary data"),
        (CONVERSATIONS, b"x" * (LONGEST_LINE + 1), "is longer than"),
        (CONVERSATIONS, b"x\n" * (MOST_LOST + 2), "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_a_value_error(conversations, lines, message):
    with pytest.raises(ValueError, match=message):
        read(conversations, lines)


def test_the_corpus_as_it_was_published():
    if not DATA.is_dir():
        pytest.skip(f"no {DATA}: the raw corpus is not here")
    with (DATA / "movie_conversations.txt").open("rb") as source, (DATA / "movie_lines.txt").open("rb") as target:
        items = list(Cornell().read_pair(source, target, "cornell"))
    dialogues = [item for item in items if isinstance(item, Dialogue)]
    assert [item for item in items if isinstance(item, Lost)] == [Lost("line L474 has no text", 133)]
    assert len(dialogues) == 472
    assert sum(len(dialogue.turns) - 1 for dialogue in dialogues) == 1142 - 1  # L474 would answer L473
    assert {dialogue.group for dialogue in dialogues} == {"cornell m0", "cornell m1", "cornell m2"}
    assert all(turn.speaker for dialogue in dialogues for turn in dialogue.turns)


SAID = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="<>&{}\\+$"), min_size=1)


@given(st.lists(st.lists(st.tuples(SAID, SAID), min_size=1, max_size=5), min_size=1, max_size=5))
def test_printed_conversations_are_read_back(films):
    lines = conversations = b""
    for film, turns in enumerate(films):
        keys = [f"L{film}_{number}" for number in range(len(turns))]
        conversations += conversation(keys, movie=f"m{film}")
        for key, (speaker, text) in reversed(list(zip(keys, turns, strict=True))):
            lines += line(key, text, speaker)
    assert [[(turn.speaker, turn.text) for turn in item.turns] for item in read(conversations, lines)] == films


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_rubbish_is_a_value_error_or_lost(first, second):
    for sides in ((first, second), (CONVERSATIONS + first, LINES + second)):
        try:
            items = read(*sides)
        except ValueError:
            continue
        assert all(isinstance(item, Dialogue | Lost) for item in items)


def test_the_contract_of_readers():
    assert isinstance(Cornell(), PairReader)
    assert Cornell.pair_names == ("movie_conversations.txt", "movie_lines.txt")
    check_reader(Cornell, (CONVERSATIONS, LINES), "cornell")


def test_lines_that_are_said_again_and_again_are_refused():
    lines = line("L1", "One. " * 30_000) + line("L2", "Two.")
    assert len(read(conversation(["L1", "L2"]) * 4, lines)) == 4
    with pytest.raises(ValueError, match="more than 4 times"):
        read(conversation(["L1", "L2"]) * 40, lines)
    with pytest.raises(ValueError, match="more than 4 times"):
        read(conversation(["L1"] * 40), lines)


def test_a_conversation_of_no_sensible_length_is_lost():
    lines = b"".join(line(f"L{number}", "x" * (2**20 - 100)) for number in range(1, 7))
    items = read(conversation([f"L{number}" for number in range(1, 7)]) + conversation(["L1", "L2"]), lines)
    assert [type(item) for item in items if not isinstance(item, Lost)] == [Dialogue]
    assert Lost(f"a conversation of more than {4 * 2**20} bytes", 1) in items
