"""What only a process of its own shows: start-up, signals, pipes, a terminal."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest
from click.testing import CliRunner
from small import write_pairs, write_subtitles

from s2sbot.cli import main


def command(*args):
    return [sys.executable, "-m", "s2sbot", *map(str, args)]


@pytest.fixture
def env(tmp_path):
    return {**os.environ, "S2SBOT_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1"}


@contextmanager
def running(args, env, **pipes):
    """Run a process, and see to it that it and its pipes are gone at the end."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **pipes}
    process = subprocess.Popen(args, env=env, text=True, bufsize=1, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def wait_for(process, words):
    lines = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return
    raise AssertionError("".join(lines))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path, env, number):
    write_pairs(tmp_path / "pairs.tsv")
    bot = tmp_path / "my.bot"
    args = command(
        "train", tmp_path / "pairs.tsv", "--bot", bot, "--tokenizer", "words", "--budget", "5m",
        "--set", "model.hidden_size=16", "--set", "model.embedding_size=16", "--set", "data.valid_share=0.2",
        "--set", "train.validations=2000",
    )  # fmt: skip
    with running(args, env) as process:
        wait_for(process, "validation perplexity")
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(30) == 75
    assert f"s2sbot train --bot {bot} --resume" in rest
    step = max(int(path.name[5:]) for path in (bot / "training" / "checkpoints").iterdir())
    resumed = CliRunner().invoke(
        main, ["train", "--bot", str(bot), "--resume", "--steps", str(step + 5), "--set", "train.threads=1"]
    )
    assert resumed.exit_code == 0, resumed.output
    assert f"going on from step {step:,}" in resumed.stderr
    lines = (bot / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[-1])["step"] == step + 5


def test_replies_come_line_by_line_down_a_pipe(small_bot, env):
    with running(command("chat", small_bot), env, stdin=subprocess.PIPE) as process:
        for line, wanted in (("Who are you? 1", "I am the engine."), ("Thank you. 2", "You are welcome.")):
            process.stdin.write(line + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == wanted + "\n"
        process.stdin.close()
        assert process.wait(30) == 0


def test_bytes_that_are_no_text_are_answered_too(small_bot, env):
    found = subprocess.run(
        command("chat", small_bot, "--no-store"), env={**env, "PYTHONIOENCODING": "utf-8:strict"},
        input=b"caf\xe9\nThank you. 2\n", capture_output=True, check=True,
    )  # fmt: skip
    assert found.stdout.splitlines()[1] == b"You are welcome."


def test_a_reader_that_goes_away_is_no_error(small_bot, env):
    with running(command("chat", small_bot), env, stdin=subprocess.PIPE) as process:
        process.stdout.close()
        process.stdin.write("Hello. 1\n" * 20)
        process.stdin.close()
        problems = process.stderr.read()
        assert process.wait(60) == 1
    assert "Traceback" not in problems
    assert "Error" not in problems


def test_help_is_quick_and_imports_no_torch(env):
    program = (
        "import sys; from s2sbot.cli import main; main(['--help'], standalone_mode=False); print(sorted(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True).stdout
    for heavy in ("'torch'", "'sqlalchemy'", "'rich'", "'numpy'", "'s2sbot_attention'", "'prompt_toolkit'"):
        assert heavy not in shown


class Terminal:
    """A process on a pseudo-terminal, to type to and to read from."""

    def __init__(self, args, env):
        self.descriptor, inner = pty.openpty()
        self.process = subprocess.Popen(
            args, env={**env, "TERM": "xterm"}, stdin=inner, stdout=inner, stderr=inner, start_new_session=True
        )
        os.close(inner)
        self.shown = ""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        os.close(self.descriptor)

    def send(self, text):
        os.write(self.descriptor, text.encode())

    def wait_for(self, words, seconds=30):
        end = time.monotonic() + seconds
        while words not in self.shown:
            ready, _, _ = select.select([self.descriptor], [], [], max(0, end - time.monotonic()))
            assert ready, f"{words!r} did not come; shown: {self.shown!r}"
            self.shown += os.read(self.descriptor, 65536).decode(errors="replace")
        self.shown = self.shown.partition(words)[2]

    def end(self, seconds=20):
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.descriptor], [], [], 0.1)[0]:
                with suppress(OSError):
                    os.read(self.descriptor, 65536)
        return self.process.poll()


def test_a_talk_on_a_terminal(small_bot, env, tmp_path):
    with Terminal(command("chat", small_bot), env) as terminal:
        terminal.wait_for("/help for help")
        terminal.send("Who are you? 1\r")
        terminal.wait_for("I am the engine.")
        terminal.send("/set method=dance\r")
        terminal.wait_for("decode.method cannot be 'dance'")
        terminal.send("/set method=beam\r")
        terminal.wait_for("beam")
        terminal.send("/hlep\r")
        terminal.wait_for("did you mean '/help'")
        terminal.send("Thank you. 2\r")
        terminal.wait_for("You are welcome.")
        terminal.send("/new\r")
        terminal.wait_for("a new conversation")
        terminal.send("Hi!\x03")
        terminal.send("/quit\r")
        assert terminal.end() == 0
    history = tmp_path / "home" / "history"
    assert "Who are you? 1" in history.read_text("utf-8")
    assert history.stat().st_mode & 0o777 == 0o600
    before = history.read_bytes()
    with Terminal(command("chat", small_bot, "--no-store"), env) as terminal:
        terminal.wait_for("/help for help")
        terminal.send("Good night. 1\r")
        terminal.wait_for("Sleep well.")
        terminal.send("/quit\r")
        assert terminal.end() == 0
    assert history.read_bytes() == before
    with Terminal(command("chat", small_bot, "--continue"), env) as terminal:
        terminal.wait_for("You are welcome.")
        terminal.wait_for(">")
        terminal.send("\x04")
        assert terminal.end() == 0


ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", ENDINGS)
def test_a_preparation_that_is_ended_says_that_it_goes_on(tmp_path, env, number):
    (tmp_path / "films").mkdir()
    for film in range(4):
        write_subtitles(tmp_path / "films" / f"{film}.srt", scenes=4000, first=4000 * film)
    args = command("corpus", "prepare", tmp_path / "films", "--out", tmp_path / "out", "--workers", 2)
    with running(args, env) as process:
        wait_for(process, "reading")
        time.sleep(2)
        process.send_signal(number)
        said = process.stderr.read().strip().splitlines()
        assert process.wait(30) == 130
    assert said == ["Stopped. What has been done is kept: the same command goes on from there."]


@pytest.mark.parametrize("number", ENDINGS)
def test_a_training_that_is_ended_while_it_prepares_leaves_at_once_and_nothing_behind(tmp_path, env, number):
    write_subtitles(tmp_path / "film.srt", scenes=4000)
    args = command("train", tmp_path / "film.srt", "--bot", tmp_path / "my.bot", "--budget", "5m")
    with running(args, env) as process:
        wait_for(process, "reading")
        process.send_signal(number)
        said = process.stderr.read()
        assert process.wait(30) == 130
    assert "nothing of it is kept: the same command begins anew" in said
    assert not (tmp_path / "my.bot").exists()


def test_a_closed_terminal_is_nothing_to_what_was_begun_with_nohup(tmp_path, env):
    write_subtitles(tmp_path / "film.srt", scenes=400)
    args = ["nohup", *command("corpus", "prepare", tmp_path / "film.srt", "--out", tmp_path / "out", "--workers", 1)]
    with running(args, env) as process:
        wait_for(process, "reading")
        process.send_signal(signal.SIGHUP)
        assert "Done:" in process.stderr.read()
        assert process.wait(30) == 0


def test_a_preparation_on_a_terminal_shows_no_share_but_its_own(tmp_path, env):
    write_subtitles(tmp_path / "film.srt", scenes=2000)
    args = command("corpus", "prepare", tmp_path / "film.srt", "--out", tmp_path / "out", "--workers", 1)
    with Terminal(args, env) as terminal:
        shown = ""
        while "Done:" not in shown:
            assert select.select([terminal.descriptor], [], [], 30)[0], shown
            shown += os.read(terminal.descriptor, 65536).decode(errors="replace")
    assert "reading " in shown
    assert " 0%" not in shown
    assert "━" not in shown
