"""Built-in activities: keeping what workflows decide, loading outputs, clocks and drafts."""

import pytest
from temporalio.exceptions import ApplicationError

from activities.builtin.activities import builtin_activities
from activities.builtin.duties import Duties
from activities.builtin.keeping import Keeping
from playbooks.contract import NewEntry, Notice
from playbooks.regimes_loader import shipped
from tests.unit.test_runner import INCIDENT, Bench
from workflows.messages import ClocksInput, DraftsInput, LoadInput, LoadRun, RecordInput

NOW = "2026-01-02T00:00:00.000000Z"


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "lab")


async def test_entries_notices_and_snapshot_are_kept_once(bench):
    keeping = Keeping(bench.store)
    given = RecordInput(
        incident=INCIDENT,
        run="r",
        entries=(NewEntry(key="a", kind="decision", at=NOW),),
        notices=(Notice(id="n", incident=INCIDENT),),
        snapshot={"status": "running"},
        version=2,
        sign=True,
    )
    assert (await keeping.record(given)).written == 1
    assert (await keeping.record(given)).written == 0
    older = RecordInput(incident=INCIDENT, run="r", snapshot={"status": "new"}, version=1)
    await keeping.record(older)
    assert bench.store.incidents.snapshots["r"][1] == {"status": "running"}
    assert list(bench.store.notices.kept) == ["n"]
    assert bench.store.journal.signed == ["decision", "decision"]


async def test_outputs_come_back_wherever_they_lie(bench):
    keeping = Keeping(bench.store)
    await bench.run(bench.call("lab.count", {}, step="s"))
    outcome = f"outcome:{bench.key()}"
    large = await bench.run(bench.call("lab.big", {"bytes": 70_000}, step="t"))
    loaded = await keeping.load_outputs(LoadInput(incident=INCIDENT, refs=(outcome, large.output_ref.ref)))
    assert loaded.values[outcome] == {"count": 1}
    assert loaded.values[large.output_ref.ref]["count"] == 70_000


@pytest.mark.parametrize("ref", ["outcome:none", "sha256:none"])
async def test_an_output_that_is_gone_is_told_for_good(bench, ref):
    with pytest.raises(ApplicationError, match="no longer in the store") as caught:
        await Keeping(bench.store).load_outputs(LoadInput(incident=INCIDENT, refs=(ref,)))
    assert (caught.value.type, caught.value.non_retryable) == ("EvidenceMissing", True)
    with pytest.raises(ApplicationError, match="not in the store"):
        await Keeping(bench.store).load_run(LoadRun(incident=INCIDENT, run="none"))


async def test_a_store_that_is_away_is_tried_again(bench):
    bench.store.away = 1
    with pytest.raises(ApplicationError) as caught:
        await Keeping(bench.store).record(RecordInput(incident=INCIDENT))
    assert (caught.value.type, caught.value.non_retryable) == ("JournalUnavailable", False)
    assert "locked" not in str(caught.value)


async def test_clocks_and_drafts_are_made_and_kept(bench):
    duties = Duties(bench.store, shipped(), {"country": "DE", "name": "Acme"})
    facts = {"personal_data": True, "detected_at": "2026-01-01T00:00:00Z"}
    clocks = await duties.compute_clocks(ClocksInput(incident=INCIDENT, facts=facts, now=NOW))
    regimes = {clock["regime"] for clock in clocks.clocks}
    assert regimes
    assert clocks.versions
    clock = next(clock for clock in clocks.clocks if shipped().regimes[clock["regime"]].stage(clock["stage"]).fields)
    wanted = ((clock["regime"], clock["stage"]),)
    given = DraftsInput(incident=INCIDENT, run="r", step="d", facts=facts, wanted=wanted, now=NOW)
    drafts = await duties.write_drafts(given)
    assert [(draft["regime"], draft["stage"]) for draft in drafts.drafts] == list(wanted)
    assert len(bench.store.drafts.kept) == 1
    with pytest.raises(ApplicationError) as caught:
        await duties.write_drafts(given.model_copy(update={"wanted": (("no", "such"),)}))
    assert caught.value.non_retryable


def test_every_builtin_has_the_name_that_workflows_call(bench):
    names = {fn.__temporal_activity_definition.name for fn in builtin_activities(bench.store, shipped(), {})}
    assert names == {
        "stanch.record",
        "stanch.load_outputs",
        "stanch.load_run",
        "stanch.compute_clocks",
        "stanch.write_drafts",
    }
