"""How the wires of a cloud account (AWS) and of a secrets store (Vault) are read by their fronts."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence

from worker.range_models.exchange import Effect, Exchange, Wire

_KEY = re.compile(r"Credential=([A-Z0-9]+)/")
_once = itertools.count(1)
OTHERS = "business"
"""Whoever shows a key of the account that belongs to nobody else: the programs."""

IDENTITY_READS = frozenset({"ListUserPolicies", "ListAttachedUserPolicies", "ListGroupsForUser", "GetUserPolicy"})
ENDPOINT_READS = frozenset({"ListEndpoints", "DescribeEndpoint", "DescribeEndpointConfig"})


def operation(exchange: Exchange) -> str:
    """Name of an AWS operation: a form's ``Action``, or the last part of ``X-Amz-Target``."""
    target = exchange.headers.get("x-amz-target", "")
    return target.rpartition(".")[2] if target else exchange.form().get("Action", "")


def aws(owner: Callable[[str], str]) -> Wire:
    """An account. ``owner`` tells whose an access key's id is; empty if nobody's in particular."""

    def who(exchange: Exchange) -> str:
        found = _KEY.search(exchange.headers.get("authorization", ""))
        return (owner(found.group(1)) or OTHERS) if found else ""

    def reads(exchange: Exchange) -> Sequence[str]:
        name = operation(exchange)
        if name in IDENTITY_READS:
            return ("identity_state",)
        return ("endpoint_state",) if name in ENDPOINT_READS else ()

    return Wire("aws", who, reads, _account_effects, named=lambda exchange: f"/{operation(exchange)}")


def _account_effects(exchange: Exchange) -> Sequence[Effect]:
    name = operation(exchange)
    given = exchange.json() if exchange.headers.get("x-amz-target") else exchange.form()
    read = CHANGES.get(name)
    if read is None:
        return ()
    kind, target, facet, value = read({key: str(found) for key, found in given.items()})
    return (Effect(kind, target, facet, value),)


Change = Callable[[Mapping[str, str]], tuple[str, str, str, str]]


def _named(kind: str, field: str, value: str = "") -> Change:
    def read(given: Mapping[str, str]) -> tuple[str, str, str, str]:
        target = given.get(field, "")
        return kind, target, f"{kind} {target}", value or str(next(_once))

    return read


def _policy(owner: str, on: bool) -> Change:
    def read(given: Mapping[str, str]) -> tuple[str, str, str, str]:
        who, policy = given.get(f"{owner}Name", ""), given.get("PolicyName", "")
        kind = f"{'write' if on else 'delete'} policy of {owner.lower()}"
        return kind, f"{who}/{policy}", f"policy {owner} {who} {policy}", given.get("PolicyDocument", "") if on else ""

    return read


CHANGES: Mapping[str, Change] = {
    "UpdateAccessKey": lambda given: (
        "deactivate key" if given.get("Status") == "Inactive" else "activate key",
        given.get("AccessKeyId", ""),
        f"key {given.get('AccessKeyId', '')}",
        given.get("Status", ""),
    ),
    "DeleteAccessKey": _named("delete key", "AccessKeyId", "deleted"),
    "CreateAccessKey": _named("create key", "UserName"),
    "PutUserPolicy": _policy("User", True),
    "DeleteUserPolicy": _policy("User", False),
    "PutRolePolicy": _policy("Role", True),
    "DeleteRolePolicy": _policy("Role", False),
    "RotateSecret": _named("rotate secret", "SecretId"),
    "RotateKeyOnDemand": _named("rotate key", "KeyId"),
    "DisableKey": lambda given: ("disable key", given.get("KeyId", ""), f"kms {given.get('KeyId', '')}", "off"),
    "EnableKey": lambda given: ("enable key", given.get("KeyId", ""), f"kms {given.get('KeyId', '')}", "on"),
    "UpdateEndpointWeightsAndCapacities": _named("shift variants", "EndpointName"),
    "UpdateModelPackage": _named("decide package", "ModelPackageArn"),
    "StartPipelineExecution": _named("start pipeline", "PipelineName"),
    "StopPipelineExecution": _named("stop pipeline", "PipelineExecutionArn"),
}
"""Operations that change something, one effect each. A key that is made for a secret is the rotation's effect; that
the secret then names it is a part of that."""


LEASES = "sys/leases/revoke-prefix/"


def vault(actors: Mapping[str, str], leases: Callable[[], Sequence[str]]) -> Wire:
    """A secrets store. ``actors`` is token to actor; ``leases`` tells every lease that is live."""

    def before(exchange: Exchange) -> Sequence[str]:
        return leases() if LEASES in exchange.path else ()

    def effects(exchange: Exchange) -> Sequence[Effect]:
        path = exchange.path.removeprefix("/v1/")
        if exchange.method == "GET" or exchange.method == "LIST":
            return ()
        rotated = re.fullmatch(r"[^/]+/keys/([^/]+)/rotate", path)
        if rotated:
            return (Effect("rotate transit key", rotated.group(1), path, str(next(_once))),)
        tuned = re.fullmatch(r"[^/]+/keys/([^/]+)/config", path)
        if tuned:
            value = str(exchange.json().get("min_decryption_version", ""))
            return (Effect(f"minimum version {value}", tuned.group(1), path, value),)
        written = re.fullmatch(r"[^/]+/data/(.+)", path)
        if written and exchange.method in ("POST", "PUT"):
            return (Effect("roll secret", written.group(1), path, str(next(_once))),)
        if path.startswith(LEASES):
            below = path.removeprefix(LEASES).rstrip("/") + "/"
            ended = [lease for lease in exchange.seen or () if lease.startswith(below)]
            return [Effect("revoke lease", lease, f"lease {lease}", "ended") for lease in ended]
        destroyed = re.fullmatch(r"auth/[^/]+/role/([^/]+)/secret-id-accessor/destroy", path)
        if destroyed:
            accessor = str(exchange.json().get("secret_id_accessor", ""))
            return (Effect("destroy secret id", accessor, f"accessor {accessor}", "gone"),)
        return ()

    def reads(exchange: Exchange) -> Sequence[str]:
        return ("secret_state",) if exchange.method in ("GET", "LIST") else ()

    def who(exchange: Exchange) -> str:
        return actors.get(exchange.headers.get("x-vault-token", ""), "")

    return Wire("vault", who, reads, effects, before=before)
