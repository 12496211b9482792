"""What is known of a finished run goes in, the bot's `card.md` comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .files import write_atomically
from .preparation import Prepared
from .progress import Sample
from .run_settings import RunSettings

__all__ = ["write_card"]


def write_card(
    bot: Path,
    settings: RunSettings,
    prepared: Prepared,
    validations: Sequence[Mapping[str, float]],
    samples: Sequence[Sample],
) -> None:
    """Write `card.md`: the corpora, the figures, samples as they came, and all settings."""
    facts = prepared.facts
    languages = " to ".join(facts["languages"]) or "not said"
    lines = [
        f"# {bot.resolve().name.removesuffix('.bot')}",
        "",
        f"A {'translator' if facts['kind'] == 'translate' else 'chat bot'}; languages: {languages}.",
        f"Model `{settings.model}`, tokenizer `{settings.data.tokenizer}` with {len(prepared.tokenizers[0]):,} ids.",
        "",
        "## Learnt from",
        "",
        "| corpus | files | skipped | exchanges | licence | SHA-256 of names and contents |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for corpus in facts["corpora"]:
        row = (corpus["name"], corpus["files"], corpus["skipped"], corpus["exchanges"], corpus["licence"] or "not said")
        lines.append(f"| {' | '.join(_cell(value) for value in row)} | `{corpus['sha256'][:16]}` |")
    exchanges = facts["exchanges"]
    lines += [
        "",
        f"{exchanges['train']:,} exchanges to learn from, {exchanges['valid']:,} held out, "
        f"{exchanges['too_long']:,} left out as longer than {settings.data.max_length} tokens.",
        "",
        "## Validation",
        "",
        "Perplexity a token, end of line included, on the held-out exchanges. "
        f"The bot has the {'best' if settings.train.select == 'best' else 'last'} of these weights.",
        "",
        "| step | epochs | minutes | perplexity |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['step']:.0f} | {row['epoch']:.2f} | {row['elapsed'] / 60:.1f} | {row['perplexity']:.2f} |"
        for row in validations
    ]
    lines += ["", "## Held-out lines and what the last weights made of them, as it came", ""]
    lines += ["| line | bot | what really followed |", "| --- | --- | --- |"]
    lines += [f"| {_cell(sample.source)} | {_cell(sample.output)} | {_cell(sample.target)} |" for sample in samples]
    lines += ["", "## Settings", "", "```toml", settings.to_toml().rstrip(), "```", ""]
    write_atomically(bot / "card.md", "\n".join(lines).encode())


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
