"""What a migration to another version of a playbook would do to a run, and the state that it goes on from. Pure.

Steps are the same by their path. What is done stays done, whatever the new version says of it; what was not begun is
as the new version says. Approvals name the plan that they were given for, so all of them are asked for anew.
"""

from dataclasses import dataclass, field
from typing import Any

from playbooks.contract import Json
from playbooks.digest import digest_of
from playbooks.plan import ActionStep, ApproveStep, RunPlan, RunStep, WaitStep
from workflows.resumption import Resumed, Stand, fresh, reopen, stands, to_come_anew
from workflows.scope import nested, path_of
from workflows.state import FactsSnapshot, RunState, StepRecord

VOID = "The run was migrated to another version of its playbook, so it is approved anew."
BLOCKS = frozenset({"then", "otherwise", "choices", "branches", "steps", "frame"})
"""Of a step's form, what holds other steps: those are compared by themselves."""


@dataclass
class Migration:
    """What would become of every step, and why it cannot be, if so.

    ``steps`` are ``{step, change, now}``: ``change`` is ``same changed new gone``, ``now`` what the run has made of
    it. ``free`` are effects that an approve step covered and none covers any more, or new ones that none covers.
    ``conflicts`` are ``{step, code, message}``.
    """

    steps: list[dict[str, Json]] = field(default_factory=list)
    free: list[str] = field(default_factory=list)
    conflicts: list[dict[str, Json]] = field(default_factory=list)

    def digest(self, run: str, before: str, after: str) -> str:
        """What somebody agrees to: this run, these two plans, these changes."""
        about = {"steps": self.steps, "free": self.free}
        return digest_of({"migrate": run, "from": before, "to": after, **about})


def mapping(old: RunPlan, new: RunPlan, state: RunState) -> Migration:
    """Compare two plans by the paths of their steps, in the light of what a run has done."""
    before, after, found = stands(old), stands(new), Migration()
    held: dict[str, list[str]] = {}
    for key in state.records:
        held.setdefault(path_of(key), []).append(key)
    for path in dict.fromkeys((*after, *before)):
        keys = held.get(path, [])
        change = _change(before.get(path), after.get(path))
        now = _now([state.records[key] for key in keys])
        found.steps.append({"step": path, "change": change, "now": now})
        for code, message in _conflicts(old, before.get(path), after.get(path), change, keys, state):
            found.conflicts.append({"step": path, "code": code, "message": message})
        if path in after and _uncovered(new, after[path]) and not _uncovered(old, before.get(path)):
            found.free.append(path)
    return found


def _change(before: Stand | None, after: Stand | None) -> str:
    if before is None or after is None:
        return "new" if before is None else "gone"
    return "same" if _form(before) == _form(after) else "changed"


def _form(stand: Stand) -> Any:
    """A step without its place in the file, and without the steps inside of it."""
    form = stand.step.model_dump(mode="json", exclude={"line"})
    form["spec"] = {name: value for name, value in form["spec"].items() if name not in BLOCKS}
    return form, [step.path for step in stand.above]


def _now(records: list[StepRecord]) -> str:
    if not records:
        return "pending"
    found = {record.status for record in records}
    return found.pop() if len(found) == 1 else "partly " + " ".join(sorted(found))


def _conflicts(
    plan: RunPlan, before: Stand | None, after: Stand | None, change: str, keys: list[str], state: RunState
) -> list[tuple[str, str]]:
    if before is None or not keys:
        return []
    records = [state.records[key] for key in keys]
    effect = isinstance(before.step.spec, ActionStep) and plan.actions[before.step.spec.name].risk.is_effect
    undoable = {path_of(held.key) for held in state.undoable}
    if after is None:
        if effect and (before.step.path in undoable or any(record.changed for record in records)):
            return [("effect_gone", "it has changed something, and would be forgotten; keep the step")]
        if any(not record.finished for record in records) and not _holds_steps(before):
            return [("step_gone", "it is under way; let it end first, or keep the step")]
        return []
    was, now = before.step.spec, after.step.spec
    if was.kind != now.kind:
        return [("kind_changed", f"it was begun as {was.kind} and would be {now.kind}; give the new step another id")]
    if isinstance(was, ActionStep) and isinstance(now, ActionStep) and was.name != now.name:
        return [("action_changed", f"it was begun as {was.name} and would be {now.name}; give it another id")]
    if _loops(before) != _loops(after):
        return [("loop_changed", "it was begun inside other loops; give the new step another id")]
    if change == "changed" and any(record.status == "unknown" for record in records):
        return [("unknown_changed", "nobody knows whether it happened; find out first")]
    open_ = any(not record.finished or record.status == "failed" for record in records)
    if change == "changed" and effect and open_ and before.step.path in undoable:
        return [("partly_done", "a part of it is done; undo that first, or leave the step as it is")]
    return []


def _loops(stand: Stand) -> list[str]:
    return [step.path for step in (*stand.above, stand.step) if step.for_each is not None]


def _holds_steps(stand: Stand) -> bool:
    return isinstance(stand.step.spec, RunStep) or any(True for _ in nested(stand.step))


def _uncovered(plan: RunPlan, stand: Stand | None) -> bool:
    """Whether it is an effect that no approve step covers."""
    if stand is None or not isinstance(stand.step.spec, ActionStep):
        return False
    spec = stand.step.spec
    return plan.actions[spec.name].risk.is_effect and spec.covered_by is None


def for_migration(new: RunPlan, state: RunState, facts: FactsSnapshot) -> Resumed:
    """The state from which a run goes on under a new plan. The mapping has no conflicts."""
    found = stands(new)
    seed = fresh(state, facts)
    for part in (seed.records, seed.gates, seed.approvals, seed.deadlines, seed.passes):
        for key in [key for key in part if path_of(key.partition(":")[0]) not in found]:
            del part[key]
    prefixes = {""} | {step.spec.frame.prefix for step in _runs(found)}
    for key in [key for key in seed.frames if path_of(key) not in prefixes]:
        del seed.frames[key]
    main = seed.frames.get("")
    if main is not None:
        main.inputs = {**new.values, **main.inputs}
    # A wait goes on to wait until its instant.
    again = [key for key in to_come_anew(found, seed) if not _still_waits(found, seed, key)]
    again += [key for key in _approvals_to_ask(found, seed) if key not in again]
    reopen(found, seed, again)
    for key in [key for key in seed.approvals if key in again and seed.records[key].status != "unknown"]:
        del seed.approvals[key]
    for approval in seed.approvals.values():
        if approval.approved:
            approval.void = VOID
    # Until its first step begins, and while it is paused, the run is still where the other one was: else the incident
    # would be called contained meanwhile.
    seed.paused, seed.reported_phase = state.paused, state.reported_phase
    return Resumed(seed, again)


def _still_waits(found: dict[str, Stand], seed: RunState, key: str) -> bool:
    return isinstance(found[path_of(key)].step.spec, WaitStep) and not seed.records[key].finished


def _runs(found: dict[str, Stand]) -> list[Any]:
    return [stand.step for stand in found.values() if isinstance(stand.step.spec, RunStep)]


def _approvals_to_ask(found: dict[str, Stand], seed: RunState) -> list[str]:
    """Approve steps that said yes to something that is still to be done."""
    keys = []
    # What was sent and is in doubt is asked about first; only if it did not happen is it approved anew.
    held = [(path_of(key), record.finished or record.status == "unknown") for key, record in seed.records.items()]
    done, left = {path for path, sent in held if sent}, {path for path, sent in held if not sent}
    for key, record in seed.records.items():
        spec = found[path_of(key)].step.spec
        said_yes = isinstance(spec, ApproveStep) and record.finished and record.output.get("approved") is True
        if isinstance(spec, ApproveStep) and said_yes and any(path in left or path not in done for path in spec.covers):
            keys.append(key)
    return keys
