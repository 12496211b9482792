"""Checks that a search finds the same for a source whatever else is in the batch, and where two candidates tie."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

import torch
from torch import Tensor

from ..nn import EncoderDecoder, Hypothesis, Memory, State, Step, generate, select_rows
from ..settings import DecodeSettings
from ..text.tokenizer import EOS, RESERVED
from .subject import TOLERANCE, Subject, carries

__all__ = ["check_batches", "check_beam_of_one"]

GREEDY = DecodeSettings(max_length=8, min_length=0, no_repeat_ngram=0)
BEAM = DecodeSettings(max_length=8, min_length=0, no_repeat_ngram=0, method="beam", beam_size=3)
BEAM_OF_ONE = DecodeSettings(max_length=8, min_length=0, no_repeat_ngram=0, method="beam", beam_size=1)
ORDERS = ((0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 4), (3, 0, 1))


class Seen(NamedTuple):
    """One step of the search for one source: the paths that went in, and how near the candidates for the next came.

    `margin` is the least difference, in nats, between two neighbours among the candidates that have a say.
    """

    paths: tuple[tuple[int, ...], ...]
    margin: float


class Traced(EncoderDecoder):
    """A model that looks like another one, and notes every step of a search with it.

    Three tensors more go through the search beside the model's own state, and are selected as it is: the source that a
    row belongs to, [rows, 1]; its path, [rows, time]; and the log-probability of all continuations, [rows, vocabulary].
    """

    def __init__(self, model: EncoderDecoder, settings: DecodeSettings) -> None:
        super().__init__(None, 0, 0)
        self.model = model
        self.candidates = 2 * settings.beam_size + 1 if settings.method == "beam" else 2
        self.steps: list[list[Seen]] = []

    def encode(self, source: Tensor, source_mask: Tensor, carry: State = ()) -> Memory:
        memory = self.model.encode(source, source_mask, carry)
        count = source.shape[0]
        self.steps = [[] for _ in range(count)]
        nothing = torch.zeros(count, 0, dtype=torch.long)
        return memory._replace(state=(*memory.state, torch.arange(count).unsqueeze(1), nothing, torch.zeros(count, 1)))

    def decode(self, tokens: Tensor, memory: Memory, state: State) -> Step:
        *own, source, path, totals = state
        step = self.model.decode(tokens, memory, tuple(own))
        score = totals.gather(1, tokens) if path.shape[1] else totals
        log_probabilities = self.model.project(step.hidden.squeeze(1)).float().log_softmax(1)
        log_probabilities[:, [index for index in range(RESERVED) if index != EOS]] = -torch.inf
        path, totals = torch.cat([path, tokens], 1), score + log_probabilities
        for row in set(source.squeeze(1).tolist()):
            mine = source.squeeze(1) == row
            best = totals[mine].flatten().topk(self.candidates).values
            self.steps[row].append(Seen(tuple(map(tuple, path[mine].tolist())), float((best[:-1] - best[1:]).min())))
        return step._replace(state=(*step.state, source, path, totals))

    def project(self, hidden: Tensor) -> Tensor:
        return self.model.project(hidden)

    def carry(self, memory: Memory, final_state: State) -> State:
        return self.model.carry(memory, final_state[:-3])


class Found(NamedTuple):
    """What a search found for one source, and how."""

    best: Hypothesis
    steps: list[Seen]


def _search(
    model: EncoderDecoder, sources: Sequence[Sequence[int]], settings: DecodeSettings, carry: State
) -> list[Found]:
    traced = Traced(model, settings)
    return [
        Found(best, steps)
        for best, steps in zip(generate(traced, sources, settings, carry=carry), traced.steps, strict=True)
    ]


def _margin(one: Found, other: Found) -> float:
    """Return how near the candidates came where two searches for the same source part.

    Where all paths agree, they part in what ended; then it is the difference of their scores a token.
    """
    for number, (here, there) in enumerate(zip_longest(one.steps, other.steps)):
        if here is None or there is None or here.paths != there.paths:
            return one.steps[number - 1].margin
    scores = [found.best.score / (len(found.best.tokens) + found.best.complete) for found in (one, other)]
    return abs(scores[0] - scores[1])


def _compare(one: Found, other: Found, what: str) -> None:
    if one.best.tokens != other.best.tokens:
        margin = _margin(one, other)
        assert margin <= TOLERANCE, (
            f"{what}: {list(one.best.tokens)} and {list(other.best.tokens)}, though the best candidates where they part"
            f" are {margin:.2e} apart"
        )


def check_batches(subject: Subject) -> None:
    """Greedy and beam search find the same for a source in every batch, unless two candidates tie."""
    model = subject.ready()
    sources, _ = subject.rows(5)
    for settings in (GREEDY, BEAM):
        for carry in carries(subject, model, len(sources)):
            alone = [
                _search(model, [source], settings, select_rows(carry, torch.tensor([index])))[0]
                for index, source in enumerate(sources)
            ]
            for order in ORDERS:
                carried = select_rows(carry, torch.tensor(order))
                together = _search(model, [sources[index] for index in order], settings, carried)
                for index, found in zip(order, together, strict=True):
                    _compare(alone[index], found, f"{settings.method} search by itself and in a batch of {len(order)}")


def check_beam_of_one(subject: Subject) -> None:
    """Greedy search and a beam of one find the same, unless two candidates tie."""
    model = subject.ready()
    sources, _ = subject.rows(5)
    for carry in carries(subject, model, len(sources)):
        greedy, beam = (_search(model, sources, settings, carry) for settings in (GREEDY, BEAM_OF_ONE))
        for one, other in zip(greedy, beam, strict=True):
            _compare(one, other, "greedy search and a beam of one")
