"""How well subtitles of two languages are paired when the clock of one is spoilt: precision and recall by kind of harm.

    python benchmarks/alignment.py ../shared/data/subs

FOLDER holds `onepace/EPISODE.LANGUAGE.ass`. Its translators kept most times of the English, so that equal times say
which cues belong together; the other side is then shifted, stretched, shaken, cut anew, thinned out and mixed with
cues of another episode, and paired by `align`. Every second episode was used to tune weights and score and is left
out, and so is one whose clocks differ. With `3b1b/TALK.LANGUAGE.srt` beside it, `--show 50` prints pairs drawn at
random, to be judged by eye.

A pair is right when it is made of whole groups of cues that belong together; wrong when it cuts one or holds a cue
that has no counterpart. Recall counts the cues with equal times, found in right pairs.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pysubs2

from s2sbot.plugins import Plugins
from s2sbot.text.alignment import AlignedPair, TimeMap, align, find_alignment, find_time_map
from s2sbot.text.archives import Archives
from s2sbot.text.dialogue import Cue
from s2sbot.text.documents import Document, find_documents
from s2sbot.text.reading import read_cues

SPOKEN = re.compile(r"(main|secondary|flashback|thought|roger|OP Normal2|enmedio|recuerdo|pensante|denden)", re.I)
RATES = (24 / 25, 25 / 24, 23.976 / 25, 25 / 23.976, 24 / 23.976, 23.976 / 24, 1.0)
LEAST_EQUAL = 0.3
"""Share of English cues with equal times below which the times of an episode say too little."""
THRESHOLDS = (0.0, 0.3, 0.5, 0.7, 0.9, 0.95)
Links = tuple[set[int], set[int]]
Pairing = list[tuple[tuple[int, ...], tuple[int, ...], float]]


@dataclass(frozen=True, slots=True)
class Harm:
    """What is done to one side: shares of cues, seconds of jitter, and whether the clock is moved."""

    split: float = 0.0
    merge: float = 0.0
    drop: float = 0.0
    insert: float = 0.0
    recut: bool = False
    jitter: float = 0.0
    shift: bool = False
    stretch: bool = False
    cut: bool = False


HARMS = {
    "nothing": Harm(),
    "shift": Harm(shift=True),
    "shift, rate": Harm(shift=True, stretch=True),
    "shift, rate, jitter 0.25 s": Harm(shift=True, stretch=True, jitter=0.25),
    "shift, rate, jitter 0.4 s": Harm(shift=True, stretch=True, jitter=0.4),
    "15 % split, 15 % merged": Harm(split=0.15, merge=0.15),
    "10 % dropped, 10 % inserted": Harm(drop=0.1, insert=0.1),
    "a minute cut in": Harm(shift=True, cut=True),
    "all, jitter 0.25 s": Harm(0.12, 0.12, 0.05, 0.05, False, 0.25, True, True),
    "all, harder, jitter 0.5 s": Harm(0.2, 0.2, 0.1, 0.1, False, 0.5, True, True),
    "cut anew, jitter 0.3 s": Harm(recut=True, jitter=0.3, shift=True, stretch=True),
}


@dataclass(frozen=True, slots=True)
class Case:
    """Both sides as `align` gets them, and which cues belong together: `links` before the harm, `origins` after it."""

    source: list[Cue]
    target: list[Cue]
    origins: list[frozenset[int]]
    links: list[Links]
    equal: set[tuple[int, int]]


def read_episode(path: Path) -> list[Cue]:
    """Return what is spoken in an episode of One Pace."""
    events = pysubs2.load(str(path), encoding="utf-8-sig").events
    return [
        Cue(event.start / 1000, event.end / 1000, event.plaintext)
        for event in events
        if not event.is_comment and SPOKEN.match(event.style) and event.plaintext.strip()
    ]


def find_links(source: Sequence[Cue], target: Sequence[Cue], tolerance: float) -> tuple[list[Links], set]:
    """Return the sets of cues that belong together by their times, and the pairs whose times are equal."""
    if tolerance:
        target = [_on_clock_of(source, cue, tolerance) for cue in target]
    here, there = (Counter((cue.start, cue.end) for cue in side) for side in (source, target))
    place = {(cue.start, cue.end): number for number, cue in enumerate(target)}
    equal = {
        (number, place[cue.start, cue.end])
        for number, cue in enumerate(source)
        if here[cue.start, cue.end] == there[cue.start, cue.end] == 1
    }
    bound = [{i for i, _ in equal}, {j for _, j in equal}]
    joined = list(equal)
    for i, one in enumerate(source):
        for j, other in enumerate(target):
            shared = min(one.end, other.end) - max(one.start, other.start)
            if shared > 0.3 * min(one.end - one.start, other.end - other.start) and not (
                i in bound[0] or j in bound[1]
            ):
                joined.append((i, j))
    nodes = [("s", i) for i in range(len(source))] + [("t", j) for j in range(len(target))]
    sets = components(nodes, [(("s", i), ("t", j)) for i, j in joined])
    return [({n for side, n in part if side == "s"}, {n for side, n in part if side == "t"}) for part in sets], equal


def _on_clock_of(source: Sequence[Cue], cue: Cue, tolerance: float) -> Cue:
    near = [one for one in source if max(abs(one.start - cue.start), abs(one.end - cue.end)) < tolerance]
    return replace(cue, start=near[0].start, end=near[0].end) if len(near) == 1 else cue


def components(nodes: Iterable, edges: Iterable[tuple]) -> list[set]:
    """Return the connected components of a graph."""
    parent = {node: node for node in nodes}

    def root(node):
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for one, other in edges:
        parent[root(one)] = root(other)
    found: dict = {}
    for node in parent:
        found.setdefault(root(node), set()).add(node)
    return list(found.values())


def harm_cues(
    cues: Sequence[Cue], harm: Harm, strangers: Sequence[Cue], chance: random.Random
) -> list[tuple[Cue, frozenset[int]]]:
    """Return the cues after the harm, each with the numbers of those it was made of."""
    kept = sorted(((cue, frozenset([n])) for n, cue in enumerate(cues)), key=lambda each: each[0].start)
    kept = [each for each in kept if chance.random() >= harm.drop]
    done: list[tuple[Cue, frozenset[int]]] = []
    while kept:
        cue, origin = kept.pop(0)
        words = cue.text.split()
        if kept and chance.random() < harm.merge and kept[0][0].start - cue.end < 1.5:
            other, more = kept.pop(0)
            text = f"{cue.text} {other.text}"
            done.append((Cue(cue.start, max(cue.end, other.end), text), origin | more))
        elif len(words) >= 4 and chance.random() < harm.split:
            place = chance.randint(2, len(words) - 2)
            left, right = " ".join(words[:place]), " ".join(words[place:])
            middle = cue.start + (cue.end - cue.start) * len(left) / (len(left) + len(right))
            done += [(Cue(cue.start, middle, left), origin), (Cue(middle, cue.end, right), origin)]
        else:
            done.append((cue, origin))
    if harm.recut:
        done = recut(done, chance)
    begin, end = done[0][0].start, done[-1][0].end
    for _ in range(int(harm.insert * len(done))):
        start, stranger = chance.uniform(begin, end), chance.choice(strangers)
        done.append((Cue(start, start + stranger.end - stranger.start, stranger.text), frozenset()))
    rate = chance.choice(RATES) if harm.stretch else 1.0
    offset = chance.uniform(-240, 240) if harm.shift else 0.0
    cut = chance.uniform(begin + (end - begin) * 0.3, begin + (end - begin) * 0.7) if harm.cut else end + 1e6

    def moved(seconds: float, at: float) -> float:
        return (seconds + chance.gauss(0, harm.jitter) + (60.0 if at > cut else 0.0) - offset) / rate

    shaken = [(Cue(moved(c.start, c.start), moved(c.end, c.start), c.text), origin) for c, origin in done]
    return sorted(shaken, key=lambda each: each[0].start)


def recut(cues: Sequence[tuple[Cue, frozenset[int]]], chance: random.Random) -> list[tuple[Cue, frozenset[int]]]:
    """Return the same words in lines of 4 to 10, as another translator might have cut them."""
    lines: list[list[tuple[str, float, float, frozenset[int]]]] = [[]]
    size = chance.randint(4, 10)
    for cue, origin in cues:
        words = cue.text.split()
        for number, word in enumerate(words):
            start, end = (cue.start + (cue.end - cue.start) * (number + n) / len(words) for n in (0, 1))
            ended = lines[-1] and re.search(r"[.!?…]$", lines[-1][-1][0]) and number == 0 and chance.random() < 0.8
            if lines[-1] and (len(lines[-1]) >= size or start - lines[-1][-1][2] > 1.0 or ended):
                lines.append([])
                size = chance.randint(4, 10)
            lines[-1].append((word, start, end, origin))
    return [
        (
            Cue(line[0][1], line[-1][2], " ".join(word for word, *_ in line)),
            frozenset().union(*(word[3] for word in line)),
        )
        for line in lines
    ]


def make_case(folder: Path, episode: str, name: str, language: str, stranger: str) -> Case:
    """Return an episode with one side harmed, the same at every run."""
    chance = random.Random(f"{episode} {name} {language}")
    source, target, strangers = (
        read_episode(folder / f"{title}.{tongue}.ass")
        for title, tongue in ((episode, "en"), (episode, language), (stranger, language))
    )
    links, equal = find_links(source, target, 0.0 if language == "de" else 0.25)
    harmed = harm_cues(target, HARMS[name], strangers, chance)
    return Case(source, [cue for cue, _ in harmed], [origin for _, origin in harmed], links, equal)


def judge(case: Case, pairs: Pairing) -> tuple[list[tuple[bool, float]], int, int]:
    """Return whether each pair that can be judged is right, with its score; how many links there are, and are found."""
    group_of = {(side, n): number for number, link in enumerate(case.links) for side in (0, 1) for n in link[side]}
    edges = [((1, a), (1, b)) for origin in case.origins for a in origin for b in origin if a < b]
    edges += [(("g", number), (side, n)) for (side, n), number in group_of.items()]
    nodes = [*group_of, *(("g", number) for number in range(len(case.links)))]
    cluster = {node: k for k, part in enumerate(components(nodes, edges)) for node in part}
    source = {i: cluster[0, i] for i in range(len(case.source))}
    target = {
        j: cluster[1, min(origin)] if origin else -1 - j for j, origin in enumerate(case.origins)
    }  # below 0: inserted
    members = [Counter(side.values()) for side in (source, target)]
    truth = {cluster[0, i] for i, _ in case.equal if members[1][cluster[0, i]]}
    judged, found = [], set()
    for left, right, score in pairs:
        touched = {source[i] for i in left} | {target[j] for j in right}
        whole = Counter(source[i] for i in left), Counter(target[j] for j in right)
        good = all(whole[side][k] == members[side][k] > 0 for k in touched for side in (0, 1))
        stray = any(not members[0][k] or not members[1][k] for k in touched)
        if touched & truth or stray:
            judged.append((good, score))
        found |= touched & truth if good else set()
    return judged, len(truth), len(found)


def by_align(source: Sequence[Cue], target: Sequence[Cue]) -> Pairing:
    """Pair by `align`."""
    return [(pair.source_cues, pair.target_cues, pair.score) for pair in align(source, target)]


def by_start(source: Sequence[Cue], target: Sequence[Cue]) -> Pairing:
    """Pair cues that are each other's nearest by their start."""
    apart = np.abs(np.subtract.outer([cue.start for cue in source], [cue.start for cue in target]))
    nearest = apart.argmin(axis=1)
    return [((i,), (int(j),), 1.0) for i, j in enumerate(nearest) if apart[:, j].argmin() == i]


def by_start_on_clock(source: Sequence[Cue], target: Sequence[Cue]) -> Pairing:
    """Pair by start after the clock has been found."""
    line: TimeMap = find_time_map(source, target)
    starts = line(np.array([cue.start for cue in target]))
    return by_start(source, [replace(cue, start=float(start)) for cue, start in zip(target, starts, strict=True)])


def measure(cases: Sequence[Case], method: Callable[..., Pairing]) -> tuple[float, float, list[tuple[bool, float]]]:
    """Return precision and recall over all cases, and every judgement."""
    judged: list[tuple[bool, float]] = []
    links = found = 0
    for case in cases:
        more, there, right = judge(case, method(case.source, case.target))
        judged += more
        links, found = links + there, found + right
    return sum(good for good, _ in judged) / max(len(judged), 1), found / max(links, 1), judged


def report(folder: Path, languages: Sequence[str], every: int) -> None:
    """Print the tables: harms, scores, unrelated episodes, speed."""
    episodes = sorted({path.name.split(".")[0] for path in folder.glob("*.ass")})
    held = episodes[1::2][::every]
    for language in languages:
        print(f"\nen-{language}, {len(held)} episodes{'':19} align P      R  start P      R  +clock P      R")
        everything: list[tuple[bool, float]] = []
        for name in HARMS:
            strangers = [episodes[(episodes.index(episode) + 7) % len(episodes)] for episode in held]
            cases = [
                make_case(folder, episode, name, language, other)
                for episode, other in zip(held, strangers, strict=True)
            ]
            cases = [case for case in cases if len(case.equal) >= LEAST_EQUAL * len(case.source)]
            results = [measure(cases, method) for method in (by_align, by_start, by_start_on_clock)]
            everything += results[0][2]
            figures = "  ".join(f"{precision:9.3f} {recall:6.3f}" for precision, recall, _ in results)
            print(f"{name:32} {figures}", flush=True)
        print(f"({len(cases)} episodes with enough equal times)")
        print("score at least    share of pairs    precision")
        for least in THRESHOLDS:
            good = [right for right, score in everything if score >= least]
            print(f"{least:14.2f} {len(good) / len(everything):17.3f} {sum(good) / len(good):12.4f}")
    report_strangers(folder, held)


def report_strangers(folder: Path, held: Sequence[str]) -> None:
    """Print how far two episodes look like one."""
    episodes = sorted({path.name.split(".")[0] for path in folder.glob("*.ass")})
    found = [
        find_alignment(read_episode(folder / f"{episode}.en.ass"), read_episode(folder / f"{other}.de.ass"))
        for episode in held
        for other in [episodes[(episodes.index(episode) + 3) % len(episodes)]]
    ]
    means = [float(np.mean([pair.score for pair in one.pairs])) for one in found if one.pairs]
    kinship = max(one.kinship for one in found)
    print(f"\nunrelated episodes: mean score at most {max(means):.3f}, kinship at most {kinship:.2f}")


def report_speed(folder: Path) -> None:
    """Print how long a film of 1,500 cues takes: episodes in a row."""
    sides: list[list[Cue]] = []
    for language in ("en", "de"):
        cues: list[Cue] = []
        for path in sorted(folder.glob(f"*.{language}.ass"))[:6]:
            begin = cues[-1].end + 30 if cues else 0.0
            cues += [replace(cue, start=cue.start + begin, end=cue.end + begin) for cue in read_episode(path)]
        sides.append(cues[:1500])
    begin = time.perf_counter()
    align(*sides)
    print(f"{len(sides[0]):,} and {len(sides[1]):,} cues: {time.perf_counter() - begin:.2f} s")


def show(folder: Path, count: int) -> None:
    """Print pairs of the talks, drawn at random."""
    readers = Plugins().readers()
    found: list[tuple[str, AlignedPair]] = []
    for path in sorted(folder.glob("*.??.srt")):
        english = path.with_name(f"{path.name[:-7]}.en.srt")
        if path != english and english.exists():
            with Archives() as archives:
                sides = [
                    read_cues(document, readers, archives)
                    for side in (english, path)
                    for document in find_documents(side)
                    if isinstance(document, Document)
                ]
            found += [(path.name, pair) for pair in align(*sides)]
    for name, pair in random.Random(77).sample(found, count):
        print(f"\n{name} {pair.score:.2f}\n  {pair.source}\n  {pair.target}")


def main() -> None:
    """Read the arguments and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--languages", nargs="+", default=["de", "fr", "es"])
    parser.add_argument("--every", type=int, default=1, help="take every n-th of the held-out episodes")
    parser.add_argument("--show", type=int, default=0, help="pairs of the talks to print instead")
    arguments = parser.parse_args()
    if arguments.show:
        show(arguments.folder / "3b1b", arguments.show)
        return
    report(arguments.folder / "onepace", arguments.languages, arguments.every)
    report_speed(arguments.folder / "onepace")


if __name__ == "__main__":
    main()
