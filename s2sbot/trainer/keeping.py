"""Weights and what a validation says of them go in; the best are kept, and the bot has those that it should have."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from ..bot import BotDescription, save_weights, write_description
from ..bot_files import LARGEST_WEIGHTS, read_regular
from ..errors import DiskError
from ..files import full_disk_explained, kill_point, make_own_folder, write_atomically
from ..nn.encoder_decoder import EncoderDecoder, model_tensors
from ..plugins import Plugins
from ..preparation import Prepared
from ..run_settings import RunSettings

__all__ = ["Keeper", "averaged_weights"]


@contextmanager
def averaged_weights(parameters: Sequence[torch.nn.Parameter], average: Sequence[Tensor]) -> Iterator[None]:
    """Give the model the running average of its weights, and its own back at the end."""
    if not average:
        yield
        return
    own = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter, mean in zip(parameters, average, strict=True):
            parameter.copy_(mean)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, kept in zip(parameters, own, strict=True):
                parameter.copy_(kept)


@dataclasses.dataclass(frozen=True, slots=True)
class _Owed:
    """Weights that are to be written, as some of the best, as those of the bot, or as both."""

    tensors: Mapping[str, Tensor]
    figures: Mapping[str, float]
    best: bool
    bot: bool


class Keeper:
    """The best weights so far, and the bot that is made of them.

    best     the best validations so far, best first, at most `keep_best`: (value of the metric, step)
    stalled  validations since the best one
    hashes   SHA-256 of the file of some of the best, by its step
    """

    def __init__(
        self,
        bot: Path,
        settings: RunSettings,
        prepared: Prepared,
        plugins: Plugins,
        *,
        mind: bool,
        higher_is_better: bool = False,
    ) -> None:
        self.bot, self.settings, self.prepared, self.plugins, self.mind = bot, settings, prepared, plugins, mind
        self.sign = -1.0 if higher_is_better else 1.0
        self.best: list[tuple[float, int]] = []
        self.stalled = 0
        self.hashes: dict[int, str] = {}
        self._owed: list[_Owed] = []

    @property
    def folder(self) -> Path:
        """Return the folder of the best weights, where more than those of the bot are kept."""
        return self.bot / "training" / "best"

    @property
    def enough(self) -> bool:
        """Return whether the run ends early, as validation has stalled for so long."""
        patience = self.settings.train.early_stopping
        return bool(patience) and self.stalled >= patience

    def hear(self, model: EncoderDecoder, figures: Mapping[str, float]) -> bool:
        """Take in a validation, write the bot where that is due, and return whether it was the best so far.

        Args:
            model: with the weights that were validated.
            figures: step, epoch, perplexity, and the metric that the best are chosen by.

        Raises:
            DiskError: where something cannot be written; it is owed until `settle` has written it.
        """
        train = self.settings.train
        value, step = figures[train.metric], int(figures["step"])
        better = not self.best or self.sign * value < self.sign * self.best[0][0]
        self.stalled = 0 if better else self.stalled + 1
        self.best = sorted([*self.best, (value, step)], key=lambda each: (self.sign * each[0], each[1]))
        self.best = self.best[: train.keep_best]
        listed = (value, step) in self.best
        owed = _Owed(model_tensors(model), figures, listed and train.keep_best > 1, train.select == "last" or better)
        self._owed.append(owed)
        try:
            self.settle()
        except DiskError:
            self._hold()
            raise
        return better

    def settle(self) -> None:
        """Write what is owed; without that it does nothing.

        Raises:
            DiskError: where it cannot be written.
        """
        while self._owed:
            owed = self._owed[0]
            if owed.best:
                with full_disk_explained(self.folder):
                    make_own_folder(self.folder)
                data = save({name: tensor.detach().cpu().contiguous() for name, tensor in owed.tensors.items()})
                step = int(owed.figures["step"])
                write_atomically(self._file(step), data)
                self.hashes[step] = hashlib.sha256(data).hexdigest()
                kill_point("best.written")
            if owed.bot:
                self.write(owed.tensors, owed.figures)
            self._owed.pop(0)

    def _hold(self) -> None:
        """Keep copies of the weights that are owed, since those of the model are about to change."""
        *before, last = self._owed
        last = dataclasses.replace(last, tensors={name: each.detach().clone() for name, each in last.tensors.items()})
        # of all that wait, the bot is to have the last one
        waiting = [dataclasses.replace(owed, bot=owed.bot and not last.bot) for owed in before]
        steps = {step for _, step in self.best}
        self._owed = [
            owed for owed in (*waiting, last) if owed.bot or (owed.best and int(owed.figures["step"]) in steps)
        ]

    def mean(self) -> dict[str, Tensor]:
        """Return the mean of the best weights.

        Raises:
            ValueError: where a file is not what was written.
            OSError: where one cannot be read.
        """
        kept = [load(self._read(step)) for _, step in self.best]
        return {
            name: torch.stack([part[name].double() for part in kept]).mean(0).to(tensor.dtype)
            for name, tensor in kept[0].items()
        }

    def _file(self, step: int) -> Path:
        return self.folder / f"step-{step}.safetensors"

    def _read(self, step: int) -> bytes:
        data = read_regular(self._file(step), LARGEST_WEIGHTS)
        if hashlib.sha256(data).hexdigest() != self.hashes.get(step):
            raise ValueError(f"{self._file(step).name} is cut short or changed")
        return data

    def prune(self, states: Iterable[Mapping[str, Any]]) -> None:
        """Delete best weights that no checkpoint speaks of any more, as far as that can be done."""
        if self.folder.is_symlink():
            return
        try:
            needed = {self._file(step) for state in states for _, step in state["keeper"]["best"]}
        except (LookupError, TypeError, ValueError):
            return  # of a checkpoint whose words are strange
        if not needed:
            return  # there are none yet, or the checkpoints cannot be read
        with suppress(OSError):
            for file in self.folder.glob("step-*.safetensors"):
                if file not in needed:
                    with suppress(OSError):
                        file.unlink()

    def write(self, tensors: Mapping[str, Tensor], figures: Mapping[str, float]) -> None:
        """Make these weights those of the bot, in one rename.

        Raises:
            ValueError: where they are not finite.
        """
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise ValueError("weights that are not finite are no bot")
        facts, settings = self.prepared.facts, self.settings
        weights = save_weights(self.bot, tensors)
        kill_point("bot.weights")
        description = BotDescription(
            uuid=facts["uuid"],
            kind=facts["kind"],
            model=settings.model,
            config=dataclasses.asdict(settings.config),
            source_vocab=len(self.prepared.tokenizers[0]),
            target_vocab=len(self.prepared.tokenizers[1]),
            # what was never learnt is not to be carried
            mind=self.mind,
            tokenizer=settings.data.tokenizer,
            shared=settings.data.share_tokenizer,
            data={
                "context_turns": settings.data.context_turns if facts["kind"] == "chat" else 0,
                "scene_gap": settings.data.scene_gap,
                "max_length": settings.data.max_length,
            },
            languages=tuple(facts["languages"]),
            decode=dataclasses.asdict(settings.decode),
            weights=weights,
            corpora=tuple(facts["corpora"]),
            metrics={
                "step": int(figures["step"]),
                "epoch": figures["epoch"],
                "valid_tokens": facts["tokens"]["valid"],
                "select": settings.train.select,
                **{f"valid_{name}": figures[name] for name in figures if name not in ("step", "epoch", "elapsed")},
            },
            versions=self._versions(),
        )
        write_description(self.bot, description)
        kill_point("bot.described")
        for path in self.bot.glob("weights-*.safetensors"):
            if path.name != weights:
                with suppress(OSError):
                    path.unlink()

    def _versions(self) -> dict[str, str]:
        offers = (
            self.plugins.models()[self.settings.model],
            self.plugins.tokenizers()[self.settings.data.tokenizer],
        )
        versions = {"s2sbot": importlib.metadata.version("s2sbot"), "torch": torch.__version__}
        for offer in offers:
            try:
                versions[offer.plugin] = importlib.metadata.version(offer.distribution)
            except importlib.metadata.PackageNotFoundError:
                versions[offer.plugin] = "unknown"
        return versions

    def to_json(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it."""
        hashes = {str(step): self.hashes[step] for _, step in self.best if step in self.hashes}
        return {"best": [list(each) for each in self.best], "stalled": self.stalled, "hashes": hashes}

    def restore(self, values: Mapping[str, Any]) -> None:
        """Undo `to_json`."""
        self.best = [(float(value), int(step)) for value, step in values["best"]]
        self.stalled = values["stalled"]
        self.hashes = {int(step): digest for step, digest in values["hashes"].items()}
        self._owed = []
