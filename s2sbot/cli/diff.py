"""`s2sbot diff`: two bots go in; what differs between them comes out, and how far apart their weights are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .options import Place

if TYPE_CHECKING:
    from ..bot import BotDescription
    from ..bot_files import TensorPlace
    from ..record import Record

__all__ = ["diff"]

DIFFERENT: Final = 5

Section = dict[str, tuple[Any, Any]]


@click.command(no_args_is_help=True)
@click.argument("one", metavar="A", type=Place())
@click.argument("other", metavar="B", type=Place())
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def diff(ctx: click.Context, one: Path, other: Path, as_json: bool) -> None:
    """Name what differs between the bots A and B: settings, corpora, tokenizer, model, plan, figures and weights.

    Exit code 0 says that nothing does, 5 that something does; times and names do not count.

    \b
    Examples:
      s2sbot diff friends.bot friends.rerun.bot
      s2sbot diff small.bot large.bot --json
    """
    from ..record import RECORD, read_record

    # a bot of a run that was stopped has no card; it is compared by what else there is
    bots = [_read(path, read_record(path) if (path / RECORD).exists() else None) for path in (one, other)]
    sections = {name: section for name, section in _sections(*bots).items() if section}
    weights = _weights(*bots)
    same = not sections and bool(weights["identical"])
    if as_json:
        told: dict[str, Any] = {
            name: {key: {"a": _plain(a), "b": _plain(b)} for key, (a, b) in section.items()}
            for name, section in sections.items()
        }
        click.echo(json.dumps({"same": same, **told, "weights": weights}, indent=2, ensure_ascii=False))
    else:
        _show(sections, weights)
    ctx.exit(0 if same else DIFFERENT)


@dataclass(frozen=True, slots=True)
class _Bot:
    """What one of the two says of itself."""

    folder: Path
    description: BotDescription
    record: Record | None
    tensors: Mapping[str, TensorPlace]
    tokenizer: str


def _read(folder: Path, record: Record | None) -> _Bot:
    from ..bot import read_description
    from ..bot_files import check_files, open_regular, read_header
    from ..errors import BotError
    from ..files import folder_hash

    description = read_description(folder)
    try:
        places = ("",) if description.shared else ("source", "target")
        for place in places:
            check_files(folder / "tokenizer" / place)
        with open_regular(folder / description.weights) as stream:
            return _Bot(folder, description, record, read_header(stream), folder_hash(folder / "tokenizer"))
    except (OSError, ValueError) as error:
        raise BotError(f"cannot read {folder}: {error}", "copy the whole bot folder again") from error


def _sections(a: _Bot, b: _Bot) -> dict[str, Section]:
    """Return what differs, in sections."""
    return {
        "model": _differing(*(_model(bot) for bot in (a, b))),
        "shapes": _differing(*(_shapes(bot) for bot in (a, b))),
        "settings": _settings(a, b),
        "corpora": _differing(*(_corpora(bot) for bot in (a, b))),
        "tokenizer": _differing(*(_tokenizer(bot) for bot in (a, b))),
        "plan": _differing(*(_plan(bot) for bot in (a, b))) if a.record and b.record else {},
        "figures": _differing(*(_figures(bot) for bot in (a, b))),
        "versions": _differing(a.description.versions, b.description.versions),
    }


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> Section:
    """Return what two mappings have otherwise; what one of them does not have is None there."""
    names = [*one, *(name for name in other if name not in one)]
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}


def _model(bot: _Bot) -> dict[str, Any]:
    numbers = sum(place.numbers for place in bot.tensors.values())
    description = bot.description
    kept = {name: getattr(description, name) for name in ("kind", "mind", "source_vocab", "target_vocab")}
    return {"model": description.model, "numbers": numbers, **kept, "languages": list(description.languages)}


def _shapes(bot: _Bot) -> dict[str, Any]:
    return {name: "x".join(map(str, place.shape)) or "1" for name, place in bot.tensors.items()}


def _settings(a: _Bot, b: _Bot) -> Section:
    """Compare all tables of two cards, and else what every bot says: its model, its search, how a source is made."""
    tables = [_tables(bot, whole=bool(a.record and b.record)) for bot in (a, b)]
    return _differing(*({f"{t}.{key}": v for t, keys in each.items() for key, v in keys.items()} for each in tables))


def _tables(bot: _Bot, *, whole: bool) -> Mapping[str, Mapping[str, Any]]:
    if whole and bot.record is not None:
        return {**bot.record.settings, "model": {k: v for k, v in bot.record.settings["model"].items() if k != "name"}}
    description = bot.description
    return {"model": description.config, "data": description.data, "decode": description.decode}


def _corpora(bot: _Bot) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for corpus in bot.description.corpora:
        name = str(corpus.get("name"))
        while name in found:
            name += "'"
        found[name] = f"{str(corpus.get('sha256'))[:16]}, {corpus.get('exchanges', 0):,} exchanges"
    return found


def _tokenizer(bot: _Bot) -> dict[str, Any]:
    description = bot.description
    sizes = sorted({description.source_vocab, description.target_vocab})
    return {"tokenizer": description.tokenizer, "shared": description.shared, "files": bot.tokenizer[:16], "ids": sizes}


def _plan(bot: _Bot) -> dict[str, Any]:
    record = bot.record
    assert record is not None
    run = record.run
    steps = {"steps": run.get("step"), "halved rates": run.get("cuts"), "skipped": run.get("skipped")}
    changed = record.plan["changed"] if record.plan else None
    return {**steps, "changed at and from": changed}


def _figures(bot: _Bot) -> dict[str, Any]:
    return dict(bot.description.metrics)


def _weights(a: _Bot, b: _Bot) -> dict[str, Any]:
    """Compare weights by the hash in their names; where that differs, by their numbers."""
    if a.description.weights == b.description.weights and a.tensors == b.tensors:
        return {"identical": True, "a": a.description.weights, "b": b.description.weights}
    from ..trainer.comparison import weights_apart

    apart = weights_apart(a.folder / a.description.weights, b.folder / b.description.weights)
    shapes = [{name: place.shape for name, place in bot.tensors.items()} for bot in (a, b)]
    same = apart.differing == 0 and shapes[0] == shapes[1]
    largest = apart.largest if math.isfinite(apart.largest) else None
    return {
        "identical": same,
        "a": a.description.weights,
        "b": b.description.weights,
        "differing": apart.differing,
        "comparable": apart.common,
        "tensors": [len(shape) for shape in shapes],
        "largest": largest,
        "in": apart.name,
    }


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show(sections: Mapping[str, Section], weights: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from .sanitize import sanitize

    console = Console(highlight=False)
    for name, section in sections.items():
        table = Table(box=None, pad_edge=False, title=name, title_justify="left", title_style="bold")
        for heading in ("", "A", "B"):
            table.add_column(heading, overflow="fold")
        for key, pair in section.items():
            table.add_row(*(escape(sanitize(str(each))) for each in (key, *("-" if v is None else v for v in pair))))
        console.print(table)
    if weights["identical"]:
        console.print("The weights are identical." if sections else "Nothing differs; the weights are identical.")
        return
    console.print(
        escape(
            sanitize(
                f"The weights differ: {weights['differing']:,} of {weights['comparable']:,} tensors of one shape"
                + (f", by {weights['largest']:.3g} at most, in {weights['in']}" if weights["differing"] else "")
                + f"; A has {weights['tensors'][0]:,} tensors, B {weights['tensors'][1]:,}."
            )
        )
    )
