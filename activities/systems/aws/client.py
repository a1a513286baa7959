"""The client of one AWS account: the few calls of IAM, STS, KMS and Secrets Manager that the actions need, typed.

Synchronous and thread-safe. It knows nothing of Temporal.
"""

import contextlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from activities.connecting import settings_of
from activities.errors import AuthFailed, NotFound, Rejected
from activities.ports import Vault
from activities.systems.aws.account import Account, Credential, pinged
from activities.systems.aws.answers import BAD_SIGNATURE, DEAD_KEY, DENIED, SKEWED, code_of, mapped, of_answer
from activities.systems.aws.config import AwsConfig
from activities.systems.aws.models import CURRENT, AccessKey, KmsKey, Secret, document_of, instant_of

PROBES: Mapping[str, tuple[str, str]] = {
    "sts:GetCallerIdentity": ("sts", "get_caller_identity"),
    "sagemaker:ListEndpoints": ("sagemaker", "list_endpoints"),
    "secretsmanager:ListSecrets": ("secretsmanager", "list_secrets"),
    "kms:ListKeys": ("kms", "list_keys"),
    "iam:ListAccessKeys": ("iam", "list_access_keys"),
}
"""What a stolen key may be tried with: reads only. AWS answers the first even where a policy denies everything."""


def connect(config: Mapping[str, Any] | AwsConfig, vault: Vault) -> "Aws":
    """A client; nothing is sent before its first use.

    Raises:
        AuthFailed: The settings cannot be used; the message says which.
    """
    return Aws(settings_of(AwsConfig, "aws", config), vault)


def connect_reading(config: Mapping[str, Any] | AwsConfig, vault: Vault) -> "Aws":
    """A client that can only read: any other request is refused before it leaves this process.

    Raises:
        AuthFailed: As of ``connect``.
    """
    return Aws(settings_of(AwsConfig, "aws", config), vault, reading=True)


class Aws(Account):
    """One account, as Stanch's user sees it."""

    def ping(self) -> str:
        """Sign in and try the first reads; a sentence for ``stanch doctor``.

        Raises:
            ConnectorError: What is missing, by name.
        """
        return pinged(
            self,
            {
                "iam:ListUsers": lambda: self.call("iam", "ListUsers", doing="listing users", MaxItems=1),
                "kms:ListKeys": lambda: self.call("kms", "ListKeys", doing="listing keys", Limit=1),
                "secretsmanager:ListSecrets": lambda: self.call(
                    "secretsmanager", "ListSecrets", doing="listing secrets", MaxResults=1
                ),
            },
        )

    # IAM

    def users(self) -> list[str]:
        """Names of every IAM user."""
        return [str(row["UserName"]) for row in self.pages("iam", "ListUsers", "Users", doing="listing users")]

    def keys_of(self, user: str) -> list[AccessKey]:
        """A user's access keys, without their last use.

        Raises:
            NotFound: There is no such user.
        """
        rows = self.pages("iam", "ListAccessKeys", "AccessKeyMetadata", doing="listing access keys", UserName=user)
        return [
            AccessKey(
                id=str(row["AccessKeyId"]),
                user=str(row.get("UserName") or user),
                active=row["Status"] == "Active",
                created=instant_of(row.get("CreateDate")),
            )
            for row in rows
        ]

    def used(self, key: AccessKey) -> AccessKey:
        """The key with its last use."""
        answer = self.call("iam", "GetAccessKeyLastUsed", doing="reading a key's last use", AccessKeyId=key.id)
        return _with_use(key, answer.get("AccessKeyLastUsed") or {})

    def key(self, id_: str) -> AccessKey | None:
        """A key by its id alone: IAM says whose it is. ``None`` if this account has none of that id."""
        try:
            answer = self.call("iam", "GetAccessKeyLastUsed", doing="looking for a key's user", AccessKeyId=id_)
            found = next((key for key in self.keys_of(str(answer["UserName"])) if key.id == id_), None)
        except NotFound:
            return None
        return _with_use(found, answer.get("AccessKeyLastUsed") or {}) if found else None

    def set_key(self, user: str, id_: str, *, active: bool) -> None:
        """Make a key active or inactive; natural, it may be sent twice."""
        status = "Active" if active else "Inactive"
        doing = "making an access key " + status.lower()
        self.call("iam", "UpdateAccessKey", doing=doing, UserName=user, AccessKeyId=id_, Status=status)

    def delete_key(self, user: str, id_: str) -> bool:
        """Delete a key; ``False`` if it was gone already."""
        try:
            self.call("iam", "DeleteAccessKey", doing="deleting an access key", UserName=user, AccessKeyId=id_)
        except NotFound:
            return False
        return True

    def create_key(self, user: str) -> Credential:
        """A new key. Its secret is in this answer and nowhere else, ever again."""
        made = self.call("iam", "CreateAccessKey", doing="making an access key", UserName=user)["AccessKey"]
        return Credential(str(made["AccessKeyId"]), str(made["SecretAccessKey"]))

    def policy(self, kind: str, name: str, policy: str) -> dict[str, Any] | None:
        """The document of an inline policy of a ``User`` or ``Role``; ``None`` if there is none of that name.

        Raises:
            NotFound: There is no such user or role.
        """
        given = {f"{kind}Name": name, "PolicyName": policy}
        try:
            answer = self.call("iam", f"Get{kind}Policy", doing=f"reading a policy of a {kind.lower()}", **given)
        except NotFound:
            self.call("iam", f"Get{kind}", doing=f"reading a {kind.lower()}", **{f"{kind}Name": name})
            return None
        return document_of(answer["PolicyDocument"])

    def put_policy(self, kind: str, name: str, policy: str, document: Mapping[str, Any]) -> None:
        """Write an inline policy of a ``User`` or ``Role``; natural, it may be sent twice."""
        given = {f"{kind}Name": name, "PolicyName": policy, "PolicyDocument": json.dumps(document)}
        self.call("iam", f"Put{kind}Policy", doing=f"writing a policy of a {kind.lower()}", **given)

    def delete_policy(self, kind: str, name: str, policy: str) -> None:
        """Delete an inline policy; one that is gone is none."""
        given = {f"{kind}Name": name, "PolicyName": policy}
        with contextlib.suppress(NotFound):
            self.call("iam", f"Delete{kind}Policy", doing=f"deleting a policy of a {kind.lower()}", **given)

    def managed(self, arn: str) -> dict[str, Any]:
        """The document of a managed policy, as it is in force."""
        policy = self.call("iam", "GetPolicy", doing="reading a policy", PolicyArn=arn)["Policy"]
        version = policy["DefaultVersionId"]
        found = self.call("iam", "GetPolicyVersion", doing="reading a policy", PolicyArn=arn, VersionId=version)
        return document_of(found["PolicyVersion"]["Document"])

    def group_policies(self, group: str) -> list[dict[str, Any]]:
        """Documents of a group's policies, inline and attached."""
        given, doing = {"GroupName": group}, "reading policies of a group"
        names = list(self.pages("iam", "ListGroupPolicies", "PolicyNames", doing=doing, **given))
        found = [
            document_of(self.call("iam", "GetGroupPolicy", doing=doing, PolicyName=name, **given)["PolicyDocument"])
            for name in names
        ]
        attached = list(self.pages("iam", "ListAttachedGroupPolicies", "AttachedPolicies", doing=doing, **given))
        return [*found, *(self.managed(str(row["PolicyArn"])) for row in attached)]

    def role(self, name: str) -> dict[str, Any]:
        """A role with when and where it was last used.

        Raises:
            NotFound: There is none of that name.
        """
        found: dict[str, Any] = self.call("iam", "GetRole", doing="reading a role", RoleName=name)["Role"]
        return found

    # STS, as somebody else

    def try_key(self, reference: str, action: str) -> tuple[bool, str]:
        """Whether a key still works, asked as whoever holds it, and the code of the answer.

        Args:
            reference: Of a secret ``ID:SECRET``, ``ID:SECRET:TOKEN``, or the same as JSON.
            action: One of ``PROBES``.

        Raises:
            Rejected: The secret does not fit the key, or the clock is wrong, so that nothing is shown by the refusal.
            Transient: AWS did not answer; a key that was not tried is not a refused one.
        """
        from botocore import exceptions

        held = credential_of(self.secret(reference, "the key to try"))
        service, method = PROBES[action]
        client = self.client_as(held, service, reading=True)
        with contextlib.closing(client), mapped("trying a key"):
            try:
                getattr(client, method)()
            except exceptions.ClientError as error:
                return False, _refusal(error.response)
        return True, "OK"

    # KMS

    def kms_key(self, id_: str) -> KmsKey:
        """A key by id, ARN or ``alias/NAME``.

        Raises:
            NotFound: There is none.
        """
        return KmsKey.of(self.call("kms", "DescribeKey", doing="reading a KMS key", KeyId=id_)["KeyMetadata"])

    def kms_keys(self) -> list[str]:
        """Ids of every key of the region."""
        return [str(row["KeyId"]) for row in self.pages("kms", "ListKeys", "Keys", doing="listing KMS keys")]

    def rotations(self, id_: str) -> list[tuple[datetime | None, str]]:
        """When the key's material was replaced, and by what: ``AUTOMATIC`` or ``ON_DEMAND``."""
        rows = self.pages("kms", "ListKeyRotations", "Rotations", doing="listing rotations", KeyId=id_)
        return [(instant_of(row.get("RotationDate")), str(row.get("RotationType") or "")) for row in rows]

    def rotating(self, id_: str) -> bool:
        """Whether a rotation on demand is under way."""
        status = self.call("kms", "GetKeyRotationStatus", doing="reading a key's rotation", KeyId=id_)
        return status.get("OnDemandRotationStartDate") is not None

    def grantees(self, id_: str) -> list[str]:
        """Principals that hold a grant of the key."""
        rows = self.pages("kms", "ListGrants", "Grants", doing="listing grants", KeyId=id_)
        return [str(row.get("GranteePrincipal") or "") for row in rows]

    def rotate_kms(self, id_: str) -> None:
        """Replace the key's material; older ciphertext is still read with the older material."""
        self.call("kms", "RotateKeyOnDemand", doing="rotating a KMS key", KeyId=id_)

    def enable_kms(self, id_: str, *, enabled: bool) -> None:
        """Enable or disable a key; natural."""
        doing = f"{'enabling' if enabled else 'disabling'} a KMS key"
        self.call("kms", "EnableKey" if enabled else "DisableKey", doing=doing, KeyId=id_)

    # Secrets Manager

    def secrets(self) -> list[Secret]:
        """Every secret of the region, without values."""
        rows = self.pages("secretsmanager", "ListSecrets", "SecretList", doing="listing secrets")
        return [Secret.of(row) for row in rows]

    def described(self, secret: str) -> Secret:
        """A secret by name or ARN, without its value.

        Raises:
            NotFound: There is none.
        """
        return Secret.of(
            self.call("secretsmanager", "DescribeSecret", doing="reading a secret's stages", SecretId=secret)
        )

    def current_since(self, secret: str) -> datetime | None:
        """When the version was made that programs get; ``None`` if there is none."""
        answer = self.call(
            "secretsmanager", "ListSecretVersionIds", doing="reading a secret's versions", SecretId=secret
        )
        rows = [row for row in answer.get("Versions") or () if CURRENT in (row.get("VersionStages") or ())]
        return instant_of(rows[0].get("CreatedDate")) if rows else None

    def value(self, secret: str, version: str | None = None) -> str:
        """The value of a version, by default the current one. It must not leave the activity.

        Raises:
            NotFound: There is no such version.
        """
        given = {"VersionId": version} if version else {"VersionStage": CURRENT}
        answer = self.call("secretsmanager", "GetSecretValue", doing="reading a secret", SecretId=secret, **given)
        return str(answer.get("SecretString") or "")

    def put_value(self, secret: str, value: str, *, version: str, stage: str) -> None:
        """Write a version of a given id under a label of its own, so that nobody gets it yet."""
        self.call(
            "secretsmanager",
            "PutSecretValue",
            doing="writing a secret",
            SecretId=secret,
            SecretString=value,
            ClientRequestToken=version,
            VersionStages=[stage],
        )

    def move_stage(self, secret: str, *, stage: str, to: str, away_from: str) -> None:
        """Move a label from one version to another; refused by AWS if the first does not hold it.

        Raises:
            Rejected: Somebody moved it meanwhile.
        """
        self.call(
            "secretsmanager",
            "UpdateSecretVersionStage",
            doing="moving a secret's stage",
            SecretId=secret,
            VersionStage=stage,
            MoveToVersionId=to,
            RemoveFromVersionId=away_from,
        )

    def rotate_secret(self, secret: str, version: str) -> None:
        """Ask the secret's own rotation to make a version of a given id; sent twice it is one rotation."""
        self.call(
            "secretsmanager", "RotateSecret", doing="rotating a secret", SecretId=secret, ClientRequestToken=version
        )


def credential_of(text: str) -> Credential:
    """A credential from ``ID:SECRET[:TOKEN]`` or JSON with ``access_key_id``, ``secret_access_key``, ``session_token``.

    Raises:
        AuthFailed: It is neither; nothing of it is told.
    """
    try:
        if text.lstrip().startswith("{"):
            held = json.loads(text)
            id_, secret, token = held["access_key_id"], held["secret_access_key"], held.get("session_token")
        else:
            id_, secret, token = [*text.strip().split(":", 2), None][:3]
    except (ValueError, KeyError, TypeError):
        id_ = secret = token = None
    if not isinstance(id_, str) or not isinstance(secret, str) or not id_ or not secret:
        raise AuthFailed(
            "What the reference of the key to try holds is no access key. Nothing was sent. Write ID:SECRET into it."
        )
    return Credential(id_, secret, token)


def _refusal(answer: Any) -> str:
    """The code with which a key was refused, where that shows something of the key."""
    code = code_of(answer)
    if code in BAD_SIGNATURE or code in SKEWED:
        raise Rejected(
            f"The key was refused with {code}: its secret does not fit, or this machine's clock is wrong. That shows "
            "nothing of the key. Mend what the reference holds."
        )
    if code in DEAD_KEY or code in DENIED:
        return code
    raise of_answer(answer, "trying a key", write=False)


def _with_use(key: AccessKey, use: Mapping[str, Any]) -> AccessKey:
    when = instant_of(use.get("LastUsedDate"))
    if when is not None and when < datetime(2000, 1, 1, tzinfo=UTC):
        when = None
    return AccessKey(
        key.id,
        key.user,
        key.active,
        key.created,
        last_used=when,
        service=str(use.get("ServiceName") or ""),
        region=str(use.get("Region") or ""),
    )
