"""A run before its first step goes in; what is wrong with its data, model and settings comes out, a line a check."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import nn

from ..errors import S2SBotError
from ..nn.dataset import Update
from ..nn.encoder_decoder import EncoderDecoder, load_model_tensors, model_tensors
from ..nn.scoring import Minds
from ..text.packed import Packed
from .building import build_model
from .examination import (
    Fault,
    batch_of,
    decoding_fault,
    evaluation_fault,
    foretold,
    padding_fault,
    row_nats,
    step_fault,
)
from .handful import handful, rows_verdict, texts_verdict
from .loop import Loop
from .rate_range import highest_rate
from .update import Updater

__all__ = ["Diagnosis", "diagnose"]

Told = Callable[[str], None]

FIRST: Final = 3
"""Updates in which a gradient is to reach every parameter: behind a gate that begins at zero the first one is zero."""
RATES: Final = (3e-3, 1e-3, 3e-4)
"""Rates of Adam that are tried one after the other."""
UPDATES, LOOK_EVERY = 400, 10
"""Updates with each rate, and between two looks; exchanges that can be learnt need 60 to 300."""
KNOWN: Final = 0.3
"""Mean loss in nats a token at which exchanges may be known by heart."""
TRIED: Final = 20
"""Updates at the run's own rate."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a check found.

    state   `doubtful` is worth a look and stops nothing; `unknown` could not be looked at, as something else is wrong
    said    what was found, in a sentence
    remedy  what to do about it
    """

    name: str
    state: Literal["right", "doubtful", "wrong", "unknown"]
    said: str
    remedy: str = ""


def diagnose(loop: Loop, told: Told = lambda message: None) -> Iterator[Diagnosis]:
    """Check data, model and settings; the run stands where it stood, as what learns are copies.

    Args:
        told: hears what is being done.
    """
    packed, tokenizers = loop.prepared.train, loop.prepared.tokenizers
    rows = handful(packed, len(tokenizers[1]))
    yield _checked("texts", lambda: Diagnosis("texts", *texts_verdict(loop.prepared, rows)))
    yield _checked("rows", lambda: Diagnosis("rows", *rows_verdict(loop.prepared, loop.settings.data.max_length)))
    if len(rows) < 2:
        yield Diagnosis(
            "exchanges",
            "wrong",
            "there are no two exchanges to learn from whose sources and targets can be told apart",
            "give a larger corpus",
        )
        return
    patient = _Patient(loop, rows)
    told("the first updates")
    first = list(_each(patient.first_updates, "first loss"))
    yield from first
    if any(found.state == "wrong" and found.name in ("first loss", "finite") for found in first):
        names = ("padding", "steps", "evaluation", "by heart", "decoding", "largest batch", "learning rate")
        yield from (Diagnosis(name, "unknown", "not looked at: mend the above first") for name in names)
        return
    # told after the causes that it may have, but made first: they show better in weights that have learnt something
    known = _checked("by heart", lambda: patient.by_heart(told))
    yield _checked("padding", patient.padding)
    yield _checked("steps", patient.steps)
    yield _checked("evaluation", patient.evaluation)
    yield known
    if known.state == "right":
        yield _checked("decoding", patient.decoding)
    else:
        yield Diagnosis("decoding", "unknown", "not looked at: nothing is known by heart")
    told("the largest batch")
    yield _checked("largest batch", patient.largest)
    told("some updates at the run's own learning rate")
    yield _checked("learning rate", patient.rate)


def _each(check: Callable[[], Iterator[Diagnosis]], name: str) -> Iterator[Diagnosis]:
    """Yield what a check finds; what it raises is a finding too."""
    try:
        yield from check()
    except S2SBotError as error:
        yield Diagnosis(name, "wrong", error.message, error.hint)
    except Exception as error:  # whatever a plugin raises
        said = " ".join(str(error).split())
        yield Diagnosis(
            name,
            "wrong",
            f"{type(error).__name__}: {said}" if said else type(error).__name__,
            "it is raised in the model or the tokenizer: look closer with s2sbot plugins check NAME",
        )


def _checked(name: str, check: Callable[[], Diagnosis]) -> Diagnosis:
    return next(_each(lambda: iter((check(),)), name))


class _Patient:
    """A copy of the model of a run, without what makes learning by heart harder, and a few exchanges."""

    def __init__(self, loop: Loop, rows: Sequence[int]) -> None:
        self.loop, self.device = loop, loop.device
        self.rows = [loop.prepared.train.row(row) for row in rows]
        self.packed = Packed.pack(self.rows)
        self.model = _without_dropout(loop)
        self.weights = {name: tensor.clone() for name, tensor in model_tensors(self.model).items()}

    def updater(self, rate: float) -> Updater:
        """Return Adam for the weights that the run begins with."""
        load_model_tensors(self.model, self.weights)
        train = dataclasses.replace(
            self.loop.settings.train,
            optimizer="adam",
            learning_rate=rate,
            average="tokens",
            clip=1.0,
            weight_decay=0.0,
            label_smoothing=0.0,
            word_dropout=0.0,
            subword_sampling=0.0,
            scheduled_sampling=0.0,
            sampled_softmax=0,
            ema=0.0,
        )
        return Updater(self.model, train, device=self.device)

    def learn(self, updater: Updater, step: int, rate: float) -> float:
        """Make an update and return the loss before it, in nats a token; not a finite one where it was none."""
        count = len(self.rows)
        everything = np.arange(count)
        update, minds = Update.of_batch(everything), Minds(0)
        if self.model.stateful:
            # the same once more, from the mind that it ends in
            update = Update((everything, everything), np.arange(count), np.ones(count, np.bool_))
            minds = Minds(count)
        updater.reset("nats", "tokens")
        updater.update(self.packed, update, minds, step=step, rate=rate, fraction=0.0)
        counts = updater.read("nats", "tokens")
        return counts["nats"] / counts["tokens"] if counts["tokens"] else math.nan

    def first_updates(self) -> Iterator[Diagnosis]:
        """Look at loss and gradients in the first updates."""
        updater = self.updater(RATES[1])
        batch = batch_of(self.rows, self.device)
        with torch.no_grad():
            first = float(row_nats(self.model.train(), batch).sum() / batch.target_mask.sum())
        unreached = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
        losses: list[float] = []
        endless: list[str] = []
        for step in range(FIRST):
            losses.append(self.learn(updater, step, RATES[1]))
            for name, parameter in self.model.named_parameters():
                if parameter.grad is None:
                    continue
                if not torch.isfinite(parameter.grad).all():
                    endless += [name] if name not in endless else []
                elif name in unreached and parameter.grad.any():
                    unreached.remove(name)
        yield self._first_loss(first, losses[0])
        if endless or not all(map(math.isfinite, losses)):
            where = f"the gradient of {_listed(endless)} is not finite" if endless else "the loss is not finite"
            yield Diagnosis("finite", "wrong", where, "look for 0/0, log(0), sqrt(0) or a softmax of -inf alone")
            return
        yield Diagnosis("finite", "right", f"loss and gradients are finite in the first {FIRST} updates")
        if unreached:
            yield Diagnosis(
                "gradients",
                "wrong",
                f"no gradient reaches {_listed(unreached)}",
                "use it on the way to the loss; look for detach(), no_grad() and argmax before it, or freeze it with"
                " requires_grad_(False)",
            )
        else:
            count = sum(parameter.requires_grad for parameter in self.model.parameters())
            yield Diagnosis("gradients", "right", f"a gradient reaches each of the {count} parameters")

    def _first_loss(self, loss: float, learnt_from: float) -> Diagnosis:
        even = math.log(len(self.loop.prepared.tokenizers[1]))
        said = f"{loss:.2f} nats a token; all {len(self.loop.prepared.tokenizers[1]):,} tokens alike are {even:.2f}"
        if not math.isfinite(loss):
            return Diagnosis("first loss", "wrong", "it is not finite", "look at the first weights and at project()")
        if not self.model.stateful and abs(loss - learnt_from) > 0.02 * loss:
            return Diagnosis(
                "first loss",
                "wrong",
                f"{loss:.2f} nats a token by project(), but training learns from {learnt_from:.2f}",
                "let output_layer() return what project() computes, or None",
            )
        if loss > 1.5 * even:
            return Diagnosis(
                "first loss",
                "doubtful",
                f"{said}: the model is sure of wrong tokens before it has learnt anything",
                "make the first weights smaller, above all those of the output layer",
            )
        if loss < 0.5 * even:
            return Diagnosis(
                "first loss",
                "doubtful",
                f"{said}: it knows much already, which is right for a run that begins from a bot, and wrong for others:"
                " then it sees the token that it is to foretell",
                "let the hidden state of a place depend on the tokens up to it alone",
            )
        return Diagnosis("first loss", "right", said)

    def padding(self) -> Diagnosis:
        """Compare a row by itself with the same row padded, and in a batch."""
        fault = padding_fault(self.model, self.rows, self.device)
        return _judged("padding", fault, "a row has the same loss by itself and in a batch")

    def steps(self) -> Diagnosis:
        """Compare decoding token by token with decoding whole targets."""
        fault = step_fault(self.model, self.rows, self.device)
        return _judged("steps", fault, "decoding token by token is decoding whole targets")

    def evaluation(self) -> Diagnosis:
        """Compare evaluation with training."""
        fault = evaluation_fault(self.model, self.rows, self.device)
        return _judged("evaluation", fault, "without dropout, evaluation is as training")

    def by_heart(self, told: Told) -> Diagnosis:
        """Learn the exchanges by heart."""
        best, first = math.inf, math.nan
        for rate in RATES:
            updater = self.updater(rate)
            for step in range(UPDATES):
                loss = self.learn(updater, step, rate)
                first, best = (loss if math.isnan(first) else first), min(best, loss)
                if not math.isfinite(loss) or (step == UPDATES // 2 and loss > 0.9 * first):
                    break
                if step % LOOK_EVERY == 0:
                    told(f"learning {len(self.rows)} exchanges by heart: update {step} of {UPDATES}, loss {loss:.3f}")
                    if loss < KNOWN and self._all_known():
                        said = f"{len(self.rows)} exchanges are known after {step} updates, with a loss of {loss:.3f}"
                        return Diagnosis("by heart", "right", said)
        said = f"after {UPDATES} updates with each of {len(RATES)} rates the loss of {len(self.rows)} exchanges is"
        return Diagnosis("by heart", "wrong", f"{said} {best:.3f} nats a token at best{self._source_counts()}", HEART)

    @torch.no_grad()
    def _all_known(self) -> bool:
        """Tell whether each target's tokens are the likeliest ones after those before them."""
        batch = batch_of(self.rows, self.device)
        likeliest = foretold(self.model.train(), batch).argmax(1)
        return bool((likeliest == batch.target_output[batch.target_mask]).all())

    @torch.no_grad()
    def _source_counts(self) -> str:
        """Say so where it makes no difference which source a target has."""
        sources, targets = zip(*self.rows, strict=True)
        others = [*zip([*sources[1:], sources[0]], targets, strict=True)]
        one, other = (foretold(self.model.eval(), batch_of(rows, self.device)) for rows in (self.rows, others))
        same = torch.allclose(one, other, atol=1e-5)
        return ", and it is the same with every source: what encode() returns does not reach the targets" * same

    def decoding(self) -> Diagnosis:
        """Let greedy search find what is known by heart."""
        tokenizer = self.loop.prepared.tokenizers[0]
        shown = [tokenizer.decode(source) for source, _ in self.rows]
        fault = decoding_fault(self.model, self.rows, shown)
        return _judged("decoding", fault, "greedy search says what is known by heart")

    def largest(self) -> Diagnosis:
        """Try the largest batch of the run."""
        trial = self.loop.try_machine()
        memory = trial.memory(self.loop.settings.train.optimizer)
        return Diagnosis("largest batch", "right", f"{memory}; about {trial.tokens_per_second:,.0f} tokens/s")

    def rate(self) -> Diagnosis:
        """Make some of the run's own updates at its own rate, without its warm-up."""
        loop, train = self.loop, self.loop.settings.train
        rate = highest_rate(loop)
        plain = dataclasses.replace(train, ema=0.0)
        updater = Updater(copy.deepcopy(loop.model), plain, device=loop.device)
        updater.parts, updater.subwords = loop.updater.parts, loop.updater.subwords
        updater.proposal, minds, losses = loop.updater.proposal, Minds(loop.order.slots), []
        for step, update in enumerate(itertools.islice(itertools.cycle(loop.order.updates), TRIED)):
            updater.reset("nats", "tokens")
            updater.update(
                loop.prepared.train, update, minds, step=step, rate=rate * min(1.0, (step + 1) / 5), fraction=0.0
            )
            counts = updater.read("nats", "tokens")
            losses.append(counts["nats"] / counts["tokens"] if counts["tokens"] else math.nan)
        first, last = losses[0], float(np.mean(losses[-5:]))
        said = f"{TRIED} updates at {rate:g} bring the loss from {first:.2f} to {last:.2f}"
        remedy = "find a better one with --find-lr"
        if not last <= 1.1 * first:
            return Diagnosis("learning rate", "wrong", f"{said}: it explodes", remedy)
        if last > 0.999 * first:
            return Diagnosis("learning rate", "doubtful", f"{said}: hardly at all", remedy)
        return Diagnosis("learning rate", "right", said)


HEART: Final = (
    "if all above is right, look at what reaches the loss: targets shifted by one place against their inputs, too small"
    " a hidden size, an activation that is always off"
)


def _judged(name: str, fault: Fault | None, right: str) -> Diagnosis:
    return Diagnosis(name, "right", right) if fault is None else Diagnosis(name, "wrong", fault.said, fault.remedy)


def _listed(names: Sequence[str], *, most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _without_dropout(loop: Loop) -> EncoderDecoder:
    """Return a copy of the model that drops nothing in training, as far as that can be had."""
    config: Any = loop.settings.config
    knobs = [field.name for field in dataclasses.fields(config) if "dropout" in field.name]
    off = {name: 0.0 for name in knobs if isinstance(getattr(config, name), float)}
    settings = dataclasses.replace(loop.settings, config=dataclasses.replace(config, **off))
    model = build_model(settings, loop.prepared, loop.keeper.plugins, loop.device)
    load_model_tensors(model, {name: tensor.detach().clone() for name, tensor in model_tensors(loop.model).items()})
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout1d | nn.AlphaDropout):
            module.p = 0.0
        elif isinstance(module, nn.RNNBase):
            module.dropout = 0.0
    return model
