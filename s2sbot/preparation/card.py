"""All that was counted in a preparation goes in; its data card comes out, for people and for programs."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import read_json, write_atomically, write_json
from ..settings import DataSettings
from ..tables import merge_tables
from ..text.corpus import Corpus
from ..text.packed import Packed
from ..text.reading import CorpusReport, DocumentReport
from ..text.rules import RULES, Rules
from .choosing import LEFT_OUT, SIDES, Choice
from .facts import Facts
from .page import page
from .pictures import lengths_picture, rules_picture
from .plan import Plan
from .reading import ReadShard

__all__ = ["FORMAT", "data_card", "distinct", "repeated_by"]

FORMAT = 1
SAMPLES = 12
REFUSED = 100
"""Refused files of a source that the card names; `documents.jsonl` names all."""


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
    """Write `card.json`, `card.md` with its pictures, and `documents.jsonl` with a line for every document.

    Nothing in them tells time or place: the same corpora with the same settings make the same bytes.
    """
    documents = _documents(plan, read)
    write_atomically(out / "documents.jsonl", b"".join(_lines(plan, documents)))
    card = _card(out, plan, _sources(plan, documents, reports, choice, described), choice, facts, settings, described)
    write_json(out / "card.json", card)
    write_atomically(out / "lengths.svg", lengths_picture(card["words_a_target"]).encode())
    write_atomically(out / "rules.svg", rules_picture(card["counts"], card["rules"]).encode())
    write_atomically(out / "card.md", page(card).encode("utf-8", "replace"))


def _card(
    out: Path,
    plan: Plan,
    sources: list[dict[str, Any]],
    choice: Choice,
    facts: Facts,
    settings: DataSettings,
    described: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the card as plain values; `docs/corpora.md` says what every key means."""
    rules, counts = Rules.of(settings), _counts(sources, facts)
    one, two = distinct([reply for _, reply in facts.replies])
    packed = {side: Packed.load(out, side) for side in SIDES}
    return {
        "format": FORMAT,
        "s2sbot": importlib.metadata.version("s2sbot"),
        "kind": described["kind"],
        "languages": list(described["languages"]),
        "command": repeated_by(plan.corpora, plan.held_out, settings),
        "settings": dataclasses.asdict(settings),
        "asks": _asked(plan),
        "sources": sources,
        "counts": counts,
        "rules": list(_rules(sources, counts, rules, described["kind"])),
        "splits": {side: _split(packed[side], facts, side) for side in SIDES},
        "vocabulary": {
            "tokenizer": settings.tokenizer,
            "shared": settings.share_tokenizer,
            "sizes": read_json(out / ".work" / "vocabulary.json")["sizes"],
        },
        "history": {
            "with_context": facts.with_context["train"],
            "after_another": facts.after_another["train"],
        },
        "words_a_target": {length: facts.lengths[length] for length in sorted(facts.lengths, key=int)},
        "reply_cap": choice.reply_cap if "replies" in rules else None,
        "frequent_replies": [
            {"reply": facts.frequent[str(reply)], "before": before, "after": after}
            for reply, before, after in choice.frequent
            if str(reply) in facts.frequent
        ],
        "distinct": {"replies": len(facts.replies), "distinct_1": one, "distinct_2": two},
        "samples": [sample for _, sample in facts.samples[:SAMPLES]],
    }


def distinct(replies: Sequence[str]) -> tuple[float, float]:
    """Return distinct-1 and distinct-2: different words, and pairs of words, as a share of all (Li et al. 2016)."""
    words = [reply.lower().split() for reply in replies]
    shares = []
    for size in (1, 2):
        grams = [tuple(line[start : start + size]) for line in words for start in range(len(line) - size + 1)]
        shares.append(len(set(grams)) / len(grams) if grams else 0.0)
    return shares[0], shares[1]


def repeated_by(corpora: Sequence[Corpus], held_out: Sequence[bool], settings: DataSettings) -> str:
    """Return the command that prepares these corpora with these settings, folders above them left out."""
    words = ["s2sbot", "corpus", "prepare"]
    words += [_place(corpus) for corpus, held in zip(corpora, held_out, strict=True) if not held]
    words += ["--out", "DIR"]
    for corpus, held in zip(corpora, held_out, strict=True):
        words += ["--valid", _place(corpus)] if held else []
    languages = next((corpus.languages for corpus in corpora if len(corpus.languages) == 2), None)
    words += ["--source", languages[0], "--target", languages[1]] if languages else []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value != field.default:
            words += ["--set", f"data.{field.name}={_value(value)}"]
    return " ".join(shlex.quote(word) for word in words)


def _place(corpus: Corpus) -> str:
    parts = corpus.path.parts
    first = next((number for number, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts) - 1)
    return ("/".join(parts[first:]) or corpus.name).encode("utf-8", "replace").decode()


def _value(value: object) -> str:
    """Return a value as `--set` reads it."""
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _documents(plan: Plan, read: Sequence[ReadShard]) -> list[tuple[int, DocumentReport]]:
    """Return the report of every document with the number of its corpus, by name; also of those never opened."""
    found = [(shard.corpus, report) for shard, done in zip(plan.shards, read, strict=True) for report in done.reports]
    found += [(corpus, DocumentReport(skipped.name, cause=skipped.cause)) for corpus, skipped in plan.skipped]
    return sorted(found, key=lambda each: (each[0], each[1].name))


def _lines(plan: Plan, documents: Sequence[tuple[int, DocumentReport]]) -> Iterator[bytes]:
    for corpus, report in documents:
        line = {"corpus": plan.corpora[corpus].name, **report.to_dict()}
        yield json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _sources(
    plan: Plan,
    documents: Sequence[tuple[int, DocumentReport]],
    reports: Sequence[CorpusReport],
    choice: Choice,
    described: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return what is known of each corpus; cues and dialogues are those of all files, also of refused ones."""
    sums = [Counter[str]() for _ in plan.corpora]
    refused: list[list[dict[str, str]]] = [[] for _ in plan.corpora]
    for corpus, report in documents:
        sums[corpus].update({name: getattr(report, name) for name in ("cues", "dialogues", "pairs", "exchanges")})
        if report.cause and len(refused[corpus]) < REFUSED:
            refused[corpus].append({"name": report.name, "cause": report.cause})
    left_out = [Counter[str]() for _ in plan.corpora]
    for shard, fates in zip(plan.shards, choice.fates, strict=True):
        counts = np.bincount(fates, minlength=LEFT_OUT + len(choice.left_out)).tolist()
        left_out[shard.corpus].update(dict(zip(choice.left_out, counts[LEFT_OUT:], strict=True)))
    return [
        {
            "name": told["name"],
            "validation": told["validation"],
            "licence": told["licence"],
            "sha256": told["sha256"],
            "read": told["files"],
            "refused": told["skipped"],
            **{name: sums[number][name] for name in ("cues", "dialogues", "pairs", "exchanges")},
            "readers": dict(sorted(reports[number].readers.items())),
            "rules": {name: reports[number].rules[name] + left_out[number][name] for name in RULES},
            "lost": dict(sorted(reports[number].lost.items())),
            "refused_files": refused[number],
        }
        for number, told in enumerate(described["corpora"])
    ]


_UNFIT = ("length", "ratio", "letters", "echo", "language")


def _counts(sources: Sequence[Mapping[str, Any]], facts: Facts) -> dict[str, int]:
    dropped = sum(source["rules"][name] for source in sources for name in _UNFIT)
    return {
        **{name: sum(source[name] for source in sources) for name in ("cues", "dialogues", "pairs")},
        "exchanges": sum(source["exchanges"] for source in sources) + dropped,
        "too_long": facts.too_long,
        "packed": sum(facts.rows[side] for side in SIDES),
    }


def _rules(
    sources: Sequence[Mapping[str, Any]], counts: Mapping[str, int], rules: Rules, kind: str
) -> Iterator[dict[str, Any]]:
    """Yield every rule in its order with what there was before it and after it, where it drops something."""
    needs = {
        "ratio": kind == "translate",
        "language": bool(rules.languages),
        "near-duplicates": bool(rules.near_duplicates),
    }
    left = {"cues": counts["cues"], "exchanges": counts["exchanges"]}
    for name, rule in RULES.items():
        count = sum(source["rules"][name] for source in sources)
        before = after = None
        if rule.does == "drops" and rule.what in left:  # nobody counts lines and turns
            before = left[rule.what]
            after = left[rule.what] = before - count
        yield {
            "name": name,
            "does": rule.does,
            "what": rule.what,
            "on": name in rules and needs.get(name, True),
            "before": before,
            "count": count,
            "after": after,
        }


def _split(packed: Packed, facts: Facts, side: str) -> dict[str, int]:
    return {
        "exchanges": len(packed),
        "source_tokens": len(packed.source_ids) + len(packed),
        "target_tokens": len(packed.target_ids) + len(packed),
        "words": facts.words[side],
    }


def _asked(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return the knobs of training that the corpora ask for; those of the table `data` are settled."""
    asked = merge_tables(*(corpus.settings for corpus in plan.corpora))
    return {table: values for table, values in asked.items() if values and table != "data"}
