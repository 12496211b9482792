"""A model and the held-out exchanges go in; its figures, and what it answers to the same few lines, come out."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch

from ..errors import CorpusError, DivergedError, PluginError, SettingsError
from ..nn.dataset import Update, sequential_batches
from ..nn.decoding import generate
from ..nn.encoder_decoder import EncoderDecoder
from ..nn.scoring import Minds, evaluate, update_loss
from ..plugins import Plugins
from ..preparation import Prepared
from ..progress import Sample
from ..run_settings import RunSettings
from ..settings import nearest
from ..text.metric import Metric

__all__ = ["Validator", "best_is_highest"]

PERPLEXITY: Final = "perplexity"
TRIED: Final = 3
"""Batches by which the time of a validation is told."""
ANSWERED: Final = 1_000
"""Held-out exchanges that are answered for a metric, at most."""
ROWS: Final = 128
"""Sources that are answered at once."""


def best_is_highest(name: str, plugins: Plugins) -> bool:
    """Return whether the highest value is the best one of what weights are chosen by.

    Raises:
        SettingsError: where there is no such metric; names the nearest one.
        PluginError: where it is broken.
    """
    if name == PERPLEXITY:
        return False
    known = {PERPLEXITY, *plugins.metrics()}
    if name not in known and not any(name in broken.owns for broken in plugins.broken):
        raise SettingsError(f"no metric {name!r}", nearest(name, known))
    return plugins.metric(name).higher_is_better


class Validator:
    """What a run is validated by: perplexity always, and all metrics where the best weights are chosen by one.

    For metrics, a fixed spread of the held-out exchanges is answered greedily, each without a mind from before it.
    """

    def __init__(self, settings: RunSettings, prepared: Prepared, plugins: Plugins, *, batch_tokens: int) -> None:
        self.settings, self.prepared, self.batch_tokens = settings, prepared, batch_tokens
        self.higher_is_better = best_is_highest(settings.train.metric, plugins)
        self.decode = dataclasses.replace(settings.decode, method="greedy")
        self.metrics: dict[str, Metric] = {}
        self._plugins = plugins
        if settings.train.metric != PERPLEXITY:
            self.metrics = {name: offer.value() for name, offer in plugins.metrics().items()}
            self._rows = _spread(len(prepared.valid), ANSWERED)
            self._sources, self._targets = _texts(prepared, self._rows)

    def figures(self, model: EncoderDecoder, *, step: int) -> Mapping[str, float]:
        """Return the figures of a validation by name.

        Raises:
            DivergedError: where the perplexity is not finite.
            PluginError: where the metric that the best weights are chosen by fails.
        """
        score = evaluate(model, self.prepared.valid, batch_tokens=self.batch_tokens)
        if not math.isfinite(score.perplexity):
            raise DivergedError(
                f"the model has diverged: at step {step} its perplexity is not finite",
                "train anew with a lower rate, as --set train.learning_rate=0.0003",
            )
        return {PERPLEXITY: score.perplexity, **self._scores(model)}

    def _scores(self, model: EncoderDecoder) -> dict[str, float]:
        """Return what every metric says; one that fails is named and left out, but for the one chosen by."""
        scores: dict[str, float] = {}
        outputs = self.answers(model, self._rows) if self.metrics else []
        for name, metric in list(self.metrics.items()):
            try:
                scores[name] = float(metric.score(list(outputs), list(self._targets), list(self._sources)))
                if not math.isfinite(scores[name]):
                    raise ValueError(f"its score is {scores.pop(name)}")
            except Exception as error:
                cause = " ".join(f"{type(error).__name__}: {error}".split())
                if name == self.settings.train.metric:
                    hint = "mend that plugin, or choose by another metric"
                    raise PluginError(f"the metric {name!r} has failed: {cause}", hint) from error
                self._plugins.leave_out_metric(name, cause)
                del self.metrics[name]
        return scores

    def answers(self, model: EncoderDecoder, rows: Sequence[int]) -> list[str]:
        """Return what the model says to some held-out exchanges, in their order; those of like length go together."""
        model.eval()
        sources = [self.prepared.valid.row(row)[0] for row in rows]
        order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
        target, said = self.prepared.tokenizers[1], [""] * len(sources)
        for begin in range(0, len(order), ROWS):
            some = order[begin : begin + ROWS]
            for index, found in zip(some, generate(model, [sources[i] for i in some], self.decode), strict=True):
                said[index] = target.decode(found.tokens).strip()
        return said

    def seconds(self, model: EncoderDecoder) -> float:
        """Return about how long a validation takes, by trying a part of it.

        A model that has learnt nothing may go on to the longest answer there is, so answers are cut to a usual length.
        """
        usual = max(1, self.decode.min_length, round(float(self.prepared.valid.lengths()[1].mean())))
        decode = self.decode
        self.decode = dataclasses.replace(decode, max_length=min(decode.max_length, usual))
        try:
            return self._seconds(model)
        finally:
            self.decode = decode

    def _seconds(self, model: EncoderDecoder) -> float:
        began = time.perf_counter()
        self.samples(model)
        if self.metrics:
            tried = self._rows[:: max(1, len(self._rows) // ROWS)][:ROWS]
            answering = time.perf_counter()
            self.answers(model, tried)
            began -= (time.perf_counter() - answering) * (len(self._rows) / len(tried) - 1)
        answering = time.perf_counter() - began
        updates = list(map(Update.of_batch, sequential_batches(self.prepared.valid, self.batch_tokens)))
        chosen = [updates[row] for row in _spread(len(updates), TRIED)]
        began = time.perf_counter()
        with torch.no_grad():
            for update in chosen:
                float(update_loss(model, self.prepared.valid, update, Minds(0)).nats)
        took = time.perf_counter() - began
        tokens = sum(self.prepared.valid.tokens(update.turns) for update in chosen)
        return answering + took * sum(self.prepared.valid.tokens(update.turns) for update in updates) / tokens

    def samples(self, model: EncoderDecoder) -> tuple[Sample, ...]:
        """Let the model answer some held-out lines, the same ones every time."""
        model.eval()
        target = self.prepared.tokenizers[1]
        found = generate(model, [ids for ids, _, _ in self.prepared.samples], self.decode)
        return tuple(
            Sample(source, target.decode(hypothesis.tokens).strip(), truth)
            for (_, source, truth), hypothesis in zip(self.prepared.samples, found, strict=True)
        )


def _spread(count: int, most: int) -> list[int]:
    """Return at most so many numbers below `count`, evenly spread."""
    rows: list[int] = np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()
    return rows


def _texts(prepared: Prepared, rows: Sequence[int]) -> tuple[list[str], list[str]]:
    """Return the text of held-out rows as it was before a tokenizer saw it: sources and targets.

    Raises:
        CorpusError: where the prepared data are damaged.
    """
    wanted, file = set(rows), prepared.folder / "valid.jsonl"
    try:
        with file.open(encoding="utf-8", newline="\n") as stream:
            found = [json.loads(line) for number, line in enumerate(stream) if number in wanted]
        sources, targets = ([str(row[side]) for row in found] for side in ("source", "target"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{file} cannot be read: {error}", "prepare it again, into a new folder") from error
    if len(found) != len(rows):
        raise CorpusError(f"{file} is cut short", "prepare it again, into a new folder")
    return sources, targets
