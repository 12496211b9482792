"""A store of any revision goes in; it comes out at the newest one, or exactly as it was."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock, Timeout
from sqlalchemy import Connection

from ..errors import NewerStoreError, StoreError
from ..files import sync_folder, write_atomically
from .connection import connect, journal_for, make_engine
from .schema import REVISION

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

__all__ = ["backups", "bring_up_to_date", "scripts_folder"]

KEPT_BACKUPS = 3
LOCK_SECONDS = 120.0
# Alembic's `op` and `context` are one a process, so two threads must not migrate at once, even two stores.
_one_at_a_time = threading.Lock()


class _Peek(NamedTuple):
    revision: str | None
    empty: bool
    journal: str


def scripts_folder() -> Path:
    """Return the folder of the migrations: the checkout's own, or the one inside the installed package.

    The checkout goes first, as an editable install can leave a stale copy beside this module.
    """
    package = Path(__file__).resolve().parent
    root = package.parents[1]
    # a checkout has its sources beside it; in an installed environment `migrations` there would be somebody else's
    of_a_checkout = (root / "plugins" / "s2sbot_attention.py").is_file()
    return root / "migrations" if of_a_checkout else package / "migrations"


def backups(path: Path) -> list[Path]:
    """Return the copies of the store at `path` that upgrades have left, newest first."""
    found = [file for file in path.parent.glob("*.bak-*") if file.name.startswith(f"{path.name}.bak-")]
    return sorted(found, key=lambda file: file.stat().st_mtime_ns, reverse=True)


def bring_up_to_date(path: Path, *, scripts: Path | None = None) -> None:
    """Run the migrations that the store at `path` lacks, in one transaction, after a backup of what it holds.

    `scripts` is a folder of migrations other than the shipped one. Several processes may call this at once.

    Raises:
        NewerStoreError: where it has a revision that `scripts` do not know; it is left untouched.
        StoreError: where it is the database of another program, or stays locked.
    """
    peek = _look(path)
    if scripts is None and peek.revision == REVISION and peek.journal == _journal():
        return
    with _one_at_a_time, _file_lock(path):
        peek = _look(path)
        if scripts is not None or peek.revision != REVISION:
            _upgrade(path, peek, scripts or scripts_folder())
        _settle_journal(path)


def _journal() -> str:
    return journal_for(sqlite3.sqlite_version_info)[0]


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    lock = FileLock(path.with_name(f"{path.name}.lock"), timeout=LOCK_SECONDS, mode=0o600)
    try:
        with lock:
            yield
    except Timeout as error:
        raise StoreError(
            f"another program has been upgrading {path} for {LOCK_SECONDS:.0f} seconds",
            "wait until it is done",
        ) from error


def _look(path: Path) -> _Peek:
    """Read the revision and no more: nothing may be written before it is known to be ours."""
    with closing(connect(path)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        journal = connection.execute("PRAGMA journal_mode").fetchone()[0]
        revision = None
        if {"alembic_version", "conversation"} <= tables:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            revision = row and row[0]
    return _Peek(revision, not tables, journal)


def _settle_journal(path: Path) -> None:
    with closing(connect(path)) as connection:
        try:
            connection.execute(f"PRAGMA journal_mode={_journal()}")
        except sqlite3.OperationalError as error:
            # Whoever has it open chose a mode that is right for them; the next to open it alone changes it.
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise


def _upgrade(path: Path, peek: _Peek, folder: Path) -> None:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(folder))
    if peek.revision is None and not peek.empty:
        raise StoreError(
            f"{path} is the database of another program", "move it away, or set S2SBOT_HOME to another folder"
        )
    if peek.revision not in {None, *(script.revision for script in scripts.walk_revisions())}:
        raise NewerStoreError(
            f"{path} was written by a newer s2sbot (revision {peek.revision})",
            "upgrade s2sbot: pip install --upgrade s2sbot; the file is untouched",
        )
    if peek.revision == scripts.get_current_head():
        return
    engine = make_engine(path).execution_options(writing=True)
    with engine.connect() as connection:
        # A batch migration drops and renames the table, and an enforced ON DELETE CASCADE would empty those
        # that refer to it. Inside a transaction the pragma does nothing. The next connection enforces again.
        connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")  # type: ignore[union-attr]
        with connection.begin():
            if peek.revision is not None:
                _back_up(path, peek.revision)
            before = _count(connection)
            _run(connection, scripts)
            _check(connection, path, before)
    engine.dispose()


def _run(connection: Connection, scripts: ScriptDirectory) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    def steps(revision: Any, context: MigrationContext) -> Any:
        return scripts._upgrade_revs("head", revision)

    config = Config(attributes={"connection": connection})
    with EnvironmentContext(config, scripts, fn=steps, destination_rev="head"):
        scripts.run_env()


def _count(connection: Connection) -> dict[str, int]:
    present = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
    return {
        table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
        for table in ("conversation", "message")
        if table in present
    }


def _check(connection: Connection, path: Path, before: dict[str, int]) -> None:
    after = _count(connection)
    lost = {table: rows - after.get(table, 0) for table, rows in before.items() if after.get(table, 0) < rows}
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if lost or broken:
        raise StoreError(
            f"the upgrade of {path} would lose {sum(lost.values())} rows and break {len(broken)} references",
            "nothing was changed; please report this as a bug",
        )


def _back_up(path: Path, revision: str) -> None:
    """Copy the store while the upgrade already holds the write lock, so that not one turn is missing."""

    def copy(target: Path) -> None:
        target.touch(mode=0o600)
        target.chmod(0o600)
        with closing(connect(path)) as connection:
            connection.execute("VACUUM INTO ?", (str(target),))
        with closing(connect(target)) as copied:
            [(verdict,)] = copied.execute("PRAGMA integrity_check(1)")
        if verdict != "ok":
            raise StoreError(f"the copy of {path} made before its upgrade is damaged", "nothing was changed")

    write_atomically(path.with_name(f"{path.name}.bak-{revision}"), copy)
    for old in backups(path)[KEPT_BACKUPS:]:
        old.unlink(missing_ok=True)
    sync_folder(path.parent)
