"""``stanch playbook plan``: a dry run with what this installation can reach. It starts, keeps and changes nothing."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from playbooks.contract import FOREIGN, Json
from playbooks.plan import RunPlan
from worker.desk.times import stamp
from worker.dryrun.document import Approvals, document
from worker.dryrun.look import Look, Scratch
from worker.dryrun.walk import DryRun
from worker.edge import secrets_of
from worker.foreign import catalog_of
from worker.settings import Settings
from worker.store.peek import Peek, peek
from worker.systems import ConnectedSystems


async def dry_run(
    settings: Settings, plan: RunPlan, digest: str, facts: Mapping[str, Json], *, offline: bool = False
) -> dict[str, Any]:
    """Walk a plan and say what it would do, as ``worker.dryrun.document`` gives it.

    Args:
        settings: Which systems are asked, with which credentials, and what is protected.
        plan: What a start would freeze.
        digest: Of the plan.
        facts: The incident's facts, by name.
        offline: Ask no system.
    """
    async with looking(settings, plan, offline=offline) as look:
        return await foresee(plan, digest, facts, look, peek(settings.store_url, stamp()))


async def foresee(
    plan: RunPlan, digest: str, facts: Mapping[str, Json], look: Look | None, seen: Peek | None
) -> dict[str, Any]:
    """Walk a plan with what is at hand: ``look`` at systems, ``seen`` of the store."""
    walk = DryRun(plan, digest, facts, look)
    rows = await walk.walk()
    approvals = Approvals(plan, rows, walk.known, seen)
    return document(plan, digest, rows, approvals, severity=walk.known.severity, offline=look is None)


@contextlib.asynccontextmanager
async def looking(settings: Settings, plan: RunPlan, *, offline: bool) -> AsyncIterator[Look | None]:
    """Clients that can only read, and a folder for what they find; ``None`` where no system of the plan is known."""
    # What a workflow of somebody else's would be started with is shown without asking its server.
    foreign = {FOREIGN: lambda _config, _vault: None}
    systems = ConnectedSystems(settings.file.systems, secrets_of(settings), foreign, reading=True)
    if offline or not any(systems.has(facts.system) for facts in plan.actions.values()):
        yield None
        return
    settings.refuse_test_switches()
    with tempfile.TemporaryDirectory(prefix="stanch-plan-") as folder:
        try:
            yield Look(catalog_of(settings), systems, Scratch(Path(folder)), plan.context, settings.protected_of)
        finally:
            await systems.close()
