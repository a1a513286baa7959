"""Every shipped playbook played to its end by the demo's people, in a simulated world of one seed.

The processes are those of production. The journals are compared, the histories saved, by what calls this.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHistory

from worker.cli.client import ApiClient
from worker.codec import KeyRing
from worker.demo_people import CAST, Script
from worker.demo_stage import SOURCE, Stage, stage
from worker.settings import Settings
from worker.temporal import connect

SEED = 3
PATIENCE = 120.0
ENDED = frozenset({"done", "failed", "denied", "cancelled", "undone"})
BY_HAND = ("crm-triage", "post-incident-review")
"""Started by a person; the rest starts by the detector's alert."""
BY_ALERT = "crm-oauth-token-theft"
PLAYBOOKS = (BY_ALERT, *BY_HAND)


@dataclass(frozen=True)
class Played:
    """One playbook's incident at its end."""

    document: Mapping[str, Any]
    entries: list[dict[str, Any]]
    histories: list[WorkflowHistory]
    """Of the incident and of its run, every execution, oldest first."""

    @property
    def executions(self) -> int:
        """How many executions the run took."""
        return sum(history.workflow_id.startswith("run/") for history in self.histories)


async def play(home: Path, ring: KeyRing, *, continue_after: int | None = None) -> dict[str, Played]:
    """Play them all; playbook id to how it went."""
    keys = home / "demo" / "keys"
    keys.mkdir(parents=True)
    (keys / "payload.json").write_text(ring.dump())
    (keys / "payload.json").chmod(0o600)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("STANCH_", "TEMPORAL_"))}
    env["STANCH_HOME"] = str(home)
    if continue_after is not None:
        env["STANCH_TEST_CONTINUE_AFTER"] = str(continue_after)
    settings = Settings.load(env)
    async with stage(settings, SEED, lambda line: None) as scene:
        people = {name: scene.client(name) for name in CAST}
        try:
            started = await asyncio.to_thread(_begin, scene, people)
            script = Script(people, act=scene.range.do_by_hand, spare=scene.range.spared())
            for incident in started.values():
                await _ended(scene, script, incident)
            client = await connect(settings, ring, address=scene.server.address, namespace="stanch")
            return {playbook: await _told(client, people, incident) for playbook, incident in started.items()}
        finally:
            for person in people.values():
                person.close()


def _begin(scene: Stage, people: Mapping[str, ApiClient]) -> dict[str, str]:
    detector = ApiClient(scene.url, scene.secret)
    try:
        started = {BY_ALERT: detector.send(f"/v1/alerts/{SOURCE}", scene.range.alert())["incident"]}
    finally:
        detector.close()
    for playbook in BY_HAND:
        started[playbook] = people["farah"].post("/v1/incidents", {"playbook": playbook})["incident"]
    return started


async def _ended(scene: Stage, script: Script, incident: str) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE
    person = next(iter(script.people.values()))
    while loop.time() < until:
        scene.alive()
        await asyncio.to_thread(script.round, incident)
        shown = await asyncio.to_thread(person.get, f"/v1/incidents/{incident}")
        if shown["runs"] and all(run["status"] in ENDED and not run["live"] for run in shown["runs"]):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{incident} did not end: {shown['waiting']}")


async def _told(client: Client, people: Mapping[str, ApiClient], incident: str) -> Played:
    person = people["chidi"]
    document = await asyncio.to_thread(person.get, f"/v1/incidents/{incident}")
    timeline = await asyncio.to_thread(person.get, f"/v1/incidents/{incident}/timeline")
    histories = []
    for workflow in (f"incident/{incident}", document["runs"][0]["id"]):
        histories += await _executions(client, workflow)
    return Played(document, timeline["entries"], histories)


async def _executions(client: Client, workflow: str) -> list[WorkflowHistory]:
    found: list[WorkflowHistory] = []
    run_id: str | None = None
    while True:
        history = await client.get_workflow_handle(workflow, run_id=run_id).fetch_history()
        found.insert(0, history)
        run_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not run_id:
            return found
