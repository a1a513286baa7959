"""How people are reached, and the pages that wake them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

Name = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables; nobody is woken for what was told before."""
    op.create_table(
        "contacts",
        sa.Column("person", Name, primary_key=True),
        sa.Column("contact", sa.Text, nullable=False),
    )
    op.create_table(
        "pages",
        sa.Column("id", Name, primary_key=True),
        sa.Column("incident", Name, nullable=False, index=True),
        sa.Column("status", Name, nullable=False, index=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("lease", Name),
    )
    op.execute(
        "INSERT INTO pages (id, incident, status, state, version) SELECT id, incident, 'none', '{}', 1 FROM notices"
    )


def downgrade() -> None:
    """Forget who was woken."""
    op.drop_table("pages")
    op.drop_table("contacts")
