"""``/v1/incidents``: start, look, decide, and the rest of an incident's life."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse
from starlette.types import Receive, Scope, Send

from worker.api import bodies
from worker.api.doors import ADecider, ADesk, AnActor, receipt
from worker.desk.decisions import Choice
from worker.desk.handover import handover
from worker.desk.rights import require

v1 = APIRouter(prefix="/v1")


@v1.get("/incidents")
async def incidents(desk: ADesk, _actor: AnActor) -> dict[str, Any]:
    """All incidents, newest first."""
    return {"incidents": await desk.views.overview()}


@v1.post("/incidents", status_code=201)
async def start(desk: ADesk, actor: AnActor, body: bodies.StartIncident) -> dict[str, Any]:
    """Open an incident and start a playbook in it."""
    require(actor.name, actor.roles, "start")
    started = await desk.starts.by_person(
        actor.name,
        body.playbook,
        body.inputs,
        title=body.title,
        severity=body.severity,
        kind=body.kind,
        door=actor.door,
    )
    return started.model_dump(mode="json")


@v1.get("/incidents/{incident}")
async def show(desk: ADesk, _actor: AnActor, incident: str) -> dict[str, Any]:
    """One incident: facts, runs, steps, what waits, clocks, drafts, notices."""
    return await desk.views.incident(incident)


@v1.get("/incidents/{incident}/timeline")
async def timeline(desk: ADesk, _actor: AnActor, incident: str, after: int = 0) -> dict[str, Any]:
    """The incident's journal, oldest first, beyond the entry ``after``; ``texts`` holds what somebody said, by entry.

    An entry is as it was hashed: what was said lies in evidence and is put beside it.
    """
    desk.views.known(incident)
    entries = desk.views.told(incident, after)
    texts = {str(entry["seq"]): entry.pop("text") for entry in entries if "text" in entry}
    return {"incident": incident, "entries": entries, "texts": texts}


@v1.get("/incidents/{incident}/handover")
async def hand_over(desk: ADesk, _actor: AnActor, incident: str) -> dict[str, Any]:
    """The incident in five lines, for whoever takes over."""
    return {"incident": incident, "lines": handover(await desk.views.incident(incident), datetime.now(UTC))}


@v1.get("/incidents/{incident}/after-review")
async def after_review_of(desk: ADesk, _actor: AnActor, incident: str) -> dict[str, Any]:
    """The after-review as Markdown, from the record as it stands now."""
    return {"incident": incident, "markdown": await desk.views.after_review(incident)}


@v1.post("/incidents/{incident}/notes")
async def note(desk: ADesk, actor: AnActor, incident: str, body: bodies.Note) -> JSONResponse:
    """Keep a line in the incident's timeline."""
    return receipt(desk.notes.note(incident, actor, body.text))


@v1.post("/incidents/{incident}/tell")
async def tell(desk: ADesk, actor: AnActor, incident: str, body: bodies.Tell) -> JSONResponse:
    """Tell the incident's channel, or roles."""
    return receipt(desk.notes.tell(incident, actor, body.text, body.to, body.urgency))


@v1.get("/incidents/{incident}/why")
async def why(desk: ADesk, _actor: AnActor, incident: str, step: str, run: str | None = None) -> dict[str, Any]:
    """Why a step ran, or did not: facts, rule, approvals and plan behind it, in sentences."""
    return await desk.views.why(incident, step, run)


@v1.post("/incidents/{incident}/decisions")
async def decide(desk: ADesk, actor: ADecider, incident: str, body: bodies.Decide) -> JSONResponse:
    """Decide a waiting question; a refusal of the run comes as a problem with its code."""
    return receipt(await desk.decisions.decide(incident, actor, Choice(**body.model_dump())))


@v1.post("/incidents/{incident}/pause")
async def pause(desk: ADesk, actor: AnActor, incident: str, body: bodies.OfRun) -> JSONResponse:
    """Start no further step."""
    return receipt(await desk.life.pause(incident, actor, body.run, body.reason))


@v1.post("/incidents/{incident}/resume")
async def resume(desk: ADesk, actor: AnActor, incident: str, body: bodies.OfRun) -> JSONResponse:
    """Go on after a pause."""
    return receipt(await desk.life.resume(incident, actor, body.run, body.reason))


@v1.post("/incidents/{incident}/cancel")
async def cancel(desk: ADesk, actor: AnActor, incident: str, body: bodies.OfRun) -> JSONResponse:
    """Cancel; undo is then offered."""
    return receipt(await desk.life.cancel(incident, actor, body.run, body.reason))


@v1.post("/incidents/{incident}/undo")
async def undo(desk: ADesk, actor: AnActor, incident: str, body: bodies.Undo) -> JSONResponse:
    """Offer to take back what a run did; it is previewed and has to be approved."""
    return receipt(await desk.aftermath.undo(incident, actor, body.run, body.step, body.reason))


@v1.post("/incidents/{incident}/rerun")
async def rerun(desk: ADesk, actor: AnActor, incident: str, body: bodies.OfRun) -> JSONResponse:
    """Do again what failed in a run that has ended, and go on."""
    return receipt(await desk.aftermath.rerun(incident, actor, body.run, body.reason))


@v1.post("/incidents/{incident}/migrate")
async def migrate(desk: ADesk, actor: AnActor, incident: str, body: bodies.Migrate) -> JSONResponse:
    """Show what a migration to another version would do; with the digest of that, do it."""
    to = {"text": body.text, "version": body.version}
    if body.digest is None or body.dry_run:
        return JSONResponse(await desk.migrations.show(incident, actor, body.run, **to))
    return receipt(await desk.migrations.migrate(incident, actor, body.run, body.digest, body.reason, **to))


@v1.post("/incidents/{incident}/reviews")
async def review(desk: ADesk, actor: AnActor, incident: str, body: bodies.Review) -> JSONResponse:
    """Say whether a break-glass was justified; who broke it may not."""
    return receipt(await desk.aftermath.review(incident, actor, body.step, body.verdict, body.reason, body.run))


@v1.post("/incidents/{incident}/take")
async def take(desk: ADesk, actor: AnActor, incident: str, body: bodies.Reason) -> JSONResponse:
    """Become the incident's commander."""
    return receipt(await desk.life.take(incident, actor, body.reason))


@v1.post("/incidents/{incident}/ack")
async def ack(desk: ADesk, actor: AnActor, incident: str) -> JSONResponse:
    """Record that the incident was seen."""
    return receipt(desk.life.ack(incident, actor))


@v1.post("/incidents/{incident}/facts")
async def set_fact(desk: ADesk, actor: AnActor, incident: str, body: bodies.SetFact) -> JSONResponse:
    """Set or clear a fact."""
    return receipt(await desk.life.set_fact(incident, actor, body.fact, body.value, body.reason))


@v1.post("/incidents/{incident}/events")
async def event(desk: ADesk, actor: AnActor, incident: str, body: bodies.Event) -> JSONResponse:
    """Deliver an event to the runs that wait for it."""
    return receipt(await desk.life.event(incident, actor, body.name, body.body, body.run, body.nonce))


@v1.post("/incidents/{incident}/clocks")
async def clock(desk: ADesk, actor: AnActor, incident: str, body: bodies.SayOfClock) -> JSONResponse:
    """Confirm, correct, submit, dismiss or hand over a legal clock."""
    return receipt(await desk.life.clock(incident, actor, body.clock, body.verb, body.at, body.reason))


@v1.post("/incidents/{incident}/close")
async def close(desk: ADesk, actor: AnActor, incident: str, body: bodies.Close) -> JSONResponse:
    """Close the incident; refused while an effect or a clock is open."""
    return receipt(await desk.life.close(incident, actor, body.status, body.reason))


@v1.get("/incidents/{incident}/export")
async def export(desk: ADesk, actor: AnActor, incident: str) -> FileResponse:
    """The incident's bundle, signed: journal, evidence, drafts, plans, histories."""
    require(actor.name, actor.roles, "ack")
    folder = tempfile.TemporaryDirectory(prefix=".export-", dir=desk.store.home)
    target = Path(folder.name) / f"{incident}.zip"
    try:
        await desk.export(incident, target, actor)
    except BaseException:
        folder.cleanup()
        raise
    return _Passing(folder, target)


class _Passing(FileResponse):
    """A file that is gone once it was sent, or could not be sent."""

    def __init__(self, folder: tempfile.TemporaryDirectory[str], target: Path) -> None:
        super().__init__(target, media_type="application/zip", filename=target.name)
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._folder.cleanup()
