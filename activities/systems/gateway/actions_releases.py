"""Gateway actions that refuse releases at admission, and certificates that their authority has revoked."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from activities.action import Action, Applied, Params, Proposal, Targets, action
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.systems.gateway.declared import OWNER, Counted, Nothing
from activities.systems.gateway.models import digest
from activities.systems.gateway.revocations import fetched, merged
from playbooks.contract import Affected, Idempotency, Json, Preview, Risk


class DenyDigestsParams(Params):
    """Which releases, by the SHA-256 of their manifest."""

    digests: Targets


@action(
    "gateway.deny_digests",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
)
class DenyDigests(TargetAction[DenyDigestsParams, Counted]):
    """Refuse releases at admission."""

    noun, done, undone = "release", "refused", "admitted again"

    def find(self, params: DenyDigestsParams, ctx: ActionContext) -> list[Target]:
        """Each with what the policy engine holds of it, live and in its file."""
        live, kept = ctx.client.policy.denied(), ctx.client.kept_denied()
        found = []
        for row in ctx.rows(params.digests):
            id_ = digest(str(row["id"]))
            before: dict[str, Json] = {"put": live.get(id_) or ctx.call.incident, "had": live.get(id_)}
            label = str(row.get("label", ""))
            already = id_ in live and id_ in kept and not ctx.client.policy.admits(id_)
            found.append(Target(id_, label=label, already=already, names=(label,), before=before))
        return found

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What it does, and what it does not."""
        if not targets:
            return []
        return [
            "whatever asks the policy engine before it deploys is told no",
            "a release that serves already goes on: roll it back too",
        ]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Write each into the file and the policy engine."""
        return _each(targets, ctx, "put")

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Write back what was there."""
        return _each(targets, ctx, "had")

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether the policy engine holds each as we wrote it."""
        live = ctx.client.policy.denied()
        return {target.id: live.get(target.id) == target.before["put"] for target in targets}

    def verify(self, params: DenyDigestsParams, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether its decision is no, and will be after it was started anew."""
        targets, kept = self.targets_of(proposal, ctx), ctx.client.kept_denied()
        refused = all(target.id in kept and not ctx.client.policy.admits(target.id) for target in targets)
        return refused and super().verify(params, ctx, proposal)

    def verify_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> bool | None:
        """Whether what was taken back is, also after it was started anew."""
        return super().verify_undo(undo_args, ctx) and ctx.client.kept_denied() == ctx.client.policy.denied()


def _each(targets: Sequence[Target], ctx: ActionContext, which: str) -> list[ItemOutcome]:
    for target in targets:
        value = target.before[which]
        ctx.client.deny_digest(target.id, None if value is None else str(value))
        ctx.sent()
    return [ItemOutcome(target.id, "done") for target in targets]


@action(
    "gateway.refresh_revocations",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    irreversible="a newer list of the authority replaces it; the authority never takes a serial number out",
    timeout=timedelta(minutes=5),
)
class RefreshRevocations(Action[Nothing, Counted]):
    """Load the authority's list of revoked certificates into the gateway."""

    def preview(self, params: Nothing, ctx: ActionContext) -> Proposal:
        """Serial numbers that would be refused and are not now."""
        _, listed = self._new(ctx)
        fresh = sorted(listed - ctx.client.revoked())
        return Proposal(
            Preview(
                summary=f"{self.facts.title}: {len(fresh)} newly refused",
                count=len(fresh),
                already=len(listed) - len(fresh),
                sample=tuple(fresh[:20]),
                impact=("whoever uses one of these certificates is refused at once",) if fresh else (),
                irreversible_because=self.facts.irreversible_because,
            )
        )

    def apply(self, params: Nothing, ctx: ActionContext, proposal: Proposal) -> Applied[Counted]:
        """Load the list, then refuse the same numbers on connections that are open."""
        pem, listed = self._new(ctx)
        fresh = sorted(listed - ctx.client.revoked())
        ctx.client.load_revocations(pem)
        ctx.sent()
        ctx.client.block_serials(listed)
        return Applied(
            Counted(count=len(listed)),
            changed=bool(fresh),
            summary=f"{len(fresh)} certificates newly refused, {len(listed)} in all",
            affected=Affected(count=len(fresh), sample=tuple(fresh[:20])),
        )

    def verify(self, params: Nothing, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether the running gateway refuses every number of the list."""
        _, listed = self._new(ctx)
        return bool(listed <= ctx.client.revoked())

    def _new(self, ctx: ActionContext) -> tuple[str, set[str]]:
        return merged(ctx.client.kept_revocations(), fetched(ctx.client.config), ctx.client.config, ctx.now())


ACTIONS = (DenyDigests, RefreshRevocations)
