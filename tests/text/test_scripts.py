"""Of subtitles that say everything in two scripts, the lines of one are kept."""

import pytest

from s2sbot import Cue
from s2sbot.text.scripts import one_script, script_of


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Hello", "latin"),
        ("Grüße", "latin"),
        ("Привет", "cyrillic"),
        ("γεια", "greek"),
        ("你好", "han"),
        ("こんにちは", "han"),
        ("안녕", "hangul"),
        ("สวัสดี", "thai"),
        ("مرحبا", "arabic"),
        ("שלום", "hebrew"),
        ("因此CONS在这做了个标注", "han"),
        ("那么假设我们有一个叫做make-rectangular的过程", "han"),
        ("12:30 ?!", None),
        ("—", None),
        ("", None),
    ],
)
def test_the_script_of_most_letters(text, script):
    assert script_of(text) == script


def cues(*texts):
    return [Cue(float(number), number + 0.9, text) for number, text in enumerate(texts)]


def kept(*texts, languages=()):
    found, twofold = one_script(cues(*texts), languages)
    return [cue.text for cue in found], twofold


def test_one_of_two_scripts_is_kept():
    texts = ("你好\nHello.", "再见\nGoodbye.", "好")
    assert kept(*texts) == (["你好", "再见", "好"], 2)
    assert kept(*texts, languages=("en",)) == (["Hello.", "Goodbye."], 3)
    assert kept(*texts, languages=("zh",)) == (["你好", "再见", "好"], 2)
    assert kept("Hello.\nПривет.", "Goodbye.\nПока.", languages=("ru", "en")) == (["Привет.", "Пока."], 2)


def test_where_both_are_in_as_many_lines_it_is_the_first():
    assert kept("Hello.\n你好", "Goodbye.\n再见") == (["Hello.", "Goodbye."], 2)


def test_cues_of_two_kinds_are_two_languages_too():
    texts = ("你好", "Hello.", "再见", "Goodbye.", "好")
    said_twice = [
        Cue(number // 2 * 2.0 + 0.1 * (number % 2), number // 2 * 2 + 1.5, each) for number, each in enumerate(texts)
    ]

    def kept_of(cues, *languages):
        found, lost = one_script(cues, languages)
        return [cue.text for cue in found], lost

    assert kept_of(said_twice) == (["你好", "再见", "好"], 2)
    assert kept_of(said_twice, "en") == (["Hello.", "Goodbye."], 3)
    assert kept_of(said_twice[:1] + said_twice[2:4] + said_twice[4:]) == (["你好", "再见", "Goodbye.", "好"], 0)


def test_two_speakers_of_two_languages_both_stay():
    texts = ("Привет.", "Hello.", "Пока.", "Goodbye.", "Да.")
    assert kept(*texts) == (list(texts), 0)


def test_lines_without_letters_stay():
    assert kept("你好\nHello.\n...") == (["你好\n..."], 1)


def test_a_few_words_in_another_script_are_no_second_language():
    texts = ("你好", "我们\nABC", "再见", "好的")
    assert kept(*texts) == (list(texts), 0)
    assert kept("One.\nTwo.", "Three.") == (["One.\nTwo.", "Three."], 0)
    assert kept() == ([], 0)
