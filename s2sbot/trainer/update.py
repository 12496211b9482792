"""The exchanges of an update go in, and the weights have changed: loss, gradients, their norm, the optimiser's step."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from ..errors import SettingsError, TrainingError
from ..nn.dataset import Update
from ..nn.device import choose_precision
from ..nn.encoder_decoder import EncoderDecoder, LinearOutput, State, trusted_output_layer
from ..nn.optimization import make_optimizer
from ..nn.output_loss import LOGITS_BYTES
from ..nn.sampled_softmax import Proposal
from ..nn.scoring import Minds, UpdateLoss, update_loss
from ..preparation import Prepared
from ..settings import TrainSettings
from ..text.packed import Packed
from ..text.tokenizer import EOS
from .processes import Processes
from .replica import Replica, out_of_memory
from .subwords import SubwordSampling

__all__ = ["Updater", "proposal_of", "seed_step"]

GPU_LOGITS_BYTES: Final = 512 * 2**20
"""Logits at a time on a GPU, where nothing is asked for; reckoned, while `LOGITS_BYTES` is what is fastest on a CPU."""
COUNTS: Final = ("nats", "tokens", "bad", "bad_in_a_row", "most_in_a_row", "last_bad")
"""What is counted where the model is, so that no step waits for the device."""


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Make every random number of a step depend on these numbers alone, whatever generator it is drawn from.

    So a run that goes on from a checkpoint draws what it would have drawn, and there is no state to keep.
    """
    number = int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)


def proposal_of(train: TrainSettings, model: EncoderDecoder, prepared: Prepared) -> Proposal | None:
    """Return what the tokens of an update are drawn by where only a sample of the vocabulary is learnt from.

    Raises:
        SettingsError: where the output layer of the model is not a linear map, and so cannot.
    """
    if not train.sampled_softmax:
        return None
    if not isinstance(trusted_output_layer(model), LinearOutput):
        raise SettingsError(
            f"train.sampled_softmax needs a linear output layer, and that of {type(model).__name__} is none",
            "leave it out",
        )
    counts = np.bincount(prepared.train.target_ids, minlength=len(prepared.tokenizers[1]))
    counts[EOS] += len(prepared.train)
    return Proposal.of_counts(counts, train.sampled_softmax)


class Updater:
    """A model, its optimiser, and the running average of its weights where one is kept.

    parts     how many pieces an update is cut into, one after the other, so that it fits into memory
    subwords  cuts sentences anew, where the run asks for it
    fraction  how much of the run is done, on which the share of scheduled sampling depends
    """

    def __init__(
        self,
        model: EncoderDecoder,
        train: TrainSettings,
        *,
        device: torch.device,
        processes: Processes | None = None,
        subwords: SubwordSampling | None = None,
    ) -> None:
        self.model, self.train, self.device = model, train, device
        self.processes = processes or Processes()
        self.replica = Replica(model, self.processes)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = make_optimizer(self.parameters, train)
        self.average = [parameter.detach().clone() for parameter in self.parameters] if train.ema else []
        self.counts = {name: torch.zeros((), dtype=torch.float64, device=device) for name in COUNTS}
        self.precision = choose_precision(train.precision, device)
        own = LOGITS_BYTES if device.type == "cpu" else GPU_LOGITS_BYTES
        self.logits_bytes = train.logits_mb * 2**20 if train.logits_mb else own
        self.parts = 1
        self.subwords, self.fraction = subwords, 1.0
        self.proposal: Proposal | None = None

    def update(
        self, packed: Packed, update: Update, minds: Minds, *, step: int, rate: float, fraction: float = 1.0
    ) -> None:
        """Go through the exchanges once and change the weights.

        A loss or gradient that is not finite changes nothing but the counts. Where memory runs out, the update is cut
        into twice as many parts and begun again: the sum of their gradients is that of the whole.

        Raises:
            TrainingError: where not even a single dialogue fits into memory.
        """
        self.model.train()
        self.fraction = fraction
        if self.subwords is not None:
            # without the rank: every process has the same update, and takes its own part of it
            packed, update = self.subwords.cut(packed, update, (self.train.seed, step))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        while True:
            seed_step(self.train.seed, step, self.processes.rank)
            self.optimizer.zero_grad(set_to_none=True)
            try:
                nats, carries = self._backward(packed, update, minds)
                break
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                self._halve(update, error)
        finite, scale = self._judge(nats)
        self._step(finite, scale)
        self._count(nats, finite, packed.target_tokens(update.turns), step)
        for part, carry in carries:
            # a mind that something infinite went through starts anew
            minds.keep(part, tuple(torch.where(finite, tensor, torch.zeros_like(tensor)) for tensor in carry))
        if self.average:
            self._move_average(step)

    def _backward(self, packed: Packed, update: Update, minds: Minds) -> tuple[Tensor, Sequence[tuple[Update, State]]]:
        """Return the summed loss in nats, and what the dialogues of each part have in mind at its end."""
        by_tokens = self.train.average == "tokens"
        total = packed.target_tokens(update.turns) if by_tokens else sum(map(len, update.turns))
        nats = torch.zeros((), dtype=torch.float64, device=self.device)
        carries: list[tuple[Update, State]] = []
        own, weight = self.replica.own(update)

        def share(part: Update) -> Tensor:
            loss = self._loss(packed, part, minds)
            nats.add_(loss.nats.detach(), alpha=weight)
            carries.append((part, loss.carry))
            # gradients are the mean of the processes' own
            return loss.nats * weight / (total / self.processes.world)

        *parts, end = own.parts(self.parts)
        with self.replica.agreed():
            for part in parts:
                share(part).backward()  # type: ignore[no-untyped-call]
            loss = share(end)
        self.replica.backward(loss)
        self.processes.add(nats)
        return nats, self.replica.minds(update, carries)

    def _loss(self, packed: Packed, part: Update, minds: Minds) -> UpdateLoss:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16):
            return self._loss_of(packed, part, minds)

    def _loss_of(self, packed: Packed, part: Update, minds: Minds) -> UpdateLoss:
        return update_loss(
            self.model,
            packed,
            part,
            minds,
            label_smoothing=self.train.label_smoothing,
            logits_bytes=self.logits_bytes,
            proposal=self.proposal,
            word_dropout=self.train.word_dropout,
            # rises with the run (Bengio et al. 2015, section 2.4: linear decay)
            scheduled_sampling=self.train.scheduled_sampling * self.fraction,
        )

    def _halve(self, update: Update, error: BaseException) -> None:
        self.parts = int(self.processes.largest(self.parts)[0])
        if self.parts * self.processes.world >= len(update.turns[0]):
            raise TrainingError(
                "there is not enough memory for a single exchange of this length",
                "take a smaller --size, or a smaller data.max_length",
            ) from error
        self.parts *= 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _judge(self, nats: Tensor) -> tuple[Tensor, Tensor]:
        """Return whether loss and gradients are finite, and what gradients are divided by to have the norm `clip`."""
        grads = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(grads)
        finite = torch.isfinite(norm) & torch.isfinite(nats)
        return finite, (norm / self.train.clip).clamp_min(1.0)

    def _step(self, finite: Tensor, scale: Tensor) -> None:
        """Let the optimiser change the weights, or nothing where the gradients are not finite.

        A fused optimiser divides and skips by itself, where the weights are: no pass over all gradients more, and on a
        GPU nobody waits for the answer.
        """
        if all(group.get("fused") for group in self.optimizer.param_groups):
            self.optimizer.grad_scale = scale.float()  # type: ignore[attr-defined]
            self.optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
            self.optimizer.step()
        elif bool(finite):
            torch._foreach_div_([p.grad for p in self.parameters if p.grad is not None], scale)
            self.optimizer.step()

    def _count(self, nats: Tensor, finite: Tensor, tokens: int, step: int) -> None:
        counts, good = self.counts, finite.double()
        counts["nats"] += torch.where(finite, nats, 0.0)
        counts["tokens"] += good * tokens
        counts["bad"] += 1 - good
        counts["bad_in_a_row"] = (counts["bad_in_a_row"] + 1) * (1 - good)
        counts["most_in_a_row"] = torch.maximum(counts["most_in_a_row"], counts["bad_in_a_row"])
        counts["last_bad"] = torch.where(finite, counts["last_bad"], float(step))

    def _move_average(self, step: int) -> None:
        """Let the average follow the weights, fast at first, as it is then an average of few."""
        decay = min(self.train.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.average, [parameter.detach() for parameter in self.parameters], 1 - decay)

    def read(self, *names: str) -> dict[str, float]:
        """Return counts as numbers; on a GPU this waits for it."""
        return dict(zip(names, torch.stack([self.counts[name] for name in names]).tolist(), strict=True))

    def reset(self, *names: str) -> None:
        """Count anew."""
        for name in names:
            self.counts[name] = torch.zeros_like(self.counts[name])

    def to_json(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it besides tensors."""
        return {"parts": self.parts, "counts": self.read(*COUNTS)}

    def restore(self, values: Mapping[str, Any], average: Mapping[str, Tensor]) -> None:
        """Undo `to_json`, and take the running average of a checkpoint."""
        self.parts = values["parts"]
        for name in COUNTS:
            self.counts[name] = torch.tensor(values["counts"][name], dtype=torch.float64, device=self.device)
        self.average = [average[name].to(self.device) for name in sorted(average)]
