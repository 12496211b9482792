"""All that was counted in a preparation goes in, its data card comes out, for people and for programs."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..files import write_atomically, write_json
from ..settings import DataSettings
from ..text.reading import CorpusReport
from .choosing import Choice
from .packing import Facts
from .plan import Plan
from .reading import ReadShard

__all__ = ["data_card"]

SAMPLES = 12


def data_card(
    out: Path,
    plan: Plan,
    read: Sequence[ReadShard],
    reports: Sequence[CorpusReport],
    choice: Choice,
    facts: Facts,
    settings: DataSettings,
    described: dict[str, Any],
) -> None:
    """Write `card.json`, and `documents.jsonl` with a line for every document."""
    write_atomically(out / "documents.jsonl", _documents(plan, read))
    one, two = distinct([reply for _, reply in facts.replies])
    card = {
        "s2sbot": importlib.metadata.version("s2sbot"),
        "kind": described["kind"],
        "languages": list(described["languages"]),
        "settings": dataclasses.asdict(settings),
        "sources": [
            {**facts_of, "readers": dict(report.readers), "rules": dict(report.rules), "lost": dict(report.lost)}
            for facts_of, report in zip(described["corpora"], reports, strict=True)
        ],
        "exchanges": described["exchanges"],
        "tokens": described["tokens"],
        "words": described["words"],
        "left_out": {**choice.left_out, "too_long": facts.too_long},
        "reply_cap": choice.reply_cap,
        "frequent_replies": [
            {"reply": facts.frequent.get(str(reply), ""), "before": before, "after": after}
            for reply, before, after in choice.frequent
        ],
        "words_a_target": {length: facts.lengths[length] for length in sorted(facts.lengths, key=int)},
        "distinct": {"replies": len(facts.replies), "distinct_1": one, "distinct_2": two},
        "samples": [sample for _, sample in facts.samples[:SAMPLES]],
    }
    write_json(out / "card.json", card)


def _documents(plan: Plan, read: Sequence[ReadShard]) -> bytes:
    return b"".join(_document_lines(plan, read))


def _document_lines(plan: Plan, read: Sequence[ReadShard]) -> Iterator[bytes]:
    ranked = [
        (rank, shard.corpus, report)
        for shard, found in zip(plan.shards, read, strict=True)
        for rank, report in zip(shard.ranks, found.reports, strict=True)
    ]
    for _, corpus, report in sorted(ranked, key=lambda each: each[0]):
        line = {"corpus": plan.corpora[corpus].name, **report.to_dict()}
        yield json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def distinct(replies: Sequence[str]) -> tuple[float, float]:
    """Return distinct-1 and distinct-2: different words, and pairs of words, as a share of all (Li et al. 2016)."""
    words = [reply.lower().split() for reply in replies]
    shares = []
    for size in (1, 2):
        grams = [tuple(line[start : start + size]) for line in words for start in range(len(line) - size + 1)]
        shares.append(len(set(grams)) / len(grams) if grams else 0.0)
    return shares[0], shares[1]
