"""What a run begins from besides its corpora: a bot, with its model, weights and tokenizer, and weights of corpora."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from ..bot import BotDescription, load_model, load_tokenizers, read_description
from ..errors import SettingsError
from ..files import folder_hash
from ..nn.encoder_decoder import check_tables, model_tensors
from ..plugins import Plugins
from ..run_settings import RunSettings
from ..settings import DataSettings, Tables, build
from ..text.corpus import Corpus
from ..text.tokenizer import RESERVED, Tokenizer
from ..text.vectors import vector_size
from .building import without_memory
from .order import MOST

__all__ = ["Start", "check_vectors", "corpus_weights", "refuse_other_data", "refuse_other_languages"]


@dataclass(frozen=True, slots=True)
class Start:
    """The bot that a run begins from: all of it but what its optimiser had learnt, and its corpora."""

    folder: Path
    description: BotDescription
    plugins: Plugins

    @classmethod
    def read(cls, folder: Path, plugins: Plugins) -> Self:
        """Look at a bot, before anything large is read.

        Raises:
            BotError: where it is none, or damaged.
        """
        return cls(folder, read_description(folder), plugins)

    @property
    def tables(self) -> Tables:
        """Return what the bot settles: the knobs of its model, its tokenizer, and how a source is made."""
        description = self.description
        return {
            "model": dict(description.config),
            "data": {**description.data, "tokenizer": description.tokenizer, "share_tokenizer": description.shared},
            "decode": dict(description.decode),
        }

    def tokenizers(self) -> tuple[Tokenizer, Tokenizer]:
        """Return the bot's own, for source and target."""
        return load_tokenizers(self.folder, self.description.tokenizer, self.plugins, shared=self.description.shared)

    def weights(self) -> dict[str, Tensor]:
        """Return the weights by name."""
        return model_tensors(load_model(self.folder, self.description, self.plugins, "cpu"))

    def refuse(self, given: Tables, *, model: str | None, preset: str | None, size: str | None) -> None:
        """Raise where something is asked for that the bot has settled.

        Raises:
            SettingsError: it names what cannot be given.
        """
        named = {
            "--model": model not in (None, self.description.model),
            "--preset": preset is not None,
            "--size": size is not None,
            "--vectors": bool(given.get("data", {}).get("vectors")),
            "--vocab-size": given.get("data", {}).get("vocab_size") is not None,
            "--tokenizer": given.get("data", {}).get("tokenizer") not in (None, self.description.tokenizer),
        }
        others = [name for name, asked in named.items() if asked]
        if others:
            raise SettingsError(
                f"a run from {self.folder} has its model and its tokenizer; {', '.join(others)} cannot change",
                "leave it out, or train a new bot without --from",
            )

    def refuse_other_shapes(self, config: Any, given: Tables) -> None:
        """Raise where knobs are asked for with which the bot's weights would not fit the model.

        Raises:
            SettingsError: it names the knobs of the model that were given.
        """
        description = self.description
        kind = self.plugins.model(description.model)
        shapes = []
        with without_memory():
            for knobs in (build(kind.Config, description.config, "model"), config):
                model = kind(knobs, description.source_vocab, description.target_vocab)
                shapes.append({name: tuple(tensor.shape) for name, tensor in model_tensors(model).items()})
        if shapes[0] != shapes[1]:
            raise SettingsError(
                f"the weights of {self.folder} do not fit a model with another"
                f" model.{', model.'.join(given.get('model', {}))}",
                "leave it out, or train a new bot without --from",
            )

    def refuse_other_languages(self, corpora: Sequence[Corpus]) -> None:
        """Raise where a translator is to learn to talk, a chat bot to translate, or either another language.

        Raises:
            SettingsError: it says what the bot speaks.
        """
        kind, languages = self.description.kind, self.description.languages
        for corpus in corpora:
            # the sides of a talk are called what they like
            named = languages and corpus.languages and (kind == "translate" or len(languages + corpus.languages) == 2)
            if corpus.kind != kind or (named and corpus.languages != languages):
                other = _spoken(corpus.kind, corpus.languages)
                raise SettingsError(
                    f"{self.folder} {_spoken(kind, languages)}, and {corpus.path} {other}",
                    "give a corpus of the same languages, or train a new bot without --from",
                )

    def refuse_other_tokenizer(self, prepared: Path) -> None:
        """Raise where a corpus was prepared with another tokenizer than the bot's.

        Raises:
            SettingsError: as the ids in it mean other words.
        """
        if folder_hash(self.folder / "tokenizer") != folder_hash(prepared / "tokenizer"):
            raise SettingsError(
                f"{prepared} was prepared with another tokenizer than that of {self.folder}",
                "give the corpus itself: it is prepared with the bot's tokenizer then",
            )


def _spoken(kind: str, languages: Sequence[str]) -> str:
    if kind == "translate":
        return f"translates {languages[0]} to {languages[1]}"
    return f"chats in {languages[0]}" if len(languages) == 1 else "chats"


def corpus_weights(corpora: Sequence[Corpus], weights: Sequence[float]) -> str:
    """Return weights that are given in the order of corpora as the knob `train.corpus_weights` has them.

    Raises:
        SettingsError: where there are not as many, or one is not above zero, or too large.
    """
    if len(weights) != len(corpora):
        raise SettingsError(
            f"{len(weights)} weights for {len(corpora)} corpora", "give --weight once for each corpus, in their order"
        )
    for corpus, weight in zip(corpora, weights, strict=True):
        if not 0 < weight <= MOST:
            listed = ", ".join(str(each.path) for each in corpora)
            raise SettingsError(
                f"--weight {weight:g} for {corpus.path} cannot be",
                f"give a number above 0, up to {MOST:,}, for each of them, in the order of the command: {listed}",
            )
    # prepared corpora stand in the order of their names
    order = sorted(range(len(corpora)), key=lambda index: (corpora[index].name, str(corpora[index].path)))
    return ",".join(f"{weights[index]:g}" for index in order)


def refuse_other_languages(prepared: Path, languages: tuple[str, ...], asked: tuple[str | None, ...]) -> None:
    """Raise where others are asked for than a corpus was prepared with.

    Raises:
        SettingsError: it says which these are.
    """
    if any(asked) and languages != asked:
        was = f"from {languages[0]} to {languages[1]}" if len(languages) == 2 else "as a chat"
        raise SettingsError(
            f"{prepared} was prepared with another --source and --target: {was}",
            "leave them out, or prepare the corpus again",
        )


def refuse_other_data(prepared: Path, settings: Mapping[str, Any], asked: DataSettings) -> None:
    """Raise where something is asked for that is settled by how a corpus was prepared.

    Raises:
        SettingsError: it names the knobs.
    """
    was = build(DataSettings, settings, "data")
    now = dataclasses.replace(asked, vectors=was.vectors)
    others = [field.name for field in dataclasses.fields(was) if getattr(now, field.name) != getattr(was, field.name)]
    if others:
        raise SettingsError(
            f"{prepared} was prepared with another data.{', data.'.join(others)}",
            "leave it out, or prepare the corpus again",
        )


def check_vectors(settings: RunSettings, plugins: Plugins) -> None:
    """Look at the size of the word vectors before the corpus is read, which may take long.

    Raises:
        SettingsError: where they do not fit the tables of the model.
    """
    size = vector_size(Path(str(settings.data.vectors)))
    with without_memory():
        model = plugins.model(settings.model)(settings.config, 2 * RESERVED, 2 * RESERVED)
    check_tables(model, (size, size))
