"""`s2sbot train`: corpora and options go in, a bot folder comes out, progress on the way."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..errors import shell_command
from ..settings import LENGTHS, Tables, parse_duration
from ..tables import merge_tables, parse_assignment, read_tables
from .options import Place
from .running import STOPPED, going_on, said_stopped, shown, stopped_by_signals, walk
from .signals import say
from .train_options import Headed, train_options

__all__ = ["train"]


@click.command(cls=Headed, no_args_is_help=True)
@click.argument("corpus", nargs=-1, type=Place())
@train_options
@click.pass_context
def train(
    ctx: click.Context,
    /,
    corpus: tuple[Path, ...],
    bot: Path | None,
    model: str | None,
    preset: str | None,
    size: str | None,
    valid: tuple[Path, ...],
    source: str | None,
    target: str | None,
    start: Path | None,
    weights: tuple[float, ...],
    resume: bool,
    find_lr: bool,
    doctor: bool,
    list_settings: bool,
    **options: Any,
) -> None:
    """Make a bot from CORPUS...

    CORPUS is a file of subtitles, dialogue or pairs, a folder, archive or pattern of them, a folder with corpus.toml, a
    folder that `s2sbot corpus prepare` has written, or, with --source and --target, the prefix of two parallel files.
    Pairs of two languages make a translator, anything else a chat bot.

    Ctrl-C stops after the step under way, saves, and says how to go on; a second one leaves at once.

    \b
    Examples:
      s2sbot train subtitles.zip --bot friends.bot --budget 15m
      s2sbot train prepared --bot friends.bot --budget 15m
      s2sbot train data/train --source de --target en --bot de-en.bot --epochs 10
      s2sbot train data/train --source de --target en --bot paper.bot --preset bahdanau2015-small
      s2sbot train --bot friends.bot --resume --budget 1h
      s2sbot train more.srt --from friends.bot --bot friends2.bot --epochs 3
      s2sbot train subtitles.zip chats.jsonl --weight 1 --weight 4 --bot both.bot
      s2sbot train subtitles.zip --find-lr
      s2sbot train subtitles.zip --bot friends.bot --model my-own --doctor
    """
    began = time.monotonic()
    if list_settings:
        _list_settings(model, preset)
        return
    _check_usage(ctx, corpus, bot, languages=(source, target), resume=resume, find_lr=find_lr, doctor=doctor)
    settings = _settings(options)
    from ..trainer import Training
    from .train_checks import examine, find_rate

    make = partial(
        Training, corpus, model=model, preset=preset, size=size, valid=valid, settings=settings, start=start,
        weights=weights, languages=(source, target) if source is not None and target is not None else None,
        resume=resume, began=began,
    )  # fmt: skip
    if find_lr:
        find_rate(make)
        return
    assert bot is not None
    run = make(bot)
    go_on = going_on(bot, options if resume else None)
    with stopped_by_signals(run, resumed=resume, go_on=go_on), run, shown(run) as show:
        if doctor:
            examine(run, show)
        stopped = walk(run, show)
    if stopped and run.first:
        say(said_stopped(run, go_on))
    if stopped:
        ctx.exit(STOPPED)
    if not run.first:
        return
    verb = "translate" if run.kind == "translate" else "chat"
    say(f"Done. Now: {shell_command('s2sbot', verb, bot)}")


def _check_usage(
    ctx: click.Context,
    corpus: tuple[Path, ...],
    bot: Path | None,
    *,
    languages: tuple[str | None, str | None],
    resume: bool,
    find_lr: bool,
    doctor: bool,
) -> None:
    """Refuse what makes no command."""
    if bot is None and not find_lr:
        raise click.UsageError("Missing option '--bot': the folder to write the bot into.", ctx)
    if not corpus and not resume:
        raise click.UsageError("Missing argument 'CORPUS...'.", ctx)
    if (languages[0] is None) != (languages[1] is None):
        raise click.UsageError("--source and --target go together.", ctx)
    if find_lr and doctor:
        raise click.UsageError("--find-lr and --doctor are two commands: begin with --doctor.", ctx)
    if resume and (find_lr or doctor):
        raise click.UsageError("--find-lr and --doctor look at a run before it begins: leave --resume out.", ctx)
    if (find_lr or doctor) and os.environ.get("WORLD_SIZE", "1") != "1":
        raise click.UsageError("--find-lr and --doctor are for one process: leave torchrun out.", ctx)


def _settings(options: dict[str, Any]) -> Tables:
    """Lay --config, the options with a name of their own, and --set over each other."""
    budget = options["budget"]
    named = {
        "data": {"tokenizer": options["tokenizer"], "vocab_size": options["vocab_size"], "vectors": options["vectors"]},
        "train": {
            "budget": None if budget is None else parse_duration(budget),
            **{name: options[name] for name in ("epochs", "steps", "seed", "device", "metric", "early_stopping")},
        },
    }
    given = {table: {key: value for key, value in keys.items() if value is not None} for table, keys in named.items()}
    assigned: dict[str, dict[str, Any]] = {}
    for text in options["assignments"]:
        table, key, value = parse_assignment(text)
        assigned.setdefault(table, {})[key] = value
    configured = merge_tables(read_tables(options["config"]) if options["config"] else {})
    if any(name in given["train"] for name in LENGTHS):
        configured["train"] = {key: value for key, value in configured["train"].items() if key not in LENGTHS}
    return merge_tables(configured, given, assigned)


def _list_settings(model: str | None, preset: str | None) -> None:
    import dataclasses

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ..plugins import Plugins
    from ..run_settings import model_of
    from ..settings import DataSettings, DecodeSettings, TrainSettings

    plugins = Plugins()
    name = model or model_of(preset, plugins)
    chosen = plugins.model(name)
    table = Table(box=None, pad_edge=False)
    for title in ("knob", "default", "meaning"):
        table.add_column(title, overflow="fold")
    for heading, kind in (
        ("data", DataSettings),
        ("model", chosen.Config),
        ("train", TrainSettings),
        ("decode", DecodeSettings),
    ):
        for field in dataclasses.fields(kind):
            default = "" if field.default is None else str(field.default)
            choices = field.metadata.get("choices")
            among = f" ({', '.join(choices)})" if choices else ""
            table.add_row(f"{heading}.{field.name}", default, escape(field.metadata.get("help", "") + among))
    presets = {title: offer.value.presets for title, offer in plugins.models().items() if offer.value.presets}
    lines = (f"  {title}: {', '.join(names)}" for title, names in presets.items())
    console = Console()
    with console.capture() as printed:
        console.print(table)
        console.print(f"\nThese are the knobs of {name}. Presets:", *lines, sep="\n", highlight=False, markup=False)
    # who reads the first lines alone has had what was asked for
    say(printed.get().rstrip("\n"), err=False)
