"""IAM and STS of the peer: the operations that Stanch uses, and AssumeRole for whoever plays the thief."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from activities.systems.aws.peer.answer import Fault
from activities.systems.aws.peer.state import AwsAccount, PeerKey, PeerRole, PeerUser

Caller = Mapping[str, Any]
INLINE_CHARACTERS = {"User": 2048, "Role": 10240}
"""Quotas of inline policies, whitespace not counted (IAM quotas)."""


def missing(what: str) -> Fault:
    """What IAM says of a thing that is not there."""
    return Fault("NoSuchEntity", 404, f"The {what} cannot be found.")


def page(account: AwsAccount, rows: list[Any], given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One page of rows, with a marker if there are more."""
    start, size = int(given.get("Marker") or 0), min(int(given.get("MaxItems") or account.page), account.page)
    more = start + size < len(rows)
    found: dict[str, Any] = {name: rows[start : start + size], "IsTruncated": more}
    return {**found, "Marker": str(start + size)} if more else found


def _user(account: AwsAccount, given: Mapping[str, Any]) -> PeerUser:
    found = account.users.get(str(given.get("UserName")))
    if found is None:
        raise missing("user")
    return found


def _role(account: AwsAccount, given: Mapping[str, Any]) -> PeerRole:
    found = account.roles.get(str(given.get("RoleName")))
    if found is None:
        raise missing("role")
    return found


def _key(account: AwsAccount, given: Mapping[str, Any]) -> PeerKey:
    found = _user(account, given).keys.get(str(given.get("AccessKeyId")))
    if found is None:
        raise missing("access key")
    return found


def _user_row(user: PeerUser) -> dict[str, Any]:
    return {
        "Path": "/",
        "UserName": user.name,
        "UserId": f"AIDA{user.name}",
        "Arn": user.arn,
        "CreateDate": user.created,
    }


def _role_row(role: PeerRole) -> dict[str, Any]:
    return {
        "Path": "/",
        "RoleName": role.name,
        "RoleId": f"AROA{role.name}",
        "Arn": role.arn,
        "CreateDate": role.created,
        "AssumeRolePolicyDocument": quote(json.dumps(role.trust)),
    }


def get_user(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """GetUser."""
    return {"User": _user_row(_user(account, given))}


def list_users(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """ListUsers."""
    return page(account, [_user_row(user) for user in account.users.values()], given, "Users")


def list_access_keys(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """ListAccessKeys; without a name those of the caller."""
    user = _user(account, given if given.get("UserName") else {"UserName": caller.get("user")})
    rows = [
        {
            "UserName": user.name,
            "AccessKeyId": key.id,
            "Status": "Active" if key.active else "Inactive",
            "CreateDate": key.created,
        }
        for key in user.keys.values()
    ]
    return page(account, rows, given, "AccessKeyMetadata")


def get_access_key_last_used(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """GetAccessKeyLastUsed."""
    key = account.key(str(given.get("AccessKeyId")))
    if key is None:
        raise missing("access key")
    used = {"LastUsedDate": key.last_used, "ServiceName": key.service, "Region": key.region}
    return {"UserName": key.user, "AccessKeyLastUsed": used}


def update_access_key(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """UpdateAccessKey."""
    _key(account, given).active = given.get("Status") == "Active"
    return {}


def delete_access_key(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """DeleteAccessKey."""
    key = _key(account, given)
    del account.users[key.user].keys[key.id]
    return {}


def create_access_key(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """CreateAccessKey: the only answer that ever holds the secret."""
    user = _user(account, given)
    if len(user.keys) >= account.keys_per_user:
        raise Fault("LimitExceeded", 409, "Cannot exceed quota for AccessKeysPerUser: 2")
    key = account.add_key(user.name)
    row = {"UserName": user.name, "AccessKeyId": key.id, "Status": "Active", "SecretAccessKey": key.secret}
    return {"AccessKey": {**row, "CreateDate": key.created}}


def list_user_policies(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """ListUserPolicies."""
    return page(account, sorted(_user(account, given).policies), given, "PolicyNames")


def list_attached_user_policies(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """ListAttachedUserPolicies."""
    rows = [{"PolicyName": arn.rsplit("/", 1)[-1], "PolicyArn": arn} for arn in _user(account, given).attached]
    return page(account, rows, given, "AttachedPolicies")


def list_groups_for_user(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """ListGroupsForUser."""
    rows = [
        {"Path": "/", "GroupName": name, "GroupId": f"AGPA{name}", "Arn": account.arn("iam", f"group/{name}")}
        for name in _user(account, given).groups
    ]
    return page(account, rows, given, "Groups")


def list_group_policies(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """ListGroupPolicies."""
    return page(account, sorted(account.groups[str(given.get("GroupName"))]), given, "PolicyNames")


def list_attached_group_policies(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """ListAttachedGroupPolicies: the peer's groups have none."""
    return page(account, [], given, "AttachedPolicies")


def get_group_policy(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """GetGroupPolicy."""
    group, name = str(given.get("GroupName")), str(given.get("PolicyName"))
    return {"GroupName": group, "PolicyName": name, "PolicyDocument": quote(json.dumps(account.groups[group][name]))}


def get_policy(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """GetPolicy."""
    arn = str(given.get("PolicyArn"))
    if arn not in account.managed:
        raise missing("policy")
    return {"Policy": {"PolicyName": arn.rsplit("/", 1)[-1], "Arn": arn, "DefaultVersionId": "v1"}}


def get_policy_version(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """GetPolicyVersion."""
    document = quote(json.dumps(account.managed[str(given.get("PolicyArn"))]))
    return {"PolicyVersion": {"Document": document, "VersionId": "v1", "IsDefaultVersion": True}}


def list_roles(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """ListRoles."""
    return page(account, [_role_row(role) for role in account.roles.values()], given, "Roles")


def get_role(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """GetRole, with its last use."""
    role = _role(account, given)
    used = {"LastUsedDate": role.last_used, "Region": account.region} if role.last_used else {}
    return {"Role": {**_role_row(role), "RoleLastUsed": used}}


def _policy(kind: str, verb: str) -> Callable[[AwsAccount, Mapping[str, Any], Caller], dict[str, Any]]:
    """GetUserPolicy, PutRolePolicy and so on."""

    def work(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        owner: PeerUser | PeerRole = _user(account, given) if kind == "User" else _role(account, given)
        name = str(given.get("PolicyName"))
        if verb == "Put":
            text = str(given.get("PolicyDocument"))
            try:
                document = json.loads(text)
            except ValueError:
                raise Fault("MalformedPolicyDocument") from None
            whole = {**owner.policies, name: document}
            if sum(len(json.dumps(part, separators=(",", ":"))) for part in whole.values()) > INLINE_CHARACTERS[kind]:
                raise Fault("LimitExceeded", 409, "Maximum policy size exceeded")
            owner.policies[name] = document
            return {}
        if name not in owner.policies:
            raise missing("policy")
        if verb == "Delete":
            del owner.policies[name]
            return {}
        document = quote(json.dumps(owner.policies[name]))
        return {f"{kind}Name": owner.name, "PolicyName": name, "PolicyDocument": document}

    return work


def get_caller_identity(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """GetCallerIdentity."""
    return {"Arn": caller["arn"], "UserId": caller["id"], "Account": account.account}


def assume_role(account: AwsAccount, given: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """AssumeRole."""
    name = str(given.get("RoleArn", "")).rsplit("/", 1)[-1]
    role = _role(account, {"RoleName": name})
    role.last_used = account.now()
    made = account.add_session(name, str(given.get("RoleSessionName")))
    arn = f"arn:aws:sts::{account.account}:assumed-role/{name}/{made.name}"
    return {
        "Credentials": {
            "AccessKeyId": made.id,
            "SecretAccessKey": made.secret,
            "SessionToken": made.token,
            "Expiration": made.issued.replace(year=made.issued.year + 1),
        },
        "AssumedRoleUser": {"AssumedRoleId": f"AROA{name}:{made.name}", "Arn": arn},
    }


IAM = {
    "GetUser": get_user,
    "ListUsers": list_users,
    "ListAccessKeys": list_access_keys,
    "GetAccessKeyLastUsed": get_access_key_last_used,
    "UpdateAccessKey": update_access_key,
    "DeleteAccessKey": delete_access_key,
    "CreateAccessKey": create_access_key,
    "ListUserPolicies": list_user_policies,
    "ListAttachedUserPolicies": list_attached_user_policies,
    "ListGroupsForUser": list_groups_for_user,
    "ListGroupPolicies": list_group_policies,
    "ListAttachedGroupPolicies": list_attached_group_policies,
    "GetGroupPolicy": get_group_policy,
    "GetPolicy": get_policy,
    "GetPolicyVersion": get_policy_version,
    "ListRoles": list_roles,
    "GetRole": get_role,
    **{f"{verb}{kind}Policy": _policy(kind, verb) for kind in ("User", "Role") for verb in ("Get", "Put", "Delete")},
}
STS = {"GetCallerIdentity": get_caller_identity, "AssumeRole": assume_role}
