"""Guard policy: what people must approve, as data. Pure, and the same answer for the same values anywhere.

Rules stack, and none lowers what another demands: of two numbers for the same roles the larger one counts, what says
``extra`` is added, what says ``never`` refuses. Every condition of a demand holds the more readily the worse things
are (more affected, protected targets, lower severity), so that a worse case never needs fewer people. A playbook may
ask for more than policy, never for less. What no rule matches may only read and notify.
"""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from pydantic import Field

from playbooks.contract import ActionFacts, Frozen, Risk

EFFECTS = tuple(risk for risk in Risk if risk.is_effect)
DEFAULT_ENVIRONMENT = "production"
"""Of a system that no entry names: nobody is less careful because somebody forgot to write it down."""


class RiskRule(Frozen):
    """How many of an action's owners must approve; ``free_reversible_from`` is a severity from which a reversible
    containment needs nobody."""

    count: int
    free_reversible_from: int | None = None


class Demand(Frozen):
    """A further rule: where all of its conditions hold, it demands ``count`` people of ``roles`` (the owners if it
    names none), ``extra`` more of the owners, or says ``never``.

    ``actions`` are patterns: an action, a system, or either with ``*``. ``severity_below`` holds also where the
    severity is not known. ``name`` is what people read on the approval card.
    """

    name: str
    actions: tuple[str, ...] = ("*",)
    risks: tuple[Risk, ...] = EFFECTS
    environments: tuple[str, ...] = ()
    irreversible: bool = False
    protected: bool = False
    affected_over: int | None = None
    severity_below: int | None = None
    count: int = 0
    roles: tuple[str, ...] = ()
    extra: int = 0
    never: bool = False


class Policy(Frozen):
    """The defaults of the contract, and room for an installation's own rules.

    Attributes:
        rules: Number of approvers by risk; a risk without a rule is refused.
        preauthorised: Names of conditions under which an action is free.
        protected_extra: Further approvers when a target is protected.
        large_over: Affected targets from more than which ``large_extra`` further approvers are needed.
        owners: Pattern to the roles that own what it matches, instead of the role that the action declares. The
            closest pattern counts; where it names several roles, each must be heard.
        environments: Pattern to the environment of what it matches, else ``production``.
        maximum: Role to the number of people who hold it at most, for the review.
        demands: Further rules.
    """

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
    owners: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    environments: dict[str, str] = Field(default_factory=dict)
    maximum: dict[str, int] = Field(default_factory=dict)
    demands: tuple[Demand, ...] = ()


class Need(Frozen):
    """``count`` different people who hold any of ``roles``, because of ``why``: the rules, in words."""

    roles: tuple[str, ...]
    count: int
    why: str = ""


class Requirement(Frozen):
    """What policy demands for one effect: every one of ``needs``; none means free. ``refused`` means never."""

    needs: tuple[Need, ...] = ()
    rule: str
    """All rules that had a say, in words."""
    refused: bool = False

    @property
    def who(self) -> str:
        """Whom it needs, in words."""
        return ", ".join(f"{need.count} of {' or '.join(need.roles)}" for need in self.needs) or "nobody"


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
    ``large_over``, or when a demand says so.
    """
    if not action.risk.is_effect:
        return Requirement(rule=f"{action.risk}: free")
    rule = policy.rules.get(action.risk.value)
    if rule is None:
        return Requirement(rule=f"{action.risk}: no rule, refused", refused=True)
    demands = [demand for demand in policy.demands if _holds(policy, demand, action, severity, affected, protected)]
    never = [demand.name for demand in demands if demand.never]
    if never:
        return Requirement(rule=f"never: {'; '.join(never)}", refused=True)
    owners = owners_of(policy, action)
    wanted = [_base(policy, rule, action, owners, severity, targets_read)]
    wanted += [
        (demand.count, f"{demand.name}: {_of(demand.count, owners)}")
        for demand in demands
        if demand.count and set(demand.roles or owners) == set(owners)
    ]
    wanted = sorted((each for each in wanted if each[0]), key=lambda each: -each[0]) or wanted[:1]
    more = [(demand.extra, f"{demand.name}: {demand.extra} more") for demand in demands if demand.extra]
    if protected and policy.protected_extra:
        targets = "1 protected target" if protected == 1 else f"{protected} protected targets"
        more.append((policy.protected_extra, f"{targets}: {policy.protected_extra} more"))
    if affected > policy.large_over and policy.large_extra:
        more.append((policy.large_extra, f"more than {policy.large_over} affected: {policy.large_extra} more"))
    why = "; ".join(said for _, said in (*wanted, *more))
    needs = list(_of_owners(owners, wanted[0][0] + sum(extra for extra, _ in more), why))
    for demand in demands:
        if demand.count and set(demand.roles or owners) != set(owners):
            said = f"{demand.name}: {demand.count} of {' or '.join(demand.roles)}"
            needs.append(Need(roles=demand.roles, count=demand.count, why=said))
    return Requirement(needs=tuple(merged(needs)), rule=together(why, *(need.why for need in needs)))


def merged(needs: Iterable[Need]) -> list[Need]:
    """Of several needs of the same roles only the largest number counts; the reasons of all stay."""
    largest: dict[frozenset[str], Need] = {}
    for need in needs:
        key = frozenset(need.roles)
        held = largest.get(key)
        if held is None:
            largest[key] = need
            continue
        first, second = (need, held) if need.count > held.count else (held, need)
        largest[key] = first.model_copy(update={"why": together(first.why, second.why)})
    return list(largest.values())


def together(*whys: str) -> str:
    """Rules in words, each once."""
    return "; ".join(dict.fromkeys(rule for why in whys if why for rule in why.split("; ")))


def owners_of(policy: Policy, action: ActionFacts) -> tuple[str, ...]:
    """Roles that own what the action touches: those of the closest pattern, else the one that the action declares."""
    found = [pattern for pattern in policy.owners if matches(pattern, action)]
    if not found:
        return (action.owner,)
    closest = max(found, key=lambda pattern: ("*" not in pattern, len(pattern.replace("*", "")), pattern))
    return tuple(dict.fromkeys(policy.owners[closest])) or (action.owner,)


def environments_of(policy: Policy, action: ActionFacts) -> frozenset[str]:
    """Every environment that an entry names for the action; ``production`` if none does."""
    named = {name for pattern, name in policy.environments.items() if matches(pattern, action)}
    return frozenset(named or {DEFAULT_ENVIRONMENT})


def matches(pattern: str, action: ActionFacts) -> bool:
    """Whether a pattern (an action, a system, or either with ``*``) means the action."""
    return fnmatchcase(action.name, pattern) or fnmatchcase(action.system, pattern)


def idle(policy: Policy, actions: Mapping[str, ActionFacts]) -> list[str]:
    """Patterns of the policy that mean no action there is: most often a word misspelt."""
    patterns = [*policy.owners, *policy.environments, *(word for demand in policy.demands for word in demand.actions)]
    return [
        pattern
        for pattern in dict.fromkeys(patterns)
        if not any(matches(pattern, action) for action in actions.values())
    ]


def beyond(policy: Policy, roles: tuple[str, ...], count: int) -> str | None:
    """Why so many people of these roles can never be found by the declared maxima, in words; ``None`` if they can."""
    most = [policy.maximum.get(role) for role in roles]
    known = [number for number in most if number is not None]
    if len(known) < len(most) or sum(known) >= count:
        return None
    return f"{count} of {' or '.join(roles)} are needed, and policy.maximum says that {sum(known)} hold it at most."


def _holds(
    policy: Policy, demand: Demand, action: ActionFacts, severity: int | None, affected: int, protected: int
) -> bool:
    return (
        action.risk in demand.risks
        and any(matches(pattern, action) for pattern in demand.actions)
        and (not demand.environments or bool(environments_of(policy, action) & set(demand.environments)))
        and not (demand.irreversible and action.reversible)
        and (not demand.protected or protected > 0)
        and (demand.affected_over is None or affected > demand.affected_over)
        and (demand.severity_below is None or (severity or 0) < demand.severity_below)
    )


def _base(
    policy: Policy,
    rule: RiskRule,
    action: ActionFacts,
    owners: tuple[str, ...],
    severity: int | None,
    targets_read: bool,
) -> tuple[int, str]:
    """Number that the rule of its risk demands, and the rule in words."""
    if action.risk is Risk.CONTAIN:
        from_severity = rule.free_reversible_from
        if targets_read and action.preauthorised is not None and action.preauthorised in policy.preauthorised:
            return 0, f"{action.risk}: pre-authorised ({action.preauthorised})"
        if action.reversible and from_severity is not None and (severity or 0) >= from_severity:
            return 0, f"{action.risk}: reversible at severity {severity}, free"
    return rule.count, f"{action.risk}: {_of(rule.count, owners)}"


def _of(count: int, owners: tuple[str, ...]) -> str:
    """So many of the owners, in words; of several each is heard."""
    if len(owners) == 1 or not count:
        return f"{count} of {' or '.join(owners)}"
    each = f"1 each of {' and '.join(owners)}"
    return each if count == 1 else f"{count} people, {each} among them"


def _of_owners(owners: tuple[str, ...], count: int, why: str) -> Iterator[Need]:
    if not count:
        return
    if len(owners) > 1:
        for role in owners:
            yield Need(roles=(role,), count=1, why=why)
    if len(owners) == 1 or count > 1:
        yield Need(roles=owners, count=count, why=why)
