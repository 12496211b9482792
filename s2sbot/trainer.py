"""Prepared exchanges go in, a bot folder comes out, and every event on the way is told."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import filelock
import torch

from .bot import load_tokenizers, save_tokenizers
from .errors import SettingsError, TrainingError
from .files import full_disk_explained, write_atomically
from .loop import Loop
from .nn.device import choose_device
from .nn.encoder_decoder import check_tables
from .plugins import Plugins
from .preparation import Prepared, adopt, is_prepared, open_prepared, prepare, prepared_corpus, with_vectors
from .progress import Progress
from .run_settings import RunSettings, kind_of, model_of, resolve_settings
from .settings import LENGTHS, DataSettings, Tables, TrainSettings, build, merge_tables
from .text.corpus import open_corpus
from .text.tokenizer import RESERVED
from .text.vectors import vector_size

__all__ = ["Training"]


class Training:
    """One training run: enter it, then walk through its events; see `s2sbot.training`.

    Leaving it, by whatever way, saves a checkpoint; `stop` asks it to end after the step that is under way.
    """

    def __init__(
        self,
        corpora: Sequence[Path],
        bot: Path,
        *,
        model: str | None = None,
        preset: str | None = None,
        size: str | None = None,
        valid: Sequence[Path] = (),
        languages: tuple[str, str] | None = None,
        settings: Tables | None = None,
        resume: bool = False,
        plugins: Plugins | None = None,
    ) -> None:
        self.bot = bot
        self._paths, self._valid_paths = tuple(corpora), tuple(valid)
        self._model_name, self._preset, self._size = model, preset, size
        self._languages = languages or (None, None)
        self._given = settings or {}
        self._resume = resume
        self._plugins = plugins or Plugins()
        self._leaving = ExitStack()
        self._loop: Loop | None = None

    @property
    def folder(self) -> Path:
        """Return the folder of all that a finished bot can do without."""
        return self.bot / "training"

    @property
    def learning(self) -> bool:
        """Return whether there is anything yet that stopping could save."""
        return self._loop is not None

    @property
    def kind(self) -> str:
        """Return what the run makes, `chat` or `translate`; known once it is learning."""
        return str(self._loop.prepared.facts["kind"]) if self._loop else ""

    def stop(self) -> None:
        """Ask the run to end after the step that is under way; safe to call from a signal handler.

        Before there is anything to save (see `learning`) it does nothing.
        """
        if self._loop is not None:
            self._loop.stopping = True

    def __enter__(self) -> Self:
        if self._resume:
            self._check_resumable()
        else:
            self._check_new()
        self._device = choose_device(self.settings.train.device)
        if self.settings.train.threads:
            torch.set_num_threads(self.settings.train.threads)
        self._made = not self.bot.exists()
        with full_disk_explained(self.bot):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._lock()
        return self

    def _check_new(self) -> None:
        if not self._paths:
            raise SettingsError("no corpus given", "name a subtitle file, a folder or zip of them, or a corpus folder")
        self._refuse_existing()
        source, target = self._languages
        prepared = [path for path in (*self._paths, *self._valid_paths) if is_prepared(path)]
        if prepared and (len(self._paths) > 1 or self._valid_paths):
            raise SettingsError(f"{prepared[0]} is prepared already", "give it alone, or prepare all corpora together")
        self._prepared = prepared[0] if prepared else None
        if self._prepared is not None:
            self._corpora, self._valid = [prepared_corpus(self._prepared)], []
            self._refuse_other_languages(self._corpora[0].languages)
        else:
            self._corpora = [open_corpus(path, source=source, target=target) for path in self._paths]
            self._valid = [open_corpus(path, source=source, target=target) for path in self._valid_paths]
        kind_of([*self._corpora, *self._valid])
        model = self._model_name or model_of(self._preset, self._plugins)
        self.settings = resolve_settings(self._corpora, model, self._preset, self._size, self._given, self._plugins)
        if self._prepared is not None:
            self._refuse_other_data(self._corpora[0].settings["data"])
        if self.settings.data.vectors:
            self._check_vectors(Path(self.settings.data.vectors))

    def _refuse_other_languages(self, prepared: tuple[str, ...]) -> None:
        if any(self._languages) and prepared != self._languages:
            was = f"from {prepared[0]} to {prepared[1]}" if len(prepared) == 2 else "as a chat"
            raise SettingsError(
                f"{self._prepared} was prepared with another --source and --target: {was}",
                "leave them out, or prepare the corpus again",
            )

    def _refuse_other_data(self, prepared: Mapping[str, Any]) -> None:
        """Raise where something is asked for that is settled by how a corpus was prepared."""
        was = build(DataSettings, prepared, "data")
        now = dataclasses.replace(self.settings.data, vectors=was.vectors)
        others = [
            field.name for field in dataclasses.fields(was) if getattr(now, field.name) != getattr(was, field.name)
        ]
        if others:
            raise SettingsError(
                f"{self._prepared} was prepared with another data.{', data.'.join(others)}",
                "leave it out, or prepare the corpus again",
            )

    def _check_vectors(self, path: Path) -> None:
        """Look at the size of the word vectors before the corpus is read, which may take long."""
        size = vector_size(path)
        with torch.device("meta"):
            model = self._plugins.model(self.settings.model)(self.settings.config, 2 * RESERVED, 2 * RESERVED)
        check_tables(model, (size, size))

    def _refuse_existing(self) -> None:
        """Raise where the folder holds more than a preparation that a crash cut short."""
        if not self.bot.exists():
            return
        if (self.folder / "settings.toml").is_file():
            raise TrainingError(
                f"{self.bot} is there already",
                f"go on with `s2sbot train --bot {self.bot} --resume`, or give another --bot",
            )
        if not self.bot.is_dir() or {path.name for path in self.bot.iterdir()} - {"training", "tokenizer"}:
            raise TrainingError(f"{self.bot} is there already", "give another --bot")

    def _check_resumable(self) -> None:
        file = self.folder / "settings.toml"
        if not file.is_file():
            raise TrainingError(f"there is no run to resume in {self.bot}", "start one: leave --resume out")
        before = RunSettings.from_file(file, self._plugins)
        allowed = {"budget", "epochs", "steps", "device", "threads"}
        changes = {key: value for key, value in self._given.get("train", {}).items() if key in allowed}
        others = []
        for table, values in merge_tables(self._given).items():
            old = before.config if table == "model" else getattr(before, table)
            new = build(type(old), {**dataclasses.asdict(old), **values}, table)
            others += [
                f"{table}.{key}"
                for key in values
                if not (table == "train" and key in allowed) and getattr(new, key) != getattr(old, key)
            ]
        named = {
            "CORPUS": self._paths,
            "--valid": self._valid_paths,
            "--preset": self._preset,
            "--size": self._size,
            "--source and --target": self._languages[0],
            "--model": self._model_name not in (None, before.model),
        }
        others = [name for name, given in named.items() if given] + others
        if others:
            raise SettingsError(
                f"a resumed run keeps its settings; {', '.join(others)} cannot change",
                "only its length, --device and train.threads can; train a new bot for the rest",
            )
        lengths = [name for name in LENGTHS if changes.get(name) is not None]
        if len(lengths) > 1:
            raise SettingsError(f"{' and '.join(lengths)} contradict each other", "give one of them")
        cleared = dict.fromkeys(LENGTHS) if lengths else {}
        self.settings = dataclasses.replace(
            before, train=build(TrainSettings, {**dataclasses.asdict(before.train), **cleared, **changes}, "train")
        )

    def __iter__(self) -> Iterator[Progress]:
        """Yield every event; plugins hear each before the caller does."""
        for progress in self._events():
            self._plugins.tell(self.bot, progress)
            yield progress

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._loop is not None and not self._loop.saved:
                self._loop.save_checkpoint()
        finally:
            self._leaving.close()
            if not (self.folder / "settings.toml").is_file():
                self._remove_unfinished()

    def _remove_unfinished(self) -> None:
        """Leave nothing of a preparation that did not come to its end."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.bot / "tokenizer", ignore_errors=True)
        if self._made:
            shutil.rmtree(self.bot, ignore_errors=True)

    def _events(self) -> Iterator[Progress]:
        prepared: Prepared | None = None
        if self._resume:
            yield Progress(kind="prepare", message=f"resuming {self.bot}")
            tokenizers = load_tokenizers(
                self.bot, self.settings.data.tokenizer, self._plugins, shared=self.settings.data.share_tokenizer
            )
            prepared = Prepared.load(self.folder / "data", tokenizers)
        else:
            for stage in self._prepare():
                if isinstance(stage, Prepared):
                    prepared = stage
                else:
                    yield stage
        assert prepared is not None
        loop = Loop(self.bot, self.settings, prepared, self._plugins, self._device)
        if not self._resume:
            self._write_new()
        self._loop = loop
        if self._resume:
            yield from self._loop.restore()
        yield from self._loop.events()

    def _prepare(self) -> Iterator[Progress | Prepared]:
        """Prepare the corpora, or take what has been prepared; yield what happens, at last a `Prepared`."""
        data, folder = self.settings.data, self.folder / "data"
        if self._prepared is not None:
            yield Progress(kind="prepare", message=f"taking what has been prepared in {self._prepared}")
            prepared = open_prepared(self._prepared, data, self._plugins)
            save_tokenizers(self.bot, *prepared.tokenizers)
        else:
            stages = prepare(self._corpora, self._valid, data, self._plugins, out=folder, tokenizer_folder=self.bot)
            for stage in stages:
                if isinstance(stage, Prepared):
                    prepared = stage
                else:
                    yield stage
        with full_disk_explained(self.bot):
            prepared = adopt(prepared, folder)
        if data.vectors:
            prepared = yield from with_vectors(prepared, Path(data.vectors))
        yield prepared

    def _write_new(self) -> None:
        """Write all that a run can be resumed from; `settings.toml` comes last and says that all of it is there."""
        with full_disk_explained(self.bot):
            write_atomically(self.folder / "settings.toml", self.settings.to_toml().encode())

    def _lock(self) -> None:
        lock = filelock.FileLock(self.folder / "lock", timeout=0)
        try:
            self._leaving.enter_context(lock)
        except filelock.Timeout as error:
            raise TrainingError(f"another run is training {self.bot}", "wait for it, or stop it") from error
        if not self._resume:
            # a run that ended between the first look and the lock has made it a bot
            self._refuse_existing()
