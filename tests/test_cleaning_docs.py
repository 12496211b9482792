"""`docs/cleaning.md` has every rule in its order, in its own words, and all its examples are true."""

import re
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from s2sbot import Cue, Exchange
from s2sbot.plugins import Plugins
from s2sbot.preparation import prepare
from s2sbot.settings import DataSettings, build
from s2sbot.tables import parse_assignment
from s2sbot.text import Corpus, Rules, cues_to_dialogues, open_corpus
from s2sbot.text.reading import DocumentReport, fit_exchanges
from s2sbot.text.rules import RULES

DOCS = (Path(__file__).parents[1] / "docs" / "cleaning.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^### `(.+?)`\n(.*?)(?=^##|\Z)", DOCS, re.MULTILINE | re.DOTALL))
EXAMPLES = [
    (name, block)
    for name, section in SECTIONS.items()
    for block in re.findall(r"^```example\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
]
ACROSS = ("duplicates", "near-duplicates", "overlap", "replies")
"""Rules that look at all files together."""
CUE = re.compile(r"([\d.]+)-([\d.]+)(?: style=(\S+))?(?: mark=(\S+))?(?: speaker=(\S+))?: (.*)")
UNLIKE = "Something quite unlike all else. => A long time ago it was."
"""Held out where an example holds nothing out."""


@dataclass
class Example:
    cues: list[Cue] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    comes_out: list[str] = field(default_factory=list)
    comes_out_without: list[str] = field(default_factory=list)
    counts: int = 0
    kind: str = "chat"
    without: str = ""
    settings: dict = field(default_factory=dict)

    @classmethod
    def parse(cls, block):
        """Read a block of the page; a line that says nothing is an error."""
        example = cls()
        for line in block.splitlines():
            word, _, rest = line.partition(" ")
            if found := CUE.fullmatch(line):
                text = found[6].replace(" / ", "\n")
                example.cues.append(Cue(float(found[1]), float(found[2]), text, found[5], found[3], found[4]))
            elif found := re.fullmatch(r"(\d+) times: (.*)", line):
                for number in range(int(found[1])):
                    example.cues.append(Cue(3.0 * number, 3.0 * number + 1, found[2].format(n=number)))
            elif word == "set:":
                _, key, value = parse_assignment(f"data.{rest}")
                example.settings[key] = value
            elif word == "counts:":
                example.counts = int(rest)
            elif word in ("kind:", "without:"):
                setattr(example, word[:-1], rest)
            else:
                lists = {
                    "pair:": example.pairs,
                    "held:": example.held,
                    "->": example.comes_out,
                    "off>": example.comes_out_without,
                }
                lists[word].append(rest)
        return example

    def run(self, name, *, without=""):
        """Return the lines that come out, and what a rule counted."""
        off = ",".join(filter(None, (self.without, without)))
        settings = build(DataSettings, {**self.settings, "without": off}, "data")
        if name in ACROSS:
            return self._prepared(name, settings)
        if self.cues:
            counts: Counter[str] = Counter()
            dialogues = list(cues_to_dialogues(self.cues, "film.srt", rules=Rules.of(settings), counts=counts))
            texts = [[turn.text for turn in dialogue.turns] for dialogue in dialogues]
            return [line for turns in texts for line in ["* * *", *turns]][1:], counts[name]
        corpus = Corpus(Path("pairs.tsv"), "pairs.tsv", languages=("en", "de") if self.kind == "translate" else ())
        report = DocumentReport("pairs.tsv")
        kept = [
            f"{fit.source} => {fit.target}"
            for pair in self.pairs
            for fit in fit_exchanges(Exchange(*pair.split(" => ")), corpus, Rules.of(settings), report, 0)
        ]
        return kept, report.rules[name]

    def _prepared(self, name, settings):
        values = {"tokenizer": "bytes", "max_length": 400, **self.settings, "without": settings.without}
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, "pairs.tsv"), Path(folder, "held.tsv")]
            for path, pairs in zip(paths, (self.pairs, self.held or [UNLIKE]), strict=True):
                path.write_text("".join(pair.replace(" => ", "\t") + "\n" for pair in pairs), "utf-8")
            out = Path(folder, "out")
            out.mkdir()
            corpora = [[open_corpus(path)] for path in paths]
            *_, made = prepare(*corpora, DataSettings(**values), Plugins(), out=out, workers=1)
            decode = made.tokenizers[0].decode
            kept = [" => ".join(map(decode, made.train.row(row))) for row in range(len(made.train))]
            card = (out / "card.json").read_text("utf-8")
            found = re.search(rf'"name": "{name}",.*?"count": (\d+)', card, re.DOTALL)
            return kept, int(found[1])


def fits(lines, expected):
    """Tell whether lines are as expected, where `...` stands for any number of others."""
    if "..." not in expected:
        return lines == expected
    place = expected.index("...")
    rest = expected[place + 1 :]
    return (
        lines[:place] == expected[:place] and place + len(rest) < len(lines) and lines[len(lines) - len(rest) :] == rest
    )


def test_every_rule_has_its_place_and_there_are_no_others():
    assert list(SECTIONS) == list(RULES)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_told_in_its_own_words_and_how_to_switch_it_off(name):
    rule = RULES[name]
    first = SECTIONS[name].strip().split("\n\n")[0]
    plain = re.sub(r"\\(.)", r"\1", first)
    assert plain == f"It {rule.does} {rule.what}: {rule.text}. Off: `--without {name}`."
    assert re.search(r"\bCounts\b", SECTIONS[name])
    assert re.search(r"^Why: ", SECTIONS[name], re.MULTILINE)
    assert [of for of, _ in EXAMPLES].count(name) > 0, "an example"


def test_every_rule_that_looks_at_one_file_is_in_the_table_of_counts():
    table = DOCS.partition("## How often they fire")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE) == [name for name in RULES if name not in ACROSS]


@pytest.mark.parametrize(("name", "block"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_is_true(name, block):
    example = Example.parse(block)
    lines, count = example.run(name)
    assert fits(lines, example.comes_out), lines
    assert count == example.counts > 0
    without, uncounted = example.run(name, without=name)
    assert without != lines, "the rule changes something"
    assert uncounted == 0
    if example.comes_out_without:
        expected = [line.replace(" / ", " ") for line in example.comes_out_without]
        assert fits(without, expected), without


def test_other_lines_than_those_of_the_notation_are_found():
    with pytest.raises(KeyError):
        Example.parse("0-2 Good evening.\n")
    assert not fits(["a", "b"], ["a"])
    assert not fits(["a"], ["...", "a"])
    assert fits(["x", "y", "a"], ["...", "a"])
