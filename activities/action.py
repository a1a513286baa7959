"""An action: one typed effect or reading on one system, and all that is declared of it.

    class CountTokens(Params):
        "Which tokens."
        app: str | None = None

    class TokensCounted(Result):
        count: int

    @action("salesforce.count_oauth_tokens", risk=Risk.READ, owner="crm_owner", scopes=("api",))
    class CountOAuthTokens(Action[CountTokens, TokensCounted]):
        "Count OAuth tokens."

        def apply(self, params, ctx, proposal):
            return Applied(TokensCounted(count=ctx.client.count(params.app)), summary="counted")

A method may be ``def`` (it runs in a thread) or ``async def``. A body keeps no state between calls.
"""

import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from activities.context import ActionContext
from playbooks.contract import (
    ActionFacts,
    Affected,
    FieldFacts,
    Idempotency,
    Items,
    Json,
    Preview,
    Risk,
    TargetSet,
)
from playbooks.expr_values import duration_in

NAME = re.compile(r"^[a-z][a-z0-9]*\.[a-z][a-z0-9]*(_[a-z0-9]+)*$")


class Params(BaseModel):
    """Base of an action's parameters: nothing unknown, nothing changed. Durations also as playbooks write them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _duration(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name or ""]
        # Of text alone only an ISO 8601 duration would be one otherwise, and playbooks write 90d.
        if isinstance(value, str) and type_name(field.annotation) == "duration":
            return duration_in(value) or value
        return value


class Result(BaseModel):
    """Base of an action's output fields: small; counts, ids and references."""

    model_config = ConfigDict(frozen=True, extra="ignore")


@dataclass(frozen=True)
class FieldType:
    """Names the playbook type of a field whose Python type does not say it."""

    name: str


Targets = Annotated[TargetSet | list[str], FieldType("targets")]
"""A parameter or output that is a target set, or at most 500 ids."""
Grants = Annotated[TargetSet, FieldType("grants")]
"""OAuth grants by reference: rows ``{id, app, user, created, fp}``, never a token."""

P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Proposal:
    """What would happen now, read live: the preview, and what the intent must keep to take it back.

    Attributes:
        preview: For people. ``count`` is measured against the approval.
        own: Stanch's own among the targets that would change; the gate refuses if there is any.
        targets: Rows of the targets to change with their before-image, in evidence.
        undo_args: What ``undo`` would need; goes into the intent, before the effect.
    """

    preview: Preview
    own: tuple[str, ...] = ()
    targets: TargetSet | None = None
    undo_args: dict[str, Json] | None = None


@dataclass(frozen=True)
class Applied(Generic[R]):
    """What ``apply`` or ``undo`` did.

    ``summary`` and ``warnings`` are journaled: counts and kinds, no names. ``undo_args`` replaces the
    proposal's if given. ``final`` is false when it stopped early because its worker goes away.
    """

    result: R | None = None
    changed: bool = False
    summary: str = ""
    affected: Affected = field(default_factory=Affected)
    items: Items | None = None
    undo_args: dict[str, Json] | None = None
    warnings: tuple[str, ...] = ()
    final: bool = True


class Action(Generic[P, R]):
    """Base of an action's body. Effects override ``preview``, ``verify`` and, if reversible, the undo."""

    facts: ClassVar[ActionFacts]
    result_type: ClassVar[type[Result]]
    unites_intents: ClassVar[bool] = False
    """Whether a retry's proposal already holds the undo arguments of the attempts before it."""

    def preview(self, params: P, ctx: ActionContext) -> Any:
        """What ``apply`` would do now; changes nothing. Returns a Proposal."""
        return Proposal(Preview(summary=self.facts.title))

    def apply(self, params: P, ctx: ActionContext, proposal: Proposal) -> Any:
        """Do it. Returns Applied."""
        raise NotImplementedError

    def verify(self, params: P, ctx: ActionContext, proposal: Proposal) -> Any:
        """Read back: ``True`` if the system is as ``apply`` should leave it, ``None`` if that has no sense.

        After a lost attempt it is asked before anything is sent again.
        """
        return None

    def settled(self, params: P, ctx: ActionContext, proposal: Proposal) -> Any:
        """What ``apply`` did in an attempt whose answer was lost, once ``verify`` holds. Returns Applied."""
        count = max((int(intent.get("count", 0)) for intent in ctx.prior), default=0)
        return Applied(
            changed=count > 0,
            summary="found done by reading back",
            affected=Affected(count=count, sample=proposal.preview.sample),
        )

    def preview_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> Any:
        """What ``undo`` would do now. Returns a Proposal."""
        return Proposal(Preview(summary=f"Take back: {self.facts.title}", count=1, reversible=True))

    def undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> Any:
        """Take it back if the state is still as we left it. Returns Applied."""
        raise NotImplementedError

    def verify_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> Any:
        """Read back whether it is undone."""
        return None


@dataclass(frozen=True)
class ActionSpec:
    """A declared action: facts for the compiler, models and body for the worker."""

    facts: ActionFacts
    params: type[Params]
    result: type[Result]
    body: type[Action[Any, Any]] = field(repr=False)

    @property
    def name(self) -> str:
        """``<system>.<verb>_<noun>``, also the Temporal activity type; never renamed."""
        return self.facts.name


def action(
    name: str,
    *,
    risk: Risk,
    owner: str,
    idempotency: Idempotency = Idempotency.NATURAL,
    version: int = 1,
    reversible: bool = False,
    irreversible: str | None = None,
    undone_after: Sequence[str] = (),
    acquires: Sequence[str] = (),
    needs_evidence: Sequence[str] = (),
    scopes: Sequence[str] = (),
    preauthorised: str | None = None,
    selector: bool = False,
    timeout: timedelta = timedelta(seconds=60),
    heartbeat: timedelta = timedelta(seconds=5),
    max_attempts: int = 5,
    domain: str | None = None,
) -> Callable[[type[Action[Any, Any]]], ActionSpec]:
    """Declare a body class as an action; the class name then stands for its ActionSpec.

    Args:
        name: ``<system>.<verb>_<noun>``.
        risk: What it can do to the business.
        owner: Role that owns its targets.
        idempotency: Why a second apply of the same call does no harm.
        version: Raised when parameters or meaning change.
        reversible: Whether ``undo`` is there.
        irreversible: Why not, for a person to read; an effect has either.
        undone_after: Actions whose outcome it takes up: it is taken back after theirs, and only with them.
        acquires: Kinds of evidence that it secures.
        needs_evidence: Kinds that must have been secured on its system before.
        scopes: Permissions it needs there.
        preauthorised: Name of the condition under which policy may let it run by itself.
        selector: Whether its parameters select live targets.
        timeout: Longest that one attempt may take.
        heartbeat: How soon a dead worker is noticed. The runner beats by itself, a few times as often.
        max_attempts: Tries of one call before a person is asked.
        domain: Credential domain, default the system.

    Raises:
        TypeError: A declaration is missing or contradicts itself; raised at import, so a test sees it.
    """

    def declare(body: type[Action[Any, Any]]) -> ActionSpec:
        if not NAME.match(name):
            raise TypeError(f"{name}: an action is named <system>.<verb>_<noun>")
        if not (body.__doc__ or "").strip():
            raise TypeError(f"{name}: a docstring is missing; its first line is the title people read")
        if risk.is_effect and reversible == (irreversible is not None):
            raise TypeError(f"{name}: an effect is either reversible or says why not")
        if not risk.is_effect and (reversible or irreversible):
            raise TypeError(f"{name}: nothing to take back in a {risk} action")
        if undone_after and not reversible:
            raise TypeError(f"{name}: it cannot be undone, so nothing is undone before it")
        if reversible and body.undo is Action.undo:
            raise TypeError(f"{name}: reversible, but has no undo")
        if risk.is_effect and body.preview is Action.preview:
            raise TypeError(f"{name}: an effect needs a preview")
        params, result = _models(name, body)
        system = name.partition(".")[0]
        facts = ActionFacts(
            name=name,
            version=version,
            system=system,
            title=(body.__doc__ or "").strip().splitlines()[0].rstrip("."),
            risk=risk,
            idempotency=idempotency,
            reversible=reversible,
            irreversible_because=irreversible,
            undone_after=tuple(undone_after),
            acquires=tuple(acquires),
            needs_evidence=tuple(needs_evidence),
            scopes=tuple(scopes),
            owner=owner,
            preauthorised=preauthorised,
            selector=selector,
            timeout_seconds=max(1, round(timeout.total_seconds())),
            heartbeat_seconds=max(1, round(heartbeat.total_seconds())),
            max_attempts=max_attempts,
            queue=domain or system,
            params=fields_of(params),
            outputs=outputs_of(result),
        )
        body.facts, body.result_type = facts, result
        return ActionSpec(facts=facts, params=params, result=result, body=body)

    return declare


def _models(name: str, body: type) -> tuple[type[Params], type[Result]]:
    for base in getattr(body, "__orig_bases__", ()):
        models = get_args(base)
        if len(models) != 2 or not all(isinstance(model, type) for model in models):
            continue
        if issubclass(models[0], Params) and issubclass(models[1], Result):
            return models
    raise TypeError(f"{name}: write Action[<Params>, <Result>] with its own two models")


def fields_of(model: type[BaseModel]) -> dict[str, FieldFacts]:
    """Facts of each field of a parameters or result model, under the names that playbooks write."""
    return {known.alias or name: _field(name, known) for name, known in model.model_fields.items()}


def outputs_of(model: type[BaseModel]) -> dict[str, FieldFacts]:
    """Facts of a result's fields. Only what may be ``None`` is ever missing from an output, so a field with
    another default is as sure as one without."""
    found = fields_of(model)
    sure = {known.alias or name for name, known in model.model_fields.items() if known.default is not None}
    return {name: facts.model_copy(update={"required": name in sure}) for name, facts in found.items()}


def _field(name: str, known: FieldInfo) -> FieldFacts:
    declared = next((mark.name for mark in known.metadata if isinstance(mark, FieldType)), None)
    default = None if known.default is PydanticUndefined else known.default
    return FieldFacts(
        type=declared or type_name(known.annotation),
        required=known.is_required(),
        default=list(default) if isinstance(default, tuple) else default,
        description=known.description or "",
    )


_PLAIN = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    datetime: "datetime",
    timedelta: "duration",
    dict: "map",
    TargetSet: "targets",
    Any: "any",
}


def type_name(annotation: Any) -> str:
    """Playbook type of a Python annotation: ``string``, ``list[string]``, ``targets`` …

    Raises:
        TypeError: The type has no name in the language.
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        declared = next((mark.name for mark in parts[1:] if isinstance(mark, FieldType)), None)
        return declared or type_name(parts[0])
    if origin is Literal and all(isinstance(part, str) for part in parts):
        return "string"
    if origin in (Union, types.UnionType):
        left = [part for part in parts if part is not type(None)]
        if len(left) == 1:
            return type_name(left[0])
        if TargetSet in left:
            return "targets"
        raise TypeError(f"a playbook has no type for {annotation}")
    if origin in (list, tuple, set, frozenset):
        inner = [part for part in parts if part is not Ellipsis]
        return f"list[{type_name(inner[0])}]" if inner else "list[any]"
    if origin is dict:
        return "map"
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if isinstance(annotation, type):
        for base, type_ in _PLAIN.items():
            if isinstance(base, type) and issubclass(annotation, base):
                return type_
        if issubclass(annotation, BaseModel):
            return "map"
    raise TypeError(f"a playbook has no type for {annotation}")
