"""Nights around a model: runs of the interpreter on a range of peers, with its people, and what the world is like."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from temporalio.service import RPCError

from activities.catalog import CATALOG
from playbooks.loader import Library
from tests.stage import ENDED, Running, Stage, shown
from worker.demo_people import CAST, value_for
from worker.desk.decisions import Actor
from worker.range_models.company import ModelRange
from worker.range_models.plan import ROLE
from worker.settings import Settings
from worker.systems import ConnectedSystems
from workflows.messages import Receipt

LIBRARY = Library.shipped()
SHIPPED = Path("playbooks/library/model")


def systems_of(world: ModelRange, settings: Settings, home: Path) -> ConnectedSystems:
    """Clients of everything in the range."""
    from worker.edge import secrets_of

    return ConnectedSystems(world.settings(home), secrets_of(settings))


def state_of(world: ModelRange) -> dict[str, Any]:
    """All that an effect may change: every system's state, and what a restart of the gateway would find."""
    found = {name: part for name, part in world.state().items() if name not in ("salesforce", "slack", "played_by")}
    kept = {path.name: _meaning(path) for path in sorted(world.site.edge.maps.iterdir()) if path.name != ".lock"}
    cloud, model = world.site.cloud, world.site.looker
    found["aws"] |= {"role": _cut_off(cloud), "held": cloud.held_key()[0]}
    # Before anything was changed nothing is kept, and a restart finds what the configuration says.
    kept["servers.state"] |= {
        name: ("0", str(weight))
        for name, (_, weight) in found["gateway"]["servers"].items()
        if name not in kept["servers.state"]
    }
    signatures = {version: model.file(version, "model.sig") for version in found["mlflow"]["versions"]}
    found["training"].pop("jobs")
    return found | {"kept": kept, "signatures": signatures}


def _meaning(path: Path) -> Any:
    """What a file of the gateway says, however it is laid out."""
    text = path.read_text()
    if path.suffix == ".json":
        return json.loads(text)
    if path.suffix == ".state":
        names, *rows = [line.lstrip("# ").split() for line in text.splitlines() if " " in line]
        shown = [dict(zip(names, row, strict=False)) for row in rows]
        return {row["srv_name"]: (row["srv_admin_state"], row["srv_uweight"]) for row in shown}
    return sorted(line for line in text.splitlines() if line)


def _cut_off(cloud: Any) -> Any:
    """What ends older sessions of the service's role, if anything does."""
    iam = cloud.client("iam")
    try:
        return iam.get_role_policy(RoleName=ROLE, PolicyName="AWSRevokeOlderSessions")["PolicyDocument"]
    except iam.exceptions.NoSuchEntityException:
        return None


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """Where two states differ, a line each."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = sorted({*before, *after}, key=str)
        return [each for name in names for each in differences(before.get(name), after.get(name), f"{path}/{name}")]
    return [] if before == after else [f"{path}: {str(before)[:120]} is {str(after)[:120]}"]


class Night:
    """One run on the range. Whoever is asked answers what they know; ``refuse`` names steps that are denied."""

    def __init__(self, stage: Stage, world: ModelRange, run: Running) -> None:
        self.stage, self.world, self.run = stage, world, run
        self.asked: list[str] = []

    @classmethod
    async def begin(cls, stage: Stage, world: ModelRange, playbook: str, **inputs: Any) -> "Night":
        """Start a shipped playbook by its id, or one by its text, with what people know beside ``inputs``."""
        name = playbook if "\n" not in playbook else ""
        text = (SHIPPED / f"{name}.yaml").read_text() if name else playbook
        given = (world.inputs_for(name) if name else {}) | inputs
        run = await stage.start(
            text, inputs=given, facts={"severity": 5}, library=LIBRARY, actions=CATALOG.facts(), starters=("chidi",)
        )
        return cls(stage, world, run)

    async def until(
        self,
        ready: Callable[[dict[str, Any]], Any],
        skip: Sequence[str] = (),
        seconds: float = 240,
        turn: Callable[[], Awaitable[None]] | None = None,
    ) -> dict[str, Any]:
        """Answer what is asked until something is so; questions of ``skip`` are left open, ``turn`` comes each time."""
        limit = asyncio.get_running_loop().time() + seconds
        while True:
            if turn is not None:
                await turn()
            status = await self._status()
            if ready(status):
                return status
            assert asyncio.get_running_loop().time() < limit, f"{await self.run.trouble()}\n{shown(status)}"
            assert status["status"] not in ENDED, shown(status)
            for gate in status["waiting"]:
                if gate["step"] not in skip and not gate["step"].startswith("@undo"):
                    await self.answer(gate)
            await asyncio.sleep(0.25)

    async def _status(self) -> dict[str, Any]:
        """The live status; while no worker is there to say it, nothing."""
        try:
            return await asyncio.wait_for(self.run.status(), 20)
        except (TimeoutError, RPCError):
            return {"status": "away", "steps": [], "waiting": [], "undos": []}

    async def answer(self, gate: Mapping[str, Any]) -> None:
        """As many as are needed say what they know."""
        said = self.world.said()
        more: dict[str, Any] = {}
        verdict = next(each for each in ("approve", "answer", "done", "verify", "retry") if each in gate["verdicts"])
        if verdict == "answer":
            values = {name: value_for(name, wanted, said) for name, wanted in gate["form"].items()}
            more["values"] = {name: value for name, value in values.items() if value is not None}
        taken = {*gate["who"].get("excluded", ()), *(vote["person"] for vote in gate["decided"])}
        for need in gate["who"]["needs"]:
            able = [name for name, roles in CAST.items() if name not in taken and {*roles} & {*need["roles"]}]
            for name in able[: need["count"]]:
                taken.add(name)
                got = await self.run.decide(
                    gate["step"], name, verdict, digest=gate["digest"], roles_at=CAST[name], **more
                )
                self.asked.append(f"{gate['step']}: {name} {verdict} {got.code}")

    async def ask(self, step: str | None = None) -> Receipt:
        """Ask for an undo, as the commander does."""
        actor = Actor(name="chidi", roles=CAST["chidi"], door="test")
        return await self.stage.desk().aftermath.undo(self.run.incident, actor, step=step, reason="a false alarm")

    async def undo(self) -> dict[str, Any]:
        """Ask for an undo of everything; the card of its question."""
        asked = await self.ask()
        assert asked.accepted, asked
        if asked.run and asked.run != self.run.run:
            self.run = self.stage.running(self.run.incident, asked.run)

        def offered(status: dict[str, Any]) -> Any:
            return any(gate["step"].startswith("@undo") for gate in status["waiting"])

        status = await self.run.until(offered, 120)
        return next(gate for gate in status["waiting"] if gate["step"].startswith("@undo"))

    async def undone(self, gate: Mapping[str, Any]) -> dict[str, Any]:
        """Approve an undo; what became of it: ``{end, left}``."""
        await self.answer(gate)

        def over(status: dict[str, Any]) -> Any:
            return any(undo["key"] == gate["step"] and undo["end"] for undo in status["undos"])

        status = await self.run.until(over, 240)
        if gate["step"] == "@undo":
            # A run of its own, which has nothing else to do.
            await self.run.ended()
        return next(undo for undo in status["undos"] if undo["key"] == gate["step"])


def done(*paths: str) -> Callable[[dict[str, Any]], bool]:
    """Whether all of these steps have ended."""

    def ready(status: dict[str, Any]) -> bool:
        ended = {step["path"] for step in status["steps"] if step["status"] in ("done", "skipped", "denied", "failed")}
        return {*paths} <= ended

    return ready
