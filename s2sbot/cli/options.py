"""Dataclass fields go in, click options come out; the options of decoding that three commands share; and paths."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..settings import DecodeSettings

__all__ = ["Place", "decode_options", "given_options"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Place(click.Path):
    """A path; an empty one is refused, which would name the folder that one stands in."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("an empty path names nothing; is a variable of the shell not set?", param, ctx)
        return super().convert(value, param, ctx)


def decode_options(*names: str) -> Callable[[Function], Function]:
    """Add an option for each of these knobs of the table `decode`; what is not given stays with the bot's own."""

    def add(function: Function) -> Function:
        hints = typing.get_type_hints(DecodeSettings)
        fields = {field.name: field for field in dataclasses.fields(DecodeSettings)}
        for name in reversed(names):
            field = fields[name]
            choices = field.metadata["choices"]
            kind = click.Choice(choices) if choices else _click_type(hints[name])
            flag = f"--{name.replace('_', '-')}"
            function = click.option(flag, name, type=kind, default=None, help=_sentence(field.metadata["help"]))(
                function
            )
        return function

    return add


def given_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _click_type(hint: Any) -> Any:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return next(kind for kind in kinds if kind is not type(None))


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
