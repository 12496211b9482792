"""What becomes of every set of real data: what is read, what is refused, what every rule dropped, how long it takes.

    python benchmarks/all_data.py DATA_FOLDER [--rules] [SET...]

Every set is read to its end in one process, with all rules on, one set after the other; what is dropped across files
(duplicates, overlap, frequent replies) is not looked at. The table is Markdown, and below it the refused files are
named with their causes; with --rules a second one says how often every rule fired. Sets that the folder does not have
are left out.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from s2sbot.plugins import Plugins
from s2sbot.text import Rules, open_corpus
from s2sbot.text.archives import Archives
from s2sbot.text.documents import Skipped
from s2sbot.text.reading import DocumentReport, fit_exchanges, read_document
from s2sbot.text.rules import RULES

TOP = 4
"""Rules that are named in the table."""
NAMED = 10
"""Refused files that are named for each set."""
ACROSS = ("duplicates", "near-duplicates", "overlap", "replies")
"""Rules that look at all files together."""


@dataclass(frozen=True, slots=True)
class Set:
    """A set by its path in the folder; `source` and `target` are what the command line calls so."""

    path: str
    source: str | None = None
    target: str | None = None

    @property
    def name(self) -> str:
        """Return the path, and the two sides where it has some."""
        return f"{self.path} ({self.source} to {self.target})" if self.source else self.path


SETS = (
    Set("cornell"),
    Set("cornell_pairs", "enc", "dec"),
    Set("seed"),
    Set("multi30k", "en", "de"),
    Set("multi30k", "en", "fr"),
    Set("tatoeba/fra-eng.zip", "en", "fr"),
    Set("opus_tatoeba", "eng", "fra"),
    Set("iwslt15_en-vi", "en", "vi"),
    Set("dailydialog"),
    Set("convai2"),
    Set("chitchat"),
    Set("chatterbot_corpus"),
    Set("subs/ada_zangemann"),
    Set("subs/elephants_dream"),
    Set("subs/sintel"),
    Set("subs/sicp"),
    Set("subs/3b1b"),
    Set("subs/onepace/*.ass"),
    Set("subs/onepace/onepace_en.zip"),
    Set("subs/testsuites/pysrt"),
    Set("subs/testsuites/subsrt"),
    Set("subs/testsuites/go-astisub"),
    Set("subs/testsuites/mantas-done"),
    Set("subs/testsuites/subtitleedit"),
    Set("subs/testsuites/exoplayer"),
    Set("subs/testsuites/pysubs2"),
)


def main() -> None:
    """Read every set of a folder and print a table of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*", help="paths as in the table; all where none is named")
    parser.add_argument("--rules", action="store_true", help="print a table of all rules too")
    arguments = parser.parse_args()
    print("| set | read by | files read | without an exchange | refused | cues | dialogues | exchanges", end="")
    print(" | dropped most | pieces lost | seconds |")
    print(f"|{' --- |' * 11}")
    measured: list[tuple[str, list[DocumentReport]]] = []
    for each in SETS:
        if (not arguments.sets or each.path in arguments.sets) and any(arguments.folder.glob(each.path)):
            reports, seconds = measure(arguments.folder, each)
            print(row(each.name, reports, seconds), flush=True)
            measured.append((each.name, reports))
    for name, reports in measured:
        refused = [report for report in reports if report.cause]
        if refused:
            print(f"\n{name}:\n")
            print("".join(f"- `{report.name}`: {report.cause}\n" for report in refused[:NAMED]), end="")
            print(f"- and {len(refused) - NAMED} more\n" if len(refused) > NAMED else "", end="")
    if arguments.rules:
        print_rules(measured)


def measure(folder: Path, each: Set) -> tuple[list[DocumentReport], float]:
    """Return what was met in every document of a set, and in how many seconds."""
    readers, reports = Plugins().readers(), []
    began = time.perf_counter()
    corpus = open_corpus(folder / each.path, source=each.source, target=each.target)
    with Archives() as archives:
        for document in corpus.documents(readers):
            report = DocumentReport(document.name)
            reports.append(report)
            if isinstance(document, Skipped):
                report.cause = document.cause
                continue
            items = read_document(document, corpus, readers, archives, Rules(), report)
            for number, item in enumerate(items):
                report.exchanges += sum(1 for _ in fit_exchanges(item, corpus, Rules(), report, number))
    return reports, time.perf_counter() - began


def row(name: str, reports: Sequence[DocumentReport], seconds: float) -> str:
    """Return the line of a set in the table."""
    read = [report for report in reports if not report.cause]
    readers = Counter(report.reader for report in read)
    dropped = total(reports)
    most = Counter({rule: dropped[rule] for rule in RULES if RULES[rule].does == "drops"}).most_common(TOP)
    cells = [
        name,
        ", ".join(f"{reader} {count:,}" for reader, count in sorted(readers.items())) or "none",
        f"{len(read):,}",
        f"{sum(not report.exchanges for report in read):,}",
        f"{len(reports) - len(read):,}",
        *(f"{sum(getattr(report, key) for report in reports):,}" for key in ("cues", "dialogues", "exchanges")),
        ", ".join(f"{count:,} {rule}" for rule, count in most if count) or "nothing",
        f"{sum(report.lost.total() for report in reports):,}",
        f"{seconds:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def print_rules(measured: Sequence[tuple[str, Sequence[DocumentReport]]]) -> None:
    """Print how often every rule that is applied file by file fired in every set."""
    print(f"\n| rule | counts | {' | '.join(name for name, _ in measured)} |")
    print(f"|{' --- |' * (2 + len(measured))}")
    counts = [total(reports) for _, reports in measured]
    for rule in RULES:
        if rule not in ACROSS:
            print(f"| `{rule}` | {RULES[rule].what} | {' | '.join(f'{each[rule]:,}' for each in counts)} |")


def total(reports: Sequence[DocumentReport]) -> Counter[str]:
    """Return how often every rule fired in some documents."""
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update(report.rules)
    return counts


if __name__ == "__main__":
    main()
