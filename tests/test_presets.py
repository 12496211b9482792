"""Every preset can be had: its settings are checked, its model is built, and what is called small trains here."""

import math

import pytest
import torch

import s2sbot
from s2sbot import SettingsError
from s2sbot.plugins import Plugins
from s2sbot.run_settings import model_of, resolve_settings
from s2sbot.text.corpus import open_corpus

PLUGINS = Plugins()
PRESETS = [(name, preset) for name, offer in PLUGINS.models().items() for preset in offer.value.presets]
PAPERS = ["sutskever2014", "vinyals2015", "cho2014", "bahdanau2015"]


def test_every_paper_has_its_size_and_one_that_trains_here():
    names = {preset for _, preset in PRESETS}
    assert {*PAPERS, *(f"{paper}-small" for paper in PAPERS)} <= names


@pytest.mark.parametrize(("model", "preset"), PRESETS)
def test_the_settings_of_a_preset_are_whole_and_its_model_can_be_made(pairs, model, preset):
    settings = resolve_settings([open_corpus(pairs)], model, preset, None, {}, PLUGINS)
    with torch.device("meta"):
        made = PLUGINS.model(model)(settings.config, settings.data.vocab_size or 8_000, 8_000)
    assert sum(parameter.numel() for parameter in made.parameters()) > 1e6


def test_sutskevers_recurrence_has_the_papers_size(pairs):
    settings = resolve_settings([open_corpus(pairs)], "stateful-broadcast", "sutskever2014", None, {}, PLUGINS)
    with torch.device("meta"):
        made = PLUGINS.model("stateful-broadcast")(settings.config, 160_000, 80_000)
    recurrent = sum(
        part.numel() for name, part in made.named_parameters() if "weight_ih" in name or "weight_hh" in name
    )
    # "64M are pure recurrent connections", section 3.4, with those from layer to layer
    assert recurrent == 64_000_000
    assert sum(part.numel() for part in made.parameters()) == pytest.approx(384e6, rel=0.01)


@pytest.mark.parametrize(("model", "preset"), [row for row in PRESETS if row[1].endswith("-small")])
def test_a_small_preset_trains_here(pairs, tmp_path, model, preset):
    knobs = {
        "train": {"steps": 12, "batch_tokens": 120, "validations": 2, "threads": 1},
        "data": {"tokenizer": "words", "vocab_size": None, "valid_share": 0.2},
        "model": {"embedding_size": 16, "hidden_size": 16},
    }
    if model == "attention":
        knobs["model"]["encoder_size"] = 16
    bot = tmp_path / "small.bot"
    with s2sbot.training(pairs, bot=bot, model=model, preset=preset, settings=knobs) as run:
        events = list(run)
    found = [event.perplexity for event in events if event.kind == "validation"]
    assert all(math.isfinite(number) for number in found)
    assert s2sbot.load(bot).reply("Hello.").text is not None


def test_uniform_and_orthogonal_first_weights(pairs):
    settings = resolve_settings([open_corpus(pairs)], "stateful-broadcast", "sutskever2014-small", None, {}, PLUGINS)
    torch.manual_seed(1)
    made = PLUGINS.model("stateful-broadcast")(settings.config, 100, 100)
    weights = torch.cat([part.detach().flatten() for part in made.parameters()])
    assert 0.0799 < float(weights.abs().max()) <= 0.08
    assert float(weights.std()) == pytest.approx(0.08 / 3**0.5, rel=0.02)
    small = {"model": {"embedding_size": 64, "hidden_size": 128, "encoder_size": 128}}
    settings = resolve_settings([open_corpus(pairs)], "attention", "bahdanau2015", None, small, PLUGINS)
    made = PLUGINS.model("attention")(settings.config, 100, 100)
    named = {name: part.detach() for name, part in made.named_parameters()}
    for name, part in named.items():
        if "weight_hh" in name:
            for gate in part.split(part.shape[1]):
                torch.testing.assert_close(gate @ gate.T, torch.eye(len(gate)), atol=1e-5, rtol=0)
    assert float(named["attention.query.weight"].std()) == pytest.approx(0.001, rel=0.05)
    assert not named["attention.score.weight"].any()
    assert float(named["readout.0.weight"].std()) == pytest.approx(0.01, rel=0.05)
    assert not named["readout.0.bias"].any()


def test_an_unknown_preset_names_the_nearest(pairs):
    with pytest.raises(SettingsError, match=r"no preset 'bahdanau'.*bahdanau2015"):
        resolve_settings([open_corpus(pairs)], "attention", "bahdanau", None, {}, PLUGINS)


def test_a_preset_names_its_model(pairs, tmp_path):
    knobs = {
        "train": {"steps": 2, "batch_tokens": 120, "validations": 1, "threads": 1},
        "data": {"tokenizer": "words", "vocab_size": None, "valid_share": 0.2},
        "model": {"embedding_size": 16, "hidden_size": 16},
    }
    with s2sbot.training(pairs, bot=tmp_path / "a.bot", preset="cho2014-small", settings=knobs) as run:
        list(run)
        assert run.settings.model == "peek"
    with pytest.raises(SettingsError, match=r"no model has a preset 'cho'.*cho2014"):
        model_of("cho", PLUGINS)
