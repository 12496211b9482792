"""A connection inside a transaction comes in through the configuration; versions/ are run on it."""

from __future__ import annotations

from alembic import context

from s2sbot.store.schema import Base

# s2sbot/store/migrate.py begins and commits, and says there why foreign keys are off meanwhile.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
