"""How fast a stack of cells is: its fused calls beside its own steps one by one, and beside torch's own layers.

    python benchmarks/recurrent.py

Forward and backward over [64, 20, 512], hidden size 512. In each round every way runs once, one after the other, and a
ratio is the median of those within a round, so that what else the machine does slows both of its sides. `padded` rows
have 16 to 20 real steps, as batches of rows of a like length have, `half padded` ones 1 to 20; torch's own layer gets
them packed, as it has no other way to find each row's true end. A stack whose cells share one state cannot be fused: it
is compared with one of the same depth that can.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from s2sbot.nn import Recurrent

ROWS, STEPS, SIZE = 64, 20, 512
ROUNDS, SECONDS = 9, 50.0
"""At most so many rounds; none goes on after so many seconds, as on a machine that is busy."""
OWN = {"lstm": nn.LSTM, "gru": nn.GRU}

Way = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]
"""Returns the outputs, [rows, steps, size], and the last layer's h at each row's true end, [rows, size]."""


def fused(stack: Recurrent) -> Way:
    """Return the way that models take."""

    def run(inputs: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        outputs, state = stack(inputs, lengths)
        return outputs, state[-stack.layer_states]

    return run


def step_by_step(stack: Recurrent) -> Way:
    """Return the reference of that way."""

    def run(inputs: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        outputs, state = stack.stack.unrolled(inputs, lengths)
        return outputs, state[-stack.layer_states]

    return run


def torch_own(layer: nn.RNNBase) -> Way:
    """Return what is written without s2sbot."""

    def run(inputs: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        if lengths is None:
            outputs, final = layer(inputs)
        else:
            packed, final = layer(pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False))
            outputs, _ = pad_packed_sequence(packed, batch_first=True, total_length=STEPS)
        return outputs, (final[0] if isinstance(final, tuple) else final)[-1]

    return run


def copy_weights(stack: Recurrent, layer: nn.RNNBase) -> None:
    """Give torch's layer the weights of the stack, so that both compute the same."""
    with torch.no_grad():
        for level, cell in enumerate(stack.stack.cells):
            for name, weight in cell.named_parameters():
                getattr(layer, name.removeprefix("fused.").replace("_l0", f"_l{level}")).copy_(weight)


def seconds_of(way: Way, inputs: Tensor, lengths: Tensor | None) -> float:
    """Run forward and backward once."""
    began = time.perf_counter()
    outputs, last = way(inputs, lengths)
    (outputs.sum() + last.sum()).backward()
    return time.perf_counter() - began


def main() -> None:
    """Print medians of the fused way, and of the others as ratios to it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bot", nargs="?", help="not used: these stacks are of random weights")
    parser.parse_args()
    began = time.perf_counter()
    torch.manual_seed(0)
    inputs = torch.randn(ROWS, STEPS, SIZE, requires_grad=True)
    padding: dict[str, Tensor | None] = {"full": None}
    for name, least in (("padded", STEPS - 4), ("half padded", 1)):
        padding[name] = torch.randint(least, STEPS + 1, (ROWS,)).index_fill(0, torch.tensor([0]), STEPS)
    rows: dict[str, dict[str, tuple[Way, Tensor | None]]] = {}
    for cell, depth in product(OWN, (1, 2)):
        stack = Recurrent(SIZE, SIZE, cell=cell, depth=depth)
        layer = OWN[cell](SIZE, SIZE, num_layers=depth, batch_first=True)
        copy_weights(stack, layer)
        ways = {"fused": fused(stack), "step by step": step_by_step(stack), "torch's own": torch_own(layer)}
        if depth > 1:
            ways["one state"] = fused(Recurrent(SIZE, SIZE, cell=cell, depth=depth, share_state=True))
        for name, real in padding.items():
            rows[f"{cell}, depth {depth}, {name}"] = {title: (way, real) for title, way in ways.items()}
            with torch.no_grad():
                ends = [way(inputs, real)[1] for title, way in ways.items() if title != "one state"]
            assert all(torch.allclose(ends[0], end, atol=1e-5) for end in ends), f"{cell} {depth} {name} differ"
    times: dict[str, list[dict[str, float]]] = {row: [] for row in rows}
    for _, row in product(range(ROUNDS), rows):
        if time.perf_counter() - began < SECONDS:
            times[row].append({title: seconds_of(way, inputs, real) for title, (way, real) in rows[row].items()})
    titles = ("step by step", "torch's own", "one state")
    most = max(map(len, times.values()))
    print(f"{torch.get_num_threads()} threads, medians of {most} rounds, of fewer below where the time ran out")
    print(f"{'forward and backward':<28} {'fused':>9}   " + "".join(f"{title:>14}" for title in titles))
    for row, rounds in times.items():
        if not rounds:
            print(f"{row:<28} no time left")
            continue
        line = f"{row:<28} {1e3 * statistics.median(found['fused'] for found in rounds):6.1f} ms   "
        for title in titles:
            if title in rounds[0]:
                ratio = statistics.median(found[title] / found["fused"] for found in rounds)
                line += f"{f'x {ratio:.2f}':>14}"
        print(line)


if __name__ == "__main__":
    main()
