"""A stage for workflow tests: a real server, real workers on the lab's actions, a real store, and people who decide.

A test hands in a playbook as text and gets a ``Running``: its status, its journal, its decisions. Nothing is
patched; the desk's part (compile, save, start, sign) is played here with the same calls.
"""

import asyncio
import itertools
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from temporalio.api.enums.v1 import EventType
from temporalio.client import WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy

from activities.catalog import Catalog
from playbooks.compile import compile_plan
from playbooks.contract import ActionFacts, Decision, DecisionReceipt, RunContext, StandingApproval
from playbooks.digest import sign_decision
from playbooks.loader import Library, load_text
from playbooks.policy import Policy
from tests.lab import LAB_ACTIONS
from worker.desk.decisions import Actor
from worker.desk.desk import Desk
from worker.desk.plans import Installation
from workflows.messages import Attach, IncidentInput, RunInput, Thresholds
from workflows.state import Fact, FactsSnapshot

CATALOG = Catalog(LAB_ACTIONS)
DESK = Ed25519PrivateKey.generate()
DESK_KEYS = {"desk": DESK.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()}
ROLES = {
    "amal": ("crm_owner",),
    "bo": ("crm_owner",),
    "cleo": ("incident_commander",),
    "dara": ("privacy_officer", "legal"),
}


def actor(name: str) -> Actor:
    """Somebody whom a door has authenticated."""
    return Actor(name=name, roles=ROLES[name], door="test")


ENDED = {"done", "failed", "denied", "cancelled", "undone"}


def now() -> str:
    """The instant, as the wire has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Running:
    """One run on the stage."""

    stage: "Stage"
    incident: str
    run: str
    handle: WorkflowHandle[Any, Any]
    nonces: Any = field(default_factory=lambda: itertools.count())

    async def status(self) -> dict[str, Any]:
        """The live status."""
        return await self.stage.client.get_workflow_handle(self.run).query("status")

    async def until(self, ready: Callable[[dict[str, Any]], Any], seconds: float = 60) -> dict[str, Any]:
        """The first status for which ``ready`` holds; fails with what hangs."""
        limit = asyncio.get_running_loop().time() + seconds
        last: dict[str, Any] = {}
        while asyncio.get_running_loop().time() < limit:
            last = await self.status()
            if ready(last):
                return last
            await asyncio.sleep(0.03)
        raise AssertionError(f"not reached: {await self.trouble()}\n{shown(last)}")

    async def trouble(self) -> str:
        """Why a workflow task failed, if one did."""
        converter, found = self.stage.client.data_converter, []
        async for event in self.stage.client.get_workflow_handle(self.run).fetch_history_events():
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                error = await converter.decode_failure(event.workflow_task_failed_event_attributes.failure)
                found.append(repr(error))
        return "; ".join(found[-2:])

    async def ended(self, seconds: float = 90) -> dict[str, Any]:
        """The last status of a run that has ended."""
        last = await self.until(lambda status: status["status"] in ENDED, seconds)
        await asyncio.wait_for(self.stage.client.get_workflow_handle(self.run).result(), 30)
        return last

    async def waiting(self, step: str, seconds: float = 60, kind: str | None = None) -> dict[str, Any]:
        """The question that waits at a step."""

        def found(status: dict[str, Any]) -> bool:
            return any(gate["step"] == step and kind in (None, gate["kind"]) for gate in status["waiting"])

        status = await self.until(found, seconds)
        return next(gate for gate in status["waiting"] if gate["step"] == step)

    async def decide(self, step: str, person: str, verdict: str = "approve", **more: Any) -> DecisionReceipt:
        """Decide as a person would, by what the card shows now."""
        digest = more.pop("digest", None) or (await self.waiting(step))["digest"]
        made = self.decision(step, person, verdict, digest, **more)
        return await self.send(made)

    def decision(self, step: str, person: str, verdict: str, digest: str, **more: Any) -> Decision:
        """A decision signed by the desk."""
        return sign_decision(
            Decision(
                **{
                    "incident": self.incident,
                    "run": self.run,
                    "step": step,
                    "person": person,
                    "roles_at": ROLES.get(person, ()),
                    "door": "test",
                    "verdict": verdict,
                    "digest": digest,
                    "nonce": f"{person}-{uuid.uuid4().hex}",
                    "at": now(),
                    **more,
                }
            ),
            DESK,
            "desk",
        )

    async def send(self, decision: Decision, update: str | None = None) -> DecisionReceipt:
        """Deliver a decision."""
        return await self.stage.client.get_workflow_handle(self.run).execute_update(
            "decide", decision, id=update or uuid.uuid4().hex, result_type=DecisionReceipt
        )

    def entries(self) -> list[dict[str, Any]]:
        """The incident's journal."""
        return self.stage.store.journal.entries(self.incident)

    def kinds(self) -> list[str]:
        """Kinds of the journal's entries, in order."""
        return [entry["kind"] for entry in self.entries()]


class Stage:
    """One installation."""

    def __init__(self, env: Any) -> None:
        self.env = env
        self.client, self.settings, self.store, self.world = env.client, env.settings, env.store, env.world

    def desk(self, thresholds: Thresholds | None = None) -> Desk:
        """The stage's desk: it signs as ``Running`` does, and knows no playbook."""
        installation = Installation(
            library=Library.of(),
            actions=CATALOG.facts(),
            policy=Policy(),
            context=RunContext(mode=self.settings.mode),
            queue_prefix=self.settings.queue_prefix,
            desk_keys=DESK_KEYS,
            thresholds=thresholds or Thresholds(),
        )
        return Desk(self.store, self.client, installation, DESK, "desk")

    def running(self, incident: str, run: str) -> Running:
        """A run that somebody else started."""
        return Running(self, incident, run, self.client.get_workflow_handle(run))

    async def start(
        self,
        text: str,
        *,
        inputs: dict[str, Any] | None = None,
        facts: dict[str, Any] | None = None,
        starters: tuple[str, ...] = (),
        thresholds: Thresholds | None = None,
        policy: Policy | None = None,
        library: Library | None = None,
        actions: Mapping[str, ActionFacts] | None = None,
        incident_starts: bool = True,
        rate: int = 1,
        standing: tuple[StandingApproval, ...] = (),
    ) -> Running:
        """Compile a playbook and start it with its incident."""
        source, problems = load_text(text, "playbook.yaml")
        assert source is not None, "\n".join(map(str, problems))
        at = now()
        values = {
            "kind": "crm.oauth_token_theft",
            "severity": 3,
            "title": "Test",
            "opened_at": at,
            "detected_at": at,
            "first_seen": at,
            "org": "org",
        } | (facts or {})
        incident = self.store.incidents.open(
            title="Test",
            kind=values["kind"],
            severity=values["severity"],
            facts={name: Fact(value=value, at=at).model_dump(mode="json") for name, value in values.items()},
            opened_by="test",
        )
        values["id"] = incident
        snapshot = FactsSnapshot(facts={name: Fact(value=value, at=at) for name, value in values.items()})
        context = RunContext(mode=self.settings.mode)
        if rate != 1:
            context = RunContext(mode=self.settings.mode, rate=rate, world_start=at, real_start=at)
        compiled = compile_plan(
            source,
            library=library or Library.of(),
            actions=actions or CATALOG.facts(),
            policy=policy or Policy(),
            inputs=inputs or {},
            incident=values,
            context=context,
            safety=False,
        )
        assert compiled.plan is not None, "\n".join(map(str, compiled.problems))
        run = f"run/{incident}/{source.playbook.id}/1"
        given = RunInput(
            run=run,
            incident=incident,
            lineage=run,
            plan=compiled.plan,
            plan_digest=compiled.digest,
            facts=snapshot,
            starters=starters,
            desk_keys=DESK_KEYS,
            queue_prefix=self.settings.queue_prefix,
            thresholds=thresholds or Thresholds(),
            standing=standing,
        )
        self.store.incidents.save_run(run, incident, given.model_dump(mode="json"))
        queue = self.settings.queue_prefix
        opening = WithStartWorkflowOperation(
            "Incident",
            IncidentInput(incident=incident, facts=snapshot, context=context, queue_prefix=queue),
            id=f"incident/{incident}",
            task_queue=queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        starts = [
            self.client.execute_update_with_start_workflow("attach", Attach(run=run), start_workflow_operation=opening)
        ]
        if incident_starts:
            starts.append(self.client.start_workflow("PlaybookRun", given, id=run, task_queue=queue))
        await asyncio.gather(*starts)
        return Running(self, incident, run, self.client.get_workflow_handle(run))


def shown(status: dict[str, Any]) -> str:
    """A status in a few lines, for a failed test."""
    steps = [
        f"  {step['path']}{'[' + step['item'] + ']' if step['item'] else ''}: {step['status']} {step['code'] or ''} {step['message']}"
        for step in status.get("steps", [])
    ]
    return "\n".join([f"{status.get('status')} {status.get('reason')}", *steps])
