"""The wheel, installed as a user would into an environment of its own, trains and talks with a stranger's model."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from s2sbot.store.schema import REVISION

ROOT = Path(__file__).parents[1]
THIRD_PARTY = ROOT / "tests" / "thirdparty" / "s2sbot-mean"
PAIRS = [
    ("Hello.", "Hello, stranger."),
    ("Who are you?", "I am the keeper of the light."),
    ("Is it far?", "It is not far."),
    ("Good night.", "Good night."),
]


class Installed(NamedTuple):
    """An environment with both wheels in it, and a place outside of the repository to work in."""

    venv: Path
    work: Path
    wheel: Path

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "S2SBOT", "VIRTUAL"))}
        return {**kept, "S2SBOT_HOME": str(self.work / "home"), "COLUMNS": "200"}

    def run(self, *words: str) -> str:
        command = [str(self.venv / "bin" / words[0]), *words[1:]]
        done = subprocess.run(
            command, cwd=self.work, env=self.environment(), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def ask_python(self, expression: str) -> str:
        return self.run("python", "-c", f"import s2sbot; print({expression})").strip()


def build(folder: Path, out: Path, *options: str) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", str(out), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def install(root: Path) -> None:
    """Build an sdist, a wheel of that, and the stranger's wheel; install both wheels where they see our libraries."""
    build(ROOT, root / "dist")
    build(THIRD_PARTY, root / "dist", "--wheel")
    venv = root / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=120)
    wheels = sorted((root / "dist").glob("*.whl"))
    assert len(wheels) == 2
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", *wheels], check=True, timeout=120)
    # A line in a .pth file is put behind this environment's own packages, and .pth files that lie there are not read:
    # the libraries are found, an editable install of s2sbot is not.
    outer = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    [packages] = (venv / "lib").glob("python*/site-packages")
    (packages / "outer.pth").write_text("".join(f"{path}\n" for path in outer))
    (root / "work").mkdir()


@pytest.fixture(scope="module")
def installed(once: Callable[[str, Callable[[Path], None]], Path]) -> Installed:
    """Return what `install` makes."""
    root = once("wheel", install)
    [wheel] = (root / "dist").glob("s2sbot-[0-9]*.whl")
    return Installed(root / "venv", root / "work", wheel)


@pytest.fixture(scope="module")
def trained(installed: Installed, once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Train the stranger's model for some steps."""
    lines = "".join(f"{source}\t{target}\n" for source, target in PAIRS * 10)

    def train(folder: Path) -> None:
        (folder / "talk.tsv").write_text(lines, "utf-8")
        (folder / "valid.tsv").write_text(lines, "utf-8")
        installed.run(
            *("s2sbot", "train", str(folder / "talk.tsv"), "--bot", str(folder / "talk.bot")),
            *("--valid", str(folder / "valid.tsv"), "--model", "mean", "--tokenizer", "words"),
            *("--set", "model.size=32", "--set", "train.batch_tokens=128", "--steps", "150", "--device", "cpu"),
            *("--set", "train.learning_rate=0.01", "--set", "train.warmup_steps=0"),
            *("--set", "data.without=duplicates,overlap"),
        )

    return once("wheel-trained", train) / "talk.bot"


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_package_the_plugins_and_the_migrations(installed: Installed) -> None:
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "s2sbot").rglob("*.py")}
    here |= {path.name for path in (ROOT / "plugins").glob("*.py")}
    here |= {f"s2sbot/store/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "migrations").rglob("*.py")}
    here |= {"s2sbot/py.typed", "s2sbot/store/migrations/script.py.mako", "s2sbot/downloads/known_corpora.toml"}
    assert contents(installed.wheel) == here


def test_the_wheel_carries_its_licence_and_every_entry_point(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        about = [name for name in archive.namelist() if ".dist-info/" in name]
        [points] = [archive.read(name).decode() for name in about if name.endswith("entry_points.txt")]
    assert any(name.endswith("LICENSE") for name in about)
    assert "s2sbot = s2sbot.cli:main" in points
    for plugin in (ROOT / "plugins").glob("*.py"):
        assert f"= {plugin.stem}\n" in points + "\n"


def test_it_is_the_wheel_that_runs(installed: Installed) -> None:
    [packages] = (installed.venv / "lib").glob("python*/site-packages")
    asked = (
        "s2sbot.__file__, __import__('s2sbot_attention').__file__,"
        " str(__import__('s2sbot.store.migrate').store.migrate.scripts_folder()), __import__('sys').path"
    )
    package, plugin, scripts, searched = json.loads(installed.ask_python(f"__import__('json').dumps([{asked}])"))
    assert Path(package) == packages / "s2sbot" / "__init__.py"
    assert not {str(ROOT), str(ROOT / "plugins")} & set(searched)
    assert Path(plugin).parent == packages
    assert Path(scripts) == packages / "s2sbot" / "store" / "migrations"


def test_the_strangers_model_is_listed(installed: Installed) -> None:
    listed = json.loads(installed.run("s2sbot", "plugins", "list", "--json"))
    models = {offer["name"]: offer["distribution"] for offer in listed["offers"] if offer["kind"] == "model"}
    assert models["mean"] == "s2sbot-mean"
    assert models["attention"] == "s2sbot"
    assert listed["broken"] == []
    assert "s2sbot_mean" in installed.run("s2sbot", "plugins", "list")


def test_the_strangers_model_is_trained(trained: Path) -> None:
    described = json.loads((trained / "bot.json").read_text("utf-8"))
    assert described["model"] == "mean"
    assert described["config"] == {"size": 32, "dropout": 0.1}
    assert described["versions"]["s2sbot_mean"] == "1.0.0"
    assert described["metrics"]["valid_perplexity"] < 2
    assert (trained / "card.md").is_file()
    assert (trained / "training" / "metrics.jsonl").is_file()


def test_it_answers_and_stores(installed: Installed, trained: Path) -> None:
    said = installed.run("s2sbot", "chat", str(trained), "--ask", "Hello.", "--device", "cpu")
    assert said == "> Hello.\nHello, stranger.\n"
    with closing(sqlite3.connect(installed.work / "home" / "conversations.db")) as store:
        assert store.execute("SELECT version_num FROM alembic_version").fetchall() == [(REVISION,)]
        assert store.execute("SELECT text FROM message ORDER BY rowid").fetchall() == [
            ("Hello.",),
            ("Hello, stranger.",),
        ]
    assert "Hello, stranger." in installed.run("s2sbot", "history", "search", "stranger")


def test_a_plugin_that_is_switched_off_takes_its_bots_with_it(installed: Installed, trained: Path) -> None:
    done = subprocess.run(
        [str(installed.venv / "bin" / "s2sbot"), "chat", str(trained), "--ask", "Hello."],
        cwd=installed.work,
        env={**installed.environment(), "S2SBOT_PLUGINS": "off"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "no plugin offers the model 'mean'" in done.stderr
