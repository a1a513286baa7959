"""Guard policy: what a person must approve, from risk, target, severity and count. Data, never code.

A playbook may ask for more than policy, never for less. What no rule matches may only read and notify.
"""

from pydantic import Field

from playbooks.contract import ActionFacts, Frozen, Risk


class RiskRule(Frozen):
    """How many of an action's owner role must approve; ``free_reversible_from`` is a severity from which a
    reversible action needs nobody."""

    count: int
    free_reversible_from: int | None = None


class Policy(Frozen):
    """The defaults of the contract. ``preauthorised`` names conditions under which an action is free."""

    rules: dict[str, RiskRule] = Field(
        default_factory=lambda: {
            "contain": RiskRule(count=1, free_reversible_from=4),
            "change": RiskRule(count=1),
            "destroy": RiskRule(count=2),
        }
    )
    preauthorised: tuple[str, ...] = ("jobs_read_from_org",)
    protected_extra: int = 1
    large_over: int = 1000
    large_extra: int = 1


class Requirement(Frozen):
    """What policy demands for one effect. ``count`` 0 means free; ``refused`` means never."""

    count: int
    roles: tuple[str, ...] = ()
    rule: str
    refused: bool = False


def requirement(
    policy: Policy,
    action: ActionFacts,
    *,
    severity: int | None,
    affected: int = 0,
    protected: int = 0,
    targets_read: bool = False,
) -> Requirement:
    """Return how many approvals of whom an effect needs.

    ``severity`` is 0 to 5, ``None`` where it is not known (then nothing is free by severity). Counts are of
    targets. ``targets_read``: the targets are, as they are, what a read of the system found; only then does a
    pre-authorisation count. Free actions lose their freedom when they touch protected targets or more than
    ``large_over``.
    """
    if not action.risk.is_effect:
        return Requirement(count=0, rule=f"{action.risk}: free")
    rule = policy.rules.get(action.risk.value)
    if rule is None:
        return Requirement(count=0, rule=f"{action.risk}: no rule, refused", refused=True)
    extra, why = 0, []
    if protected:
        extra += policy.protected_extra
        why.append(f"{protected} protected +{policy.protected_extra}")
    if affected > policy.large_over:
        extra += policy.large_extra
        why.append(f"more than {policy.large_over} affected +{policy.large_extra}")
    base, reason = rule.count, f"{action.risk}: {rule.count} of {action.owner}"
    if action.risk is Risk.CONTAIN:
        from_severity = rule.free_reversible_from
        if targets_read and action.preauthorised is not None and action.preauthorised in policy.preauthorised:
            base, reason = 0, f"{action.risk}: pre-authorised ({action.preauthorised})"
        elif action.reversible and from_severity is not None and (severity or 0) >= from_severity:
            base, reason = 0, f"{action.risk}: reversible at severity {severity}, free"
    count = base + extra
    return Requirement(count=count, roles=(action.owner,) if count else (), rule="; ".join([reason, *why]))
