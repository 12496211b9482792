"""The settings of a run and what is asked for when it goes on go in; those that it goes on with come out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ..errors import SettingsError
from ..run_settings import RunSettings
from ..settings import LENGTHS, Tables, TrainSettings, build
from ..tables import merge_tables

__all__ = ["resumed_settings"]


def resumed_settings(before: RunSettings, given: Tables, *, named: Mapping[str, object]) -> RunSettings:
    """Return the settings of a run that goes on: those it had, of another length where one is given.

    Args:
        named: what was asked for besides settings, by the name of its option.

    Raises:
        SettingsError: where something else is to change; it is named.
    """
    allowed = {"budget", "epochs", "steps", "device", "threads"}
    changes = {key: value for key, value in given.get("train", {}).items() if key in allowed}
    others = [name for name, asked in named.items() if asked]
    for table, values in merge_tables(given).items():
        old = before.config if table == "model" else getattr(before, table)
        new = build(type(old), {**dataclasses.asdict(old), **values}, table)
        others += [
            f"{table}.{key}"
            for key in values
            if not (table == "train" and key in allowed) and getattr(new, key) != getattr(old, key)
        ]
    if others:
        raise SettingsError(
            f"a resumed run keeps its settings; {', '.join(others)} cannot change",
            "only its length, --device and train.threads can; train a new bot for the rest",
        )
    lengths = [name for name in LENGTHS if changes.get(name) is not None]
    if len(lengths) > 1:
        raise SettingsError(f"{' and '.join(lengths)} contradict each other", "give one of them")
    cleared = dict.fromkeys(LENGTHS) if lengths else {}
    return dataclasses.replace(
        before, train=build(TrainSettings, {**dataclasses.asdict(before.train), **cleared, **changes}, "train")
    )
