"""Bot folders of strangers do no harm: nothing of them runs, nothing outside is touched, and they are refused soon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import hostile_bots
import pytest
from hostile_bots import FAMILIES, Hostile, hostile_bot, model_proto, piece, right_bots, watched

import s2sbot
from s2sbot.plugins import Plugins

COUNT, SOAK = 100, 1_000
SECONDS, MEMORY = 1.0, 512 * 2**20
pytestmark = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform != "linux", reason="needs Linux")


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return right_bots(tmp_path_factory.mktemp("right"))


@dataclass(slots=True)
class Account:
    """What became of all folders."""

    refused: Counter[str] = field(default_factory=Counter)
    loaded: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0
    peak: int = 0
    slowest_late: float = 0.0
    peak_late: int = 0

    def add(self, hostile: Hostile, entry: str, told: dict) -> None:
        wrong = list(_wrong(hostile, entry, told))
        self.faults += [f"{hostile.number} {hostile.family} ({entry}): {fault}" for fault in wrong]
        (self.loaded if "said" in told else self.refused)[hostile.family] += 1
        if hostile.late:
            self.slowest_late = max(self.slowest_late, told.get("seconds", 0.0))
            self.peak_late = max(self.peak_late, told.get("memory", 0))
        else:
            self.slowest = max(self.slowest, told.get("seconds", 0.0))
            self.peak = max(self.peak, told.get("memory", 0))


def _wrong(hostile: Hostile, entry: str, told: dict) -> Iterator[str]:
    """Yield what is otherwise than was promised."""
    if "fault" in told:
        yield told["fault"]
        return
    yield from told["breaches"]
    if told["seconds"] > SECONDS:
        yield f"takes {told['seconds']:.2f} s"
    if told["memory"] > MEMORY:
        yield f"takes {told['memory'] / 2**20:.0f} MiB"
    if told["torch"] and not hostile.late:
        yield "torch was imported"
    if "said" in told and hostile.tame:
        return
    if not told.get("error"):
        yield "it was not refused"
        return
    if not told["hint"]:
        yield "no hint"
    if hostile.file not in told["error"]:
        yield f"{hostile.file} is not named: {told['error'][:200]}"
    if len(told["error"]) > 2_000:
        yield f"an error of {len(told['error'])} characters"
    if entry != "load" and told.get("exit") not in (1, 3):
        yield f"exit code {told.get('exit')}"


def tried(count: int, seed: int, right: dict[str, Path], folder: Path) -> Account:
    """Open so many hostile folders, as many ways in turn, and look at all that is around them."""
    outside = folder / "outside"
    for name, bot in right.items():
        shutil.copytree(bot, outside / name / "right")
    account, bots = Account(), folder / "bots"
    bots.mkdir()
    for late in (False, True):
        numbers = [number for number in range(count) if _family(number).late is late]
        with watched(outside) as touched, opened_by(late) as server:
            for number in numbers:
                hostile = hostile_bot(number, seed, right, bots, outside)
                before = picture(hostile.folder)
                touched_while_made = list(touched)
                entry = "load" if late else ("load", "chat", "translate")[number % 3]
                account.add(hostile, entry, server.ask(hostile.folder, entry))
                if picture(hostile.folder) != before:
                    account.faults.append(f"{number} {hostile.family}: the folder was changed")
                assert not touched_while_made
                shutil.rmtree(hostile.folder)
        account.faults += [f"outside was touched: {event}" for event in touched]
    assert sorted(path.name for path in folder.iterdir()) == ["bots", "outside"]
    assert not (outside / "ran").exists()
    return account


def _family(number: int) -> hostile_bots.Family:
    return FAMILIES[sorted(FAMILIES)[number % len(FAMILIES)]]


def picture(folder: Path) -> list[tuple[str, int, int, int]]:
    """Return name, kind, size and time of everything in a folder."""
    found = [(path, path.lstat()) for path in sorted(folder.rglob("*"))]
    return [(str(path), state.st_mode, state.st_size, state.st_mtime_ns) for path, state in found]


class opened_by:  # noqa: N801
    """A process that opens folders; with `late` it has imported torch before."""

    def __init__(self, late: bool) -> None:
        command = [sys.executable, hostile_bots.__file__, "serve", *(["torch"] if late else [])]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "S2SBOT_PLUGINS": "off"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> opened_by:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)
        assert self._process.returncode == 0

    def ask(self, folder: Path, entry: str) -> dict:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"folder": str(folder), "entry": entry}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def show(account: Account) -> str:
    rows = [f"{name:<40} {account.refused[name]:>6} {account.loaded[name]:>6}" for name in sorted(FAMILIES)]
    total = f"{'all':<40} {account.refused.total():>6} {account.loaded.total():>6}"
    return "\n".join(
        [
            f"{'family':<40} {'refused':>6} {'loaded':>6}",
            *rows,
            total,
            f"before torch: slowest {account.slowest:.3f} s, most memory {account.peak / 2**20:.0f} MiB",
            f"with torch: slowest {account.slowest_late:.3f} s, most memory {account.peak_late / 2**20:.0f} MiB",
        ]
    )


def assert_no_harm(account: Account, count: int) -> None:
    assert account.faults == []
    assert account.refused.total() + account.loaded.total() == count
    assert {name for name, times in account.loaded.items() if times} <= {
        name for name, family in FAMILIES.items() if family.tame
    }
    assert account.refused.keys() | account.loaded.keys() == FAMILIES.keys()


def test_hostile_folders_do_no_harm(right: dict[str, Path], tmp_path: Path) -> None:
    assert_no_harm(tried(COUNT, 0, right, tmp_path), COUNT)


@pytest.mark.soak
def test_a_thousand_hostile_folders_do_no_harm(
    right: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account = tried(SOAK, 1, right, tmp_path)
    with capsys.disabled():
        sys.stdout.write(f"\n{show(account)}\n")
    assert_no_harm(account, SOAK)


def test_a_number_makes_the_same_folder_again(right: dict[str, Path], tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        outside = tmp_path / "outside"
        (tmp_path / name).mkdir()
        bots = [hostile_bot(number, 7, right, tmp_path / name, outside) for number in range(len(FAMILIES))]
        made.append([_content(bot.folder) for bot in bots])
    same = [one == two for one, two in zip(*made, strict=True)]
    assert all(same)
    assert len({str(content) for content in made[0]}) > 0.9 * len(FAMILIES)


def _content(folder: Path) -> list[tuple[str, int, bytes]]:
    found = []
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        few = path.is_file() and not path.is_symlink() and state.st_size < 2**24
        # a gadget holds the number of the process that made it, which is the same here
        found.append((str(path.relative_to(folder)), state.st_mode, path.read_bytes() if few else b""))
    return found


# A right bot is none of them


def test_right_bots_are_opened_and_not_accused(right: dict[str, Path]) -> None:
    from safetensors.torch import load_file

    with opened_by(late=True) as server:
        for folder in right.values():
            told = server.ask(folder, "load")
            assert "said" in told and told["breaches"] == []
            bot = s2sbot.load(folder)
            tensors = load_file(folder / bot.description.weights)
            assert tensors and all(bot.model.state_dict()[key].equal(value) for key, value in tensors.items())


def test_a_right_bot_may_be_named_by_a_link(right: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "mine.bot").symlink_to(right["words"])
    assert s2sbot.load(tmp_path / "mine.bot").reply("Hello.").text is not None


def test_any_type_of_number_is_read_as_the_library_reads_it(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    from s2sbot.bot import _opened_weights, _read_tensors
    from s2sbot.bot_files import DTYPES

    made = {
        name: (torch.arange(6).reshape(2, 3) if name != "BOOL" else torch.ones(2, 3)).to(getattr(torch, of_torch))
        for name, (of_torch, _) in DTYPES.items()
    }
    made |= {"nothing": torch.empty(0, 5), "one": torch.tensor(2.5)}
    path = tmp_path / "all.safetensors"
    save_file(made, path, {"format": "pt"})
    with _opened_weights(path) as (stream, places):
        read = _read_tensors(stream, places)
    slow = load_file(path)
    assert read.keys() == slow.keys() == made.keys()
    assert all(read[name].dtype == slow[name].dtype and read[name].equal(slow[name]) for name in slow)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("at", [0, 5, 11])
def test_weights_without_a_value_are_refused(tmp_path: Path, number: float, at: int) -> None:
    import torch
    from safetensors.torch import save_file

    from s2sbot.bot import _opened_weights, _read_tensors

    tensor = torch.randn(12)
    tensor[at] = number
    save_file({"a": tensor}, tmp_path / "a.safetensors")
    with (
        _opened_weights(tmp_path / "a.safetensors") as (stream, places),
        pytest.raises(ValueError, match="a has numbers that are infinite or none"),
    ):
        _read_tensors(stream, places)


def test_what_is_read_is_what_was_checked(right: dict[str, Path], tmp_path: Path) -> None:
    """Another file that takes the name between the check and the reading changes nothing."""
    from s2sbot.bot import _opened_weights, _read_tensors, read_description

    bot = shutil.copytree(right["words"], tmp_path / "a.bot")
    path = bot / read_description(bot).weights
    with _opened_weights(path) as (stream, places):
        once = _read_tensors(stream, places)
    with _opened_weights(path) as (stream, places):
        path.unlink()
        path.symlink_to("/dev/zero")
        again = _read_tensors(stream, places)
    assert once.keys() == again.keys() and all(once[name].equal(again[name]) for name in once)
    with _opened_weights(right["words"] / path.name) as (stream, places):
        stream.seek(4, os.SEEK_CUR)
        with pytest.raises(ValueError, match="cut short"):
            _read_tensors(stream, places)


@pytest.mark.parametrize("model", ["simple", "stateful-broadcast", "peek", "attention"])
@pytest.mark.parametrize("initialisation", ["scaled", "orthogonal"])
def test_a_model_is_built_with_the_numbers_of_its_weights(model: str, initialisation: str) -> None:
    from s2sbot.nn.budget import Budget
    from s2sbot.nn.encoder_decoder import model_tensors

    kind = Plugins().model(model)
    config = kind.Config(embedding_size=8, hidden_size=16, depth=2, initialisation=initialisation)
    numbers = sum(tensor.numel() for tensor in model_tensors(kind(config, 60, 50)).values())
    with Budget(2 * numbers):
        kind(config, 60, 50)
    with pytest.raises(ValueError, match="larger than they are"), Budget(numbers - 1):
        kind(config, 60, 50)


def test_a_budget_counts_what_is_asked_for_in_any_way() -> None:
    import torch

    from s2sbot.nn.budget import Budget

    ways = [
        lambda: torch.empty(3, 4),
        lambda: torch.zeros((3, 4)),
        lambda: torch.ones(size=(3, 4)),
        lambda: torch.full([3, 4], 0.5),
        lambda: torch.randn(torch.Size([12])),
        lambda: torch.nn.Linear(4, 3, bias=False),
    ]
    one = torch.zeros(1)
    ways += [lambda: one.new_zeros(3, 4), lambda: one.new_full((3, 4), 0.5), lambda: one.new_empty(size=(12,))]
    for way in ways:
        with Budget(12):
            way()
        with pytest.raises(ValueError), Budget(11):
            way()
    with pytest.raises(ValueError), Budget(23):
        torch.empty(12), torch.empty(12)


# What a command says, in a process that nobody warmed up


@pytest.mark.parametrize(
    "words", [["chat", "--no-store", "--ask", "Hello."], ["translate"], ["evaluate", "."]], ids=lambda words: words[0]
)
@pytest.mark.parametrize("family", ["pickle as weights", "tokenizer's folder elsewhere", "text of the description"])
def test_a_command_refuses_before_torch(right: dict[str, Path], tmp_path: Path, words: list[str], family: str) -> None:
    number = sorted(FAMILIES).index(family)
    hostile = hostile_bot(number, 3, right, tmp_path, tmp_path / "outside")
    program = f"""
import sys
from s2sbot.cli import main
try:
    main({[words[0], str(hostile.folder), *words[1:]]!r})
finally:
    sys.stderr.write(f"torch: {{'torch' in sys.modules}}")
"""
    environment = {**os.environ, "S2SBOT_HOME": str(tmp_path / "home"), "S2SBOT_PLUGINS": "off"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ") and "\nHint: " in done.stderr and "Traceback" not in done.stderr
    assert hostile.file in done.stderr
    assert done.stderr.endswith("torch: False")


# That harm would be seen

HARM = {
    "reading": ("open('{outside}/secret').read()", "open"),
    "reading through a link": ("open('{folder}/link').read()", "open"),
    "reading a folder": ("os.listdir('{outside}')", "os.listdir"),
    "writing": ("open('{folder}/new', 'w')", "open"),
    "writing by number": ("os.open('{folder}/new', os.O_CREAT | os.O_WRONLY)", "open"),
    "running text": ("exec('a = 1')", "exec"),
    "unpickling": ("pickle.loads(pickle.dumps(os.system))", "pickle.find_class"),
    "a command": ("os.system('true')", "os.system"),
    "a process": ("__import__('subprocess').run(['true'])", "subprocess.Popen"),
    "a socket": ("socket.socket()", "socket."),
    "removing": ("os.unlink('{folder}/bot.json')", "os.remove"),
    "a hang": ("time.sleep(60)", "hangs"),
    "a crash": ("os.abort()", "its process ended"),
    "an exit": ("os._exit(3)", "its process ended"),
    "an error": ("{{}}['key']", "KeyError: 'key'"),
    "time": ("while time.process_time() < 1.5: pass", "takes"),
    "memory": ("b'x' * 600 * 2**20", "MiB"),
    "torch": ("sys.modules.setdefault('torch', None)", "torch was imported"),
    "no error": ("None", "it was not refused"),
}


@pytest.mark.parametrize(("harm", "seen"), HARM.values(), ids=list(HARM))
def test_harm_is_seen(tmp_path: Path, harm: str, seen: str) -> None:
    folder, outside = tmp_path / "a.bot", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (folder / "bot.json").write_text("{}")
    (folder / "link").symlink_to(outside / "secret")
    program = f"""
import json, sys
sys.path.insert(0, {str(Path(hostile_bots.__file__).parent)!r})
import os, pickle, socket, time, subprocess
import hostile_bots
from pathlib import Path
hostile_bots.PATIENCE = {1.0 if seen == "hangs" else 60.0}
def opened(folder, entry):
    {harm.format(folder=folder, outside=outside)}
    return {{}}
hostile_bots._opened = opened
print(json.dumps(hostile_bots._answered(Path({str(folder)!r}), "load")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    told = json.loads(done.stdout.splitlines()[-1])
    hostile = Hostile(0, "harm", folder, "", late=False, tame=False)
    assert any(seen in fault for fault in _wrong(hostile, "load", told)), told


def test_a_touch_from_any_language_is_seen(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "secret").write_text("secret")
    with watched(tmp_path) as touched:
        pass
    assert touched == []
    with watched(tmp_path) as touched:
        subprocess.run(["cat", str(tmp_path / "inner" / "secret")], capture_output=True, check=True)
    assert any("secret" in event for event in touched)


# Tokenizers


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("words", b'["a", "b"]'),
        ("words", ' [ "caf\u00e9" , "\\"", "\\\\" ] '.encode()),
        ("words", b'["' + b"x" * 10_000 + b'"]'),
        ("characters", b'"abc"'),
        ("characters", b'"\\u00e9\\ud83d\\ude00"'),
    ],
)
def test_a_right_table_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / f"{name}.json").write_bytes(content)
    tokenizer = Plugins().tokenizer(name).load(tmp_path)
    assert len(tokenizer) == 16 + len(json.loads(content))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("words", b'["a", "a"]'),
        ("words", b'["a" "b"]'),
        ("words", b'[["a"]]'),
        ("words", b'{"a": "b"}'),
        ("words", b'["a", 1]'),
        ("words", b'[""]'),
        ("words", b'["\\ud800"]'),
        ("words", b'["' + b"x" * 10_001 + b'"]'),
        ("words", b"[" + b'"x",' * 600_000 + b'"x"]'),
        ("words", b" " * (16 * 2**20) + b"[]"),
        ("characters", b'"aa"'),
        ("characters", b'""'),
        ("characters", b'["a"]'),
        ("characters", b'"\\ud800"'),
        ("characters", b'"' + b"a" * (4 * 2**20) + b'"'),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / f"{name}.json").write_bytes(content)
    with pytest.raises(s2sbot.TokenizerError, match=f"{name}.json") as caught:
        Plugins().tokenizer(name).load(tmp_path)
    assert caught.value.hint and len(str(caught.value)) < 600 + len(str(tmp_path))


def test_words_that_could_not_be_read_again_are_not_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = Plugins().tokenizer("words")
    tokenizer = words.train(iter(["Hello there", "x" * 10_001]), None)
    tokenizer.save(tmp_path)
    assert len(words.load(tmp_path)) == 18
    monkeypatch.setattr(sys.modules[words.__module__], "LARGEST_FILE", 10)
    with pytest.raises(s2sbot.TokenizerError, match="more than 10 bytes"):
        tokenizer.save(tmp_path)


def test_a_model_of_pieces_made_by_hand_is_read(tmp_path: Path) -> None:
    """The wrong ones differ from it in one thing."""
    kind = Plugins().tokenizer("sentencepiece")
    (tmp_path / "sentencepiece.model").write_bytes(model_proto(pieces=piece(b"x" * 115)))
    tokenizer = kind.load(tmp_path)
    assert len(tokenizer) == 16 + 12 + 1
    assert tokenizer.decode(tokenizer.encode("hello so")) == "hello so"


def test_a_model_of_pieces_with_bytes_is_read(tmp_path: Path) -> None:
    kind = Plugins().tokenizer("sentencepiece")
    letters = "abcdefghij"
    words = [f"{letters[i % 10]}{letters[i // 10 % 10]}{i * 7919 % 9973}" for i in range(5_000)]
    lines = [" ".join(words[n : n + 9]) for n in range(5_000)]
    tokenizer = kind.train(iter(lines), 4_000)
    tokenizer.save(tmp_path)
    again = kind.load(tmp_path)
    assert len(again) == 4_000
    assert again.decode(again.encode("\u2603")) == "\u2603"


def test_every_step_of_the_right_normalisation_is_inside(right: dict[str, Path], tmp_path: Path) -> None:
    """A unit of the map that leads out of it is found, wherever it stands."""
    kind = Plugins().tokenizer("sentencepiece")
    model = (right["sentencepiece"] / "tokenizer" / "sentencepiece.model").read_bytes()
    begin = model.index(b"nmt_nfkc") + len(b"nmt_nfkc") + 1 + 3
    size = int.from_bytes(model[begin : begin + 4], "little")
    assert size % 1024 == 0 and 2**17 < size < 2**19
    for place in (0, 1, size // 8, size // 4 - 1):
        at = begin + 4 + 4 * place
        (tmp_path / "sentencepiece.model").write_bytes(model[:at] + b"\x00\xff\xff\x7f" + model[at + 4 :])
        with pytest.raises(s2sbot.TokenizerError, match="leads out of its map"):
            kind.load(tmp_path)


def test_a_tokenizer_of_anybody_finds_only_files(right: dict[str, Path], tmp_path: Path) -> None:
    """The check of the folder is made for every tokenizer, before it sees the folder."""
    bot = shutil.copytree(right["bytes"], tmp_path / "a.bot")
    (bot / "tokenizer").rmdir()
    s2sbot.load(bot)
    (bot / "tokenizer").symlink_to(right["words"] / "tokenizer")
    with pytest.raises(s2sbot.TokenizerError, match="a link stands where a folder must be"):
        s2sbot.load(bot)
