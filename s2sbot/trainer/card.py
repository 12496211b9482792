"""A run that has come to its end goes in; the bot's `card.md`, its curves as pictures, and `card.json` come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import shell_command
from ..files import full_disk_explained, make_own_folder, write_atomically
from ..pictures import line_chart
from ..progress import Sample
from ..record import Record
from ..tables import tables_to_toml
from .recording import metric_lines, record_of

if TYPE_CHECKING:
    from .loop import Loop

__all__ = ["write_card"]

PICTURES: Final = "card"
"""The folder of the curves, beside the card."""
NOTICES: Final = 20
"""Notices that the card shows; all of them stand in `card.json`."""

Points = list[tuple[float, float]]


def write_card(loop: Loop, samples: Sequence[Sample]) -> None:
    """Write `card.json`, the curves, and last `card.md`, which says that all of it is there."""
    record = record_of(loop)
    folder = loop.bot / PICTURES
    with full_disk_explained(folder):
        make_own_folder(folder)
    curves = dict(_curves(record, list(metric_lines(loop.bot))))
    for name, (_, picture) in curves.items():
        write_atomically(folder / name, picture.encode())
    for old in folder.glob("*.svg"):
        if old.name not in curves:
            with suppress(OSError):
                old.unlink()
    record.write(loop.bot)
    lines = [*_head(loop.bot, record), *_figures(record)]
    lines += [line for name, (title, _) in curves.items() for line in (f"![{title}]({PICTURES}/{name})", "")]
    lines += [
        *_learnt(record),
        *_validations(record),
        *_samples(samples),
        *_machine(record),
        *_repeating(loop.bot, record),
    ]
    lines += ["## Settings", "", "```toml", tables_to_toml(record.settings).rstrip(), "```", ""]
    write_atomically(loop.bot / "card.md", "\n".join(lines).encode("utf-8", "replace"))


def _curves(record: Record, lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each picture as (name of its file, (title, SVG)); of what was not written down there is none."""

    def written(key: str) -> Points:
        return [(line["step"], line[key]) for line in lines if line["kind"] == "step" and line.get(key) is not None]

    def validated(name: str) -> Points:
        return [(row["step"], row[name]) for row in record.validations if isinstance(row.get(name), int | float)]

    best = {"best": float(record.best["step"])}
    if loss := written("loss"):
        title = "Training loss, nats a token"
        yield "loss.svg", (title, line_chart({"loss": loss}, title=title, x_label="step", y_label="nats"))
    title = "Validation perplexity a token"
    chart = line_chart(
        {"perplexity": validated("perplexity")}, title=title, x_label="step", y_label="perplexity", log_y=True,
        marks=best,
    )  # fmt: skip
    yield "perplexity.svg", (title, chart)
    for name in _metrics(record):
        if name != "perplexity" and (points := validated(name)):
            title = f"Validation {name}"
            chart = line_chart({name: points}, title=title, x_label="step", y_label=name, marks=best)
            yield f"{name}.svg", (title, chart)
    if rate := written("learning_rate"):
        title = "Learning rate"
        yield "learning-rate.svg", (title, line_chart({"rate": rate}, title=title, x_label="step", y_label="rate"))


def _metrics(record: Record) -> list[str]:
    """Return the figures of a validation by name, that which the best weights were chosen by first."""
    names = {name for row in record.validations for name in row if name not in ("step", "epoch", "elapsed")}
    return sorted(names, key=lambda name: (name != record.metric, name != "perplexity", name))


def _head(bot: Path, record: Record) -> list[str]:
    learnt, data, model = record.learnt, record.settings["data"], record.model
    languages = " to ".join(learnt["languages"]) or "not said"
    return [
        f"# {bot.resolve().name.removesuffix('.bot')}",
        "",
        f"A {'translator' if learnt['kind'] == 'translate' else 'chat bot'}; languages: {languages}.",
        f"Model `{record.settings['model']['name']}` with {model['parameters']:,} parameters, tokenizer"
        f" `{data['tokenizer']}` with {model['source_vocab']:,} ids.",
        "",
    ]


def _figures(record: Record) -> list[str]:
    run, machine = record.run, record.machine
    rows = [("", "best", "last")]
    rows += [("step", f"{record.best['step']:,}", f"{record.last['step']:,}")]
    rows += [(name, _number(record.best.get(name)), _number(record.last.get(name))) for name in _metrics(record)]
    learnt = [
        f"- {run['step']:,} updates, {run['epoch']:.2f} passes over the corpus, about {run['tokens']:,} tokens of"
        " source and target.",
        f"- {run['seconds'] / 60:.1f} minutes with validations and checkpoints"
        + (f"; {run['tokens_per_second']:,.0f} tokens/s while learning (median)." if run["tokens_per_second"] else "."),
        f"- {_machine_line(machine)}.",
    ]
    if record.plan and record.plan["changed"]:
        step, before = record.plan["changed"]
        learnt += [f"- The plan was changed at step {step:,}: from {before:,} steps to {record.plan['steps']:,}."]
    elif record.plan:
        learnt += [f"- The budget was planned as {record.plan['steps']:,} steps, and the plan was kept."]
    if run["skipped"] or run["cuts"]:
        learnt += [
            f"- {run['skipped']:,} updates were skipped, as their loss or gradients were not finite; the learning rate"
            f" was halved {run['cuts']:,} times for it."
        ]
    told = [f"- Step {step:,}: {_cell(message)}." for step, message in run["notices"][:NOTICES]]
    chosen = {"best": "the best", "last": "the last", "average": "the mean of the best, where that is better, of"}
    select = chosen[record.settings["train"]["select"]]
    return [
        "## Figures",
        "",
        *_table(rows),
        "",
        f"Perplexity is a token, end of line included. The bot has {select} of these weights, by {record.metric}.",
        "",
        *learnt,
        *told,
        "",
    ]


def _machine_line(machine: Mapping[str, Any]) -> str:
    parts = [f"{machine['cpu']} ({machine['capability']}), {machine['threads']} threads of {machine['cores']} cores"]
    if machine["gpu"]:
        parts.append(f"on {machine['gpu']}, {machine['gpu_memory'] / 2**20:,.0f} MiB of its memory at most")
    if machine["memory"]:
        parts.append(f"{machine['memory'] / 2**20:,.0f} MiB of memory at most")
    return "; ".join(parts)


def _learnt(record: Record) -> list[str]:
    learnt = record.learnt
    rows = [("corpus", "files", "skipped", "exchanges", "licence", "SHA-256 of names and contents")]
    rows += [
        (corpus["name"], corpus["files"], corpus["skipped"], corpus["exchanges"], corpus["licence"] or "not said",
         f"`{corpus['sha256'][:16]}`")
        for corpus in learnt["corpora"]
    ]  # fmt: skip
    exchanges = learnt["exchanges"]
    return [
        "## Learnt from",
        "",
        *_table(rows),
        "",
        f"{exchanges['train']:,} exchanges to learn from, {exchanges['valid']:,} held out, "
        f"{exchanges['too_long']:,} left out as longer than {record.settings['data']['max_length']} tokens.",
        "",
    ]


def _validations(record: Record) -> list[str]:
    names = _metrics(record)
    rows: list[Sequence[Any]] = [("step", "epochs", "minutes", *names)]
    rows += [
        (row["step"], f"{row['epoch']:.2f}", f"{row['elapsed'] / 60:.1f}", *(_number(row.get(name)) for name in names))
        for row in record.validations
    ]
    return ["## Validation", "", *_table(rows), ""]


def _samples(samples: Sequence[Sample]) -> list[str]:
    rows = [("line", "bot", "what really followed")]
    rows += [(sample.source, sample.output, sample.target) for sample in samples]
    return ["## Held-out lines and what the last weights made of them, as it came", "", *_table(rows), ""]


def _machine(record: Record) -> list[str]:
    rows = [("", "version"), *record.versions.items(), ("python", record.machine["python"])]
    return ["## Made with", "", f"{record.machine['system']}.", "", *_table(rows), ""]


def _repeating(bot: Path, record: Record) -> list[str]:
    lines = ["## Repeating it", "", "```sh", shell_command("s2sbot", "rerun", bot), "```", ""]
    lines += ["trains again with the steps and settings of this card and says whether the metric holds. It was made by"]
    return [*lines, "", "```sh", record.command, "```", ""]


def _table(rows: Sequence[Sequence[Any]]) -> list[str]:
    written = [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]
    return [written[0], f"| {' | '.join('---' for _ in rows[0])} |", *written[1:]]


def _number(value: Any) -> str:
    """Return a figure with as many digits as a person reads."""
    if not isinstance(value, int | float):
        return "-"
    return f"{value:,.2f}" if abs(value) >= 1 or value == 0 else f"{value:.4g}"


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").split())
