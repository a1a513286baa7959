"""From the alert to the body of the first action: a detector's POST against the bare start of a workflow.

The alert is the simulated company's, of another app and user each time, so that it opens an incident of its own;
it starts the shipped playbook against the company's Salesforce. The run is ended once its first action has begun.
"""

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from tests.benchmarks import bare
from tests.benchmarks.figures import Sample
from tests.benchmarks.house import BARE, SOURCE, House
from tests.benchmarks.sides import BASE
from tests.benchmarks.spans import START, history_of, to_first_body

PLAYBOOK = "crm-oauth-token-theft"
PATIENCE = 60.0
SIDES = (BASE, "Stanch, whole")


@dataclass(frozen=True)
class Way:
    """One way to a first body: how long it took, what its parts took, and which action it was."""

    sample: Sample
    parts: dict[str, float]
    action: str = field(default="bare.noop")


async def measure(house: House, http: httpx.AsyncClient, side: str) -> Way:
    """Go the way once."""
    async with asyncio.timeout(PATIENCE):
        return await (_bare(house) if side == SIDES[0] else _alert(house, http))


async def _bare(house: House) -> Way:
    name = f"by-hand/{uuid.uuid4().hex}"
    given = {"count": 1, "queue": BARE, "activity": "bare.noop"}
    asked, cpu = time.time(), time.process_time()
    await house.clients[BARE].execute_workflow("BareSequence", given, id=name, task_queue=BARE)
    body, worked = bare.BEGUN[name], time.process_time() - cpu
    parts = to_first_body(await history_of(house.client, name), asked, body)
    return Way(Sample((body - asked) * 1000, worked * 1000), parts)


async def _alert(house: House, http: httpx.AsyncClient) -> Way:
    content = _alert_of_another(house.alert)
    asked, cpu = time.time(), time.process_time()
    answer = await http.post(f"/v1/alerts/{SOURCE}", json=content)
    answered = time.time()
    receipt = answer.json()
    if answer.status_code != 202 or not receipt["created"]:
        raise RuntimeError(f"The alert opened no incident: {answer.text}")
    incident = str(receipt["incident"])
    body, action = await house.bodies.first(incident, PATIENCE)
    worked = time.process_time() - cpu
    run = f"run/{incident}/{PLAYBOOK}/1"
    parts = to_first_body(await history_of(house.client, run), asked, body)
    record = house.store.incidents.get(incident)
    assert record is not None
    await house.end(run, f"incident/{incident}")
    opened = (datetime.fromisoformat(record["opened_at"]).timestamp() - asked) * 1000
    parts = {
        **parts,
        "  of it: request, proof, reading": opened,
        "  of it: keeping, compiling, start call": parts[START] - opened,
        "(the detector has its answer)": (answered - asked) * 1000,
    }
    return Way(Sample((body - asked) * 1000, worked * 1000), parts, action)


def _alert_of_another(alert: dict[str, Any]) -> dict[str, Any]:
    """The same happening with another app and another user."""
    mark = uuid.uuid4().hex[:12]
    return {
        **alert,
        "CONNECTED_APP_ID": f"0H4{mark}AAA",
        "CONNECTED_APP_NAME": f"App {mark}",
        "USER_ID": f"005{mark}",
        "USER_ID_DERIVED": f"005{mark}AAA",
        "USER_NAME": f"{mark}@bench.example",
        "SESSION_KEY": mark,
        "REQUEST_ID": mark,
        "p_row_id": mark,
        "p_any_usernames": [f"{mark}@bench.example"],
        "p_any_actor_ids": [f"005{mark}"],
    }


def compiling(house: House, times: int) -> list[float]:
    """Milliseconds to compile the playbook, alone; the first time of a process, when it is judged, is left out."""
    found = []
    for _ in range(times + 1):
        began = time.perf_counter()
        house.starts.planned(PLAYBOOK, {"app": "App"})
        found.append((time.perf_counter() - began) * 1000)
    return found[1:]
