"""What a finished run was goes into the bot's `card.json`, and comes out of it checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .bot_files import parse_json, read_regular
from .errors import BotError, NewerFormatError, shell_command
from .files import write_json

__all__ = ["RECORD", "Record", "read_record"]

RECORD: Final = "card.json"
FORMAT: Final = 1
LARGEST: Final = 4 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """All that is needed to repeat a run, and to compare it with another one.

    asked     what was asked for: corpora, valid (paths as they were given), languages, start (the bot it began from)
              and start_weights (the name of that bot's weights, which holds a hash)
    command   the command line that was meant
    settings  the tables model (with `name`), data, train and decode, whole but for what is None
    learnt    kind, languages, corpora with their SHA-256, exchanges, tokens; `data` is a SHA-256 of all token ids
    model     parameters, and the vocabularies' sizes
    plan      for a run by a budget: its steps, and where and from how many steps they were changed; else None
    run       step, epoch, seconds, tokens, tokens_per_second, skipped, cuts, parts, changed_length, notices
    metric    what the best weights were chosen by
    best, last  figures of the best and of the last validation, by name, with step and epoch
    validations  all of them
    machine   cpu, capability, cores, threads, processes, device, gpu, system, python, memory and gpu_memory in bytes
    versions  of s2sbot, torch and the plugins that made the bot
    """

    asked: Mapping[str, Any]
    command: str
    settings: Mapping[str, Mapping[str, Any]]
    learnt: Mapping[str, Any]
    model: Mapping[str, Any]
    plan: Mapping[str, Any] | None
    run: Mapping[str, Any]
    metric: str
    best: Mapping[str, Any]
    last: Mapping[str, Any]
    validations: tuple[Mapping[str, Any], ...]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    weights: str = ""
    format: int = field(default=FORMAT)

    def write(self, bot: Path) -> None:
        """Write it into a bot's folder."""
        write_json(bot / RECORD, dataclasses.asdict(self))


def read_record(bot: Path) -> Record:
    """Read what a bot's run was.

    Raises:
        NewerFormatError: where a newer s2sbot wrote it.
        BotError: where there is none, as the run has not come to its end, or it is damaged.
    """
    path = bot / RECORD
    try:
        data = parse_json(read_regular(path, LARGEST))
        if not isinstance(data, dict) or type(data.get("format")) is not int:
            raise ValueError("it has no format number")
        if data["format"] > FORMAT:
            raise NewerFormatError(f"{path} has format {data['format']}, this s2sbot knows {FORMAT}", "upgrade s2sbot")
        return _checked(data)
    except (FileNotFoundError, NotADirectoryError) as error:
        if not (bot / "bot.json").exists() and not (bot / "training").is_dir():
            raise BotError(f"{bot} is no bot", "make one with `s2sbot train CORPUS --bot DIR`") from error
        raise BotError(
            f"there is no {path}: the run has not come to its end",
            f"go on with it: {shell_command('s2sbot', 'train', '--bot', bot, '--resume')}",
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        cause = " ".join(str(error).split())[:300]
        raise BotError(f"{path} is damaged: {cause}", "copy the whole bot folder again, or train it again") from error


def _checked(data: dict[str, Any]) -> Record:
    kinds: dict[str, type | tuple[type, ...]] = {
        "asked": dict, "command": str, "settings": dict, "learnt": dict, "model": dict, "plan": (dict, type(None)),
        "run": dict, "metric": str, "best": dict, "last": dict, "validations": list, "machine": dict, "versions": dict,
        "weights": str, "format": int,
    }  # fmt: skip
    for key in {*kinds, *data}:
        if key not in kinds or not isinstance(data.get(key), kinds[key]):
            raise ValueError(f"{key!r} is missing, unknown or of the wrong type")
    for key in ("model", "data", "train", "decode"):
        if not isinstance(data["settings"].get(key), dict):
            raise ValueError(f"the settings have no table {key!r}")
    asked = data["asked"]
    lists = [asked[name] for name in ("corpora", "valid", "languages")]
    if not all(isinstance(each, list) and all(isinstance(word, str) for word in each) for each in lists):
        raise ValueError("corpora, valid and languages must be lists of texts")
    begun = (asked["start"], asked["start_weights"])
    if not all(isinstance(each, str | None) for each in begun) or not isinstance(
        data["settings"]["model"].get("name"), str
    ):
        raise ValueError("what was asked for is of the wrong type")
    if len(asked["languages"]) not in (0, 1, 2):
        raise ValueError(f"{len(asked['languages'])} languages")
    learnt = data["learnt"]
    named = [each.get(key) for each in learnt["corpora"] if isinstance(each, dict) for key in ("name", "sha256")]
    if len(named) != 2 * len(learnt["corpora"]) or not all(isinstance(each, str) for each in named):
        raise ValueError("a corpus has no name or no SHA-256")
    if not isinstance(learnt["data"], str):
        raise ValueError("what was learnt has no SHA-256")
    if type(data["best"].get(data["metric"])) not in (int, float):
        raise ValueError(f"the best weights have no {data['metric']!r}")
    if data["plan"] is not None:
        _check_plan(data["plan"])
    return Record(**{**data, "validations": tuple(data["validations"])})


def _check_plan(plan: Mapping[str, Any]) -> None:
    changed = plan["changed"]
    numbers = [plan["steps"], *([] if changed is None else changed)]
    if not all(type(number) is int and number > 0 for number in numbers) or len(numbers) not in (1, 3):
        raise ValueError("its plan is none")
