"""Roles that people hand to others for a time."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Name = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """One delegation for each role of a person."""
    op.create_table(
        "delegations",
        sa.Column("person", Name, primary_key=True),
        sa.Column("role", Name, primary_key=True),
        sa.Column("to", Name, nullable=False, index=True),
        sa.Column("until", Name, nullable=False),
        sa.Column("at", Name, nullable=False),
        sa.Column("by", Name, nullable=False),
    )


def downgrade() -> None:
    """Give every role back."""
    op.drop_table("delegations")
