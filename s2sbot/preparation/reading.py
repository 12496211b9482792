"""The documents of a shard go in; their turns as lines, and a row for each fit exchange, come out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..files import read_json, write_atomically
from ..text.archives import Archives
from ..text.corpus import AnyReader, Corpus
from ..text.dialogue import Dialogue, Exchange
from ..text.quality import exchange_keys, hash_of, plain, signature
from ..text.reading import DocumentReport, fit_exchanges, read_document
from ..text.rules import Rules
from .columns import ColumnWriter, check_sizes, open_anew, written
from .plan import Shard

__all__ = ["COLUMNS", "ReadShard", "read_shard"]

COLUMNS: Mapping[str, str] = {
    "source": "I",
    "target": "I",
    "context": "I",
    "dialogue": "i",
    "turn": "i",
    "file": "I",
    "line": "i",
    "seconds": "d",
    "unit": "Q",
    "key": "Q",
    "reply": "Q",
}
"""The columns of a row, with their types as in `array`.

source, target  numbers of their lines among the turns of the shard
context         how many turns right before the source belong to it
dialogue, turn  as in `Exchange`; -1 for a pair
file            number of the file's name among those of the shard
line, seconds   as in `Origin`; 0 and NaN where there is none
unit            hash of what is never torn apart between training and validation
key, reply      hash of the exchange, and of its target, without case and punctuation
"""


@dataclass(frozen=True, slots=True)
class ReadShard:
    """What has been read of a shard: a report and the number of rows for each document, and the names of files."""

    reports: tuple[DocumentReport, ...]
    rows: tuple[int, ...]
    files: tuple[str, ...]

    @classmethod
    def load(cls, path: Path) -> ReadShard:
        """Read what `read_shard` wrote last of all.

        Raises:
            OSError, ValueError, KeyError, TypeError: where it is not there, or not whole.
        """
        data = read_json(path, limit=2**30)
        check_sizes(path.parent, data["sizes"])
        reports = tuple(DocumentReport.from_dict(report) for report in data["reports"])
        return cls(reports, tuple(data["rows"]), tuple(data["files"]))


def read_shard(
    folder: Path, shard: Shard, corpus: Corpus, readers: Mapping[str, AnyReader], rules: Rules
) -> Iterator[int]:
    """Read the documents of a shard into `folder`; yield the bytes read so far.

    `read-N.json` is written when all else is there, and says that the shard is done.
    """
    stem = f"read-{shard.number}"
    signatures = {"signature": "I"} if rules.near_duplicates else {}
    reports: list[DocumentReport] = []
    done = 0
    with (
        Archives() as archives,
        ColumnWriter(folder, stem, COLUMNS, signatures) as columns,
        open_anew(folder / f"{stem}.turns") as turns,
    ):
        writer = _RowWriter(columns, turns, corpus, rules)
        for document in shard.documents:
            report = DocumentReport(document.name)
            size = sum(part.size for part in document.parts)
            for number, item in enumerate(read_document(document, corpus, readers, archives, rules, report)):
                writer.write(item, report, number)
                if not number % 1_000:
                    yield done + min(size, report.bytes)
            done += size
            if not report.exchanges and not report.cause:
                report.cause = "no exchange in it"
            reports.append(report)
            yield done
        sizes = dict([*columns.finish().items(), written(turns)])
    described = {
        "reports": [report.to_dict() for report in reports],
        "rows": [report.exchanges for report in reports],
        "files": [f"{shard.label}{name}" for name in writer.files],
        "sizes": sizes,
    }
    # names and causes may come from a stranger's reader: what has no UTF-8 is written as a question mark, as in texts
    text = json.dumps(described, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / f"{stem}.json", text.encode("utf-8", "replace"))


class _RowWriter:
    """Writes the turns of dialogues, and both sides of pairs, as lines, and for each fit exchange a row."""

    def __init__(self, columns: ColumnWriter, turns: IO[bytes], corpus: Corpus, rules: Rules) -> None:
        self._columns, self._turns = columns, turns
        self._corpus, self._rules = corpus, rules
        self._count = 0
        self.files: dict[str, int] = {}

    def write(self, item: Dialogue | Exchange, report: DocumentReport, number: int) -> None:
        """Write one item of a document."""
        exchanges = list(fit_exchanges(item, self._corpus, self._rules, report, number))
        if not exchanges:
            return
        report.exchanges += len(exchanges)
        if isinstance(item, Dialogue):
            texts = [turn.text for turn in item.turns]
            first = self._lines(texts)
            keys = [plain(text) for text in texts]
            # the first exchange, which every beginning of a dialogue has: corpora give one line for each turn that was
            # answered, with all turns before it, and what is held out of one would be the context in another
            unit = hash_of(item.group if item.group is not None else "\n".join(keys[:2]))
            most = self._rules.context_turns
            for exchange in exchanges:
                turn = exchange.turn
                self._row(exchange, keys[turn], keys[turn + 1], unit, first + turn, min(most, turn))
            return
        for exchange in exchanges:
            place = self._lines([*exchange.context, exchange.source, exchange.target]) + len(exchange.context)
            source, target = plain(exchange.source), plain(exchange.target)
            self._row(exchange, source, target, hash_of(source), place, len(exchange.context))

    def _lines(self, texts: list[str]) -> int:
        """Write texts, a line each, and return the number of the first line."""
        first = self._count
        self._turns.write(("\n".join(texts) + "\n").encode("utf-8", "replace"))
        self._count += len(texts)
        return first

    def _row(self, exchange: Exchange, source: str, target: str, unit: int, place: int, context: int) -> None:
        """Write a row for an exchange whose sides are `plain`, and whose source is the line `place`."""
        key, reply = exchange_keys(source, target)
        origin = exchange.origin
        if self._rules.near_duplicates:
            self._columns.extend("signature", signature(source, target))
        self._columns.append(
            (
                place,
                place + 1,
                context,
                -1 if exchange.dialogue is None else exchange.dialogue,
                exchange.turn,
                self.files.setdefault(origin.file, len(self.files)),
                origin.line or 0,
                float("nan") if origin.seconds is None else origin.seconds,
                unit,
                key,
                reply,
            )
        )
