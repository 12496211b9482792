"""Entry points go in; models, tokenizers, readers and metrics come out by name, and broken plugins with their cause."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import pluggy

from .errors import PluginError
from .hookspecs import GROUPS, Hooks
from .progress import Progress
from .settings import nearest
from .text.dialogue import PairReader, Reader
from .text.metric import Metric
from .text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from .nn.encoder_decoder import EncoderDecoder

__all__ = ["Broken", "Offer", "Plugins", "allowed"]

_log: Final = logging.getLogger("s2sbot.plugins")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_FAULTS: Final = (Exception, SystemExit)
"""What a plugin may raise without ending the program; an interrupt from the keyboard is not the plugin's."""
_MEMBERS: Final = {
    "register_tokenizers": ("__len__", "encode", "decode", "save", "load", "train"),
    "register_readers": ("sniff", "read"),
    "register_metrics": ("higher_is_better", "score"),
}
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

    A plugin answers the hooks of the groups that its entry points name, and no other, so that what is found does not
    depend on what was asked for before. What fails is left out from then on and kept in `broken`; the rest of that
    plugin stays.

    `$S2SBOT_PLUGINS` says which third-party plugins may load, by name of the plugin or its distribution, comma between
    them: those that it leaves out are not even imported. `off` loads none. First-party ones always load.
    """

    def __init__(self, *extra: ModuleType) -> None:
        self._manager = pluggy.PluginManager("s2sbot")
        self._manager.add_hookspecs(Hooks)
        self._loaded: set[str] = set()
        self._unusable: dict[str, str] = {}
        self._distributions: dict[str, str] = {}
        self._answering: dict[tuple[str, str], list[str]] = {}  # (hook, plugin) -> names of its entry points
        self.broken: list[Broken] = []
        self.portable = not extra
        for module in extra:
            name = module.__name__
            self._distributions[name] = "given by hand"
            self._register(module, name)
            if name in self._unusable:
                self._note(name, self._unusable[name], ())
            self._answering.update({(hook, name): [] for hook in self._hooks_of(name)})

    def models(self) -> dict[str, Offer]:
        """Return every model by name."""
        return self._offers("register_models", "model")

    def tokenizers(self) -> dict[str, Offer]:
        """Return every tokenizer by name."""
        return self._offers("register_tokenizers", "tokenizer")

    def reader_offers(self) -> dict[str, Offer]:
        """Return every reader by name."""
        return self._offers("register_readers", "reader")

    def metrics(self) -> dict[str, Offer]:
        """Return every metric by name."""
        return self._offers("register_metrics", "metric")

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

    def metric(self, name: str) -> type[Metric]:
        """Return a metric by name; raises as `model` does."""
        metric: type[Metric] = self._one(self.metrics(), name, "metric")
        return metric

    def readers(self) -> dict[str, Reader | PairReader]:
        """Return a reader of every kind, ready to read."""
        ready: dict[str, Reader | PairReader] = {}
        for name, offer in self.reader_offers().items():
            try:
                ready[name] = offer.value()
            except _FAULTS as error:
                self._note(offer.plugin, f"the reader {name!r} cannot be made: {_cause(error)}", (name,))
        return ready

    def tell(self, bot: Path, progress: Progress) -> None:
        """Tell every plugin of an event of a training run; one that fails is named and hears no more."""
        arguments = {"bot": bot, "progress": progress}
        for implementation in self._implementations("training_progress"):
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except _FAULTS as error:
                self._fail("training_progress", implementation.plugin_name, error)

    def leave_out_metric(self, name: str, cause: str) -> None:
        """Name a metric that has failed; the rest of its plugin stays."""
        self._note(self.metrics()[name].plugin, f"the metric {name!r} has failed: {cause}", (name,))

    def load_all(self) -> None:
        """Load every group, so that `broken` is complete."""
        self.models(), self.tokenizers(), self.readers(), self.metrics()
        self._load("s2sbot.hooks")

    def hooks(self) -> dict[str, list[str]]:
        """Return the plugins that answer each hook."""
        self.load_all()
        return {
            hook: [implementation.plugin_name for implementation in self._implementations(hook)]
            for hook in GROUPS.values()
        }

    def distribution(self, plugin: str) -> str:
        """Return the name of the distribution that a plugin came with."""
        return self._distributions.get(plugin, "unknown")

    @cached_property
    def _entry_points(self) -> dict[str, importlib.metadata.EntryPoints]:
        return {group: importlib.metadata.entry_points(group=group) for group in GROUPS}

    def _load(self, group: str) -> None:
        if group in self._loaded:
            return
        self._loaded.add(group)
        hook = GROUPS[group]
        for entry in sorted(self._entry_points[group], key=lambda entry: entry.name):
            plugin, distribution = entry.value, entry.dist.name if entry.dist else "unknown"
            if not allowed(entry.name, distribution):
                continue
            self._distributions.setdefault(plugin, distribution)
            if plugin not in self._unusable and not self._manager.has_plugin(plugin):
                self._import(entry)
            if plugin in self._unusable:
                self._note(plugin, self._unusable[plugin], (entry.name,))
            elif hook not in self._hooks_of(plugin):
                cause = f"is named in the entry-point group {group} but has no hook {hook}: is @hookimpl missing?"
                self._note(plugin, cause, (entry.name,))
            else:
                self._answering.setdefault((hook, plugin), []).append(entry.name)

    def _import(self, entry: importlib.metadata.EntryPoint) -> None:
        try:
            module = entry.load()
        except _FAULTS as error:
            self._unusable[entry.value] = f"cannot be imported: {_cause(error)}"
            return
        self._register(module, entry.value)
        self._check_groups(entry.value)

    def _register(self, module: Any, name: str) -> None:
        try:
            self._manager.register(module, name)
            self._manager.check_pending()
            for caller in self._manager.get_hookcallers(module) or ():
                if any(each.plugin is module and (each.wrapper or each.hookwrapper) for each in caller.get_hookimpls()):
                    raise TypeError(f"{caller.name} is a hook wrapper, which is never called")
        except _FAULTS as error:
            # a failed register() may leave the plugin half in
            if self._manager.get_plugin(name) is not None:
                self._manager.unregister(name=name)
            self._unusable[name] = _cause(error)

    def _hooks_of(self, plugin: str) -> list[str]:
        module = self._manager.get_plugin(plugin)
        return [caller.name for caller in self._manager.get_hookcallers(module) or ()] if module is not None else []

    def _check_groups(self, plugin: str) -> None:
        for group, hook in GROUPS.items():
            named = any(entry.value == plugin for entry in self._entry_points[group])
            if hook in self._hooks_of(plugin) and not named:
                self._note(plugin, f"has the hook {hook} but is not named in the entry-point group {group}", ())

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        """Return who answers a hook, in pluggy's order: last registered first, but for `tryfirst` and `trylast`."""
        self._load(next(group for group, name in GROUPS.items() if name == hook))
        found = getattr(self._manager.hook, hook).get_hookimpls()
        return [each for each in reversed(found) if (hook, each.plugin_name) in self._answering]

    def _fail(self, hook: str, plugin: str, error: BaseException, owns: Sequence[str] = ()) -> None:
        names = self._answering.pop((hook, plugin))
        self._note(plugin, f"{hook}: {_cause(error)}", (*names, *owns))

    def _note(self, plugin: str, cause: str, owns: Sequence[str]) -> None:
        for index, known in enumerate(self.broken):
            if (known.plugin, known.cause) == (plugin, cause):
                self.broken[index] = dataclasses.replace(known, owns=tuple(dict.fromkeys((*known.owns, *owns))))
                return
        self.broken.append(Broken(plugin, self.distribution(plugin), cause, tuple(owns)))
        _log.warning("plugin %s (%s): %s", plugin, self.distribution(plugin), cause)

    def _offers(self, hook: str, kind: str) -> dict[str, Offer]:
        offered: dict[str, list[Offer]] = {}
        for offer in self._ask(hook):
            offered.setdefault(offer.name, []).append(offer)
        settled = {}
        for name, offers in sorted(offered.items()):
            own = [offer for offer in offers if offer.distribution == FIRST_PARTY]
            if len(offers) == 1 or own:
                settled[name] = (own or offers)[0]
            for offer in offers if len(offers) > 1 else ():
                others = sorted(other.plugin for other in offers if other is not offer)
                if offer not in own:
                    cause = f"offers the {kind} {name!r}, which {' and '.join(others)} offers too"
                    self._note(offer.plugin, cause, (name,))
        return settled

    def _ask(self, hook: str) -> Iterator[Offer]:
        for implementation in self._implementations(hook):
            plugin = implementation.plugin_name
            offered: Any = None
            try:
                offered = implementation.function()
                _check_offers(hook, offered)
            except _FAULTS as error:
                names = [name for name in offered if isinstance(name, str)] if isinstance(offered, Mapping) else []
                self._fail(hook, plugin, error, names)
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


def _check_offers(hook: str, offered: object) -> None:
    if not isinstance(offered, Mapping):
        raise TypeError(f"must return a mapping of names to classes, not {type(offered).__name__}")
    for name, value in offered.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name: it takes letters, digits, '-', '_' and '.'")
        if not isinstance(value, type):
            raise TypeError(f"{name!r} must be a class, not {type(value).__name__}")
        lack = _lack_of_model(value) if hook == "register_models" else _lack_of(hook, value)
        if lack:
            raise TypeError(f"the class {value.__name__}, offered as {name!r}, {lack}")


def _lack_of_model(kind: type) -> str:
    from .nn.encoder_decoder import EncoderDecoder

    if not issubclass(kind, EncoderDecoder):
        return "is not derived from EncoderDecoder"
    if inspect.isabstract(kind):
        return f"lacks {', '.join(sorted(kind.__abstractmethods__))}"
    return "" if dataclasses.is_dataclass(getattr(kind, "Config", None)) else "has no dataclass as its Config"


def _lack_of(hook: str, kind: type) -> str:
    if hook == "register_readers" and hasattr(kind, "read_pair"):
        return ""
    missing = [name for name in _MEMBERS[hook] if not hasattr(kind, name)]
    return f"lacks {', '.join(missing)}" if missing else ""


def _cause(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def allowed(name: str, distribution: str) -> bool:
    """Tell whether `$S2SBOT_PLUGINS` lets a plugin of this name and distribution be imported."""
    chosen = os.environ.get("S2SBOT_PLUGINS")
    if chosen is None or distribution == FIRST_PARTY:
        return True
    if chosen.strip().lower() == "off":
        return False
    return bool({_plain(name), _plain(distribution)} & {_plain(part) for part in chosen.split(",")})


def _plain(name: str) -> str:
    """Spell a name as package indexes compare it: `My_Plugin` and `my-plugin` are one."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
