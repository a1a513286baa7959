"""What a person is shown of incidents: live answers where a worker gives them, else the last snapshot."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from temporalio.client import Client, WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.service import RPCError

from playbooks.plan import RunPlan
from worker.desk.after_review import after_review
from worker.desk.refusals import DeskRefusal
from worker.desk.retries import with_retries
from worker.desk.why import why
from worker.desk.why_record import Known, split
from worker.desk.why_undo import UNDO, of_undo, why_undo
from worker.store import Store
from worker.wording import ENDED
from workflows.scope import PlanIndex

LIVE = timedelta(seconds=3)
DRAFT_KEYS = ("regime", "stage", "title", "due", "applies", "candidate", "clock", "path", "sha256", "written_at")
STEP_KEYS = ("path", "id", "kind", "action", "title", "phase", "item", "pass", "status", "waiting_for", "code")
STEP_MORE = ("message", "summary", "changed", "verified", "affected", "by", "started_at", "finished_at")


class Views:
    """Reads incidents and runs.

    Args:
        store: The installation's store.
        client: Temporal, or ``None`` for what snapshots say only.
    """

    def __init__(self, store: Store, client: Client | None) -> None:
        self._store, self._client = store, client

    def known(self, incident: str) -> dict[str, Any]:
        """The incident's record in the store.

        Raises:
            DeskRefusal: ``not_found``.
        """
        record = self._store.incidents.get(incident)
        if record is None:
            raise DeskRefusal(
                "not_found",
                f"There is no incident {incident}. Nothing was done.",
                "`stanch incident list` shows them all.",
            )
        return record

    async def status(self, workflow_id: str, *, live: bool = True) -> dict[str, Any] | None:
        """Status document of a run or incident, with ``live`` saying whether its workflow gave it."""
        snapshot = self._store.incidents.snapshot(workflow_id)
        ended = snapshot is not None and snapshot.get("status") in ENDED | {"closed", "false_alarm"}
        if live and not ended and self._client is not None:
            try:
                answer = await self._client.get_workflow_handle(workflow_id).query("status", rpc_timeout=LIVE)
                return {**await with_retries(self._client, answer, LIVE), "live": True}
            except (RPCError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
                pass
        return None if snapshot is None else {**snapshot, "live": False}

    def run_ids(self, incident: str) -> list[str]:
        """Runs of an incident, oldest first."""
        return list(self._store.incidents.runs(incident))

    async def runs(self, incident: str, *, live: bool = True) -> list[dict[str, Any]]:
        """Status documents of an incident's runs, oldest first; one not yet heard of is ``starting``."""
        ids = self.run_ids(incident)
        found = await asyncio.gather(*(self.status(run, live=live) for run in ids))
        return followed(
            [
                self._with_canceller(incident, status)
                if status
                else {"run": run, "incident": incident, "status": "starting", "steps": [], "waiting": []}
                for run, status in zip(ids, found, strict=True)
            ]
        )

    def _with_canceller(self, incident: str, status: dict[str, Any]) -> dict[str, Any]:
        """A cancelled run with who asked for it; a workflow is told only that it is cancelled, not by whom."""
        if not status.get("cancelled"):
            return status
        asked = (
            entry["actor"]
            for entry in self._store.journal.entries(incident)
            if entry["kind"] == "run.cancel_requested" and entry["body"].get("run") == status["run"]
        )
        return {**status, "cancelled": {"by": next(asked, None)}}

    async def incident(self, incident: str, *, live: bool = True) -> dict[str, Any]:
        """The document of ``incident show --json``.

        Raises:
            DeskRefusal: ``not_found``.
        """
        record = self.known(incident)
        runs, status = await asyncio.gather(
            self.runs(incident, live=live), self.status(f"incident/{incident}", live=live)
        )
        status = status or {}
        facts = status.get("facts") or record.get("facts") or {}
        return {
            "incident": incident,
            "title": _value(facts, "title") or record.get("title", ""),
            "kind": _value(facts, "kind") or record.get("kind", ""),
            "severity": _value(facts, "severity"),
            "mode": record.get("mode", "live"),
            "status": status.get("status", record.get("status", "open")),
            "commander": status.get("commander", ""),
            "opened_at": status.get("opened_at") or record.get("opened_at"),
            "closed_at": status.get("closed_at"),
            "as_of": status.get("as_of"),
            "live": bool(status.get("live")),
            "facts": facts,
            "facts_version": status.get("facts_version", record.get("facts_version", 1)),
            "alerts": self._store.incidents.alerts(incident),
            "runs": [_run(run) for run in runs],
            "steps": [_step(run["run"], step) for run in runs for step in run.get("steps", [])],
            "waiting": self._with_people(
                [*(entry for run in runs for entry in run.get("waiting", [])), *open_reviews(status)]
            ),
            "reviews": status.get("reviews", []),
            "undoable": [
                {"run": run["run"], **entry}
                for run in runs
                for entry in run.get("undoable", [])
                if not run.get("followed_by")
            ],
            "notices": self._store.notices.of(incident),
            "clocks": status.get("clocks", []),
            "drafts": [_draft(draft) for draft in self._store.drafts.of(incident)],
            "hold": hold_document(self._store),
        }

    async def why(self, incident: str, step: str, run: str | None = None) -> dict[str, Any]:
        """Why a step ran, or did not, in sentences, with the facts, rule, approvals and entries behind it.

        Raises:
            DeskRefusal: ``not_found``; ``ambiguous_step`` where several runs have it and none is named.
        """
        record = self.known(incident)
        if UNDO.fullmatch(step):
            return await self._why_undo(incident, step, run)
        parts = split(step)
        ids = [each for each in self.run_ids(incident) if run is None or each == run]
        held = {each: plan for each in ids if (plan := self._store.incidents.plan(each)) is not None}
        plans = {each: RunPlan.model_validate(plan["plan"]) for each, plan in held.items()}
        having = [each for each, plan in plans.items() if parts and parts[0] in PlanIndex(plan).steps]
        if parts is None or not having:
            where = f"the run {run}" if run is not None else "any run"
            raise DeskRefusal(
                "not_found",
                f"There is no step {step[:200]} in {where} of {incident}. Nothing was done.",
                f"`stanch incident show {incident}` lists the steps and the runs.",
            )
        given = {each: self._store.incidents.load_run(each) or {} for each in self.run_ids(incident)}
        before = {each: str(after["of"]) for each, saved in given.items() if (after := saved.get("after"))}
        if run is None:
            # Of runs that go on from each other the last one tells of all.
            having = [each for each in having if each not in before.values()]
        if len(having) > 1:
            raise DeskRefusal(
                "ambiguous_step",
                f"{step} is a step of {len(having)} runs: {', '.join(having)}. Nothing was done.",
                "Name one with --run.",
            )
        (name,) = having
        earlier = [name]
        while (of := before.get(earlier[-1])) is not None and of not in earlier:
            earlier.append(of)
        status = await self.status(f"incident/{incident}") or {}
        known = Known(
            run=name,
            plan=plans[name],
            plan_digest=held[name]["digest"],
            entries=self.told(incident),
            status=await self.status(name) or {"status": "starting", "steps": []},
            given=given[name],
            facts=status.get("facts") or record.get("facts") or {},
            before=earlier[1:],
        )
        return {"incident": incident, **why(known, *parts)}

    async def _why_undo(self, incident: str, key: str, run: str | None) -> dict[str, Any]:
        """The newest undo of that name, in the run if one is named."""
        for name in reversed([each for each in self.run_ids(incident) if run in (None, each)]):
            status, plan = await self.status(name) or {}, self._store.incidents.plan(name)
            undo = of_undo(status, key)
            if undo is None or plan is None:
                continue
            known = Known(
                run=name,
                plan=RunPlan.model_validate(plan["plan"]),
                plan_digest=plan["digest"],
                entries=self.told(incident),
                status=status,
                given=self._store.incidents.load_run(name) or {},
                facts={},
            )
            return {"incident": incident, **why_undo(known, undo)}
        raise DeskRefusal(
            "not_found",
            f"No undo {key} was offered in {run or 'any run'} of {incident}. Nothing was done.",
            f"`stanch incident undo {incident}` asks for one.",
        )

    async def after_review(self, incident: str) -> str:
        """The after-review as Markdown, from the record as it stands now.

        Raises:
            DeskRefusal: ``not_found``.
        """
        document = await self.incident(incident)
        return after_review(document, await asyncio.to_thread(self.told, incident))

    def told(self, incident: str, after: int = 0) -> list[dict[str, Any]]:
        """The journal, with ``text`` where somebody said something, which the journal itself only refers to."""
        entries = self._store.journal.entries(incident, after)
        for entry in entries:
            ref = entry["body"].get("text_ref")
            if ref:
                try:
                    entry["text"] = self._store.evidence.read(ref).decode(errors="replace")
                except (FileNotFoundError, ValueError):
                    # The record is told as far as it goes; `stanch evidence verify` finds what is missing.
                    continue
        return entries

    async def overview(self) -> list[dict[str, Any]]:
        """One row for each incident, newest first, from snapshots."""
        rows = []
        for record in self._store.incidents.list():
            incident = record["incident"]
            status = await self.status(f"incident/{incident}", live=False) or {}
            runs = await self.runs(incident, live=False)
            facts = status.get("facts") or record.get("facts") or {}
            rows.append(
                {
                    "incident": incident,
                    "title": _value(facts, "title") or record.get("title", ""),
                    "kind": _value(facts, "kind") or record.get("kind", ""),
                    "severity": _value(facts, "severity"),
                    "mode": record.get("mode", "live"),
                    "status": status.get("status", record.get("status", "open")),
                    "opened_at": record.get("opened_at"),
                    "alerts": self._store.incidents.alerts(incident)["count"],
                    "runs": [{"run": run["run"], "status": run["status"]} for run in runs],
                    "waiting": sum(len(run.get("waiting", [])) for run in runs),
                }
            )
        return rows

    async def waiting(self, incident: str | None = None, *, live: bool = True) -> list[dict[str, Any]]:
        """Everything that waits for a person, the nearest deadline first; without ``live`` as snapshots have it."""
        ids = [incident] if incident else [row["incident"] for row in self._store.incidents.list()]
        found: list[dict[str, Any]] = []
        for each in ids:
            for run in await self.runs(each, live=live):
                found.extend({"incident": each, **entry} for entry in run.get("waiting", []))
            status = await self.status(f"incident/{each}", live=False) or {}
            found.extend({"incident": each, **entry} for entry in open_reviews(status))
        return sorted(self._with_people(found), key=lambda entry: entry.get("until") or "9999")

    def _with_people(self, waiting: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Each question with the names of those who may still decide it, and whether they are enough."""
        if not waiting:
            return []
        people = {person.name: frozenset(person.roles) for person in self._store.people.list()}
        return [{**entry, "who": eligible(entry, people)} for entry in waiting]


def followed(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs with ``followed_by``, the run that went on from each, if one did: ``{run, verb, status}``.

    What a later run undid is shown as undone in the earlier one, too, and that one itself once none of its effects
    is left.
    """
    shown = {run["run"]: dict(run) for run in runs}
    for run in reversed(shown.values()):
        after = run.get("after") or {}
        earlier = shown.get(after.get("of", ""))
        if earlier is None:
            continue
        earlier["followed_by"] = {"run": run["run"], "verb": after["verb"], "status": run["status"]}
        undone = {(step["path"], step["item"]) for step in run["steps"] if step["status"] == "undone"}
        earlier["steps"] = [
            {**step, "status": "undone"} if (step["path"], step["item"]) in undone else step
            for step in earlier["steps"]
        ]
        if after["verb"] == "undo" and run["steps"] and all(step["status"] == "undone" for step in run["steps"]):
            earlier["status"] = "undone"
    return list(shown.values())


def open_reviews(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """After-reviews of an incident that wait for somebody."""
    return [entry for entry in status.get("reviews", ()) if entry["verdict"] is None]


def eligible(entry: dict[str, Any], people: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """A question's ``who``, with ``may``: who may still decide, and ``reachable``: whether they can be enough.

    The run itself counts roles; this only tells people early where they would wait in vain.
    """
    who = entry.get("who") or {}
    needs = [(frozenset(need["roles"]), need["count"]) for need in who.get("needs", ())]
    decided = {vote["person"] for vote in entry.get("decided", ())}
    able = {name: roles for name, roles in people.items() if name not in who.get("excluded", ())}
    may = [name for name, roles in able.items() if name not in decided and any(roles & need for need, _ in needs)]
    enough = all(sum(bool(roles & need) for roles in able.values()) >= count for need, count in needs)
    return {**who, "may": sorted(may), "reachable": enough}


def hold_document(store: Store) -> dict[str, Any]:
    """The global hold: ``on``, and who set it when and why."""
    hold = store.hold.get()
    if hold is None:
        return {"on": False}
    return {"on": True, "reason": hold.reason, "person": hold.person, "at": hold.at}


def slack_document(store: Store) -> dict[str, Any]:
    """Whether Slack is ``on``; if not, who switched it off when and why."""
    off = store.slack.off.get()
    if off is None:
        return {"on": True}
    return {"on": False, "reason": off.reason, "person": off.person, "at": off.at}


def _value(facts: dict[str, Any], name: str) -> Any:
    fact = facts.get(name)
    return fact.get("value") if isinstance(fact, dict) and "value" in fact else fact


def _draft(draft: dict[str, Any]) -> dict[str, Any]:
    """Where a draft lies and what it lacks; its text is in the file."""
    completeness = dict(draft.get("completeness") or {})
    missing = [entry["field"] for entry in completeness.pop("missing", ())]
    return {**{key: draft.get(key) for key in DRAFT_KEYS}, "missing": missing, "completeness": completeness}


def _run(run: dict[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in run.items() if key not in ("steps", "waiting", "undoable", "incident")}
    return {"id": run["run"], **shown}


def _step(run: str, step: dict[str, Any]) -> dict[str, Any]:
    return {"run": run, **{key: step.get(key) for key in (*STEP_KEYS, *STEP_MORE)}}
