"""How many exchanges are whole and clean, by the judgement of a reader, kept beside this file.

    python benchmarks/judged.py sample FOLDER > sample.tsv     # draw 200 exchanges, with their text, to be judged
    python benchmarks/judged.py report FOLDER                  # precision, and which judged exchanges are still made

FOLDER holds the corpora: `subs/onepace/onepace_en.zip`, `subs/3b1b/*.en.srt` and `subs/sicp/SrtEN`. The text of the
corpora is not ours to keep, so `judged/exchanges.tsv` has of every exchange where it stands and a hash of its text:

    set  file  seconds  hash  other  whole  clean  note

other   y: the target is said by another speaker than the source, n: by the same, -: a lecture, or it cannot be told
whole   y: both sides are whole sentences, or what a speaker said of one
clean   y: nothing in it that nobody said: no sign, markup, credit, note, label, song
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
from collections import Counter
from pathlib import Path

from s2sbot import Exchange
from s2sbot.plugins import Plugins
from s2sbot.text import CorpusReport, Rules, open_corpus, read_corpus
from s2sbot.text.quality import hash_of

SETS = {
    "onepace": ("subs/onepace/onepace_en.zip",),
    "talks": ("subs/3b1b/*.en.srt", "subs/sicp/SrtEN"),
}
EACH = 100
SEED = 2026
JUDGED = Path(__file__).parent / "judged" / "exchanges.tsv"
COLUMNS = ("set", "file", "seconds", "hash", "other", "whole", "clean", "note")


def main() -> None:
    """Draw a sample, or report what was judged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["sample", "report"])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if arguments.action == "sample":
        sample(arguments.folder)
    else:
        report(arguments.folder)


def exchanges(folder: Path, name: str) -> list[Exchange]:
    """Return all exchanges of a set."""
    readers = Plugins().readers()
    found: list[Exchange] = []
    for path in SETS[name]:
        documents = read_corpus(open_corpus(folder / path), readers, report=CorpusReport(), rules=Rules())
        found += (exchange for document in documents for exchange in document.exchanges)
    return found


def key(exchange: Exchange) -> str:
    """Return a hash of the text of an exchange."""
    text = "\t".join((exchange.source, exchange.target))
    return f"{hash_of(text):016x}"


def sample(folder: Path) -> None:
    """Write exchanges drawn at random, with their text, to standard output."""
    writer = csv.writer(sys.stdout, delimiter="\t", lineterminator="\n")
    writer.writerow((*COLUMNS[:4], "source", "target"))
    for name in SETS:
        for exchange in random.Random(SEED).sample(exchanges(folder, name), EACH):
            origin = exchange.origin
            writer.writerow(
                (name, origin.file, f"{origin.seconds:.3f}", key(exchange), exchange.source, exchange.target)
            )


def report(folder: Path) -> None:
    """Print what share of the judged exchanges is whole and clean, and how many of them are made today."""
    with JUDGED.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    for name in SETS:
        judged = [row for row in rows if row["set"] == name]
        made = {key(exchange) for exchange in exchanges(folder, name)}
        counts = Counter()
        for row in judged:
            counts["good"] += row["whole"] == row["clean"] == "y"
            counts["whole"] += row["whole"] == "y"
            counts["clean"] += row["clean"] == "y"
            counts[f"other {row['other']}"] += 1
            counts["made"] += row["hash"] in made
        total = len(judged)
        told = counts["other y"] + counts["other n"]
        print(
            f"{name}: of {total} judged, {counts['good'] / total:.0%} are whole and clean"
            f" ({counts['whole']} whole, {counts['clean']} clean);"
            + (f" another speaker answers in {counts['other y']} of the {told} where it can be told;" if told else "")
            + f" {counts['made']} are still made word for word"
        )


if __name__ == "__main__":
    main()
