"""`s2sbot plugins`: what is installed, whose it is, and what is broken."""

from __future__ import annotations

import json

import click

__all__ = ["plugins"]


@click.group(no_args_is_help=True)
def plugins() -> None:
    """List models, tokenizers, readers and broken plugins.

    \b
    Example:
      s2sbot plugins list
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
    kinds = {"model": found.models(), "tokenizer": found.tokenizers(), "reader": found.reader_offers()}
    rows = [(kind, offer) for kind, offers in kinds.items() for offer in offers.values()]
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
