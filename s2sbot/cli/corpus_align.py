"""`s2sbot corpus align`: subtitles of one film in two languages go in, pairs that translate each other come out."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TextIO

import click

from ..errors import CorpusError, S2SBotError
from .options import Place

if TYPE_CHECKING:
    from ..text.alignment import AlignedPair, Alignment, TimeMap
    from ..text.archives import Archives
    from ..text.corpus import AnyReader
    from ..text.dialogue import Cue
    from ..text.documents import Document

__all__ = ["align"]

SHOWN = 20
_LANGUAGE = re.compile(r"\.([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})?)$")


@dataclass(frozen=True, slots=True)
class _Film:
    """A film by its name in both languages, as `Document`s of two corpora."""

    name: str
    source: Document
    target: Document


@dataclass(slots=True)
class _Account:
    """What has been aligned so far, and what could not be, with its cause."""

    films: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What was asked for on the command line."""

    min_score: float
    time_map: TimeMap | None
    many: bool


def _offset(ctx: click.Context, param: click.Parameter, value: str) -> float | None:
    if value == "auto":
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise click.BadParameter(f"{value!r} is neither 'auto' nor a number of seconds.")
    return seconds


@click.command(no_args_is_help=True)
@click.argument("source", type=Place())
@click.argument("target", type=Place())
@click.option("--out", metavar="FILE", type=Place(dir_okay=False), help="A new file; - is standard output, as without.")
@click.option(
    "--min-score", type=click.FloatRange(0.0, 1.0), default=0.5, show_default=True, help="Leave out pairs below this."
)
@click.option(
    "--offset",
    metavar="auto|SECONDS",
    callback=_offset,
    default="auto",
    show_default=True,
    help="Seconds to add to TARGET's times.",
)
@click.option("--languages", nargs=2, metavar="EN DE", help="Take only files named NAME.EN.* and NAME.DE.*.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON: the account, and the pairs where there is no --out.")
def align(
    source: Path,
    target: Path,
    out: Path | None,
    min_score: float,
    offset: float | None,
    languages: tuple[str, str] | None,
    as_json: bool,
) -> None:
    """Make translation pairs of the subtitles of one film in two languages, by their times and their texts.

    SOURCE and TARGET are two files, or two folders or archives whose films have the same names, as TALK.en.srt and
    TALK.de.srt. A line holds source, target, score, seconds and, of folders, the film, with tabs between. Where FILE
    ends in .jsonl it has a JSON object a line, of which a corpus keeps the film and the time of every pair.

    \b
    Examples:
      s2sbot corpus align film.en.srt film.de.srt --out pairs.tsv
      s2sbot corpus align english.zip german.zip --min-score 0.8 --out pairs.tsv
      s2sbot corpus align talks talks --languages en fr --json
    """
    from ..files import refuse_existing, write_atomically
    from ..text.alignment import TimeMap

    out = None if out == Path("-") else out
    if out is not None:
        refuse_existing(out)
    films, account = _find_films(source, target, languages)
    wish = _Wish(min_score, None if offset is None else TimeMap(1.0, offset), len(films) > 1)
    if out is not None:

        def write(temporary: Path) -> None:
            with temporary.open("w", encoding="utf-8", newline="\n") as stream:
                aligned = _align_films(films, wish, account)
                if out.suffix == ".jsonl":
                    _write_objects(aligned, stream)
                else:
                    _write_rows(aligned, stream, wish)
            _refuse_nothing(account)

        write_atomically(out, write)
    elif not as_json:
        _write_rows(_align_films(films, wish, account), sys.stdout, wish)
        _refuse_nothing(account)
    else:
        for name, pairs in _align_films(films, wish, account):
            account.films[-1]["aligned"] = [_as_dict(pair, name) for pair in pairs]
        _refuse_nothing(account)
    _tell(account, as_json=as_json)


def _find_films(source: Path, target: Path, languages: tuple[str, str] | None) -> tuple[list[_Film], _Account]:
    from ..text.documents import Document, find_documents

    account = _Account()
    sides: list[list[Document]] = []
    for path in (source, target):
        found = list(find_documents(path))
        sides.append([item for item in found if isinstance(item, Document)])
        account.skipped += [(item.name, item.cause) for item in found if not isinstance(item, Document)]
        if not sides[-1]:
            causes = "; ".join(f"{name}: {cause}" for name, cause in account.skipped[:3])
            raise CorpusError(f"no file in {path}" + (f" ({causes})" if causes else ""), "name subtitles or a folder")
    if len(sides[0]) == len(sides[1]) == 1 and languages is None:
        return [_Film(sides[0][0].name, sides[0][0], sides[1][0])], account
    left, right = (
        _by_film(side, path, languages[number] if languages else None)
        for number, (side, path) in enumerate(zip(sides, (source, target), strict=True))
    )
    films = [_Film(left[key].name, left[key], right[key]) for key in sorted(left.keys() & right.keys())]
    account.skipped += [
        (here[key].name, "no file of that name on the other side")
        for here, there in ((left, right), (right, left))
        for key in sorted(here.keys() - there.keys())
    ]
    if not films:
        raise CorpusError(
            f"{source} and {target} have no film of the same name",
            "name both alike, as TALK.en.srt and TALK.de.srt, or give two files",
        )
    return films, account


def _by_film(documents: Sequence[Document], path: Path, language: str | None) -> dict[str, Document]:
    """Return documents by the path without language and ending; of one language alone, where it is given."""
    films: dict[str, Document] = {}
    for document in documents:
        # the folder that both sides stand in may be called by the language
        name = PurePosixPath(document.name.removesuffix(".gz"))
        stem = name.stem
        match = _LANGUAGE.search(stem)
        if language is not None and (match is None or match[1].casefold() != language.casefold()):
            continue
        film = (name.parent / (stem[: match.start()] if match and match.start() else stem)).as_posix().casefold()
        if film in films:
            raise CorpusError(
                f"{path}: {films[film].name} and {document.name} are one film by their names",
                "choose with --languages, as in --languages en de",
            )
        films[film] = document
    return films


def _align_films(films: Sequence[_Film], wish: _Wish, account: _Account) -> Iterator[tuple[str, Sequence[AlignedPair]]]:
    """Yield the name and the pairs of each film; name those that cannot be aligned, or raise where there is but one."""
    from ..plugins import Plugins
    from ..text.alignment import find_alignment
    from ..text.archives import Archives

    readers = Plugins().readers()
    with Archives() as archives:
        for film in films:
            try:
                cues = [_read_document(document, readers, archives) for document in (film.source, film.target)]
                found = find_alignment(cues[0], cues[1], time_map=wish.time_map)
                kept = [pair for pair in found.pairs if pair.score >= wish.min_score]
                facts = _facts(film, cues, found, kept)
                _refuse_strangers(film, facts, found, wish)
            except S2SBotError as error:
                if not wish.many:
                    raise
                account.skipped.append((film.name, error.message))
                continue
            account.films.append(facts)
            yield film.name, kept


def _read_document(document: Document, readers: Mapping[str, AnyReader], archives: Archives) -> list[Cue]:
    from ..text.reading import read_cues

    try:
        cues = read_cues(document, readers, archives)
    except (ValueError, EOFError, OSError) as error:
        raise CorpusError(f"{document.name}: {error}", "give subtitles that can be read") from error
    if not cues:
        raise CorpusError(f"{document.name}: nobody speaks in it", "give subtitles with times")
    return cues


def _facts(film: _Film, cues: Sequence[list[Cue]], found: Alignment, kept: Sequence[AlignedPair]) -> dict[str, Any]:
    used = (sum(len(pair.source_cues) for pair in kept), sum(len(pair.target_cues) for pair in kept))
    return {
        "film": film.name,
        "source": film.source.name,
        "target": film.target.name,
        "cues": [len(side) for side in cues],
        "clock": [
            {
                "from": None if piece.start == -math.inf else round(piece.start, 2),
                "rate": round(piece.time_map.rate, 6),
                "offset": round(piece.time_map.offset, 3),
            }
            for piece in found.pieces
        ],
        "kinship": round(found.kinship, 2),
        "pairs": len(kept),
        "mean_score": round(sum(pair.score for pair in kept) / len(kept), 4) if kept else 0.0,
        "below_min_score": len(found.pairs) - len(kept),
        "left_over": [len(side) - count for side, count in zip(cues, used, strict=True)],
    }


FEW_CUES = 80
"""Cues of one film of which many have a kinship below that of one film."""
LEAST_KINSHIP = 1.5
"""What few cues must have all the same."""


def _refuse_strangers(film: _Film, facts: Mapping[str, Any], found: Alignment, wish: _Wish) -> None:
    """Raise where the two files do not look like one film, unless their clock was given, or where no pair is left."""
    from ..text.alignment import ONE_FILM

    doubtful = found.kinship < ONE_FILM and wish.time_map is None
    if doubtful and min(facts["cues"]) < FEW_CUES and found.kinship >= LEAST_KINSHIP:
        click.echo(
            f"{film.name}: too few cues to tell whether both are of one film: its kinship is {found.kinship:.1f}, and "
            f"from {ONE_FILM} on it would be sure",
            err=True,
        )
    elif doubtful:
        raise CorpusError(
            f"{film.source.name} and {film.target.name} do not look like one film: on the best clock they fit about as "
            f"on wrong ones (kinship {found.kinship:.1f}, of one film {ONE_FILM} or more)",
            "check that both are of the same film; --offset SECONDS names their clock, and then they are paired anyway",
        )
    if not facts["pairs"]:
        raise CorpusError(
            f"{film.name}: none of {len(found.pairs)} pairs reaches a score of {wish.min_score}", "lower --min-score"
        )


def _refuse_nothing(account: _Account) -> None:
    if not account.films:
        causes = "; ".join(f"{name}: {cause}" for name, cause in account.skipped[:3])
        raise CorpusError(f"no film could be aligned ({causes})", "check that both sides hold the same films")


def _write_rows(films: Iterator[tuple[str, Sequence[AlignedPair]]], stream: TextIO, wish: _Wish) -> None:
    from .sanitize import sanitize

    clean = sanitize if stream.isatty() else str
    for name, pairs in films:
        film = [" ".join(name.split())] if wish.many else []
        for pair in pairs:
            stream.write(clean("\t".join([pair.source, pair.target, f"{pair.score:.3f}", f"{pair.start:.2f}", *film])))
            stream.write("\n")


def _write_objects(films: Iterator[tuple[str, Sequence[AlignedPair]]], stream: TextIO) -> None:
    for name, pairs in films:
        for pair in pairs:
            row = {"source": pair.source, "target": pair.target, "file": name, "seconds": round(pair.start, 3)}
            stream.write(json.dumps({**row, "score": round(pair.score, 4)}, ensure_ascii=False) + "\n")


def _as_dict(pair: AlignedPair, film: str) -> dict[str, Any]:
    return {
        "source": pair.source,
        "target": pair.target,
        "score": round(pair.score, 4),
        "start": round(pair.start, 3),
        "end": round(pair.end, 3),
        "source_cues": list(pair.source_cues),
        "target_cues": list(pair.target_cues),
        "film": film,
    }


def _tell(account: _Account, *, as_json: bool) -> None:
    from .sanitize import sanitize

    if as_json:
        skipped = [{"name": name, "cause": cause} for name, cause in account.skipped]
        click.echo(json.dumps({"films": account.films, "skipped": skipped}, indent=2, ensure_ascii=False))
        return
    for facts in account.films[:SHOWN]:
        clocks = ", then ".join(f"{clock['offset']:+.2f} s at rate {clock['rate']:.6g}" for clock in facts["clock"])
        click.echo(
            sanitize(
                f"{facts['film']}: {facts['pairs']:,} pairs, mean score {facts['mean_score']:.2f}, of "
                f"{facts['cues'][0]:,} and {facts['cues'][1]:,} cues; {facts['left_over'][0]:,} and "
                f"{facts['left_over'][1]:,} left over; target times {clocks}"
            ),
            err=True,
        )
    if len(account.films) > 1:
        total = sum(facts["pairs"] for facts in account.films)
        click.echo(f"{total:,} pairs of {len(account.films):,} films", err=True)
    for name, cause in account.skipped[:SHOWN]:
        click.echo(sanitize(f"skipped {name}: {cause}"), err=True)
    if len(account.skipped) > SHOWN:
        click.echo(f"skipped {len(account.skipped) - SHOWN:,} more; --json names all", err=True)
