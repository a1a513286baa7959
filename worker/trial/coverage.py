"""Path coverage: every way that a playbook can go at each of its steps, and which of them its tests went.

A playbook's own steps count; those of playbooks that it runs belong to the tests of these. A step has the way
``runs`` and, as far as they apply:

- ``when true``, ``when false``;
- of ``if`` ``then`` and ``else``; of ``choose`` ``choice 1``, ``choice 2`` and so on, and ``else``, written or not;
- of ``for_each`` ``items`` and ``no items``;
- of ``approve`` ``approved``, ``denied``, ``timeout``; of ``ask`` ``answered``, ``unanswered``; of ``human`` and of a
  wait for something ``done``, ``timeout``; of ``require`` ``holds``, ``fails``; of ``repeat`` ``until``, ``at most``;
- ``fails`` where a failure does not simply end the playbook: an effect, or a step whose ``on_failure`` says more than
  ``stop``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from playbooks.contract import NewEntry
from playbooks.plan import PlannedStep, RunPlan, WaitStep
from worker.trial.trial import Trial
from workflows.scope import PlanIndex, nested

NOT_RUN = frozenset({"when_false", "input_unanswered", "cancelled"})
_INDEX = re.compile(r"\[\d+\]")
_ENDS = {
    "step.done": "done",
    "action.outcome": "done",
    "step.failed": "failed",
    "step.skipped": "skipped",
    "step.denied": "denied",
}
_GATES = {
    "approve": {"approved": "approved", "denied": "denied", "expired": "timeout"},
    "ask": {"answered": "answered", "expired": "unanswered"},
}


@dataclass(frozen=True)
class Way:
    """One way at one step."""

    path: str
    way: str
    line: int = 0

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {"step": self.path, "way": self.way, "line": self.line}


@dataclass(frozen=True)
class Coverage:
    """How many of the ways were gone, and which were not."""

    ways: int
    missing: tuple[Way, ...]

    @property
    def percent(self) -> int:
        """Rounded down, so that 100 means all."""
        return 100 * (self.ways - len(self.missing)) // self.ways if self.ways else 100


def coverage(plan: RunPlan, gone: Iterable[tuple[str, str]]) -> Coverage:
    """Compare all ways with those gone."""
    went = set(gone)
    ways = list(ways_of(plan))
    return Coverage(len(ways), tuple(way for way in ways if (way.path, way.way) not in went))


def ways_of(plan: RunPlan) -> Iterator[Way]:
    """Every way of a playbook, in the order of its file."""
    index = PlanIndex(plan)
    for path in index.frames[plan.frame.prefix].above:
        step = index.steps[path]
        for way in _ways(step):
            yield Way(path, way, step.line)


def _ways(step: PlannedStep) -> Iterator[str]:
    yield from ("when true", "when false") if step.when is not None else ("runs",)
    if step.for_each is not None:
        yield from ("items", "no items")
    yield from choices(step)
    if step.kind in _GATES:
        yield from _GATES[step.kind].values()
    elif step.kind == "human" or (isinstance(step.spec, WaitStep) and step.spec.waiting is not None):
        yield from ("done", "timeout")
    elif step.kind == "require":
        yield from ("holds", "fails")
    elif step.kind == "repeat":
        yield from ("until", "at most")
    if step.on_failure != "stop" and step.kind != "require":
        yield "fails"


def choices(step: PlannedStep) -> list[str]:
    """The blocks of which a step takes one, as ways."""
    return [_choice(step, name) for name, _ in nested(step)] if step.kind in ("if", "choose") else []


def _choice(step: PlannedStep, block: str) -> str:
    """``then else``; of a ``choose`` ``choice 1``, ``choice 2`` and so on, and ``else``."""
    return f"choice {int(block) + 1}" if step.kind == "choose" and block.isdecimal() else block


def gone_by(trial: Trial) -> set[tuple[str, str]]:
    """The ways that a run went: by what its state holds at the end, and by what was told meanwhile of passes that the
    state has forgotten."""
    index = PlanIndex(trial.plan)
    gone: set[tuple[str, str]] = set()
    for key, record in _records(trial).items():
        step = index.steps.get(_INDEX.sub("", key))
        if step is not None:
            gone |= {(step.path, way) for way in _gone(step, record)}
    around = {path: above for frame in index.frames.values() for path, above in frame.above.items()}
    for entry in trial.world.entries.values():
        step = index.steps.get(str(entry.body.get("step")))
        if step is not None:
            gone |= {(step.path, way) for way in _told(step, entry)}
            gone |= {(above.step.path, _choice(above.step, above.block)) for above in around[step.path]}
    return gone


def _told(step: PlannedStep, entry: NewEntry) -> Iterator[str]:
    """What an entry of the journal shows of a step."""
    body = entry.body
    if entry.kind == "gate.closed":
        kind, status = str(body["gate"]), str(body["status"])
        if kind == "failure":
            yield "fails"
        elif kind == step.kind and status in _GATES.get(kind, {}):
            yield _GATES[kind][status]
    elif entry.kind in _ENDS:
        items = body.get("items")
        held = {"status": _ENDS[entry.kind], "code": body.get("code")}
        yield from _gone(step, held | ({} if items is None else {"items": [None] * int(items)}))


def _records(trial: Trial) -> Mapping[str, Mapping[str, Any]]:
    """Records by step instance; of a run that has not ended only what people see of it."""
    if trial.world.state is not None:
        records: Mapping[str, Mapping[str, Any]] = trial.world.state["records"]
        return records
    shown = trial.status()["steps"]
    return {f"{step['path']}[{step['item'] or 0}]": step for step in shown if step["status"] != "pending"}


def _gone(step: PlannedStep, record: Mapping[str, Any]) -> Iterator[str]:
    code, status = record.get("code"), record["status"]
    if code == "when_false":
        yield "when false"
    if code in NOT_RUN:
        return
    yield "when true" if step.when is not None else "runs"
    if record.get("items") is not None:
        yield "items" if record["items"] else "no items"
    if record.get("branch") is not None:
        yield _choice(step, str(record["branch"]))
    if step.kind in ("human", "wait"):
        yield "timeout" if code == "timeout" else "done"
    if step.kind == "repeat":
        yield "at most" if code == "repeat_spent" else "until"
    if step.kind == "require":
        yield "holds" if status == "done" else "fails"
    elif status in ("failed", "skipped") and code is not None:
        yield "fails"
