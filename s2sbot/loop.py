"""Packed exchanges and a model go in; weights that get better, checkpoints and events come out."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

from . import card
from .bot import BotDescription, save_weights, write_description
from .checkpoint import (
    Checkpoint,
    latest_checkpoint,
    optimizer_tensors,
    random_tensors,
    restore_optimizer,
    restore_random,
)
from .errors import TrainingError
from .nn.dataset import Update, dialogue_slots, epoch_batches, epoch_dialogues
from .nn.decoding import generate
from .nn.encoder_decoder import load_model_tensors, model_tensors, put_vectors
from .nn.optimization import learning_rate, make_optimizer
from .nn.scoring import Minds, Score, evaluate, in_dialogue_order, update_loss
from .plugins import Plugins
from .preparation import Prepared
from .progress import Progress, Sample
from .run_settings import RunSettings

__all__ = ["Loop"]

TELL_EVERY: Final = 0.5
"""Seconds between two `step` events."""
BAD_STEPS: Final = 5
"""Steps in a row without a finite loss after which a run gives up."""


class Loop:
    """The run itself: step, validation, sample, save, stop test, always between two steps."""

    def __init__(
        self, bot: Path, settings: RunSettings, prepared: Prepared, plugins: Plugins, device: torch.device
    ) -> None:
        self.bot, self.settings, self.prepared, self.device = bot, settings, prepared, device
        self.plugins = plugins
        torch.manual_seed(settings.train.seed)
        kind = plugins.model(settings.model)
        self.model = kind(settings.config, len(prepared.tokenizers[0]), len(prepared.tokenizers[1])).to(device)
        if prepared.vectors:
            put_vectors(self.model, prepared.vectors)
        self.optimizer = make_optimizer(self.model.parameters(), settings.train)
        self._dialogues = in_dialogue_order(self.model, prepared.train)
        self._minds = Minds(dialogue_slots(prepared.train, self._batch_tokens, settings.train.bptt_turns))
        self.stopping = False
        self.saved = True
        self.step, self.epoch, self.position, self.bad = 0, 0, 0, 0
        self.elapsed, self.best = 0.0, math.inf
        self.validations: list[dict[str, float]] = []
        self._torn = False
        self._told_at = self._saved_at = 0.0
        self._loss = self._loss_tokens = self._tokens = self._stepping = 0.0
        self._samples: tuple[Sample, ...] = ()
        self._planned: tuple[int, list[Update]] = (-1, [])

    def restore(self) -> Iterator[Progress]:
        """Go back to the newest checkpoint that is whole; name those that are not."""
        damaged: list[str] = []
        folder = self.bot / "training" / "checkpoints"
        checkpoint = latest_checkpoint(folder, lambda path, cause: damaged.append(f"{path.name}: {cause}"))
        for line in damaged:
            yield Progress(kind="prepare", message=f"passed over a damaged checkpoint, {line}")
        if checkpoint is None:
            yield Progress(kind="prepare", message="no checkpoint yet: starting from the beginning")
            return
        state = checkpoint.state
        load_model_tensors(self.model, checkpoint.weights)
        restore_optimizer(self.optimizer, checkpoint.optimizer)
        restore_random(checkpoint.random)
        self._minds.state = tuple(checkpoint.minds[name].to(self.device) for name in sorted(checkpoint.minds))
        self.step, self.epoch, self.position = state["step"], state["epoch"], state["position"]
        self.elapsed = self._told_at = self._saved_at = state["elapsed"]
        self.best = math.inf if state["best"] is None else state["best"]
        self.validations = list(state["validations"])
        yield Progress(kind="prepare", message=f"going on from step {self.step:,}", step=self.step)

    def events(self) -> Iterator[Progress]:
        """Train to the end, or until `stopping` is set, and yield what happens."""
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        facts = self.prepared.facts["exchanges"]
        yield self._event(
            "start",
            message=f"{self.settings.model}: {parameters / 1e6:.1f}M parameters, {facts['train']:,} exchanges,"
            f" {facts['valid']:,} held out, {len(self._updates):,} updates an epoch, on {self.device}"
            + ("; no dialogues in it, so no mind to keep" if self.model.stateful and not self._dialogues else ""),
        )
        while not self.stopping and self.fraction < 1.0:
            done, before = self.fraction, self.elapsed
            with self._timed():
                self._train_step()
            self._stepping += self.elapsed - before
            if self.elapsed - self._told_at >= TELL_EVERY:
                yield self._told()
            if self.fraction < 1.0 and self._due(done) != self._due(self.fraction):
                yield self._validate()
            if self.elapsed - self._saved_at >= self.settings.train.checkpoint_every:
                yield self._checkpoint()
        if not self.stopping:
            if not self.validations or self.validations[-1]["step"] != self.step:
                yield self._validate()
            if self.settings.train.select == "last":
                self._write_bot(self.validations[-1]["perplexity"])
            if self._samples:
                card.write_card(self.bot, self.settings, self.prepared, self.validations, self._samples)
        if not self.saved:
            yield self._checkpoint()
        yield self._event("end", perplexity=self._last_perplexity(), samples=self._samples, stopped=self.stopping)

    @property
    def fraction(self) -> float:
        """Return how much of the run is done, 0 to 1: by steps, by passes, or by seconds."""
        train = self.settings.train
        if train.steps:
            return self.step / train.steps
        if train.epochs:
            return self._epochs() / train.epochs
        return self.elapsed / (train.budget or 1.0)

    @property
    def _batch_tokens(self) -> int:
        """Return the setting, or what gives a hundred updates an epoch within what a CPU multiplies well."""
        packed = self.prepared.train
        tokens = len(packed.source_ids) + len(packed.target_ids) + 2 * len(packed)
        return self.settings.train.batch_tokens or min(1_000, max(400, tokens // 100))

    @property
    def _updates(self) -> list[Update]:
        """Return the updates of the epoch; they are planned when the first of them is due."""
        if self._planned[0] != self.epoch:
            self._planned = (self.epoch, self._plan_epoch())
        return self._planned[1]

    def _plan_epoch(self) -> list[Update]:
        train, packed = self.settings.train, self.prepared.train
        if self._dialogues:
            return epoch_dialogues(
                packed, self._batch_tokens, turns=train.bptt_turns, seed=train.seed, epoch=self.epoch
            )
        batches = epoch_batches(packed, self._batch_tokens, seed=train.seed, epoch=self.epoch)
        return list(map(Update.of_batch, batches))

    def _train_step(self) -> None:
        self._torn = True
        self.saved = False
        train = self.settings.train
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.zero_grad(set_to_none=True)
        update = self._updates[self.position]
        loss = update_loss(self.model, self.prepared.train, update, self._minds, label_smoothing=train.label_smoothing)
        (loss.nats / (loss.target_tokens if train.average == "tokens" else loss.exchanges)).backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), train.clip)
        if torch.isfinite(norm) and torch.isfinite(loss.nats):
            self.optimizer.step()
            self.bad = 0
            self._loss += float(loss.nats.detach())
            self._loss_tokens += loss.target_tokens
        else:
            self._minds.state = ()
            self._count_bad()
        self._tokens += loss.target_tokens + loss.source_tokens
        self.step += 1
        self.position += 1
        if self.position == len(self._updates):
            self.epoch, self.position = self.epoch + 1, 0
        self._torn = False

    def _count_bad(self) -> None:
        self.bad += 1
        if self.bad == BAD_STEPS:
            raise TrainingError(
                f"the loss was not finite in {BAD_STEPS} steps in a row, the last of them step {self.step}",
                "train anew with a lower rate, as --set train.learning_rate=0.0003",
            )

    def _learning_rate(self) -> float:
        return learning_rate(self.settings.train, self.step, self.fraction)

    def _due(self, fraction: float) -> int:
        """Return how many validations are due by a fraction of the run; they are spread evenly over it."""
        return int(fraction * self.settings.train.validations + 1e-9)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Count the time inside towards the budget; what the caller does with an event is not the run's."""
        began = time.perf_counter()
        yield
        self.elapsed += time.perf_counter() - began

    def _validate(self) -> Progress:
        with self._timed():
            self._measure()
        return self._event("validation", perplexity=self._last_perplexity(), samples=self._samples)

    def _measure(self) -> None:
        """Score the held-out exchanges, answer the samples, and write the bot where it is due."""
        # until all of it is done, a checkpoint would remember a validation that the bot knows nothing of
        self._torn = True
        score = self._score()
        if not math.isfinite(score.perplexity):
            raise TrainingError(
                f"the model has diverged: at step {self.step} its perplexity is not finite",
                "train anew with a lower rate, as --set train.learning_rate=0.0003",
            )
        self.validations.append(
            {
                "step": self.step,
                "epoch": round(self._epochs(), 3),
                "elapsed": self.elapsed,
                "perplexity": score.perplexity,
            }
        )
        self._samples = self._answer_samples()
        if score.perplexity < self.best:
            self.best = score.perplexity
            if self.settings.train.select == "best":
                self._write_bot(score.perplexity)
        if self.settings.train.select == "last":
            self._write_bot(score.perplexity)
        self.saved = self._torn = False

    def _score(self) -> Score:
        return evaluate(self.model, self.prepared.valid, batch_tokens=4 * self._batch_tokens)

    def _answer_samples(self) -> tuple[Sample, ...]:
        self.model.eval()
        decode = dataclasses.replace(self.settings.decode, method="greedy")
        target = self.prepared.tokenizers[1]
        found = generate(self.model, [ids for ids, _, _ in self.prepared.samples], decode)
        return tuple(
            Sample(source, target.decode(hypothesis.tokens).strip(), truth)
            for (_, source, truth), hypothesis in zip(self.prepared.samples, found, strict=True)
        )

    def _write_bot(self, perplexity: float) -> None:
        """Make the weights as they are now those of the bot, in one rename."""
        facts, settings = self.prepared.facts, self.settings
        weights = save_weights(self.bot, model_tensors(self.model))
        description = BotDescription(
            uuid=facts["uuid"],
            kind=facts["kind"],
            model=settings.model,
            config=dataclasses.asdict(settings.config),
            source_vocab=len(self.prepared.tokenizers[0]),
            target_vocab=len(self.prepared.tokenizers[1]),
            # what was never learnt is not to be carried
            mind=self._dialogues,
            tokenizer=settings.data.tokenizer,
            shared=settings.data.share_tokenizer,
            data={
                "context_turns": settings.data.context_turns if facts["kind"] == "chat" else 0,
                "scene_gap": settings.data.scene_gap,
                "max_length": settings.data.max_length,
            },
            languages=tuple(facts["languages"]),
            decode=dataclasses.asdict(settings.decode),
            weights=weights,
            corpora=tuple(facts["corpora"]),
            metrics={
                "step": self.step,
                "epoch": round(self._epochs(), 3),
                "valid_perplexity": perplexity,
                "valid_tokens": facts["tokens"]["valid"],
                "select": settings.train.select,
            },
            versions=self._versions(),
        )
        write_description(self.bot, description)
        for path in self.bot.glob("weights-*.safetensors"):
            if path.name != weights:
                path.unlink(missing_ok=True)

    def _versions(self) -> dict[str, str]:
        offers = (
            self.plugins.models()[self.settings.model],
            self.plugins.tokenizers()[self.settings.data.tokenizer],
        )
        versions = {"s2sbot": importlib.metadata.version("s2sbot"), "torch": torch.__version__}
        for offer in offers:
            try:
                versions[offer.plugin] = importlib.metadata.version(offer.distribution)
            except importlib.metadata.PackageNotFoundError:
                versions[offer.plugin] = "unknown"
        return versions

    def save_checkpoint(self) -> None:
        """Write a checkpoint, but not of half a step, nor of weights that are no longer finite."""
        finite = all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters())
        if self._torn or not finite:
            return
        Checkpoint(
            {
                "step": self.step,
                "epoch": self.epoch,
                "position": self.position,
                "elapsed": self.elapsed,
                "best": self.best if math.isfinite(self.best) else None,
                "validations": self.validations,
            },
            model_tensors(self.model),
            optimizer_tensors(self.optimizer),
            random_tensors(),
            {f"{number:03}": part for number, part in enumerate(self._minds.state)},
        ).save(self.bot / "training" / "checkpoints", keep=self.settings.train.keep_checkpoints)
        self._saved_at = self.elapsed
        self.saved = True

    def _checkpoint(self) -> Progress:
        with self._timed():
            self.save_checkpoint()
        return self._event("checkpoint")

    def _epochs(self) -> float:
        return self.epoch + (self.position / len(self._updates) if self.position else 0.0)

    def _last_perplexity(self) -> float | None:
        return self.validations[-1]["perplexity"] if self.validations else None

    def _told(self) -> Progress:
        event = self._event(
            "step",
            loss=self._loss / self._loss_tokens if self._loss_tokens else None,
            learning_rate=self._learning_rate(),
            tokens_per_second=self._tokens / self._stepping if self._stepping else None,
        )
        self._told_at = self.elapsed
        self._loss = self._loss_tokens = self._tokens = self._stepping = 0.0
        return event

    def _event(self, kind: Any, **values: Any) -> Progress:
        fraction = self.fraction
        return Progress(
            kind=kind,
            step=self.step,
            steps=self.settings.train.steps,
            epoch=round(self._epochs(), 3),
            elapsed=self.elapsed,
            remaining=self.elapsed * (1 - fraction) / fraction if 0 < fraction <= 1 else None,
            best=self.best if math.isfinite(self.best) else None,
            **values,
        )
