"""Which model, and which of its knobs, learns best in the same time: the four models on the data of one bot.

    python benchmarks/models.py onepace.bot --seconds 120
    python benchmarks/models.py onepace.bot --steps 430 attention attention:model.cell=gru,train.learning_rate=0.002

Reads the prepared data of a bot's training folder and trains every candidate anew on it, with the learning rate falling
to the end; the bot stays as it is. The perplexity is that of the held-out exchanges at the end, the ratio that to the
first candidate's. One seed tells of large differences only.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

from s2sbot.bot import load_tokenizers, read_description
from s2sbot.plugins import Plugins
from s2sbot.preparation import Prepared
from s2sbot.run_settings import RunSettings
from s2sbot.settings import (
    DataSettings,
    DecodeSettings,
    TrainSettings,
    build,
)
from s2sbot.tables import merge_tables, parse_assignment
from s2sbot.trainer.loop import Loop

MODELS = ("attention", "peek", "stateful-broadcast", "simple")


def settings_of(candidate: str, length: dict[str, Any], plugins: Plugins) -> RunSettings:
    """Read `MODEL` or `MODEL:table.key=value,...`; `preset=NAME` lays a preset below the values."""
    model, _, rest = candidate.partition(":")
    kind = plugins.model(model)
    layers: list[dict[str, dict[str, Any]]] = [{}]
    for part in filter(None, rest.split(",")):
        if part.startswith("preset="):
            layers[0] = {table: dict(values) for table, values in kind.presets[part[7:]].items()}
        else:
            table, key, value = parse_assignment(part)
            layers.append({table: {key: value}})
    tables = merge_tables(*layers)
    cleared = {"budget": None, "epochs": None, "steps": None, "validations": 1, "checkpoint_every": 1e9}
    return RunSettings(
        model,
        build(kind.Config, tables["model"], "model"),
        build(DataSettings, {}, "data"),
        build(TrainSettings, {**tables["train"], **cleared, **length}, "train"),
        build(DecodeSettings, {}, "decode"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bot", type=Path)
    parser.add_argument("candidates", nargs="*", default=MODELS, metavar="MODEL[:table.key=value,...]")
    parser.add_argument("--seconds", type=float, default=15.0, help="time each of them trains")
    parser.add_argument("--steps", type=int, help="updates each of them makes, instead")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    plugins = Plugins()
    description = read_description(arguments.bot)
    tokenizers = load_tokenizers(arguments.bot, description.tokenizer, plugins, shared=description.shared)
    prepared = Prepared.load(arguments.bot / "training" / "data", tokenizers)
    length = {"steps": arguments.steps} if arguments.steps else {"budget": arguments.seconds}
    print("perplexity  ratio  updates  epochs  seconds  tokens/s  parameters  candidate")
    first = 0.0
    for candidate in arguments.candidates:
        with tempfile.TemporaryDirectory() as folder:
            loop = Loop(Path(folder), settings_of(candidate, length, plugins), prepared, plugins, torch.device("cpu"))
            rates = [event.tokens_per_second for event in loop.events() if event.tokens_per_second]
            perplexity = loop.validations[-1]["perplexity"]
        first = first or perplexity
        size = sum(parameter.numel() for parameter in loop.model.parameters()) / 1e6
        rate = sorted(rates)[len(rates) // 2] if rates else float("nan")
        print(
            f"{perplexity:10.2f}  {perplexity / first:5.2f}  {loop.step:7,}  {loop.validations[-1]['epoch']:6.2f}"
            f"  {loop.elapsed:7.1f}  {rate:8,.0f}  {size:9.2f}M  {candidate}",
            flush=True,
        )


if __name__ == "__main__":
    main()
