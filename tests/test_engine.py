"""Talking and translating: the Python face of a bot."""

import pytest

import s2sbot
from s2sbot import SEP, UNK, SettingsError
from s2sbot.engine import Bot, Conversation
from s2sbot.store import Store
from s2sbot.text import encode_source


@pytest.fixture
def bot(small_bot):
    return s2sbot.load(small_bot)


def test_a_bot_replies_with_a_score(bot):
    reply = bot.reply("Who are you? 1")
    assert reply.text == "I am the engine."
    assert reply.score < 0
    assert reply.tokens == 5
    assert reply.seed is None
    assert not reply.stopped


def test_the_stream_joins_to_the_reply(bot):
    conversation = bot.conversation()
    pieces = conversation.stream("Do you like tea? 1")
    text = ""
    while True:
        try:
            text += next(pieces)
        except StopIteration as end:
            assert end.value.text == text.strip() == "Yes, with milk."
            break
    assert conversation.turns == ["Do you like tea? 1", "Yes, with milk."]


def test_options_are_checked_and_change_only_their_own_conversation(bot):
    with pytest.raises(SettingsError, match="beam_sise"):
        bot.reply("Hello.", beam_sise=3)
    with pytest.raises(SettingsError, match="temperature"):
        bot.conversation(temperature=0)
    conversation = bot.conversation(method="sample", seed=4)
    conversation.set(temperature=2.0)
    assert conversation.settings.temperature == 2.0
    assert bot.decode_settings().method == "greedy"
    with pytest.raises(SettingsError, match="temperatur"):
        conversation.set(temperatur=2.0)


def test_sampling_is_repeated_by_the_seed_that_the_reply_names(bot):
    replies = [bot.reply("Hello. 1", method="sample", temperature=3.0, top_p=1.0) for _ in range(8)]
    assert len({reply.text for reply in replies}) > 1
    for reply in replies:
        again = bot.reply("Hello. 1", method="sample", temperature=3.0, top_p=1.0, seed=reply.seed)
        assert (again.text, again.score) == (reply.text, reply.score)


def test_a_fixed_seed_repeats_a_whole_conversation_without_saying_the_same_each_turn(bot):
    def talk():
        conversation = bot.conversation(method="sample", temperature=3.0, top_p=1.0, seed=5)
        return [conversation.reply("Hello. 1") for _ in range(4)]

    first, second = talk(), talk()
    assert [reply.text for reply in first] == [reply.text for reply in second]
    assert len({reply.seed for reply in first}) == 4


def test_a_conversation_is_stored_the_user_first(bot, tmp_path, monkeypatch):
    with Store.open(tmp_path / "store.db") as store:
        conversation = bot.conversation(store=store)
        assert conversation.id is None
        seen = []
        original = s2sbot.nn.decoding.stream

        def watched(*args, **options):
            seen.extend((message.role, message.text) for message in store.path(conversation.id))
            yield from original(*args, **options)

        monkeypatch.setattr(s2sbot.nn.decoding, "stream", watched)
        reply = conversation.reply("Hello. 1")
        assert seen == [("user", "Hello. 1")], "the user's turn must be stored before the reply is generated"
        user, answer = store.path(conversation.id)
        assert (answer.role, answer.text, answer.parent_id) == ("bot", reply.text, user.id)
        assert answer.bot_uuid == bot.description.uuid
        assert answer.score == pytest.approx(reply.score)
        assert answer.options["method"] == "greedy"
        assert store.find(conversation.id).bot_name == bot.name


def test_a_stored_conversation_goes_on(bot, tmp_path):
    with Store.open(tmp_path / "store.db") as store:
        first = bot.conversation(store=store)
        first.reply("Hello. 1")
        again = bot.conversation(store=store, resume=first.id)
        assert again.turns == first.turns
        again.reply("Thank you. 1")
        assert [message.text for message in store.path(first.id)] == again.turns
        assert len(store.conversations()) == 1
        again.restart()
        again.reply("Hello. 2")
        assert len(store.conversations()) == 2
    with pytest.raises(SettingsError, match="store"):
        bot.conversation(resume="abcd")


def test_a_reply_that_is_stopped_is_kept_as_far_as_it_came(bot, tmp_path):
    with Store.open(tmp_path / "store.db") as store:
        conversation = bot.conversation(store=store)
        pieces = conversation.stream("Who are you? 1")
        shown = next(pieces) + next(pieces)
        pieces.close()
        _, answer = store.path(conversation.id)
        assert answer.stopped
        assert answer.text == shown.strip() == "I am"
        assert conversation.turns == ["Who are you? 1", "I am"]


def test_a_fault_while_generating_keeps_the_users_turn(bot, tmp_path, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("out of luck")
        yield

    with Store.open(tmp_path / "store.db") as store:
        conversation = bot.conversation(store=store)
        monkeypatch.setattr(s2sbot.nn.decoding, "stream", broken)
        with pytest.raises(RuntimeError, match="luck"):
            conversation.reply("Hello. 1")
        assert [message.text for message in store.path(conversation.id)] == ["Hello. 1"]


def test_without_a_store_nothing_is_written(bot, tmp_path, monkeypatch):
    monkeypatch.setenv("S2SBOT_HOME", str(tmp_path / "home"))
    conversation = bot.conversation()
    conversation.reply("Hello. 1")
    assert conversation.id is None
    assert not (tmp_path / "home").exists()


def test_a_chat_bot_does_not_translate(bot):
    with pytest.raises(s2sbot.BotError, match="talks"):
        bot.translate(["Hello."])


def test_a_translator_keeps_lines_and_empty_ones(small_translator):
    translator = s2sbot.load(small_translator)
    lines = ["Who are you? 1", "", "Thank you. 2", "   "] * 40
    found = translator.translate(lines)
    assert len(found) == len(lines)
    assert found[:4] == ["I am the engine.", "", "You are welcome.", ""]
    assert found[4:8] == found[:4]
    assert translator.translate([]) == []
    assert found[0] == translator.translate(["Who are you? 1"])[0]


class Letters:
    """A tokenizer of letters a to z for the source's shape."""

    def encode(self, text):
        return [UNK if not letter.isalpha() else 16 + ord(letter) - ord("a") for letter in text]


def test_a_source_has_as_many_whole_turns_before_it_as_fit():
    assert encode_source(Letters(), "b", ["a", "c"]) == [16, SEP, 18, SEP, 17]
    assert encode_source(Letters(), "b", ["aaaa", "cc"], most=4) == [18, 18, SEP, 17]
    assert encode_source(Letters(), "b", ["aaaa", "cc"], most=3) == [17]
    assert encode_source(Letters(), "bbbb", ["a"], most=3) == [17] * 4, "the line itself is not cut for it"
    assert len(encode_source(Letters(), "b" * 2000)) == 1000


def test_context_turns_are_handed_to_the_model(bot, monkeypatch):
    import dataclasses

    described = dataclasses.replace(bot.description, data={**bot.description.data, "context_turns": 2})
    talker = Bot(bot.folder, described, bot.model, (bot.source_tokenizer, bot.target_tokenizer))
    seen = []
    original = s2sbot.nn.decoding.stream

    def watched(model, source, *args, **options):
        seen.append(source)
        yield from original(model, source, *args, **options)

    monkeypatch.setattr(s2sbot.nn.decoding, "stream", watched)
    conversation: Conversation = talker.conversation()
    for line in ("Hello. 1", "Thank you. 1", "Good night. 1"):
        conversation.reply(line)
    assert [source.count(SEP) for source in seen] == [0, 2, 2]
    assert seen[2][-4:] == bot.source_tokenizer.encode("Good night. 1")
