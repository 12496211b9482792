"""Of a cue only what is said stays."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2sbot import clean_line, split_speakers, strip_markup
from s2sbot.text.cleaning import is_credit, one_line, recurring_labels, split_labels, take_label
from s2sbot.text.quality import plain

LINES = st.text(st.sampled_from(list("ab AB5.!?:-–—\n\t[]()♪>,\"'”éЯ\u00ad{}")))


def is_subsequence(short, long):
    rest = iter(long)
    return all(char in rest for char in short)


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (r"{\an8\i1}Look{\i0} up", "Look up"),
        (r"one\Ntwo\nthree\hfour", "one\ntwo\nthree four"),
        ("<i>Hi</i> <font color='#fff'>there</font><br/>you", "Hi there\nyou"),
        ("<00:01:02.500>word <v Mary>by</v> word", "word by word"),
        ("Tom &amp; Jerry &lt;3", "Tom & Jerry <3"),
        ("I <3 you, 1 < 2 > 0", "I <3 you, 1 < 2 > 0"),
        (r"never closed{\i1", r"never closed\i1"),
        ("stray { and } braces", "stray  braces"),
        ("outer {a {b} c", "outer  c"),
        ("no more time,{", "no more time,"),
    ],
)
def test_strip_markup(raw, plain):
    assert strip_markup(raw) == plain


@given(st.text("{}\\N<>/ib &amp;x\n"))
def test_no_brace_survives_strip_markup(text):
    assert not set(strip_markup(text)) & set("{}")


def test_many_open_braces_take_no_time():
    assert strip_markup("x" + "{" * 200_000) == "x"


# by a step back at each line, as they once were, the next two would take minutes


def test_many_lines_of_signs_take_no_time():
    assert not is_credit(": " + ".\n" * 50_000)
    assert is_credit(f"\n{'.' * 40}Subtitles by Ann")


def test_many_blank_lines_take_no_time():
    assert split_speakers("\n" * 200_000 + "x")[0].strip() == "x"
    assert split_speakers("Hi.\n\n \t- Ho.") == ["Hi.\n", "Ho."]


def test_many_lines_of_one_speaker_take_no_time():
    assert len(split_speakers("- Hi.\n" + "x\n" * 2_000_000)[0]) == 4_000_004
    assert strip_markup("x}" + "{" * 200_000) == "x"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("[door slams] Who is there?", "Who is there?"),
        ("(sighs) Well (coughs) then.", "Well then."),
        ("【音楽】 Hello （笑）", "Hello"),
        ("[music [very loud]] Hi.", "Hi."),
        ("(laughs (again) and again)", ""),
        ("JOHN: Hello.", "Hello."),
        ("MAN #2: Hello.", "Hello."),
        ("MRS. O'NEIL: Hello.", "Hello."),
        ("MÜLLER: Guten Tag.", "Guten Tag."),
        ("ÉLISE :", "ÉLISE :"),
        ("ИВАН: Привет.", "Привет."),
        ("John: Hello.", "John: Hello."),
        ("Listen: run!", "Listen: run!"),
        ("At 12:30: tea.", "At 12:30: tea."),
        (">> Go on.", "Go on."),
        (">> JOHN: Go on.", "Go on."),
        ("♪ La la la ♪", ""),
        ("Sing it: ♫ la", ""),
        ("...", ""),
        ("?!", ""),
        ("  two \n lines\t here ", "two lines here"),
        ("soft\u00adhyphen and \u200fmark\ufeff", "softhyphen and mark"),
        ("\U0001f468\u200d\U0001f469 we", "\U0001f468\u200d\U0001f469 we"),
        ("", ""),
    ],
)
def test_clean_line(raw, said):
    assert clean_line(raw) == said


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        ("- Hi.\n- Hello.", ["Hi.", "Hello."]),
        ("- Hi. - Hello.", ["Hi.", "Hello."]),
        ("Hi.\n- Hello.", ["Hi.", "Hello."]),
        ("– Hi!\n— Hello there,\nfriend.", ["Hi!", "Hello there,\nfriend."]),
        ("-Hi?\n-Hello.", ["Hi?", "Hello."]),
        ("I went - as you know - home.", ["I went - as you know - home."]),
        ("Stop. - No.", ["Stop. - No."]),
        ("- I went - as you know - home.", ["I went - as you know - home."]),
        ("- It fell. -5 degrees.", ["It fell. -5 degrees."]),
        ("-- and so on", ["-- and so on"]),
        ("a well-known man", ["a well-known man"]),
        ("-5 degrees.", ["-5 degrees."]),
        ("-3 days? -Yes, three.", ["3 days?", "Yes, three."]),
        ("-5 minutes or so.", ["5 minutes or so."]),
        ("-5 degrees\nor so.", ["-5 degrees\nor so."]),
        ("-5 degrees?\n-6.", ["5 degrees?", "6."]),
        ("-", []),
        ("", []),
        (" \n ", []),
    ],
)
def test_split_speakers(raw, parts):
    assert split_speakers(raw) == parts


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        ("ANN: Hi.\nBEN: Ho.", ["ANN: Hi.", "BEN: Ho."]),
        ("ANN: Hi,\nyou two.\nBEN: Ho.", ["ANN: Hi,\nyou two.", "BEN: Ho."]),
        ("Anna: Hi.\nWell: Ho.", ["Anna: Hi.\nWell: Ho."]),
        ("and so you get-- PROFESSOR: Yes.", ["and so you get-- ", "PROFESSOR: Yes."]),
        ("Is it? Anna: Yes. BEN: No.", ["Is it? ", "Anna: Yes. ", "BEN: No."]),
        ("Remember this.\nNOTE: do not touch it.", ["Remember this.\nNOTE: do not touch it."]),
        ("We tuned in. BBC: the king is dead.", ["We tuned in. BBC: the king is dead."]),
        ("at 10:45 PM: that was it", ["at 10:45 PM: that was it"]),
        ("Hi.", ["Hi."]),
        ("", [""]),
    ],
)
def test_split_labels(raw, parts):
    assert split_labels(raw, {"Anna"}) == parts


@given(st.one_of(LINES, st.text(st.sampled_from(list("AN: .\nab-")))))
def test_split_labels_loses_no_letter_and_is_as_good_as_cut_already(text):
    parts = split_labels(text, {"Ab"})
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert [each for part in parts for each in split_labels(part, {"Ab"})] == parts


@given(st.one_of(LINES, st.text()))
def test_clean_line_never_invents_text(text):
    said = clean_line(text)
    assert is_subsequence(unicodedata.normalize("NFD", "".join(said.split())), unicodedata.normalize("NFD", text))
    assert said == " ".join(said.split())


@given(st.one_of(LINES, st.text()))
def test_split_speakers_never_invents_nor_loses_a_word(text):
    parts = split_speakers(text)
    assert is_subsequence("".join("".join(parts).split()), "".join(text.split()))
    assert [char for part in parts for char in part if char.isalnum()] == [char for char in text if char.isalnum()]


@pytest.mark.parametrize(
    ("text", "credit"),
    [
        ("Subtitles by Ann", True),
        ("Synced and corrected by Ben", True),
        ("www.example.org", True),
        ("Get more at https://example.org/films, all of you who like films", True),
        ("Visit example.com!", True),
        ("Traduction : Jean", True),
        ("字幕组 出品", True),
        ("If you go to example.org slash films you will find it", False),
        ("I translated the letter by hand.", False),
        ("Deutsche Untertitel von Max", True),
        ("Subtítulos de Juan", True),
        ("timing: xeno", True),
        ("Subtítulos por akallabeth", True),
        ("Titulky: vasek.", True),
        ("Translation: you're fired.", False),
        ("Corrections: none.", False),
        ("C'est une adaptation de Hamlet.", False),
        ("La traducción de la Biblia.", False),
        ("est juste une traduction de la définition", False),
        ("He lived by the sea.", False),
        ("Stop it.No way.", False),
        ("", False),
    ],
)
def test_credits_and_advertising(text, credit):
    assert is_credit(text) is credit


def test_many_credits_in_a_cue_or_signs_on_a_letter_take_no_time():
    start = time.process_time()
    is_credit("untertitel von x " * 20_000)
    one_line("a" + "\u0301\u0323" * 200_000)
    plain("a" + "\u0301\u0323" * 200_000)
    assert time.process_time() - start < 1


def test_names_before_colons_count_when_they_recur():
    assert recurring_labels(["Anna: Hi.", "- Anna: Ho.", "Anna: Hu.", "Ben: Ha."]) == {"Anna"}
    assert recurring_labels(["Anna: hi."] * 3 + ["and: Hi."] * 3 + ["Anna: 5."] * 3) == frozenset()
    assert recurring_labels(["教授：你好"] * 3) == {"教授"}
    listen = ["Listen: I love you."] * 3
    assert recurring_labels([*listen, *["Yes."] * 297]) == {"Listen"}
    assert recurring_labels([*listen, *["Yes."] * 298]) == frozenset()
    assert recurring_labels(["Anna: Hi.\nBen: Ho."] * 3) == {"Anna", "Ben"}
    assert take_label("教授：你好", {"教授"}) == ("你好", "教授")
    assert take_label("教授：你好") == ("教授：你好", None)
