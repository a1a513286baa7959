"""What people should see in Slack, and what stands there."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

Name = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "slack_channels",
        sa.Column("lane", Name, primary_key=True),
        sa.Column("incident", Name),
        sa.Column("channel", Name, index=True),
        sa.Column("name", Name),
        sa.Column("state", Name, nullable=False),
        sa.Column("wanted", sa.Text, nullable=False),
        sa.Column("done", sa.Text, nullable=False),
        sa.Column("owner", Name),
        sa.Column("until", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_try", sa.Float, nullable=False),
        sa.Column("error", Name),
    )
    op.create_table(
        "slack_messages",
        sa.Column("key", Name, primary_key=True),
        sa.Column("lane", Name, nullable=False, index=True),
        sa.Column("incident", Name, nullable=False, index=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("kind", Name, nullable=False),
        sa.Column("parent", Name),
        sa.Column("wanted", sa.Text, nullable=False),
        sa.Column("wanted_hash", Name, nullable=False),
        sa.Column("shown_hash", Name),
        sa.Column("notices", sa.Text, nullable=False),
        sa.Column("pin", sa.Boolean, nullable=False),
        sa.Column("channel", Name),
        sa.Column("ts", Name),
        sa.Column("state", Name, nullable=False),
        sa.Column("plain", sa.Boolean, nullable=False),
        sa.Column("begun", sa.Float),
        sa.Column("shown_at", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_try", sa.Float, nullable=False),
        sa.Column("error", Name),
        sa.Index("slack_messages_stand", "channel", "ts"),
    )
    op.create_table(
        "slack_files",
        sa.Column("key", Name, primary_key=True),
        sa.Column("name", Name, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "slack_cards",
        sa.Column("id", Name, primary_key=True),
        sa.Column("incident", Name, nullable=False),
        sa.Column("run", Name, nullable=False),
        sa.Column("step", Name, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("digest", Name, nullable=False),
        sa.Column("kind", Name, nullable=False),
        sa.Column("channel", Name, nullable=False),
        sa.Column("message_key", Name, nullable=False, index=True),
        sa.Column("at", Name, nullable=False),
    )
