"""The bytes of a file and a source of chance go in, bytes that are wrong in a few places come out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

__all__ = ["LARGEST", "mutated", "mutated_text"]

LARGEST = 64 * 2**10
"""Bytes that no input has more than."""
_LONG = 0.03
"""Share of the repetitions that go up to `LARGEST`, and of the nestings that go deep."""
_NUMBERS = (
    b"0",
    b"-1",
    b"99",
    b"4294967296",
    b"9" * 19,
    b"9" * 400,
    b"1e309",
    b"1E-400",
    b"0x10",
    b"1_000",
    b"\xd9\xa3",
    b"\xc2\xb2",
    b"NaN",
)
_SPECIAL = (
    b"\0",
    b"\xff",
    b"\xfe",
    b"\x80",
    b"\xc3",
    b"\r",
    b"\n",
    b"\t",
    b"\x1a",
    b"\x1b",
    b"\x0b",
    b"\x0c",
    b"\x1c",
    b"\x7f",
    b"\x85",
    b" ",
    b"\\",
    b'"',
    b"'",
)
_TOKENS = tuple(
    token.encode("utf-8", "surrogatepass")
    for token in (
        # marks and characters that are not letters
        "\ufeff", "\ufffe", "\uffff", "\ud800", "\udfff", "\ud83d\ude00", "\U0001f600", "\u2028", "\u0085", "\xa0",
        "\u200e", "\u2067", "\u0301", "\xad", "\u3000", "İ", "ß", "ﬁ", "Ã©", "â€™", "\U0010ffff", "٣", "²", "一",
        # subtitles
        "-->", " --> ", "00:00:01,000 --> 00:00:02,000\n", "1\n00:00:01,000 --> 00:00:02,000\nx\n\n", "99:59:59,999",
        "WEBVTT", "WEBVTT\n\n", "NOTE\n", "STYLE\n", "REGION\n", "X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n",
        "<v Ann>", "</v>", "<v ", "<c.x>", "<rt>", "{\\p1}", "{\\p0}", "{\\pos(1,2)}", "{\\k1}", "{\\an8}", "{", "}",
        "\\N", "\\h", "[Script Info]", "\n[Events]\n", "[V4+ Styles]", "Format: Text\n", "Format: Start, End, Text\n",
        "Dialogue: 0,0:00:01.00,0:00:02.00,a,b,0,0,0,,c\n", "Comment: ", "Dialogue:", "{1}{1}25\n", "{1}{1}0\n",
        "{1}{2}", "[1][2]", "[br]", "|", "[INFORMATION]\n", "[00:00:01]\n", "[END]\n", "[BEGIN]\n", "[00:01.00]",
        "[offset:9]", "<SYNC Start=1>", "<SYNC Start=-1 End=", "<P Class=", "<SAMI>", "&nbsp;", "<br/>", "<!--", "♪",
        "[", "]", "(", ")", "- ", "\n- a. - b?", ">> ", "MARY: ", "#", "www.a.com", "Subtitles by x", "...", "…",
        "Mr.", "a", "?", "。",
        # XML
        "<![CDATA[", "]]>", "&#x", "&#x0;", "&#xD800;", "&#1114112;", "&lt;", "&a;", "&", "<", ">", "/>",
        "<?xml version='1.0'?>", '<?xml version="1.0" encoding="utf-16"?>', '<?xml version="1.0" encoding="x"?>',
        "encoding=\"cp037\"", "<!DOCTYPE a [", '<!ENTITY a "b">', '<!ENTITY a SYSTEM "file:///etc/passwd">', "<a:b>",
        "xmlns=''", "<tt>", "<p begin='1s'>", "</p>", "<p>", "begin='", "dur='1h'", "end='99999999999999h'",
        "timeContainer='seq'", "ttp:frameRate='0'", "<div>", "<span>", "<s>", "</s>", "<w>",
        "<time value='00:00:01,000'/>", "<document>", "<tmx>", "<tu>", "<tuv xml:lang='de'>", "<seg>", "</seg>",
        "<header srclang='*'/>",
        # JSON, YAML, TOML, tables, chats
        "{}", "[]", "[[", "{{", "}}", ",", ":", "null", "true", "NaN", "Infinity", "-0", "1e999", '"\\ud800"',
        "\\u0000", '"turns":', '"text":', '{"turns": ["a", "b"]}\n', '"messages": [', "conversations:\n",
        "categories:\n", "- - ", "- ", "  ", "? ", "*a", "&a ", "!!python/x ", "!<x>", "<<: ", "|\n", ">-\n",
        "%YAML 9.9\n", "---\n", "...\n", "files = ['*']\n", "[settings]\n", "=", "'''", '"""', "..", "**/", "*", "\t",
        "__eou__", " +++$+++ ", "L1", "'", '","', '""', "[31.12.20, 21:15:03] Ann: ", "12/31/20, 9:15 PM - Ann: a\n",
        "[12/31/2020 9:15 PM] a\n", "AuthorID,Author,Date,Content\n", "{Attachments}", "<@1>", "@a",
        "0000-00-00T00:00:00", "9999-12-31T23:59:59+14:00",
        # archives
        "PK\x03\x04", "PK\x01\x02", "PK\x05\x06", "PK\x06\x07", "\x1f\x8b\x08", "ustar\x0000", "../", "/",
        "7z\xbc\xaf",
    )
)  # fmt: skip
_OPENINGS = (
    b"[",
    b"{",
    b"(",
    b"<",
    b'{"a":',
    b"<a>",
    b"- ",
    b"[[",
    b"{\\",
    b"<p>",
    b"<s>",
    b"<i>",
    b"&",
    b"[1,",
    b"a.b = ",
    b"**/",
)
_NUMBER = re.compile(rb"\d+")


def mutated(chance: Random, data: bytes, other: bytes) -> bytes:
    """Return `data` with one wrong thing or a few; `other` is a file of another format."""
    times = 1 + min(int(chance.expovariate(0.8)), 6)
    for change in chance.choices(_CHANGES, _WEIGHTS, k=times):
        data = change(chance, data, other)[:LARGEST]
    return data


def mutated_text(chance: Random, data: bytes, other: bytes, encoding: str) -> bytes:
    """Return a file in another encoding that is wrong as text, as bytes, or as both."""
    as_bytes = chance.random()
    if as_bytes < 0.8:
        data = mutated(chance, data, other)
    data = data.decode("utf-8", "replace").encode(encoding, "replace")
    return (mutated(chance, data, other) if as_bytes > 0.7 else data)[:LARGEST]


def _place(chance: Random, data: bytes) -> int:
    return chance.randrange(len(data) + 1)


def _span(chance: Random, data: bytes, most: int = 60) -> tuple[int, int]:
    begin = _place(chance, data)
    return begin, min(len(data), begin + 1 + int(most * chance.random() ** 2))


def _inserted(chance: Random, data: bytes, piece: bytes) -> bytes:
    at = _place(chance, data)
    return data[:at] + piece + data[at:]


def _flipped(chance: Random, data: bytes, _: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(min(len(data), chance.choice((1, 1, 2, 4, 16)))):
        # a high bit makes a file one of unknown encoding, which is rarer and takes longer
        changed[chance.randrange(len(data))] ^= 1 << chance.choice((0, 1, 2, 3, 4, 5, 6) * 4 + (7,))
    return bytes(changed)


def _special(chance: Random, data: bytes, _: bytes) -> bytes:
    return _inserted(chance, data, chance.choice(_SPECIAL) * chance.choice((1, 1, 1, 2, 5)))


def _token(chance: Random, data: bytes, _: bytes) -> bytes:
    return _inserted(chance, data, chance.choice(_TOKENS))


def _token_instead(chance: Random, data: bytes, _: bytes) -> bytes:
    begin, end = _span(chance, data, 12)
    return data[:begin] + chance.choice(_TOKENS) + data[end:]


def _deleted(chance: Random, data: bytes, _: bytes) -> bytes:
    begin, end = _span(chance, data)
    return data[:begin] + data[end:]


def _without(chance: Random, data: bytes, _: bytes) -> bytes:
    return data.replace(chance.choice((b"\n", b" ", b"\n\n", b'"', b",", b":", b">", b"]", b"}", b"0", b".")), b"")


def _replaced(chance: Random, data: bytes, _: bytes) -> bytes:
    olds = (b"\n", b" ", b":", b",", b"0", b"e", b"<", b'"')
    return data.replace(chance.choice(olds), chance.choice((*_SPECIAL, *olds)), chance.choice((1, 3, -1)))


def _pieces(chance: Random, data: bytes) -> tuple[bytes, list[bytes]]:
    cut = chance.choice((b"\n", b"\n", b"\n\n", b",", b"<", b" "))
    return cut, data.split(cut)


def _duplicated(chance: Random, data: bytes, _: bytes) -> bytes:
    cut, pieces = _pieces(chance, data)
    begin = chance.randrange(len(pieces))
    some = pieces[begin : begin + chance.choice((1, 1, 2, 5))]
    at = chance.choice((begin, chance.randrange(len(pieces))))
    return cut.join(pieces[:at] + some + pieces[at:])


def _swapped(chance: Random, data: bytes, _: bytes) -> bytes:
    cut, pieces = _pieces(chance, data)
    one, other = chance.randrange(len(pieces)), chance.randrange(len(pieces))
    pieces[one], pieces[other] = pieces[other], pieces[one]
    return cut.join(pieces)


def _shuffled(chance: Random, data: bytes, _: bytes) -> bytes:
    cut, pieces = _pieces(chance, data)
    chance.shuffle(pieces)
    return cut.join(pieces)


def _spliced(chance: Random, data: bytes, other: bytes) -> bytes:
    begin, end = sorted((_place(chance, other), _place(chance, other)))
    at = _place(chance, data)
    return chance.choice((data[:at] + other[begin:], other[:end] + data[at:], data[:at] + other[begin:end] + data[at:]))


def _truncated(chance: Random, data: bytes, _: bytes) -> bytes:
    at = _place(chance, data)
    return data[:at] if chance.random() < 0.8 else data[at:]


def _repeated(chance: Random, data: bytes, _: bytes) -> bytes:
    begin, end = _span(chance, data)
    piece = data[begin:end]
    room = LARGEST - len(data) if chance.random() < _LONG else 200
    return data[:begin] + piece * max(1, min(room // max(1, len(piece)), 20_000)) + data[end:]


def _numbered(chance: Random, data: bytes, _: bytes) -> bytes:
    numbers = list(_NUMBER.finditer(data))
    if not numbers:
        return data + chance.choice(_NUMBERS)
    found = chance.choice(numbers)
    return data[: found.start()] + chance.choice(_NUMBERS) + data[found.end() :]


def _nested(chance: Random, data: bytes, _: bytes) -> bytes:
    piece = chance.choice(_OPENINGS)
    deep = chance.choice((3, 20, 70)) if chance.random() > _LONG else chance.choice((1100, 5000, 20_000))
    return _inserted(chance, data, piece * min(deep, (LARGEST - len(data)) // len(piece)))


_Change = Callable[[Random, bytes, bytes], bytes]
_WEIGHED: Sequence[tuple[_Change, int]] = (
    (_flipped, 10),
    (_special, 8),
    (_token, 14),
    (_token_instead, 10),
    (_deleted, 8),
    (_without, 3),
    (_replaced, 4),
    (_duplicated, 7),
    (_swapped, 7),
    (_shuffled, 2),
    (_spliced, 6),
    (_truncated, 6),
    (_repeated, 5),
    (_numbered, 8),
    (_nested, 3),
)
_CHANGES = [change for change, _ in _WEIGHED]
_WEIGHTS = [weight for _, weight in _WEIGHED]
