"""Tables of the store. Instants are RFC 3339 UTC text; documents are JSON text."""

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text, UniqueConstraint

metadata = MetaData()

incidents = Table(
    "incidents",
    metadata,
    Column("id", String, primary_key=True),
    Column("year", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("kind", String, nullable=False),
    Column("severity", Integer),
    Column("mode", String, nullable=False),
    Column("status", String, nullable=False),
    Column("opened_at", String, nullable=False),
    Column("opened_by", String, nullable=False),
    Column("facts", Text, nullable=False),
    Column("facts_version", Integer, nullable=False),
    Column("alerts", Integer, nullable=False),
    Column("alert_first", String),
    Column("alert_last", String),
    UniqueConstraint("year", "number"),
)
alert_keys = Table(
    "alert_keys",
    metadata,
    Column("dedupe_key", String, primary_key=True),
    Column("incident", String, nullable=False, index=True),
    Column("count", Integer, nullable=False),
)
correlations = Table(
    "correlations",
    metadata,
    Column("key", String, primary_key=True),
    Column("incident", String, nullable=False),
    Column("at", String, nullable=False),
)
starts = Table(
    "starts",
    metadata,
    Column("incident", String, primary_key=True),
    Column("start", Text, nullable=False),
    Column("confirmed", Boolean, nullable=False),
)
raw_alerts = Table(
    "raw_alerts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("sha256", String, nullable=False),
    Column("source", String, nullable=False),
    Column("headers", Text, nullable=False),
    Column("at", String, nullable=False),
)
runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("incident", String, nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("given", Text, nullable=False),
)
plans = Table(
    "plans",
    metadata,
    Column("run", String, primary_key=True),
    Column("incident", String, nullable=False, index=True),
    Column("digest", String, nullable=False),
    Column("plan", Text, nullable=False),
)
snapshots = Table(
    "snapshots",
    metadata,
    Column("id", String, primary_key=True),
    Column("incident", String, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("state", Text),
)
journal = Table(
    "journal",
    metadata,
    Column("incident", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("key", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("at", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("door", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("prev", String, nullable=False),
    Column("hash", String, nullable=False),
    UniqueConstraint("incident", "key"),
)
heads = Table(
    "heads",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("incident", String, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Index("heads_of_incident", "incident", "seq"),
)
evidence = Table(
    "evidence",
    metadata,
    Column("incident", String, primary_key=True),
    Column("sha256", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("source", String, primary_key=True),
    Column("media_type", String, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("actor", String, nullable=False),
    Column("at", String, nullable=False),
)
people = Table(
    "people",
    metadata,
    Column("name", String, primary_key=True),
    Column("roles", Text, nullable=False),
    Column("identities", Text, nullable=False),
)
tokens = Table(
    "tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("person", String, nullable=False, index=True),
    Column("at", String, nullable=False),
)
notices = Table(
    "notices",
    metadata,
    Column("id", String, primary_key=True),
    Column("position", Integer, nullable=False, index=True),
    Column("incident", String, nullable=False, index=True),
    Column("notice", Text, nullable=False),
)
deliveries = Table(
    "deliveries",
    metadata,
    Column("notice", String, primary_key=True),
    Column("channel", String, primary_key=True),
    Column("at", String, nullable=False),
    Column("error", String),
)
hold = Table(
    "hold",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("person", String, nullable=False),
    Column("at", String, nullable=False),
)
drafts = Table(
    "drafts",
    metadata,
    Column("incident", String, primary_key=True),
    Column("path", String, primary_key=True),
    Column("document", Text, nullable=False),
    Column("sha256", String, nullable=False),
    Column("at", String, nullable=False),
)
