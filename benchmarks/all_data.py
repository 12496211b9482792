"""What becomes of every set of real data: files, cues, dialogues, exchanges, what was dropped and why, and how long it takes.

    python benchmarks/all_data.py DATA_FOLDER [SET...]

Every set is read to its end by `read_corpus` in one process, with all rules on, one set after the other; what is dropped
across files (duplicates, overlap, frequent replies) is not looked at. The table is Markdown, and below it every refused
file is named with its cause. Sets that the folder does not have are left out.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from s2sbot.errors import CorpusError
from s2sbot.plugins import Plugins
from s2sbot.text import CorpusReport, Rules, open_corpus, read_corpus
from s2sbot.text.rules import RULES

TOP = 4
"""Rules that are named in the table."""
NAMED = 10
"""Refused files that are named for each set."""


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
    arguments = parser.parse_args()
    print("| set | read by | files | refused | cues | dialogues | exchanges | dropped most | lost | s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    refused: list[tuple[str, str, str]] = []
    for each in SETS:
        if arguments.sets and each.path not in arguments.sets:
            continue
        if not any(arguments.folder.glob(each.path)):
            continue
        report, seconds = measure(arguments.folder, each)
        print(row(each, report, seconds), flush=True)
        refused += ((each.name, skipped.name, skipped.cause) for skipped in report.skipped)
    for name, files in groupby(refused, key=lambda file: file[0]):
        print(f"\n{name}:\n")
        listed = list(files)
        for _, file, cause in listed[:NAMED]:
            print(f"- `{file}`: {cause}")
        if len(listed) > NAMED:
            print(f"- and {len(listed) - NAMED} more")


def measure(folder: Path, each: Set) -> tuple[CorpusReport, float]:
    """Return what was met in a set, and in how many seconds."""
    report, readers = CorpusReport(), Plugins().readers()
    began = time.perf_counter()
    corpus = open_corpus(folder / each.path, source=each.source, target=each.target)
    try:
        for _ in read_corpus(corpus, readers, report=report, rules=Rules()):
            pass
    except CorpusError:
        if report.files:
            raise
    return report, time.perf_counter() - began


def row(each: Set, report: CorpusReport, seconds: float) -> str:
    """Return the line of a set in the table."""
    readers = ", ".join(f"{name} {count:,}" for name, count in sorted(report.readers.items())) or "none"
    dropped = Counter({name: report.rules[name] for name in RULES if RULES[name].does == "drops"})
    most = ", ".join(f"{count:,} {name}" for name, count in dropped.most_common(TOP) if count)
    numbers = (report.files, len(report.skipped), report.cues, report.dialogues, report.exchanges)
    cells = [each.name, readers, *(f"{number:,}" for number in numbers), most, f"{report.lost.total():,}"]
    return f"| {' | '.join(cells)} | {seconds:.1f} |"


if __name__ == "__main__":
    main()
