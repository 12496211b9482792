"""Small files of every format that is read, with the oddities of real ones; what is mutated begins with them."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import io
import json
import lzma
import re
import tarfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ARCHIVES", "DESCRIPTION", "Seed", "archive_of", "every_seed", "variants"]

ARCHIVES = ("zip", "tar", "tar.gz", "gz", "bz2", "xz")
DESCRIPTION = "corpus.toml"
_CONTRACT = Path(__file__).parent / "plugins" / "test_contract.py"


@dataclass(frozen=True, slots=True)
class Seed:
    """A file, or the two of a pair.

    kind      the reader that it is for, one of `ARCHIVES`, or `DESCRIPTION`
    encoding  of what `sides` hold in UTF-8, where that is text
    """

    kind: str
    name: str
    sides: tuple[bytes, ...]
    encoding: str = "utf-8"


SRT = """\ufeff0
00:00:00,500 --> 00:00:01,000
Subtitles by somebody, www.example.com

1
00:00:01,000 --> 00:00:02,500 X1:100 X2:600 Y1:10 Y2:20
<font color="#ffffff"><i>Hello.</i></font>

2
00:00:03,000-->00:00:04,5
- Is it you?
- No. - Who then?

4
0:0:5.5 --> 00:00:07,000
{\\an8}[DOOR SLAMS]
JOHN: What was

00:00:07,100 --> 00:00:09,000
that?
♪ la la ♪

5
00:00:08,000 --> 00:00:06,000
{\\p1}m 0 0 l 100 0 100 100{\\p0}
6
99:99:99,999 --> 100:00:00,000
"""
WIDE = """1
00:00:01,000 --> 00:00:02,500
Hello, Ã¼ber â€™s

2
00:00:03,000 --> 00:00:04,500
Hello.

3
00:00:04,600 --> 00:00:06,000
Hello?
"""
TRANSCRIPT = "".join(
    f"{n}\n00:00:{n:02},000 --> 00:00:{n:02},900\n{'MARY: ' * (n % 2)}we went on {n}\n\n" for n in range(1, 9)
)
VTT = """WEBVTT
Kind: captions
X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000

STYLE
::cue(.loud) { color: red }

REGION
id:one

NOTE Hello
is not said

intro
00:00:01.000 --> 00:00:02.500 line:90% position:50%
<v.loud Mary Ann>Hello.</v> <v Bob>Hm?</v>

00:03.000 --> 00:04.000
<c.yellow>Two</c> <00:00:03.500>lines, <ruby>漢<rt>kan</rt></ruby>
&lt;one&gt; &amp; cue

00:04.000 --> 00:05.000
Two lines, one cue

text outside
"""
ASS = """[Script Info]
; a comment
ScriptType: v4.00+
PlayResX: 640

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20
Style: Sign,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,template line,!retime("line")!
Dialogue: 0,0:00:01.00,0:00:02.50,Default,ANNA,0,0,0,,Hello, {\\i1}you{\\i0}, is it far?
Dialogue: 0,0:00:02.50,0:00:03.50,*Default,NTP,0,0,0,Banner;1,Not very.\\N\\hHere we are.
Dialogue: 1,0:00:01.00,0:00:02.50,Sign,,0,0,0,,{\\pos(320,50)\\clip(m 0 0 l 1 1)\\fscx0}EXIT
Dialogue: 1,0:00:01.00,0:00:02.50,Sign,,0,0,0,,{\\p1}m 0 0 l 100 0 100 100{\\p0}
Dialogue: 0,0:00:04.00,0:00:05.00,OP,,0,0,0,,{\\k20}ha{\\kf30}na{\\ko10}
Dialogue: 0,1:2,x,y
Picture: 0,0:00:00.00,0:00:01.00,,,0,0,0,,a.png
[Graphics]
filename: a.png
0M%*A
"""
SSA = """[Script Info]
ScriptType: v4.00
[Events]
Format: Marked, Start, End, Style, Actor, MarginL, MarginR, MarginV, Effect, Text
Dialogue: Marked=0,0:00:01.00,0:00:02.00,*Default,BEN,0000,0000,0000,!Effect,Hello, you.
Dialogue: Marked=0,0:00:02.00,0:00:01.00,*Default,BEN,0000,0000,0000,,
"""
MICRODVD = """{1}{1}23.976
{DEFAULT}{C:$0000ff}
{25}{50}{y:i}{C:$0000ff}Hello.|- What?
{75}{}Two lines,|{y:b}one cue.
{ 100 }{ 90 }/Slanted/
no frames
"""
SUBVIEWER = """[INFORMATION]
[TITLE]Hello
[AUTHOR]
[END INFORMATION]
[SUBTITLE]
[COLF]&HFFFFFF,[STYLE]bd,[SIZE]18,[FONT]Arial
00:00:01.00,00:00:02.50
Hello.[br]You.

00:00:03:00,00:00:04:00
Two lines,|one cue.
00:00:05.00,xx:00
"""
SUBVIEWER_1 = (
    "[TITLE]\nx\n[BEGIN]\n******** START SCRIPT ********\n[00:00:01]\nHello.\n[00:00:02]\n\n[00:00:03]\na|b\n[END]\n"
)
SBV = "0:00:01.000,0:00:02.500\nHello.\n>> You?\n\n0:00:03.000,0:00:04.000\n\nTwo lines,\none cue.\n1:2,3:4\n"
SAMI = """<SAMI><HEAD><TITLE>x</TITLE><STYLE TYPE="text/css"><!--
P { font-family: Arial }
.ENCC { Name: English; lang: en-US } .KRCC { Name: Korean; lang: ko-KR }
--></STYLE></HEAD><BODY>
<SYNC Start=1000><P Class=ENCC>Hello.<P Class=KRCC>안녕.
<SYNC Start=2500 End="2600"><P Class=ENCC>&nbsp;
<SYNC Start='3000'><P Class=ENCC ID=Source>Mary<P Class=ENCC>Two lines,<br/>one <!-- not this --> cue.
<sync start=x><p>lost
</BODY></SAMI>
"""
TTML = """<?xml version="1.0" encoding="utf-8"?>
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" ttp:frameRate="25"
 xmlns:ttm="http://www.w3.org/ns/ttml#metadata" ttp:frameRateMultiplier="1000 1001" ttp:tickRate="10000000">
<head><metadata><ttm:agent xml:id="a"><ttm:name>Mary</ttm:name></ttm:agent></metadata></head>
<body><div begin="10s" timeContainer="seq"><!-- c -->
<p begin="1s" dur="1.5s" ttm:agent="a">Hello.<br/>&#233;&amp;</p>
<p begin="00:00:03:12" end="100f"><span begin="1t">Two <span>lines</span>,</span> one cue.</p>
<p><span begin="0.5s" end="1s" style="s">a</span><![CDATA[ <b> ]]></p>
</div></body></tt>
"""
LRC = """[ti:Hello]
[ar: somebody]
[offset:+500]
[00:01.00]Hello.
[00:03.00][00:09.00]Once <00:03.50>more.
[1:02:03.4]x
[00:12]
rubbish
"""
MPL2 = "[10][25]Hello.\n[30][40]/Two lines,|/one cue.\n[-5][]x\n\nno times\n"
TMPLAYER = "00:00:01:Hello.\n00:00:03,1=Two lines,|one cue.\n00:00:03,2=more\n00:00:05:\nrubbish\n"
TSV = "Hello ?\twhere?\nnon\tno\t# note\t3\n  a b \t c\u2028d\nja\tyes\n\t\nsi\tyes\nx\t\noui\tyes\nda\tyes\nhai\tyes\n"
BLOCKS = """ANNA: Hello, is it far?
BEN: Not very. Shall we go?
and a line that goes on.

ANNA: Yes.
BEN: <b>So</b> &amp; so, he said?
---
- Who?
\u2014 Me.
ANNA: Why?
"""
LINES = """How are you? Hello.
Fine, thank you.

- Where is it?
- There.

What is this?
A dialogue.
"""
JSONL = r"""{"turns": ["Hello.", {"text": " Hi,\t\ud83d\ude00 \ud800", "speaker": "Ann", "start": 1.5}], "group": 7}
{"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": [{"type": "text", "text": "What?"}]}]}
{"messages": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": null}, {"from": "a", "value": 1}]}

{"source": "Hello?", "target": "There.", "context": ["Look!", null], "file": "a.srt", "seconds": 1e308}
{"instruction": "Add.", "input": "1 1", "output": "2", "n": 1E400, "m": -0.0}
[["a"], "b"]
{"turns": [1, true, null, {"text": ["a", {"text": "b"}]}], "line": 99999999999999999999}
"""
CONVERSATIONS = [
    {"conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "You?"}]},
    {"turns": [{"speaker": "USER", "utterance": "A table?", "time": "1"}, {"speaker": "SYSTEM", "utterance": "At 8?"}]},
    {"question": "a", "answer": "c", "context": "b"},
    [["x"]],
    None,
]
CONVAI2 = [
    {
        "dialog": [
            {"id": 0, "sender": "participant1", "text": "Hello  there,\nyou", "sender_class": "Human"},
            {"id": 2, "sender": "participant2", "text": "I like cats.", "evaluation": 1},
        ],
        "bot_profile": ["i like cats."],
        "participant1_id": {"class": "User", "user_id": "User 7"},
    },
    {"dialog_id": "0x1", "dialog": [{"id": 0, "sender": "participant2", "text": ""}], "eval_score": 1},
    {"context": "A passage.", "thread": [{"userId": "Bob", "text": "Hm."}, {"userId": "Ann", "text": "So?"}]},
    {"dialog": [{"text": 3}]},
]
CHITCHAT = {
    "a-1": {
        "messages": [
            [
                {"text": "Hello", "timestamp": "2018-05-02T19:38:15Z", "sender": "x"},
                {"text": " How are\nyou?", "timestamp": "0001-01-01T00:00:00+23:59", "sender": "y"},
            ],
            {"text": "Good!", "timestamp": "2018-05-02T19:39:00", "sender": "y"},
        ],
        "prompt": "What is new?",
    },
    "b-2": {"messages": [[{"text": "Anyone?"}], []]},
    "c-3": [],
}
CHATTERBOT = """# about
categories: [greetings, &a b]
conversations:
- - Hello
  - "Hi,\\n you \\u00e9"
- - Ready?
  - yes
  - 42
  - Note: it has a colon
- - >
    folded
    text
  - |+
    kept
- [ x, *b, !!python/object:x y, {k: v} ]
- - - deep
    - - er
"""
DAILY = """Hello ' s there ? __eou__ It ’ s me , Ann . $ 5 __eou__\t1\t2 1
Really ? __eou__ Don ’ t ask .

Hm ? __eou__
a __eou__ b
__eou__
x
"""
CORNELL = (
    """u0 +++$+++ u2 +++$+++ m0 +++$+++ ['L1', 'L2', 'L3']
u3 +++$+++ u4 +++$+++  +++$+++ ['L9', 'L10', 'L77']
u0 +++$+++ m0
""",
    """L10 +++$+++ u4 +++$+++ m7 +++$+++ REX +++$+++ Sit <u>down</u> &amp; wait.
L9 +++$+++ u3 +++$+++ m7 +++$+++ ÉLISE +++$+++ Hello?\tYes – no.
L3 +++$+++ u0 +++$+++ m0 +++$+++ BIANCA +++$+++ No  spaces   left.
L2 +++$+++ u2 +++$+++ m0 +++$+++ CAMERON +++$+++
L1 +++$+++ u0 +++$+++ m0 +++$+++  +++$+++ They do not!
rubbish
""",
)
OPUS = """<?xml version="1.0" encoding="utf-8"?>
<document id="4296906"><meta><conversion><sentences>3</sentences></conversion></meta>
  <s id="1">
    <time id="T1S" value="00:00:05,897" />
- Hello, how'd you score that?
  </s>
  <s id="2">- Mike the groundskeeper.<time id="T1E" value="00:00:08,654" /></s>
  <s id="3"><time id="T2S" value="-0:01:00, 5" />I went<time id="T2E" value="x" />home &amp; slept.</s>
  <s id="4"><w id="4.1">How</w><w id="4.2">'d</w><chunk type="NP"><w id="4.3">"</w></chunk><w>it</w><w>"</w></s>
</document>
"""
TMX = """<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en-GB" datatype="plaintext"><note>x</note></header><body>
<tu tuid="1"><prop type="x">y</prop><tuv xml:lang="en-GB"><seg>Hello <bpt i="1">&lt;b></bpt>you<ept i="1"/>.</seg></tuv>
<tuv xml:lang="fr"><seg>Bonjour<ph type="lb"/> toi.</seg></tuv></tu>
<tu><tuv lang="en_gb"><seg>No.</seg></tuv><tuv lang="FR"><seg></seg></tuv></tu>
<tu><tuv xml:lang="en"><seg><![CDATA[a]]></seg></tuv><tuv xml:lang="fr"><seg>&#x41;</seg></tuv></tu>
</body></tmx>
"""
WHATSAPP = """12/31/20, 9:15\u202fPM - Messages and calls are end-to-end encrypted. Tap to learn more.
12/31/20, 9:15 PM - Ann: Hello?
12/31/20, 9:16 PM - Bob Ross: Yes: always.
And I have
three lines.
12/31/20, 9:17 PM - Ann: <Media omitted>
2020. 12. 31. 오후 9:20 - Ann: https://example.org/a
31/13/9999, 25:61 - Ann: Good morning @\u2068Bob\u2069 @4915112345678!
"""
WHATSAPP_IOS = """[31.12.20, 21:15:03] Ann: Hello?
\u200e[31.12.20, 21:15:30] Ann: \u200eBild weggelassen
[31.12.20, 21:16:03] ~\u202fBob: Ja. \u200e<Diese Nachricht wurde bearbeitet.>
[01.01.21, 21:16:04] Ann: Gut
"""
DISCORD = """==============================================================
Guild: A guild
Channel: general / talk
==============================================================

[12/31/2020 9:15 PM] ann
Hello <:wave:123456> @bob?

[2020-12-31T21:16:00.123+01:00] bob (pinned)
Yes.
{Attachments}
https://example.org/a.png

[01-Jan-21 08:00 AM] ann
Joined the server.

==============================================================
Exported 3 message(s)
"""
DISCORD_CSV = """AuthorID,Author,Date,Content,Attachments,Reactions
"1","ann","2020-12-31T21:15:00.0000000+00:00","Hello, ""you"":
two lines","",""
"2","bob#1234","31/12/2020 21:16","Yes.","",""
3,x
"""
DISCORD_JSON = {
    "guild": {"id": "1", "name": "A guild"},
    "channel": {"id": "2", "type": "GuildTextChat"},
    "messages": [
        {"type": "Default", "timestamp": "2020-12-31T21:15:00+00:00", "content": "Hello @B", "author": {"name": "ann"},
         "mentions": [{"nickname": "B", "name": "bob"}]},
        {"type": "Reply", "timestamp": "2020-12-31T21:16:00+00:00", "content": "Yes.", "author": {"name": "b"}},
        {"type": "Default", "timestamp": "0", "content": None, "author": None},
        {"type": "Default", "timestamp": "9999-12-31T23:59:59-23:59", "content": "x",
         "author": {"name": "c", "isBot": 1},
         "mentions": 1},
    ],
}  # fmt: skip
MOSES = ("Hello ?\nnon\n日本\n\n", "where?\nno\nJapan\n\n")
OWN: dict[str, list[tuple[str, str | tuple[str, str]]]] = {
    "srt": [("a.srt", SRT), ("b.srt", WIDE), ("no-name", TRANSCRIPT)],
    "vtt": [("a.vtt", VTT)],
    "ass": [("a.ass", ASS), ("a.ssa", SSA)],
    "microdvd": [("a.sub", MICRODVD)],
    "subviewer": [("a.sub", SUBVIEWER), ("b.sub", SUBVIEWER_1)],
    "sbv": [("a.sbv", SBV)],
    "sami": [("a.smi", SAMI)],
    "ttml": [("a.ttml", TTML)],
    "lrc": [("a.lrc", LRC)],
    "mpl2": [("a.mpl", MPL2)],
    "tmplayer": [("a.txt", TMPLAYER)],
    "tsv": [("a.tsv", TSV)],
    "moses": [("train", MOSES)],
    "blocks": [("play.txt", BLOCKS), ("chat.txt", LINES)],
    "jsonl": [("a.jsonl", JSONL), ("a.json", json.dumps(CONVERSATIONS))],
    "convai2": [("train.json", json.dumps(CONVAI2))],
    "chitchat": [("dataset.json", json.dumps(CHITCHAT))],
    "chatterbot": [("greetings.yml", CHATTERBOT)],
    "dailydialog": [("dialogues_text.txt", DAILY)],
    "cornell": [("movie_conversations.txt", CORNELL)],
    "opus": [("en/1994/1/2.xml", OPUS)],
    "tmx": [("a.tmx", TMX)],
    "whatsapp": [("chat.txt", WHATSAPP), ("_chat.txt", WHATSAPP_IOS)],
    "discord": [("a.txt", DISCORD), ("a.csv", DISCORD_CSV), ("a.json", json.dumps(DISCORD_JSON))],
}
DESCRIPTIONS = (
    """name = "night-ferry"
description = "Hello."
reader = "srt"
files = ["*.srt", "sub/**/*.vtt"]
languages = ["en"]
licence = "CC0-1.0"
valid_share = 0.05

[settings.train]
select = "last"
batch_tokens = 800
learning_rate = 0.002

[settings.data]
scene_gap = 3.5
without = "signs, songs"
""",
    'files = ["pairs.tsv", "x"]\nlanguages = ["de", "en"]\nvalid_share = 0.5\n',
    'files = ["x", "[c-x].?[en]"]\nlanguages = ["de", "en"]\nreader = "moses"\n[settings.data]\nmax_length = 9\n',
)
WORDS = {
    "utf-16": "Hello",
    "utf-16-le": "Où",
    "utf-16-be": "Привет",
    "utf-32": "こんにちは",
    "cp1252": "Où ça, déjà",
    "cp1251": "Привет, как дела",
    "shift_jis": "こんにちは、元気",
    "gb18030": "你好，你在哪里",
}
"""Other encodings, and what is said in them in the place of `Hello`."""
DEAR = ("cp1252", "cp1251", "shift_jis", "gb18030")
"""Those that have to be guessed, for which a file is looked at byte by byte."""


def variants(seed: Seed) -> Iterator[Seed]:
    """Yield a file as it is, with other line ends, and in other encodings."""
    yield seed
    for end in ("\r\n", "\r"):
        yield Seed(seed.kind, seed.name, tuple(side.replace(b"\n", end.encode()) for side in seed.sides))
    for encoding, word in WORDS.items():
        sides = tuple(_declared(side.replace(b"Hello", word.encode()), encoding) for side in seed.sides)
        if encoding not in DEAR or sides != seed.sides:
            yield Seed(seed.kind, seed.name, sides, encoding)


def _declared(side: bytes, encoding: str) -> bytes:
    """Let half of the XML say in which encoding it really is, as by its length."""
    return re.sub(rb'(?i)(<[?]xml[^>]*encoding=")utf-8', rb"\g<1>" + encoding.encode(), side) if len(side) % 2 else side


_METHODS = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2)


def archive_of(kind: str, members: Iterable[tuple[str, bytes]], *, methods: Sequence[int] = _METHODS) -> bytes:
    """Return the bytes of an archive; of a kind that holds one file, the first one packed.

    Without LZMA in a zip, for the library takes 100 MB to pack it.
    """
    packed = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(packed, "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # two members of one name are meant
            for number, (name, data) in enumerate(members):
                archive.writestr(zipfile.ZipInfo(name), data, methods[number % len(methods)])
        return packed.getvalue()
    if kind in ("tar", "tar.gz"):
        layout = (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)[kind == "tar.gz"]
        with tarfile.open(fileobj=packed, mode="w", format=layout) as archive:
            for name, data in members:
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        content = packed.getvalue().rstrip(b"\0")
        whole = content + bytes(-len(content) % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)
        return gzip.compress(whole, mtime=0) if kind == "tar.gz" else whole
    [(_, data), *_] = members
    packers = {
        "gz": lambda it: gzip.compress(it, mtime=0),
        "bz2": lambda it: bz2.compress(it, 1),
        "xz": lambda it: lzma.compress(it, preset=0),
    }
    return packers[kind](data)


def every_seed() -> list[Seed]:
    """Return the files of every kind: those of the contract's test, and those here."""
    specification = importlib.util.spec_from_file_location("samples_of_the_contract", _CONTRACT)
    assert specification is not None and specification.loader is not None
    contract = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(contract)
    seeds: list[Seed] = []
    for kind, name, sample in [
        *((kind, name, sample) for kind, samples in contract.SAMPLES.items() for name, sample in samples.items()),
        *((kind, name, sample) for kind, samples in OWN.items() for name, sample in samples),
    ]:
        texts = sample if isinstance(sample, tuple) else (sample,)
        sides = tuple(text if isinstance(text, bytes) else text.encode() for text in texts)
        seeds += variants(Seed(kind, name, sides))
    members = [
        ("a.srt", SRT.encode()),
        ("sub/b.vtt", VTT.encode()),
        ("c/d.tsv", TSV.encode()),
        ("x.jsonl", JSONL.encode()),
    ]
    long = [("n/" * 80 + "a.srt", SRT.encode()), ("é.srt", WIDE.encode())]
    seeds += [Seed(kind, f"a.{kind}", (archive_of(kind, some),)) for kind in ARCHIVES for some in (members, long)]
    seeds.append(Seed("zip", "a.zip", (archive_of("zip", members, methods=(zipfile.ZIP_LZMA, *_METHODS)),)))
    seeds += [Seed(DESCRIPTION, DESCRIPTION, (text.encode(),)) for text in DESCRIPTIONS]
    return seeds
