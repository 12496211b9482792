"""What the loss of the output layer costs: its ways beside its three products, in time and in memory.

    python benchmarks/output_loss.py [--rounds 5] [--seconds 120] [--memory]

Forward and backward of a linear map and cross-entropy over tokens drawn like words are (Zipf). In each round every way
runs once, one after the other. For each stand the least time of all rounds, the ratio of that to the least time of
`three products`, and the median of such ratios within a round. The three products are the floor of all that is exact:
logits, and the gradients of hidden states and of the weight. With --memory, on Linux, each way also runs in a process
of its own: the most that it takes above the tensors that it is given, the gradients left in the end included.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from s2sbot.nn import LinearOutput, Proposal, linear_cross_entropy, sampled_cross_entropy
from s2sbot.nn.adaptive import adaptive_cross_entropy, make_adaptive

MEGABYTE = 2**20
BUDGETS = (4, 16, 32, 48, 64, 128)
NEGATIVES = 1_000
CASES = list(product((1_000, 2_000), (512, 256), (8_000, 32_000)))
"""Tokens, size, vocabulary."""

Way = Callable[[], Tensor | None]


def ways(tokens: int, size: int, vocabulary: int) -> tuple[dict[str, Way], list[Tensor]]:
    """Return every way, by name, and the tensors that get gradients."""
    torch.manual_seed(0)
    hidden = torch.randn(tokens, size, requires_grad=True)
    weight = nn.Parameter(torch.randn(vocabulary, size) * size**-0.5)
    bias = nn.Parameter(torch.zeros(vocabulary))
    frequencies = 1 / torch.arange(1.0, vocabulary + 1)
    wanted = torch.multinomial(frequencies, tokens, replacement=True)
    layer = LinearOutput(weight, bias)
    proposal = Proposal.of_counts((frequencies * 1e6).long().numpy().astype(np.int64), NEGATIVES)
    adaptive = make_adaptive(size, vocabulary, (vocabulary // 8, vocabulary // 2))
    logits, to_hidden, to_weight = (
        torch.empty(tokens, vocabulary),
        torch.empty(tokens, size),
        torch.empty(vocabulary, size),
    )

    def products() -> None:
        with torch.no_grad():
            torch.mm(hidden, weight.t(), out=logits)
            torch.mm(logits, weight, out=to_hidden)
            torch.mm(logits.t(), hidden, out=to_weight)

    def native(rows: int) -> Tensor:
        options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=rows)
        return functional.linear_cross_entropy(
            hidden, weight, wanted, linear_bias=bias, reduction="sum", options=options
        )

    made: dict[str, Way] = {
        "three products": products,
        "linear, then cross_entropy": lambda: functional.cross_entropy(
            functional.linear(hidden, weight, bias).float(), wanted, reduction="sum"
        ),
        "torch's own, 512 rows": lambda: native(512),
        "torch's own, all rows": lambda: native(tokens),
    }
    for budget in BUDGETS:
        made[f"chunks of {budget} MB"] = lambda budget=budget: linear_cross_entropy(
            hidden, wanted, layer=layer, logits_bytes=budget * MEGABYTE
        )
    made["chunks of 48 MB, smoothed"] = lambda: linear_cross_entropy(hidden, wanted, layer=layer, label_smoothing=0.1)
    made[f"sampled, {NEGATIVES:,}"] = lambda: sampled_cross_entropy(hidden, proposal.draw(wanted), layer=layer)
    made["adaptive"] = lambda: adaptive_cross_entropy(hidden, wanted, layer=adaptive)
    return made, [hidden, weight, bias, *adaptive.parameters()]


def once(way: Way, leaves: list[Tensor]) -> float:
    """Run a way forward and backward, and return the seconds that it took."""
    for leaf in leaves:
        leaf.grad = None
    began = time.perf_counter()
    loss = way()
    if loss is not None:
        (loss / 1_000).backward()
    return time.perf_counter() - began


def peak(case: tuple[int, int, int], name: str) -> float:
    """Return the megabytes that two runs of a way need at most beyond what it is given."""
    torch.set_num_threads(2)
    small, few = ways(100, 16, 64)
    once(small[name], few)  # what is loaded on first use is not counted
    made, leaves = ways(*case)
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak is counted from here
    before = resident("VmRSS")
    once(made[name], leaves)
    once(made[name], leaves)
    return resident("VmHWM") - before


def resident(name: str) -> float:
    """Return what Linux says of this process's memory, in megabytes."""
    [line] = [line for line in Path("/proc/self/status").read_text("ascii").splitlines() if line.startswith(name)]
    return float(line.split()[1]) / 1024


def measure(case: tuple[int, int, int], rounds: int, seconds: float, memory: bool) -> None:
    """Print one case."""
    began, (made, leaves) = time.perf_counter(), ways(*case)
    for way in made.values():
        once(way, leaves)
    times: list[dict[str, float]] = []
    while len(times) < rounds and (not times or time.perf_counter() - began < seconds):
        times.append({name: once(way, leaves) for name, way in made.items()})
    tokens, size, vocabulary = case
    print(f"\n{tokens:,} tokens x {size} -> {vocabulary:,}, {len(times)} rounds: least, its ratio, median ratio")
    for name in made:
        least, floor = (min(found[way] for found in times) for way in (name, "three products"))
        ratio = statistics.median(found[name] / found["three products"] for found in times)
        line = f"  {name:<28} {1e3 * least:8.1f} ms   x {least / floor:.3f}   x {ratio:.3f}"
        if memory and name != "three products":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                line += f"   {pool.apply(peak, (case, name)):7.0f} MB"
        print(line, flush=True)


def main() -> None:
    """Print times, ratios to the three products, and peak memory of every case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bot", nargs="?", help="not used: these layers are of random weights")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=120.0, help="all cases together, about")
    parser.add_argument("--memory", action="store_true", help="peak memory too: a process for every way")
    parser.add_argument("--case", type=int, nargs=3, action="append", metavar=("TOKENS", "SIZE", "VOCABULARY"))
    given = parser.parse_args()
    torch.set_num_threads(2)
    cases = [tuple(case) for case in given.case] if given.case else CASES
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for case in cases:
        measure(case, given.rounds, given.seconds / len(cases), given.memory)


if __name__ == "__main__":
    main()
