"""Exported chats become dialogues of what people wrote, in every layout that phones and Discord have."""

import csv
import io
import json
import re
import tracemalloc
from datetime import datetime, timedelta
from itertools import islice

import pytest
import s2sbot_exports
from hypothesis import given
from hypothesis import strategies as st
from s2sbot_exports import (
    DISCORD_SILENCE,
    LARGEST_DIALOGUE,
    LARGEST_MESSAGE,
    WHATSAPP_SILENCE,
    Discord,
    WhatsApp,
    date_order,
)

from s2sbot import Dialogue, Lost, Origin, Turn
from s2sbot.testing import check_reader
from s2sbot.text.encoding import LONGEST_LINE
from s2sbot.text.json_stream import DEEPEST, LARGEST_ELEMENT

LRM, NARROW = "\u200e", "\u202f"
ANDROID = """12/31/20, 9:15 PM - Messages and calls are end-to-end encrypted. Tap to learn more.
12/31/20, 9:15 PM - Ann: Are you there?
12/31/20, 9:16 PM - Bob Ross: Yes: always.
And I have
three lines.
12/31/20, 9:16 PM - Bob Ross: Why?
12/31/20, 9:17 PM - Ann: <Media omitted>
12/31/20, 9:20 PM - Ann: Happy new year!
1/1/21, 8:00 AM - Bob Ross: Good morning.
1/1/21, 8:01 AM - Ann: Morning!
"""
ANDROID_ITEMS = [
    Dialogue(
        (
            Turn("Are you there?", "Ann", 0.0),
            Turn("Yes: always.\nAnd I have\nthree lines.\nWhy?", "Bob Ross", 60.0),
        ),
        Origin("chat.txt", line=2),
    ),
    Dialogue((Turn("Happy new year!", "Ann", 300.0),), Origin("chat.txt", line=8)),
    Dialogue(
        (Turn("Good morning.", "Bob Ross", 38700.0), Turn("Morning!", "Ann", 38760.0)), Origin("chat.txt", line=9)
    ),
]
IOS = f"""[31.12.20, 21:15:03] Ann & Bob: {LRM}Nachrichten und Anrufe sind Ende-zu-Ende-verschlüsselt.
[31.12.20, 21:15:03] Ann: Bist du da?
{LRM}[31.12.20, 21:15:30] Ann: {LRM}Bild weggelassen
[31.12.20, 21:16:03] ~{NARROW}Bob: Ja. {LRM}<Diese Nachricht wurde bearbeitet.>
[31.12.20, 21:16:04] ~{NARROW}Bob: {LRM}Du hast diese Nachricht gelöscht.
[31.12.20, 21:16:05] Ann: https://example.org/a http://example.org
[31.12.20, 21:17:03] Ann: Gut, @\u2068Bob Ross\u2069 !
"""


def whatsapp(text, name="chat.txt"):
    data = text if isinstance(text, bytes) else text.encode()
    return list(WhatsApp().read(io.BytesIO(data), name))


def discord(text, name="chat.txt"):
    data = text if isinstance(text, bytes) else text.encode()
    return list(Discord().read(io.BytesIO(data), name))


def turns(items):
    return [(turn.speaker, turn.text) for item in items if isinstance(item, Dialogue) for turn in item.turns]


def test_android():
    assert whatsapp(ANDROID) == ANDROID_ITEMS


def test_ios():
    assert whatsapp(IOS) == [
        Dialogue((Turn("Bist du da?", "Ann", 0.0),), Origin("chat.txt", line=2)),
        Dialogue((Turn("Ja.", "Bob", 60.0),), Origin("chat.txt", line=4)),
        Dialogue((Turn("Gut,  !", "Ann", 120.0),), Origin("chat.txt", line=7)),
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("12/31/20, 9:15 PM - ", "12/31/20, 9:16 PM - "),
        (f"12/31/20, 9:15{NARROW}PM - ", f"12/31/20, 9:16{NARROW}PM - "),
        ("31/12/2020, 9:15 pm - ", "31/12/2020, 9:16 pm - "),
        ("31/12/20, 9:15 p.m. - ", "31/12/20, 9:16 p.m. - "),
        ("31/12/20 9:15 p. m. - ", "31/12/20 9:16 p. m. - "),
        (f"31/12/2020, 9:15 p.{NARROW}m. - ", f"31/12/2020, 9:16 p.{NARROW}m. - "),
        ("31.12.20, 21:15 - ", "31.12.20, 21:16 - "),
        ("31.12.2020, 21:15 – ", "31.12.2020, 21:16 – "),
        ("31/12/2020 à 21:15 - ", "31/12/2020 à 21:16 - "),
        ("31-12-20 21:15 - ", "31-12-20 21:16 - "),
        ("2020-12-31 21:15 - ", "2020-12-31 21:16 - "),
        ("2020/12/31, 21:15 - ", "2020/12/31, 21:16 - "),
        ("2020. 12. 31. 오후 9:15 - ", "2020. 12. 31. 오후 9:16 - "),
        ("2020. 12. 31. 21:15 - ", "2020. 12. 31. 21:16 - "),
        ("2020/12/31 下午9:15 - ", "2020/12/31 下午9:16 - "),
        ("31/12/20, 9:15 μ.μ. - ", "31/12/20, 9:16 μ.μ. - "),
        ("31.12.2020 klo 21.15 - ", "31.12.2020 klo 21.16 - "),
        ("[12/31/20, 9:15:00 PM] ", "[12/31/20, 9:16:00 PM] "),
        (f"[12/31/20, 9:15:00{NARROW}PM] ", f"[12/31/20, 9:16:00{NARROW}PM] "),
        ("[31.12.20, 21:15:00] ", "[31.12.20, 21:16:00] "),
        (f"{LRM}[31/12/2020, 21:15:00] ", f"{LRM}[31/12/2020, 21:16:00] "),
        ("[2020-12-31, 21:15:00] ", "[2020-12-31, 21:16:00] "),
        ("[31.12.2020 klo 21.15.00] ", "[31.12.2020 klo 21.16.00] "),
        ("[31/12/20 21:15:00] ", "[31/12/20 21:16:00] "),
        ("\ufeff31.12.20, 21:15 - ", "31.12.20, 21:16 - "),
        ("٣١/١٢/٢٠٢٠, ٩:١٥ م - ", "٣١/١٢/٢٠٢٠, ٩:١٦ م - "),
        ("٣١\u200f/١٢\u200f/٢٠٢٠، ٩:١٥ م - ", "٣١\u200f/١٢\u200f/٢٠٢٠، ٩:١٦ م - "),
        ("\u200f[٣١\u200f/١٢\u200f/٢٠٢٠، ٩:١٥:٠٠ م] ", "[٣١\u200f/١٢\u200f/٢٠٢٠،\u200f ٩:١٦:٠٠ م] "),
        ("۲۰۲۰/۱۲/۳۱،\u200f ۹:۱۵ ب.ظ. - ", "۲۰۲۰/۱۲/۳۱،\u200f ۹:۱۶ ب.ظ. - "),
        ("۲۰۲۰/۱۲/۳۱،\u061c ۲۱:۱۵ - ", "۲۰۲۰/۱۲/۳۱،\u061c ۲۱:۱۶ - "),
        ("३१/१२/२०२०, २१:१५ - ", "३१/१२/२०२०, २१:१६ - "),
    ],
)
def test_layouts_of_a_moment(first, second):
    text = f"{first}Ann: Hi.\n{second}Bob: Ho.\n"
    assert whatsapp(text) == [Dialogue((Turn("Hi.", "Ann", 0.0), Turn("Ho.", "Bob", 60.0)), Origin("chat.txt", line=1))]
    assert WhatsApp().sniff(text.encode(), "x") > 0.5


@pytest.mark.parametrize(
    ("moments", "hours"),
    [
        # days follow each other sooner than months do
        (["1/2/20, 11:00 PM", "1/3/20, 1:00 AM"], 2),
        (["1/2/20, 23:00", "2/2/20, 01:00"], 2),
        (["5/1/21, 11:00 PM", "6/1/21, 1:00 AM"], 2),
        (["1.2.20, 11:00 PM", "2.2.20, 1:00 AM"], 2),
        (["13/2/20, 11:00 PM", "14/2/20, 1:00 AM"], 2),  # 13 is no month
        (["2/13/20, 23:00", "2/14/20, 01:00"], 2),
        (["1/31/20, 23:00", "2/1/20, 01:00"], 2),
        (["28/1/20, 11:00 PM", "1/2/20, 10:00 PM"], 95),
        (["1/12/20, 11:00 PM", "2/12/20, 1:00 AM", "1/1/21, 1:00 AM"], 722),
        # told by time that would go back with the month first
        (["9/1/20, 11:00 PM", "10/1/20, 1:00 AM", "1/2/20, 1:00 AM", "1/3/20, 11:00 PM"], 1248),
        (["12/1/20, 12:00 AM", "12/1/20, 12:30 PM"], 12.5),
    ],
)
def test_the_order_of_day_and_month_is_that_of_the_whole_file(moments, hours):
    text = "".join(f"{moment} - {'AB'[index % 2]}: Hi.\n" for index, moment in enumerate(moments))
    starts = [turn.start for item in whatsapp(text) for turn in item.turns]
    assert starts[-1] == hours * 3600


@pytest.mark.parametrize(
    ("moment", "order"),
    [
        ("1/2/20, 9:15 PM", (2, 0, 1)),
        ("1/2/20, 21:15", (2, 1, 0)),
        ("1.2.20, 9:15 PM", (2, 1, 0)),
        ("1-2-20, 9:15 PM", (2, 1, 0)),
    ],
)
def test_how_a_lone_date_is_written_tells_its_order(moment, order):
    found = s2sbot_exports._moment(re.fullmatch(s2sbot_exports._MOMENT, moment))
    assert date_order([found, found]) == order


def test_silence_cuts():
    def chat(minutes):
        later = datetime(2020, 12, 31, 12) + timedelta(minutes=minutes)
        return f"31.12.2020, 12:00 - A: Hi.\n{later:%d.%m.%Y, %H:%M} - B: Ho.\n"

    assert len(whatsapp(chat(WHATSAPP_SILENCE / 60))) == 1
    assert len(whatsapp(chat(WHATSAPP_SILENCE / 60 + 1))) == 2
    assert [item.origin.line for item in whatsapp(chat(WHATSAPP_SILENCE / 60 + 1))] == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "<Media omitted>",
        "<Medien ausgeschlossen>",
        "<Multimedia omitido>",
        "<Médias omis>",
        "<Mídia oculta>",
        "<Без медиафайлов>",
        "image omitted",
        f"{LRM}sticker omitted",
        "GIF weggelassen",
        "imagen omitida",
        "vidéo absente",
        "immagine omessa",
        "áudio ocultado",
        f"report.pdf • {LRM}12 pages {LRM}document omitted",
        f"{LRM}<attached: 00000012-PHOTO-2020-12-31-21-15-03.jpg>",
        "<Anhang: 00000012-PHOTO.jpg>",
        "IMG-20201231-WA0001.jpg (file attached)",
        "IMG-20201231-WA0001.jpg (Datei angehängt)",
        "PTT-20201231-WA0001.opus (αρχείο συνημμένο)",
        "STK-20201231-WA0001.WEBP (ekli dosya)",
        f"{LRM}00000012-PHOTO-2020-12-31-21-15-03.jpg (file attached)",
        f"{LRM}the year's accounts.pages (attaché)",
        "The year's accounts 5.30.pdf (file attached)",
        "Rechnung vom 5. Mai.docx (Datei angehängt)",
        f"{LRM}<anything at all>",
        f"<Media omitted> {LRM}<This message was edited>",
        "<Media omessi>",
        "<Arquivo de mídia oculto>",
        "<省略多媒體檔案>",
        "This message was deleted",
        "This message was deleted.",
        "You deleted this message",
        "Diese Nachricht wurde gelöscht.",
        "Eliminaste este mensaje",
        "Ce message a été supprimé",
        "Questo messaggio è stato eliminato",
        "Esta mensagem foi apagada",
        "Dit bericht is verwijderd",
        "Данное сообщение удалено",
        f"{LRM}Missed voice call",
        "https://example.org/watch?v=1",
        "www.example.org",
        "location: https://maps.google.com/?q=1,2",
        "Live location shared",
        "Waiting for this message. This may take a while.",
        "Bob Ross.vcf (file attached)",
        f"{LRM}Bob Ross.vcf (file attached)",
        "POLL:\nWhen?\nOPTION: Mon (0 votes)\nOPTION: Tue: late (1 vote)",
        "POLL: When? OPTION: Mon (0 votes)",
        f"{LRM}POLL:\nWhen?\n{LRM}OPTION: Mon ({LRM}0 votes)\n",
        "UMFRAGE:\nWann?\n\nOPTION: Mo (12 Stimmen)",
        "SONDAGE :\nQuand ?\nOPTION : lundi (0 vote)",
        "ENCUESTA:\n¿Cuándo?\nOPCIÓN: El lunes (0 votos)",
        f"{LRM}POLL:",
        "@491701234567",
        "",
        " ",
    ],
)
@pytest.mark.parametrize("speaker", ["Ann", "Bob"])
def test_what_has_no_text_ends_a_dialogue(text, speaker):
    chat = f"31.12.20, 21:15 - Ann: Hi.\n31.12.20, 21:16 - {speaker}: {text}\n31.12.20, 21:17 - Bob: Ho.\n"
    assert [turns([item]) for item in whatsapp(chat)] == [[("Ann", "Hi.")], [("Bob", "Ho.")]]


def test_no_turn_goes_on_and_nothing_is_answered_across_what_has_no_text():
    said = ["Ann: Kommst du heute?", "Bob: Ja, klar!", "Ann: <Medien ausgeschlossen>", "Bob: Schön"]
    said += ["Ann: Diese Nachricht wurde gelöscht", "Bob: Was war das?", "Ann: Nichts"]
    found = whatsapp("".join(f"31.12.20, 21:15 - {line}\n" for line in said))
    assert [[turn.text for turn in item.turns] for item in found] == [
        ["Kommst du heute?", "Ja, klar!"],
        ["Schön"],
        ["Was war das?", "Nichts"],
    ]
    assert [item.origin.line for item in found] == [1, 4, 6]


@pytest.mark.parametrize(
    "notice",
    [
        "Messages and calls are end-to-end encrypted. Tap to learn more.",
        "Cem joined using this group's invite link",
        'Ann changed the subject from "a: b" to "c"',
        f"Cem: {LRM}Cem joined using this group's invite link",
        f"~{NARROW}Ann: {LRM}~{NARROW}Ann changed the subject to “Us”",
    ],
)
def test_what_nobody_sent_ends_none(notice):
    chat = f"31.12.20, 21:15 - Ann: Hi.\n31.12.20, 21:16 - {notice}\n31.12.20, 21:17 - Bob: Ho.\n"
    assert [turns([item]) for item in whatsapp(chat)] == [[("Ann", "Hi."), ("Bob", "Ho.")]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I omitted it", "I omitted it"),
        ("see https://example.org", "see https://example.org"),
        ("<3", "<3"),
        ("a > b", "a > b"),
        ("I love you <3>", "I love you <3>"),
        ("Done <This message was edited>", "Done"),
        (f"Hecho {LRM}<Se editó este mensaje.>", "Hecho"),
        (f"Our cat {LRM}<attached: 1-PHOTO.jpg>", "Our cat"),
        ("<Media omitted>\nOur cat", "Our cat"),
        (f"Our cat {LRM}<attached: 1-PHOTO.jpg> {LRM}<This message was edited>", "Our cat"),
        (f"Valmis {LRM}<Tätä viestiä muokattiin>", "Valmis"),
        ("Fertig <Diese Nachricht wurde bearbeitet.>", "Fertig"),
        ("is it x <y or z>", "is it x <y or z>"),
        ("a <b and c", "a <b and c"),
        ("<sighs loudly>", "<sighs loudly>"),
        ("<sigh>", "<sigh>"),
        ("so <Media omitted>", "so <Media omitted>"),
        ("We meet at 5.30 (or later)", "We meet at 5.30 (or later)"),
        ("Yes, it costs 3.50 (too much)", "Yes, it costs 3.50 (too much)"),
        ("5.30 (or later)", "5.30 (or later)"),
        ("example.com (the new one)", "example.com (the new one)"),
        ("https://example.com/a.jpg (look)", "https://example.com/a.jpg (look)"),
        ("look at notes.txt (the second one)", "look at notes.txt (the second one)"),
        ("I am at home.Ok (really)", "I am at home.Ok (really)"),
        ("home.Ok (really)", "home.Ok (really)"),
        ("IMG-1.jpg (file attached)\nOur cat", "Our cat"),
        ("Hi @491701234567 there", "Hi  there"),
        ("me@1234567.org", "me@1234567.org"),
        ("Time: 12:30", "Time: 12:30"),
        ("null", "null"),
        ("Waiting for this message all day", "Waiting for this message all day"),
        ("Location shared", "Location shared"),
        ("location: https://example.org/room", "location: https://example.org/room"),
        *[
            (honest, honest)
            for honest in (
                "I read that WhatsApp is end-to-end encrypted and nobody else can read along.",
                "Messages and calls are end-to-end encrypted. No one outside of this chat can read them.",
                "Ich weiß, das ist Ende-zu-Ende-verschlüsselt, aber trotzdem lieber nicht hier.",
                "POLL: who comes?",
                "Well: when?\nOption: Monday (2 votes)",
            )
        ],
        ("\u202bשלום\u202c", "שלום"),
        ("👩\u200d👩", "👩\u200d👩"),
        ("1/1/21 is the day", "1/1/21 is the day"),
        ("first\n12/31/20, 9:15 PM is late", "first\n12/31/20, 9:15 PM is late"),
        ("first\n\n  second", "first\nsecond"),
        ("first\x0b\u2028second", "first\x0b\u2028second"),
    ],
)
def test_what_somebody_wrote(text, said):
    assert turns(whatsapp(f"31.12.20, 21:15 - Ann: {text}\n")) == [("Ann", said)]


@pytest.mark.parametrize(
    "notice",
    [
        "Ann created group “Us”",
        'Ann changed the subject from "a: b" to "c"',
        "Your security code with Bob changed. Tap to learn more.",
        "Ann added Bob",
        "see https://example.org",
        "+49 170 1234567 left",
    ],
)
def test_notices_are_no_messages_but_tell_the_time(notice):
    chat = f"31.12.20, 21:15 - {notice}\n31.12.20, 21:16 - Ann: Hi.\n"
    assert whatsapp(chat) == [Dialogue((Turn("Hi.", "Ann", 60.0),), Origin("chat.txt", line=2))]


def test_what_cannot_be_read_is_lost():
    chat = "cut off\nhere\n31.12.20, 21:15 - Ann: Hi.\n31.02.21, 21:15 - Bob: No such day.\n1.1.21, 00:10 - Bob: Ho.\n"
    assert whatsapp(chat) == [
        Lost("text before the first message", 1),
        Dialogue((Turn("Hi.", "Ann", 0.0),), Origin("chat.txt", line=3)),
        Lost("there is no such date", 4),
        Dialogue((Turn("Ho.", "Bob", 10500.0),), Origin("chat.txt", line=5)),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_encoding_and_line_end(encoding, end):
    data = ANDROID.replace("\n", end).encode(encoding)
    assert whatsapp(data) == ANDROID_ITEMS
    assert WhatsApp().sniff(data, "x") > 0.9


@pytest.mark.parametrize(
    "text", ["", "words\n", "a\tb\n", "21:15 - Ann: Hi.\n", "31.12.20, 21:15 - nobody\n", "{}", "1"]
)
def test_what_is_no_chat(text):
    assert WhatsApp().sniff(text.encode(), "WhatsApp Chat with Ann.txt") == 0
    if "nobody" not in text:
        with pytest.raises(ValueError, match="no message in it"):
            whatsapp(text)


def test_few_messages_among_much_else_are_no_chat():
    assert WhatsApp().sniff(ANDROID.encode() + b"words\n" * 200, "x") == 0
    assert WhatsApp().sniff(b"31.12.20, 21:15 - Ann: Hi.\n", "x") < 0.5
    assert Discord().sniff(IOS.encode(), "x") < WhatsApp().sniff(IOS.encode(), "x") > 0.9


class Endless(io.RawIOBase):
    def __init__(self, start, line):
        self.start, self.line = start, line

    def read(self, size=-1):
        data, self.start = self.start or self.line * max(1, size // len(self.line)) * (size != 0), b""
        return data


@pytest.mark.timeout(20)
@pytest.mark.parametrize("reader", [WhatsApp, Discord])
@pytest.mark.parametrize("line", [b"\n", b"word word\n"])
def test_what_has_no_message_is_not_read_to_its_end(reader, line):
    with pytest.raises(ValueError, match="no message in it"):
        list(reader().read(Endless(line, line), "x"))


STAMPS = {
    "whatsapp": (WhatsApp, "", "[{:%d.%m.%Y, %H:%M:%S}] {}: {}\n"),
    "text": (Discord, "=" * 62 + "\nGuild: Us\nChannel: a\n" + "=" * 62 + "\n\n", "[{:%d.%m.%Y %H:%M}] {}\n{}\n\n"),
    "table": (Discord, "AuthorID,Author,Date,Content\n", '"1","{1}","{0:%Y-%m-%dT%H:%M:%S}","{2}"\n'),
    "json": (
        Discord,
        '{"guild": 1, "channel": 2, "messages": [',
        '{{"timestamp": "{:%Y-%m-%dT%H:%M:%S}", "author": {{"name": "{}"}}, "content": "{}"}},',
    ),
}


@pytest.mark.parametrize("layout", STAMPS)
def test_a_chat_without_end_is_read_in_little_memory(layout, monkeypatch):
    monkeypatch.setattr(s2sbot_exports, "MOST_HELD", 100)
    monkeypatch.setattr(s2sbot_exports, "MOST_MESSAGES", 100)
    reader, start, line = STAMPS[layout]
    pieces = "".join(line.format(datetime(2021, 1, 13), name, "word " * 1000) for name in "ab")
    tracemalloc.start()
    try:
        items = reader().read(Endless(start.encode(), pieces.encode()), "x")
        found = [len(item.turns) for item in islice(items, 12)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == [100] * 12
    assert peak < 4e6 < 12 * 100 * 5_000


def test_a_dialogue_of_large_messages_is_cut_sooner():
    words = "word " * (LARGEST_MESSAGE // 5)
    found = whatsapp("".join(f"31.12.20, 21:15 - {name}: {words}\n" for name in "ab" * 50))
    sizes = [sum(len(turn.text) for turn in item.turns) for item in found]
    assert len(sizes) == 2
    assert LARGEST_DIALOGUE < sizes[0] < LARGEST_DIALOGUE + 2 * LARGEST_MESSAGE


def test_a_message_without_end_is_lost_and_those_around_it_are_read():
    chat = "31.12.20, 21:15 - Ann: Hi.\n31.12.20, 21:16 - Bob: Long.\n" + "word\n" * LARGEST_MESSAGE
    assert whatsapp(f"{chat}31.12.20, 21:17 - Ann: Ho.\n") == [
        Dialogue((Turn("Hi.", "Ann", 0.0),), Origin("chat.txt", line=1)),
        Lost(f"a message of more than {LARGEST_MESSAGE} characters", 2),
        Dialogue((Turn("Ho.", "Ann", 120.0),), Origin("chat.txt", line=LARGEST_MESSAGE + 3)),
    ]
    text = "[31.12.20 21:15] Ann\nHi.\n\n[31.12.20 21:16] Bob\n" + "word\n" * LARGEST_MESSAGE
    [first, lost, second] = discord(f"{text}\n[31.12.20 21:17] Ann\nHo.\n")
    assert lost == Lost(f"a message of more than {LARGEST_MESSAGE} characters", 4)
    assert turns([first, second]) == [("Ann", "Hi."), ("Ann", "Ho.")]


@pytest.mark.parametrize(("damage", "cause"), [(b"caf\xe9", "not UTF-8"), (b"x" * 2 * LONGEST_LINE, "longer than")])
def test_a_line_that_is_lost_is_told_wherever_it_stands(damage, cause):
    chat = "31.12.20, 21:15 - Ann: Où ?\n".encode() * 9 + damage + "\nhm\n31.12.20, 21:16 - Bob: Là.\n".encode()
    first, lost, second = whatsapp(chat)
    assert (lost.line, lost.cause[:9]) == (10, cause[:9])
    # whose line "hm" is, and what "Là." answers, only the lost line knows
    assert turns([first, second]) == [("Ann", "\n".join(["Où ?"] * 9)), ("Bob", "Là.")]
    rows = TABLE.replace("Hm.", "Là.").encode().replace(b'",\nhere', b'"\n' + damage + b"\nhere")
    items = discord(rows)
    assert [(item.line, item.cause[:9]) for item in items if isinstance(item, Lost)] == [(3, cause[:9])]
    assert turns(items) == [("ann", "Are you there?"), ("ann", "Là.")]
    assert items[-1].origin.line == 7


def test_the_order_of_dates_is_that_of_the_first_messages(monkeypatch):
    text = "".join(f"{date}/20, 9:15 PM - Ann: Hi.\n" for date in ("1/2", "2/2", "20/2", "3/3"))

    def days():
        return [turn.start / 86400 for item in whatsapp(text) if isinstance(item, Dialogue) for turn in item.turns]

    monkeypatch.setattr(s2sbot_exports, "MOST_HELD", 3)
    assert days() == [0, 1, 19, 31]
    monkeypatch.setattr(s2sbot_exports, "MOST_HELD", 1)
    assert days() == [0, 31, 61]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("reader", [WhatsApp, Discord])
@pytest.mark.parametrize(
    "piece",
    [
        "\n",
        " ",
        "[",
        "<",
        "AB: ",
        "www. ",
        "https://www.",
        "<a ",
        "@\u2068",
        ":a",
        "•",
        "x.y (",
        "31.12.20, 21:15 - ",
        "https://",
        "=",
        "p. m. ",
    ],
)
def test_hostile_text_takes_no_time(reader, piece):
    begin = "31.12.20, 21:15 - A: " if reader is WhatsApp else "[31.12.20 21:15] A\n"
    text = begin + piece * (300_000 // len(piece))
    reader().sniff(text[: 2**16].encode(), "x")
    list(reader().read(io.BytesIO(text.encode()), "x"))


NAMES = st.text(st.characters(categories=["L"]), min_size=1, max_size=9).filter(lambda name: name == name.strip())
WORDS = st.lists(st.text(st.characters(categories=["L"]), min_size=1, max_size=9), min_size=1, max_size=5).map(" ".join)
FORMATS = st.sampled_from(
    ["%d.%m.%y, %H:%M - ", "[%d.%m.%Y, %H:%M:00] ", "%Y-%m-%d %H:%M - ", "%m/%d/%y, %I:%M %p - ", "%d/%m/%Y %H:%M - "]
)


@given(st.lists(st.tuples(NAMES, WORDS, st.integers(0, 40 * 60)), min_size=1), FORMATS)
def test_printed_chats_are_read_back(messages, layout):
    now = datetime(2021, 1, 13)  # a 13th is no month, so that the order is known
    text, expected, last = f"{now.strftime(layout)}A notice\n", [], None
    for name, words, minutes in messages:
        now += timedelta(minutes=minutes)
        text += f"{now.strftime(layout)}{name}: {words}\n"
        if last is None or minutes * 60 > WHATSAPP_SILENCE:
            expected.append([])
            last = None
        if name == last:
            expected[-1][-1] = (name, f"{expected[-1][-1][1]}\n{words}")
        else:
            expected[-1].append((name, words))
        last = name
    assert [[(turn.speaker, turn.text) for turn in item.turns] for item in whatsapp(text)] == expected


@given(st.text(st.sampled_from("0123456789/.-:,[] \nAPMapm<>\u200e@x{}=\"'")) | st.text(), st.booleans())
def test_rubbish_is_a_value_error_or_lost(text, appended):
    for reader, sample in ((WhatsApp, ANDROID), (Discord, TEXT), (Discord, TABLE), (Discord, JSON)):
        data = (sample + text if appended else text + sample).encode()
        assert 0 <= reader().sniff(data, "x") <= 1
        try:
            items = list(reader().read(io.BytesIO(data), "x"))
        except ValueError:
            continue
        assert all(isinstance(item, Dialogue | Lost) for item in items)


# Discord

RULE = "=" * 62
TEXT = f"""{RULE}
Guild: Us
Channel: Text / general
Topic: a topic
{RULE}

[31-Dec-20 09:15 PM] ann#1234
Are you there?

[31-Dec-20 09:16 PM] Bob (pinned)
Yes, @ann#1234 :wave: always.

[12:00] is no message

{{Attachments}}
https://cdn.discordapp.com/a.png

{{Embed}}
A title

With a blank line

{{Reactions}}
:heart: (2)

[31-Dec-20 09:17 PM] ann#1234
Pinned a message.

[31-Dec-20 09:18 PM] ann#1234


{{Attachments}}
https://cdn.discordapp.com/b.png

[31-Dec-20 09:19 PM] ann#1234
Happy new year!

[01-Jan-21 08:00 AM] Bob
Good morning.


{RULE}
Exported 6 message(s)
{RULE}
"""
DIALOGUES = [
    ("ann#1234", "Are you there?", 0.0),
    ("Bob", "Yes, always.\n[12:00] is no message", 60.0),
]


def message(text, name="ann", time="2020-12-31T21:15:03.123+00:00", **more):
    author = {"id": "1", "name": name, "discriminator": "0000", "nickname": name.title(), "isBot": False}
    return {"id": "1", "type": "Default", "timestamp": time, "content": text, "author": author, "mentions": []} | more


def export(*messages):
    guild, channel = {"id": "1", "name": "Us"}, {"id": "2", "type": "GuildTextChat", "name": "general"}
    return json.dumps(
        {"guild": guild, "channel": channel, "messages": messages, "messageCount": len(messages)},
        indent=2,
        ensure_ascii=False,
    )


JSON = export(
    message("Are you there?"),
    message(
        "Yes, @Ann Lee :wave:<:wave:123> <@123>always.",
        "bob",
        "2020-12-31T21:16:03.123+00:00",
        type="Reply",
        mentions=[{"id": "1", "name": "annlee", "nickname": "Ann Lee"}],
    ),
    message("Joined the server.", type="GuildMemberJoin"),
    message("I am a bot", author={"name": "bot", "isBot": True}),
    message("https://tenor.com/view/x", time="2020-12-31T21:17:03+00:00"),
    message("Good morning.", "bob", "2021-01-01T08:00:00.0000000+01:00"),
)


def table(*rows, head="AuthorID,Author,Date,Content,Attachments,Reactions"):
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows(rows)
    return f"{head}\n{out.getvalue()}"


TABLE = table(
    ["1", "ann", "2020-12-31T21:15:03.1230000+00:00", "Are you there?", "", ""],
    ["2", "bob", "2020-12-31T21:16:03.1230000+00:00", 'Yes, "always",\nhere.', "", "👍 (1)"],
    ["1", "ann", "2020-12-31T21:17:03.1230000+00:00", "", "https://cdn.discordapp.com/a.png", ""],
    ["1", "ann", "2020-12-31T21:48:03.1230000+00:00", "Hm.", "", ""],
)


def test_discord_text():
    first, second, third = discord(TEXT)
    assert [(turn.speaker, turn.text, turn.start) for turn in first.turns] == DIALOGUES
    assert first.origin == Origin("chat.txt", line=7)
    assert second.turns == (Turn("Happy new year!", "ann#1234", 240.0),)
    assert [(turn.speaker, turn.text) for turn in third.turns] == [("Bob", "Good morning.")]


@pytest.mark.parametrize(
    ("content", "more", "dialogues"),
    [
        ("", {"attachments": [{"url": "https://cdn.discordapp.com/a.png"}]}, 2),
        ("https://tenor.com/view/1", {}, 2),
        ("<:smile:1>", {}, 2),
        ("Playing a song", {"author": {"name": "bot", "isBot": True}}, 2),
        ("Done", {"author": {"name": "bot", "isBot": True}, "type": "20"}, 2),
        ("Started a call that lasted 5 minutes.", {"type": "Call"}, 2),
        (5, {}, 2),
        ("Joined the server.", {"type": "GuildMemberJoin"}, 1),
        ("Pinned a message.", {"type": "ChannelPinnedMessage"}, 1),
        ("Changed the channel name: us", {"type": "ChannelNameChange"}, 1),
    ],
)
def test_nothing_is_answered_across_what_has_no_text_in_discord(content, more, dialogues):
    items = discord(export(message("A dog!"), message(content, "cem", **more), message("Nice photo", "bob")))
    assert turns(items) == [("ann", "A dog!"), ("bob", "Nice photo")]
    assert sum(isinstance(item, Dialogue) for item in items) == dialogues


@pytest.mark.parametrize(
    ("content", "dialogues"), [("", 2), ("Started a call.", 2), ("Joined the server.", 1), ("Pinned a message.", 1)]
)
def test_nothing_is_answered_across_what_has_no_text_in_tables_and_text(content, dialogues):
    said = [("ann", "A dog!"), ("cem", content), ("bob", "Nice photo")]
    rows = table(*(["1", name, "2020-12-31T21:15:03Z", text, "", ""] for name, text in said))
    lines = "".join(f"[31.12.2020 21:15] {name}\n{text}\n\n" for name, text in said)
    assert len(discord(rows)) == len(discord(lines)) == dialogues
    assert turns(discord(rows)) == turns(discord(lines)) == [said[0], said[2]]


@pytest.mark.parametrize(
    "layout", ["%m/%d/%Y %I:%M %p", "%d/%m/%Y %H:%M", "%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M", "%d-%b-%y %I:%M %p"]
)
def test_discord_text_in_other_layouts(layout):
    moments = [datetime(2020, 12, 31, 21, minute) for minute in (15, 16, 17)]
    text = "".join(f"[{moment.strftime(layout)}] {name}\nHi.\n\n" for moment, name in zip(moments, "aba", strict=True))
    assert [(turn.speaker, turn.start) for turn in discord(text)[0].turns] == [("a", 0.0), ("b", 60.0), ("a", 120.0)]
    assert Discord().sniff(text.encode(), "x") > 0.7
    assert WhatsApp().sniff(text.encode(), "x") == 0


def test_discord_json():
    assert discord(JSON) == [
        Dialogue((Turn("Are you there?", "ann", 0.0), Turn("Yes, always.", "bob", 60.0)), Origin("chat.txt", line=1)),
        Dialogue((Turn("Good morning.", "bob", pytest.approx(35096.877)),), Origin("chat.txt", line=6)),
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_discord_in_every_encoding(encoding):
    for text in (TEXT, JSON, TABLE):
        assert Discord().sniff(text.encode(encoding), "x") > 0.9
        assert discord(text.encode(encoding)) == discord(text)


def test_discord_table():
    first, second = discord(TABLE)
    assert first == Dialogue(
        (Turn("Are you there?", "ann", 0.0), Turn('Yes, "always",\nhere.', "bob", 60.0)), Origin("chat.txt", line=2)
    )
    assert second.origin == Origin("chat.txt", line=6)
    assert turns([second]) == [("ann", "Hm.")]


def test_silence_cuts_channels_sooner():
    def chat(seconds):
        later = datetime(2020, 12, 31, 21) + timedelta(seconds=seconds)
        return export(message("Hi.", time="2020-12-31T21:00:00Z"), message("Ho.", "bob", later.isoformat() + "+00:00"))

    assert len(discord(chat(DISCORD_SILENCE))) == 1
    assert len(discord(chat(DISCORD_SILENCE + 1))) == 2


def test_a_dialogue_without_silence_is_cut_all_the_same(monkeypatch):
    monkeypatch.setattr(s2sbot_exports, "MOST_MESSAGES", 3)
    assert [len(item.turns) for item in discord(export(*(message("Hi.", name) for name in "abababab")))] == [3, 3, 2]
    assert turns(discord(export(*[message("Hi.")] * 4))) == [("ann", "Hi.\nHi.\nHi."), ("ann", "Hi.")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<:smile:123456> Hi <a:dance:1>!", "Hi !"),
        ("<@123> <@!123> <@&123> <#123> <t:1609459200:R> Hi", "Hi"),
        ("Hi @everyone, @here and @bob", "Hi , and"),
        (":joy: at 10:30:45 :not an emoji:", "at 10:30:45 :not an emoji:"),
        ("me@example.org", "me@example.org"),
        ("a < b > c", "a < b > c"),
        ("<:smile:1>", None),
        ("https://tenor.com/view/1", None),
        ("Pinned a message.", None),
        ("Started a call that lasted 5 minutes.", None),
        ("Added Bob to the group.", None),
        (" \n ", None),
    ],
)
def test_codes_mentions_and_notices(text, said):
    found = turns(discord(export(message("Hi."), message(text, "bob"))))
    assert found == [("ann", "Hi."), *([("bob", said)] if said else [])]


def test_messages_that_cannot_be_read_are_lost():
    damaged = [
        5,
        {},
        message("Hi.", time="yesterday"),
        message("Hi.", time=None),
        message(None),
        message("Hi.", author=None),
        message("Hi.", author={"name": 5}),
        message("Hi.", mentions=[5]),
        message("Hi.", mentions=5),
    ]
    items = discord(export(*damaged, message("Hi.")))
    assert [item.line for item in items if isinstance(item, Lost)] == list(range(1, len(damaged) + 1))
    assert turns(items) == [("ann", "Hi.")]
    rows = table(["1", "ann", "soon", "Hi."], ["1"], ["1", "ann", "2020-12-31 21:15", "Hi."])
    assert discord(rows)[:2] == [Lost("no message", 2), Lost("no message", 3)]
    assert turns(discord(rows)) == [("ann", "Hi.")]


def test_files_that_break_off_are_read_up_to_there():
    items = discord(JSON[: JSON.index("Joined")])
    assert items[-1] == Lost("breaks off: the file breaks off", 3)
    assert turns(items) == [("ann", "Are you there?"), ("bob", "Yes, always.")]
    items = discord(TABLE[: TABLE.index("Hm.")])
    assert [item.cause for item in items if isinstance(item, Lost)] == ["breaks off: unexpected end of data"]
    assert turns(items)[0] == ("ann", "Are you there?")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no message in it"),
        ("words", "no message in it"),
        (f"{RULE}\nGuild: Us\nChannel: a\n{RULE}\n", "no message in it"),
        (table(), "no message in it"),
        ("{}", "no message in it"),
        ('{"a": 1}', "no message in it"),
        ('{"messages": 5}', "no message in it"),
        ('{"messages": [}', "no JSON from here on"),
        ('{"messages": [' + "[" * (DEEPEST + 1), "deep"),
        ('{"messages": [' + "[" * 200_000, "deep"),
        ('{"messages": ["' + "x" * (LARGEST_ELEMENT + 2**17), "larger than"),
        (bytes(range(256)), "binary data"),
    ],
)
def test_what_is_no_export_is_a_value_error(text, message):
    with pytest.raises(ValueError, match=message):
        discord(text)


def test_a_long_export_is_streamed():
    def stream():
        one = json.dumps(message("Hi.")).encode() + b",\n"
        return Endless(b'{"guild": 1, "channel": 2, "messages": [\n', one * 20)

    reading = Discord().read(stream(), "x")
    assert next(reading).turns[0].speaker == "ann"


def test_exports_are_known_by_their_content():
    for text in (TEXT, JSON, TABLE):
        assert Discord().sniff(text.encode(), "x") > 0.9
        assert Discord().sniff(text.encode("utf-8-sig"), "x") > 0.9
        assert WhatsApp().sniff(text.encode(), "x") == 0
    for text in (
        "",
        "words",
        "{}",
        '{"messages": []}',
        "Author,Date,Content\n",
        "[1] note",
        "[12:00] hi\n" * 5,
        ANDROID,
    ):
        assert Discord().sniff(text.encode(), "x.json") == 0


@pytest.mark.parametrize(
    ("reader", "text"),
    [(WhatsApp, ANDROID), (WhatsApp, IOS), (Discord, TEXT), (Discord, JSON), (Discord, TABLE)],
    ids=["android", "ios", "text", "json", "table"],
)
def test_the_contract_of_readers(reader, text):
    check_reader(reader, text.encode(), "chat.txt")
