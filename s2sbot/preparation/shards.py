"""The shards of a plan go in; they are read, and later packed, each by one of several processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..bot import load_tokenizers
from ..files import write_atomically
from ..plugins import Plugins
from ..progress import Progress
from ..settings import DataSettings
from ..text.corpus import Corpus
from ..text.rules import Rules
from ..text.tokenizer import Tokenizer
from .choosing import LEFT_OUT, Choice
from .facts import Sampling
from .packing import PackedShard, pack_shard
from .plan import Plan, Shard
from .reading import ReadShard, read_shard
from .workers import run_all

__all__ = ["pack_shards", "read_shards", "stage"]

TELL_EVERY = 0.5
"""Seconds between two events that say how far a stage has come."""
TELLS_REST_AFTER = 2.0
TELLS_REST_FROM = 0.02
"""Seconds, and share of the whole, before which the speed says nothing yet of the time that is left."""
COUNTED_REPLIES = 10_000
SAMPLES = 48
"""Exchanges to learn from that are picked for the card to choose from."""

Done = TypeVar("Done", ReadShard, PackedShard)


def stage(message: str) -> Progress:
    """Return the event of a stage that begins or has ended."""
    return Progress(kind="prepare", message=message)


def read_shards(
    work: Path, plan: Plan, rules: Rules, plugins: Plugins, workers: int
) -> Generator[Progress, None, list[ReadShard]]:
    """Read all shards that have not been read before."""
    files = [work / f"read-{shard.number}.json" for shard in plan.shards]
    done = [_loaded(ReadShard.load, file) for file in files]
    waiting = [shard for shard, found in zip(plan.shards, done, strict=True) if found is None]
    if len(waiting) < len(plan.shards):
        yield stage(f"going on: {len(plan.shards) - len(waiting)} of {len(plan.shards)} parts have been read before")
    names = ", ".join(dict.fromkeys(str(corpus.path) for corpus in plan.corpora))
    yield stage(f"reading {names}")
    if workers > 1:
        arguments = [(work, shard, plan.corpora[shard.corpus], rules) for shard in waiting]
        ran = run_all(_read_apart, arguments, workers=workers, folder=work)
    else:
        readers = plugins.readers()
        ran = run_all(
            lambda shard: read_shard(work, shard, plan.corpora[shard.corpus], readers, rules),
            [(shard,) for shard in waiting],
            workers=1,
            folder=work,
        )
    yield from _told("reading", ran, sum(shard.size for shard in waiting), 2**20, "MB")
    return [found or ReadShard.load(file) for found, file in zip(done, files, strict=True)]


def pack_shards(
    work: Path,
    tokenizers_at: Path,
    plan: Plan,
    read: Sequence[ReadShard],
    choice: Choice,
    settings: DataSettings,
    tokenizers: tuple[Tokenizer, Tokenizer],
    workers: int,
) -> Generator[Progress, None, list[PackedShard]]:
    """Pack all shards that have not been packed before."""
    files = [work / f"packed-{shard.number}.json" for shard in plan.shards]
    done = [_loaded(PackedShard.load, file) for file in files]
    waiting = [number for number, found in enumerate(done) if found is None]
    sampling = Sampling(
        replies=_limit(COUNTED_REPLIES, choice.kept["train"]),
        samples=_limit(SAMPLES, choice.kept["train"]),
        frequent=frozenset(reply for reply, _, _ in choice.frequent),
    )
    yield stage(f"encoding with {len(tokenizers[0]):,} token ids")
    if workers > 1:
        for number in waiting:
            write_atomically(work / f"fates-{number}", choice.fates[number].tobytes())
        arguments = [(work, tokenizers_at, number, settings, sampling) for number in waiting]
        ran = run_all(_pack_apart, arguments, workers=workers, folder=work)
    else:
        ran = run_all(
            lambda number: pack_shard(work, number, read[number], choice.fates[number], tokenizers, settings, sampling),
            [(number,) for number in waiting],
            workers=1,
            folder=work,
        )
    rows = sum(int((choice.fates[number] < LEFT_OUT).sum()) for number in waiting)
    yield from _told("encoding", ran, rows, 1_000, "thousand exchanges")
    return [found or PackedShard.load(file) for found, file in zip(done, files, strict=True)]


@cache
def _own_plugins() -> Plugins:
    """Return the plugins of a process that is given work."""
    return Plugins()


def _read_apart(work: Path, shard: Shard, corpus: Corpus, rules: Rules) -> Iterator[int]:
    return read_shard(work, shard, corpus, _own_plugins().readers(), rules)


def _pack_apart(
    work: Path, tokenizers_at: Path, number: int, settings: DataSettings, sampling: Sampling
) -> Iterator[int]:
    tokenizers = load_tokenizers(tokenizers_at, settings.tokenizer, _own_plugins(), shared=settings.share_tokenizer)
    read = ReadShard.load(work / f"read-{number}.json")
    fates = np.fromfile(work / f"fates-{number}", np.uint8)
    return pack_shard(work, number, read, fates, tokenizers, settings, sampling)


def _limit(wanted: int, rows: int) -> int:
    """Return the draw below which about `wanted` of so many rows lie."""
    return min(2**64, wanted * 2**64 // max(1, rows))


def _loaded(load: Callable[[Path], Done], file: Path) -> Done | None:
    """Return what is there of a shard, or None where it is not there, or not whole."""
    try:
        return load(file)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _told(what: str, ran: Iterator[int], total: int, unit: int, noun: str) -> Iterator[Progress]:
    """Say now and then how far a stage has come, how fast, and how long it will take."""
    began = told = time.monotonic()
    for done in ran:
        now = time.monotonic()
        if now - told < TELL_EVERY or not done:
            continue
        told = now
        speed = done / (now - began)
        message = f"{what}: {min(1.0, done / max(1, total)):.0%}, {speed / unit:,.1f} {noun}/s"
        if now - began >= TELLS_REST_AFTER and done >= TELLS_REST_FROM * total:
            message += f", {max(0.0, total - done) / speed:.0f} s left"
        yield Progress(kind="prepare", message=message, transient=True)
