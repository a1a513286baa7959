"""What the other side of a page was told of its end."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

Name = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Nothing was told yet; to be told twice does no harm."""
    op.add_column("pages", sa.Column("settled", Name))


def downgrade() -> None:
    """Forget it."""
    op.drop_column("pages", "settled")
