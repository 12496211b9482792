"""Every knob there is: defaults, size, preset, run.toml and --set go in, checked frozen dataclasses come out."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from .errors import SettingsError

__all__ = [
    "LENGTHS",
    "SIZES",
    "DataSettings",
    "DecodeSettings",
    "Tables",
    "TrainSettings",
    "build",
    "home",
    "knob",
    "nearest",
    "parse_duration",
]

Tables = Mapping[str, Mapping[str, Any]]
Settings = TypeVar("Settings")

LENGTHS = ("budget", "epochs", "steps")
"""The knobs of the table `train` that say how long a run is; one of them is given."""


def knob(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] | None = None,
    duration: bool = False,
) -> Any:
    """Declare one field of a settings dataclass with its help and its limits.

    `minimum` and `maximum` are inclusive, `above` is exclusive; a `duration` in seconds may also be written as `15m`.
    A model plugin declares its `Config` with it too.
    """
    limits = {"minimum": minimum, "maximum": maximum, "above": above, "choices": choices, "duration": duration}
    return dataclasses.field(default=default, metadata={"help": help, **limits})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """How a corpus becomes token ids: the table `data`."""

    tokenizer: str = knob("sentencepiece", "tokenizer plugin that turns text into ids")
    vocab_size: int | None = knob(
        None,
        "number of token ids; chosen from the corpus (at most 8,000) where not given",
        minimum=32,
        maximum=1_000_000,
    )
    share_tokenizer: bool = knob(True, "one tokenizer for source and target")
    context_turns: int = knob(0, "turns before the last that the source holds too", minimum=0, maximum=16)
    scene_gap: float = knob(10.0, "seconds without a cue that end a dialogue", above=0.0)
    max_length: int = knob(48, "tokens a side; longer exchanges are left out", minimum=4, maximum=1024)
    without: str = knob("", "rules of cleaning to leave out, with commas between; docs/cleaning.md lists them")
    max_characters: int = knob(400, "characters a side; longer exchanges are left out", minimum=10)
    max_ratio: float = knob(4.0, "how many times as long one side of a translation may be as the other", above=1.0)
    reply_cap: int | None = knob(
        None, "how often one reply may occur; one in 500 exchanges but at least 20 times where not given", minimum=1
    )
    near_duplicates: float = knob(
        0.0, "likeness (Jaccard, of runs of 5 characters) from which an exchange is a duplicate; 0 asks for none",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    language: str | None = knob(
        None, "language, as en, or source and target, as de-en; exchanges in other ones are left out"
    )
    vectors: str | None = knob(
        None, "file of word vectors (word2vec, GloVe or fastText text format) that the model's tables start from"
    )
    valid_share: float = knob(0.04, "share of the films held out for validation", above=0.0, maximum=0.5)
    test_share: float = knob(0.0, "share of the films held out from validation too", minimum=0.0, maximum=0.4)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How long and how a model learns: the table `train`."""

    seed: int = knob(1, "number that fixes initial weights, order and dropout", minimum=0, maximum=2**31 - 1)
    device: str = knob("auto", "where to compute", choices=("auto", "cpu", "cuda"))
    threads: int | None = knob(None, "CPU threads; all cores where not given", minimum=1, maximum=1024)
    budget: float | None = knob(None, "seconds to train, or as 15m", above=0.0, duration=True)
    epochs: int | None = knob(None, "passes over the corpus", minimum=1)
    steps: int | None = knob(None, "updates of the weights", minimum=1)
    batch_tokens: int | None = knob(
        None,
        "source and target tokens in a batch with padding; a hundredth of the corpus, 400 to 1,000, where not given",
        minimum=16,
    )
    corpus_weights: str = knob(
        "", "how often a pass goes through each corpus, as 2,0.5, in the order of their names; --weight writes it"
    )
    bptt_turns: int = knob(
        2, "turns of a dialogue that a gradient goes back through, for a model with a mind", minimum=1, maximum=32
    )
    precision: str = knob(
        "auto",
        "number format of the products: with auto bf16 where a GPU has it by itself, float32 elsewhere; bf16 on a CPU"
        " works only where torch has recurrent layers in it, else it is refused; float64 is to compare runs",
        choices=("auto", "float32", "bf16", "float64"),
    )
    optimizer: str = knob(
        "adam", "how gradients change weights", choices=("adam", "adamw", "sgd", "adagrad", "adadelta")
    )
    learning_rate: float = knob(
        3e-3, "highest learning rate; with the schedule noam a factor, 1 where not given", above=0.0
    )
    schedule: str = knob(
        "cosine",
        "course of the learning rate after the warm-up: half a cosine down to final_rate, constant, halved at even"
        " distances, noam or inverse-sqrt (fall with the root of the step), or plateau (falls when validation stalls)",
        choices=("cosine", "constant", "halving", "noam", "inverse-sqrt", "plateau"),
    )
    warmup_steps: int = knob(100, "updates over which the learning rate rises from 0", minimum=0)
    final_rate: float = knob(
        0.05, "schedule cosine: learning rate at the end, as a share of the highest", minimum=0.0, maximum=1.0
    )
    halving_start: float = knob(
        0.5, "schedule halving: share of the run after which the rate is halved first", minimum=0.0, maximum=1.0
    )
    halvings: int = knob(5, "schedule halving: how often the rate is halved", minimum=1, maximum=100)
    plateau_patience: int = knob(
        1, "schedule plateau: validations without a better one, since it or a fall, until the rate falls", minimum=1
    )
    plateau_factor: float = knob(
        0.5, "schedule plateau: what the rate is multiplied with when it falls", above=0.0, maximum=1.0
    )
    average: str = knob("tokens", "what the loss of an update is divided by", choices=("tokens", "exchanges"))
    weight_decay: float = knob(0.0, "weight decay; decoupled with adamw, part of the gradient elsewhere", minimum=0.0)
    clip: float = knob(1.0, "gradients are scaled down to this norm", above=0.0)
    label_smoothing: float = knob(0.0, "probability spread over the whole vocabulary", minimum=0.0, maximum=0.5)
    sampled_softmax: int = knob(
        0,
        "tokens drawn for each update that stand for the rest of the vocabulary (Jean et al. 2015); 0 takes all of it",
        minimum=0,
    )
    logits_mb: int | None = knob(
        None, "megabytes of logits in memory at a time; 48 on a CPU and 512 on a GPU where not given", minimum=1
    )
    word_dropout: float = knob(
        0.0,
        "share of tokens, of the source and before the predicted one, that are replaced by UNK",
        minimum=0.0,
        maximum=0.9,
    )
    subword_sampling: float = knob(
        0.0, "tokenizer sentencepiece: share of sentences that are cut into pieces at random", minimum=0.0, maximum=1.0
    )
    scheduled_sampling: float = knob(
        0.0,
        "share of the previous tokens that are the model's own, rising from 0 to it over the run; slow, as training"
        " goes step by step",
        minimum=0.0,
        maximum=1.0,
    )
    ema: float = knob(
        0.0,
        "decay of an exponential moving average of the weights, as 0.999, that is validated and kept; 0 for none",
        minimum=0.0,
        maximum=0.99999,
    )
    validations: int = knob(10, "validations in a run", minimum=1)
    metric: str = knob(
        "perplexity", "what the best weights are chosen by: perplexity, or a metric of a plugin, as bleu"
    )
    early_stopping: int = knob(0, "validations without a better one after which the run ends; 0 for never", minimum=0)
    checkpoint_every: float = knob(120.0, "seconds between checkpoints", above=0.0, duration=True)
    keep_checkpoints: int = knob(2, "checkpoints to keep", minimum=1)
    keep_best: int = knob(1, "best weights to keep, for select=average and for looking back", minimum=1, maximum=100)
    select: str = knob(
        "best",
        "weights the bot gets: best on validation, last, or the average of the keep_best best ones",
        choices=("best", "last", "average"),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DecodeSettings:
    """How a reply is searched for: the table `decode`."""

    method: str = knob("greedy", "search method", choices=("greedy", "sample", "beam"))
    beam_size: int = knob(5, "hypotheses kept by beam search", minimum=1, maximum=100)
    length_penalty: float = knob(
        1.0, "beam search divides log-probability by length to this power", minimum=0.0, maximum=10.0
    )
    temperature: float = knob(
        0.7, "sampling: below 1 keeps to likely tokens, above 1 is wilder", minimum=0.01, maximum=100.0
    )
    top_k: int = knob(0, "sampling: only among the k likeliest tokens; 0 is all", minimum=0)
    top_p: float = knob(
        0.9, "sampling: only among the likeliest tokens of this summed probability", above=0.0, maximum=1.0
    )
    max_length: int = knob(40, "tokens in a reply at most", minimum=1, maximum=1024)
    min_length: int = knob(1, "tokens in a reply at least", minimum=0)
    no_repeat_ngram: int = knob(3, "no sequence of so many tokens occurs twice in a reply; 0 allows all", minimum=0)
    seed: int | None = knob(
        None, "number that fixes sampling; fresh for each reply where not given", minimum=0, maximum=2**31 - 1
    )


SIZES: Mapping[str, Tables] = {
    "small": {},
    "medium": {"train": {"batch_tokens": 2_000, "learning_rate": 2e-3, "warmup_steps": 400}},
    "large": {"train": {"batch_tokens": 4_000, "learning_rate": 1e-3, "warmup_steps": 1_000}},
}
"""What `--size` puts into the tables `data` and `train`; a model plugin says what it puts into `model`."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the known word nearest to `name`, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if known else ""


def build(kind: type[Settings], values: Mapping[str, Any], table: str) -> Settings:
    """Make the settings dataclass `kind` of `values`, every one checked.

    Raises:
        SettingsError: for an unknown key (names the nearest known one), a wrong type, or a value out of its limits.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    checked = {}
    for key, value in values.items():
        if key not in fields:
            raise SettingsError(f"unknown key {table}.{key}", nearest(key, fields))
        if fields[key].metadata.get("duration") and isinstance(value, str):
            value = parse_duration(value)
        coerced = _coerce(value, hints[key], f"{table}.{key}")
        _check_limits(coerced, fields[key].metadata, f"{table}.{key}")
        checked[key] = coerced
    for name, field in fields.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and name not in checked:
            raise SettingsError(f"{table}.{name} has no default", f"give it, as with --set {table}.{name}=...")
    return kind(**checked)


def _coerce(value: Any, hint: Any, name: str) -> Any:
    """Return `value` as the annotated type `hint`, where that loses nothing."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        for option in typing.get_args(hint):
            try:
                return _coerce(value, option, name)
            except SettingsError:
                continue
    elif origin is Literal:
        if value in typing.get_args(hint):
            return value
    elif origin is tuple:
        items = typing.get_args(hint)
        if isinstance(value, list | tuple) and len(value) == len(items):
            return tuple(_coerce(item, kind, name) for item, kind in zip(value, items, strict=True))
    elif hint is type(None):
        if value is None:
            return None
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
            return float(value)
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise SettingsError(f"{name} cannot be {value!r}", f"it takes {_type_name(hint)}")


def _type_name(hint: Any) -> str:
    args = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return " or ".join(repr(arg) for arg in args)
    if typing.get_origin(hint) is tuple:
        return f"a list of {len(args)}"
    if args:
        return " or ".join(_type_name(arg) for arg in args if arg is not type(None))
    words = {
        int: "a whole number",
        float: "a number",
        str: "a word",
        bool: "true or false",
        type(None): "nothing",
    }
    return words.get(hint, str(hint))


def _check_limits(value: Any, limits: Mapping[str, Any], name: str) -> None:
    if value is None:
        return
    choices = limits.get("choices")
    if choices is not None and value not in choices:
        raise SettingsError(f"{name} cannot be {value!r}", nearest(str(value), choices))
    for number in value if isinstance(value, tuple) else (value,):
        minimum, maximum, above = limits.get("minimum"), limits.get("maximum"), limits.get("above")
        if minimum is not None and not number >= minimum:
            raise SettingsError(f"{name} cannot be {number}", f"it must be at least {minimum}")
        if maximum is not None and not number <= maximum:
            raise SettingsError(f"{name} cannot be {number}", f"it must be at most {maximum}")
        if above is not None and not number > above:
            raise SettingsError(f"{name} cannot be {number}", f"it must be above {above}")


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """Read `90s`, `15m`, `1h30m` or a bare number of seconds, as seconds.

    Raises:
        SettingsError: where it is none of these, or not above zero.
    """
    compact = text.replace(" ", "").lower()
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        seconds = float(compact)
    elif re.fullmatch(r"(\d+(\.\d+)?[smhd])+", compact):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([smhd])", compact))
    else:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise SettingsError(f"cannot read the time {text!r}", "write it as 90s, 15m, 2h or 1h30m")
    return seconds


def home() -> Path:
    """Return the folder of all state: `$S2SBOT_HOME`, or the platform's own place for user data."""
    chosen = os.environ.get("S2SBOT_HOME")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("s2sbot", appauthor=False))
