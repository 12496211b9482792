"""How much memory a preparation takes, of all its processes together, as its corpus grows.

    python benchmarks/memory.py [--sizes 2,20,200,1024] [--kinds tsv,srt] [--workers 2] [--folder FOLDER]
    python benchmarks/memory.py --repeat SUBTITLES [--times 1,10,100]

Makes corpora of so many MiB, as one file of pairs and as a zip of subtitles: random sentences over words that are as
frequent as words are, so that vocabulary and replies are as many as in real text. With --repeat it is the cues of a
real corpus, so many times, as a film each time, with noise: in every film but the first ones one word in five is
another of the corpus. Each is prepared by a process of its own, and the resident memory of it and of its workers is
looked at twenty times a second. The table is Markdown; `all` is the highest sum at any moment, with pages that are
shared counted for each process that has them.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from s2sbot.plugins import Plugins
from s2sbot.text import open_corpus
from s2sbot.text.archives import Archives
from s2sbot.text.documents import Document
from s2sbot.text.reading import read_cues

WORDS = 30_000
LOOKS = 20
"""Looks at the memory in a second."""
CUES = 1_000
"""Cues of a film."""
PREPARE = """
import sys
from pathlib import Path
from s2sbot.plugins import Plugins
from s2sbot.preparation import prepare
from s2sbot.settings import DataSettings
from s2sbot.text import open_corpus

corpus, out, workers = sys.argv[1:]
for event in prepare([open_corpus(Path(corpus))], [], DataSettings(), Plugins(), out=Path(out), workers=int(workers)):
    said = event.message if hasattr(event, "message") else sum(len(rows) for rows in (event.train, event.valid))
    print(said, file=sys.stderr, flush=True)
"""


def main() -> None:
    """Measure every size of every kind, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="2,20,200", help="MiB, with commas between")
    parser.add_argument("--kinds", default="tsv,srt")
    parser.add_argument("--repeat", type=Path, metavar="SUBTITLES", help="a corpus to be repeated with noise")
    parser.add_argument("--times", default="1,10,100", help="how often, with commas between")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the corpora are made; a temporary one by default")
    parser.add_argument("--stages", action="store_true", help="say the highest sum in every stage, too")
    arguments = parser.parse_args()
    print("| corpus | MiB | exchanges | first process, MiB | a worker, MiB | all, MiB | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    kinds = ["srt"] if arguments.repeat else arguments.kinds.split(",")
    sizes = [int(size) for size in (arguments.times if arguments.repeat else arguments.sizes).split(",")]
    for kind, size in itertools.product(kinds, sizes):
        folder = Path(tempfile.mkdtemp(prefix="memory-", dir=arguments.folder))
        try:
            if arguments.repeat:
                name, (corpus, written) = f"{arguments.repeat.name} x {size}", repeat(arguments.repeat, folder, size)
            else:
                name, (corpus, written) = kind, write_corpus(folder, kind, size * 2**20)
            print(measured(name, written, corpus, folder / "out", arguments.workers, arguments.stages), flush=True)
        finally:
            shutil.rmtree(folder)


def repeat(corpus: Path, folder: Path, times: int) -> tuple[Path, int]:
    """Write the cues of a corpus so often, with noise; return where, and how many bytes of text."""
    readers = Plugins().readers()
    with Archives() as archives:
        documents = [each for each in open_corpus(corpus).documents(readers) if isinstance(each, Document)]
        films = [[cue.text for cue in read_cues(each, readers, archives)] for each in documents]
    words = [word for film in films for text in film for word in text.split()]
    chance = random.Random(times)
    written = 0
    with zipfile.ZipFile(folder / "corpus.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for turn, (number, texts) in itertools.product(range(times), enumerate(films)):
            noisy = texts if turn == 0 else [noise(text, words, chance) for text in texts]
            film = "\n".join(cue(place, text) for place, text in enumerate(noisy))
            archive.writestr(f"{turn}/film {number}.srt", film)
            written += len(film)
    return folder / "corpus.zip", written


def noise(text: str, words: list[str], chance: random.Random) -> str:
    """Return a text in which one word in five is another one."""
    return " ".join(word if chance.random() < 0.8 else chance.choice(words) for word in text.split())


def write_corpus(folder: Path, kind: str, size: int) -> tuple[Path, int]:
    """Write about so many bytes of text, as pairs or as films in a zip; return where, and how many they are."""
    sentences = sentences_of(random.Random(size))
    written = 0
    if kind == "tsv":
        with (folder / "corpus.tsv").open("w", encoding="utf-8") as file:
            while written < size:
                written += file.write(f"{next(sentences)}\t{next(sentences)}\n")
        return folder / "corpus.tsv", written
    with zipfile.ZipFile(folder / "corpus.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        number = 0
        while written < size:
            film = "\n".join(cue(place, next(sentences)) for place in range(CUES))
            archive.writestr(f"film {number}.srt", film)
            written += len(film)
            number += 1
    return folder / "corpus.zip", written


def sentences_of(chance: random.Random) -> Iterator[str]:
    """Yield sentences of two to fourteen words, one in ten of them from a few that are said again and again."""
    syllables = [a + b for a in "bdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "ar", "en")]
    words = ["".join(chance.choices(syllables, k=1 + place % 4)) for place in range(WORDS)]
    weights = [0.0]
    for place in range(WORDS):
        weights.append(weights[-1] + 1 / (place + 10))
    often = [f"{word.title()} it is." for word in words[:50]]
    while True:
        drawn = iter(chance.choices(words, cum_weights=weights[1:], k=10_000))
        for first in drawn:
            if chance.random() < 0.1:
                yield chance.choice(often)
                continue
            rest = [word for word, _ in zip(drawn, range(chance.randrange(1, 14)), strict=False)]
            yield " ".join([first.title(), *rest]) + chance.choice(".?!")


def cue(place: int, text: str) -> str:
    """Return a cue of SubRip."""
    begin = f"{place // 1_200:02}:{place // 20 % 60:02}:{3 * place % 60:02}"
    return f"{place + 1}\n{begin},000 --> {begin},900\n{text}\n"


def measured(name: str, written: int, corpus: Path, out: Path, workers: int, stages: bool) -> str:
    """Prepare a corpus and return a row of the table."""
    began = time.monotonic()
    command = [sys.executable, "-c", PREPARE, str(corpus), str(out), str(workers)]
    log = out.with_name("log")
    highest: dict[int, float] = {}
    of_stage: dict[str, float] = {}
    with log.open("w") as said, subprocess.Popen(command, stderr=said) as process:
        while process.poll() is None:
            looked = {each: memory(each) for each in (process.pid, *children(process.pid))}
            highest |= {each: peak for each, (_, peak) in looked.items() if peak}
            stage = " ".join(next(reversed(log.read_text().split("\n")[:-1]), "").split(":")[0].split()[:2])
            of_stage[stage] = max(sum(now for now, _ in looked.values()), of_stage.get(stage, 0.0))
            time.sleep(1 / LOOKS)
    lines = log.read_text().splitlines()
    if process.returncode:
        raise SystemExit("\n".join(lines[-12:]))
    if stages:
        print(", ".join(f"{stage or 'start'}: {total:.0f}" for stage, total in of_stage.items()), file=sys.stderr)
    first = highest.pop(process.pid)
    apart, together = max(highest.values(), default=0.0), max(of_stage.values())
    seconds = time.monotonic() - began
    cells = (f"{written / 2**20:,.0f}", f"{int(lines[-1]):,}", *(f"{each:.0f}" for each in (first, apart, together)))
    return f"| {name} | {' | '.join(cells)} | {seconds:.0f} |"


def memory(process: int) -> tuple[float, float]:
    """Return the MiB of a process that are in memory, and how many have been at most."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0, 0.0
    sizes = dict(line.split()[:2] for line in status.splitlines() if line.startswith(("VmRSS", "VmHWM")))
    return int(sizes.get("VmRSS:", 0)) / 1024, int(sizes.get("VmHWM:", 0)) / 1024


def children(process: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{process}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except OSError:
        return []
    return [each for child in found for each in (child, *children(child))]


if __name__ == "__main__":
    main()
