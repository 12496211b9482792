"""Plugins are found by their entry points and used by name; a broken one is named, and harms nobody else."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from s2sbot import PluginError, Progress, Sample, hookimpl
from s2sbot.nn import EncoderDecoder
from s2sbot.plugins import Plugins

MODEL = """
from dataclasses import dataclass
from s2sbot import hookimpl
from s2sbot.nn import EncoderDecoder

@dataclass(frozen=True)
class Config:
    size: int = 8

class Stranger(EncoderDecoder):
    Config = Config
    def __init__(self, config, source_vocab, target_vocab): super().__init__(config, source_vocab, target_vocab)
    def encode(self, source, source_mask, carry=()): ...
    def decode(self, tokens, memory, state): ...
    def project(self, hidden): ...

@hookimpl
def register_models():
    return {"NAME": Stranger}
"""
TOKENIZER = """
from s2sbot import hookimpl

class StrangeTokenizer:
    def __len__(self): return 16
    def encode(self, text): return []
    def decode(self, ids): return ""
    def save(self, folder): ...
    @classmethod
    def load(cls, folder): return cls()
    @classmethod
    def train(cls, lines, vocab_size): return cls()

@hookimpl
def register_tokenizers():
    return {"NAME": StrangeTokenizer}
"""
READER = """
from s2sbot import hookimpl

class StrangeReader:
    def sniff(self, head, name): return 0.0
    def read(self, stream, name): yield from ()

@hookimpl
def register_readers():
    return {"NAME": StrangeReader}
"""
LISTENER = """
from s2sbot import hookimpl
heard = []

@hookimpl
def training_progress(bot, progress):
    heard.append((bot, progress))
"""

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a distribution of one module, with real metadata, for this process and those it starts."""
    made: list[str] = []
    paths: list[str] = []

    def put(module: str, source: str, *groups: str, name: str | None = None, distribution: str | None = None) -> Path:
        folder = tmp_path / f"{len(made)}-{module}"
        title = distribution or f"dist-{module}"
        info = folder / f"{title.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{module}.py").write_text(dedent(source), "utf-8")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {title}\nVersion: 1.0\n", "utf-8")
        points = [f"[s2sbot.{group}]\n{name or module} = {module}\n" for group in groups]
        (info / "entry_points.txt").write_text("\n".join(points), "utf-8")
        monkeypatch.syspath_prepend(folder)
        made.append(module)
        paths.insert(0, str(folder))
        monkeypatch.setenv("PYTHONPATH", ":".join(paths))
        return folder

    monkeypatch.delenv("S2SBOT_PLUGINS", raising=False)
    yield put
    for module in made:
        sys.modules.pop(module, None)


def names(plugins: Plugins) -> list[str]:
    return [broken.plugin for broken in plugins.broken]


def event(kind: str = "step", **values) -> Progress:
    return Progress(kind=kind, **values)  # type: ignore[arg-type]


# What is offered


def test_hook_register_models(install: Install) -> None:
    install("strange_model", MODEL.replace("NAME", "echo"), "models")
    plugins = Plugins()
    offer = plugins.models()["echo"]
    assert (offer.name, offer.plugin, offer.distribution) == ("echo", "strange_model", "dist-strange_model")
    assert plugins.model("echo") is offer.value is sys.modules["strange_model"].Stranger
    assert issubclass(plugins.model("attention"), EncoderDecoder)
    assert plugins.broken == []


def test_hook_register_tokenizers(install: Install) -> None:
    install("strange_tokenizer", TOKENIZER.replace("NAME", "echo"), "tokenizers")
    plugins = Plugins()
    assert plugins.tokenizer("echo") is sys.modules["strange_tokenizer"].StrangeTokenizer
    assert {"bytes", "characters", "sentencepiece", "words", "echo"} <= plugins.tokenizers().keys()
    assert plugins.broken == []


def test_hook_register_readers(install: Install) -> None:
    install("strange_reader", READER.replace("NAME", "echo"), "readers")
    plugins = Plugins()
    reader = plugins.readers()["echo"]
    assert type(reader) is sys.modules["strange_reader"].StrangeReader is plugins.reader_offers()["echo"].value
    assert {"srt", "tsv", "moses"} <= plugins.readers().keys()
    assert plugins.broken == []


def test_names_come_in_order(install: Install) -> None:
    install("strange_model", MODEL.replace("NAME", "a-first"), "models")
    assert next(iter(Plugins().models())) == "a-first"
    for offers in (Plugins().models(), Plugins().tokenizers(), Plugins().reader_offers()):
        assert list(offers) == sorted(offers)


def test_readers_alone_load_no_model(install: Install) -> None:
    install("strange_model", MODEL.replace("NAME", "echo"), "models")
    Plugins().readers()
    assert "strange_model" not in sys.modules


def test_a_plugin_may_be_given_by_hand() -> None:
    module = ModuleType("by_hand")
    exec(dedent(TOKENIZER.replace("NAME", "mine")), module.__dict__)
    plugins = Plugins(module)
    assert plugins.tokenizer("mine") is module.__dict__["StrangeTokenizer"]
    assert plugins.distribution("by_hand") == "given by hand"


def test_a_broken_plugin_given_by_hand_is_named() -> None:
    module = ModuleType("by_hand")
    exec("from s2sbot import hookimpl\n@hookimpl\ndef register_model(): return {}", module.__dict__)
    assert names(Plugins(module)) == ["by_hand"]


def test_a_module_named_in_two_groups_is_registered_once(install: Install) -> None:
    install("both", MODEL.replace("NAME", "echo") + TOKENIZER.replace("NAME", "echo"), "models", "tokenizers")
    plugins = Plugins()
    hooks = plugins.hooks()
    assert hooks["register_models"].count("both") == hooks["register_tokenizers"].count("both") == 1
    assert "echo" in plugins.models()
    assert "echo" in plugins.tokenizers()
    assert plugins.broken == []


def test_a_module_named_twice_in_a_group_offers_once(install: Install) -> None:
    folder = install("twice", MODEL.replace("NAME", "echo"), "models")
    [points] = folder.glob("*.dist-info/entry_points.txt")
    points.write_text("[s2sbot.models]\none = twice\ntwo = twice\n")
    plugins = Plugins()
    assert plugins.models()["echo"].plugin == "twice"
    assert plugins.hooks()["register_models"].count("twice") == 1
    assert plugins.broken == []


# What is broken

BROKEN = {
    "cannot be imported": ("import no_such_library", "cannot be imported: ModuleNotFoundError: No module named"),
    "leaves while it is imported": ("import sys; sys.exit('no licence')", "cannot be imported: SystemExit: no licence"),
    "no Python": ("def (", "cannot be imported: SyntaxError"),
    "misspelt hook": (MODEL.replace("register_models", "register_model"), "unknown hook 'register_model'"),
    "unknown argument": (MODEL.replace("register_models()", "register_models(config)"), "'config'"),
    "not decorated": (MODEL.replace("@hookimpl", ""), "has no hook register_models: is @hookimpl missing?"),
    "hook wrapper": (
        MODEL.replace("@hookimpl", "@hookimpl(wrapper=True)").replace("return", "yield;"),
        "is a hook wrapper, which is never called",
    ),
    "raises": (MODEL.replace("    return", "    raise OSError('disk on fire')\n    return"), "OSError: disk on fire"),
    "leaves": (MODEL.replace("    return", "    raise SystemExit(3)\n    return"), "register_models: SystemExit: 3"),
    "returns None": (MODEL.replace("    return", "    return None and"), "mapping of names to classes, not NoneType"),
    "returns a list": (MODEL.replace('{"NAME": Stranger}', "[Stranger]"), "a mapping of names to classes, not list"),
    "a number for a name": (MODEL.replace('{"NAME"', "{7"), "7 is no name"),
    "a name no bot can hold": (MODEL.replace("NAME", "a b"), "'a b' is no name"),
    "a number for a class": (MODEL.replace('": Stranger', '": 7'), "must be a class, not int"),
    "a function for a class": (MODEL.replace('": Stranger', '": register_models'), "must be a class, not function"),
    "another class": (MODEL.replace('": Stranger', '": dict'), "is not derived from EncoderDecoder"),
    "a method is missing": (MODEL.replace("def project", "def produce"), "lacks project"),
    "no Config": (MODEL.replace("Config = Config", ""), "has no dataclass as its Config"),
}


@pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=BROKEN)
def test_a_broken_model_is_named_with_its_cause_and_the_others_work(
    install: Install, caplog: pytest.LogCaptureFixture, source: str, cause: str
) -> None:
    install("strange", source.replace("NAME", "echo"), "models", name="echo")
    plugins = Plugins()
    with caplog.at_level(logging.WARNING, "s2sbot.plugins"):
        assert "attention" in plugins.models()
    [broken] = plugins.broken
    assert (broken.plugin, broken.distribution) == ("strange", "dist-strange")
    assert cause in broken.cause
    assert "\n" not in broken.cause
    assert "echo" in broken.owns
    assert "echo" not in plugins.models()
    with pytest.raises(PluginError) as raised:
        plugins.model("echo")
    assert "strange" in raised.value.message
    assert cause in raised.value.message
    assert "uninstall" in raised.value.hint
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "strange" in caplog.text
    assert cause in caplog.text


@pytest.mark.parametrize(
    ("source", "group", "lacks"),
    [
        (TOKENIZER.replace("def save", "def store"), "tokenizers", "save"),
        (TOKENIZER.replace("def __len__", "def a").replace("def load", "def b"), "tokenizers", "__len__, load"),
        (READER.replace("def sniff", "def smell"), "readers", "sniff"),
        (READER.replace("def read(", "def reed("), "readers", "read"),
    ],
)
def test_a_class_that_lacks_a_method_is_named(install: Install, source: str, group: str, lacks: str) -> None:
    install("strange", source.replace("NAME", "echo"), group)
    plugins = Plugins()
    plugins.load_all()
    [broken] = plugins.broken
    assert broken.cause.endswith(f"lacks {lacks}")
    assert "echo" in broken.owns


def test_a_reader_of_pairs_needs_no_more_than_that(install: Install) -> None:
    install("strange", READER.replace("def sniff", "def read_pair").replace("NAME", "echo"), "readers")
    plugins = Plugins()
    assert "echo" in plugins.readers()
    assert plugins.broken == []


def test_a_reader_that_cannot_be_made_leaves_the_others(install: Install) -> None:
    source = READER.replace("def sniff", "def __init__(self, folder): ...\n    def sniff")
    install("strange", source.replace("NAME", "echo"), "readers")
    plugins = Plugins()
    assert "srt" in plugins.readers()
    assert "echo" not in plugins.readers()
    [broken] = plugins.broken
    assert "the reader 'echo' cannot be made: TypeError" in broken.cause


def test_what_works_of_a_broken_plugin_still_works(install: Install) -> None:
    tokenizer = TOKENIZER.replace("    return {", "    raise OSError\n    return {")
    install("half", MODEL.replace("NAME", "echo") + tokenizer, "models", "tokenizers")
    plugins = Plugins()
    model = plugins.model("echo")
    assert "words" in plugins.tokenizers()
    assert names(plugins) == ["half"]
    assert plugins.model("echo") is model


def test_a_plugin_broken_in_two_groups_is_tried_and_named_once(
    install: Install, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import logging; logging.tried = getattr(logging, 'tried', 0) + 1; import no_such_library"
    monkeypatch.setattr(logging, "tried", 0, raising=False)
    folder = install("broken", source, "models", "tokenizers", name="echo")
    [points] = folder.glob("*.dist-info/entry_points.txt")
    groups = {"models": "one", "tokenizers": "two", "hooks": "one"}
    points.write_text("".join(f"[s2sbot.{group}]\n{name} = broken\n" for group, name in groups.items()))
    plugins = Plugins()
    plugins.load_all()
    plugins.load_all()
    assert vars(logging)["tried"] == 1
    assert [broken.owns for broken in plugins.broken] == [("one", "two")]
    assert len(caplog.records) == 1
    with pytest.raises(PluginError, match="no_such_library"):
        plugins.tokenizer("two")


def test_a_hook_outside_its_group_is_named_and_never_answers(install: Install) -> None:
    install("half", MODEL.replace("NAME", "echo") + TOKENIZER.replace("NAME", "echo"), "models")
    plugins = Plugins()
    assert "echo" in plugins.models()
    assert "echo" not in plugins.tokenizers()
    [broken] = plugins.broken
    group = "s2sbot.tokenizers"
    assert broken.cause == f"has the hook register_tokenizers but is not named in the entry-point group {group}"


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(PluginError) as raised:
        Plugins().model("atention")
    assert raised.value.message == "no plugin offers the model 'atention'"
    assert raised.value.hint == "did you mean 'attention'?"
    with pytest.raises(PluginError) as raised:
        Plugins().tokenizer("xyz")
    assert "sentencepiece, words" in raised.value.hint


# Two of one name


@pytest.mark.parametrize("name", ["aaa", "attention", "zzz"])
def test_a_first_party_name_cannot_be_taken(install: Install, name: str) -> None:
    install("thief", MODEL.replace("NAME", "attention"), "models", name=name)
    plugins = Plugins()
    assert plugins.models()["attention"].plugin == "s2sbot_attention"
    assert plugins.model("attention").__module__ == "s2sbot_attention"
    [broken] = plugins.broken
    assert broken.plugin == "thief"
    assert broken.cause == "offers the model 'attention', which s2sbot_attention offers too"


def test_of_two_strangers_neither_wins(install: Install) -> None:
    install("one", MODEL.replace("NAME", "echo"), "models")
    install("two", MODEL.replace("NAME", "echo"), "models")
    plugins = Plugins()
    assert "echo" not in plugins.models()
    assert sorted(names(plugins)) == ["one", "two"]
    with pytest.raises(PluginError) as raised:
        plugins.model("echo")
    assert "one: offers the model 'echo', which two offers too" in raised.value.message
    assert "two: offers the model 'echo', which one offers too" in raised.value.message
    plugins.models()
    assert len(plugins.broken) == 2


def test_a_clash_takes_only_the_name(install: Install) -> None:
    install("one", MODEL.replace('{"NAME"', '{"other": Stranger, "echo"'), "models")
    install("two", MODEL.replace("NAME", "echo"), "models")
    assert Plugins().model("other").__module__ == "one"


# Which are loaded


@pytest.mark.parametrize(
    ("chosen", "loaded"),
    [
        (None, {"one", "two"}),
        ("one", {"one"}),
        ("two, one", {"one", "two"}),
        ("dist-two", {"two"}),
        ("Dist_Two", {"two"}),
        ("off", set()),
        ("OFF", set()),
        ("", set()),
        ("attention", set()),
    ],
)
def test_the_environment_chooses_before_anything_is_imported(
    install: Install, monkeypatch: pytest.MonkeyPatch, chosen: str | None, loaded: set[str]
) -> None:
    install("one", MODEL.replace("NAME", "one"), "models")
    install("two", MODEL.replace("NAME", "two"), "models")
    if chosen is not None:
        monkeypatch.setenv("S2SBOT_PLUGINS", chosen)
    plugins = Plugins()
    plugins.load_all()
    assert {"one", "two"} & sys.modules.keys() == loaded
    assert plugins.models().keys() == {"attention", *loaded} | plugins.models().keys() - {"one", "two"}
    assert plugins.broken == []


# What is told


def test_hook_training_progress(install: Install, tmp_path: Path) -> None:
    install("listener", LISTENER, "hooks")
    (tmp_path / "training").mkdir()
    plugins = Plugins()
    progress = event(step=3, loss=1.5)
    plugins.tell(tmp_path, progress)
    assert sys.modules["listener"].heard == [(tmp_path, progress)]
    [line] = (tmp_path / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["loss"] == 1.5


def test_a_listener_takes_the_arguments_it_wants(install: Install, tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    one = LISTENER.replace("progress(bot, progress)", "progress(progress)").replace("((bot, progress))", "(progress)")
    install("short", one, "hooks")
    install(
        "none", LISTENER.replace("progress(bot, progress)", "progress()").replace("((bot, progress))", "(1)"), "hooks"
    )
    plugins = Plugins()
    plugins.tell(tmp_path, event(step=3))
    assert sys.modules["short"].heard == [event(step=3)]
    assert len(sys.modules["none"].heard) == 1
    assert plugins.broken == []


@pytest.mark.parametrize("fault", ["raise OSError('disk full')", "raise SystemExit(1)", "1 / 0"])
def test_a_listener_that_fails_is_named_once_and_the_others_still_hear(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    (tmp_path / "training").mkdir()
    install("aaa", LISTENER, "hooks")
    install("failing", LISTENER.replace("heard.append((bot, progress))", f"heard.append(1); {fault}"), "hooks")
    install("zzz", LISTENER, "hooks")
    plugins = Plugins()
    plugins.tell(tmp_path, event(step=1))
    plugins.tell(tmp_path, event(step=2))
    assert len(sys.modules["failing"].heard) == 1
    assert [len(sys.modules[name].heard) for name in ("aaa", "zzz")] == [2, 2]
    assert len((tmp_path / "training" / "metrics.jsonl").read_text("utf-8").splitlines()) == 2
    [broken] = plugins.broken
    assert broken.plugin == "failing"
    assert broken.cause.startswith("training_progress: ")
    assert len(caplog.records) == 1
    assert "failing" not in plugins.hooks()["training_progress"]


def test_an_interrupt_is_not_the_listeners_fault(install: Install, tmp_path: Path) -> None:
    install("listener", LISTENER.replace("heard.append((bot, progress))", "raise KeyboardInterrupt"), "hooks")
    with pytest.raises(KeyboardInterrupt):
        Plugins().tell(tmp_path, event())


def test_a_model_whose_listener_fails_is_trained_to_the_end(install: Install, tmp_path: Path) -> None:
    listener = LISTENER.replace("heard.append((bot, progress))", "raise OSError")
    install("both", MODEL.replace("NAME", "echo") + listener, "models", "hooks")
    (tmp_path / "training").mkdir()
    plugins = Plugins()
    model = plugins.model("echo")
    plugins.tell(tmp_path, event())
    assert names(plugins) == ["both"]
    assert plugins.model("echo") is model


# The shipped listener


@pytest.fixture
def bot(tmp_path: Path) -> Path:
    (tmp_path / "training").mkdir()
    return tmp_path


def lines(bot: Path) -> list[dict]:
    text = (bot / "training" / "metrics.jsonl").read_text("utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


def test_metrics_are_a_line_an_event(bot: Path) -> None:
    plugins = Plugins()
    told = [
        event("prepare", message="reading"),
        event("start"),
        event("step", step=5, loss=2.5),
        event("validation", step=6, perplexity=9.0, samples=(Sample("a", "b", "c"),)),
        event("checkpoint", step=6),
        event("end", step=6, perplexity=9.0),
    ]
    for each in told:
        plugins.tell(bot, each)
    assert [line["kind"] for line in lines(bot)] == ["step", "validation", "end"]
    assert lines(bot)[1]["samples"] == [{"source": "a", "output": "b", "target": "c"}]
    assert plugins.broken == []


def test_metrics_of_a_resumed_run_go_on_from_its_checkpoint(bot: Path) -> None:
    plugins = Plugins()
    for step in (5, 10, 15):
        plugins.tell(bot, event(step=step))
    with (bot / "training" / "metrics.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"kind": "step", "st')  # a crash
    plugins.tell(bot, event("start", step=10))
    plugins.tell(bot, event(step=12))
    assert [line["step"] for line in lines(bot)] == [5, 10, 12]
    assert [path.name for path in (bot / "training").glob("metrics*")] == ["metrics.jsonl"]


@pytest.mark.parametrize("text", ["line\u2028separator", "next\x85line", "form\x0cfeed", "new\nline", "Größe 日本"])
def test_metrics_keep_samples_of_any_text(bot: Path, text: str) -> None:
    plugins = Plugins()
    plugins.tell(bot, event("validation", step=5, samples=(Sample(text, text, text),)))
    plugins.tell(bot, event("start", step=5))
    [line] = lines(bot)
    assert line["samples"] == [{"source": text, "output": text, "target": text}]


def test_metrics_are_json_whatever_the_perplexity(bot: Path) -> None:
    plugins = Plugins()
    plugins.tell(bot, event("validation", step=5, perplexity=math.inf, loss=math.nan))
    [line] = lines(bot)
    assert (line["perplexity"], line["loss"], line["step"]) == (None, None, 5)
    assert "Infinity" not in (bot / "training" / "metrics.jsonl").read_text("utf-8")


def test_metrics_stay_as_they_were_where_the_disk_is_full(bot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = Plugins()
    plugins.tell(bot, event(step=5))
    plugins.tell(bot, event(step=10))

    def full(path: Path, *modes: object, **options: object) -> object:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        plugins.tell(bot, event(step=15))
    plugins.tell(bot, event(step=20))
    assert [line["step"] for line in lines(bot)] == [5, 10, 20]
    assert names(plugins) == []


# What a user sees


def list_plugins(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "s2sbot", "plugins", "list", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_list_shows_plugins_and_what_is_broken(install: Install) -> None:
    install("strange_model", MODEL.replace("NAME", "echo"), "models")
    install("broken", "raise ValueError('see [/red] of [the] manual')", "models", name="ruin")
    done = list_plugins()
    assert done.returncode == 0, done.stderr
    assert "plugin broken (dist-broken): cannot be imported: ValueError: see [/red] of [the] manual" in done.stderr
    assert "Traceback" not in done.stderr
    shown = " ".join(done.stdout.split())
    assert "model echo strange_model dist-strange_model" in shown
    assert "model attention s2sbot_attention s2sbot" in shown
    assert "hook training_progress s2sbot_metrics s2sbot" in shown
    assert "dist-broken" in shown
    assert "ValueError" in shown


def test_the_list_as_json(install: Install) -> None:
    install("strange_model", MODEL.replace("NAME", "echo"), "models")
    install("broken", "raise ValueError('why')", "models")
    done = list_plugins("--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    offer = {"kind": "model", "name": "echo", "plugin": "strange_model", "distribution": "dist-strange_model"}
    assert offer in listed["offers"]
    assert listed["broken"] == [
        {"plugin": "broken", "distribution": "dist-broken", "cause": "cannot be imported: ValueError: why"}
    ]


def test_asking_for_a_broken_plugin_is_a_users_error(install: Install, tmp_path: Path) -> None:
    install("broken", "raise ValueError('why')", "models", name="ruin")
    corpus = tmp_path / "talk.tsv"
    corpus.write_text("Hello.\tHello.\n" * 20, "utf-8")
    command = [sys.executable, "-m", "s2sbot", "train", str(corpus), "--bot", str(tmp_path / "bot"), "--model", "ruin"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Error: the model 'ruin' cannot be used: broken: cannot be imported: ValueError: why" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "bot").exists()


def test_the_decorator_is_the_one_that_plugins_use() -> None:
    assert hookimpl.project_name == "s2sbot"
