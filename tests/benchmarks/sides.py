"""No-op actions, one after another and at once: by a workflow written by hand, and as a playbook run.

The sides differ by one thing each, so that what every part costs is seen apart: an activity of nothing; by hand,
with the very actions that Stanch calls, on a store in memory; with the payload codec; with the journal on SQLite;
and Stanch, whole. All are measured against by hand.
"""

import asyncio
import time
import uuid
from dataclasses import dataclass

from playbooks.compile import compile_plan
from playbooks.contract import ActionCall, RunContext, Verb
from playbooks.loader import Library, load_text
from playbooks.policy import Policy
from tests.benchmarks.figures import Sample
from tests.benchmarks.house import BARE, SEALED, House
from tests.lab import LAB_ACTIONS
from worker.desk.starts import snapshot_of
from worker.desk.times import stamp
from workflows.messages import RunInput
from workflows.state import Fact

ACTIONS = {spec.name: spec.facts for spec in LAB_ACTIONS}
PATIENCE = 60.0
BASE = "by hand"
"""The baseline: a workflow written by hand that calls the same activities."""


@dataclass(frozen=True)
class Shape:
    """What is compared: so many no-ops in a sequence or at once."""

    name: str
    count: int
    by_hand: str

    def playbook(self) -> str:
        """The playbook of it."""
        head = f"stanch: 1\nid: bench-{self.name}\nversion: 1.0.0\ntitle: Nothing, {self.count} times\nsteps:\n"
        step = "{{id: s{number}, action: lab.noop}}"
        if self.by_hand == "BareSequence":
            return head + "".join(f"  - {step.format(number=number)}\n" for number in range(self.count))
        branches = (f"      b{number}: [{step.format(number=number)}]\n" for number in range(self.count))
        return head + "  - id: all\n    parallel:\n" + "".join(branches)


SEQUENCE = Shape("sequence", 30, "BareSequence")
PARALLEL = Shape("parallel", 10, "BareParallel")


@dataclass(frozen=True)
class Side:
    """One way to do it. ``queue`` is the hand-written workflow's, ``activities`` that of its activities; ``calls``
    says that they are Stanch's."""

    name: str
    queue: str = ""
    activities: str = ""
    calls: bool = True


def sides(house: House) -> tuple[Side, ...]:
    """All ways; the last is Stanch."""
    return (
        Side("an empty activity", BARE, BARE, calls=False),
        Side(BASE, BARE, BARE),
        Side("+ codec", SEALED, SEALED),
        Side("+ journal", SEALED, f"{house.settings.queue_prefix}-lab"),
        Side("Stanch, whole"),
    )


async def measure(house: House, side: Side, shape: Shape) -> tuple[Sample, str]:
    """Do it once: the time from asking for the workflow to having its result, and the workflow's id."""
    incident = _opened(house)
    if side.queue:
        return await _by_hand(house, side, shape, incident)
    await _begun(house, incident)
    run = _saved(house, shape, incident)
    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.timeout(PATIENCE):
        await house.starts.resume(incident, run)
        await house.client.get_workflow_handle(run).result()
    sample = Sample((time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000)
    await house.end(f"incident/{incident}")
    return sample, run


async def _begun(house: House, incident: str) -> None:
    """The incident is open and has written its first books: what is measured is a run in it. What opening one costs
    is part of the time from an alert to the first action."""
    await house.starts.for_alert(incident, {})
    async with asyncio.timeout(PATIENCE):
        while house.store.incidents.snapshot(f"incident/{incident}") is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _by_hand(house: House, side: Side, shape: Shape, incident: str) -> tuple[Sample, str]:
    given = {"count": shape.count, "queue": side.activities, "activity": "lab.noop" if side.calls else "bare.noop"}
    name = f"by-hand/{uuid.uuid4().hex}"
    if side.calls:
        given["calls"] = [_call(house, incident, number).model_dump(mode="json") for number in range(shape.count)]
    client = house.clients[side.queue]
    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.timeout(PATIENCE):
        await client.execute_workflow(shape.by_hand, given, id=name, task_queue=side.queue)
    return Sample((time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000), name


def _opened(house: House) -> str:
    facts = {"kind": "unknown", "severity": 3, "title": "Bench", "org": "bench"}
    facts |= dict.fromkeys(("opened_at", "detected_at", "first_seen"), stamp())
    return house.store.incidents.open(
        title="Bench",
        kind="unknown",
        severity=3,
        facts={name: Fact(value=value, trust="alert").model_dump(mode="json") for name, value in facts.items()},
        opened_by="bench",
    )


def _saved(house: House, shape: Shape, incident: str) -> str:
    """Compile and save a run, as the desk does before it starts one."""
    source, problems = load_text(shape.playbook(), "bench.yaml")
    assert source is not None, problems
    record = house.store.incidents.get(incident)
    assert record is not None
    facts = snapshot_of(record)
    compiled = compile_plan(
        source,
        library=Library.of(),
        actions=ACTIONS,
        policy=Policy(),
        inputs={},
        incident=facts.values(),
        context=RunContext(mode=house.settings.mode),
    )
    assert compiled.plan is not None, compiled.problems
    run = f"run/{incident}/{source.playbook.id}/1"
    given = RunInput(
        run=run,
        incident=incident,
        lineage=run,
        plan=compiled.plan,
        plan_digest=compiled.digest,
        facts=facts,
        queue_prefix=house.settings.queue_prefix,
    )
    house.store.incidents.save_plan(incident, run, compiled.plan.model_dump(mode="json"), compiled.digest)
    house.store.incidents.save_run(run, incident, given.model_dump(mode="json"))
    return run


def _call(house: House, incident: str, number: int) -> ActionCall:
    """What the interpreter would give the activity of a step."""
    run = f"run/{incident}/by-hand/1"
    return ActionCall(
        action="lab.noop",
        version=1,
        verb=Verb.APPLY,
        params={},
        incident=incident,
        run=run,
        lineage=run,
        step=f"s{number}",
        tries=1,
        context=RunContext(mode=house.settings.mode),
        plan_digest="0" * 64,
    )
