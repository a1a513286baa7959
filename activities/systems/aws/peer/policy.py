"""A small evaluation of IAM policies: an explicit deny wins, then an allow, else it is denied.

Of conditions only ``DateLessThan`` on ``aws:TokenIssueTime`` is understood. A deny with another one applies, an allow
with another one does not: the peer fails closed.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any


def allows(documents: Iterable[Mapping[str, Any]], action: str, resource: str, issued: datetime | None) -> bool:
    """Whether policies let an action through.

    Args:
        documents: All policies that apply to the caller.
        action: Such as ``iam:ListUsers``.
        resource: Its ARN.
        issued: When the caller's temporary credentials were made; ``None`` for a long-term key.
    """
    allowed = False
    for document in documents:
        statements = document.get("Statement") or []
        for row in [statements] if isinstance(statements, Mapping) else statements:
            effect = row.get("Effect")
            if not _names(row, action, resource) or not _holds(row.get("Condition"), issued, deny=effect == "Deny"):
                continue
            if effect == "Deny":
                return False
            allowed = allowed or effect == "Allow"
    return allowed


def _names(row: Mapping[str, Any], action: str, resource: str) -> bool:
    actions, resources = _many(row.get("Action")), _many(row.get("Resource"))
    named = any(fnmatchcase(action.lower(), pattern.lower()) for pattern in actions)
    if "NotAction" in row:
        named = not any(fnmatchcase(action.lower(), pattern.lower()) for pattern in _many(row["NotAction"]))
    return named and any(fnmatchcase(resource, pattern) for pattern in resources)


def _holds(condition: Any, issued: datetime | None, *, deny: bool) -> bool:
    if not condition:
        return True
    for operator, wanted in condition.items():
        for name, value in wanted.items():
            if (operator, name) != ("DateLessThan", "aws:TokenIssueTime"):
                return deny
            if issued is None or not issued < datetime.fromisoformat(str(value).replace("Z", "+00:00")):
                return False
    return True


def _many(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())
