"""Packed exchanges and a model go in; weights that get better, checkpoints and events come out."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Final

import torch
from safetensors import SafetensorError

from ..errors import DiskError, DivergedError
from ..files import kill_point, refuse_full_disk
from ..nn.encoder_decoder import load_model_tensors, model_tensors
from ..progress import Progress
from . import card
from .building import told_start
from .checkpoint import kept_states, remove_after
from .keeping import averaged_weights
from .plan import COPIES, Plan, Trial, seconds_to_write, try_updates
from .saving import patiently
from .state import RunState
from .stopping import Abandoned, stoppable

__all__ = ["Loop"]

TELL_EVERY: Final = 0.5
"""Seconds between two `step` events."""
LOOK_EVERY: Final = 10
"""Steps between two looks at whether losses were finite; a fixed number, so that a run repeats."""
MEASURED: Final = 0.02
MEASURED_AT_MOST: Final = 0.6
"""Share of a budget that is spent on measuring, and seconds at most: what it lacks the changed plan makes good."""
BAD_STEPS: Final = 5
"""Steps in a row without a finite loss after which a run goes back to its last anchor."""
TRY_EVERY: Final = 30.0
"""Seconds after which a checkpoint that could not be written is tried again, at most."""
LOWER: Final = "look at these lines, or train anew with a lower rate, as --set train.learning_rate=0.0003"


class Loop(RunState):
    """The run itself: step, validation, sample, save, stop test, always between two steps."""

    @property
    def asked(self) -> bool:
        """Return whether the run is to stop; where several processes train, when all of them know of it."""
        return self._agreed if self.processes.world > 1 else self.stopping

    def events(self, *, spent: float = 0.0) -> Iterator[Progress]:
        """Train to the end, or until `stopping` is set, and yield what happens.

        Args:
            spent: seconds of the budget that were gone before the run began.
        """
        with suppress(Abandoned):
            yield from self._begin(spent)
        while not self.asked:
            if self.validation_due:
                yield from self._validate()
            elif self.over:
                yield from self._finish()
                break
            else:
                yield from self._step()
        if not self.saved:
            yield from self._checkpoint(last=True)
        kill_point("loop.ended")
        yield self._event("end", **self._last_figures(), samples=self._samples, stopped=not self.finished)

    def _step(self) -> Iterator[Progress]:
        """Make one step, and what is due after it but for a validation."""
        before = self.elapsed
        with self._timed():
            self._train_step()
        self._stepping += self.elapsed - before
        kill_point("loop.step")
        if self.step % LOOK_EVERY == 0:
            if (yield from self._gone_back()):
                return
            yield self._told()
            kill_point("loop.told")
        elif self.elapsed - self._told_at >= TELL_EVERY:
            yield self._told(transient=True)
        self._torn = False
        # a validation is followed by a checkpoint of its own
        if self.elapsed - self._saved_at >= self.settings.train.checkpoint_every and not self.validation_due:
            yield from self._checkpoint()

    def _begin(self, spent: float) -> Iterator[Progress]:
        """Try the machine, plan the run, say what it is, and save its beginning."""
        train = self.settings.train
        if self.processes.first:
            refuse_full_disk(self.bot, self.disk_needed, "the checkpoints of this run")
        if self.trial is None:
            yield Progress(kind="prepare", message="trying the largest batch, and how fast this machine is")
        began = time.perf_counter()
        # processes that wait for each other go through it to its end
        with stoppable(self.model, lambda: self.stopping and self.processes.world == 1):
            trial = self.try_machine()
            budgeted = train.budget and (self.plan is None or self.plan.budget != train.budget)
            apart = self._seconds_apart() if budgeted and self.processes.first else 0.0
        if train.budget and (self.plan is None or self.plan.budget != train.budget):
            left = train.budget - spent - self.elapsed - (time.perf_counter() - began)
            plan = Plan.of(trial, budget=train.budget, seconds=left, apart=apart, done=(self.step, self.elapsed))
            self.plan = Plan.from_json(self.processes.of_first(plan.to_json))
            self.course = replace(self.course, steps=self.plan.steps, since=(0, 0.0))
            self.heard, self.finished = self.due, False
            # a run that goes on keeps its validations
            advice = "" if self._resumed else self.plan.advice(train.validations)
            yield Progress(kind="prepare", message=self.plan.message + advice)
        yield self._event("start", message=self._started(trial))
        if not self._resumed:
            self.saved = False
            yield from self._checkpoint(anchor=True)

    def _started(self, trial: Trial) -> str:
        place = f"{self.processes.world} of {self.device.type}" if self.processes.world > 1 else str(self.device)
        mind = self.model.stateful
        return told_start(self.settings, self.prepared, trial, self.order, mind=mind, place=place)

    def try_machine(self) -> Trial:
        """Try the largest update and some others, once."""
        if self.trial is None:
            budget = self.settings.train.budget or 0.0
            trial = try_updates(
                self.updater,
                self.order.updates,
                self.prepared.train,
                self.minds.slots,
                # by the clock of each, processes would try differently many
                seconds=min(MEASURED_AT_MOST, MEASURED * budget) if self.processes.world == 1 else 0.0,
            )
            self.updater.parts = int(self.processes.largest(trial.parts)[0])
            self.trial = Trial(**self.processes.of_first(lambda: {**asdict(trial), "parts": self.updater.parts}))
        return self.trial

    def _seconds_apart(self) -> float:
        """Return the seconds that all validations and checkpoints of a run will take, as measured now."""
        written = seconds_to_write(self.model, self.bot / "training")
        train = self.settings.train
        # each validation is followed by a checkpoint, and may be followed by new weights of the bot
        return train.validations * (self.validator.seconds(self.model) + written * (1 + COPIES[train.optimizer]))

    def _finish(self) -> Iterator[Progress]:
        """Give the bot the mean of the best weights where it is to have it, and write the card."""
        if self.finished:
            return
        self.saved = False
        if self.processes.first:
            with suppress(Abandoned):
                yield from self._average()
                if not self._samples:
                    self._answer_samples()
                yield from patiently(self.keeper.settle, self._notice, self.safe)
                yield from patiently(self._write_card, self._notice, self.safe)
                self.finished = True
        self.finished = self.processes.of_first(lambda: self.finished)
        kill_point("loop.finished")

    def _answer_samples(self) -> None:
        with (
            averaged_weights(self.updater.parameters, self.updater.average),
            stoppable(self.model, lambda: self.stopping),
        ):
            self._samples = self.validator.samples(self.model)

    def _write_card(self) -> None:
        card.write_card(self, self._samples)

    def _average(self) -> Iterator[Progress]:
        """Validate the mean of the best weights, and give it to the bot where it is better than the best ones."""
        train = self.settings.train
        if train.select != "average" or len(self.keeper.best) < 2:
            return
        try:
            mean = self.keeper.mean()
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            yield self._notice(f"the best weights have no mean, one of them is damaged: {error}")
            return
        own = {name: tensor.detach().clone() for name, tensor in model_tensors(self.model).items()}
        load_model_tensors(self.model, mean)
        try:
            with stoppable(self.model, lambda: self.stopping):
                figures = {**self.validations[-1], **self.validator.figures(self.model, step=self.step)}
        except DivergedError as error:
            yield self._notice(f"the best weights have no mean: {error.message}")
            return
        finally:
            load_model_tensors(self.model, own)
        told = f"the mean of the {len(self.keeper.best)} best: {train.metric} {figures[train.metric]:.2f}"
        if self.keeper.sign * figures[train.metric] <= self.keeper.sign * self.keeper.best[0][0]:
            yield from patiently(partial(self.keeper.write, mean, figures), self._notice, self.safe)
            yield self._notice(f"{told}; the bot has it")
        else:
            yield self._notice(f"{told}; the bot has the best one, which is better")

    def _train_step(self) -> None:
        self._torn = True
        self.saved = False
        packed, fraction, rate = self.prepared.train, self.fraction, self.course.rate(self.step, self.order.epochs)
        update = self.order.take()
        self.updater.update(packed, update, self.minds, step=self.step, rate=rate, fraction=fraction)
        self._tokens += self.prepared.train.tokens(update.turns)
        self.step += 1

    def _gone_back(self, diverged: str = "") -> Generator[Progress, None, bool]:
        """Go back to the last anchor where numbers are not finite, and tell whether it was so; give up the second time.

        Args:
            diverged: what a validation has found.

        Raises:
            DivergedError: where it is so at the lower rate too; names the exchanges of the last update that was bad.
        """
        counts = self.updater.read("bad", "most_in_a_row", "last_bad")
        step = int(counts["last_bad"]) if counts["bad"] else self.step - 1
        if counts["most_in_a_row"] >= BAD_STEPS:
            diverged = f"the loss was not finite in {BAD_STEPS} steps in a row, up to step {step:,}"
        if not diverged:
            return False
        if self.course.cuts:
            raise DivergedError(
                f"{diverged}: again, at half the learning rate too; the last update that was bad, or the last of all,"
                f" was that of step {step:,}, with the exchanges of {self.origins(step)}",
                LOWER,
            )
        checkpoint = self._latest([], anchor=True)
        if checkpoint is None:
            raise DivergedError(f"{diverged}, and no checkpoint can be gone back to", LOWER)
        self._torn = True
        self.take(checkpoint)
        kill_point("loop.taken_back")
        self.processes.wait()
        if self.processes.first:
            remove_after(self.checkpoints, self.step)
        self.course = self.course.cut()
        self.saved = self._torn = False
        yield self._notice(f"{diverged}: back to step {self.step:,}, with half the learning rate")
        yield from self._checkpoint(anchor=True)
        return True

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Count the time inside towards the budget; what the caller does with an event is not the run's."""
        began = time.perf_counter()
        yield
        elapsed = self.elapsed + time.perf_counter() - began
        # what the clock and signals decide, they decide for all processes
        self.elapsed, asked = self.processes.largest(elapsed, float(self.stopping))
        self._agreed = bool(asked)

    def _validate(self) -> Iterator[Progress]:
        """Validate, and save; where the run is asked to stop meanwhile, the validation is made when it goes on."""
        if (yield from self._gone_back("" if self.finite else "the weights are not finite")):
            return
        with self._timed():
            told = self.processes.of_first(self._heard)
        if told is None:
            return
        if isinstance(told, str):
            yield from self._gone_back(told)
            return
        better, figures, kept, full = told
        # until all of it is done, a checkpoint would remember a validation that nobody was told of
        self._torn = True
        self.validations.append(figures)
        if not self.processes.first:
            self.keeper.restore(kept)
        self.course = self.course.heard(better=better)
        self.heard, self.saved = self.due, False
        kill_point("loop.validated")
        if full:
            yield self._notice(f"{full}; the bot gets its new weights when there is room")
        yield self._event("validation", **self._last_figures(), samples=self._samples)
        self._torn = False
        if not self.over:
            yield from self._keep_to_plan()
            yield from self._checkpoint(anchor=True)

    def _heard(self) -> tuple[bool, dict[str, float], dict[str, Any], str] | str | None:
        """Validate; None where the run is asked to stop, or how the model has diverged.

        Return whether it was the best so far, the figures, what is kept now, and what kept the bot from being written.
        """
        with averaged_weights(self.updater.parameters, self.updater.average):
            try:
                with stoppable(self.model, lambda: self.stopping):
                    found = self.validator.figures(self.model, step=self.step)
                    samples = self.validator.samples(self.model)
            except Abandoned:
                return None
            except DivergedError as error:
                return error.message
            figures = {"step": self.step, "epoch": round(self.order.epochs, 3), "elapsed": self.elapsed, **found}
            self._samples = samples
            full = ""
            try:
                self.keeper.hear(self.model, figures)
            except DiskError as error:
                full = error.message
            return self.keeper.stalled == 0, figures, self.keeper.to_json(), full

    def _keep_to_plan(self) -> Iterator[Progress]:
        """Change the plan of a run by a budget, once, where the machine is not as fast as it was when it was tried."""
        if self.plan is None:
            return
        steps = self.plan.corrected(self.step, self.elapsed, self.fraction)
        if steps is None:
            return
        before = self.course.steps
        self.course = self.course.stretched(self.step, steps)
        self.plan = self.plan.change(self.step, steps)
        self.saved = False
        yield self._event(
            "notice",
            message=f"the plan has changed, from {before:,} steps to {steps:,}: a step takes"
            f" {1e3 * self.elapsed / self.step:,.0f} ms with all around it",
        )

    def _checkpoint(self, *, anchor: bool = False, last: bool = False) -> Iterator[Progress]:
        """Save; where that fails the run goes on and it is tried again soon, but the last time it has to be done."""
        if last and self.processes.first:
            yield from patiently(self.save_checkpoint, self._notice, self.safe)
        with self._timed():
            self.updater.replica.check()
            failed = self.processes.of_first(lambda: self._try_to_save(anchor=anchor)) if not last else ""
            self.saved, self._saved_at = self.processes.of_first(lambda: (self.saved, self._saved_at))
        if failed:
            yield self._notice(failed)
        elif self.saved:
            yield self._event("checkpoint")
        elif last:
            yield self._notice(f"the numbers are not finite, so they are not saved: safe is {self.safe()}")

    def _try_to_save(self, *, anchor: bool) -> str:
        every = self.settings.train.checkpoint_every
        self._saved_at = self.elapsed
        try:
            self.save_checkpoint(anchor=anchor)
        except DiskError as error:
            wait = min(every, TRY_EVERY)
            self._saved_at = self.elapsed - every + wait
            return f"{error.message}: the run goes on, and is saved when there is room, tried again in {wait:,.0f} s"
        return ""

    def safe(self) -> str:
        """Say what is on the disk."""
        steps = [f"the checkpoint of step {state['step']:,}" for state in kept_states(self.checkpoints)]
        bot = ["the bot"] if (self.bot / "bot.json").is_file() else []
        return " and ".join([*steps[:1], *bot]) or "nothing yet"

    def _notice(self, message: str) -> Progress:
        return self._event("notice", message=message)

    def _last_figures(self) -> dict[str, Any]:
        if not self.validations:
            return {}
        last = self.validations[-1]
        names = [name for name in last if name not in ("step", "epoch", "elapsed")]
        return {"perplexity": last["perplexity"], "figures": {name: last[name] for name in names}}

    def _told(self, *, transient: bool = False) -> Progress:
        """Tell the mean loss since it was told for the record, which is at fixed steps, so that a record repeats."""
        counts = self.updater.read("nats", "tokens")
        event = self._event(
            "step",
            transient=transient,
            loss=counts["nats"] / counts["tokens"] if counts["tokens"] else None,
            learning_rate=self.course.rate(self.step, self.order.epochs),
            tokens_per_second=self._tokens / self._stepping if self._stepping else None,
        )
        self._told_at = self.elapsed
        if not transient:
            self.updater.reset("nats", "tokens")
            self._tokens = self._stepping = 0.0
        return event

    def _event(self, kind: Any, **values: Any) -> Progress:
        fraction = self.fraction
        return Progress(
            kind=kind,
            step=self.step,
            steps=self.course.steps,
            epoch=round(self.order.epochs, 3),
            elapsed=self.elapsed,
            remaining=self.elapsed * (1 - fraction) / fraction if 0 < fraction <= 1 else None,
            best=self.keeper.best[0][0] if self.keeper.best else None,
            skipped=int(self.updater.read("bad")["bad"]),
            gpu_memory=torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None,
            **values,
        )
