"""Starting: compile the plan, keep it, then start incident and run at the same time.

A crash between keeping and starting is mended by the reconciler: every id is fixed before anything starts.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

from pydantic import BaseModel
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowUpdateStage
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from playbooks.compile import validate
from playbooks.contract import Json
from playbooks.plan import RunPlan
from playbooks.problems import Problem
from worker.desk.entries import entry_of
from worker.desk.not_started import tell_nothing_ran
from worker.desk.plans import Installation, frozen, standing
from worker.desk.playbooks import imagined, listing
from worker.desk.quorums import warned
from worker.desk.refusals import DeskRefusal
from worker.desk.times import stamp
from worker.store import Store
from workflows.messages import Attach, IncidentInput, Receipt, RunInput
from workflows.state import Fact, FactsSnapshot

log = logging.getLogger(__name__)

ATTACH_PATIENCE = 20.0


class Started(BaseModel):
    """An incident that exists. ``run`` is absent where nothing could run; then ``problems`` says why. ``warnings``
    say where a run that was started will wait for more people than there are."""

    incident: str
    run: str | None = None
    playbook: str | None = None
    plan_digest: str | None = None
    problems: list[dict[str, Json]] = []
    warnings: list[dict[str, Json]] = []
    confirmed: bool = False


class Starts:
    """Opens incidents and starts their workflows."""

    def __init__(self, store: Store, client: Client, installation: Installation) -> None:
        self._store, self._client, self._installation = store, client, installation
        # Kept only while somebody holds or awaits one.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # A playbook's problems do not change while the installation does not; the first start finds them.
        self._judged: dict[str, Sequence[Problem]] = {}

    async def by_person(
        self,
        person: str,
        playbook: str,
        inputs: Mapping[str, Json],
        *,
        title: str = "",
        severity: int = 3,
        kind: str = "unknown",
        door: str = "api",
        request: str = "",
    ) -> Started:
        """Open an incident because a person says so and start one playbook in it.

        ``request`` is the asker's name for this very start: asked again, it gives the same incident.

        Raises:
            DeskRefusal: ``not_found`` or ``playbook_problems``; then no incident was opened.
        """
        begun = self._store.incidents.requested(request) if request else None
        if begun is not None:
            saved = self._store.incidents.runs(begun)
            if saved:
                return await self.resume(begun, saved[0], 0)
            return await self.run(begun, playbook, inputs, starters=(person,), count=0)
        source = self.source(playbook)
        facts = self._facts(title or source.playbook.title, severity, kind, by=person, trust="person")
        self._plan(playbook, inputs, {**_plain(facts), "id": "INC-0000-0"}, ask=False)
        incident = self._store.incidents.open(
            title=title or source.playbook.title,
            kind=kind,
            severity=severity,
            mode=self._installation.context.mode.value,
            facts={name: fact.model_dump(mode="json") for name, fact in facts.items()},
            opened_by=person,
            request=request,
        )
        asked: dict[str, Json] = {"playbook": playbook, "inputs": sorted(inputs)}
        entry = entry_of(person, door, "incident.requested", asked, key="desk/requested")
        self._store.journal.append(incident, [entry])
        return await self.run(incident, playbook, inputs, starters=(person,), count=0)

    def source(self, playbook: str) -> Any:
        """The playbook's loaded source.

        Raises:
            DeskRefusal: ``not_found``.
        """
        found = self._installation.library.get(playbook)
        if found is None:
            raise DeskRefusal(
                "not_found",
                f"There is no playbook {playbook}. Nothing was started.",
                "`stanch playbook list` shows them all; start one by its id. Your folders: `playbooks` in stanch.toml.",
            )
        return found

    def playbooks(self) -> list[dict[str, Any]]:
        """Playbooks that can be started here."""
        return listing(self._installation.library)

    def planned(
        self, playbook: str, inputs: Mapping[str, Json], *, severity: int = 3
    ) -> tuple[RunPlan, str, dict[str, Json]]:
        """The plan that a start would freeze now, its digest, and the facts that the incident would have; nothing is
        started.

        Raises:
            DeskRefusal: ``not_found`` or ``playbook_problems``.
        """
        facts = imagined(self.source(playbook), severity=severity, org=self._installation.org)
        plan, digest = self._plan(playbook, inputs, facts, ask=False)
        return plan, digest, facts

    async def run(
        self,
        incident: str,
        playbook: str,
        inputs: Mapping[str, Json],
        *,
        starters: tuple[str, ...] = (),
        count: int = 1,
        ask: bool = False,
    ) -> Started:
        """Compile and save a run of ``playbook`` for an open incident, then start it beside its incident.

        Raises:
            DeskRefusal: ``not_found`` or ``playbook_problems``.
        """
        record = self._store.incidents.get(incident)
        if record is None:
            raise DeskRefusal("not_found", f"There is no incident {incident}. Nothing was started.")
        facts = snapshot_of(record)
        plan, digest = self._plan(playbook, inputs, facts.values(), ask=ask)
        run = self.next_run(incident, playbook)
        given = RunInput(
            run=run,
            incident=incident,
            lineage=run,
            plan=plan,
            plan_digest=digest,
            facts=facts,
            starters=starters,
            desk_keys=self._installation.desk_keys,
            queue_prefix=self._installation.queue_prefix,
            thresholds=self._installation.thresholds,
            standing=tuple(each for each in self._store.standing.active(stamp()) if each.action in plan.actions),
        )
        with self._store.transaction():
            self._keep(given)
            warnings = warned(self._store, incident, run, plan, facts.values().get("severity"), starters)
        confirmed = await self._launch(incident, facts, given, count)
        started = Started(incident=incident, run=run, playbook=playbook, plan_digest=digest, confirmed=confirmed)
        return started.model_copy(update={"warnings": warnings})

    async def for_alert(self, incident: str, start: Mapping[str, Any], *, count: int = 1) -> Started:
        """Start what an alert asks for; a playbook that cannot start leaves an incident that says why.

        ``start`` holds ``playbook`` (or none) and ``inputs``. Repeating it starts nothing twice.
        """
        # The door and the reconciler may come at the same time; the second finds what the first has saved.
        turn = self._turns.get(incident)
        if turn is None:
            turn = self._turns[incident] = asyncio.Lock()
        async with turn:
            return await self._for_alert(incident, start, count)

    async def _for_alert(self, incident: str, start: Mapping[str, Any], count: int) -> Started:
        playbook = start.get("playbook")
        saved = [run for run in self._store.incidents.runs(incident) if playbook in (None, _playbook_of(run))]
        if saved:
            return await self.resume(incident, saved[0], count)
        problems: list[dict[str, Json]] = []
        if playbook:
            try:
                started = await self.run(incident, playbook, start.get("inputs") or {}, count=count, ask=True)
            except DeskRefusal as refusal:
                problems = list(refusal.details.get("problems") or [{"message": refusal.message}])
                tell_nothing_ran(self._store, incident, playbook, refusal)
            else:
                if started.confirmed:
                    self._store.alerts.confirm_started(incident, playbook)
                return started
        record = self._store.incidents.get(incident)
        if record is None:
            raise DeskRefusal("not_found", f"There is no incident {incident}. Nothing was started.")
        confirmed = await self._launch(incident, snapshot_of(record), None, count)
        if confirmed:
            self._store.alerts.confirm_started(incident, playbook or "")
        return Started(incident=incident, playbook=playbook, problems=problems, confirmed=confirmed)

    def next_run(self, incident: str, playbook: str) -> str:
        """Workflow id of an incident's next run of a playbook."""
        number = 1 + sum(1 for run in self._store.incidents.runs(incident) if _playbook_of(run) == playbook)
        return f"run/{incident}/{playbook}/{number}"

    async def go_on(self, given: RunInput) -> bool:
        """Save and start a run that goes on after another; whether it surely started. It is saved before any await,
        so that the second of two who ask at once finds it."""
        keys, limits = self._installation.desk_keys, self._installation.thresholds
        given = given.model_copy(update={"desk_keys": keys, "thresholds": limits})
        with self._store.transaction():
            self._keep(given)
        return await self._launch(given.incident, given.facts, given, 0)

    def _keep(self, given: RunInput) -> None:
        plan = given.plan.model_dump(mode="json")
        self._store.incidents.save_plan(given.incident, given.run, plan, given.plan_digest)
        self._store.incidents.save_run(given.run, given.incident, given.model_dump(mode="json"))

    async def resume(self, incident: str, run: str, count: int = 1) -> Started:
        """Start again what was saved but may not have been started; already running is fine."""
        record, saved = self._store.incidents.get(incident), self._store.incidents.load_run(run)
        if record is None or saved is None:
            raise DeskRefusal("not_found", f"There is no run {run}. Nothing was started.")
        given = RunInput.model_validate(saved)
        confirmed = await self._launch(incident, snapshot_of(record), given, count)
        if confirmed:
            self._store.alerts.confirm_started(incident, _playbook_of(run))
        return Started(
            incident=incident,
            run=run,
            playbook=given.plan.frame.playbook.id,
            plan_digest=given.plan_digest,
            confirmed=confirmed,
        )

    async def _launch(self, incident: str, facts: FactsSnapshot, given: RunInput | None, count: int) -> bool:
        """Start both workflows at the same time, the run a hair before; whether both are surely there."""
        tasks = [self._attach(incident, facts, given.run if given else None, count)]
        if given is not None:
            tasks.insert(0, self._start_run(given))
        return all(await asyncio.gather(*tasks))

    async def _start_run(self, given: RunInput) -> bool:
        try:
            await self._client.start_workflow(
                "PlaybookRun",
                given,
                id=given.run,
                task_queue=given.queue_prefix,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                # Where this process works too, its first task comes with the answer.
                request_eager_start=True,
            )
        except WorkflowAlreadyStartedError:
            return True
        except RPCError as error:
            log.warning("run %s is saved but not started yet: %s", given.run, error.status.name)
            return False
        return True

    async def _attach(self, incident: str, facts: FactsSnapshot, run: str | None, count: int) -> bool:
        installation = self._installation
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            "Incident",
            IncidentInput(
                incident=incident,
                facts=facts,
                context=installation.context,
                queue_prefix=installation.queue_prefix,
                thresholds=installation.thresholds,
            ),
            id=f"incident/{incident}",
            task_queue=installation.queue_prefix,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
        try:
            async with asyncio.timeout(ATTACH_PATIENCE):
                handle = await self._client.start_update_with_start_workflow(
                    "attach",
                    Attach(run=run, count=count),
                    start_workflow_operation=start,
                    wait_for_stage=WorkflowUpdateStage.COMPLETED,
                    id=f"attach-{run or incident}",
                    result_type=Receipt,
                )
                await handle.result()
        except WorkflowAlreadyStartedError:
            return True
        except (RPCError, TimeoutError) as error:
            # The run works without its incident; the reconciler tries again.
            log.warning("incident %s is not confirmed yet: %s", incident, type(error).__name__)
            return False
        return True

    def _plan(
        self, playbook: str, inputs: Mapping[str, Json], incident: Mapping[str, Json], *, ask: bool
    ) -> tuple[RunPlan, str]:
        installation, source = self._installation, self.source(playbook)
        if playbook not in self._judged:
            self._judged[playbook] = validate(source, **standing(installation))
        judged = self._judged[playbook]
        return frozen(installation, source, inputs, incident, ask=ask, judged=judged)

    def _facts(self, title: str, severity: int, kind: str, *, by: str, trust: str) -> dict[str, Fact]:
        now = stamp()
        values: dict[str, Json] = {
            "kind": kind,
            "severity": severity,
            "title": title,
            "opened_at": now,
            "detected_at": now,
            "first_seen": now,
            "org": self._installation.org,
        }
        return {name: Fact(value=value, trust=trust, by=by, at=now) for name, value in values.items()}


def snapshot_of(record: Mapping[str, Any]) -> FactsSnapshot:
    """The facts of a stored incident, as a run takes them; the id is always among them."""
    facts = {name: Fact.model_validate(fact) for name, fact in (record.get("facts") or {}).items()}
    facts["id"] = Fact(value=record["incident"], trust="read", source="store", at=record["opened_at"])
    return FactsSnapshot(version=record.get("facts_version") or 1, facts=facts)


def _plain(facts: Mapping[str, Fact]) -> dict[str, Json]:
    return {name: fact.value for name, fact in facts.items()}


def _playbook_of(run: str) -> str:
    return run.split("/")[2]
