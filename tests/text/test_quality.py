"""Every rule about exchanges on a smallest case, in both directions; keys and signatures as they are promised."""

import hashlib
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2sbot.errors import SettingsError
from s2sbot.settings import DataSettings
from s2sbot.text import Rules
from s2sbot.text.quality import SIGNATURE, exchange_keys, hash_of, in_language, plain, signature, unfit


def rule(source, target, *, translated=False, **data):
    return unfit(source, target, Rules.of(DataSettings(**data)), translated=translated)


@pytest.mark.parametrize(
    ("source", "target", "wanted"),
    [
        ("How are you?", "Fine.", None),
        ("a" * 400, "b" * 400, None),
        ("a" * 401, "b", "length"),
        ("b", "a" * 401, "length"),
        ("12?", "Twelve.", "length"),
        ("Twelve?", "12!", "length"),
        ("?!", "...", "length"),
        ("", "Yes.", "length"),
        ("Yes.", "_ 1_", "length"),
        ("ß", "ñ", None),
    ],
)
def test_length(source, target, wanted):
    assert rule(source, target) == wanted
    if wanted:
        assert rule(source, target, without="length,letters") is None


def test_length_goes_by_characters_as_they_are_set():
    assert rule("a" * 20, "b", max_characters=20) is None
    assert rule("a" * 21, "b", max_characters=20) == "length"


@pytest.mark.parametrize(
    ("source", "target", "wanted"),
    [
        ("a" * 20, "b", None),  # of short ones one may be any number of times as long
        ("a" * 21, "b" * 5, "ratio"),
        ("b" * 5, "a" * 21, "ratio"),
        ("a" * 80, "b" * 20, None),
        ("a" * 81, "b" * 20, "ratio"),
    ],
)
def test_ratio_is_for_translations_alone(source, target, wanted):
    assert rule(source, target, translated=True) == wanted
    assert rule(source, target) is None
    assert rule(source, target, translated=True, without="ratio") is None


def test_the_ratio_is_the_one_that_is_set():
    assert rule("a" * 60, "b" * 30, translated=True, max_ratio=2.0) is None
    assert rule("a" * 61, "b" * 30, translated=True, max_ratio=2.0) == "ratio"


LANGUAGES = {
    "Thai": "คุณกำลังทำอะไรอยู่ที่นี่",
    "Hindi": "तुम यहाँ क्या कर रहे हो?",
    "Arabic": "ماذا تفعل هنا يا صديقي؟",
    "Arabic with vowels": "مَاذَا تَفْعَلُ هُنَا؟",
    "Hebrew with vowels": "מָה אַתָּה עוֹשֶׂה פֹּה?",
    "Chinese": "你在这里做什么？",
    "Japanese": "ここで何をしているの？",
    "Korean": "여기서 뭐 하고 있어?",
    "Bengali": "তুমি এখানে কী করছ?",
    "Tamil": "நீ இங்கே என்ன செய்கிறாய்?",
    "Burmese": "ဒီမှာ ဘာလုပ်နေတာလဲ",
    "Khmer": "តើអ្នកកំពុងធ្វើអ្វីនៅទីនេះ",
    "Tibetan": "ཁྱེད་རང་འདིར་ག་རེ་བྱེད་ཀྱི་ཡོད།",
    "Lao": "ເຈົ້າກຳລັງເຮັດຫຍັງຢູ່ນີ້",
    "Vietnamese taken apart": "Ba\u0323n đang la\u0300m gi\u0300 o\u031b\u0309 đây?",
    "Georgian": "რას აკეთებ აქ?",
    "Amharic": "እዚህ ምን እያደረግክ ነው?",
    "Greek": "Τι κάνεις εδώ;",
}


@pytest.mark.parametrize("text", LANGUAGES.values(), ids=LANGUAGES)
def test_no_language_is_taken_for_signs(text):
    assert rule(text, "Nothing.") is None
    assert rule("Nothing.", text) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("😀😀😀 ok 😀", "letters"),
        ("ok 😀", None),
        ("😀 k 😀", "letters"),
        ("Call 555-019 now", None),
        ("Call 555-0199 now", None),
        ("Call 555-0199", None),
        ("I 555-0199", "letters"),
        ("I'm 16.", None),
        ("Mr. 3.", None),
        ("In 1998?", None),
        ("No...", None),
        ("Wh-what?!?!?!", None),
        ("«Да»...", None),
        ("m 0 0 l 100 0 100 50 0 50", "letters"),
        ("1 2 3 4 5 go", "letters"),
        ("=== A ===", "letters"),
        ("x = y + 2 * (z - 1)", "letters"),
        ("abcd1234", None),
        ("abcd12345678", None),
        ("abcd123456789", "letters"),
        ("♪♪♪ la la ♪♪♪", "letters"),
        ("A-B", None),
    ],
)
def test_letters(text, wanted):
    assert rule(text, "Nothing.") == wanted
    assert rule("Nothing.", text) == wanted
    assert rule(text, "Nothing.", without="letters") is None


@pytest.mark.parametrize(
    ("source", "target", "wanted"),
    [
        ("Stop!", "Stop!", "echo"),
        ("Stop!", "STOP!", "echo"),
        ("Straße", "STRASSE", None),  # a letter more
        ("Stop!", "Stop.", None),
        ("Stop!", "Go!", None),
    ],
)
def test_echo(source, target, wanted):
    assert rule(source, target) == wanted
    assert rule(source, target, without="echo") is None


def test_of_several_rules_the_first_one_counts():
    assert rule("a" * 500, "a" * 500) == "length"
    assert rule("=1= " * 9, "=1=", translated=True, max_ratio=2.0) == "length"
    assert rule("a=1=1= " * 9, "b", translated=True) == "ratio"
    assert rule("a=1=1= " * 9, "a=1=1= " * 9) == "letters"


@given(st.text(max_size=30), st.text(max_size=30), st.booleans())
def test_what_is_fit_one_way_is_fit_the_other(source, target, translated):
    assert rule(source, target, translated=translated) == rule(target, source, translated=translated)


# languages

ENGLISH = "The old man went down to the river every morning to look for his boat."
GERMAN = "Der alte Mann ging jeden Morgen zum Fluss hinunter, um nach seinem Boot zu sehen."


def test_language():
    assert in_language(ENGLISH, "en")
    assert not in_language(GERMAN, "en")
    assert in_language(GERMAN, "de")
    assert not in_language(ENGLISH, "de")
    assert in_language("Guten Morgen.", "en")  # too short to say


def test_a_language_that_is_not_known_is_a_settings_error():
    with pytest.raises(SettingsError, match="'xx' is not known") as raised:
        in_language(ENGLISH, "xx")
    assert "en, de" in raised.value.hint


@pytest.mark.parametrize(
    ("module", "call", "package"),
    [
        ("py3langid.langid", lambda: in_language(ENGLISH, "fr"), "s2sbot[languages]"),
        ("rensa", lambda: signature("a", "b"), "s2sbot[near-duplicates]"),
    ],
)
def test_a_library_that_is_missing_is_named_with_what_to_type(monkeypatch, module, call, package):
    from s2sbot.text import quality

    quality._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError, match=module.partition(".")[0]) as raised:
        call()
    assert raised.value.hint == f"install it with: pip install '{package}'"


# keys


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Who goes THERE?", "who goes there"),
        ("I don't-know... ", "i don t know"),
        ("___", ""),
        ("Ünïcödé 12", "ünïcödé 12"),
        ("STRASSE straße", "strasse strasse"),
        ("क्या? का, कि।", "क्या का कि"),
        ("\u0301e\u0301! \u0301", "é"),
        ("Ｏｈ， ｎｏ！", "oh no"),
        ("Ma\u0308dchen ﬁnden", "mädchen finden"),
    ],
)
def test_plain(text, wanted):
    assert plain(text) == wanted


@given(st.text(), st.sampled_from([".", "?!", "  ", "-"]))
def test_plain_knows_neither_case_nor_punctuation(text, sign):
    assert plain(plain(text)) == plain(text)
    assert plain(sign + text + sign) == plain(text)
    assert plain(f"{text} {sign} x") == f"{plain(text)} x".strip()


@pytest.mark.parametrize("text", LANGUAGES.values(), ids=LANGUAGES)
def test_plain_keeps_the_words_of_every_language(text):
    words = plain(text).split()
    assert words
    whole = unicodedata.normalize("NFKC", text).casefold()
    assert all(word in whole for word in words)
    assert plain(f"«{text}»!!") == plain(text) == plain(unicodedata.normalize("NFD", text))
    spoken = [sign for sign in whole if sign.isalpha() or unicodedata.category(sign).startswith("M")]
    assert [sign for sign in plain(text) if sign != " "] == spoken


@given(st.text(), st.text(), st.text(), st.text())
def test_keys_tell_exchanges_apart(one, two, three, four):
    sides = [plain(text) for text in (one, two, three, four)]
    first, second = exchange_keys(sides[0], sides[1]), exchange_keys(sides[2], sides[3])
    assert (first[0] == second[0]) == (sides[:2] == sides[2:])
    assert (first[1] == second[1]) == (sides[1] == sides[3])


def test_what_stands_on_which_side_matters_to_a_key():
    assert exchange_keys("a b", "c")[0] != exchange_keys("a", "b c")[0]
    assert exchange_keys("a", "b")[0] != exchange_keys("b", "a")[0]


@given(st.text(st.characters(codec=None)))
def test_a_hash_is_64_bits_of_anything(text):
    assert 0 <= hash_of(text) < 2**64


def test_hashes_are_the_same_everywhere():
    assert hash_of("") == 0xB4B2797457A0A6E4
    assert hash_of("I don't know") == int.from_bytes(hashlib.blake2b(b"I don't know", digest_size=8).digest(), "little")


# signatures


def jaccard(one, two):
    grams = [{text[start : start + 5] for start in range(max(1, len(text) - 4))} for text in (one, two)]
    return len(grams[0] & grams[1]) / len(grams[0] | grams[1])


def likeness(one, two):
    return sum(map(int.__eq__, one, two)) / SIGNATURE


TALE = "the old man went down to river every morning look for his boat and came back at night with a fish"
WORDS = TALE.split()


@pytest.mark.parametrize("changes", range(0, len(WORDS), 3))
def test_a_signature_estimates_what_runs_of_characters_two_exchanges_share(changes):
    source = " ".join(WORDS)
    other = " ".join(["".join(reversed(word)) if n < changes else word for n, word in enumerate(WORDS)])
    numbers = signature(source, "and so on"), signature(other, "and so on")
    assert len(numbers[0]) == SIGNATURE
    assert all(0 <= number < 2**32 for number in numbers[0])
    true = jaccard(f"{source}\nand so on", f"{other}\nand so on")
    assert abs(likeness(*numbers) - true) < 0.2  # three standard deviations of 64 numbers are 0.19
    assert (likeness(*numbers) == 1.0) == (changes == 0)


def test_a_signature_of_next_to_nothing():
    assert signature("", "") == signature("", "")
    assert signature("a", "b") != signature("a", "c")
