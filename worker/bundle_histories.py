"""Temporal's histories of an incident's workflows, as far as Temporal still gives them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from worker.bundle_format import member_name

WITHIN = 15.0
ONE_CALL = timedelta(seconds=5)
AT_ONCE = 4
MAX_EXECUTIONS = 200
MAX_BYTES = 256 * 1024 * 1024


@dataclass
class Histories:
    """``held`` maps member name to JSON; ``missing`` names what could not be fetched, with the reason."""

    held: dict[str, bytes] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)


async def fetch_histories(client: Client, workflows: Sequence[str], *, within: float = WITHIN) -> Histories:
    """Histories of these workflows, every execution of each; payloads stay encrypted as Temporal holds them."""
    one_by_one = asyncio.Semaphore(AT_ONCE)

    async def fetched(workflow: str) -> tuple[list[bytes], str]:
        kept: list[bytes] = []
        try:
            async with asyncio.timeout_at(until), one_by_one:
                return kept, await _fetch(client, workflow, kept)
        except TimeoutError:
            return kept, "Temporal did not answer in time"

    until = asyncio.get_running_loop().time() + within
    found, weight = Histories(), 0
    for workflow, (kept, why) in zip(workflows, await asyncio.gather(*map(fetched, workflows)), strict=True):
        weight += sum(map(len, kept))
        if weight > MAX_BYTES:
            kept, why = [], f"the histories are over {MAX_BYTES >> 20} MB together"
        for number, execution in enumerate(reversed(kept), start=1):
            found.held[member_name("histories", workflow, f"/{number:03}.json")] = execution
        if why:
            earlier = f"{len(kept)} executions are here, what was before them is not: " if kept else ""
            found.missing.append((member_name("histories", workflow, ""), earlier + why))
    return found


async def _fetch(client: Client, workflow: str, kept: list[bytes]) -> str:
    """Add a workflow's executions to ``kept``, newest first; each names the one it continues. Why it stopped early."""
    run_id: str | None = None
    while len(kept) < MAX_EXECUTIONS:
        handle = client.get_workflow_handle(workflow, run_id=run_id)
        try:
            history = await handle.fetch_history(rpc_timeout=ONE_CALL)
        except RPCError as error:
            return _reason(error)
        except RuntimeError:
            # So says a client that was never connected.
            return "Temporal did not answer"
        kept.append(history.to_json().encode())
        run_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not run_id:
            return ""
    return f"it has more than {MAX_EXECUTIONS} executions"


def _reason(error: RPCError) -> str:
    if error.status is RPCStatusCode.NOT_FOUND:
        return "Temporal does not hold it, or no longer"
    return f"Temporal did not give it ({error.status.name})"
