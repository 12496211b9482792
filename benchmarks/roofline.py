"""The rates of this machine go in, the most tokens a second that a training step could reach on it come out.

Counted are torch's own LSTM over whole sequences and the matrix products of the common model, forward and backward, the
fused optimiser and clipping, each at its best and for real tokens only. What is left out costs nothing here: softmax,
dropout, embeddings, masks, the products inside attention, the map between encoder and decoder, and Python.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from training_plain import CLIP, RATE, Sizes

REPEATS = 5

Per = Literal["source token", "target token", "update"]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one thing takes: seconds for each source token, target token or update, and its arithmetic, if it has any.

    flop  of products alone, forward and backward, for the same; 0 where what limits it is the memory
    """

    name: str
    per: Per
    seconds: float
    flop: float = 0.0


def limit(pieces: Sequence[Piece], *, source: float, target: float, updates: float) -> float:
    """Return the source and target tokens a second where so many of each, in so many updates, take what they must."""
    counts = {"source token": source, "target token": target, "update": updates}
    return (source + target) / sum(piece.seconds * counts[piece.per] for piece in pieces)


class Bench:
    """Tensors of the shapes of the common model, made once; `pieces` measures them.

    Args:
        parameters: a model's, of whose shapes the optimiser's are.
        rows: sentences in an update.
        lengths: mean length of source and of target, by which the sequences are cut and the products sized.
    """

    def __init__(self, sizes: Sizes, parameters: Sequence[Tensor], *, rows: int, lengths: tuple[float, float]) -> None:
        self.sizes, self.rows = sizes, rows
        self.times = (round(lengths[0]), round(lengths[1]))
        self.tokens = round(rows * lengths[1])
        self.parameters = [nn.Parameter(torch.randn(part.shape)) for part in parameters]
        for parameter in self.parameters:
            parameter.grad = torch.randn_like(parameter)
        self.optimizer = torch.optim.Adam(self.parameters, lr=RATE, fused=True)

    def pieces(self, *, input_feeding: bool) -> list[Piece]:
        """Measure everything that a step needs, with input feeding or without."""
        size, hidden, vocabulary = self.sizes.embedding, self.sizes.hidden, self.sizes.vocabulary
        encoder = self._lstm(size, hidden // 2, self.times[0])
        return [
            Piece("encoder, forwards", "source token", encoder.seconds, encoder.flop),
            Piece("encoder, backwards", "source token", encoder.seconds, encoder.flop),
            *(self._fed() if input_feeding else self._whole()),
            *self._product("output", hidden, vocabulary),
            Piece("clipping", "update", self._best(lambda: nn.utils.clip_grad_norm_(self.parameters, CLIP))),
            Piece("Adam, fused", "update", self._best(self.optimizer.step)),
        ]

    def _whole(self) -> list[Piece]:
        """Return the decoder without input feeding: each product over all target tokens."""
        size, hidden = self.sizes.embedding, self.sizes.hidden
        decoder = self._lstm(size, hidden, self.times[1])
        return [
            Piece("decoder", "target token", decoder.seconds, decoder.flop),
            *self._product("query", hidden, hidden),
            *self._product("readout", 2 * hidden, hidden),
        ]

    def _fed(self) -> list[Piece]:
        """Return the decoder with input feeding.

        What depends on the step before goes at the rate of one step; the part of the input that does not, and all
        gradients of weights, over all target tokens at once.
        """
        size, hidden = self.sizes.embedding, self.sizes.hidden
        pieces = self._product("decoder, from the embeddings", size, 4 * hidden)
        inside = {
            "decoder, from the state and what is fed": (2 * hidden, 4 * hidden),
            "query": (hidden, hidden),
            "readout": (2 * hidden, hidden),
        }
        for name, (width, height) in inside.items():
            steps = self._product(name, width, height, rows=self.rows)[:2]
            pieces += [Piece(f"{piece.name}, a step", piece.per, piece.seconds, piece.flop) for piece in steps]
            pieces += self._product(name, width, height)[2:]
        return pieces

    def _lstm(self, size: int, hidden: int, steps: int) -> Piece:
        """Measure torch's LSTM, forward and backward with all its gradients."""
        layer = nn.LSTM(size, hidden, batch_first=True)
        inputs = torch.randn(self.rows, steps, size, requires_grad=True)
        start = tuple(torch.zeros(1, self.rows, hidden, requires_grad=True) for _ in range(2))
        wanted = torch.randn(self.rows, steps, hidden)
        into = [inputs, *start, *layer.parameters()]
        seconds = self._best(lambda: torch.autograd.grad(layer(inputs, start)[0], into, wanted))
        tokens = self.rows * steps
        return Piece("", "target token", seconds / tokens, 3 * 2 * 4 * hidden * (size + hidden))

    def _product(self, name: str, width: int, height: int, *, rows: int | None = None) -> list[Piece]:
        """Measure a linear layer from `width` to `height`: forward, gradient of its input, gradient of its weights."""
        rows = rows or self.tokens
        weight, inputs, outputs = (torch.randn(shape) for shape in ((height, width), (rows, width), (rows, height)))
        ways: dict[str, tuple[Tensor, Tensor, Tensor]] = {
            "forward": (inputs, weight.t(), torch.empty_like(outputs)),
            "to its input": (outputs, weight, torch.empty_like(inputs)),
            "to its weights": (outputs.t(), inputs, torch.empty_like(weight)),
        }
        pieces: list[Piece] = []
        for way, (left, right, out) in ways.items():
            seconds = self._best(lambda left=left, right=right, out=out: torch.mm(left, right, out=out))
            pieces.append(Piece(f"{name}, {way}", "target token", seconds / rows, 2 * width * height))
        return pieces

    def _best(self, work: Callable[[], object]) -> float:
        """Return the seconds of the fastest of some runs, after one that counts for nothing."""
        taken = []
        for _ in range(REPEATS + 1):
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
        return min(taken[1:])
