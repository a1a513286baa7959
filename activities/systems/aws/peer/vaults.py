"""KMS and Secrets Manager of the peer."""

from collections.abc import Callable, Mapping
from typing import Any

from activities.systems.aws.peer.answer import Fault
from activities.systems.aws.peer.state import AwsAccount, PeerKmsKey, PeerSecret, PeerVersion

Given = Mapping[str, Any]
Work = Callable[[AwsAccount, Given, Given], dict[str, Any]]


def _kms(account: AwsAccount, given: Given) -> PeerKmsKey:
    id_ = str(given.get("KeyId"))
    id_ = account.aliases.get(id_, id_).rsplit("/", 1)[-1]
    if id_ not in account.kms:
        raise Fault("NotFoundException", 400, "Key does not exist")
    return account.kms[id_]


def _kms_page(account: AwsAccount, rows: list[Any], given: Given, name: str) -> dict[str, Any]:
    start, size = int(given.get("Marker") or 0), min(int(given.get("Limit") or account.page), account.page)
    more = start + size < len(rows)
    found: dict[str, Any] = {name: rows[start : start + size], "Truncated": more}
    return {**found, "NextMarker": str(start + size)} if more else found


def list_keys(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """ListKeys."""
    return _kms_page(account, [{"KeyId": key.id, "KeyArn": key.arn} for key in account.kms.values()], given, "Keys")


def describe_key(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """DescribeKey."""
    key = _kms(account, given)
    found = {
        "AWSAccountId": account.account,
        "KeyId": key.id,
        "Arn": key.arn,
        "CreationDate": key.created,
        "Enabled": key.state == "Enabled",
        "Description": key.description,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": key.state,
        "Origin": key.origin,
        "KeyManager": key.manager,
        "KeySpec": key.spec,
    }
    return {"KeyMetadata": found}


def list_key_rotations(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """ListKeyRotations."""
    key = _kms(account, given)
    rows = [{"KeyId": key.id, "RotationDate": when, "RotationType": kind} for when, kind in key.rotations]
    return _kms_page(account, rows, given, "Rotations")


def get_key_rotation_status(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """GetKeyRotationStatus."""
    key = _kms(account, given)
    under_way = {"OnDemandRotationStartDate": key.rotating} if key.rotating else {}
    return {"KeyRotationEnabled": False, "KeyId": key.id, **under_way}


def list_grants(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """ListGrants."""
    key = _kms(account, given)
    rows = [{"KeyId": key.id, "GrantId": f"{n:064x}", "GranteePrincipal": name} for n, name in enumerate(key.grantees)]
    return _kms_page(account, rows, given, "Grants")


def rotate_key_on_demand(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """RotateKeyOnDemand; at most 25 in a key's life."""
    key = _kms(account, given)
    if key.state != "Enabled":
        raise Fault("DisabledException")
    if key.spec != "SYMMETRIC_DEFAULT":
        raise Fault("UnsupportedOperationException")
    if sum(kind == "ON_DEMAND" for _, kind in key.rotations) >= 25:
        raise Fault("LimitExceededException")
    key.rotations.append((account.now(), "ON_DEMAND"))
    return {"KeyId": key.id}


def _state(state: str) -> Work:
    def work(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
        key = _kms(account, given)
        if key.state not in ("Enabled", "Disabled"):
            raise Fault("KMSInvalidStateException")
        key.state = state
        return {}

    return work


KMS: dict[str, Work] = {
    "ListKeys": list_keys,
    "DescribeKey": describe_key,
    "ListKeyRotations": list_key_rotations,
    "GetKeyRotationStatus": get_key_rotation_status,
    "ListGrants": list_grants,
    "RotateKeyOnDemand": rotate_key_on_demand,
    "EnableKey": _state("Enabled"),
    "DisableKey": _state("Disabled"),
}


def _secret(account: AwsAccount, given: Given) -> PeerSecret:
    id_ = str(given.get("SecretId"))
    found = account.secrets.get(id_) or next((one for one in account.secrets.values() if one.arn == id_), None)
    if found is None:
        raise Fault("ResourceNotFoundException", 400, "Secrets Manager can't find the specified secret.")
    return found


def _live(account: AwsAccount, given: Given) -> PeerSecret:
    secret = _secret(account, given)
    if secret.deleted is not None:
        raise Fault("InvalidRequestException", 400, "The secret is marked for deletion.")
    return secret


def _row(secret: PeerSecret) -> dict[str, Any]:
    return {
        "ARN": secret.arn,
        "Name": secret.name,
        "KmsKeyId": secret.kms or None,
        "RotationEnabled": secret.rotates or None,
        "CreatedDate": secret.created,
        "LastChangedDate": secret.changed or secret.created,
        "LastRotatedDate": secret.rotated,
        "LastAccessedDate": secret.used,
        "DeletedDate": secret.deleted,
    }


def _held(secret: PeerSecret) -> dict[str, list[str]]:
    # Versions without a label are deprecated, and AWS leaves them out.
    return {id_: sorted(version.stages) for id_, version in secret.versions.items() if version.stages}


def describe_secret(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """DescribeSecret."""
    secret = _secret(account, given)
    return {**_row(secret), "VersionIdsToStages": _held(secret)}


def list_secrets(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """ListSecrets."""
    rows = [{**_row(secret), "SecretVersionsToStages": _held(secret)} for secret in account.secrets.values()]
    start, size = int(given.get("NextToken") or 0), min(int(given.get("MaxResults") or account.page), account.page)
    more = {"NextToken": str(start + size)} if start + size < len(rows) else {}
    return {"SecretList": rows[start : start + size], **more}


def list_secret_version_ids(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """ListSecretVersionIds; without a staging label a version is deprecated, and left out."""
    secret = _secret(account, given)
    rows = [
        {"VersionId": id_, "VersionStages": sorted(version.stages), "CreatedDate": version.created}
        for id_, version in secret.versions.items()
        if version.stages
    ]
    return {"ARN": secret.arn, "Name": secret.name, "Versions": rows}


def get_secret_value(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """GetSecretValue."""
    secret = _live(account, given)
    id_ = str(given.get("VersionId") or secret.at(str(given.get("VersionStage") or "AWSCURRENT")))
    version = secret.versions.get(id_)
    if version is None or version.value is None:
        raise Fault("ResourceNotFoundException", 400, "Secrets Manager can't find the specified secret value.")
    secret.used = account.now()
    found = {"ARN": secret.arn, "Name": secret.name, "VersionId": id_, "SecretString": version.value}
    return {**found, "VersionStages": sorted(version.stages), "CreatedDate": version.created}


def put_secret_value(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """PutSecretValue: the same token with the same value is the same version, with another value it is refused."""
    secret, value = _live(account, given), str(given.get("SecretString"))
    id_ = str(given.get("ClientRequestToken"))
    known = secret.versions.get(id_)
    if known is not None and known.value != value:
        raise Fault("ResourceExistsException")
    if known is None:
        secret.versions[id_] = PeerVersion(value, account.now())
        for stage in given.get("VersionStages") or ["AWSCURRENT"]:
            secret.move(stage, id_)
        secret.changed = account.now()
    return {"ARN": secret.arn, "Name": secret.name, "VersionId": id_}


def update_secret_version_stage(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """UpdateSecretVersionStage: refused if the version named does not hold the label."""
    secret, stage = _live(account, given), str(given.get("VersionStage"))
    source, to = str(given.get("RemoveFromVersionId") or ""), str(given.get("MoveToVersionId") or "")
    holder = secret.at(stage)
    if holder and source != holder:
        raise Fault("InvalidParameterException", 400, "The staging label is attached to another version.")
    if to and to not in secret.versions:
        raise Fault("ResourceNotFoundException")
    if to:
        secret.move(stage, to)
    elif holder:
        secret.versions[holder].stages.discard(stage)
    secret.changed = account.now()
    return {"ARN": secret.arn, "Name": secret.name}


def rotate_secret(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """RotateSecret, as if its function worked at once; the same token is one rotation."""
    secret, id_ = _live(account, given), str(given.get("ClientRequestToken"))
    if not secret.rotates:
        raise Fault("InvalidRequestException", 400, "No Lambda rotation function ARN is associated with this secret.")
    if id_ not in secret.versions:
        secret.versions[id_] = PeerVersion(account.letters(32), account.now())
        secret.move("AWSCURRENT", id_)
        secret.rotated = secret.changed = account.now()
    return {"ARN": secret.arn, "Name": secret.name, "VersionId": id_}


SECRETS: dict[str, Work] = {
    "DescribeSecret": describe_secret,
    "ListSecrets": list_secrets,
    "ListSecretVersionIds": list_secret_version_ids,
    "GetSecretValue": get_secret_value,
    "PutSecretValue": put_secret_value,
    "UpdateSecretVersionStage": update_secret_version_stage,
    "RotateSecret": rotate_secret,
}
