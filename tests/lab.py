"""LAB: a small system outside the process, and actions of every kind on it, for tests of the engine.

``LabWorld`` lives in a folder: each change is a line of ``effects.jsonl``, locked and synced, for all processes to see.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from activities.action import Action, ActionSpec, Applied, Grants, Params, Proposal, Result, Targets, action
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.errors import Ambiguous, RateLimited, Rejected, Unavailable
from playbooks.contract import Affected, Idempotency, Preview, Risk

OWNER = "crm_owner"


class LabWorld:
    """The world's side. ``own`` names Stanch's own thing in it."""

    own = ("stanch",)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def effects(self) -> list[dict[str, Any]]:
        """Every change so far: ``{kind, id, key}``."""
        path = self.folder / "effects.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def touched(self, name: str) -> bool:
        """Whether a thing is touched now."""
        last = [effect["kind"] for effect in self.effects() if effect["id"] == name]
        return bool(last) and last[-1] == "touch"

    def change(self, kind: str, name: str, key: str = "") -> bool:
        """Write an effect, but none for a key that was seen before; whether something changed."""
        return self.change_many(kind, [name], key) == [name]

    def change_many(self, kind: str, names: Sequence[str], key: str = "") -> list[str]:
        """Write several effects at once; the names that changed."""
        with self._locked():
            if key and any(effect["key"] == key for effect in self.effects()):
                return []
            with (self.folder / "effects.jsonl").open("a") as file:
                for name in names:
                    file.write(json.dumps({"kind": kind, "id": name, "key": key}) + "\n")
                file.flush()
                os.fsync(file.fileno())
        return list(names)

    def names(self, prefix: str = "") -> list[str]:
        """The things there are, by prefix."""
        path = self.folder / "names.json"
        known = json.loads(path.read_text()) if path.exists() else []
        return [name for name in known if name.startswith(prefix)]

    def add(self, *names: str) -> None:
        """More things."""
        with self._locked():
            (self.folder / "names.json").write_text(json.dumps([*self.names(), *names]))

    def fault(self, name: str, times: int) -> None:
        """Let the next ``times`` requests fail in the way of ``name``: ``unavailable rejected lost``."""
        (self.folder / f"fault-{name}").write_text(str(times))

    def strikes(self, name: str) -> bool:
        """Whether this request fails in that way."""
        path = self.folder / f"fault-{name}"
        with self._locked():
            left = int(path.read_text()) if path.exists() else 0
            if left:
                path.write_text(str(left - 1))
        return left > 0

    def count(self, name: str) -> int:
        """Count calls by name, this one included."""
        path = self.folder / f"count-{name}"
        with self._locked():
            number = (int(path.read_text()) if path.exists() else 0) + 1
            path.write_text(str(number))
        return number


def connect_lab(config: Mapping[str, Any], vault: Any) -> LabWorld:
    """What a worker's systems call to connect."""
    return LabWorld(Path(config["folder"]))


class Read(Params):
    value: Any = None
    seconds: float = 0


class WasRead(Result):
    value: Any
    count: int = 1


@action("lab.read", risk=Risk.READ, owner=OWNER, acquires=("access_logs",))
class LabRead(Action[Read, WasRead]):
    """Read what is given."""

    def apply(self, params: Read, ctx: ActionContext, proposal: Proposal) -> Applied[WasRead]:
        time.sleep(params.seconds)
        return Applied(WasRead(value=params.value), summary="read")


class Nothing(Params):
    """No parameters."""


class NothingDone(Result):
    count: int = 0


@action("lab.noop", risk=Risk.READ, owner=OWNER)
class LabNoop(Action[Nothing, NothingDone]):
    """Do nothing, for benchmarks."""

    async def apply(self, params: Nothing, ctx: ActionContext, proposal: Proposal) -> Applied[NothingDone]:
        return Applied(NothingDone(), summary="nothing")


class CountCalls(Params):
    name: str = "calls"


class CallsCounted(Result):
    count: int


@action("lab.count", risk=Risk.READ, owner=OWNER)
class LabCount(Action[CountCalls, CallsCounted]):
    """Count how often it was asked: another answer each time."""

    def apply(self, params: CountCalls, ctx: ActionContext, proposal: Proposal) -> Applied[CallsCounted]:
        return Applied(CallsCounted(count=ctx.client.count(params.name)), summary="counted")


class Fail(Params):
    kind: Literal["transient", "limited", "permanent", "broken"] = "permanent"


@action("lab.fail", risk=Risk.READ, owner=OWNER, max_attempts=2)
class LabFail(Action[Fail, NothingDone]):
    """Fail as told."""

    def apply(self, params: Fail, ctx: ActionContext, proposal: Proposal) -> Applied[NothingDone]:
        if params.kind == "transient":
            raise Unavailable("The lab is away.")
        if params.kind == "limited":
            raise RateLimited("The lab's limit is used up.", timedelta(minutes=4))
        if params.kind == "permanent":
            raise Rejected("The lab refuses.")
        raise KeyError("sid=hunter2")


class MakeText(Params):
    bytes: int = 60_000


class TextMade(Result):
    text: str
    count: int


@action("lab.big", risk=Risk.READ, owner=OWNER)
class LabBig(Action[MakeText, TextMade]):
    """Return a long text."""

    def apply(self, params: MakeText, ctx: ActionContext, proposal: Proposal) -> Applied[TextMade]:
        return Applied(TextMade(text="x" * params.bytes, count=params.bytes), summary="made")


class Touch(Params):
    name: str
    seconds: float = 0


class Touched(Result):
    name: str | None = None
    count: int = 1


class TouchAction(Action[Touch, Touched]):
    """Base of the effects on one thing; they differ in how a lost answer is met."""

    def preview(self, params: Touch, ctx: ActionContext) -> Proposal:
        already = ctx.client.touched(params.name)
        preview = Preview(
            summary=f"Touch {params.name}",
            count=0 if already else 1,
            already=1 if already else 0,
            sample=(params.name,),
            reversible=self.facts.reversible,
            irreversible_because=self.facts.irreversible_because,
            protected=(params.name,) if ctx.guarded.protects(params.name) and not already else (),
        )
        own = (params.name,) if ctx.guarded.owns(params.name) else ()
        undo = {"name": params.name, "was": already} if self.facts.reversible else None
        return Proposal(preview, own=own, undo_args=undo)

    def apply(self, params: Touch, ctx: ActionContext, proposal: Proposal) -> Applied[Touched]:
        world: LabWorld = ctx.client
        time.sleep(params.seconds)
        if world.strikes("unavailable"):
            raise Unavailable("The lab is away.")
        if world.strikes("rejected"):
            raise Rejected("The lab refuses.")
        natural = self.facts.idempotency is Idempotency.NATURAL
        keyed = self.facts.idempotency is Idempotency.KEYED
        changed = False
        if not (natural and world.touched(params.name)):
            changed = world.change("touch", params.name, ctx.key if keyed else "")
        ctx.sent()
        if world.strikes("lost"):
            raise Ambiguous("The lab's answer was lost.")
        affected = Affected(count=1, sample=(params.name,)) if changed else Affected()
        return Applied(Touched(name=params.name), changed=changed, summary="touched", affected=affected)

    def verify(self, params: Touch, ctx: ActionContext, proposal: Proposal) -> bool:
        return ctx.client.touched(params.name)

    def settled(self, params: Touch, ctx: ActionContext, proposal: Proposal) -> Applied[Touched]:
        affected = Affected(count=1, sample=(params.name,))
        return Applied(Touched(name=params.name), changed=True, summary="found touched", affected=affected)

    def undo(self, undo_args: Mapping[str, Any], ctx: ActionContext) -> Applied[Touched]:
        changed = not undo_args["was"] and ctx.client.touched(undo_args["name"])
        if changed:
            ctx.client.change("untouch", undo_args["name"])
        if ctx.client.strikes("undo-lost"):
            raise Ambiguous("The lab's answer was lost.")
        return Applied(Touched(name=undo_args["name"]), changed=changed, summary="untouched")

    def verify_undo(self, undo_args: Mapping[str, Any], ctx: ActionContext) -> bool:
        return ctx.client.touched(undo_args["name"]) is bool(undo_args["was"])


_SHORT = timedelta(seconds=10)
_BEAT = timedelta(seconds=1)


@action("lab.touch", risk=Risk.CONTAIN, owner=OWNER, reversible=True, timeout=_SHORT, heartbeat=_BEAT)
class LabTouch(TouchAction):
    """Touch a thing; touching twice is touching once."""


@action(
    "lab.touch_keyed",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.KEYED,
    irreversible="the lab forgets nothing",
    timeout=_SHORT,
    heartbeat=_BEAT,
)
class LabTouchKeyed(TouchAction):
    """Touch a thing under a key that the lab knows again."""


@action(
    "lab.touch_checked",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.CHECK_FIRST,
    irreversible="the lab forgets nothing",
    timeout=_SHORT,
    heartbeat=_BEAT,
)
class LabTouchChecked(TouchAction):
    """Touch a thing after looking whether it is touched."""


@action(
    "lab.touch_once",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.ONCE,
    irreversible="the lab forgets nothing",
    timeout=_SHORT,
    heartbeat=_BEAT,
)
class LabTouchOnce(TouchAction):
    """Touch a thing; each try touches it again."""


class ListThings(Params):
    prefix: str = ""


class ThingsListed(Result):
    targets: Grants
    count: int


@action("lab.list_things", risk=Risk.READ, owner=OWNER, acquires=("access_logs",))
class LabList(Action[ListThings, ThingsListed]):
    """List the things there are."""

    def apply(self, params: ListThings, ctx: ActionContext, proposal: Proposal) -> Applied[ThingsListed]:
        names = ctx.client.names(params.prefix)
        targets = ctx.put_rows([{"id": name} for name in names], name="things")
        return Applied(ThingsListed(targets=targets, count=len(names)), summary=f"{len(names)} things")


class EndThings(Params):
    targets: Targets


class EndMatching(Params):
    prefix: str


class ThingsEnded(Result):
    count: int


class EndAction(TargetAction[Any, ThingsEnded]):
    """Base of the mass effects."""

    noun, done, undone, batch_size = "thing", "ended", "begun again", 100

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        if ctx.client.strikes("unavailable"):
            raise Unavailable("The lab is away.")
        bad = {target.id for target in targets if target.id.startswith("bad")}
        bad |= {targets[-1].id} if ctx.client.strikes("rejected") else set()
        ctx.client.change_many("touch", [target.id for target in targets if target.id not in bad])
        return [
            ItemOutcome(target.id, "failed", "rejected") if target.id in bad else ItemOutcome(target.id, "done")
            for target in targets
        ]

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> dict[str, bool]:
        last = {effect["id"]: effect["kind"] == "touch" for effect in ctx.client.effects()}
        return {target.id: last.get(target.id, False) for target in targets}

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        ctx.client.change_many("untouch", [target.id for target in targets])
        return [ItemOutcome(target.id, "done") for target in targets]


@action("lab.end_things", risk=Risk.CONTAIN, owner=OWNER, reversible=True, heartbeat=_BEAT)
class LabEndThings(EndAction, TargetAction[EndThings, ThingsEnded]):
    """End the things named."""

    def find(self, params: EndThings, ctx: ActionContext) -> list[Target]:
        last = {effect["id"]: effect["kind"] == "touch" for effect in ctx.client.effects()}
        ids = [str(row["id"]) for row in ctx.rows(params.targets)]
        return [Target(id=id_, already=last.get(id_, False)) for id_ in ids]


@action(
    "lab.end_matching",
    risk=Risk.CONTAIN,
    owner=OWNER,
    irreversible="the lab forgets nothing",
    selector=True,
    needs_evidence=("access_logs",),
    heartbeat=_BEAT,
)
class LabEndMatching(EndAction, TargetAction[EndMatching, ThingsEnded]):
    """End every thing of a prefix."""

    def find(self, params: EndMatching, ctx: ActionContext) -> list[Target]:
        last = {effect["id"]: effect["kind"] == "touch" for effect in ctx.client.effects()}
        return [Target(id=name, already=last.get(name, False)) for name in ctx.client.names(params.prefix)]


LAB_ACTIONS: tuple[ActionSpec, ...] = (
    LabRead,
    LabNoop,
    LabCount,
    LabFail,
    LabBig,
    LabTouch,
    LabTouchKeyed,
    LabTouchChecked,
    LabTouchOnce,
    LabList,
    LabEndThings,
    LabEndMatching,
)
