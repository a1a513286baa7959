"""``/v1``: a thin view of the desk. It binds to loopback unless told otherwise; TLS is the proxy's."""

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse

from worker.api import bodies
from worker.api.doors import ADesk, AnActor
from worker.api.incidents import v1 as incidents
from worker.api.limits import BodyLimit
from worker.api.paging import v1 as paging
from worker.api.problems import install
from worker.api.slack import v1 as slack
from worker.desk.desk import Desk
from worker.desk.rights import allowed, require
from worker.desk.views import hold_document
from worker.dryrun.dryrun import foresee
from worker.store.peek import seen

v1 = APIRouter(prefix="/v1")


@v1.get("/whoami")
async def whoami(actor: AnActor) -> dict[str, Any]:
    """Who the token's holder is."""
    return {"name": actor.name, "roles": list(actor.roles)}


@v1.get("/decisions")
async def decisions(desk: ADesk, actor: AnActor, incident: str | None = None) -> dict[str, Any]:
    """What waits for people, nearest deadline first; ``yours`` says whether this person may decide it."""
    if incident is not None:
        desk.views.known(incident)
    found = await desk.views.waiting(incident)
    for entry in found:
        entry["yours"] = actor.name in entry["who"]["may"]
        entry["nonce"] = desk.decisions.nonces.issue(actor.name, entry["run"], entry["step"], entry["digest"])
    return {"decisions": found}


@v1.get("/playbooks")
async def playbooks(desk: ADesk, _actor: AnActor) -> dict[str, Any]:
    """Playbooks that can be started here."""
    return {"playbooks": desk.starts.playbooks()}


@v1.post("/playbooks/{playbook}/plan")
async def plan(desk: ADesk, _actor: AnActor, playbook: str, body: bodies.PlanWanted) -> dict[str, Any]:
    """What a run would do now, as far as it is known without asking a system; nothing is started."""
    plan, digest, facts = desk.starts.planned(playbook, body.inputs, severity=body.severity)
    foreseen = await foresee(plan, digest, facts, None, seen(desk.store))
    return {**foreseen, "plan": plan.model_dump(mode="json")}


@v1.get("/people")
async def people(desk: ADesk, actor: AnActor) -> dict[str, Any]:
    """Who is known, with which roles; how they are reached only to themselves and to administrators."""
    return {"people": desk.people.list(None if allowed(actor.roles, "people") else actor.name)}


@v1.post("/people", status_code=201)
async def add_person(desk: ADesk, actor: AnActor, body: bodies.AddPerson) -> dict[str, Any]:
    """Add a person, or change roles, and identities if any are given."""
    require(actor.name, actor.roles, "people")
    given = body.identities
    identities = None if given is None else [(each.door, each.workspace, each.external_id) for each in given]
    return desk.people.add(body.name, body.roles, identities)


@v1.post("/people/{name}/token", status_code=201)
async def issue_token(desk: ADesk, actor: AnActor, name: str) -> dict[str, Any]:
    """A new token, shown this once."""
    require(actor.name, actor.roles, "people")
    return {"name": name, "token": desk.people.token(name)}


@v1.delete("/people/{name}/token")
async def revoke_token(desk: ADesk, actor: AnActor, name: str) -> dict[str, Any]:
    """Make all tokens of a person worthless."""
    require(actor.name, actor.roles, "people")
    return {"name": name, "revoked": desk.people.revoke(name)}


@v1.post("/people/{name}/delegations", status_code=201)
async def delegate(desk: ADesk, actor: AnActor, name: str, body: bodies.Delegate) -> dict[str, Any]:
    """Hand a role of one's own to somebody else for a time; an administrator may for anybody."""
    if actor.name != name:
        require(actor.name, actor.roles, "people")
    return desk.people.delegate(name, body.role, body.to, body.until, by=actor.name, door=actor.door)


@v1.delete("/people/{name}/delegations/{role}")
async def end_delegation(desk: ADesk, actor: AnActor, name: str, role: str) -> dict[str, Any]:
    """Take a role back before its time."""
    if actor.name != name:
        require(actor.name, actor.roles, "people")
    return desk.people.end_delegation(name, role, by=actor.name, door=actor.door)


@v1.get("/hold")
async def hold(desk: ADesk, _actor: AnActor) -> dict[str, Any]:
    """Whether every new effect is held."""
    return hold_document(desk.store)


@v1.put("/hold")
async def hold_on(desk: ADesk, actor: AnActor, body: bodies.Reason) -> dict[str, Any]:
    """Hold every new effect, everywhere, at once."""
    return desk.life.hold_on(actor, body.reason)


@v1.delete("/hold")
async def hold_off(desk: ADesk, actor: AnActor) -> dict[str, Any]:
    """Let effects go on."""
    return desk.life.hold_off(actor)


@v1.get("/standing")
async def standing(desk: ADesk, _actor: AnActor) -> dict[str, Any]:
    """Everything that was ever approved in advance, each with whether it is in force."""
    return {"standing": desk.standing.list()}


@v1.post("/standing", status_code=201)
async def give_standing(desk: ADesk, actor: AnActor, body: bodies.Standing) -> dict[str, Any]:
    """Approve an action in advance, as the owner of its targets."""
    wanted = body.model_dump(exclude={"action"})
    return desk.standing.give(actor, body.action, **wanted)


@v1.post("/standing/{standing_id}/revoke")
async def revoke_standing(desk: ADesk, actor: AnActor, standing_id: str, body: bodies.Reason) -> dict[str, Any]:
    """End an approval in advance, at once."""
    return desk.standing.revoke(actor, standing_id, body.reason)


@v1.get("/health")
async def health(desk: ADesk, _actor: AnActor) -> dict[str, Any]:
    """What the serving process depends on, each with whether it answers."""
    return await desk.health()


def create_app(desk: Desk, *routers: APIRouter) -> FastAPI:
    """The application over one desk; ``routers`` are further doors of ``/v1`` (alerts)."""
    app = FastAPI(title="Stanch", version="1", docs_url=None, redoc_url=None)
    app.state.desk = desk
    install(app)
    app.add_middleware(BodyLimit)
    for router in (*routers, incidents, paging, slack, v1):
        app.include_router(router)

    @app.get("/healthz", include_in_schema=False)
    async def alive() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", include_in_schema=False)
    async def ready() -> JSONResponse:
        found = await desk.health()
        return JSONResponse({"ready": found["ok"]}, status_code=200 if found["ok"] else 503)

    return app
