"""The HTTP door of alerts: ``POST /v1/alerts/{source}``. It answers as soon as the alert is kept; starts follow."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from worker.alerts.intake import Intake, IntakeRefused, Receipt
from worker.api.doors import ADesk
from worker.api.problems import problem
from worker.desk.desk import Desk
from worker.desk.refusals import DeskRefusal

log = logging.getLogger(__name__)

UNPROVEN = frozenset({"unknown_source", "no_secret", "signature_missing", "signature_invalid"})
"""Refusals after which the bearer token may still be a person's, who sends by hand."""


def alerts_router(intake: Intake) -> APIRouter:
    """The door over one intake, for ``create_app(desk, alerts_router(intake))``."""
    router = APIRouter(prefix="/v1/alerts")
    starting: set[asyncio.Task[Any]] = set()
    # In order and one by one: many at once would only wait for each other at the store, and some too long.
    turn = asyncio.Lock()

    @router.post("/{source}", status_code=202)
    async def receive(desk: ADesk, source: str, request: Request) -> JSONResponse:
        """Take one alert of a configured source, or of a person who sends it by hand."""
        body, headers, now = await request.body(), dict(request.headers), datetime.now(UTC)
        try:
            try:
                async with turn:
                    receipt = await asyncio.to_thread(intake.receive, desk.store, source, headers, body, now)
            except IntakeRefused as refused:
                person = _person(desk, headers) if refused.code in UNPROVEN else None
                if person is None:
                    raise
                async with turn:
                    receipt = await asyncio.to_thread(
                        intake.receive, desk.store, source, headers, body, now, person=person
                    )
        except IntakeRefused as refused:
            details = {"raw": refused.raw} if refused.raw else None
            return problem(refused.status, refused.code, str(refused), refused.next_step, details)
        if receipt.joined and receipt.incident:
            desk.reconciler.joined(receipt.incident, receipt.alert.severity if receipt.raised else None)
        if receipt.created or receipt.start:
            task = asyncio.create_task(_start(desk, receipt))
            starting.add(task)
            task.add_done_callback(starting.discard)
        return JSONResponse(receipt.document(), status_code=receipt.status)

    return router


def _person(desk: Desk, headers: dict[str, str]) -> str | None:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer":
        return None
    try:
        return desk.actor(token.strip(), "api").name
    except DeskRefusal:
        return None


async def _start(desk: Desk, receipt: Receipt) -> None:
    """Start what an alert asks for; what fails here stays in the store and is tried again."""
    try:
        await desk.starts.for_alert(str(receipt.incident), receipt.start or {}, count=receipt.count)
    except Exception:
        log.exception("%s is kept but not started yet; it is tried again", receipt.incident)
