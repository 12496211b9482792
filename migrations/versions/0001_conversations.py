"""Conversations and the trees of their messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversation",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("bot_uuid", sa.Text(), nullable=False),
        sa.Column("bot_name", sa.Text(), nullable=False),
        sa.Column("created", sa.Text(), nullable=False),
        sa.Column("updated", sa.Text(), nullable=False),
        sa.Column("tip_id", sa.Text()),
        sa.ForeignKeyConstraint(["tip_id"], ["message.id"], name=op.f("fk_conversation_tip_id_message")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversation")),
    )
    op.create_table(
        "message",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Text()),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created", sa.Text(), nullable=False),
        sa.Column("bot_uuid", sa.Text()),
        sa.Column("seed", sa.Integer()),
        sa.Column("options", sa.JSON()),
        sa.Column("score", sa.Float()),
        sa.Column("state", sa.LargeBinary()),
        sa.Column("stopped", sa.Boolean(), nullable=False),
        sa.CheckConstraint("role IN ('user', 'bot')", name=op.f("ck_message_role")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversation.id"],
            name=op.f("fk_message_conversation_id_conversation"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["message.id"], name=op.f("fk_message_parent_id_message")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
    )
    op.create_index(op.f("ix_conversation_updated"), "conversation", ["updated"])
    op.create_index(op.f("ix_message_conversation_id"), "message", ["conversation_id"])
    op.create_index(op.f("ix_message_parent_id"), "message", ["parent_id"])


def downgrade() -> None:
    op.drop_table("message")
    op.drop_table("conversation")
