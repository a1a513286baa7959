"""Gates: the state machine of a question that waits for people. Pure; no Temporal, no clock of its own.

A gate refuses before it counts: signature, gate, window, digest, nonce, requester, duplicate, role. Each
refusal has a stable code. One accepted decision may close it.
"""

from collections.abc import Mapping
from datetime import datetime

from playbooks.contract import Decision, DecisionReceipt, Json
from playbooks.digest import verify_decision
from playbooks.plan import InputFacts, fits
from workflows.state import Gate, Need, Vote

MESSAGES = {
    "bad_signature": "The decision was not signed by this desk. Nothing was counted; decide again through Stanch.",
    "not_waiting": "Nothing waits for a decision here. Look at what waits now with `stanch incident show`.",
    "closed": "This question is already decided. Nothing was counted.",
    "expired": "The time to decide has passed. Nothing was counted.",
    "digest_mismatch": "What waits now is not what you were shown. Look again and decide by the new digest.",
    "nonce_used": "This decision was already used once. Nothing was counted; decide anew if you mean to.",
    "requester": "You asked for this or supplied one of its values, so somebody else must decide.",
    "already_decided": "You have already decided here. A second person is needed.",
    "wrong_role": "Your roles do not decide this. Nothing was counted.",
    "bad_verdict": "This question does not take that answer.",
    "bad_value": "The form is not filled in rightly.",
}
BREAK_GLASS_ROLE = "incident_commander"


def refuse(code: str, detail: str = "") -> DecisionReceipt:
    """A refusal with its code and a sentence a tired person understands."""
    message = MESSAGES.get(code, code)
    return DecisionReceipt(accepted=False, code=code, message=f"{message} {detail}".strip())


def judge(
    gate: Gate | None,
    decision: Decision,
    now: datetime,
    keys: Mapping[str, str],
) -> DecisionReceipt | None:
    """Return the refusal of ``decision``, or ``None`` if it counts. Replays are told apart by the caller.

    ``keys`` maps key id to the desk's Ed25519 public key in hex.
    """
    if not verify_decision(decision, keys):
        return refuse("bad_signature")
    if gate is None or not gate.recorded:
        return refuse("not_waiting")
    if gate.status != "open":
        return refuse("expired" if gate.status == "expired" else "closed")
    if gate.deadline is not None and not gate.chain and now >= parse(gate.deadline):
        return refuse("expired")
    if decision.digest != gate.digest:
        return refuse("digest_mismatch")
    if decision.verdict not in gate.verdicts:
        return refuse("bad_verdict", f"It takes one of: {', '.join(gate.verdicts)}.")
    if decision.verdict == "approve" and decision.person in gate.excluded:
        return refuse("requester")
    if any(vote.person == decision.person for vote in (*gate.votes, *gate.denials)):
        return refuse("already_decided")
    if not may_decide(gate, decision):
        return refuse("wrong_role", f"It takes: {', '.join(deciding_roles(gate, decision.verdict))}.")
    if decision.verdict == "break_glass" and not decision.reason.strip():
        return refuse("bad_value", "Break-glass needs a reason.")
    if decision.verdict == "answer":
        wrong = form_problem(gate.form, decision.values)
        if wrong:
            return refuse("bad_value", wrong)
    return None


def may_decide(gate: Gate, decision: Decision) -> bool:
    """Whether the person's roles at that moment count for any of the gate's needs.

    Breaking the glass is the incident commander's alone: one of those who are needed must not stand in for all.
    """
    return bool(set(decision.roles_at) & set(deciding_roles(gate, decision.verdict)))


def deciding_roles(gate: Gate, verdict: str) -> list[str]:
    """Roles whose holders may give this verdict."""
    if verdict == "break_glass":
        return [BREAK_GLASS_ROLE]
    return sorted({role for need in gate.needs for role in need.roles})


def count(gate: Gate, decision: Decision) -> DecisionReceipt:
    """Count an admitted decision, closing the gate when it is decided."""
    vote = Vote(
        person=decision.person,
        roles=decision.roles_at,
        verdict=decision.verdict,
        door=decision.door,
        at=decision.at,
        reason=decision.reason,
        nonce=decision.nonce,
    )
    if decision.verdict == "deny":
        gate.denials.append(vote)
        if len(gate.denials) >= gate.deny_count:
            _close(gate, "denied", "deny", [vote.person for vote in gate.denials], decision.at)
    elif decision.verdict == "break_glass":
        gate.votes.append(vote)
        gate.break_glass = decision.reason
        _close(gate, "approved", "break_glass", [decision.person], decision.at)
    elif decision.verdict == "approve":
        gate.votes.append(vote)
        if satisfied(gate.needs, gate.votes):
            _close(gate, "approved", "approve", [vote.person for vote in gate.votes], decision.at)
    else:
        gate.votes.append(vote)
        if decision.verdict == "answer":
            gate.answer = with_defaults(gate.form, decision.values)
        _close(gate, "answered", decision.verdict, [decision.person], decision.at)
    needed = people_needed(gate.needs)
    return DecisionReceipt(
        accepted=True, code="ok", message=_told(gate, decision), votes=len(gate.votes), needed=needed
    )


def _close(gate: Gate, status: str, verdict: str, people: list[str], at: str) -> None:
    gate.status, gate.verdict, gate.decided_by, gate.closed_at = status, verdict, people, at


def _told(gate: Gate, decision: Decision) -> str:
    if gate.status == "open":
        return f"Recorded. Still waiting: {missing(gate)}."
    words = {
        "approved": "Approved; it runs now.",
        "denied": "Denied; it will not run.",
        "answered": "Recorded.",
    }
    return words[gate.status]


def satisfied(needs: list[Need], votes: list[Vote]) -> bool:
    """Whether distinct approvers fill every need. Needs overlap: one person may count for several of them."""
    return all(_filled(need, votes) >= need.count for need in needs)


def people_needed(needs: list[Need]) -> int:
    """How many different people it takes at least: needs whose roles do not overlap take people of their own."""
    apart, taken = 0, set[str]()
    for need in sorted(needs, key=lambda need: len(need.roles)):
        if not taken & set(need.roles):
            apart += need.count
            taken |= set(need.roles)
    return max([1, apart, *(need.count for need in needs)])


def _filled(need: Need, votes: list[Vote]) -> int:
    return len({vote.person for vote in votes if set(vote.roles) & set(need.roles)})


def missing(gate: Gate) -> str:
    """Whom the gate still needs, in words."""
    parts = [
        f"{need.count - _filled(need, gate.votes)} of {' or '.join(need.roles)}"
        for need in gate.needs
        if _filled(need, gate.votes) < need.count
    ]
    return ", ".join(parts) or "nobody"


def form_problem(form: Mapping[str, InputFacts], values: Mapping[str, Json]) -> str | None:
    """What is wrong with the values of a form, in a sentence; ``None`` if nothing is."""
    for name in values:
        if name not in form:
            return f"There is no field {name}."
    for name, field in form.items():
        value = values.get(name)
        if value is None:
            if field.required and field.default is None:
                return f"{name} is missing."
            continue
        if not fits(field.type, value, field.options):
            wanted = f"one of {', '.join(field.options)}" if field.options else field.type
            return f"{name} must be {wanted}."
    return None


def with_defaults(form: Mapping[str, InputFacts], values: Mapping[str, Json]) -> dict[str, Json]:
    """The values with defaults filled in; a field left out stays unset."""
    filled = {name: field.default for name, field in form.items() if field.default is not None}
    return {**filled, **{name: value for name, value in values.items() if value is not None}}


def escalate(gate: Gate, now: datetime, deadline: str) -> str:
    """Take the next link of the time-out chain: its role joins every need, votes stay. Returns the role."""
    link = gate.chain.pop(0)
    gate.escalations += 1
    gate.needs = [
        need if link.role in need.roles else need.model_copy(update={"roles": (*need.roles, link.role)})
        for need in gate.needs
    ]
    gate.deadline = deadline
    return link.role


def parse(instant: str) -> datetime:
    """RFC 3339 to an aware datetime."""
    return datetime.fromisoformat(instant)
