"""The one pre-effect gate: every apply and undo passes it, and it fails closed.

In this order: mode, permit, envelope, expiry, live count, protected; the hold and standing approvals are read last,
in the transaction that writes the intent. Pure: it judges what it is given.
"""

from datetime import datetime

from activities.action import Proposal
from activities.context import parse_instant
from activities.errors import Expired, NoPermit, PlanChanged, Protected, Rejected, WrongMode
from playbooks.contract import ActionCall, ActionFacts, Json, Mode, Permit, Scope
from playbooks.digest import envelope_digest, jcs, sha256_hex

NOTHING = "Nothing was sent."


def check_mode(call: ActionCall, mode: Mode) -> None:
    """Refuse a call of the other world; for reads too.

    Raises:
        WrongMode: an exercise's call at a live worker, or a live one at an exercise's.
    """
    if call.context.mode != mode:
        raise WrongMode(
            f"This is a {call.context.mode} call, and the worker that took it is for {mode} only. {NOTHING} "
            "Start a worker for that mode on its own queues."
        )


def check_version(call: ActionCall, facts: ActionFacts) -> None:
    """Refuse a call that was planned for another version of the action.

    Raises:
        PlanChanged: an effect's version differs, so that what was approved is not what would happen.
        Rejected: a reading's version differs.
    """
    if call.version == facts.version:
        return
    text = f"{facts.name} was planned for version {call.version}, this worker has {facts.version}."
    if facts.risk.is_effect:
        raise _changed([text])
    raise Rejected(f"{text} Nothing was read. Start a worker of the version that the run was planned with.")


def check_permit(call: ActionCall, now: datetime) -> Permit:
    """The permit that came with the call, if it is for this very call and still valid.

    Args:
        call: An apply or undo of an effect.
        now: The world's instant.

    Raises:
        NoPermit: there is none, or it belongs to something else.
        PlanChanged: it was given for other parameters.
        Expired: it was given too long ago.
    """
    permit = call.permit
    if permit is None or permit.envelope is None or not permit.digest:
        raise NoPermit(f"The call carries no permit, so policy has not let it through. {NOTHING}")
    envelope = permit.envelope
    if envelope_digest(envelope) != permit.digest:
        raise NoPermit(f"The permit's digest does not fit its envelope: it was altered. {NOTHING}")
    place = (envelope.plan, envelope.step, envelope.pass_, envelope.item, envelope.action, envelope.mode)
    wanted = (call.plan_digest, call.step, call.pass_, call.item, call.action, call.context.mode)
    if place != wanted:
        raise NoPermit(f"The permit was given for another step, action or plan. {NOTHING}")
    differences = [
        f"{name}: approved {_short(envelope.params.get(name))}, now {_short(call.params.get(name))}."
        for name in sorted({*envelope.params, *call.params})
        if envelope.params.get(name) != call.params.get(name)
    ]
    if envelope.version != call.version:
        differences.append(f"Version {envelope.version} was approved, now it is {call.version}.")
    if differences:
        raise _changed(differences)
    if permit.expires_at is not None and now >= parse_instant(permit.expires_at):
        raise Expired(f"The approval was valid until {permit.expires_at}. {NOTHING} Approve it anew.")
    return permit


def on_record(permit: Permit) -> dict[str, Json]:
    """What the intent keeps of a permit."""
    standing: dict[str, Json] = {"standing": list(permit.standing)} if permit.standing else {}
    return {"digest": permit.digest, "rule": permit.rule, "by": list(permit.approved_by), **standing}


def check_live(call: ActionCall, facts: ActionFacts, permit: Permit, proposal: Proposal) -> None:
    """Measure what would happen now against what was approved.

    Raises:
        PlanChanged: more targets than approved, or others.
        Protected: protected targets that nobody was asked about, or Stanch's own integration.
    """
    envelope, preview = permit.envelope, proposal.preview
    assert envelope is not None
    if preview.count > envelope.max_affected:
        raise _changed(
            [f"At most {envelope.max_affected} targets were approved, now there are {preview.count}."],
            count=preview.count,
        )
    if envelope.scope is Scope.EXACT and envelope.target_sha256 is not None:
        named = targets_sha256(facts, call.params)
        if named != envelope.target_sha256:
            raise _changed(["The targets are not those that were approved."], count=preview.count)
    if proposal.own:
        raise Protected(
            f"Stanch's own integration is among the targets ({', '.join(proposal.own[:3])}), and it is never "
            f"touched. {NOTHING} Leave it out.",
            {"own": list(proposal.own[:20])},
        )
    if preview.protected and not permit.protected_allowed:
        raise Protected(
            f"{len(preview.protected)} of the targets are protected, and the approval did not show them. "
            f"{NOTHING} Approve it anew; it takes one more approver.",
            {"protected": list(preview.protected[:20])},
        )


def targets_sha256(facts: ActionFacts, params: dict[str, Json]) -> str | None:
    """Hash of the targets that the parameters name: a set's own, or the SHA-256 of the JCS of the list."""
    for name, known in facts.params.items():
        value = params.get(name)
        if known.type not in ("targets", "grants") or value is None:
            continue
        if isinstance(value, dict) and "sha256" in value:
            return str(value["sha256"])
        if isinstance(value, list):
            return sha256_hex(jcs(value))
    return None


def _changed(differences: list[str], **more: Json) -> PlanChanged:
    text = " ".join(differences[:5])
    return PlanChanged(f"{text} {NOTHING} It is asked anew.", {"difference": differences[:20], **more})


def _short(value: Json) -> str:
    if isinstance(value, dict) and "sha256" in value:
        return f"{value.get('count')} targets ({str(value['sha256'])[:12]})"
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
