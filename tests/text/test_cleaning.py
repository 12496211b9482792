"""Bytes of any encoding become text, and of a cue only what is said stays."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2sbot import clean_line, decode_text, split_speakers, strip_markup

TEXT = "Grüße!\nŽluťoučký kůň – 日本語 🚢\n"


def is_subsequence(short, long):
    rest = iter(long)
    return all(char in rest for char in short)


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-32", "utf-32"),
    ],
)
def test_unicode_with_and_without_a_mark(encoding, name):
    assert decode_text(TEXT.encode(encoding)) == (TEXT, name)


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_marks_of_both_byte_orders(mark, encoding):
    assert decode_text(mark + TEXT.encode(encoding))[0] == TEXT


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_known_by_its_zero_bytes(encoding):
    assert decode_text("Where are we going?\n".encode(encoding)) == ("Where are we going?\n", encoding)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy. Šel jsem domů, protože bylo už pozdě večer a tma.\n"),
        ("cp1250", "Gdzie są moje książki? Żółta łódź płynie w świetle księżyca, a ja już nic nie słyszę.\n"),
        ("cp1252", "Où êtes-vous allée cet été ? J’étais très fatiguée, alors je suis restée à la maison.\n"),
        ("cp1252", "¿Dónde está mañana el niño? ¡Qué sueño más extraño! No sé qué pasó después en España.\n"),
        ("cp1252", "Wir müssen über die Brücke gehen, sagte er, und natürlich schloß Jürgen höflich die Tür.\n"),
        ("cp1251", "Куда мы идём? Мы идём домой, потому что уже поздно и очень холодно на улице.\n"),
    ],
)
def test_old_code_pages_are_detected(encoding, text):
    assert decode_text((text * 20).encode(encoding))[0] == text * 20


@pytest.mark.parametrize("data", [bytes(range(256)) * 8, b"\0" * 100, codecs.BOM_UTF8 + b"\xff\xfe\xff"])
def test_binary_data_is_refused(data):
    with pytest.raises(ValueError):
        decode_text(data)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system(end):
    assert decode_text(f"a{end}b{end}{end}c".encode())[0] == "a\nb\n\nc"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0\ufeff")), st.data())
def test_a_head_may_end_inside_a_character(text, data):
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
    whole = text.encode(encoding)
    head = whole[: data.draw(st.integers(0, len(whole)))]
    decoded = decode_text(head, cut=True)[0] if encoding == "utf-8" or len(head) > 3 else ""
    assert text.startswith(decoded.replace("\0", ""))


def test_without_cut_half_a_character_is_no_utf_8():
    assert decode_text("日本".encode()[:-1], cut=True) == ("日", "utf-8")
    with pytest.raises(ValueError):
        decode_text("日本".encode("utf-16")[:-1])


@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_a_value_error(data):
    try:
        text, encoding = decode_text(data)
    except ValueError:
        return
    assert "\r" not in text
    assert codecs.lookup(encoding)


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
        ("-", []),
        ("", []),
        (" \n ", []),
    ],
)
def test_split_speakers(raw, parts):
    assert split_speakers(raw) == parts


LINES = st.text(st.sampled_from(list("ab AB5.!?:-–—\n\t[]()♪>,\"'”éЯ\u00ad{}")))


@given(st.one_of(LINES, st.text()))
def test_clean_line_never_invents_text(text):
    said = clean_line(text)
    assert is_subsequence("".join(said.split()), "".join(text.split()))
    assert said == " ".join(said.split())


@given(st.one_of(LINES, st.text()))
def test_split_speakers_never_invents_nor_loses_a_word(text):
    parts = split_speakers(text)
    assert is_subsequence("".join("".join(parts).split()), "".join(text.split()))
    assert [char for part in parts for char in part if char.isalnum()] == [char for char in text if char.isalnum()]
