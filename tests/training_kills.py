"""Training runs are killed at random times and at every kill point, and go on; what differs from runs never killed?

    python tests/training_kills.py --kills 50 --seed 1

Every run is a fork of a process that has imported torch and computed nothing yet. Exit code 1 says that a run did not
end as the one that was never killed: weights, optimiser, averages, minds, counts, the bot and the record, to the bit.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib
import itertools
import json
import math
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from small import write_pairs, write_subtitles

from s2sbot.plugins import Plugins
from s2sbot.trainer import Training, loop, update
from s2sbot.trainer.checkpoint import Checkpoint
from s2sbot.trainer.plan import Plan, Trial
from s2sbot.trainer.state import RunState

ROOT = Path(__file__).parents[1]
STEPS = 40
TIMES = {"elapsed", "remaining", "tokens_per_second", "gpu_memory"}
SMALL = {"embedding_size": 16, "hidden_size": 16, "dropout": 0.2}
TRAIN = {
    "steps": STEPS, "batch_tokens": 100, "learning_rate": 0.01, "warmup_steps": 2, "validations": 5, "threads": 1,
    "checkpoint_every": 0.05,
}  # fmt: skip
MOST_FAILURES = 3
STOPPED = 75
ASKED = 0.25
"""Share of the runs that are asked to stop, where others are killed."""
AGAIN = 0.7
"""Share of the sittings after the first that are ended too."""
RARE = (
    "run.prepared", "run.settings", "checkpoint.aside", "checkpoint.taken_back", "loop.taken_back", "loop.finished",
    "loop.ended",
)  # fmt: skip
"""Kill points that a run comes by once or twice, in the order in which it does."""
BEGINNING = 2
"""How many of them it comes by at its beginning."""
LONGEST = 120.0
"""Seconds that a run may take before it is taken for one that hangs."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A run, small enough to be made hundreds of times.

    bad    steps whose loss is NaN as long as the learning rate has not been halved
    parts  pieces that each update is cut into
    """

    model: str
    train: dict[str, Any]
    knobs: dict[str, Any] = dataclasses.field(default_factory=dict)
    films: bool = False
    bad: tuple[int, ...] = ()
    parts: int = 1

    @property
    def settings(self) -> dict[str, Any]:
        given = {**TRAIN, **self.train}
        given = {key: value for key, value in given.items() if value is not None}
        data = {"tokenizer": "words", "valid_share": 0.2, "scene_gap": 60.0}
        return {"model": {**SMALL, **self.knobs}, "train": given, "data": data}


CASES = {
    # every kill point lies on its way
    "all": Case(
        "stateful-broadcast",
        {"steps": 32, "ema": 0.9, "keep_best": 3, "select": "average", "schedule": "plateau", "label_smoothing": 0.1},
        {"cell": "lstm"},
        films=True,
        bad=(3, 19, 20, 21, 22, 23, 24),
        parts=2,
    ),
    "simple": Case("simple", {"optimizer": "sgd", "learning_rate": 0.5, "word_dropout": 0.2}, parts=3),
    "peek": Case("peek", {"optimizer": "adagrad", "early_stopping": 1, "select": "last"}, films=True),
    "attention": Case("attention", {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "noam", "ema": 0.99}),
    "feeding": Case("attention", {"scheduled_sampling": 0.5, "optimizer": "adadelta"}, {"input_feeding": True}),
    "budget": Case("attention", {"steps": None, "budget": 1000.0, "schedule": "halving"}, bad=(7, 8)),
}


def kill_points() -> list[str]:
    """Return the name of every kill point in the code that a run goes through."""
    found = set()
    for path in (ROOT / "s2sbot").rglob("*.py"):
        found |= set(re.findall(r'kill_point\(f?"([^"]+)"\)', path.read_text("utf-8")))
    parts = {f"checkpoint.{part}" for part in ("weights", "optimizer", "average", "minds")}
    return sorted((found - {"checkpoint.{name}"}) | parts)


def prepare_child(case: Case) -> None:
    """Make what depends on the clock or the machine the same in every run, and let losses be NaN where asked."""
    now = {"bad": False}
    step, loss, corrected = loop.Loop._train_step, update.update_loss, Plan.corrected

    def train_step(self: loop.Loop) -> None:
        now["bad"] = self.step in case.bad and not self.course.cuts
        step(self)

    def update_loss(*args: Any, **named: Any) -> Any:
        found = loss(*args, **named)
        return dataclasses.replace(found, nats=found.nats * (math.nan if now["bad"] else 1.0))

    def try_updates(*args: Any, **named: Any) -> Trial:
        return Trial(1, 1, 0.01, 1000.0, case.parts)

    def of(cls: type[Plan], trial: Trial, *, budget: float, **named: Any) -> Plan:
        return cls(budget, budget, STEPS, trial.seconds, 0.0)

    def changed_once(self: Plan, at: int, elapsed: float, fraction: float) -> int | None:
        corrected(self, at, elapsed, fraction)
        return STEPS + 6 if self.changed is None and fraction > 0.5 else None

    loop.Loop._train_step = train_step  # type: ignore[method-assign]
    update.update_loss = update_loss
    loop.try_updates = try_updates
    Plan.of = classmethod(of)  # type: ignore[assignment]
    Plan.corrected = changed_once  # type: ignore[method-assign]


FAULTS = {"average": "attention", "order": "simple", "minds": "all", "optimizer": "feeding", "seeds": "attention"}
"""What a run may forget when it goes on, and the case in which that must be seen."""


def forget(fault: str) -> None:
    """Let a run that goes on forget something, as a fault in the code would."""
    take, seed_step = RunState.take, update.seed_step

    def forgetful(self: RunState, checkpoint: Checkpoint) -> None:
        if fault == "optimizer":
            checkpoint = dataclasses.replace(checkpoint, optimizer={})
        if fault == "average":
            checkpoint = dataclasses.replace(
                checkpoint, average=dict(zip(checkpoint.average, self.updater.average, strict=True))
            )
        if fault == "minds":
            checkpoint = dataclasses.replace(checkpoint, minds={})
        take(self, checkpoint)
        if fault == "order":
            self.order.position = 0

    RunState.take = forgetful  # type: ignore[method-assign]
    if fault == "seeds":
        drawn = itertools.count()
        update.seed_step = lambda seed, step, rank=0: seed_step(seed, next(drawn), rank)


def start(case: Case, corpus: Path, bot: Path, kill_point: str = "", fault: str = "") -> int:
    """Begin a run, or go on with it, in a process of its own, and return its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    stopped = False
    try:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # a request that comes before there is a run
        log = os.open(bot.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1), os.dup2(log, 2)
        os.environ["S2SBOT_KILL_POINT"] = kill_point
        prepare_child(case)
        resume = (bot / "training" / "settings.toml").is_file()
        if fault and resume:
            forget(fault)
        corpora = [] if resume else [corpus]
        settings = {} if resume else case.settings
        model = None if resume else case.model
        with Training(corpora, bot, model=model, settings=settings, resume=resume) as run:
            signal.signal(signal.SIGUSR1, lambda number, frame: run.stop())
            for event in run:
                stopped = event.stopped
        code = STOPPED if stopped else 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def finish(child: int, *, after: float = LONGEST, by: signal.Signals = signal.SIGKILL) -> str:
    """Wait for a run, kill it or ask it to stop after so many seconds, and say how it has ended."""
    status = waited(child, after)
    if status is None and after < LONGEST:
        os.kill(child, by)
        status = waited(child, LONGEST)
    if status is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "hangs"
    if os.WIFSIGNALED(status):
        return "killed"
    return {0: "done", STOPPED: "stopped"}.get(os.WEXITSTATUS(status), "failed")


def waited(child: int, seconds: float) -> int | None:
    """Return how a process has ended; None where it has not in this time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.002)
    return None


def outcome(bot: Path) -> dict[str, Any]:
    """Return all that must be the same to the bit, the clock's share left out."""
    newest = max((bot / "training" / "checkpoints").iterdir(), key=lambda path: int(path.name[5:]))
    manifest = json.loads((newest / "manifest.json").read_text("utf-8"))
    state = json.loads((newest / "state.json").read_text("utf-8"))
    state["validations"] = [timeless(row) for row in state["validations"]]
    lines = [json.loads(line) for line in (bot / "training" / "metrics.jsonl").read_text("utf-8").splitlines()]
    return {
        "tensors": {name: value for name, value in manifest.items() if name != "state.json"},
        "state": {key: value for key, value in timeless(state).items() if key != "run"},
        "record": [timeless(line) for line in lines if line["kind"] in ("step", "validation")],
        "bot": json.loads((bot / "bot.json").read_text("utf-8"))["weights"],
        "best": {file.name: hash_of(file) for file in sorted((bot / "training" / "best").glob("*"))},
        "card": (bot / "card.md").is_file(),
        "left": sorted(path.name for path in bot.rglob("*") if path.name.endswith((".tmp", ".old", ".new"))),
    }


def timeless(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in TIMES}


def hash_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@dataclasses.dataclass
class Harness:
    folder: Path
    random: random.Random
    fault: str = ""
    killed: Counter[str] = dataclasses.field(default_factory=Counter)
    runs: int = 0
    stopped: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.corpora = {False: write_pairs(self.folder / "pairs.tsv"), True: self.folder / "film.srt"}
        write_subtitles(self.corpora[True], scenes=5)
        self.references: dict[str, tuple[dict[str, Any], float]] = {}

    def reference(self, name: str) -> tuple[dict[str, Any], float]:
        """Return how a run ends that is never killed, and the seconds that it takes."""
        if name not in self.references:
            bot, began = self.folder / f"{name}.bot", time.monotonic()
            ended = finish(start(CASES[name], self.corpora[CASES[name].films], bot))
            if ended != "done":
                raise SystemExit(f"{name} {ended}, never killed:\n{bot.with_suffix('.log').read_text()}")
            self.references[name] = outcome(bot), time.monotonic() - began
        return self.references[name]

    def go(self, name: str, points: Sequence[str] = ()) -> list[str]:
        """Kill a run at each point, or once at the least, let it go on to its end, and compare; return points not met.

        The run goes on after each point and is killed there by the next one, and at random times once all are passed.
        """
        case, (wanted, seconds) = CASES[name], self.reference(name)
        corpus, bot = self.corpora[case.films], self.folder / f"run{self.runs}.bot"
        self.runs += 1
        tale, left = [], deque(points)
        for sitting in itertools.count():
            again = left[0] if left else ""
            # later sittings are killed too, but every run comes to its end
            by_time = not again and (sitting == 0 or self.random.random() < AGAIN) and sitting < 5 + len(points)
            # what is left of a run grows less
            after = self.random.uniform(0.0, seconds / (1 + sitting)) if by_time else LONGEST
            by = signal.SIGUSR1 if self.random.random() < ASKED else signal.SIGKILL
            ended = finish(start(case, corpus, bot, again, self.fault), after=after, by=by)
            tale.append(f"{ended} {again or f'after {after:.3f} s'}")
            if ended not in ("killed", "stopped"):
                break
            self.killed[again or "at random"] += ended == "killed"
            self.stopped += ended == "stopped"
            if again:
                left.popleft()
        if ended != "done":
            self.fail(name, tale, bot.with_suffix(".log").read_text())
        elif different := [key for key, value in outcome(bot).items() if value != wanted[key]]:
            told = {key: (wanted[key], outcome(bot)[key]) for key in different}
            self.fail(name, tale, f"differs in {', '.join(different)}: {json.dumps(told)[:3000]}")
        shutil.rmtree(bot, ignore_errors=True)
        with suppress(OSError):
            bot.with_suffix(".log").unlink()
        return list(left)

    def fail(self, name: str, tale: list[str], cause: str) -> None:
        self.failures.append(f"{name}: {', then '.join(tale)}: {cause}")

    def at_every_point(self) -> None:
        """Kill runs at each kill point, the first time or a later one that they come by, a few points to a run."""
        for some in self.together(kill_points()):
            left = self.go("all", [f"{point}:{1 if point in RARE else self.random.randint(1, 4)}" for point in some])
            left = [f"{point.partition(':')[0]}:1" for point in left]
            # a run comes by some points less often, and by some never behind another one
            left = self.go("all", left) if left else []
            for point in left:
                if self.go("all", [point]):
                    self.failures.append(f"no run comes by the kill point {point}")

    def together(self, points: Iterable[str]) -> list[list[str]]:
        """Deal the points to runs, each with one that is rare."""
        dealt = [[point] for point in RARE]
        often = [point for point in points if point not in RARE]
        self.random.shuffle(often)
        for place, point in enumerate(often):
            dealt[place % len(dealt)].append(point)
        return [some if some[0] in RARE[:BEGINNING] else some[::-1] for some in dealt]

    def at_random(self, kills: int, names: Iterator[str]) -> None:
        """Kill runs until there were so many kills."""
        while sum(self.killed.values()) < kills and len(self.failures) < (1 if self.fault else MOST_FAILURES):
            self.go(next(names))


def import_all() -> None:
    """Import once what every run imports."""
    for name in ("torch._dynamo", "torch.utils.tensorboard"):
        with suppress(ImportError):
            importlib.import_module(name)
    plugins = Plugins()
    plugins.load_all()
    plugins.hooks()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    breaking = "break the resuming of one case, which is to be seen; may be given again"
    parser.add_argument("--fault", choices=sorted(FAULTS), action="append", help=breaking)
    given = parser.parse_args()
    import_all()
    return max([proof(given.kills, given.seed, fault) for fault in given.fault or [""]])


def proof(kills: int, seed: int, fault: str) -> int:
    """Kill runs and say what became of them; return 1 where one did not end as it should."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=place, prefix="s2sbot-kills-") as folder:
        harness = Harness(Path(folder), random.Random(seed), fault)
        if not fault:
            harness.at_every_point()
        harness.at_random(kills, itertools.repeat(FAULTS[fault]) if fault else itertools.cycle(CASES))
    points = len(kill_points())
    total, at_random = sum(harness.killed.values()), harness.killed["at random"]
    sys.stdout.write(
        f"{total} kills ({total - at_random} at {points} kill points, {at_random} at random times), and"
        f" {harness.stopped} stops, of {harness.runs} runs in {len(CASES)} ways,"
        f" {len(harness.failures)} failures, {time.monotonic() - began:.0f} s\n"
    )
    sys.stderr.write("\n".join([*harness.failures, ""]))
    return 1 if harness.failures else 0


if __name__ == "__main__":
    sys.exit(main())
