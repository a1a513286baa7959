"""Serving actions that change what the replicas serve, each replica for itself."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from activities.action import Proposal, action
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.errors import Ambiguous, ConnectorError, NotFound, Permanent, Transient
from activities.systems.serving.declared import OWNER, Counted, OneModel
from activities.systems.serving.models import Served, agreeing
from playbooks.contract import Idempotency, Json, Preview, Risk, TargetSet

REGISTRY = (
    "mlflow.roll_back_alias",
    "mlflow.promote_version",
    "mlflow.quarantine_versions",
    "gateway.deny_digests",
)
"""What decides which version a replica loads, and whether it may."""
PATIENT_ATTEMPTS = 2
"""Attempts after which replicas that still cannot be reached are reported as failed beside those that were changed."""


def found_replicas(model: str, ctx: ActionContext) -> list[tuple[str, Served, str | None]]:
    """Each replica with what it answers to a customer, and why it is left out, if it is.

    Raises:
        NotFound: Every replica answers and none knows a model of this name.
    """
    found: list[tuple[str, Served, str | None]] = []
    for replica in ctx.client.replicas:
        served = ctx.client.ask(replica, model)
        unknown = None
        if served.state == "absent":
            try:
                known = {entry.name for entry in ctx.client.index(replica)}
                unknown = None if model in known else "this replica knows no such model"
            except ConnectorError as error:
                served = Served(replica, "unreachable", code=error.code)
        found.append((replica, served, unknown))
    if all(unknown for _, _, unknown in found):
        raise NotFound("No replica knows a model of this name. Nothing was done. Look at serving.list_models.")
    return found


def replica_by_replica(
    targets: Sequence[Target], ctx: ActionContext, work: Callable[[Target, ActionContext], ItemOutcome]
) -> list[ItemOutcome]:
    """Work on every replica, also if one before it cannot be reached.

    In the first attempts a replica that cannot be reached makes the whole be tried again (those done are found done by
    reading back); then it is reported, and the others stand.
    """
    outcomes: list[ItemOutcome] = []
    missing: ConnectorError | None = None
    for target in targets:
        try:
            outcome = work(target, ctx)
        except Transient as error:
            missing = missing or error
            outcome = ItemOutcome(target.id, "failed", error.code)
        except Ambiguous as error:
            missing = error
            outcome = ItemOutcome(target.id, "unknown", error.code)
        except Permanent as error:
            outcome = ItemOutcome(target.id, "failed", error.code)
        outcomes.append(outcome)
    nothing = all(outcome.status == "failed" for outcome in outcomes)
    if missing is not None and (nothing or len(ctx.prior) < PATIENT_ATTEMPTS):
        raise missing
    return outcomes


class UnloadModelParams(OneModel):
    """Which model."""


@action(
    "serving.unload_model",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    undone_after=REGISTRY,
    scopes=("repository",),
    selector=True,
    timeout=timedelta(minutes=10),
)
class UnloadModel(TargetAction[UnloadModelParams, Counted]):
    """Serve a model no more on any replica."""

    noun = "replica"
    done = "unloaded"
    undone = "loaded again"
    batch_size = 100

    def find(self, params: UnloadModelParams, ctx: ActionContext) -> list[Target]:
        """Every replica. One that does not answer is among the targets: it may serve the model."""
        return [
            Target(
                replica,
                label=served.said(),
                already=served.state == "absent",
                names=(params.model,),
                before={"model": params.model, "version": served.version, "digest": served.digest},
                excluded=unknown,
            )
            for replica, served, unknown in found_replicas(params.model, ctx)
        ]

    def impact(self, targets: Sequence[Target]) -> list[str]:
        """Who is refused, and what an undo would bring."""
        if not targets:
            return []
        said = [f"{target.id} {target.label}" for target in targets[:10]]
        who = f"every caller of {targets[0].before['model']} on these replicas is refused (404)"
        return [who, *said, "taking it back loads what the registry says then"]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """One request a replica, each read back as a customer."""
        return replica_by_replica(targets, ctx, _unload)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each refuses the model; of one that does not answer that is not known."""
        answers = [ctx.client.ask(target.id, str(target.before["model"])) for target in targets]
        return {one.replica: one.state == "absent" for one in answers if one.state != "unreachable"}

    def verify(self, params: UnloadModelParams, ctx: ActionContext, proposal: Proposal) -> bool:
        """Whether every replica of the settings refuses it."""
        return all(one.state == "absent" for one in ctx.client.ask_all(params.model))

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Load it again. What the registry says by now may be another version; then a person has to look."""
        return replica_by_replica(targets, ctx, _load_again)


class ReloadModelParams(OneModel):
    """Which model, and what every replica has to serve afterwards."""

    version: str | None = None
    digest: str | None = None


@action(
    "serving.reload_model",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    undone_after=REGISTRY,
    scopes=("repository",),
    selector=True,
    timeout=timedelta(minutes=15),
)
class ReloadModel(TargetAction[ReloadModelParams, Counted]):
    """Make every replica load what the registry says now."""

    noun = "replica"
    done = "reloaded"
    undone = "loaded again as before"
    batch_size = 100

    def find(self, params: ReloadModelParams, ctx: ActionContext) -> list[Target]:
        """Every replica; with a version or digest given, those that serve exactly it need no reload."""
        exact = params.version is not None or params.digest is not None
        return [
            Target(
                replica,
                label=served.said(),
                already=exact and served.is_exactly(params.version, params.digest),
                names=(params.model,),
                before={
                    "model": params.model,
                    "state": served.state,
                    "version": served.version,
                    "digest": served.digest,
                    "wanted": [params.version, params.digest],
                },
                excluded=unknown,
            )
            for replica, served, unknown in found_replicas(params.model, ctx)
        ]

    def impact(self, targets: Sequence[Target]) -> list[str]:
        """Whose answers change."""
        if not targets:
            return []
        version, digest = targets[0].before["wanted"]
        wanted = f"version {version}" if version else f"digest {digest[:12]}" if digest else "what the registry says"
        said = [f"{target.id} {target.label}" for target in targets[:10]]
        return [f"every caller of {targets[0].before['model']} is answered by {wanted} afterwards", *said]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """One replica after the other, so that one is serving while another loads; each is proven at once."""
        return replica_by_replica(targets, ctx, _reload)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each serves exactly what was asked for; without a version or digest that cannot be told."""
        found = {}
        for target in targets:
            version, digest = target.before["wanted"]
            served = ctx.client.ask(target.id, str(target.before["model"]))
            if served.state != "unreachable" and (version is not None or digest is not None):
                found[target.id] = served.is_exactly(version, digest)
        return found

    def verify(self, params: ReloadModelParams, ctx: ActionContext, proposal: Proposal) -> bool:
        """Whether every replica of the settings answers, and with exactly that; else whether all agree."""
        answers = ctx.client.ask_all(params.model)
        if params.version is None and params.digest is None:
            return agreeing(answers)
        return all(one.is_exactly(params.version, params.digest) for one in answers)

    def preview_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> Proposal:
        """What each would load, and what it served before."""
        proposal = super().preview_undo(undo_args, ctx)
        said = [
            f"{target.id} loads what the registry says by then; {_was(target)}"
            for target in self.targets_of(proposal, ctx)
        ]
        return replace(proposal, preview=proposal.preview.model_copy(update={"impact": tuple(said[:10])}))

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Make each load what the registry says now, which must be what it served before; one that served nothing
        is unloaded."""
        return replica_by_replica(targets, ctx, _as_it_was)

    def as_before(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each serves again what it served before."""
        return {target.id: _serves_as_before(target, ctx) for target in targets}

    def verify_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> bool | None:
        """Whether each serves what it served before."""
        kept = Proposal(Preview(summary=""), targets=TargetSet.model_validate(undo_args["targets"]))
        return all(_serves_as_before(target, ctx) for target in self.targets_of(kept, ctx))


def _was(target: Target) -> str:
    if target.before["state"] == "serving":
        return f"it served version {target.before['version'] or 'unknown'}"
    return "it served nothing, and will again" if target.before["state"] == "absent" else "it did not answer then"


def _serves_as_before(target: Target, ctx: ActionContext) -> bool:
    model, state, version, digest = (str(target.before[name]) for name in ("model", "state", "version", "digest"))
    served = ctx.client.ask(target.id, model)
    return served.state == state == "absent" or (
        state == "serving" and bool(version or digest) and served.is_exactly(version or None, digest or None)
    )


def _as_it_was(target: Target, ctx: ActionContext) -> ItemOutcome:
    if target.before["state"] == "absent":
        return _unload(target, ctx)
    if target.before["state"] != "serving":
        return ItemOutcome(target.id, "failed", "not_known_before")
    model = str(target.before["model"])
    return _tried(
        target,
        ctx,
        lambda: ctx.client.load(target.id, model),
        lambda: ctx.client.ask(target.id, model),
        lambda served: _serves_as_before(target, ctx),
        wrong="serves_other_version",
    )


def _unload(target: Target, ctx: ActionContext) -> ItemOutcome:
    model = str(target.before["model"])
    return _tried(
        target,
        ctx,
        lambda: ctx.client.unload(target.id, model),
        lambda: ctx.client.ask(target.id, model),
        lambda served: served.state == "absent",
        wrong="still_served",
    )


def _reload(target: Target, ctx: ActionContext) -> ItemOutcome:
    model = str(target.before["model"])
    version, digest = target.before["wanted"]
    return _tried(
        target,
        ctx,
        lambda: ctx.client.load(target.id, model),
        lambda: ctx.client.ask(target.id, model),
        lambda served: served.is_exactly(version, digest),
        # Without a version or digest a lost load cannot be told from one that never was.
        telling=version is not None or digest is not None,
        wrong="serves_other_version",
    )


def _load_again(target: Target, ctx: ActionContext) -> ItemOutcome:
    model, version, digest = (target.before[name] for name in ("model", "version", "digest"))
    outcome = _tried(
        target,
        ctx,
        lambda: ctx.client.load(target.id, str(model)),
        lambda: ctx.client.ask(target.id, str(model)),
        lambda served: served.state == "serving",
        wrong="not_served",
    )
    if outcome.status == "done":
        served = ctx.client.ask(target.id, str(model))
        if (version or digest) and not served.is_exactly(version or None, digest or None):
            return ItemOutcome(target.id, "unknown", "serves_other_version")
    return outcome


def _tried(
    target: Target,
    ctx: ActionContext,
    send: Callable[[], object],
    ask: Callable[[], Served],
    right: Callable[[Served], bool],
    *,
    wrong: str,
    telling: bool = True,
) -> ItemOutcome:
    """Send, then believe only what a customer is answered with; a few tries, each after reading back.

    ``send`` returns ``False`` where there was nothing to do.
    """
    lost: Ambiguous | None = None
    ever_lost, served = False, Served(target.id, "unreachable")
    pauses = _pauses(ctx)
    for pause in (*pauses, None):
        gone = False
        try:
            gone = send() is False
            ctx.sent()
            lost = None
        except Ambiguous as error:
            ctx.sent()
            lost, ever_lost = error, True
        except Transient:
            if pause is None:
                raise
            time.sleep(pause)
            continue
        # After an error status the server is through with it: no waiting for what will not come.
        served = ask() if lost is not None and lost.details.get("status") else _settled(ask, right, pauses)
        if right(served) and (lost is None or telling):
            return ItemOutcome(target.id, "already" if gone and not ever_lost else "done")
        if lost is None and served.state != "unreachable":
            return ItemOutcome(target.id, "failed", wrong)
        if pause is not None:
            time.sleep(pause)
    if lost is not None and lost.details.get("status") and served.state != "unreachable":
        return ItemOutcome(target.id, "failed", "load_refused" if wrong != "still_served" else wrong)
    raise lost or Ambiguous(f"{target.id} was told, and does not say what it serves now.")


def _pauses(ctx: ActionContext) -> tuple[float, float]:
    """Seconds between looks, and between tries at one replica; later attempts have the engine's own pauses."""
    settle: float = ctx.client.config.settle_seconds
    return settle / 5, settle * 4 / 5


def _settled(ask: Callable[[], Served], right: Callable[[Served], bool], pauses: Sequence[float]) -> Served:
    """What it answers with, given a moment to come round."""
    served = ask()
    for pause in pauses:
        if right(served):
            break
        time.sleep(pause)
        served = ask()
    return served


ACTIONS = (UnloadModel, ReloadModel)
