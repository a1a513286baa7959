"""Reading OauthToken in spite of its caps: 500 rows a page, 2,500 rows a query (object reference, OauthToken)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from activities.systems.salesforce.models import Grant, record_id

CAP = 2500
CHUNK = 200
CUT_OFF = "one user has over 2,500 tokens; Salesforce does not list them all"
FIELDS = "AppName, UserId, UseCount, LastUsedDate, CreatedDate, DeleteToken"


class Queries(Protocol):
    """What of the client is used here."""

    def query(self, soql: str, *values: Any, doing: str = ...) -> Iterator[dict[str, Any]]:
        """Rows of a query."""

    def count(self, soql: str, *values: Any, doing: str = ...) -> int:
        """What COUNT() says."""


class GrantReader:
    """Counts first, and splits by user while a query would be cut off."""

    def __init__(self, org: Queries, fingerprint: Callable[[str], str]) -> None:
        self._org, self._fingerprint = org, fingerprint

    def count(self, app: str | None, users: Sequence[str] | None) -> int:
        """Grants of an app and of users; ``None`` for any."""
        where, values = _where(app, users)
        return self._org.count(f"SELECT COUNT() FROM OauthToken{where}", *values, doing="counting tokens")

    def read(self, app: str | None, users: Sequence[str] | None) -> tuple[list[Grant], bool]:
        """The grants, and whether they are all: a single user's over 2,500 cannot be read in full."""
        if users is None:
            if self.count(app, None) <= CAP:
                return self._rows(app, None), True
            users = [row["Id"] for row in self._org.query("SELECT Id FROM User ORDER BY Id", doing="listing users")]
        found: dict[str, Grant] = {}
        complete = True
        for start in range(0, len(users), CHUNK):
            grants, whole = self._split(app, users[start : start + CHUNK])
            found |= {grant.fp: grant for grant in grants}
            complete = complete and whole
        return list(found.values()), complete

    def _split(self, app: str | None, users: Sequence[str]) -> tuple[list[Grant], bool]:
        if not users:
            return [], True
        if self.count(app, users) <= CAP:
            return self._rows(app, users), True
        if len(users) == 1:
            return self._rows(app, users), False
        half = len(users) // 2
        first, whole = self._split(app, users[:half])
        second, also = self._split(app, users[half:])
        return [*first, *second], whole and also

    def _rows(self, app: str | None, users: Sequence[str] | None) -> list[Grant]:
        where, values = _where(app, users)
        rows = self._org.query(f"SELECT {FIELDS} FROM OauthToken{where}", *values, doing="listing tokens")
        return [self._grant(row) for row in rows]

    def _grant(self, row: dict[str, Any]) -> Grant:
        return Grant(
            app=row["AppName"] or "",
            user=record_id(row["UserId"]),
            created=row["CreatedDate"] or "",
            last_used=row.get("LastUsedDate"),
            uses=int(row.get("UseCount") or 0),
            fp=self._fingerprint(row["DeleteToken"]),
            delete_token=row["DeleteToken"],
        )


def _where(app: str | None, users: Sequence[str] | None) -> tuple[str, list[Any]]:
    parts: list[str] = []
    values: list[Any] = []
    if app is not None:
        parts.append("AppName = {}")
        values.append(app)
    if users is not None:
        parts.append("UserId IN {}")
        values.append([record_id(user, "005") for user in users])
    return (" WHERE " + " AND ".join(parts) if parts else ""), values
