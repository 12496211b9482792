"""SubRip, WebVTT and ASS: every cue with a text is read, with what the file says of it; what cannot be read is lost."""

import pytest
from s2sbot_subtitles import Ass, Srt, Vtt

from s2sbot import MARKS, Cue, Lost

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hello.</i>

2
00:01:02,000 --> 01:00:03,004
Two lines,
{\\an8}one cue.
"""
VTT = """WEBVTT - a title

NOTE
A note
- with a dash

STYLE
::cue { color: red }

first one
00:01.000 --> 00:02.500 align:left
<v Mary>Hello.</v>

NOTE not said

2
00:01:02.000 --> 01:00:03.004
Two lines,
one cue.

NOTE
The end
"""
ASS = """[Script Info]
Title: x

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, \
Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, \
MarginV, Encoding
Style: Default,Arial,20,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,2,2,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
TIMES = "00:00:01,000 --> 00:00:02,000"


class Whole:
    """A stream of one text."""

    def __init__(self, text):
        self.data = text.encode()

    def read(self, size=-1):
        return self.data


def read(kind, text):
    return list(kind().read(Whole(text), "x"))


def event(text, style="Default", *, kind="Dialogue", name="", effect=""):
    return f"{ASS}{kind}: 0,0:00:01.00,0:00:02.50,{style},{name},0,0,0,{effect},{text}\n"


def test_srt():
    assert read(Srt, SRT) == [Cue(1.0, 2.5, "Hello."), Cue(62.0, 3603.004, "Two lines,\none cue.")]


@pytest.mark.parametrize(
    ("times", "start", "end"),
    [
        ("00:00:01 --> 00:00:02", 1.0, 2.0),
        ("00:01,5 --> 00:02.25", 1.5, 2.25),
        ("00:00:01:500 --> 00:00:02;5", 1.5, 2.5),
        ("0:0:1,04 --> 0:0:2,1234", 1.04, 2.123),
        ("-00:00:01,500 --> 00:00:02,000", -1.5, 2.0),
        ("-0:00:04,567 --> -0:00:03,456", -4.567, -3.456),
        ("100:00:00,000 --> 100:00:01,0000", 360000.0, 360001.0),
        ("00:00:013,567 --> 00:00:14,901", 13.567, 14.901),
        ("00:00:09,000 --> 00:00:08,000", 9.0, 9.0),
        ("  00:00:01,000-->00:00:02,000  X1:1 X2:22 Y1:333 Y2:4", 1.0, 2.0),
        ("\t00:00:01,000\t-->\t00:00:02,000\t", 1.0, 2.0),
        ("00: 00: 01, 000 --> 00: 00 :02,500", 1.0, 2.5),
        ("7 00:00:01,000 --> 00:00:02,000", 1.0, 2.0),
        ("٠٠:٠٠:٠١,٠٠٠ --> ٠٠:٠٠:٠٢,٥٠٠", 1.0, 2.5),
    ],
)
def test_odd_times(times, start, end):
    assert read(Srt, f"00:00:00,000 --> 00:00:00,500\nHo.\n\n{times}\nHi.\n")[1:] == [Cue(start, end, "Hi.")]


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        (
            f"{TIMES}\nOne.\n\nStill one.\n\n7\n00:00:03,000 --> 00:00:04,000\n42\n\n8\n",
            ["One.\n\nStill one.", "42"],
        ),
        (f"{TIMES}\nHow old?\n42\n", ["How old?\n42"]),
        (f"{TIMES}\nHow old?\n\n42\n", ["How old?\n\n42"]),
        (f"1\n{TIMES}\nHow old?\n42\n\n2\n{TIMES}\n43\n", ["How old?\n42", "43"]),
        (f"1\n{TIMES}\n\n2\n00:00:02,000 --> 00:00:03,000\nHi.\n", ["Hi."]),
        (f"1\n{TIMES}\n2\n{TIMES}\nHi.\n3\n{TIMES}\n{TIMES}\nHo.\n", ["Hi.", "Ho."]),
        (f"{TIMES}\nHo --> ho.\n\n5 --> 6\n-->\n", ["Ho --> ho.\n\n5 --> 6\n-->"]),
        (f"{TIMES} Beside the times.\nBelow.\n", ["Beside the times.\nBelow."]),
        (f"1\n{TIMES}\nOne\n\n\ufeff1\n{TIMES}\nTwo\n1\n{TIMES}\nThree", ["One", "Two", "Three"]),
        (f"1\n{TIMES}\n<font color='#fff'>a &amp; b</font>&nbsp;\n<b></b>\n\n2\n{TIMES}\n<i> </i>\n", ["a & b"]),
        (f"1\n{TIMES}\n2001\n\n2\n{TIMES}\n-\n", ["2001", "-"]),
    ],
)
def test_odd_subrip(text, texts):
    assert [cue.text for cue in read(Srt, text)] == texts


SAID = ["Good evening.", "2", "Who is\nthere?", "- Me.\n- Oh.", "7", "7", "42", "One\nor two.", "10"]


@pytest.mark.parametrize("sign", ["{}", "#{}", "{}.", " {} "])
@pytest.mark.parametrize("first", [0, 1, 2, 95])
@pytest.mark.parametrize("form", ["{}\n{}\n{}\n\n", "{}\n\n{}\n{}\n\n", "{}\n \n{}\n{}\n", "{}\n\n{}\n\n{}\n\n"])
def test_numbers_apart_from_the_times_are_not_said(form, first, sign):
    text = "".join(form.format(sign.format(n), TIMES, words) for n, words in enumerate(SAID, first))
    assert [cue.text for cue in read(Srt, text)] == SAID


def test_subrip_with_a_blank_line_below_every_line():
    text = "".join(f"{n}\n{TIMES}\n{words}\n\n" for n, words in enumerate(SAID, 1))
    for blank in ("\n", "\n\t\n"):
        cues = read(Srt, text.replace("\n", f"\n{blank}"))
        assert [[line for line in cue.text.split("\n") if line.strip()] for cue in cues] == [
            words.split("\n") for words in SAID
        ]
    assert [cue.text for cue in read(Srt, "\n\n" + text.replace("\n", "\n\n"))][:2] == SAID[:2]


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        (f"5\n\n{TIMES}\nHi.\n\n9\n\n{TIMES}\n2\n\n9\n\n{TIMES}\nHo.\n", ["Hi.", "2", "Ho."]),  # all numbered so
        (f"5\n\n{TIMES}\nHi.\n9\n\n{TIMES}\nHo.\n", ["Hi.", "Ho."]),
        (f"1\n{TIMES}\nHi.\n\n2\n\n{TIMES}\nHo.\n", ["Hi.", "Ho."]),  # the count goes on
        (f"1\n{TIMES}\n\n2\n\n{TIMES}\nHo.\n", ["Ho."]),
        (f"1\n{TIMES}\nHi.\n\n42\n\n{TIMES}\nHo.\n", ["Hi.\n\n42", "Ho."]),  # said
        (f"1\n{TIMES}\nHow old?\n2\n\n{TIMES}\nHo.\n", ["How old?\n2", "Ho."]),
        (f"1\n{TIMES}\n2\n\n{TIMES}\nHo.\n", ["2", "Ho."]),
        (f"1\n\n{TIMES}\n\nHow old?\n\n2\n\n2\n\n{TIMES}\n\nHo.\n", ["How old?\n\n2", "Ho."]),
        (f"1\n\n{TIMES}\nHi.\n\n2\n{TIMES}\nHo.\n\n42\n\n{TIMES}\nSo.\n", ["Hi.", "Ho.\n\n42", "So."]),
        (f"2024\n\n{TIMES}\nHi.\n\n{TIMES}\nHo.\n\n42\n\n{TIMES}\nSo.\n", ["Hi.", "Ho.\n\n42", "So."]),
        (f"{TIMES}\n\n1\n\n{TIMES}\n\n2\n\n{TIMES}\n\n3\n", ["1", "2", "3"]),
        (
            f"7\n{TIMES}\nHi.\n\n1\n\n{TIMES}\nHo.\n\n2\n\n{TIMES}\nSo.\n\n3\n\n{TIMES}\nNo.\n",
            ["Hi.\n\n1", "Ho.", "So.", "No."],  # the count begins again
        ),
        (f"1\n\n{TIMES}\n\nHi.\n\n2\n\n{TIMES}\n\n42\n", ["Hi.", "42"]),  # the last one
        (f"1\n\n{TIMES}\n\nHi.\n\n2\n\n{TIMES}\n\n3\n", ["Hi.", "3"]),
        (f"1\n\n{TIMES}\n\nHi.\n\n2\n", ["Hi."]),
        (f"1\n{TIMES}\nHow old?\n\n42\n", ["How old?\n\n42"]),
        (f"#1\n{TIMES}\nHi.\n#3\n{TIMES}\nHo.\n{TIMES}\nSo.\n", ["Hi.\n#3", "Ho.", "So."]),  # not all
        (f"{TIMES}\n2.\n\n{TIMES}\n#3\n{TIMES}\nSo.\n", ["2.", "#3", "So."]),
        (f"1\n{TIMES}\n2.\n\n2\n{TIMES}\n#3\n\n3\n{TIMES}\nSo.\n", ["2.", "#3", "So."]),
    ],
)
def test_a_number_apart_from_the_times_is_said_unless_it_goes_on_with_the_count(text, texts):
    assert [cue.text for cue in read(Srt, text) if isinstance(cue, Cue)] == texts


def test_what_subrip_with_blank_lines_loses():
    text = (
        f"1\n\n{TIMES}\n\nHi.\n\n2\n\nNo times.\n\n3\n\n00:00:xx,000 --> 00:00:04,000\n\nlost\n\n4\n\n{TIMES}\n\nHo.\n"
    )
    assert read(Srt, text) == [
        Cue(1.0, 2.0, "Hi."),
        Lost("a cue without times", 7),
        Lost("times that cannot be read", 13),
        Cue(1.0, 2.0, "Ho."),
    ]


@pytest.mark.timeout(10)
def test_numbers_and_blank_lines_take_no_time():
    for text in (
        "2\n\n" * 10**5,
        "\n" * 10**6,
        "#2\n" + " \n" * 10**5,
        "1.\n" * 10**5,
        " " * 10**6,
        "2." + " " * 10**6,
    ):
        for start in ("1\n", "#1\n", ""):
            assert read(Srt, f"{start}{TIMES}\nHi.\n{text}\n{text}\n{TIMES}\nHo.\n")[-1] == Cue(1.0, 2.0, "Ho.")
            assert read(Srt, f"{start}{text}\n{TIMES}\nHi.\n2\n\n{TIMES}\nHo.\n")[-1] == Cue(1.0, 2.0, "Ho.")


def test_what_subrip_loses():
    text = f"A film\n\n1\n{TIMES}\nHi.\n\n2\nNo times.\n\n3\n00:00:xx,000 --> 00:00:04,000\nlost\n\n4\n{TIMES}\nHo.\n"
    text += "\n5\n00:00:05,000 -->\nlost too\n\n6\n --> 00:00:06,000\nlost too\n"
    assert read(Srt, text) == [
        Lost("text before the first times", 1),
        Cue(1.0, 2.0, "Hi."),
        Lost("a cue without times", 7),
        Lost("times that cannot be read", 11),
        Cue(1.0, 2.0, "Ho."),
        Lost("times that cannot be read", 19),
        Lost("times that cannot be read", 23),
    ]


def test_subrip_that_was_ass_keeps_its_marks():
    text = f"{TIMES}\n{{\\pos(1,2)}}Bakery\n\n{TIMES}\n{{\\an8}}Hi.\n\n{TIMES}\n{{\\p1}}m 0 0 l 1 1{{\\p0}}\n"
    assert [(cue.text, cue.mark) for cue in read(Srt, text)] == [
        ("Bakery", "positioned"),
        ("Hi.", None),
        ("m 0 0 l 1 1", "drawing"),
    ]


def test_vtt():
    assert read(Vtt, VTT) == [Cue(1.0, 2.5, "Hello.", "Mary"), Cue(62.0, 3603.004, "Two lines,\none cue.")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<v.loud.top  Ann Lee>Hi.", [("Ann Lee", "Hi.")]),
        ("<v Ann>Hi.</v>\n<v Bob>Ho.</v>", [("Ann", "Hi."), ("Bob", "Ho.")]),
        ("<v Ann>Hi.\n<v Ann>And ho.", [("Ann", "Hi.\nAnd ho.")]),
        ("So <v Ann>hi</v> there.\n<v Bob>Ho", [("Ann", "So hi there."), ("Bob", "Ho")]),
        ("- Who?\n<v Ann>Me.</v>\nOh.", [(None, "- Who?"), ("Ann", "Me."), (None, "Oh.")]),
        ("<v>Hi.</v>", [(None, "Hi.")]),
        ("<v >Hi.</v>", [(None, "Hi.")]),
        ("<v A &amp; B>Hi.", [("A & B", "Hi.")]),
        ("<c.yellow>a</c> <00:00:01.000><lang en>b</lang> &lt;i&gt;", [(None, "a b <i>")]),
        ("<ruby>漢<rt>kan</rt>字<rt>ji</rt></ruby>", [(None, "漢字")]),
        ("<v Ann></v>", []),
    ],
)
def test_voices(text, said):
    cues = read(Vtt, f"WEBVTT\n\n00:01.000 --> 00:02.000\n{text}\n")
    assert [(cue.speaker, cue.text) for cue in cues] == said
    assert {(cue.start, cue.end) for cue in cues} <= {(1.0, 2.0)}


def test_blank_lines_in_webvtt():
    text = (
        "WEBVTT\n\n00:01.000 --> 00:02.000\n\nBelow a blank.\n\nAnd another.\n\nid\n00:03.000 --> 00:04.000\nHi.\n\n"
        "Outside.\n\nNOTE x\n\n00:05.000 --> 00:06.000\nNo blank.\n7\n00:07.000 --> 00:0x.000\nlost\n\n"
        "00:08 --> 00:09.5\n 8\n"
    )
    assert read(Vtt, text) == [
        Cue(1.0, 2.0, "Below a blank.\n\nAnd another."),
        Cue(3.0, 4.0, "Hi."),
        Lost("text outside of a cue", 13),
        Cue(5.0, 6.0, "No blank."),
        Lost("times that cannot be read", 20),
        Cue(8.0, 9.5, "8"),
    ]


def test_segments_of_a_stream_are_placed_by_their_timestamp_maps():
    segment = "WEBVTT\nX-TIMESTAMP-MAP={}\n\n00:01.000 --> 00:02.000\nHi.\n\n"
    maps = [
        "LOCAL:00:00:00.000,MPEGTS:900000",
        "MPEGTS:1800000,LOCAL:00:00:00.000",
        "LOCAL:00:00:10.000,MPEGTS:1800000",
    ]
    cues = read(Vtt, "".join(map(segment.format, maps)))
    assert [(cue.start, cue.end) for cue in cues] == [(1.0, 2.0), (11.0, 12.0), (1.0, 2.0)]


def test_ass_with_its_speaker():
    assert read(Ass, event("Hello,\\N{\\i1}you.{\\i0}", name=" Ann ")) == [
        Cue(1.0, 2.5, "Hello,\nyou.", "Ann", "Default")
    ]


@pytest.mark.parametrize(
    ("text", "said", "mark"),
    [
        (event("A comment.", kind="Comment"), "A comment.", "comment"),
        (event("{\\pos(1,2)}x", kind="Comment", effect="karaoke"), "x", "comment"),
        (event("{\\pos(10,20)}A sign."), "A sign.", "positioned"),
        (event("{\\move(1,2,3,4)}A sign."), "A sign.", "positioned"),
        (event("{\\org (1,2)}A sign."), "A sign.", "positioned"),
        (event("{\\an8\\clip(1,2,3,4)}A sign."), "A sign.", "positioned"),
        (event("{\\iclip(1,2,3,4)}A sign."), "A sign.", "positioned"),
        (event("{\\fscx0}hidden"), "hidden", "positioned"),
        (event("Credits", effect="Banner;20"), "Credits", "positioned"),
        (event("{\\pos(1,2)\\p1}m 0 0 l 10 10{\\p0}"), "m 0 0 l 10 10", "drawing"),
        (event("{\\p4}m 0 0", effect="fx"), "m 0 0", "drawing"),
        (event("{\\p1}m 0 0{\\p0} Words"), "Words", None),
        (event("{\\k20}ka{\\kf30}ra"), "kara", "karaoke"),
        (event("{\\K20}ka{\\pos(1,2)}"), "ka", "karaoke"),
        (event("ka", effect="karaoke"), "ka", "karaoke"),
        (event("fx", effect="fx"), "fx", "karaoke"),
        (event("ka", effect="template syl"), "ka", "karaoke"),
        (event("Bakery", style="Signs"), "Bakery", None),
        (event("{note}Hi{\\i1} {there}you"), "Hi you", None),
        (event("{\\fscx100\\fscy05\\fs10\\pbo10\\b1\\an8\\kern}Hi"), "Hi", None),
        (event("5 < 6, {7"), "5 < 6, 7", None),
    ],
)
def test_marks(text, said, mark):
    [cue] = read(Ass, text)
    assert (cue.text, cue.mark) == (said, mark)
    assert mark is None or mark in MARKS


@pytest.mark.parametrize("text", [event("{\\i1}{\\i0}"), event("   "), event("{a comment}", kind="Comment"), ASS])
def test_what_shows_no_text_is_no_cue(text):
    assert read(Ass, text) == []


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        (
            "[Events]\nFormat: Text, End, Start\nDialogue: Hi,0:00:02.00,0:00:01.00\n",
            [Cue(1.0, 2.0, "Hi")],
        ),
        (
            "[events]\n ; x\n!: y\nDialogue: 0,0:00:01.00,0:00:02.00,*Default,NTP,0,0,0,,A, b, c\nPicture: 1,2\n",
            [Cue(1.0, 2.0, "A, b, c", None, "Default")],
        ),
        (
            "[Script Info]\n\n[V4 Styles]\n\n[Events]\nFormat: Marked, Start, End, Style, Actor, Text\n"
            "Dialogue: Marked=0,0:00:01.00,0:00:02.00,S, Ann ,Hi\n",
            [Cue(1.0, 2.0, "Hi", "Ann", "S")],
        ),
        (
            "[Events]\nFormat: Start, End, Text\nDialogue: 0:00:04:56, -0:00:01.500 ,Back\n"
            "Dialogue: 100:00:00.00,100:00:01.123,Late\n[Fonts]\nfontname: a.ttf\n!!!:[!!:,!!\n[Events]\n"
            "Dialogue: 0:00:01.00,0:00:02.00,On\n",
            [Cue(4.56, 4.56, "Back"), Cue(360000.0, 360001.123, "Late"), Cue(1.0, 2.0, "On")],
        ),
    ],
)
def test_odd_ass(text, cues):
    assert read(Ass, text) == cues


def test_one_bad_event_is_lost_and_not_the_file():
    text = (
        f"{ASS}Dialogue: 0,zzz,0:00:02.00,Default,,0,0,0,,Hi\nDialogue: 0,0:00:01.00,Default,Hi\nand more\n[sighs]\n"
        "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,Ho\nFormat: Start, Text\nDialogue: 0:00:01.00,Hi\n"
    )
    assert read(Ass, text) == [
        Lost("a time that cannot be read", 10),
        Lost("an event of too few fields", 11),
        Lost("a line that is no event", 12),
        Lost("a line that is no event", 13),
        Cue(1.0, 2.0, "Ho", None, "Default"),
        Lost("an event of too few fields", 16),
    ]


@pytest.mark.timeout(10)
def test_fonts_of_some_megabytes_are_passed_over():
    font = "[Fonts]\nfontname: a_0.ttf\n" + ("!" * 79 + "[\n") * 200_000
    assert read(Ass, ASS.replace("[Events]", f"{font}\n[Events]") + event("Hi.").splitlines()[-1]) == [
        Cue(1.0, 2.5, "Hi.", None, "Default")
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (SRT, Srt),
        (VTT, Vtt),
        (event("Hello --> you."), Ass),
        ("\n\n  1\n00:00:01 --> 00:00:02\nHi.\n", Srt),
        (event(TIMES), Ass),
        (VTT.replace("WEBVTT", "\ufeffWEBVTT"), Vtt),
    ],
)
def test_content_tells_the_formats_apart(text, kind):
    scores = {other: other().sniff(text.encode(), "x.srt") for other in (Srt, Vtt, Ass)}
    assert max(scores, key=scores.__getitem__) is kind
    assert sorted(scores.values())[-1] > sorted(scores.values())[-2]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32", "cp1251", "shift-jis"])
def test_sniffing_decodes_nothing(encoding, monkeypatch):
    monkeypatch.setattr("s2sbot.text.subtitles.decode_text", None)
    data = ("1\n00:00:01,000 --> 00:00:02,000\n" + "да" * 40).encode(encoding)
    assert all(Srt().sniff(data[:cut], "x") > 0.9 for cut in range(len(data) // 2 + 60, len(data)))
