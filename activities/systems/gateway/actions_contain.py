"""Gateway actions on its lists: block certificates and keys, limit clients, cut outputs out of their answers.

An entry is written to the list's file first and then to the running gateway, by the effect and by its undo. So
what the running gateway has tells how far a lost attempt came, and a reload never brings back what was taken out.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from activities.action import P, Params, Proposal, R, Targets, action
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.errors import AuthFailed, Forbidden, Permanent
from activities.systems.gateway import models
from activities.systems.gateway.declared import OWNER, STATE, Counted, TheseTargets
from activities.systems.gateway.models import ListFile, digest
from playbooks.contract import Idempotency, Json, Risk

LONG = timedelta(minutes=5)


class OnList(TargetAction[P, R]):
    """An effect that is one entry of one list for each target, a SHA-256."""

    which: ClassVar[ListFile]
    batch_size = 100

    def wanted(self, params: P, ctx: ActionContext) -> str:
        """The value of an entry where none is there."""
        raise NotImplementedError

    def covers(self, put: str, value: str) -> bool:
        """Whether an entry that is there already does all that ``put`` would."""
        return True

    def joined(self, put: str, had: str) -> str:
        """The value to write over an entry that is there."""
        return had if self.covers(put, had) else put

    def find(self, params: P, ctx: ActionContext) -> list[Target]:
        """Each target with its entry, live and in the file."""
        live, kept = ctx.client.live(self.which), ctx.client.kept(self.which)
        put = self.wanted(params, ctx)
        names: dict[str, str] = {}
        for client in ctx.client.seen():
            names |= {id_: client.name for id_ in (client.certificate, client.key) if id_}
        found = []
        for row in ctx.rows(params.targets):  # type: ignore[attr-defined]
            id_ = digest(str(row["id"]))
            label = str(row.get("label") or names.get(id_, ""))
            now = (live.get(id_), kept.get(id_))
            value = put if now[0] is None else self.joined(put, now[0])
            already = self._both_cover(put, *now)
            before: dict[str, Json] = {"put": value, "live": now[0], "kept": now[1]}
            found.append(Target(id_, label=label, already=already, names=(label,), before=before))
        return found

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Write the entries; what somebody else has written since the preview is theirs."""
        live, kept = ctx.client.live(self.which), ctx.client.kept(self.which)
        theirs = []
        for target in targets:
            now, shown = (live.get(target.id), kept.get(target.id)), (target.before["live"], target.before["kept"])
            if now != shown and self._both_cover(str(target.before["put"]), *now):
                theirs.append(target.id)
        left = [target for target in targets if target.id not in theirs]
        entries = {target.id: (_text(target, "put"), _text(target, "put")) for target in left}
        return [*(ItemOutcome(id_, "already") for id_ in theirs), *self._set(left, ctx, live, entries)]

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Write back what was there before."""
        live = ctx.client.live(self.which)
        return self._set(targets, ctx, live, {t.id: (_text(t, "live"), _text(t, "kept")) for t in targets})

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether the running gateway has each entry as we wrote it."""
        live = ctx.client.live(self.which)
        return {target.id: live.get(target.id) == target.before["put"] for target in targets}

    def verify(self, params: P, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether every entry is there, live and after a reload."""
        kept = ctx.client.kept(self.which)
        targets = self.targets_of(proposal, ctx)
        stays = all(kept.get(target.id) == target.before["put"] for target in targets)
        return stays and super().verify(params, ctx, proposal)

    def verify_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> bool | None:
        """Whether no entry of ours is left, live or after a reload."""
        kept = ctx.client.kept(self.which)
        targets = self.targets_of(super().preview_undo(undo_args, ctx), ctx)
        gone = all(kept.get(target.id) != target.before["put"] for target in targets)
        return gone and super().verify_undo(undo_args, ctx)

    def _both_cover(self, put: str, live: str | None, kept: str | None) -> bool:
        return live is not None and kept is not None and self.covers(put, live) and self.covers(put, kept)

    def _set(
        self,
        targets: Sequence[Target],
        ctx: ActionContext,
        live: Mapping[str, str],
        entries: Mapping[str, tuple[str | None, str | None]],
    ) -> list[ItemOutcome]:
        if not targets:
            return []
        had = ctx.client.kept(self.which)
        ctx.client.keep(self.which, {id_: kept for id_, (_, kept) in entries.items()})
        ctx.sent()
        outcomes: list[ItemOutcome] = []
        broken: Permanent | None = None
        for target in targets:
            if not isinstance(broken, AuthFailed | Forbidden):
                try:
                    ctx.client.set_live(self.which, target.id, entries[target.id][0], live)
                except Permanent as error:
                    broken = error
                else:
                    outcomes.append(ItemOutcome(target.id, "done"))
                    continue
            assert broken is not None
            outcomes.append(ItemOutcome(target.id, "failed", broken.code))
        failed = [item.id for item in outcomes if item.status == "failed"]
        if failed:
            # A reload must not do what the running gateway refused.
            ctx.client.keep(self.which, {id_: had.get(id_) for id_ in failed})
        return outcomes


class BlockCertificatesParams(TheseTargets):
    """Which certificates: as ``gateway.list_clients`` gives them, or their SHA-256 fingerprints."""


@action(
    "gateway.block_certificates",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    needs_evidence=STATE,
    timeout=LONG,
)
class BlockCertificates(OnList[BlockCertificatesParams, Counted]):
    """Block clients' certificates at the gateway."""

    which, noun, done, undone = models.CERTIFICATES, "certificate", "blocked", "unblocked"

    def wanted(self, params: BlockCertificatesParams, ctx: ActionContext) -> str:
        """The incident, so that the list says why; one that is there stays."""
        return _incident(ctx)

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who is refused."""
        return _refused(targets, "certificate")


class BlockKeysParams(TheseTargets):
    """Which API keys: their SHA-256, never the keys themselves."""


@action(
    "gateway.block_keys",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    needs_evidence=STATE,
    timeout=LONG,
)
class BlockKeys(OnList[BlockKeysParams, Counted]):
    """Block API keys at the gateway."""

    which, noun, done, undone = models.KEYS, "key", "blocked", "unblocked"

    def wanted(self, params: BlockKeysParams, ctx: ActionContext) -> str:
        """The list holds keys only."""
        return ""

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who is refused."""
        return _refused(targets, "key")


class LimitClientsParams(Params):
    """Which clients (certificates or keys), and how many requests each may send in a minute; 0 refuses all."""

    targets: Targets
    per_minute: int = Field(ge=0, le=1_000_000)


@action(
    "gateway.limit_clients",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    timeout=LONG,
)
class LimitClients(OnList[LimitClientsParams, Counted]):
    """Limit clients' requests at the gateway."""

    which, noun, done, undone = models.LIMITS, "client", "limited", "given back their limit"

    def wanted(self, params: LimitClientsParams, ctx: ActionContext) -> str:
        """The limit."""
        return str(params.per_minute)

    def covers(self, put: str, value: str) -> bool:
        """Whether the limit that is there is as tight."""
        return value.isdigit() and int(value) <= int(put)

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What happens to what is over the limit."""
        if not targets:
            return []
        most = max(int(str(target.before["put"])) for target in targets)
        return [f"each gets at most {most} answers a minute, then 429, until the limit is given back"]


class StripOutputsParams(Params):
    """Which clients (certificates or keys), and which outputs are cut out of what they get."""

    targets: Targets
    outputs: list[str] = Field(default=["logprobs"], min_length=1, max_length=20)


@action(
    "gateway.strip_outputs",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    timeout=LONG,
)
class StripOutputs(OnList[StripOutputsParams, Counted]):
    """Cut outputs such as log probabilities out of clients' answers."""

    which, noun, done, undone = models.STRIPPED, "client", "given less", "given all outputs again"

    def wanted(self, params: StripOutputsParams, ctx: ActionContext) -> str:
        """These outputs."""
        return ",".join(sorted(set(map(models.name, params.outputs))))

    def covers(self, put: str, value: str) -> bool:
        """Whether all of them are cut already."""
        return set(put.split(",")) <= set(value.split(","))

    def joined(self, put: str, had: str) -> str:
        """These and those that were cut already."""
        return ",".join(sorted({*put.split(","), *had.split(",")}))

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What is cut, and what becomes of an answer that cannot be cut."""
        if not targets:
            return []
        cut = ", ".join(sorted({part for target in targets for part in str(target.before["put"]).split(",")}))
        return [f"their answers come without {cut}", "an answer that is not plain JSON is refused with 502"]


def _text(target: Target, name: str) -> str | None:
    value = target.before.get(name)
    return None if value is None else str(value)


def _incident(ctx: ActionContext) -> str:
    return "".join(char if char.isalnum() or char in "-_." else "-" for char in ctx.call.incident)[:64]


def _refused(targets: Sequence[Target], noun: str) -> list[str]:
    names = sorted({target.label for target in targets if target.label})
    lines = [f"whoever uses {'it' if len(targets) == 1 else 'them'} gets 403"] if targets else []
    if names:
        lines.append(f"so {', '.join(names[:5])}{' and others' if len(names) > 5 else ''}, if by this {noun}")
    return lines


ACTIONS = (BlockCertificates, BlockKeys, LimitClients, StripOutputs)
