"""What was read, chosen and packed goes in; what is said of it, in a line and as plain values, comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..settings import DataSettings
from ..text.corpus import Corpus
from ..text.reading import CorpusReport
from ..text.tokenizer import Tokenizer, encode_source
from .choosing import SIDES
from .facts import Facts
from .plan import Plan
from .reading import ReadShard

__all__ = ["account", "described", "reports_of", "samples_of"]

SAMPLES = 5
NAMED = 5
"""Skipped files that are named in a line."""


def reports_of(plan: Plan, read: Sequence[ReadShard]) -> list[CorpusReport]:
    """Add the reports of all documents up, corpus by corpus, in the order of their names."""
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


def described(
    plan: Plan, reports: Sequence[CorpusReport], facts: Facts, rows: Sequence[Mapping[str, int]]
) -> dict[str, Any]:
    """Return what a bot will say of what it learnt from."""
    return {
        "kind": plan.corpora[0].kind,
        "languages": plan.corpora[0].languages,
        "corpora": [
            {
                "name": corpus.name.encode("utf-8", "replace").decode(),
                "sha256": report.digest(),
                "files": report.files,
                "skipped": len(report.skipped),
                "cues": report.cues,
                "dialogues": report.dialogues,
                "exchanges": report.exchanges,
                "licence": corpus.licence,
                "validation": held,
                "rows": dict(counts),
            }
            for corpus, held, report, counts in zip(plan.corpora, plan.held_out, reports, rows, strict=True)
        ],
        "exchanges": {**{side: facts.rows[side] for side in SIDES}, "too_long": facts.too_long},
        "tokens": {side: facts.tokens[side] for side in SIDES},
        "words": {side: facts.words[side] for side in SIDES},
    }


def samples_of(facts: Facts, tokenizer: Tokenizer, settings: DataSettings) -> list[tuple[list[int], str, str]]:
    """Choose held-out exchanges to answer at each validation: (ids of source and context, source, target)."""
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
        named = "; ".join(f"{skipped.name}: {skipped.cause}" for skipped in report.skipped[:NAMED])
        more = f"; and {len(report.skipped) - NAMED} more" if len(report.skipped) > NAMED else ""
        line += f"; skipped {len(report.skipped)} ({named}{more})"
    return line
