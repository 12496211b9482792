"""Fixtures: a chat bot and a translator that know a handful of lines by heart; trained once a session."""

import pytest
from small import tables, write_pairs

import s2sbot

BY_HEART = {"steps": 250, "learning_rate": 0.01, "select": "last", "validations": 1}


def _trained(folder, name, **options):
    pairs = write_pairs(folder / "pairs.tsv")
    settings = tables(**BY_HEART)
    with s2sbot.training(pairs, bot=folder / name, settings=settings, **options) as run:
        for _ in run:
            pass
    return folder / name


@pytest.fixture(scope="session")
def small_bot(tmp_path_factory):
    """Return the folder of a chat bot that answers the lines of `small.LINES`."""
    return _trained(tmp_path_factory.mktemp("chat"), "small.bot")


@pytest.fixture(scope="session")
def small_translator(tmp_path_factory):
    """Return the folder of a translator that translates the lines of `small.LINES`."""
    return _trained(tmp_path_factory.mktemp("translate"), "small-en-fr.bot", languages=("en", "fr"))
