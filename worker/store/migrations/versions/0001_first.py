"""The first schema. Journal, heads and evidence can be added to, never changed."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

RECORDS = ("journal", "heads", "evidence")
Name = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make every table, and refuse changes of what is a record."""
    op.create_table(
        "incidents",
        sa.Column("id", Name, primary_key=True),
        sa.Column("year", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("kind", Name, nullable=False),
        sa.Column("severity", sa.Integer),
        sa.Column("mode", Name, nullable=False),
        sa.Column("status", Name, nullable=False),
        sa.Column("opened_at", Name, nullable=False),
        sa.Column("opened_by", Name, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("facts_version", sa.Integer, nullable=False),
        sa.Column("alerts", sa.Integer, nullable=False),
        sa.Column("alert_first", Name),
        sa.Column("alert_last", Name),
        sa.UniqueConstraint("year", "number"),
    )
    op.create_table(
        "alert_keys",
        sa.Column("dedupe_key", Name, primary_key=True),
        sa.Column("incident", Name, primary_key=True, index=True),
        sa.Column("count", sa.Integer, nullable=False),
    )
    op.create_table(
        "correlations",
        sa.Column("key", Name, primary_key=True),
        sa.Column("incident", Name, nullable=False),
        sa.Column("at", Name, nullable=False),
    )
    op.create_table(
        "starts",
        sa.Column("incident", Name, primary_key=True),
        sa.Column("playbook", Name, primary_key=True),
        sa.Column("start", sa.Text, nullable=False),
        sa.Column("confirmed", sa.Boolean, nullable=False),
    )
    op.create_table(
        "raw_alerts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("sha256", Name, nullable=False),
        sa.Column("source", Name, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("at", Name, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("id", Name, primary_key=True),
        sa.Column("incident", Name, nullable=False, index=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("given", sa.Text, nullable=False),
    )
    op.create_table(
        "plans",
        sa.Column("run", Name, primary_key=True),
        sa.Column("incident", Name, nullable=False, index=True),
        sa.Column("digest", Name, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
    )
    op.create_table(
        "snapshots",
        sa.Column("id", Name, primary_key=True),
        sa.Column("incident", Name, nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("state", sa.Text),
    )
    op.create_table(
        "journal",
        sa.Column("incident", Name, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("key", Name, nullable=False),
        sa.Column("kind", Name, nullable=False),
        sa.Column("at", Name, nullable=False),
        sa.Column("actor", Name, nullable=False),
        sa.Column("door", Name, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("prev", Name, nullable=False),
        sa.Column("hash", Name, nullable=False),
        sa.UniqueConstraint("incident", "key"),
    )
    op.create_table(
        "heads",
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("incident", Name, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Index("heads_of_incident", "incident", "seq"),
    )
    op.create_table(
        "evidence",
        sa.Column("incident", Name, primary_key=True),
        sa.Column("sha256", Name, primary_key=True),
        sa.Column("name", Name, primary_key=True),
        sa.Column("source", Name, primary_key=True),
        sa.Column("media_type", Name, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("actor", Name, nullable=False),
        sa.Column("at", Name, nullable=False),
    )
    op.create_table(
        "people",
        sa.Column("name", Name, primary_key=True),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("identities", sa.Text, nullable=False),
    )
    op.create_table(
        "tokens",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("person", Name, nullable=False, index=True),
        sa.Column("at", Name, nullable=False),
    )
    op.create_table(
        "notices",
        sa.Column("id", Name, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False, index=True),
        sa.Column("incident", Name, nullable=False, index=True),
        sa.Column("notice", sa.Text, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("notice", Name, primary_key=True),
        sa.Column("channel", Name, primary_key=True),
        sa.Column("at", Name, nullable=False),
        sa.Column("error", Name),
    )
    op.create_table(
        "hold",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("person", Name, nullable=False),
        sa.Column("at", Name, nullable=False),
    )
    op.create_table(
        "drafts",
        sa.Column("incident", Name, primary_key=True),
        sa.Column("path", Name, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("sha256", Name, nullable=False),
        sa.Column("at", Name, nullable=False),
    )
    refuse = {"sqlite": _refuse_on_sqlite, "postgresql": _refuse_on_postgresql}[op.get_bind().dialect.name]
    refuse()


def _refuse_on_sqlite() -> None:
    for table in RECORDS:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def _refuse_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in RECORDS:
        op.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    """There is no way back from the first schema."""
    raise RuntimeError("the first schema has no predecessor")
