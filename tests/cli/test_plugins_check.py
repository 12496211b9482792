"""`s2sbot plugins check`: what a plugin offers goes in, a table of what was checked comes out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

from s2sbot.cli import main
from s2sbot.testing import reader_checks

MEAN = Path(__file__).parents[1] / "thirdparty" / "s2sbot-mean" / "s2sbot_mean.py"
WRONG_TOKENIZER = """
from s2sbot import hookimpl

class Strange:
    def __len__(self): return 20
    def encode(self, text): return [3]
    def decode(self, ids): raise ValueError("a [/red] \\x1b]0;title\\x07 and \\x1b[31mmore")
    def save(self, folder): ...
    @classmethod
    def load(cls, folder): return cls()
    @classmethod
    def train(cls, lines, vocab_size): return cls()

@hookimpl
def register_tokenizers():
    return {"NAME": Strange}
"""
LEAVES = WRONG_TOKENIZER.replace("    def save(self, folder): ...", "    def save(self, folder): raise SystemExit(3)")
READER = """
from s2sbot import Exchange, Origin, decode_text, hookimpl

class Pipes:
    def sniff(self, head, name):
        try:
            return 0.9 if "|" in decode_text(head, cut=True)[0] else 0.0
        except ValueError:
            return 0.0

    def read(self, stream, name):
        for line in decode_text(stream.read())[0].split("\\n"):
            source, bar, target = line.partition("|")
            if source.strip() and target.strip():
                yield Exchange(source.strip(), target.strip(), origin=Origin(name))

@hookimpl
def register_readers():
    return {"NAME": Pipes}
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution of one module, with real metadata, for this process."""
    made = []

    def put(module: str, source: str, *groups: str, name: str) -> None:
        folder = tmp_path / "installed" / module
        info = folder / f"dist_{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{module}.py").write_text(dedent(source).replace("NAME", name), "utf-8")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{module}\nVersion: 1.0\n", "utf-8")
        points = "\n".join(f"[s2sbot.{group}]\n{name} = {module}\n" for group in groups)
        (info / "entry_points.txt").write_text(points, "utf-8")
        monkeypatch.syspath_prepend(folder)
        made.append(module)

    monkeypatch.delenv("S2SBOT_PLUGINS", raising=False)
    yield put
    for module in made:
        sys.modules.pop(module, None)


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Run `s2sbot plugins check` in an empty folder."""
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*args, code=0):
        words = ["plugins", "check", *map(str, args)]
        result = CliRunner().invoke(main, words, catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    return call


def test_a_model_of_a_third_party(install, check):
    install("s2sbot_mean", MEAN.read_text("utf-8"), "models", name="mean")
    done = check("mean", "--set", "model.size=32")
    first, *rows = done.stdout.splitlines()
    assert first.split() == ["check", "result", "seconds"]
    assert len(rows) == 20
    assert all(row.split()[-2] == "ok" for row in rows)
    assert rows[-1].startswith("it learns by heart: exchanges")
    assert done.stderr.splitlines()[-1] == "checking: it learns by heart: exchanges"


def test_a_tokenizer_as_json(check):
    facts = json.loads(check("words", "--json").stdout)
    assert {key: facts[key] for key in ("kind", "name", "plugin", "distribution", "passed")} == {
        "kind": "tokenizer",
        "name": "words",
        "plugin": "s2sbot_words",
        "distribution": "s2sbot",
        "passed": True,
    }
    assert len(facts["checks"]) == 9
    assert all(each["cause"] is None and each["seconds"] >= 0 for each in facts["checks"])


def test_what_fails_is_named_with_its_cause_and_the_exit_code_is_1(install, check):
    install("strange", WRONG_TOKENIZER, "tokenizers", name="strange")
    shown = check("strange", code=1).stdout
    assert (
        """FAILED: encode("Hello, is it me you're looking for?") returns 3, which is neither UNK nor in 16""" in shown
    )
    assert "FAILED: ValueError: a [/red] and more" in " ".join(shown.split())
    assert "\x1b" not in shown
    assert "title" not in shown
    facts = json.loads(check("strange", "--json", code=1).stdout)
    assert facts["passed"] is False
    assert facts["checks"][1]["cause"].startswith("ValueError: a [/red]")


def test_a_plugin_that_leaves_ends_nothing(install, check):
    install("leaver", LEAVES, "tokenizers", name="leaver")
    shown = check("leaver", code=1).stdout
    assert shown.count("FAILED: SystemExit: 3") == 2
    assert "a corpus without text" in shown


def test_a_tokenizer_on_lines_of_a_file(install, check):
    Path("lines.txt").write_text("Wo bist du?\n\nHier, und du?\n", "utf-8")
    assert "FAILED" not in check("characters", "--file", "lines.txt").stdout
    Path("lines.txt").write_bytes(bytes(range(256)) * 4)
    assert "Error: lines.txt: binary data, not text" in check("words", "--file", "lines.txt", code=1).stderr
    Path("lines.txt").write_text("\n \n", "utf-8")
    assert "Error: no text in lines.txt" in check("words", "--file", "lines.txt", code=1).stderr
    assert "nowhere.txt: No such file" in check("words", "--file", "nowhere.txt", code=1).stderr


def test_a_reader_on_a_file_of_its_kind(install, check):
    install("pipes", READER, "readers", name="pipes")
    Path("a.txt").write_text("où ?|where?\nnon|no\n", "utf-8")
    assert "FAILED" not in check("pipes", "--file", "a.txt").stdout
    Path("b.txt").write_text("no bar\n", "utf-8")
    assert "FAILED: nothing was read" in check("pipes", "--file", "b.txt", code=1).stdout


def test_a_reader_of_pairs_on_two_files(check):
    Path("train.de").write_text("Hallo.\nDanke.\n", "utf-8")
    Path("train.en").write_text("Hello.\nThanks.\n", "utf-8")
    shown = check("moses", "--file", "train.de", "--file", "train.en").stdout
    assert "sides of different length are a ValueError" in shown
    assert "FAILED" not in shown


@pytest.mark.parametrize(
    ("args", "code", "wanted"),
    [
        (
            ["atention"],
            1,
            "no plugin offers the model, tokenizer, reader or metric 'atention'\nHint: did you mean 'attention'?",
        ),
        (["wrods"], 1, "did you mean 'words'?"),
        (["words", "--kind", "model"], 1, "no plugin offers the model 'words'"),
        (["attention", "--set", "model.hiden_size=3"], 1, "did you mean 'hidden_size'?"),
        (["attention", "--set", "model.hidden_size=wide"], 1, "model.hidden_size cannot be 'wide'"),
        (["attention", "--set", "train.steps=3"], 1, "train.steps is no knob of a model"),
        (["attention", "--set", "hidden_size"], 1, "table.key=value"),
        (["attention", "--file", "a.txt"], 2, "--file is for readers and tokenizers, and this is a model"),
        (["words", "--set", "model.size=3"], 2, "--set is for models, and this is a tokenizer"),
        (["tsv"], 2, "a reader is checked on a sample: give a file of its kind with --file"),
        (["tsv", "--file", "a", "--file", "b"], 2, "(2 given)"),
        (["moses", "--file", "a"], 2, "give its two files with --file, twice (1 given)"),
        (["tsv", "--file", "nowhere.tsv"], 1, "nowhere.tsv: No such file"),
        ([], 2, "Examples:"),
    ],
)
def test_what_a_user_can_do_wrong_gets_one_message(check, args, code, wanted):
    done = check(*args, code=code)
    assert wanted in done.output
    assert "checking:" not in done.output, "options are looked at before the first check"
    assert "Traceback" not in done.output


def test_a_name_of_two_things_needs_a_kind(install, check):
    install("strange", WRONG_TOKENIZER, "tokenizers", name="echo")
    install("pipes", READER, "readers", name="echo")
    assert "echo is a tokenizer and a reader: say which one with --kind" in check("echo", code=2).stderr
    Path("a.txt").write_text("a|b\n", "utf-8")
    assert "it knows its own file" in check("echo", "--kind", "reader", "--file", "a.txt").stdout
    assert "FAILED" in check("echo", "--kind", "tokenizer", code=1).stdout


def test_a_broken_plugin_is_named_with_its_cause(install, check):
    install("ruin", "raise ValueError('why')", "models", name="ruin")
    shown = check("ruin", code=1).stderr
    assert "reader or metric 'ruin' cannot be used: ruin: cannot be imported: ValueError: why" in shown
    assert "Hint: mend or uninstall that plugin" in shown


def test_on_a_terminal_a_status_shows_what_runs(check, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    done = check("words")
    assert "\x1b" in done.stderr
    assert not any(line.startswith("checking: ") for line in done.stderr.splitlines())
    assert "ok" in done.stdout


def test_the_table_fits_a_narrow_terminal(check, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert all(len(line) <= 60 for line in check("words").stdout.splitlines())


def test_the_names_in_the_table_are_those_of_the_suite(check):
    from s2sbot_parallel import Tsv

    Path("a.tsv").write_text("a\tb\n", "utf-8")
    shown = check("tsv", "--file", "a.tsv").stdout
    assert all(finding.name in shown for finding in reader_checks(Tsv, b"a\tb\n", "a.tsv"))
