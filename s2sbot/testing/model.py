"""A model class and its configuration go in; what it does otherwise than the contract says comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from ..nn import EncoderDecoder
from .findings import Check, Finding, Started, require, run_checks
from .forward import check_padding, check_selection, check_shapes, check_steps, check_vocabularies
from .learning import check_by_heart, check_gradients
from .mind import check_mind, check_mind_rows, check_mind_zeros
from .output import check_output_layer
from .search import check_batches, check_beam_of_one
from .subject import Subject
from .weights import check_embeddings, check_evaluation, check_saving, check_seeds, check_tables

__all__ = ["check_model", "checks_of_model", "heart_checks", "model_checks"]

CONTRACT: tuple[tuple[str, Callable[[Subject], None]], ...] = (
    ("batch comes first, and shapes fit", check_shapes),
    ("source and target have vocabularies of their own", check_vocabularies),
    ("all steps at once equal one by one", check_steps),
    ("padding changes nothing", check_padding),
    ("rows can be dropped, repeated and reordered", check_selection),
    ("the rest of the batch changes nothing", check_batches),
    ("greedy search equals a beam of one", check_beam_of_one),
    ("saving and loading change nothing", check_saving),
    ("evaluation is deterministic", check_evaluation),
    ("it chooses no seed", check_seeds),
    ("a gradient reaches every parameter", check_gradients),
    ("it has a mind between turns where it says so, and only there", check_mind),
    ("no mind yet is a mind of zeros", check_mind_zeros),
    ("a mind is its row's own, and survives storage", check_mind_rows),
    ("tables of embeddings are its own", check_embeddings),
    ("the loss by output_layer() equals that by project()", check_output_layer),
    ("sizes and presets are of knobs that it has", check_tables),
)
BY_HEART = ("copy", "reverse", "exchanges")


def check_model(kind: type[EncoderDecoder], config: Any, *, by_heart: Any = None) -> None:
    """Check the contract of a model on a configuration of it, a small one for the sake of time.

    Args:
        by_heart: a configuration that is large enough to learn something by heart, where `config` is not.

    Raises:
        AssertionError: at the first check that fails; it says which one, and what differs.
    """
    require(model_checks(kind, config, by_heart=by_heart))


def model_checks(
    kind: type[EncoderDecoder], config: Any, *, by_heart: Any = None, started: Started | None = None
) -> Iterator[Finding]:
    """Yield a finding for every check of the contract of a model, the quick ones first.

    Args:
        by_heart: as for `check_model`.
        started: hears the name of every check before it runs.
    """
    learning = heart_checks(kind, config if by_heart is None else by_heart)
    return run_checks([*checks_of_model(kind, config), *learning], started)


def checks_of_model(kind: type[EncoderDecoder], config: Any) -> list[Check]:
    """Return the checks that need no training."""
    subject = Subject(kind, config)
    return [Check(name, partial(_isolated, check, subject)) for name, check in CONTRACT]


def heart_checks(kind: type[EncoderDecoder], config: Any) -> list[Check]:
    """Return the checks that train a model until it knows a few exchanges by heart."""
    subject = Subject(kind, config)
    return [
        Check(f"it learns by heart: {name}", partial(_isolated, check_by_heart, subject, name)) for name in BY_HEART
    ]


def _isolated(check: Callable[..., None], *arguments: Any) -> None:
    """Run a check, and leave torch's random state and threads as they were.

    What is checked is so small that threads only wait for each other: on a busy machine two of them took 20 times as
    long as one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            check(*arguments)
    finally:
        torch.set_num_threads(threads)
