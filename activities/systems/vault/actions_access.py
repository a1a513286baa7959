"""Vault actions on who gets in: end leases and tokens by prefix, destroy an AppRole's secret ids.

Both are needed: a token that was issued for a secret id lives on when that is destroyed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from activities.action import Params, Proposal, action
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.errors import AuthFailed, Forbidden, NotFound, Permanent
from activities.systems.vault.declared import OWNER, Counted
from activities.systems.vault.models import name, path
from playbooks.contract import Idempotency, Risk


class _SparesOwn(TargetAction[Any, Counted]):
    """Refuses the whole where Stanch's own access would go with it: it could do nothing afterwards."""

    def mine(self, params: Any, ctx: ActionContext) -> str:
        """What of Stanch's own would be ended, empty for nothing."""
        raise NotImplementedError

    def preview(self, params: Any, ctx: ActionContext) -> Proposal:
        """As of every target; with Stanch's own among them, nothing is done."""
        found = super().preview(params, ctx)
        mine = self.mine(params, ctx)
        return replace(found, own=(mine,)) if mine else found


class RevokePrefixParams(Params):
    """Below which prefix: ``auth/approle/login`` for the tokens of AppRoles, ``database/creds/ROLE`` for passwords."""

    prefix: str


@action(
    "vault.revoke_prefix",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    irreversible="an ended lease cannot be restored; its holder signs in again",
    scopes=("list, sudo sys/leases/lookup/PREFIX", "update, sudo sys/leases/revoke-prefix/PREFIX"),
    selector=True,
    timeout=timedelta(minutes=10),
)
class RevokePrefix(_SparesOwn, TargetAction[RevokePrefixParams, Counted]):
    """End all leases and tokens below a prefix."""

    noun, done, batch_size = "lease", "ended", 500

    def mine(self, params: RevokePrefixParams, ctx: ActionContext) -> str:
        """Where Stanch's own token was issued, if that lies below the prefix."""
        own, prefix = ctx.client.identity().path.strip("/"), path(params.prefix, "prefix")
        return own if f"{own}/".startswith(f"{prefix}/") else ""

    def find(self, params: RevokePrefixParams, ctx: ActionContext) -> list[Target]:
        """Every lease that lives below it now."""
        prefix = path(params.prefix, "prefix")
        return [Target(lease, label=prefix, before={"prefix": prefix}) for lease in ctx.client.leases(prefix)]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who stops working."""
        if not targets:
            return []
        leases = f"{len(targets)} lease{'' if len(targets) == 1 else 's'}"
        return [f"the holders of {leases} below {targets[0].label} are refused until they sign in again"]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """One request for the prefix; a lease that is still there afterwards failed."""
        prefix = str(targets[0].before["prefix"])
        ctx.client.revoke_prefix(prefix)
        ctx.sent()
        left = set(ctx.client.leases(prefix))
        return [
            ItemOutcome(target.id, "failed" if target.id in left else "done", "not_ended" if target.id in left else "")
            for target in targets
        ]

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each has ended."""
        left = {lease for prefix in {str(t.before["prefix"]) for t in targets} for lease in ctx.client.leases(prefix)}
        return {target.id: target.id not in left for target in targets}


class DestroySecretIdsParams(Params):
    """Of which AppRole."""

    role: str


@action(
    "vault.destroy_secret_ids",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    irreversible="a destroyed secret id cannot be restored; its holder is given a new one",
    scopes=("list auth/approle/role/ROLE/secret-id", "update auth/approle/role/ROLE/secret-id-accessor/destroy"),
    selector=True,
    timeout=timedelta(minutes=10),
)
class DestroySecretIds(_SparesOwn, TargetAction[DestroySecretIdsParams, Counted]):
    """Destroy all secret ids of an AppRole."""

    noun, done, batch_size = "secret id", "destroyed", 100

    def mine(self, params: DestroySecretIdsParams, ctx: ActionContext) -> str:
        """The role's name, if Stanch signs in by it."""
        own = ctx.client.identity()
        at = f"auth/{ctx.client.config.approle_mount}/login"
        return params.role if own.path == at and own.role == params.role else ""

    def find(self, params: DestroySecretIdsParams, ctx: ActionContext) -> list[Target]:
        """The accessors of those that there are now.

        Raises:
            NotFound: There is no such role.
        """
        role = name(params.role, "role")
        if not ctx.client.has_role(role):
            raise NotFound(f"There is no AppRole {role}. Nothing was done. Look whether name and mount are right.")
        return [
            Target(accessor, label=role, names=(role,), before={"role": role})
            for accessor in ctx.client.secret_ids(role)
        ]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who cannot sign in, and what goes on."""
        if not targets:
            return []
        return [
            f"nobody can sign in as {targets[0].label} until a new secret id is given out",
            "tokens that were issued already live on: revoke their prefix too",
        ]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """One request each: Vault has no other way."""
        outcomes: list[ItemOutcome] = []
        for number, target in enumerate(targets):
            try:
                ctx.client.destroy_secret_id(str(target.before["role"]), target.id)
            except (AuthFailed, Forbidden) as error:
                if not outcomes:
                    raise
                return [*outcomes, *(ItemOutcome(left.id, "failed", error.code) for left in targets[number:])]
            except NotFound:
                outcomes.append(ItemOutcome(target.id, "already"))
                continue
            except Permanent as error:
                outcomes.append(ItemOutcome(target.id, "failed", error.code))
                continue
            ctx.sent()
            outcomes.append(ItemOutcome(target.id, "done"))
        return outcomes

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each is gone."""
        roles = {str(target.before["role"]) for target in targets}
        left = {accessor for role in roles for accessor in ctx.client.secret_ids(role)}
        return {target.id: target.id not in left for target in targets}


ACTIONS = (RevokePrefix, DestroySecretIds)
