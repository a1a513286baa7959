"""``/v1`` about Slack: who is who there."""

from typing import Any

from fastapi import APIRouter

from worker.api import bodies
from worker.api.doors import ADesk, AnActor
from worker.desk.rights import require

v1 = APIRouter(prefix="/v1")


@v1.get("/slack/people")
async def people(desk: ADesk, _actor: AnActor) -> dict[str, Any]:
    """Everybody, each with the user id in Slack, or none."""
    return {"workspace": desk.slack.workspace, "people": desk.slack.listed()}


@v1.put("/people/{name}/slack")
async def link(desk: ADesk, actor: AnActor, name: str, body: bodies.SlackUser) -> dict[str, Any]:
    """Look an account up in Slack and make it somebody's."""
    require(actor.name, actor.roles, "people")
    return await desk.slack.link(name, user=body.user or "", email=body.email or "", by=actor.name, at=actor.door)


@v1.delete("/people/{name}/slack")
async def unlink(desk: ADesk, actor: AnActor, name: str) -> dict[str, Any]:
    """Make somebody nobody in Slack."""
    require(actor.name, actor.roles, "people")
    return desk.slack.unlink(name, by=actor.name, at=actor.door)
