"""Standing approvals: an owner approves in advance what fits, until a date; listed, revocable, on record."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from playbooks.contract import ActionFacts, Json, StandingApproval
from playbooks.policy import owners_of
from worker.desk.decisions import Actor
from worker.desk.entries import entry_of
from worker.desk.plans import Installation
from worker.desk.refusals import DeskRefusal
from worker.desk.rights import require
from worker.desk.times import stamp
from worker.store import Store

AT_MOST = timedelta(days=90)
CHAIN = "installation"
"""Chain of the journal for what belongs to no incident."""
NOTHING = "Nothing was approved."


class StandingApprovals:
    """Gives, lists and revokes. Every method checks the person's right first."""

    def __init__(self, store: Store, installation: Installation) -> None:
        self._store, self._installation = store, installation

    def list(self) -> list[dict[str, Any]]:
        """All that were ever given, oldest first, each with ``in_force``."""
        now = stamp()
        return [
            {**row, "in_force": self._store.standing.in_force(row["id"], now)} for row in self._store.standing.all()
        ]

    def give(
        self,
        actor: Actor,
        action: str,
        *,
        params: Mapping[str, Json],
        max_affected: int,
        until: datetime,
        kinds: Sequence[str] = (),
        severity_from: int = 0,
        reason: str,
    ) -> dict[str, Any]:
        """Approve in advance every call of an action that fits.

        It counts as this person's approval wherever people would be asked, and never for protected targets.

        Raises:
            DeskRefusal: ``not_found`` for an action that is none, ``wrong_role`` for who does not own its targets,
                ``bad_value`` for what cannot be approved so.
        """
        facts = self._installation.actions.get(action)
        if facts is None or not facts.risk.is_effect:
            known = "It is free." if facts is not None else "`docs/actions.md` lists them all."
            raise DeskRefusal("not_found", f"{action[:80]} is no action that needs an approval. {NOTHING}", known)
        owners = owners_of(self._installation.policy, facts)
        require(actor.name, actor.roles, "standing")
        if not set(owners) <= set(actor.roles):
            raise DeskRefusal(
                "wrong_role",
                f"{actor.name} may not approve {action} in advance: it takes {' and '.join(owners)}. {NOTHING}",
                "Ask its owner, or let it be asked when it comes.",
            )
        self._check(facts, params, until, reason)
        approval = StandingApproval(
            person=actor.name,
            roles=owners,
            action=action,
            version=facts.version,
            params=dict(params),
            max_affected=max_affected,
            kinds=tuple(kinds),
            severity_from=severity_from,
            given_at=stamp(),
            until=until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        )
        with self._store.transaction():
            kept = self._store.standing.give(approval, reason)
            body = {"id": kept.id, "action": action, "max_affected": max_affected, "until": kept.until}
            self._note(actor, "standing.given", body, reason)
        return self._shown(kept.id)

    def revoke(self, actor: Actor, id_: str, reason: str) -> dict[str, Any]:
        """End one at once: also an effect that it has approved already, but that has not begun, is asked anew.

        Raises:
            DeskRefusal: ``not_found``, ``closed`` if it was revoked before, ``bad_value`` without a reason.
        """
        require(actor.name, actor.roles, "standing_revoke")
        if not reason.strip():
            raise DeskRefusal("bad_value", "Revoking needs a reason. Nothing was revoked.", "Add --reason TEXT.")
        if self._store.standing.get(id_) is None:
            raise DeskRefusal("not_found", f"There is no standing approval {id_[:40]}.", "`stanch standing list`")
        with self._store.transaction():
            if not self._store.standing.revoke(id_, actor.name, reason):
                raise DeskRefusal("closed", f"{id_} was revoked before. Nothing was changed.")
            self._note(actor, "standing.revoked", {"id": id_}, reason)
        return self._shown(id_)

    def _check(self, facts: ActionFacts, params: Mapping[str, Json], until: datetime, reason: str) -> None:
        unknown = sorted(set(params) - set(facts.params))
        if unknown:
            known = ", ".join(facts.params) or "none"
            said = f"{facts.name} has no parameter {', '.join(unknown)} (known: {known}). {NOTHING}"
            raise DeskRefusal("bad_value", said)
        left = until.astimezone(UTC) - datetime.now(UTC)
        if not timedelta(0) < left <= AT_MOST:
            said = f"A standing approval ends within {AT_MOST.days} days from now. {NOTHING}"
            raise DeskRefusal("bad_value", said, "Give it anew when it is over, if it is still right.")
        if not reason.strip():
            raise DeskRefusal("bad_value", f"A standing approval needs a reason. {NOTHING}", "Add --reason TEXT.")

    def _shown(self, id_: str) -> dict[str, Any]:
        return next(row for row in self.list() if row["id"] == id_)

    def _note(self, actor: Actor, kind: str, body: dict[str, Json], reason: str) -> None:
        self._store.journal.append(CHAIN, [entry_of(actor.name, actor.door, kind, body, reason)])
