"""Fixtures: a chat bot and a translator that know a handful of lines by heart; trained once a run."""

from functools import partial

import pytest
from small import tables, write_pairs

import s2sbot

BY_HEART = {"steps": 250, "learning_rate": 0.01, "select": "last", "validations": 1}


def _train(folder, name, **options):
    pairs = write_pairs(folder / "pairs.tsv")
    settings = tables(**BY_HEART)
    with s2sbot.training(pairs, bot=folder / name, settings=settings, **options) as run:
        for _ in run:
            pass


@pytest.fixture(scope="session")
def small_bot(once):
    """Return the folder of a chat bot that answers the lines of `small.LINES`."""
    return once("chat", partial(_train, name="small.bot")) / "small.bot"


@pytest.fixture(scope="session")
def small_translator(once):
    """Return the folder of a translator that translates the lines of `small.LINES`."""
    train = partial(_train, name="small-en-fr.bot", languages=("en", "fr"))
    return once("translate", train) / "small-en-fr.bot"
