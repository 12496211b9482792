"""A command that is shown to be copied is one that a shell takes as it was meant, whatever the folder is called."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from small import write_pairs

from s2sbot.cli import COMMANDS, main
from s2sbot.errors import shell_command

ROOT = Path(__file__).parents[2]
NAME = "my bot's folder"
OPTIONS = [
    "--tokenizer", "words", "--steps", "4", "--set", "model.hidden_size=16", "--set", "model.embedding_size=16",
    "--set", "data.valid_share=0.2", "--set", "train.validations=1",
]  # fmt: skip


def call(*args, code=0):
    result = CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a bot, what was said when it was made, and its corpus."""
    folder = tmp_path_factory.mktemp("folder")
    pairs = write_pairs(folder / "the pairs.tsv")
    said = call("train", pairs, "--bot", folder / NAME, *OPTIONS).stderr
    return folder / NAME, said, pairs


def resumed(bot):
    return ["s2sbot", "train", "--bot", str(bot), "--resume"]


def shown(said, before, after="\n"):
    """Return the words of the command between two pieces of what was said."""
    [command] = re.findall(f"{re.escape(before)}(s2sbot .*?){re.escape(after)}", said)
    return shlex.split(command)


def test_words_are_those_that_a_shell_takes():
    assert shlex.split(shell_command("s2sbot", "chat", Path(NAME))) == ["s2sbot", "chat", NAME]
    assert shell_command("s2sbot", "train", "--bot", Path("my.bot"), "--resume") == "s2sbot train --bot my.bot --resume"
    assert shell_command("s2sbot", "chat", Path("--my.bot")) == "s2sbot chat ./--my.bot"


def test_what_a_run_says_at_its_end(made):
    bot, said, _ = made
    assert shown(said, "Done. Now: ") == ["s2sbot", "chat", str(bot)]


def test_the_command_of_a_card(made):
    bot, _, pairs = made
    first, second = re.findall("```sh\n(.*?)\n```", (bot / "card.md").read_text("utf-8"))
    assert shlex.split(first) == ["s2sbot", "rerun", str(bot)]
    assert shlex.split(second)[:5] == ["s2sbot", "train", str(pairs), "--bot", str(bot)]


def test_a_bot_that_is_there_already(made):
    bot, _, pairs = made
    said = call("train", pairs, "--bot", bot, code=1).stderr
    assert shown(said, "go on with `", "`") == resumed(bot)


def test_a_bot_without_a_card(made, tmp_path):
    bot = tmp_path / NAME
    shutil.copytree(made[0], bot)
    (bot / "card.json").unlink()
    assert shown(call("rerun", bot, code=1).stderr, "go on with it: ") == resumed(bot)


def test_a_bot_that_has_not_come_to_a_validation(tmp_path):
    bot = tmp_path / NAME
    (bot / "training").mkdir(parents=True)
    said = call("chat", bot, "--no-store", code=1).stderr
    assert shown(said, "its training has not come to a validation: ") == resumed(bot)


def test_a_bot_that_talks_and_does_not_translate(made, tmp_path):
    (tmp_path / "a.txt").write_text("Hello.\n", "utf-8")
    said = call("translate", made[0], tmp_path / "a.txt", code=1).stderr
    assert shown(said, "use `", "`") == ["s2sbot", "chat", str(made[0])]


def test_a_preparation(made, tmp_path):
    out = tmp_path / NAME
    said = call("corpus", "prepare", made[2], "--out", out, "--tokenizer", "words", "--set", "data.valid_share=0.2")
    wanted = ["s2sbot", "train", str(out), "--bot", "NAME.bot"]
    assert shown(said.stderr, "Now: ") == wanted
    said = call("corpus", "inspect", out, code=1).stderr
    assert shown(said, "train with it as it is, ", "; ") == wanted


UNQUOTED = re.compile(rf"\bs2sbot (?:{'|'.join(COMMANDS)}) (?:[\w. -]+ )?$")
PLAIN = {"limit * 2", "conversation_id[:8]"}
"""Values that need no quotes."""


@pytest.mark.parametrize(
    "path", sorted((ROOT / "s2sbot").rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_no_value_is_put_into_a_command_as_it_is(path):
    strays = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            for before, value in zip(node.values, node.values[1:], strict=False):
                if isinstance(before, ast.Constant) and isinstance(value, ast.FormattedValue):
                    strays += [ast.unparse(value.value)] if UNQUOTED.search(before.value) else []
    assert set(strays) <= PLAIN
