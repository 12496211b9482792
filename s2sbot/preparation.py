"""Corpora and settings go in; a tokenizer, packed token ids and an account of where they came from come out."""

from __future__ import annotations

import hashlib
import math
import random
import time
import uuid
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CorpusError, TokenizerError, TrainingError
from .files import read_json, write_json
from .nn.dataset import Packed, load_array, save_array
from .plugins import Plugins
from .progress import Progress
from .run_settings import kind_of
from .settings import DataSettings
from .text.corpus import Corpus, CorpusReport, DocumentExchanges, read_corpus
from .text.dialogue import Exchange
from .text.pairing import previous_exchanges
from .text.tokenizer import RESERVED, Tokenizer, encode_source
from .text.vectors import WordVectors, read_vectors

__all__ = ["Prepared", "prepare", "split"]

Vectors = tuple[NDArray[np.int64], NDArray[np.float32]]
SIDES = ("source", "target")
SAMPLES = 5
TELL_EVERY = 0.5
"""Seconds of reading between two events that say how far it has come."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run learns from; `facts` is what the bot will say of it.

    samples  held-out exchanges, as (source with context, source to show, target)
    vectors  pretrained vectors of the source's and of the target's tokens, as (token ids, vectors); or none
    """

    train: Packed
    valid: Packed
    tokenizers: tuple[Tokenizer, Tokenizer]
    samples: tuple[tuple[tuple[int, ...], str, str], ...]
    facts: Mapping[str, Any]
    vectors: tuple[Vectors, ...] = ()

    def save(self, folder: Path) -> None:
        """Write all but the tokenizers into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.train.save(folder, "train")
        self.valid.save(folder, "valid")
        for side, (ids, vectors) in zip(SIDES, self.vectors, strict=False):
            save_array(folder / f"{side}.vector_ids.npy", ids)
            save_array(folder / f"{side}.vectors.npy", vectors)
        write_json(folder / "data.json", {"facts": dict(self.facts), "samples": self.samples})

    @classmethod
    def load(cls, folder: Path, tokenizers: tuple[Tokenizer, Tokenizer]) -> Prepared:
        """Read what `save` wrote.

        Raises:
            TrainingError: where something is missing or damaged.
        """
        try:
            data = read_json(folder / "data.json")
            samples = tuple((tuple(ids), source, target) for ids, source, target in data["samples"])
            sides = SIDES if data["facts"].get("vectors") else ()
            vectors = tuple(
                (load_array(folder / f"{side}.vector_ids.npy"), load_array(folder / f"{side}.vectors.npy"))
                for side in sides
            )
            train, valid = Packed.load(folder, "train"), Packed.load(folder, "valid")
            return cls(train, valid, tokenizers, samples, data["facts"], vectors)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"the prepared data in {folder} cannot be read: {error}", "train again into a new folder"
            ) from error


def prepare(
    corpora: Sequence[Corpus], valid: Sequence[Corpus], settings: DataSettings, plugins: Plugins, seed: int
) -> Iterator[Progress | Prepared]:
    """Read, split, learn a vocabulary and encode; yield what happens, at last a `Prepared`.

    Raises:
        CorpusError: where there is nothing to learn from, or too little to hold anything out.
        TokenizerError: where the corpus cannot support the vocabulary asked for.
    """
    readers = plugins.readers()
    tokenizer = plugins.tokenizer(settings.tokenizer)
    sides: tuple[list[Exchange], list[Exchange]] = ([], [])
    described = []
    for corpus, held_out in [*((corpus, False) for corpus in corpora), *((corpus, True) for corpus in valid)]:
        yield _stage(f"reading {corpus.path}")
        report = CorpusReport()
        context = 0 if corpus.kind == "translate" else settings.context_turns
        documents, told = [], time.monotonic()
        for document in read_corpus(
            corpus, readers, report=report, scene_gap=settings.scene_gap, context_turns=context
        ):
            documents.append(document)
            if time.monotonic() - told > TELL_EVERY:
                told = time.monotonic()
                yield Progress(kind="prepare", message=_account(corpus, report), transient=True)
        if held_out or valid:
            sides[held_out].extend(exchange for document in documents for exchange in document.exchanges)
        else:
            for exchange, apart in split(documents, settings.valid_share):
                sides[apart].append(exchange)
        described.append(_describe(corpus, report, held_out))
        yield _stage(_account(corpus, report))
    train, held = sides
    if not train or not held:
        raise CorpusError(
            f"{len(train) + len(held)} exchanges are too few to learn from and to hold some out",
            "give more files, or a corpus of its own with --valid",
        )
    yield _stage(f"learning the vocabulary ({settings.tokenizer}) from {len(train):,} exchanges")
    tokenizers = _train_tokenizers(tokenizer, train, settings)
    yield _stage(f"encoding with {len(tokenizers[0]):,} token ids")
    packed_train, dropped = _encode(train, tokenizers, settings)
    packed_valid, dropped_valid = _encode(held, tokenizers, settings)
    if not len(packed_train) or not len(packed_valid):
        raise CorpusError(
            f"no exchange has at most {settings.max_length} tokens a side", "raise it with --set data.max_length=200"
        )
    facts = {
        "uuid": str(uuid.uuid4()),
        "kind": kind_of(corpora),
        "languages": corpora[0].languages,
        "corpora": described,
        "exchanges": {"train": len(packed_train), "valid": len(packed_valid), "too_long": dropped + dropped_valid},
        "tokens": {
            "train": len(packed_train.target_ids) + len(packed_train),
            "valid": len(packed_valid.target_ids) + len(packed_valid),
        },
        "words": {"valid": sum(len(exchange.target.split()) for exchange in held)},
    }
    samples = _choose_samples(held, tokenizers[0], settings, seed)
    vectors: tuple[Vectors, ...] = ()
    if settings.vectors:
        vectors, facts["vectors"] = yield from _read_vectors(Path(settings.vectors), tokenizers)
    yield Prepared(packed_train, packed_valid, tokenizers, samples, facts, vectors)


def _stage(message: str) -> Progress:
    return Progress(kind="prepare", message=message)


def split(documents: Sequence[DocumentExchanges], share: float) -> Iterator[tuple[Exchange, bool]]:
    """Yield (exchange, held out): whole files are held out, never lines of a film that is trained on.

    A file's name alone decides, so adding files moves none of the others, but for the two whose names hash lowest and
    highest: the first is always held out, the last never. A single file of pairs is split by each source sentence, a
    single film at a point in time.
    """
    hashes = {document.name: _unit_hash(document.name) for document in documents}
    if len(documents) > 1:
        lowest, highest = min(hashes, key=hashes.__getitem__), max(hashes, key=hashes.__getitem__)
        for document in documents:
            apart = document.name == lowest or (hashes[document.name] < share and document.name != highest)
            yield from ((exchange, apart) for exchange in document.exchanges)
        return
    for document in documents:
        if document.paired:
            keys = [_unit_hash(" ".join(exchange.source.lower().split())) for exchange in document.exchanges]
            lowest_key = min(keys)
            for exchange, key in zip(document.exchanges, keys, strict=True):
                yield exchange, key < share or key == lowest_key
        else:
            begin = len(document.exchanges) - max(1, math.ceil(share * len(document.exchanges)))
            yield from ((exchange, index >= begin) for index, exchange in enumerate(document.exchanges))


def _unit_hash(text: str) -> float:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


def _train_tokenizers(
    kind: type[Tokenizer], train: Sequence[Exchange], settings: DataSettings
) -> tuple[Tokenizer, Tokenizer]:
    sources = (exchange.source for exchange in train)
    targets = (exchange.target for exchange in train)
    if settings.share_tokenizer:
        shared = kind.train((line for pair in zip(sources, targets, strict=True) for line in pair), settings.vocab_size)
        return shared, shared
    return kind.train(sources, settings.vocab_size), kind.train(targets, settings.vocab_size)


def _read_vectors(
    path: Path, tokenizers: tuple[Tokenizer, Tokenizer]
) -> Generator[Progress, None, tuple[tuple[Vectors, ...], dict[str, Any]]]:
    """Return the vectors of both sides, and what the bot will say of them; the file is read once a tokenizer."""
    found: dict[int, Vectors] = {}
    for tokenizer in tokenizers:
        if id(tokenizer) in found:
            continue
        yield _stage(f"reading word vectors from {path}")
        reading, began, told = read_vectors(path, tokenizer), time.monotonic(), 0.0
        while True:
            try:
                done, total = next(reading)
            except StopIteration as end:
                vectors: WordVectors = end.value
                break
            passed = time.monotonic() - began
            if passed - told > TELL_EVERY:
                told = passed
                left = passed * (total - done) / max(1, done)
                message = f"word vectors: {done / max(1, total):.0%}, {done / passed / 1e6:.0f} MB/s, {left:.0f} s left"
                yield Progress(kind="prepare", message=message, transient=True)
        found[id(tokenizer)] = (vectors.ids, vectors.vectors)
        words = len(tokenizer) - RESERVED
        side = "" if tokenizers[0] is tokenizers[1] else f" of the {SIDES[len(found) - 1]}"
        size = vectors.vectors.shape[1]
        yield _stage(f"{len(vectors.ids):,} of {words:,} token ids{side} have a vector of {size} numbers")
    sides = tuple(found[id(tokenizer)] for tokenizer in tokenizers)
    if not any(len(ids) for ids, _ in sides):
        raise TokenizerError(
            f"{path}: none of its words is in the vocabulary",
            "take the tokenizer `words`, and vectors of the corpus's language: words are looked up as they are and in"
            " lower case",
        )
    return sides, {"file": path.name, "found": [len(ids) for ids, _ in sides]}


def _encode(
    exchanges: Sequence[Exchange], tokenizers: tuple[Tokenizer, Tokenizer], settings: DataSettings
) -> tuple[Packed, int]:
    """Return packed ids, and how many exchanges were left out as too long without their context."""
    rows, kept = [], []
    for exchange in exchanges:
        target = tokenizers[1].encode(exchange.target)
        source = encode_source(tokenizers[0], exchange.source, exchange.context, most=settings.max_length)
        if source and target and max(len(source), len(target)) <= settings.max_length:
            rows.append((source, target))
            kept.append(exchange)
    return Packed.pack(rows, previous_exchanges(kept)), len(exchanges) - len(rows)


def _choose_samples(
    held: Sequence[Exchange], tokenizer: Tokenizer, settings: DataSettings, seed: int
) -> tuple[tuple[tuple[int, ...], str, str], ...]:
    """Choose held-out exchanges to answer at each validation: neither one-word lines nor long ones, where it can."""
    fitting = [exchange for exchange in held if 3 <= len(exchange.source.split()) <= 12] or list(held)
    chosen = random.Random(seed).sample(fitting, min(SAMPLES, len(fitting)))
    return tuple(
        (
            tuple(encode_source(tokenizer, exchange.source, exchange.context, most=settings.max_length)),
            exchange.source,
            exchange.target,
        )
        for exchange in chosen
    )


def _describe(corpus: Corpus, report: CorpusReport, held_out: bool) -> dict[str, Any]:
    return {
        "name": corpus.name,
        "sha256": report.digest(),
        "files": report.files,
        "skipped": len(report.skipped),
        "cues": report.cues,
        "dialogues": report.dialogues,
        "exchanges": report.exchanges,
        "licence": corpus.licence,
        "validation": held_out,
    }


def _account(corpus: Corpus, report: CorpusReport) -> str:
    cues = f"{report.cues:,} cues, {report.dialogues:,} dialogues, " if report.cues or report.dialogues else ""
    line = f"{corpus.name}: {report.files:,} files, {cues}{report.exchanges:,} exchanges"
    if report.skipped:
        named = "; ".join(f"{skipped.name}: {skipped.cause}" for skipped in report.skipped[:5])
        more = f"; and {len(report.skipped) - 5} more" if len(report.skipped) > 5 else ""
        line += f"; skipped {len(report.skipped)} ({named}{more})"
    return line
