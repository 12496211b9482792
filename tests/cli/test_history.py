"""What a user types after `s2sbot history` finds, shows, exports and deletes conversations, and steers no terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from s2sbot.cli.history import history
from s2sbot.errors import S2SBotError, StoreError
from s2sbot.store import Conversation, Store

EVIL = "\x1b]0;owned\x07\x9b2J\u202e"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("S2SBOT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def talk(*texts: str, bot: str = "friends", title: str | None = None) -> Conversation:
    with Store.open() as store:
        conversation = store.start("uuid", bot, title=title)
        for number, text in enumerate(texts):
            store.append(conversation.id, "bot" if number % 2 else "user", text)
        return store.find(conversation.id)


def run(*words: str, input: str | None = None) -> Result:
    result = CliRunner().invoke(history, words, input=input)
    if result.exception is not None and not isinstance(result.exception, SystemExit | S2SBotError):
        raise result.exception
    return result


def test_importing_it_is_cheap() -> None:
    code = (
        "import sys, s2sbot.cli.history\n"
        "assert not {'sqlalchemy', 'alembic', 'rich', 'torch', 'filelock'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("command", ["list", "show", "search", "export", "delete"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"s2sbot history {command}" in result.output


def test_list_begins_with_the_last_one() -> None:
    assert "No conversations" in run("list").output
    first = talk("hello\nthere", "hi")
    second = talk("good morning", bot="anne", title="A title")
    lines = [line.split("\t") for line in run("list").output.splitlines()]
    assert [(line[0], *line[2:]) for line in lines] == [
        (second.id[:8], "anne", "1", "A title"),
        (first.id[:8], "friends", "2", "hello there"),
    ]
    short = run("list", "--limit", "1").output
    assert first.id[:8] not in short
    assert "There are more" in short


def test_list_on_a_terminal_is_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    conversation = talk("[bold]not markup[/bold]" + EVIL)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with pytest.raises(SystemExit):
        history.main(["list"])
    shown = capsys.readouterr().out
    assert "turns" in shown
    assert conversation.id[:8] in shown
    assert "[bold]not markup[/bold]" in shown
    assert "\x1b]" not in shown


def test_show_names_who_said_what() -> None:
    conversation = talk("hello", "hi\nyou: not me")
    output = run("show", conversation.id[:6]).output
    assert output.splitlines()[1:] == ["you: hello", "friends: hi", "  you: not me"]
    assert run("show", "last").output == output


def test_show_says_which_reply_was_cut() -> None:
    conversation = talk("hello", title="A title")
    with Store.open() as store:
        store.append(conversation.id, "bot", "well,", stopped=True)
    assert run("show", "last").output.splitlines()[1:] == ["A title", "you: hello", "friends: well,  [stopped]"]


def test_search_shows_where_the_words_stand() -> None:
    conversation = talk("x " * 100 + "the Night FERRY leaves" + " y" * 100, "when?")
    [line] = run("search", "night", "ferry").output.splitlines()
    found, _, speaker, text = line.split("\t")
    assert (found, speaker) == (conversation.id[:8], "you")
    assert "Night FERRY" in text
    assert len(text) < 70
    assert "Nothing contains" in run("search", "zeppelin").output


def test_export_json_is_the_whole_tree(tmp_path: Path) -> None:
    conversation = talk("hello", "hi é")
    printed = json.loads(run("export", "last").output)
    assert [one["text"] for one in printed["messages"]] == ["hello", "hi é"]
    target = tmp_path / "talk.json"
    assert run("export", conversation.id, "--with-state", "--output", str(target)).output == ""
    written = json.loads(target.read_text("utf-8"))
    assert [one.pop("state") for one in written["messages"]] == [None, None]
    assert written == printed


def test_export_json_on_a_terminal_is_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    talk("hello" + EVIL)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with pytest.raises(SystemExit):
        history.main(["export", "last"])
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert json.loads(shown)["messages"][0]["text"] == "hello" + EVIL


def test_export_markdown_reads_as_it_was_said() -> None:
    talk("*hello*", "hi\n<b>you</b>", title="At sea")
    lines = run("export", "last", "--format", "markdown").output.splitlines()
    assert lines[0] == "# At sea"
    assert lines[4:] == ["**you:** \\*hello\\*", "", "**friends:** hi  ", "\\<b\\>you\\</b\\>"]


def test_export_into_a_folder_that_is_not_there_is_an_error_of_the_user(tmp_path: Path) -> None:
    talk("hello")
    result = run("export", "last", "--output", str(tmp_path / "none" / "talk.json"))
    assert isinstance(result.exception, StoreError)


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_delete_asks_first(answer: str) -> None:
    conversation = talk("hello", "hi")
    result = run("delete", "last", input=answer)
    assert result.exit_code == 1
    assert "2 turns with friends: hello?" in result.output
    assert conversation.id[:8] in run("list").output


def test_delete_removes_the_text_from_the_file(home: Path) -> None:
    kept, conversation = talk("keep"), talk("needle in the hay")
    assert run("delete", conversation.id[:8], input="y\n").exit_code == 0
    talk("needle again")
    assert "Deleted" in run("delete", "last", "--yes").output
    assert kept.id[:8] in run("list").output
    assert all(b"needle" not in part.read_bytes() for part in home.iterdir())


def test_delete_names_the_copies_that_still_hold_it(home: Path) -> None:
    talk("hello")
    copy = home / "conversations.db.bak-0000"
    copy.touch()
    result = run("delete", "last", "--yes")
    assert str(copy) in result.stderr


@pytest.mark.parametrize("command", ["show", "export", "delete"])
@pytest.mark.parametrize("name", ["last", "abc", "abcdef"])
def test_a_name_that_fits_nothing_is_an_error_with_a_hint(command: str, name: str) -> None:
    error = run(command, name).exception
    assert isinstance(error, StoreError)
    assert error.hint


@pytest.mark.parametrize(
    "words",
    [("list",), ("show", "last"), ("search", "hello"), ("export", "last", "--format", "markdown"), ("delete", "last")],
)
def test_nothing_said_can_steer_the_terminal(words: tuple[str, ...]) -> None:
    talk(f"hello{EVIL}", EVIL, bot=f"friends{EVIL}", title=f"title{EVIL}")
    output = run(*words, input="n\n").output
    assert "hello" in output or "title" in output
    assert not any(letter in output for letter in "\x1b\x07\x9b\u202e")
    assert "owned" not in output
