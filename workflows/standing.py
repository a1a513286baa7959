"""Standing approvals in a run: whether people have approved these very calls in advance. Pure.

One counts as its giver's approval, under the same rules as any: of the roles that are needed, by different people, and
never by somebody who asked for it. Protected targets are never covered.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from playbooks.contract import Json, StandingApproval
from playbooks.digest import envelope_digest
from playbooks.policy import Need
from workflows.gates import satisfied
from workflows.state import FrozenCall, Vote


@dataclass(frozen=True)
class InAdvance:
    """Standing approvals that together fill every need.

    Attributes:
        used: One for each person and call.
        until: The earliest end among them.
        most: Targets that one call may affect at most.
    """

    used: tuple[StandingApproval, ...]
    until: str
    most: int

    @property
    def ids(self) -> list[str]:
        """Their ids, each once."""
        return list(dict.fromkeys(approval.id for approval in self.used))

    @property
    def people(self) -> list[str]:
        """Who gave them, each once."""
        return list(dict.fromkeys(approval.person for approval in self.used))

    def bound(self, call: FrozenCall) -> FrozenCall:
        """The call, held to what was approved."""
        most = min(call.envelope.max_affected, self.most)
        envelope = call.envelope.model_copy(update={"max_affected": most})
        return call.model_copy(update={"envelope": envelope, "digest": envelope_digest(envelope)})


def in_advance(
    standing: Sequence[StandingApproval],
    needs: Sequence[Need],
    calls: Sequence[FrozenCall],
    incident: Mapping[str, Json],
    now: str,
    excluded: Iterable[str],
) -> InAdvance | None:
    """The standing approvals that approve all of these calls, or ``None``: then people are asked.

    ``incident`` holds its facts, ``now`` is the world's instant, ``excluded`` are those who asked for it.
    """
    asked = set(excluded)
    found: dict[str, list[StandingApproval]] = {}
    for call in calls:
        fitting: dict[str, StandingApproval] = {}
        for approval in standing:
            held = fitting.get(approval.person)
            if approval.person not in asked and _fits(approval, call, incident, now):
                fitting[approval.person] = max(held or approval, approval, key=lambda each: each.max_affected)
        if not calls or call is calls[0]:
            found = {person: [approval] for person, approval in fitting.items()}
        else:
            found = {person: [*found[person], fitting[person]] for person in found if person in fitting}
    votes = [
        Vote(person=person, roles=given[0].roles, verdict="approve", door="standing", at=given[0].given_at)
        for person, given in found.items()
    ]
    if not needs or not votes or not satisfied(list(needs), votes):
        return None
    used = tuple(approval for given in found.values() for approval in given)
    until = min(approval.until for approval in used)
    return InAdvance(used, until, min(approval.max_affected for approval in used))


def _fits(approval: StandingApproval, call: FrozenCall, incident: Mapping[str, Json], now: str) -> bool:
    severity = incident.get("severity")
    severe = isinstance(severity, int) and severity >= approval.severity_from
    return (
        approval.action == call.envelope.action
        and approval.version == call.envelope.version
        and all(call.params.get(name) == value for name, value in approval.params.items())
        and call.protected == 0
        and call.count <= approval.max_affected
        and (not approval.kinds or incident.get("kind") in approval.kinds)
        and (approval.severity_from == 0 or severe)
        and approval.given_at <= now < approval.until
    )
