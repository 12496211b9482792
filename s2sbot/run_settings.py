"""Corpora and what was asked for go in; the settings of a run, laid over each other and checked, come out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import CorpusError, SettingsError
from .plugins import Plugins
from .settings import (
    LENGTHS,
    SIZES,
    DataSettings,
    DecodeSettings,
    Tables,
    TrainSettings,
    build,
    nearest,
)
from .tables import merge_tables, read_tables, tables_to_toml
from .text.corpus import Corpus

__all__ = ["DEFAULT_BUDGET", "DEFAULT_MODEL", "RunSettings", "kind_of", "model_of", "resolve_settings"]

DEFAULT_MODEL = "attention"
DEFAULT_BUDGET = 900.0
FOR_TRANSLATION: Tables = {
    "data": {"max_length": 100},
    "decode": {"method": "beam", "max_length": 120, "no_repeat_ngram": 0},
}
"""The defaults that differ where the corpus makes a translator."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """All four tables of a run, checked; `model` is the name, `config` the model's own knobs."""

    model: str
    config: Any
    data: DataSettings
    train: TrainSettings
    decode: DecodeSettings

    def to_toml(self) -> str:
        """Print them as the TOML that `from_file` reads."""
        tables = {
            "model": {"name": self.model, **dataclasses.asdict(self.config)},
            "data": dataclasses.asdict(self.data),
            "train": dataclasses.asdict(self.train),
            "decode": dataclasses.asdict(self.decode),
        }
        return tables_to_toml(tables)

    @classmethod
    def from_file(cls, path: Path, plugins: Plugins) -> RunSettings:
        """Read them back."""
        tables = read_tables(path)
        name = tables["model"].pop("name", None)
        if not isinstance(name, str):
            raise SettingsError(f"{path} names no model", "copy the training folder again")
        return cls._build(name, tables, plugins)

    @classmethod
    def _build(cls, model: str, tables: Tables, plugins: Plugins) -> RunSettings:
        kind = plugins.model(model)
        return cls(
            model,
            build(kind.Config, tables["model"], "model"),
            build(DataSettings, tables["data"], "data"),
            build(TrainSettings, tables["train"], "train"),
            build(DecodeSettings, tables["decode"], "decode"),
        )


def resolve_settings(
    corpora: Sequence[Corpus],
    model: str,
    preset: str | None,
    size: str | None,
    given: Tables,
    plugins: Plugins,
    *,
    start: Tables | None = None,
) -> RunSettings:
    """Lay defaults < corpus < preset < size < `start` < `given` over each other, and check the result.

    Args:
        start: what the bot settles that the run begins from.

    Raises:
        SettingsError: for an unknown key, size or preset, a value out of limits, or two lengths of a run at once.
    """
    kind = plugins.model(model)
    if preset is not None and preset not in kind.presets:
        owners = _owners(preset, plugins)
        hint = f"it is one of --model {' and of --model '.join(owners)}" if owners else nearest(preset, kind.presets)
        raise SettingsError(f"the model {model!r} has no preset {preset!r}", hint)
    if size is not None and size not in SIZES:
        raise SettingsError(f"no size {size!r}", nearest(size, SIZES))
    layers: list[Tables] = [FOR_TRANSLATION] if kind_of(corpora) == "translate" else []
    layers += [_wishes(corpus, kind.Config) for corpus in corpora]
    layers.append(kind.presets[preset] if preset else {})
    layers.append({**SIZES[size], "model": kind.sizes.get(size, {})} if size else {})
    layers.append(start or {})
    below, above = merge_tables(*layers), merge_tables(given)
    asked = [name for name in LENGTHS if above["train"].get(name) is not None]
    if len(asked) > 1:
        raise SettingsError(f"{' and '.join(asked)} contradict each other", "give one of them")
    if asked:
        for name in LENGTHS:
            below["train"].pop(name, None)
    merged = merge_tables(below, above)
    if merged["train"].get("schedule") == "noam" and "learning_rate" not in above["train"]:
        merged["train"]["learning_rate"] = _noam_factor(layers)
    if not any(merged["train"].get(name) for name in LENGTHS):
        merged["train"]["budget"] = DEFAULT_BUDGET
    if merged["data"].get("share_tokenizer") is False and _has_knob(kind.Config, "share_embeddings"):
        if above["model"].get("share_embeddings"):
            raise SettingsError(
                "data.share_tokenizer=false and model.share_embeddings=true contradict each other",
                "an id then means one word in the source and another in the target: leave out one of the two",
            )
        # an id then means one word in the source and another in the target
        merged["model"]["share_embeddings"] = False
    return RunSettings._build(model, merged, plugins)


def _noam_factor(layers: Sequence[Tables]) -> float:
    """Return what the schedule noam is multiplied with: what is said where it is asked for, or 1.

    The highest rate of another schedule, as that of a size, is no factor.
    """
    asking = [layer["train"] for layer in layers if layer.get("train", {}).get("schedule") == "noam"]
    return float(asking[-1].get("learning_rate", 1.0)) if asking else 1.0


def resolve_data(corpora: Sequence[Corpus], given: Mapping[str, Any]) -> DataSettings:
    """Lay defaults < corpus < `given` over each other for the table `data` alone.

    Raises:
        CorpusError: where the corpora do not agree whether they are talked with or translated.
        SettingsError: for an unknown knob, or a value out of limits.
    """
    layers: list[Tables] = [FOR_TRANSLATION] if kind_of(corpora) == "translate" else []
    layers += [_wishes(corpus, DataSettings) for corpus in corpora]
    return build(DataSettings, {**merge_tables(*layers)["data"], **given}, "data")


def model_of(preset: str | None, plugins: Plugins) -> str:
    """Return the model that is meant where none is named: the one that has the preset, or else the default.

    Raises:
        SettingsError: where no model has the preset, or several have.
    """
    if preset is None:
        return DEFAULT_MODEL
    owners = _owners(preset, plugins)
    if len(owners) > 1:
        raise SettingsError(f"the models {' and '.join(owners)} have a preset {preset!r}", "say which with --model")
    if not owners:
        known = {name for offer in plugins.models().values() for name in offer.value.presets}
        raise SettingsError(f"no model has a preset {preset!r}", nearest(preset, known))
    return owners[0]


def _owners(preset: str, plugins: Plugins) -> list[str]:
    return sorted(name for name, offer in plugins.models().items() if preset in offer.value.presets)


def _has_knob(config: type[Any], name: str) -> bool:
    return name in {knob.name for knob in dataclasses.fields(config)}


def _wishes(corpus: Corpus, config: type[Any]) -> Tables:
    """Return what a corpus asks for; knobs of the table `model` only where the chosen model has them."""
    wishes = merge_tables(corpus.settings)
    wishes["model"] = {name: value for name, value in wishes["model"].items() if _has_knob(config, name)}
    if corpus.valid_share is not None:
        wishes["data"]["valid_share"] = corpus.valid_share
    return wishes


def kind_of(corpora: Sequence[Corpus]) -> str:
    """Return `chat` or `translate`.

    Raises:
        CorpusError: where the corpora do not agree.
    """
    kinds = {(corpus.kind, corpus.languages if corpus.kind == "translate" else ()) for corpus in corpora}
    if len(kinds) > 1:
        listed = "; ".join(f"{corpus.path}: {corpus.kind} {'-'.join(corpus.languages)}" for corpus in corpora)
        raise CorpusError(f"the corpora do not fit together: {listed}", "train one bot on each kind")
    return next(iter(kinds))[0]
