"""`s2sbot corpus get`: the name of a corpus, or an address, goes in; its files, checked, lie in a folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import click

if TYPE_CHECKING:
    from ..downloads import KnownCorpus, Policy, RemoteFile, Transfer

__all__ = ["get"]

PLAIN_EVERY = 10.0
"""Seconds between two plain lines of progress where nobody watches a terminal."""


@click.command()
@click.argument("name", metavar="[NAME | URL]", required=False)
@click.option("--list", "listing", is_flag=True, help="List the corpora known here; opens no connection.")
@click.option(
    "--out", "folder", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False), help="Default: corpora/NAME."
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask before downloading.")
@click.option("--sha256", metavar="HEX", help="What a URL's file must hash to.")
@click.option("--size", metavar="BYTES", type=click.IntRange(min=1), help="How long a URL's file must be.")
@click.pass_obj
def get(
    policy: Policy | None,
    name: str | None,
    listing: bool,
    folder: Path | None,
    yes: bool,
    sha256: str | None,
    size: int | None,
) -> None:
    """Download a corpus that others publish, and check it; without a name, list those known.

    Licence and size are said first. What arrived before a break is kept: the same command goes on from there. The
    file lands as it is, archives are read without being unpacked.

    \b
    Examples:
      s2sbot corpus get
      s2sbot corpus get cornell
      s2sbot corpus get multi30k-en-de --out data/multi30k --yes
      s2sbot corpus get https://example.org/talks.zip --sha256 9f86d0…0a08
    """
    if name is None or listing:
        if sha256 or size or folder:
            raise click.UsageError("--out, --sha256 and --size need a NAME or a URL.")
        _list()
        return
    if "://" in name:
        _get_file(_remote_file(name, sha256, size), folder, policy, yes=yes)
        return
    if sha256 or size:
        raise click.UsageError("--sha256 and --size belong to a URL; those of a known corpus are known.")
    _get_corpus(name, folder, policy, yes=yes)


def _list() -> None:
    from ..downloads import known_corpora

    corpora = list(known_corpora().values())
    width = max(len(corpus.name) for corpus in corpora)
    click.echo(f"{'name':<{width}}  {'size':>9}  {'languages':<9}  licence")
    for corpus in corpora:
        size = _bytes(corpus.size) if corpus.files else "by hand"
        languages = " ".join(corpus.languages) or "many"
        click.echo(f"{corpus.name:<{width}}  {size:>9}  {languages:<9}  {corpus.licence}")
        click.secho(f"{'':<{width}}  {corpus.description}", dim=True)
    click.echo('\n`s2sbot corpus get NAME` downloads one; "by hand" says how to get it.')


def _get_corpus(name: str, folder: Path | None, policy: Policy | None, *, yes: bool) -> None:
    from ..downloads import describe, is_complete, known_corpora
    from ..errors import CorpusError
    from ..files import write_atomically
    from ..settings import nearest

    corpora = known_corpora()
    corpus = corpora.get(name)
    if corpus is None:
        hint = nearest(name, corpora) or "`s2sbot corpus get` lists them"
        raise CorpusError(f"no corpus {name!r} is known here", hint)
    if not corpus.files:
        raise CorpusError(
            f"{name} is not downloaded by its name alone: {corpus.description}",
            f"{corpus.use} Page: {corpus.page}; licence: {corpus.licence}",
        )
    folder = folder or Path("corpora") / name
    missing = [file for file in corpus.files if not is_complete(file, folder)]
    if missing:
        _introduce(corpus)
        _confirm(missing, folder, yes=yes)
        _fetch_all(missing, folder, policy)
    if corpus.ready and not (folder / "corpus.toml").exists():
        write_atomically(folder / "corpus.toml", describe(corpus).encode())
    click.echo(f"{name} is in {folder}" + ("" if missing else " already, whole"), err=True)
    click.echo(f"{corpus.use} Cite: {corpus.citation}", err=True)


def _get_file(file: RemoteFile, folder: Path | None, policy: Policy | None, *, yes: bool) -> None:
    from ..downloads import is_complete
    from ..errors import shell_command

    folder = folder or Path("corpora") / file.name.partition(".")[0]
    missing = not is_complete(file, folder)
    if missing:
        click.echo("s2sbot knows nothing of this file's licence: see to it yourself.", err=True)
        _confirm([file], folder, yes=yes)
        _fetch_all([file], folder, policy)
    click.echo(f"{folder / file.name} is there{'' if missing else ' already, whole'}", err=True)
    click.echo(f"Look into it: {shell_command('s2sbot', 'corpus', 'inspect', folder / file.name)}", err=True)


def _remote_file(url: str, sha256: str | None, size: int | None) -> RemoteFile:
    from ..downloads import RemoteFile
    from ..downloads.addresses import parse_url

    if sha256 is None:
        raise click.UsageError("A URL needs --sha256, so that what arrives can be checked.")
    digest = sha256.strip().lower()
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise click.UsageError("--sha256 takes 64 hexadecimal digits.")
    parse_url(url)
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return RemoteFile(name, (url,), digest, size, hosts=None)


def _introduce(corpus: KnownCorpus) -> None:
    click.echo(corpus.description, err=True)
    for title, text in (("licence", corpus.licence), ("page", corpus.page), ("cite", corpus.citation)):
        click.echo(f"{title:<8} {text}", err=True)


def _confirm(files: list[RemoteFile], folder: Path, *, yes: bool) -> None:
    for file in files:
        host = urlsplit(file.urls[0]).hostname
        click.echo(f"{_bytes(file.size):>9} {file.name} from {host}", err=True)
    if not yes:
        click.confirm(f"Download into {folder}?", abort=True, err=True)


def _fetch_all(files: list[RemoteFile], folder: Path, policy: Policy | None) -> None:
    from ..downloads import fetch

    try:
        for file in files:
            with _drawn(file) as report:
                fetch(file, folder, policy=policy, report=report)
    except KeyboardInterrupt:
        click.echo("\nStopped. What has arrived is kept: the same command goes on from there.", err=True)
        raise


@contextmanager
def _drawn(file: RemoteFile) -> Iterator[Callable[[Transfer], None]]:
    """Yield a function that shows how far a download is: a bar on a terminal, plain lines elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield _Plain()
        return
    columns = (BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}", markup=False), *columns, console=console) as bar:
        task = bar.add_task(file.name, total=file.size)
        started = False

        def report(transfer: Transfer) -> None:
            nonlocal started
            if not started and transfer.resumed:
                # so that the speed is that of what comes now
                bar.reset(task, total=transfer.total, completed=transfer.resumed)
            started = True
            bar.update(task, completed=transfer.done)

        yield report


class _Plain:
    """Writes a line every `PLAIN_EVERY` seconds."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()

    def __call__(self, transfer: Transfer) -> None:
        now = time.monotonic()
        if now - self._last < PLAIN_EVERY and transfer.done != transfer.total:
            return
        self._last = now
        click.echo(_line(transfer, now - self._start), err=True)


def _line(transfer: Transfer, seconds: float) -> str:
    """Return how far a download is after `seconds`, on one line."""
    from .progress import clock

    speed = (transfer.done - transfer.resumed) / max(seconds, 1e-3)
    parts = [f"{transfer.name}: {_bytes(transfer.done)}"]
    if transfer.total:
        parts[0] += f" of {_bytes(transfer.total)}"
    parts.append(f"{_bytes(int(speed))}/s")
    if transfer.total and speed and transfer.done < transfer.total:
        parts.append(f"{clock((transfer.total - transfer.done) / speed)} left")
    return " · ".join(parts)


def _bytes(size: int | None) -> str:
    if size is None:
        return "?"
    for unit, worth in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= worth:
            return f"{size / worth:.1f} {unit}"
    return f"{size} B"
