"""Documents go in, their dialogues and exchanges come out, cleaned by the rules, with an account of each document."""

from __future__ import annotations

import hashlib
import io
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from ..errors import CorpusError, S2SBotError
from ..settings import nearest
from .archives import Archives
from .cleaning import one_line
from .corpus import AnyReader, Corpus
from .dialogue import Cue, Dialogue, Exchange, Item, Lost, PairReader, Reader
from .documents import UNKNOWN, Document, HashedStream, Skipped, hold_languages
from .films import film_of
from .mojibake import repair
from .pairing import clean_dialogue, cues_to_dialogues, dialogue_to_exchanges
from .quality import in_language, unfit
from .rules import Rules
from .speech import spoken_cues

__all__ = [
    "CorpusReport",
    "DocumentExchanges",
    "DocumentReport",
    "fit_exchanges",
    "read_corpus",
    "read_cues",
    "read_document",
]

HEAD = 64 * 2**10
"""Bytes of a document that a reader may look at to know it."""


@dataclass(slots=True)
class DocumentReport:
    """What has been met in one document.

    cause   why it was skipped; empty where it was not
    rules   for every rule how much it has dropped or changed
    lost    pieces that could not be read, by their cause
    """

    name: str
    reader: str = ""
    cause: str = ""
    bytes: int = 0
    sha256: str = ""
    cues: int = 0
    dialogues: int = 0
    pairs: int = 0
    exchanges: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {**values, "rules": dict(self.rules), "lost": dict(self.lost)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DocumentReport:
        """Make a report of what `to_dict` returned."""
        return cls(**{**values, "rules": Counter(values["rules"]), "lost": Counter(values["lost"])})


@dataclass(slots=True)
class CorpusReport:
    """What has been met in all documents of a corpus so far."""

    files: int = 0
    cues: int = 0
    dialogues: int = 0
    exchanges: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    readers: Counter[str] = field(default_factory=Counter)
    skipped: list[Skipped] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)

    def add(self, document: DocumentReport) -> None:
        """Take in one document."""
        self.rules += document.rules
        self.lost += document.lost
        self.cues += document.cues
        self.dialogues += document.dialogues
        if document.cause:
            self.skipped.append(Skipped(document.name, document.cause))
            return
        self.files += 1
        self.exchanges += document.exchanges
        self.readers[document.reader] += 1
        self.hashes[document.name] = document.sha256

    def digest(self) -> str:
        """Return one SHA-256 for the names and contents of all documents read."""
        lines = "".join(f"{name}\0{value}\n" for name, value in sorted(self.hashes.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def refuse_nothing(self, corpus: Corpus) -> None:
        """Raise where no document could be read.

        Raises:
            CorpusError: which names the first causes.
        """
        if self.files:
            return
        causes = "; ".join(f"{skipped.name}: {skipped.cause}" for skipped in self.skipped[:3])
        hint = "`s2sbot plugins list` names the readers there are; `s2sbot corpus inspect` shows what each file holds"
        if not corpus.languages and hold_languages(self.skipped):
            hint = "it holds several languages: name two of them with --source LANGUAGE --target LANGUAGE"
        raise CorpusError(
            f"nothing to learn from in {corpus.path}" + (f" ({causes})" if causes else " (it is empty)"), hint
        )


@dataclass(frozen=True, slots=True)
class DocumentExchanges:
    """The exchanges of one document."""

    report: DocumentReport
    exchanges: tuple[Exchange, ...]

    @property
    def name(self) -> str:
        """Return the document's name."""
        return self.report.name


def read_corpus(
    corpus: Corpus, readers: Mapping[str, AnyReader], *, report: CorpusReport, rules: Rules
) -> Iterator[DocumentExchanges]:
    """Yield the exchanges of every document that can be read; count and name the others in `report`.

    Raises:
        CorpusError: where nothing at all could be read.
    """
    with Archives() as archives:
        for document in corpus.documents(readers):
            if isinstance(document, Skipped):
                report.skipped.append(document)
                continue
            found = DocumentReport(document.name)
            exchanges = tuple(
                exchange
                for number, item in enumerate(read_document(document, corpus, readers, archives, rules, found))
                for exchange in fit_exchanges(item, corpus, rules, found, number)
            )
            found.exchanges = len(exchanges)
            if not exchanges and not found.cause:
                found.cause = "no exchange in it"
            report.add(found)
            if exchanges:
                yield DocumentExchanges(found, exchanges)
    report.refuse_nothing(corpus)


def fit_exchanges(
    item: Dialogue | Exchange, corpus: Corpus, rules: Rules, report: DocumentReport, number: int
) -> Iterator[Exchange]:
    """Yield the exchanges of a dialogue, or the one given, that are fit to learn from; count the others.

    Args:
        number: that of the dialogue in its document.
    """
    translated = corpus.kind == "translate"
    if isinstance(item, Exchange):
        exchanges: Iterator[Exchange] = iter((item,))
    else:
        exchanges = dialogue_to_exchanges(item, rules=rules, counts=report.rules, number=number)
    for exchange in exchanges:
        rule = unfit(exchange.source, exchange.target, rules, translated=translated)
        if rule is None and rules.languages and not _in_languages(exchange, rules, translated):
            rule = "language"
        if rule is not None:
            report.rules[rule] += 1
            continue
        yield exchange


def _in_languages(exchange: Exchange, rules: Rules, translated: bool) -> bool:
    if translated:
        first, last = rules.languages[0], rules.languages[-1]
        return in_language(exchange.source, first) and in_language(exchange.target, last)
    return in_language(f"{exchange.source} {exchange.target}", rules.languages[0])


def read_document(
    document: Document,
    corpus: Corpus,
    readers: Mapping[str, AnyReader],
    archives: Archives,
    rules: Rules,
    report: DocumentReport,
) -> Iterator[Dialogue | Exchange]:
    """Yield what a document holds, as it comes; what cannot be read ends it, and `report` says why.

    Raises:
        CorpusError: where it names a reader that there is not.
    """
    try:
        if len(document.parts) == 2:
            # where one side ends before the other, it may lack any line: it is seen before a pair is believed
            for _ in _read(document, corpus, readers, archives, DocumentReport(document.name)):
                pass
        for item in _items(document, corpus, readers, archives, rules, report):
            if isinstance(item, Dialogue):
                if corpus.kind == "translate":
                    raise ValueError("holds dialogue, not pairs of two languages")
                report.dialogues += 1
            else:
                report.pairs += 1
            yield item
    except S2SBotError:
        raise
    except Exception as error:
        # a reader may be a stranger's, and a run never dies of one file
        said = getattr(error, "strerror", None) or str(error)  # without the path, which is told by the document's name
        expected = isinstance(error, ValueError | OSError | EOFError) and said
        cause = said if expected else f"{type(error).__name__}: {error}"
        if report.dialogues or report.pairs:
            report.lost[f"breaks off: {cause}"] += 1
        else:
            report.cause = cause


def read_cues(document: Document, readers: Mapping[str, AnyReader], archives: Archives) -> list[Cue]:
    """Return the cues of a subtitle file that somebody speaks, by time.

    Raises:
        ValueError: where no reader knows it, or it cannot be read.
    """
    corpus = Corpus(document.parts[0].path, document.name)
    try:
        items = _read(document, corpus, readers, archives, DocumentReport(document.name))
        return list(spoken_cues(item for item in items if isinstance(item, Cue)))
    except (S2SBotError, ValueError, OSError, EOFError):
        raise
    except Exception as error:
        raise ValueError(f"its reader failed: {type(error).__name__}: {error}") from error


def _items(
    document: Document,
    corpus: Corpus,
    readers: Mapping[str, AnyReader],
    archives: Archives,
    rules: Rules,
    report: DocumentReport,
) -> Iterator[Dialogue | Exchange]:
    """Yield dialogues and exchanges as they come, and those made of cues when all cues are there."""
    cues: list[Cue] = []
    for item in _read(document, corpus, readers, archives, report):
        if isinstance(item, Cue):
            cues.append(item)
        elif isinstance(item, Lost):
            report.lost[item.cause] += 1
        elif isinstance(item, Dialogue):
            dialogue = clean_dialogue(item, rules=rules, counts=report.rules)
            if dialogue.turns:
                yield dialogue
        else:
            yield _clean_exchange(item, rules, report.rules)
    report.cues = len(cues)
    if cues:
        film = film_of(document.name)
        for dialogue in cues_to_dialogues(cues, document.name, rules=rules, counts=report.rules):
            yield replace(dialogue, group=film)


def _clean_exchange(exchange: Exchange, rules: Rules, counts: Counter[str]) -> Exchange:
    given = exchange.source, exchange.target, *exchange.context
    said = given
    if "mojibake" in rules and not all(map(str.isascii, said)):
        said = tuple(map(repair, said))
        counts["mojibake"] += said != given
    said = tuple(map(one_line, said))
    return exchange if said == given else replace(exchange, source=said[0], target=said[1], context=said[2:])


def _read(
    document: Document, corpus: Corpus, readers: Mapping[str, AnyReader], archives: Archives, report: DocumentReport
) -> Iterator[Item]:
    with ExitStack() as stack:
        heads, hashed = [], []
        for part in document.parts:
            stream = stack.enter_context(closing(archives.open(part)))
            heads.append(stream.read(HEAD))
            if not heads[-1]:
                raise ValueError("empty file")
            hashed.append(HashedStream(heads[-1], stream))
        opened = [cast(BinaryIO, io.BufferedReader(stream)) for stream in hashed]
        report.reader, reader = _choose_reader(document, corpus, readers, heads)
        if len(opened) == 2:
            if not isinstance(reader, PairReader):
                raise CorpusError(f"the reader {report.reader!r} reads no pairs of files", "use the reader 'moses'")
            items = reader.read_pair(opened[0], opened[1], document.name)
        elif isinstance(reader, Reader):
            items = reader.read(opened[0], document.name)
        else:
            raise CorpusError(
                f"the reader {report.reader!r} reads pairs of files only", "correct `reader` in corpus.toml"
            )
        for item in items:
            report.bytes = hashed[0].given + (hashed[1].given if len(hashed) == 2 else 0)
            yield item
        for each in opened:
            while each.read(2**20):
                pass
        report.sha256 = ":".join(stream.hash.hexdigest() for stream in hashed)
        report.bytes = sum(stream.given for stream in hashed)


def _choose_reader(
    document: Document, corpus: Corpus, readers: Mapping[str, AnyReader], heads: Sequence[bytes]
) -> tuple[str, AnyReader]:
    if corpus.reader:
        name = corpus.reader
    elif len(document.parts) == 2:
        name = _pair_reader(document, readers)
    else:
        name = _best_reader(heads[0], document.name, readers)
    if name not in readers:
        raise CorpusError(f"no reader {name!r}", nearest(name, readers))
    of_languages = getattr(readers[name], "of_languages", None)
    if corpus.kind == "translate" and of_languages is not None:
        return name, of_languages(corpus.languages)
    return name, readers[name]


def _pair_reader(document: Document, readers: Mapping[str, AnyReader]) -> str:
    """Return the reader that names these two files, or else the one that reads any two."""
    plain = ""
    for name, reader in sorted(readers.items()):
        if isinstance(reader, PairReader):
            names = getattr(reader, "pair_names", None)
            if names and PurePosixPath(document.name).name.removesuffix(".gz") == names[0]:
                return name
            plain = plain or (name if not names else "")
    return plain


def _best_reader(head: bytes, name: str, readers: Mapping[str, AnyReader]) -> str:
    scores = {
        title: _sniffed(reader, title, head, name)
        for title, reader in sorted(readers.items())
        if isinstance(reader, Reader)
    }
    best = max(scores, key=scores.__getitem__, default=None)
    if best is None or scores[best] <= 0:
        raise ValueError("binary data, not text" if b"\0" in head[:4096] else UNKNOWN)
    return best


def _sniffed(reader: Reader, title: str, head: bytes, name: str) -> float:
    try:
        return reader.sniff(head, name)
    except Exception as error:
        logging.getLogger("s2sbot.readers").warning("the reader %s failed on %s: %r", title, name, error)
        return 0.0
