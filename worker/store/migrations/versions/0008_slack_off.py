"""The switch that shuts the door of Slack."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

Name = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table; Slack is on."""
    op.create_table(
        "slack_off",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("person", Name, nullable=False),
        sa.Column("at", Name, nullable=False),
    )


def downgrade() -> None:
    """Forget that it was off."""
    op.drop_table("slack_off")
