"""The desk's way of getting an update to a workflow that continues as new, has ended, or has no worker."""

import asyncio
import uuid
from datetime import timedelta

import pytest
import pytest_asyncio
from pydantic import BaseModel
from temporalio import workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from worker.desk.delivery import deliver
from worker.desk.refusals import DeskRefusal
from workflows.messages import PauseRequest, Receipt


class Counted(BaseModel):
    votes: list[str] = []
    rounds: int = 0
    last: int = 25
    wanted: int = 0


@workflow.defn
class Restless:
    """Counts votes and continues as new every few milliseconds, ``last`` times and until it has ``wanted`` votes."""

    @workflow.init
    def __init__(self, given: Counted) -> None:
        self.state = given

    @workflow.run
    async def run(self, given: Counted) -> list[str]:
        await workflow.sleep(timedelta(milliseconds=20))
        await workflow.wait_condition(workflow.all_handlers_finished)
        self.state.rounds += 1
        if self.state.rounds >= self.state.last and len(self.state.votes) >= self.state.wanted:
            return self.state.votes
        workflow.continue_as_new(self.state)

    @workflow.update
    def vote(self, request: PauseRequest) -> Receipt:
        if request.person not in self.state.votes:
            self.state.votes.append(request.person)
        return Receipt(accepted=True, message=request.person)


@pytest_asyncio.fixture(loop_scope="session")
async def plain_engine(temporal_server):
    return await Client.connect(temporal_server.address, namespace="tests", data_converter=pydantic_data_converter)


def queue():
    return f"doors-{uuid.uuid4().hex[:8]}"


async def test_no_vote_is_lost_or_doubled_while_the_workflow_continues_as_new(plain_engine):
    name, people = queue(), [f"p{number}" for number in range(12)]
    async with Worker(plain_engine, task_queue=name, workflows=[Restless], workflow_runner=UnsandboxedWorkflowRunner()):
        handle = await plain_engine.start_workflow(
            Restless.run,
            Counted(last=80, wanted=len(people)),
            id=name,
            task_queue=name,
            task_timeout=timedelta(seconds=2),
        )

        async def one(number, person):
            await asyncio.sleep(0.05 * number)
            return await deliver(plain_engine, name, "vote", PauseRequest(person=person), Receipt, f"u-{person}")

        receipts = await asyncio.gather(*(one(number, person) for number, person in enumerate(people)))
        assert [receipt.message for receipt in receipts] == people
        assert sorted(await handle.result()) == sorted(people)


async def test_a_workflow_that_has_ended_is_closed_and_one_that_never_was_too(plain_engine):
    name = queue()
    async with Worker(plain_engine, task_queue=name, workflows=[Restless], workflow_runner=UnsandboxedWorkflowRunner()):
        handle = await plain_engine.start_workflow(Restless.run, Counted(last=1), id=name, task_queue=name)
        await handle.result()
        for workflow_id in (name, "run/never"):
            with pytest.raises(DeskRefusal) as refused:
                await deliver(plain_engine, workflow_id, "vote", PauseRequest(person="ana"), Receipt, "u1")
            assert refused.value.code == "closed"


async def test_a_request_that_cannot_be_read_is_refused_and_the_workflow_goes_on(plain_engine):
    name = queue()
    async with Worker(plain_engine, task_queue=name, workflows=[Restless], workflow_runner=UnsandboxedWorkflowRunner()):
        handle = await plain_engine.start_workflow(Restless.run, Counted(last=40), id=name, task_queue=name)
        with pytest.raises(DeskRefusal) as refused:
            await deliver(plain_engine, name, "vote", Counted(), Receipt, "u1")
        assert refused.value.code == "bad_value"
        await handle.terminate()


async def test_without_a_worker_the_person_hears_so(plain_engine):
    name = queue()
    handle = await plain_engine.start_workflow("Restless", Counted(), id=name, task_queue=name)
    hasty = {"patience": 0.6, "one_try": timedelta(seconds=0.3)}
    with pytest.raises(DeskRefusal) as refused:
        await deliver(plain_engine, name, "vote", PauseRequest(person="ana"), Receipt, "u1", **hasty)
    assert refused.value.code == "no_worker"
    assert "not confirmed" in refused.value.message
    await handle.terminate()
