"""The rules that the code is laid out by: floors, wings, the boundary of plugins, and a public face without holes."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click
import pytest

import s2sbot
import s2sbot.nn
import s2sbot.store
import s2sbot.testing
from s2sbot.cli import COMMANDS, main
from s2sbot.hookspecs import GROUPS, Hooks
from s2sbot.plugins import FIRST_PARTY, Plugins

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "s2sbot").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").glob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
HOOKS = sorted(GROUPS.values())
FACES = {"s2sbot": s2sbot, "s2sbot.nn": s2sbot.nn, "s2sbot.testing": s2sbot.testing}
LONGEST_FILE = 400

TORCH = ("nn/", "bot.py", "trainer/", "testing/")
WINGS = {
    "torch": TORCH,
    "safetensors.torch": TORCH,
    "sqlalchemy": ("store/",),
    "alembic": ("store/",),
    "click": ("cli/",),
    "rich": ("cli/",),
    "prompt_toolkit": ("cli/",),
    "pluggy": ("hookspecs.py", "plugins.py"),
    "sentencepiece": (),
}
"""Where in s2sbot/ a library may be imported."""
FORBIDDEN_MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "torch.load",
    "torch.save",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "pandas.read_pickle",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


class Import(NamedTuple):
    module: str
    names: tuple[str, ...]
    for_types_only: bool
    line: int


def imports(path: Path) -> Iterator[Import]:
    """Yield every import of a file, wherever it stands, with relative ones spelled out."""
    tree = ast.parse(path.read_text("utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, (), id(node) in for_types, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *([node.module] if node.module else [])))
            yield Import(module, tuple(alias.name for alias in node.names), id(node) in for_types, node.lineno)


def is_of(module: str, library: str) -> bool:
    return module == library or module.startswith(f"{library}.")


def imported(statement: Import) -> tuple[str, ...]:
    """Return all modules that an import may load: `from a import b` loads `a`, and `a.b` where that is a module."""
    return (statement.module, *(f"{statement.module}.{name}" for name in statement.names))


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Floors and wings


def test_imports_run_down_only() -> None:
    program = "from importlinter.cli import lint_imports_command as lint; lint()"
    command = [sys.executable, "-c", program, "--config", "pyproject.toml", "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Contracts: 1 kept, 0 broken." in done.stdout


def test_every_module_has_its_floor() -> None:
    [contract] = PROJECT["tool"]["importlinter"]["contracts"]
    assert (contract["type"], contract["containers"], contract["exhaustive"]) == ("layers", ["s2sbot"], True)
    assert not {"ignore_imports", "exhaustive_ignores"} & contract.keys(), "an exception is no floor"
    floors = {name.strip(" ()") for layer in contract["layers"] for name in re.split("[|:]", layer)}
    modules = {path.stem if path.is_file() else path.name for path in (ROOT / "s2sbot").iterdir()}
    assert floors == modules - {"__init__", "__pycache__", "py"}


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_one_library_one_wing(path: Path) -> None:
    place = path.relative_to(ROOT / "s2sbot").as_posix()
    strays = [
        f"{name_of(path)}:{statement.line} imports {library}, whose place is {', '.join(wings) or 'a plugin'}"
        for statement in imports(path)
        for library, wings in WINGS.items()
        if not statement.for_types_only
        and any(is_of(module, library) for module in imported(statement))
        and not place.startswith(wings)
    ]
    assert not strays, "\n".join(strays)


@pytest.mark.parametrize("path", PLUGINS, ids=name_of)
def test_sentencepiece_lives_in_its_plugin(path: Path) -> None:
    found = any(is_of(statement.module, "sentencepiece") for statement in imports(path))
    assert found == (path.name == "s2sbot_sentencepiece.py")


@pytest.mark.parametrize("path", PLUGINS, ids=name_of)
def test_a_plugin_uses_what_a_stranger_may(path: Path) -> None:
    wrong = []
    for statement in imports(path):
        root = statement.module.partition(".")[0]
        if root.startswith("s2sbot_") or not root:
            wrong.append(f"line {statement.line}: imports another plugin, {statement.module or 'by a relative import'}")
        elif root == "s2sbot" and statement.module not in FACES:
            wrong.append(f"line {statement.line}: {statement.module} is not public")
        elif root == "s2sbot":
            public = {*FACES[statement.module].__all__, *("nn", "testing") * (statement.module == "s2sbot")}
            wrong += [
                f"line {statement.line}: {name} is not in {statement.module}.__all__"
                for name in statement.names
                if name not in public
            ]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in FACES:
            face = ast.unparse(node.value)
            if node.attr not in FACES[face].__all__ and f"{face}.{node.attr}" not in FACES:
                wrong.append(f"line {node.lineno}: {face}.{node.attr} is not public")
    assert not wrong, f"{name_of(path)}:\n" + "\n".join(wrong)


def test_every_plugin_file_has_an_entry_point() -> None:
    groups = PROJECT["project"]["entry-points"]
    named = {module for group in groups.values() for module in group.values()}
    assert named == {path.stem for path in PLUGINS}
    assert set(groups) <= {*GROUPS, "s2sbot.commands"}


# Nothing happens at import

LIGHT = "s2sbot s2sbot.errors s2sbot.files s2sbot.progress s2sbot.settings s2sbot.hookspecs s2sbot.plugins s2sbot.bot"


def modules_after(code: str) -> set[str]:
    loaded = json.loads(
        run_python(f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))").splitlines()[-1]
    )
    return set(loaded)


def heavy(modules: set[str]) -> set[str]:
    roots = {module.partition(".")[0] for module in modules}
    return roots & ({"torch", "sqlalchemy", "alembic", "numpy", "pysubs2"} | {path.stem for path in PLUGINS})


def test_importing_s2sbot_loads_neither_torch_nor_sql_nor_a_plugin() -> None:
    loaded = modules_after("import s2sbot")
    assert "s2sbot.hookspecs" in loaded
    assert not heavy(loaded)


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_loads_neither_torch_nor_sql_nor_a_plugin(words: list[str]) -> None:
    loaded = modules_after(f"from s2sbot.cli import main\nmain({words!r}, standalone_mode=False)")
    assert "s2sbot.cli" in loaded
    assert not heavy(loaded)


def test_only_the_torch_half_loads_torch() -> None:
    folders = ("cli", "text", "store")
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in PACKAGE
        if path.relative_to(ROOT).parts[1] in folders
    ]
    assert len(names) > 20
    code = f"import importlib\nfor name in {[*LIGHT.split(), *names]!r}: importlib.import_module(name)"
    loaded = modules_after(code)
    assert set(names) <= loaded
    assert not heavy(loaded) - {"sqlalchemy", "alembic", "numpy"}


# The public face


def all_order(name: str) -> tuple[int, list[object]]:
    """Sort as ruff's RUF022 does: CONSTANTS, Classes, the rest; numbers in a name by their size."""
    rank = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return rank, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


@pytest.mark.parametrize("face", [*FACES.values(), s2sbot.store], ids=lambda module: module.__name__)
def test_the_public_face_is_sorted_whole_and_documented(face) -> None:
    assert list(face.__all__) == sorted(face.__all__, key=all_order)
    assert len(set(face.__all__)) == len(face.__all__)
    missing = [name for name in face.__all__ if not hasattr(face, name)]
    assert not missing
    for name in face.__all__:
        value = getattr(face, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            text = (value.__doc__ or "").strip()
            # dataclasses and named tuples write their signature where there is no docstring
            assert text and not text.startswith(f"{value.__name__}("), f"{face.__name__}.{name} has no docstring"


@pytest.mark.parametrize("path", [*PACKAGE, *PLUGINS], ids=name_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    if path.name != "__main__.py":
        assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def test_types_are_shipped() -> None:
    assert (ROOT / "s2sbot" / "py.typed").read_text() == ""


# Nothing runs what a file says


def dotted(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


@pytest.mark.parametrize("path", [*PACKAGE, *PLUGINS], ids=name_of)
def test_no_file_can_run_code(path: Path) -> None:
    wrong = [
        f"line {statement.line}: imports {statement.module}"
        for statement in imports(path)
        if statement.module.partition(".")[0] in FORBIDDEN_MODULES
        or set(imported(statement)) & FORBIDDEN_CALLS
        or (statement.module == "builtins" and {"eval", "exec"} & set(statement.names))
    ]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        # not only calls: a reference may be handed on and called elsewhere
        if isinstance(node, ast.Name | ast.Attribute) and dotted(node) in FORBIDDEN_CALLS:
            wrong.append(f"line {node.lineno}: {dotted(node)}")
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            wrong.append(f"line {node.value.lineno}: allow_pickle")
    assert not wrong, f"{name_of(path)}:\n" + "\n".join(wrong)


# Hooks


@cache
def defined_tests() -> set[str]:
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


def test_the_hooks_are_those_of_the_groups() -> None:
    assert sorted(name for name in vars(Hooks) if not name.startswith("_")) == HOOKS


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_tested(hook: str) -> None:
    assert f"test_hook_{hook}" in defined_tests()


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_arguments(hook: str) -> None:
    arguments = [name for name in inspect.signature(getattr(Hooks, hook)).parameters if name != "self"]
    headings = re.findall(r"^### `(.+)`$", (ROOT / "plugins" / "README.md").read_text("utf-8"), re.MULTILINE)
    assert f"{hook}({', '.join(arguments)})" in headings
    assert inspect.getdoc(getattr(Hooks, hook))


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_used_by_a_shipped_plugin(hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2SBOT_PLUGINS", "off")
    plugins = Plugins()
    users = plugins.hooks()[hook]
    assert users
    assert {plugins.distribution(user) for user in users} == {FIRST_PARTY}
    readme = (ROOT / "plugins" / "README.md").read_text("utf-8")
    section = readme.partition(f"### `{hook}(")[2].partition("\n#")[0]
    assert {f"{user}.py" for user in users} <= set(re.findall(r"`(s2sbot_\w+\.py)`", section))


def test_no_shipped_plugin_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2SBOT_PLUGINS", "off")
    plugins = Plugins()
    plugins.load_all()
    assert plugins.broken == []


# Help


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        names = COMMANDS if command is main else command.list_commands(context)
        for name in names:
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, click.Context(inner, info_name=name, parent=context))


def test_every_command_shows_an_example() -> None:
    found = list(commands(main, click.Context(main, info_name="s2sbot")))
    assert len(found) > len(COMMANDS)
    for path, command, context in found:
        text = command.get_help(context)
        assert command.help, f"{path} has no help"
        examples = re.search(r"^ *Examples?:\n((?: *\S.*\n?)+)", text, re.MULTILINE)
        assert examples and path in examples[1], f"the help of `{path}` has no example of it"


# Tools


@pytest.mark.parametrize("words", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=" ".join)
def test_tools_find_nothing(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_is_strict_and_sees_everything() -> None:
    settings = PROJECT["tool"]["mypy"]
    assert settings["strict"] is True
    assert settings["files"] == ["s2sbot", "plugins"]
    assert not {"exclude", "ignore_errors", "overrides"} & settings.keys()


@pytest.mark.parametrize("path", [*PACKAGE, *PLUGINS], ids=name_of)
def test_a_file_is_one_idea(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= LONGEST_FILE, f"{name_of(path)} has {lines} lines, {LONGEST_FILE} are enough for one idea"


def test_every_module_can_be_imported() -> None:
    for path in PACKAGE:
        if path.name != "__main__.py":
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
