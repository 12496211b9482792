"""OPUS OpenSubtitles becomes cues, translation memories become exchanges, and no XML can do harm."""

import io
import re
import time
import tracemalloc
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s2sbot_opus import DEEPEST, LARGEST_PIECE, Opus, Tmx, join_words

from s2sbot import Cue, Exchange, Lost, Origin
from s2sbot.testing import check_reader

RAW = """<?xml version="1.0" encoding="utf-8"?>
<document id="4296906">
  <s id="1">
    <time id="T1S" value="00:00:05,897" />
- How'd you score that?
  </s>
  <s id="2">
- Mike the groundskeeper.
    <time id="T1E" value="00:00:08,654" />
  </s>
  <s id="3">
    <time id="T2S" value="00:01:00,000" />
I went
    <time id="T2E" value="00:01:02,000" />
    <time id="T3S" value="00:01:02,500" />
home &amp; slept.
    <time id="T3E" value="00:01:04,500" />
  </s>
  <meta>
    <conversion><sentences>3</sentences><encoding>utf-8</encoding></conversion>
    <source><year>1994</year><genre>Drama</genre></source>
    <subtitle><language>English</language></subtitle>
  </meta>
</document>
"""
RAW_CUES = [
    Cue(5.897, 8.654, "- How'd you score that?"),
    Cue(5.897, 8.654, "- Mike the groundskeeper."),
    Cue(60.0, 64.5, "I went home & slept."),
]
WORDS = """<?xml version="1.0" encoding="utf-8"?>
<document id="3162235">
  <s id="1">
    <time id="T1S" value="00:01:03,660"/>
    <w alternative="Inglaterra" id="1.1">INGLATERRA</w>
    <w id="1.2">,</w>
    <w id="1.3" emphasis="italics">1554</w>
    <w id="1.4">.</w>
    <time id="T1E" value="00:01:06,458"/>
  </s>
  <s id="2">
    <time id="T2S" value="00:01:09,300"/>
    <w id="2.1">-</w>
    <w id="2.2">How</w>
    <w id="2.3">'d</w>
    <w id="2.4">you</w>
    <time id="T2E" value="00:01:11,734"/>
    <time id="T3S" value="00:01:12,000"/>
    <chunk type="NP"><w id="2.5" pos="NN">score</w></chunk>
    <w id="2.6">that</w>
    <w id="2.7">?</w>
  </s>
  <s id="3">
    <w id="3.1">Well</w>
    <w id="3.2">...</w>
    <time id="T3E" value="00:01:14,000"/>
  </s>
</document>
"""
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE {root} [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]><{root}>{inside}</{root}>"
)


def read(text, reader=Opus):
    data = text if isinstance(text, bytes) else text.encode()
    return list(reader().read(io.BytesIO(data), "x.xml"))


def document(body):
    return f'<?xml version="1.0" encoding="utf-8"?><document id="1">{body}</document>'


def at(name, value):
    return f'<time id="{name}" value="00:00:{value:02},000" />'


def test_sentences_as_they_are_written():
    assert read(RAW) == RAW_CUES


def test_sentences_in_words():
    assert read(WORDS) == [
        Cue(63.66, 66.458, "INGLATERRA, 1554."),
        Cue(69.3, 74.0, "- How'd you score that?"),
        Cue(72.0, 74.0, "Well..."),
    ]


@pytest.mark.parametrize(
    ("body", "cues"),
    [
        # on one line, as OPUS wrote it for some years
        (f'<s id="1">{at("T1S", 1)}Hi.<br />You.{at("T1E", 2)}</s>', [(1, 2, "Hi.You.")]),
        # the end is missing: the next start ends it
        (f"<s>{at('T1S', 1)}Hi.</s><s>{at('T2S', 5)}Ho.{at('T2E', 6)}</s>", [(1, 5, "Hi."), (5, 6, "Ho.")]),
        # nothing ends the last one
        (f"<s>{at('T1S', 1)}Hi.{at('T1E', 2)}</s><s>Ho.</s>", [(1, 2, "Hi."), (2, 2, "Ho.")]),
        # a sentence between two blocks
        (
            f"<s>{at('T1S', 1)}Hi.{at('T1E', 2)}</s><s>Ho.</s><s>{at('T2S', 4)}Hu.{at('T2E', 5)}</s>",
            [(1, 2, "Hi."), (2, 4, "Ho."), (4, 5, "Hu.")],
        ),
        # no time before the first one
        (f"<s>Hi.</s><s>{at('T1S', 4)}Ho.{at('T1E', 5)}</s>", [(4, 4, "Hi."), (4, 5, "Ho.")]),
        # times beside sentences
        (f"{at('T1S', 1)}<s>Hi.</s>{at('T1E', 2)}", [(1, 2, "Hi.")]),
        # a paragraph around them
        (f"<p><s>{at('T1S', 1)}Hi.{at('T1E', 2)}</s></p>", [(1, 2, "Hi.")]),
        # a time that goes back
        (f"<s>{at('T1S', 5)}Hi.{at('T1E', 2)}</s>", [(5, 5, "Hi.")]),
        # no text
        (f"<s>{at('T1S', 1)}{at('T1E', 2)}</s><s/><s>{at('T2S', 3)} <w> </w>{at('T2E', 4)}</s>", []),
        # markup of the subtitles themselves
        (f"<s>{at('T1S', 1)}&lt;i&gt;Hi.&lt;/i&gt;{at('T1E', 2)}</s>", [(1, 2, "Hi.")]),
        # the text goes on beyond the time that ended it
        (f"<s>{at('T1S', 1)}Hi,{at('T1E', 2)} you.</s>{at('T2S', 7)}", [(1, 7, "Hi, you.")]),
    ],
)
def test_odd_times(body, cues):
    assert [(cue.start, cue.end, cue.text) for cue in read(document(body))] == cues


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("00:00:01,5", 1.5), ("1:00:00.25", 3600.25), ("00:00:07", 7.0), ("-00:00:01,000", -1.0), (" 00:00:02:500 ", 2.5)],
)
def test_ways_to_write_a_time(value, seconds):
    [cue] = read(document(f'<s><time id="T1S" value="{value}"/>Hi.</s>{at("T1E", 59)}'))
    assert cue == Cue(seconds, max(seconds, 59.0), "Hi.")


def test_what_is_no_time_is_lost():
    assert read(document(f'<s>{at("T1S", 1)}Hi.<time id="T1E" value="soon"/></s>{at("T2S", 4)}')) == [
        Lost("no time: 'soon'"),
        Cue(1.0, 4.0, "Hi."),
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("Do n't do that , he said .", "Don't do that, he said."),
        ("It 's ( not ) 5 % !", "It's (not) 5%!"),
        ('He said " yes " and left .', 'He said "yes" and left.'),
        ('He said " yes and left .', 'He said " yes and left.'),
        ("¿ Qué ? ¡ No !", "¿Qué? ¡No!"),
        ("L' homme qu' il a vu", "L'homme qu'il a vu"),
        ("the dogs ' house - mine", "the dogs ' house - mine"),
        ("你 好 。 OK 吗 ？", "你好。 OK 吗？"),
        ("( He « il » )", "(He «il»)"),
        (" ", ""),
    ],
)
def test_words_are_joined_where_it_is_certain(words, sentence):
    assert join_words(words.split(" ")) == sentence


@given(st.lists(st.text(max_size=8), max_size=20))
def test_joining_changes_nothing_but_spaces(words):
    assert "".join(join_words(words).split()) == "".join("".join(words).split())


def test_a_file_that_breaks_off_is_read_up_to_there():
    whole = read(RAW)
    broken = read(RAW[: RAW.index("I went")])
    assert broken[:2] == whole[:2]
    assert [type(item) for item in broken[2:]] == [Lost]
    assert broken[2].cause == "breaks off: no element found"
    assert broken[2].line == 13
    wrong = read(RAW.replace("<conversion>", "<conversion><b></c>"))
    assert wrong[:3] == whole
    assert wrong[3].cause.startswith("breaks off: mismatched tag")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged XML"),
        ("no XML", "damaged XML"),
        ("<document", "damaged XML"),
        (document("<s>"), "damaged XML"),
        (document(""), "no sentence in it"),
        (document("<s>Hi.</s>" * 3), "no times in it: not OPUS OpenSubtitles"),
        (document("<s>Hi.</s>" * 3000), "no times in it: not OPUS OpenSubtitles"),
        ('<?xml version="1.0" encoding="klingon"?><document/>', "damaged XML"),
        ("<a>" * (DEEPEST + 1), "deep"),
        (document("<s>" + "x" * (LARGEST_PIECE + 2**16)), "larger than"),
        (document("<x>" + "<yyyyyyyyyyyyy/>" * (LARGEST_PIECE // 15) + "</x>"), "larger than"),
        (BOMB.format(root="document", inside="<s>&j;</s>"), "entities"),
        ('<!DOCTYPE document [<!ENTITY x SYSTEM "file:///etc/passwd">]><document><s>&x;</s></document>', "entities"),
        ('<!DOCTYPE d [<!ENTITY % p SYSTEM "http://127.0.0.1/"> %p;]><d><s>x</s></d>', "entities"),
        (bytes(range(256)), "damaged XML"),
    ],
)
def test_what_cannot_be_read_is_a_value_error_at_once(text, message):
    start = time.monotonic()
    with pytest.raises(ValueError, match=message):
        read(text)
    assert time.monotonic() - start < 20


def test_a_long_file_takes_no_memory():
    sentence = f'<s id="1">{at("T1S", 1)}<w id="1.1">Hello</w><w id="1.2">.</w>{at("T1E", 2)}</s>\n'.encode()

    class Long(io.RawIOBase):
        left = 6_000
        begun = False

        def readable(self):
            return True

        def readinto(self, buffer):
            if self.left < 0:
                return 0
            many = max(1, min(self.left, len(buffer) // len(sentence)))
            data = sentence * many if self.begun else b"<document>"
            self.left -= many if self.begun else 0
            self.begun = True
            if self.left == 0:
                data, self.left = data + b"</document>", -1
            buffer[: len(data)] = data
            return len(data)

    tracemalloc.start()
    try:
        count = sum(1 for _ in Opus().read(io.BufferedReader(Long(), 2**16), "x.xml"))
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()
    assert count == 6_000


def test_opus_is_known_by_its_content():
    assert Opus().sniff(RAW.encode(), "x") > 0.9
    assert Opus().sniff(WORDS.encode()[:400], "x") > 0.9
    assert Opus().sniff(("\n" + RAW).encode("utf-16"), "x") > 0.9
    assert 0 < Opus().sniff(document("<s>Hi.</s>").encode(), "x.xml") < 0.5
    for text in ("", "words", "<html><s>struck</s></html>", TMX, '{"s": 1}', "1\n00:00:01,000 --> 00:00:02,000\nHi.\n"):
        assert Opus().sniff(text.encode(), "xml/en/1994/1/1.xml") == 0


TMX = """<?xml version="1.0" encoding="UTF-8" ?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4">
<header creationdate="Tue Jan 22 2019" srclang="en" adminlang="en" o-tmf="unknown" segtype="sentence"
  creationtool="Uplug" creationtoolversion="unknown" datatype="PlainText"><prop type="x">n</prop></header>
  <body>
    <tu>
      <tuv xml:lang="de"><seg>Hallo,   Welt.</seg></tuv>
      <tuv xml:lang="en"><prop type="x">no text</prop><seg>Hello &amp; goodbye.</seg></tuv>
    </tu>
    <tu tuid="2"><note>n</note>
      <tuv xml:lang="EN-us"><seg>Press <bpt i="1">&lt;b&gt;</bpt>OK<ept i="1">&lt;/b&gt;</ept> <hi>now</hi>.</seg></tuv>
      <tuv xml:lang="de_AT"><seg>Drück<ph type="lb">x</ph>OK<it pos="begin">x<sub>y</sub></it><ut>z</ut>.</seg></tuv>
    </tu>
    <tu><tuv xml:lang="en"><seg>Alone.</seg></tuv></tu>
    <tu><tuv xml:lang="en"><seg/></tuv><tuv xml:lang="de"><seg>Leer.</seg></tuv></tu>
  </body>
</tmx>
"""
TMX_ITEMS = [
    Exchange("Hello & goodbye.", "Hallo, Welt.", origin=Origin("x.xml", line=1)),
    Exchange("Press OK now.", "Drück OK.", origin=Origin("x.xml", line=2)),
    Lost("a unit without text in both languages", 3),
    Lost("a unit without text in both languages", 4),
]


def unit(**texts):
    sides = "".join(
        f'<tuv xml:lang="{tag.replace("_", "-")}"><seg>{escape(text)}</seg></tuv>' for tag, text in texts.items()
    )
    return f"<tu>{sides}</tu>"


def memory(*units, srclang="en"):
    return f'<tmx version="1.4"><header srclang="{srclang}"/><body>{"".join(units)}</body></tmx>'


def pairs(text, *languages):
    items = list(Tmx(languages).read(io.BytesIO(text.encode()), "x.tmx"))
    return [(item.source, item.target) for item in items if isinstance(item, Exchange)]


def test_units_in_two_languages():
    assert read(TMX, Tmx) == TMX_ITEMS


def test_tmx_in_other_encodings_and_older_versions():
    wide = TMX.replace("UTF-8", "UTF-16").encode("utf-16")
    assert read(wide, Tmx) == TMX_ITEMS
    assert Tmx().sniff(wide, "x") > 0.9
    assert read(TMX.replace("UTF-8", "windows-1252").encode("cp1252"), Tmx) == TMX_ITEMS
    assert read(TMX.replace("xml:lang", "lang").replace('version="1.4"', 'version="1.1"'), Tmx) == TMX_ITEMS
    assert read(TMX.replace("<tmx ", '<tmx xmlns="http://www.lisa.org/tmx14" '), Tmx) == TMX_ITEMS


@pytest.mark.parametrize(
    ("srclang", "pair"),
    [("en", ("Hi.", "Salut.")), ("FR-ca", ("Salut.", "Hi.")), ("*all*", ("Salut.", "Hi.")), ("de", ("Salut.", "Hi."))],
)
def test_the_source_is_what_the_header_says_or_comes_first(srclang, pair):
    assert pairs(memory(unit(fr="Salut.", en_GB="Hi."), srclang=srclang)) == [pair]


def test_two_kinds_of_one_language_are_two():
    text = memory(unit(pt_BR="Ônibus.", pt_PT="Autocarro."), unit(pt_PT="Comboio.", pt_BR="Trem."), srclang="pt-PT")
    assert pairs(text) == [("Autocarro.", "Ônibus."), ("Comboio.", "Trem.")]


def test_languages_may_be_given():
    text = memory(unit(en="Hi.", de="Hallo.", fr="Salut."), unit(fr="Oui.", de_CH="Ja."), unit(en="No.", fr="Non."))
    assert pairs(text, "de", "FR") == [("Hallo.", "Salut."), ("Ja.", "Oui.")]
    assert pairs(text, "fr", "en") == [("Salut.", "Hi."), ("Non.", "No.")]
    with pytest.raises(ValueError, match="no unit with text in de and es"):
        pairs(text, "de", "es")
    with pytest.raises(ValueError, match="more than two languages: en, de, fr"):
        pairs(text)
    with pytest.raises(ValueError, match="more than two languages: en, de, fr"):
        pairs(memory(unit(en="Hi.", de="Hallo."), unit(en="No.", fr="Non.")))
    with pytest.raises(ValueError, match="two languages"):
        Tmx(("de",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged XML"),
        ("<tmx>", "damaged XML"),
        (memory(), "no unit with text in two languages"),
        (memory(unit(en="Alone.")), "no unit with text in two languages"),
        (RAW, "no unit"),
        (BOMB.format(root="tmx", inside="<tu>&j;</tu>"), "entities"),
        (memory("<tu>" + "<x>" * DEEPEST), "deep"),
    ],
)
def test_what_is_no_memory_is_a_value_error(text, message):
    with pytest.raises(ValueError, match=message):
        read(text, Tmx)


def test_a_memory_that_breaks_off():
    assert read(TMX[: TMX.index("<tu><tuv")], Tmx) == [*TMX_ITEMS[:2], Lost("breaks off: no element found", 15)]


def test_tmx_is_known_by_its_content():
    assert Tmx().sniff(TMX.encode(), "x") > 0.9
    for text in ("", "tmx", RAW, "<html><tmxx></html>", "see <tmx>"):
        assert Tmx().sniff(text.encode(), "x.tmx") == 0


CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
SIDE = st.text(CHARACTERS, min_size=1).map(lambda text: " ".join(text.split())).filter(bool)


@given(st.lists(st.tuples(SIDE, SIDE), min_size=1))
def test_printed_units_are_read_back(sides):
    assert pairs(memory(*(unit(en=source, de=target) for source, target in sides))) == sides


@given(st.data(), st.sampled_from([(Opus, RAW), (Opus, WORDS), (Tmx, TMX)]))
def test_damage_is_a_value_error_or_lost(data, sample):
    reader, text = sample
    places = [match.start() for match in re.finditer(r"[<>\"/&]", text)]
    place = data.draw(st.sampled_from(places))
    damage = data.draw(
        st.one_of(st.binary(max_size=4), st.sampled_from([b"<", b"<s>", b"</s>", b"&x;", b"<tu>", b"]]>"]))
    )
    try:
        items = read(text[:place].encode() + damage + text[place + data.draw(st.integers(0, 3)) :].encode(), reader)
    except ValueError:
        return
    assert all(isinstance(item, Cue | Exchange | Lost) for item in items)


@pytest.mark.parametrize(("reader", "text"), [(Opus, RAW), (Opus, WORDS), (Tmx, TMX)], ids=["raw", "words", "tmx"])
def test_the_contract_of_readers(reader, text):
    check_reader(reader, text.encode(), "x.xml")
