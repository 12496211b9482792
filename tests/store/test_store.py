"""Turns come back as they went in, in the tree they were said in, under every name a user may give them."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import s2sbot.store
from s2sbot.errors import StoreError
from s2sbot.store import TIP, Conversation, Message, Store


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "conversations.db") as opened:
        yield opened


def talk(store: Store, *texts: str, bot: str = "friends") -> Conversation:
    conversation = store.start(f"uuid-of-{bot}", bot)
    for number, text in enumerate(texts):
        store.append(conversation.id, "bot" if number % 2 else "user", text)
    return store.find(conversation.id)


def test_the_public_face_is_whole() -> None:
    assert all(hasattr(s2sbot.store, name) for name in s2sbot.store.__all__)


def test_a_turn_comes_back_as_it_went_in(store: Store) -> None:
    conversation = store.start("uuid", "friends", title="Ferry")
    asked = store.append(conversation.id, "user", "Where\nto?")
    reply = store.append(
        conversation.id, "bot", "Home.", bot_uuid="uuid", seed=2**62, options={"beam": 4, "stop": ["."]},
        score=-1.25, state=b"\x00\xff" * 9, stopped=True,
    )  # fmt: skip
    assert store.path(conversation.id) == (asked, reply)
    assert (asked.parent_id, reply.parent_id) == (None, asked.id)
    assert asked.created.tzinfo == UTC
    assert abs((datetime.now(UTC) - asked.created).total_seconds()) < 60
    found = store.find(conversation.id)
    assert (found.title, found.bot_name, found.turns, found.tip_id) == ("Ferry", "friends", 2, reply.id)
    assert found.opening == "Where\nto?"
    assert found.updated == reply.created >= found.created == conversation.created


def test_an_empty_conversation_has_no_turns(store: Store) -> None:
    conversation = store.start("uuid", "friends")
    assert store.path(conversation.id) == ()
    assert store.conversations() == [conversation]


def test_another_answer_is_a_second_child(store: Store) -> None:
    conversation = talk(store, "question", "first answer")
    asked, first = store.path(conversation.id)
    second = store.append(conversation.id, "bot", "second answer", parent_id=asked.id)
    assert store.path(conversation.id) == (asked, second)
    assert store.find(conversation.id).turns == 2
    # Back on the first branch: what is said next ends the conversation there.
    more = store.append(conversation.id, "user", "more", parent_id=first.id)
    assert store.path(conversation.id) == (asked, first, more)
    assert [one["text"] for one in store.export(conversation.id)["messages"]] == [
        "question", "first answer", "second answer", "more",
    ]  # fmt: skip


def test_a_conversation_may_have_another_first_turn(store: Store) -> None:
    conversation = talk(store, "hello", "hi")
    again = store.append(conversation.id, "user", "good morning", parent_id=None)
    assert store.path(conversation.id) == (again,)
    assert store.find(conversation.id).opening == "good morning"
    below = store.append(conversation.id, "bot", "morning", parent_id=TIP)
    assert below.parent_id == again.id


def test_a_parent_must_be_of_the_same_conversation(store: Store) -> None:
    here, there = talk(store, "here"), talk(store, "there")
    for parent in (there.tip_id, "0" * 32):
        with pytest.raises(StoreError, match="has no message"):
            store.append(here.id, "bot", "lost", parent_id=parent)
    assert store.find(here.id).turns == 1


def test_the_one_talked_in_last_goes_first(store: Store) -> None:
    first, second = talk(store, "a", bot="one"), talk(store, "b", bot="two")
    assert [one.id for one in store.conversations()] == [second.id, first.id]
    store.append(first.id, "bot", "again")
    assert [one.id for one in store.conversations()] == [first.id, second.id]
    assert [one.id for one in store.conversations(limit=1)] == [first.id]
    newest, newest_of_two = store.latest(), store.latest("uuid-of-two")
    assert newest is not None and newest.id == first.id
    assert newest_of_two is not None and newest_of_two.id == second.id
    assert store.latest("nobody") is None


def test_a_conversation_is_found_by_its_first_digits_or_as_the_last(store: Store) -> None:
    conversation, last = talk(store, "a"), talk(store, "b")
    dashed = f"{conversation.id[:8]}-{conversation.id[8:12]}"
    for name in (conversation.id, conversation.id[:12], conversation.id[:12].upper(), f" {conversation.id} ", dashed):
        assert store.find(name).id == conversation.id
    assert store.find("last").id == last.id


def test_a_name_that_fits_nothing_or_too_much_says_what_to_do(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="no conversation yet"):
        store.find("last")
    ids = iter(["abcd0000" + "1" * 24, "abcd0000" + "2" * 24])
    monkeypatch.setattr("uuid.uuid4", lambda: type("Fixed", (), {"hex": next(ids)}))
    store.start("uuid", "friends")
    store.start("uuid", "friends")
    with pytest.raises(StoreError, match="too short") as short:
        store.find("abc")
    assert "history list" in short.value.hint
    with pytest.raises(StoreError, match="more than one") as many:
        store.find("abcd")
    assert "abcd000011" in many.value.hint and "abcd000022" in many.value.hint
    with pytest.raises(StoreError, match="no conversation has the id") as near:
        store.find("abce0000")
    assert "abcd0000" in near.value.hint
    for odd in ("%%%%", "____", "zzzz", "'; DROP", "\U0010ffff" * 4):
        with pytest.raises(StoreError, match="no conversation has the id") as odd_name:
            store.find(odd)
        assert "history list" in odd_name.value.hint


def test_search_knows_letters_of_every_language_and_no_wildcards(store: Store) -> None:
    one = talk(store, "Die ÄRGERLICHE Fähre", "100% sicher", "a_b")
    two = talk(store, "ärgerlich ist das")
    assert [(c.id, m.text) for c, m in store.search("ärgerlich")] == [
        (two.id, "ärgerlich ist das"), (one.id, "Die ÄRGERLICHE Fähre"),
    ]  # fmt: skip
    assert [m.text for _, m in store.search("0% s")] == ["100% sicher"]
    assert [m.text for _, m in store.search("_")] == ["a_b"]
    assert store.search("%%") == []
    assert len(store.search("", limit=3)) == 3


@pytest.mark.parametrize("journal", [("delete", "EXTRA"), ("wal", "FULL")])
def test_what_is_deleted_is_gone_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal) -> None:
    monkeypatch.setattr("s2sbot.store.connection.journal_for", lambda version: journal)
    monkeypatch.setattr("s2sbot.store.migrate.journal_for", lambda version: journal)
    file = tmp_path / "conversations.db"
    with Store.open(file) as store:
        kept, secret = talk(store, "keep me"), talk(store, *(f"needle {n} " + "x" * n for n in range(0, 9000, 900)))
        store.start("uuid", "friends", title="needle title")
        store.delete(store.find("last").id)
        assert b"needle 0" in b"".join(part.read_bytes() for part in tmp_path.glob("*"))
        store.delete(secret.id)
        assert [one.id for one in store.conversations()] == [kept.id]
        assert store.search("needle") == []
        for part in tmp_path.glob("*"):
            assert b"needle" not in part.read_bytes(), part
        with pytest.raises(StoreError, match="no conversation"):
            store.delete(secret.id)


def test_a_very_long_conversation_is_walked_and_deleted(store: Store) -> None:
    conversation = talk(store, "root")
    rows = [(f"{n:032x}", f"{n - 1:032x}" if n else None, conversation.id) for n in range(3000)]
    with closing(sqlite3.connect(store.file)) as raw, raw:
        raw.executemany(
            "INSERT INTO message (id, parent_id, conversation_id, role, text, created, stopped)"
            " VALUES (?, ?, ?, 'user', 'x', '2026-01-01T00:00:00.000000+00:00', 0)",
            rows,
        )
        raw.execute("UPDATE conversation SET tip_id = ?", (rows[-1][0],))
    assert len(store.path(conversation.id)) == store.find(conversation.id).turns == 3000
    store.delete(conversation.id)
    assert store.conversations() == []
    with closing(sqlite3.connect(store.file)) as raw:
        assert raw.execute("SELECT count(*) FROM message").fetchone() == (0,)


def test_export_is_json_and_has_states_only_where_asked_for(store: Store) -> None:
    conversation = talk(store, "hello")
    store.append(conversation.id, "bot", "hi", state=b"\x01\x02", score=-math.inf, options={"beam": 1})
    plain = json.loads(json.dumps(store.export(conversation.id), allow_nan=False))
    assert plain["format"] == 1
    assert plain["conversation"]["id"] == conversation.id
    assert [one["text"] for one in plain["messages"]] == ["hello", "hi"]
    assert plain["messages"][1]["score"] is None
    assert "state" not in plain["messages"][1]
    states = [one["state"] for one in store.export(conversation.id, with_state=True)["messages"]]
    assert states == [None, "AQI="]


@pytest.mark.parametrize("call", ["path", "export", "delete"])
def test_an_unknown_conversation_is_an_error_of_the_user(store: Store, call: str) -> None:
    with pytest.raises(StoreError, match="no conversation has the id"):
        getattr(store, call)("0" * 32)
    with pytest.raises(StoreError, match="no conversation has the id"):
        store.append("0" * 32, "user", "hello")


def test_a_role_that_is_none_is_a_fault_of_ours(store: Store) -> None:
    conversation = talk(store, "hello")
    with pytest.raises(Exception, match="ck_message_role"):
        store.append(conversation.id, "narrator", "once")  # type: ignore[arg-type]
    assert store.find(conversation.id).turns == 1


def test_a_closed_store_refuses(tmp_path: Path) -> None:
    with Store.open(tmp_path / "conversations.db") as store:
        pass
    with pytest.raises(ValueError, match="closed"):
        store.conversations()


def test_records_cannot_change(store: Store) -> None:
    conversation = talk(store, "hello")
    with pytest.raises(AttributeError):
        conversation.title = "other"  # type: ignore[misc]
    assert not hasattr(Message, "__dict__") or "__slots__" in vars(Message)


def test_threads_share_a_store(store: Store) -> None:
    conversation = talk(store)

    def say(name: str) -> None:
        for number in range(5):
            store.append(conversation.id, "user", f"{name} {number}")

    threads = [threading.Thread(target=say, args=(name,)) for name in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.find(conversation.id).turns == 15


ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=40)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=ANY_TEXT, title=st.none() | ANY_TEXT)
def test_any_text_comes_back(store: Store, text: str, title: str | None) -> None:
    conversation = store.start("uuid", "friends", title=title)
    message = store.append(conversation.id, "user", text)
    assert store.path(conversation.id) == (message,)
    assert message.text == "".join("\ufffd" if 0xD800 <= ord(c) < 0xE000 else c for c in text)
    assert store.find(conversation.id).title == conversation.title
