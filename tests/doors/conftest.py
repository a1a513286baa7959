"""A whole installation behind its HTTP door: real store, server, workers and workflows, on the lab's actions."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client

from playbooks.contract import RunContext
from playbooks.loader import Library
from playbooks.policy import Policy
from tests.doors.one_machine import Up, one_machine
from tests.doors.premises import Premises, premises
from worker.api.app import create_app
from worker.desk.desk import Desk
from worker.desk.plans import Installation
from worker.start_http import listening

PLAYBOOK = """
stanch: 1
id: contain-things
version: 1.0.0
title: Contain things
inputs:
  who: {type: string, default: x}
steps:
  - {id: things, action: lab.list_things, with: {prefix: t}}
  - id: go
    approve: [end, one]
    by: {roles: [crm_owner], count: 2}
    within: 15m
    on_timeout: [deny]
    on_deny: continue
  - {id: end, phase: contain, action: lab.end_matching, with: {prefix: t}}
  - {id: one, phase: contain, action: lab.touch, with: {name: "{{ inputs.who }}"}}
always:
  - id: data
    ask: Did personal data leave?
    by: {roles: [privacy_officer]}
    form:
      left: {type: boolean}
      subjects: {type: integer, required: false}
    within: 1h
    on_timeout: [unanswered]
"""

VENDOR = """
stanch: 1
id: await-vendor
version: 1.0.0
title: Wait for the vendor
steps:
  - {id: vendor, wait: {event: confirmed}, within: 1h, on_timeout: [stop]}
outputs:
  answer: {type: string, value: "{{ steps.vendor.answer }}"}
  count: {type: integer, value: "{{ steps.vendor.count }}"}
"""
HASTY = """
stanch: 1
id: hasty
version: 1.0.0
title: Decided at once or not at all
steps:
  - {id: things, action: lab.list_things, with: {prefix: t}}
  - id: go
    approve: [one]
    by: {roles: [crm_owner], count: 2}
    within: 1s
    on_timeout: [deny]
    on_deny: continue
  - {id: one, phase: contain, action: lab.touch, with: {name: x}}
always:
  - id: data
    ask: Did personal data leave?
    by: {roles: [privacy_officer]}
    form: {left: {type: boolean}}
    within: 1h
    on_timeout: [unanswered]
"""

CAST = {
    "amal": ("crm_owner",),
    "bo": ("crm_owner",),
    "cleo": ("incident_commander",),
    "dara": ("privacy_officer", "legal"),
    "root": ("admin",),
    "vic": ("viewer",),
    "detector": ("detector",),
}


@dataclass
class House:
    """One installation and its people."""

    env: Any
    desk: Desk
    url: str
    tokens: dict[str, str]
    http: httpx.AsyncClient

    async def ask(self, person: str, method: str, path: str, body: Any = None) -> httpx.Response:
        """One request as a person."""
        headers = {"Authorization": f"Bearer {self.tokens.get(person, person)}"}
        return await self.http.request(method, path, json=body, headers=headers)

    async def start(self, person: str = "cleo", **body: Any) -> str:
        """Start the playbook and return the incident."""
        answer = await self.ask(person, "POST", "/v1/incidents", {"playbook": "contain-things", **body})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["incident"])

    async def card(self, incident: str, step: str, person: str = "amal") -> dict[str, Any]:
        """What waits at a step, as a person sees it."""
        for _ in range(200):
            answer = await self.ask(person, "GET", f"/v1/decisions?incident={incident}")
            for entry in answer.json()["decisions"]:
                if entry["step"] == step:
                    return dict(entry)
            await asyncio.sleep(0.05)
        raise AssertionError((await self.ask(person, "GET", f"/v1/incidents/{incident}")).text)

    async def decide(self, incident: str, person: str, card: dict[str, Any], verdict: str, **more: Any) -> Any:
        """Decide what a card shows."""
        body = {"step": card["step"], "digest": card["digest"], "verdict": verdict, **more}
        return await self.ask(person, "POST", f"/v1/incidents/{incident}/decisions", body)

    async def clocks_closed(self, incident: str) -> None:
        """Wait until no legal clock of an incident is open."""
        for _ in range(200):
            shown = (await self.ask("cleo", "GET", f"/v1/incidents/{incident}")).json()
            if not any(clock["open"] for clock in shown["clocks"]):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(shown["clocks"])

    async def ended_steps(self, incident: str, step: str = "data") -> list[dict[str, Any]]:
        """The incident's steps once one of them waits for people."""
        await self.card(incident, step)
        return list((await self.ask("cleo", "GET", f"/v1/incidents/{incident}")).json()["steps"])

    async def ended(self, incident: str) -> dict[str, Any]:
        """The incident once all its runs have ended."""
        for _ in range(300):
            shown = (await self.ask("cleo", "GET", f"/v1/incidents/{incident}")).json()
            if shown["runs"] and all(run["status"] in ENDED for run in shown["runs"]):
                return dict(shown)
            await asyncio.sleep(0.05)
        raise AssertionError(shown)


ENDED = {"done", "failed", "denied", "cancelled", "undone"}


@pytest_asyncio.fixture(loop_scope="session")
async def house(worker_env: Any, tmp_path: Any) -> AsyncIterator[House]:
    """The installation, listening, with its workers at work."""
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "contain-things.yaml").write_text(PLAYBOOK)
    (tmp_path / "playbooks" / "hasty.yaml").write_text(HASTY)
    (tmp_path / "playbooks" / "await-vendor.yaml").write_text(VENDOR)
    key = Ed25519PrivateKey.generate()
    installation = Installation(
        library=Library.of(tmp_path / "playbooks"),
        actions=worker_env.catalog.facts(),
        policy=Policy(),
        context=RunContext(mode=worker_env.settings.mode),
        queue_prefix=worker_env.prefix,
        desk_keys={"k1": key.public_key().public_bytes_raw().hex()},
    )
    desk = Desk(worker_env.store, worker_env.client, installation, key, "k1")
    tokens = {}
    for name, roles in CAST.items():
        desk.people.add(name, roles)
        tokens[name] = desk.people.token(name)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(worker_env.workers())
        url = await stack.enter_async_context(listening(create_app(desk), "127.0.0.1", 0))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False, timeout=30))
        yield House(worker_env, desk, url, tokens, http)


async def registered(address: str) -> str:
    """A namespace of its own on a server; its name."""
    namespace = f"t{uuid.uuid4().hex[:12]}"
    admin = await Client.connect(address)
    await admin.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=Duration(seconds=24 * 3600))
    )
    return namespace


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def acme(temporal_server: Any, tmp_path_factory: Any) -> AsyncIterator[Premises]:
    """A whole installation as its users have it, in processes of its own, for all tests that need one."""
    namespace = await registered(temporal_server.address)
    home = tmp_path_factory.mktemp("acme") / "home"
    whole = premises(home, temporal_server.address, namespace)
    made = await asyncio.to_thread(whole.__enter__)
    try:
        yield made
    finally:
        await asyncio.to_thread(whole.__exit__, None, None, None)


@pytest.fixture
def up(tmp_path: Path, temporal_binary: Path) -> Iterator[Up]:
    """A home in which nothing runs yet."""
    with one_machine(tmp_path, temporal_binary) as made:
        yield made
