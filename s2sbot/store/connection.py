"""The path of a store goes in; connections that keep its promises come out, and errors in plain words."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from ..errors import StoreError
from ..files import make_private_folder

__all__ = ["compact", "connect", "create_private_file", "explained", "journal_for", "make_engine", "tighten"]

BUSY_SECONDS = 10.0


def journal_for(version: tuple[int, int, int]) -> tuple[str, str]:
    """Return the journal mode and the `synchronous` level that lose no committed turn with this SQLite.

    Before 3.51.3 two connections that commit and checkpoint a write-ahead log at once can corrupt the file
    (https://sqlite.org/wal.html#walresetbug), so there the rollback journal has to do.
    """
    return ("wal", "FULL") if version >= (3, 51, 3) else ("delete", "EXTRA")


def connect(path: Path) -> sqlite3.Connection:
    """Open an existing file; mode=rw, as SQLite would else make a missing one, readable by everybody."""
    synchronous = journal_for(sqlite3.sqlite_version_info)[1]
    # isolation_level None: the module's own BEGIN leaves CREATE and DROP outside of transactions.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        timeout=BUSY_SECONDS,
        isolation_level=None,
        uri=True,
        check_same_thread=False,
    )
    try:
        for pragma in ("trusted_schema=OFF", "foreign_keys=ON", "secure_delete=ON", f"synchronous={synchronous}"):
            connection.execute(f"PRAGMA {pragma}")
        # SQLite's own lower() and LIKE know the letters of ASCII only.
        connection.create_function("casefold", 1, str.casefold, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def make_engine(path: Path) -> Engine:
    """Return an engine over `path` without a pool, so that no connection ever crosses a fork.

    With the execution option `writing=True` a transaction takes the write lock at once: one that reads first
    and writes later fails without waiting where another wrote in between.
    """
    engine = create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def create_private_file(path: Path) -> None:
    """Make `path` and its folder where there are none, for their owner alone whatever the umask says."""
    if not path.parent.exists():
        make_private_folder(path.parent).chmod(0o700)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except FileExistsError:
        return
    os.close(descriptor)
    path.chmod(0o600)


def tighten(path: Path) -> None:
    """Take the rights of group and others off the store; SQLite gives its side files those of the first."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        file = path.with_name(path.name + suffix)
        try:
            if file.stat().st_mode & 0o077:
                file.chmod(0o600)
        except OSError:
            continue


def compact(path: Path) -> None:
    """Rewrite the file without what was deleted from it.

    Raises:
        StoreError: where another process keeps reading, or the disk has no room for a second copy.
    """
    with explained(path), closing(connect(path)) as connection:
        connection.execute("VACUUM")
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise _locked(path)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what can go wrong with the file at `path` into a StoreError; let faults of ours pass.

    Raises:
        StoreError: where the file is locked, damaged, no database or not ours to write, or the disk is full.
    """
    try:
        yield
    except DBAPIError as error:
        known = _from_sqlite(path, error.orig)
        if known is None:
            raise
        raise known from error
    except sqlite3.Error as error:
        known = _from_sqlite(path, error)
        if known is None:
            raise
        raise known from error
    except OSError as error:
        raise _from_system(path, error) from error


def _locked(path: Path) -> StoreError:
    return StoreError(
        f"another program has kept {path} locked for {BUSY_SECONDS:.0f} seconds",
        "close it, or wait until it is done, and try again",
    )


def _from_sqlite(path: Path, error: Any) -> StoreError | None:
    # The low byte is the kind; the rest says which call of the operating system it was.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _locked(path)
    if code == sqlite3.SQLITE_FULL:
        return _full(path)
    if code == sqlite3.SQLITE_NOTADB:
        return StoreError(f"{path} is not a conversation store", "move it away, or set S2SBOT_HOME to another folder")
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreError(
            f"the conversation store {path} is damaged",
            f"put back a copy of yours or one named {path.name}.bak-*, or try: sqlite3 {path} .recover",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return _forbidden(path, str(error))
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(
            f"the disk failed while reading or writing {path}: {error}",
            "check the disk and its free space; what was saved before is untouched",
        )
    return None


def _from_system(path: Path, error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full(path)
    return _forbidden(path, error.strerror or str(error))


def _full(path: Path) -> StoreError:
    return StoreError(
        f"no space left on the disk while writing {path}",
        "free some space and try again; what was saved before is untouched",
    )


def _forbidden(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"cannot open the conversation store {path}: {reason}",
        "you must be allowed to write it and its folder; S2SBOT_HOME names another folder",
    )
