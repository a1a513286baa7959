"""Mass actions: batches, reports, resuming, protected and own targets, undo."""

import hashlib

import pytest

from playbooks.contract import Verb
from tests.unit.test_runner import INCIDENT, Bench


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "lab")


def ending(bench: Bench, names: list[str], **changes):
    call = bench.call("lab.end_things", {"targets": names}, permit=None, **changes)
    return call.model_copy(update={"permit": bench.permit(call, len(names), protected_allowed=True)})


async def test_every_target_is_changed_once_and_reported(bench):
    names = [f"t{number}" for number in range(250)]
    bench.world.change("touch", "t7")
    result = await bench.run(ending(bench, names))
    assert sorted(bench.touches()) == sorted(names)
    assert (result.items.done, result.items.already, result.items.failed) == (249, 1, 0)
    assert result.affected.count == 249
    assert result.output == {"count": 250}
    assert result.verified
    report = list(bench.store.evidence.rows(result.items.report.ref))
    assert {row["id"] for row in report} == set(names) - {"t7"}


async def test_a_batch_that_fails_leaves_the_rest_done_and_the_step_unverified(bench):
    result = await bench.run(ending(bench, ["a", "bad1", "b"]))
    assert (result.items.done, result.items.failed) == (2, 1)
    assert result.items.failures == ("bad1: rejected",)
    assert result.verified is False


async def test_a_retry_goes_on_with_the_targets_of_the_lost_attempt(bench):
    names = [f"t{number:03}" for number in range(300)]
    call = ending(bench, names)
    # The first attempt did 100 and died: its intent stands, its effects too.
    rows = [{"id": name} for name in names]
    targets = bench.store.evidence.put_rows(INCIDENT, rows, name="", source="", actor="")
    intent = {"count": 300, "targets": targets.model_dump(mode="json")}
    assert bench.store.journal.intent(INCIDENT, bench.key(), 1001, intent)
    bench.world.change_many("touch", names[:150])
    of = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    position = {"of": of, "at": 100, "bad": [], "same": []}
    result = await bench.run(call, attempt=2, resume=position)
    assert sorted(bench.touches()) == names, "none twice, none left out"
    assert result.items.done == 300, "those of the lost attempt are ours"
    assert result.affected.count == 300


async def test_a_retry_without_a_heartbeat_still_touches_nothing_twice(bench):
    bench.world.fault("unavailable", 1)
    call = ending(bench, ["a", "b"])
    assert (await bench.refused(call)).type == "Unavailable"
    bench.world.change("touch", "a")
    await bench.run(call, attempt=2)
    assert sorted(bench.touches()) == ["a", "b"]


async def test_stanchs_own_is_left_out_and_shown(bench):
    preview = await bench.run(ending(bench, ["a", "stanch", "vip"], verb=Verb.PREVIEW))
    assert (preview.count, preview.protected) == (2, ("vip",))
    assert preview.excluded == ("stanch: Stanch's own integration",)
    assert preview.evidence is not None
    assert bench.world.effects() == []
    await bench.run(ending(bench, ["a", "stanch", "vip"]))
    assert bench.touches() == ["a", "vip"]


async def test_a_selector_that_finds_more_than_approved_is_refused(bench):
    bench.world.add("x1", "x2", "x3", "y1")
    call = bench.call("lab.end_matching", {"prefix": "x"}, permit=None)
    call = call.model_copy(update={"permit": bench.permit(call, 2)})
    refused = await bench.refused(call)
    assert refused.type == "PlanChanged"
    assert refused.details[0]["count"] == 3
    assert bench.touches() == []


async def test_undo_restores_what_is_still_as_we_left_it_and_nothing_else(bench):
    await bench.run(ending(bench, ["a", "b", "c"]))
    bench.world.change("untouch", "b")
    preview = await bench.run(bench.call("lab.end_things", {}, verb=Verb.PREVIEW, undo_args={}, permit=None, tries=2))
    assert (preview.count, preview.excluded) == (2, ("b: no longer as Stanch left it",))
    call = bench.call("lab.end_things", {}, verb=Verb.UNDO, epoch=1, undo_args={}, permit=None, tries=2)
    result = await bench.run(call.model_copy(update={"permit": bench.permit(call, 3)}))
    assert (result.items.done, result.items.unknown) == (2, 1)
    untouched = [effect["id"] for effect in bench.world.effects() if effect["kind"] == "untouch"]
    assert untouched == ["b", "a", "c"]
