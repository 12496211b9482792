"""A bot's card goes in; the same run once more, and whether its metric holds, come out."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from ..bot import read_description
from ..errors import BotError, CorpusError
from ..nn.device import choose_device
from ..plugins import Plugins
from ..preparation import Prepared
from ..record import Record
from ..settings import Tables
from .loop import Loop
from .plan import Plan
from .processes import Processes
from .recording import data_hash, machine, refuse_changed
from .run import Training

__all__ = ["TOLERANCE", "Rerun", "Verdict", "differences", "verdict_of"]

TOLERANCE: Final = 0.05
"""By how much of itself the metric may differ where the bits cannot be the same; docs/training.md says why so much."""
DECIDING: Final = ("cpu", "capability", "threads", "processes", "device", "gpu")
"""What of a machine decides how sums are rounded."""


class Rerun(Training):
    """The run of a record once more: the same corpora, settings and steps; see `Training`.

    A run by a budget repeats its steps, not its seconds. Its own card names the command for `of`, the record's bot.

    Raises:
        CorpusError: on entering, where a corpus is not there; while preparing, where one has changed.
        BotError: on entering, where the bot that it began from is not there, or is another one.
    """

    def __init__(
        self,
        record: Record,
        bot: Path,
        *,
        corpora: Sequence[Path] = (),
        of: Path | None = None,
        plugins: Plugins | None = None,
    ) -> None:
        asked = record.asked
        if of is not None:
            moved = [word for path in corpora for word in ("--corpus", path)]
            self._typed = ("s2sbot", "rerun", of, "--bot", bot, *moved)
        self.record = record
        given = len(asked["corpora"]), len(asked["valid"])
        if corpora and len(corpora) not in (given[0], sum(given)):
            raise CorpusError(
                f"{len(corpora)} corpora are given, and the bot was trained on {given[0]}",
                "give --corpus once for each of them, in their order, and then for those it was validated on",
            )
        paths = tuple(corpora[: given[0]]) or tuple(map(Path, asked["corpora"]))
        valid = tuple(corpora[given[0] :]) or tuple(map(Path, asked["valid"]))
        self.paths = (*paths, *valid)
        languages = tuple(asked["languages"])
        super().__init__(
            paths,
            bot,
            model=record.settings["model"]["name"],
            valid=valid,
            languages=(languages[0], languages[1]) if len(languages) == 2 else None,
            settings=_settings(record),
            start=Path(asked["start"]) if asked["start"] else None,
            plugins=plugins,
        )

    def _check_new(self) -> None:
        missing = [str(path) for path in self.paths if not _is_there(path)]
        if missing or not self.paths:
            raise CorpusError(
                f"not there: {', '.join(missing)}" if missing else "the card names no corpus",
                "start from the folder that you started from before, or name new places with --corpus, in their order",
            )
        start, weights = self.record.asked["start"], self.record.asked["start_weights"]
        if start and read_description(Path(start)).weights != weights:
            raise BotError(
                f"{start} is no longer the bot that the run began from", "put the one with its weights there"
            )
        super()._check_new()

    def _make_loop(self, prepared: Prepared, processes: Processes | None = None) -> Loop:
        refuse_changed(self.record.learnt, prepared.facts, self.paths)
        loop = super()._make_loop(prepared, processes)
        plan, budget = self.record.plan, self.settings.train.budget
        if plan is not None and budget:
            changed = (plan["changed"][0], plan["changed"][1]) if plan["changed"] else None
            loop.plan = Plan(budget, budget, plan["steps"], 0.0, 0.0, changed, frozen=True)
            loop.course = dataclasses.replace(loop.course, steps=changed[1] if changed else plan["steps"])
        return loop

    def differences(self) -> list[str]:
        """Name what is otherwise here than it was, and decides whether the bits can be the same."""
        found = differences(self.record, versions=None, here=machine(choose_device(self.settings.train.device)))
        if self._loop is not None and self.record.learnt["data"] != data_hash(self._loop.prepared):
            found.append("the corpora are the same, and what became of them when they were prepared is not")
        parts = self._loop.updater.parts if self._loop is not None else self.record.run.get("parts")
        if parts != self.record.run.get("parts"):
            found.append(f"parts of a batch: {self.record.run.get('parts')} then, {parts} now")
        return found


def _is_there(path: Path) -> bool:
    """Tell whether a path is a corpus: a file, a folder, a pattern, or the prefix of two files."""
    names = (path.name, glob.escape(path.name))
    return path.exists() or any(True for name in names for _ in path.parent.glob(f"{name}*"))


def _settings(record: Record) -> Tables:
    """Return the settings of a run as what a new one asks for, with as many threads as there were."""
    tables = {name: dict(values) for name, values in record.settings.items()}
    tables["model"].pop("name")
    threads = record.machine.get("threads")
    if isinstance(threads, int) and threads != torch.get_num_threads():
        tables["train"].setdefault("threads", threads)
    if record.asked["start"]:
        # the bot that it begins from has settled them
        for key in ("vocab_size", "vectors"):
            tables["data"].pop(key, None)
    return tables


def differences(record: Record, *, here: dict[str, Any], versions: dict[str, str] | None) -> list[str]:
    """Name what of a machine and of versions is otherwise than it was, as `name: before, now`."""
    found = [
        f"{name}: {record.machine.get(name)} then, {here[name]} now"
        for name in DECIDING
        if here[name] != record.machine.get(name)
    ]
    for name, version in (versions or {}).items():
        if version != record.versions.get(name):
            found.append(f"{name}: {record.versions.get(name)} then, {version} now")
    return found


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the metric of a run holds.

    before, now  its value of the bot's weights
    bits         whether the bits are expected to be the same, which they are where nothing in `others` differs
    same_weights whether the weights are the same to the bit
    """

    metric: str
    before: float
    now: float
    same_weights: bool
    others: tuple[str, ...] = ()

    @property
    def off(self) -> float:
        """Return by what share of itself the metric differs."""
        return abs(self.now - self.before) / max(abs(self.before), 1e-12) if self.now != self.before else 0.0

    @property
    def holds(self) -> bool:
        """Return whether it is what it was: to the bit, or within the tolerance where the bits cannot be the same."""
        return self.off <= TOLERANCE if self.others else self.now == self.before

    @property
    def message(self) -> str:
        """Say it in a line, with both numbers."""
        numbers = f"{self.metric} {self.before!r} then, {self.now!r} now"
        if self.now == self.before:
            same = "weights and all" if self.same_weights else "though the weights are not"
            return f"holds: identical to the bit, {same}: {numbers}"
        if self.others:
            told = f"within {self.off:.2%}" if self.holds else f"off by {self.off:.2%}"
            return f"{'holds' if self.holds else 'does not hold'}: {told}, {TOLERANCE:.0%} are allowed: {numbers}"
        return f"does not hold: off by {self.off:.2%}, where it should be identical to the bit: {numbers}"


def verdict_of(record: Record, before: Path, now: Path, others: Sequence[str]) -> Verdict:
    """Compare the metric of a bot with that of its rerun.

    Args:
        others: what was otherwise, beside versions; see `Rerun.differences`.
    """
    old, new = read_description(before), read_description(now)
    name = f"valid_{record.metric}"
    values = [description.metrics.get(name) for description in (old, new)]
    if not all(isinstance(value, int | float) for value in values):
        raise BotError(f"a bot.json has no {name}", "copy the whole bot folder again, or train it again")
    changed = [
        f"{each}: {old.versions.get(each)} then, {version} now"
        for each, version in new.versions.items()
        if version != old.versions.get(each)
    ]
    if record.run.get("changed_length"):
        changed.append("the run was made longer or shorter on its way")
    if record.machine.get("device") != "cpu":
        changed.append("a GPU adds up in an order that changes from run to run")
    return Verdict(
        metric=record.metric,
        before=float(values[0]),  # type: ignore[arg-type]
        now=float(values[1]),  # type: ignore[arg-type]
        same_weights=old.weights == new.weights,
        others=(*others, *changed),
    )
