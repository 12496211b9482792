"""The length of a run and its steps go in; how far it has come, and the learning rate there, come out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import SettingsError
from ..nn.optimization import learning_rate
from ..run_settings import RunSettings
from ..settings import TrainSettings

__all__ = ["Course", "model_width"]


def model_width(settings: RunSettings) -> int | None:
    """Return the `hidden_size` of the model of a run, None where it has no such knob.

    Raises:
        SettingsError: where there is none, and the schedule noam needs it.
    """
    width = getattr(settings.config, "hidden_size", None)
    if width is None and settings.train.schedule == "noam":
        raise SettingsError(
            f"the schedule noam needs the hidden_size of the model, and {settings.model!r} has no such knob",
            "take train.schedule=inverse-sqrt, which has the same shape, with a train.learning_rate",
        )
    return width


@dataclass(frozen=True, slots=True)
class Course:
    """How long a run is: a number of steps, or of passes over the corpus.

    A run by a budget of time has its steps from a plan; where the plan is changed under way, what is left of the
    schedule is spread over what is left of the steps, so that the learning rate never leaps.

    steps   updates in all; None where passes over the corpus are counted
    since   the step at which the plan was changed, and the share of the run that was done then
    cuts    how often the rate was halved because losses were not finite
    falls   how often the rate fell because validation stalled
    waited  validations without a better one since the best one, or since the rate fell
    width   the model's `hidden_size`, where it has one
    """

    train: TrainSettings
    steps: int | None
    since: tuple[int, float] = (0, 0.0)
    cuts: int = 0
    falls: int = 0
    waited: int = 0
    width: int | None = None

    def fraction(self, step: int, epochs: float) -> float:
        """Return how much of the run is done, 0 to 1, after so many steps and passes."""
        if self.steps is None:
            return epochs / (self.train.epochs or 1)
        begin, done = self.since
        return done + (1 - done) * (step - begin) / (self.steps - begin) if self.steps > begin else 1.0

    def rate(self, step: int, epochs: float) -> float:
        """Return the learning rate of the step that comes after so many steps and passes."""
        falls = self.train.plateau_factor**self.falls if self.train.schedule == "plateau" else 1.0
        rate = learning_rate(self.train, step, self.fraction(step, epochs), width=self.width)
        return rate * 0.5**self.cuts * falls

    def stretched(self, step: int, steps: int) -> Course:
        """Return the course whose plan is changed at `step`: the rest is spread over what is left of `steps`."""
        return replace(self, steps=steps, since=(step, self.fraction(step, 0.0)))

    def cut(self) -> Course:
        """Return the course at half the rate."""
        return replace(self, cuts=self.cuts + 1)

    def heard(self, *, better: bool) -> Course:
        """Return the course after a validation, which the schedule plateau alone listens to.

        After `plateau_patience` validations without a better one the rate falls, and patience begins anew.
        """
        if self.train.schedule != "plateau":
            return self
        if better:
            return replace(self, waited=0)
        if self.waited + 1 < self.train.plateau_patience:
            return replace(self, waited=self.waited + 1)
        return replace(self, falls=self.falls + 1, waited=0)

    def to_json(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it."""
        return {
            "steps": self.steps,
            "since": list(self.since),
            "cuts": self.cuts,
            "falls": self.falls,
            "waited": self.waited,
        }

    @classmethod
    def from_json(cls, train: TrainSettings, values: Any, *, width: int | None = None) -> Course:
        """Undo `to_json`."""
        step, done = values["since"]
        counts = (values["cuts"], values["falls"], values["waited"])
        return cls(train, values["steps"], (step, done), *counts, width)
