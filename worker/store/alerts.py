"""Alerts in the store: kept as they came, counted exactly, joined to one incident in one transaction."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from playbooks.contract import NewEntry
from worker.alerts.model import Alert
from worker.store.database import Database, dumps, stamp
from worker.store.evidence import Evidence
from worker.store.incidents import Incidents
from worker.store.journal import Journal
from worker.store.schema import alert_keys, correlations, incidents, raw_alerts, starts

CORRELATED_FOR = timedelta(hours=24)
CLOSED = ("closed", "false_alarm")


@dataclass(frozen=True)
class Admission:
    """Where an alert belongs. ``count`` is the incident's alerts with this one.

    ``starts`` says that its start is wanted and was not before; ``raised`` that it is more severe than all before.
    """

    incident: str
    created: bool
    joined: bool
    count: int
    starts: bool = False
    raised: bool = False


class Alerts:
    """Admits alerts."""

    def __init__(self, database: Database, evidence: Evidence, opened: Incidents, journal: Journal) -> None:
        self._database, self._evidence, self._incidents, self._journal = database, evidence, opened, journal

    def store_raw(self, source: str, headers: Mapping[str, str], body: bytes) -> str:
        """Keep a delivery's bytes and its harmless headers; the bytes' reference."""
        ref = self._evidence.put(
            "", body, name="alert", media_type="application/octet-stream", source=source, actor=source
        )
        row = {"sha256": ref.sha256, "source": source, "headers": dumps(dict(headers)), "at": stamp()}
        with self._database.transaction() as connection:
            connection.execute(insert(raw_alerts), row)
        return ref.ref

    def admit(self, alert: Alert, now: datetime) -> Admission:
        """Join the incident of the same happening, else a correlated open one, else open a new one."""
        with self._database.transaction() as connection:
            incident = self._of_the_same(connection, alert)
            again = incident is not None
            incident = incident or self._correlated(connection, alert, now)
            created = incident is None
            if incident is None:
                incident = self._opened(alert)
            wanted = self._wanted(connection, alert, incident, now)
            raised = self._raised(connection, alert, incident)
            self._count(connection, alert, incident)
            self._correlate(connection, alert, incident, now)
            if not again:
                self._attached(alert, incident, created)
            counted = select(incidents.c.alerts).where(incidents.c.id == incident)
            count = connection.execute(counted).scalar_one()
        return Admission(incident, created, not created, count, wanted, raised)

    def open_incident(self, dedupe_key: str) -> str | None:
        """The open incident that alerts of this key belong to."""
        mine = select(alert_keys.c.incident).where(alert_keys.c.dedupe_key == dedupe_key)
        with self._database.reading() as connection:
            known = connection.execute(mine).scalars().all()
            return next((incident for incident in known if self._open_of(connection, incident)), None)

    def _of_the_same(self, connection: Connection, alert: Alert) -> str | None:
        mine = select(alert_keys.c.incident).where(alert_keys.c.dedupe_key == alert.dedupe_key)
        known = connection.execute(mine).scalars().all()
        return next((incident for incident in known if self._open_of(connection, incident)), None)

    @staticmethod
    def _open_of(connection: Connection, incident: str | None) -> str | None:
        if incident is None:
            return None
        status = connection.execute(select(incidents.c.status).where(incidents.c.id == incident)).scalar()
        return None if status in CLOSED else incident

    def _correlated(self, connection: Connection, alert: Alert, now: datetime) -> str | None:
        if not alert.correlation:
            return None
        since = _instant(now - CORRELATED_FOR)
        wanted = select(correlations.c.incident).where(
            correlations.c.key.in_(alert.correlation), correlations.c.at >= since
        )
        incident: str
        for incident in connection.execute(wanted.order_by(correlations.c.at.desc())).scalars():
            if self._open_of(connection, incident) is not None:
                return incident
        return None

    def _opened(self, alert: Alert) -> str:
        return self._incidents.open(
            title=alert.title, kind=alert.kind, severity=alert.severity, facts=alert.facts(), opened_by=alert.source
        )

    @staticmethod
    def _wanted(connection: Connection, alert: Alert, incident: str, now: datetime) -> bool:
        """Note what is to be started, if it is not yet; whether that is a playbook.

        An incident that began with something small must not keep a later alert's playbook from running. What
        only looks is started where nothing else was.
        """
        held = connection.execute(select(starts.c.playbook).where(starts.c.incident == incident)).scalars().all()
        playbook = alert.route.playbook if alert.route else ""
        if playbook in held or (held and not playbook) or (any(held) and not alert.effect):
            return False
        row = {"incident": incident, "playbook": playbook, "start": dumps(alert.start or {}), "confirmed": False}
        whose = {"source": alert.source, "effect": alert.effect, "at": _instant(now)}
        connection.execute(insert(starts), {**row, **whose})
        return bool(playbook)

    @staticmethod
    def _raised(connection: Connection, alert: Alert, incident: str) -> bool:
        lower = (incidents.c.id == incident, incidents.c.severity < alert.severity)
        changed = connection.execute(update(incidents).where(*lower).values(severity=alert.severity))
        return changed.rowcount > 0

    @staticmethod
    def _count(connection: Connection, alert: Alert, incident: str) -> None:
        here = (alert_keys.c.dedupe_key == alert.dedupe_key, alert_keys.c.incident == incident)
        again = update(alert_keys).where(*here).values(count=alert_keys.c.count + 1)
        if connection.execute(again).rowcount == 0:
            connection.execute(insert(alert_keys), {"dedupe_key": alert.dedupe_key, "incident": incident, "count": 1})
        row = connection.execute(select(incidents.c.alert_first).where(incidents.c.id == incident)).first()
        changes = {"alerts": incidents.c.alerts + 1, "alert_last": alert.received_at}
        if row is not None and row.alert_first is None:
            changes["alert_first"] = alert.received_at
        connection.execute(update(incidents).where(incidents.c.id == incident).values(**changes))

    @staticmethod
    def _correlate(connection: Connection, alert: Alert, incident: str, now: datetime) -> None:
        at = _instant(now)
        for key in alert.correlation:
            known = connection.execute(select(correlations.c.key).where(correlations.c.key == key)).first()
            if known is None:
                connection.execute(insert(correlations), {"key": key, "incident": incident, "at": at})
            else:
                mine = update(correlations).where(correlations.c.key == key)
                connection.execute(mine.values(incident=incident, at=at))

    def _attached(self, alert: Alert, incident: str, created: bool) -> None:
        """Journal the first alert of each happening; its bytes become the incident's evidence."""
        if alert.raw is not None:
            self._evidence.put(
                incident,
                self._evidence.read(alert.raw),
                name="alert",
                media_type="application/octet-stream",
                source=alert.source,
                actor=alert.source,
            )
        body = {
            "dedupe_key": alert.dedupe_key,
            "format": alert.format,
            "kind": alert.kind,
            "severity": alert.severity,
            "verified": alert.verified,
            "created": created,
            "raw": alert.raw,
            "playbook": alert.route.playbook if alert.route else None,
        }
        entry = NewEntry(
            key=f"alert/{alert.dedupe_key}",
            kind="alert.admitted",
            at=stamp(),
            actor=alert.source,
            door="alerts",
            body=body,
        )
        self._journal.append(incident, [entry])

    def effect_starts(self, source: str, since: datetime) -> int:
        """How many starts with effect a source's alerts have asked for since an instant."""
        mine = (starts.c.source == source, starts.c.effect.is_(True), starts.c.at > _instant(since))
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(starts).where(*mine)).scalar_one()

    def pending_starts(self) -> list[dict[str, Any]]:
        """What alerts asked for and is not yet known to run: ``incident playbook inputs rule count``."""
        wanted = select(starts.c.incident, starts.c.start, incidents.c.alerts).join(
            incidents, incidents.c.id == starts.c.incident
        )
        with self._database.reading() as connection:
            rows = connection.execute(wanted.where(starts.c.confirmed.is_(False))).all()
        return [{"incident": row.incident, **json.loads(row.start), "count": row.alerts} for row in rows]

    def confirm_started(self, incident: str, playbook: str = "") -> None:
        """Its incident is there, and the run of ``playbook`` if one was asked for."""
        mine = (starts.c.incident == incident, starts.c.playbook.in_(("", playbook)))
        with self._database.transaction() as connection:
            connection.execute(update(starts).where(*mine).values(confirmed=True))


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
