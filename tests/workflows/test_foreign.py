"""Workflows of others: started once through the gate of all effects, awaited over executions, taken over if there."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.catalog import Catalog
from activities.foreign import ForeignType, foreign_action
from playbooks.contract import FOREIGN, FieldFacts, Risk
from tests.lab import LAB_ACTIONS, connect_lab
from tests.stage import Running, Stage, actor, shown
from tests.workflows.test_continue_as_new import executions, meant
from tests.workflows.test_passes import output_of, statuses
from worker.edge import secrets_of
from worker.foreign_temporal import TemporalForeign
from worker.systems import ConnectedSystems
from workflows.messages import Thresholds

HEAD = "stanch: 1\nid: foreign\nversion: 1.0.0\ntitle: Foreign\nsteps:\n"
STEPS = """
  - id: train
    workflow: {type: retrain, with: {model: "{{ incident.title }}", seconds: SECONDS}}
  - {id: end, action: lab.read, with: {value: "{{ steps.train.version | default('none') }}"}}
"""


@workflow.defn(name="Retrain")
class Retrain:
    """Somebody else's: waits, then gives a version, or fails if it is told to."""

    @workflow.run
    async def run(self, given: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(given["seconds"])
        if given["model"] == "bad":
            raise ApplicationError("sid=hunter2", type="Diverged", non_retryable=True)
        return {"version": 7 if given["model"] == "odd" else f"{given['model']}-2", "secret": "not declared"}


def kind(queue: str, **more: Any) -> ForeignType:
    """The declared type."""
    inputs = {"model": FieldFacts(type="string"), "seconds": FieldFacts(type="integer", required=False, default=0)}
    given = {"risk": Risk.CHANGE, "owner": "crm_owner", "irreversible": "It learns.", "inputs": inputs}
    outputs = {"version": FieldFacts(type="string")}
    return ForeignType("retrain", "Retrain", queue, title="Retrain", **{**given, "outputs": outputs, **more})


class Premises:
    """A stage with somebody else's worker beside it."""

    def __init__(self, stage: Stage, foreign: Client, catalog: Catalog) -> None:
        self.stage, self.foreign, self.catalog = stage, foreign, catalog

    async def start(self, seconds: int = 0, **more: Any) -> Running:
        """Start the playbook."""
        text = HEAD + STEPS.replace("SECONDS", str(seconds))
        return await self.stage.start(text, actions=self.catalog.facts(), **more)


@pytest.fixture
async def house(worker_env: Any) -> AsyncIterator[Premises]:
    """The declared type, its worker, and Stanch's workers that know it."""
    queue = f"ml-{uuid.uuid4().hex[:8]}"
    catalog = Catalog([*LAB_ACTIONS, foreign_action(kind(queue))])
    connects = {"lab": connect_lab, FOREIGN: lambda _config, _vault: TemporalForeign(worker_env.client)}
    lab = {"lab": {"folder": str(worker_env.world.folder)}}
    systems = ConnectedSystems(lab, secrets_of(worker_env.settings), connects)
    foreign = await Client.connect(
        worker_env.server.address, namespace=worker_env.client.namespace, data_converter=pydantic_data_converter
    )
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(worker_env.workers(catalog=catalog, systems=systems))
        worker = Worker(
            foreign, task_queue=queue, workflows=[Retrain], workflow_runner=UnsandboxedWorkflowRunner(),
        )  # fmt: skip
        await stack.enter_async_context(worker)
        yield Premises(Stage(worker_env), foreign, catalog)


async def test_it_is_previewed_approved_started_and_awaited(house: Premises) -> None:
    run = await house.start()
    gate = await run.waiting("train", 8)
    card = gate["preview"][0]
    assert "Retrain" in card["summary"] and card["params"] == {"model": "Test", "seconds": 0}
    assert (card["reversible"], card["irreversible_because"]) == (False, "It learns.")
    await run.decide("train", "amal")
    status = await run.ended(25)
    assert status["status"] == "done", shown(status)
    assert output_of(run, "end") == "Test-2"
    started = [entry for entry in run.entries() if entry["kind"] == "workflow.started"]
    assert [entry["body"]["workflows"] for entry in started] == [[f"wf/{run.run}/train"]]
    kinds = run.kinds()
    assert kinds.index("decision.accepted") < kinds.index("action.intent") < kinds.index("workflow.started")


async def test_a_denied_start_starts_nothing(house: Premises) -> None:
    run = await house.start()
    await run.decide("train", "amal", "deny")
    status = await run.ended(25)
    assert (statuses(status)["train"], output_of(run, "end")) == ("denied", "none")
    with pytest.raises(Exception, match="not found"):
        await house.foreign.get_workflow_handle(f"wf/{run.run}/train").describe()


async def test_a_failure_says_no_more_than_its_type(house: Premises) -> None:
    run = await house.start(facts={"title": "bad"})
    await run.decide("train", "amal")
    gate = await run.waiting("train", 15, kind="failure")
    assert "workflow_failed" in gate["question"] and "Diverged" in gate["question"]
    assert "hunter2" not in str(await run.status()) + str(run.entries())
    await run.decide("train", "amal", "retry")
    await run.until(
        lambda status: any(each["step"] == "train" and each["kind"] == "approve" for each in status["waiting"])
    )
    await run.decide("train", "bo")
    await run.waiting("train", 15, kind="failure")
    started = [entry["body"]["workflows"] for entry in run.entries() if entry["kind"] == "workflow.started"]
    assert started == [[f"wf/{run.run}/train"], [f"wf/{run.run}/train~1"]]
    await run.decide("train", "amal", "skip")
    await run.ended(25)
    assert output_of(run, "end") == "none"


async def test_an_output_of_another_type_is_a_failure(house: Premises) -> None:
    run = await house.start(facts={"title": "odd"})
    await run.decide("train", "amal")
    gate = await run.waiting("train", 15, kind="failure")
    assert "version is not string" in gate["question"]
    await run.handle.cancel()
    await run.ended(25)


async def test_a_hold_stops_the_start(house: Premises) -> None:
    run = await house.start()
    gate = await run.waiting("train", 8)
    house.stage.store.hold.set("look", "cleo")
    await run.decide("train", "amal", digest=gate["digest"])
    await run.until(lambda status: any(step["waiting_for"] == "held" for step in status["steps"]))
    with pytest.raises(Exception, match="not found"):
        await house.foreign.get_workflow_handle(f"wf/{run.run}/train").describe()
    await run.handle.cancel()
    assert (await run.ended(25))["status"] == "cancelled"


async def test_one_that_is_there_already_is_taken_over(house: Premises) -> None:
    run = await house.start()
    gate = await run.waiting("train", 8)
    queue = house.catalog.spec("workflow.retrain").body.kind.queue
    await house.foreign.start_workflow(
        "Retrain", {"model": "earlier", "seconds": 0}, id=f"wf/{run.run}/train", task_queue=queue
    )
    await run.decide("train", "amal", digest=gate["digest"])
    await run.ended(25)
    assert output_of(run, "end") == "earlier-2"


async def test_a_cancelled_run_leaves_it_running_and_says_so(house: Premises) -> None:
    run = await house.start(600)
    await run.decide("train", "amal")
    await run.until(lambda status: any(step["waiting_for"] == "workflow.retrain" for step in status["steps"]))
    await run.handle.cancel()
    status = await run.until(lambda status: any("goes on" in warning for warning in status["warnings"]))
    assert next(step for step in status["steps"] if step["path"] == "train")["code"] == "cancelled"
    described = await house.foreign.get_workflow_handle(f"wf/{run.run}/train").describe()
    assert described.status is not None and described.status.name == "RUNNING"
    await house.foreign.get_workflow_handle(f"wf/{run.run}/train").terminate()
    await run.ended(25)


async def test_the_same_entries_over_executions(house: Premises) -> None:
    found = []
    for thresholds in (Thresholds(), Thresholds(soft_events=12, hard_events=200)):
        run = await house.start(2, thresholds=thresholds)
        await run.decide("train", "amal")
        status = await run.ended(25)
        assert (status["status"], output_of(run, "end")) == ("done", "Test-2"), shown(status)
        assert (await executions(run) > 1) is (thresholds.soft_events < 2000)
        entries = {
            place: [(kind, text.replace(run.incident, "ID")) for kind, text in those]
            for place, those in meant(run).items()
        }
        found.append(entries)
    assert found[0] == found[1]


async def test_a_rerun_of_one_that_ended_badly_starts_another(house: Premises) -> None:
    run = await house.start(facts={"title": "bad"})
    await run.decide("train", "amal")
    await run.waiting("train", 15, kind="failure")
    await run.decide("train", "amal", "stop")
    assert (await run.ended(25))["status"] == "failed"
    desk = house.stage.desk()
    await desk.life.set_fact(run.incident, actor("cleo"), "title", "good")
    for _ in range(200):
        if house.stage.store.incidents.get(run.incident)["facts"]["title"]["value"] == "good":
            break
        await asyncio.sleep(0.05)
    both = await asyncio.gather(
        *(desk.aftermath.rerun(run.incident, actor(person)) for person in ("bo", "cleo")), return_exceptions=True
    )
    codes = [each.code for each in both]
    assert sorted(codes) == ["already_started", "ok"], both
    later = house.stage.running(run.incident, f"run/{run.incident}/foreign/2")
    assert (await later.waiting("train", 8))["preview"][0]["params"]["model"] == "good"
    await later.decide("train", "amal")
    assert (await later.ended(25))["status"] == "done" and output_of(later, "end") == "good-2"
    started = [entry["body"]["workflows"] for entry in run.entries() if entry["kind"] == "workflow.started"]
    assert started == [[f"wf/{run.run}/train"], [f"wf/{run.run}/train~1"]]
