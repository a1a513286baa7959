"""What ran without the sandbox replays within it: no workflow code asks the machine for anything."""

from collections.abc import Sequence

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from tests.stage import Stage
from tests.workflows.curious import Curious
from worker.codec import KeyRing
from worker.run import WORKFLOWS
from worker.sandbox import strict_runner
from worker.temporal import data_converter, replayer

EVERYTHING = """
stanch: 1
id: everything
version: 1.0.0
title: A bit of everything
inputs:
  names: {type: {list: string}, default: [a, b]}
steps:
  - {id: things, action: lab.list_things, with: {prefix: t}}
  - id: both
    parallel:
      left:
        - {id: reads, action: lab.read, for_each: "{{ inputs.names }}", as: name, with: {value: "{{ name }}"}}
      right:
        - {id: flaky, action: lab.fail, with: {kind: transient}, on_failure: continue}
        - {id: again, action: lab.fail, retry: {times: 1, every: 1s}, on_failure: continue}
  - {set: {incident.name: "{{ inputs.names[0] | upper }}"}}
  - {clocks: {fact: aware_at, at: "{{ now() - hours(1) }}"}}
  - {tell: "Things: {{ steps.things.count }}", to: crm_owner}
  - {note: "Noted at {{ now() }}"}
  - id: go
    approve: [end, one]
    by: {roles: [crm_owner], count: 2}
    within: 15m
    on_timeout: [{escalate: incident_commander, within: 15m}, deny]
  - {id: end, phase: contain, action: lab.end_matching, with: {prefix: t}}
  - {id: one, phase: contain, action: lab.touch, with: {name: "{{ incident.name }}"}}
  - {id: pause, wait: {for: 1s}}
always:
  - {draft: applicable}
  - if: "{{ steps.go.approved | default(false) }}"
    then: [{require: "{{ 1 < 2 }}", message: one is less than two}]
"""


async def strictly(histories: Sequence[WorkflowHistory], ring: KeyRing, workflows: Sequence[type]) -> list[str]:
    """Replay in the sandbox; what went wrong."""
    strict = Replayer(workflows=list(workflows), data_converter=data_converter(ring), workflow_runner=strict_runner())
    found = [await strict.replay_workflow(each, raise_on_replay_failure=False) for each in histories]
    return [str(each.replay_failure) for each in found if each.replay_failure is not None]


async def test_a_run_and_its_incident_replay_in_the_sandbox(stage: Stage) -> None:
    stage.world.add("t1", "t2")
    run = await stage.start(EVERYTHING)
    await run.decide("go", "amal")
    await run.decide("go", "bo")
    assert (await run.ended())["status"] == "done"
    names = (run.run, f"incident/{run.incident}")
    histories = [await stage.client.get_workflow_handle(name).fetch_history() for name in names]
    for history in histories:
        await replayer(WORKFLOWS, stage.env.ring).replay_workflow(history)
    assert await strictly(histories, stage.env.ring, WORKFLOWS) == []


async def test_a_workflow_that_asks_the_machine_does_not(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    run = await stage.start("stanch: 1\nid: short\nversion: 1.0.0\ntitle: Short\nsteps:\n  - {note: nothing}\n")
    await run.ended()
    history = await stage.client.get_workflow_handle(run.run).fetch_history()
    assert len(await strictly([history], stage.env.ring, [Curious])) == 1
    assert "time.time restricted" in caplog.text
