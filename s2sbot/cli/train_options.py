"""The options of `s2sbot train`, under headings, go onto its function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..settings import SIZES
from .options import Place

__all__ = ["Headed", "train_options"]

Function = TypeVar("Function", bound=Callable[..., Any])

OTHERS = "Everything else"


class _Option(click.Option):
    """An option that stands under a heading of the help."""

    def __init__(self, *arguments: Any, heading: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.heading = heading


class Headed(click.Command):
    """A command whose options stand under headings in its help."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write all options, those without a heading under the last one."""
        headings: dict[str, list[tuple[str, str]]] = {heading: [] for heading in OPTIONS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                headings[getattr(parameter, "heading", OTHERS)].append(record)
        for heading, records in headings.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def train_options(function: Function) -> Function:
    """Add all options, in the order in which they stand here."""
    for heading, options in reversed(OPTIONS.items()):
        for names, settings in reversed(options):
            click.option(*names, cls=_Option, heading=heading, **settings)(function)
    return function


OPTIONS: dict[str, list[tuple[tuple[str, ...], dict[str, Any]]]] = {
    "The bot": [
        (("--bot",), {"type": Place(), "help": "Folder to write the bot into."}),
        (("--resume",), {"is_flag": True, "help": "Go on with the run in the bot folder."}),
        (
            ("--from", "start"),
            {
                "metavar": "BOT",
                "type": Place(),
                "help": "Bot to begin from, with its model, weights and tokenizer; the optimiser begins anew.",
            },
        ),
    ],
    "Data": [
        (
            ("--valid",),
            {"multiple": True, "type": Place(), "help": "Corpus to validate on, instead of held-out files."},
        ),
        (
            ("--weight", "weights"),
            {
                "multiple": True,
                "type": float,
                "metavar": "NUMBER",
                "help": "How often a pass goes through a CORPUS; once for each of them, in their order.",
            },
        ),
        (("--source",), {"metavar": "LANGUAGE", "help": "Language to translate from, as de."}),
        (("--target",), {"metavar": "LANGUAGE", "help": "Language to translate into, as en."}),
        (("--tokenizer",), {"help": "Tokenizer plugin.  [default: sentencepiece]"}),
        (("--vocab-size",), {"type": int, "help": "Token ids; chosen from the corpus where not given."}),
        (
            ("--vectors",),
            {"help": "Word vectors to start from, for --tokenizer words: a word2vec, GloVe or fastText text file."},
        ),
    ],
    "Model": [
        (("--model",), {"help": "Model plugin.  [default: that of --preset, or attention]"}),
        (("--preset",), {"help": "Named settings of the model; --list-settings names them."}),
        (
            ("--size",),
            {"type": click.Choice(sorted(SIZES, reverse=True)), "help": "The one dial: fills every knob."},
        ),
    ],
    "Length": [
        (
            ("--budget",),
            {"help": "Time to train, as 90s, 15m or 2h; that of the whole run with --resume.  [default: 15m]"},
        ),
        (("--epochs",), {"type": int, "help": "Passes over the corpus, instead of a budget."}),
        (("--steps",), {"type": int, "help": "Updates of the weights, instead of a budget."}),
        (
            ("--metric",),
            {"help": "What the best weights are chosen by: perplexity, or that of a plugin.  [default: perplexity]"},
        ),
        (
            ("--early-stopping",),
            {"type": int, "metavar": "N", "help": "End after N validations without a better one; 0 is never."},
        ),
    ],
    "Before a run": [
        (
            ("--find-lr",),
            {"is_flag": True, "help": "Say which learning rate to take, with a picture, and train nothing."},
        ),
        (
            ("--doctor",),
            {"is_flag": True, "help": "Look first whether the model learns a few exchanges, and what is wrong if not."},
        ),
        (
            ("--list-settings",),
            {"is_flag": True, "help": "List every knob of --model and its presets, and exit."},
        ),
    ],
    OTHERS: [
        (("--seed",), {"type": int, "help": "Number that fixes weights, order and dropout.  [default: 1]"}),
        (
            ("--device",),
            {"type": click.Choice(["auto", "cpu", "cuda"]), "help": "Where to compute.  [default: auto]"},
        ),
        (
            ("--set", "assignments"),
            {"multiple": True, "metavar": "KEY=VALUE", "help": "Set any knob, as model.dropout=0.3."},
        ),
        (("--config",), {"type": Place(), "help": "TOML file with tables data, model, train, decode."}),
    ],
}
"""Names and settings of the options by heading."""
