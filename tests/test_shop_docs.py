"""The page on cells, stacks and recurrent layers: its examples run in order, and each of its eleven points has one."""

from __future__ import annotations

import re
from pathlib import Path

import torch

PAGE = Path(__file__).parents[1] / "docs" / "recurrent-shop.md"
TEXT = PAGE.read_text("utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections() -> dict[str, str]:
    """Return the text below each heading of the second level."""
    parts = re.split(r"^## (.+)$", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_point_has_an_example():
    numbers = [int(heading.partition(". ")[0]) for heading in sections() if heading[0].isdigit()]
    assert numbers == list(range(1, 12))
    empty = [heading for heading, text in sections().items() if not BLOCK.search(text)]
    assert empty == []


def test_every_block_is_python_and_closed():
    assert len(re.findall(r"^```", TEXT, re.MULTILINE)) == 2 * len(BLOCK.findall(TEXT))


def test_every_example_runs():
    namespace: dict[str, object] = {}
    torch.manual_seed(0)
    for found in BLOCK.finditer(TEXT):
        # so that a failure names the line of the page
        lines = "\n" * (TEXT[: found.start(1)].count("\n"))
        exec(compile(lines + found[1], str(PAGE), "exec"), namespace)
