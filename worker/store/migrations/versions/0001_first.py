"""The first schema. Journal and heads can be added to, never changed."""

from alembic import op

from worker.store.schema import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table, and refuse changes of what is a record."""
    metadata.create_all(op.get_bind())
    if op.get_bind().dialect.name == "sqlite":
        for table in ("journal", "heads", "evidence"):
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )


def downgrade() -> None:
    """There is no way back from the first schema."""
    raise RuntimeError("the first schema has no predecessor")
