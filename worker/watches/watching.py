"""The activity of a watch: look, judge, and keep a finding as an alert, which opens an incident or joins its own."""

import asyncio
import json
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from temporalio import activity

from activities.catalog import Catalog
from activities.errors import ActionError, JournalUnavailable, Rejected, to_application_error
from playbooks.contract import FOREIGN, Json, Risk, RunContext
from playbooks.expr import ExprError, evaluate
from worker.alerts.finding import Finding, dedupe_key, to_alert
from worker.alerts.model import Alert, Route
from worker.alerts.routing import window_start
from worker.alerts.values import stamp
from worker.dryrun.look import Look, Scratch
from worker.settings import Settings
from worker.store import Store
from worker.systems import ConnectedSystems
from worker.watches.definition import source_of
from worker.wording import ENDED
from workflows.watch import LOOK, MARGIN, TRIES, Looked, WatchInput

log = logging.getLogger("stanch.watches")
FORMAT = "watch"
ROWS = 500
"""Of each list that the action found; the whole list is read again by the playbook, as evidence."""
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
PAUSE = 2.0
"""Seconds between tries while the store is away."""


class Watching:
    """Looks with the credentials of this worker.

    Args:
        store: Where findings are kept.
        settings: Mode and protected names.
        catalog: The actions.
        systems: Clients that refuse whatever is no read.
    """

    def __init__(self, store: Store, settings: Settings, catalog: Catalog, systems: ConnectedSystems) -> None:
        self._store, self._catalog, self._systems = store, catalog, systems
        self._context = RunContext(mode=settings.mode)
        self._protected: Callable[[str], tuple[str, ...]] = settings.protected_of

    @activity.defn(name=LOOK)
    async def look(self, wanted: WatchInput) -> Looked:
        """Look once. Nothing is kept of a look that finds nothing but its summary.

        An attempt that is lost after its finding was kept counts the alert again, in the same incident.
        """
        try:
            self._refuse_effects(wanted.action)
            with tempfile.TemporaryDirectory(prefix="stanch-watch-") as folder:
                scratch = Scratch(Path(folder))
                looking = Look(self._catalog, self._systems, scratch, self._context, self._protected)
                summary, output = await looking.read(wanted.action, wanted.params, source_of(wanted.name))
                found = _true(wanted.finds, output)
                rows = _rows(scratch, output) if found else {}
            if not found:
                return Looked(found=False, summary=summary)
            now = datetime.now(UTC)
            body = _body(wanted, summary, output, rows, now)
            incident = await self._kept(_alert(wanted, summary, now), body, now)
        except ActionError as error:
            raise to_application_error(error, final=activity.info().attempt >= self._tries(wanted.action)) from None
        return Looked(found=True, summary=summary, incident=incident)

    def _refuse_effects(self, action: str) -> None:
        """The settings name reading actions only; what a server holds may be older than they are."""
        spec = self._catalog.specs.get(action)
        if spec is None or spec.facts.risk is not Risk.READ or spec.facts.system == FOREIGN:
            raise Rejected(f"{action} is no action here that only reads, so a watch does not run it. Nothing was sent.")

    def _tries(self, action: str) -> int:
        spec = self._catalog.specs.get(action)
        return min(TRIES, spec.facts.max_attempts) if spec else 1

    async def _kept(self, alert: Alert, body: bytes, now: datetime) -> str:
        """Keep a finding. While the store is away it waits, so that the system need not be read anew."""
        until = time.monotonic() + MARGIN.total_seconds() / 2
        while True:
            try:
                return await self._store.call(self._keep, alert, body, now)
            except Exception as error:
                # Only its kind: a database's message quotes the row.
                log.warning("%s: the store does not answer (%s)", alert.source, type(error).__name__)
                if time.monotonic() > until:
                    said = f"The store does not answer ({type(error).__name__}). What was found was not kept."
                    raise JournalUnavailable(said) from None
            await asyncio.sleep(PAUSE)

    def _keep(self, alert: Alert, body: bytes, now: datetime) -> str:
        """In one transaction; the serving process starts what the incident asks for."""
        with self._store.transaction():
            raw = self._store.alerts.store_raw(alert.source, {"content-type": "application/json"}, body)
            same = self._same(alert.rule)
            return self._store.alerts.admit(alert.model_copy(update={"raw": raw, "dedupe_key": same}), now).incident

    def _same(self, name: str) -> str:
        """What makes this finding the same as one before: its watch, until that incident's runs have all ended.

        Of a detector's alert the day counts. What a watch finds stays the same while people work on it; after that
        it has to be told anew, whether or not somebody has closed the incident.
        """
        number = 0
        while True:
            key = dedupe_key(FORMAT, f"{name}/{number}" if number else name, (), BEGINNING)
            incident = self._store.alerts.open_incident(key)
            if incident is None or not self._over(incident):
                return key
            number += 1

    def _over(self, incident: str) -> bool:
        told = [self._store.incidents.snapshot(run) or {} for run in self._store.incidents.runs(incident)]
        return bool(told) and all(status.get("status") in ENDED for status in told)


def _alert(wanted: WatchInput, summary: str, now: datetime) -> Alert:
    finding = Finding(
        format=FORMAT,
        rule=wanted.name,
        kind=wanted.kind,
        severity=wanted.severity,
        title=f"{wanted.title}: {summary}" if summary else wanted.title,
        detected=now,
    )
    alert = to_alert(finding, source=source_of(wanted.name), org=wanted.org, received=now)
    if wanted.route is None:
        return alert.model_copy(update={"verified": "valid"})
    route = Route.model_validate(wanted.route)
    since = dict.fromkeys(wanted.since, stamp(window_start(alert, now)))
    routed = route.model_copy(update={"inputs": {**since, **route.inputs}})
    return alert.model_copy(update={"verified": "valid", "route": routed, "effect": wanted.effect})


def _true(condition: str, output: Mapping[str, Json]) -> bool:
    try:
        return bool(evaluate(condition, {"result": output}, now=None))
    except ExprError as error:
        raise Rejected(f"What the watch calls a finding cannot be judged: {error} Nothing was opened.") from None


def _rows(scratch: Scratch, output: Mapping[str, Json]) -> dict[str, Json]:
    """The rows of every target set that the action gave, by its name."""
    found: dict[str, Json] = {}
    for name, value in output.items():
        if isinstance(value, Mapping) and {"ref", "count", "sample"} <= set(value):
            found[name] = list(scratch.rows(str(value["ref"])))[:ROWS]
    return found


def _body(
    wanted: WatchInput, summary: str, output: Mapping[str, Json], rows: Mapping[str, Json], now: datetime
) -> bytes:
    """What the incident keeps of the look, as its alert."""
    told = {
        "format": FORMAT,
        "watch": wanted.name,
        "action": wanted.action,
        "params": wanted.params,
        "looked_at": now.isoformat(),
        "finds": wanted.finds,
        "summary": summary,
        "result": output,
        "rows": rows,
    }
    return json.dumps(told, sort_keys=True, ensure_ascii=False, indent=1).encode()
