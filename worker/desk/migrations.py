"""Migration of a run to another version of its playbook: shown first, done only by the digest of what was shown."""

import asyncio
import secrets
from dataclasses import asdict
from typing import Any

from temporalio.client import Client, WorkflowFailureError, WorkflowQueryFailedError
from temporalio.service import RPCError

from playbooks.contract import Json
from playbooks.loader import Source, load_text
from playbooks.plan import RunPlan
from worker.desk.aftermath import Aftermath
from worker.desk.decisions import Actor
from worker.desk.delivery import deliver
from worker.desk.plans import Installation, frozen, refused
from worker.desk.refusals import DeskRefusal
from worker.desk.rights import require
from worker.desk.starts import snapshot_of
from worker.desk.views import Views
from worker.wording import ENDED
from workflows.messages import After, HandOverRequest, Receipt, RunInput
from workflows.migration import Migration, for_migration, mapping
from workflows.state import RunState

MIGRATED = "migrated"
"""What a playbook with problems is refused for."""
PATIENCE = 20.0
"""Seconds within which a run that was told to hand over has ended."""


class Migrations:
    """Shows and does migrations. Every method checks the person's right first."""

    def __init__(self, client: Client, views: Views, aftermath: Aftermath, installation: Installation) -> None:
        self._client, self._views, self._aftermath, self._installation = client, views, aftermath, installation

    async def show(self, incident: str, actor: Actor, run: str | None, *, text: str = "", version: str = "") -> Any:
        """What a migration would do: ``run from to digest steps free conflicts``. Changes nothing.

        ``text`` is the playbook's new version itself, or ``version`` that of the installed one.

        Raises:
            DeskRefusal: ``wrong_role not_found closed ambiguous_run no_snapshot playbook_problems``, and
                ``not_migratable`` where the run has ended otherwise than by a failure.
        """
        require(actor.name, actor.roles, "migrate")
        _, given, plan, digest, found = await self._judged(incident, run, text, version)
        return _document(given, plan, digest, found)

    async def migrate(
        self,
        incident: str,
        actor: Actor,
        run: str | None,
        agreed: str,
        reason: str = "",
        *,
        text: str = "",
        version: str = "",
    ) -> Receipt:
        """End a run where it stands, and let another go on from there under the new version.

        ``agreed`` is the digest of what ``show`` said, its first 12 digits or more.

        Raises:
            DeskRefusal: as ``show``; also ``digest_mismatch``, ``migration_conflict`` and ``step_in_flight``.
        """
        require(actor.name, actor.roles, "migrate")
        live, given, plan, digest, found = await self._judged(incident, run, text, version)
        shown = _document(given, plan, digest, found)
        if not str(shown["digest"]).startswith(agreed) or len(agreed) < 12:
            raise DeskRefusal(
                "digest_mismatch",
                "What would change now is not what you were shown. Nothing was migrated.",
                "Give the command again without --digest: it shows what would change now.",
            )
        _refuse_conflicts(found)
        if live:
            to = plan.frame.playbook.version
            request = HandOverRequest(person=actor.name, to=to, reason=reason)
            update_id = f"hand-over-{secrets.token_hex(12)}"
            answer = await deliver(self._client, given.run, "hand_over", request, Receipt, update_id)
            if not answer.accepted:
                return answer
            await self._over(given.run)
        given, state = self._aftermath.ended(given.run, "migrated")
        found = mapping(given.plan, plan, state)
        _refuse_conflicts(found)
        facts = snapshot_of(self._views.known(incident))
        resumed = for_migration(plan, state, facts)
        after = After(verb="migrate", of=given.run, person=actor.name, reason=reason)
        later = given.model_copy(update={"plan": plan, "plan_digest": digest})
        changes: dict[str, Json] = {
            change: [step["step"] for step in found.steps if step["change"] == change]
            for change in ("changed", "new", "gone")
        }
        body: dict[str, Json] = {"from": given.plan_digest, "to": digest, "agreed": shown["digest"], **changes}
        what = f"version {plan.frame.playbook.version} instead of {given.plan.frame.playbook.version}"
        return await self._aftermath.go_on(actor, later, after, resumed.state, what, **body)

    async def _judged(
        self, incident: str, run: str | None, text: str, version: str
    ) -> tuple[bool, RunInput, RunPlan, str, Migration]:
        """Whether the run goes on, its input, the new plan with its digest, and what would become of every step."""
        self._aftermath.open(incident, "migrated")
        shown = await self._aftermath.last(incident, run, _migratable)
        if not _migratable(shown):
            raise DeskRefusal(
                "not_migratable",
                f"{shown['run']} is {shown['status']}. Nothing was migrated.",
                "Only a run that goes on or has failed can be migrated; start the new version instead.",
            )
        live = shown["status"] not in ENDED
        given, state = await self._live(shown["run"]) if live else self._aftermath.ended(shown["run"], "migrated")
        playbook = given.plan.frame.playbook.id
        source = self._source(playbook, text, version)
        values = given.plan.values | (state.frames[""].inputs if "" in state.frames else {})
        known = {name: value for name, value in values.items() if name in source.playbook.inputs}
        facts = snapshot_of(self._views.known(incident)).values()
        context = given.plan.context
        plan, digest = frozen(self._installation, source, known, facts, ask=True, context=context, what=MIGRATED)
        if digest == given.plan_digest:
            raise DeskRefusal("no_change", f"{given.run} follows this very plan already. Nothing was migrated.")
        return live, given, plan, digest, mapping(given.plan, plan, state)

    def _source(self, playbook: str, text: str, version: str) -> Source:
        if text:
            source, problems = load_text(text, "playbook.yaml")
            if source is None:
                raise refused(playbook, problems, MIGRATED)
        else:
            source = self._installation.library.get(playbook)
            if source is None or source.playbook.version != version:
                held = f" {source.playbook.version} is." if source else ""
                raise DeskRefusal(
                    "not_found", f"{playbook} {version[:40]} is not installed.{held} Nothing was migrated."
                )
        if source.playbook.id != playbook:
            other = source.playbook.id
            raise DeskRefusal("bad_value", f"The run follows {playbook}, and this is {other}. Nothing was migrated.")
        return source

    async def _live(self, run: str) -> tuple[RunInput, RunState]:
        given = self._aftermath.given(run, "migrated")
        try:
            state = await self._client.get_workflow_handle(run).query("state", result_type=RunState)
        except (RPCError, WorkflowQueryFailedError):
            raise DeskRefusal("no_worker", f"{run} does not answer. Nothing was migrated.") from None
        return given, state

    async def _over(self, run: str) -> None:
        """Wait until a run that hands over has written its last state."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._client.get_workflow_handle(run).result()
        except (TimeoutError, RPCError, WorkflowFailureError):
            raise DeskRefusal(
                "engine_unreachable",
                f"{run} was told to hand over and has not ended yet. The other run is not started.",
                "Give the same command again in a moment; it goes on from there.",
            ) from None


def _migratable(shown: dict[str, Any]) -> bool:
    status = shown["status"]
    return status not in ENDED or status == "failed" or (status, shown.get("code")) == ("cancelled", "migrated")


def _refuse_conflicts(found: Migration) -> None:
    if found.conflicts:
        first = found.conflicts[0]
        raise DeskRefusal(
            "migration_conflict",
            f"{first['step']}: {first['message']} ({len(found.conflicts)} conflicts). Nothing was migrated.",
            details={"conflicts": found.conflicts},
        )


def _document(given: RunInput, plan: RunPlan, digest: str, found: Migration) -> dict[str, Any]:
    def named(of: RunPlan, sha: str) -> dict[str, str]:
        return {"version": of.frame.playbook.version, "playbook": of.frame.playbook.digest, "plan": sha}

    return {
        "run": given.run,
        "from": named(given.plan, given.plan_digest),
        "to": named(plan, digest),
        "digest": found.digest(given.run, given.plan_digest, digest),
        **asdict(found),
    }
