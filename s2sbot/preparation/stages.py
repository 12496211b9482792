"""Corpora and settings go in; what happens at every stage of their preparation comes out, and at last the result."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ..bot import load_tokenizers, save_tokenizers
from ..errors import CorpusError
from ..files import full_disk_explained, read_json, write_atomically, write_json
from ..plugins import Plugins
from ..progress import Progress
from ..settings import DataSettings
from ..text.corpus import Corpus
from ..text.reading import CorpusReport
from ..text.rules import Rules
from ..text.tokenizer import Tokenizer, encode_source
from .card import data_card
from .choosing import Choice, choose
from .lines import rows_of
from .merging import merge
from .packing import Facts, PackedShard, Sampling, pack_shard
from .plan import Plan, Shard, make_plan
from .prepared import DATA, FORMAT, Prepared
from .reading import ReadShard, read_shard
from .workers import run_all

__all__ = ["account", "prepare"]

WORK = ".work"
TELL_EVERY = 0.5
"""Seconds between two events that say how far a stage has come."""
ALONE = 4 * 2**20
"""Bytes up to which one process is sooner ready than several."""
LEARN_FROM = 200_000
"""Exchanges that a vocabulary is learnt from at most."""
COUNTED_REPLIES = 10_000
SAMPLES = 5
CARD_SAMPLES = 12


def prepare(
    corpora: Sequence[Corpus],
    valid: Sequence[Corpus],
    settings: DataSettings,
    plugins: Plugins,
    *,
    out: Path,
    tokenizer_folder: Path | None = None,
    workers: int | None = None,
) -> Iterator[Progress | Prepared]:
    """Prepare corpora into `out`; yield what happens, at last a `Prepared`.

    The tokenizer goes into `tokenizer/` below `tokenizer_folder`, by default below `out`. What was done of a
    preparation of the same corpora with the same settings before it was stopped is not done again.

    Raises:
        CorpusError: where there is nothing to learn from, or too little to hold anything out.
        TokenizerError: where the corpus cannot support the vocabulary asked for.
        SettingsError: for a rule that does not exist, or an optional library that is missing.
    """
    rules = Rules.of(settings)
    tokenizers_at = tokenizer_folder or out
    yield stage("looking for documents")
    plan = make_plan(corpora, valid, plugins.readers(), settings)
    work = out / WORK
    with full_disk_explained(out):
        _begin(work, plan)
        count = workers if plugins.portable else 1
        count = count or (len(os.sched_getaffinity(0)) if plan.size > ALONE else 1)
        context = 0 if any(corpus.kind == "translate" for corpus in plan.corpora) else settings.context_turns
        read = yield from _read(work, plan, dataclasses.replace(rules, context_turns=context), plugins, count)
        reports = _reports(plan, read)
        for corpus, report in zip(plan.corpora, reports, strict=True):
            report.refuse_nothing(corpus)
            yield stage(account(corpus, report))
        choice = choose(work, plan, read, settings, rules)
        if not choice.kept["train"] or not choice.kept["valid"]:
            raise CorpusError(
                f"{sum(choice.kept.values())} exchanges are too few to learn from and to hold some out",
                "give more files, or a corpus of its own with --valid",
            )
        tokenizers = yield from _tokenizers(work, tokenizers_at, plan, read, choice, settings, plugins)
        packed = yield from _pack(work, tokenizers_at, plan, read, choice, settings, plugins, count, tokenizers)
        facts = merge(work, out, plan, read, packed)
    if not facts.rows["train"] or not facts.rows["valid"]:
        raise CorpusError(
            f"no exchange has at most {settings.max_length} tokens a side", "raise it with --set data.max_length=200"
        )
    described = _facts(corpora, plan, reports, facts)
    data_card(out, plan, read, reports, choice, facts, settings, described)
    samples = _samples(facts, tokenizers[0], settings)
    write_json(out / DATA, {"format": FORMAT, "facts": described, "samples": samples})
    shutil.rmtree(work)
    yield stage(
        f"{facts.rows['train']:,} exchanges to learn from, {facts.rows['valid']:,} to validate on"
        + (f", {facts.rows['test']:,} to test on" if facts.rows["test"] else "")
        + f", {len(tokenizers[0]):,} token ids"
    )
    yield Prepared.load(out, tokenizers)


def stage(message: str) -> Progress:
    """Return the event of a stage that begins or has ended."""
    return Progress(kind="prepare", message=message)


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin(work: Path, plan: Plan) -> None:
    """Make the folder of what is not done yet; what another preparation left in it goes."""
    file = work / "plan.json"
    try:
        same = read_json(file) == {"fingerprint": plan.fingerprint}
    except (OSError, ValueError):
        same = False
    if not same:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        write_json(file, {"fingerprint": plan.fingerprint})


@lru_cache(maxsize=1)
def _own_plugins() -> Plugins:
    """Return the plugins of a process that is given work."""
    return Plugins()


def _read_here(work: Path, shard: Shard, corpus: Corpus, rules: Rules) -> Iterator[int]:
    return read_shard(work, shard, corpus, _own_plugins().readers(), rules)


def _read(
    work: Path, plan: Plan, rules: Rules, plugins: Plugins, workers: int
) -> Generator[Progress, None, list[ReadShard]]:
    done = [_loaded(partial(ReadShard.load, work / f"read-{shard.number}.json")) for shard in plan.shards]
    waiting = [shard for shard, found in zip(plan.shards, done, strict=True) if found is None]
    if len(waiting) < len(plan.shards):
        yield stage(f"going on: {len(plan.shards) - len(waiting)} of {len(plan.shards)} parts have been read before")
    if workers > 1:
        arguments = [(work, shard, plan.corpora[shard.corpus], rules) for shard in waiting]
        ran = run_all(_read_here, arguments, workers=workers, folder=work)
    else:
        readers = plugins.readers()
        ran = run_all(
            lambda shard: read_shard(work, shard, plan.corpora[shard.corpus], readers, rules),
            [(shard,) for shard in waiting],
            workers=1,
            folder=work,
        )
    names = ", ".join(dict.fromkeys(str(corpus.path) for corpus in plan.corpora))
    yield stage(f"reading {names}")
    yield from _told("reading", ran, sum(shard.size for shard in waiting), 2**20, "MB")
    return [ReadShard.load(work / f"read-{shard.number}.json") for shard in plan.shards]


def _pack_here(
    work: Path, tokenizers_at: Path, number: int, settings: DataSettings, sampling: Sampling
) -> Iterator[int]:
    tokenizers = load_tokenizers(tokenizers_at, settings.tokenizer, _own_plugins(), shared=settings.share_tokenizer)
    yield from _pack_with(work, number, tokenizers, settings, sampling)


def _pack_with(
    work: Path, number: int, tokenizers: tuple[Tokenizer, Tokenizer], settings: DataSettings, sampling: Sampling
) -> Iterator[int]:
    read = ReadShard.load(work / f"read-{number}.json")
    fates = np.fromfile(work / f"fates-{number}", np.uint8)
    return pack_shard(work, number, read, fates, tokenizers, settings, sampling)


def _pack(
    work: Path,
    tokenizers_at: Path,
    plan: Plan,
    read: Sequence[ReadShard],
    choice: Choice,
    settings: DataSettings,
    plugins: Plugins,
    workers: int,
    tokenizers: tuple[Tokenizer, Tokenizer],
) -> Generator[Progress, None, list[PackedShard]]:
    files = [work / f"packed-{shard.number}.json" for shard in plan.shards]
    waiting = [number for number, file in enumerate(files) if _loaded(partial(PackedShard.load, file)) is None]
    for number in waiting:
        write_atomically(work / f"fates-{number}", choice.fates[number].tobytes())
    sampling = Sampling(
        replies=_limit(COUNTED_REPLIES, choice.kept["train"]),
        samples=_limit(4 * CARD_SAMPLES, choice.kept["train"]),
        frequent=frozenset(reply for reply, _, _ in choice.frequent),
    )
    yield stage(f"encoding with {len(tokenizers[0]):,} token ids")
    if workers > 1:
        arguments = [(work, tokenizers_at, number, settings, sampling) for number in waiting]
        ran = run_all(_pack_here, arguments, workers=workers, folder=work)
    else:
        ran = run_all(
            lambda number: _pack_with(work, number, tokenizers, settings, sampling),
            [(number,) for number in waiting],
            workers=1,
            folder=work,
        )
    rows = sum(int((choice.fates[number] < len(("train", "valid", "test"))).sum()) for number in waiting)
    yield from _told("encoding", ran, rows, 1_000, "thousand exchanges")
    return [PackedShard.load(file) for file in files]


def _limit(wanted: int, rows: int) -> int:
    """Return the hash below which about `wanted` of so many rows lie."""
    return min(2**64, wanted * 2**64 // max(1, rows))


def _loaded(load: Callable[[], Any]) -> Any:
    try:
        return load()
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
        left = max(0.0, total - done) / speed
        message = f"{what}: {min(1.0, done / max(1, total)):.0%}, {speed / unit:,.1f} {noun}/s, {left:.0f} s left"
        yield Progress(kind="prepare", message=message, transient=True)


def _tokenizers(
    work: Path,
    folder: Path,
    plan: Plan,
    read: Sequence[ReadShard],
    choice: Choice,
    settings: DataSettings,
    plugins: Plugins,
) -> Generator[Progress, None, tuple[Tokenizer, Tokenizer]]:
    """Learn the vocabulary, or read the one that was learnt before the preparation was stopped."""
    mark = work / "vocabulary.json"
    if mark.is_file():
        return load_tokenizers(folder, settings.tokenizer, plugins, shared=settings.share_tokenizer)
    kind = plugins.tokenizer(settings.tokenizer)
    exchanges = min(LEARN_FROM, choice.kept["train"])
    yield stage(f"learning the vocabulary ({settings.tokenizer}) from {exchanges:,} exchanges")
    limit = _limit(LEARN_FROM, choice.kept["train"])
    sample = sorted(
        (row.key, row.source, row.target)
        for shard in plan.shards
        for row in rows_of(work, shard.number, read[shard.number], choice.fates[shard.number])
        if row.side == "train" and row.key < limit
    )
    sources, targets = (source for _, source, _ in sample), (target for _, _, target in sample)
    if settings.share_tokenizer:
        lines = (line for pair in zip(sources, targets, strict=True) for line in pair)
        shared = kind.train(lines, settings.vocab_size)
        tokenizers = shared, shared
    else:
        tokenizers = kind.train(sources, settings.vocab_size), kind.train(targets, settings.vocab_size)
    save_tokenizers(folder, *tokenizers)
    write_json(mark, {"sizes": [len(each) for each in tokenizers]})
    return tokenizers


def _reports(plan: Plan, read: Sequence[ReadShard]) -> list[CorpusReport]:
    """Add the reports of all documents up, corpus by corpus."""
    reports = [CorpusReport() for _ in plan.corpora]
    for index, skipped in plan.skipped:
        reports[index].skipped.append(skipped)
    ranked = [
        (rank, shard.corpus, report)
        for shard, found in zip(plan.shards, read, strict=True)
        for rank, report in zip(shard.ranks, found.reports, strict=True)
    ]
    for _, index, report in sorted(ranked, key=lambda each: each[0]):
        reports[index].add(report)
    return reports


def _facts(corpora: Sequence[Corpus], plan: Plan, reports: Sequence[CorpusReport], facts: Facts) -> dict[str, Any]:
    return {
        "kind": plan.corpora[0].kind,
        "languages": plan.corpora[0].languages,
        "corpora": [
            {
                "name": corpus.name,
                "sha256": report.digest(),
                "files": report.files,
                "skipped": len(report.skipped),
                "cues": report.cues,
                "dialogues": report.dialogues,
                "exchanges": report.exchanges,
                "licence": corpus.licence,
                "validation": held,
            }
            for corpus, held, report in zip(plan.corpora, plan.held_out, reports, strict=True)
        ],
        "exchanges": {
            "train": facts.rows["train"],
            "valid": facts.rows["valid"],
            "test": facts.rows["test"],
            "too_long": facts.too_long,
        },
        "tokens": {side: facts.tokens[side] for side in ("train", "valid", "test")},
        "words": {side: facts.words[side] for side in ("train", "valid", "test")},
    }


def _samples(facts: Facts, tokenizer: Tokenizer, settings: DataSettings) -> list[tuple[list[int], str, str]]:
    """Choose held-out exchanges to answer at each validation: neither one-word lines nor long ones, where it can."""
    return [
        (
            encode_source(tokenizer, row["source"], row.get("context", ()), most=settings.max_length),
            row["source"],
            row["target"],
        )
        for _, row in facts.held_out[:SAMPLES]
    ]


def account(corpus: Corpus, report: CorpusReport) -> str:
    """Say in a line what has been read of a corpus."""
    cues = f"{report.cues:,} cues, {report.dialogues:,} dialogues, " if report.cues or report.dialogues else ""
    line = f"{corpus.name}: {report.files:,} files, {cues}{report.exchanges:,} exchanges"
    if report.skipped:
        named = "; ".join(f"{skipped.name}: {skipped.cause}" for skipped in report.skipped[:5])
        more = f"; and {len(report.skipped) - 5} more" if len(report.skipped) > 5 else ""
        line += f"; skipped {len(report.skipped)} ({named}{more})"
    return line
