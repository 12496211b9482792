"""The whole state of a training run goes in; a folder that is either complete or not there comes out, and back."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from .files import full_disk_explained, read_json, sync_folder, write_atomically, write_json

__all__ = [
    "Checkpoint",
    "latest_checkpoint",
    "optimizer_tensors",
    "random_tensors",
    "restore_optimizer",
    "restore_random",
]

_PARTS: Final = ("weights", "optimizer", "random", "minds")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that a run needs to go on as if it had never stopped.

    state    plain values: step, position in the data, seconds, best so far
    weights, optimizer, random  tensors by name
    minds    what the open dialogues have in mind, by number; empty for a model without a mind
    """

    state: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    random: Mapping[str, Tensor]
    minds: Mapping[str, Tensor]

    def save(self, folder: Path, *, keep: int) -> Path:
        """Write `step-N` into `folder`, whole or not at all, and remove all but the newest `keep`.

        Every file is hashed in the manifest; the folder gets its name last, when all of it is on the disk.
        """
        final = folder / f"step-{self.state['step']}"
        unfinished, aside = folder / f"{final.name}.tmp", folder / f"{final.name}.old"
        with full_disk_explained(final):
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            try:
                manifest = {}
                for name in _PARTS:
                    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in getattr(self, name).items()}
                    data = save_tensors(tensors)
                    write_atomically(unfinished / f"{name}.safetensors", data)
                    manifest[f"{name}.safetensors"] = hashlib.sha256(data).hexdigest()
                write_json(unfinished / "state.json", dict(self.state))
                manifest["state.json"] = hashlib.sha256((unfinished / "state.json").read_bytes()).hexdigest()
                write_json(unfinished / "manifest.json", manifest)
                if final.exists():
                    final.replace(aside)
                unfinished.replace(final)
                sync_folder(folder)
                shutil.rmtree(aside, ignore_errors=True)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        for old in _steps(folder)[keep:]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        """Read one checkpoint, every file checked against the manifest.

        Raises:
            ValueError: where a file is missing, cut short or changed.
        """
        try:
            manifest = read_json(folder / "manifest.json")
            files = {}
            for name in (*(f"{part}.safetensors" for part in _PARTS), "state.json"):
                files[name] = (folder / name).read_bytes()
                if hashlib.sha256(files[name]).hexdigest() != manifest[name]:
                    raise ValueError(f"{name} is cut short or changed")
            parts = [load_tensors(files[f"{part}.safetensors"]) for part in _PARTS]
            return cls(read_json(folder / "state.json"), *parts)
        except (OSError, KeyError, TypeError, SafetensorError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error


def _steps(folder: Path) -> list[Path]:
    """Return the finished checkpoints, newest first; one that was put aside for a newer of its step comes after it."""
    found = [(path, path.name[5:].removesuffix(".old")) for path in folder.glob("step-*")]
    steps = [(-int(number), path.name.endswith(".old"), path) for path, number in found if number.isdigit()]
    return [path for _, _, path in sorted(steps)]


def latest_checkpoint(folder: Path, damaged: Callable[[Path, str], None]) -> Checkpoint | None:
    """Return the newest checkpoint that is whole; tell `damaged` of every newer one."""
    for path in _steps(folder):
        try:
            return Checkpoint.load(path)
        except ValueError as error:
            damaged(path, str(error))
    return None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimiser whose state is tensors, as Adam's is."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, values in state.items() for name, value in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Undo `optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def random_tensors() -> dict[str, Tensor]:
    """Return the state of every random generator that training draws from."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random(states: Mapping[str, Tensor]) -> None:
    """Undo `random_tensors`."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
