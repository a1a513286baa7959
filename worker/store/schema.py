"""Tables of the store. Instants are RFC 3339 UTC text; documents are JSON text.

What they are now; how they came to be stands in ``migrations/``.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

Name = String().with_variant(String(collation="C"), "postgresql")
"""Text that is compared and sorted by its characters' numbers, whatever the language of the database."""

incidents = Table(
    "incidents",
    metadata,
    Column("id", Name, primary_key=True),
    Column("year", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("kind", Name, nullable=False),
    Column("severity", Integer),
    Column("mode", Name, nullable=False),
    Column("status", Name, nullable=False),
    Column("opened_at", Name, nullable=False),
    Column("opened_by", Name, nullable=False),
    Column("facts", Text, nullable=False),
    Column("facts_version", Integer, nullable=False),
    Column("alerts", Integer, nullable=False),
    Column("alert_first", Name),
    Column("alert_last", Name),
    Column("request", Name),
    UniqueConstraint("year", "number"),
    Index("incidents_request", "request", unique=True),
)
alert_keys = Table(
    "alert_keys",
    metadata,
    Column("dedupe_key", Name, primary_key=True),
    Column("incident", Name, primary_key=True, index=True),
    Column("count", Integer, nullable=False),
)
correlations = Table(
    "correlations",
    metadata,
    Column("key", Name, primary_key=True),
    Column("incident", Name, nullable=False),
    Column("at", Name, nullable=False),
)
starts = Table(
    "starts",
    metadata,
    Column("incident", Name, primary_key=True),
    Column("playbook", Name, primary_key=True),
    Column("start", Text, nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("source", Name),
    Column("effect", Boolean),
    Column("at", Name),
)
raw_alerts = Table(
    "raw_alerts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("sha256", Name, nullable=False),
    Column("source", Name, nullable=False),
    Column("headers", Text, nullable=False),
    Column("at", Name, nullable=False),
)
runs = Table(
    "runs",
    metadata,
    Column("id", Name, primary_key=True),
    Column("incident", Name, nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("given", Text, nullable=False),
)
plans = Table(
    "plans",
    metadata,
    Column("run", Name, primary_key=True),
    Column("incident", Name, nullable=False, index=True),
    Column("digest", Name, nullable=False),
    Column("plan", Text, nullable=False),
)
snapshots = Table(
    "snapshots",
    metadata,
    Column("id", Name, primary_key=True),
    Column("incident", Name, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("state", Text),
)
journal = Table(
    "journal",
    metadata,
    Column("incident", Name, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("key", Name, nullable=False),
    Column("kind", Name, nullable=False),
    Column("at", Name, nullable=False),
    Column("actor", Name, nullable=False),
    Column("door", Name, nullable=False),
    Column("body", Text, nullable=False),
    Column("prev", Name, nullable=False),
    Column("hash", Name, nullable=False),
    UniqueConstraint("incident", "key"),
)
heads = Table(
    "heads",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("incident", Name, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Index("heads_of_incident", "incident", "seq"),
)
evidence = Table(
    "evidence",
    metadata,
    Column("incident", Name, primary_key=True),
    Column("sha256", Name, primary_key=True),
    Column("name", Name, primary_key=True),
    Column("source", Name, primary_key=True),
    Column("media_type", Name, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("actor", Name, nullable=False),
    Column("at", Name, nullable=False),
)
people = Table(
    "people",
    metadata,
    Column("name", Name, primary_key=True),
    Column("roles", Text, nullable=False),
    Column("identities", Text, nullable=False),
)
tokens = Table(
    "tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("person", Name, nullable=False, index=True),
    Column("at", Name, nullable=False),
)
delegations = Table(
    "delegations",
    metadata,
    Column("person", Name, primary_key=True),
    Column("role", Name, primary_key=True),
    Column("to", Name, nullable=False, index=True),
    Column("until", Name, nullable=False),
    Column("at", Name, nullable=False),
    Column("by", Name, nullable=False),
)
notices = Table(
    "notices",
    metadata,
    Column("id", Name, primary_key=True),
    Column("position", Integer, nullable=False, index=True),
    Column("incident", Name, nullable=False, index=True),
    Column("notice", Text, nullable=False),
)
deliveries = Table(
    "deliveries",
    metadata,
    Column("notice", Name, primary_key=True),
    Column("channel", Name, primary_key=True),
    Column("at", Name, nullable=False),
    Column("error", Name),
)
hold = Table(
    "hold",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("person", Name, nullable=False),
    Column("at", Name, nullable=False),
)
slack_off = Table(
    "slack_off",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("person", Name, nullable=False),
    Column("at", Name, nullable=False),
)
drafts = Table(
    "drafts",
    metadata,
    Column("incident", Name, primary_key=True),
    Column("path", Name, primary_key=True),
    Column("document", Text, nullable=False),
    Column("sha256", Name, nullable=False),
    Column("at", Name, nullable=False),
)
standing = Table(
    "standing",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("approval", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("revoked_at", Name),
    Column("revoked_by", Name),
    Column("revoked_because", Text),
)
inbox = Table(
    "inbox",
    metadata,
    Column("id", Name, primary_key=True),
    Column("position", Integer, nullable=False, index=True),
    Column("token", Name, nullable=False),
    Column("envelope", Name, nullable=False),
    Column("at", Name, nullable=False),
    Column("what", Text, nullable=False),
    Column("outcome", Text),
    Column("done_at", Name),
)
slack_channels = Table(
    "slack_channels",
    metadata,
    Column("lane", Name, primary_key=True),
    Column("incident", Name),
    Column("channel", Name, index=True),
    Column("name", Name),
    Column("state", Name, nullable=False),
    Column("wanted", Text, nullable=False),
    Column("done", Text, nullable=False),
    Column("owner", Name),
    Column("until", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_try", Float, nullable=False),
    Column("error", Name),
)
slack_messages = Table(
    "slack_messages",
    metadata,
    Column("key", Name, primary_key=True),
    Column("lane", Name, nullable=False, index=True),
    Column("incident", Name, nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("kind", Name, nullable=False),
    Column("parent", Name),
    Column("wanted", Text, nullable=False),
    Column("wanted_hash", Name, nullable=False),
    Column("shown_hash", Name),
    Column("notices", Text, nullable=False),
    Column("pin", Boolean, nullable=False),
    Column("channel", Name),
    Column("ts", Name),
    Column("state", Name, nullable=False),
    Column("plain", Boolean, nullable=False),
    Column("begun", Float),
    Column("shown_at", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_try", Float, nullable=False),
    Column("error", Name),
    Index("slack_messages_stand", "channel", "ts"),
)
slack_files = Table(
    "slack_files",
    metadata,
    Column("key", Name, primary_key=True),
    Column("name", Name, nullable=False),
    Column("title", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
slack_cards = Table(
    "slack_cards",
    metadata,
    Column("id", Name, primary_key=True),
    Column("incident", Name, nullable=False),
    Column("run", Name, nullable=False),
    Column("step", Name, nullable=False),
    Column("round", Integer, nullable=False),
    Column("digest", Name, nullable=False),
    Column("kind", Name, nullable=False),
    Column("channel", Name, nullable=False),
    Column("message_key", Name, nullable=False, index=True),
    Column("at", Name, nullable=False),
)
contacts = Table(
    "contacts",
    metadata,
    Column("person", Name, primary_key=True),
    Column("contact", Text, nullable=False),
)
pages = Table(
    "pages",
    metadata,
    Column("id", Name, primary_key=True),
    Column("incident", Name, nullable=False, index=True),
    Column("status", Name, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("lease", Name),
    Column("settled", Name),
)
