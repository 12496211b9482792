"""What a bot foresees beside what counting does: perplexity of unigram and trigram models on the very same tokens.

    python benchmarks/ngram.py onepace.bot

Reads the packed data of a bot's training folder. The n-gram models see the replies only, as the decoder does without
a source; they are interpolated Kneser-Ney (Chen & Goodman 1999, section 2.7, one discount n1 / (n1 + 2 n2) an order).
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from s2sbot import BOS, EOS
from s2sbot.bot import read_description
from s2sbot.nn import Packed

Gram = tuple[int, ...]


class KneserNey:
    """An interpolated Kneser-Ney model of order `order` over `vocabulary` tokens."""

    def __init__(self, lines: Iterable[list[int]], order: int, vocabulary: int) -> None:
        self.order, self.vocabulary = order, vocabulary
        counts: list[Counter[Gram]] = [Counter() for _ in range(order + 1)]
        for line in lines:
            padded = [BOS] * (order - 1) + line + [EOS]
            for end in range(order, len(padded) + 1):
                counts[order][tuple(padded[end - order : end])] += 1
        # below the highest order counts how many different tokens come before
        for size in range(order - 1, 0, -1):
            for gram in counts[size + 1]:
                counts[size][gram[1:]] += 1
        self.counts = counts
        self.totals: list[Counter[Gram]] = [Counter() for _ in range(order + 1)]
        self.followers: list[Counter[Gram]] = [Counter() for _ in range(order + 1)]
        self.discounts = [0.0] * (order + 1)
        for size in range(1, order + 1):
            for gram, count in counts[size].items():
                self.totals[size][gram[:-1]] += count
                self.followers[size][gram[:-1]] += 1
            once = sum(1 for count in counts[size].values() if count == 1)
            twice = sum(1 for count in counts[size].values() if count == 2)
            self.discounts[size] = once / (once + 2 * twice) if once else 0.5

    def probability(self, gram: Gram) -> float:
        """Return p(last token | the tokens before it)."""
        if not gram:
            return 1.0 / self.vocabulary
        size, history = len(gram), gram[:-1]
        below = self.probability(gram[1:])
        total = self.totals[size][history]
        if not total:
            return below
        discount = self.discounts[size]
        kept = max(self.counts[size][gram] - discount, 0.0) / total
        return kept + discount * self.followers[size][history] / total * below

    def perplexity(self, lines: Iterable[list[int]]) -> float:
        """Return the perplexity a token, EOS included."""
        nats, tokens = 0.0, 0
        for line in lines:
            padded = [BOS] * (self.order - 1) + line + [EOS]
            for end in range(self.order, len(padded) + 1):
                nats -= math.log(self.probability(tuple(padded[end - self.order : end])))
                tokens += 1
        return math.exp(nats / tokens)


def main() -> None:
    """Print a table: each model's perplexity on the bot's held-out exchanges, and its ratio to the bot's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bot", type=Path)
    bot = parser.parse_args().bot
    description = read_description(bot)
    sides = []
    for name in ("train", "valid"):
        packed = Packed.load(bot / "training" / "data", name)
        sides.append([packed.row(index)[1] for index in range(len(packed))])
    train, valid = sides
    own = description.metrics["valid_perplexity"]
    print(f"{len(train):,} replies to learn from, {sum(map(len, valid)) + len(valid):,} held-out tokens with line ends")
    for order, name in ((1, "unigram"), (2, "bigram"), (3, "trigram"), (5, "5-gram")):
        began = time.perf_counter()
        found = KneserNey(train, order, description.target_vocab).perplexity(valid)
        print(f"{name:<24} {found:8.2f}   x {found / own:.2f}   {time.perf_counter() - began:.1f} s")
    print(f"{description.model:<24} {own:8.2f}   x 1.00")


if __name__ == "__main__":
    main()
