"""REST of the simulated org: query with paging, sObject rows, collections, limits."""

import itertools
import re
from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse, Response

from activities.systems.salesforce.peer import tables
from activities.systems.salesforce.peer.logs import log_files
from activities.systems.salesforce.peer.soql import QueryError, parse
from activities.systems.salesforce.peer.state import Org, User
from activities.systems.salesforce.peer.wire import Call, Refusal, Route, route

BASE = r"/services/data/v(?P<version>\d+\.0)"
COLLECTION = 200
SUBREQUESTS = 25


class Rest:
    """The routes under /services/data but jobs."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._cursors: dict[str, tuple[list[dict[str, Any]], int]] = {}
        self._numbers = itertools.count(1)

    def routes(self) -> list[Route]:
        """Method, path, function."""
        return [
            route("GET", "/services/data", self.versions),
            route("GET", f"{BASE}/limits", self.limits),
            route("GET", f"{BASE}/query", self.query),
            route("GET", f"{BASE}/query/{{cursor}}", self.more),
            route("GET", f"{BASE}/sobjects/EventLogFile/{{id}}/LogFile", self.log_file),
            route("GET", f"{BASE}/sobjects/{{table}}/{{id}}", self.row),
            route("PATCH", f"{BASE}/sobjects/{{table}}/{{id}}", self.update),
            route("DELETE", f"{BASE}/sobjects/{{table}}/{{id}}", self.delete),
            route("PATCH", f"{BASE}/composite/sobjects", self.update_many),
            route("DELETE", f"{BASE}/composite/sobjects", self.delete_many),
        ]

    def versions(self, call: Call) -> Response:
        """API versions."""
        return JSONResponse([{"version": "65.0", "url": "/services/data/v65.0", "label": "Winter '26"}])

    def limits(self, call: Call) -> Response:
        """The daily limit."""
        call.principal()
        left = max(0, self._org.api_limit - self._org.api_used)
        return JSONResponse({"DailyApiRequests": {"Max": self._org.api_limit, "Remaining": left}})

    def query(self, call: Call) -> Response:
        """The first page of a query."""
        who = call.principal()
        try:
            query = parse(call.query.get("q", ""))
            table = tables.check(query)
            call.read.append(table)
            rows = query.select(tables.rows(self._org, table, who))
        except QueryError as error:
            raise Refusal(400, error.code, str(error)) from None
        if not query.fields:
            return JSONResponse({"totalSize": len(rows), "done": True, "records": []})
        rows = rows[: tables.MAX_ROWS.get(table, len(rows))]
        records = [tables.shown(self._org, table, dict(row), query.fields) for row in rows]
        wanted = re.search(r"batchSize=(\d+)", call.headers.get("sforce-query-options", ""))
        size = min(max(int(wanted[1]), 200), 2000) if wanted else self._org.page_size
        return self._page(records, 0, min(size, tables.MAX_PAGE.get(table, size)), call.part("version"))

    def more(self, call: Call) -> Response:
        """A further page."""
        call.principal()
        name, _, start = call.part("cursor").rpartition("-")
        if name not in self._cursors or not start.isdigit():
            raise Refusal(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        records, size = self._cursors[name]
        return self._page(records, int(start), size, call.part("version"), name)

    def log_file(self, call: Call) -> Response:
        """The bytes of an event log file."""
        call.need("ViewEventLogFiles")
        wanted = call.part("id")[:15]
        for file in log_files(self._org):
            if file.row["Id"][:15] == wanted:
                call.read.append(f"EventLogFile:{file.row['EventType']}")
                return Response(file.content, media_type="text/csv")
        raise _not_found()

    def row(self, call: Call) -> Response:
        """One row."""
        who, name = call.principal(), call.part("table")
        table = next((known for known in tables.FIELDS if known.lower() == name.lower()), None)
        if table is None or table == "OauthToken":
            raise _not_found()
        call.read.append(table)
        for row in tables.rows(self._org, table, who):
            if row.get("Id") and row["Id"][:15] == call.part("id")[:15]:
                return JSONResponse(tables.shown(self._org, table, row, tables.FIELDS[table]))
        raise _not_found()

    def update(self, call: Call) -> Response:
        """One row's fields."""
        self._write(call, call.part("table"), call.part("id"), call.json())
        return Response(status_code=204)

    def delete(self, call: Call) -> Response:
        """One row."""
        self._delete(call, call.part("id"), call.part("table"))
        return Response(status_code=204)

    def update_many(self, call: Call) -> Response:
        """Up to 200 rows; HTTP 200 even where rows fail."""
        records = call.json().get("records", [])
        _limited(records)

        def write(record: dict[str, Any]) -> str:
            fields = {name: value for name, value in record.items() if name not in ("attributes", "id")}
            self._write(call, record.get("attributes", {}).get("type", ""), record.get("id", ""), fields)
            id_: str = record["id"]
            return id_

        return self._each(records, write)

    def delete_many(self, call: Call) -> Response:
        """Up to 200 rows; HTTP 200 even where rows fail."""
        ids = [id_ for id_ in call.query.get("ids", "").split(",") if id_]
        _limited(ids)

        def remove(id_: str) -> str:
            self._delete(call, id_, None)
            return id_

        return self._each(ids, remove)

    def _each(self, items: list[Any], work: Callable[[Any], str]) -> Response:
        answers: list[dict[str, Any]] = []
        for item in items:
            try:
                answers.append({"id": work(item), "success": True, "errors": []})
            except Refusal as error:
                if error.status == 401:
                    raise
                said = {"statusCode": error.code, "message": error.message, "fields": []}
                answers.append({"success": False, "errors": [said]})
        return JSONResponse(answers)

    def _page(
        self, records: list[dict[str, Any]], start: int, size: int, version: str, name: str | None = None
    ) -> Response:
        answer: dict[str, Any] = {"totalSize": len(records), "done": start + size >= len(records)}
        if not answer["done"]:
            if name is None:
                name = f"01g{next(self._numbers):015d}"
                self._cursors[name] = (records, size)
            answer["nextRecordsUrl"] = f"/services/data/v{version}/query/{name}-{start + size}"
        answer["records"] = records[start : start + size]
        return JSONResponse(answer)

    def _write(self, call: Call, table: str, id_: str, fields: dict[str, Any]) -> None:
        call.principal()
        if table == "UserLogin":
            call.need("ManageUsers")
            self._freeze(call, id_, fields)
        elif table == "User":
            call.need("ManageUsers")
            # Many published runbooks write User.IsFrozen; the field is on UserLogin.
            unknown = sorted(set(fields) - {"IsActive"})
            if unknown:
                raise Refusal(400, "INVALID_FIELD", f"No such column '{unknown[0]}' on sobject of type User")
            user = self._org.find(self._org.users, id_)
            if user is None:
                raise _not_found()
            if user.active == bool(fields["IsActive"]):
                return
            user.active = bool(fields["IsActive"])
            self._org.changed(call.actor, "user.active" if user.active else "user.deactivated", user.id)
        elif table == "Account":
            self._account(call, id_, fields)
        else:
            raise Refusal(400, "INVALID_TYPE", f"sObject type '{table}' is not supported.")

    def _account(self, call: Call, id_: str, fields: dict[str, Any]) -> None:
        unknown = sorted(set(fields) - {"Name", *tables.MODEL_FIELDS})
        if unknown:
            raise Refusal(400, "INVALID_FIELD", f"No such column '{unknown[0]}' on sobject of type Account")
        self._lock(id_)
        try:
            changed = self._org.write_account(id_, call.principal().user.id, fields)
        except KeyError:
            raise _not_found() from None
        if changed:
            self._org.changed(call.actor, "record.updated", id_)

    def _freeze(self, call: Call, id_: str, fields: dict[str, Any]) -> None:
        user: User | None = self._org.find(self._org.by_login, id_)
        if user is None:
            raise _not_found()
        if set(fields) != {"IsFrozen"}:
            raise Refusal(400, "INVALID_FIELD", "only IsFrozen can be written here")
        self._lock(user.login_id)
        if user.frozen != bool(fields["IsFrozen"]):
            user.frozen = bool(fields["IsFrozen"])
            self._org.changed(call.actor, "user.frozen" if user.frozen else "user.unfrozen", user.id)

    def _delete(self, call: Call, id_: str, table: str | None) -> None:
        who = call.principal()
        if (table or "AuthSession") != "AuthSession" or not id_.startswith("0Ak"):
            raise Refusal(400, "INVALID_TYPE_FOR_OPERATION", "entity type cannot be deleted")
        session = self._org.find(self._org.sessions, id_)
        if session is None:
            raise Refusal(404, "ENTITY_IS_DELETED", "entity is deleted")
        if session.user != who.user.id:
            call.need("ManageUsers")
        self._lock(session.id)
        gone = self._org.end_session(session.id)
        self._org.changed(call.actor, "session.ended", session.id, gone)

    def _lock(self, id_: str) -> None:
        if self._org.locked.get(id_, 0) > 0:
            self._org.locked[id_] -= 1
            raise Refusal(400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")


def _limited(items: list[Any]) -> None:
    if not items or len(items) > COLLECTION:
        raise Refusal(400, "EXCEEDED_MAX_SIZE_REQUEST", f"record limit reached, at most {COLLECTION} records")


def _not_found() -> Refusal:
    return Refusal(404, "NOT_FOUND", "The requested resource does not exist")
