"""The presets of full size are built without memory, and the tables of docs/training.md are what comes of them."""

import functools
import re
from pathlib import Path

import pytest
import torch

from s2sbot.nn import LSTMCell
from s2sbot.plugins import Plugins
from s2sbot.trainer.plan import COPIES, Trial
from s2sbot.trainer.update import GPU_LOGITS_BYTES

DOCS = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
GIB = 2**30
MODELS = {
    "vinyals2015": "stateful-broadcast",
    "sutskever2014": "stateful-broadcast",
    "luong2015": "attention",
    "bahdanau2015": "attention",
    "cho2014": "peek",
}


def row(begin):
    """Return the numbers of the one row of a table in the docs that begins so."""
    [line] = [line for line in DOCS.splitlines() if line.startswith(f"| {begin}")]
    cells = [cell.strip() for cell in line.strip("|").split("|")][1:]
    return [float(cell.replace(",", "")) for cell in cells if re.fullmatch(r"[\d,.]+", cell)]


@functools.cache
def built(name):
    """Return a preset, and its model on the meta device."""
    kind = Plugins().model(MODELS[name])
    preset = kind.presets[name]
    words = preset["data"]["vocab_size"]
    with torch.device("meta"):
        return preset, kind(kind.Config(**preset["model"]), words, words)


@pytest.mark.parametrize("name", MODELS)
def test_weights_gradients_and_optimiser_take_what_the_docs_say(name):
    preset, model = built(name)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    optimizer = preset["train"]["optimizer"]
    one, copies = 4 * parameters / GIB, COPIES[optimizer]
    wanted = [parameters, one, one, one * (copies - 2), one * copies]
    assert row(f"`{name}` | {parameters:,}") == pytest.approx(wanted, abs=0.0051)
    # the planner says the same
    told = Trial(parameters, 0, 1.0, 1.0, 1).memory(optimizer)
    assert told.startswith(f"{1024 * one * copies:,.0f} MiB for weights and optimiser")


@pytest.mark.parametrize(("column", "name"), [(0, "vinyals2015"), (1, "sutskever2014")])
def test_a_step_takes_what_the_docs_say(column, name):
    preset, model = built(name)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    cells = [layer for layer in model.modules() if isinstance(layer, LSTMCell)]
    recurrent = sum(parameter.numel() for cell in cells for parameter in cell.parameters())
    output = sum(parameter.numel() for parameter in model.output.parameters())
    hidden, copies = preset["model"]["hidden_size"], COPIES[preset["train"]["optimizer"]]
    # half of an update's tokens are the source's; each side has its own layers
    pair = sum(cell.input_size + 8 + 17 * hidden for cell in cells) + 3 * hidden
    parts = {
        "activations of": 4 * pair * preset["train"]["batch_tokens"] / 2 / GIB,
        "logits": GPU_LOGITS_BYTES / GIB,
        "recurrent weights": 4 * recurrent / GIB,
        "the output layer's": 8 * output / GIB,
    }
    for begin, wanted in parts.items():
        assert row(begin)[column] == pytest.approx(wanted, abs=0.0051), begin
    held = 4 * parameters / GIB
    step = copies * held + sum(parts.values())
    # as many numbers as the optimiser keeps; the copy is on the host
    assert row("with weights,")[column] == pytest.approx(step, abs=0.0051)
    assert row("while the largest")[column] == pytest.approx(step + held * (copies - 2), abs=0.0051)
