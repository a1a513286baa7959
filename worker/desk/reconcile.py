"""After a crash: incidents and runs that are saved but not surely started are started, until they are."""

import asyncio
import logging
import time
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError

from worker.desk.refusals import DeskRefusal
from worker.desk.starts import Starts
from worker.desk.times import stamp
from worker.store import Store
from workflows.messages import AlertsAttached, FactChange

log = logging.getLogger(__name__)

TICK = 2.0
SILENT = 8.0
"""A run says something within five seconds of its start; after this long it may never have been started."""
ALERTS_EVERY = 5.0


class Reconciler:
    """Background work of the serving process."""

    def __init__(self, store: Store, client: Client, starts: Starts, *, patience: float = SILENT) -> None:
        """``patience`` is how many seconds a saved run may be silent before it is started again."""
        self._store, self._client, self._starts, self._patience = store, client, starts, patience
        self._joined: dict[str, float] = {}
        self._severity: dict[str, int] = {}
        self._silent: dict[str, float] = {}

    def joined(self, incident: str, severity: int | None = None) -> None:
        """An alert joined an incident that is running; its workflow hears of it within five seconds.

        ``severity`` is the alert's where it is more severe than all before it.
        """
        self._joined.setdefault(incident, time.monotonic())
        if severity is not None:
            self._severity[incident] = severity

    async def start_pending(self) -> int:
        """Start what is not surely started; how many are confirmed by it."""
        confirmed = 0
        for pending in await self._store.call(self._store.alerts.pending_starts):
            incident = pending["incident"]
            try:
                started = await self._starts.for_alert(incident, pending, count=pending.get("count", 1))
            except DeskRefusal as refusal:
                log.warning("%s cannot be started: %s", incident, refusal.message)
                continue
            confirmed += started.confirmed
        return confirmed

    async def start_silent(self) -> int:
        """Start runs that were saved and never heard of: the process that began them may have died; how many."""
        now, started = time.monotonic(), 0
        silent = await self._store.call(self._store.incidents.silent)
        self._silent = {run: self._silent.get(run, now) for _, run in silent}
        for incident, run in silent:
            if now - self._silent[run] < self._patience:
                continue
            self._silent[run] = now
            try:
                started += (await self._starts.resume(incident, run)).confirmed
            except DeskRefusal as refusal:
                log.warning("%s cannot be started: %s", run, refusal.message)
        return started

    async def tell_joined(self) -> None:
        """One signal for each incident that alerts joined, whose five seconds are over."""
        now = time.monotonic()
        for incident, since in list(self._joined.items()):
            if now - since < ALERTS_EVERY:
                continue
            severity = self._severity.get(incident)
            try:
                await self._client.get_workflow_handle(f"incident/{incident}").signal(
                    "alerts_attached", self._attached(incident, severity)
                )
            except RPCError as error:
                # A closed incident keeps its count in the store; a server that is away is tried again.
                log.warning("%s was not told of its alerts: %s", incident, error.status.name)
                if error.status.name != "NOT_FOUND":
                    continue
            self._joined.pop(incident, None)
            if self._severity.get(incident) == severity:
                self._severity.pop(incident, None)

    def _attached(self, incident: str, severity: int | None) -> AlertsAttached:
        count = self._store.incidents.alerts(incident)
        last = count.get("last") or stamp()
        raised = FactChange(fact="severity", value=severity, trust="alert", by="alerts", at=last)
        return AlertsAttached(count=count["count"], last=last, facts=(raised,) if severity is not None else ())

    async def keep_reconciling(self, *, every: float = TICK) -> None:
        """Do all of it again and again, until cancelled."""
        while True:
            for work in (self.start_pending, self.start_silent, self.tell_joined):
                await self._guarded(work)
            await asyncio.sleep(every)

    async def _guarded(self, work: Any) -> None:
        try:
            await work()
        except Exception:
            # The loop is what mends a crash; no single failure may end it.
            log.exception("%s failed; trying again", work.__name__)
