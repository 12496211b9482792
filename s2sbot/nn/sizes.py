"""The arguments of a layer in any of their spellings go in, checked sizes come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from torch import nn

from ..errors import LayerError
from .cells import CellMaker, is_whole

__all__ = ["LayerOptions", "Sizes", "depth_pair", "flag", "input_shape", "whole"]

Size = int | None


class LayerOptions(TypedDict, total=False):
    """What all three layers take; `output_length`, `output_dim` and the input's size must be given.

    input_dim          size of the input at a step; may be said in a shape instead
    hidden_dim         size of the cells; `output_dim` where it is None
    output_length      steps that come out
    output_dim         size of the output at a step
    input_length       steps of the input; any number where it is not given
    batch_size         rows of the input; any number where it is not given
    input_shape        (input_length, input_dim), None where any will do
    batch_input_shape  (batch_size, input_length, input_dim), None where any will do
    depth              layers of encoder and decoder, one number for both or (encoder, decoder)
    dropout            share of activations dropped in training, between layers and around them
    stateful           go on from the state of the batch before, until `reset_states`; no gradient goes back to it
    teacher_force      in training, where a target is given, each step gets the truth of the step before
    cell               a name in `CELLS`, or what makes a cell of an input size and a hidden size
    activation         of the output: `linear`, `tanh`, `sigmoid`, `relu`, or a module
    bidirectional      a second encoder reads backwards, and what both make is summed
    unroll             go step by step even where a fused kernel could run; the reference
    original           compute what the original library computes, its bugs included: see docs/layers.md
    """

    input_dim: Size
    hidden_dim: Size
    output_length: int
    output_dim: int
    input_length: Size
    batch_size: Size
    input_shape: Sequence[Size] | None
    batch_input_shape: Sequence[Size] | None
    depth: int | Sequence[int]
    dropout: float
    stateful: bool
    teacher_force: bool
    cell: str | CellMaker
    activation: str | nn.Module
    bidirectional: bool
    unroll: bool
    original: bool


@dataclass(frozen=True, slots=True)
class Sizes:
    """What fixes the shapes of a layer's weights, and its dropout; `depth` is that of encoder and decoder."""

    input_dim: int
    hidden_dim: int
    output_length: int
    output_dim: int
    depth: tuple[int, int]
    dropout: float


def depth_pair(depth: int | Sequence[int]) -> tuple[int, int]:
    """Return the depths of encoder and decoder.

    Raises:
        LayerError: for anything but a whole number from 1, or two of them.
    """
    pair = tuple(depth) if isinstance(depth, Sequence) else (depth, depth)
    if len(pair) != 2:
        raise LayerError(f"depth={depth!r} has {len(pair)} numbers", "give one, or two: (encoder, decoder)")
    if not all(is_whole(number) for number in pair):
        raise LayerError(f"depth={depth!r}", "a depth is a whole number from 1")
    return int(pair[0]), int(pair[1])


def flag(name: str, value: Any) -> bool:
    """Return what is True or False.

    Raises:
        LayerError: where it is neither.
    """
    if not isinstance(value, bool):
        raise LayerError(f"{name}={value!r}", "it is True or False")
    return value


def whole(options: LayerOptions, name: str) -> int:
    """Return a size that must be given.

    Raises:
        LayerError: where it is no whole number from 1.
    """
    number: Any = options.get(name)
    if is_whole(number):
        return int(number)
    raise LayerError(f"{name} is not given" if number is None else f"{name}={number!r}", "it is a whole number from 1")


def input_shape(options: LayerOptions) -> tuple[Size, Size, int]:
    """Return rows, steps and size of the input out of any of their spellings; rows and steps may be None, for any.

    Raises:
        LayerError: where two spellings disagree, or none says the size.
    """
    spelled: dict[str, set[int]] = {"batch_size": set(), "input_length": set(), "input_dim": set()}
    for name, numbers in spelled.items():
        if options.get(name) is not None:
            numbers.add(whole(options, name))
    for name, places in (("input_shape", list(spelled)[1:]), ("batch_input_shape", list(spelled))):
        shape: Any = options.get(name)
        if shape is None:
            continue
        if not isinstance(shape, Sequence) or len(shape) != len(places):
            raise LayerError(f"{name}={shape!r}", f"it is ({', '.join(places)}), None where any will do")
        for place, number in zip(places, shape, strict=True):
            if number is not None:
                spelled[place].add(whole({place: number}, place))  # type: ignore[misc]
    for name, numbers in spelled.items():
        if len(numbers) > 1:
            raise LayerError(f"{name} is {' and '.join(map(str, sorted(numbers)))}", "say it once")
    if not spelled["input_dim"]:
        raise LayerError("input_dim is not given", "pass it, or input_shape or batch_input_shape")
    rows, steps, size = (next(iter(numbers), None) for numbers in spelled.values())
    assert size is not None
    return rows, steps, size
