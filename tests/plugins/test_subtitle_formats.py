"""Every subtitle format reads what its printer prints, and real files as they are; the right reader knows each."""

import io
import warnings
from collections import Counter
from pathlib import Path

import pysubs2
import pytest
import s2sbot_parallel
import s2sbot_sami
import s2sbot_subtitle_lines
import s2sbot_subtitles
import s2sbot_ttml
from hypothesis import given
from hypothesis import strategies as st
from printers import PRINTERS, RESOLUTION, print_subviewer1

from s2sbot import Cue, Lost, Reader, decode_text, strip_markup
from s2sbot.testing import check_reader

FORMATS = {
    **s2sbot_subtitles.register_readers(),
    **s2sbot_subtitle_lines.register_readers(),
    **s2sbot_sami.register_readers(),
    **s2sbot_ttml.register_readers(),
}
READERS = {**FORMATS, "tsv": s2sbot_parallel.Tsv}
NO_ENDS = ("lrc", "tmplayer")
DATA = Path(__file__).parents[2].parent / "shared" / "data" / "subs"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real subtitle files are not here")


def read(name: str, text: str | bytes) -> list[Cue | Lost]:
    return list(FORMATS[name]().read(io.BytesIO(text if isinstance(text, bytes) else text.encode()), "x"))


def known_as(data: bytes, name: str = "no-name") -> str | None:
    scores = {title: kind().sniff(data[: 2**16], name) for title, kind in READERS.items()}
    best = max(scores, key=scores.__getitem__)
    assert scores[best] == 0 or list(scores.values()).count(scores[best]) == 1, f"two readers claim it: {scores}"
    return best if scores[best] > 0 else None


# What is printed is read

WORDS = st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"]), max_size=30).map(
    lambda t: " ".join(t.split())
)
NUMBERS = st.integers(0, 10**6).map(str)
MARKUP = st.sampled_from(
    ["-->", "- Yes. - No.", "<i>x</i>", "{\\an8}y", "a & b &amp; c", "[br]", "\\N", "|", "/x", "5 < 6"]
)
LINES = st.one_of(WORDS, NUMBERS, MARKUP).filter(bool)
TEXTS = st.lists(LINES, min_size=1, max_size=3).map("\n".join)
SPANS = st.tuples(st.integers(0, 2000), st.integers(0, 200), TEXTS)


def cues_of(spans: list[tuple[int, int, str]], unit: int) -> list[Cue]:
    """Place texts behind each other, by gaps and lengths in a format's own units of time."""
    cues, clock = [], 1
    for gap, length, text in spans:
        clock += gap
        cues.append(Cue(clock * unit / 1000, (clock + length) * unit / 1000, text))
        clock += length
    return cues


@pytest.mark.parametrize("name", sorted(PRINTERS.keys() - NO_ENDS))
@given(spans=st.lists(SPANS, min_size=1, max_size=8))
def test_printed_cues_are_read_back(name, spans):
    cues = cues_of(spans, RESOLUTION[name])
    found = [
        Cue(cue.start, cue.end, cue.text) if isinstance(cue, Cue) else cue for cue in read(name, PRINTERS[name](cues))
    ]
    assert found == cues


@pytest.mark.parametrize("name", NO_ENDS)
@given(spans=st.lists(st.tuples(st.integers(1, 2000), st.just(0), LINES), min_size=1, max_size=8))
def test_starts_are_read_back_where_a_format_has_no_ends(name, spans):
    cues = cues_of(spans, RESOLUTION[name])
    found = read(name, PRINTERS[name](cues))
    assert [(cue.start, cue.text) for cue in found] == [(cue.start, cue.text) for cue in cues]
    ends = [cue.end for cue in found]
    following = [cue.start for cue in cues[1:]]
    assert all(start < end for start, end in zip([cue.start for cue in cues], ends, strict=True))
    if name == "lrc":
        assert ends[:-1] == following
    else:
        assert all(end <= start for end, start in zip(ends, following, strict=False))


@given(spans=st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99), TEXTS), min_size=1, max_size=8))
def test_printed_subviewer_1_is_read_back(spans):
    cues = cues_of(spans, 1000)
    assert read("subviewer", print_subviewer1(cues)) == cues


NAMES = st.text("ABCdefé", min_size=1, max_size=8)


@pytest.mark.parametrize("name", ["vtt", "ass", "ttml"])
@given(spans=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), TEXTS, NAMES, NAMES), min_size=1, max_size=5))
def test_speakers_and_styles_are_read_back(name, spans):
    styled = name != "vtt"
    cues = [
        Cue(cue.start, cue.end, cue.text, speaker, style if styled else None, "comment" if name == "ass" else None)
        for cue, (*_, speaker, style) in zip(cues_of([span[:3] for span in spans], 10), spans, strict=True)
    ]
    assert read(name, PRINTERS[name](cues)) == cues


SAMPLE = [
    Cue(1.0, 3.0, "Où es-tu ?"),
    Cue(5.0, 8.0, "Here.\nOn the pier."),
    Cue(8.0, 9.0, "42"),
    Cue(30.0, 31.0, "日本"),
]
SAMPLES = {
    name: printer(SAMPLE if name not in NO_ENDS else [c for c in SAMPLE if "\n" not in c.text])
    for name, printer in PRINTERS.items()
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("name", sorted(PRINTERS))
def test_every_format_is_known_by_its_content(name, end, encoding):
    if end == "\r\r\n" and not encoding.startswith("utf-8"):
        return
    data = SAMPLES[name].replace("\n", end).encode(encoding)
    assert known_as(data) == name
    assert known_as(data, "a.srt") == name
    assert read(name, data) == read(name, SAMPLES[name]) != []


def test_subviewer_1_is_known():
    assert known_as(print_subviewer1(SAMPLE).encode()) == "subviewer"


@pytest.mark.parametrize("name", sorted(PRINTERS))
def test_the_contract_of_readers(name):
    check_reader(FORMATS[name], SAMPLES[name].encode(), "x")


@pytest.mark.parametrize("name", sorted(PRINTERS))
def test_they_are_readers(name):
    assert isinstance(FORMATS[name](), Reader)
    assert set(FORMATS) == set(PRINTERS)


NO_SUBTITLES = [
    "",
    "Only words.\n",
    "[1] A footnote\n",
    '{"start": 1}',
    "12:30 tea",
    "Format: Layer, Start, End\n",
    "<html><body><p>Hello</p></body></html>",
    "<ttx><p begin='1s'>no</p></ttx>",
    "BROKENVTT\n",
    "A --> B\n",
]


@pytest.mark.parametrize("text", NO_SUBTITLES)
def test_what_is_no_subtitle_file_is_known_by_none(text):
    assert known_as(text.encode(), "x.srt") is None
    for name in FORMATS:
        with pytest.raises(ValueError):
            read(name, text)


@pytest.mark.parametrize("name", sorted(PRINTERS))
def test_no_subtitle_file_is_that_large(name):
    class Endless(io.RawIOBase):
        def read(self, size=-1):
            return b"\n" * size

    with pytest.raises(ValueError, match="larger than"):
        list(FORMATS[name]().read(Endless(), "x"))


HOSTILE = [
    "\n" * 125_000,
    "-->" * 75_000,
    "1:1 " * 50_000,
    "<" * 125_000,
    "<v " * 75_000,
    "<v A>x</v>" * 50_000,
    "<v A>x\n</v>y</v>z" * 50_000,
    "<v A>x<v B>y</v>\nz" * 50_000,
    "<rt" * 75_000,
    "<sync " * 50_000,
    "<!--" * 50_000,
    "<p>" * 50_000,
    "{" * 125_000,
    "{\\p1" * 50_000,
    "{\\p1}" * 50_000,
    "a:" * 75_000,
    "]" * 125_000,
    "[1:1.1" * 25_000,
    "[1:1.1]" * 25_000,
    ",:" * 75_000,
    "1" * 125_000,
    "&#1;" * 50_000,
    "a\n\n2\n" * 25_000,
    "00:00:01,000 --> \n" * 12_000,
    "00:00:01,2=a\n" * 12_000,
]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", sorted(PRINTERS))
def test_hostile_text_takes_no_time(name):
    for text in HOSTILE:
        for whole in (SAMPLES[name] + text, text + SAMPLES[name], SAMPLES[name].replace("42", text)):
            FORMATS[name]().sniff(whole[: 2**16].encode(), "x")
            try:
                count = sum(1 for _ in FORMATS[name]().read(io.BytesIO(whole.encode()), "x"))
            except ValueError:
                continue
            assert count


# Line formats


def test_microdvd_without_a_frame_rate_with_open_ends_and_lost_lines():
    text = "{DEFAULT}{C:$0000ff}\n{24}{48}{y:i}One|two\n{240}{}Open\n{480}{470}\nstray\n{ 960 } { 900 }Back\n"
    assert read("microdvd", text) == [
        Lost("text without frames", 5),
        Cue(1.001, 2.002, "One\ntwo"),
        Cue(10.01, 10.778, "Open"),
        Cue(40.04, 40.04, "Back"),
    ]


@pytest.mark.parametrize("rate", ["25", "23,976", "29.97", "25 fps"])
def test_microdvd_by_its_own_frame_rate_which_nobody_says(rate):
    [cue] = read("microdvd", f"{{1}}{{1}}{rate}\n{{100}}{{200}}Hi.\n")
    assert cue.start == pytest.approx(100 / float(rate.split()[0].replace(",", ".")), abs=1e-3)


def test_a_number_is_a_frame_rate_only_in_the_first_line():
    assert [cue.text for cue in read("microdvd", "{1}{1}Hi.\n{1}{1}25\n")] == ["Hi.", "25"]
    with pytest.raises(ValueError, match="frame rate of 0"):
        read("microdvd", "{1}{1}0\n{10}{20}Hi.\n")


def test_mpl2_slants_and_open_ends():
    assert read("mpl2", "[10][25]/One| /two\n[100][]Open\n[110][120]\nstray\n[-5][9]{\\pos(1,2)}x\n") == [
        Lost("text without times", 4),
        Cue(1.0, 2.5, "One\ntwo"),
        Cue(10.0, 10.768, "Open"),
        Cue(-0.5, 0.9, "x", mark="positioned"),
    ]


def test_tmplayer_separators_numbered_lines_and_blank_ends():
    text = "00:00:01:One|two\n0:00:02=Three\n00:00:05,1=Four\n00:00:05,2=five\n00:00:06:\n100:00:00:Late\nstray\n"
    assert read("tmplayer", text) == [
        Lost("text without a time", 7),
        Cue(1.0, 1.969, "One\ntwo"),
        Cue(2.0, 2.835, "Three"),
        Cue(5.0, 6.0, "Four\nfive"),
        Cue(360000.0, 360000.768, "Late"),
    ]


def test_lrc_several_times_offsets_words_and_names_of_things():
    text = (
        "[ar:Me]\n[offset:+500]\n[00:02.00][00:10.5]Twice\n[00:04:50]<00:04.60>By <00:04.80>word\n[01:00.00]\nstray\n"
    )
    assert read("lrc", text) == [
        Lost("text without a time", 6),
        Cue(1.5, 4.0, "Twice"),
        Cue(4.0, 10.0, "By word"),
        Cue(10.0, 59.5, "Twice"),
    ]


@pytest.mark.parametrize("name", ["sbv", "subviewer"])
def test_two_times_with_a_comma_between(name):
    text = "0:00:01.50,0:00:02.5\nOne[br]two\n\nthree\n\n0:00:09,0:00:08\nBack\n0:00:xx,\n1:2,1:2:3:4:5\nlost\n"
    assert read(name, text) == [
        Cue(1.5, 2.5, "One\ntwo\n\nthree"),
        Cue(9.0, 9.0, "Back\n0:00:xx,"),
        Lost("times that cannot be read", 9),
    ]


def test_what_stands_above_the_first_times_is_lost_where_no_header_may_be():
    assert read("sbv", "Hello\n0:00:01.500,0:00:02.500\nOne\n")[0] == Lost("text before the first times", 1)


# SAMI


def sami(body: str) -> list[Cue | Lost]:
    return read("sami", f"<SAMI>\n<BODY>\n{body}\n</BODY></SAMI>")


def test_sami_of_two_languages_is_read_as_the_one_with_more_cues():
    body = (
        "<SYNC Start=1000><P Class=KRCC>하나<P Class=ENCC>One<br>\ntwo\n"
        "<SYNC Start=2000><P Class=KRCC>&nbsp;<P Class=ENCC>Three\n"
        "<SYNC Start=4000><P Class=ENCC>&nbsp;\n"
    )
    assert sami(body) == [Cue(1.0, 2.0, "One\ntwo"), Cue(2.0, 4.0, "Three")]


def test_sami_languages_behind_each_other_and_the_first_of_equals():
    body = "<SYNC Start=1000><P Class=A>One<SYNC Start=9000><P Class=A>Two"
    body += "<SYNC Start=1000><P Class=B>Eins<SYNC Start=9000><P Class=B>Zwei"
    assert [cue.text for cue in sami(body)] == ["One", "Two"]


def test_broken_sami():
    body = (
        "<sync start='1000'><p class='ENCC'>One <i>un<b>closed\n<!-- a\ncomment -->"
        '<SYNC Start=>lost\n<SYNC Start="3000ms" End=3500>no paragraph &amp &#39;x&#39;'
        "<SYNC Start=5000><P Class=ENCC ID=Source>Ann<P Class=ENCC>Hi.<SYNC Start=6000><P>&nbsp<SYNC Start=7000"
    )
    assert sami(body) == [
        Lost("a point in time that cannot be read", 5),
        Cue(1.0, 3.0, "One unclosed"),
        Cue(3.0, 3.5, "no paragraph & 'x'"),
        Cue(5.0, 6.0, "Hi.", "Ann"),
    ]


# TTML


def ttml(body: str, root: str = "") -> list[Cue | Lost]:
    names = (
        'xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" xmlns:ttm="urn:x#metadata"'
    )
    return read("ttml", f"<?xml version='1.0' encoding='utf-8'?>\n<tt {names} {root}>{body}</tt>")


@pytest.mark.parametrize(
    ("time", "root", "seconds"),
    [
        ("00:00:02.5", "", 2.5),
        ("00:00:02,500", "", 2.5),
        ("100:00:02", "", 360002.0),
        ("1:02.5", "", 62.5),
        ("2.5", "", 2.5),
        ("00:00:02:15", "", 2.5),
        ("00:00:02:10", 'ttp:frameRate="20"', 2.5),
        ("00:00:02:10.1", 'ttp:frameRate="20" ttp:subFrameRate="2"', 2.525),
        ("24f", 'ttp:frameRate="24" ttp:frameRateMultiplier="1000 1001"', 1.001),
        ("24f", 'ttp:frameRate="24" ttp:frameRateMultiplier="1000:1001"', 1.001),
        ("25000000t", 'ttp:tickRate="10000000"', 2.5),
        ("48t", 'ttp:frameRate="24"', 2.0),
        ("3t", "", 3.0),
        ("2.5s", "", 2.5),
        ("1500ms", "", 1.5),
        ("2m", "", 120.0),
        ("1.5h", "", 5400.0),
    ],
)
def test_ttml_times(time, root, seconds):
    [cue] = ttml(f'<body><div><p begin="{time}" dur="1s">Hi.</p></div></body>', root)
    assert (cue.start, cue.end) == (seconds, pytest.approx(seconds + 1))


def test_ttml_times_count_from_those_around():
    body = """<body begin="10s"><div begin="5s" end="60s">
      <p begin="1s" end="2s">One<br/>two  <span>three</span>
         four</p>
      <p dur="3s">Five</p>
      <p begin="4s">Six</p>
      <p><span begin="6s" end="7s">Seven</span> <span begin="7s" end="6s">Eight</span></p>
      <p begin="8s"/>
    </div><div><p>Of the body</p></div></body>"""
    assert ttml(body) == [
        Cue(16.0, 17.0, "One\ntwo three four"),
        Cue(15.0, 18.0, "Five"),
        Cue(19.0, 70.0, "Six"),
        Cue(21.0, 22.0, "Seven"),
        Cue(22.0, 22.0, "Eight"),
        Cue(10.0, 11.237, "Of the body"),
    ]


def test_ttml_times_from_the_beginning_where_they_would_never_be_shown():
    body = (
        '<body><div begin="20s" end="40s"><p begin="20s" end="22s">One</p><p begin="38s" end="40s">Two</p></div></body>'
    )
    assert ttml(body) == [Cue(20.0, 22.0, "One"), Cue(38.0, 40.0, "Two")]


def test_ttml_sequence():
    body = '<body><div timeContainer="seq" begin="5s"><p dur="1s">One</p><p begin="1s" dur="2s">Two</p></div></body>'
    assert ttml(body) == [Cue(5.0, 6.0, "One"), Cue(7.0, 9.0, "Two")]


def test_ttml_agents_styles_readings_and_foreign_elements():
    body = """<head><metadata>
      <ttm:agent xml:id="a" type="person"><ttm:name type="full">Ann  Lee</ttm:name></ttm:agent>
    </metadata></head>
    <body style="s0"><div>
      <p begin="1s" end="2s" style="s1" ttm:agent="a">Hi.<metadata>no</metadata></p>
      <p begin="3s" end="4s"><span ttm:agent="a">One.</span><br/><span ttm:agent="b">Two.</span></p>
      <p begin="5s" end="6s"><span tts:ruby="base">字</span><span tts:ruby="text">じ</span> &amp; &nbsp;x</p>
    </div></body>"""
    assert ttml(body, 'xmlns:tts="urn:y#styling"') == [
        Cue(1.0, 2.0, "Hi.", "Ann Lee", "s1"),
        Cue(3.0, 4.0, "One.", "Ann Lee", "s0"),
        Cue(3.0, 4.0, "Two.", "b", "s0"),
        Cue(5.0, 6.0, "字 & \xa0x", None, "s0"),
    ]


def test_ttml_loses_a_paragraph_and_not_the_file():
    body = '<body><div><p begin="soon" end="2s">One</p><p>Two</p><p begin="3s" end="4s">Three</p></div></body>'
    assert ttml(body) == [
        Lost("a time that cannot be read"),
        Lost("a paragraph without times"),
        Cue(3.0, 4.0, "Three"),
    ]


def test_cut_off_ttml_is_read_as_far_as_it_goes():
    whole = PRINTERS["ttml"](SAMPLE)
    found = read("ttml", whole[: whole.index("日本")])
    assert [cue.text for cue in found[:-1]] == [cue.text for cue in SAMPLE[:-1]]
    assert isinstance(found[-1], Lost) and found[-1].cause.startswith("damaged XML") and found[-1].line == 6


@pytest.mark.parametrize("prefix", ["", "tt:"])
def test_ttml_of_any_namespace_or_none(prefix):
    text = '<_tt><_body><_p begin="1s" end="2s" ttm:role="x">Hi.</_p></_body></_tt>'
    assert read("ttml", text.replace("_", prefix)) == [Cue(1.0, 2.0, "Hi.")]


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE tt [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><tt><body><p begin="1s">&b;</p></body></tt>',
        '<!DOCTYPE tt [<!ENTITY a SYSTEM "file:///etc/hostname">]><tt><body><p begin="1s">&a;</p></body></tt>',
        f"<tt>{'<div>' * 5000}",
        "<tt",
        "<tt><body></tt>",
        "<html/>",
    ],
)
def test_hostile_and_damaged_xml_is_a_value_error(text):
    with pytest.raises(ValueError):
        read("ttml", text)


def test_declared_encodings_of_xml():
    text = '<?xml version="1.0" encoding="{}"?><tt><body><p begin="1s" end="2s">Žluťoučký kůň</p></body></tt>'
    for encoding in ("utf-8", "iso-8859-2", "windows-1250", "utf-16"):
        assert read("ttml", text.format(encoding).encode(encoding))[0].text == "Žluťoučký kůň"


# Real files

EXPECTED = {
    "exoplayer/empty.srt": None,
    "exoplayer/empty.ssa": None,
    "exoplayer/empty.vtt": None,
    "exoplayer/invalid_timecodes.ssa": ("ass", 1, 4),
    "exoplayer/positioning_without_playres.ssa": ("ass", 1, 0),
    "exoplayer/style_bold_italic.ssa": ("ass", 3, 0),
    "exoplayer/style_outline_color.ssa": ("ass", 2, 0),
    "exoplayer/style_primary_color.ssa": ("ass", 7, 0),
    "exoplayer/style_strikeout.ssa": ("ass", 2, 0),
    "exoplayer/style_underline.ssa": ("ass", 2, 0),
    "exoplayer/typical.srt": ("srt", 3, 0),
    "exoplayer/typical.ssa": ("ass", 3, 0),
    "exoplayer/typical.vtt": ("vtt", 2, 0),
    "exoplayer/typical_dialogue.ssa": ("ass", 0, 3),
    "exoplayer/typical_extra_blank_line.srt": ("srt", 3, 0),
    "exoplayer/typical_format.ssa": None,
    "exoplayer/typical_missing_sequence.srt": ("srt", 3, 0),
    "exoplayer/typical_negative_timestamps.srt": ("srt", 3, 0),
    "exoplayer/typical_no_hours_and_millis.srt": ("srt", 3, 0),
    "exoplayer/typical_utf16le.srt": ("srt", 3, 0),
    "exoplayer/typical_utf16le.ssa": ("ass", 3, 0),
    "exoplayer/typical_with_byte_order_mark.srt": ("srt", 3, 0),
    "exoplayer/typical_with_comments.vtt": ("vtt", 2, 0),
    "exoplayer/typical_with_identifiers.vtt": ("vtt", 2, 0),
    "exoplayer/typical_with_tags.srt": ("srt", 14, 0),
    "exoplayer/with_bom.vtt": ("vtt", 2, 0),
    "exoplayer/with_css_complex_selectors.vtt": ("vtt", 7, 0),
    "exoplayer/with_css_styles.vtt": ("vtt", 5, 0),
    "exoplayer/with_css_text_combine_upright.vtt": ("vtt", 2, 0),
    "exoplayer/with_overlapping_timestamps.vtt": ("vtt", 4, 0),
    "exoplayer/with_positioning.vtt": ("vtt", 8, 0),
    "exoplayer/with_rubies.vtt": ("vtt", 4, 0),
    "exoplayer/with_tags.vtt": ("vtt", 4, 0),
    "exoplayer/with_vertical.vtt": ("vtt", 3, 0),
    "exoplayer/with_x-timestamp-map_header.vtt": ("vtt", 2, 0),
    "go-astisub/broken-1-in.vtt": None,
    "go-astisub/example-in-breaklines.ttml": ("ttml", 4, 0),
    "go-astisub/example-in-carriage-return.srt": ("srt", 3, 0),
    "go-astisub/example-in-carriage-return.ssa": ("ass", 3, 0),
    "go-astisub/example-in-html-entities.srt": ("srt", 3, 0),
    "go-astisub/example-in-html-entities.vtt": ("vtt", 3, 0),
    "go-astisub/example-in-merging-style.ttml": ("ttml", 4, 0),
    "go-astisub/example-in-non-utf8.srt": ("srt", 6, 0),
    "go-astisub/example-in-non-utf8.vtt": ("vtt", 6, 0),
    "go-astisub/example-in-nonzero-offset.stl": None,
    "go-astisub/example-in.srt": ("srt", 6, 0),
    "go-astisub/example-in.stl": None,
    "go-astisub/example-in.ttml": ("ttml", 6, 0),
    "go-astisub/example-in.vtt": ("vtt", 6, 0),
    "go-astisub/example-opn-in.stl": None,
    "mantas-done/ass.ass": ("ass", 2, 0),
    "mantas-done/ass_different_format3.ass": ("ass", 1, 0),
    "mantas-done/dfxp_with_different_br.dfxp": ("ttml", 1, 0),
    "mantas-done/smi.smi": ("sami", 2, 0),
    "mantas-done/smi_formatted.smi": ("sami", 3, 0),
    "mantas-done/srt.srt": ("srt", 2, 0),
    "mantas-done/srt_for_public_interface_test.srt": ("srt", 2, 0),
    "mantas-done/sub_microdvd.sub": ("microdvd", 2, 0),
    "mantas-done/sub_viewer.sub": ("subviewer", 2, 0),
    "mantas-done/ttml2.ttml": ("ttml", 5, 0),
    "mantas-done/ttml_with_duplicated_element_ids.ttml": ("ttml", 3, 0),
    "mantas-done/ttml_with_fps_and_multiplier_given.ttml": ("ttml", 1, 0),
    "mantas-done/ttml_with_multiple_divs.ttml": ("ttml", 3, 0),
    "mantas-done/utf16.srt": ("srt", 1, 0),
    "mantas-done/vtt.vtt": ("vtt", 2, 0),
    "mantas-done/vtt_with_html.vtt": ("vtt", 1, 0),
    "mantas-done/vtt_with_multiple_new_lines.vtt": ("vtt", 2, 0),
    "mantas-done/vtt_with_name.vtt": ("vtt", 1, 0),
    "mantas-done/vtt_with_styles.vtt": ("vtt", 1, 0),
    "mantas-done/vtt_without_hours_in_timestamp.vtt": ("vtt", 1, 0),
    "pysrt/bom-utf-16-le.srt": ("srt", 7, 0),
    "pysrt/bom-utf-32-be.srt": ("srt", 7, 0),
    "pysrt/bom-utf-8.srt": ("srt", 7, 0),
    "pysrt/capability_tester.srt": ("srt", 37, 0),
    "pysrt/empty.srt": ("srt", 5, 0),
    "pysrt/invalid.srt": ("srt", 1, 0),
    "pysrt/no-indexes.srt": ("srt", 7, 0),
    "pysrt/utf-8.srt": ("srt", 1332, 0),
    "pysubs2/subtitle_with_attached_fonts_no_events.ass": ("ass", 0, 0),
    "pysubs2/subtitle_with_attached_images_aegisub.ass": ("ass", 0, 0),
    "pysubs2/ttml_example.ass": ("ass", 11, 0),
    "pysubs2/ttml_example.ttml": ("ttml", 11, 0),
    "pysubs2/ttml_example2.ttml": ("ttml", 10, 0),
    "pysubs2/ttml_example_apple.ass": ("ass", 38, 0),
    "pysubs2/ttml_example_apple.ttml": ("ttml", 38, 0),
    "subsrt/sample.ass": ("ass", 1, 0),
    "subsrt/sample.lrc": ("lrc", 6, 0),
    "subsrt/sample.sbv": ("sbv", 5, 0),
    "subsrt/sample.smi": ("sami", 6, 0),
    "subsrt/sample.ssa": ("ass", 1, 0),
    "subsrt/sample.sub": ("microdvd", 5, 0),
    "subsrt/sample.vtt": ("vtt", 5, 0),
    "subtitleedit/auto_detect_Danish.srt": ("srt", 301, 0),
    "subtitleedit/auto_detect_Russian.srt": ("srt", 183, 0),
    "subtitleedit/auto_detect_windows-1250.srt": ("srt", 1132, 0),
    "subtitleedit/test.srt": ("srt", 3, 0),
    "subtitleedit/test.ssa": ("ass", 3, 0),
    "subtitleedit/test.vtt": ("vtt", 3, 0),
    "subtitleedit/test2.srt": ("srt", 2, 0),
    "subtitleedit/test2.vtt": ("vtt", 2, 0),
}
"""Reader, cues and lost pieces of each file; None where no reader knows it."""


@needs_data
@pytest.mark.parametrize("path", EXPECTED)
def test_files_of_other_test_suites(path):
    data = (DATA / "testsuites" / path).read_bytes()
    name = known_as(data, path)
    if name is None:
        assert EXPECTED[path] is None
        return
    items = read(name, data)
    lost = sum(1 for item in items if isinstance(item, Lost))
    assert (name, len(items) - lost, lost) == EXPECTED[path]


@needs_data
def test_every_file_of_other_test_suites_is_expected():
    folder = DATA / "testsuites"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(EXPECTED)


DIFFERENT = {
    # pysubs2 passes a sign over, needs hours and a fraction, and knows at most two digits of seconds
    "testsuites/exoplayer/typical_negative_timestamps.srt",
    "testsuites/exoplayer/typical_no_hours_and_millis.srt",
    "testsuites/exoplayer/typical_with_tags.srt",
    "testsuites/go-astisub/example-in.srt",
    "testsuites/go-astisub/example-in-non-utf8.srt",
    "testsuites/pysrt/invalid.srt",
    # it knows an order of fields of its own only, and one bad time loses the file
    "testsuites/exoplayer/invalid_timecodes.ssa",
    "testsuites/exoplayer/positioning_without_playres.ssa",
    "testsuites/exoplayer/style_bold_italic.ssa",
    "testsuites/exoplayer/style_outline_color.ssa",
    "testsuites/exoplayer/style_primary_color.ssa",
    "testsuites/exoplayer/style_strikeout.ssa",
    "testsuites/exoplayer/style_underline.ssa",
    "testsuites/exoplayer/typical.ssa",
    "testsuites/exoplayer/typical_utf16le.ssa",
    "testsuites/go-astisub/example-in-carriage-return.ssa",
    "testsuites/mantas-done/ass_different_format3.ass",
    # it takes identifiers and notes of WebVTT for text, .04 for four milliseconds, and a voice for nothing
    "testsuites/exoplayer/typical_with_comments.vtt",
    "testsuites/exoplayer/with_css_complex_selectors.vtt",
    "testsuites/exoplayer/with_css_styles.vtt",
    "testsuites/exoplayer/with_positioning.vtt",
    "testsuites/exoplayer/with_rubies.vtt",
    "testsuites/go-astisub/example-in.vtt",
    "testsuites/go-astisub/example-in-non-utf8.vtt",
    "testsuites/subsrt/sample.vtt",
}
"""Files that pysubs2 reads otherwise, and why."""


def agrees(name: str, data: bytes) -> bool:
    """Tell whether times and texts are those of pysubs2, drawings aside."""
    ours = [
        (round(item.start * 1000), round(item.end * 1000), item.text)
        for item in read(name, data)
        if isinstance(item, Cue)
    ]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of margins and layers, which nobody says
            events = pysubs2.SSAFile.from_string(decode_text(data)[0], format_=name).events
    except (pysubs2.Pysubs2Error, ValueError):
        return False
    theirs = [(event.start, max(event.start, event.end), strip_markup(event.text).strip()) for event in events]
    return ours == [event for event in theirs if event[2]]


@needs_data
@pytest.mark.parametrize(
    ("name", "pattern", "least"),
    [
        ("srt", "3b1b/*.srt", 200),
        ("srt", "ada_zangemann/*.srt", 2),
        ("srt", "sintel/*.srt", 1),
        ("srt", "sicp/*/*.srt", 30),
        ("srt", "testsuites/*/*.srt", 20),
        ("vtt", "elephants_dream/*.vtt", 5),
        ("vtt", "testsuites/*/*.vtt", 20),
        ("ass", "sicp/*/*.ass", 30),
        ("ass", "onepace/*_0[25].en.ass", 8),
        ("ass", "testsuites/*/*.[as]s[as]", 15),
    ],
)
def test_files_are_read_as_pysubs2_does_where_it_is_right(name, pattern, least):
    files = {path.relative_to(DATA).as_posix(): path for path in DATA.glob(pattern)}
    read_otherwise = set()
    for title, path in files.items():
        data = path.read_bytes()
        if known_as(data, title) == name and not agrees(name, data):
            read_otherwise.add(title)
    assert read_otherwise == DIFFERENT & files.keys()
    assert len(files) >= least


@needs_data
@pytest.mark.parametrize(
    ("episode", "counts"),
    [
        ("13_jaya_08", {None: 262, "comment": 53, "karaoke": 658, "positioned": 18}),
        ("31_reverie_03", {None: 403, "comment": 17, "drawing": 312, "positioned": 139}),
    ],
)
def test_signs_drawings_and_songs_of_a_series_are_marked(episode, counts):
    cues = read("ass", (DATA / "onepace" / f"{episode}.en.ass").read_bytes())
    assert Counter(cue.mark for cue in cues) == counts
    assert all(cue.style.startswith(("Lyrics", "Karaoke")) for cue in cues if cue.mark == "karaoke")


def test_a_line_of_lrc_may_come_again_but_does_not_fill_the_memory():
    again = "".join(f"[00:{second:02}.00]" for second in range(20))
    assert len(read("lrc", again + "La la la, " * 10)) == 20
    items = read("lrc", f"[00:01.00]Hello.\n{'[00:09.00]' * 50_000}{'la ' * 100_000}\n[00:12.00]Bye.\n")
    assert [item.text for item in items if isinstance(item, Cue)] == ["Hello.", "Bye."]
    assert [item for item in items if isinstance(item, Lost)] == [Lost("a line too long for so many times", 2)]
    assert read("lrc", "[00:01.00]" + "la " * 10_000)  # with one time it may be as long as it is


def test_a_span_with_times_inside_another_is_part_of_that():
    first = "<span begin='1s' end='4s'>One <span begin='2s' end='3s'>two</span></span>"
    second = "<span begin='5s' end='6s'>three</span>"
    document = f"<tt xmlns='http://www.w3.org/ns/ttml'><body><div><p>{first}{second}</p></div></body></tt>"
    assert read("ttml", document) == [Cue(1.0, 4.0, "One two"), Cue(5.0, 6.0, "three")]
