"""``/v1`` about Slack: who is who there, and the switch."""

from typing import Any

from fastapi import APIRouter

from worker.api import bodies
from worker.api.doors import ADesk, AnActor
from worker.desk.rights import require
from worker.desk.views import slack_document

v1 = APIRouter(prefix="/v1")


@v1.get("/slack")
async def status(desk: ADesk, _actor: AnActor) -> dict[str, Any]:
    """Whether Slack is on, which workspace it is, and how the door there is (nothing where there is none)."""
    door = desk.doors.get("slack")
    return {**slack_document(desk.store), "workspace": desk.slack.workspace, "door": door() if door else None}


@v1.put("/slack/off")
async def off(desk: ADesk, actor: AnActor, body: bodies.Reason) -> dict[str, Any]:
    """Believe nothing that comes from Slack any more, and post nothing there."""
    return desk.life.slack_off(actor, body.reason)


@v1.delete("/slack/off")
async def on(desk: ADesk, actor: AnActor) -> dict[str, Any]:
    """Believe Slack again."""
    return desk.life.slack_on(actor)


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
