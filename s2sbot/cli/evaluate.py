"""`s2sbot evaluate`: a bot and a corpus go in, its figures come out."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import click

from .options import Place

__all__ = ["evaluate"]


@click.command(no_args_is_help=True)
@click.argument("bot", type=click.Path(path_type=Path))
@click.argument("corpus", type=Place())
@click.option("--source", metavar="LANGUAGE", help="Language of the corpus's first side.")
@click.option("--target", metavar="LANGUAGE", help="Language of the corpus's second side.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def evaluate(bot: Path, corpus: Path, source: str | None, target: str | None, device: str, as_json: bool) -> None:
    """Say how well BOT foresees CORPUS: perplexity, and for a translator BLEU and chrF (sacreBLEU).

    \b
    Examples:
      s2sbot evaluate friends.bot held-out.zip
      s2sbot evaluate de-en.bot data/test --source de --target en --json
    """
    from ..engine import Bot

    loaded = Bot.load(bot, device=device)
    from ..evaluation import evaluate_bot

    found = evaluate_bot(loaded, corpus, source=source, target=target)
    if as_json:
        figures = dataclasses.asdict(found)
        for name in ("perplexity", "word_perplexity"):
            figures[name] = figures[name] if math.isfinite(figures[name]) else None
        click.echo(json.dumps(figures, indent=2))
        return
    click.echo(f"exchanges        {found.exchanges:,}")
    click.echo(f"perplexity       {found.perplexity:,.2f} a token ({found.tokens:,} tokens with line ends)")
    click.echo(f"                 {found.word_perplexity:,.2f} a word ({found.words:,} words with line ends)")
    if found.bleu is not None and found.chrf is not None:
        click.echo(f"BLEU             {found.bleu:.2f}")
        click.echo(f"chrF2            {found.chrf:.2f}")
        for signature in found.signatures:
            click.echo(f"                 {signature}")
