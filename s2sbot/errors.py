"""Every error a user can cause, each with a message and a hint; anything else that is raised is a fault of ours.

S2SBotError                 exit code 1
├── SettingsError           an unknown knob, a value out of range, options that contradict each other
├── CorpusError             nothing to read, a missing language side, uneven pair files
├── LayerError              sizes, shapes or weights that do not fit a layer; a ValueError too
├── TokenizerError          a vocabulary that the corpus cannot support, a damaged tokenizer
├── PluginError             something asked for that no plugin offers, or whose plugin is broken
├── BotError                a folder that is no bot, or a damaged one
│   └── NewerFormatError    written by a newer s2sbot; exit code 3
├── TrainingError           a run that cannot start, go on or be resumed
│   └── DivergedError       its losses are not finite, at half the rate neither; exit code 4
├── DiskError               a disk that is full, or a place that cannot be written; exit code 74
├── StoreError              the conversation store cannot be opened, or does not have what was asked for
│   └── NewerStoreError     its schema is newer than this program; exit code 3
└── DeviceError             a device asked for that is not there
"""

from __future__ import annotations

import shlex
from pathlib import Path

__all__ = [
    "BotError",
    "CorpusError",
    "DeviceError",
    "DiskError",
    "DivergedError",
    "LayerError",
    "NewerFormatError",
    "NewerStoreError",
    "PluginError",
    "S2SBotError",
    "SettingsError",
    "StoreError",
    "TokenizerError",
    "TrainingError",
    "shell_command",
]


class S2SBotError(Exception):
    """Something the user can mend: `message` says what is wrong, `hint` what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class SettingsError(S2SBotError):
    """A knob that does not exist, a value that it cannot take, or options that contradict each other."""


class CorpusError(S2SBotError):
    """A corpus that holds nothing to learn from, or whose sides do not fit each other."""


class LayerError(S2SBotError, ValueError):
    """Sizes that make no layer, or tensors or weights that do not fit one; a `ValueError`, as torch users expect."""


class TokenizerError(S2SBotError):
    """A vocabulary that the corpus cannot support, or a tokenizer folder that cannot be read."""


class PluginError(S2SBotError):
    """Something that no plugin offers, that two plugins offer, or whose plugin is broken."""


class BotError(S2SBotError):
    """A folder that is no bot, or one that is damaged."""


class NewerFormatError(BotError):
    """A bot written by a newer s2sbot than this one."""

    exit_code = 3


class TrainingError(S2SBotError):
    """A training run that cannot start, cannot go on, or cannot be resumed."""


class DivergedError(TrainingError):
    """A training run whose losses are not finite, at half the learning rate neither."""

    exit_code = 4


class DiskError(S2SBotError):
    """A disk that is full, or a place that cannot be written; what was there before is untouched."""

    exit_code = 74


class StoreError(S2SBotError):
    """A conversation store that cannot be opened, or that does not hold what was asked for."""


class NewerStoreError(StoreError):
    """A conversation store whose schema is newer than this s2sbot."""

    exit_code = 3


class DeviceError(S2SBotError):
    """A device that was asked for and is not there."""


def shell_command(*words: str | Path) -> str:
    """Return a command as hints and cards name it, so quoted that a shell takes each of its words as it is.

    A path that begins with a dash, which a command would take for an option, gets its folder before it.
    """
    return shlex.join(
        f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word) for word in words
    )
