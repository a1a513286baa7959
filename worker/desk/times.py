"""Instants as the record writes them."""

from datetime import UTC, datetime


def stamp(instant: datetime | None = None) -> str:
    """RFC 3339 UTC with six decimals; now, if no instant is given."""
    return (instant or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
