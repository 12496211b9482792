"""What reaches a terminal can only be read: checked against the grammar, and against a terminal."""

from __future__ import annotations

import time

import pyte
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s2sbot.cli.sanitize import sanitize


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nnext", "plain\ttext\nnext"),
        ("carriage\r\nreturn\rback\x08space\x07bell\x00nul\x7fdel", "carriage\nreturnbackspacebellnuldel"),
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("a\x9b31mred", "ared"),
        ("a\x1b[?1049h\x1b[2J\x1b[1;1Hb", "ab"),
        ("a\x1b]0;owned\x07b", "ab"),
        ("a\x1b]0;owned\x1b\\b", "ab"),
        ("a\x9d0;owned\x9cb", "ab"),
        ("a\x1b]52;c;aGk=\x07b", "ab"),
        ("a\x1bPq#0;2;0\x1b\\b", "ab"),
        ("a\x90q\x9cb", "ab"),
        ("a\x1b_apc\x1b\\b\x1b^pm\x1b\\c\x1bXsos\x1b\\d", "abcd"),
        ("a\x1b(0b\x1bcd\x1b#8e\x1b=f", "abdef"),
        ("never \x1b]ended", "never ended"),
        ("cut \x1b[12", "cut "),
        ("cut \x1b", "cut "),
        ("c1 \x85\x84\x8d end", "c1  end"),
        ("\u202eevil\u202c \u2066x\u2069 a\u2028b\u2029c", "evil x abc"),
        ("family \U0001f468\u200d\U0001f469\u200d\U0001f467, שלום, 日本語, é", None),
        ("half \ud83d pair", "half \ufffd pair"),
    ],
)
def test_only_what_can_be_read_is_left(text: str, shown: str | None) -> None:
    assert sanitize(text) == (text if shown is None else shown)


PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["\x1b", "\x1b[", "\x1b]", "\x1bP", "\x9b", "\x9d", "\x07", "\x1b\\", "\x9c", "?25l", "0;t", "4h"]),
    st.text(alphabet="\x1b[]0123456789;?hlmHJrc(B\x07\x9b\x9d\x0e\x0f\\", max_size=12),
)


@given(st.lists(PIECES, max_size=12).map("".join))
@example("\x1b]2;title\x07")
@example("\x1b[?25l\x1b[?7l\x1b[4h\x1b(0\x1b[5;10r")
def test_a_terminal_stays_as_it_was(text: str) -> None:
    screen = pyte.Screen(40, 10)
    stream = pyte.Stream(screen)
    before = _steering_of(screen)
    stream.feed(sanitize(text).replace("\n", "\r\n"))
    assert _steering_of(screen) == before
    # The terminal is not left waiting for the end of a sequence either.
    stream.feed("\r\nX")
    assert screen.buffer[screen.cursor.y][0].data == "X"


def _steering_of(screen: pyte.Screen) -> tuple[object, ...]:
    cursor = screen.cursor
    charsets = (screen.charset, screen.g0_charset, screen.g1_charset)
    return screen.title, screen.icon_name, set(screen.mode), screen.margins, cursor.hidden, cursor.attrs, *charsets


def test_the_terminal_of_the_test_does_obey_what_is_not_sanitized() -> None:
    screen = pyte.Screen(40, 10)
    pyte.Stream(screen).feed("\x1b]2;owned\x07\x1b[?25l")
    assert screen.title == "owned"
    assert screen.cursor.hidden


@given(st.text(alphabet="\x1b\x9b\x9d[]P0;?m\x07\\\n\tab\u202e\ud800"))
def test_twice_is_once_and_nothing_that_steers_is_left(text: str) -> None:
    clean = sanitize(text)
    assert sanitize(clean) == clean
    assert not any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) <= 0x9F for c in clean)


@pytest.mark.parametrize("piece", ["\x1b]", "\x1b[", "\x1b]a", "\x1b ", "\x9d" + "a" * 50, "\x1b[0;"])
def test_hostile_text_takes_linear_time(piece: str) -> None:
    started = time.perf_counter()
    sanitize(piece * 200_000)
    assert time.perf_counter() - started < 5
