"""What people do at a door is kept before it is acknowledged; a start knows the request that asked for it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

Name = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table and the column."""
    op.create_table(
        "inbox",
        sa.Column("id", Name, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False, index=True),
        sa.Column("token", Name, nullable=False),
        sa.Column("envelope", Name, nullable=False),
        sa.Column("at", Name, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("done_at", Name),
    )
    op.add_column("incidents", sa.Column("request", Name))
    op.create_index("incidents_request", "incidents", ["request"], unique=True)
