"""Prepared exchanges go in, a bot folder comes out, and every event on the way is told."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import filelock

from ..bot import load_tokenizers, save_tokenizers
from ..errors import SettingsError, TrainingError, shell_command
from ..files import full_disk_explained, kill_point, write_atomically
from ..plugins import Plugins
from ..preparation import Prepared, adopt, is_prepared, open_prepared, prepare, prepared_corpus, with_vectors
from ..progress import Progress
from ..run_settings import kind_of, model_of, resolve_settings
from ..settings import Tables
from ..tables import merge_tables
from ..text.corpus import open_corpus
from .course import model_width
from .loop import Loop
from .processes import Processes
from .recording import asked_of
from .resuming import Sitting, refuse_lost, remove_unfinished, settings_again, sit_down, start_again
from .saving import save_left
from .sizing import choose_size
from .starting import Start, check_vectors, corpus_weights, refuse_other_data, refuse_other_languages
from .subwords import check_sampling
from .validation import best_is_highest

__all__ = ["Training"]


class Training:
    """One training run: enter it, then walk through its events; see `s2sbot.training`.

    Leaving it, by whatever way, saves a checkpoint, but not of half a step, nor of numbers that are not finite: `saved`
    tells, and an exception has a note that says what is safe. `stop` asks it to end after the step under way.
    """

    _typed: tuple[str | Path, ...] = ()  # the words of a command that is not `s2sbot train`

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
        began: float | None = None,
        start: Path | None = None,
        weights: Sequence[float] = (),
        plugins: Plugins | None = None,
    ) -> None:
        self.bot = bot
        self._paths, self._valid_paths = tuple(corpora), tuple(valid)
        self._model_name, self._preset, self._size = model, preset, size
        self._languages = languages or (None, None)
        self._given = settings or {}
        self._resume, self._began = resume, began
        self._start_path, self._weights = start, tuple(weights)
        self._start: Start | None = None
        self._plugins = plugins or Plugins()
        self._processes = Processes()
        self._leaving = ExitStack()
        self._begun = False
        self._loop: Loop | None = None
        self._walk: Iterator[Progress] = iter(())
        self._ready: Loop | None = None

    @property
    def folder(self) -> Path:
        """Return the folder of all that a finished bot can do without."""
        return self.bot / "training"

    @property
    def learning(self) -> bool:
        """Return whether there is anything yet that stopping could save."""
        return self._loop is not None

    @property
    def stopping(self) -> bool:
        """Return whether it has been asked to end."""
        return self._loop is not None and self._loop.stopping

    @property
    def saved(self) -> bool:
        """Return whether all that has been learnt is in a checkpoint."""
        return self._loop is None or self._loop.saved

    @property
    def safe(self) -> str:
        """Return in words what is on the disk: the last checkpoint, and the bot."""
        return self._loop.safe() if self._loop else "nothing yet"

    @property
    def first(self) -> bool:
        """Return whether this process speaks for the run, where torchrun has started several."""
        return self._processes.first

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
        if self._began is None:
            self._began = time.monotonic()
        self._processes = Processes.join()
        with self._processes.one_voice():
            if self._processes.first:
                try:
                    self._enter_first()
                except BaseException:
                    self._leaving.close()
                    raise
        return self

    def _enter_first(self) -> None:
        """Check what was asked for, and take the bot's folder, which is for one process to do."""
        self._again = not self._resume and self._processes.began(self.folder / "launch")
        if self._again:
            self._resume = True
            self.settings = settings_again(self, changed=False)
        elif self._resume:
            self.settings = settings_again(self)
        else:
            self._check_new()
        self._device = self._processes.place(self.settings.train)
        made = [path for path in (self.bot / "tokenizer", self.folder, self.bot) if not path.exists()]
        with full_disk_explained(self.bot):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._lock(made)

    def _meet(self) -> None:
        """Wait until the first process has prepared everything, and learn from it what to do."""
        words = self._processes.ready({"again": self._again, "resume": self._resume} if self._processes.first else {})
        if not self._processes.first:
            self._resume = words["resume"]
            self.settings = settings_again(self, changed=self._resume and not words["again"])
            self._device = self._processes.place(self.settings.train)
        self._processes.connect(self._device)

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
            refuse_other_languages(self._prepared, self._corpora[0].languages, self._languages)
        else:
            self._corpora = [open_corpus(path, source=source, target=target) for path in self._paths]
            self._valid = [open_corpus(path, source=source, target=target) for path in self._valid_paths]
        kind_of([*self._corpora, *self._valid])
        model = self._model_name or model_of(self._preset, self._plugins)
        if self._start_path is not None:
            self._start = Start.read(self._start_path, self._plugins)
            self._start.refuse(self._given, model=self._model_name, preset=self._preset, size=self._size)
            self._start.refuse_other_languages([*self._corpora, *self._valid])
            if self._prepared is not None:
                self._start.refuse_other_tokenizer(self._prepared)
            model = self._start.description.model
        if self._weights:
            asked = corpus_weights(self._corpora, self._weights)
            self._given = merge_tables(self._given, {"train": {"corpus_weights": asked}})
        self.settings = resolve_settings(
            self._corpora,
            model,
            self._preset,
            self._size,
            self._given,
            self._plugins,
            start=self._start.tables if self._start else None,
        )
        train, data = self.settings.train, self.settings.data
        model_width(self.settings)
        check_sampling(train, self._plugins.tokenizer(data.tokenizer), data.tokenizer)
        best_is_highest(train.metric, self._plugins)  # an unknown one is refused before anything is read
        if self._start:
            self._start.refuse_other_shapes(self.settings.config, self._given)
        if self._prepared is not None:
            refuse_other_data(self._prepared, self._corpora[0].settings["data"], self.settings.data)
        if self.settings.data.vectors:
            check_vectors(self.settings, self._plugins)

    def _refuse_existing(self) -> None:
        """Raise where the folder holds more than a preparation that a crash cut short."""
        if not self.bot.exists():
            return
        if (self.folder / "settings.toml").is_file():
            go_on = shell_command("s2sbot", "train", "--bot", self.bot, "--resume")
            raise TrainingError(f"{self.bot} is there already", f"go on with `{go_on}`, or give another --bot")
        if not self.bot.is_dir() or {path.name for path in self.bot.iterdir()} - {"training", "tokenizer"}:
            raise TrainingError(f"{self.bot} is there already", "give another --bot")
        if (self.folder / "checkpoints").exists():
            raise TrainingError(
                f"{self.bot} is there already, with checkpoints and without training/settings.toml",
                "put that file back and go on with --resume, or give another --bot",
            )

    def __iter__(self) -> Iterator[Progress]:
        """Yield every event; plugins hear each before the caller does."""
        self._walk = self._events()
        for progress in self._told():
            if self._processes.first or progress.kind == "end":
                yield progress

    def _told(self) -> Iterator[Progress]:
        """Tell plugins what is still to happen, and yield it."""
        for progress in self._walk:
            for told in (progress, *self._left_alone(progress)):
                if self._processes.first:
                    self._plugins.tell(self.bot, told)
                yield told

    def _left_alone(self, last: Progress) -> Iterator[Progress]:
        """Stop where torchrun has ended, as nobody else would end this process, and tell so, after what was last."""
        if self._loop is None or self._loop.stopping or last.kind == "end" or not self._processes.abandoned:
            return
        self.stop()
        yield replace(last, kind="notice", message="torchrun has ended, so the run stops too", transient=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._processes.first and self._loop is not None:
                alone = self._processes.world == 1
                save_left(self._loop, self._told() if alone else iter(()), kind)
        finally:
            if error is not None and not self.saved:
                error.add_note(f"what was learnt since the last checkpoint is not saved; safe is {self.safe}")
            try:
                self._leaving.close()
            finally:
                self._processes.leave(error)

    def _remove_unfinished(self, made: Sequence[Path]) -> None:
        """Leave nothing of a preparation that did not come to its end, and all of a run that began."""
        if not (self._begun or (self.folder / "settings.toml").is_file()):
            remove_unfinished(self.folder, made)

    def _events(self) -> Iterator[Progress]:
        loop: Loop | None = None
        if self._resume and self._processes.first:
            yield Progress(kind="prepare", message=f"resuming {self.bot}")
            refuse_lost(self.bot)
            self._start = start_again(self.bot, self._plugins)
        elif self._processes.first:
            loop = yield from self.prepared_loop()
            kill_point("run.prepared")
            # from here on there is something to save, or to go on from
            self._loop = loop
            self._write_new()
            kill_point("run.settings")
        if self._processes.world > 1:
            loop = self._ready = None
            self._meet()
        if loop is None:
            data = self.settings.data
            tokenizers = load_tokenizers(self.bot, data.tokenizer, self._plugins, shared=data.share_tokenizer)
            loop = self._make_loop(Prepared.load(self.folder / "data", tokenizers), self._processes)
        loop.stopping = self._loop is not None and self._loop.stopping
        self._loop = loop
        if self._resume:
            yield from loop.restore()
        self._check_same_run(loop)
        if self._resume:
            yield from sit_down(loop)
        assert self._began is not None
        yield from self._loop.events(spent=time.monotonic() - self._began)

    def _check_same_run(self, loop: Loop) -> None:
        """Raise where other processes are about to go on with another run than this one."""
        if self._processes.world > 1:
            told = (loop.prepared.facts["uuid"], loop.step, self.settings.to_toml())
            self._processes.check_same_run(hashlib.sha256(repr(told).encode()).hexdigest())

    def _make_loop(self, prepared: Prepared, processes: Processes | None = None) -> Loop:
        first = self._start.weights() if self._start else None
        return Loop(self.bot, self.settings, prepared, self._plugins, self._device, processes=processes, first=first)

    def prepared_loop(self, *, sized: bool = True) -> Generator[Progress, None, Loop]:
        """Prepare the corpora, once, and return what learns from them before its first step; yield what happens.

        Left like that, a run leaves nothing behind; one that is walked through goes on with what is prepared.

        Args:
            sized: whether a size is chosen that suits the budget, where that is left to it.
        """
        if self._ready is None:
            for stage in self._prepare():
                if isinstance(stage, Prepared):
                    self._ready = self._make_loop(stage)
                else:
                    yield stage
        assert self._ready is not None
        if not (sized and self._free_size):
            return self._ready
        assert self._began is not None
        sizes = partial(
            resolve_settings, self._corpora, self.settings.model, None, given=self._given, plugins=self._plugins
        )
        small = self._ready.settings
        self.settings = yield from choose_size(self._ready, self._plugins, began=self._began, sized=sizes)
        return self._ready if self.settings is small else self._make_loop(self._ready.prepared)

    @property
    def _free_size(self) -> bool:
        """Return whether the size is left to the budget, as nobody asks for one, nor for a knob that it would set."""
        sizes = self._plugins.model(self.settings.model).sizes
        own = {knob for knobs in sizes.values() for knob in knobs}
        asked = own & {
            *self._given.get("model", {}),
            *(key for c in self._corpora for key in c.settings.get("model", {})),
        }
        return (
            bool(self.settings.train.budget)
            and not (self._preset or self._size or self._start or asked)
            and bool(sizes)
        )

    def _prepare(self) -> Iterator[Progress | Prepared]:
        """Prepare the corpora, or take what has been prepared; yield what happens, at last a `Prepared`."""
        data, folder = self.settings.data, self.folder / "data"
        if self._prepared is not None:
            yield Progress(kind="prepare", message=f"taking what has been prepared in {self._prepared}")
            prepared = open_prepared(self._prepared, data, self._plugins)
            save_tokenizers(self.bot, *prepared.tokenizers)
        else:
            stages = prepare(
                self._corpora,
                self._valid,
                data,
                self._plugins,
                out=folder,
                tokenizer_folder=self.bot,
                known=self._start.tokenizers() if self._start else None,
            )
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
            if self._processes.launch:
                write_atomically(self.folder / "launch", self._processes.launch.encode())
            asked_of(self).write(self.folder)
            Sitting.of(self.settings, self._device, processes=self._processes.world).write(self.folder)
            write_atomically(self.folder / "settings.toml", self.settings.to_toml().encode())
        self._begun = True

    def _lock(self, made: Sequence[Path]) -> None:
        """Take the folder; of what is `made` for it, nothing stays where the run does not begin."""
        lock = filelock.FileLock(self.folder / "lock", timeout=0)
        try:
            self._leaving.enter_context(lock)
        except filelock.Timeout as error:
            raise TrainingError(f"another run is training {self.bot}", "wait for it, or stop it") from error
        if not self._resume:
            # a run that ended between the first look and the lock has made it a bot
            self._refuse_existing()
            # it is removed before the lock is let go, or another process might have begun there
            self._leaving.callback(self._remove_unfinished, made)
