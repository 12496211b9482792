"""How fast s2sbot learns: beside a plain PyTorch loop, and beside what this machine could do at most.

    python benchmarks/training.py MULTI30K                          throughput, memory and start, some minutes
    python benchmarks/training.py MULTI30K --quality --time 5m      how well it translates after so long
    python benchmarks/training.py PREPARED --soak 1h                speed and memory, every minute
    python benchmarks/training.py PREPARED --profile                where the time of a step goes

MULTI30K is a folder with train, val and test_2016_flickr in en and de, gzipped or not; PREPARED is one that
`s2sbot corpus prepare` has written. All contenders learn the common model: embeddings of 256, apart for source and
target, bidirectional LSTM encoder 2 x 256, LSTM decoder 512, general attention, 8,000 tokens, output not tied, dropout
0.2, Adam at 0.001, gradients clipped to 1, 64 sentences an update. In each round every contender goes three times
through the same batches, each of which counts at its fastest, as each piece of the roofline does, which is measured
anew; a ratio is the median of those within a round, so that what else the machine does slows both of its sides. Buckets
are the same batches for all who take them. Tokens are those that a model reads and writes, source and target with their
ends, without padding.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import training_runs as runs
from numpy.typing import NDArray
from roofline import Bench, Piece, limit
from training_plain import CLIP, RATE, PlainModel, PlainTraining, Sizes

from s2sbot.nn.dataset import Update
from s2sbot.nn.device import forget_shapes, keep_memory
from s2sbot.plugins import Plugins
from s2sbot.preparation import Prepared, open_prepared, prepared_corpus
from s2sbot.run_settings import RunSettings, resolve_settings
from s2sbot.settings import parse_duration
from s2sbot.text.packed import Packed
from s2sbot.trainer.loop import Loop

ROWS = 64
PASSES = 3
"""Times that a contender goes through the batches of a round."""
OURS = "s2sbot"
TARGETS = {False: 0.90, True: 0.80}
"""The share of the roofline that is asked of s2sbot, without input feeding and with it."""
PUBLISHED_TOKENS = 14.28 + 15.77
"""Tokens a sentence by which the peers were counted; another vocabulary of the same size cuts a little finer."""
PEERS = {
    "onmt": ("OpenNMT-py 3.5.1", "general 4,740 to 4,787 tokens/s; input feeding 3,240 to 3,341; 1,289 to 1,640 MB"),
    "joeynmt": ("JoeyNMT 2.3.0", "MLP attention, input feeding, random batches 1,421 tokens/s; 1,649 MB"),
    "fairseq": ("fairseq 0.12.2", "general, input feeding 3,182 to 3,240 tokens/s; 1,235 MB"),
}
"""What a peer is imported as, its name, and what it did in November 2026 on 2 cores of an AMD EPYC (Zen 3)."""


class Contender(Protocol):
    """Somebody who learns."""

    def step(self, rows: NDArray[np.int64]) -> object:
        """Make one update of the weights."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender, and whether its batches are of like length or random."""

    contender: Contender
    buckets: bool


class Ours:
    """s2sbot's own training step, on batches that are handed to it."""

    def __init__(self, folder: Path, prepared: Prepared, sizes: Sizes, *, input_feeding: bool = False) -> None:
        plugins = Plugins()
        settings = common_settings(prepared, sizes, input_feeding=input_feeding)
        self.loop = Loop(folder, settings, prepared, plugins, torch.device("cpu"))

    def step(self, rows: NDArray[np.int64]) -> None:
        """Make one update as a run does."""
        update = Update.of_batch(rows)
        order = self.loop.order
        # two of them, so that the pass does not end
        order._planned, order.position = (order.epoch, [update, update]), 0
        self.loop._train_step()


def common_settings(prepared: Prepared, sizes: Sizes, *, input_feeding: bool = False) -> RunSettings:
    """Return s2sbot's settings of the common model."""
    model = {**sizes.knobs, "input_feeding": input_feeding}
    train = {
        "steps": 1_000_000,
        "optimizer": "adam",
        "learning_rate": RATE,
        "schedule": "constant",
        "warmup_steps": 0,
        "clip": CLIP,
        "device": "cpu",
    }
    given = {"model": model, "train": train}
    return resolve_settings([prepared_corpus(prepared.folder)], "attention", None, None, given, Plugins())


def contenders(folder: Path, prepared: Prepared, *, input_feeding: bool) -> dict[str, Callable[[], Entry]]:
    """Return makers of all who take part, by name."""
    packed, sizes = prepared.train, Sizes(len(prepared.tokenizers[0]))

    def plain(step_by_step: bool, buckets: bool) -> Callable[[], Entry]:
        def make() -> Entry:
            torch.manual_seed(1)
            model = PlainModel(sizes, step_by_step=step_by_step, input_feeding=input_feeding)
            return Entry(PlainTraining(model, packed), buckets)

        return make

    found = {
        OURS: lambda: Entry(Ours(folder, prepared, sizes, input_feeding=input_feeding), True),
        "plain, loop over steps, random batches": plain(True, False),
        "plain, loop over steps, length buckets": plain(True, True),
    }
    if not input_feeding:
        found["plain, one call, length buckets"] = plain(False, True)
    return found


class Batches:
    """Rows of 64 sentences: buckets of like length from all over the corpus, or sentences as they come."""

    def __init__(self, packed: Packed, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.source, self.target = packed.lengths()
        order = np.lexsort((self.random.permutation(len(packed)), self.source, self.target))
        whole = len(order) // ROWS * ROWS
        self.buckets = order[:whole].reshape(-1, ROWS) if whole else order[None]

    def like(self, count: int) -> list[NDArray[np.int64]]:
        """Return so many buckets, one from each part of the lengths, in random order."""
        edges = np.linspace(0, len(self.buckets), count + 1)
        places = edges[:-1] + self.random.random(count) * np.diff(edges)
        return [self.buckets[int(place)] for place in self.random.permutation(places)]

    def any(self, count: int) -> list[NDArray[np.int64]]:
        """Return so many random batches."""
        rows = self.random.permutation(len(self.source))[: count * ROWS]
        return np.array_split(rows, count)

    def tokens(self, batches: list[NDArray[np.int64]]) -> tuple[int, int]:
        """Return source and target tokens, without padding."""
        rows = np.concatenate(batches)
        return int(self.source[rows].sum()), int(self.target[rows].sum())


@dataclass(slots=True)
class Round:
    """Tokens and sentences a second of every contender, and of the roofline where s2sbot's batches are taken."""

    tokens: dict[str, float]
    sentences: dict[str, float]
    limit: float
    pieces: list[Piece]


def throughput(prepared: Prepared, arguments: argparse.Namespace, *, input_feeding: bool) -> None:
    """Measure all contenders and the roofline in rounds, and print the medians."""
    batches = Batches(prepared.train, arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        makers = contenders(Path(folder), prepared, input_feeding=input_feeding)
        entries = {name: make() for name, make in makers.items()}
        ours = entries[OURS].contender
        assert isinstance(ours, Ours)
        lengths = (float(batches.source.mean()), float(batches.target.mean()))
        parameters = list(ours.loop.model.parameters())
        sizes = Sizes(len(prepared.tokenizers[0]))
        bench = Bench(sizes, parameters, rows=ROWS, lengths=lengths)
        for entry in entries.values():
            for rows in batches.like(2):
                entry.contender.step(rows)
        rounds = [
            one_round(entries, batches, bench, arguments.updates, shift, input_feeding=input_feeding)
            for shift in range(arguments.rounds)
        ]
    total = sum(part.numel() for part in parameters)
    print(f"\n{'with' if input_feeding else 'without'} input feeding: {total / 1e6:.2f}M parameters, tables apart,")
    print(f"{lengths[0]:.2f} + {lengths[1]:.2f} tokens a sentence, {torch.get_num_threads()} threads,")
    print(f"medians of {len(rounds)} rounds of {arguments.updates} updates")
    print_rates(rounds)
    print_pieces(rounds, lengths)
    share = statistics.median(each.tokens[OURS] / each.limit for each in rounds)
    print(f"s2sbot reaches {share:.1%} of its roofline; asked for are {TARGETS[input_feeding]:.0%}", flush=True)


def one_round(
    entries: dict[str, Entry], batches: Batches, bench: Bench, updates: int, shift: int, *, input_feeding: bool
) -> Round:
    """Let every contender make its updates; who comes first changes from round to round."""
    like, mixed = batches.like(updates), batches.any(updates)
    names = list(entries)
    found = Round({}, {}, 0.0, [])
    # the roofline is measured on both sides of the one that it judges
    before = bench.pieces(input_feeding=input_feeding)
    for name in names[shift % len(names) :] + names[: shift % len(names)]:
        entry = entries[name]
        chosen = like if entry.buckets else mixed
        seconds = sum(map(min, zip(*(timed(entry.contender, chosen) for _ in range(PASSES)), strict=True)))
        found.tokens[name] = sum(batches.tokens(chosen)) / seconds
        found.sentences[name] = sum(map(len, chosen)) / seconds
        if name == OURS:
            after = bench.pieces(input_feeding=input_feeding)
    found.pieces = [min(pair, key=lambda piece: piece.seconds) for pair in zip(before, after, strict=True)]
    source, target = batches.tokens(like)
    found.limit = limit(found.pieces, source=source, target=target, updates=updates)
    return found


def timed(contender: Contender, batches: list[NDArray[np.int64]]) -> list[float]:
    """Make an update of each batch, and return the seconds that each took."""
    taken = []
    for rows in batches:
        began = time.perf_counter()
        contender.step(rows)
        taken.append(time.perf_counter() - began)
    return taken


def print_rates(rounds: list[Round]) -> None:
    """Print a line for each contender, and for the roofline."""
    print(f"{'':<42} {'tokens/s':>9} {'sentences/s':>12} {'of roofline':>12} {'s2sbot is':>10}")
    for name in rounds[0].tokens:
        rate = statistics.median(each.tokens[name] for each in rounds)
        sentences = statistics.median(each.sentences[name] for each in rounds)
        share = statistics.median(each.tokens[name] / each.limit for each in rounds)
        # random batches have other sentences, so it is these that are compared, not their tokens
        ahead = statistics.median(each.tokens[OURS] / each.tokens[name] for each in rounds)
        print(f"{name:<42} {rate:9,.0f} {sentences:12.1f} {share:11.1%} {'x ' + format(ahead, '.2f'):>10}")
    print(f"{'roofline':<42} {statistics.median(each.limit for each in rounds):9,.0f}")
    ours = statistics.median(each.sentences[OURS] for each in rounds)
    print(
        f"counted as the peers were, {PUBLISHED_TOKENS:.2f} tokens a sentence: {ours * PUBLISHED_TOKENS:,.0f} tokens/s"
    )


def print_pieces(rounds: list[Round], lengths: tuple[float, float]) -> None:
    """Print what the roofline is made of, for an update of mean length."""
    counts = {"source token": ROWS * lengths[0], "target token": ROWS * lengths[1], "update": 1.0}
    print(f"{'roofline, an update':<52} {'ms':>7} {'GFLOP/s':>8}")
    total = 0.0
    for parts in zip(*(each.pieces for each in rounds), strict=True):
        seconds = statistics.median(part.seconds for part in parts)
        total += seconds * counts[parts[0].per]
        rate = f"{parts[0].flop / seconds / 1e9:8.0f}" if parts[0].flop else ""
        print(f"  {parts[0].name:<50} {1e3 * seconds * counts[parts[0].per]:7.2f} {rate}")
    print(f"  {'all':<50} {1e3 * total:7.2f}")


def print_peers() -> None:
    """Print what other toolkits did elsewhere.

    None is run here: as published, none of them trains on a current PyTorch without being patched.
    """
    print("\npeers, measured earlier on 2 cores of an AMD EPYC (Zen 3) with the same model, not in this run:")
    for module, (name, figures) in PEERS.items():
        state = "installed, but not run" if importlib.util.find_spec(module) else "not installed"
        print(f"  {name:<18} {state}; {figures}")


def alone(prepared: Prepared, arguments: argparse.Namespace) -> None:
    """Let one contender learn in this process, its longest batch first, for its memory to be looked at."""
    kind, _, name = arguments.alone.partition(":")
    batches = Batches(prepared.train, arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        entry = contenders(Path(folder), prepared, input_feeding=kind == "fed")[name]()
        longest = batches.source + batches.target
        chosen = batches.like(arguments.updates) if entry.buckets else batches.any(arguments.updates)
        if entry.buckets:
            chosen = [batches.buckets[-1], *chosen]
        else:
            chosen[0] = np.array([*chosen[0][:-1], int(longest.argmax())])
        for rows in chosen:
            entry.contender.step(rows)


def memory(data: Path, arguments: argparse.Namespace) -> None:
    """Print the most memory that each contender takes in a process of its own, its longest batch among its updates."""
    print(f"\n{'peak memory of a training process':<42} {'MB':>9} {'s2sbot takes':>13}")
    for kind in ("plain", "fed"):
        first = 0.0
        print("with input feeding" if kind == "fed" else "without input feeding")
        prepared = load(data)
        for name in contenders(data, prepared, input_feeding=kind == "fed"):
            command = [sys.executable, __file__, str(data), "--alone", f"{kind}:{name}"]
            command += ["--updates", str(arguments.updates), "--threads", str(arguments.threads)]
            peak = runs.watched(command).peak_mb
            first = first or peak
            print(f"  {name:<40} {peak:9,.0f} {'x ' + format(first / peak, '.2f'):>13}", flush=True)


def profile(prepared: Prepared, arguments: argparse.Namespace) -> None:
    """Print which operations s2sbot's step spends its time in."""
    batches = Batches(prepared.train, arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        sizes = Sizes(len(prepared.tokenizers[0]))
        ours = Ours(Path(folder), prepared, sizes, input_feeding=arguments.input_feeding)
        for rows in batches.like(4):
            ours.step(rows)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
            for rows in batches.like(arguments.updates):
                ours.step(rows)
    print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=45))


def load(folder: Path) -> Prepared:
    """Open a folder that is prepared."""
    corpus = prepared_corpus(folder)
    settings = resolve_settings([corpus], "attention", None, None, {}, Plugins())
    return open_prepared(folder, settings.data, Plugins())


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="FOLDER", help="Multi30k, or a prepared corpus")
    parser.add_argument("--work", type=Path, help="where the data is prepared, and kept; a temporary one by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--updates", type=int, default=6, help="of each contender in a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1, help="chooses the batches; that of the run of --quality")
    parser.add_argument("--only", choices=("throughput", "memory", "start"), help="one part of the usual three")
    parser.add_argument("--quality", action="store_true", help="train a translator and score it, instead")
    parser.add_argument("--time", default="5m", help="what --quality trains for")
    parser.add_argument("--soak", metavar="TIME", help="train for so long and watch speed and memory, instead")
    parser.add_argument("--profile", action="store_true", help="show the operations of s2sbot's step, instead")
    parser.add_argument("--input-feeding", action="store_true", help="for --profile")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    # as a run does; it holds for all contenders, and for the roofline
    forget_shapes()
    keep_memory()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        data = runs.prepared_folder(arguments.data, work)
        if arguments.alone:
            alone(load(data), arguments)
        elif arguments.profile:
            profile(load(data), arguments)
        elif arguments.soak:
            runs.soak(data, work, parse_duration(arguments.soak), threads=arguments.threads)
        elif arguments.quality:
            runs.quality(arguments.data, data, work, arguments.time, threads=arguments.threads, seed=arguments.seed)
        else:
            print(f"torch {torch.__version__}, {runs.machine()}")
            if arguments.only in (None, "throughput"):
                for input_feeding in (False, True):
                    throughput(load(data), arguments, input_feeding=input_feeding)
                print_peers()
            if arguments.only in (None, "memory"):
                memory(data, arguments)
            if arguments.only in (None, "start"):
                runs.start(data, work, threads=arguments.threads)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"this failed: {error}") from error
