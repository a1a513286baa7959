"""``/v1`` about paging: how people are reached, whether it works, who is on call."""

from typing import Any

from fastapi import APIRouter

from worker.api import bodies
from worker.api.doors import ADesk, AnActor
from worker.desk.refusals import DeskRefusal
from worker.desk.rights import require

v1 = APIRouter(prefix="/v1")


@v1.get("/oncall")
async def oncall(desk: ADesk, _actor: AnActor, at: str | None = None) -> dict[str, Any]:
    """Who is on call for each role that has a schedule, now or at an instant."""
    if desk.paging is None:
        raise _unpaged()
    return await desk.paging.oncall(at)


@v1.put("/people/{name}/contact")
async def set_contact(desk: ADesk, actor: AnActor, name: str, body: bodies.Contact) -> dict[str, Any]:
    """Say how oneself is woken; an administrator may for anybody."""
    if actor.name != name:
        require(actor.name, actor.roles, "people")
    return desk.people.contact(name, body.model_dump(exclude_none=True))


@v1.post("/people/{name}/test-page")
async def test_page(desk: ADesk, actor: AnActor, name: str) -> dict[str, Any]:
    """Send oneself a marked test page by every method of one's rule; an administrator may to anybody."""
    if actor.name != name:
        require(actor.name, actor.roles, "people")
    if desk.paging is None:
        raise _unpaged()
    return await desk.paging.test_page(name)


def _unpaged() -> DeskRefusal:
    return DeskRefusal("bad_value", "This process wakes nobody. Nothing was done.", "docs/paging.md says how.")
