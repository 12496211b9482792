"""Entry points go in; models, tokenizers and readers come out by name, and every broken plugin with its cause."""

from __future__ import annotations

import importlib.metadata
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import pluggy

from .errors import PluginError
from .hookspecs import GROUPS, Hooks
from .progress import Progress
from .settings import nearest
from .text.dialogue import PairReader, Reader
from .text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from .nn.encoder_decoder import EncoderDecoder

__all__ = ["Broken", "Offer", "Plugins"]

_log: Final = logging.getLogger("s2sbot.plugins")
FIRST_PARTY: Final = "s2sbot"


@dataclass(frozen=True, slots=True)
class Broken:
    """A plugin that could not be used, or something of it; `owns` are the names that it was found under."""

    plugin: str
    distribution: str
    cause: str
    owns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """Something that a plugin offers by name."""

    name: str
    value: type[Any]
    plugin: str
    distribution: str


class Plugins:
    """The plugins of one run; a group of entry points is loaded when it is first needed.

    `$S2SBOT_PLUGINS` says which third-party plugins may load, by name of the plugin or its distribution, comma between
    them: those that it leaves out are not even imported. `off` loads none. First-party ones always load.
    """

    def __init__(self, *extra: ModuleType) -> None:
        self._manager = pluggy.PluginManager("s2sbot")
        self._manager.add_hookspecs(Hooks)
        self._loaded: set[str] = set()
        self._owners: dict[str, str] = {}
        self.broken: list[Broken] = []
        for module in extra:
            self._register(module, module.__name__, "given by hand", ())

    def models(self) -> dict[str, Offer]:
        """Return every model by name."""
        return self._offers("s2sbot.models", "model")

    def tokenizers(self) -> dict[str, Offer]:
        """Return every tokenizer by name."""
        return self._offers("s2sbot.tokenizers", "tokenizer")

    def reader_offers(self) -> dict[str, Offer]:
        """Return every reader by name."""
        return self._offers("s2sbot.readers", "reader")

    def model(self, name: str) -> type[EncoderDecoder]:
        """Return a model by name.

        Raises:
            PluginError: where no plugin offers it, two do, or the one that does is broken.
        """
        model: type[EncoderDecoder] = self._one(self.models(), name, "model")
        return model

    def tokenizer(self, name: str) -> type[Tokenizer]:
        """Return a tokenizer by name; raises as `model` does."""
        tokenizer: type[Tokenizer] = self._one(self.tokenizers(), name, "tokenizer")
        return tokenizer

    def readers(self) -> dict[str, Reader | PairReader]:
        """Return a reader of every kind, ready to read."""
        return {name: offer.value() for name, offer in self.reader_offers().items()}

    def tell(self, bot: Path, progress: Progress) -> None:
        """Tell every plugin of an event of a training run; one that fails is named, and the run goes on."""
        self._load("s2sbot.hooks")
        for implementation in list(self._manager.hook.training_progress.get_hookimpls()):
            arguments = {"bot": bot, "progress": progress}
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except Exception as error:
                self._quarantine(implementation.plugin, implementation.plugin_name, f"training_progress: {error!r}", ())

    def load_all(self) -> None:
        """Load every group, so that `broken` is complete."""
        self.models(), self.tokenizers(), self.reader_offers()
        self._load("s2sbot.hooks")

    def hooks(self) -> dict[str, list[str]]:
        """Return the plugins that answer each hook."""
        self.load_all()
        return {
            name: [implementation.plugin_name for implementation in getattr(self._manager.hook, name).get_hookimpls()]
            for name in GROUPS.values()
        }

    def distribution(self, plugin: str) -> str:
        """Return the name of the distribution that a plugin came with."""
        return self._owners.get(plugin, "unknown")

    def _load(self, group: str) -> None:
        if group in self._loaded:
            return
        self._loaded.add(group)
        for entry in sorted(importlib.metadata.entry_points(group=group), key=lambda entry: entry.name):
            distribution = entry.dist.name if entry.dist else "unknown"
            if not _allowed(entry.name, distribution):
                continue
            try:
                module = entry.load()
            except Exception as error:
                cause = f"cannot be imported: {type(error).__name__}: {error}"
                self._note(Broken(entry.value, distribution, cause, (entry.name,)))
                continue
            self._register(module, entry.value, distribution, (entry.name,))

    def _register(self, module: ModuleType, name: str, distribution: str, owns: tuple[str, ...]) -> None:
        if self._manager.is_registered(module) or self._manager.is_blocked(name):
            return
        self._owners[name] = distribution
        try:
            self._manager.register(module, name)
            self._manager.check_pending()
        except Exception as error:
            self._quarantine(module, name, str(error), owns)

    def _quarantine(self, module: object, name: str, cause: str, owns: tuple[str, ...]) -> None:
        # a failed register() leaves the plugin half in
        if self._manager.is_registered(module):
            self._manager.unregister(module)
        self._manager.set_blocked(name)
        self._note(Broken(name, self.distribution(name), cause, owns))

    def _note(self, broken: Broken) -> None:
        if broken not in self.broken:
            self.broken.append(broken)
            _log.warning("plugin %s (%s): %s", broken.plugin, broken.distribution, broken.cause)

    def _offers(self, group: str, kind: str) -> dict[str, Offer]:
        self._load(group)
        offered: dict[str, list[Offer]] = {}
        for offer in self._ask(GROUPS[group]):
            offered.setdefault(offer.name, []).append(offer)
        settled = {}
        for name, offers in sorted(offered.items()):
            own = [offer for offer in offers if offer.distribution == FIRST_PARTY]
            if len(offers) == 1 or own:
                settled[name] = (own or offers)[0]
            for offer in offers if len(offers) > 1 else ():
                others = [other.plugin for other in offers if other is not offer]
                if offer not in own:
                    cause = f"offers the {kind} {name!r}, which {' and '.join(others)} offers too"
                    self._note(Broken(offer.plugin, offer.distribution, cause, (name,)))
        return settled

    def _ask(self, hook: str) -> Iterator[Offer]:
        for implementation in list(getattr(self._manager.hook, hook).get_hookimpls()):
            plugin = implementation.plugin_name
            try:
                offered = implementation.function()
                if not isinstance(offered, Mapping) or not all(
                    isinstance(name, str) and isinstance(value, type) for name, value in offered.items()
                ):
                    raise TypeError(f"{hook} must return a mapping of names to classes, not {offered!r}")
            except Exception as error:
                self._quarantine(implementation.plugin, plugin, f"{type(error).__name__}: {error}", ())
                continue
            for name, value in offered.items():
                yield Offer(name, value, plugin, self.distribution(plugin))

    def _one(self, offers: Mapping[str, Offer], name: str, kind: str) -> Any:
        if name in offers:
            return offers[name].value
        causes = [f"{broken.plugin}: {broken.cause}" for broken in self.broken if name in broken.owns]
        if causes:
            raise PluginError(
                f"the {kind} {name!r} cannot be used: {'; '.join(causes)}", "mend or uninstall that plugin"
            )
        raise PluginError(f"no plugin offers the {kind} {name!r}", nearest(name, offers))


def _allowed(name: str, distribution: str) -> bool:
    chosen = os.environ.get("S2SBOT_PLUGINS")
    if chosen is None or distribution == FIRST_PARTY:
        return True
    if chosen.strip().lower() == "off":
        return False
    return bool({name, distribution} & {part.strip() for part in chosen.split(",")})
