"""All that a run is between two steps goes into a checkpoint, and comes back out of it to the bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..bot_files import check_folder, open_regular
from ..errors import TrainingError
from ..files import remove_temporaries
from ..nn.encoder_decoder import load_model_tensors, model_tensors
from ..nn.scoring import Minds, in_dialogue_order
from ..plugins import Plugins
from ..preparation import Prepared
from ..progress import Progress, Sample
from ..run_settings import RunSettings
from ..settings import LENGTHS
from .building import build_model
from .checkpoint import (
    Checkpoint,
    checkpoint_bytes,
    kept_states,
    latest_checkpoint,
    set_aside,
)
from .course import Course, model_width
from .fitting import all_finite, check_fits, learning_parameters, optimizer_tensors, restore_optimizer
from .keeping import Keeper
from .order import Order
from .plan import COPIES, Plan, Trial
from .processes import Processes
from .subwords import SubwordSampling
from .update import Updater, proposal_of
from .validation import Validator

__all__ = ["RunState"]


class RunState:
    """A run at a step.

    stopping   set from outside, where the run is to stop
    saved      whether a checkpoint holds all that has been learnt
    heard      validations that were due by now and have been made
    finished   whether all that ends a run has been done: its last validation, the bot, the card
    """

    def __init__(
        self,
        bot: Path,
        settings: RunSettings,
        prepared: Prepared,
        plugins: Plugins,
        device: torch.device,
        processes: Processes | None = None,
        first: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.bot, self.settings, self.prepared, self.device = bot, settings, prepared, device
        self.processes = processes or Processes()
        self.model = build_model(settings, prepared, plugins, device)
        if first is not None:
            load_model_tensors(self.model, first)
        subwords = SubwordSampling.of(settings.train, prepared.tokenizers)
        self.updater = Updater(self.model, settings.train, device=device, processes=self.processes, subwords=subwords)
        self.updater.proposal = proposal_of(settings.train, self.model, prepared)
        self.course = Course(settings.train, settings.train.steps, width=model_width(settings))
        self.plan: Plan | None = None
        self.trial: Trial | None = None
        dialogues = in_dialogue_order(self.model, prepared.train)
        self.order = Order(prepared, settings.train, dialogues=dialogues)
        self.minds = Minds(self.order.slots)
        self.validator = Validator(settings, prepared, plugins, batch_tokens=4 * self.order.batch_tokens)
        self.keeper = Keeper(
            bot,
            settings,
            prepared,
            plugins,
            mind=dialogues,
            higher_is_better=self.validator.higher_is_better,
        )
        self.stopping = self._agreed = False
        self.saved = True
        self.step, self.elapsed = 0, 0.0
        self.validations: list[dict[str, float]] = []
        self._torn = self._resumed = False
        self._told_at = self._saved_at = 0.0
        self._tokens = self._stepping = 0.0
        self._samples: tuple[Sample, ...] = ()
        self.heard, self.finished = 0, False

    @property
    def checkpoints(self) -> Path:
        """Return the folder of the checkpoints."""
        return self.bot / "training" / "checkpoints"

    @property
    def fraction(self) -> float:
        """Return how much of the run is done, 0 to 1."""
        return self.course.fraction(self.step, self.order.epochs)

    @property
    def over(self) -> bool:
        """Return whether there is no step left to make."""
        return self.fraction >= 1.0 or self.keeper.enough

    @property
    def validation_due(self) -> bool:
        """Return whether a validation comes before the next step, or before the end."""
        if self.over:
            return not self.validations or self.validations[-1]["step"] != self.step
        return self.due > self.heard

    @property
    def due(self) -> int:
        """Return how many validations are due by now; they are spread evenly over the run."""
        return int(self.fraction * self.settings.train.validations + 1e-9)

    @property
    def _length(self) -> list[float | None]:
        """Return what says how long the run is; one that is made longer than it was has a course of its own."""
        return [getattr(self.settings.train, name) for name in LENGTHS]

    @property
    def _run(self) -> str:
        """Return what tells the checkpoints of this run from those of any other."""
        return str(self.prepared.facts["uuid"])

    def restore(self) -> Iterator[Progress]:
        """Go back to the newest checkpoint that is whole; name those that are not.

        Raises:
            TrainingError: where there are checkpoints and none of them can be used, or a link leads out of the bot.
        """
        damaged: list[str] = []
        self._refuse_links()
        if self.processes.first:
            for folder in (self.bot, self.bot / "training", self.keeper.folder):
                remove_temporaries(folder)
        checkpoint = self._latest(damaged)
        for line in damaged:
            yield Progress(kind="prepare", message=f"passed over a damaged checkpoint, {line}")
        if checkpoint is None and damaged:
            raise TrainingError(
                f"no checkpoint in {self.checkpoints} can be used",
                "where training/settings.toml was changed by hand, put it back as it was; to begin the run anew, delete"
                " that folder; a bot that is there can be talked to",
            )
        if checkpoint is None:
            yield Progress(kind="prepare", message="no checkpoint yet: starting from the beginning")
            return
        self.take(checkpoint)
        self._resumed = True
        self.elapsed = self._told_at = self._saved_at = checkpoint.state["elapsed"]
        yield Progress(kind="prepare", message=f"going on from step {self.step:,}", step=self.step)

    def _refuse_links(self) -> None:
        """Raise where something that is written, or in which files are deleted, is not the bot's own."""
        training = self.bot / "training"
        for path in (self.checkpoints, self.keeper.folder, training / "data", self.bot / "card"):
            try:
                check_folder(path)
            except (OSError, ValueError) as error:
                raise _not_its_own(path, error) from error
        try:
            with suppress(OSError):
                open_regular(training / "metrics.jsonl").close()
        except ValueError as error:
            raise _not_its_own(training / "metrics.jsonl", error) from error

    def _latest(self, damaged: list[str], *, anchor: bool = False) -> Checkpoint | None:
        """Return the newest checkpoint, or anchor, that is whole and fits, and add those that are not to `damaged`.

        Where there is one, those are set aside: they would be kept as the newest, and push out the ones that are whole.
        """
        passed: list[Path] = []

        def pass_over(path: Path, cause: str) -> None:
            passed.append(path)
            damaged.append(f"{path.name}: {cause}")

        found = latest_checkpoint(
            self.checkpoints, pass_over, run=self._run, anchor=anchor, check=lambda each: check_fits(self, each)
        )
        if found is not None and self.processes.first:
            set_aside(passed)
        return found

    def take(self, checkpoint: Checkpoint) -> None:
        """Make everything as it was when the checkpoint was written, but for the time that has passed."""
        state = checkpoint.state
        load_model_tensors(self.model, checkpoint.weights)
        names = learning_parameters(self.model)
        restore_optimizer(self.updater.optimizer, names, checkpoint.optimizer)
        average = [checkpoint.average[name] for name in names if checkpoint.average]
        self.updater.restore(state["updater"], {f"{number:05}": tensor for number, tensor in enumerate(average)})
        self.minds.state = tuple(checkpoint.minds[name].to(self.device) for name in sorted(checkpoint.minds))
        self.step, self.order.epoch, self.order.position = state["step"], state["epoch"], state["position"]
        self.validations = list(state["validations"])
        self.keeper.restore(state["keeper"])
        kept = Course.from_json(self.settings.train, state["course"], width=self.course.width)
        longer = replace(kept, steps=self.course.steps, since=self.course.since)
        same = state["length"] == self._length
        self.course = kept if same else longer
        # a run that goes on by steps or passes has none to keep to
        self.plan = Plan.from_json(state["plan"]) if state["plan"] and self.settings.train.budget else None
        self.heard = state["heard"] if same else self.due
        self.finished = same and state["finished"]
        self._tokens = self._stepping = 0.0

    def checkpoint(self, *, anchor: bool) -> Checkpoint:
        """Return the run as it is; the tensors are its own, and change with it."""
        names = learning_parameters(self.model)
        optimizer = optimizer_tensors(self.updater.optimizer, names)
        return Checkpoint(
            {
                "run": self._run,
                "anchor": anchor,
                "step": self.step,
                "epoch": self.order.epoch,
                "position": self.order.position,
                "elapsed": self.elapsed,
                "length": self._length,
                "course": self.course.to_json(),
                "plan": self.plan.to_json() if self.plan else None,
                "updater": self.updater.to_json(),
                "tensors": {"optimizer": len(optimizer), "minds": len(self.minds.state)},
                "keeper": self.keeper.to_json(),
                "validations": self.validations,
                "heard": self.heard,
                "finished": self.finished,
            },
            model_tensors(self.model),
            optimizer,
            dict(zip(names, self.updater.average, strict=False)),
            {f"{number:03}": part for number, part in enumerate(self.minds.state)},
        )

    def save_checkpoint(self, *, anchor: bool = False) -> None:
        """Write a checkpoint, but not of half a step, nor of numbers that are not finite.

        Raises:
            DiskError: where it, or what the bot is owed, cannot be written.
        """
        if self._torn or not self.finite:
            return
        # a checkpoint does not know of a validation of which the bot knows nothing
        self.keeper.settle()
        self.checkpoint(anchor=anchor).save(self.checkpoints, keep=self.settings.train.keep_checkpoints)
        self.keeper.prune(kept_states(self.checkpoints))
        self._saved_at = self.elapsed
        self.saved = True

    @property
    def finite(self) -> bool:
        """Return whether all numbers that a checkpoint would hold are finite."""
        now = self.checkpoint(anchor=False)
        return all(all_finite(part.values()) for part in (now.weights, now.optimizer, now.average, now.minds))

    @property
    def disk_needed(self) -> int:
        """Return the bytes that the run will need on the disk at most, besides those that it has there."""
        train = self.settings.train
        weights = sum(tensor.nbytes for tensor in model_tensors(self.model).values())
        states = COPIES[train.optimizer] - 2  # of the copies, those that are not the weights and their gradients
        each = weights * (1 + states + bool(train.ema))
        # beside those that are kept, an anchor and the one that is being written; the bot's weights, old and new
        best = train.keep_best if train.keep_best > 1 else 0
        whole = each * (train.keep_checkpoints + 2) + weights * (2 + best)
        return max(0, whole - checkpoint_bytes(self.checkpoints))

    def origins(self, step: int) -> str:
        """Name the exchanges of the update that was made at a step."""
        ago, order = self.step - step, self.order
        update = order.before(ago)
        if update is None and order.epoch:
            before = copy(order)
            before.epoch, before.position = order.epoch - 1, 0
            before.position = len(before.updates)
            update = before.before(ago - order.position)
        return self.prepared.named(update.turns[0]) if update else f"step {step:,}"


def _not_its_own(path: Path, error: Exception) -> TrainingError:
    said = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return TrainingError(
        f"cannot go on in {path}: {said}", "put back what the run has written: nothing outside of the bot is touched"
    )
