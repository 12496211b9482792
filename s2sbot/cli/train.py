"""`s2sbot train`: corpora and options go in, a bot folder comes out, progress on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ..settings import LENGTHS, SIZES, Tables, merge_tables, parse_assignment, parse_duration, read_tables
from .options import Place
from .signals import asked_to_end

if TYPE_CHECKING:
    from ..trainer import Training

__all__ = ["train"]

STOPPED = 75
LEFT_PREPARING = (
    "Stopped while preparing, and nothing of it is kept: the same command begins anew. What `s2sbot corpus prepare` has"
    " done is kept."
)
LEFT_RESUMING = "Stopped before a step was made; what was saved is untouched: the same command goes on from there."


@click.command(no_args_is_help=True)
@click.argument("corpus", nargs=-1, type=Place())
@click.option("--bot", type=Place(), help="Folder to write the bot into.")
@click.option("--model", help="Model plugin.  [default: that of --preset, or attention]")
@click.option("--preset", help="Named settings of the model; --list-settings names them.")
@click.option("--tokenizer", help="Tokenizer plugin.  [default: sentencepiece]")
@click.option("--vocab-size", type=int, help="Token ids; chosen from the corpus where not given.")
@click.option(
    "--vectors", help="Word vectors to start from, for --tokenizer words: a word2vec, GloVe or fastText text file."
)
@click.option("--size", type=click.Choice(sorted(SIZES, reverse=True)), help="The one dial: fills every knob.")
@click.option("--budget", help="Time to train, as 90s, 15m or 2h.  [default: 15m]")
@click.option("--epochs", type=int, help="Passes over the corpus, instead of a budget.")
@click.option("--steps", type=int, help="Updates of the weights, instead of a budget.")
@click.option("--valid", multiple=True, type=Place(), help="Corpus to validate on, instead of held-out files.")
@click.option("--source", metavar="LANGUAGE", help="Language to translate from, as de.")
@click.option("--target", metavar="LANGUAGE", help="Language to translate into, as en.")
@click.option("--seed", type=int, help="Number that fixes weights, order and dropout.  [default: 1]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.  [default: auto]")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set any knob, as model.dropout=0.3.")
@click.option("--config", type=Place(), help="TOML file with tables data, model, train, decode.")
@click.option("--resume", is_flag=True, help="Go on with the run in the bot folder.")
@click.option("--list-settings", is_flag=True, help="List every knob of --model and its presets, and exit.")
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
    resume: bool,
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
    """
    if list_settings:
        _list_settings(model, preset)
        return
    if bot is None:
        raise click.UsageError("Missing option '--bot': the folder to write the bot into.", ctx)
    if not corpus and not resume:
        raise click.UsageError("Missing argument 'CORPUS...'.", ctx)
    if (source is None) != (target is None):
        raise click.UsageError("--source and --target go together.", ctx)
    settings = _settings(options)
    from ..trainer import Training
    from .progress import drawn

    languages = (source, target) if source is not None and target is not None else None
    run = Training(
        corpus, bot, model=model, preset=preset, size=size, valid=valid, languages=languages, settings=settings,
        resume=resume,
    )  # fmt: skip
    with run, _stopped_by_signals(run, resumed=resume), drawn() as draw:
        stopped = False
        for progress in run:
            draw(progress)
            stopped = progress.stopped
    if stopped:
        click.echo(f"Stopped, and everything is saved. Go on with: s2sbot train --bot {bot} --resume", err=True)
        ctx.exit(STOPPED)
    verb = "translate" if run.kind == "translate" else "chat"
    click.echo(f"Done. Now: s2sbot {verb} {bot}", err=True)


def _settings(options: dict[str, Any]) -> Tables:
    """Lay --config, the options with a name of their own, and --set over each other."""
    budget = options["budget"]
    named = {
        "data": {"tokenizer": options["tokenizer"], "vocab_size": options["vocab_size"], "vectors": options["vectors"]},
        "train": {
            "budget": None if budget is None else parse_duration(budget),
            **{name: options[name] for name in ("epochs", "steps", "seed", "device")},
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
def _stopped_by_signals(run: Training, *, resumed: bool) -> Iterator[None]:
    """Let the first request to end stop the run between two steps, and a second one, or one before, at once."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked or not run.learning:
            raise KeyboardInterrupt
        asked = True
        run.stop()
        with suppress(OSError):  # the terminal may be what has gone
            click.echo("\nStopping after this step; once more to leave at once.", err=True)

    try:
        with asked_to_end(ask):
            yield
    except KeyboardInterrupt:
        if not run.learning:
            click.echo("\n" + (LEFT_RESUMING if resumed else LEFT_PREPARING), err=True)
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
