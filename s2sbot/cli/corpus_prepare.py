"""`s2sbot corpus prepare`: corpora go in, a folder of packed token ids with a data card comes out."""

from __future__ import annotations

from pathlib import Path

import click

from .corpus_inspect import data_table
from .options import Place
from .signals import asked_to_end, interrupt

__all__ = ["prepare"]


@click.command(no_args_is_help=True)
@click.argument("corpora", metavar="CORPUS...", nargs=-1, required=True, type=Place())
@click.option("--out", required=True, type=Place(), help="Folder to write into.")
@click.option("--valid", multiple=True, type=Place(), help="Corpus to validate on, instead of held-out films.")
@click.option("--source", metavar="LANGUAGE", help="Language to translate from, as de.")
@click.option("--target", metavar="LANGUAGE", help="Language to translate into, as en.")
@click.option("--tokenizer", help="Tokenizer plugin.  [default: sentencepiece]")
@click.option("--vocab-size", type=int, help="Token ids; chosen from the corpus where not given.")
@click.option("--test-share", type=float, help="Share of the films that is kept apart for testing.  [default: 0]")
@click.option("--without", metavar="RULES", default="", help="Rules of cleaning to leave out, with commas between.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set any knob of the table data.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that read and encode.  [default: all cores]")
def prepare(
    corpora: tuple[Path, ...],
    out: Path,
    valid: tuple[Path, ...],
    source: str | None,
    target: str | None,
    tokenizer: str | None,
    vocab_size: int | None,
    test_share: float | None,
    without: str,
    assignments: tuple[str, ...],
    workers: int | None,
) -> None:
    """Prepare CORPUS... into a folder that `s2sbot train` begins with at once.

    The folder has packed token ids for training, validation and test, the tokenizer, the held-out exchanges as text,
    and a card: where all of it came from, what every rule dropped, and samples. A preparation that was stopped goes on
    where it was when the same command is given again.

    \b
    Examples:
      s2sbot corpus prepare subtitles.zip --out prepared
      s2sbot train prepared --bot friends.bot
      s2sbot corpus prepare films/ --out prepared --test-share 0.05 --without replies,signs
    """
    from ..errors import CorpusError, shell_command
    from ..plugins import Plugins
    from ..preparation import WORK, Prepared, is_prepared
    from ..preparation import prepare as prepare_corpora
    from ..run_settings import resolve_data
    from ..text.corpus import open_corpus
    from .progress import drawn

    begun = (out / WORK).is_dir()
    if is_prepared(out) and not begun:
        raise CorpusError(f"{out} holds a prepared corpus already", "give another --out, or delete it")
    if out.exists() and not begun and (not out.is_dir() or any(out.iterdir())):
        raise CorpusError(f"{out} is there already, and is no preparation", "give another --out")
    opened = [open_corpus(path, source=source, target=target) for path in corpora]
    held_out = [open_corpus(path, source=source, target=target) for path in valid]
    given = data_table(assignments, without=without, tokenizer=tokenizer, vocab_size=vocab_size, test_share=test_share)
    settings = resolve_data([*opened, *held_out], given)
    try:
        with asked_to_end(interrupt), drawn() as draw:
            for event in prepare_corpora(opened, held_out, settings, Plugins(), out=out, workers=workers):
                if not isinstance(event, Prepared):
                    draw(event)
    except KeyboardInterrupt:
        click.echo("\nStopped. What has been done is kept: the same command goes on from there.", err=True)
        raise
    following = shell_command("s2sbot", "train", out, "--bot", "NAME.bot")
    click.echo(f"Done: {out / 'card.md'} says what is in it. Now: {following}", err=True)
