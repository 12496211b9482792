"""`s2sbot corpus`: a corpus goes in, what is in it comes out."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import click

__all__ = ["corpus"]

SAMPLES = 10


@click.group(no_args_is_help=True)
def corpus() -> None:
    """Look into a corpus.

    \b
    Example:
      s2sbot corpus inspect subtitles.zip
    """


@corpus.command(no_args_is_help=True)
@click.argument("path", metavar="CORPUS", type=click.Path(path_type=Path))
@click.option("--source", metavar="LANGUAGE", help="Language of the first side.")
@click.option("--target", metavar="LANGUAGE", help="Language of the second side.")
@click.option(
    "--context-turns", type=click.IntRange(0, 16), default=0, show_default=True, help="Turns of history to show."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Number that fixes the samples.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def inspect(path: Path, source: str | None, target: str | None, context_turns: int, seed: int, as_json: bool) -> None:
    """Say what is in CORPUS: files, cues, dialogues, exchanges, what was skipped and why, and ten samples.

    \b
    Examples:
      s2sbot corpus inspect subtitles.zip
      s2sbot corpus inspect data/train --source de --target en --json
    """
    from ..plugins import Plugins
    from ..settings import DataSettings
    from ..text.corpus import CorpusReport, open_corpus, read_corpus

    opened = open_corpus(path, source=source, target=target)
    report = CorpusReport()
    chosen = random.Random(seed)
    samples: list[Any] = []
    seen = 0
    readers: dict[str, int] = {}
    for document in read_corpus(
        opened, Plugins().readers(), report=report, scene_gap=DataSettings().scene_gap, context_turns=context_turns
    ):
        readers[document.reader] = readers.get(document.reader, 0) + 1
        for exchange in document.exchanges:
            # reservoir sampling: every exchange has the same chance, and only ten are kept
            seen += 1
            if len(samples) < SAMPLES:
                samples.append(exchange)
            elif (place := chosen.randrange(seen)) < SAMPLES:
                samples[place] = exchange
    facts = {
        "corpus": opened.name,
        "kind": opened.kind,
        "languages": list(opened.languages),
        "licence": opened.licence,
        "files": report.files,
        "readers": readers,
        "cues": report.cues,
        "dialogues": report.dialogues,
        "exchanges": report.exchanges,
        "skipped": [{"name": skipped.name, "cause": skipped.cause} for skipped in report.skipped],
        "sha256": report.digest(),
        "samples": [
            {
                "context": list(exchange.context),
                "source": exchange.source,
                "target": exchange.target,
                "file": exchange.origin.file,
                "line": exchange.origin.line,
                "seconds": exchange.origin.seconds,
            }
            for exchange in samples
        ],
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _show(facts)


def _show(facts: dict[str, Any]) -> None:
    from .progress import clock
    from .sanitize import sanitize

    languages = f" ({' to '.join(facts['languages'])})" if facts["languages"] else ""
    kind = "translator" if facts["kind"] == "translate" else "chat bot"
    click.echo(f"{sanitize(facts['corpus'])}: makes a {kind}{languages}")
    by_reader = ", ".join(f"{count:,} by {name}" for name, count in facts["readers"].items())
    click.echo(f"files      {facts['files']:,} read ({by_reader}), {len(facts['skipped']):,} skipped")
    for name in ("cues", "dialogues", "exchanges"):
        click.echo(f"{name:<10} {facts[name]:,}")
    if facts["licence"]:
        click.echo(f"licence    {sanitize(facts['licence'])}")
    for skipped in facts["skipped"][:20]:
        click.echo(f"skipped    {sanitize(skipped['name'])}: {sanitize(skipped['cause'])}")
    if len(facts["skipped"]) > 20:
        click.echo(f"skipped    and {len(facts['skipped']) - 20} more; --json names all")
    for sample in facts["samples"]:
        place = clock(sample["seconds"]) if sample["seconds"] is not None else f"line {sample['line']}"
        click.secho(f"\n{sanitize(sample['file'])}, {place}", dim=True)
        for turn in sample["context"]:
            click.echo(f"    {sanitize(turn)}")
        click.echo(f"  > {sanitize(sample['source'])}")
        click.echo(f"  < {sanitize(sample['target'])}")
