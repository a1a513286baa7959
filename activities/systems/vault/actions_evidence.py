"""Vault actions that look: what a mount holds, without any value, and which keys are past their cryptoperiod."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from activities.action import Action, Applied, Params, Proposal, Result, action
from activities.context import ActionContext
from activities.cryptoperiods import SOURCE, KeyAge, KeyKind, judge, renewable
from activities.errors import ConnectorError, InvalidParams, NotFound
from activities.systems.vault.declared import OWNER, STATE
from playbooks.contract import EvidenceRef, Risk, TargetSet

KINDS = {
    "aes": KeyKind.DATA_ENCRYPTION,
    "chacha20": KeyKind.DATA_ENCRYPTION,
    "xchacha20": KeyKind.DATA_ENCRYPTION,
    "ecdsa": KeyKind.PRIVATE_SIGNATURE,
    "ed25519": KeyKind.PRIVATE_SIGNATURE,
    "ml-dsa": KeyKind.PRIVATE_SIGNATURE,
    "rsa": KeyKind.PRIVATE_SIGNATURE,
    "hmac": KeyKind.SYMMETRIC_AUTHENTICATION,
}
"""Row of the table by the start of a transit key's type."""
TRANSIT = "transit:"


class SnapshotMountParams(Params):
    """Which mount: one of those that the settings name (KV, transit or AppRole)."""

    mount: str


class MountSecured(Result):
    """How many keys, secrets or secret ids were written down, and whether that is all of them."""

    count: int
    complete: bool


@action(
    "vault.snapshot_mount",
    risk=Risk.READ,
    owner=OWNER,
    acquires=STATE,
    scopes=("list, read on the mount",),
    timeout=timedelta(minutes=10),
)
class SnapshotMount(Action[SnapshotMountParams, MountSecured]):
    """Secure what a Vault mount holds, without values."""

    def apply(self, params: SnapshotMountParams, ctx: ActionContext, proposal: Proposal) -> Applied[MountSecured]:
        """Settings of keys, versions of secrets, accessors of secret ids; as JSON lines in evidence."""
        config, mount = ctx.client.config, params.mount.strip("/")
        if mount == config.transit_mount:
            rows: Iterator[dict[str, Any] | None] = _keys(ctx)
        elif mount == config.kv_mount:
            rows = _secrets(ctx)
        elif mount == config.approle_mount:
            rows = _secret_ids(ctx)
        else:
            raise InvalidParams(
                f"{mount[:60]} is none of the mounts that systems.vault names (kv_mount, transit_mount, "
                "approle_mount). Nothing was read."
            )
        found = list(rows)
        kept = [row for row in found if row is not None]
        _keep(ctx, kept, f"vault.{mount.replace('/', '-')}")
        missing = len(found) - len(kept)
        return Applied(
            MountSecured(count=len(kept), complete=not missing),
            summary=f"{len(kept)} entries of a mount secured",
            warnings=(f"{missing} entries could not be read",) if missing else (),
        )


class CheckCryptoperiodsParams(Params):
    """A shorter house rule than NIST's, if there is one."""

    at_most: timedelta | None = None


class CryptoperiodsChecked(Result):
    """Keys past their cryptoperiod; ``report`` is the evidence file with every key and its reason.

    ``transit_keys`` are those of the overdue that ``vault.rotate_transit_key`` mends without anybody noticing, at most
    500: keys that encrypt, and not convergent ones. Whoever checks signatures by an exported public key does notice.
    """

    overdue: int
    checked: int
    transit_keys: list[str]
    targets: TargetSet
    report: EvidenceRef
    complete: bool


@action(
    "vault.check_cryptoperiods",
    risk=Risk.READ,
    owner=OWNER,
    scopes=("list, read transit/keys", "list, read KV/metadata", "list, read auth/approle/role"),
    timeout=timedelta(minutes=10),
)
class CheckCryptoperiods(Action[CheckCryptoperiodsParams, CryptoperiodsChecked]):
    """Find keys and secrets that are past their cryptoperiod."""

    def apply(
        self, params: CheckCryptoperiodsParams, ctx: ActionContext, proposal: Proposal
    ) -> Applied[CryptoperiodsChecked]:
        """Transit keys by their type; secrets and secret ids as symmetric authentication keys."""
        ages: list[KeyAge] = []
        missing = 0
        warnings = []
        for what, found in (("keys", _keys(ctx)), ("secrets", _secrets(ctx)), ("secret ids", _secret_ids(ctx))):
            try:
                for row in found:
                    if row is None:
                        missing += 1
                    elif not row.get("gone"):
                        ages.append(_age(what, row))
            except ConnectorError as error:
                if error.retryable:
                    raise
                missing += 1
                warnings.append(f"{what} could not be listed ({error.code})")
        # Dates are of the server's clock, not of an exercise's world.
        judged = judge(ages, datetime.now(UTC), params.at_most)
        overdue = [found.row() for found in judged if found.overdue]
        targets = ctx.put_rows(overdue, name="vault.overdue")
        report = _keep(ctx, [{**found.row(), "source": SOURCE} for found in judged], "vault.cryptoperiods")
        if missing and not warnings:
            warnings.append(f"{missing} entries could not be read")
        return Applied(
            CryptoperiodsChecked(
                overdue=len(overdue),
                checked=len(judged),
                transit_keys=[id_.removeprefix(TRANSIT) for id_ in renewable(judged)],
                targets=targets,
                report=report,
                complete=not missing,
            ),
            summary=f"{len(overdue)} of {len(judged)} keys and secrets overdue by {SOURCE}"
            + (f"; {missing} not read" if missing else ""),
            warnings=tuple(warnings),
        )


def _keys(ctx: ActionContext) -> Iterator[dict[str, Any] | None]:
    names = ctx.client.keys()
    for name in names:
        ctx.progress({"key": name})
        try:
            yield ctx.client.key(name).row()
        except NotFound:
            yield None


def _secrets(ctx: ActionContext) -> Iterator[dict[str, Any] | None]:
    for path in ctx.client.paths():
        ctx.progress({"secret": path})
        try:
            yield ctx.client.secret(path).row()
        except NotFound:
            yield None


def _secret_ids(ctx: ActionContext) -> Iterator[dict[str, Any] | None]:
    for role in ctx.client.roles():
        for accessor in ctx.client.secret_ids(role):
            ctx.progress({"role": role})
            try:
                yield ctx.client.secret_id(role, accessor).row()
            except NotFound:
                yield None


def _age(what: str, row: dict[str, Any]) -> KeyAge:
    if what == "keys":
        made = {int(number): datetime.fromisoformat(at) for number, at in row["versions"].items()}
        kind = next((kind for start, kind in KINDS.items() if row["type"].startswith(start)), KeyKind.DATA_ENCRYPTION)
        first, newest = made.get(min(made, default=0)), made.get(row["latest_version"])
        return KeyAge(
            f"{TRANSIT}{row['id']}",
            kind,
            first,
            rotated=newest,
            oldest=made.get(row["min_decryption_version"]),
            label=row["id"],
            renews=kind is KeyKind.DATA_ENCRYPTION and not row["convergent"],
        )
    made_at = datetime.fromisoformat(row["created"]) if row["created"] else None
    if what == "secrets":
        return KeyAge(f"secret:{row['id']}", KeyKind.SYMMETRIC_AUTHENTICATION, made_at, label=row["id"])
    label = f"{row['role']} {row['id'][:8]}…"
    return KeyAge(f"secret_id:{row['id']}", KeyKind.SYMMETRIC_AUTHENTICATION, made_at, label=label)


def _keep(ctx: ActionContext, rows: list[dict[str, Any]], name: str) -> EvidenceRef:
    lines = "".join(f"{json.dumps(row, sort_keys=True, ensure_ascii=False)}\n" for row in rows)
    return ctx.put(lines.encode(), name=f"{name}.jsonl", media_type="application/jsonl")


ACTIONS = (SnapshotMount, CheckCryptoperiods)
