"""Every model, tokenizer and reader that ships passes the contract suite; a new one is found by itself."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from s2sbot import PairReader, Reader
from s2sbot.plugins import FIRST_PARTY, Plugins
from s2sbot.testing import model_checks, reader_checks, tokenizer_checks
from s2sbot.testing.tokenizer import SAMPLE_LINES

ROOT = Path(__file__).parents[2]
PLUGINS = Plugins()
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
JSONL = """{"turns": ["Hi.", {"text": "Où ?", "speaker": "Ann", "start": 2.5}], "file": "film.srt", "group": "film"}
{"messages": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "That."}]}
{"source": "Where?", "target": "There.", "context": ["Look!"], "file": "film.srt", "line": 7, "seconds": 1.5}
"""
BLOCKS = """How are you?
Fine, thank you.

Where is it?
There.

- Who?
- Me.
"""
NAMED = "Ann: Hi, who is it?\nBob: Me.\nAnn: Well?\nBob: Nothing.\n"
DAILYDIALOG = "Who ' s there ? __eou__ It ’ s me , Ann . __eou__\t1\t2 1\nReally ? __eou__ Don ’ t ask .\n"
CONVAI2 = """[{"dialog": [{"id": 0, "sender": "participant1", "text": "Hi there."},
{"id": 1, "sender": "participant2", "text": "Hello."}], "participant1_id": {"class": "User", "user_id": "User 7"}},
{"dialogId": 3, "context": "A passage.", "thread": [{"userId": "Bob", "text": "Hm."},
{"userId": "Ann", "text": "So?"}]}]
"""
CHITCHAT = """{"a-1": {"messages": [[{"text": "Hello", "timestamp": "2018-05-02T19:38:15Z", "sender": "x"}],
[{"text": "Good!", "timestamp": "2018-05-02T19:39:00Z", "sender": "y"}]], "prompt": "What is new?"}}
"""
CHATTERBOT = "categories:\n- greetings\nconversations:\n- - Hi\n  - Hello,\n    you\n- - Ready?\n  - yes\n  - 42\n"
ANDROID = """12/31/20, 9:15 PM - Messages and calls are end-to-end encrypted. Tap to learn more.
12/31/20, 9:15 PM - Ann: Are you there?
12/31/20, 9:16 PM - Bob Ross: Yes: always.
And I have
three lines.
12/31/20, 9:17 PM - Ann: <Media omitted>
"""
IOS = """[31.12.20, 21:15:03] Ann: Bist du da?
[31.12.20, 21:15:30] Ann: \u200eBild weggelassen
[31.12.20, 21:16:03] ~\u202fBob: Ja.
"""
RULE = "=" * 62
DISCORD_TEXT = f"""{RULE}
Guild: Us
Channel: Text / general
{RULE}

[31-Dec-20 09:15 PM] ann#1234
Are you there?

[31-Dec-20 09:16 PM] Bob
Yes.

{{Attachments}}
https://example.org/a.png

{RULE}
Exported 2 message(s)
{RULE}
"""
DISCORD_TABLE = """AuthorID,Author,Date,Content,Attachments,Reactions
"1","ann","2020-12-31T21:15:03.1230000+00:00","Are you there?","",""
"2","bob","2020-12-31T21:16:03.1230000+00:00","Yes, ""always"",
here.","",""
"""
DISCORD_JSON = """{"guild": {"id": "1", "name": "Us"}, "channel": {"id": "2", "name": "general"}, "messages": [
{"id": "1", "type": "Default", "timestamp": "2020-12-31T21:15:03.123+00:00", "content": "Are you there?",
"author": {"id": "1", "name": "ann", "isBot": false}, "mentions": []},
{"id": "2", "type": "Reply", "timestamp": "2020-12-31T21:16:03.123+00:00", "content": "Yes, @Ann, always.",
"author": {"id": "2", "name": "bob", "isBot": false}, "mentions": [{"id": "1", "name": "ann", "nickname": "Ann"}]}
], "messageCount": 2}
"""
OPUS = """<?xml version="1.0"?>
<document id="4296906">
<s id="1"><time id="T1S" value="00:00:05,897" />Where were you?<time id="T1E" value="00:00:08,654" /></s>
<s id="2"><time id="T2S" value="00:01:00,000" /><w id="2.1">Home</w><w id="2.2">.</w></s>
<s id="3">And you?<time id="T2E" value="00:01:02,000" /></s>
</document>
"""
TMX = """<?xml version="1.0"?>
<tmx version="1.4"><header srclang="en" segtype="sentence" datatype="plaintext" />
<body>
<tu><tuv xml:lang="en"><seg>Where?</seg></tuv><tuv xml:lang="fr"><seg>Où ?</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>Not <ph>x</ph>here.</seg></tuv><tuv xml:lang="fr"><seg>Pas ici.</seg></tuv></tu>
</body></tmx>
"""
CORNELL = (
    b"""u0 +++$+++ u2 +++$+++ m0 +++$+++ ['L1', 'L2', 'L3']
u3 +++$+++ u4 +++$+++ m7 +++$+++ ['L9', 'L10']
""",
    b"""L10 +++$+++ u4 +++$+++ m7 +++$+++ REX +++$+++ Sit <u>down</u> &amp; wait.
L9 +++$+++ u3 +++$+++ m7 +++$+++ \xc9LISE +++$+++ D\xe9j\xe0 vu?
L3 +++$+++ u0 +++$+++ m0 +++$+++ BIANCA +++$+++ Left.
L2 +++$+++ u2 +++$+++ m0 +++$+++ CAMERON +++$+++ They do to!
L1 +++$+++ u0 +++$+++ m0 +++$+++ BIANCA +++$+++ They do not!
""",
)
Sample = str | tuple[str, str] | tuple[bytes, bytes]
SAMPLES: dict[str, dict[str, Sample]] = {
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
    "jsonl": {"a.jsonl": JSONL, "a.json": f"[{JSONL.strip().replace(chr(10), ', ')}]"},
    "blocks": {"a.txt": BLOCKS, "b.txt": NAMED},
    "dailydialog": {"a.txt": DAILYDIALOG},
    "convai2": {"a.json": CONVAI2},
    "chitchat": {"a.json": CHITCHAT},
    "chatterbot": {"a.yml": CHATTERBOT},
    "whatsapp": {"a.txt": ANDROID, "b.txt": IOS},
    "discord": {"a.txt": DISCORD_TEXT, "a.csv": DISCORD_TABLE, "a.json": DISCORD_JSON},
    "opus": {"a.xml": OPUS},
    "tmx": {"a.tmx": TMX},
    "cornell": {"movie_conversations.txt": CORNELL},
}
"""Files of every kind that a reader reads, by name, in UTF-8 and in UTF-16; two for a reader of pairs; bytes as is."""


def shipped(kind: str) -> list[str]:
    offers = {"model": PLUGINS.models, "tokenizer": PLUGINS.tokenizers, "reader": PLUGINS.reader_offers}[kind]()
    return [name for name, offer in offers.items() if offer.distribution == FIRST_PARTY]


def offered(name: str) -> type[Reader] | type[PairReader]:
    return PLUGINS.reader_offers()[name].value


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
    kind = PLUGINS.model(name)
    small, larger = (configured(kind.Config, size) for size in (12, 32))
    assert failures(model_checks(kind, small, by_heart=larger)) == {}


@pytest.mark.parametrize("name", shipped("tokenizer"))
def test_tokenizer(name: str) -> None:
    kind = PLUGINS.tokenizer(name)
    assert failures(tokenizer_checks(kind, SAMPLE_LINES)) == {}
    assert failures(tokenizer_checks(kind, ["One line, and no more."])) == {}


def encoded(sample: Sample) -> Iterator[tuple[str, bytes | tuple[bytes, bytes]]]:
    """Yield a sample in every encoding that it may have, as bytes."""
    sides = sample if isinstance(sample, tuple) else (sample,)
    for encoding in ("utf-8", "utf-16"):
        data = [side if isinstance(side, bytes) else side.encode(encoding) for side in sides]
        yield encoding, (data[0], data[1]) if len(data) == 2 else data[0]


@pytest.mark.parametrize("name", shipped("reader"))
def test_reader(name: str) -> None:
    kind = offered(name)
    assert SAMPLES.get(name), f"write a file that the reader {name!r} reads into SAMPLES"
    for title, sample in SAMPLES[name].items():
        for encoding, data in encoded(sample):
            assert failures(reader_checks(kind, data, title)) == {}, f"{title} in {encoding}"


@pytest.mark.parametrize("name", [name for name in shipped("reader") if issubclass(offered(name), Reader)])
def test_every_sample_is_taken_for_what_it_is(name: str) -> None:
    readers = {other: offered(other)() for other in shipped("reader") if issubclass(offered(other), Reader)}
    for title, sample in SAMPLES[name].items():
        for encoding, data in encoded(sample):
            scores = {other: reader.sniff(data[: 2**16], title) for other, reader in readers.items()}
            assert max(sorted(scores), key=scores.__getitem__) == name, f"{title} in {encoding}"


def test_all_that_ships_is_found() -> None:
    """Compare with what the files of the plugins offer themselves, so that nobody need be told of a new one."""
    for kind, hook in (
        ("model", "register_models"),
        ("tokenizer", "register_tokenizers"),
        ("reader", "register_readers"),
    ):
        modules = [importlib.import_module(path.stem) for path in (ROOT / "plugins").glob("*.py")]
        offered_names = {name for module in modules if hasattr(module, hook) for name in getattr(module, hook)()}
        assert offered_names == set(shipped(kind)), kind
        assert len(offered_names) >= 4, kind
    assert set(SAMPLES) == set(shipped("reader"))


def test_a_new_reader_without_a_sample_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(SAMPLES, "srt")
    with pytest.raises(AssertionError, match="write a file that the reader 'srt' reads"):
        test_reader("srt")
