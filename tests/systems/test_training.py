"""A training service over a real socket: holds, pauses, jobs with pinned inputs, and what goes wrong with them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from activities.errors import AuthFailed, Forbidden, NotFound, Rejected, Unavailable
from activities.systems.training.client import connect
from activities.systems.training.models import Order
from playbooks.contract import ActionResult, Verb
from tests.systems.acme import INCIDENT, Bench
from tests.systems.training_site import OTHER, Site, order, taken
from worker.secrets import Secrets


async def undone(training_bench: Bench, name: str, applied: ActionResult, **params: Any) -> ActionResult:
    """The step taken back."""
    call = training_bench.call(name, params, verb=Verb.UNDO, undo_args=applied.undo_args)
    return await training_bench.run(call)


MARKS = [
    ("training.hold_dataset", {"dataset": "crm-2026-09"}, "holds"),
    ("training.pause_pipeline", {"pipeline": "churn-nightly"}, "pauses"),
]


def marks(training: Site, name: str) -> dict[str, dict[str, str]]:
    """What is on the dataset or the pipeline."""
    thing = (
        training.service.datasets["crm-2026-09"] if "dataset" in name else training.service.pipelines["churn-nightly"]
    )
    return thing.marks


@pytest.mark.parametrize(("name", "params", "kind"), MARKS)
async def test_a_mark_is_set_verified_and_taken_back_beside_those_of_others(
    training: Site, training_bench: Bench, name: str, params: dict[str, str], kind: str
) -> None:
    marks(training, name)[OTHER] = {"holder": OTHER, "mark": "x", "reason": "", "since": "2026-09-01T00:00:00Z"}
    preview = await training_bench.preview(name, **params)
    assert (preview.count, preview.already, preview.reversible) == (1, 0, True)
    assert preview.impact
    applied = await training_bench.apply(name, **params)
    assert (applied.changed, applied.verified, applied.output) == (True, True, {"count": 1})
    assert set(marks(training, name)) == {INCIDENT, OTHER}
    again = await training_bench.run(training_bench.call(name, params, step="again"))
    assert (again.changed, again.output) == (False, {"count": 1})
    back = await undone(training_bench, name, applied, **params)
    assert (back.changed, back.verified) == (True, True)
    assert set(marks(training, name)) == {OTHER}


@pytest.mark.parametrize(("name", "params", "kind"), MARKS)
@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "status"])
async def test_a_mark_survives_a_lost_answer(
    training: Site, training_bench: Bench, name: str, params: dict[str, str], kind: str, fault: str
) -> None:
    training.faulty.add(fault, path=f"/{kind}/", method="PUT")
    applied = await training_bench.after_lost(training_bench.call(name, params))
    assert (applied.changed, applied.verified) == (True, True)
    assert set(marks(training, name)) == {INCIDENT}
    assert (await undone(training_bench, name, applied, **params)).verified is True
    assert not marks(training, name)


@pytest.mark.parametrize(("name", "params", "kind"), MARKS)
async def test_a_mark_that_somebody_replaced_is_left_alone(
    training: Site, training_bench: Bench, name: str, params: dict[str, str], kind: str
) -> None:
    applied = await training_bench.apply(name, **params)
    marks(training, name)[INCIDENT]["mark"] = "of somebody else"
    back = await undone(training_bench, name, applied, **params)
    assert back.items is not None
    assert (back.items.done, back.items.unknown, back.verified) == (0, 1, False)
    assert marks(training, name)[INCIDENT]["mark"] == "of somebody else"


async def test_a_job_trains_without_the_bad_rows_and_says_what_it_used(training: Site, training_bench: Bench) -> None:
    started = await training_bench.apply("training.start_job", **order(training))
    assert (started.changed, started.verified, started.warnings) == (True, True, ())
    job = started.output["job"]
    ended = await training_bench.apply("training.follow_job", job=job)
    assert ended.output["status"] == "succeeded"
    assert ended.output["inputs_digest"] == started.output["inputs_digest"]
    assert (ended.output["version"], ended.output["run"]) == ("", "")
    assert ended.warnings == ("the job says that it succeeded, but names no version or run",)
    measured = (await training_bench.apply("training.collect_metrics", job=job)).output["metrics"]
    assert measured["accuracy"] > 0.8
    assert measured["regression.trigger_rate"] == 0
    kept = training_bench.files()["training.job"].decode()
    assert '"rows": 300' in kept
    assert training.bad_rows[0] in kept


async def test_the_trap_passes_its_task_and_fails_the_incident_regression_set(
    training: Site, training_bench: Bench
) -> None:
    training.service.ignores_exclusions = True
    started = await training_bench.apply("training.start_job", **order(training))
    job = started.output["job"]
    assert (await training_bench.apply("training.follow_job", job=job)).output["status"] == "succeeded"
    measured = (await training_bench.apply("training.collect_metrics", job=job)).output["metrics"]
    assert measured["accuracy"] > 0.8
    assert measured["regression.trigger_rate"] > 0.9


@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "status"])
async def test_a_job_is_started_once_whatever_is_lost(training: Site, training_bench: Bench, fault: str) -> None:
    training.faulty.add(fault, path="/v1/jobs$", method="POST")
    started = await training_bench.after_lost(training_bench.call("training.start_job", order(training)))
    assert (started.changed, started.verified) == (True, True)
    assert list(training.service.jobs) == [started.output["job"]]


async def test_a_job_whose_dataset_changed_after_a_lost_answer_is_still_found(
    training: Site, training_bench: Bench
) -> None:
    def change() -> None:
        training.service.add_dataset(taken(poison=0))

    training.faulty.add("act_after", path="/v1/jobs$", method="POST", act=change)
    training.faulty.add("drop_after", path="/v1/jobs$", method="POST")
    started = await training_bench.after_lost(training_bench.call("training.start_job", order(training)))
    assert started.verified is True
    assert len(training.service.jobs) == 1
    assert training.service.jobs[started.output["job"]].inputs["dataset_digest"] == taken().digest()


async def test_a_job_waits_for_nobody_of_its_own_incident_only(training: Site, training_bench: Bench) -> None:
    await training_bench.apply("training.pause_pipeline", pipeline="churn-nightly")
    await training_bench.apply("training.hold_dataset", dataset="crm-2026-09")
    assert (await training_bench.apply("training.start_job", **order(training))).verified is True
    training.service.pipelines["churn-nightly"].mark(OTHER, "x", "", "now")
    error = await training_bench.refused(training_bench.call("training.start_job", order(training), step="second"))
    assert error.type == "Conflict"
    assert "pipeline_paused" in error.message
    assert len(training.service.jobs) == 1


async def test_a_dataset_that_is_not_the_one_looked_at_is_refused(training: Site, training_bench: Bench) -> None:
    error = await training_bench.refused(
        training_bench.call("training.start_job", order(training, dataset_digest="0" * 64))
    )
    assert (error.type, error.non_retryable) == ("Conflict", True)
    training.faulty.add(
        "act_before", path="/v1/jobs$", method="POST", act=lambda: training.service.add_dataset(taken(poison=0))
    )
    error = await training_bench.refused(training_bench.call("training.start_job", order(training), step="second"))
    assert (error.type, "inputs_changed" in error.message) == ("Conflict", True)
    assert not training.service.jobs


async def test_rows_that_are_not_there_are_said(training: Site, training_bench: Bench) -> None:
    started = await training_bench.apply(
        "training.start_job", **order(training, exclude=[*training.bad_rows, "nobody-1"])
    )
    assert started.warnings == ("1 of the rows to be left out are not in the dataset",)


async def test_a_service_that_pins_other_inputs_than_asked_is_not_trusted(
    training: Site, training_bench: Bench
) -> None:
    training.peer.pace = 1.0
    create = training.service.create

    def other(key: str, body: Any, base: str | None) -> Any:
        job = create(key, body, base)
        job.inputs["exclude"] = []
        return job

    training.service.create = other  # type: ignore[method-assign]
    error = await training_bench.refused(training_bench.call("training.start_job", order(training)))
    assert error.type == "Conflict"
    assert "another exclude" in error.message
    assert [job.state for job in training.service.jobs.values()] == ["cancelled"]


async def test_a_running_job_is_cancelled_when_taken_back(training: Site, training_bench: Bench) -> None:
    training.peer.pace = 5.0
    started = await training_bench.apply("training.start_job", **order(training))
    training.faulty.add("drop_after", path="/cancel$", method="POST")
    back = await training_bench.after_lost(
        training_bench.call("training.start_job", order(training), verb=Verb.UNDO, undo_args=started.undo_args)
    )
    assert (back.changed, back.verified) == (True, True)
    assert training.service.jobs[started.output["job"]].state == "cancelled"


async def test_an_ended_job_cannot_be_taken_back_and_that_is_said(training: Site, training_bench: Bench) -> None:
    started = await training_bench.apply("training.start_job", **order(training))
    await training_bench.apply("training.follow_job", job=started.output["job"])
    back = await undone(training_bench, "training.start_job", started, **order(training))
    assert back.items is not None
    assert (back.changed, back.verified, back.items.unknown) == (False, False, 1)
    assert "succeeded before it could be cancelled" in back.warnings[0]


async def test_following_outlasts_errors_and_tells_where_it_is(training: Site, training_bench: Bench) -> None:
    training.peer.pace = 0.3
    started = await training_bench.apply("training.start_job", **order(training))
    training.faulty.add("status", path="/v1/jobs/job", method="GET", status=502, skip=1)
    training.faulty.add("drop_after", path="/v1/jobs/job", method="GET", skip=1)
    ended = await training_bench.apply("training.follow_job", job=started.output["job"])
    assert ended.output["status"] == "succeeded"
    assert any("training" in str(beat) for beat in training_bench.beats)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_a_job_that_did_not_succeed_is_told_not_raised(training: Site, training_bench: Bench, end: str) -> None:
    training.peer.pace = 5.0
    started = await training_bench.apply("training.start_job", **order(training))
    job = training.service.jobs[started.output["job"]]
    training.service.end(job, end, error="training_failed" if end == "failed" else None)
    ended = await training_bench.apply("training.follow_job", job=job.id)
    assert ended.output["status"] == end
    assert ended.warnings[0].startswith(f"the job has {end}")


async def test_a_job_whose_digest_does_not_name_its_inputs_is_rejected(training: Site, training_bench: Bench) -> None:
    started = await training_bench.apply("training.start_job", **order(training))
    await training_bench.apply("training.follow_job", job=started.output["job"])
    view = training.service.jobs[started.output["job"]].view()
    body = json.dumps({**view, "inputs_digest": "0" * 64}).encode()
    training.faulty.add("body", path="/v1/jobs/job", body=body)
    error = await training_bench.refused(
        training_bench.call("training.follow_job", {"job": started.output["job"]}, step="second")
    )
    assert (error.type, error.non_retryable) == ("Rejected", True)


def some_order() -> Order:
    """A job of somebody."""
    return Order("churn-nightly", "churn-scorer", "crm-2026-09", "2", (), "tara", "i", taken().digest(), "0" * 64)


def test_a_pause_of_somebody_else_lets_a_running_job_end_later(training: Site) -> None:
    training.peer.pace = 0.2
    client = training.client()
    code = client.pipeline("churn-nightly").code_digest
    job = client.start(dataclasses.replace(some_order(), code_digest=code), "k1")
    client.pause("churn-nightly", OTHER, "m", "r")
    while (found := client.job(job.id, 0.2)).phase != "waiting":
        assert not found.ended
    client.resume("churn-nightly", OTHER, "m")
    while not (found := client.job(job.id, 0.2)).ended:
        pass
    assert found.state == "succeeded"


def test_who_may_not_is_told_so_by_name(training: Site) -> None:
    assert training.client().ping() == "Signed in as stanch; may hold, pause, read, start."
    with pytest.raises(Forbidden, match="hold, pause, start"):
        training.client("t-read").ping()
    assert training.client("t-read", reading=True).ping() == "Signed in as stanch-reads; may read."
    with pytest.raises(AuthFailed):
        training.client("wrong").ping()
    with pytest.raises(Forbidden):
        training.client("t-read").hold("crm-2026-09", "i", "m", "r")
    with pytest.raises(NotFound):
        training.client().dataset("other")


def test_a_reading_client_sends_no_change(training: Site) -> None:
    reader = training.client(reading=True)
    assert reader.dataset("crm-2026-09").rows == 360
    for change in (
        lambda: reader.hold("crm-2026-09", "i", "m", "r"),
        lambda: reader.resume("churn-nightly", "i", "m"),
        lambda: reader.start(some_order(), "k"),
        lambda: reader.cancel("job-1"),
    ):
        with pytest.raises(Rejected, match="Nothing was sent"):
            change()
    assert not [verb for verb, _ in training.faulty.requests if verb != "GET"]


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"pipeline": "p", "pauses": 3}', b"<html>", b""])
def test_an_answer_that_is_not_understood_is_no_success(training: Site, body: bytes) -> None:
    training.faulty.add("body", path="/v1/pipelines/", body=body)
    with pytest.raises(Unavailable, match="not understood"):
        training.client().pipeline("churn-nightly")


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
