"""`--find-lr` and `--doctor`: what they show, what they leave, and that they end cleanly."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from small import write_pairs

import s2sbot
from s2sbot.cli import main
from s2sbot.cli.chart import text_chart

SMALL = [
    "--tokenizer", "words", "--steps", "4", "--set", "model.hidden_size=32", "--set", "model.embedding_size=24",
    "--set", "data.valid_share=0.2", "--set", "train.threads=1", "--set", "train.batch_tokens=120",
    "--set", "train.learning_rate=0.01", "--set", "train.validations=1",
]  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs the command in a folder with a corpus, with a folder for what is passing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2SBOT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("s2sbot.trainer.rate_range.FEWEST", 60)
    monkeypatch.setattr("s2sbot.trainer.rate_range.MOST", 60)
    (tmp_path / "passing").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "passing"))
    write_pairs(tmp_path / "pairs.tsv")

    def invoke(*args, code=0):
        result = CliRunner().invoke(main, ["train", "pairs.tsv", *args], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    return invoke


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name not in ("home", "passing", "pairs.tsv"))


class TestFindLr:
    def test_it_recommends_a_rate_with_a_picture_and_leaves_nothing_else(self, run, tmp_path):
        shown = run(*SMALL, "--find-lr").stdout
        [rate] = re.findall(r"^  --set train\.learning_rate=(\S+)$", shown, re.MULTILINE)
        assert 1e-5 < float(rate) < 1
        assert f"^ {rate}" in shown
        assert max(map(len, shown.splitlines())) <= 120
        assert names(tmp_path) == ["learning-rate.svg"]
        assert not list((tmp_path / "passing").glob("s2sbot-*"))
        picture = ElementTree.fromstring((tmp_path / "learning-rate.svg").read_text("utf-8"))
        texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
        assert f"to take: {rate}" in texts
        run(*SMALL, "--bot", "a.bot", "--set", f"train.learning_rate={rate}")
        assert s2sbot.load(tmp_path / "a.bot").description.metrics["step"] == 4

    def test_on_a_pipe_it_is_plain_ascii(self, run):
        shown = run(*SMALL, "--find-lr").stdout
        assert shown.isascii()
        assert "*" in shown

    def test_a_file_of_the_users_is_not_written_over(self, run, tmp_path):
        (tmp_path / "learning-rate.svg").write_text("mine")
        assert "As a picture: learning-rate-2.svg" in run(*SMALL, "--find-lr").stdout
        assert (tmp_path / "learning-rate.svg").read_text() == "mine"

    def test_a_bot_that_is_there_is_not_touched(self, run, tmp_path):
        (tmp_path / "a.bot").mkdir()
        (tmp_path / "a.bot" / "bot.json").write_text("{}")
        run(*SMALL, "--find-lr", "--bot", "a.bot")
        assert names(tmp_path / "a.bot") == ["bot.json"]

    @pytest.mark.parametrize(
        ("args", "words"),
        [
            (["--find-lr", "--doctor", "--bot", "b"], "two commands"),
            (["--find-lr", "--resume"], "leave --resume out"),
            (["--doctor", "--resume", "--bot", "b"], "leave --resume out"),
            (["--doctor"], "--bot"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, run, args, words):
        assert words in run(*args, code=2).output

    def test_with_many_processes_both_are_refused(self, run, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert "leave torchrun out" in run("--find-lr", code=2).output


class TestDoctor:
    def test_a_healthy_run_goes_on(self, run, tmp_path):
        shown = run(*SMALL, "--bot", "a.bot", "--doctor").stderr
        for name in (
            "texts",
            "gradients",
            "padding",
            "steps",
            "by heart",
            "decoding",
            "largest batch",
            "learning rate",
        ):
            assert re.search(rf"^(✓|ok) {name}: ", shown, re.MULTILINE), name
        assert "healthy" in shown
        assert s2sbot.load(tmp_path / "a.bot").description.metrics["step"] == 4
        assert not list((tmp_path / "passing").glob("s2sbot-*"))

    def test_what_is_wrong_stops_the_run_before_it_begins(self, run, tmp_path):
        shown = run(*SMALL, "--bot", "a.bot", "--doctor", "--set", "train.learning_rate=1000", code=1).stderr
        assert re.search(
            r"^(✗|WRONG) learning rate: .* explodes; find a better one with --find-lr$", shown, re.MULTILINE
        )
        assert "not healthy: learning rate" in shown
        assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "number"),
    [(["--find-lr"], signal.SIGTERM), (["--doctor", "--bot", "a.bot"], signal.SIGINT)],
    ids=["find-lr", "doctor"],
)
def test_a_signal_leaves_nothing_behind(tmp_path, options, number):
    write_pairs(tmp_path / "pairs.tsv")
    (tmp_path / "passing").mkdir()
    # a model so large that there is time enough
    large = ["--set", "model.hidden_size=512", "--set", "model.embedding_size=512"]
    command = [sys.executable, "-m", "s2sbot", "train", "pairs.tsv", *SMALL, *large, *options]
    env = {**os.environ, "S2SBOT_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "passing")}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=env, text=True, **pipes) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if "gradients: " in line or "at ever higher rates" in line:
                break
        process.send_signal(number)
        said += process.stderr.readlines()
        process.stdout.read()
    assert process.returncode == 130, "".join(said)
    assert "Traceback" not in "".join(said)
    assert names(tmp_path) == []
    assert not list((tmp_path / "passing").glob("s2sbot-*"))


POINTS = [(10.0 ** (number / 10 - 6), 7.0 - number / 20 + max(0, number - 50) / 5) for number in range(70)]


@pytest.mark.parametrize("unicode", [False, True])
def test_a_chart_fits_80_columns_and_marks_the_place(unicode):
    lines = list(text_chart(POINTS, mark=1e-3, unicode=unicode))
    assert max(map(len, lines)) <= 80
    assert "".join(lines).isascii() is not unicode
    assert lines[0].split()[0] == f"{max(y for _, y in POINTS):.2f}"
    assert lines[-1].index("^") == lines[-2].index("1e-3")
    assert lines[-2].index("1e-6") == 10


@pytest.mark.parametrize("points", [[(1e-3, 5.0)], [(1e-3, 5.0), (1e-2, 5.0)]])
def test_a_chart_of_hardly_anything(points):
    assert len(list(text_chart(points, mark=1e-3, unicode=False))) > 3


def test_the_help_has_headings():
    shown = CliRunner().invoke(main, ["train", "--help"]).output
    headings = re.findall(r"^(\S.*):$", shown, re.MULTILINE)
    assert headings == ["The bot", "Data", "Model", "Length", "Before a run", "Everything else"]
    assert shown.index("--from BOT") < shown.index("Data:") < shown.index("--weight NUMBER") < shown.index("Model:")


def test_metric_and_early_stopping_are_settings_of_the_run(run, tmp_path):
    run(*SMALL, "--bot", "a.bot", "--early-stopping", "3", "--metric", "perplexity")
    settings = (tmp_path / "a.bot" / "training" / "settings.toml").read_text("utf-8")
    assert "early_stopping = 3" in settings
    assert "no metric 'blue'" in run(*SMALL, "--bot", "b.bot", "--metric", "blue", code=1).output


def test_from_and_weight_reach_the_run(run, tmp_path):
    run(*SMALL, "--bot", "a.bot")
    run("--steps", "2", "--set", "data.valid_share=0.2", "--weight", "2", "--from", "a.bot", "--bot", "b.bot")
    assert s2sbot.load(tmp_path / "b.bot").description.metrics["step"] == 2
    assert 'corpus_weights = "2"' in (tmp_path / "b.bot" / "training" / "settings.toml").read_text("utf-8")
