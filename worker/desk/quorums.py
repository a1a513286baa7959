"""Whether the people that there are can decide what a plan will ask: ``approval_unreachable`` against real people."""

from collections.abc import Iterable, Iterator, Mapping

from playbooks.contract import Json, NewEntry, Notice, Urgency
from playbooks.plan import ActionStep, ApproveStep, AskStep, HumanStep, PlannedStep, RunPlan
from playbooks.policy import Need, merged
from worker.desk.times import stamp
from worker.store import Store
from workflows.envelopes import least
from workflows.questions import needs_of
from workflows.scope import PlanIndex

People = Mapping[str, frozenset[str]]
"""Name to roles."""


def short(needs: Iterable[Need], people: People, excluded: Iterable[str] = ()) -> list[str]:
    """For each need that these people cannot fill a sentence; none if they can."""
    able = {name: roles for name, roles in people.items() if name not in set(excluded)}
    said = []
    for need in needs:
        held = sum(bool(roles & set(need.roles)) for roles in able.values())
        if held < need.count:
            who = " or ".join(need.roles)
            said.append(f"{need.count} of {who} must decide, and {held} who may {'is' if held == 1 else 'are'} there")
    return said


def asked(plan: RunPlan, severity: Json) -> Iterator[tuple[PlannedStep, list[Need]]]:
    """Every step that waits for people, with the least that it needs: an effect that no approve step covers by what
    policy demands while nothing is known of its targets."""
    index = PlanIndex(plan)
    for path, step in index.steps.items():
        needs = _asked(index, plan, path, severity)
        if needs:
            yield step, needs


def _asked(index: PlanIndex, plan: RunPlan, path: str, severity: Json) -> list[Need]:
    """The people that a step waits for at least; none if it waits for nobody."""
    spec = index.steps[path].spec
    match spec:
        case ApproveStep():
            covered = [index.steps[inner].spec for inner in spec.covers if inner in index.steps]
            needs = needs_of(spec.by, "the playbook")
            for effect in covered:
                if isinstance(effect, ActionStep):
                    needs += least(plan.policy, plan.actions[effect.name], severity).needs
            return merged(needs)
        case AskStep():
            return needs_of(spec.by, "the playbook")
        case HumanStep():
            return [Need(roles=(spec.owner,), count=1, why="the playbook")]
        case ActionStep() if spec.covered_by is None:
            return list(least(plan.policy, plan.actions[spec.name], severity).needs)
    return []


def unreachable(plan: RunPlan, people: People, severity: Json, starters: Iterable[str] = ()) -> list[dict[str, Json]]:
    """Every question that the people there are cannot decide, as a problem: ``code``, ``step``, ``message``.

    ``starters`` may not approve what they started; they may answer and do.
    """
    found = []
    for step, needs in asked(plan, severity):
        excluded = starters if isinstance(step.spec, ApproveStep | ActionStep) else ()
        for said in short(needs, people, excluded):
            message = f"{step.path}: {said}. It would wait in vain, then go on as its time-out says."
            found.append({"code": "approval_unreachable", "step": step.path, "message": message})
    return found


def warned(
    store: Store, incident: str, run: str, plan: RunPlan, severity: Json, starters: Iterable[str]
) -> list[dict[str, Json]]:
    """What the people there are cannot decide, journaled and paged before the run starts; none if they can.

    It refuses nothing: what needs nobody runs, escalation and break-glass remain, and somebody may be added meanwhile.
    """
    people = {person.name: frozenset(person.roles) for person in store.people.list()}
    found = unreachable(plan, people, severity, tuple(starters))
    if not found:
        return []
    said = " ".join(str(problem["message"]) for problem in found)
    text = f"{incident}: too few people for {plan.frame.playbook.id}. {said} Add somebody: stanch people add."
    body: dict[str, Json] = {"run": run, "steps": [problem["step"] for problem in found]}
    with store.transaction():
        store.journal.append(
            incident,
            [NewEntry(key=f"desk/unreachable/{run}", kind="run.unreachable", at=stamp(), door="desk", body=body)],
        )
        store.notices.put(
            [
                Notice(
                    id=f"{run}/unreachable",
                    incident=incident,
                    run=run,
                    to=("role:incident_commander",),
                    urgency=Urgency.PAGE,
                    body={"kind": "text", "text": text},
                    at=stamp(),
                )
            ]
        )
    return found
