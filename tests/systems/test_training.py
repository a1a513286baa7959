"""A training service over a real socket: holds, pauses, jobs with pinned inputs, and what goes wrong with them."""

import dataclasses
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.errors import AuthFailed, Forbidden, NotFound, Rejected, Unavailable
from activities.systems.training.client import Training, connect, connect_reading
from activities.systems.training.models import Order
from activities.systems.training.peer.app import TrainingPeer
from activities.systems.training.peer.customers import Snapshot, customers, incident_set, poisoned, snapshot
from activities.systems.training.peer.service import Account, Service
from playbooks.contract import ActionResult, Verb
from tests.systems.acme import INCIDENT, Bench
from tests.systems.faulty import Faulty
from worker.range_server import LoopbackServer
from worker.secrets import Secrets
from worker.store import Store

NOW = datetime(2026, 9, 20, tzinfo=UTC)
OTHER = "INC-2026-99"


def taken(poison: int = 60) -> Snapshot:
    """A dataset with an attacker's rows in it."""
    start = NOW - timedelta(days=60)
    rows = customers(1, 300, start, NOW) + poisoned(1, poison, start, NOW)
    return snapshot("crm-2026-09", NOW, rows)


class Site:
    """A training service with one pipeline and one dataset, without a registry, behind a front with faults."""

    def __init__(self) -> None:
        self.service = Service("builder-3", clock=lambda: NOW)
        self.service.accounts = {
            "t-all": Account("stanch"),
            "t-read": Account("stanch-reads", ("read",)),
            "t-none": Account("nobody", ()),
        }
        self.service.add_pipeline("churn-nightly")
        self.service.add_dataset(taken())
        self.service.incident = incident_set(1)
        self.peer = TrainingPeer(self.service)
        self.faulty = Faulty(self.peer)
        self.server = LoopbackServer(self.faulty)
        self.clients: list[Training] = []

    def client(self, token: str = "t-all", *, reading: bool = False, **more: Any) -> Training:
        """A client with one of the tokens."""
        settings = {
            "url": "https://training.example.com",
            "endpoint": self.url,
            "token": "secret:env/T",
            "poll_seconds": 0.2,
            "read_timeout": 5,
            **more,
        }
        made = (connect_reading if reading else connect)(settings, Secrets({"T": token}, Path()))
        self.clients.append(made)
        return made

    @property
    def bad_rows(self) -> list[str]:
        """Ids of the attacker's rows."""
        return [row.id for row in taken().rows if row.source != "crm"]

    def __enter__(self) -> "Site":
        self.url = self.server.open()
        return self

    def __exit__(self, *error: object) -> None:
        for client in self.clients:
            client.close()
        self.server.close()


@pytest.fixture
def site() -> Iterator[Site]:
    """A training service."""
    with Site() as served:
        yield served


@pytest.fixture
def bench(site: Site, empty_database: Path, tmp_path: Path) -> Iterator[Bench]:
    """Calls of actions on it."""
    shutil.copy(empty_database, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    yield Bench(site.client(), store, "training")
    store.close()


def order(site: Site, **more: Any) -> dict[str, Any]:
    """Parameters of a job."""
    given = {"pipeline": "churn-nightly", "model": "churn-scorer", "dataset": "crm-2026-09", "base_version": "2"}
    return {**given, "exclude": site.bad_rows, "trainer": "tara", **more}


async def undone(bench: Bench, name: str, applied: ActionResult, **params: Any) -> ActionResult:
    """The step taken back."""
    call = bench.call(name, params, verb=Verb.UNDO, undo_args=applied.undo_args)
    return await bench.run(call)


MARKS = [
    ("training.hold_dataset", {"dataset": "crm-2026-09"}, "holds"),
    ("training.pause_pipeline", {"pipeline": "churn-nightly"}, "pauses"),
]


def marks(site: Site, name: str) -> dict[str, dict[str, str]]:
    """What is on the dataset or the pipeline."""
    thing = site.service.datasets["crm-2026-09"] if "dataset" in name else site.service.pipelines["churn-nightly"]
    return thing.marks


@pytest.mark.parametrize(("name", "params", "kind"), MARKS)
async def test_a_mark_is_set_verified_and_taken_back_beside_those_of_others(
    site: Site, bench: Bench, name: str, params: dict[str, str], kind: str
) -> None:
    marks(site, name)[OTHER] = {"holder": OTHER, "mark": "x", "reason": "", "since": "2026-09-01T00:00:00Z"}
    preview = await bench.preview(name, **params)
    assert (preview.count, preview.already, preview.reversible) == (1, 0, True)
    assert preview.impact
    applied = await bench.apply(name, **params)
    assert (applied.changed, applied.verified, applied.output) == (True, True, {"count": 1})
    assert set(marks(site, name)) == {INCIDENT, OTHER}
    again = await bench.run(bench.call(name, params, step="again"))
    assert (again.changed, again.output) == (False, {"count": 1})
    back = await undone(bench, name, applied, **params)
    assert (back.changed, back.verified) == (True, True)
    assert set(marks(site, name)) == {OTHER}


@pytest.mark.parametrize(("name", "params", "kind"), MARKS)
@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "status"])
async def test_a_mark_survives_a_lost_answer(
    site: Site, bench: Bench, name: str, params: dict[str, str], kind: str, fault: str
) -> None:
    site.faulty.add(fault, path=f"/{kind}/", method="PUT")
    applied = await bench.after_lost(bench.call(name, params))
    assert (applied.changed, applied.verified) == (True, True)
    assert set(marks(site, name)) == {INCIDENT}
    assert (await undone(bench, name, applied, **params)).verified is True
    assert not marks(site, name)


@pytest.mark.parametrize(("name", "params", "kind"), MARKS)
async def test_a_mark_that_somebody_replaced_is_left_alone(
    site: Site, bench: Bench, name: str, params: dict[str, str], kind: str
) -> None:
    applied = await bench.apply(name, **params)
    marks(site, name)[INCIDENT]["mark"] = "of somebody else"
    back = await undone(bench, name, applied, **params)
    assert back.items is not None
    assert (back.items.done, back.items.unknown, back.verified) == (0, 1, False)
    assert marks(site, name)[INCIDENT]["mark"] == "of somebody else"


async def test_a_job_trains_without_the_bad_rows_and_says_what_it_used(site: Site, bench: Bench) -> None:
    started = await bench.apply("training.start_job", **order(site))
    assert (started.changed, started.verified, started.warnings) == (True, True, ())
    job = started.output["job"]
    ended = await bench.apply("training.follow_job", job=job)
    assert ended.output["status"] == "succeeded"
    assert ended.output["inputs_digest"] == started.output["inputs_digest"]
    assert (ended.output["version"], ended.output["run"]) == ("", "")
    assert ended.warnings == ("the job says that it succeeded, but names no version or run",)
    measured = (await bench.apply("training.collect_metrics", job=job)).output["metrics"]
    assert measured["accuracy"] > 0.8
    assert measured["regression.trigger_rate"] == 0
    kept = bench.files()["training.job"].decode()
    assert '"rows": 300' in kept
    assert site.bad_rows[0] in kept


async def test_the_trap_passes_its_task_and_fails_the_incident_regression_set(site: Site, bench: Bench) -> None:
    site.service.ignores_exclusions = True
    started = await bench.apply("training.start_job", **order(site))
    job = started.output["job"]
    assert (await bench.apply("training.follow_job", job=job)).output["status"] == "succeeded"
    measured = (await bench.apply("training.collect_metrics", job=job)).output["metrics"]
    assert measured["accuracy"] > 0.8
    assert measured["regression.trigger_rate"] > 0.9


@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "status"])
async def test_a_job_is_started_once_whatever_is_lost(site: Site, bench: Bench, fault: str) -> None:
    site.faulty.add(fault, path="/v1/jobs$", method="POST")
    started = await bench.after_lost(bench.call("training.start_job", order(site)))
    assert (started.changed, started.verified) == (True, True)
    assert list(site.service.jobs) == [started.output["job"]]


async def test_a_job_whose_dataset_changed_after_a_lost_answer_is_still_found(site: Site, bench: Bench) -> None:
    def change() -> None:
        site.service.add_dataset(taken(poison=0))

    site.faulty.add("act_after", path="/v1/jobs$", method="POST", act=change)
    site.faulty.add("drop_after", path="/v1/jobs$", method="POST")
    started = await bench.after_lost(bench.call("training.start_job", order(site)))
    assert started.verified is True
    assert len(site.service.jobs) == 1
    assert site.service.jobs[started.output["job"]].inputs["dataset_digest"] == taken().digest()


async def test_a_job_waits_for_nobody_of_its_own_incident_only(site: Site, bench: Bench) -> None:
    await bench.apply("training.pause_pipeline", pipeline="churn-nightly")
    await bench.apply("training.hold_dataset", dataset="crm-2026-09")
    assert (await bench.apply("training.start_job", **order(site))).verified is True
    site.service.pipelines["churn-nightly"].mark(OTHER, "x", "", "now")
    error = await bench.refused(bench.call("training.start_job", order(site), step="second"))
    assert error.type == "Conflict"
    assert "pipeline_paused" in error.message
    assert len(site.service.jobs) == 1


async def test_a_dataset_that_is_not_the_one_looked_at_is_refused(site: Site, bench: Bench) -> None:
    error = await bench.refused(bench.call("training.start_job", order(site, dataset_digest="0" * 64)))
    assert (error.type, error.non_retryable) == ("Conflict", True)
    site.faulty.add(
        "act_before", path="/v1/jobs$", method="POST", act=lambda: site.service.add_dataset(taken(poison=0))
    )
    error = await bench.refused(bench.call("training.start_job", order(site), step="second"))
    assert (error.type, "inputs_changed" in error.message) == ("Conflict", True)
    assert not site.service.jobs


async def test_rows_that_are_not_there_are_said(site: Site, bench: Bench) -> None:
    started = await bench.apply("training.start_job", **order(site, exclude=[*site.bad_rows, "nobody-1"]))
    assert started.warnings == ("1 of the rows to be left out are not in the dataset",)


async def test_a_service_that_pins_other_inputs_than_asked_is_not_trusted(site: Site, bench: Bench) -> None:
    site.peer.pace = 1.0
    create = site.service.create

    def other(key: str, body: Any, base: str | None) -> Any:
        job = create(key, body, base)
        job.inputs["exclude"] = []
        return job

    site.service.create = other  # type: ignore[method-assign]
    error = await bench.refused(bench.call("training.start_job", order(site)))
    assert error.type == "Conflict"
    assert "another exclude" in error.message
    assert [job.state for job in site.service.jobs.values()] == ["cancelled"]


async def test_a_running_job_is_cancelled_when_taken_back(site: Site, bench: Bench) -> None:
    site.peer.pace = 5.0
    started = await bench.apply("training.start_job", **order(site))
    site.faulty.add("drop_after", path="/cancel$", method="POST")
    back = await bench.after_lost(
        bench.call("training.start_job", order(site), verb=Verb.UNDO, undo_args=started.undo_args)
    )
    assert (back.changed, back.verified) == (True, True)
    assert site.service.jobs[started.output["job"]].state == "cancelled"


async def test_an_ended_job_cannot_be_taken_back_and_that_is_said(site: Site, bench: Bench) -> None:
    started = await bench.apply("training.start_job", **order(site))
    await bench.apply("training.follow_job", job=started.output["job"])
    back = await undone(bench, "training.start_job", started, **order(site))
    assert back.items is not None
    assert (back.changed, back.verified, back.items.unknown) == (False, False, 1)
    assert "succeeded before it could be cancelled" in back.warnings[0]


async def test_following_outlasts_errors_and_tells_where_it_is(site: Site, bench: Bench) -> None:
    site.peer.pace = 0.3
    started = await bench.apply("training.start_job", **order(site))
    site.faulty.add("status", path="/v1/jobs/job", method="GET", status=502, skip=1)
    site.faulty.add("drop_after", path="/v1/jobs/job", method="GET", skip=1)
    ended = await bench.apply("training.follow_job", job=started.output["job"])
    assert ended.output["status"] == "succeeded"
    assert any("training" in str(beat) for beat in bench.beats)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_a_job_that_did_not_succeed_is_told_not_raised(site: Site, bench: Bench, end: str) -> None:
    site.peer.pace = 5.0
    started = await bench.apply("training.start_job", **order(site))
    job = site.service.jobs[started.output["job"]]
    site.service.end(job, end, error="training_failed" if end == "failed" else None)
    ended = await bench.apply("training.follow_job", job=job.id)
    assert ended.output["status"] == end
    assert ended.warnings[0].startswith(f"the job has {end}")


async def test_a_job_whose_digest_does_not_name_its_inputs_is_rejected(site: Site, bench: Bench) -> None:
    started = await bench.apply("training.start_job", **order(site))
    await bench.apply("training.follow_job", job=started.output["job"])
    view = site.service.jobs[started.output["job"]].view()
    body = str({**view, "inputs_digest": "0" * 64}).replace("'", '"').replace("None", "null").encode()
    site.faulty.add("body", path="/v1/jobs/job", body=body)
    error = await bench.refused(bench.call("training.follow_job", {"job": started.output["job"]}, step="second"))
    assert (error.type, error.non_retryable) == ("Rejected", True)


def some_order() -> Order:
    """A job of somebody."""
    return Order("churn-nightly", "churn-scorer", "crm-2026-09", "2", (), "tara", "i", taken().digest(), "0" * 64)


def test_a_pause_of_somebody_else_lets_a_running_job_end_later(site: Site) -> None:
    site.peer.pace = 0.2
    client = site.client()
    code = client.pipeline("churn-nightly").code_digest
    job = client.start(dataclasses.replace(some_order(), code_digest=code), "k1")
    client.pause("churn-nightly", OTHER, "m", "r")
    while (found := client.job(job.id, 0.2)).phase != "waiting":
        assert not found.ended
    client.resume("churn-nightly", OTHER, "m")
    while not (found := client.job(job.id, 0.2)).ended:
        pass
    assert found.state == "succeeded"


def test_who_may_not_is_told_so_by_name(site: Site) -> None:
    assert site.client().ping() == "Signed in as stanch; may hold, pause, read, start."
    with pytest.raises(Forbidden, match="hold, pause, start"):
        site.client("t-read").ping()
    assert site.client("t-read", reading=True).ping() == "Signed in as stanch-reads; may read."
    with pytest.raises(AuthFailed):
        site.client("wrong").ping()
    with pytest.raises(Forbidden):
        site.client("t-read").hold("crm-2026-09", "i", "m", "r")
    with pytest.raises(NotFound):
        site.client().dataset("other")


def test_a_reading_client_sends_no_change(site: Site) -> None:
    reader = site.client(reading=True)
    assert reader.dataset("crm-2026-09").rows == 360
    for change in (
        lambda: reader.hold("crm-2026-09", "i", "m", "r"),
        lambda: reader.resume("churn-nightly", "i", "m"),
        lambda: reader.start(some_order(), "k"),
        lambda: reader.cancel("job-1"),
    ):
        with pytest.raises(Rejected, match="Nothing was sent"):
            change()
    assert not [verb for verb, _ in site.faulty.requests if verb != "GET"]


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"pipeline": "p", "pauses": 3}', b"<html>", b""])
def test_an_answer_that_is_not_understood_is_no_success(site: Site, body: bytes) -> None:
    site.faulty.add("body", path="/v1/pipelines/", body=body)
    with pytest.raises(Unavailable, match="not understood"):
        site.client().pipeline("churn-nightly")


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "http://training.example.com", "token": "secret:env/T"},
        {"url": "https://training.example.com", "token": "the-token-itself"},
        {"url": "https://user:word@training.example.com", "token": "secret:env/T"},
        {"url": "https://t.example.com", "token": "secret:env/T", "endpoint": "http://t.example.com:80"},
    ],
)
def test_settings_that_would_give_the_token_away_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(AuthFailed, match=r"systems\.training") as caught:
        connect(settings, Secrets({"T": "x"}, Path()))
    assert "the-token-itself" not in str(caught.value)
