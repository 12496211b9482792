"""What docs/layers.md and docs/original.md say is so: every example is run, every argument is told of."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from s2sbot.nn import CELLS, AttentionSeq2Seq, LayerOptions, Seq2Seq, SimpleSeq2Seq
from s2sbot.nn.layers import ACTIVATIONS

DOCS = Path(__file__).parents[1] / "docs"
PAGE, ORIGINAL = ((DOCS / name).read_text("utf-8") for name in ("layers.md", "original.md"))
OLD_EXAMPLES = [
    "SimpleSeq2Seq(input_dim=5, hidden_dim=10, output_length=8, output_dim=8)",
    "SimpleSeq2Seq(input_dim=5, hidden_dim=10, output_length=8, output_dim=8, depth=3)",
    "SimpleSeq2Seq(input_dim=5, hidden_dim=10, output_length=8, output_dim=20, depth=(4, 5))",
    "Seq2Seq(batch_input_shape=(16, 7, 5), hidden_dim=10, output_length=8, output_dim=20, depth=4)",
    "Seq2Seq(batch_input_shape=(16, 7, 5), hidden_dim=10, output_length=8, output_dim=20, depth=4, peek=True)",
    "Seq2Seq(batch_input_shape=(16, 7, 5), hidden_dim=10, output_length=8, output_dim=20, depth=4,"
    " broadcast_state=False, inner_broadcast_state=False)",
    "AttentionSeq2Seq(input_dim=5, input_length=7, hidden_dim=10, output_length=8, output_dim=20, depth=4)",
    "AttentionSeq2Seq(input_dim=5, input_length=7, hidden_dim=10, output_length=8, output_dim=20, depth=4,"
    " bidirectional=False)",
]


def blocks(page: str) -> list[str]:
    """Return the Python blocks, each moved down to the line where it stands, so that a traceback names that line."""
    found = re.finditer(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return ["\n" * page.count("\n", 0, match.start(1)) + match[1] for match in found]


@pytest.fixture(scope="module")
def weights() -> list[np.ndarray]:
    """Return weights such as an old model would give."""
    layer = Seq2Seq(batch_input_shape=(16, 7, 5), hidden_dim=10, output_length=8, output_dim=20, depth=4, original=True)
    generator = np.random.default_rng(2)
    return [generator.normal(size=tuple(parameter.shape)) for parameter in layer.core.parameters()]


def test_every_example_runs(weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "weights.npz", *weights)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    namespace: dict[str, Any] = {"__name__": "layers"}
    assert len(blocks(PAGE)) == PAGE.count("```python")
    for block in blocks(PAGE):
        exec(compile(block, str(DOCS / "layers.md"), "exec"), namespace)
    old = namespace["old"]
    for parameter, array in zip(old.parameters(), weights, strict=True):
        assert np.array_equal(parameter.detach().numpy(), array)


def test_every_example_of_the_old_library_is_told_anew() -> None:
    calls = {
        ast.unparse(node) for block in blocks(PAGE) for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)
    }
    assert set(OLD_EXAMPLES) <= calls


def test_every_argument_and_every_name_is_told_of() -> None:
    options = [*LayerOptions.__annotations__, "broadcast_state", "inner_broadcast_state", "peek"]
    names = [*options, *CELLS, *ACTIVATIONS, *(layer.__name__ for layer in (SimpleSeq2Seq, Seq2Seq, AttentionSeq2Seq))]
    missing = [name for name in names if not re.search(rf"\b{name}\b", PAGE)]
    assert not missing


def test_every_row_of_the_table_of_differences_is_whole() -> None:
    table = PAGE.partition("## What differs from the original")[2]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert rows[0] == "| matter | what the original does | what we do | why |"
    assert len(rows) > 20
    for row in rows[2:]:
        matter, original, ours, _ = (cell.strip() for cell in row.strip("|").split("|"))
        assert matter and original and ours, row


@pytest.mark.parametrize("page", [PAGE, ORIGINAL], ids=["layers.md", "original.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    for path, heading in re.findall(r"\]\((?!https://)([^)#]*)(?:#([^)]*))?\)", page):
        aim = (DOCS / path).read_text("utf-8") if path else page
        headings = [
            re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in re.findall(r"^#+ (.*)$", aim, re.M)
        ]
        assert not heading or heading in headings, f"{path}#{heading}"


def test_the_order_of_weights_is_as_it_is_told() -> None:
    shapes = {
        cell: sizes for cell, _, sizes in re.findall(r"^\| ([\w ]+) \| ([\w, ]+) \| (\[.*\]) \|$", ORIGINAL, re.M)
    }
    assert set(shapes) == {"dense layer", "LSTMCell", "LSTMDecoderCell", "AttentionDecoderCell"}
    sizes = {"input_dim": 3, "hidden_dim": 5, "output_length": 2, "output_dim": 4}

    def expected(*cells: tuple[str, int, int, int]) -> list[list[int]]:
        found = []
        for cell, size_in, hidden, size_out in cells:
            told = shapes[cell].replace("in", str(size_in)).replace("out", str(size_out))
            numbers = re.sub(r"(\d*)H", lambda match: str(int(match[1] or 1) * hidden), told)  # noqa: B023
            found += [[int(number) for number in shape.split(",")] for shape in re.findall(r"\[(.*?)\]", numbers)]
        return found

    told = {
        SimpleSeq2Seq: expected(
            ("LSTMCell", 3, 5, 5), ("LSTMCell", 5, 5, 5), ("LSTMCell", 5, 5, 5), ("LSTMCell", 5, 4, 4)
        ),
        Seq2Seq: expected(
            ("dense layer", 3, 5, 5),
            ("LSTMCell", 5, 5, 5),
            ("LSTMCell", 5, 5, 5),
            ("dense layer", 5, 5, 4),
            ("LSTMDecoderCell", 4, 5, 4),
            ("LSTMDecoderCell", 4, 5, 4),
        ),
        AttentionSeq2Seq: expected(
            *2 * [("LSTMCell", 3, 5, 5), ("LSTMCell", 5, 5, 5)],
            ("AttentionDecoderCell", 5, 5, 4),
            ("LSTMDecoderCell", 4, 5, 4),
        ),
    }
    for layer, wanted in told.items():
        core = layer(**sizes, depth=2, original=True).core
        assert [list(parameter.shape) for parameter in core.parameters()] == wanted
