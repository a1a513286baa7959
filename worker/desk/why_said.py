"""The sentences of ``incident why``: how a step stands, why it came to run or not, under which rule, with what end."""

from collections.abc import Mapping, Sequence
from typing import Any

from playbooks.contract import Json
from playbooks.plan import ApproveStep, PlannedStep
from playbooks.policy import requirement
from worker.desk.why_facts import said, steps_read, version_read
from worker.desk.why_record import Telling, targets, when
from worker.wording import ENDED


def opening(telling: Telling) -> list[str]:
    """What the step is and how it stands."""
    shown, step = telling.shown, telling.step
    what = f"{telling.name} ({telling.action})" if telling.action else f"{telling.name} ({step.kind})"
    began, ended = when(shown.get("started_at")), when(shown.get("finished_at"))
    return [
        {
            "done": f"{what} ran from {began} to {ended}.",
            "running": f"{what} is running since {began}{_between(shown)}.",
            "waiting": f"{what} waits since {began} for {_waits_for(telling)}.",
            "unknown": f"{what} was begun at {began}, and how it ended is not known. A person must say what happened.",
            "failed": f"{what} began at {began} and failed at {ended}: {_failure(shown)}",
            "denied": f"{what} did not run: it was denied.",
            "skipped": f"{what} did not run: it was skipped at {ended}.",
            "undone": f"{what} ran from {began} to {ended} and was undone later.",
            "pending": _pending(telling, what),
        }.get(telling.status, f"{what} stands as {telling.status}."),
        _origin(telling),
    ]


def _between(shown: Mapping[str, Any]) -> str:
    waits = str(shown.get("waiting_for") or "").rstrip(".")
    return f" and waits for {waits}" if waits else ""


def _origin(telling: Telling) -> str:
    """Which playbook says so, and who started it."""
    known, book = telling.known, telling.known.frame(telling.step.path).frame.playbook
    starters = known.given.get("starters")
    if starters is None:
        telling.missing.append("who started the run")
    by = f"{' and '.join(starters)} started it" if starters else "an alert started it" if starters == [] else ""
    after = known.given.get("after")
    if after:
        verb = {"undo": "undoes", "rerun": "reruns", "migrate": "goes on from"}.get(after["verb"], after["verb"])
        by = f"{after['person']} asked for it, and it {verb} {after['of']}"
    return f"It is line {telling.step.line} of {book.id} {book.version}, in {known.run}{f'; {by}' if by else ''}."


def _waits_for(telling: Telling) -> str:
    kind = str(telling.shown.get("waiting_for") or "")
    names = {
        "approve": "an approval",
        "ask": "an answer",
        "human": "a person's work",
        "failure": "a decision about its failure",
        "unknown": "somebody to say what happened",
        "undo": "a decision about its undo",
    }
    return names.get(kind, kind or "something that the record does not name")


def _failure(shown: Mapping[str, Any]) -> str:
    message = str(shown.get("message") or "").strip()
    return f"{message} [{shown.get('code') or 'no code'}]" if message else f"code {shown.get('code') or 'unknown'}."


def _pending(telling: Telling, what: str) -> str:
    status = telling.known.status
    ended = str(status.get("status"))
    if ended in ENDED:
        reason = f" ({status['reason']})" if status.get("reason") else ""
        return f"{what} never ran: the run ended as {ended}{reason} before it came to it."
    running = [str(step["path"]) for step in status.get("steps", []) if step.get("status") in ("running", "waiting")]
    now = f" The run is at {', '.join(running[:4])}." if running else ""
    return f"{what} has not run yet.{now}"


def reason_said(
    telling: Telling, conditions: Sequence[Mapping[str, Json]], facts: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Which conditions led to it, with the facts behind them."""
    found = []
    skipped = telling.last("step.skipped") if telling.status == "skipped" else None
    code = skipped["body"].get("code") if skipped else None
    told = " and ".join(_condition(condition) for condition in conditions)
    version = version_read(telling)
    at_version = f" with version {version} of the facts" if version else ""
    if code == "when_false":
        own = [condition for condition in conditions if condition["of"] == telling.step.path]
        said_ = " and ".join(f"`{condition['condition']}`" for condition in own)
        found.append(f"Its condition {said_} did not hold{at_version}.")
    elif code == "cancelled":
        found.append("The run was cancelled before it could go on.")
    elif code == "input_unanswered":
        found.append(f"Nobody gave the inputs that it needs: {', '.join(telling.step.needs_inputs)}.")
    elif telling.status == "skipped":
        found.append(f"A person chose to skip it after its failure ({code or 'no code'}).")
    elif conditions and telling.status in ("pending", "denied"):
        found.append(f"It runs only when {told}.")
    elif conditions:
        found.append(f"It came to run because {told}{at_version}.")
    elif telling.status not in ("pending", "denied"):
        found.append("It has no condition: the run came to it.")
    if telling.status == "pending":
        found += _passed_by(telling)
    if facts:
        found.append(f"Facts behind it: {'; '.join(map(said, facts))}.")
    found += _steps_behind(telling, conditions)
    return found


def _passed_by(telling: Telling) -> list[str]:
    """The step around it that was skipped, or went another way."""
    for above in telling.known.above(telling.step.path):
        for entry in telling.known.of_step(above.step.path, None):
            if entry["kind"] in ("step.skipped", "step.denied"):
                return [f"{above.step.path}, around it, was {entry['kind'].partition('.')[2]}."]
            way = entry["body"].get("way")
            if entry["kind"] == "step.done" and way is not None and way != above.block:
                return [f"{above.step.path}, around it, went the way {way!r}."]
    return []


def _condition(condition: Mapping[str, Json]) -> str:
    holds = "holds" if condition["must_be"] else "does not hold"
    return f"`{condition['condition']}` {holds}"


def _steps_behind(telling: Telling, conditions: Sequence[Mapping[str, Json]]) -> list[str]:
    paths = telling.known.frame(telling.step.path).paths
    by_path = {step.get("path"): step for step in telling.known.status.get("steps", []) if step.get("item") is None}
    told = []
    for name in steps_read(telling, conditions):
        step = by_path.get(paths.get(name))
        if step is not None:
            by = f" by {', '.join(step['by'])}" if step.get("by") else ""
            summary = f" ({step['summary']})" if step.get("summary") else ""
            told.append(f"{name} is {step.get('status')}{by}{summary}")
    return [f"Steps behind it: {'; '.join(told)}."] if told else []


def policy_said(telling: Telling) -> dict[str, Any]:
    """The rule under which an effect ran, or would; ``{}`` and no sentence for what policy does not guard."""
    facts = telling.known.plan.actions.get(telling.action or "")
    if facts is None or not facts.risk.is_effect:
        return {"sentences": []}
    intents = [entry for entry in telling.entries if entry["kind"] == "action.intent"]
    intent = next((entry for entry in reversed(intents) if entry["body"].get("verb") == "apply"), None)
    permit = (intent["body"].get("permit") or {}) if intent else {}
    rule = str(permit.get("rule") or "")
    if rule:
        return {"rule": rule, "from": "permit", "sentences": [f"The rule: {_once(rule)}."]}
    severity = (telling.known.facts.get("severity") or {}).get("value")
    level = severity if isinstance(severity, int) and not isinstance(severity, bool) else None
    needed = requirement(telling.known.plan.policy, facts, severity=level)
    covered = isinstance(_cover(telling), ApproveStep)
    asks = "" if not covered else " The playbook asks for an approval of its own."
    return {"rule": needed.rule, "from": "plan", "sentences": [f"The rule, as the plan froze it: {needed.rule}.{asks}"]}


def _once(rule: str) -> str:
    parts = ["the playbook's own approval" if part == "the playbook" else part for part in rule.split("; ")]
    return "; ".join(dict.fromkeys(parts))


def _cover(telling: Telling) -> object:
    path = getattr(telling.step.spec, "covered_by", None)
    found: PlannedStep | None = telling.known.index.steps.get(path) if path else None
    return found.spec if found is not None else None


def effect_said(telling: Telling, effect: Mapping[str, Any] | None, gates: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was sent under which permit, and how it ended."""
    if effect is None:
        return _read_said(telling)
    found = []
    changed = [entry for entry in telling.entries if entry["kind"] in ("approval.plan_changed", "step.changed")]
    approved = [gate for gate in gates if gate["gate"] in ("approve", "standing")]
    intents, outcome = effect["intents"], effect["outcome"]
    if not intents:
        return ["Nothing was sent."] if telling.status not in ("done", "unknown", "undone") else _no_intent(telling)
    last = intents[-1]
    if not approved:
        found.append("No person was asked: the rule lets it run.")
    elif changed:
        found.append(f"What was approved had changed {len(changed)} time(s), so that people were asked anew.")
    else:
        found.append("Nothing that was approved had changed when it ran.")
    tries = f", in {len(intents)} attempts" if len(intents) > 1 else ""
    # A later attempt finds done already what a lost one did.
    most = max((intent["count"] for intent in intents if intent["count"] is not None), default=None)
    found.append(f"It was sent at {when(last['at'])} for {targets(most)}{tries}.")
    if effect["failed"]:
        count = len(effect["failed"])
        times = "once" if count == 1 else f"{count} times"
        found.append(f"Tried {times} it surely changed nothing; the last answer: {effect['failed'][-1]}.")
    if outcome is None:
        sure = len(effect["failed"]) >= len(intents)
        if sure and telling.status == "running":
            found.append("It goes on trying; nothing has happened so far.")
        else:
            found.append(f"No outcome is in the record{'' if sure else ': it may have happened'}.")
    else:
        found.append(_outcome(outcome))
    return found


def _no_intent(telling: Telling) -> list[str]:
    telling.missing.append("what was sent: the journal holds no intent of this step")
    return []


def _outcome(outcome: Mapping[str, Any]) -> str:
    items = outcome.get("items") or {}
    count = outcome.get("affected")
    told = f"{count if count is not None else 'An unknown number'} changed"
    told += f", {items['already']} already so" if items.get("already") else ""
    told += f", {items['failed']} failed" if items.get("failed") else ""
    told += f", {items['unknown']} unknown" if items.get("unknown") else ""
    verified = outcome.get("verified")
    read = "not verified" if verified is None else "reading back does not show it"
    return f"{told}; {'verified by reading back' if verified else read}."


def _read_said(telling: Telling) -> list[str]:
    outcome = telling.last("action.outcome")
    if outcome is None or telling.step.kind not in ("action", "human"):
        return []
    summary = (outcome["body"].get("result") or {}).get("summary")
    return [f"It read and changed nothing: {summary or 'what it found is in its evidence'}."]


def undo_said(telling: Telling, effect: Mapping[str, Any] | None) -> list[str]:
    """Whether it can be taken back, or was."""
    facts = telling.known.plan.actions.get(telling.action or "")
    if effect is None or facts is None or not effect["intents"]:
        return []
    undone = telling.last("step.undone")
    if undone is not None:
        return [f"It was undone at {when(undone['at'])}."]
    if telling.step.no_undo is not None:
        return [f"The playbook does not let it be undone: {telling.step.no_undo}"]
    if not facts.reversible:
        return [f"It cannot be undone: {facts.irreversible_because or 'the action says no reason.'}"]
    offered = [
        entry
        for entry in telling.known.status.get("undoable", [])
        if entry.get("step") == telling.step.path and entry.get("item") == telling.item
    ]
    return ["It can be undone." if offered else "Its action could be undone; the run holds nothing to undo of it."]
