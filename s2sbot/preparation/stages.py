"""Corpora and settings go in; what happens at every stage of their preparation comes out, and at last the result."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import CorpusError
from ..files import full_disk_explained, write_json
from ..plugins import Plugins
from ..progress import Progress
from ..settings import DataSettings
from ..text.corpus import Corpus
from ..text.rules import Rules
from ..text.tokenizer import Tokenizer
from .account import account, described, reports_of, samples_of
from .card import data_card
from .choosing import Choice, choose
from .merging import merge, rows_by_corpus
from .plan import make_plan
from .prepared import DATA, FORMAT, Prepared
from .shards import pack_shards, read_shards, stage
from .vocabulary import learn_tokenizers
from .work import begin, clear, locked

__all__ = ["prepare"]

ALONE = 4 * 2**20
"""Bytes up to which one process is sooner ready than several."""
LIBRARIES = ("ftfy", "py3langid", "rensa", "s2sbot", "sentencepiece")
"""Beside plugins, what decides what a text becomes."""


def prepare(
    corpora: Sequence[Corpus],
    valid: Sequence[Corpus],
    settings: DataSettings,
    plugins: Plugins,
    *,
    out: Path,
    tokenizer_folder: Path | None = None,
    workers: int | None = None,
    known: tuple[Tokenizer, Tokenizer] | None = None,
) -> Iterator[Progress | Prepared]:
    """Prepare corpora into `out`; yield what happens, at last a `Prepared`.

    The tokenizer goes into `tokenizer/` below `tokenizer_folder`, by default below `out`. What was done of a
    preparation of the same corpora with the same settings before it was stopped is not done again.

    Args:
        known: tokenizers of a bot, which then are not learnt from the corpora; `out` is to be empty.

    Raises:
        CorpusError: where there is nothing to learn from, or too little to hold anything out.
        TokenizerError: where the corpus cannot support the vocabulary asked for.
        SettingsError: for a rule that does not exist, or an optional library that is missing.
        PluginError: for a tokenizer that no plugin offers.
    """
    rules = Rules.of(settings)
    plugins.tokenizer(settings.tokenizer)  # a name that nobody offers is refused before anything is read
    tokenizers_at = tokenizer_folder or out
    with full_disk_explained(out), locked(out) as work:
        yield stage("looking for documents")
        own, versions = (out, tokenizers_at), _versions(plugins, settings)
        plan = make_plan(corpora, valid, plugins.readers(), settings, own=own, versions=versions)
        begin(out, plan)
        count = (workers or (_cores() if plan.size > ALONE else 1)) if plugins.portable else 1
        if any(corpus.kind == "translate" for corpus in plan.corpora):
            rules = dataclasses.replace(rules, context_turns=0)
        read = yield from read_shards(work, plan, rules, plugins, count)
        reports = reports_of(plan, read)
        if not any(report.files for report in reports):
            clear(work)  # nothing is worth keeping
        for corpus, report in zip(plan.corpora, reports, strict=True):
            report.refuse_nothing(corpus)
            yield stage(account(corpus, report))
        choice = choose(work, plan, read, settings, rules)
        _refuse_too_few(choice)
        learnt = learn_tokenizers(work, tokenizers_at, read, choice, settings, plugins, known=known)
        tokenizers = yield from learnt
        packed = yield from pack_shards(work, tokenizers_at, plan, read, choice, settings, tokenizers, count)
        facts = merge(work, out, plan, read, packed)
        if not facts.rows["train"] or not facts.rows["valid"]:
            raise CorpusError(
                f"no exchange has at most {settings.max_length} tokens a side",
                "raise it with --set data.max_length=200",
            )
        told = described(plan, reports, facts, rows_by_corpus(plan, packed))
        data_card(out, plan, read, reports, choice, facts, settings, told)
        samples = samples_of(facts, tokenizers[0], settings)
        write_json(out / DATA, {"format": FORMAT, "facts": told, "samples": samples})
        clear(work)
    yield stage(
        f"{facts.rows['train']:,} exchanges to learn from, {facts.rows['valid']:,} to validate on"
        + (f", {facts.rows['test']:,} to test on" if facts.rows["test"] else "")
        + f", {len(tokenizers[0]):,} token ids"
    )
    yield Prepared.load(out, tokenizers)


def _refuse_too_few(choice: Choice) -> None:
    if choice.kept["train"] and choice.kept["valid"]:
        return
    left_out = +choice.left_out
    dropped = ", ".join(f"{rule} {count:,}" for rule, count in left_out.most_common())
    raise CorpusError(
        f"{sum(choice.kept.values())} exchanges are too few to learn from and to hold some out"
        + (f"; left out by rules: {dropped}" if dropped else ""),
        "give more files, or a corpus of its own with --valid"
        + (f", or keep all with --set data.without={','.join(sorted(left_out))}" if dropped else ""),
    )


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _versions(plugins: Plugins, settings: DataSettings) -> dict[str, str]:
    """Return the versions of all that decides what a text becomes, by distribution."""
    chosen = plugins.tokenizers().get(settings.tokenizer)
    offers = [*plugins.reader_offers().values(), *([chosen] if chosen else [])]
    names = {offer.distribution for offer in offers} | set(LIBRARIES)
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "none"
    return versions
