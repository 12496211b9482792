"""Every model, tokenizer and reader that ships passes the contract suite; a new one is found by itself."""

from __future__ import annotations

import dataclasses

import pytest

from s2sbot.plugins import FIRST_PARTY, Plugins
from s2sbot.testing import model_checks, reader_checks, tokenizer_checks
from s2sbot.testing.tokenizer import SAMPLE_LINES

SIZES = ("hidden_size", "embedding_size", "size")
SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Wo bist du?</i>

2
00:00:03,000 --> 00:00:04,500
- Hier.
- Où ça ?
"""
VTT = """WEBVTT - a title

NOTE not said

first one
00:01.000 --> 00:02.500 align:left
<v Mary>Hello.</v>

2
00:00:03.000 --> 00:00:04.000
Two lines,
one cue.
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
Dialogue: 0,0:00:01.00,0:00:02.50,Default,ANNA,0,0,0,,Is it {\\i1}far{\\i0}?
Dialogue: 0,0:00:03.00,0:00:04.50,Default,BEN,0,0,0,,Not very.\\NHere we are.
"""
MICRODVD = "{1}{1}25\n{25}{50}{y:i}Hello.\n{75}{100}Two lines,|one cue.\n"
SUBVIEWER = "00:00:01.00,00:00:02.50\nHello.\n\n00:00:03.00,00:00:04.00\nTwo lines,[br]one cue.\n"
SUBVIEWER_1 = "[BEGIN]\n[00:00:01]\nHello.\n[00:00:02]\n\n[00:00:03]\nTwo lines,|one cue.\n[00:00:04]\n[END]\n"
SBV = "0:00:01.000,0:00:02.500\nHello.\n\n0:00:03.000,0:00:04.000\nTwo lines,\none cue.\n"
SAMI = """<SAMI><BODY>
<SYNC Start=1000><P Class=ENCC>Hello.
<SYNC Start=2500><P Class=ENCC>&nbsp;
<SYNC Start=3000><P Class=ENCC>Two lines,<br>one cue.
</BODY></SAMI>
"""
TTML = """<?xml version="1.0" encoding="utf-8"?>
<tt xmlns="http://www.w3.org/ns/ttml"><body><div>
<p begin="1s" end="2.5s">Hello.</p>
<p begin="00:00:03" end="00:00:04">Two lines,<br/>one cue.</p>
</div></body></tt>
"""
LRC = "[ti:A song]\n[00:01.00]Hello.\n[00:03.00][00:09.00]Once more.\n"
MPL2 = "[10][25]Hello.\n[30][40]/Two lines,|one cue.\n"
TMPLAYER = "00:00:01:Hello.\n00:00:03:Two lines,|one cue.\n"
TSV = "où ?\twhere?\nnon\tno\t# note\n"
SAMPLES: dict[str, dict[str, str | tuple[str, str]]] = {
    "srt": {"a.srt": SRT},
    "vtt": {"a.vtt": VTT},
    "ass": {"a.ass": ASS},
    "microdvd": {"a.sub": MICRODVD},
    "subviewer": {"a.sub": SUBVIEWER, "b.sub": SUBVIEWER_1},
    "sbv": {"a.sbv": SBV},
    "sami": {"a.smi": SAMI},
    "ttml": {"a.ttml": TTML},
    "lrc": {"a.lrc": LRC},
    "mpl2": {"a.mpl": MPL2},
    "tmplayer": {"a.txt": TMPLAYER},
    "tsv": {"a.tsv": TSV},
    "moses": {"train": ("où ?\nnon\n日本\n", "where?\nno\nJapan\n")},
}
"""Files of every kind that a reader reads, by name; a pair of them for a reader of pairs."""


def shipped(kind: str) -> list[str]:
    plugins = Plugins()
    offers = {"model": plugins.models, "tokenizer": plugins.tokenizers, "reader": plugins.reader_offers}[kind]()
    return [name for name, offer in offers.items() if offer.distribution == FIRST_PARTY]


def failures(findings) -> dict[str, str]:
    found = {finding.name: finding.cause for finding in findings}
    assert len(found) >= 8
    return {name: cause for name, cause in found.items() if cause is not None}


def configured(config_kind, size: int):
    """Return a configuration in which every size is this one, and everything else is as it is."""
    names = {field.name for field in dataclasses.fields(config_kind)} & set(SIZES)
    assert names, f"{config_kind.__name__} has no size that could be small"
    return config_kind(**dict.fromkeys(names, size))


@pytest.mark.parametrize("name", shipped("model"))
def test_model(name: str) -> None:
    kind = Plugins().model(name)
    small, larger = (configured(kind.Config, size) for size in (12, 32))
    assert failures(model_checks(kind, small, by_heart=larger)) == {}


@pytest.mark.parametrize("name", shipped("tokenizer"))
def test_tokenizer(name: str) -> None:
    kind = Plugins().tokenizer(name)
    assert failures(tokenizer_checks(kind, SAMPLE_LINES)) == {}
    assert failures(tokenizer_checks(kind, ["One line, and no more."])) == {}


@pytest.mark.parametrize("name", shipped("reader"))
def test_reader(name: str) -> None:
    kind = Plugins().reader_offers()[name].value
    assert name in SAMPLES, f"write a file that the reader {name!r} reads into SAMPLES"
    for title, sample in SAMPLES[name].items():
        for encoding in ("utf-8", "utf-16"):
            texts = sample if isinstance(sample, tuple) else (sample,)
            sides = tuple(text.encode(encoding) for text in texts)
            data = sides if len(sides) == 2 else sides[0]
            assert failures(reader_checks(kind, data, title)) == {}, f"{title} in {encoding}"


def test_all_that_ships_is_found() -> None:
    assert {"attention"} <= set(shipped("model"))
    assert {"bytes", "characters", "sentencepiece", "words"} <= set(shipped("tokenizer"))
    assert set(SAMPLES) <= set(shipped("reader"))
