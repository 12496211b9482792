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

from ..errors import S2SBotError, TrainingError
from ..nn.device import choose_device, choose_precision, keep_memory
from ..settings import TrainSettings

__all__ = ["Processes"]

T = TypeVar("T")

PATIENCE: Final = timedelta(days=1)
"""How long processes wait for each other; one that dies is noticed at once, as its connections close."""
LOOK_EVERY: Final = 0.1
"""Seconds between two looks at whether the first process is ready."""
_READY: Final = "ready"
_FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that train one model together; by itself a process is the first of one.

    rank         number of this process, from 0; the first one writes and tells
    world        how many there are
    local_rank   number of this process on its machine, from 0
    local_world  how many there are on its machine
    launch       what tells one call of torchrun from another, the same after a restart; empty without torchrun
    store        where they leave words for each other before they are connected; torchrun keeps it
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1
    launch: str = ""
    store: Any = field(default=None, repr=False, compare=False)
    _passed: deque[weakref.ref[Tensor]] = field(default_factory=lambda: deque(maxlen=64), repr=False, compare=False)

    @classmethod
    def join(cls) -> Processes:
        """Return this process's place among those that torchrun has started; where it has not, the first of one."""
        try:
            names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
            rank, world, local_rank, local_world = (int(os.environ[name]) for name in names)
        except (KeyError, ValueError):
            return cls()
        store = None
        if world > 1:
            from torch.distributed.distributed_c10d import PrefixStore
            from torch.distributed.rendezvous import rendezvous

            shared, _, _ = next(iter(rendezvous("env://")))
            # a process may train one bot after another
            number = shared.add(f"s2sbot/{rank}", 1)
            store = PrefixStore(f"s2sbot/{number}", shared)
        return cls(rank, world, local_rank, local_world, _launch(), store)

    @property
    def first(self) -> bool:
        """Return whether this process is the one that writes and tells."""
        return self.rank == 0

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
        """Raise where what should be the same in all processes is not.

        Raises:
            TrainingError: in all of them.
        """
        if self.any(self.of_first(lambda: digest) != digest):
            raise TrainingError(
                "the processes have come to different weights, so the run cannot go on",
                "resume it from its last checkpoint; where it happens again, a device or its memory is faulty",
            )

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

        Of an error that several have, or that follows from another's, the first to come here speaks.

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
                "torchrun says below which one it was; go on with the same command and --resume",
            ) from error

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


def _launch() -> str:
    launch = os.environ.get("TORCHELASTIC_RUN_ID", "")
    if launch not in ("", "none"):
        return launch
    # torchrun has no name for the run where machines are counted by hand; it is our parent, after a restart too
    parent = psutil.Process(os.getppid())
    return f"{socket.gethostname()} {parent.pid} {parent.create_time()}"
