"""What all four tokenizers promise, and what each of them promises beyond that."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s2sbot_bytes import Bytes
from s2sbot_characters import Characters
from s2sbot_sentencepiece import SentencePiece
from s2sbot_words import JOINER, Words, join_words, split_words

from s2sbot import BOS, EOS, PAD, RESERVED, SEP, UNK, TokenizerError
from s2sbot.testing import check_tokenizer
from s2sbot.text import default_vocab_size, encode_source

KINDS = [SentencePiece, Words, Characters, Bytes]
LEARNING = [SentencePiece, Words, Characters]
FILES = [(SentencePiece, "sentencepiece.model"), (Words, "words.json"), (Characters, "characters.json")]
LINES = [
    "Hello, is it me you're looking for?",
    "No, it is not; it is “me” (myself).",
    "Où êtes-vous ? J'ai 2,50 € — c'est tout!",
    "日本語のテキスト。",
    "A well-known rock'n'roll band... isn't it?!",
    "snake_case  and   wide\tspaces",
]
TRAINED = {kind: kind.train(LINES * 30, None) for kind in KINDS}
TEXT = st.one_of(st.text(), st.text(st.sampled_from(sorted(set("".join(LINES))))), st.sampled_from(LINES))


def plain(text):
    return " ".join(text.split())


@pytest.mark.parametrize("kind", KINDS)
def test_the_contract_of_tokenizers(kind):
    check_tokenizer(kind, LINES * 3)


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXT)
def test_no_id_is_reserved_but_unk_nor_out_of_range(kind, text):
    ids = TRAINED[kind].encode(text)
    assert all(index == UNK or RESERVED <= index < len(TRAINED[kind]) for index in ids)
    assert all(type(index) is int for index in ids)


@pytest.mark.parametrize("kind", KINDS)
@given(ids=st.data())
def test_any_ids_decode_and_reserved_ones_mean_nothing(kind, ids):
    drawn = ids.draw(st.lists(st.integers(0, len(TRAINED[kind]) - 1)))
    bare = [index for index in drawn if index >= RESERVED]
    assert TRAINED[kind].decode(drawn) == TRAINED[kind].decode(bare)
    assert TRAINED[kind].decode([PAD, UNK, BOS, EOS, SEP, *range(5, RESERVED)]) == ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["<s>", "</s> <pad> <unk>", "<sep>", "<reserved7>", "\ud800 lone \udc80", "a\0b"])
def test_control_words_and_lone_surrogates_are_only_text(kind, text):
    ids = TRAINED[kind].encode(text)
    assert not [index for index in ids if index < RESERVED and index != UNK]
    TRAINED[kind].decode(ids).encode("utf-8")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_bytes_give_back_exactly_what_they_got(text):
    assert Bytes().decode(Bytes().encode(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_characters_give_back_exactly_what_they_learnt(text):
    tokenizer = Characters.train([text], None)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert UNK not in tokenizer.encode(text)


@given(TEXT)
def test_words_are_cut_and_joined_again_up_to_white_space(text):
    text = text.replace(JOINER, "")
    assert join_words(split_words(text)) == plain(text)


def test_words_and_marks():
    assert split_words("Don't, he said -- (no!)") == [
        "Don't",
        f"{JOINER},",
        "he",
        "said",
        f"-{JOINER}",
        f"{JOINER}-",
        f"({JOINER}",
        "no",
        f"{JOINER}!{JOINER}",
        f"{JOINER})",
    ]
    assert join_words(split_words(f"a{JOINER}b")) == "a b"


@given(st.lists(st.sampled_from(LINES), min_size=1).map(" ".join))
def test_words_give_back_what_they_learnt(text):
    tokenizer = Words.train([text], None)
    assert UNK not in tokenizer.encode(text)
    assert tokenizer.decode(tokenizer.encode(text)) == plain(text)


@given(st.lists(st.sampled_from([word for line in LINES for word in line.split()]), min_size=1))
def test_sentencepiece_gives_back_its_own_words_up_to_nfkc(words):
    text = " ".join(words)
    ids = TRAINED[SentencePiece].encode(text)
    assert UNK not in ids
    assert TRAINED[SentencePiece].decode(ids) == plain(unicodedata.normalize("NFKC", text))


def test_what_was_never_seen_is_unk_and_not_said():
    for kind in LEARNING:
        assert UNK in TRAINED[kind].encode("☃")
        assert "☃" not in TRAINED[kind].decode(TRAINED[kind].encode("me ☃"))


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_is_the_same(kind, tmp_path):
    TRAINED[kind].save(tmp_path)
    again = kind.load(tmp_path)
    assert len(again) == len(TRAINED[kind])
    for line in [*LINES, "unseen ☃ words", ""]:
        assert again.encode(line) == TRAINED[kind].encode(line)
    every = list(range(len(again)))
    assert again.decode(every) == TRAINED[kind].decode(every)


@pytest.mark.parametrize("kind", LEARNING)
def test_training_twice_gives_the_same(kind):
    again = kind.train(iter(LINES * 30), None)
    assert [again.encode(line) for line in LINES] == [TRAINED[kind].encode(line) for line in LINES]


@pytest.mark.parametrize("kind", LEARNING)
def test_a_vocabulary_of_just_that_size(kind):
    assert len(kind.train(LINES * 3, 80 if kind is SentencePiece else 40)) == (80 if kind is SentencePiece else 40)


@pytest.mark.parametrize("kind", LEARNING)
def test_a_vocabulary_larger_than_the_corpus_can_support_says_how_many_it_can(kind):
    with pytest.raises(TokenizerError, match="a vocabulary of 5000 is larger than the corpus can support") as raised:
        kind.train(LINES, 5000)
    most = int(raised.value.hint.split()[1])
    assert raised.value.hint.startswith(f"--vocab-size {most} is the most")
    assert len(kind.train(LINES, most)) == most
    with pytest.raises(TokenizerError):
        kind.train(LINES, most + 1)


def test_a_vocabulary_without_room_for_the_characters_says_how_many_it_needs():
    with pytest.raises(TokenizerError, match="no room for every character") as raised:
        SentencePiece.train(LINES, 33)
    least = int(raised.value.hint.split()[1])
    assert len(SentencePiece.train(LINES, least)) == least


def test_a_script_of_thousands_of_characters_gets_the_room_it_needs():
    lines = ["".join(chr(0x4E00 + (7 * row + 13 * column) % 3000) for column in range(20)) for row in range(800)]
    tokenizer = SentencePiece.train(lines, None)
    assert len(set("".join(lines))) + RESERVED < len(tokenizer) <= 8_000
    assert tokenizer.decode(tokenizer.encode(lines[3])) == lines[3]


def test_bytes_have_one_size():
    assert len(Bytes.train([], None)) == len(Bytes.train([], 272)) == 272
    with pytest.raises(TokenizerError, match="cannot have 100 ids") as raised:
        Bytes.train([], 100)
    assert "272" in raised.value.hint


@pytest.mark.parametrize("kind", LEARNING)
@pytest.mark.parametrize("lines", [[], [""], ["", "\n"]])
def test_no_text_is_an_error(kind, lines):
    if kind is Characters and lines == ["", "\n"]:
        return
    with pytest.raises(TokenizerError, match="no text to learn"):
        kind.train(lines, None)


@pytest.mark.parametrize(("kind", "name"), FILES)
@pytest.mark.parametrize("data", [None, b"", b"{", b"3", b"[3]", b"{}", b"[" * 100_000, b"\xff\xfe", b"\0" * 100])
def test_a_damaged_tokenizer_is_a_tokenizer_error(kind, name, data, tmp_path):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(TokenizerError) as raised:
        kind.load(tmp_path)
    assert raised.value.hint


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_a_cut_tokenizer_is_a_tokenizer_error(kind, name, tmp_path):
    TRAINED[kind].save(tmp_path)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(TokenizerError):
        kind.load(tmp_path)


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_a_tokenizer_of_gigabytes_is_not_even_read(kind, name, tmp_path):
    with (tmp_path / name).open("wb") as stream:
        stream.truncate(2**30)
    with pytest.raises(TokenizerError, match="large"):
        kind.load(tmp_path)


def test_the_most_frequent_come_first():
    assert Words.train(["b b b a a c c d"], None).encode("b a c d") == [16, 17, 18, 19]
    assert Words.train(["b b b a a c c d"], RESERVED + 2).encode("b a c d") == [16, 17, UNK, UNK]
    assert Characters.train(["bbbaaccd"], RESERVED + 2).encode("bacd") == [16, 17, UNK, UNK]


def test_a_source_holds_its_context_and_loses_its_beginning():
    tokenizer = Bytes()
    assert encode_source(tokenizer, "c", ["a", "b"]) == [113, SEP, 114, SEP, 115]
    assert encode_source(tokenizer, "c") == [115]
    assert encode_source(tokenizer, "x" * 39, ["a" * 5], most=45) == [113] * 5 + [SEP] + [136] * 39
    assert encode_source(tokenizer, "x" * 39, ["a" * 5], most=44) == [136] * 39


@pytest.mark.parametrize(("words", "size"), [(0, 400), (4_000, 400), (10_000, 1_000), (10**7, 8_000)])
def test_default_vocab_size(words, size):
    assert default_vocab_size(words) == size
