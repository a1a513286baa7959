"""Salesforce actions on what a model wrote: find it by field history, and set the values of before."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field

from activities.action import Action, Applied, Params, Proposal, Result, Targets, action
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.errors import ConnectorError, InvalidParams, NotFound
from activities.systems.salesforce.declared import LOGS, OWNER, Counted
from activities.systems.salesforce.derived import (
    Derived,
    changes,
    current,
    field_name,
    marked,
    object_name,
    same,
    sweep,
)
from activities.systems.salesforce.models import USER, RowAnswer, record_id
from activities.systems.salesforce.outcomes import in_one
from playbooks.contract import Idempotency, Json, Risk, TargetSet

KEPT = timedelta(days=540)
"""How far field history reaches back over the API (18 months)."""


class FindDerivedWritesParams(Params):
    """Which field of which object, and when the model wrote.

    ``marker`` is a field that names the model's version, ``values`` the versions meant. ``writer`` is the user that
    writes for the model (name or id); without it, whoever wrote those versions into ``marker``, else whoever wrote at
    all in that time.
    """

    object: str
    field: str
    since: datetime
    until: datetime | None = None
    marker: str | None = None
    values: Annotated[list[str] | None, Field(max_length=200)] = None
    writer: str | None = None


class DerivedFound(Result):
    """Records that still carry what the model wrote: rows ``{id, current, previous, written, writer, changed_by?}``."""

    targets: TargetSet
    count: int
    complete: bool


@action(
    "salesforce.find_derived_writes",
    risk=Risk.READ,
    owner=OWNER,
    scopes=("read OBJECT and its field history",),
    timeout=timedelta(minutes=15),
)
class FindDerivedWrites(Action[FindDerivedWritesParams, DerivedFound]):
    """Find records that still carry what a model wrote."""

    def apply(self, params: FindDerivedWritesParams, ctx: ActionContext, proposal: Proposal) -> Applied[DerivedFound]:
        """History of the field in the window and after it, compared with the values now."""
        object_, field = object_name(params.object), field_name(params.field)
        marker = field_name(params.marker, "marker") if params.marker else None
        if marker and not params.values:
            raise InvalidParams("`marker` needs `values`: the versions of the model that are meant. Nothing was asked.")
        org, until = ctx.client, params.until or ctx.now()
        history = changes(org, object_, field, params.since)
        suspects = marked(org, object_, marker, params.values) if marker and params.values else []
        warnings, complete = self._gaps(params, ctx, object_, field)
        writers = self._writers(params, ctx, object_, marker, until)
        ids = sorted({change.record for change in history} | set(suspects))
        now = current(org, object_, field, ids)
        found = sweep(history, until, writers, now)
        known = {change.record for change in history}
        dark = [id_ for id_ in suspects if id_ not in known and id_ in now]
        found += [Derived(id_, None, None, now[id_], None, "", "", history=False) for id_ in dark]
        if dark:
            warnings.append(f"{len(dark)} records name these versions but have no history of the field in that time")
        person = sum(bool(derived.changed_by) for derived in found)
        if person:
            warnings.append(f"{person} records were changed by somebody since; they are left alone when restoring")
        targets = ctx.put_rows([derived.row() for derived in found], name="salesforce.derived_writes")
        return Applied(
            DerivedFound(targets=targets, count=len(found), complete=complete and not dark),
            summary=f"{len(found)} records carry what was written in that time",
            warnings=tuple(warnings),
        )

    def _writers(
        self, params: FindDerivedWritesParams, ctx: ActionContext, object_: str, marker: str | None, until: datetime
    ) -> set[str] | None:
        if params.writer:
            named = {} if "@" not in params.writer else ctx.client.user_ids([params.writer])
            id_ = named.get(params.writer.casefold()) if "@" in params.writer else record_id(params.writer, USER)
            if not id_:
                raise NotFound(
                    "The user that writes for the model is not in this org. Nothing was found. Check the name."
                )
            return {id_}
        if marker:
            wrote = changes(ctx.client, object_, marker, params.since)
            return {
                entry.by for entry in wrote if entry.at <= until and str(entry.new) in (params.values or ())
            } or None
        return None

    def _gaps(
        self, params: FindDerivedWritesParams, ctx: ActionContext, object_: str, field: str
    ) -> tuple[list[str], bool]:
        warnings = []
        if ctx.now() - params.since > KEPT:
            warnings.append("field history of more than 18 months ago is not to be had over the API")
        try:
            rows = list(
                ctx.client.query(
                    "SELECT IsFieldHistoryTracked FROM FieldDefinition "
                    "WHERE EntityDefinition.QualifiedApiName = {} AND QualifiedApiName = {}",
                    object_,
                    field,
                    doing="asking whether history is kept",
                )
            )
        except ConnectorError as error:
            if error.retryable:
                raise
            warnings.append(f"whether the field's history is kept could not be asked ({error.code})")
        else:
            if not rows or not rows[0].get("IsFieldHistoryTracked"):
                warnings.append("the field's history is not kept (Setup > Object Manager), so writes can be missing")
        return warnings, not warnings


class RestoreDerivedWritesParams(Params):
    """Which field of which object, and which records: the target set of ``find_derived_writes``."""

    object: str
    field: str
    targets: Targets


@action(
    "salesforce.restore_derived_writes",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    needs_evidence=LOGS,
    scopes=("edit OBJECT.FIELD",),
    timeout=timedelta(minutes=30),
)
class RestoreDerivedWrites(TargetAction[RestoreDerivedWritesParams, Counted]):
    """Set a field back to what stood there before a model wrote it."""

    noun, done, undone, batch_size = "record", "set back", "given the model's value again", 200

    def find(self, params: RestoreDerivedWritesParams, ctx: ActionContext) -> list[Target]:
        """Each record as it is now; who wrote after the model is right."""
        object_, field = object_name(params.object), field_name(params.field)
        rows = {record_id(row["id"]): row for row in ctx.rows(params.targets)}
        now = current(ctx.client, object_, field, sorted(rows))
        found = []
        for id_, row in rows.items():
            before = {"object": object_, "field": field, "written": row.get("written"), "previous": row.get("previous")}
            why = _why_not(id_, row, now)
            already = why is None and same(now[id_], row["previous"])
            found.append(Target(id_, label=str(row.get("label", id_)), already=already, before=before, excluded=why))
        return found

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What changes for the business."""
        if not targets:
            return []
        field = f"{targets[0].before['object']}.{targets[0].before['field']}"
        return [
            f"{field} of {len(targets)} records goes back to what it was; flows and reports that read it run on that",
            "records that somebody changed since are left alone",
        ]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """One collections request; a record that somebody changed since the preview is left."""
        return self._set(targets, ctx, "written", "previous")

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """The model's value again, where ours still stands."""
        return self._set(targets, ctx, "previous", "written")

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each has its value of before; a record that is gone is not known."""
        now = self._now(targets, ctx)
        return {t.id: same(now[t.id], t.before["previous"]) for t in targets if t.id in now}

    def _set(self, targets: Sequence[Target], ctx: ActionContext, expected: str, wanted: str) -> list[ItemOutcome]:
        now = self._now(targets, ctx)
        outcomes, fresh = [], []
        for target in targets:
            if target.id not in now:
                outcomes.append(ItemOutcome(target.id, "failed", "not_found"))
            elif same(now[target.id], target.before[wanted]):
                outcomes.append(ItemOutcome(target.id, "already"))
            elif not same(now[target.id], target.before[expected]):
                outcomes.append(ItemOutcome(target.id, "failed", "changed_since"))
            else:
                fresh.append(target)
        if not fresh:
            return outcomes
        object_, field = str(fresh[0].before["object"]), str(fresh[0].before["field"])
        values = {target.id: {field: target.before[wanted]} for target in fresh}

        def send(ids: Sequence[str]) -> list[RowAnswer]:
            answers: list[RowAnswer] = ctx.client.update_records(
                object_, {id_: values[id_] for id_ in ids}, doing="setting records back"
            )
            return answers

        return [*outcomes, *in_one(fresh, ctx, send, gone_is_done=False)]

    def _now(self, targets: Sequence[Target], ctx: ActionContext) -> dict[str, Json]:
        if not targets:
            return {}
        object_, field = str(targets[0].before["object"]), str(targets[0].before["field"])
        return current(ctx.client, object_, field, [target.id for target in targets])


def _why_not(id_: str, row: Mapping[str, Json], now: Mapping[str, Json]) -> str | None:
    if "previous" not in row or row.get("history") is False:
        return "no history of the field, so what stood there before is not known"
    if id_ not in now:
        return "the record is not there any more"
    if row.get("changed_by"):
        return "somebody changed it after the model did"
    if not same(now[id_], row.get("written")) and not same(now[id_], row["previous"]):
        return "somebody changed it since it was found"
    return None


ACTIONS = (FindDerivedWrites, RestoreDerivedWrites)
