"""One call of an action: gate, intent, effect, reading back, outcome, and what follows a lost attempt."""

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.catalog import Catalog
from activities.context import Guarded
from activities.runner import Runner
from activities.stops import StopPoints
from activities.surroundings import Surroundings
from playbooks.contract import ActionCall, ActionResult, Envelope, Mode, NewEntry, Permit, RunContext, Scope, Verb
from playbooks.digest import envelope_digest, idempotency_key
from tests.fakes import FixedSystems, MemoryStore
from tests.lab import LAB_ACTIONS, LabWorld

INCIDENT = "INC-2026-1"
CATALOG = Catalog(LAB_ACTIONS)


class Bench:
    """A runner on a lab, and calls of it as a workflow would make them."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.world = LabWorld(folder)
        self.guarded = Guarded(protected=("vip",), own=("stanch",))
        self.stops: StopPoints | None = None
        self.mode = Mode.LIVE
        self.beats: list[object] = []

    def call(self, name: str, params: dict, **changes) -> ActionCall:
        call = ActionCall(
            action=name,
            params=params,
            incident=INCIDENT,
            run="run/INC-2026-1/p/1",
            lineage="l",
            plan_digest="p" * 64,
            **{"step": "s", "tries": 1, **changes},
        )
        facts = CATALOG.spec(name).facts
        if facts.risk.is_effect and "permit" not in changes:
            call = call.model_copy(update={"permit": self.permit(call)})
        return call

    def permit(self, call: ActionCall, maximum: int = 1, **changes) -> Permit:
        facts = CATALOG.spec(call.action).facts
        envelope = Envelope(
            plan=call.plan_digest,
            step=call.step,
            item=call.item,
            action=call.action,
            version=call.version,
            params=call.params,
            scope=Scope.SELECTOR if facts.selector else Scope.EXACT,
            max_affected=maximum,
            mode=call.context.mode,
        )
        return Permit(rule="contain: 1 of crm_owner", envelope=envelope, digest=envelope_digest(envelope), **changes)

    async def run(self, call: ActionCall, *, attempt: int = 1, resume: object = None, limit: timedelta | None = None):
        env = self.env = ActivityEnvironment()
        env.info = dataclasses.replace(
            ActivityEnvironment.default_info(),
            attempt=attempt,
            heartbeat_details=[] if resume is None else [resume],
            heartbeat_timeout=timedelta(seconds=1),
            scheduled_time=datetime.now(UTC),
            start_to_close_timeout=limit,
        )
        env.on_heartbeat = lambda *details: self.beats.append(details)
        around = Surroundings(
            self.store, FixedSystems(lab=self.world), self.mode, guarded=lambda _: self.guarded, stops=self.stops
        )
        return await env.run(Runner(around).activity_of(CATALOG.spec(call.action)), call)

    async def refused(self, call: ActionCall, **how) -> ApplicationError:
        with pytest.raises(ApplicationError) as caught:
            await self.run(call, **how)
        return caught.value

    def key(self, verb: Verb = Verb.APPLY, epoch: int = 0) -> str:
        return idempotency_key(Mode.LIVE, INCIDENT, "l", "s", 0, None, verb, epoch)

    def touches(self) -> list[str]:
        return [effect["id"] for effect in self.world.effects() if effect["kind"] == "touch"]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "lab")


async def test_an_effect_is_intended_applied_read_back_and_recorded(bench):
    entry = NewEntry(key="decision/1", kind="decision", at="2026-01-01T00:00:00.000000Z")
    result = await bench.run(bench.call("lab.touch", {"name": "a"}, entries=(entry,)))
    assert result.changed
    assert result.verified
    assert result.affected.count == 1
    assert result.undo_args == {"name": "a", "was": False}
    assert bench.store.journal.kinds(INCIDENT) == ["decision", "action.intent", "action.outcome"]
    intent = bench.store.journal.intents(INCIDENT, bench.key())[0]
    assert intent["undo_args"] == {"name": "a", "was": False}
    assert intent["attempt"] == 1001


async def test_a_second_activity_of_the_same_key_gets_the_stored_result(bench):
    first = await bench.run(bench.call("lab.touch", {"name": "a"}))
    again = await bench.run(bench.call("lab.touch", {"name": "a"}, tries=2), attempt=3)
    assert again == first
    assert bench.touches() == ["a"]


@pytest.mark.parametrize("name", ["lab.touch", "lab.touch_keyed", "lab.touch_checked"])
async def test_a_lost_answer_is_met_without_a_second_effect(bench, name):
    bench.world.fault("lost", 1)
    lost = await bench.refused(bench.call(name, {"name": "a"}))
    assert (lost.type, lost.non_retryable) == ("Ambiguous", False)
    result = await bench.run(bench.call(name, {"name": "a"}), attempt=2)
    assert bench.touches() == ["a"]
    assert result.changed, "the lost attempt changed it, so this call did"
    assert result.verified


async def test_an_action_that_may_run_once_is_never_sent_again_after_a_lost_answer(bench):
    bench.world.fault("lost", 1)
    lost = await bench.refused(bench.call("lab.touch_once", {"name": "a"}))
    assert (lost.type, lost.non_retryable) == ("Ambiguous", True)
    again = await bench.refused(bench.call("lab.touch_once", {"name": "a"}, tries=2))
    assert again.type == "Ambiguous"
    assert bench.touches() == ["a"]


async def test_a_clean_failure_lets_an_action_that_may_run_once_run(bench):
    bench.world.fault("unavailable", 1)
    assert (await bench.refused(bench.call("lab.touch_once", {"name": "a"}))).type == "Unavailable"
    assert (await bench.run(bench.call("lab.touch_once", {"name": "a"}), attempt=2)).changed
    assert bench.store.journal.kinds(INCIDENT).count("action.failed") == 1


async def test_verifying_an_unknown_effect_ends_it(bench):
    bench.world.fault("lost", 1)
    await bench.refused(bench.call("lab.touch_once", {"name": "a"}))
    result = await bench.run(bench.call("lab.touch_once", {"name": "a"}, verb=Verb.VERIFY, tries=2))
    assert result.verified
    assert bench.store.journal.outcome(INCIDENT, bench.key()) is not None
    missing = await bench.run(bench.call("lab.touch_once", {"name": "b"}, verb=Verb.VERIFY, step="t"))
    assert missing.verified is False


async def test_undo_goes_by_the_record_when_nothing_is_passed(bench):
    await bench.run(bench.call("lab.touch", {"name": "a"}))
    undone = await bench.run(bench.call("lab.touch", {}, verb=Verb.UNDO, epoch=1, undo_args={}, tries=2))
    assert undone.changed
    assert undone.verified
    assert not bench.world.touched("a")


async def test_undo_goes_by_the_first_intent_when_the_outcome_was_lost(bench):
    bench.world.fault("lost", 1)
    await bench.refused(bench.call("lab.touch", {"name": "a"}))
    await bench.run(bench.call("lab.touch", {}, verb=Verb.UNDO, epoch=1, tries=2))
    assert not bench.world.touched("a")


async def test_undo_without_any_record_is_refused(bench):
    assert (await bench.refused(bench.call("lab.touch", {}, verb=Verb.UNDO, epoch=1))).type == "Rejected"


async def test_a_late_attempt_does_nothing(bench):
    bench.store.journal.intent(INCIDENT, bench.key(), 1002, {"count": 1})
    late = await bench.refused(bench.call("lab.touch", {"name": "a"}), attempt=1)
    assert late.type == "Superseded"
    assert bench.touches() == []


async def test_nothing_is_applied_while_the_store_is_away(bench):
    bench.store.away = 2
    assert (await bench.run(bench.call("lab.touch", {"name": "a"}))).changed
    bench.store.away = 10**6
    away = await bench.refused(bench.call("lab.touch", {"name": "b"}, step="t"), limit=timedelta(seconds=1.6))
    assert (away.type, away.non_retryable) == ("JournalUnavailable", False)
    assert bench.touches() == ["a"]
    assert bench.beats, "it beats while it waits"


async def test_a_repeated_read_reads_again_and_a_retried_one_does_not(bench):
    counts = [
        (await bench.run(bench.call("lab.count", {}, tries=tries), attempt=attempt)).output["count"]
        for tries, attempt in [(1, 1), (1, 2), (2, 1), (3, 1), (3, 2)]
    ]
    assert counts == [1, 1, 2, 3, 3]


async def test_a_large_output_goes_to_evidence(bench):
    small = await bench.run(bench.call("lab.big", {"bytes": 60_000}))
    assert len(small.output["text"]) == 60_000
    large = await bench.run(bench.call("lab.big", {"bytes": 70_000}, step="t"))
    assert large.output == {}
    assert b"x" * 70_000 in bench.store.evidence.read(large.output_ref.ref)
    huge = await bench.refused(bench.call("lab.big", {"bytes": 1_600_000}, step="u"))
    assert (huge.type, huge.non_retryable) == ("OutputTooLarge", True)


async def test_free_text_is_kept_out_of_the_journal(bench):
    await bench.run(bench.call("lab.read", {"value": "Jane Doe"}))
    assert "Jane" not in str(bench.store.journal.rows)
    again = await bench.run(bench.call("lab.read", {"value": "Jane Doe"}), attempt=2)
    assert again.output["value"] == "Jane Doe"


async def test_a_bug_is_told_without_its_text(bench):
    broken = await bench.refused(bench.call("lab.fail", {"kind": "broken"}))
    assert broken.type == "Broken"
    assert "hunter2" not in str(broken)
    assert not broken.non_retryable
    assert (await bench.refused(bench.call("lab.fail", {"kind": "broken"}), attempt=2)).non_retryable


async def test_parameters_that_do_not_fit_are_refused_for_good(bench):
    wrong = await bench.refused(bench.call("lab.big", {"bytes": "many"}))
    assert (wrong.type, wrong.non_retryable) == ("InvalidParams", True)


async def test_a_call_of_the_other_world_is_refused(bench):
    bench.mode = Mode.EXERCISE
    assert (await bench.refused(bench.call("lab.read", {}))).type == "WrongMode"
    exercise = RunContext(mode=Mode.EXERCISE)
    assert isinstance(await bench.run(bench.call("lab.read", {}, context=exercise)), ActionResult)


async def test_a_hold_stops_effects_and_no_reads(bench):
    bench.store.hold.reason = "wait"
    assert (await bench.refused(bench.call("lab.touch", {"name": "a"}))).type == "Held"
    assert bench.touches() == []
    assert isinstance(await bench.run(bench.call("lab.read", {}, step="t")), ActionResult)


@pytest.mark.parametrize(
    "point", ["before_intent", "after_intent", "after_send", "before_outcome", "before_completion"]
)
async def test_it_stops_at_each_point_once(bench, tmp_path, point):
    bench.stops = StopPoints.parse(f"{point}@ s ", tmp_path / "stops")
    call = bench.call("lab.touch", {"name": "a"})
    marker_seen = []

    async def release() -> None:
        while not (markers := list((tmp_path / "stops").glob(f"{point}-*.json"))):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        marker_seen.append(bench.touches())
        markers[0].with_suffix(".release").touch()

    async with asyncio.timeout(10):
        result, _ = await asyncio.gather(bench.run(call), release())
    assert result.verified
    assert marker_seen == [[] if point in ("before_intent", "after_intent") else ["a"]]
    with pytest.raises(ValueError, match="none of"):
        StopPoints.parse("nowhere", tmp_path)


async def test_a_cancelled_run_lets_an_effect_that_is_under_way_end(bench):
    work = asyncio.create_task(bench.run(bench.call("lab.touch", {"name": "a", "seconds": 0.4})))
    await asyncio.sleep(0.2)
    bench.env.cancel()
    result = await work
    assert (result.changed, result.verified) == (True, True)
    assert "action.outcome" in bench.store.journal.kinds(INCIDENT)


async def test_a_cancelled_run_ends_a_read_at_once(bench):
    work = asyncio.create_task(bench.run(bench.call("lab.read", {"seconds": 0.4})))
    await asyncio.sleep(0.1)
    bench.env.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert bench.store.journal.kinds(INCIDENT) == []


async def test_an_effect_that_does_not_verify_may_be_tried_again(bench):
    first = await bench.run(bench.call("lab.end_things", {"targets": ["bad1"]}))
    assert first.verified is False
    bench.world.change("touch", "bad1")
    again = await bench.run(bench.call("lab.end_things", {"targets": ["bad1"]}, tries=2))
    assert again.verified
    assert (await bench.run(bench.call("lab.end_things", {"targets": ["bad1"]}, tries=3))) == again


async def stopped(folder: Path, point: str) -> Path:
    """The mark of an attempt that stands at a point."""
    async with asyncio.timeout(10):
        while not (found := marks(folder, point)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found[0]


def marks(folder: Path, point: str) -> list[Path]:
    """Marks of attempts that stand there."""
    return [mark for mark in folder.glob(f"{point}-*.json") if not let_go(mark).exists()]


def let_go(mark: Path) -> Path:
    """The file that lets it go on."""
    return mark.with_suffix(".release")


async def superseded(attempt: "asyncio.Task[object]") -> None:
    """The attempt ends by giving way to a later one."""
    with pytest.raises(ApplicationError) as caught:
        await attempt
    assert (caught.value.type, caught.value.non_retryable) == ("Superseded", False)


async def test_an_attempt_that_stood_still_while_another_took_over_sends_nothing(bench, tmp_path):
    bench.stops = StopPoints.parse("after_intent@ s ", tmp_path / "stops")
    call = bench.call("lab.touch", {"name": "a"})
    late = asyncio.create_task(bench.run(call))
    mark = await stopped(tmp_path / "stops", "after_intent")
    assert (await bench.run(call, attempt=2)).changed
    bench.world.change("untouch", "a")
    let_go(mark).touch()
    await superseded(late)
    assert bench.touches() == ["a"]


async def test_the_outcome_of_an_attempt_that_was_overtaken_does_not_count(bench, tmp_path):
    bench.stops = StopPoints.parse("before_outcome@ s ", tmp_path / "stops")
    call = bench.call("lab.touch", {"name": "a"})
    late = asyncio.create_task(bench.run(call))
    mark = await stopped(tmp_path / "stops", "before_outcome")
    bench.stops = StopPoints.parse("after_intent@ s ", tmp_path / "later")
    now = asyncio.create_task(bench.run(call, attempt=2))
    later = await stopped(tmp_path / "later", "after_intent")
    let_go(mark).touch()
    await superseded(late)
    assert bench.store.journal.outcome(INCIDENT, bench.key()) is None
    let_go(later).touch()
    assert (await now).changed
    assert bench.store.journal.outcome(INCIDENT, bench.key())["attempt"] == 1002


async def test_nothing_is_sent_when_an_attempt_thought_lost_has_ended_the_step(bench, tmp_path):
    bench.stops = StopPoints.parse("before_outcome@ s ", tmp_path / "stops")
    call = bench.call("lab.touch", {"name": "a"})
    first = asyncio.create_task(bench.run(call))
    mark = await stopped(tmp_path / "stops", "before_outcome")
    bench.stops = StopPoints.parse("before_intent@ s ", tmp_path / "later")
    second = asyncio.create_task(bench.run(call, attempt=2))
    later = await stopped(tmp_path / "later", "before_intent")
    let_go(mark).touch()
    ended = await first
    let_go(later).touch()
    await superseded(second)
    assert await bench.run(call, attempt=3) == ended
    assert bench.store.journal.kinds(INCIDENT) == ["action.intent", "action.outcome"]


async def test_an_attempt_that_the_server_has_given_up_concludes_nothing(bench, tmp_path):
    """Its heartbeat was refused: that is no cancel of the run, and what is left to do is another's."""
    bench.stops = StopPoints.parse("after_send@ s ", tmp_path / "stops")
    call = bench.call("lab.end_things", {"targets": [f"t{number}" for number in range(250)]}, permit=None)
    call = call.model_copy(update={"permit": bench.permit(call, maximum=250)})
    late = asyncio.create_task(bench.run(call))
    mark = await stopped(tmp_path / "stops", "after_send")
    bench.env.cancel(ActivityCancellationDetails(not_found=True))
    let_go(mark).touch()
    with pytest.raises(ApplicationError) as caught:
        await late
    assert (caught.value.type, len(bench.touches())) == ("Unavailable", 100)
    assert bench.store.journal.outcome(INCIDENT, bench.key()) is None
    result = await bench.run(call, attempt=2)
    assert (result.items.done, result.verified, len(bench.touches())) == (250, True, 250)
