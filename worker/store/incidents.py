"""Incidents, their runs, plans and snapshots."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from playbooks.contract import Json
from worker.store.database import Database, dumps, stamp
from worker.store.schema import alert_keys, incidents, plans, runs, snapshots


class Incidents:
    """What the store knows of incidents beside their journal."""

    def __init__(self, database: Database, mode: str) -> None:
        """``mode`` is given to incidents that alerts open."""
        self._database, self.mode = database, mode

    def open(
        self,
        *,
        title: str,
        kind: str,
        severity: int,
        facts: Mapping[str, Mapping[str, Json]],
        opened_by: str,
        mode: str | None = None,
        request: str = "",
    ) -> str:
        """Open an incident; its id, ``INC-<year>-<n>``. ``request`` is what ``requested`` finds it by."""
        year = datetime.now(UTC).year
        with self._database.transaction() as connection:
            highest = connection.execute(select(func.max(incidents.c.number)).where(incidents.c.year == year)).scalar()
            number = (highest or 0) + 1
            incident = f"INC-{year}-{number}"
            row = {
                "id": incident,
                "year": year,
                "number": number,
                "title": title,
                "kind": kind,
                "severity": severity,
                "mode": mode or self.mode,
                "status": "open",
                "opened_at": stamp(),
                "opened_by": opened_by,
                "facts": dumps(dict(facts)),
                "facts_version": 1,
                "alerts": 0,
                "request": request or None,
            }
            connection.execute(insert(incidents), row)
        return incident

    def get(self, incident: str) -> dict[str, Any] | None:
        """``incident title kind severity mode status opened_at opened_by facts facts_version``."""
        with self._database.reading() as connection:
            row = connection.execute(select(incidents).where(incidents.c.id == incident)).mappings().first()
        return _shown(row) if row else None

    def requested(self, request: str) -> str | None:
        """The incident that was opened by a request."""
        with self._database.reading() as connection:
            return connection.execute(select(incidents.c.id).where(incidents.c.request == request)).scalar()

    def list(self) -> list[dict[str, Any]]:
        """Every incident, newest first."""
        newest = select(incidents).order_by(incidents.c.year.desc(), incidents.c.number.desc())
        with self._database.reading() as connection:
            return [_shown(row) for row in connection.execute(newest).mappings()]

    def alerts(self, incident: str) -> dict[str, Any]:
        """``count first last keys`` of the alerts that belong to an incident."""
        wanted = select(incidents.c.alerts, incidents.c.alert_first, incidents.c.alert_last)
        with self._database.reading() as connection:
            row = connection.execute(wanted.where(incidents.c.id == incident)).first()
            keys = connection.execute(select(alert_keys.c.dedupe_key).where(alert_keys.c.incident == incident))
            found = sorted(keys.scalars())
        if row is None:
            return {"count": 0, "first": None, "last": None, "keys": []}
        return {"count": row.alerts, "first": row.alert_first, "last": row.alert_last, "keys": found}

    def save_plan(self, incident: str, run: str, plan: Mapping[str, Json], digest: str) -> None:
        """Keep a run's frozen plan, once."""
        with self._database.transaction() as connection:
            if connection.execute(select(plans.c.run).where(plans.c.run == run)).first() is None:
                row = {"run": run, "incident": incident, "digest": digest, "plan": dumps(plan)}
                connection.execute(insert(plans), row)

    def plan(self, run: str) -> dict[str, Any] | None:
        """A run's plan: ``{digest, plan}``."""
        with self._database.reading() as connection:
            row = connection.execute(select(plans).where(plans.c.run == run)).first()
        return {"digest": row.digest, "plan": json.loads(row.plan)} if row else None

    def save_run(self, run: str, incident: str, given: Mapping[str, Json]) -> None:
        """Keep a run's input before it is started, once."""
        with self._database.transaction() as connection:
            if connection.execute(select(runs.c.id).where(runs.c.id == run)).first() is None:
                count = connection.execute(select(func.count()).where(runs.c.incident == incident)).scalar()
                row = {"id": run, "incident": incident, "position": count, "given": dumps(given)}
                connection.execute(insert(runs), row)

    def load_run(self, run: str) -> dict[str, Any] | None:
        """The saved input of a run."""
        with self._database.reading() as connection:
            found = connection.execute(select(runs.c.given).where(runs.c.id == run)).scalar()
        return json.loads(found) if found else None

    def runs(self, incident: str) -> Sequence[str]:
        """Ids of an incident's runs, oldest first."""
        wanted = select(runs.c.id).where(runs.c.incident == incident).order_by(runs.c.position)
        with self._database.reading() as connection:
            return [*connection.execute(wanted).scalars()]

    def silent(self) -> Sequence[tuple[str, str]]:
        """Incident and id of each saved run that has never said anything, oldest first."""
        heard = select(snapshots.c.id)
        wanted = select(runs.c.incident, runs.c.id).where(runs.c.id.not_in(heard)).order_by(runs.c.position)
        with self._database.reading() as connection:
            return [(row.incident, row.id) for row in connection.execute(wanted)]

    def save_snapshot(
        self, of: str, incident: str, status: Mapping[str, Json], state: Mapping[str, Json] | None, version: int
    ) -> None:
        """Keep the status of a run (``of`` its id) or incident, unless a newer one is there."""
        name = f"incident/{incident}" if of == incident else of
        row = {
            "incident": incident,
            "version": version,
            "status": dumps(status),
            "state": dumps(state) if state is not None else None,
        }
        with self._database.transaction() as connection:
            held = connection.execute(select(snapshots.c.version).where(snapshots.c.id == name)).scalar()
            if held is None:
                connection.execute(insert(snapshots), {"id": name, **row})
            elif held < version:
                connection.execute(update(snapshots).where(snapshots.c.id == name).values(**row))
            if of == incident and (held or 0) < version:
                self._follow(connection, incident, status)

    @staticmethod
    def _follow(connection: Connection, incident: str, status: Mapping[str, Json]) -> None:
        changes = {
            "status": status.get("status", "open"),
            "facts": dumps(status.get("facts") or {}),
            "facts_version": status.get("facts_version", 1),
        }
        connection.execute(update(incidents).where(incidents.c.id == incident).values(**changes))

    def snapshot(self, of: str) -> dict[str, Any] | None:
        """The last status of a workflow, by its id (``run/…`` or ``incident/…``)."""
        with self._database.reading() as connection:
            found = connection.execute(select(snapshots.c.status).where(snapshots.c.id == of)).scalar()
        return json.loads(found) if found else None

    def state(self, of: str) -> dict[str, Any] | None:
        """The state in which a run ended, by its id; ``None`` while it goes on."""
        with self._database.reading() as connection:
            found = connection.execute(select(snapshots.c.state).where(snapshots.c.id == of)).scalar()
        return json.loads(found) if found else None

    def snapshots(self, incident: str) -> dict[str, dict[str, Any]]:
        """Status and state of every workflow of an incident, by workflow id."""
        wanted = select(snapshots).where(snapshots.c.incident == incident)
        with self._database.reading() as connection:
            return {
                row.id: {"status": json.loads(row.status), "state": json.loads(row.state) if row.state else None}
                for row in connection.execute(wanted)
            }


def _shown(row: RowMapping) -> dict[str, Any]:
    kept = {name: row[name] for name in ("title", "kind", "severity", "mode", "status", "opened_at", "opened_by")}
    return {"incident": row["id"], **kept, "facts": json.loads(row["facts"]), "facts_version": row["facts_version"]}
