"""How fast subtitles become token ids: beside pysubs2, which only parses them, and beside what chatbot tutorials do.

    python benchmarks/corpora.py FILE_OR_FOLDER...

All ways run on the same files, one after the other in every round, in one process each; a ratio is the median of those
within a round, so that what else the machine does slows both of its sides. A cue counts once, whoever reads it.

    pysubs2     `SSAFile.from_string` of every file, and nothing else
    tutorial    what the common chatbot tutorials do: a regular expression for the cues, tags off, every line answers
                the one before, `normalizeString`, no line above ten words, a dictionary of words, lists of ids
    read        the reader of s2sbot: cues
    clean       `read_corpus`: cues -> exchanges by all rules
    prepare     `prepare` with one worker, without learning the vocabulary: files -> packed ids with split, duplicates,
                overlap, origins and card
    vocabulary  learning it, which a corpus of any size takes as long for
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import re
import shutil
import statistics
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path

import pysubs2

from s2sbot import Cue
from s2sbot.plugins import Plugins
from s2sbot.preparation import Prepared, prepare
from s2sbot.settings import DataSettings
from s2sbot.text import CorpusReport, Rules, decode_text, open_corpus, read_corpus
from s2sbot.text.archives import Archives
from s2sbot.text.documents import Document

ROUNDS = 5
LONGEST = 10
TUTORIAL_CUE = re.compile(r"\d+\s*\n(\d\d:\d\d:\d\d,\d+) --> (\d\d:\d\d:\d\d,\d+)[^\n]*\n(.*?)(?:\n\n|\Z)", re.DOTALL)
TUTORIAL_EVENT = re.compile(r"^Dialogue: (?:[^,]*,){9}(.*)$", re.MULTILINE)


def main() -> None:
    """Measure all ways on the files given, and print them as cues a second and as ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    for path in arguments.paths:
        measure(path, arguments.rounds)


def measure(path: Path, rounds: int) -> None:
    """Run every way so many times on one corpus."""
    texts = read_texts(path)
    cues = count_cues(path)
    print(f"{path.name}: {len(texts)} files, {sum(map(len, texts)) / 1e6:.1f}M characters, {cues:,} cues")
    ways: dict[str, Callable[[], float]] = {
        "pysubs2": lambda: timed(lambda: parse_all(texts)),
        "tutorial": lambda: timed(lambda: tutorial(texts)),
        "read": lambda: timed(lambda: count_cues(path)),
        "clean": lambda: timed(lambda: clean(path)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in (*ways, "prepare", "vocabulary")}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(way())
        whole, vocabulary = prepared(path)
        seconds["prepare"].append(whole - vocabulary)
        seconds["vocabulary"].append(vocabulary)
    base = seconds["pysubs2"]
    print(f"  {'way':<11} {'seconds':>8} {'cues/s':>9} {'of pysubs2':>11}")
    for name, times in seconds.items():
        ratio = statistics.median(each / first for each, first in zip(times, base, strict=True))
        middle = statistics.median(times)
        print(f"  {name:<11} {middle:8.2f} {cues / middle:9,.0f} {ratio:10.2f}x")


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds something takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def documents(path: Path) -> list[Document]:
    """Return the documents of a corpus that can be opened."""
    found = open_corpus(path).documents(Plugins().readers())
    return [document for document in found if isinstance(document, Document)]


def read_texts(path: Path) -> list[str]:
    """Return the text of every document."""
    texts = []
    with Archives() as archives:
        for document in documents(path):
            with archives.open(document.parts[0]) as stream, contextlib.suppress(ValueError):
                texts.append(decode_text(stream.read())[0])
    return texts


def count_cues(path: Path) -> int:
    """Read every document with the reader that knows it, and count the cues."""
    readers = Plugins().readers()
    count = 0
    with Archives() as archives:
        for document in documents(path):
            with archives.open(document.parts[0]) as stream:
                data = stream.read()
            head = data[:65_536]
            best = max(readers, key=lambda name: getattr(readers[name], "sniff", lambda *_: 0.0)(head, document.name))
            with contextlib.suppress(ValueError):
                count += sum(isinstance(item, Cue) for item in readers[best].read(io.BytesIO(data), document.name))
    return count


def parse_all(texts: list[str]) -> int:
    """Parse every text with pysubs2."""
    count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in texts:
            with contextlib.suppress(pysubs2.Pysubs2Error, ValueError):
                count += len(pysubs2.SSAFile.from_string(text).events)
    return count


def tutorial(texts: list[str]) -> int:
    """Make pairs and ids as the common tutorials do."""
    pairs, words = [], {"PAD": 0, "SOS": 1, "EOS": 2}
    for text in texts:
        found = TUTORIAL_EVENT.findall(text) or [each[2] for each in TUTORIAL_CUE.findall(text)]
        lines = [normalize(re.sub(r"<[^>]+>|\{[^}]*\}|\\N", " ", line)) for line in found]
        pairs += [
            (one, two)
            for one, two in itertools.pairwise(lines)
            if 0 < len(one.split()) < LONGEST and 0 < len(two.split()) < LONGEST
        ]
    for pair in pairs:
        for line in pair:
            for word in line.split():
                words.setdefault(word, len(words))
    return len([[[words[word] for word in line.split()] for line in pair] for pair in pairs])


def normalize(text: str) -> str:
    """Lower-case, letters without accents, marks apart."""
    plain = "".join(char for char in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(char) != "Mn")
    return re.sub(r"[^a-zA-Z.!?]+", r" ", re.sub(r"([.!?])", r" \1", plain)).strip()


def clean(path: Path) -> int:
    """Read a corpus into exchanges."""
    found = read_corpus(open_corpus(path), Plugins().readers(), report=CorpusReport(), rules=Rules())
    return sum(len(document.exchanges) for document in found)


def prepared(path: Path) -> tuple[float, float]:
    """Return the seconds of a whole preparation, and of those in it for the vocabulary."""
    folder = Path(tempfile.mkdtemp())
    begun = time.perf_counter()
    learning = encoding = begun
    for event in prepare([open_corpus(path)], [], DataSettings(), Plugins(), out=folder, workers=1):
        if isinstance(event, Prepared):
            continue
        if event.message.startswith("learning"):
            learning = time.perf_counter()
        if event.message.startswith("encoding with"):
            encoding = time.perf_counter()
    whole = time.perf_counter() - begun
    shutil.rmtree(folder)
    return whole, encoding - learning


if __name__ == "__main__":
    main()
