"""The whole state of a training run goes in; a folder that is either complete or not there comes out, and back."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import torch
from torch import Tensor

from ..bot_files import DTYPES, check_folder, open_regular, parse_json, read_regular, tensor_place
from ..files import full_disk_explained, kill_point, make_own_folder, refuse_full_disk, sync_folder, write_file

__all__ = [
    "Checkpoint",
    "checkpoint_bytes",
    "kept_states",
    "latest_checkpoint",
    "remove_after",
    "set_aside",
    "tensor_file",
]

_PARTS: Final = ("weights", "optimizer", "average", "minds")
_NAME: Final = re.compile(r"step-(0|[1-9][0-9]{0,17})(\.old)?")
_DAMAGED: Final = re.compile(r"step-(0|[1-9][0-9]{0,17})\.damaged")
_MANIFEST: Final = "manifest.json"
_STATE: Final = "state.json"
_JSON_BYTES: Final = 64 * 2**20
_SPARE: Final = 2**20
"""Bytes beside the tensors that have to fit on the disk too."""
_CHUNK: Final = 2**20
_TOO_MUCH: Final = (RecursionError, MemoryError, OverflowError)
_CODES: Final = {getattr(torch, name): code for code, (name, _) in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that a run needs to go on as if it had never stopped.

    Random numbers are not in it: those of a step depend on its number alone.

    A checkpoint is an anchor where it stands at a place that does not depend on the clock: what a run goes back to when
    its losses are not finite, so that it does the same however often it was stopped.

    state    plain values: the run's own id, step, position in the data, seconds, plan, best so far, what was counted
    weights, optimizer  tensors by name
    average  the running average of the weights, by name; empty where none is kept
    minds    what the open dialogues have in mind, by number; empty for a model without a mind
    """

    state: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    minds: Mapping[str, Tensor]

    @property
    def bytes(self) -> int:
        """Return about how much it takes on a disk."""
        parts = (self.weights, self.optimizer, self.average, self.minds)
        return sum(tensor.nbytes for part in parts for tensor in part.values()) + _SPARE

    def save(self, folder: Path, *, keep: int) -> Path:
        """Write `step-N` into `folder`, whole or not at all, and remove all but the newest `keep` and the last anchor.

        One of a step that this run has not come to is none of those; of the damaged ones, the newest is kept.

        Every file is hashed in the manifest; the folder gets its name last, when all of it is on the disk.

        Raises:
            DiskError: where it cannot be written; what would not fit is refused before anything is written.
        """
        final = folder / f"step-{self.state['step']}"
        unfinished, aside = folder / f"{final.name}.tmp", folder / f"{final.name}.old"
        with full_disk_explained(final):
            make_own_folder(folder)
            for left in folder.glob("step-*.tmp"):
                shutil.rmtree(left, ignore_errors=True)
            refuse_full_disk(final, self.bytes, "a checkpoint")
            unfinished.mkdir()
            try:
                self._write(unfinished)
                kill_point("checkpoint.written")
                if final.exists():
                    shutil.rmtree(aside, ignore_errors=True)
                    final.replace(aside)
                    kill_point("checkpoint.aside")
                unfinished.replace(final)
                kill_point("checkpoint.named")
                sync_folder(folder)
                sync_folder(folder.parent)
                kill_point("checkpoint.synced")
                shutil.rmtree(aside, ignore_errors=True)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        with suppress(OSError):
            _remove_old(folder, keep, self.state["step"])
        kill_point("checkpoint.removed")
        return final

    def _write(self, folder: Path) -> None:
        manifest = {}
        for name in _PARTS:
            file = folder / f"{name}.safetensors"
            manifest[file.name] = write_file(file, tensor_file(getattr(self, name)))
            kill_point(f"checkpoint.{name}")
        manifest[_STATE] = write_file(folder / _STATE, [_json(self.state)])
        kill_point("checkpoint.state")
        write_file(folder / _MANIFEST, [_json(manifest)])
        sync_folder(folder)

    @classmethod
    def load(cls, folder: Path, *, run: str | None = None) -> Self:
        """Read one checkpoint, every file checked against the manifest, and nothing else in it.

        Args:
            run: the id of the run that it must be of.

        Raises:
            ValueError: where a file is missing, cut short, changed, of another checkpoint, or one too many.
        """
        try:
            manifest = _manifest(folder)
            state = _state(folder, manifest)
            if run is not None and state["run"] != run:
                raise ValueError("it is of another run")
            files = (f"{part}.safetensors" for part in _PARTS)
            return cls(state, *(_tensors(_verified(folder / name, manifest[name])) for name in files))
        except (OSError, LookupError, TypeError, AttributeError, *_TOO_MUCH, struct.error) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise ValueError(f"{type(error).__name__}: {said}") from error


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def tensor_file(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a safetensors file; no tensor is copied, but for one at a time that is on a GPU."""
    header, end = {}, 0
    # wider numbers first, so that each tensor begins at a multiple of its number's size
    ordered = sorted(tensors.items(), key=lambda item: -item[1].element_size())
    for name, tensor in ordered:
        place = [end, end := end + tensor.nbytes]
        header[name] = {"dtype": _CODES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": place}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for _, tensor in ordered:
        flat = tensor.detach().cpu().contiguous().view(-1)
        data = memoryview(flat.view(torch.uint8).numpy())  # type: ignore[arg-type]
        for begin in range(0, len(data), _CHUNK):
            yield data[begin : begin + _CHUNK]


def _tensors(data: bytearray) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; they share its memory."""
    start = _data_begins(data)
    found = {}
    for name, entry in json.loads(data[8:start]).items():
        place = tensor_place(name, entry)
        if start + place.end > len(data):
            raise ValueError(f"{name!r} lies beyond the end of its file")
        flat = torch.empty(0, dtype=getattr(torch, DTYPES[place.dtype][0]))
        if place.numbers:
            flat = torch.frombuffer(data, dtype=flat.dtype, count=place.numbers, offset=start + place.begin)
        found[name] = flat.view(place.shape)
    return found


def _data_begins(data: bytes | bytearray) -> int:
    return int(8 + struct.unpack_from("<Q", data)[0])


def _manifest(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a checkpoint by its name.

    Raises:
        ValueError: where it is not as it was written, or the folder holds something else too.
    """
    if not check_folder(folder):
        raise ValueError("it is not there")
    written = read_regular(folder / _MANIFEST, _SPARE)
    manifest = parse_json(written)
    if not isinstance(manifest, dict) or _json(manifest) != written:
        raise ValueError(f"{_MANIFEST} is cut short or changed")
    names = {entry.name for entry in os.scandir(folder)} - {_MANIFEST}
    known = {*(f"{part}.safetensors" for part in _PARTS), _STATE}
    for strange in sorted((names | set(manifest)) - known):
        raise ValueError(f"{strange!r} does not belong to it")
    for missing in sorted(known - (names & set(manifest))):
        raise ValueError(f"{missing} is missing")
    return manifest


def _verified(path: Path, wanted: str) -> bytearray:
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if path.suffix == ".safetensors":
            # one that has grown, to terabytes of holes perhaps, is refused before memory is asked for
            _check_size(stream, size)
        data = bytearray(size)
        stream.readinto(data)  # type: ignore[attr-defined]
    if hashlib.sha256(data).hexdigest() != wanted:
        raise ValueError(f"{path.name} is cut short or changed")
    return data


def _check_size(stream: BinaryIO, size: int) -> None:
    begins = _data_begins(stream.read(8))
    if begins > min(size, _JSON_BYTES):
        raise ValueError("the header of its tensors is cut short or changed")
    entries = json.loads(stream.read(begins - 8)).values()
    if begins + max((entry["data_offsets"][1] for entry in entries), default=0) != size:
        raise ValueError("its tensors are cut short or changed")
    stream.seek(0)


def _state(folder: Path, manifest: Mapping[str, str]) -> Any:
    path = folder / _STATE
    if path.lstat().st_size > _JSON_BYTES:
        raise ValueError(f"{_STATE} is larger than {_JSON_BYTES} bytes")
    state = json.loads(_verified(path, manifest[_STATE]))
    if folder.name.removesuffix(".old") != f"step-{state['step']}":
        raise ValueError(f"it is of step {state['step']}")
    return state


def _known_state(folder: Path) -> Any:
    """Return the plain values of a checkpoint, or None where they are damaged; its tensors are not looked at."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        return _state(folder, _manifest(folder))
    return None


def _steps(folder: Path) -> list[Path]:
    """Return the finished checkpoints, newest first; one that was put aside for a newer of its step comes after it."""
    found = [(match, path) for path in folder.glob("step-*") if (match := _NAME.fullmatch(path.name))]
    steps = [(-int(match[1]), bool(match[2]), path) for match, path in found]
    return [path for _, _, path in sorted(steps)]


def _step(path: Path) -> int:
    return int(path.name[5:].removesuffix(".old"))


def _is_anchor(folder: Path) -> bool:
    state = _known_state(folder)
    return state is not None and bool(state.get("anchor"))


def _remove_old(folder: Path, keep: int, last: int) -> None:
    """Remove all but the newest `keep` checkpoints up to step `last`, the last anchor, and the newest damaged one."""
    steps = [path for path in _steps(folder) if _step(path) <= last]
    anchor = next((path for path in steps if _is_anchor(path)), None)
    for old in steps[keep:]:
        if old != anchor:
            shutil.rmtree(old, ignore_errors=True)
    damaged = [(int(match[1]), path) for path in folder.glob("*.damaged") if (match := _DAMAGED.fullmatch(path.name))]
    for _, old in sorted(damaged)[:-1]:
        shutil.rmtree(old, ignore_errors=True)


def latest_checkpoint(
    folder: Path,
    damaged: Callable[[Path, str], None],
    *,
    run: str | None = None,
    anchor: bool = False,
    check: Callable[[Checkpoint], None] = lambda checkpoint: None,
) -> Checkpoint | None:
    """Return the newest checkpoint, or anchor, that is whole and of this run; tell `damaged` of every newer one.

    Args:
        check: raises a ValueError for one that does not fit; that one counts as damaged.
    """
    for path in _steps(folder):
        if anchor and not _is_anchor(path):
            continue
        try:
            checkpoint = Checkpoint.load(path, run=run)
            check(checkpoint)
            return checkpoint
        except ValueError as error:
            damaged(path, str(error))
    return None


def set_aside(damaged: Iterable[Path]) -> None:
    """Rename checkpoints that were passed over, so that they never take the place of one that is whole."""
    for path in damaged:
        aside = path.with_name(f"step-{_step(path)}.damaged")
        with suppress(OSError):
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)


def remove_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of steps after `step`: what a run has gone back from."""
    for path in _steps(folder):
        if _step(path) > step:
            shutil.rmtree(path, ignore_errors=True)
            kill_point("checkpoint.taken_back")


def kept_states(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the plain values of every checkpoint in which they are whole; none where the folder cannot be read."""
    paths: list[Path] = []
    with suppress(OSError):
        paths = _steps(folder)
    for path in paths:
        state = _known_state(path)
        if state is not None:
            yield state


def checkpoint_bytes(folder: Path) -> int:
    """Return how much all checkpoints take on the disk."""
    return sum(file.lstat().st_size for path in _steps(folder) for file in path.glob("*"))
