"""Whether a run's trace is legal: the contract's semantics 1 to 6, read off what the run left, without its interpreter.

Judged are the plan, the last state's records, the order of the journal, the effects that reached a system and the
decisions that people took.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from playbooks.plan import ActionStep, ApproveStep, PlannedStep, RepeatStep, RunStep
from tests.properties.fates import PEOPLE, STARTER
from worker.trial.trial import Trial
from worker.trial.world import Effect
from workflows.scope import PlanIndex, nested

ENDS = frozenset({"done", "skipped", "failed", "denied", "undone"})
DEMANDS = {"cut": 1, "pause": 1, "change": 1, "destroy": 2}
"""Owners that the default policy wants for each effect of the lab; a pause is free from severity 4."""
RUN_ENDS = frozenset({"done", "failed", "denied", "cancelled", "undone"})


class Trace:
    """One run at its end."""

    def __init__(self, trial: Trial) -> None:
        assert trial.world.state is not None, "the run did not end"
        self.plan, self.index, self.state = trial.plan, PlanIndex(trial.plan), trial.world.state
        self.records: Mapping[str, Mapping[str, Any]] = self.state["records"]
        self.entries = list(trial.world.entries.values())
        self.effects, self.severity = trial.world.effects, trial._facts.values()["severity"]
        self.cancelled = bool(self.state["cancelled"])
        self.faults: list[str] = []

    def judge(self) -> list[str]:
        """Everything that is not as it must be."""
        self._ends()
        self._sequence(self.plan.frame.steps, "", "steps", free=False)
        self._always()
        for effect in self.effects:
            if effect.verb == "apply":
                self._approved(effect)
        return self.faults

    def _wrong(self, said: str) -> None:
        self.faults.append(said)

    # --- ends --------------------------------------------------------------------------------------

    def _ends(self) -> None:
        status = self.state["status"]
        if status not in RUN_ENDS:
            self._wrong(f"the run is {status}")
        for key, record in self.records.items():
            if record["status"] not in ENDS and not key.startswith("@undo"):
                self._wrong(f"{key} is {record['status']} at the end")
        if self.entries[0].kind != "run.started" or self.entries[-1].kind != "run.finished":
            self._wrong("the journal does not begin and end with the run")
        main = [self.records[step.path] for step in self.plan.frame.steps if step.path in self.records]
        duties = [self.records[step.path] for step in self.plan.frame.always if step.path in self.records]
        bad = [record["status"] for record in main if record["stops"] and record["status"] in ("failed", "denied")]
        # A duty that is denied leaves a warning; one that fails fails the run.
        bad += [record["status"] for record in duties if record["stops"] and record["status"] == "failed"]
        if status == "done" and bad:
            self._wrong(f"the run is done although a step ended {bad[0]}")
        if status == "failed" and "failed" not in bad:
            self._wrong("the run failed although no step did")

    # --- order and completeness ---------------------------------------------------------------------

    def _always(self) -> None:
        """Each of its steps had its turn, whatever came of the one before it."""
        for step in self.plan.frame.always:
            if step.path not in self.records:
                self._wrong(f"{step.path} of always had no turn")
            else:
                self._inside(step, "", always=True)
        self._in_order([*self.plan.frame.steps[-1:], *self.plan.frame.always], "")

    def _sequence(self, steps: tuple[PlannedStep, ...], at: str, where: str, *, free: bool) -> None:
        """Steps of a sequence ran in order, one after the end of the other, up to the one that stopped it.

        ``free``: something outside may have ended it early (a time-out, a sibling's failure, a cancel).
        """
        gone = True
        for step in steps:
            record = self.records.get(step.path + at)
            if record is None:
                if gone and not free and not self.cancelled:
                    self._wrong(f"{step.path}{at} had no turn, although nothing stopped {where}")
                gone = False
                continue
            if not gone:
                self._wrong(f"{step.path}{at} ran, although {where} was over")
            self._inside(step, at, free=free)
            gone = self._goes_on(step, record, at)
        self._in_order(steps, at)

    def _goes_on(self, step: PlannedStep, record: Mapping[str, Any], at: str) -> bool:
        """Whether the step after this one has its turn."""
        return not record["stops"] and not self._ended_from_within(step, at, record)

    def _ended_from_within(self, step: PlannedStep, at: str, record: Mapping[str, Any]) -> bool:
        """Whether a ``stop`` or a denial inside ended what is around it; the blocks between are not marked so."""
        if record["status"] == "denied":
            return bool(record["stops"])
        return record["status"] not in ENDS or (record["finished_at"] is None)

    def _inside(self, step: PlannedStep, at: str, *, free: bool = False, always: bool = False) -> None:
        record = self.records[step.path + at]
        if record["code"] in ("when_false", "input_unanswered"):
            if record["status"] != "skipped" or self._touched(step, at):
                self._wrong(f"{step.path}{at} was to be skipped")
            return
        free = free or always or step.timeout_seconds is not None or record["status"] not in ("done",)
        if step.for_each is not None and not self._is_item(step, at):
            self._items(step, at, record, free)
            return
        self._blocks(step, at, record, free)

    def _is_item(self, step: PlannedStep, at: str) -> bool:
        return (
            self.records[step.path + at]["items"] is None
            and self.records.get(step.path + at.rpartition("[")[0], {}).get("items") is not None
            and at != ""
        )

    def _items(self, step: PlannedStep, at: str, record: Mapping[str, Any], free: bool) -> None:
        for number in range(len(record["items"] or ())):
            if f"{step.path}{at}[{number}]" in self.records:
                self._inside(step, f"{at}[{number}]", free=free)
            elif not free and not self.cancelled:
                self._wrong(f"item {number} of {step.path}{at} had no turn")

    def _blocks(self, step: PlannedStep, at: str, record: Mapping[str, Any], free: bool) -> None:
        spec = step.spec
        if isinstance(spec, RunStep):
            if (spec.frame.prefix + at) in self.state["frames"]:
                self._sequence(spec.frame.steps, at, step.path, free=free)
                for duty in spec.frame.always:
                    if duty.path + at not in self.records:
                        self._wrong(f"{duty.path}{at} of always had no turn")
            return
        for name, block in nested(step):
            if step.kind in ("if", "choose") and name != record["branch"]:
                if any(self._touched(inner, at) for inner in block):
                    self._wrong(f"{step.path}{at} went {record['branch']}, yet {name} ran")
                continue
            self._sequence(block, at, f"{step.path}.{name}", free=free)
        if isinstance(spec, RepeatStep) and int(record["output"].get("passes", 0)) > spec.at_most:
            self._wrong(f"{step.path}{at} had {record['output']['passes']} passes")

    def _touched(self, step: PlannedStep, at: str) -> bool:
        """Whether a step's inside, or the step's own system, was ever touched."""
        inner = [other for _, block in nested(step) for other in block]
        own = any(effect.step == step.path and _at(effect.item).startswith(at) for effect in self.effects)
        return own or any(other.path + at in self.records for other in inner)

    def _in_order(self, steps: Any, at: str) -> None:
        """In the journal every entry of a step stands before every entry of the next."""
        last, name = -1, ""
        for step in steps:
            places = [number for number, entry in enumerate(self.entries) if self._of(entry, step, at)]
            if places and places[0] < last:
                self._wrong(f"{step.path}{at} began before {name} had ended")
            if places:
                last, name = max(last, places[-1]), step.path

    def _of(self, entry: Any, step: PlannedStep, at: str) -> bool:
        """Whether an entry belongs to a step, or to what is inside of it; what people say comes when it comes, an approval
        previews what it covers, and a repeat comes back."""
        path = entry.body.get("step")
        if entry.kind.startswith("decision.") or path is None or entry.body.get("verb") in ("preview", "undo"):
            return False
        if entry.kind in ("step.undone", "undo.failed"):
            return False
        return str(path) in self._all(step) and _at(entry.body.get("item")).startswith(at) and not self._repeated(step)

    def _repeated(self, step: PlannedStep) -> bool:
        return any(
            above.step.kind == "repeat"
            for frame in self.index.frames.values()
            for above in frame.above.get(step.path, ())
        )

    def _all(self, step: PlannedStep) -> frozenset[str]:
        found = {step.path, *(path for path in self.index.steps if path.startswith(f"{step.path}/"))}
        for _, block in nested(step):
            for inner in block:
                found |= self._all(inner)
        return frozenset(found)

    # --- approvals ----------------------------------------------------------------------------------

    def _approved(self, effect: Effect) -> None:
        """As many people of the right roles approved it as policy and the playbook demand, nobody who asked for it."""
        step = self.index.steps[effect.step]
        assert isinstance(step.spec, ActionStep)
        risk, paths = effect.action.partition(".")[2], {effect.step, step.spec.covered_by}
        least = DEMANDS[risk] - (risk == "pause" and self.severity >= 4) + bool(effect.protected)
        if step.spec.covered_by is not None:
            asking = self.index.steps[step.spec.covered_by].spec
            assert isinstance(asking, ApproveStep)
            least = max(least, asking.by.count)
        called_in = any(entry.kind == "gate.escalated" and entry.body.get("step") in paths for entry in self.entries)
        may = {"platform_owner", "incident_commander"} if called_in else {"platform_owner"}
        people = {person for person in effect.permit.approved_by if may & set(PEOPLE[person])}
        if len(people) < least:
            self._wrong(f"{effect.step} {effect.item}: {risk} needs {least}, and {sorted(people)} approved")
        if STARTER in effect.permit.approved_by:
            self._wrong(f"{effect.step}: approved by who started the run")
        for person in effect.permit.approved_by:
            if not any(self._vote(entry, person, effect, step.spec.covered_by) for entry in self.entries):
                self._wrong(f"{effect.step}: {person} never approved it")

    def _vote(self, entry: Any, person: str, effect: Effect, covered_by: str | None) -> bool:
        paths = {effect.step, covered_by}
        accepted = entry.kind == "decision.accepted" and entry.body["verdict"] == "approve"
        return accepted and entry.actor == person and entry.body.get("step") in paths


def _at(item: str | None) -> str:
    return "".join(f"[{index}]" for index in (item or "").split("/") if index)


def faults(trial: Trial) -> Iterator[str]:
    """What is wrong with a run's trace."""
    yield from Trace(trial).judge()
