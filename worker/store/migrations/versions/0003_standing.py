"""Standing approvals: given in advance, never deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

Name = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "standing",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("approval", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("revoked_at", Name),
        sa.Column("revoked_by", Name),
        sa.Column("revoked_because", sa.Text),
    )
