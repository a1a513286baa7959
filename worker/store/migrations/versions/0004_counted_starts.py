"""Starts that alerts asked for say of which source they are, so that the store can count them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

Name = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns; earlier starts count for no source."""
    op.add_column("starts", sa.Column("source", Name))
    op.add_column("starts", sa.Column("effect", sa.Boolean))
    op.add_column("starts", sa.Column("at", Name))
