"""The four tables of settings as layers and as TOML go in, one set of tables comes out, and back."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import SettingsError
from .settings import Tables, nearest

__all__ = ["TABLE_NAMES", "merge_tables", "parse_assignment", "read_tables", "tables_to_toml"]

TABLE_NAMES = ("data", "model", "train", "decode")


def merge_tables(*layers: Tables) -> dict[str, dict[str, Any]]:
    """Lay settings over each other, lowest first.

    Raises:
        SettingsError: for a table other than data, model, train and decode.
    """
    merged: dict[str, dict[str, Any]] = {name: {} for name in TABLE_NAMES}
    for layer in layers:
        for name, values in layer.items():
            if name not in merged:
                raise SettingsError(f"unknown table {name!r}", nearest(name, TABLE_NAMES))
            if not isinstance(values, Mapping):
                raise SettingsError(f"{name!r} must be a table", f"write it as [{name}] with keys below it")
            merged[name].update(values)
    return merged


def parse_assignment(text: str) -> tuple[str, str, Any]:
    """Read `table.key=value` as given to --set; the value is read as TOML, or else taken as a word."""
    name, equals, raw = text.partition("=")
    table, dot, key = name.strip().partition(".")
    if not (equals and dot and table and key):
        raise SettingsError(
            f"cannot read the setting {text!r}", "write it as table.key=value, as in model.hidden_size=512"
        )
    if table not in TABLE_NAMES:
        raise SettingsError(f"unknown table {table!r} in {text!r}", nearest(table, TABLE_NAMES))
    raw = raw.strip()
    if raw.lower() == "none":
        return table, key, None
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except (ValueError, RecursionError):
        value = raw
    return table, key, value


def read_tables(path: Path) -> dict[str, dict[str, Any]]:
    """Read the four tables of a TOML file.

    Raises:
        SettingsError: where it cannot be read, or is not TOML (names the line).
    """
    try:
        return merge_tables(tomllib.loads(path.read_text("utf-8-sig")))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}", "give --config the name of a TOML file") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"{path}: {error}", "the file must be TOML with tables [data], [model], [train], [decode]"
        ) from error


def tables_to_toml(tables: Tables) -> str:
    """Print tables of plain values as TOML; what is None is left out, as TOML has no word for it."""
    lines = []
    for name, values in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        escaped = re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match[0]):04x}", escaped)
        return f'"{escaped}"'
    return repr(value)
