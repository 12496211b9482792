"""Pretrained word vectors stand in the model's tables when training begins, and what does not fit is refused early."""

import numpy as np
import pytest
import torch
from small import tables

import s2sbot
from s2sbot import RESERVED, SettingsError, TokenizerError
from s2sbot.nn.encoder_decoder import put_vectors
from s2sbot.plugins import Plugins
from s2sbot.preparation import Prepared
from s2sbot.run_settings import RunSettings
from s2sbot.trainer.loop import Loop

SIZE = 24
WORDS = ("hello", "who", "water", "tea", "never-seen")


@pytest.fixture
def vectors(tmp_path):
    random = np.random.default_rng(0)
    rows = {word: 5 * random.normal(size=SIZE) for word in WORDS}
    path = tmp_path / "vectors.txt"
    lines = [f"{word} {' '.join(f'{number:.5f}' for number in row)}" for word, row in rows.items()]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def knobs(vectors, **data):
    settings = tables()
    return {**settings, "data": {**settings["data"], "vectors": str(vectors), **data}}


def start(pairs, bot, settings, model="attention"):
    """Train a few steps, and return the messages and the model as it was before the first step."""
    with s2sbot.training(pairs, bot=bot, model=model, settings=settings) as run:
        messages = [progress.message for progress in run]
        tokenizers = run._loop.prepared.tokenizers
    plugins = Plugins()
    prepared = Prepared.load(bot / "training" / "data", tokenizers)
    written = RunSettings.from_file(bot / "training" / "settings.toml", plugins)
    loop = Loop(bot, written, prepared, plugins, torch.device("cpu"))
    return messages, loop.model, tokenizers


def given(vectors):
    lines = [line.split(" ") for line in vectors.read_text("utf-8").splitlines()]
    return {word: torch.tensor([float(number) for number in numbers]) for word, *numbers in lines}


@pytest.mark.parametrize("model", ["simple", "stateful-broadcast", "peek", "attention"])
def test_the_tables_start_from_the_vectors(pairs, vectors, tmp_path, model):
    messages, made, tokenizers = start(pairs, tmp_path / "a.bot", knobs(vectors), model)
    [told] = [message for message in messages if "have a vector" in message]
    # Hello, Who, water and tea: the capitals of the corpus find the lower-cased spelling
    assert told.startswith("4 of ")
    assert f"{SIZE} numbers" in told
    table = made.embeddings()[0].weight.detach()
    for word, spelled in (("Hello", "hello"), ("Who", "who"), ("water", "water"), ("tea", "tea")):
        [index] = tokenizers[0].encode(word)
        wanted = given(vectors)[spelled]
        found = table[index]
        assert torch.allclose(found / found.norm(), wanted / wanted.norm(), atol=1e-4)
        # scaled to what the table has by itself, where vectors of a length near 1 are the rule
        assert 0.5 < float(found.norm()) < 2


def test_source_and_target_may_have_tables_of_their_own(pairs, vectors, tmp_path):
    _, made, tokenizers = start(pairs, tmp_path / "a.bot", knobs(vectors, share_tokenizer=False))
    source, target = made.embeddings()
    assert source is not target
    assert tokenizers[0].encode("Hello") != [1]
    [index] = tokenizers[1].encode("water")
    wanted = given(vectors)["water"]
    row = target.weight.detach()[index]
    assert torch.allclose(row / row.norm(), wanted / wanted.norm(), atol=1e-4)


def test_vectors_of_another_size_are_refused_before_the_corpus_is_read(pairs, vectors, tmp_path):
    settings = knobs(vectors)
    settings["model"] = {**settings["model"], "embedding_size": 32}
    run = s2sbot.training(pairs, bot=tmp_path / "a.bot", settings=settings)
    with pytest.raises(SettingsError, match=r"have 24 numbers, the model's tables 32.*embedding_size=24"), run:
        raise AssertionError("it was entered")
    assert not (tmp_path / "a.bot").exists()


def test_a_file_with_a_ragged_line_is_named_and_leaves_no_folder(pairs, vectors, tmp_path):
    with vectors.open("a", encoding="utf-8") as stream:
        stream.write("ragged 1 2 3\n")
    with pytest.raises(TokenizerError, match=r"vectors\.txt, line 6: 3 numbers follow the word, 24 are expected"):
        start(pairs, tmp_path / "a.bot", knobs(vectors))
    assert not (tmp_path / "a.bot").exists()


def test_a_model_without_tables_says_so():
    class Without(torch.nn.Module):
        def embeddings(self):
            return None

    with pytest.raises(SettingsError, match="the model Without has no tables for word vectors"):
        put_vectors(Without(), [(np.array([RESERVED]), np.ones((1, 4), np.float32))] * 2)


def test_words_of_one_side_are_enough_and_of_none_are_refused(pairs, vectors, tmp_path):
    messages, *_ = start(pairs, tmp_path / "a.bot", knobs(vectors, share_tokenizer=False))
    assert any(" of the source have a vector" in message for message in messages)
    lines = vectors.read_text("utf-8").splitlines()
    vectors.write_text(lines[2] + "\n", "utf-8")  # "water", which only answers have
    messages, *_ = start(pairs, tmp_path / "b.bot", knobs(vectors, share_tokenizer=False))
    assert any(message.startswith("0 of ") and "of the source" in message for message in messages)
    vectors.write_text(lines[-1] + "\n", "utf-8")
    with pytest.raises(TokenizerError, match=r"vectors\.txt: none of its words is in the vocabulary"):
        start(pairs, tmp_path / "c.bot", knobs(vectors))
    assert not (tmp_path / "c.bot").exists()


@pytest.mark.parametrize(("numbers", "message"), [("0", "all numbers of the word vectors are 0"), ("1e30", None)])
def test_vectors_of_any_scale_are_brought_to_the_tables(numbers, message):
    made = Plugins().model("simple")(Plugins().model("simple").Config(embedding_size=4, hidden_size=4), 30, 30)
    before = made.source_embedding.weight.detach().square().mean().sqrt()
    rows = np.full((1, 4), float(numbers), np.float32)
    if message:
        with pytest.raises(SettingsError, match=message):
            put_vectors(made, [(np.array([20]), rows)] * 2)
        return
    put_vectors(made, [(np.array([20]), rows)] * 2)
    assert torch.allclose(made.source_embedding.weight[20], before.expand(4), rtol=1e-4)


def test_the_bot_says_where_its_vectors_come_from(pairs, vectors, tmp_path):
    start(pairs, tmp_path / "a.bot", knobs(vectors))
    assert "vectors.txt" in (tmp_path / "a.bot" / "card.md").read_text("utf-8")
