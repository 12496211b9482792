"""What a run has left in its folder and what is asked for now go in; what it goes on with comes out."""

from __future__ import annotations

import dataclasses
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from ..errors import BotError, SettingsError, TrainingError
from ..files import full_disk_explained, read_json, write_json
from ..nn.device import choose_precision
from ..plugins import Plugins
from ..progress import Progress
from ..run_settings import RunSettings
from ..settings import LENGTHS, Tables, TrainSettings, build
from ..tables import merge_tables, read_tables
from .plan import refuse_shorter
from .recording import Asked, machine, metric_lines
from .starting import Start

if TYPE_CHECKING:
    from .loop import Loop
    from .run import Training

__all__ = [
    "Sitting",
    "refuse_lost",
    "remove_unfinished",
    "resumed_settings",
    "settings_again",
    "sit_down",
    "start_again",
]

SITTING: Final = "sitting.json"
"""What a run went on with last, in its training folder."""
DECIDING: Final = ("threads", "processes", "device", "gpu", "capability")
"""What of a machine decides the last digits."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """What a run went on with when it was last begun or resumed.

    written  the tables of `settings.toml`, as the file was then
    length   budget, epochs and steps that the run was given last
    here     what decides the last digits, besides the settings
    """

    written: Tables
    length: Mapping[str, float | None]
    here: Mapping[str, Any]

    @classmethod
    def of(
        cls, settings: RunSettings, device: torch.device, *, processes: int, written: Tables | None = None
    ) -> Sitting:
        """Return that of this process; without `written`, the settings are those of a new run."""
        found = machine(device, processes=processes)
        here = {
            "torch": str(torch.__version__),
            **{name: found[name] for name in DECIDING},
            "precision": str(choose_precision(settings.train.precision, device)).removeprefix("torch."),
        }
        length = {name: getattr(settings.train, name) for name in LENGTHS}
        return cls(written=written or tomllib.loads(settings.to_toml()), length=length, here=here)

    def write(self, folder: Path) -> None:
        """Write it into a training folder."""
        write_json(folder / SITTING, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Sitting | None:
        """Undo `write`; of a folder that has none, nothing is known."""
        try:
            values = read_json(folder / SITTING)
            tables = {table: dict(keys) for table, keys in values["written"].items()}
            length = {name: values["length"][name] for name in LENGTHS}
            return cls(written=tables, length=length, here=dict(values["here"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def by_hand(self, tables: Tables) -> list[str]:
        """Name the knobs that are otherwise in `settings.toml` than they were."""
        names = {(table, key) for side in (self.written, tables) for table, keys in side.items() for key in keys}
        return [
            f"{table}.{key}"
            for table, key in sorted(names)
            if self.written.get(table, {}).get(key) != tables.get(table, {}).get(key)
        ]

    def kept_length(self, tables: Tables) -> dict[str, float | None]:
        """Return the length that the run was given last, by name; none where another has been written by hand."""
        changed = self.by_hand(tables)
        by_hand = any(f"train.{name}" in changed for name in LENGTHS)
        return {} if by_hand else dict(self.length)

    def differences(self, now: Sitting) -> list[str]:
        """Name what decides the last digits and is otherwise now."""
        return [
            f"{name}: {self.here.get(name)} then, {value} now"
            for name, value in now.here.items()
            if value != self.here.get(name)
        ]


def settings_again(run: Training, *, changed: bool = True) -> RunSettings:
    """Return the settings that a run goes on with: those that it had, of the length that it was given last.

    Args:
        changed: whether what is asked for now counts.

    Raises:
        SettingsError: where something else than its length is to change; it is named.
        TrainingError: where there is no run.
    """
    file = run.folder / "settings.toml"
    if not file.is_file():
        raise TrainingError(f"there is no run to resume in {run.bot}", "start one: leave --resume out")
    before, last = RunSettings.from_file(file, run._plugins), Sitting.read(run.folder)
    if last is not None and (length := last.kept_length(read_tables(file))):
        before = _with(before, length)
    if not changed:
        return before
    named = {
        "CORPUS": run._paths,
        "--valid": run._valid_paths,
        "--preset": run._preset,
        "--size": run._size,
        "--source and --target": run._languages[0],
        "--model": run._model_name not in (None, before.model),
        "--from": run._start_path,
        "--weight": run._weights,
    }
    return resumed_settings(before, run._given, named=named)


def resumed_settings(before: RunSettings, given: Tables, *, named: Mapping[str, object]) -> RunSettings:
    """Return the settings of a run that goes on: those it had, of another length where one is given.

    Args:
        named: what was asked for besides settings, by the name of its option.

    Raises:
        SettingsError: where something else is to change; it is named.
    """
    allowed = {"budget", "epochs", "steps", "device", "threads"}
    changes = {key: value for key, value in given.get("train", {}).items() if key in allowed}
    others = [name for name, asked in named.items() if asked]
    for table, values in merge_tables(given).items():
        old = before.config if table == "model" else getattr(before, table)
        new = build(type(old), {**dataclasses.asdict(old), **values}, table)
        others += [
            f"{table}.{key}"
            for key in values
            if not (table == "train" and key in allowed) and getattr(new, key) != getattr(old, key)
        ]
    if others:
        raise SettingsError(
            f"a resumed run keeps its settings; {', '.join(others)} cannot change",
            "only its length, --device and train.threads can; train a new bot for the rest",
        )
    lengths = [name for name in LENGTHS if changes.get(name) is not None]
    if len(lengths) > 1:
        raise SettingsError(f"{' and '.join(lengths)} contradict each other", "give one of them")
    return _with(before, {**(dict.fromkeys(LENGTHS) if lengths else {}), **changes})


def _with(settings: RunSettings, changes: Mapping[str, Any]) -> RunSettings:
    train = build(TrainSettings, {**dataclasses.asdict(settings.train), **changes}, "train")
    return dataclasses.replace(settings, train=train)


def sit_down(loop: Loop) -> Iterator[Progress]:
    """Tell, once, what is otherwise than when the run went on before, and remember what it goes on with now.

    Of several processes the first one does so; each refuses what cannot be.

    Raises:
        TrainingError: where it is to end before where it is; that is not remembered.
    """
    refuse_shorter(loop.settings.train, loop.plan, step=loop.step, epochs=loop.order.epochs, elapsed=loop.elapsed)
    if not loop.processes.first:
        return
    folder = loop.bot / "training"
    written, last = read_tables(folder / "settings.toml"), Sitting.read(folder)
    now = Sitting.of(loop.settings, loop.device, processes=loop.processes.world, written=written)
    if last is not None:
        by_hand, others = last.by_hand(written), last.differences(now)
        told = [f"changed by hand in training/settings.toml: {', '.join(by_hand)}"] if by_hand else []
        told += [f"results may differ in the last digits, as this is not as it was: {'; '.join(others)}"] * bool(others)
        if told:
            yield loop._notice("; ".join(told))
    if now != last:
        with full_disk_explained(folder):
            now.write(folder)


def _has_checkpoints(bot: Path) -> bool:
    """Tell whether there are checkpoints, whole or damaged."""
    return any(path.suffix != ".tmp" for path in (bot / "training" / "checkpoints").glob("step-*"))


def refuse_lost(bot: Path) -> None:
    """Raise where a run has learnt something, and there is no checkpoint: it would begin anew, over a good bot.

    Raises:
        TrainingError: it says where they have been.
    """
    steps = [line["step"] for line in metric_lines(bot) if isinstance(line["step"], int)]
    if _has_checkpoints(bot) or not (max(steps, default=0) or (bot / "bot.json").exists()):
        return
    raise TrainingError(
        f"the run of {bot} came to step {max(steps, default=0):,}, and no checkpoint of it can be found in"
        f" {bot / 'training' / 'checkpoints'}",
        "put that folder back, or let it be read; or train anew with another --bot. A bot that is there can be used",
    )


def start_again(bot: Path, plugins: Plugins) -> Start | None:
    """Return the bot that a run begins from, where it goes on from its very beginning.

    Raises:
        BotError: where it is not there any more, or another one by now.
    """
    asked = Asked.read(bot / "training")
    if asked.start is None or _has_checkpoints(bot):
        return None
    place = Path(asked.start)
    if not place.exists():
        raise BotError(
            f"{place}, which the run begins from, is not there",
            "put it back, or start from the folder that you started from before",
        )
    start = Start.read(place, plugins)
    if start.description.weights != asked.start_weights:
        raise BotError(f"{place} is no longer the bot that the run began from", "put the one with its weights there")
    return start


def remove_unfinished(folder: Path, made: Sequence[Path]) -> None:
    """Remove a training folder and what is beside it, as far as it is `made` for a run that has not begun.

    The lock is held meanwhile and goes last; whoever takes the folder after that finds it empty, and keeps it.
    """
    bot, lock = folder.parent, folder / "lock"
    if bot / "tokenizer" in made:
        shutil.rmtree(bot / "tokenizer", ignore_errors=True)
    if folder in made:
        for path in folder.glob("*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path != lock:
                path.unlink(missing_ok=True)
        with suppress(OSError):  # where a file that is open cannot be removed
            lock.unlink(missing_ok=True)
    for path in (folder, bot):
        if path in made:
            with suppress(OSError):  # of another run by now
                path.rmdir()
