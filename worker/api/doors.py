"""What every route needs: the desk, who is asking, and how a workflow's answer is put."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import JSONResponse

from playbooks.contract import DecisionReceipt
from worker.api.problems import problem
from worker.desk.decisions import Actor
from worker.desk.desk import Desk
from worker.desk.refusals import NEXT, STATUS, DeskRefusal
from workflows.messages import Receipt

DOOR = "api"
DOORS = frozenset({"api", "cli"})


def the_desk(request: Request) -> Desk:
    """The application's desk."""
    desk: Desk = request.app.state.desk
    return desk


def the_actor(request: Request) -> Actor:
    """Who holds the bearer token, with the roles of this moment."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return the_desk(request).actor(token.strip() if scheme.lower() == "bearer" else "", _door(request))


def the_decider(request: Request, incident: str) -> Actor:
    """As ``the_actor``; that somebody unknown tried to decide is a matter of record."""
    try:
        return the_actor(request)
    except DeskRefusal:
        the_desk(request).decisions.refused_stranger(incident, _door(request))
        raise


def _door(request: Request) -> str:
    door = request.headers.get("x-stanch-door", DOOR)
    return door if door in DOORS else DOOR


ADesk = Annotated[Desk, Depends(the_desk)]
AnActor = Annotated[Actor, Depends(the_actor)]
ADecider = Annotated[Actor, Depends(the_decider)]


def receipt(given: Receipt | DecisionReceipt) -> JSONResponse:
    """A workflow's answer: the receipt, or a problem with the refusal's code."""
    if given.accepted:
        return JSONResponse({"ok": True, **given.model_dump(mode="json")})
    code = given.code
    return problem(STATUS.get(code, 409), code, given.message, NEXT.get(code, ""))
