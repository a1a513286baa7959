"""SageMaker actions: list endpoints, shift traffic between variants, reject a package; pipelines stand elsewhere."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

from pydantic import Field

from activities.action import Action, Applied, Params, Proposal, Result, action
from activities.batches import ItemOutcome, Target, earlier_targets
from activities.context import ActionContext
from activities.errors import Conflict, NotFound
from activities.systems.aws.declared import OWNER, AwsTargets, Counted, one_by_one, plural
from activities.systems.sagemaker import actions_pipelines
from activities.systems.sagemaker.client import SETTLED, Endpoint
from playbooks.contract import Idempotency, Json, Risk, TargetSet

ENDPOINTS = ("endpoint_state",)
SHIFT_SECONDS = 240.0
"""How long an endpoint is waited for until it serves by its new weights."""
CLOSE = 1e-6
REJECTED = "Rejected"


class ListEndpointsParams(Params):
    """Of which model or model package, by name or ARN; without it every endpoint."""

    model: str | None = None


class EndpointsListed(Result):
    """Endpoints; each row holds its variants with model and weight."""

    targets: TargetSet
    count: int
    complete: bool


@action(
    "sagemaker.list_endpoints",
    risk=Risk.READ,
    owner=OWNER,
    acquires=ENDPOINTS,
    scopes=(
        "sagemaker:ListEndpoints",
        "sagemaker:DescribeEndpoint",
        "sagemaker:DescribeEndpointConfig",
        "sagemaker:DescribeModel",
    ),
    timeout=timedelta(minutes=10),
)
class ListEndpoints(Action[ListEndpointsParams, EndpointsListed]):
    """List endpoints with the models that they serve, and how much of the traffic each gets."""

    def apply(self, params: ListEndpointsParams, ctx: ActionContext, proposal: Proposal) -> Applied[EndpointsListed]:
        """Each endpoint with its variants."""
        rows: list[dict[str, Json]] = []
        missing = 0
        for name in ctx.client.endpoints():
            try:
                endpoint = ctx.client.endpoint(name)
                packages = {each.model: ctx.client.package_of(each.model) for each in endpoint.variants if each.model}
            except NotFound:
                # Deleted while we listed, or its configuration was.
                missing += 1
                continue
            if params.model is None or params.model in {*packages, *packages.values()}:
                rows.append(_row(endpoint, packages))
        ctx.progress({"endpoints": len(rows)})
        warnings = (f"{plural(missing, 'endpoint')} went away or could not be read whole",) if missing else ()
        return Applied(
            EndpointsListed(
                targets=ctx.put_rows(rows, name="sagemaker.endpoints"), count=len(rows), complete=not missing
            ),
            summary=plural(len(rows), "endpoint"),
            warnings=warnings,
        )


def _row(endpoint: Endpoint, packages: Mapping[str, str]) -> dict[str, Json]:
    variants = [{**vars(each), "package": packages.get(each.model, "")} for each in endpoint.variants]
    return {"id": endpoint.name, "label": endpoint.name, "status": endpoint.status, "variants": variants}


class ShiftVariantsParams(Params):
    """Which endpoint and variant; ``weight`` is the variant's share of the traffic then, from 0 to 1.

    The other variants share the rest as they share it now.
    """

    endpoint: str
    variant: str
    weight: float = Field(ge=0, le=1)


@action(
    "sagemaker.shift_variants",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    needs_evidence=ENDPOINTS,
    scopes=(
        "sagemaker:DescribeEndpoint",
        "sagemaker:DescribeEndpointConfig",
        "sagemaker:UpdateEndpointWeightsAndCapacities",
    ),
    timeout=timedelta(minutes=10),
)
class ShiftVariants(AwsTargets[ShiftVariantsParams, Counted]):
    """Shift the traffic of an endpoint between its variants."""

    noun, done, undone = "variant", "given another weight", "given its weight back"

    def find(self, params: ShiftVariantsParams, ctx: ActionContext) -> list[Target]:
        """Every variant with its weight, and the one that it is to have."""
        endpoint = ctx.client.endpoint(params.endpoint)
        names = [each.name for each in endpoint.variants]
        if params.variant not in names:
            raise NotFound("The endpoint has no such variant. Nothing was changed. List endpoints, then try again.")
        if len(names) == 1 and params.weight < 1:
            raise Conflict("The endpoint has one variant only, so its traffic has nowhere to go. Nothing was changed.")
        if endpoint.status != SETTLED and not ctx.prior:
            raise Conflict(f"The endpoint is {endpoint.status}. Nothing was changed. Try again when it is {SETTLED}.")
        now = {each.name: each.wanted for each in endpoint.variants}
        wanted = shares(now, params.variant, params.weight)
        earlier = earlier_targets(ctx)
        found = []
        for each in endpoint.variants:
            id_ = f"{endpoint.name}/{each.name}"
            if id_ in earlier:
                found.append(earlier[id_])
                continue
            found.append(
                Target(
                    id_,
                    label=f"{each.model}: {now[each.name]:g} to {wanted[each.name]:g}",
                    already=abs(now[each.name] - wanted[each.name]) < CLOSE,
                    names=(endpoint.name,),
                    before={
                        "endpoint": endpoint.name,
                        "variant": each.name,
                        "model": each.model,
                        "was": now[each.name],
                        "wanted": wanted[each.name],
                    },
                )
            )
        return found

    def labels(self, targets: Sequence[Target], ctx: ActionContext) -> list[str]:
        """The model, and its weight before and after."""
        return [target.label for target in targets]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Which model customers get."""
        return [
            f"{target.before['variant']} ({target.before['model']}): "
            + ("no traffic any more" if not target.before["wanted"] else f"weight {target.before['wanted']:g}")
            for target in targets
        ]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """One request for all, then wait until it serves by them."""
        return self._set(targets, ctx, "wanted")

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """The weights of before."""
        return self._set(targets, ctx, "was")

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each variant has its weight."""
        if not targets:
            return {}
        endpoint = ctx.client.endpoint(str(targets[0].before["endpoint"]))
        weights = {each.name: each for each in endpoint.variants}
        found = {}
        for target in targets:
            each = weights.get(str(target.before["variant"]))
            if each is not None:
                wanted = float(target.before["wanted"])
                found[target.id] = abs(each.wanted - wanted) < CLOSE and abs(each.weight - wanted) < CLOSE
        return found

    def _set(self, targets: Sequence[Target], ctx: ActionContext, which: str) -> list[ItemOutcome]:
        name = str(targets[0].before["endpoint"])
        if ctx.client.endpoint(name).status != SETTLED:
            self._wait(name, ctx)
        weights = {str(target.before["variant"]): float(target.before[which]) for target in targets}
        ctx.client.set_weights(name, weights)
        ctx.sent()
        endpoint = self._wait(name, ctx)
        if endpoint.status != SETTLED:
            return [ItemOutcome(target.id, "unknown", "not_in_service") for target in targets]
        return [ItemOutcome(target.id, "done") for target in targets]

    def _wait(self, name: str, ctx: ActionContext) -> Endpoint:
        until, pause = time.monotonic() + SHIFT_SECONDS, 0.05
        while True:
            endpoint: Endpoint = ctx.client.endpoint(name)
            if endpoint.status not in ("Updating", "SystemUpdating") or time.monotonic() > until or ctx.stopping():
                return endpoint
            time.sleep(pause)
            pause = min(pause * 2, 5.0)


def shares(now: Mapping[str, float], variant: str, weight: float) -> dict[str, float]:
    """Weights whose sum is 1: the variant's; the others share the rest as they do now, evenly if they have none."""
    others = {name: value for name, value in now.items() if name != variant}
    total, rest = sum(others.values()), 1.0 - weight
    found = {name: rest * (value / total if total else 1 / len(others)) for name, value in others.items()}
    return {name: round(weight if name == variant else found[name], 6) for name in now}


class RejectPackageParams(Params):
    """Which model package, by ARN."""

    package: str = Field(pattern=r"^arn:[\w-]+:sagemaker:[\w-]*:\d{12}:model-package/.+$")


@action(
    "sagemaker.reject_package",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    scopes=("sagemaker:DescribeModelPackage", "sagemaker:UpdateModelPackage"),
)
class RejectPackage(AwsTargets[RejectPackageParams, Counted]):
    """Reject a model package, so that no pipeline deploys it.

    Endpoints that serve it already go on: shift their traffic.
    """

    noun, done, undone = "model package", "rejected", "given its status back"

    def find(self, params: RejectPackageParams, ctx: ActionContext) -> list[Target]:
        """The package with its status."""
        status, description = ctx.client.package(params.package)
        before = {"status": status, "description": description, "reason": f"Rejected by Stanch: {ctx.call.incident}"}
        return [Target(params.package, label=f"now {status}", already=status == REJECTED, before=before)]

    def labels(self, targets: Sequence[Target], ctx: ActionContext) -> list[str]:
        """Its status now."""
        return [target.label for target in targets]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What stops, and what does not."""
        said = ["deployments that ask for an approved package stop", "endpoints that serve it already go on"]
        return said if targets else []

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Reject."""

        def reject(target: Target, ctx: ActionContext) -> ItemOutcome:
            ctx.client.set_package(target.id, REJECTED, str(target.before["reason"]))
            return ItemOutcome(target.id, "done")

        return one_by_one(targets, ctx, reject)

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """The status of before."""

        def back(target: Target, ctx: ActionContext) -> ItemOutcome:
            ctx.client.set_package(target.id, str(target.before["status"]), str(target.before["description"]))
            return ItemOutcome(target.id, "done")

        return one_by_one(targets, ctx, back)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether it is rejected, by us."""
        found = {}
        for target in targets:
            status, description = ctx.client.package(target.id)
            found[target.id] = status == REJECTED and description == target.before["reason"]
        return found


ACTIONS = (ListEndpoints, ShiftVariants, RejectPackage, *actions_pipelines.ACTIONS)
