"""`s2sbot train`: corpora and options go in, a bot folder comes out, progress on the way."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ..settings import LENGTHS, Tables, parse_duration
from ..tables import merge_tables, parse_assignment, read_tables
from .options import Place
from .signals import asked_to_end, lose_terminal, say
from .train_options import Headed, train_options

if TYPE_CHECKING:
    from ..progress import Progress
    from ..trainer import Training

__all__ = ["train"]

STOPPED = 75
SAME = 0.5
"""Seconds within which a second signal is the same request: a closing terminal and schedulers send several at once."""
LEFT_PREPARING = (
    "Stopped while preparing, and nothing of it is kept: the same command begins anew. What `s2sbot corpus prepare` has"
    " done is kept."
)
LEFT_RESUMING = "Stopped before a step was made; what was saved is untouched: the same command goes on from there."


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
    go_on = _go_on(bot, options if resume else {})
    with run, _stopped_by_signals(run, resumed=resume, go_on=go_on), _drawn(run) as draw:
        if doctor:
            examine(run, draw)
        stopped = False
        for progress in run:
            try:
                draw(progress)
            except (OSError, SystemExit):  # rich makes the one of a broken pipe into the other
                lose_terminal()
            stopped = progress.stopped
    if stopped and run.first:
        say(f"Stopped, and everything is saved. Go on with: {go_on}")
    if stopped:
        ctx.exit(STOPPED)
    if not run.first:
        return
    verb = "translate" if run.kind == "translate" else "chat"
    say(f"Done. Now: {shlex.join(['s2sbot', verb, str(bot)])}")


def _drawn(run: Training) -> AbstractContextManager[Callable[[Progress], None]]:
    """Return what shows the events of a run, if this process is the one to do so."""
    from .progress import drawn

    return drawn() if run.first else nullcontext(lambda progress: None)


def _go_on(bot: Path, asked: Mapping[str, Any]) -> str:
    """Return the command that goes on with a run; what was asked for when it went on before is asked for again."""
    words = ["s2sbot", "train", "--bot", str(bot), "--resume"]
    for name in (*LENGTHS, "device", "config"):
        words += [f"--{name}", str(asked[name])] if asked.get(name) is not None else []
    for text in asked.get("assignments", ()):
        words += ["--set", text]
    return shlex.join(words)


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


@contextmanager
def _stopped_by_signals(run: Training, *, resumed: bool, go_on: str = "") -> Iterator[None]:
    """Let the first request to end stop the run between two steps, and a second one, or one before, at once."""
    asked = 0.0

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and time.monotonic() - asked < SAME:
            return
        if asked or not run.learning:
            raise KeyboardInterrupt
        asked = time.monotonic()
        run.stop()
        try:
            # not through a stream, which may be in the middle of writing
            os.write(2, b"\nStopping after this step; once more to leave at once.\n")
        except OSError:
            lose_terminal()

    try:
        with asked_to_end(ask):
            yield
    except KeyboardInterrupt:
        if not run.first:
            raise
        if run.learning:
            say(f"\nLeft at once: what was saved before is untouched. Go on with: {go_on or _go_on(run.bot, {})}")
        else:
            say("\n" + (LEFT_RESUMING if resumed else LEFT_PREPARING))
        raise


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
    console = Console()
    console.print(table)
    presets = {title: offer.value.presets for title, offer in plugins.models().items() if offer.value.presets}
    lines = (f"  {title}: {', '.join(names)}" for title, names in presets.items())
    console.print(f"\nThese are the knobs of {name}. Presets:", *lines, sep="\n", highlight=False, markup=False)
