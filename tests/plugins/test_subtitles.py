"""Of every subtitle format only what somebody says becomes a cue."""

import io

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from s2sbot_subtitles import LARGEST_FILE, Subtitles, find_format

from s2sbot import Cue
from s2sbot.testing import check_reader

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
MICRODVD = "{1}{1}25\n{25}{50}{y:i}Hello.\n{75}{100}Two lines,|one cue.\n"


def read(text, name="x"):
    return list(Subtitles().read(io.BytesIO(text if isinstance(text, bytes) else text.encode()), name))


def event(text, style="Default", *, kind="Dialogue", name="", effect=""):
    return f"{ASS}{kind}: 0,0:00:01.00,0:00:02.50,{style},{name},0,0,0,{effect},{text}\n"


@pytest.mark.parametrize("text", [SRT, VTT])
def test_timed_text(text):
    assert read(text) == [Cue(1.0, 2.5, "Hello."), Cue(62.0, 3603.004, "Two lines,\none cue.")]


def test_microdvd_by_its_own_frame_rate_which_nobody_says():
    assert [(cue.start, cue.end, cue.text) for cue in read(MICRODVD)] == [
        (1.0, 2.0, "Hello."),
        (3.0, 4.0, "Two lines,\none cue."),
    ]
    rate_less = read(MICRODVD.partition("\n")[2])
    assert rate_less[0].start == pytest.approx(25 / 23.976, abs=1e-3)
    assert read("{0}{0}30,0\n{60}{90}Hi.\n")[0].start == 2.0


def test_ass_with_its_speaker():
    assert read(event("Hello,\\N{\\i1}you.{\\i0}", name=" Ann ")) == [Cue(1.0, 2.5, "Hello,\nyou.", "Ann", "Default")]


@pytest.mark.parametrize(
    "text",
    [
        event("A comment.", kind="Comment"),
        event("{\\pos(10,20)}A sign."),
        event("{\\move(1,2,3,4)}A sign."),
        event("{\\an8\\clip(1,2,3,4)}A sign."),
        event("{\\p1}m 0 0 l 10 10{\\p0}"),
        event("{\\k20}ka{\\kf30}ra"),
        event("{\\fscx0}hidden"),
        event("Bakery", style="Signs"),
        event("The End", style="Title"),
        event("Ooh", style="OP Romaji"),
        event("Ooh", style="Ending Lyrics"),
        event("Note: x", style="TL Notes"),
        event("ka", effect="karaoke"),
        event("fx", effect="fx"),
        event("{\\i1}{\\i0}"),
        event("   "),
    ],
)
def test_what_nobody_says_is_left_out(text):
    assert read(text) == []


@pytest.mark.parametrize("style", ["Default", "Main", "Subtitle", "Subtitles-Top", "Edward", "Flashback", "Thoughts"])
def test_styles_of_what_is_said(style):
    assert [cue.text for cue in read(event("Hello.", style=style))] == ["Hello."]


@pytest.mark.parametrize("size", ["\\fscx100", "\\fscy05", "\\fs10", "\\pbo10", "\\b1", "\\an8"])
def test_tags_that_place_nothing(size):
    assert [cue.text for cue in read(event(f"{{{size}}}Hello."))] == ["Hello."]


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("00:00:01 --> 00:00:02\nHi.\n", [(1.0, 2.0, "Hi.")]),
        ("00:01,5 --> 00:02.25\nHi.\n", [(1.5, 2.25, "Hi.")]),
        ("-00:00:01,500 --> 00:00:02,000\nHi.\n", [(-1.5, 2.0, "Hi.")]),
        ("100:00:00,000 --> 100:00:01,0000\nHi.\n", [(360000.0, 360001.0, "Hi.")]),
        ("  00:00:01,000-->00:00:02,000  X1:1 Y1:2\nHi.\n", [(1.0, 2.0, "Hi.")]),
        (
            "00:00:01,000 --> 00:00:02,000\nOne.\n\nStill one.\n\n7\n00:00:03,000 --> 00:00:04,000\n42\n\n8\n",
            [(1.0, 2.0, "One.\n\nStill one."), (3.0, 4.0, "42")],
        ),
        ("00:00:01,000 --> 00:00:02,000\nHow old?\n42\n", [(1.0, 2.0, "How old?\n42")]),
        ("1\n00:00:01,000 --> 00:00:02,000\n\n2\n00:00:02,000 --> 00:00:03,000\nHi.\n", [(2.0, 3.0, "Hi.")]),
        (
            "00:00:01,000 --> 00:00:02,000\nHi.\n\n2\n00:00:003,000 --> 00:00:04,000\nlost\n\n"
            "3\n00:00:05,000 --> 00:00:06,000\nHo --> ho.\n",
            [(1.0, 2.0, "Hi."), (5.0, 6.0, "Ho --> ho.")],
        ),
    ],
)
def test_odd_subrip(text, cues):
    assert [(cue.start, cue.end, cue.text) for cue in read(text)] == cues


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
@pytest.mark.parametrize("text", [SRT, VTT, event("Hello."), MICRODVD], ids=["srt", "vtt", "ass", "microdvd"])
def test_every_encoding_and_line_end_is_known_by_content(text, encoding, end):
    data = text.replace("\n", end).encode(encoding)
    assert Subtitles().sniff(data, "no-name") > 0.9
    assert read(data) == read(text) != []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
@pytest.mark.parametrize("cut", range(60, 72))
def test_a_head_that_ends_inside_a_character_is_known(encoding, cut):
    data = ("1\n00:00:01,000 --> 00:00:02,000\n" + "日🚢" * 40).encode(encoding)
    assert Subtitles().sniff(data[: cut + len(data) // 2], "x") > 0.9


@pytest.mark.parametrize("text", ["", "Only words.\n", "a\tb\nc\td\n", "[1] A footnote\n", '{"start": 1}', "12:30 tea"])
def test_what_is_no_subtitle_file(text):
    assert find_format(text) is None
    assert Subtitles().sniff(text.encode(), "x.srt") == 0
    with pytest.raises(ValueError, match="no subtitle format"):
        read(text)


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)),
        f"{ASS}Dialogue: 0,zzz,0:00:02.00,Default,,0,0,0,,Hi\n".encode(),
        b"{1}{1}0\n{10}{20}Hi.\n",
    ],
)
def test_damaged_files_are_value_errors(data):
    with pytest.raises(ValueError):
        read(data)


def test_no_subtitle_file_is_that_large():
    class Endless(io.RawIOBase):
        def read(self, size=-1):
            return b"\n" * size

    with pytest.raises(ValueError, match=f"larger than {LARGEST_FILE} bytes"):
        list(Subtitles().read(Endless(), "x"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["\n" * 300_000, " " * 300_000, "{" * 300_000, SRT + "\n" * 300_000 + "1", "<" * 9999])
def test_hostile_text_takes_no_time(text):
    Subtitles().sniff(text.encode(), "x")
    if find_format(text):
        read(text)


SAID = st.text(st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="\\{}<>&")).map(
    lambda text: " ".join(text.split())
)
TEXTS = st.lists(SAID.filter(lambda text: text and "-->" not in text), min_size=1, max_size=3).map("\n".join)


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**5), TEXTS), min_size=1),
    st.sampled_from(["srt", "vtt"]),
)
def test_printed_cues_are_read_back(cues, kind):
    printed = pysubs2.SSAFile()
    for start, length, text in sorted(cues):
        printed.append(pysubs2.SSAEvent(start=start, end=start + length, text=text.replace("\n", "\\N")))
    assert [(cue.start, cue.end, cue.text) for cue in read(printed.to_string(kind))] == [
        (start / 1000, (start + length) / 1000, text) for start, length, text in sorted(cues)
    ]


@pytest.mark.parametrize("text", [SRT, VTT, event("Hello."), MICRODVD], ids=["srt", "vtt", "ass", "microdvd"])
def test_the_contract_of_readers(text):
    check_reader(Subtitles, text.encode(), "x")
