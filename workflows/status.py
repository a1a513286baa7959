"""What people see of a run: the answer to the query ``status``, and the snapshot that the store keeps."""

import re
from typing import TYPE_CHECKING

from playbooks.contract import Json
from playbooks.plan import ActionStep, PlannedStep
from workflows.messages import IncidentInput
from workflows.reviews import shown_review
from workflows.scope import events_of
from workflows.state import Gate, IncidentState, RunState, StepRecord

if TYPE_CHECKING:
    from workflows.run import Run

_INDEX = re.compile(r"\[(\d+)\]")

ENDS = {
    "deny": "it is denied and does not run",
    "stop": "the run stops",
    "continue": "the step is given up with a warning, and the run goes on",
    "unanswered": "it stays unanswered, and the run goes on",
    "default": "the default answer is taken",
}


def status_of(run: "Run", *, recorded: bool = False) -> dict[str, Json]:
    """The run as a plain document (docs/reference: status of a run).

    ``recorded`` is for the snapshot that is written together with all entries so far: in it every open gate
    is recorded.
    """
    state, frame = run.state, run.plan.frame
    gates = {key: gate for key, gate in state.gates.items() if offered(gate, recorded=recorded)}
    return {
        "run": run.input.run,
        "incident": run.input.incident,
        "playbook": frame.playbook.model_dump(mode="json"),
        "plan_digest": run.input.plan_digest,
        "mode": run.plan.context.mode.value,
        "after": run.input.after.model_dump(mode="json", exclude={"reason"}) if run.input.after else None,
        "status": shown_status(state, waits=bool(gates)),
        "cancelled": {"by": None} if state.cancelled else None,
        "reason": state.reason,
        "code": state.code,
        "warnings": list(state.warnings),
        "started_at": state.started_at,
        "finished_at": state.finished_at,
        "as_of": run.clock.stamp(),
        "phase": state.reported_phase,
        "facts_version": state.facts.version,
        "steps": _steps(run),
        "waiting": [waiting(run, key, gate) for key, gate in gates.items()],
        "events": events_of(run.index),
        "outputs": state.frames[frame.prefix].outputs if frame.prefix in state.frames else {},
        "undoable": [
            {
                "step": effect.path,
                "pass": effect.pass_,
                "item": effect.item,
                "action": effect.action,
                "summary": effect.summary,
            }
            for effect in reversed(state.undoable)
        ],
        "undos": _undos(state),
    }


def _undos(state: RunState) -> list[dict[str, Json]]:
    """Every undo that was asked for, or offered at a cancel (``person`` is then ``None``): how it ended, what is left.

    ``end`` is empty until it has ended.
    """
    shown: list[tuple[str, str | None, str | None, str]] = []
    shown += [(each.key, each.person, each.step, each.end) for each in state.undos]
    if state.undo_state and state.undo_state != "nothing":
        shown.append(("@undo", None, None, state.undo_state))
    return [
        {"key": key, "person": person, "step": step, "end": end, "left": list(state.undo_left.get(key, []))}
        for key, person, step, end in shown
    ]


def shown_status(state: RunState, *, waits: bool) -> str:
    """``paused`` and ``waiting`` where a running run is that."""
    if state.status != "running":
        return state.status
    if state.paused:
        return "paused"
    return "waiting" if waits else "running"


def offered(gate: Gate, *, recorded: bool = False) -> bool:
    """Whether people may decide here now: open, and already in the journal."""
    return gate.status == "open" and (recorded or gate.recorded)


def _steps(run: "Run") -> list[dict[str, Json]]:
    """Every step instance, in the order of the plan; a step that has none yet once, as pending. Of a run that only
    undoes, the effects."""
    records, keys = run.state.records, dict[str, list[str]]()
    for key in records:
        keys.setdefault(_INDEX.sub("", key), []).append(key)
    only_undoes = run.input.after is not None and run.input.after.verb == "undo"
    return [
        _step(key, step, records.get(key))
        for path, step in run.index.steps.items()
        for key in keys.get(path, [path])
        if not only_undoes or (key in records and records[key].changed)
    ]


def _step(key: str, step: PlannedStep, record: StepRecord | None) -> dict[str, Json]:
    shown = record or StepRecord(status="pending")
    return {
        "path": step.path,
        "id": step.id,
        "kind": step.kind,
        "action": step.spec.name if isinstance(step.spec, ActionStep) else None,
        "title": step.title,
        "phase": step.phase,
        "item": "/".join(_INDEX.findall(key)) or None,
        "pass": shown.pass_,
        "status": shown.status,
        "waiting_for": shown.waiting_for,
        "code": shown.code,
        "message": shown.message,
        "summary": shown.summary,
        "changed": shown.changed,
        "verified": shown.verified,
        "affected": shown.affected.model_dump(mode="json") if shown.affected else None,
        "by": list(shown.by),
        "started_at": shown.started_at,
        "finished_at": shown.finished_at,
    }


def waiting(run: "Run", key: str, gate: Gate) -> dict[str, Json]:
    """One question, as a card needs it."""
    return {
        "run": run.input.run,
        "step": key,
        "item": gate.item,
        "pass": gate.pass_,
        "kind": gate.kind,
        "digest": gate.digest,
        "question": gate.question,
        "who": {
            "needs": [need.model_dump(mode="json") for need in gate.needs],
            "excluded": list(gate.excluded),
            "deny_count": gate.deny_count,
        },
        "verdicts": list(gate.verdicts),
        "form": {
            name: field.model_dump(mode="json", include={"type", "required", "options", "default", "description"})
            for name, field in gate.form.items()
        },
        "decided": [
            {"person": vote.person, "verdict": vote.verdict, "at": vote.at} for vote in (*gate.votes, *gate.denials)
        ],
        "until": gate.deadline,
        "next": what_next(gate),
        "preview": gate.preview,
        "difference": list(gate.difference),
        "remains": list(gate.remains),
        "opened_at": gate.opened_at,
        "round": gate.round,
    }


def what_next(gate: Gate) -> str:
    """What happens if nobody answers, in a sentence."""
    if gate.chain:
        return f"If nobody answers, {gate.chain[0].role} is paged and may decide too."
    if gate.terminal is None:
        return "It waits until somebody answers."
    return f"If nobody answers, {ENDS[gate.terminal.outcome]}."


def incident_status(given: IncidentInput, state: IncidentState, as_of: str) -> dict[str, Json]:
    """An incident for display: the answer to its query ``status``, and the snapshot that the store keeps."""
    return {
        "incident": given.incident,
        "status": state.status,
        "mode": given.context.mode.value,
        "facts": {name: fact.model_dump(mode="json") for name, fact in state.facts.facts.items()},
        "facts_version": state.facts.version,
        "alerts": state.alerts,
        "last_alert": state.last_alert,
        "runs": {name: {"status": run.status, "phase": run.phase} for name, run in state.runs.items()},
        "commander": state.commander,
        "reviews": [shown_review(review) for review in state.reviews],
        "clocks": list(state.clocks),
        "clock_versions": dict(state.clock_versions),
        "dated": dict(state.dated),
        "opened_at": state.opened_at,
        "closed_at": state.closed_at,
        "as_of": as_of,
    }
