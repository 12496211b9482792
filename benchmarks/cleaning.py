"""What every stage of cleaning is worth: the same model, the same number of updates, each stage on and off.

    python benchmarks/cleaning.py sample FOLDER > sample.tsv     # draw exchanges from the episodes kept apart, to judge
    python benchmarks/cleaning.py run FOLDER [--out RESULTS.jsonl] [--steps 1200] [--seeds 1 2]
    python benchmarks/cleaning.py count FOLDER                 # the same with a 5-gram model, which has no chance in it
    python benchmarks/cleaning.py report RESULTS.jsonl

FOLDER holds `subs/onepace/onepace_en.zip`. Five episodes are kept apart, always the same. Of these, exchanges that
were drawn at random and judged by hand to be whole, clean, and said by two speakers as far as can be told, are the
reference: `judged/reference.tsv` says where each of them stands, by the beginnings of its cues, so that no rule has a
say in what the reference is. Each variant learns from the other episodes with its own vocabulary, so perplexity is
counted a word, line ends included.

Training has chance in it: a few exchanges more or less change the order of all batches, so a stage is looked at over
several seeds. The 5-gram model (interpolated Kneser-Ney, over source and target as one line, of which the target is
scored) has none: what changes there is the data alone, though it sees no more of the source than its end.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import statistics
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
from ngram import KneserNey

import s2sbot
from s2sbot import BOS, EOS, SEP, Cue
from s2sbot.nn import Packed, evaluate
from s2sbot.plugins import Plugins
from s2sbot.preparation import Prepared, prepare
from s2sbot.settings import DataSettings
from s2sbot.text import CorpusReport, Rules, encode_source, open_corpus, read_corpus
from s2sbot.text.cleaning import one_line

APART = (
    "01_romance_dawn_03", "14_skypiea_13", "16_water_seven_12", "24_post_war_02", "30_whole_cake_island_20",
)  # fmt: skip
DRAWN = 320
SEED = 7
REFERENCE = Path(__file__).parent / "judged" / "reference.tsv"
STAGES = {
    "all on": "",
    "order, repeated cues": "order,repeated,bilingual",
    "signs, drawings, comments, karaoke": "signs,drawings,comments,karaoke",
    "songs": "songs",
    "notes and labels": "notes,labels",
    "advertising and credits": "credits",
    "sentences over several cues": "sentences,fragments",
    "two speakers in a cue": "dashes",
    "speakers by name": "speakers",
    "scenes": "scenes",
    "length, letters, echo": "length,letters,echo",
    "duplicates": "duplicates",
    "cap on replies": "replies",
    "all off": "order,repeated,bilingual,signs,drawings,comments,karaoke,songs,notes,labels,credits,sentences,"
    "fragments,unpunctuated,dashes,speakers,scenes,length,letters,echo,duplicates,replies,overlap,mojibake",
}
MODEL = {"hidden_size": 128, "embedding_size": 96}
VOCABULARY = 2_000


def main() -> None:
    """Draw, run or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    draw = actions.add_parser("sample")
    draw.add_argument("folder", type=Path)
    run = actions.add_parser("run")
    run.add_argument("folder", type=Path)
    run.add_argument("--out", type=Path, default=Path("cleaning.jsonl"))
    run.add_argument("--steps", type=int, default=1200)
    run.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    counting = actions.add_parser("count")
    counting.add_argument("folder", type=Path)
    told = actions.add_parser("report")
    told.add_argument("results", type=Path)
    arguments = parser.parse_args()
    if arguments.action == "sample":
        sample(arguments.folder)
    elif arguments.action == "count":
        count_all(arguments.folder)
    elif arguments.action == "run":
        run_all(arguments.folder, arguments.out, arguments.steps, arguments.seeds)
    else:
        report(arguments.results)


def episodes(folder: Path) -> dict[str, list[Cue]]:
    """Return the cues of the episodes that are kept apart."""
    reader = Plugins().readers()["ass"]
    found = {}
    with zipfile.ZipFile(folder / "subs/onepace/onepace_en.zip") as archive:
        for name in archive.namelist():
            if name.startswith(APART):
                with archive.open(name) as stream:
                    found[name] = [item for item in reader.read(stream, name) if isinstance(item, Cue)]
    return found


def sample(folder: Path) -> None:
    """Write exchanges from the episodes kept apart, with the beginnings of the cues that each side is made of."""
    cues = episodes(folder)
    with tempfile.TemporaryDirectory() as place:
        unpack(folder, Path(place), apart=True)
        documents = read_corpus(open_corpus(Path(place)), Plugins().readers(), report=CorpusReport(), rules=Rules())
        pool = [exchange for document in documents for exchange in document.exchanges]
    writer = csv.writer(sys.stdout, delimiter="\t", lineterminator="\n")
    writer.writerow(("file", "source_starts", "target_starts", "source", "target"))
    for exchange in random.Random(SEED).sample(pool, DRAWN):
        found = cues[exchange.origin.file]
        source = made_of(exchange.source, found, exchange.origin.seconds or 0.0)
        target = made_of(exchange.target, found, source[-1] if source else 0.0)
        if source and target:
            starts = (" ".join(f"{start:.3f}" for start in side) for side in (source, target))
            writer.writerow((exchange.origin.file, *starts, exchange.source, exchange.target))


def made_of(text: str, cues: list[Cue], after: float) -> list[float]:
    """Return the beginnings of the cues that a turn is made of, from some time on; none where it is not whole ones."""
    spoken = sorted((cue for cue in cues if cue.mark is None), key=lambda cue: cue.start)
    for place, cue in enumerate(spoken):
        if cue.start < after - 0.001 or not text.startswith(one_line(cue.text)):
            continue
        starts, made = [], ""
        for part in spoken[place : place + 12]:
            longer = f"{made} {one_line(part.text)}".strip()
            if text.startswith(longer):
                starts.append(part.start)
                made = longer
            if made == text:
                return starts
        if cue.start > after + 60:
            break
    return []


def reference(folder: Path) -> list[tuple[str, str]]:
    """Return the exchanges of the reference as text."""
    cues = {
        name: [(round(cue.start, 3), one_line(cue.text)) for cue in found if cue.mark is None]
        for name, found in episodes(folder).items()
    }
    pairs = []
    with REFERENCE.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            sides = []
            for side in ("source_starts", "target_starts"):
                texts = []
                for part in row[side].split(" "):
                    start, _, number = part.partition("#")
                    here = [text for begin, text in cues[row["file"]] if begin == float(start)]
                    texts.append(here[int(number or 0)])
                sides.append(" ".join(texts))
            pairs.append((sides[0], sides[1]))
    return pairs


def unpack(folder: Path, place: Path, *, apart: bool) -> None:
    """Write the episodes that are kept apart, or all others, into a folder."""
    with zipfile.ZipFile(folder / "subs/onepace/onepace_en.zip") as archive:
        for name in archive.namelist():
            if name.startswith(APART) == apart:
                (place / name).write_bytes(archive.read(name))


def run_all(folder: Path, out: Path, steps: int, seeds: list[int]) -> None:
    """Train and score every variant that has no result yet, and write a line for each."""
    done = {(row["stage"], row["seed"], row["steps"]) for row in results(out)} if out.is_file() else set()
    pairs = reference(folder)
    with tempfile.TemporaryDirectory() as place:
        films = Path(place) / "films"
        films.mkdir()
        unpack(folder, films, apart=False)
        for seed in seeds:
            for stage, without in STAGES.items():
                if (stage, seed, steps) not in done:
                    row = {"stage": stage, "seed": seed, "steps": steps, **score(films, pairs, without, steps, seed)}
                    with out.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps(row) + "\n")
                    print(row, flush=True)


def score(films: Path, pairs: list[tuple[str, str]], without: str, steps: int, seed: int) -> dict[str, float]:
    """Train one model, and return its perplexity a word on the reference."""
    settings = {
        "data": {"without": without, "vocab_size": VOCABULARY},
        "model": MODEL,
        "train": {
            "steps": steps,
            "seed": seed,
            "threads": 1,
            "validations": 1,
            "select": "last",
            "batch_tokens": 1_000,
        },
    }
    with tempfile.TemporaryDirectory() as place:
        with s2sbot.training(films, bot=Path(place) / "a.bot", settings=settings) as run:
            last = list(run)[-1]
        bot = s2sbot.load(Path(place) / "a.bot", device="cpu")
        facts = json.loads((Path(place) / "a.bot" / "training" / "data" / "data.json").read_text("utf-8"))["facts"]
    packed = Packed.pack(
        (encode_source(bot.source_tokenizer, source), bot.target_tokenizer.encode(target)) for source, target in pairs
    )
    with torch.no_grad():
        found = evaluate(bot.model, packed, batch_tokens=4_000)
    words = sum(len(target.split()) + 1 for _, target in pairs)
    return {
        "exchanges": facts["exchanges"]["train"],
        "epochs": round(last.epoch, 2),
        "word_perplexity": math.exp(found.nats / words),
    }


def count_all(folder: Path) -> None:
    """Print the perplexity a word of a 5-gram model on the reference: each stage off, and each alone on."""
    pairs = reference(folder)
    everything = set(STAGES["all off"].split(","))
    print(
        "| stage | exchanges without it | perplexity a word | beside all on | exchanges with it alone | perplexity | "
    )
    print("| --- | --- | --- | --- | --- | --- |")
    base = 0.0
    with tempfile.TemporaryDirectory() as place:
        films = Path(place) / "films"
        films.mkdir()
        unpack(folder, films, apart=False)
        for stage, without in STAGES.items():
            count, found = counted(films, pairs, without)
            base = base or found
            row = f"| {stage} | {count:,} | {found:.1f} | {found / base:.3f} |"
            if not stage.startswith("all "):
                count, found = counted(films, pairs, ",".join(sorted(everything - set(without.split(",")))))
                row += f" {count:,} | {found:.1f} |"
            else:
                row += " | |"
            print(row, flush=True)


def counted(films: Path, pairs: list[tuple[str, str]], without: str) -> tuple[int, float]:
    """Return how many exchanges there are to count, and the perplexity a word of the reference."""
    with tempfile.TemporaryDirectory() as place:
        data = DataSettings(without=without, vocab_size=VOCABULARY)
        *_, made = prepare([open_corpus(films)], [], data, Plugins(), out=Path(place) / "out")
        assert isinstance(made, Prepared)
        tokenizer = made.tokenizers[0]
        rows = (made.train.row(row) for row in range(len(made.train)))
        model = KneserNey(([*source, SEP, *target] for source, target in rows), 5, len(tokenizer))
        nats = sum(
            nats_of(model, [*tokenizer.encode(source), SEP], tokenizer.encode(target)) for source, target in pairs
        )
    words = sum(len(target.split()) + 1 for _, target in pairs)
    return len(made.train), math.exp(nats / words)


def nats_of(model: KneserNey, begin: list[int], rest: list[int]) -> float:
    """Return what the rest of a line, its end included, costs after its beginning."""
    line = [BOS] * (model.order - 1) + begin + rest + [EOS]
    ends = range(len(line) - len(rest), len(line) + 1)
    return -sum(math.log(model.probability(tuple(line[end - model.order : end]))) for end in ends)


def results(path: Path) -> Iterator[dict[str, float | int | str]]:
    """Yield the results in a file."""
    for line in path.read_text("utf-8").splitlines():
        yield json.loads(line)


def report(path: Path) -> None:
    """Print the results as a table, each stage beside the one with all on."""
    rows = defaultdict(list)
    for row in results(path):
        rows[row["stage"]].append(row)
    base = {row["seed"]: row["word_perplexity"] for row in rows["all on"]}
    print("| stage off | exchanges | perplexity a word | beside all on | seeds |\n| --- | --- | --- | --- | --- |")
    for stage in STAGES:
        if not rows[stage]:
            continue
        ratios = [row["word_perplexity"] / base[row["seed"]] for row in rows[stage]]
        middle = statistics.mean(row["word_perplexity"] for row in rows[stage])
        spread = f" ({min(ratios):.3f} to {max(ratios):.3f})" if len(ratios) > 1 else ""
        name = "none" if stage == "all on" else stage
        count = rows[stage][0]["exchanges"]
        print(f"| {name} | {count:,} | {middle:.1f} | {statistics.mean(ratios):.3f}{spread} | {len(ratios)} |")


if __name__ == "__main__":
    main()
