"""What a file on the net must be goes in; the file comes out whole and checked, or what has come is kept to go on."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock, Timeout

from ..errors import CorpusError
from ..files import full_disk_explained, read_json, sync_folder, write_json
from .addresses import parse_url
from .connection import Answer, BrokenOffError, Policy, UnavailableError, opened

__all__ = ["RemoteFile", "Transfer", "fetch", "is_complete"]

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_NAME = re.compile(r"[\w()+,@~-][\w()+,@~. -]{0,150}")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as it must arrive.

    urls   where it is to be had, tried in this order
    size   bytes, where that is known
    hosts  where redirects may lead, besides the hosts of `urls`; None for every public host
    """

    name: str
    urls: tuple[str, ...]
    sha256: str
    size: int | None = None
    hosts: tuple[str, ...] | None = ()


@dataclass(frozen=True, slots=True)
class Transfer:
    """How far a download is, in bytes; `resumed` of them were there from an earlier one."""

    name: str
    done: int
    total: int | None
    resumed: int = 0


@dataclass(slots=True)
class _Arrived:
    """What has arrived of a file: its bytes, their hash so far, and what the server calls that version of the file."""

    url: str = ""
    version: str | None = None
    done: int = 0
    hash: Any = field(default_factory=hashlib.sha256)


def is_complete(file: RemoteFile, folder: Path) -> bool:
    """Say whether `file` is in `folder` already, without a connection.

    Raises:
        CorpusError: where another file is in its place.
    """
    path = folder / file.name
    if not path.exists():
        return False
    with full_disk_explained(path):
        found = _hashed(path).hexdigest() if path.is_file() else "that of no file"
    if found != file.sha256:
        raise CorpusError(
            f"{path} is there, but is another file: its SHA-256 is {found}, expected is {file.sha256}",
            "move it away, or choose another folder with --out",
        )
    return True


def fetch(
    file: RemoteFile,
    folder: Path,
    *,
    policy: Policy | None = None,
    report: Callable[[Transfer], None] | None = None,
) -> Path:
    """Download `file` into `folder`, unless it is there, and return its path; what came before a break is not lost.

    Raises:
        CorpusError: where it is not to be had, breaks off, or is not what was expected.
        S2SBotError: where it cannot be written.
    """
    policy = policy or Policy()
    path = folder / file.name
    if not _NAME.fullmatch(file.name):
        raise CorpusError(f"{file.name!r} is no name for a file", "give an address that ends in the name of a file")
    if (file.size or 0) > policy.largest:
        raise CorpusError(f"{file.name} is larger than {policy.largest:,} bytes", "download it by other means")
    if is_complete(file, folder):
        return path
    with full_disk_explained(path):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            download = _Download(file, path, policy, report or (lambda transfer: None))
            download.run()
    return path


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise CorpusError(f"{path} is being downloaded by another process", "wait for it, or end it") from error
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


class _Download:
    """One file on its way to `path`: `path`.part grows, and `path`.part.json says where it comes from.

    What is there of an earlier download is given up only for more bytes, or where the whole has another hash. An answer
    from the first byte on is therefore written to `path`.part.new until it is the longer one. As the hash of the whole
    is known, any server may go on with what another one began; where that makes another file, it is begun anew, once.
    """

    def __init__(self, file: RemoteFile, path: Path, policy: Policy, report: Callable[[Transfer], None]) -> None:
        self._file = file
        self._path = path
        self._policy = policy
        self._report = report
        self._part = path.with_name(f"{path.name}.part")
        self._new = path.with_name(f"{path.name}.part.new")
        self._note = path.with_name(f"{path.name}.part.json")
        self._most = policy.largest if file.size is None else file.size
        self._had = 0

    def run(self) -> None:
        self._new.unlink(missing_ok=True)
        earlier = arrived = self._read_part()
        self._had = earlier.done
        if self._file.size is None or earlier.done < self._file.size:
            self._check_space(earlier.done)
            arrived = self._from_any(earlier)
        if arrived is earlier and not self._is_right(arrived):
            self._remove()
            arrived = self._from_any(_Arrived())
        self._finish(arrived)

    def _read_part(self) -> _Arrived:
        """Return what an earlier download left, or nothing where it cannot be told what that is."""
        try:
            note = read_json(self._note, limit=2**16)
            url, version = str(note["url"]), note["version"]
            done = self._part.stat().st_size
        except (OSError, ValueError, TypeError, KeyError):
            return _Arrived()
        if url not in self._file.urls or done > self._most or not isinstance(version, str | None):
            return _Arrived()
        return _Arrived(url, version, done, _hashed(self._part))

    def _check_space(self, done: int) -> None:
        free = shutil.disk_usage(self._path.parent).free
        if self._file.size is not None and free < self._file.size - done:
            raise CorpusError(
                f"{self._file.name} needs {self._file.size - done:,} bytes, and the disk has {free:,} free",
                "free some space, or choose another folder with --out",
            )

    def _from_any(self, arrived: _Arrived) -> _Arrived:
        """Try one address after the other, the one that was begun with first."""
        failure = CorpusError(f"no address is known for {self._file.name}")
        for url in sorted(self._file.urls, key=lambda url: url != arrived.url):
            try:
                return self._from(url, arrived)
            except UnavailableError as error:
                failure = error
            except BrokenOffError as error:
                had = self._part.stat().st_size if self._part.exists() else 0
                raise CorpusError(
                    f"{error.message}; {had:,} bytes of {self._file.name} have arrived and are kept",
                    "the same command goes on from there",
                ) from error
        if self._had:
            kept = f"the {self._had:,} bytes of {self._file.name} that had arrived are kept"
            raise CorpusError(f"{failure.message}; {kept}", failure.hint) from failure
        raise failure

    def _from(self, url: str, arrived: _Arrived) -> _Arrived:
        hosts = None
        if self._file.hosts is not None:
            hosts = {*self._file.hosts, *(parse_url(each).host for each in self._file.urls)}
        for attempt in (arrived, _Arrived()):
            asked = {"Range": f"bytes={attempt.done}-"} if attempt.done else {}
            if asked and attempt.version and attempt.url == url:
                asked["If-Range"] = attempt.version  # no other server knows that version
            with opened(url, hosts=hosts, policy=self._policy, headers=asked) as answer:
                if answer.status == 200:
                    if "If-Range" in asked:
                        # should this answer break off early, the rest is asked for whatever the server calls it
                        self._write_note(url, None)
                    return self._store(answer, url, _Arrived())
                if answer.status == 206 and asked and self._goes_on(answer, attempt.done):
                    return self._store(answer, url, attempt)
        raise UnavailableError(
            f"the server of {url} sends parts of the file that were not asked for", "try again later"
        )

    def _goes_on(self, answer: Answer, done: int) -> bool:
        match = _RANGE.fullmatch(answer.header("Content-Range") or "")
        if match is None or int(match[1]) != done:
            return False
        return self._file.size is None or match[2] in ("*", str(self._file.size))

    def _store(self, answer: Answer, url: str, arrived: _Arrived) -> _Arrived:
        """Take in an answer: the rest of what has `arrived`, or the whole where nothing has."""
        encoding = answer.header("Content-Encoding") or "identity"
        if encoding != "identity":
            raise UnavailableError(f"the server of {url} sends the file in the encoding {encoding!r}", "report this")
        if answer.length is not None and self._file.size is not None:
            said = arrived.done + answer.length
            # the rest may come in several answers
            if said > self._file.size or (said < self._file.size and not arrived.done):
                raise self._another(self._of_length(said))
        arrived.url, arrived.version = url, _version(answer)
        pieces = self._pieces(answer, arrived)
        if arrived.done:
            self._write_note(url, arrived.version)
        else:
            self._begin(pieces, arrived)
        with self._part.open("ab") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        return arrived

    def _pieces(self, answer: Answer, arrived: _Arrived) -> Iterator[bytes]:
        """Yield the body in pieces, each of which counts as arrived when the next one is asked for."""
        resumed = arrived.done
        for piece in answer.pieces():
            if arrived.done + len(piece) > self._most:
                self._give_up(f"is longer than {self._most:,} bytes", arrived, resumed)
            yield piece
            arrived.hash.update(piece)
            arrived.done += len(piece)
            self._report(Transfer(self._file.name, arrived.done, self._file.size, resumed))
        left = (self._file.size or 0) - arrived.done
        if left > 0 and (resumed or not answer.bounded):
            raise BrokenOffError(f"the server of {arrived.url} ended the connection {left:,} bytes too early")
        if left > 0:
            self._give_up(self._of_length(arrived.done), arrived, resumed)

    def _begin(self, pieces: Iterator[bytes], arrived: _Arrived) -> None:
        """Write what comes beside the earlier part, and in its place as soon as it is longer, or whole and right."""
        try:
            with self._new.open("wb") as stream:
                for piece in pieces:
                    stream.write(piece)
                    if stream.tell() > self._had:
                        break
                else:
                    if not self._is_right(arrived):
                        raise self._another(self._of_hash(arrived))
            self._write_note(arrived.url, arrived.version)  # first, for a part without a note is worth nothing
            self._new.replace(self._part)
        finally:
            self._new.unlink(missing_ok=True)

    def _give_up(self, cause: str, arrived: _Arrived, resumed: int) -> NoReturn:
        """Refuse an answer, with what it was joined to or has replaced, but not what it stands beside."""
        if not resumed and arrived.done <= self._had:
            raise self._another(cause)
        self._refuse(cause)

    def _write_note(self, url: str, version: str | None) -> None:
        write_json(self._note, {"url": url, "version": version})

    def _is_right(self, arrived: _Arrived) -> bool:
        return bool(arrived.hash.hexdigest() == self._file.sha256)

    def _finish(self, arrived: _Arrived) -> None:
        if not self._is_right(arrived):
            self._refuse(self._of_hash(arrived))
        self._part.replace(self._path)
        self._note.unlink(missing_ok=True)
        sync_folder(self._path.parent)

    def _of_length(self, size: int) -> str:
        return f"is {size:,} bytes long, expected are {self._file.size:,}"

    def _of_hash(self, arrived: _Arrived) -> str:
        return f"has the SHA-256 {arrived.hash.hexdigest()}, expected is {self._file.sha256}"

    def _another(self, cause: str) -> UnavailableError:
        return UnavailableError(
            f"what arrived is not the file that was expected: {self._file.name} {cause}",
            "either it has changed at its source or somebody stands in between; try again later, or look at the "
            "corpus's own page",
        )

    def _refuse(self, cause: str) -> NoReturn:
        self._remove()
        error = self._another(cause)
        raise CorpusError(error.message, f"it was removed; {error.hint}")

    def _remove(self) -> None:
        self._part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self._had = 0


def _hashed(path: Path) -> Any:
    """Return the SHA-256 of a file, ready for more."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256")


def _version(answer: Answer) -> str | None:
    """Return what `If-Range` may hold: a strong ETag, or else the date of the last change."""
    tag = answer.header("ETag")
    found = tag if tag and not tag.startswith("W/") else answer.header("Last-Modified")
    return found if found and found.isascii() and found.isprintable() else None
