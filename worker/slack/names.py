"""Action ids, callback ids and block ids: what a button is called and what comes back when it is pressed.

The ``value`` of a button is an id: a card id for ``decide:…``, an incident id for ``incident:…`` and ``ack``.
"""

DECIDE = "decide:"
DECIDE_FORM = "decide:form"
"""Opens the answer modal of an ask, of a human step and of a review."""
APPROVE, DENY, BREAK_GLASS = "decide:approve", "decide:deny", "decide:break_glass"
ANSWER, DONE = "decide:answer", "decide:done"
REVIEW = "decide:review"
"""Callback id of the after-review modal; its verdict is one of its fields."""

ACK = "ack"
HOME_OPEN = "home:open"
HOME_START = "home:start"

INCIDENT = "incident:"
INCIDENT_STATUS = "incident:status"
INCIDENT_HANDOVER = "incident:handover"
INCIDENT_NOTE = "incident:note"

START_PICK, START_RUN = "start:pick", "start:run"
"""Callback ids of the playbook picker and of a playbook's form."""
START_FROM_MESSAGE = "start:message"
"""Callback id of the message shortcut."""
NOTE = "note"

PLAYBOOK = "playbook"
"""Block id of the picker's choice."""
REASON = "reason"
VERDICT = "verdict"
SEVERITY = "severity"
TEXT = "text"
FIELD = "field:"
"""Block ids of a form's fields are ``field:<name>``."""
VALUE = "value"
"""Action id of the one element in each input block."""


def decide(verdict: str) -> str:
    """Action id (and callback id) of a verdict."""
    return DECIDE + verdict


def verdict_of(action_id: str) -> str | None:
    """The verdict in an action or callback id, or ``None`` if it is no decision."""
    return action_id.removeprefix(DECIDE) if action_id.startswith(DECIDE) else None
