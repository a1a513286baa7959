"""Gateway actions on model servers: drain them, shift a share of the requests to one.

What is changed is also written to the file of server states, which the gateway reads when it is reloaded.
"""

from collections.abc import Mapping, Sequence

from pydantic import Field

from activities.action import Params, Proposal, action
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.systems.gateway import models
from activities.systems.gateway.client import share
from activities.systems.gateway.declared import OWNER, Counted
from activities.systems.gateway.models import Server
from playbooks.contract import Idempotency, Json, Risk

FORCED = {0x01: "maint", 0x08: "drain"}
"""Administrative states that a person or a step set (HAProxy's SRV_ADMF_FMAINT and SRV_ADMF_FDRAIN)."""


class DrainServersParams(Params):
    """Which servers of a backend take no new requests."""

    backend: str
    servers: list[str] = Field(min_length=1, max_length=100)


@action(
    "gateway.drain_servers",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
)
class DrainServers(TargetAction[DrainServersParams, Counted]):
    """Drain servers at the gateway."""

    noun, done, undone, batch_size = "server", "drained", "taken back in", 100

    def find(self, params: DrainServersParams, ctx: ActionContext) -> list[Target]:
        """Each server as it is now."""
        servers = {server.name: server for server in ctx.client.servers(models.name(params.backend))}
        states = ctx.client.server_states()
        left = [server for server in servers.values() if _serves(server) and server.name not in params.servers]
        found = []
        for name in params.servers:
            id_ = f"{params.backend}/{models.name(name)}"
            if name not in servers:
                found.append(Target(id_, excluded="the gateway has no such server"))
                continue
            found.append(
                Target(
                    id_,
                    label=f"{name}, {servers[name].status.lower()}",
                    already=_forced(states, id_) in ("drain", "maint"),
                    names=(name,),
                    before={"state": _forced(states, id_), "left": len(left)},
                )
            )
        return found

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What is left to answer."""
        if not targets:
            return []
        left = min(int(str(target.before["left"])) for target in targets)
        if not left:
            return ["no server is left: every caller gets 503 until they are taken back in"]
        return [f"{left} server{'' if left == 1 else 's'} answer{'s' if left == 1 else ''} all requests"]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Drain: what is under way is finished."""
        states = ctx.client.server_states()
        same = [target for target in targets if _forced(states, target.id) in ("drain", "maint")]
        outcomes = [ItemOutcome(target.id, "already") for target in same]
        return [*outcomes, *_set_states([t for t in targets if t not in same], ctx, "drain")]

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Take them back in."""
        return _set_states(targets, ctx, "ready")

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each is drained."""
        states = ctx.client.server_states()
        return {target.id: _forced(states, target.id) == "drain" for target in targets if target.id in states}

    def verify(self, params: DrainServersParams, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether all are drained, and will be after a reload."""
        kept = ctx.client.kept_states()
        stays = all(_forced(kept, target.id) == "drain" for target in self.targets_of(proposal, ctx))
        return stays and super().verify(params, ctx, proposal)

    def verify_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> bool | None:
        """Whether none is drained, and none will be after a reload."""
        return super().verify_undo(undo_args, ctx) and _kept_as_live(ctx)


class ShiftTrafficParams(Params):
    """Which server of a backend gets how many of a hundred requests."""

    backend: str
    server: str
    percent: int = Field(ge=0, le=100)


@action(
    "gateway.shift_traffic",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
)
class ShiftTraffic(TargetAction[ShiftTrafficParams, Counted]):
    """Shift a share of the requests to a server."""

    noun, done, undone = "server", "given its share", "given its former share"

    def find(self, params: ShiftTrafficParams, ctx: ActionContext) -> list[Target]:
        """The server with the weights of all that take requests, now and as they should be."""
        backend, name = models.name(params.backend), models.name(params.server)
        id_ = f"{backend}/{name}"
        servers = ctx.client.servers(backend)
        own = next((server for server in servers if server.name == name), None)
        if own is None:
            return [Target(id_, excluded="the gateway has no such server")]
        if not own.takes and params.percent:
            return [Target(id_, excluded=f"it takes no requests, it is {own.status.lower()}")]
        current = {server.name: server.weight for server in servers if server.takes or server is own}
        put = models.weights(current, name, params.percent)
        live = {f"{backend}/{server}": weight for server, weight in current.items()}
        before = {
            "put": {f"{backend}/{server}": weight for server, weight in put.items()},
            "had": live,
            "from": round(share(servers, name)),
            "to": params.percent,
        }
        kept = ctx.client.kept_states()
        stays = all(kept.get(server, (0, -1))[1] == weight for server, weight in before["put"].items())  # type: ignore[attr-defined]
        return [Target(id_, label=name, already=put == current and stays, names=(name,), before=before)]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """From which share to which."""
        return [
            f"{target.label} gets {target.before['to']} of 100 requests, now about {target.before['from']}"
            for target in targets
        ]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Set the weights that differ."""
        return [self._set(target, ctx, "put") for target in targets]

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Set the former weights."""
        return [self._set(target, ctx, "had") for target in targets]

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether all weights are as we set them."""
        states = ctx.client.server_states()
        return {
            target.id: all(states.get(name, (0, -1))[1] == weight for name, weight in _weights(target, "put").items())
            for target in targets
        }

    def verify(self, params: ShiftTrafficParams, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether they are, and will be after a reload."""
        return super().verify(params, ctx, proposal) and _kept_as_live(ctx)

    def verify_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> bool | None:
        """Whether the former weights are back, also after a reload."""
        return super().verify_undo(undo_args, ctx) and _kept_as_live(ctx)

    def _set(self, target: Target, ctx: ActionContext, which: str) -> ItemOutcome:
        states = ctx.client.server_states()
        for name, weight in _weights(target, which).items():
            if states.get(name, (0, -1))[1] != weight:
                ctx.client.set_weight(name, weight)
                ctx.sent()
        ctx.client.keep_servers()
        return ItemOutcome(target.id, "done")


def _set_states(targets: Sequence[Target], ctx: ActionContext, state: str) -> list[ItemOutcome]:
    for target in targets:
        ctx.client.set_state(target.id, state)
        ctx.sent()
    if targets:
        ctx.client.keep_servers()
    return [ItemOutcome(target.id, "done") for target in targets]


def _weights(target: Target, which: str) -> dict[str, int]:
    known = target.before[which]
    return {str(name): int(weight) for name, weight in known.items()}


def _serves(server: Server) -> bool:
    return server.takes and server.weight > 0


def _forced(states: Mapping[str, tuple[int, int]], id_: str) -> str:
    admin = states.get(id_, (0, 0))[0]
    return next((state for bit, state in FORCED.items() if admin & bit), "ready")


def _kept_as_live(ctx: ActionContext) -> bool:
    """Whether a reload leaves the servers as they are."""
    return bool(ctx.client.kept_states() == ctx.client.server_states())


ACTIONS = (DrainServers, ShiftTraffic)
