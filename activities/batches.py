"""Mass actions: many targets in batches, resumed where a lost attempt stood, reported one by one."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from activities.action import Action, Applied, P, Proposal, R
from activities.context import ActionContext
from activities.errors import AuthFailed, Forbidden, Permanent
from playbooks.contract import Affected, Items, Json, Preview, TargetSet

SAMPLE = 20
Status = Literal["done", "already", "failed", "unknown"]


@dataclass(frozen=True)
class Target:
    """One thing that an effect may change.

    Attributes:
        id: As the system names it.
        label: For approvers; kept in evidence, never journaled.
        already: Whether it is in the wanted state.
        own: Whether it is Stanch's own integration; never touched.
        names: Names and ids under which settings may protect it.
        before: What is needed to take it back, and anything ``change`` needs later; no secrets.
        excluded: Why it is left out, if it is.
    """

    id: str
    label: str = ""
    already: bool = False
    own: bool = False
    names: tuple[str, ...] = ()
    before: dict[str, Json] = field(default_factory=dict)
    excluded: str | None = None


@dataclass(frozen=True)
class ItemOutcome:
    """How one target fared; ``code`` is an error's code."""

    id: str
    status: Status
    code: str = ""


class TargetAction(Action[P, R]):
    """An effect on targets. A system's action says how to find, change, check and restore them.

    The rows of what will be changed, with their before-image, go to evidence before the effect. A retry
    works on those very rows: targets in the wanted state by then were changed by the lost attempt.
    """

    unites_intents = True
    noun = "target"
    done = "changed"
    undone = "restored"
    batch_size = 200

    def find(self, params: P, ctx: ActionContext) -> Sequence[Target]:
        """Read the targets live, each with its state. Never shortened."""
        raise NotImplementedError

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who or what stops working, a sentence each."""
        return ()

    def labels(self, targets: Sequence[Target], ctx: ActionContext) -> Sequence[str]:
        """What people call each of a few targets, for the card."""
        return [target.label for target in targets]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> Sequence[ItemOutcome]:
        """Bring one batch to the wanted state. Raises only what concerns the whole batch."""
        raise NotImplementedError

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Read back: id to whether it is in the wanted state. An id left out is not known."""
        raise NotImplementedError

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> Sequence[ItemOutcome]:
        """Bring one batch back to its ``before``."""
        raise NotImplementedError

    def as_before(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Of targets that are not as we left them: id to whether each is as it was before, and so needs no undo.

        An id left out is not known.
        """
        return {}

    def outcome(self, params: P | None, items: Items) -> Any:
        """The output fields. By default a ``count`` of targets brought to the wanted state or already in it.

        ``params`` is ``None`` for an undo.
        """
        model: Any = self.result_type
        return model(count=items.done + items.already)

    def preview(self, params: P, ctx: ActionContext) -> Proposal:
        """Targets that would change, split from those already so, left out, protected or Stanch's own."""
        found = list({target.id: target for target in self.find(params, ctx)}.values())
        own = [target for target in found if target.own or ctx.guarded.owns(target.id, *target.names)]
        excluded = [target for target in found if target.excluded and target not in own]
        rest = [target for target in found if target not in own and not target.excluded]
        rows = earlier_targets(ctx)
        # What a lost attempt of ours changed was not so before us.
        already = [target for target in rest if target.already and target.id not in rows]
        fresh = [target for target in rest if not target.already]
        protected = [target for target in fresh if ctx.guarded.protects(target.id, *target.names)]
        rows |= {target.id: target for target in fresh if target.id not in rows}
        targets = None
        if rows:
            targets = ctx.put_rows([_row(target) for target in rows.values()], name=f"{self.facts.name}.targets")
        reasons = [f"{target.id}: Stanch's own integration" for target in own]
        reasons += [f"{target.id}: {target.excluded}" for target in excluded]
        if len(reasons) > SAMPLE:
            reasons[SAMPLE - 1 :] = [f"{len(reasons) - SAMPLE + 1} more"]
        preview = Preview(
            summary=f"{self.facts.title}: {len(fresh)} {self.noun}{'' if len(fresh) == 1 else 's'}",
            count=len(fresh),
            already=len(already),
            sample=tuple(target.id for target in fresh[:SAMPLE]),
            labels=tuple(self.labels(fresh[:SAMPLE], ctx)),
            impact=tuple(self.impact(fresh)),
            reversible=self.facts.reversible,
            irreversible_because=self.facts.irreversible_because,
            protected=tuple(target.id for target in protected),
            excluded=tuple(reasons),
        )
        undo = {"targets": targets.model_dump(mode="json")} if targets and self.facts.reversible else None
        # Beside other targets its own are left out; named alone, the whole is refused with words.
        alone = tuple(target.id for target in own) if not rest else ()
        return Proposal(preview, own=alone, targets=targets, undo_args=undo)

    def apply(self, params: P, ctx: ActionContext, proposal: Proposal) -> Applied[R]:
        """Change the proposal's targets in batches."""
        targets = self.targets_of(proposal, ctx)
        tally = self._walk(targets, ctx, wanted=True)
        return self._changed(params, ctx, proposal, targets, tally)

    def settled(self, params: P, ctx: ActionContext, proposal: Proposal) -> Applied[R]:
        """The lost attempt's targets, all found in the wanted state."""
        targets = self.targets_of(proposal, ctx)
        tally = _Tally(targets)
        tally.add(ItemOutcome(target.id, "done") for target in targets)
        tally.at = len(targets)
        return self._changed(params, ctx, proposal, targets, tally)

    def verify(self, params: P, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether every target of the proposal is in the wanted state."""
        targets = self.targets_of(proposal, ctx)
        states = self._states(targets, ctx)
        return all(states.get(target.id) is True for target in targets)

    def preview_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> Proposal:
        """Targets that are still as we left them."""
        targets = _targets(ctx, _undo_set(undo_args))
        states = self._states(targets, ctx)
        ours = [target for target in targets if states.get(target.id) is True]
        others = [target for target in targets if states.get(target.id) is not True]
        back = {id_ for id_, is_so in self.as_before(others, ctx).items() if is_so} if others else set()
        changed = [target.id for target in others if target.id not in back]
        preview = Preview(
            summary=f"Take back: {self.facts.title}: {len(ours)} {self.noun}{'' if len(ours) == 1 else 's'}",
            count=len(ours),
            sample=tuple(target.id for target in ours[:SAMPLE]),
            labels=tuple(self.labels(ours[:SAMPLE], ctx)),
            reversible=True,
            already=len(back),
            excluded=(
                *(f"{id_}: as it was before already" for id_ in sorted(back)[:SAMPLE]),
                *(f"{id_}: no longer as Stanch left it" for id_ in changed[:SAMPLE]),
            ),
        )
        rows = earlier_targets(ctx) | {target.id: target for target in ours}
        return Proposal(preview, targets=ctx.put_rows(map(_row, rows.values()), name=f"{self.facts.name}.undo"))

    def undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> Applied[R]:
        """Restore, in batches, the targets that are still as we left them; the others end as unknown."""
        targets = _targets(ctx, _undo_set(undo_args))
        tally = self._walk(targets, ctx, wanted=False)
        return self._applied(None, ctx, tally, self.undone)

    def verify_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> bool | None:
        """Whether no target is left in the state that we made."""
        targets = _targets(ctx, _undo_set(undo_args))
        states = self._states(targets, ctx)
        return all(states.get(target.id) is False for target in targets)

    def targets_of(self, proposal: Proposal, ctx: ActionContext) -> list[Target]:
        """The rows that a proposal keeps in evidence."""
        return _targets(ctx, proposal.targets)

    def _states(self, targets: Sequence[Target], ctx: ActionContext) -> dict[str, bool]:
        states: dict[str, bool] = {}
        for start in range(0, len(targets), self.batch_size):
            states |= self.check(targets[start : start + self.batch_size], ctx)
        return states

    def _walk(self, targets: Sequence[Target], ctx: ActionContext, *, wanted: bool) -> "_Tally":
        """Bring targets to the wanted state, or back from it, from where a lost attempt stood."""
        tally = _Tally.resumed(ctx.resume, targets)
        ours = earlier_targets(ctx).keys()
        while tally.at < len(targets) and not ctx.stopping():
            batch = targets[tally.at : tally.at + self.batch_size]
            todo = batch
            if ours or not wanted:
                states = self.check(batch, ctx)
                # What cannot be read is tried when changing, and let alone when taking back.
                todo = [target for target in batch if (states.get(target.id) is True) is not wanted]
                left = {target.id for target in todo}
                rest = [target for target in batch if target.id not in left]
                back = self.as_before(rest, ctx) if rest and not wanted else {}
                tally.add(_as_found(target, target.id in ours, wanted or back.get(target.id, False)) for target in rest)
            if todo:
                tally.add(_complete(todo, self._batch(todo, targets, ctx, tally, wanted)))
            tally.at += len(batch)
            ctx.progress(tally.position())
        return tally

    def _batch(
        self, todo: Sequence[Target], targets: Sequence[Target], ctx: ActionContext, tally: "_Tally", wanted: bool
    ) -> list[ItemOutcome]:
        work = self.change if wanted else self.restore
        try:
            outcomes = list(work(todo, ctx))
        except Permanent as error:
            left = list(todo)
            if isinstance(error, AuthFailed | Forbidden):
                # It will be no better with the next batch.
                left += targets[tally.at + self.batch_size :]
                tally.at = len(targets)
            if not tally.done and tally.at >= len(targets) - self.batch_size:
                raise
            return [ItemOutcome(target.id, "failed", error.code) for target in left]
        ctx.sent()
        return outcomes

    def _changed(
        self, params: P, ctx: ActionContext, proposal: Proposal, targets: Sequence[Target], tally: "_Tally"
    ) -> Applied[R]:
        """The end of a walk towards the wanted state: with warnings, and an undo of what was changed only."""
        tally.already += proposal.preview.already
        applied = self._applied(params, ctx, tally, self.done)
        warnings = []
        if proposal.preview.excluded:
            warnings.append("targets were left out; the preview says which and why")
        if self.facts.selector and not targets and not tally.already:
            warnings.append(f"no {self.noun} was found; look whether the parameters are right")
        kept = None
        untouched = {*tally.same, *(item.id for item in tally.bad if item.status == "failed")}
        if self.facts.reversible and untouched:
            mine = [_row(target) for target in targets if target.id not in untouched]
            changed = ctx.put_rows(mine, name=f"{self.facts.name}.targets")
            kept = {"targets": changed.model_dump(mode="json")}
        return replace(applied, warnings=tuple(warnings), undo_args=kept)

    def _applied(self, params: P | None, ctx: ActionContext, tally: "_Tally", verb: str) -> Applied[R]:
        items = tally.items(ctx, self.facts.name)
        return Applied(
            self.outcome(params, items),
            changed=items.done > 0,
            summary=f"{items.done} {self.noun}{'' if items.done == 1 else 's'} {verb}"
            + (f", {items.already} already" if items.already else "")
            + (f", {items.failed} failed" if items.failed else "")
            + (f", {items.unknown} unknown" if items.unknown else ""),
            affected=Affected(count=items.done, sample=tuple(tally.done[:SAMPLE])),
            items=items,
            final=tally.at >= tally.total,
        )


class _Tally:
    """Counts of a walk, small enough for a heartbeat."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.at = 0
        self.total = len(targets)
        # A position is of these very targets in this order.
        self.of = hashlib.sha256("\n".join(target.id for target in targets).encode()).hexdigest()[:16]
        self.already = 0
        self.done: list[str] = []
        self.bad: list[ItemOutcome] = []
        self.same: list[str] = []

    @classmethod
    def resumed(cls, position: Json, targets: Sequence[Target]) -> "_Tally":
        tally = cls(targets)
        if isinstance(position, Mapping) and position.get("of") == tally.of:
            tally.at = int(position["at"])
            tally.bad = [ItemOutcome(*item) for item in position["bad"]]
            tally.same = list(position["same"])
            odd = {item.id for item in tally.bad} | set(tally.same)
            tally.done = [target.id for target in targets[: tally.at] if target.id not in odd]
        return tally

    def position(self) -> dict[str, Json]:
        """Where the walk stands; ids that fared otherwise than well are rare, so they travel too."""
        bad = [[item.id, item.status, item.code] for item in self.bad]
        return {"of": self.of, "at": self.at, "bad": bad, "same": self.same}

    def add(self, outcomes: Any) -> None:
        for outcome in outcomes:
            if outcome.status == "done":
                self.done.append(outcome.id)
            elif outcome.status == "already":
                self.same.append(outcome.id)
            else:
                self.bad.append(outcome)

    def items(self, ctx: ActionContext, name: str) -> Items:
        failed = [item for item in self.bad if item.status == "failed"]
        unknown = [item for item in self.bad if item.status == "unknown"]
        rows = [{"id": id_, "status": "done"} for id_ in self.done]
        rows += [{"id": id_, "status": "already"} for id_ in self.same]
        rows += [asdict(item) for item in self.bad]
        report = None
        if rows:
            lines = b"".join(json.dumps(row, sort_keys=True).encode() + b"\n" for row in rows)
            report = ctx.put(lines, name=f"{name}.report", media_type="application/jsonl")
        return Items(
            done=len(self.done),
            already=self.already + len(self.same),
            failed=len(failed),
            unknown=len(unknown),
            report=report,
            failures=tuple(f"{item.id}: {item.code}" for item in self.bad[:SAMPLE]),
        )


def _complete(targets: Sequence[Target], outcomes: Sequence[ItemOutcome]) -> list[ItemOutcome]:
    """A target that the body said nothing about is unknown, never silently done."""
    said = {outcome.id for outcome in outcomes}
    silent = [ItemOutcome(target.id, "unknown", "no_answer") for target in targets if target.id not in said]
    return [*outcomes, *silent]


def _row(target: Target) -> dict[str, Json]:
    return {"id": target.id, "label": target.label, "names": list(target.names), "before": target.before}


def _target(row: Mapping[str, Json]) -> Target:
    return Target(
        id=str(row["id"]),
        label=str(row.get("label", "")),
        names=tuple(row.get("names", ())),
        before=dict(row.get("before", {})),
    )


def _targets(ctx: ActionContext, rows: TargetSet | None) -> list[Target]:
    return [_target(row) for row in ctx.rows(rows)] if rows is not None else []


def _as_found(target: Target, ours: bool, right: bool) -> ItemOutcome:
    """The outcome of a target that needs no request: a lost attempt of ours did it, or somebody else."""
    if ours:
        return ItemOutcome(target.id, "done")
    if right:
        return ItemOutcome(target.id, "already")
    # Restoring would overwrite what somebody did since.
    return ItemOutcome(target.id, "unknown", "changed_since")


def earlier_targets(ctx: ActionContext) -> dict[str, Target]:
    """Targets that attempts before this one set out to change and may have changed, by id."""
    found: dict[str, Target] = {}
    for intent in ctx.prior:
        if intent.get("targets"):
            for target in _targets(ctx, TargetSet.model_validate(intent["targets"])):
                found.setdefault(target.id, target)
        if intent.get("report"):
            # That attempt ended: what it did not change is nothing of ours.
            for row in ctx.rows_of(str(intent["report"])):
                if row["status"] in ("already", "failed"):
                    found.pop(str(row["id"]), None)
    return found


def _undo_set(undo_args: Mapping[str, Json]) -> TargetSet | None:
    return TargetSet.model_validate(undo_args["targets"]) if undo_args.get("targets") else None
