"""What a person may do beside deciding, by role. What no rule grants is refused.

Who decides a waiting question is not here: the run itself counts roles against the question's needs.
"""

from collections.abc import Iterable

from worker.desk.refusals import DeskRefusal

COMMANDER = "incident_commander"
ADMIN = "admin"
BYSTANDERS = frozenset({"viewer", "detector"})
"""Roles that give no right to act."""

_COMMAND = frozenset({COMMANDER})
_DUTIES = frozenset({COMMANDER, "privacy_officer", "legal"})
_ANY_RESPONDER: frozenset[str] = frozenset()

RIGHTS: dict[str, frozenset[str]] = {
    "start": _ANY_RESPONDER,
    "ack": _ANY_RESPONDER,
    "note": _ANY_RESPONDER,
    "tell": _ANY_RESPONDER,
    "set": _ANY_RESPONDER,
    "event": _ANY_RESPONDER,
    "pause": _ANY_RESPONDER,
    "hold_on": _ANY_RESPONDER,
    "slack_off": _ANY_RESPONDER,
    "undo": _ANY_RESPONDER,
    "rerun": _ANY_RESPONDER,
    "review": _ANY_RESPONDER,
    "standing": _ANY_RESPONDER,
    "standing_revoke": _ANY_RESPONDER,
    "take": _COMMAND,
    "resume": _COMMAND,
    "cancel": _COMMAND,
    "migrate": _COMMAND,
    "close": _COMMAND,
    "hold_off": _COMMAND,
    "slack_on": _COMMAND,
    "clock": _DUTIES,
    "people": frozenset({ADMIN}),
}
"""Right to the roles that have it; the empty set stands for every role that is not a bystander's.

Stopping (pause, hold on, Slack off) is everybody's; going on (resume, hold off, Slack on) is the incident commander's.
"""


def allowed(roles: Iterable[str], right: str) -> bool:
    """Whether somebody with these roles has the right; an unknown right nobody has."""
    held = set(roles)
    wanted = RIGHTS.get(right)
    if wanted is None:
        return False
    if not wanted:
        return bool(held - BYSTANDERS)
    return bool(held & wanted)


def require(person: str, roles: Iterable[str], right: str) -> None:
    """Pass on only a person who has the right.

    Raises:
        DeskRefusal: ``wrong_role``.
    """
    if not allowed(roles, right):
        wanted = ", ".join(sorted(RIGHTS.get(right) or ())) or "any responder's role"
        raise DeskRefusal(
            "wrong_role",
            f"{person} may not do this ({right.replace('_', ' ')}): it takes {wanted}. Nothing was done.",
            "`stanch people list` says who may.",
        )
