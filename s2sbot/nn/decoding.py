"""A model and a source go in, target tokens come out: greedily, by sampling, or by beam search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..settings import DecodeSettings
from ..text.tokenizer import BOS, EOS, RESERVED
from .batch import Ids, source_rows
from .encoder_decoder import EncoderDecoder, Memory, State, select_rows

__all__ = ["Hypothesis", "carry_after", "generate", "stream"]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One finished target.

    tokens      bare ids, without BOS and EOS
    score       summed log-probability in nats, of EOS too where it ended by itself
    carry       what the next turn starts from, one row; empty for a model without a mind between turns, and where the
                hypothesis is not complete: see `carry_after`
    complete    False where the longest allowed length or a stop cut it off
    """

    tokens: tuple[int, ...]
    score: float
    carry: State = ()
    complete: bool = True


@torch.inference_mode()
def generate(
    model: EncoderDecoder, sources: Sequence[Ids], settings: DecodeSettings, *, carry: State = ()
) -> list[Hypothesis]:
    """Return the best target of each source; the same for a source whatever else is in the batch.

    Args:
        sources: bare ids.
        carry: what the turn before left, a row for each source.
    """
    if not sources:
        return []
    memory = _encode(model, sources, carry)
    if settings.method == "beam":
        return _beam(model, memory, settings)
    search = _Search(model, memory, settings)
    while search.alive:
        search.advance()
    return [hypothesis for hypothesis in search.finished if hypothesis is not None]


@torch.inference_mode()
def stream(model: EncoderDecoder, source: Ids, settings: DecodeSettings, *, carry: State = ()) -> Iterator[Hypothesis]:
    """Yield the target of one source as it grows, token by token; the last one yielded is finished.

    Beam search, which may still change its mind about every token, yields once.
    """
    memory = _encode(model, [source], carry)
    if settings.method == "beam":
        yield _beam(model, memory, settings)[0]
        return
    search = _Search(model, memory, settings)
    while search.alive:
        search.advance()
        finished = search.finished[0]
        yield finished if finished is not None else search.unfinished()


@torch.inference_mode()
def carry_after(model: EncoderDecoder, source: Ids, said: Hypothesis, carry: State = ()) -> State:
    """Return what the next turn starts from when all tokens of a target have been read, the last one too.

    A search that is cut short has not read the last token that it wrote; in training the state is that after it.
    """
    memory = _encode(model, [source], carry)
    tokens = torch.tensor([[BOS, *said.tokens]], device=memory.mask.device)
    return model.carry(memory, model.decode(tokens, memory, memory.state).state)


def _encode(model: EncoderDecoder, sources: Sequence[Ids], carry: State) -> Memory:
    device = next(model.parameters()).device
    source, mask = source_rows(sources, device)
    return model.encode(source, mask, carry)


class _Search:
    """Greedy search or sampling over a batch; a finished row leaves the batch at once."""

    def __init__(self, model: EncoderDecoder, memory: Memory, settings: DecodeSettings) -> None:
        self.model, self.memory, self.settings = model, memory, settings
        rows = memory.mask.shape[0]
        self.device = memory.mask.device
        self.state = memory.state
        self.rows = list(range(rows))
        self.tokens: list[list[int]] = [[] for _ in range(rows)]
        self.scores = [0.0] * rows
        self.finished: list[Hypothesis | None] = [None] * rows
        self.generators = [_generator(settings.seed, row) for row in range(rows)]

    @property
    def alive(self) -> bool:
        return bool(self.rows)

    def advance(self) -> None:
        """Give every unfinished row its next token."""
        before = [self.tokens[row][-1] if self.tokens[row] else BOS for row in self.rows]
        tokens = torch.tensor(before, device=self.device).unsqueeze(1)
        step = self.model.decode(tokens, self.memory, self.state)
        self.state = step.state
        log_probabilities = _log_probabilities(self.model, step.hidden)
        allowed = _forbid(log_probabilities, [self.tokens[row] for row in self.rows], self.settings)
        if self.settings.method == "sample":
            chosen = [
                _sample(scores, self.settings, self.generators[row])
                for row, scores in zip(self.rows, allowed.cpu(), strict=True)
            ]
        else:
            chosen = allowed.argmax(1).tolist()
        picked = log_probabilities.gather(1, torch.tensor(chosen, device=self.device).unsqueeze(1)).squeeze(1)
        going = []
        for index, (row, token, score) in enumerate(zip(self.rows, chosen, picked.tolist(), strict=True)):
            self.scores[row] += score
            if token != EOS:
                self.tokens[row].append(token)
            if token == EOS or len(self.tokens[row]) >= self.settings.max_length:
                self.finished[row] = self._hypothesis(row, index, complete=token == EOS)
            else:
                going.append(index)
        if len(going) < len(self.rows):
            self.rows = [self.rows[index] for index in going]
            kept = torch.tensor(going, dtype=torch.long, device=self.device)
            self.memory, self.state = select_rows(self.memory, kept), select_rows(self.state, kept)

    def unfinished(self) -> Hypothesis:
        """Return how far the first row has come."""
        return self._hypothesis(self.rows[0], 0, complete=False)

    def _hypothesis(self, row: int, index: int, *, complete: bool) -> Hypothesis:
        carry: State = ()
        if complete:
            one = torch.tensor([index], device=self.device)
            carry = self.model.carry(select_rows(self.memory, one), select_rows(self.state, one))
        return Hypothesis(tuple(self.tokens[row]), self.scores[row], carry, complete)


def _generator(seed: int | None, row: int) -> torch.Generator:
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed * 1_000_003 + row)
    return generator


def _log_probabilities(model: EncoderDecoder, hidden: Tensor) -> Tensor:
    """Return [rows, vocabulary] of the hidden states of one step, [rows, 1, size]."""
    return model.project(hidden.squeeze(1)).float().log_softmax(1)


def _forbid(log_probabilities: Tensor, tokens: Sequence[Sequence[int]], settings: DecodeSettings) -> Tensor:
    """Return log-probabilities in which what may not come next is minus infinity.

    Forbidden are the reserved ids, EOS before the least length, and what would complete a repeated n-gram.
    """
    allowed = log_probabilities.clone()
    end = allowed[:, EOS].clone()
    allowed[:, :RESERVED] = -torch.inf
    for row, written in enumerate(tokens):
        if len(written) >= settings.min_length:
            allowed[row, EOS] = end[row]
        for token in _repeats(written, settings.no_repeat_ngram):
            allowed[row, token] = -torch.inf
    # where all that is left is forbidden, the reply ends
    stuck = allowed.isinf().all(1)
    allowed[stuck, EOS] = end[stuck]
    return allowed


def _repeats(written: Sequence[int], size: int) -> set[int]:
    """Return the tokens that would end an n-gram of `size` which `written` has already."""
    if not 0 < size <= len(written):
        return set()
    ending = tuple(written[len(written) - size + 1 :])
    return {
        written[begin + size - 1]
        for begin in range(len(written) - size + 1)
        if tuple(written[begin : begin + size - 1]) == ending
    }


def _sample(scores: Tensor, settings: DecodeSettings, generator: torch.Generator) -> int:
    """Draw one token of [vocabulary] log-probabilities, after temperature, top-k and top-p (Holtzman et al. 2020)."""
    probabilities, tokens = (scores / settings.temperature).softmax(0).sort(descending=True, stable=True)
    if settings.top_k:
        probabilities[settings.top_k :] = 0.0
    before = probabilities.cumsum(0) - probabilities
    probabilities[before >= settings.top_p * probabilities.sum()] = 0.0
    return int(tokens[torch.multinomial(probabilities, 1, generator=generator)])


def _beam(model: EncoderDecoder, memory: Memory, settings: DecodeSettings) -> list[Hypothesis]:
    """Search every source of a batch with its own beam; all beams take their steps together."""
    batch, width, device = memory.mask.shape[0], settings.beam_size, memory.mask.device
    rows = torch.arange(batch, device=device)
    beams = [_Beam(settings) for _ in range(batch)]
    state = memory.state
    scores = [[0.0] for _ in range(batch)]
    while True:
        going = [beam for beam in beams if not beam.done]
        before = [path[-1] if path else BOS for beam in going for path in beam.paths]
        tokens = torch.tensor(before, device=device).unsqueeze(1)
        rowed = select_rows(memory, rows)
        step = model.decode(tokens, rowed, state)
        log_probabilities = _log_probabilities(model, step.hidden)
        allowed = _forbid(log_probabilities, [path for beam in going for path in beam.paths], settings)
        origins, first, kept = [], 0, []
        for beam, past in zip(going, scores, strict=True):
            size = len(beam.paths)
            totals = allowed[first : first + size] + torch.tensor(past, device=device).unsqueeze(1)
            best, index = totals.flatten().topk(min(2 * width, totals.numel()))
            vocabulary = totals.shape[1]
            parents, now = beam.grow(best.tolist(), index.tolist(), vocabulary, _Rows(model, rowed, step.state, first))
            if not beam.done:
                origins += [first + parent for parent in parents]
                kept.append(now)
            first += size
        if not origins:
            return [beam.best() for beam in beams]
        index = torch.tensor(origins, device=device)
        state, rows, scores = select_rows(step.state, index), rows[index], kept


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a step that belong to one beam, from `first` on."""

    model: EncoderDecoder
    memory: Memory
    state: State
    first: int

    def carry(self, row: int) -> State:
        one = torch.tensor([self.first + row], device=self.memory.mask.device)
        return self.model.carry(select_rows(self.memory, one), select_rows(self.state, one))


class _Beam:
    """The unfinished paths of one source, and the finished hypotheses.

    Score is summed log-probability over length to the power of `length_penalty`, EOS counted (Wu et al. 2016 compare
    such normalisations); the search ends when `beam_size` hypotheses are finished, or none that is left can win.
    """

    def __init__(self, settings: DecodeSettings) -> None:
        self.settings = settings
        self.paths: list[tuple[int, ...]] = [()]
        self.ended: list[Hypothesis] = []
        self.done = False

    def grow(
        self, scores: list[float], index: list[int], vocabulary: int, rows: _Rows
    ) -> tuple[list[int], list[float]]:
        """Take the best continuations; return for each path that goes on its parent and its score."""
        parents: list[int] = []
        paths: list[tuple[int, ...]] = []
        kept: list[float] = []
        for rank, (score, place) in enumerate(zip(scores, index, strict=True)):
            parent, token = divmod(place, vocabulary)
            if score == -torch.inf or len(paths) == self.settings.beam_size:
                break
            if token != EOS:
                parents.append(parent)
                paths.append((*self.paths[parent], token))
                kept.append(score)
            elif rank < self.settings.beam_size:
                self.ended.append(Hypothesis(self.paths[parent], score, rows.carry(parent)))
        longest = bool(paths) and len(paths[0]) >= self.settings.max_length
        if longest:
            self.ended += [Hypothesis(path, score, complete=False) for path, score in zip(paths, kept, strict=True)]
        self.paths = paths
        self.done = longest or not paths or self._settled(kept[0] if kept else -torch.inf)
        return parents, kept

    def _settled(self, best_alive: float) -> bool:
        """Tell whether enough has ended, or nothing that goes on can win: log-probability only ever falls."""
        if len(self.ended) >= self.settings.beam_size:
            return True
        longest = self.settings.max_length + 1
        return bool(self.ended) and self._normalised(self.best()) >= best_alive / longest**self.settings.length_penalty

    def _normalised(self, hypothesis: Hypothesis) -> float:
        length = len(hypothesis.tokens) + (1 if hypothesis.complete else 0)
        return float(hypothesis.score / max(1, length) ** self.settings.length_penalty)

    def best(self) -> Hypothesis:
        """Return the finished hypothesis with the highest normalised score; those that ended by themselves first."""
        whole = [hypothesis for hypothesis in self.ended if hypothesis.complete] or self.ended
        return max(whole, key=self._normalised)
