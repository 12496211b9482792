"""What can go wrong with the file is said in words, and nobody but its owner can read it."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from s2sbot.errors import StoreError
from s2sbot.store import Store, connection
from s2sbot.store.connection import connect, explained, journal_for


@pytest.mark.parametrize(
    ("version", "journal"),
    [((3, 40, 1), "delete"), ((3, 51, 2), "delete"), ((3, 51, 3), "wal"), ((3, 53, 0), "wal"), ((4, 0, 0), "wal")],
)
def test_a_write_ahead_log_only_where_sqlite_keeps_it_whole(version: tuple[int, int, int], journal: str) -> None:
    assert journal_for(version)[0] == journal


def test_every_connection_keeps_the_promises(tmp_path: Path) -> None:
    with Store.open(tmp_path / "conversations.db") as store, closing(connect(store.file)) as raw:

        def pragma(name: str) -> object:
            return raw.execute(f"PRAGMA {name}").fetchone()[0]

        mode, synchronous = journal_for(sqlite3.sqlite_version_info)
        assert pragma("journal_mode") == mode
        assert pragma("synchronous") == {"FULL": 2, "EXTRA": 3}[synchronous]
        assert pragma("foreign_keys") == 1
        assert pragma("busy_timeout") == 10_000
        assert pragma("trusted_schema") == 0
        assert pragma("secure_delete") == 1


def test_the_home_folder_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2SBOT_HOME", str(tmp_path / "home"))
    with Store.open() as store:
        assert store.file == tmp_path / "home" / "conversations.db"


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o177])
def test_files_and_folder_are_for_their_owner_alone(tmp_path: Path, umask: int) -> None:
    file = tmp_path / "home" / "conversations.db"
    old = os.umask(umask)
    try:
        with Store.open(file) as store:
            store.start("uuid", "friends")
            modes = {part.name: part.stat().st_mode & 0o777 for part in file.parent.iterdir()}
        file.chmod(0o644)
        Store.open(file).close()
    finally:
        os.umask(old)
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert set(modes.values()) == {0o600}, modes
    assert file.stat().st_mode & 0o777 == 0o600


def test_names_that_mean_something_in_an_address_are_plain_names(tmp_path: Path) -> None:
    file = tmp_path / "a?b#c%20d é" / "x?mode=memory.db"
    Store.open(file).close()
    assert file.stat().st_size > 0


def test_a_file_that_is_no_database_is_refused_and_not_written(tmp_path: Path) -> None:
    file = tmp_path / "conversations.db"
    file.write_bytes(b"just some notes\n" * 100)
    with pytest.raises(StoreError, match="is not a conversation store") as caught:
        Store.open(file)
    assert caught.value.hint
    assert file.read_bytes() == b"just some notes\n" * 100


def test_a_damaged_store_says_so(tmp_path: Path) -> None:
    file = tmp_path / "conversations.db"
    with Store.open(file) as store:
        conversation = store.start("uuid", "friends")
        for _ in range(20):
            store.append(conversation.id, "user", "x" * 2000)
        data = bytearray(file.read_bytes())
        data[4096:] = b"\x99" * (len(data) - 4096)
        file.write_bytes(data)
        with pytest.raises(StoreError, match="damaged"):
            store.path(conversation.id)


def test_a_folder_or_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot open"):
        Store.open(tmp_path)
    (tmp_path / "taken").touch()
    with pytest.raises(StoreError, match="cannot open"):
        Store.open(tmp_path / "taken" / "conversations.db")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that even root cannot write")
def test_a_folder_that_cannot_be_written_is_said() -> None:
    with pytest.raises(StoreError, match="cannot open") as caught:
        Store.open(Path("/proc/conversations.db"))
    assert "S2SBOT_HOME" in caught.value.hint


def test_a_full_disk_is_said_and_what_was_there_stays(tmp_path: Path) -> None:
    with Store.open(tmp_path / "conversations.db") as store:
        conversation = store.start("uuid", "friends")
        kept = store.append(conversation.id, "user", "hello")

        def limit(raw: sqlite3.Connection, record: object) -> None:
            raw.execute("PRAGMA max_page_count=1")  # never below what the file has

        event.listen(store._engine, "connect", limit)
        with pytest.raises(StoreError, match="no space left"):
            store.append(conversation.id, "bot", "x" * 100_000)
        event.remove(store._engine, "connect", limit)
        assert store.path(conversation.id) == (kept,)
        store.append(conversation.id, "bot", "x" * 100_000)


@pytest.mark.skipif(os.name == "nt", reason="needs resource limits")
def test_a_write_that_fails_is_said_and_what_was_there_stays(tmp_path: Path) -> None:
    file = tmp_path / "conversations.db"
    code = (
        "import resource, signal, sys; from pathlib import Path; from s2sbot.store import Store\n"
        "from s2sbot.errors import StoreError\n"
        "store = Store.open(Path(sys.argv[1])); one = store.start('uuid', 'friends')\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, -1))\n"
        "try: store.append(one.id, 'user', 'x' * 100_000)\n"
        "except StoreError as error: print(error.message)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))\n"
        "store.append(one.id, 'user', 'y')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], check=True, capture_output=True, text=True, timeout=60
    )
    assert "disk" in done.stdout
    with Store.open(file) as store:
        assert [one.text for one in store.path(store.find("last").id)] == ["y"]


def test_a_locked_store_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    with Store.open(tmp_path / "conversations.db") as store, closing(connect(store.file)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked") as caught:
            store.start("uuid", "friends")
        assert "close it" in caught.value.hint
        other.execute("ROLLBACK")
        conversation = store.start("uuid", "friends")
        other.execute("BEGIN")
        other.execute("SELECT * FROM conversation").fetchall()
        with pytest.raises(StoreError, match=r"locked|traces"):
            store.delete(conversation.id)


def test_a_file_that_vanished_is_not_made_again(tmp_path: Path) -> None:
    with Store.open(tmp_path / "conversations.db") as store:
        store.file.unlink()
        with pytest.raises(StoreError, match="cannot open"):
            store.conversations()
        assert not store.file.exists()


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "no space"), (errno.EDQUOT, "no space"), (errno.EROFS, "cannot open")]
)
def test_errors_of_the_system_are_explained_too(tmp_path: Path, number: int, words: str) -> None:
    with pytest.raises(StoreError, match=words), explained(tmp_path / "conversations.db"):
        raise OSError(number, os.strerror(number))


def test_faults_of_ours_are_not_explained_away(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="syntax"), explained(tmp_path):
        sqlite3.connect(":memory:").execute("SELEKT")
