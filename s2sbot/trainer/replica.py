"""A model and the processes that train it go in; a process's part of an update, and the sum of all, come out."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import TrainingError
from ..nn.dataset import Update
from ..nn.encoder_decoder import EncoderDecoder, State
from ..nn.recurrent_model import RecurrentModel
from .processes import Processes

__all__ = ["Replica", "out_of_memory"]


def out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out; on a CPU torch says it in words alone."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def _may_leave_out(model: EncoderDecoder) -> bool:
    """Tell whether there may be weights without a gradient, as in an adaptive output layer where no token is rare."""
    adaptive = any(isinstance(layer, nn.AdaptiveLogSoftmaxWithLoss) for layer in model.modules())
    return adaptive or not isinstance(model, RecurrentModel)


class _Losses(nn.Module):
    """A model whose `forward` hands on a loss that is known: what goes back from it is summed up over processes.

    So nothing waits for other processes before all of them have come as far as that.
    """

    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, loss: Tensor) -> Tensor:
        """Return the loss."""
        return loss


class Replica:
    """One process's copy of a model: it goes through its own rows of an update, and gradients become those of all.

    With one process it does nothing of its own.
    """

    def __init__(self, model: EncoderDecoder, processes: Processes) -> None:
        self.processes = processes
        self._parallel: Any = None
        if processes.world > 1:
            from torch.nn.parallel import DistributedDataParallel

            with warnings.catch_warnings():
                # the name that takes the place of `broadcast_buffers` is not in every version
                warnings.simplefilter("ignore", FutureWarning)
                self._parallel = DistributedDataParallel(
                    _Losses(model),
                    broadcast_buffers=False,
                    gradient_as_bucket_view=True,
                    find_unused_parameters=_may_leave_out(model),
                )

    def check(self) -> None:
        """Raise where another process has come to other weights.

        Raises:
            TrainingError: in the first process; SystemExit in the others.
        """
        if self._parallel is None:
            return
        digest = hashlib.sha256()
        for parameter in self._parallel.parameters():
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        self.processes.check_equal(digest.hexdigest())

    def own(self, update: Update) -> tuple[Update, float]:
        """Return this process's rows of an update and their weight.

        Where there are fewer dialogues than processes, one without goes through a row of another at no weight, as all
        have to take part in the sum.
        """
        rank, world = self.processes.rank, self.processes.world
        shares = update.parts(world)
        return (shares[rank], 1.0) if rank < len(shares) else (shares[0], 0.0)

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Let memory run out in all processes where it does in one of them.

        Before the last way back, that is: from there on they wait for each other.
        """
        short: BaseException | None = None
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if self._parallel is None or not out_of_memory(error):
                raise
            short = error
        if self._parallel is not None and self.processes.any(short is not None):
            raise short or MemoryError("memory ran out in another process")

    def backward(self, loss: Tensor) -> None:
        """Go back from the last loss of an update, with which gradients become the mean over processes.

        Raises:
            TrainingError: where memory runs out when the others can no longer be told.
        """
        try:
            if self._parallel is not None:
                loss = self._parallel(loss)
            loss.backward()  # type: ignore[no-untyped-call]
        except (RuntimeError, MemoryError) as error:
            if self._parallel is None or not out_of_memory(error):
                raise
            raise TrainingError(
                "memory ran out on the way back, when other processes could no longer be told",
                "train anew with smaller batches, as --set train.batch_tokens=500",
            ) from error

    def minds(self, update: Update, carries: Sequence[tuple[Update, State]]) -> Sequence[tuple[Update, State]]:
        """Return what all dialogues of an update have in mind at its end, wherever they were gone through."""
        if self._parallel is None or not carries or not carries[0][1]:
            return carries
        places = {slot: place for place, slot in enumerate(update.slots.tolist())}
        if not places:
            return ()
        # every row comes from one process; zeros of the others add nothing to it
        whole = tuple(part.new_zeros(len(places), *part.shape[1:]) for part in carries[0][1])
        _, weight = self.own(update)
        for part, carry in carries if weight else ():
            rows = np.array([places[slot] for slot in part.slots[: carry[0].shape[0]].tolist()], np.int64)
            for kept, own in zip(whole, carry, strict=True):
                kept.index_copy_(0, torch.from_numpy(rows).to(kept.device), own.detach())
        for kept in whole:
            self.processes.add(kept)
        return [(update, whole)]
