"""A dry run as a document: the stable shape of ``stanch playbook plan --json``, with who must approve what and why."""

from collections.abc import Mapping, Sequence
from typing import Any

from playbooks.contract import ActionFacts, Json
from playbooks.plan import ActionStep, ApproveStep, AskStep, HumanStep, RunPlan
from playbooks.policy import Need, Requirement, merged
from worker.desk.quorums import short
from worker.dryrun.known import Known
from worker.dryrun.walk import Row
from worker.store.peek import Peek
from workflows.envelopes import demanded, least
from workflows.questions import needs_of
from workflows.standing import in_advance


class Approvals:
    """Who must approve what, by the rows of a dry run.

    Args:
        plan: The plan.
        rows: All rows.
        known: What the walk knows.
        seen: What the store says, if it is at hand.
    """

    def __init__(self, plan: RunPlan, rows: Sequence[Row], known: Known, seen: Peek | None) -> None:
        self._plan, self._severity = plan, known.severity
        self._people = seen.people if seen else None
        self._standing = seen.standing if seen else ()
        self._incident, self._now = known.incident, known.at
        self._covered: dict[str, list[Row]] = {}
        for row in rows:
            asking = self._asking(row)
            if asking is not None:
                self._covered.setdefault(asking, []).append(row)

    def _asking(self, row: Row) -> str | None:
        """The approve step that covers an effect, as it stands where the effect stands."""
        covered_by = row.step.spec.covered_by if isinstance(row.step.spec, ActionStep) else None
        return None if covered_by is None else row.place.seen(covered_by) or covered_by

    def of(self, row: Row) -> dict[str, Any] | None:
        """Who decides at a step, ``None`` where nobody does."""
        spec = row.step.spec
        match spec:
            case ApproveStep():
                needs, covered = needs_of(spec.by, "the playbook"), self._by_path(row.name)
                for rows in covered:
                    needs += self._demand(rows).needs
                effects = [one for rows in covered for one in rows]
                shown = self._shown(merged(needs), effects, covers=[one.name for one in effects])
                return shown
            case AskStep():
                return self._shown(needs_of(spec.by, "the playbook"), ())
            case HumanStep():
                return self._shown([Need(roles=(spec.owner,), count=1, why="the playbook")], ())
            case ActionStep() if self._facts(row).risk.is_effect:
                return self._of_effect(row)
        return None

    def _of_effect(self, row: Row) -> dict[str, Any]:
        demand, by = self._demand([row]), self._asking(row)
        shown = {"by": by, "rule": demand.rule, "refused": demand.refused, "certain": row.call is not None}
        return shown | self._shown(list(demand.needs) if by is None else [], [row])

    def _by_path(self, asking: str) -> list[list[Row]]:
        found: dict[str, list[Row]] = {}
        for row in self._covered.get(asking, ()):
            if row.status != "skipped":
                found.setdefault(row.step.path, []).append(row)
        return list(found.values())

    def _demand(self, rows: Sequence[Row]) -> Requirement:
        """What policy demands for all instances of a step together, at least."""
        calls = [row.call for row in rows if row.call is not None]
        facts = self._facts(rows[0])
        if not calls:
            return least(self._plan.policy, facts, self._severity)
        return demanded(self._plan.policy, facts, self._severity, calls)

    def _facts(self, row: Row) -> ActionFacts:
        assert isinstance(row.step.spec, ActionStep)
        return self._plan.actions[row.step.spec.name]

    def _shown(self, needs: Sequence[Need], effects: Sequence[Row], **more: Any) -> dict[str, Any]:
        document: dict[str, Any] = {"needs": [need.model_dump(mode="json") for need in needs], **more}
        calls = [row.call for row in effects if row.call is not None]
        if needs and calls and len(calls) == len(effects):
            given = in_advance(self._standing, needs, calls, self._incident, self._now, ())
            document["in_advance"] = given.ids if given else []
        if self._people is not None and needs:
            missing = short(needs, self._people)
            roles = {role for need in needs for role in need.roles}
            document["people"] = sorted(name for name, held in self._people.items() if held & roles)
            document["reachable"] = not missing
            document["missing"] = missing
        return document


def document(
    plan: RunPlan, digest: str, rows: Sequence[Row], approvals: Approvals, *, severity: Json, offline: bool
) -> dict[str, Any]:
    """The whole dry run. ``ok`` is false where something that should have been read was not, or where an effect can
    never be approved; ``problems`` says which."""
    steps = [_step(plan, row, approvals.of(row)) for row in rows]
    problems = [problem for step in steps for problem in _problems(step)]
    return {
        "ok": not problems,
        "digest": digest,
        "playbook": plan.frame.playbook.id,
        "version": plan.frame.playbook.version,
        "mode": plan.context.mode.value,
        "severity": severity,
        "offline": offline,
        "steps": steps,
        "problems": problems,
    }


def _step(plan: RunPlan, row: Row, approval: Mapping[str, Any] | None) -> dict[str, Any]:
    step, spec = row.step, row.step.spec
    shown: dict[str, Any] = {
        "path": row.name,
        "id": step.id,
        "kind": step.kind,
        "title": step.title,
        "phase": step.phase,
        "line": step.line,
        "depth": row.depth,
        "block": row.block,
        "item": row.item,
        "status": row.status,
        "because": list(row.because),
        "text": row.text,
        "unknown": {name: list(reasons) for name, reasons in row.unknown.items()},
        "approval": dict(approval) if approval is not None else None,
    }
    if not isinstance(spec, ActionStep):
        return shown
    facts = plan.actions[spec.name]
    preview = row.preview
    reversible = facts.reversible and step.no_undo is None
    why_not = step.no_undo or (preview.irreversible_because if preview else None) or facts.irreversible_because
    return shown | {
        "action": facts.name,
        "risk": facts.risk.value,
        "params": row.params,
        "summary": row.summary,
        "output": row.output,
        "preview": None if preview is None else preview.model_dump(mode="json", exclude={"evidence", "target_sha256"}),
        "missing": None if row.missing is None else {"code": row.missing[0], "message": row.missing[1]},
        "reversible": reversible if facts.risk.is_effect else None,
        "irreversible_because": why_not if facts.risk.is_effect and not reversible else None,
    }


def _problems(step: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is wrong with a step: it could not be read, policy refuses it, or there are too few people."""
    found = []
    missing, approval = step.get("missing"), step["approval"] or {}
    if missing and missing["code"] != "not_asked":
        found.append((missing["code"], missing["message"]))
    if step["status"] == "skipped":
        return [{"step": step["path"], "code": code, "message": message} for code, message in found]
    if approval.get("refused"):
        found.append(("policy_refused", f"Policy does not allow it: {approval['rule']}."))
    found += [("approval_unreachable", f"{said}.") for said in approval.get("missing", ())]
    return [{"step": step["path"], "code": code, "message": message} for code, message in found]
