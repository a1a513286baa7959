"""Envelopes and permits: what an approval covers, exactly, and what the pre-effect gate checks it by. Pure."""

from dataclasses import dataclass

from playbooks.contract import ActionFacts, Envelope, Json, Mode, Permit, Preview, Scope
from playbooks.digest import envelope_digest, jcs, sha256_hex
from playbooks.policy import Policy, Requirement, requirement
from workflows.state import Approval, FrozenCall


def targets_of(facts: ActionFacts, params: dict[str, Json]) -> tuple[str | None, int | None]:
    """Hash and number of the targets that the parameters name; ``(None, None)`` if they name none.

    A TargetSet is taken by its own hash and count; a literal list by the SHA-256 of its JCS.
    """
    for name, field in facts.params.items():
        value = params.get(name)
        if field.type not in ("targets", "grants") or value is None:
            continue
        if isinstance(value, dict) and "sha256" in value:
            return str(value["sha256"]), int(value.get("count", 0))
        if isinstance(value, list):
            return sha256_hex(jcs(value)), len(value)
    return None, None


def envelope_of(
    facts: ActionFacts,
    *,
    plan: str,
    step: str,
    item: str | None,
    params: dict[str, Json],
    shown: int,
    mode: Mode,
    pass_: int = 0,
) -> Envelope:
    """The envelope of one call as previewed. ``shown`` counts the targets that people were shown.

    Selectors may find ``max(1.2 x shown, shown + 10)`` at the moment of the effect (design, approval envelope).
    """
    digest, count = targets_of(facts, params)
    selects = facts.selector
    ceiling = max((shown * 12 + 9) // 10, shown + 10) if selects else (count if count is not None else max(shown, 1))
    return Envelope(
        plan=plan,
        step=step,
        pass_=pass_,
        item=item,
        action=facts.name,
        version=facts.version,
        params=params,
        scope=Scope.SELECTOR if selects else Scope.EXACT,
        target_sha256=None if selects else digest,
        max_affected=ceiling,
        mode=mode,
    )


def freeze(envelope: Envelope, preview: Preview) -> FrozenCall:
    """The call as it will run if it is approved."""
    return FrozenCall(
        params=envelope.params,
        envelope=envelope,
        digest=envelope_digest(envelope),
        count=preview.count,
        protected=len(preview.protected),
    )


def permit_of(approval: Approval, call: FrozenCall) -> Permit:
    """Why this call may be applied."""
    return Permit(
        rule=approval.rule,
        envelope=call.envelope,
        digest=call.digest,
        approved_by=tuple(approval.by),
        expires_at=approval.expires_at,
        protected_allowed=approval.protected_allowed,
        standing=tuple(approval.standing),
    )


def demanded(policy: Policy, facts: ActionFacts, severity: Json, calls: list[FrozenCall]) -> Requirement:
    """What policy demands for all calls of a step together."""
    level = _level(severity)
    affected, protected = sum(call.count for call in calls), sum(call.protected for call in calls)
    read = all(_targets_read(facts, call.params) for call in calls)
    return requirement(
        policy, facts, severity=level, affected=affected, protected=protected, targets_read=bool(calls) and read
    )


def least(policy: Policy, facts: ActionFacts, severity: Json) -> Requirement:
    """The least that policy can come to demand for a step of which no call is known yet."""
    return requirement(policy, facts, severity=_level(severity), targets_read=True)


def _level(severity: Json) -> int | None:
    return severity if isinstance(severity, int) and not isinstance(severity, bool) else None


def _targets_read(facts: ActionFacts, params: dict[str, Json]) -> bool:
    """Whether the targets come by reference: only reads of a system leave such sets, nobody writes them by hand."""
    named = [params.get(name) for name, field in facts.params.items() if field.type in ("targets", "grants")]
    given = [value for value in named if value is not None]
    return bool(given) and all(isinstance(value, dict) and "sha256" in value for value in given)


@dataclass(frozen=True)
class Shown:
    """A previewed call: its step, and what its card says."""

    call: FrozenCall
    preview: Preview
    title: str
    step: str
    item: str | None

    def card(self) -> dict[str, Json]:
        """The preview as people see it, and as it is kept as evidence."""
        return {
            "step": self.step,
            "item": self.item,
            "title": self.title,
            "action": self.call.envelope.action,
            "summary": self.preview.summary,
            "count": self.preview.count,
            "already": self.preview.already,
            "max_affected": self.call.envelope.max_affected,
            "sample": list(self.preview.sample),
            "labels": list(self.preview.labels),
            "impact": list(self.preview.impact),
            "reversible": self.preview.reversible,
            "irreversible_because": self.preview.irreversible_because,
            "protected": list(self.preview.protected),
            "excluded": list(self.preview.excluded),
            "params": self.call.params,
            "digest": self.call.digest,
            "evidence": self.preview.evidence.ref if self.preview.evidence else None,
        }


def differences(before: FrozenCall | None, params: dict[str, Json]) -> list[str]:
    """What changed between the approved call and the one that would run now, in sentences."""
    if before is None:
        return ["This was not among what was approved."]
    lines = []
    for name in sorted({*before.params, *params}):
        old, new = before.params.get(name), params.get(name)
        if old != new:
            lines.append(f"{name}: approved {_short(old)}, now {_short(new)}.")
    return lines


def _short(value: Json) -> str:
    if isinstance(value, dict) and "sha256" in value:
        return f"{value.get('count')} targets ({str(value['sha256'])[:12]})"
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
