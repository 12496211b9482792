"""Mutated files go through every reader in processes with limits; what breaks a promise is named and can be repeated.

    python tests/fuzzing.py soak --inputs 1000000 --seed 1
    python tests/fuzzing.py replay FILE

A number for the seed and a number for the input give the same input everywhere, as long as the seeds are the same; a
failure is kept as a file that holds the input itself.
"""

from __future__ import annotations

import argparse
import base64
import faulthandler
import gc
import importlib.util
import io
import json
import math
import mmap
import os
import resource
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, BinaryIO, cast

from fuzzing_mutations import mutated, mutated_text
from fuzzing_seeds import ARCHIVES, DEAR, DESCRIPTION, Seed, archive_of, every_seed

from s2sbot.errors import CorpusError
from s2sbot.plugins import Plugins
from s2sbot.text.archives import Archives, Part
from s2sbot.text.cleaning import one_line
from s2sbot.text.corpus import Corpus, open_corpus
from s2sbot.text.dialogue import MARKS, Cue, Dialogue, Exchange, Item, Lost, Reader
from s2sbot.text.documents import Document, Skipped, find_documents
from s2sbot.text.mojibake import repair
from s2sbot.text.pairing import clean_dialogue, cues_to_dialogues, dialogue_to_exchanges
from s2sbot.text.quality import unfit
from s2sbot.text.reading import CorpusReport, DocumentReport, fit_exchanges, read_corpus, read_document
from s2sbot.text.rules import RULES, Rules

__all__ = ["Failure", "Given", "Inputs", "Limits", "Outcome", "fuzz", "replay"]

ROOT = Path(__file__).parents[1]
HEAD = 2**16
ARCHIVE_SHARE, DESCRIPTION_SHARE = 0.03, 0.01
"""Shares of the inputs that are written to a file, which takes longer."""
MOST_KEPT = 2
"""Inputs that are kept of failures of one kind."""
MOST_ENDED = 50
"""Processes that may end before their time."""
_NOW = struct.Struct("<qd")
_NAMES = ("a.srt", "sub/b.txt", "../a.srt", "/a.srt", "c.tsv", "a\x1b[31m.srt", "__MACOSX/a.srt", "a.zip", "é" * 60)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one input may take.

    seconds   of the processor
    patience  seconds of the clock, after which its process is ended
    memory    bytes that its process may ever have had
    """

    seconds: float = 1.0
    patience: float = 15.0
    memory: int = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Given:
    """One input: `kind` as that of its seed, and a file or the two of a pair, or an archive, or a description."""

    number: int
    kind: str
    name: str
    sides: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that broke a promise; `file` repeats it."""

    number: int
    kind: str
    cause: str
    file: Path | None = None


@dataclass(slots=True)
class Outcome:
    """What became of all inputs: how many of each kind there were, how many were read, and how many items they gave.

    Of inputs whose process ended before it told of them, the kind is `not told`.
    """

    inputs: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    processor: float = 0.0
    slowest: tuple[float, int, str] = (0.0, -1, "")
    peak: int = 0

    def add(self, told: dict[str, Any]) -> None:
        """Take in what a process tells of its last inputs."""
        self.inputs.update(told["inputs"])
        self.read.update(told["read"])
        self.items.update(told["items"])
        self.slowest = max(self.slowest, (told["slowest"][0], told["slowest"][1], told["slowest"][2]))
        self.peak = max(self.peak, told["peak"])


class Inputs:
    """Makes the inputs of a seed by their numbers."""

    def __init__(self, seeds: Iterable[Seed], seed: int) -> None:
        self._seed = seed
        self._seeds: dict[str, list[list[Seed]]] = {}
        for each in seeds:
            dearness = 2 if each.encoding in DEAR else int(each.encoding != "utf-8")
            self._seeds.setdefault(each.kind, [[], [], []])[dearness].append(each)
        self._texts = [
            each
            for kind, groups in self._seeds.items()
            for group in groups
            for each in group
            if kind not in (*ARCHIVES, DESCRIPTION)
        ]
        readers = [kind for kind in self._seeds if kind not in (*ARCHIVES, DESCRIPTION)]
        archives = [kind for kind in self._seeds if kind in ARCHIVES]
        described = [kind for kind in self._seeds if kind == DESCRIPTION]
        groups = ((readers, 1.0), (archives, ARCHIVE_SHARE), (described, DESCRIPTION_SHARE))
        self._kinds = [kind for kinds, _ in groups for kind in kinds]
        self._weights = [share / len(kinds) for kinds, share in groups for _ in kinds]

    def __getitem__(self, number: int) -> Given:
        """Return an input."""
        chance = Random(f"{self._seed}/{number}")
        [kind] = chance.choices(self._kinds, self._weights)
        seed = self._chosen(chance, kind)
        if kind in ARCHIVES and chance.random() < 0.5:
            members = [
                (chance.choice((other.name, *_NAMES)), mutated(chance, other.sides[0], seed.sides[0]))
                for other in chance.choices(self._texts or [seed], k=chance.choice((1, 2, 4)))
            ]
            return Given(number, kind, seed.name, (archive_of(kind, members),))
        other = chance.choice(self._texts or [seed]).sides[0]
        which = chance.randrange(len(seed.sides))
        both = chance.random() < 0.3
        sides = tuple(
            self._mutated(chance, side, other, seed.encoding) if both or place == which else _encoded(side, seed)
            for place, side in enumerate(seed.sides)
        )
        name = seed.name if kind in (*ARCHIVES, DESCRIPTION) or chance.random() < 0.9 else chance.choice(_NAMES)
        return Given(number, kind, name, sides)

    def _chosen(self, chance: Random, kind: str) -> Seed:
        plain, wide, dear = self._seeds[kind]
        share = chance.random()
        groups = [group for group in ((dear, wide) if share < 0.04 else (wide, dear) if share < 0.24 else ()) if group]
        return chance.choice((groups or [plain or wide or dear])[0])

    @staticmethod
    def _mutated(chance: Random, side: bytes, other: bytes, encoding: str) -> bytes:
        if encoding == "utf-8":
            return mutated(chance, side, other)
        return mutated_text(chance, side, other, encoding)


def _encoded(side: bytes, seed: Seed) -> bytes:
    return side if seed.encoding == "utf-8" else side.decode("utf-8", "replace").encode(seed.encoding, "replace")


class PromiseError(Exception):
    """A promise that was broken."""


class Stopped(BaseException):
    """Ends what takes too long or does what it must not, and no reader catches it."""


class Guard:
    """Stops an input that takes too long, and one that writes, or reads what is not its own, or opens a socket."""

    def __init__(self, limits: Limits, arena: Path) -> None:
        self._limits = limits
        self._roots = tuple(
            map(str, {Path(sys.prefix), Path(sys.base_prefix), ROOT, arena, *map(Path, sys.path)} - {Path()})
        )
        self._on = False
        self._cause = ""
        sys.addaudithook(self._hear)
        signal.signal(signal.SIGPROF, self._ring)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch what is done inside."""
        self._cause = ""
        self._on = True
        # again and again: what stops it may be raised where it is ignored, as in a destructor
        signal.setitimer(signal.ITIMER_PROF, self._limits.seconds, 0.2)
        try:
            yield
        finally:
            self._on = False
            signal.setitimer(signal.ITIMER_PROF, 0)
        if self._cause:
            raise Stopped(self._cause)

    def _ring(self, _: int, frame: FrameType | None) -> None:
        if self._on:
            self._cause = f"takes more than {self._limits.seconds:g} s"
            raise Stopped(self._cause)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on or not event.startswith(_HEARD):
            return
        if event == "open":
            path, mode, flags = arguments
            writes = (isinstance(mode, str) and bool(set(mode) & set("wax+"))) or flags & (os.O_WRONLY | os.O_RDWR)
            own = isinstance(path, int) or os.fspath(path).startswith(self._roots)
            if own and not writes:
                return
        self._cause = f"does what it must not: {event} {str(arguments)[:120]}"
        raise Stopped(self._cause)


_HEARD = (
    "open", "socket.", "subprocess.", "shutil.", "tempfile.", "urllib.", "ctypes.", "pickle.", "os.system", "os.exec",
    "os.fork", "os.posix_spawn", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink",
    "os.truncate", "os.chmod", "os.chown", "os.utime", "os.kill", "os.putenv",
)  # fmt: skip


class Examination:
    """Reads inputs in every way that the program does, and looks at what comes out."""

    def __init__(self, readers: dict[str, Any], arena: Path) -> None:
        self._readers = readers
        self._sniffing = {title: reader for title, reader in readers.items() if isinstance(reader, Reader)}
        self._arena = arena
        self._rules = [
            Rules(),
            Rules(off=frozenset(RULES), context_turns=3),
            Rules(context_turns=2, scene_gap=0.5, max_characters=50),
            *(Rules(off=frozenset({name})) for name in RULES),
        ]
        self._folder = arena / "described"
        (self._folder / "sub").mkdir(parents=True)
        files = {
            "a.srt": b"1\n00:00:01,000 --> 00:00:02,000\nIs it far?\n\n2\n00:00:03,000 --> 00:00:04,000\nNot very.\n",
            "sub/b.vtt": b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello.\n",
            "pairs.tsv": "où ?\twhere?\nnon\tno\n".encode(),
            "x.de": b"ja\nnein\n",
            "x.en": b"yes\nno\n",
            "y.zip": archive_of("zip", [("a.srt", b"x")]),
        }
        for name, data in files.items():
            (self._folder / name).write_bytes(data)

    def prepare(self, given: Given) -> None:
        """Write what an input needs as a file."""
        if given.kind in ARCHIVES:
            (self._arena / given.name).write_bytes(given.sides[0])
        elif given.kind == DESCRIPTION:
            (self._folder / DESCRIPTION).write_bytes(given.sides[0])

    def of(self, given: Given) -> int | None:
        """Return how many items an input gives; None where it is refused.

        Raises:
            PromiseError: where it breaks a promise.
        """
        rules = self._rules[given.number % len(self._rules)] if given.number % 3 == 0 else self._rules[0]
        if given.kind in ARCHIVES:
            return self._archive(self._arena / given.name, rules)
        if given.kind == DESCRIPTION:
            return self._description(rules)
        best = self._best(given)
        found = self._read(given.kind, given.sides, given.name, rules)
        if best and best != given.kind:
            self._read(best, given.sides[:1], given.name, rules)
        if given.number % 12 == 0:
            self._document(given, rules)
        return found

    def _best(self, given: Given) -> str:
        scores = {}
        for title, reader in self._sniffing.items():
            try:
                score = reader.sniff(given.sides[0][:HEAD], given.name)
            except Exception as error:
                raise PromiseError(f"{title}: sniff raises {_place_of(error)}") from error
            if not isinstance(score, int | float) or not 0 <= score <= 1:
                raise PromiseError(f"{title}: sniff returns {score!r}")
            scores[title] = score
        best = max(scores, key=scores.__getitem__, default="")
        return best if best and scores[best] > 0 else ""

    def _read(self, title: str, sides: Sequence[bytes], name: str, rules: Rules) -> int | None:
        reader = self._readers[title]
        streams = [cast(BinaryIO, io.BytesIO(side)) for side in sides]
        items: list[Item] = []
        refused = False
        try:
            found = reader.read_pair(*streams, name) if len(streams) == 2 else reader.read(*streams, name)
            items.extend(found)  # those before an error stay
        except ValueError as error:
            refused = True
            if not str(error).strip():
                raise PromiseError(f"{title}: a ValueError that does not say why") from error
        except Exception as error:
            raise PromiseError(f"{title}: read raises {_place_of(error)}") from error
        for item in items:
            if cause := wrong_with(item):
                raise PromiseError(f"{title}: {cause}")
        try:
            _cleaned(items, name, rules)
        except PromiseError as fault:
            raise PromiseError(f"{title}: {fault}") from fault
        except Exception as error:
            raise PromiseError(f"{title}: what was read cannot be cleaned: {_place_of(error)}") from error
        return None if refused and not items else len(items)

    def _document(self, given: Given, rules: Rules) -> None:
        document = Document(given.name, tuple(Part(Path("x"), offset=place) for place in range(len(given.sides))))
        corpus = Corpus(Path("x"), "x")
        self._through(document, corpus, cast(Archives, _Held(given.sides)), rules)

    def _through(self, document: Document, corpus: Corpus, archives: Archives, rules: Rules) -> int:
        report = DocumentReport(document.name)
        count = 0
        try:
            for number, item in enumerate(read_document(document, corpus, self._readers, archives, rules, report)):
                for exchange in fit_exchanges(item, corpus, rules, report, number):
                    count += 1
                    _check_lines(exchange.source, exchange.target, *exchange.context)
        except PromiseError:
            raise
        except CorpusError:
            pass
        except Exception as error:
            raise PromiseError(f"read_document raises {_place_of(error)}") from error
        if DocumentReport.from_dict(json.loads(json.dumps(report.to_dict()))) != report:
            raise PromiseError("the report of a document cannot be written as JSON")
        return count

    def _archive(self, path: Path, rules: Rules) -> int | None:
        try:
            documents = list(find_documents(path))
        except CorpusError:
            return None
        except Exception as error:
            raise PromiseError(f"find_documents raises {_place_of(error)}") from error
        count = 0
        with Archives() as archives:
            for document in documents[:50]:
                if isinstance(document, Skipped):
                    if not document.cause.strip():
                        raise PromiseError("a document was skipped, and it is not said why")
                    continue
                if not document.name.isprintable() or ".." in document.name.split("/"):
                    raise PromiseError(f"a document is named {document.name!r}")
                self._opened(archives, document)
                count += self._through(document, Corpus(path, path.name), archives, rules)
        return count

    def _opened(self, archives: Archives, document: Document) -> None:
        try:
            with closing(archives.open(document.parts[0])) as stream:
                while stream.read(2**16):
                    pass
        except (ValueError, OSError):
            pass
        except Exception as error:
            raise PromiseError(f"opening a part raises {_place_of(error)}") from error

    def _description(self, rules: Rules) -> int | None:
        try:
            corpus = open_corpus(self._folder)
            found = list(read_corpus(corpus, self._readers, report=CorpusReport(), rules=rules))
        except CorpusError:
            return None
        except Exception as error:
            raise PromiseError(f"a description raises {_place_of(error)}") from error
        return len(found)


class _Held:
    """Opens the sides of an input as archives open files."""

    def __init__(self, sides: Sequence[bytes]) -> None:
        self._sides = sides

    def open(self, part: Part) -> BinaryIO:
        return io.BytesIO(self._sides[part.offset])


def wrong_with(item: object) -> str:
    """Return what of an item is not as the contract has it; nothing where all is."""
    if not isinstance(item, Cue | Dialogue | Exchange | Lost):
        return f"a {type(item).__name__} was read"
    if isinstance(item, Lost):
        right = isinstance(item.cause, str) and item.cause.strip() and (item.line is None or item.line > 0)
        return "" if right else f"{item!r:.200}"
    numbers: list[object] = []
    if isinstance(item, Cue):
        if item.mark is not None and item.mark not in MARKS:
            return f"a cue's mark is {item.mark!r}"
        texts: list[object] = [item.text]
        names = [item.speaker, item.style]
        numbers = [item.start, item.end]
    elif isinstance(item, Dialogue):
        texts = [turn.text for turn in item.turns]
        names = [item.group, *(turn.speaker for turn in item.turns)]
        numbers = [turn.start for turn in item.turns if turn.start is not None]
    else:
        texts, names = [item.source, item.target, *item.context], []
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        return f"no text in {item!r:.200}"
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        return f"a time that is none in {item!r:.200}"
    if isinstance(item, Cue) and item.end < item.start:
        return f"it ends before it begins: {item!r:.200}"
    if not isinstance(item, Cue) and item.origin.line is not None and item.origin.line < 1:
        return f"a line below 1 in {item!r:.200}"
    try:
        for text in (*texts, *filter(None, names)):
            cast(str, text).encode()
    except UnicodeEncodeError:
        return f"half a surrogate pair in {item!a:.200}"
    return ""


def _cleaned(items: Sequence[Item], name: str, rules: Rules) -> None:
    """Take items through all that follows a reader."""
    counts: Counter[str] = Counter()
    cues = [item for item in items if isinstance(item, Cue)]
    dialogues = [
        *cues_to_dialogues(cues, name, rules=rules, counts=counts),
        *(clean_dialogue(item, rules=rules, counts=counts) for item in items if isinstance(item, Dialogue)),
    ]
    pairs = [(item.source, item.target) for item in items if isinstance(item, Exchange)]
    for number, dialogue in enumerate(dialogues):
        for turn in dialogue.turns:
            _check_lines(turn.text)
        exchanges = dialogue_to_exchanges(dialogue, rules=rules, counts=counts, number=number)
        pairs += [(exchange.source, exchange.target) for exchange in exchanges]
    for source, target in pairs:
        unfit(one_line(repair(source)), one_line(repair(target)), rules, translated=True)


def _check_lines(*texts: str) -> None:
    for text in texts:
        if not text or len(text.splitlines()) != 1 or text != text.strip():
            raise PromiseError(f"not one line: {text!a:.200}")


def _place_of(error: BaseException) -> str:
    """Return what an error says, where it was raised, and the last line of a plugin or of this library on the way."""
    # no line of source is looked up, for that would open a file
    steps = traceback.walk_tb(error.__traceback__)
    frames = [(Path(frame.f_code.co_filename), line) for frame, line in steps]
    places = [f"{path.name}:{line}" for path, line in frames]
    own = [f"{path.name}:{line}" for path, line in frames if "s2sbot" in str(path) and path.parent.name != "tests"]
    raised = [*places[-1:], *(f"by {place}" for place in own[-1:] if place != places[-1])]
    return f"{type(error).__name__}: {str(error)[:160]}{f' at {chr(32).join(raised)}' if raised else ''}"


# A process that is given a range of numbers


class _Memory:
    """Tells the most memory that this process has had; what it was started by does not count."""

    def __init__(self) -> None:
        try:
            self._status = os.open("/proc/self/status", os.O_RDONLY)
        except OSError:
            self._status = -1

    def peak(self) -> int:
        """Return it in bytes."""
        if self._status < 0:
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return most * (1 if sys.platform == "darwin" else 1024)
        said = os.pread(self._status, 4096, 0)
        begin = said.index(b"VmHWM:") + 6
        return int(said[begin : said.index(b"kB", begin)]) * 1024


def _readers(plants: str) -> dict[str, Any]:
    extra = [_module(Path(plants))] if plants else []
    return dict(Plugins(*extra).readers())


def _module(path: Path) -> Any:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


class _Process:
    """What one process does: it examines every `step`th input from `first` on, and tells what it found, a line each."""

    def __init__(self, work: dict[str, Any], arena: Path, tell: Any) -> None:
        self._limits = Limits(**work["limits"])
        # far more than an input may take, and far less than a machine has
        resource.setrlimit(resource.RLIMIT_AS, (4 * self._limits.memory + 2**30, resource.RLIM_INFINITY))
        self._examination = Examination(_readers(work["plants"]), arena)
        self._guard = Guard(self._limits, arena)
        self._memory = _Memory()
        self._tell = tell
        self._clear()

    def _clear(self) -> None:
        self._inputs, self._read, self._items = Counter[str](), Counter[str](), Counter[str]()
        self._slowest = (0.0, -1, "")

    def report(self) -> None:
        """Tell what became of the inputs since the last report."""
        self._tell(
            inputs=self._inputs, read=self._read, items=self._items, slowest=self._slowest, peak=self._memory.peak()
        )
        self._clear()

    def examine(self, given: Given) -> bool:
        """Examine an input, and return whether another one may follow."""
        self._examination.prepare(given)
        begin = time.process_time()
        cause = ""
        found: int | None = None
        try:
            with self._guard.watching():
                found = self._examination.of(given)
        except PromiseError as fault:
            cause = str(fault)
        except Stopped as stopped:
            cause = str(stopped)
        except BaseException as error:
            cause = _place_of(error)
        seconds = time.process_time() - begin
        self._inputs[given.kind] += 1
        self._read[given.kind] += found is not None
        self._items[given.kind] += found or 0
        self._slowest = max(self._slowest, (seconds, given.number, given.kind))
        if not cause and seconds > self._limits.seconds:
            cause = f"takes {seconds:.1f} s"
        peak = self._memory.peak()
        if peak > self._limits.memory:
            cause = cause or f"takes {peak / 2**20:.0f} MiB of memory"
        if cause:
            self._tell(number=given.number, kind=given.kind, cause=cause)
        return peak <= self._limits.memory


def _work(folder: Path) -> None:
    """Do the work that is described in a folder, and say in a file there which input it is at."""
    faulthandler.enable()
    sys.dont_write_bytecode = True
    work = json.loads((folder / "work.json").read_text("utf-8"))
    out = sys.stdout
    shared = mmap.mmap(os.open(folder / "now", os.O_RDWR), _NOW.size)
    seeds = (
        Seed(kind, name, tuple(map(base64.b64decode, sides)), encoding) for kind, name, sides, encoding in work["seeds"]
    )
    inputs = Inputs(seeds, work["seed"])

    def tell(**told: Any) -> None:
        out.write(json.dumps(told) + "\n")
        out.flush()

    process = _Process(work, folder, tell)
    gc.freeze()
    due = time.monotonic() + 1
    for number in range(work["first"], work["end"], work["step"]):
        given = inputs[number]
        shared[:] = _NOW.pack(number, time.monotonic())
        more = process.examine(given)
        if not more or time.monotonic() > due:
            process.report()
            due = time.monotonic() + 1
        if not more:
            sys.exit(3)
    process.report()


# The process that starts them


class _Child:
    """A process and the folder that it works in."""

    def __init__(self, work: dict[str, Any], folder: Path, first: int) -> None:
        self.first, self.step = first, work["step"]
        self.folder = folder
        folder.mkdir()
        (folder / "work.json").write_text(json.dumps({**work, "first": first}), "utf-8")
        (folder / "now").write_bytes(_NOW.pack(-1, 0.0))
        self.errors = (folder / "errors").open("wb")
        environment = {**os.environ, "S2SBOT_PLUGINS": "off", "PYTHONHASHSEED": "0"}
        command = [sys.executable, __file__, "work", str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, env=environment)
        self.killed = ""
        self.told = 0

    def now(self) -> tuple[int, float]:
        """Return the number of the input that it is at, and since when."""
        number, since = _NOW.unpack((self.folder / "now").read_bytes())
        return number, since

    def end(self) -> str:
        """Wait for its end, and return how it ended where that was not as it should."""
        code = self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.errors.close()
        if self.killed or code in (0, 3):
            return self.killed
        said = (self.folder / "errors").read_text("utf-8", "replace").strip()
        last = " | ".join(line.strip() for line in said.splitlines()[:8])
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its process ended: {how} {last[:600]}".strip()


def fuzz(
    count: int,
    *,
    seed: int = 0,
    folder: Path,
    seeds: Sequence[Seed] | None = None,
    plants: Path | None = None,
    limits: Limits = Limits(),
    processes: int = 2,
    first: int = 0,
) -> Outcome:
    """Send `count` inputs through the readers, and keep those that break a promise in `folder`.

    Args:
        seeds: what is mutated; by default files of every kind.
        plants: a file with plugins to examine beside those that ship.
        first: number of the first input.
    """
    seeds = every_seed() if seeds is None else list(seeds)
    outcome = Outcome()
    keep = partial(_keep, outcome, Inputs(seeds, seed), folder, seed, str(plants or ""))
    work = {
        "seed": seed,
        "end": first + count,
        "step": processes,
        "plants": str(plants or ""),
        "limits": asdict(limits),
        "seeds": [
            (each.kind, each.name, [base64.b64encode(side).decode() for side in each.sides], each.encoding)
            for each in seeds
        ],
    }
    begin, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    memory = Path("/dev/shm")
    shelf = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="s2sbot-fuzzing-", dir=shelf) as place:
        _run(work, Path(place), [first + number for number in range(min(processes, count))], outcome, keep, limits)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    outcome.seconds = time.monotonic() - begin
    outcome.processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return outcome


def _run(work: dict[str, Any], place: Path, starts: list[int], outcome: Outcome, keep: Any, limits: Limits) -> None:
    started = 0
    children: list[_Child] = []
    with selectors.DefaultSelector() as selector:
        try:
            while starts or children:
                while starts:
                    child = _Child(work, place / str(started), starts.pop())
                    started += 1
                    assert child.process.stdout is not None
                    selector.register(child.process.stdout, selectors.EVENT_READ, child)
                    children.append(child)
                for key, _ in selector.select(0.2):
                    child = key.data
                    if line := cast(BinaryIO, key.fileobj).readline():
                        told = json.loads(line)
                        if "cause" in told:
                            keep(told)
                        else:
                            outcome.add(told)
                            child.told += sum(told["inputs"].values())
                        continue
                    selector.unregister(key.fileobj)
                    children.remove(child)
                    starts += _after(child, keep, outcome) if started < MOST_ENDED else ()
                for child in children:
                    number, since = child.now()
                    if number >= 0 and time.monotonic() - since > limits.patience and not child.killed:
                        child.killed = f"hangs: it goes on after {limits.patience:g} s"
                        child.process.kill()
        finally:
            for child in children:
                child.process.kill()
                child.end()


def _after(child: _Child, keep: Any, outcome: Outcome) -> list[int]:
    """Return where another process goes on after one that ended before its time."""
    cause = child.end()
    number, _ = child.now()
    if cause:
        keep({"number": number, "kind": "", "cause": cause})
        if number < 0:
            raise RuntimeError(f"no input was examined: {cause}")
        outcome.inputs["not told"] += (number - child.first) // child.step + 1 - child.told
    return [number + child.step] if cause or child.process.returncode == 3 else []


def _keep(outcome: Outcome, inputs: Inputs, folder: Path, seed: int, plants: str, told: dict[str, Any]) -> None:
    """Name a failure, and write its input into a file."""
    number, cause = told["number"], told["cause"]
    if number < 0:
        return
    given = inputs[number]
    key = f"{given.kind}: {cause if len(cause) < 90 else cause[:60] + cause[-30:]}"
    outcome.causes[key] += 1
    file = None
    if outcome.causes[key] <= MOST_KEPT:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{given.kind}-seed{seed}-{number}.json"
        sides = [base64.b64encode(side).decode() for side in given.sides]
        told = {**asdict(given), "sides": sides, "seed": seed, "plants": plants, "cause": cause}
        file.write_text(json.dumps(told, indent=1), "utf-8")
    outcome.failures.append(Failure(number, given.kind, cause, file))


def replay(file: Path, limits: Limits = Limits()) -> str:
    """Examine the input that a file holds in this process, and return what it breaks; nothing where that is nothing."""
    told = json.loads(file.read_text("utf-8"))
    given = Given(told["number"], told["kind"], told["name"], tuple(map(base64.b64decode, told["sides"])))
    causes: list[str] = []
    work = {"plants": told["plants"], "limits": asdict(limits)}
    with tempfile.TemporaryDirectory() as place:
        process = _Process(work, Path(place), lambda **told: causes.append(told["cause"]))
        process.examine(given)
    return "; ".join(causes)


# The command line


def _show(outcome: Outcome) -> Iterator[str]:
    yield f"{'kind':<14}{'inputs':>10}{'read':>10}{'items':>12}"
    for kind, count in sorted(outcome.inputs.items()):
        yield f"{kind:<14}{count:>10,}{outcome.read[kind]:>10,}{outcome.items[kind]:>12,}"
    total = outcome.inputs.total()
    yield f"{'all':<14}{total:>10,}{outcome.read.total():>10,}{outcome.items.total():>12,}"
    seconds, number, kind = outcome.slowest
    rate = total / max(outcome.seconds, 1e-9)
    yield f"{outcome.seconds:,.0f} s, {outcome.processor:,.0f} s of the processor, {rate:,.0f} inputs a second"
    yield f"slowest input: {seconds:.3f} s, number {number}, {kind}; most memory: {outcome.peak / 2**20:.0f} MiB"
    for cause, count in outcome.causes.most_common():
        yield f"FAILED {count} times: {cause}"
    for failure in outcome.failures:
        if failure.file:
            yield f"python tests/fuzzing.py replay {failure.file}"


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code."""
    parser = argparse.ArgumentParser(description="Mutated files through every reader.")
    commands = parser.add_subparsers(dest="command", required=True)
    soak = commands.add_parser("soak", help="examine many inputs")
    soak.add_argument("--inputs", type=int, default=1_000_000)
    soak.add_argument("--first", type=int, default=0, help="number of the first input")
    soak.add_argument("--seed", type=int, default=1)
    soak.add_argument("--processes", type=int, default=2)
    soak.add_argument("--only", default="", help="kinds of inputs, commas between them")
    soak.add_argument("--failures", type=Path, default=Path(tempfile.gettempdir()) / "s2sbot-fuzzing")
    again = commands.add_parser("replay", help="examine one input again")
    again.add_argument("file", type=Path)
    commands.add_parser("work").add_argument("folder", type=Path)
    given = parser.parse_args(words)
    if given.command == "work":
        _work(given.folder)
        return 0
    if given.command == "replay":
        cause = replay(given.file)
        sys.stdout.write(f"{cause or 'nothing is wrong'}\n")
        return int(bool(cause))
    only = set(filter(None, given.only.split(",")))
    seeds = [each for each in every_seed() if not only or each.kind in only]
    outcome = fuzz(
        given.inputs,
        seed=given.seed,
        folder=given.failures,
        seeds=seeds,
        processes=given.processes,
        first=given.first,
    )
    sys.stdout.write("\n".join(_show(outcome)) + "\n")
    return int(bool(outcome.failures))


if __name__ == "__main__":
    sys.exit(main())
