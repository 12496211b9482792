"""Stored conversations become a corpus that can be read again."""

import json
import os
import stat

import pytest
from click.testing import CliRunner

from s2sbot.cli import main
from s2sbot.plugins import Plugins
from s2sbot.store import Store
from s2sbot.text import CorpusReport, Rules, open_corpus, read_corpus


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("S2SBOT_HOME", str(tmp_path / "home"))
    return tmp_path


def talk(store, name, *turns, bot="b1"):
    conversation = store.start(bot, name)
    for number, text in enumerate(turns):
        store.append(conversation.id, "bot" if number % 2 else "user", text.lstrip("!"), stopped=text.startswith("!"))
    return conversation


def run(*args, code=0):
    result = CliRunner().invoke(main, ["corpus", "from-chats", *map(str, args)])
    assert result.exit_code == code, result.output
    return result


def test_conversations_become_exchanges_that_know_where_they_came_from(home):
    with Store.open() as store:
        first = talk(store, "Ferry", "Hello.", "Good evening.\nMind the step.", "Thank you.")
        talk(store, "Ferry", "Alone.")
    run("--out", home / "chats.jsonl")
    assert (home / "chats.jsonl").stat().st_mode & 0o777 == 0o600
    report = CorpusReport()
    corpus = open_corpus(home / "chats.jsonl")
    [document] = read_corpus(corpus, Plugins().readers(), report=report, rules=Rules())
    said = [(one.source, one.target) for one in document.exchanges]
    assert said == [("Hello.", "Good evening. Mind the step."), ("Good evening. Mind the step.", "Thank you.")]
    assert {one.origin.file for one in document.exchanges} == {f"conversation {first.id}"}
    assert all(one.origin.seconds >= 0 for one in document.exchanges)


def test_a_reply_that_was_stopped_is_not_learnt_from(home):
    with Store.open() as store:
        talk(store, "Ferry", "One.", "Two.", "Three.", "!Fo", "Five.", "Six.")
    run("--out", home / "chats.jsonl")
    dialogues = [json.loads(line) for line in (home / "chats.jsonl").read_text("utf-8").splitlines()]
    assert [[turn["text"] for turn in one["turns"]] for one in dialogues] == [
        ["One.", "Two.", "Three."],
        ["Five.", "Six."],
    ]
    assert len({one["group"] for one in dialogues}) == 1


def test_only_those_asked_for(home):
    with Store.open() as store:
        talk(store, "Ferry", "Hello.", "Good evening.")
        talk(store, "Train", "Hello.", "Tickets, please.", bot="b2")
    for wanted in ("Train", "b2"):
        run("--out", home / f"{wanted}.jsonl", "--bot", wanted)
        [line] = (home / f"{wanted}.jsonl").read_text("utf-8").splitlines()
        assert json.loads(line)["bot"] == "Train"
    assert "no stored conversation fits" in run("--out", home / "x.jsonl", "--bot", "Plane", code=1).output
    assert "no stored conversation fits" in run("--out", home / "x.jsonl", "--since", "2999-01-01", code=1).output
    assert not (home / "x.jsonl").exists()
    assert "there is no folder" in run("--out", home / "no" / "x.jsonl", code=1).output


def test_nothing_takes_the_place_of_a_file_and_a_dash_is_standard_output(home):
    with Store.open() as store:
        talk(store, "Ferry", "Hello.", "Good evening.")
    (home / "mine.jsonl").write_text("mine\n")
    os.mkfifo(home / "pipe")
    assert "mine.jsonl is there already" in run("--out", home / "mine.jsonl", code=1).stderr
    assert "no regular file" in run("--out", home / "pipe", code=1).stderr
    assert (home / "mine.jsonl").read_text() == "mine\n"
    assert stat.S_ISFIFO((home / "pipe").stat().st_mode)
    said = run("--out", "-")
    assert [turn["text"] for turn in json.loads(said.stdout)["turns"]] == ["Hello.", "Good evening."]
    assert "1 dialogues" in said.stderr
