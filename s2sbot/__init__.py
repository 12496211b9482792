"""s2sbot: sequence-to-sequence chatbots and translators from subtitles and parallel text.

Importing this imports no torch; `load` and `training` do when they are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import (
    BotError,
    CorpusError,
    DeviceError,
    DiskError,
    DivergedError,
    LayerError,
    NewerFormatError,
    NewerStoreError,
    PluginError,
    S2SBotError,
    SettingsError,
    StoreError,
    TokenizerError,
    TrainingError,
)
from .hookspecs import hookimpl
from .progress import Progress, Sample
from .settings import knob
from .text import (
    BOS,
    EOS,
    MARKS,
    PAD,
    RESERVED,
    SEP,
    UNK,
    Cue,
    Dialogue,
    Exchange,
    Item,
    Lost,
    Origin,
    PairReader,
    Reader,
    SamplingTokenizer,
    SubtitleReader,
    Tokenizer,
    Turn,
    clean_line,
    decode_text,
    default_vocab_size,
    first_character,
    json_elements,
    read_whole,
    split_speakers,
    strip_markup,
    text_lines,
)
from .text.metric import Metric

if TYPE_CHECKING:
    from .engine import Bot
    from .trainer import Training

__all__ = [
    "BOS",
    "EOS",
    "MARKS",
    "PAD",
    "RESERVED",
    "SEP",
    "UNK",
    "BotError",
    "CorpusError",
    "Cue",
    "DeviceError",
    "Dialogue",
    "DiskError",
    "DivergedError",
    "Exchange",
    "Item",
    "LayerError",
    "Lost",
    "Metric",
    "NewerFormatError",
    "NewerStoreError",
    "Origin",
    "PairReader",
    "PluginError",
    "Progress",
    "Reader",
    "S2SBotError",
    "Sample",
    "SamplingTokenizer",
    "SettingsError",
    "StoreError",
    "SubtitleReader",
    "Tokenizer",
    "TokenizerError",
    "TrainingError",
    "Turn",
    "__version__",
    "clean_line",
    "decode_text",
    "default_vocab_size",
    "first_character",
    "hookimpl",
    "json_elements",
    "knob",
    "load",
    "read_whole",
    "split_speakers",
    "strip_markup",
    "text_lines",
    "training",
]

__version__ = "0.1.0"


def load(path: str | Path, *, device: str = "auto") -> Bot:
    """Open a bot folder to talk to it.

    Args:
        device: `auto`, `cpu` or `cuda`.

    Raises:
        BotError: where the folder is no bot, or is damaged.
        DeviceError: where the device is not there.
    """
    from .engine import Bot

    return Bot.load(Path(path), device=device)


def training(
    *corpora: str | Path,
    bot: str | Path,
    model: str | None = None,
    preset: str | None = None,
    size: str | None = None,
    valid: Sequence[str | Path] = (),
    languages: tuple[str, str] | None = None,
    settings: dict[str, dict[str, Any]] | None = None,
    resume: bool = False,
    start: str | Path | None = None,
    weights: Sequence[float] = (),
) -> Training:
    """Describe a training run, to be entered and then walked through.

        with s2sbot.training("friends/", bot="friends.bot", settings={"train": {"budget": 900}}) as run:
            for progress in run:
                print(progress.step, progress.loss)

    Nothing is read or written before the `with` is entered; leaving it saves. Where no model is named it is the
    preset's, or else `attention`; `settings` has the tables data, model, train and decode. With `resume` the run in
    `bot` goes on from its last checkpoint; with `start` a new one begins with the model, weights and tokenizer of that
    bot. `weights` say how often a pass goes through each corpus, in their order. A budget counts from entering.

    Raises:
        S2SBotError: on entering, for anything a user can mend.
    """
    from .trainer import Training

    return Training(
        tuple(Path(corpus) for corpus in corpora),
        Path(bot),
        model=model,
        preset=preset,
        size=size,
        valid=tuple(Path(corpus) for corpus in valid),
        languages=languages,
        settings=settings or {},
        resume=resume,
        start=None if start is None else Path(start),
        weights=weights,
    )
