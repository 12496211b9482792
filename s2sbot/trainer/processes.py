"""What torchrun says goes in; this process's place among those that train together, and their words, come out."""

from __future__ import annotations

import json
import os
import socket
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import psutil
import torch
from torch import Tensor

from ..errors import S2SBotError, SettingsError, TrainingError
from ..nn.device import choose_device, choose_precision, forget_shapes, keep_memory
from ..settings import TrainSettings

__all__ = ["Processes"]

T = TypeVar("T")

PATIENCE: Final = timedelta(days=1)
"""How long processes wait for each other; one that dies is noticed at once, as its connections close."""
MEETING: Final = timedelta(minutes=10)
"""How long they wait for each other at the beginning, where each is started by hand."""
LOOK_EVERY: Final = 0.1
"""Seconds between two looks at whether the first process is ready."""
_READY: Final = "ready"
_FAILED: Final = "failed"
_ALONE: Final = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}
_MEETING_PLACE: Final = ("MASTER_ADDR", "MASTER_PORT")
_START: Final = "start it with torchrun, which sets them all; to train with this process alone, unset them"


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that train one model together; by itself a process is the first of one.

    rank         number of this process, from 0; the first one writes and tells
    world        how many there are
    local_rank   number of this process on its machine, from 0
    local_world  how many there are on its machine
    launch       what tells one call of torchrun from another, the same after a restart; empty without torchrun
    launcher     process id of the torchrun that started it; 0 without one
    store        where they leave words for each other before they are connected; torchrun keeps it
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1
    launch: str = ""
    launcher: int = 0
    store: Any = field(default=None, repr=False, compare=False)
    _passed: deque[weakref.ref[Tensor]] = field(default_factory=lambda: deque(maxlen=64), repr=False, compare=False)

    @classmethod
    def join(cls) -> Processes:
        """Return this process's place among those that torchrun has started; where it has not, the first of one.

        Raises:
            SettingsError: where the environment tells its place only in part, or a place that cannot be.
            TrainingError: where the processes do not meet.
        """
        place = _place()
        if place is None:
            return cls()
        rank, world, local_rank, local_world = place
        launcher = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else 0
        return cls(rank, world, local_rank, local_world, _launch(), launcher, _meet(rank) if world > 1 else None)

    @property
    def first(self) -> bool:
        """Return whether this process is the one that writes and tells."""
        return self.rank == 0

    @property
    def abandoned(self) -> bool:
        """Return whether torchrun has ended before the processes that it has started: nobody would end them."""
        return bool(self.launcher) and os.getppid() != self.launcher

    def began(self, file: Path) -> bool:
        """Return whether this call of torchrun has begun a run before, as it has started its processes once more.

        Args:
            file: where the run keeps `launch`.
        """
        return bool(self.launch) and file.is_file() and file.read_text("utf-8") == self.launch

    def place(self, train: TrainSettings) -> torch.device:
        """Return where to compute: with other processes, each has a GPU of its own, or its share of the cores."""
        together = self.world > 1
        if train.threads or together:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            torch.set_num_threads(train.threads or max(1, cores // self.local_world))
        keep_memory()
        if train.precision != "bf16":
            # for bf16 what is kept was worth a tenth of the speed
            forget_shapes()
        device = choose_device(train.device, number=self.local_rank if together else None)
        choose_precision(train.precision, device)  # one that is not there is refused before anything is read
        return device

    def ready(self, value: T) -> T:
        """Return the first process's `value` when it has come here, which may take it as long as a corpus does.

        Raises:
            SystemExit: where another process has failed meanwhile, and says so itself.
        """
        if self.world == 1:
            return value
        import torch.distributed as dist

        try:
            if self.first:
                self.store.set(_READY, json.dumps(value))
            while not self.store.check([_READY]):
                if self.store.check([_FAILED]):
                    raise SystemExit(1)
                time.sleep(LOOK_EVERY)
            told: T = json.loads(self.store.get(_READY))
        except dist.DistError as error:
            # without torchrun's own store it has gone with the first process
            raise SystemExit(1) from error
        return told

    def connect(self, device: torch.device) -> None:
        """Connect the processes with each other: over gloo what is on a CPU, over NCCL what is on a GPU."""
        if self.world == 1:
            return
        import torch.distributed as dist

        if device.type == "cuda":
            torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=self.store, rank=self.rank, world_size=self.world, timeout=PATIENCE)

    def of_first(self, answer: Callable[[], T]) -> T:
        """Return what the first process answers, of which JSON keeps all; no other is asked."""
        if self.world == 1:
            return answer()
        import torch.distributed as dist

        data = json.dumps(answer()).encode() if self.first else b""
        length = self._pass(torch.tensor(len(data)))
        dist.broadcast(length, 0)
        text = self._pass(torch.tensor(list(data.ljust(int(length))), dtype=torch.uint8))
        dist.broadcast(text, 0)
        told: T = json.loads(bytes(text.tolist()))
        return told

    def largest(self, *numbers: float) -> list[float]:
        """Return each number where it is largest among the processes."""
        if self.world == 1:
            return list(numbers)
        import torch.distributed as dist

        found = self._pass(torch.tensor(numbers, dtype=torch.float64))
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return found.tolist()

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any of them."""
        return bool(self.largest(float(flag))[0])

    def wait(self) -> None:
        """Return when all processes have come here."""
        self.any(False)

    def add(self, tensor: Tensor) -> None:
        """Replace a tensor by the sum over all processes."""
        if self.world > 1:
            import torch.distributed as dist

            dist.all_reduce(self._pass(tensor.detach()))

    def check_equal(self, digest: str) -> None:
        """Raise where the weights, which should be the same in all processes, are not.

        Raises:
            TrainingError: in the first process; SystemExit in the others, as it speaks for all.
        """
        self._check_same(
            digest,
            TrainingError(
                "the processes have come to different weights, so the run cannot go on",
                "resume it from its last checkpoint; where it happens again, a device or its memory is faulty",
            ),
        )

    def check_same_run(self, digest: str) -> None:
        """Raise where processes are about to train other things: where each machine has a folder of its own.

        Raises:
            SettingsError: in the first process; SystemExit in the others, as it speaks for all.
        """
        self._check_same(
            digest,
            SettingsError(
                "the processes have found different data, settings or checkpoints, so they cannot train together",
                "start all with the same command, and give a folder that all machines see as --bot",
            ),
        )

    def _check_same(self, digest: str, error: S2SBotError) -> None:
        if self.any(self.of_first(lambda: digest) != digest):
            raise error if self.first else SystemExit(error.exit_code)

    @contextmanager
    def one_voice(self) -> Iterator[None]:
        """Let one process alone say what goes wrong inside; see `leave`."""
        try:
            yield
        except Exception as error:
            self.leave(error)
            raise

    def leave(self, error: BaseException | None = None) -> None:
        """Go apart, at the end or because of an error.

        Of an error that several have, or that follows from another's, the first to come here speaks; it says which
        process it is, where it is not the first one.

        Raises:
            SystemExit: where another process says what went wrong.
            TrainingError: where all that went wrong here is that another process has ended.
        """
        if self.world == 1:
            return
        import torch.distributed as dist

        if error is None:
            self._await_passed()
            if dist.is_initialized():
                dist.destroy_process_group()
            return
        if not isinstance(error, Exception):
            return
        if not self._speaks():
            raise SystemExit(error.exit_code if isinstance(error, S2SBotError) else 1) from error
        if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
            raise TrainingError(
                "another process of this run has ended, so this one ends too",
                "torchrun says below which one it was; go on with --bot and --resume: what was saved is untouched",
            ) from error
        if not self.first and isinstance(error, S2SBotError):
            error.message = f"{self._name}: {error.message}"
        elif not self.first:
            error.add_note(self._name)

    @property
    def _name(self) -> str:
        where = f" on {socket.gethostname()}" if self.local_world < self.world else ""
        return f"process {self.rank} of {self.world}{where}"

    def _pass(self, tensor: Tensor) -> Tensor:
        """Remember a tensor that is handed to the threads of gloo."""
        self._passed.append(weakref.ref(tensor))
        return tensor

    def _await_passed(self) -> None:
        """Wait until the threads of gloo have let go of all tensors.

        They do so a moment after the answer is here, and need Python for it, which whoever ends them keeps from them.
        """
        for _ in range(1000):
            if all(tensor() is None for tensor in self._passed):
                return
            time.sleep(0.01)

    def _speaks(self) -> bool:
        """Return whether no other process has come to speak of an error before."""
        import torch.distributed as dist

        try:
            return bool(self.store.compare_set(_FAILED, "", str(self.rank)) == str(self.rank).encode())
        except dist.DistError:
            return self.first


def _place() -> tuple[int, int, int, int] | None:
    """Return rank, world, and both on this machine, as the environment has them; None where it says nothing of it.

    Launchers other than torchrun may leave some of them out for a process that is alone.

    Raises:
        SettingsError: where they do so for one that is not, which would train by itself over the bot of the others.
    """
    given = {name: os.environ[name] for name in _ALONE if os.environ.get(name)}
    try:
        numbers = {name: int(text) for name, text in given.items()}
    except ValueError as error:
        told = ", ".join(f"{name}={text}" for name, text in given.items())
        raise SettingsError(f"the environment has {told}, where whole numbers belong", _START) from error
    if all(_ALONE[name] == number for name, number in numbers.items()) and len(numbers) < len(_ALONE):
        return None
    together = numbers.get("WORLD_SIZE", 2) > 1
    missing = [name for name in (*_ALONE, *(_MEETING_PLACE if together else ())) if not os.environ.get(name)]
    told = ", ".join(f"{name}={number}" for name, number in numbers.items())
    if missing:
        raise SettingsError(f"the environment has {told}, but not {', '.join(missing)}", _START)
    rank, world, local_rank, local_world = (numbers[name] for name in _ALONE)
    if not (0 <= rank < world and 0 <= local_rank < local_world <= world):
        raise SettingsError(f"the environment has {told}: there is no such process", _START)
    return rank, world, local_rank, local_world


def _meet(rank: int) -> Any:
    """Return where the processes of one training leave words for each other.

    Raises:
        TrainingError: where it is not there, or not all of them come.
    """
    from torch.distributed import DistError
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    try:
        shared, _, _ = next(iter(rendezvous("env://", timeout=MEETING)))
        shared.set_timeout(PATIENCE)
        # a process may train one bot after another
        number = shared.add(f"s2sbot/{rank}", 1)
    except (DistError, ValueError) as error:
        address, port = (os.environ[name] for name in _MEETING_PLACE)
        raise TrainingError(
            f"process {rank} cannot meet the others at {address}, port {port}: {str(error).splitlines()[0]}",
            "start all of them with torchrun; where the port is taken, give another as --master-port",
        ) from error
    return PrefixStore(f"s2sbot/{number}", shared)


def _launch() -> str:
    launch = os.environ.get("TORCHELASTIC_RUN_ID", "")
    if launch not in ("", "none"):
        return launch
    # torchrun has no name for the run where machines are counted by hand; it is our parent, after a restart too
    parent = psutil.Process(os.getppid())
    return f"{socket.gethostname()} {parent.pid} {parent.create_time()}"
