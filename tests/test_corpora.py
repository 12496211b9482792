"""The sample corpora are what their README says, and a bot learns from them."""

import re
from pathlib import Path

import pytest
from small import tables

import s2sbot
from s2sbot.plugins import Plugins
from s2sbot.text import CorpusReport, Rules, open_corpus, read_corpus

CORPORA = Path(__file__).parents[1] / "corpora"


def read(name):
    report = CorpusReport()
    corpus = open_corpus(CORPORA / name)
    documents = list(read_corpus(corpus, Plugins().readers(), report=report, rules=Rules()))
    return corpus, report, [exchange for document in documents for exchange in document.exchanges]


def test_the_series_has_episodes_cues_and_the_imperfections_of_real_files():
    corpus, report, exchanges = read("night-ferry")
    assert (corpus.kind, corpus.licence) == ("chat", "CC0-1.0")
    assert (report.files, report.cues, report.exchanges) == (14, 1985, 1938)
    assert not report.skipped
    raw = "".join(path.read_text("utf-8") for path in (CORPORA / "night-ferry").glob("*.srt"))
    assert raw.count("<i>") > 20
    assert len(re.findall(r"^\[[A-Z ]+\]$|^\([a-z ]+\)", raw, re.MULTILINE)) > 20
    assert len(re.findall(r"^- .*\n- ", raw, re.MULTILINE)) > 40
    for exchange in exchanges:
        for line in (exchange.source, exchange.target):
            assert not re.search(r"[\[\]<>{}()]|^-", line), line


def test_the_series_answers_what_people_say_first():
    _, _, exchanges = read("night-ferry")
    sources = {exchange.source for exchange in exchanges}
    for line in ("Hello.", "Who are you?", "What is your name?", "Where are we going?", "I am tired.", "Good night."):
        assert line in sources


def test_the_phrases_are_pairs_and_those_to_check_are_new():
    corpus, report, exchanges = read("harbour-phrases")
    assert (corpus.kind, corpus.languages, corpus.licence) == ("translate", ("en", "fr"), "CC0-1.0")
    assert report.exchanges == 1457
    check = [line.split("\t") for line in (CORPORA / "harbour-phrases" / "check.tsv").read_text("utf-8").splitlines()]
    assert len(check) == 40
    assert not {source for source, _ in check} & {exchange.source for exchange in exchanges}


def test_the_readme_says_how_large_they_are():
    text = (CORPORA / "README.md").read_text("utf-8")
    for number in ("1,985 cues", "1,938 exchanges", "1,457 pairs"):
        assert number in text


@pytest.mark.slow
def test_a_bot_learns_from_the_series(tmp_path):
    settings = tables(steps=450, select=None, batch_tokens=None, learning_rate=0.004, validations=2, threads=1)
    settings = {"train": settings["train"], "model": {"hidden_size": 96, "embedding_size": 64}}
    with s2sbot.training(CORPORA / "night-ferry", bot=tmp_path / "ferry.bot", settings=settings) as run:
        events = list(run)
    # all tokens alike would be 877, and knowing how often each occurs 147 (benchmarks/ngram.py)
    assert events[-1].perplexity < 45
    assert s2sbot.load(tmp_path / "ferry.bot").reply("Good night.").text
