"""Workflows of others as actions: ``workflow.TYPE`` starts one that the settings declare, and reads back its end.

A start is an effect like any other: previewed, approved, gated, journaled before it is sent. The workflow's id is
made of the run and the step, so that it is started once, whoever tries how often; one that is there is taken over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import AfterValidator, create_model

from activities.action import Action, ActionSpec, Applied, Params, Proposal, Result
from activities.context import ActionContext
from activities.errors import Rejected, WorkflowFailed
from playbooks.contract import (
    FOREIGN,
    ActionCall,
    ActionFacts,
    Affected,
    FieldFacts,
    Idempotency,
    Json,
    Preview,
    Risk,
    Verb,
)
from playbooks.plan import fits

WATCH_SECONDS = 20
"""How long one reading waits for the end at most; the first ones are shorter, so that a cancel is soon heard."""
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class ForeignType:
    """A declared type. ``workflow`` is its Temporal type, ``queue`` its task queue; ``run_seconds`` bounds a run."""

    name: str
    workflow: str
    queue: str
    risk: Risk
    owner: str
    title: str
    irreversible: str | None = None
    namespace: str | None = None
    encrypted: bool = False
    run_seconds: int = 3600
    inputs: Mapping[str, FieldFacts] = field(default_factory=dict)
    outputs: Mapping[str, FieldFacts] = field(default_factory=dict)


class ForeignWorkflows(Protocol):
    """The server's side. Each raises a ``ConnectorError`` where it cannot tell."""

    async def start(self, kind: ForeignType, id: str, given: dict[str, Json]) -> None:
        """Start it; one of that id that is there already, running or ended, is as good."""

    async def exists(self, kind: ForeignType, id: str) -> bool:
        """Whether it was ever started."""

    async def end(self, kind: ForeignType, id: str, seconds: float) -> tuple[str, Json] | None:
        """How it ended (``completed``, or in words how else) and its result; ``None`` if it still runs then."""


def id_of(call: ActionCall) -> str:
    """Id of the workflow that a step starts: the same in every attempt, execution and rerun."""
    place = call.step + (f"[{call.item}]" if call.item else "") + (f"#{call.pass_}" if call.pass_ else "")
    return f"wf/{call.lineage}/{place}" + (f"~{call.epoch}" if call.epoch else "")


class StartForeign(Action[Any, Any]):
    """Body of all of them."""

    kind: ClassVar[ForeignType]

    def preview(self, params: Params, ctx: ActionContext) -> Proposal:
        """What would be started; a foreign workflow cannot say itself what it would do."""
        kind = self.kind
        return Proposal(
            Preview(
                summary=f"Start {kind.title} (workflow {kind.workflow} on {kind.queue}). What it does is its own and "
                f"cannot be previewed; it runs for at most {kind.run_seconds} s.",
                count=1,
                sample=(id_of(ctx.call),),
                reversible=False,
                irreversible_because=kind.irreversible,
            )
        )

    async def apply(self, params: Params, ctx: ActionContext, proposal: Proposal) -> Applied[Any]:
        """Start it."""
        ctx.sent()
        await self._server(ctx).start(self.kind, id_of(ctx.call), params.model_dump(mode="json", exclude_none=True))
        return self._begun(ctx)

    def _server(self, ctx: ActionContext) -> ForeignWorkflows:
        server: ForeignWorkflows = ctx.client
        return server

    def _begun(self, ctx: ActionContext) -> Applied[Any]:
        return Applied(changed=True, summary="started", affected=Affected(count=1, sample=(id_of(ctx.call),)))

    async def verify(self, params: Params, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Behind a start: whether it is there. By itself: whether it has ended well.

        Raises:
            WorkflowFailed: it ended otherwise.
        """
        if ctx.call.verb is not Verb.VERIFY:
            return await self._server(ctx).exists(self.kind, id_of(ctx.call))
        turn = min(WATCH_SECONDS, 2 * max(1, ctx.call.tries))
        ended = await self._server(ctx).end(self.kind, id_of(ctx.call), turn)
        if ended is None:
            return None
        if ended[0] != "completed":
            raise WorkflowFailed(f"{self.kind.title} {ended[0]}. Look at the workflow {id_of(ctx.call)}.")
        return True

    async def settled(self, params: Params, ctx: ActionContext, proposal: Proposal) -> Applied[Any]:
        """What it gave back."""
        if ctx.call.verb is not Verb.VERIFY:
            return self._begun(ctx)
        ended = await self._server(ctx).end(self.kind, id_of(ctx.call), WATCH_SECONDS)
        output = ended[1] if ended is not None else None
        given = output if isinstance(output, dict) else {}
        for name, known in self.kind.outputs.items():
            value = given.get(name)
            if value is None and not known.required:
                continue
            if value is None or not _is(known.type, value):
                raise Rejected(f"{self.kind.title} ended, but its {name} is not {known.type} as the settings declare.")
        kept = {name: given[name] for name in self.kind.outputs if given.get(name) is not None}
        applied = self._begun(ctx)
        return Applied(
            result=self.result_type.model_validate(kept), changed=True, summary="ended well", affected=applied.affected
        )


def foreign_action(kind: ForeignType) -> ActionSpec:
    """The action of one declared type."""
    name = f"{FOREIGN}.{kind.name}"
    facts = ActionFacts(
        name=name,
        system=FOREIGN,
        title=kind.title,
        risk=kind.risk,
        idempotency=Idempotency.NATURAL,
        irreversible_because=kind.irreversible,
        owner=kind.owner,
        timeout_seconds=PATIENCE_SECONDS,
        heartbeat_seconds=5,
        queue=FOREIGN,
        params=dict(kind.inputs),
        outputs=dict(kind.outputs),
    )
    params = create_model(f"{kind.name}_inputs", __base__=Params, **_fields(kind.inputs))
    result = create_model(f"{kind.name}_outputs", __base__=Result, **_fields(kind.outputs))
    body = type(f"Start_{kind.name}", (StartForeign,), {"facts": facts, "result_type": result, "kind": kind})
    return ActionSpec(facts=facts, params=params, result=result, body=body)


def _fields(declared: Mapping[str, FieldFacts]) -> dict[str, Any]:
    found = {}
    for name, known in declared.items():
        needed = known.required and known.default is None
        found[name] = (Annotated[Any, AfterValidator(partial(_typed, known.type))], ... if needed else known.default)
    return found


def _typed(kind: str, value: Any) -> Any:
    if not _is(kind, value):
        raise ValueError(f"it must be {kind}")
    return value


def _is(kind: str, value: Json) -> bool:
    if kind.startswith("list["):
        return isinstance(value, list) and all(_is(kind[5:-1], item) for item in value)
    return kind == "any" or (isinstance(value, dict) if kind == "map" else fits(kind, value))
