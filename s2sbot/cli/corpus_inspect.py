"""`s2sbot corpus inspect`: a corpus goes in, what is in it comes out."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..settings import DataSettings, build
from ..tables import parse_assignment
from .options import Place

if TYPE_CHECKING:
    from ..text.archives import Archives, Part
    from ..text.corpus import Corpus
    from ..text.dialogue import Exchange
    from ..text.documents import Document
    from ..text.reading import DocumentReport

__all__ = ["inspect"]

SAMPLES = 10
PREVIEW = 1.0
"""Seconds that a preview reads."""
LOOKED_AT = 2**20
"""Bytes of a file that its encoding is told by."""


@click.command(no_args_is_help=True)
@click.argument("path", metavar="CORPUS", type=Place())
@click.option("--source", metavar="LANGUAGE", help="Language of the first side.")
@click.option("--target", metavar="LANGUAGE", help="Language of the second side.")
@click.option("--all", "everything", is_flag=True, help="Read all of it, not only for a second.")
@click.option(
    "--context-turns", type=click.IntRange(0, 16), default=0, show_default=True, help="Turns of history to show."
)
@click.option("--without", metavar="RULES", default="", help="Rules of cleaning to leave out, with commas between.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set a knob of the table data.")
@click.option("--seed", type=int, default=1, show_default=True, help="Number that fixes the samples.")
@click.option("--json", "as_json", is_flag=True, help="Read all of it, and write JSON with every file.")
def inspect(
    path: Path,
    source: str | None,
    target: str | None,
    everything: bool,
    context_turns: int,
    without: str,
    assignments: tuple[str, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Say what is in CORPUS: files, cues, dialogues, exchanges, what was dropped by which rule and why, and samples.

    Without --all or --json it reads for a second, however large the corpus is.

    \b
    Examples:
      s2sbot corpus inspect subtitles.zip
      s2sbot corpus inspect "films/**/*.srt" --all --without signs
      s2sbot corpus inspect data/train --source de --target en --json
    """
    from ..text.corpus import open_corpus
    from ..text.rules import Rules

    settings = build(DataSettings, data_table(assignments, without=without, context_turns=context_turns), "data")
    opened = open_corpus(path, source=source, target=target)
    deadline = None if everything or as_json else time.monotonic() + PREVIEW
    look = _Look(opened, Rules.of(settings), random.Random(seed), deadline)
    look.run()
    if as_json:
        click.echo(json.dumps(look.facts(), indent=2, ensure_ascii=False))
    else:
        _show(look.facts())


def data_table(assignments: tuple[str, ...], **named: Any) -> dict[str, Any]:
    """Lay `--set data.key=value` over options with a name of their own; rules to leave out are those of both.

    Raises:
        SettingsError: for another table.
    """
    from ..errors import SettingsError

    table = {key: value for key, value in named.items() if value not in (None, "")}
    for text in assignments:
        name, key, value = parse_assignment(text)
        if name != "data":
            raise SettingsError(f"{text!r} is about the table {name!r}", "only knobs of the table data count here")
        table[key] = value
    ruled_out = named.get("without")
    if ruled_out and isinstance(table["without"], str) and table["without"] != ruled_out:
        table["without"] = f"{ruled_out},{table['without']}"
    return table


class _Look:
    """Reads documents one after another until the deadline, counts, and keeps some exchanges."""

    def __init__(self, corpus: Corpus, rules: Any, chosen: random.Random, deadline: float | None) -> None:
        from ..text.reading import CorpusReport

        self._corpus, self._rules, self._random, self._deadline = corpus, rules, chosen, deadline
        self._report = CorpusReport()
        self._files: list[dict[str, Any]] = []
        self._samples: list[Exchange] = []
        self._seen = 0
        self._documents = 0
        self.complete = True

    def run(self) -> None:
        """Read the corpus, or as much of it as there is time for.

        Raises:
            CorpusError: where nothing at all can be read.
        """
        from ..plugins import Plugins
        from ..text.archives import Archives
        from ..text.documents import Skipped
        from ..text.reading import DocumentReport

        readers = Plugins().readers()
        told = time.monotonic()
        with Archives() as archives:
            for document in self._corpus.documents(readers):
                self._documents += 1
                if not self.complete:
                    continue
                if isinstance(document, Skipped):
                    self._note(DocumentReport(document.name, cause=document.cause), None)
                    continue
                report = DocumentReport(document.name)
                for exchange in self._exchanges(document, readers, archives, report):
                    self._sample(exchange)
                self._note(report, None if report.cause else _encoding(document.parts[0], archives))
                if time.monotonic() - told > 2:
                    told = time.monotonic()
                    click.echo(f"{self._documents:,} files, {self._seen:,} exchanges so far", err=True)
        if self.complete:
            self._report.refuse_nothing(self._corpus)

    def _exchanges(
        self, document: Document, readers: Any, archives: Archives, report: DocumentReport
    ) -> Iterator[Exchange]:
        from ..text.reading import fit_exchanges, read_document

        for number, item in enumerate(read_document(document, self._corpus, readers, archives, self._rules, report)):
            for exchange in fit_exchanges(item, self._corpus, self._rules, report, number):
                report.exchanges += 1
                yield exchange
            if self._deadline is not None and time.monotonic() > self._deadline:
                self.complete = False
                return

    def _sample(self, exchange: Exchange) -> None:
        # reservoir sampling: every exchange has the same chance, and only ten are kept
        self._seen += 1
        if len(self._samples) < SAMPLES:
            self._samples.append(exchange)
        elif (place := self._random.randrange(self._seen)) < SAMPLES:
            self._samples[place] = exchange

    def _note(self, report: DocumentReport, encoding: str | None) -> None:
        self._report.add(report)
        described = report.to_dict()
        described["format"] = described.pop("reader") or None
        described["encoding"] = encoding
        described["refused"] = described.pop("cause") or None
        self._files.append(described)

    def facts(self) -> dict[str, Any]:
        """Return all that was counted."""
        report = self._report
        return {
            "corpus": self._corpus.name,
            "kind": self._corpus.kind,
            "languages": list(self._corpus.languages),
            "licence": self._corpus.licence,
            "complete": self.complete,
            "documents": self._documents,
            "read": report.files,
            "readers": dict(report.readers),
            "cues": report.cues,
            "dialogues": report.dialogues,
            "exchanges": report.exchanges,
            "rules": dict(report.rules),
            "lost": dict(report.lost),
            "sha256": report.digest(),
            "files": self._files,
            "samples": [
                {
                    "context": list(exchange.context),
                    "source": exchange.source,
                    "target": exchange.target,
                    "file": exchange.origin.file,
                    "line": exchange.origin.line,
                    "seconds": exchange.origin.seconds,
                }
                for exchange in self._samples
            ],
        }


def _encoding(part: Part, archives: Archives) -> str | None:
    from ..text.encoding import decode_text

    try:
        with archives.open(part) as stream:
            head = stream.read(LOOKED_AT)
            return decode_text(head, cut=len(head) == LOOKED_AT)[1]
    except (OSError, ValueError):
        return None


def _show(facts: dict[str, Any]) -> None:
    from ..text.rules import RULES
    from .progress import clock
    from .sanitize import sanitize

    languages = f" ({' to '.join(facts['languages'])})" if facts["languages"] else ""
    kind = "translator" if facts["kind"] == "translate" else "chat bot"
    click.echo(f"{sanitize(facts['corpus'])}: makes a {kind}{languages}")
    refused = [file for file in facts["files"] if file["refused"]]
    empty = sum(1 for file in facts["files"] if not file["refused"] and not file["exchanges"])
    by_reader = ", ".join(f"{count:,} by {name}" for name, count in facts["readers"].items())
    click.echo(f"files      {facts['read']:,} read ({by_reader}), {len(refused):,} refused")
    if empty:
        click.echo(f"           {empty:,} of them without an exchange")
    if not facts["complete"]:
        click.echo(f"           of {facts['documents']:,}: this is a preview of one second, --all reads everything")
    for name in ("cues", "dialogues", "exchanges"):
        click.echo(f"{name:<10} {facts[name]:,}")
    if facts["licence"]:
        click.echo(f"licence    {sanitize(facts['licence'])}")
    for does, word in (("drops", "dropped"), ("changes", "changed")):
        counted = [name for name, rule in RULES.items() if rule.does == does and facts["rules"].get(name)]
        if counted:
            listed = ", ".join(f"{facts['rules'][name]:,} {name}" for name in counted)
            click.echo(f"{word:<10} {listed}")
    for cause, count in facts["lost"].items():
        click.echo(f"lost       {count:,} pieces: {sanitize(cause)}")
    for file in refused[:20]:
        click.echo(f"refused    {sanitize(file['name'])}: {sanitize(file['refused'])}")
    if len(refused) > 20:
        click.echo(f"refused    and {len(refused) - 20} more; --json names all")
    for sample in facts["samples"]:
        place = clock(sample["seconds"]) if sample["seconds"] is not None else f"line {sample['line']}"
        click.secho(f"\n{sanitize(sample['file'])}, {place}", dim=True)
        for turn in sample["context"]:
            click.echo(f"    {sanitize(turn)}")
        click.echo(f"  > {sanitize(sample['source'])}")
        click.echo(f"  < {sanitize(sample['target'])}")
