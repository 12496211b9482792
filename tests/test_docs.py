"""What the READMEs say is so: their code is the code that is tested, their examples run, their commands exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import click
import pytest
import torch

from s2sbot import RESERVED, Dialogue, Origin, PairReader, Progress, Reader, Tokenizer, TokenizerError, Turn
from s2sbot.cli import main
from s2sbot.hookspecs import GROUPS
from s2sbot.nn import Batch, batch_loss, generate
from s2sbot.plugins import Plugins
from s2sbot.settings import DecodeSettings
from s2sbot.testing import check_metric, check_reader, check_tokenizer

ROOT = Path(__file__).parents[1]
THIRD_PARTY = ROOT / "tests" / "thirdparty" / "s2sbot-mean"
README = (ROOT / "plugins" / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
TOML = [code for language, code in BLOCKS if language == "toml"]
PLAY = b"ANNA: Is it far?\nBEN:  Not very.\n(They leave.)\n\nANNA: Here we are.\nBEN: At last.\n"


def block(words: str) -> str:
    """Return the one Python block of the README with these words in it."""
    [found] = [code for code in PYTHON if words in code]
    return found


def load(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def example(tmp_path: Path):
    """Write a block of the README into a file and import it."""

    def make(words: str) -> ModuleType:
        path = tmp_path / "example_plugin.py"
        path.write_text(block(words), "utf-8")
        return load(path)

    return make


@pytest.mark.parametrize("name", ["pyproject.toml", "s2sbot_mean.py"])
def test_the_readme_shows_the_files_that_are_tested(name: str) -> None:
    assert (THIRD_PARTY / name).read_text("utf-8") in [*PYTHON, *TOML]


def test_every_block_is_tested() -> None:
    tested = ["class Mean(", "check_model(", "class Spaces", "class Play", "class WordsApart", "def ask("]
    tested.append("def training_progress(")
    assert sorted(PYTHON) == sorted(block(words) for words in tested)
    files = [path.name for path in THIRD_PARTY.iterdir() if path.is_file()]
    assert sorted(files) == ["pyproject.toml", "s2sbot_mean.py"]


def test_every_entry_point_shown_is_in_a_group_that_there_is() -> None:
    shown = [tomllib.loads(code).get("project", {})["entry-points"] for code in TOML]
    assert sorted(group for groups in shown for group in groups) == sorted([*GROUPS, "s2sbot.commands"])


def test_the_model_fulfils_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(THIRD_PARTY)
    namespace: dict = {}
    exec(block("check_model("), namespace)
    namespace["test_mean"]()


def test_the_model_learns() -> None:
    mean = load(THIRD_PARTY / "s2sbot_mean.py")
    torch.manual_seed(1)
    model = mean.Mean(mean.MeanConfig(size=32, dropout=0.0), RESERVED + 8, RESERVED + 8)
    sources = [[RESERVED + first, RESERVED + second] for first in range(8) for second in range(first + 1, 8)]
    targets = [[second, first, second] for first, second in sources]
    batch = Batch.collate(sources, targets)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        loss, tokens = batch_loss(model, batch)
        optimizer.zero_grad()
        (loss / tokens).backward()
        optimizer.step()
    assert loss / tokens < 0.05
    answers = generate(model.eval(), sources, DecodeSettings(no_repeat_ngram=0))
    assert [list(answer.tokens) for answer in answers] == targets


def test_the_model_of_the_readme_is_offered(example) -> None:
    plugins = Plugins(example("class Mean("))
    assert "mean" in plugins.models()
    assert plugins.broken == []


def test_the_command_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "s2sbot_ask-1.0.dist-info"
    info.mkdir()
    (tmp_path / "s2sbot_ask.py").write_text(block("def ask("), "utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: s2sbot-ask\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[s2sbot.commands]\nask = s2sbot_ask:ask\n", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    s2sbot = [sys.executable, "-m", "s2sbot"]
    listed = subprocess.run([*s2sbot, "--help"], capture_output=True, text=True, timeout=120)
    assert "ask " in listed.stdout
    asked = subprocess.run(
        [*s2sbot, "ask", str(tmp_path / "no.bot"), "Hello."], capture_output=True, text=True, timeout=120
    )
    assert asked.returncode == 1
    assert "no.bot is no bot" in asked.stderr


def test_the_metric_fulfils_the_contract(example) -> None:
    plugins = Plugins(example("class WordsApart"))
    check_metric(plugins.metric("words-apart"))
    assert plugins.metric("words-apart")().score(["a b", ""], ["a", "a b"], ["", ""]) == 1.5
    assert plugins.broken == []


def test_the_tokenizer_fulfils_the_contract(example) -> None:
    module = example("class Spaces")
    plugins = Plugins(module)
    assert plugins.tokenizer("spaces") is module.Spaces
    assert plugins.broken == []
    assert issubclass(module.Spaces, Tokenizer)
    check_tokenizer(module.Spaces, ["is it far ?", "not very .", "it is"])


def test_the_tokenizer_refuses_what_the_corpus_cannot_support(example, tmp_path: Path) -> None:
    spaces = example("class Spaces").Spaces
    assert len(spaces.train(["a b a"], RESERVED + 2)) == RESERVED + 2
    assert len(spaces.train(["a b a"], RESERVED + 1)) == RESERVED + 1
    with pytest.raises(TokenizerError, match=r"--vocab-size 18 is the most it can"):
        spaces.train(["a b a"], RESERVED + 3)
    with pytest.raises(TokenizerError, match=r"words\.json"):
        spaces.load(tmp_path)


def test_the_reader_fulfils_the_contract(example) -> None:
    module = example("class Play")
    plugins = Plugins(module)
    assert type(plugins.readers()["play"]) is module.Play
    assert plugins.broken == []
    assert issubclass(module.Play, Reader)
    check_reader(module.Play, PLAY, "play.txt")


def test_the_reader_cuts_scenes(example, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(PLAY)
    with path.open("rb") as stream:
        first, second = example("class Play").Play().read(stream, "a.txt")
    assert first == Dialogue((Turn("Is it far?", "ANNA"), Turn("Not very.", "BEN")), Origin("a.txt"))
    assert [turn.text for turn in second.turns] == ["Here we are.", "At last."]


def test_no_other_reader_wants_the_readers_file_more(example) -> None:
    readers = Plugins(example("class Play")).readers()
    scores = {name: reader.sniff(PLAY, "a.txt") for name, reader in readers.items() if isinstance(reader, Reader)}
    assert max(scores, key=scores.__getitem__) == "play"
    assert isinstance(readers["moses"], PairReader)


def test_the_listener_hears(example, tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    plugins = Plugins(example("def training_progress("))
    plugins.tell(tmp_path, Progress(kind="step", step=6))
    assert not (tmp_path / "training" / "done.txt").exists()
    plugins.tell(tmp_path, Progress(kind="end", step=7))
    assert (tmp_path / "training" / "done.txt").read_text("utf-8") == "7 steps\n"
    assert plugins.broken == []


def test_the_layer_of_the_readme_gives_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    [code] = [
        code for code in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) if "layer(" in code
    ]
    exec(code, {})
    assert capsys.readouterr().out.strip() == code.strip().rpartition("# ")[2]


def _commands():
    """Yield every command line that the READMEs show."""
    for name in ("README.md", "corpora/README.md", "plugins/README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text("utf-8")
        for line in "".join(re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)).splitlines():
            shown = line.partition("#")[0].rpartition("| ")[2].strip() if "s2sbot " in line else ""
            if shown.startswith("s2sbot ") and "|" not in shown:
                yield name, shown


@pytest.mark.parametrize(("name", "shown"), list(_commands()))
def test_every_command_that_a_readme_shows_is_one(name, shown):
    words = shlex.split(shown)[1:]
    context = click.Context(main)
    command = main
    while isinstance(command, click.Group):
        command = command.get_command(context, words.pop(0))
        assert command is not None
    command.make_context(shown, words)
