"""`s2sbot plugins`: what is installed, whose it is, what is broken, and whether it does what it should."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..plugins import Offer, Plugins
    from ..testing import Finding

__all__ = ["plugins"]

KINDS = ("model", "tokenizer", "reader", "metric")


@click.group(no_args_is_help=True)
def plugins() -> None:
    """List models, tokenizers, readers, metrics and broken plugins, and check them.

    \b
    Examples:
      s2sbot plugins list
      s2sbot plugins check attention
    """


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_plugins(as_json: bool) -> None:
    """List what every plugin offers, and those that are broken with their cause.

    \b
    Examples:
      s2sbot plugins list
      S2SBOT_PLUGINS=off s2sbot plugins list --json
    """
    from ..plugins import Plugins

    found = Plugins()
    rows = [(kind, offer) for kind, offers in _offers(found).items() for offer in offers.values()]
    listeners = found.hooks()["training_progress"]
    if as_json:
        offers = [
            {"kind": kind, "name": offer.name, "plugin": offer.plugin, "distribution": offer.distribution}
            for kind, offer in rows
        ]
        broken = [
            {"plugin": each.plugin, "distribution": each.distribution, "cause": each.cause} for each in found.broken
        ]
        click.echo(json.dumps({"offers": offers, "training_progress": listeners, "broken": broken}, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from .sanitize import sanitize

    table = Table(box=None, pad_edge=False)
    for title in ("kind", "name", "plugin", "distribution"):
        table.add_column(title)
    for kind, offer in rows:
        table.add_row(kind, offer.name, offer.plugin, offer.distribution)
    for plugin in listeners:
        table.add_row("hook", "training_progress", plugin, found.distribution(plugin))
    for each in found.broken:
        table.add_row("broken", escape(sanitize(each.cause)), each.plugin, each.distribution, style="red")
    Console().print(table)


def _offers(found: Plugins) -> dict[str, dict[str, Offer]]:
    return {
        "model": found.models(),
        "tokenizer": found.tokenizers(),
        "reader": found.reader_offers(),
        "metric": found.metrics(),
    }


@plugins.command(no_args_is_help=True)
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), help="What NAME is, where more than one thing has that name.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="model.KEY=VALUE",
    help="A knob of the model; small sizes are checked sooner.",
)
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file that a reader reads, given twice the two sides of a pair; or lines to train a tokenizer on.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def check(
    ctx: click.Context,
    name: str,
    kind: str | None,
    assignments: tuple[str, ...],
    files: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Check that the model, tokenizer, reader or metric NAME does what s2sbot expects of it.

    Exit code 1 says that something differs. A plugin is Python code, which runs here as everywhere in s2sbot.

    \b
    Examples:
      s2sbot plugins check attention --set model.hidden_size=32 --set model.embedding_size=32
      s2sbot plugins check words --file lines.txt
      s2sbot plugins check moses --file train.de --file train.en
    """
    from ..plugins import Plugins

    kind, offer = _chosen(Plugins(), name, kind)
    with _shown() as started:
        findings = list(_findings(kind, offer.value, assignments, files, started))
    passed = all(finding.cause is None for finding in findings)
    if as_json:
        checks = [{"name": each.name, "cause": each.cause, "seconds": round(each.seconds, 3)} for each in findings]
        facts = {"kind": kind, "name": name, "plugin": offer.plugin, "distribution": offer.distribution}
        click.echo(json.dumps({**facts, "passed": passed, "checks": checks}, indent=2))
    else:
        _print_table(findings)
    ctx.exit(0 if passed else 1)


def _chosen(found: Plugins, name: str, kind: str | None) -> tuple[str, Offer]:
    """Return what is offered under a name, and what it is.

    Raises:
        PluginError: where nothing usable is.
        click.UsageError: where more than one thing is, and `kind` does not say which one.
    """
    from ..errors import PluginError
    from ..settings import nearest

    offers: Mapping[str, Mapping[str, Offer]] = _offers(found)
    if kind is not None:
        offers = {kind: offers[kind]}
    fitting = [title for title in offers if name in offers[title]]
    if len(fitting) > 1:
        raise click.UsageError(f"{name} is a {' and a '.join(fitting)}: say which one with --kind")
    if fitting:
        return fitting[0], offers[fitting[0]][name]
    causes = [f"{broken.plugin}: {broken.cause}" for broken in found.broken if name in broken.owns]
    what = kind or "model, tokenizer, reader or metric"
    if causes:
        raise PluginError(f"the {what} {name!r} cannot be used: {'; '.join(causes)}", "mend or uninstall that plugin")
    known = {title for named in offers.values() for title in named}
    raise PluginError(f"no plugin offers the {what} {name!r}", nearest(name, known))


def _findings(
    kind: str, value: Any, assignments: Sequence[str], files: Sequence[Path], started: Callable[[str], object]
) -> Iterator[Finding]:
    """Yield what the checks of a kind find; what the options say is looked at before the first one runs."""
    if assignments and kind != "model":
        raise click.UsageError(f"--set is for models, and this is a {kind}")
    if files and kind in ("model", "metric"):
        raise click.UsageError(f"--file is for readers and tokenizers, and this is a {kind}")
    from ..settings import build
    from ..testing import metric_checks, model_checks, reader_checks, tokenizer_checks

    if kind == "model":
        return model_checks(value, build(value.Config, _knobs(assignments), "model"), started=started)
    if kind == "tokenizer":
        return tokenizer_checks(value, _lines(files), started=started)
    if kind == "metric":
        return metric_checks(value, started=started)
    _check_count(value, files)
    sides = [path.read_bytes() for path in files]
    data = sides[0] if len(sides) == 1 else (sides[0], sides[1])
    return reader_checks(value, data, files[0].name, started=started)


def _knobs(assignments: Sequence[str]) -> dict[str, Any]:
    from ..errors import SettingsError
    from ..tables import parse_assignment

    knobs = {}
    for text in assignments:
        table, key, value = parse_assignment(text)
        if table != "model":
            raise SettingsError(f"{table}.{key} is no knob of a model", "only the table model has a say in a check")
        knobs[key] = value
    return knobs


def _lines(files: Sequence[Path]) -> Sequence[str]:
    """Return the lines of text files, or else some of our own.

    Raises:
        CorpusError: where a file is no text, or no line has any.
    """
    from ..errors import CorpusError
    from ..testing.tokenizer import SAMPLE_LINES
    from ..text import decode_text

    if not files:
        return SAMPLE_LINES
    lines: list[str] = []
    for path in files:
        try:
            text, _ = decode_text(path.read_bytes())
        except ValueError as error:
            raise CorpusError(f"{path}: {error}", "give --file the name of a text file") from error
        lines += [line for line in text.split("\n") if line.strip()]
    if not lines:
        raise CorpusError(f"no text in {' and '.join(map(str, files))}", "give --file the name of a text file")
    return lines


def _check_count(reader: Any, files: Sequence[Path]) -> None:
    """Refuse files that are not as many as a reader reads.

    Raises:
        click.UsageError: it says how many they should be.
    """
    wanted = {count for count, method in ((1, "read"), (2, "read_pair")) if hasattr(reader, method)}
    if len(files) not in wanted:
        needed = "give a file of its kind with --file" if 1 in wanted else "give its two files with --file, twice"
        raise click.UsageError(f"a reader is checked on a sample: {needed} ({len(files)} given)")


@contextmanager
def _shown() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows which check runs: live on a terminal, a line a check elsewhere; on stderr."""
    from rich.console import Console
    from rich.markup import escape

    from .sanitize import sanitize

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda name: click.echo(f"checking: {sanitize(name)}", err=True)
        return
    with console.status("checking") as status:
        yield lambda name: status.update(f"checking: {escape(sanitize(name))}")


def _print_table(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from .sanitize import sanitize

    table = Table(box=None, pad_edge=False)
    table.add_column("check", overflow="fold")
    table.add_column("result", overflow="fold")
    table.add_column("seconds", justify="right")
    for each in findings:
        result = "ok" if each.cause is None else f"[red]FAILED: {escape(sanitize(each.cause))}[/red]"
        table.add_row(escape(sanitize(each.name)), result, f"{each.seconds:.1f}")
    Console(highlight=False).print(table)
