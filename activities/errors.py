"""What can go wrong in an action, as one tree, and its one translation to Temporal.

ActionError
├── ConnectorError                a system's answer, or none
│   ├── Transient                 nothing was changed; trying again may help
│   │   ├── Timeout
│   │   ├── RateLimited           carries when to come back
│   │   └── Unavailable
│   ├── Permanent                 nothing was changed; trying again does not help
│   │   ├── AuthFailed
│   │   ├── Forbidden
│   │   ├── NotFound
│   │   ├── Conflict
│   │   ├── Rejected
│   │   └── WorkflowFailed        a workflow of somebody else's did not end well
│   └── Ambiguous                 sent, outcome not known
├── Refused                       the pre-effect gate said no; nothing was sent
│   ├── PlanChanged  Held  Protected  Capped  StandingRevoked  WrongMode  NoPermit  Expired
├── InvalidParams                 the call does not fit the action
├── EvidenceMissing               a referenced file of the evidence store is not there, or is not what it was
├── OutputTooLarge                more than 1.5 MB: by reference it would be unreadable
├── Broken                        a bug in an action, before anything was sent
├── JournalUnavailable            the store does not answer: no effect without a journaled intent
└── Superseded                    a later attempt has taken over; this one must not act

On the wire an error is ``ApplicationError(type=<class name>, details=[{"code": …}])``. Messages never hold
secrets, rows or answers of a system: what happened, what was not done, what to do next.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from playbooks.contract import Json

if TYPE_CHECKING:
    from temporalio.exceptions import ApplicationError


class ActionError(Exception):
    """Base of all that an action raises on purpose.

    Args:
        message: For a tired person; without secrets.
        details: Plain JSON for the interpreter (a difference, a count); stays in history, so no rows.
    """

    code: ClassVar[str] = "action_failed"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, details: Mapping[str, Json] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Json] = dict(details or {})
        self.retry_after: timedelta | None = None


class ConnectorError(ActionError):
    """A system's answer, or the lack of one."""

    code = "connector_error"


class Transient(ConnectorError):
    """Nothing was changed, and trying again may help."""

    code = "transient"
    retryable = True


class Timeout(Transient):
    """No answer in time to a request that cannot have changed anything."""

    code = "timeout"


class RateLimited(Transient):
    """The system asks to come back later. ``retry_after`` is its own figure, if it gave one."""

    code = "rate_limited"

    def __init__(
        self, message: str, retry_after: timedelta | None = None, details: Mapping[str, Json] | None = None
    ) -> None:
        super().__init__(message, details)
        self.retry_after = retry_after


class Unavailable(Transient):
    """The system is down or not reachable; the request did not arrive."""

    code = "unavailable"


class Permanent(ConnectorError):
    """Nothing was changed, and trying again does not help."""

    code = "permanent"


class AuthFailed(Permanent):
    """The system does not accept Stanch's credentials."""

    code = "auth_failed"


class Forbidden(Permanent):
    """The credentials are good but lack a permission."""

    code = "forbidden"


class NotFound(Permanent):
    """The thing named is not there."""

    code = "not_found"


class Conflict(Permanent):
    """The thing is in a state that does not allow it."""

    code = "conflict"


class Rejected(Permanent):
    """The system refused the request as it stands."""

    code = "rejected"


class WorkflowFailed(Permanent):
    """A workflow of somebody else's, once started, did not end well. What it changed before that is its own."""

    code = "workflow_failed"


class Ambiguous(ConnectorError):
    """Sent, and the outcome is not known.

    The runner tries again where that does no harm (everything but ``once``): it reads back first.
    """

    code = "ambiguous"
    retryable = True


class Refused(ActionError):
    """The pre-effect gate said no. Nothing was sent."""

    code = "refused"


class PlanChanged(Refused):
    """What would happen now is not what was approved. ``details["difference"]`` is a list of sentences."""

    code = "plan_changed"


class Held(Refused):
    """A person has put a hold on every effect."""

    code = "held"


class Protected(Refused):
    """The targets hold protected ones that the approvers were not asked about, or Stanch's own."""

    code = "protected"


class Capped(Refused):
    """A limit on effects is reached."""

    code = "capped"


class StandingRevoked(Refused):
    """The standing approval is no longer in force. ``details["difference"]`` says which."""

    code = "standing"


class WrongMode(Refused):
    """An exercise's call reached a live worker, or the other way round."""

    code = "wrong_mode"


class NoPermit(Refused):
    """The call carries no permit, or one that does not belong to it."""

    code = "no_permit"


class Expired(Refused):
    """The approval is older than it may be."""

    code = "expired"


class InvalidParams(ActionError):
    """The call does not fit the action's parameters."""

    code = "invalid_params"


class EvidenceMissing(ActionError):
    """A referenced file of the evidence store is not there, or its bytes are not what they were."""

    code = "evidence_missing"


class OutputTooLarge(ActionError):
    """The output is over 1.5 MB."""

    code = "output_too_large"


class Broken(ActionError):
    """A bug in an action, before anything was sent; its text stays out, because it may hold an answer."""

    code = "broken"
    retryable = True


class JournalUnavailable(ActionError):
    """The store does not answer. Nothing was applied; waiting for it is not a failed try."""

    code = "journal_unavailable"
    retryable = True


class Superseded(ActionError):
    """A later attempt of the same call has taken over."""

    code = "superseded"
    retryable = True


def to_application_error(error: ActionError, *, final: bool = False) -> "ApplicationError":
    """Translate to what Temporal carries.

    Args:
        error: What happened.
        final: Whether no attempt is left, so that even a retryable error ends the call.

    Returns:
        ``type`` is the class name, ``details[0]`` holds ``code`` and the error's own details.
    """
    # Here, because the compiler reads the catalog and Temporal's client costs it a quarter of a second.
    from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

    again = error.retryable and not final
    expected = isinstance(error, Refused | JournalUnavailable | Superseded | RateLimited)
    return ApplicationError(
        error.message,
        {"code": error.code, **error.details},
        type=type(error).__name__,
        non_retryable=not again,
        next_retry_delay=error.retry_after if again else None,
        category=ApplicationErrorCategory.BENIGN if expected else ApplicationErrorCategory.UNSPECIFIED,
    )
