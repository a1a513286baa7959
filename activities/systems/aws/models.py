"""AWS's things as Stanch knows them: access keys, policies, secrets, KMS keys. No I/O."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from activities.context import stamp
from activities.errors import InvalidParams
from playbooks.contract import Json

KEY_ID = re.compile(r"[A-Z0-9]{16,128}")
NAME = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
DENY_ALL = "StanchDenyAll"
OLDER_SESSIONS = "AWSRevokeOlderSessions"
"""The name under which IAM's own console puts such a policy, so that people know it."""
CURRENT, PREVIOUS, PENDING = "AWSCURRENT", "AWSPREVIOUS", "AWSPENDING"


def key_id(text: Any) -> str:
    """An access key's id.

    Raises:
        InvalidParams: It is none; nothing was done.
    """
    if not isinstance(text, str) or not KEY_ID.fullmatch(text):
        raise InvalidParams(
            "A value that should be the id of an access key is none. Nothing was done. Check the input."
        )
    return text


def principal(text: str) -> str:
    """The name of a user or role, also from its ARN.

    Raises:
        InvalidParams: It is none; nothing was done.
    """
    name = text.rsplit("/", 1)[-1] if text.startswith("arn:") else text
    if not NAME.fullmatch(name):
        raise InvalidParams("A value that should be the name of a user or role is none. Nothing was done.")
    return name


def instant_of(value: Any) -> datetime | None:
    """An aware UTC instant of what botocore parsed; ``None`` for nothing."""
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def text_of(instant: datetime | None) -> str:
    """RFC 3339 with seconds, or ``never``."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ") if instant else "never"


@dataclass(frozen=True)
class AccessKey:
    """An access key of an IAM user: its public half only."""

    id: str
    user: str
    active: bool
    created: datetime | None
    last_used: datetime | None = None
    service: str = ""
    region: str = ""

    def use(self) -> str:
        """Its last use in words: what stops when it does."""
        if self.last_used is None:
            return "never used"
        where = f" in {self.region}" if self.region not in ("", "N/A") else ""
        return f"last used {text_of(self.last_used)} for {self.service or 'an unknown service'}{where}"

    def row(self) -> dict[str, Json]:
        """As it may stand in evidence."""
        return {
            "id": self.id,
            "label": self.user,
            "user": self.user,
            "status": "Active" if self.active else "Inactive",
            "created": stamp(self.created) if self.created else None,
            "last_used": stamp(self.last_used) if self.last_used else None,
            "service": self.service,
            "region": self.region,
        }


def deny_all() -> dict[str, Any]:
    """The policy document that denies everything; an explicit deny wins over every allow (IAM guide, evaluation)."""
    return {"Version": "2012-10-17", "Statement": [{"Sid": DENY_ALL, "Effect": "Deny", "Action": "*", "Resource": "*"}]}


def older_sessions(until: datetime) -> dict[str, Any]:
    """What IAM's console writes to revoke a role's sessions: credentials issued before an instant are denied."""
    when = until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"DateLessThan": {"aws:TokenIssueTime": when}}
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": ["*"], "Resource": ["*"], "Condition": condition}],
    }


def document_of(policy: Any) -> dict[str, Any]:
    """A policy document as botocore gives it: parsed, or as text."""
    found = json.loads(policy) if isinstance(policy, str) else policy
    return found if isinstance(found, dict) else {}


def same_document(one: Any, other: Any) -> bool:
    """Whether two documents say the same, however they are written."""
    return json.dumps(document_of(one), sort_keys=True) == json.dumps(document_of(other), sort_keys=True)


def may_assume(user: str, documents: Iterable[Any], role: str, trust: Any) -> bool:
    """Whether a user may take a role: its trust names the user, or the account while a policy of the user allows it.

    Conditions and denials are not weighed: a role too many is looked at, one too few is not.

    Args:
        user: The user's ARN.
        documents: Policies of the user, of its groups too.
        role: The role's ARN.
        trust: The role's trust policy.
    """
    account = user.split(":")[4]
    named: set[str] = set()
    for row in _statements(trust):
        who = row.get("Principal") if row.get("Effect") == "Allow" else None
        named |= set(_many(who.get("AWS") if isinstance(who, dict) else who))
    if user in named:
        return True
    if not named & {account, f"{user.rsplit(':', 1)[0]}:root", "*"}:
        return False
    return any(
        row.get("Effect") == "Allow"
        and any(fnmatchcase("sts:assumerole", str(action).lower()) for action in _many(row.get("Action")))
        and any(fnmatchcase(role, str(resource)) for resource in _many(row.get("Resource")))
        for document in documents
        for row in _statements(document)
    )


def _statements(policy: Any) -> list[dict[str, Any]]:
    found = document_of(policy).get("Statement") or []
    return [row for row in (found if isinstance(found, list) else [found]) if isinstance(row, dict)]


def _many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value] if value else []


@dataclass(frozen=True)
class Secret:
    """A secret without its value: which version holds which staging label."""

    name: str
    arn: str
    stages: Mapping[str, str]
    """Staging label to version id."""
    versions: Sequence[str]
    rotates: bool
    """Whether a rotation is set up, so that RotateSecret has somebody to call."""
    created: datetime | None
    changed: datetime | None
    rotated: datetime | None
    used: datetime | None
    key: str
    deleted: bool

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Secret":
        """From DescribeSecret or a row of ListSecrets."""
        held = row.get("VersionIdsToStages") or row.get("SecretVersionsToStages") or {}
        return cls(
            name=str(row["Name"]),
            arn=str(row["ARN"]),
            stages={stage: version for version, stages in held.items() for stage in stages},
            versions=tuple(held),
            rotates=bool(row.get("RotationEnabled")),
            created=instant_of(row.get("CreatedDate")),
            changed=instant_of(row.get("LastChangedDate")),
            rotated=instant_of(row.get("LastRotatedDate")),
            used=instant_of(row.get("LastAccessedDate")),
            key=str(row.get("KmsKeyId") or ""),
            deleted=row.get("DeletedDate") is not None,
        )

    @property
    def current(self) -> str:
        """The version that consumers get; empty if there is none."""
        return self.stages.get(CURRENT, "")


@dataclass(frozen=True)
class KmsKey:
    """A KMS key."""

    id: str
    arn: str
    state: str
    customer: bool
    spec: str
    origin: str
    created: datetime | None
    description: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "KmsKey":
        """From DescribeKey's metadata."""
        return cls(
            id=str(row["KeyId"]),
            arn=str(row["Arn"]),
            state=str(row.get("KeyState") or ("Enabled" if row.get("Enabled") else "Disabled")),
            customer=row.get("KeyManager", "CUSTOMER") == "CUSTOMER",
            spec=str(row.get("KeySpec") or row.get("CustomerMasterKeySpec") or "SYMMETRIC_DEFAULT"),
            origin=str(row.get("Origin") or "AWS_KMS"),
            created=instant_of(row.get("CreationDate")),
            description=str(row.get("Description") or ""),
        )
