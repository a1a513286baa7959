"""Vault actions on transit keys and KV secrets: rotate, raise the minimum version, roll."""

import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from activities.action import Applied, Params, Proposal, Result, action
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.errors import InvalidParams, NotFound
from activities.systems.vault.declared import OWNER, Counted
from activities.systems.vault.models import MARK, SecretState, is_marked, mark, name, path
from playbooks.contract import Idempotency, Items, Risk

ALPHABET = string.ascii_letters + string.digits
SHORTEST = 24
"""Characters of a new value: 142 bits, so that its digest may stand beside it."""


class RotateTransitKeyParams(Params):
    """Which key of the transit mount."""

    key: str


class KeyRotated(Result):
    """The key's newest version now."""

    count: int
    version: int | None = None


@action(
    "vault.rotate_transit_key",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.CHECK_FIRST,
    irreversible="a key's new version stays; older ones decrypt until the minimum version is raised",
    scopes=("read transit/keys/KEY", "update transit/keys/KEY/rotate"),
    timeout=timedelta(minutes=2),
)
class RotateTransitKey(TargetAction[RotateTransitKeyParams, KeyRotated]):
    """Rotate a transit key."""

    noun, done = "key", "rotated"

    def find(self, params: RotateTransitKeyParams, ctx: ActionContext) -> list[Target]:
        """The key with its newest version."""
        key = ctx.client.key(name(params.key, "key"))
        return [Target(key.name, label=key.name, before={"latest": key.latest, "minimum": key.minimum})]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What it does not do."""
        if not targets:
            return []
        return [
            "nothing stops working",
            "what was encrypted before still decrypts with the old versions until it is rewrapped",
        ]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Rotate it, unless it was rotated since it was looked at."""
        outcomes = []
        for target in targets:
            if ctx.client.key(target.id).latest > int(target.before["latest"]):
                outcomes.append(ItemOutcome(target.id, "already"))
                continue
            ctx.client.rotate_key(target.id)
            outcomes.append(ItemOutcome(target.id, "done"))
        return outcomes

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether it has a newer version than it had."""
        return {target.id: ctx.client.key(target.id).latest > int(target.before["latest"]) for target in targets}

    def apply(self, params: RotateTransitKeyParams, ctx: ActionContext, proposal: Proposal) -> Applied[KeyRotated]:
        """As of every target, with the version that came of it."""
        return self._told(params, ctx, super().apply(params, ctx, proposal))

    def settled(self, params: RotateTransitKeyParams, ctx: ActionContext, proposal: Proposal) -> Applied[KeyRotated]:
        """As of every target, with the version that came of it."""
        return self._told(params, ctx, super().settled(params, ctx, proposal))

    def _told(
        self, params: RotateTransitKeyParams, ctx: ActionContext, applied: Applied[KeyRotated]
    ) -> Applied[KeyRotated]:
        count = applied.result.count if applied.result else 0
        return replace(applied, result=KeyRotated(count=count, version=ctx.client.key(params.key).latest))


class RaiseMinimumVersionParams(Params):
    """Which key, and the oldest version that may still decrypt."""

    key: str
    version: Annotated[int, Field(ge=1)]


@action(
    "vault.raise_minimum_version",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    scopes=("read transit/keys/KEY", "update transit/keys/KEY/config"),
    timeout=timedelta(minutes=2),
)
class RaiseMinimumVersion(TargetAction[RaiseMinimumVersionParams, Counted]):
    """Raise the oldest version of a transit key that still decrypts."""

    noun, done, undone = "key", "raised", "lowered again"

    def find(self, params: RaiseMinimumVersionParams, ctx: ActionContext) -> list[Target]:
        """The key with the oldest version that decrypts now."""
        key = ctx.client.key(name(params.key, "key"))
        if params.version > key.latest:
            raise InvalidParams(
                f"The newest version of {key.name} is {key.latest}, so {params.version} cannot be the oldest that "
                "decrypts. Nothing was done. Rotate the key first."
            )
        before = {"minimum": key.minimum, "wanted": params.version}
        return [Target(key.name, label=key.name, already=key.minimum >= params.version, before=before)]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What cannot be decrypted any more."""
        return [
            f"what was encrypted with versions {target.before['minimum']} to {int(target.before['wanted']) - 1} of "
            f"{target.id} cannot be decrypted until it is rewrapped (rewrap before, or take this back)"
            for target in targets
        ]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Set it; one that somebody raised further meanwhile is left."""
        outcomes = []
        for target in targets:
            wanted = int(target.before["wanted"])
            if ctx.client.key(target.id).minimum >= wanted:
                outcomes.append(ItemOutcome(target.id, "already"))
                continue
            ctx.client.set_minimum(target.id, wanted)
            outcomes.append(ItemOutcome(target.id, "done"))
        return outcomes

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Set it back."""
        for target in targets:
            ctx.client.set_minimum(target.id, int(target.before["minimum"]))
        return [ItemOutcome(target.id, "done") for target in targets]

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether it is exactly as we set it."""
        return {target.id: ctx.client.key(target.id).minimum == int(target.before["wanted"]) for target in targets}

    def verify(self, params: RaiseMinimumVersionParams, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether nothing older decrypts; somebody may have raised it further."""
        return bool(ctx.client.key(name(params.key, "key")).minimum >= params.version)


class RollSecretParams(Params):
    """Which secret of the KV mount, how long its new values are, and which of its fields.

    Without ``fields``: its only field, or those of the setting ``secret_fields`` that it has.
    """

    path: str
    length: Annotated[int, Field(ge=SHORTEST, le=512)] = 40
    fields: list[str] = Field(default=[])


class SecretRolled(Result):
    """The secret's version now; its values stay in Vault."""

    count: int
    version: int | None = None


@action(
    "vault.roll_secret",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.CHECK_FIRST,
    reversible=True,
    scopes=("create, read, update KV/data/PATH", "read, update KV/metadata/PATH"),
    timeout=timedelta(minutes=2),
)
class RollSecret(TargetAction[RollSecretParams, SecretRolled]):
    """Replace the values of a secret by new random ones."""

    noun, done, undone = "secret", "rolled", "set back"

    def find(self, params: RollSecretParams, ctx: ActionContext) -> list[Target]:
        """The secret with its version and the names of the fields that would be replaced."""
        where = path(params.path)
        state = ctx.client.secret(where)
        if state.gone:
            raise NotFound(f"The current version of {where} is deleted. Nothing was done. Write it anew by hand.")
        fields = self._fields(params, ctx.client.values(where, state.version), ctx)
        before = {"version": state.version, "fields": fields, "length": params.length, "key": ctx.key}
        return [Target(where, label=where, before=before)]

    def _fields(self, params: RollSecretParams, values: Mapping[str, Any], ctx: ActionContext) -> list[str]:
        missing = sorted(set(params.fields) - set(values))
        if missing:
            raise InvalidParams(f"The secret has no field {', '.join(missing)[:100]}. Nothing was done.")
        if params.fields:
            return sorted(set(params.fields))
        if len(values) == 1:
            return list(values)
        found = sorted(set(values) & set(ctx.client.config.secret_fields))
        if not found:
            raise InvalidParams(
                f"The secret has {len(values)} fields, and none is named in systems.vault.secret_fields. Nothing was "
                "done. Name the fields to replace."
            )
        return found

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who is affected, and what Vault does not do."""
        return [
            f"whoever reads {target.id} gets new values of {', '.join(map(str, target.before['fields']))}; "
            "the system that checks them must be given them too, or its callers are refused"
            for target in targets
        ]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Write new values after the version that was seen; who wrote meanwhile wins."""
        return [self._roll(target, ctx) for target in targets]

    def _roll(self, target: Target, ctx: ActionContext) -> ItemOutcome:
        before, key = int(target.before["version"]), str(target.before["key"])
        state: SecretState = ctx.client.secret(target.id)
        if state.version != before or state.gone:
            return ItemOutcome(target.id, "failed", "changed_since")
        old = ctx.client.values(target.id, before)
        length = int(target.before["length"])
        fresh = {field: "".join(secrets.choice(ALPHABET) for _ in range(length)) for field in target.before["fields"]}
        # Before the values: a lost answer to them is then found by their digest.
        ctx.client.annotate(target.id, {**state.custom, MARK: mark(key, before, fresh)})
        if not ctx.client.write(target.id, {**old, **fresh}, after=before):
            return ItemOutcome(target.id, "failed", "changed_since")
        return ItemOutcome(target.id, "done")

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """The values of before as a new version; there is no way back to an old number."""
        return [self._set_back(target, ctx) for target in targets]

    def _set_back(self, target: Target, ctx: ActionContext) -> ItemOutcome:
        before = int(target.before["version"])
        try:
            old = ctx.client.values(target.id, before)
        except NotFound:
            return ItemOutcome(target.id, "failed", "version_gone")
        if not ctx.client.write(target.id, old, after=before + 1):
            return ItemOutcome(target.id, "unknown", "changed_since")
        left = {entry: text for entry, text in ctx.client.secret(target.id).custom.items() if entry != MARK}
        ctx.client.annotate(target.id, left)
        return ItemOutcome(target.id, "done")

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether its values are those that this call set."""
        return {target.id: self._ours(target, ctx) for target in targets}

    def _ours(self, target: Target, ctx: ActionContext) -> bool:
        before, state = int(target.before["version"]), ctx.client.secret(target.id)
        if state.version != before + 1 or state.gone:
            return False
        return is_marked(state, str(target.before["key"]), before, ctx.client.values(target.id, state.version))

    def apply(self, params: RollSecretParams, ctx: ActionContext, proposal: Proposal) -> Applied[SecretRolled]:
        """As of every target, with the version that came of it."""
        return self._told(params, ctx, super().apply(params, ctx, proposal))

    def settled(self, params: RollSecretParams, ctx: ActionContext, proposal: Proposal) -> Applied[SecretRolled]:
        """As of every target, with the version that came of it."""
        return self._told(params, ctx, super().settled(params, ctx, proposal))

    def outcome(self, params: RollSecretParams | None, items: Items) -> SecretRolled:
        """How many; the version is added where it is known."""
        return SecretRolled(count=items.done + items.already)

    def _told(
        self, params: RollSecretParams, ctx: ActionContext, applied: Applied[SecretRolled]
    ) -> Applied[SecretRolled]:
        count = applied.result.count if applied.result else 0
        return replace(applied, result=SecretRolled(count=count, version=ctx.client.secret(path(params.path)).version))


ACTIONS = (RotateTransitKey, RaiseMinimumVersion, RollSecret)
