"""A vocabulary is learnt from the exchanges to learn from with the lowest draws, as many as may be."""

import json

import numpy as np
import pytest
from preparations import made, write_dialogues, write_films, write_pairs

from s2sbot import Progress
from s2sbot.errors import TokenizerError
from s2sbot.plugins import Plugins
from s2sbot.preparation import plan, vocabulary
from s2sbot.preparation.choosing import LEFT_OUT, TRAIN, Choice
from s2sbot.preparation.lines import rows_of
from s2sbot.preparation.plan import make_plan
from s2sbot.preparation.reading import read_shard
from s2sbot.preparation.shards import ReadShard
from s2sbot.preparation.vocabulary import learn_tokenizers
from s2sbot.settings import DataSettings
from s2sbot.text import Rules, open_corpus


class Noted:
    """A tokenizer that keeps the lines it was made of."""

    def __init__(self, lines):
        self.lines = lines

    def __len__(self):
        return 99

    def save(self, folder):
        (folder / "lines").write_text("\n".join(self.lines), "utf-8")

    @classmethod
    def load(cls, folder):
        try:
            return cls((folder / "lines").read_text("utf-8").split("\n"))
        except OSError as error:
            raise TokenizerError("it is not there") from error

    @classmethod
    def train(cls, lines, vocab_size):
        return cls(list(lines))


class OnlyNoted(Plugins):
    def tokenizer(self, name):
        return Noted


@pytest.fixture(scope="module", params=[1, 3, 100])
def read(request, tmp_path_factory):
    """Return a folder with shards that have been read, of so many documents each, with fates for all rows."""
    folder = tmp_path_factory.mktemp("read")
    write_films(folder / "films", 8)
    write_dialogues(folder / "talk.jsonl")
    write_pairs(folder / "pairs.tsv")
    readers = Plugins().readers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "SHARD_DOCUMENTS", request.param)
        planned = make_plan([open_corpus(folder / n) for n in ("films", "talk.jsonl", "pairs.tsv")], [], readers, DATA)
    for shard in planned.shards:
        list(read_shard(folder, shard, planned.corpora[shard.corpus], readers, Rules()))
    shards = [ReadShard.load(folder / f"read-{number}.json") for number in range(len(planned.shards))]
    fates = [np.arange(sum(shard.rows), dtype=np.uint8) % 4 for shard in shards]
    for each in fates:
        each[each == 3] = LEFT_OUT + 1
    return folder, shards, Choice(fates, {"train": sum(int((each == TRAIN).sum()) for each in fates)})


DATA = DataSettings()


def learn(read, data=DATA):
    folder, shards, choice = read
    (folder / "vocabulary.json").unlink(missing_ok=True)
    return run(learn_tokenizers(folder, folder, shards, choice, data, OnlyNoted()))


def run(stages):
    said = []
    while True:
        try:
            event = next(stages)
        except StopIteration as end:
            return end.value, said
        assert isinstance(event, Progress)
        said.append(event.message)


def lowest(read, count, characters):
    """Return the sample as a simple loop over all rows finds it."""
    folder, shards, choice = read
    rows = [
        (row.draw, row.source, row.target)
        for number, shard in enumerate(shards)
        for row in rows_of(folder, number, shard, choice.fates[number])
        if row.side == "train"
    ]
    taken = []
    for row in sorted(rows):
        characters -= len(row[1]) + len(row[2])
        if len(taken) >= count or (taken and characters < 0):
            break
        taken.append(row)
    return taken


@pytest.mark.parametrize(
    ("count", "characters"), [(10**6, 10**9), (1, 10**9), (20, 10**9), (10**6, 900), (30, 700), (9, 1)]
)
def test_it_is_learnt_from_those_with_the_lowest_draws(read, monkeypatch, count, characters):
    monkeypatch.setattr(vocabulary, "LEARN_FROM", count)
    monkeypatch.setattr(vocabulary, "LEARN_CHARACTERS", characters)
    wanted = lowest(read, count, characters)
    assert wanted
    (source, target), said = learn(read)
    assert source is target
    assert source.lines == [line for _, *pair in wanted for line in pair]
    assert said == [f"learning the vocabulary (sentencepiece) from {len(wanted):,} exchanges"]


def test_two_tokenizers_learn_from_a_side_each(read):
    (source, target), _ = learn(read, DataSettings(share_tokenizer=False))
    wanted = lowest(read, 10**6, 10**9)
    assert source.lines == [source for _, source, _ in wanted]
    assert target.lines == [target for _, _, target in wanted]


def test_what_was_learnt_before_is_read_and_what_has_gone_is_learnt_again(read):
    folder, shards, choice = read
    (first, _), _ = learn(read)
    (again, _), said = run(learn_tokenizers(folder, folder, shards, choice, DATA, OnlyNoted()))
    assert (again.lines, said) == (first.lines, [])
    (folder / "tokenizer" / "lines").unlink()
    (again, _), said = run(learn_tokenizers(folder, folder, shards, choice, DATA, OnlyNoted()))
    assert again.lines == first.lines
    assert len(said) == 1


def test_few_exchanges_are_in_memory_at_a_time(read, monkeypatch):
    monkeypatch.setattr(vocabulary, "LEARN_FROM", 5)
    held = []
    lowest_of = vocabulary._lowest
    monkeypatch.setattr(vocabulary, "_lowest", lambda sample: held.append(len(sample)) or lowest_of(sample))
    learn(read)
    assert max(held) <= 11


def test_a_sample_has_not_more_of_a_reply_that_was_capped(tmp_path):
    """By the hash that a reply is capped by, all that is left of it would be in every sample."""
    rows = [f"Is it the number {n}?\tNo." for n in range(4_000)]
    rows += [f"Who is number {n}?\tSomebody called {n}." for n in range(400)]
    (tmp_path / "a.tsv").write_text("\n".join(rows) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("s2sbot.preparation.shards.SAMPLES", 100)
        made(tmp_path / "out", tmp_path / "a.tsv", reply_cap=200, valid_share=0.05)
        card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["frequent_replies"][0] == {
        "reply": "No.",
        "before": card["frequent_replies"][0]["before"],
        "after": 200,
    }
    shown = [sample["target"] for sample in card["samples"]]
    assert len(shown) == 12
    assert 1 <= shown.count("No.") <= 8
