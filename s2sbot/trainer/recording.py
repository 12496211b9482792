"""A run that has come to its end goes in; the record that its card is made of, and can be repeated from, comes out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from ..bot import read_description
from ..bot_files import open_regular
from ..errors import CorpusError, S2SBotError, shell_command
from ..files import read_json, write_json
from ..preparation import Prepared
from ..record import Record
from ..run_settings import RunSettings
from ..settings import LENGTHS, Tables
from ..tables import parse_assignment, read_tables

if TYPE_CHECKING:
    from .loop import Loop
    from .run import Training

__all__ = ["ASKED", "Asked", "asked_of", "data_hash", "machine", "metric_lines", "record_of", "refuse_changed"]

ASKED: Final = "asked.json"
"""What a run was asked for, in its training folder."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a new run was asked for, with paths as they were given.

    settings  what was asked for of the four tables; `start` is the bot it begins from, `start_weights` the name of its
              weights, which holds a hash of them
    typed     the command line, where it is that of `s2sbot rerun`
    """

    bot: str
    corpora: tuple[str, ...]
    valid: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    start: str | None = None
    start_weights: str | None = None
    model: str | None = None
    preset: str | None = None
    size: str | None = None
    settings: Tables = dataclasses.field(default_factory=dict)
    typed: str | None = None

    def write(self, folder: Path) -> None:
        """Write it into a training folder."""
        write_json(folder / ASKED, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Asked:
        """Undo `write`; of a folder that has none, nothing is known."""
        try:
            values = read_json(folder / ASKED)
            lists = {name: tuple(values[name]) for name in ("corpora", "valid", "languages")}
            return cls(**{**values, **lists})
        except (OSError, ValueError, TypeError, KeyError):
            return cls(bot=str(folder.parent), corpora=())

    @property
    def command(self) -> str:
        """Return the command line that asks for the same, quoted for a shell."""
        if self.typed:
            return self.typed
        words = ["s2sbot", "train", *self.corpora, "--bot", self.bot]
        named = (("--from", self.start), ("--model", self.model), ("--preset", self.preset), ("--size", self.size))
        words += [word for name, value in named if value is not None for word in (name, value)]
        words += [word for path in self.valid for word in ("--valid", path)]
        if len(self.languages) == 2:
            words += ["--source", self.languages[0], "--target", self.languages[1]]
        for table, values in self.settings.items():
            for key, value in values.items():
                if table == "train" and key in LENGTHS and value is not None:
                    words += [f"--{key}", f"{value:g}s" if key == "budget" else str(value)]
                else:
                    words += ["--set", _assignment(f"{table}.{key}", value)]
        return shlex.join(words)


def asked_of(run: Training) -> Asked:
    """Return what a new run was asked for."""
    return Asked(
        bot=str(run.bot),
        corpora=tuple(map(str, run._paths)),
        valid=tuple(map(str, run._valid_paths)),
        languages=tuple(language for language in run._languages if language),
        start=str(run._start_path) if run._start_path else None,
        start_weights=run._start.description.weights if run._start else None,
        model=run._model_name,
        preset=run._preset,
        size=run._size,
        settings=run._given,
        typed=shell_command(*run._typed) if run._typed else None,
    )


def _assignment(name: str, value: Any) -> str:
    """Return `table.key=value` as `parse_assignment` reads it back."""
    if value is None:
        return f"{name}=none"
    if isinstance(value, str) and parse_assignment(f"{name}={value}")[2] == value:
        return f"{name}={value}"
    return f"{name}={json.dumps(value, ensure_ascii=False)}"


def data_hash(prepared: Prepared) -> str:
    """Return the SHA-256 of all token ids to learn from and to validate on, and of the vectors to start from."""
    found = hashlib.sha256()
    for packed in (prepared.train, prepared.valid):
        for array in (packed.source_ids, packed.source_ends, packed.target_ids, packed.target_ends, packed.previous):
            found.update(str(array.shape).encode())
            found.update(array.data)
    for ids, vectors in prepared.vectors:
        found.update(ids.data)
        found.update(vectors.data)
    return found.hexdigest()


def machine(device: torch.device, *, processes: int = 1) -> dict[str, Any]:
    """Return what computes here, as far as it decides what comes out, and the memory taken so far at most."""
    gpu = device.type == "cuda"
    return {
        "cpu": _cpu(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "processes": processes,
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device) if gpu else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "memory": _peak_memory(),
        "gpu_memory": torch.cuda.max_memory_allocated(device) if gpu else None,
    }


def _cpu() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as stream:
            return next(line.partition(":")[2].strip() for line in stream if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _peak_memory() -> int | None:
    """Return the bytes of memory that this process has had at most; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def metric_lines(bot: Path) -> Iterator[Mapping[str, Any]]:
    """Yield what `metrics.jsonl` holds, line by line; lines that cannot be read are passed over."""
    try:
        with open_regular(bot / "training" / "metrics.jsonl") as stream:
            for line in stream:
                try:
                    values = json.loads(line)
                except ValueError:
                    continue
                if isinstance(values, dict) and "kind" in values and "step" in values:
                    yield values
    except (OSError, ValueError):
        return


def record_of(loop: Loop) -> Record:
    """Return the record of a run that has come to its end."""
    settings, prepared, plan = loop.settings, loop.prepared, loop.plan
    asked, facts = Asked.read(loop.bot / "training"), loop.prepared.facts
    metric, names = settings.train.metric, {"corpora", "valid", "languages", "start", "start_weights"}
    validations = [{**row, "step": int(row["step"])} for row in loop.validations]
    best = next((row for row in validations if loop.keeper.best and row["step"] == loop.keeper.best[0][1]), None)
    lines = list(metric_lines(loop.bot))
    speeds = [line["tokens_per_second"] for line in lines if line["kind"] == "step" and line.get("tokens_per_second")]
    packed = prepared.train
    tokens = len(packed.source_ids) + len(packed.target_ids) + 2 * len(packed)
    description = read_description(loop.bot)
    return Record(
        asked={name: value for name, value in dataclasses.asdict(asked).items() if name in names},
        command=asked.command,
        settings=tables_of(settings),
        learnt={**facts, "data": data_hash(prepared)},
        model={
            "parameters": sum(parameter.numel() for parameter in loop.model.parameters()),
            "source_vocab": len(prepared.tokenizers[0]),
            "target_vocab": len(prepared.tokenizers[1]),
        },
        plan={"steps": plan.steps, "changed": plan.changed} if plan else None,
        run={
            "step": loop.step,
            "epoch": round(loop.order.epochs, 3),
            "seconds": loop.elapsed,
            "tokens": round(loop.order.epochs * tokens),
            "tokens_per_second": statistics.median(speeds) if speeds else None,
            "skipped": int(loop.updater.read("bad")["bad"]),
            "cuts": loop.course.cuts,
            "parts": loop.updater.parts,
            "changed_length": _changed_length(loop.bot, settings),
            "notices": [[line["step"], line.get("message", "")] for line in lines if line["kind"] == "notice"],
        },
        metric=metric,
        best=best or validations[-1],
        last=validations[-1],
        validations=tuple(validations),
        machine=machine(loop.device, processes=loop.processes.world),
        versions=description.versions,
        weights=description.weights,
    )


def tables_of(settings: RunSettings) -> dict[str, dict[str, Any]]:
    """Return the four tables whole, but for what is None."""
    tables = {
        "model": {"name": settings.model, **dataclasses.asdict(settings.config)},
        **{name: dataclasses.asdict(getattr(settings, name)) for name in ("data", "train", "decode")},
    }
    return {name: {key: value for key, value in table.items() if value is not None} for name, table in tables.items()}


def _changed_length(bot: Path, settings: RunSettings) -> bool:
    """Return whether the run was made longer or shorter when it was resumed: it had another rate before that."""
    try:
        first = read_tables(bot / "training" / "settings.toml")["train"]
    except (S2SBotError, KeyError):
        return False
    return any(first.get(name) != getattr(settings.train, name) for name in LENGTHS)


def refuse_changed(learnt: Mapping[str, Any], facts: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """Raise where the corpora are not those that were learnt from.

    Args:
        learnt: what a record says of them; `facts` is what is found now, in `paths`.

    Raises:
        CorpusError: it names those that have changed.
    """
    before, now = ([(each["name"], each["sha256"]) for each in side["corpora"]] for side in (learnt, facts))
    if sorted(digest for _, digest in before) == sorted(digest for _, digest in now):
        return
    known, found = {digest for _, digest in before}, {digest for _, digest in now}
    changed = {name: f"{name} was not learnt from" for name, digest in now if digest not in known}
    changed |= {name: f"{name} is no longer what it was" for name, digest in before if digest not in found}
    where = ", ".join(map(str, paths))
    raise CorpusError(
        f"the corpora in {where} are not those that the bot was trained on: {'; '.join(changed.values())}",
        "name the place of the right ones with --corpus, in the order they were given",
    )
