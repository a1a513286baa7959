"""Temporal's histories of an incident's workflows, as far as Temporal still gives them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from playbooks.digest import sha256_hex
from worker.bundle_format import safe_name

WITHIN = 15.0
ONE_CALL = timedelta(seconds=5)
MAX_EXECUTIONS = 200
MAX_BYTES = 256 * 1024 * 1024


@dataclass
class Histories:
    """``held`` maps member name to JSON; ``missing`` names what could not be fetched, with the reason."""

    held: dict[str, bytes] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)


async def fetch_histories(client: Client, workflows: Sequence[str], *, within: float = WITHIN) -> Histories:
    """Histories of these workflows, every execution of each; payloads stay encrypted as Temporal holds them."""
    found = Histories()
    until = asyncio.get_running_loop().time() + within
    for workflow in workflows:
        left = until - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(max(left, 0)):
                executions = await _executions(client, workflow)
        except TimeoutError:
            found.missing.append((_member(workflow), "Temporal did not answer in time"))
            continue
        except RPCError as error:
            found.missing.append((_member(workflow), _reason(error)))
            continue
        held = sum(map(len, found.held.values()))
        if held + sum(map(len, executions)) > MAX_BYTES:
            found.missing.append((_member(workflow), "the histories are over 256 MB together"))
            continue
        for number, execution in enumerate(executions, start=1):
            found.held[_member(workflow, number)] = execution
    return found


async def _executions(client: Client, workflow: str) -> list[bytes]:
    """Every execution's history, oldest first: each names the one that it continues."""
    newest_first: list[bytes] = []
    run_id: str | None = None
    while len(newest_first) < MAX_EXECUTIONS:
        handle = client.get_workflow_handle(workflow, run_id=run_id)
        history = await handle.fetch_history(rpc_timeout=ONE_CALL)
        newest_first.append(history.to_json().encode())
        run_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not run_id:
            break
    return newest_first[::-1]


def _reason(error: RPCError) -> str:
    if error.status is RPCStatusCode.NOT_FOUND:
        return "Temporal does not hold it, or no longer"
    return f"Temporal did not give it ({error.status.name})"


def _member(workflow: str, number: int | None = None) -> str:
    """Where a workflow's histories lie; the oldest execution is 1."""
    folder = f"histories/{workflow}"
    if not safe_name(folder):
        folder = f"histories/{sha256_hex(workflow)[:16]}"
    return folder if number is None else f"{folder}/{number:03}.json"
