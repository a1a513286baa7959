"""The checks of ``stanch doctor``: what this installation depends on, tried one by one."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError

from activities.catalog import CATALOG
from worker.edge import key_ring, secrets_of
from worker.embedded import OLDEST
from worker.settings import Settings
from worker.start_parts import library, open_store
from worker.systems import ConnectedSystems
from worker.temporal import connect

SLOW = 0.25
SKEW = 5.0
PATIENCE = 20.0


@dataclass(frozen=True)
class Finding:
    """One check. ``state`` is ``ok warn fail``; ``mend`` says what to do about it."""

    name: str
    state: str
    message: str
    mend: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """Every check, in the order in which they depend on each other."""
    found = [
        Finding("settings", "ok", f"{settings.mode.value}, home {settings.home}, {settings.config_file or 'no file'}")
    ]
    found += [_home(settings), _store(settings), _keys(settings), _playbooks(settings)]
    client, finding = await _temporal(settings)
    found.append(finding)
    if client is not None:
        found.append(await _round_trip(client))
        found += await _workers(client, settings)
    found += await _systems(settings)
    found += [_people(settings), await _server(settings)]
    return found


def _guarded(name: str, check: Callable[[], Finding], mend: str) -> Finding:
    try:
        return check()
    except Exception as error:
        return Finding(name, "fail", f"{type(error).__name__}: {str(error)[:200]}", mend)


def _home(settings: Settings) -> Finding:
    def check() -> Finding:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = settings.home / f".doctor-{time.time_ns()}"
        probe.write_text("x")
        probe.unlink()
        if settings.home.stat().st_mode & 0o077:
            return Finding("home", "warn", "Others may look into it.", f"chmod 700 {settings.home}")
        return Finding("home", "ok", "Can be written, and by its owner only.")

    return _guarded("home", check, "Set STANCH_HOME to a folder that this user may write.")


def _store(settings: Settings) -> Finding:
    def check() -> Finding:
        with contextlib.closing(open_store(settings)) as store:
            count = len(list(store.incidents.list()))
            hold = store.hold.get()
        if hold is not None:
            return Finding("store", "warn", f"{count} incidents; a HOLD is on.", "`stanch hold off` ends it.")
        return Finding("store", "ok", f"{count} incidents.")

    return _guarded("store", check, "Check store_url, the disk, and who may read the home.")


def _keys(settings: Settings) -> Finding:
    def check() -> Finding:
        key_ring(settings)
        return Finding("keys", "ok", "The payload keys can be read.")

    return _guarded("keys", check, "Restore keys/ from your backup: without them no history can be read.")


def _playbooks(settings: Settings) -> Finding:
    def check() -> Finding:
        from playbooks.compile import validate
        from worker.desk.playbooks import listing, sources

        shelf = library(settings)
        broken = [
            problem
            for source in sources(shelf)
            for problem in validate(source, library=shelf, actions=CATALOG.facts())
            if problem.severity == "error"
        ]
        if broken:
            first = broken[0]
            place = f"{first.file}:{first.line}: {first.message}"
            return Finding("playbooks", "fail", place, "`stanch playbook validate FILE` shows all problems.")
        return Finding("playbooks", "ok", f"{len(listing(shelf))} can be started.")

    return _guarded("playbooks", check, "`stanch playbook validate FILE` shows all problems.")


async def _temporal(settings: Settings) -> tuple[Client | None, Finding]:
    mend = "Start a server and set TEMPORAL_ADDRESS, or use `stanch up`, which brings its own."
    try:
        async with asyncio.timeout(PATIENCE):
            client = await connect(settings, key_ring(settings))
            answer = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    except Exception as error:
        return None, Finding("temporal", "fail", str(error)[:300] or type(error).__name__, mend)
    version = answer.server_version
    numbers = tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())
    if numbers[:2] < OLDEST:
        return client, Finding("temporal", "fail", f"Server {version}.", "Use server 1.29 or newer.")
    return client, Finding("temporal", "ok", f"Server {version}, namespace {client.namespace}.")


async def _round_trip(client: Client) -> Finding:
    """Tuning cannot be asked for; how long the server takes can be measured."""
    spans = []
    try:
        for _ in range(5):
            begun = time.perf_counter()
            await client.count_workflows("ExecutionStatus = 'Running'")
            spans.append(time.perf_counter() - begun)
    except RPCError as error:
        return Finding(
            "temporal namespace",
            "fail",
            f"{client.namespace}: {error.message[:200]}",
            f"temporal operator namespace create -n {client.namespace} --retention 720h",
        )
    span = sorted(spans)[2]
    if span > SLOW:
        return Finding(
            "temporal speed", "warn", f"{span * 1000:.0f} ms a call.", "docs/operations.md names the server settings."
        )
    return Finding("temporal speed", "ok", f"{span * 1000:.0f} ms a call.")


async def _workers(client: Client, settings: Settings) -> list[Finding]:
    prefix = settings.queue_prefix
    wanted = {prefix: TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW}
    for domain in CATALOG.domains():
        wanted[f"{prefix}-{domain}"] = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
    found = []
    for queue, kind in wanted.items():
        try:
            answer = await client.workflow_service.describe_task_queue(
                DescribeTaskQueueRequest(
                    namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
                )
            )
        except RPCError as error:
            found.append(Finding(f"worker {queue}", "warn", error.message[:200]))
            continue
        if answer.pollers:
            found.append(Finding(f"worker {queue}", "ok", f"{len(answer.pollers)} poll it."))
        else:
            mend = "Start `stanch worker` with the credentials of that system."
            found.append(Finding(f"worker {queue}", "warn", "Nobody works on it.", mend))
    return found


async def _systems(settings: Settings) -> list[Finding]:
    found = []
    systems = ConnectedSystems(settings.file.systems, secrets_of(settings))
    known = sorted({spec.facts.system for spec in CATALOG.specs.values()})
    try:
        for system in known:
            if not systems.has(system):
                mend = f"Add [systems.{system}] to stanch.toml where the worker runs."
                found.append(Finding(system, "warn", "Not configured here.", mend))
                continue
            found.append(await _ping(systems, system))
    finally:
        await systems.close()
    return found


async def _ping(systems: ConnectedSystems, system: str) -> Finding:
    mend = f"Check [systems.{system}], its credentials and their scopes."
    try:
        async with asyncio.timeout(PATIENCE):
            client: Any = await systems.client(system)
            said = await asyncio.to_thread(client.ping)
    except Exception as error:
        return Finding(system, "fail", f"{type(error).__name__}: {str(error)[:200]}", mend)
    return Finding(system, "ok", str(said or "It answers, and takes our credentials."))


def _people(settings: Settings) -> Finding:
    def check() -> Finding:
        from worker.desk.playbooks import asked_roles

        with contextlib.closing(open_store(settings)) as store:
            held: dict[str, int] = {}
            for person in store.people.list():
                for role in person.roles:
                    held[role] = held.get(role, 0) + 1
        missing = sorted(role for role in asked_roles(library(settings)) if role not in held)
        if missing:
            roles = ", ".join(missing)
            mend = f"stanch people add NAME --role {missing[0]}"
            return Finding("people", "warn", f"Nobody has: {roles}. Decisions would wait in vain.", mend)
        return Finding("people", "ok", f"{sum(held.values())} roles are held.")

    return _guarded("people", check, "`stanch people add NAME --role ROLE`")


async def _server(settings: Settings) -> Finding:
    from worker.cli.client import SERVER_FILE, written

    url = str(written(settings.home / SERVER_FILE).get("url") or settings.api_url)
    mend = "Start `stanch serve` or `stanch up`."
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            answer = await http.get(f"{url}/healthz")
            answer.raise_for_status()
    except httpx.HTTPError as error:
        return Finding("server", "warn", f"{url} does not answer ({type(error).__name__}).", mend)
    at = answer.headers.get("date")
    if at:
        theirs = datetime.strptime(at, "%a, %d %b %Y %H:%M:%S %Z").replace(tzinfo=UTC)
        skew = abs((datetime.now(UTC) - theirs).total_seconds())
        if skew > SKEW:
            mend = "Set the clocks by NTP; legal deadlines are counted by them."
            return Finding("server", "warn", f"{url}: its clock differs by {skew:.0f} s.", mend)
    return Finding("server", "ok", f"{url} answers.")
