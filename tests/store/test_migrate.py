"""A store of any revision opens at the newest one, or stays exactly as it was."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from s2sbot.errors import NewerStoreError, StoreError
from s2sbot.store import Store
from s2sbot.store.connection import create_private_file, make_engine
from s2sbot.store.migrate import KEPT_BACKUPS, backups, bring_up_to_date, scripts_folder
from s2sbot.store.schema import REVISION, Base

SECOND = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = {revision!r}, {before!r}, None, None


def upgrade():
{body}


def downgrade():
    pass
"""
ADD_COLUMN = "    op.add_column('conversation', sa.Column('mood{revision}', sa.Text()))"
REBUILD = """
    with op.batch_alter_table("conversation", recreate="always") as table:
        table.alter_column("title", new_column_name="heading")
        table.add_column(sa.Column("mood", sa.Text(), nullable=False, server_default="calm"))
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    return Path(shutil.copytree(scripts_folder(), tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store of the first revision with one conversation of two turns."""
    file = tmp_path / "home" / "conversations.db"
    with Store.open(file) as store:
        conversation = store.start("uuid", "friends", title="Ferry")
        store.append(conversation.id, "user", "hello")
        store.append(conversation.id, "bot", "hi")
    return file


def add_revision(scripts: Path, body: str, *, revision: str = "0002", before: str = "0001") -> None:
    code = SECOND.format(revision=revision, before=before, body=body.format(revision=revision))
    (scripts / "versions" / f"{revision}_test.py").write_text(code)


def contents(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as raw:
        return list(raw.iterdump())


def count(file: Path, table: str) -> int:
    with closing(sqlite3.connect(file)) as raw:
        return int(raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_the_revision_written_down_is_the_newest() -> None:
    assert ScriptDirectory(str(scripts_folder())).get_current_head() == REVISION


def test_the_migrations_make_what_the_classes_say(file: Path) -> None:
    with make_engine(file).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        names = connection.execute(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")).scalars().all()
    assert all(word in " ".join(names) for word in ("fk_conversation_tip_id_message", "pk_message", "ck_message_role"))


def test_a_migration_that_fails_half_way_changes_nothing_and_can_be_tried_again(file: Path, scripts: Path) -> None:
    before = contents(file)
    add_revision(scripts, f"{REBUILD}\n    op.drop_table('message')\n    raise RuntimeError('half-way')")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="half-way"):
            bring_up_to_date(file, scripts=scripts)
        assert contents(file) == before
    add_revision(scripts, REBUILD)
    bring_up_to_date(file, scripts=scripts)
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == ("0002",)
        assert raw.execute("SELECT heading, mood FROM conversation").fetchall() == [("Ferry", "calm")]


def test_a_rebuilt_table_keeps_what_refers_to_it(file: Path, scripts: Path) -> None:
    add_revision(scripts, REBUILD)
    bring_up_to_date(file, scripts=scripts)
    assert (count(file, "conversation"), count(file, "message")) == (1, 2)


@pytest.mark.parametrize(
    "body",
    [
        "    op.execute('DELETE FROM message')\n    op.execute('UPDATE conversation SET tip_id = NULL')",
        "    op.execute(\"UPDATE message SET parent_id = 'nobody'\")",
    ],
)
def test_a_migration_that_loses_rows_or_references_is_rolled_back(file: Path, scripts: Path, body: str) -> None:
    before = contents(file)
    add_revision(scripts, body)
    with pytest.raises(StoreError, match="would lose"):
        bring_up_to_date(file, scripts=scripts)
    assert contents(file) == before


def test_a_backup_is_made_first_and_the_newest_are_kept(file: Path, scripts: Path) -> None:
    before = contents(file)
    for number in range(2, 8):
        add_revision(scripts, ADD_COLUMN, revision=f"000{number}", before=f"000{number - 1}")
        bring_up_to_date(file, scripts=scripts)
        if number == 2:
            assert contents(file.with_name("conversations.db.bak-0001")) == before
    found = backups(file)
    assert [copy.name[-4:] for copy in found] == ["0006", "0005", "0004"]
    assert len(found) == KEPT_BACKUPS
    assert {copy.stat().st_mode & 0o777 for copy in found} == {0o600}
    assert not list(file.parent.glob(".*.tmp"))


def test_a_fresh_store_needs_no_backup(file: Path) -> None:
    assert backups(file) == []


def test_a_store_of_the_future_is_refused_and_not_written(file: Path) -> None:
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    before = file.read_bytes()
    with pytest.raises(NewerStoreError, match="newer s2sbot") as caught:
        Store.open(file)
    assert caught.value.exit_code == 3
    assert "upgrade" in caught.value.hint
    assert file.read_bytes() == before


def test_the_database_of_another_program_is_refused_and_not_written(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("CREATE TABLE song (title TEXT)")
    before = file.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        Store.open(file)
    assert file.read_bytes() == before


def test_several_processes_open_a_fresh_store_at_once(tmp_path: Path) -> None:
    file = tmp_path / "fresh" / "conversations.db"
    code = (
        "import sys; from pathlib import Path; from s2sbot.store import Store\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "with Store.open(Path(sys.argv[1])) as store:\n"
        "    store.append(store.start('uuid', 'friends').id, 'user', 'hello')\n"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, str(file)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert (child.returncode, errors) == (0, "")
    assert (count(file, "conversation"), count(file, "message"), count(file, "alembic_version")) == (4, 4, 1)


def test_threads_migrate_two_stores_at_once(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.db" for name in ("one", "two")] * 2
    failures: list[BaseException] = []

    def open_it(file: Path) -> None:
        try:
            Store.open(file).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_store_that_is_up_to_date_opens_without_alembic(file: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from s2sbot.store import Store\n"
        "Store.open(Path(sys.argv[1])).close()\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('alembic', 'mako', 'torch')]\n"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=True, timeout=60)


def test_the_last_migration_can_be_undone(tmp_path: Path) -> None:
    from alembic.operations import Operations

    file = tmp_path / "conversations.db"
    create_private_file(file)
    bring_up_to_date(file)
    script = ScriptDirectory(str(scripts_folder())).get_revision(REVISION)
    with make_engine(file).begin() as connection, Operations.context(MigrationContext.configure(connection)):
        script.module.downgrade()
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE '%alembic_version%'").fetchall() == []
