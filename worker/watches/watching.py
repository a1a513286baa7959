"""The activity of a watch: look, judge, and keep a finding as an alert, which opens an incident or joins its own."""

import json
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from temporalio import activity

from activities.catalog import Catalog
from activities.errors import ActionError, Rejected, to_application_error
from playbooks.contract import Json, Risk, RunContext
from playbooks.expr import ExprError, evaluate
from worker.alerts.finding import Finding, dedupe_key, to_alert
from worker.alerts.model import Alert
from worker.alerts.routing import Routes
from worker.dryrun.look import Look, Scratch
from worker.settings import Settings
from worker.store import Store
from worker.systems import ConnectedSystems
from workflows.watch import LOOK, TRIES, Looked, WatchInput

FORMAT = "watch"
ROWS = 500
"""Of each list that the action found; the whole list is read again by the playbook, as evidence."""
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Watching:
    """Looks with the credentials of this worker.

    Args:
        store: Where findings are kept.
        settings: Mode, organisation, protected names and routes.
        catalog: The actions.
        systems: The worker's own clients.
    """

    def __init__(self, store: Store, settings: Settings, catalog: Catalog, systems: ConnectedSystems) -> None:
        self._store, self._catalog, self._systems = store, catalog, systems
        self._context, self._org = RunContext(mode=settings.mode), settings.file.organisation
        self._routes = Routes.of(settings.file.routes)
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
                summary, output = await looking.read(wanted.action, wanted.params, f"watch/{wanted.name}")
                found = _true(wanted.finds, output)
                rows = _rows(scratch, output) if found else {}
        except ActionError as error:
            raise to_application_error(error, final=activity.info().attempt >= self._tries(wanted.action)) from None
        if not found:
            return Looked(found=False, summary=summary)
        now = datetime.now(UTC)
        body = _body(wanted, summary, output, rows, now)
        incident = await self._store.call(self._keep, self._alert(wanted, summary, now), body, now)
        return Looked(found=True, summary=summary, incident=incident)

    def _refuse_effects(self, action: str) -> None:
        """The settings name reading actions only; what a server holds may be older than they are."""
        spec = self._catalog.specs.get(action)
        if spec is None or spec.facts.risk is not Risk.READ:
            raise Rejected(f"{action} is no action here that only reads, so a watch does not run it. Nothing was sent.")

    def _tries(self, action: str) -> int:
        spec = self._catalog.specs.get(action)
        return min(TRIES, spec.facts.max_attempts) if spec else 1

    def _alert(self, wanted: WatchInput, summary: str, now: datetime) -> Alert:
        finding = Finding(
            format=FORMAT,
            rule=wanted.name,
            kind=wanted.kind,
            severity=wanted.severity,
            title=f"{wanted.title}: {summary}" if summary else wanted.title,
            detected=now,
        )
        alert = to_alert(finding, source=f"watch/{wanted.name}", org=self._org, received=now)
        # Of a detector's alert the day counts; what a watch finds is the same until its incident is closed.
        same = dedupe_key(FORMAT, wanted.name, (), BEGINNING)
        routed = self._routes.choose(alert.model_copy(update={"dedupe_key": same, "verified": "valid"}), now).alert
        if routed.route is None:
            return routed
        inputs = {**routed.route.inputs, **wanted.inputs}
        return routed.model_copy(update={"route": routed.route.model_copy(update={"inputs": inputs})})

    def _keep(self, alert: Alert, body: bytes, now: datetime) -> str:
        """In one transaction; the serving process starts what the incident asks for."""
        with self._store.transaction():
            raw = self._store.alerts.store_raw(alert.source, {"content-type": "application/json"}, body)
            return self._store.alerts.admit(alert.model_copy(update={"raw": raw}), now).incident


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
