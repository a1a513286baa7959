"""Events from outside: taken in by a run that waits for their name, kept until a ``wait`` takes them, once each."""

import json

from playbooks.contract import Json
from playbooks.plan import PlannedStep
from workflows.gates import parse
from workflows.messages import EventGiven, Receipt
from workflows.run import Run, size_of
from workflows.scope import Place, events_of
from workflows.state import Event, StepRecord

MAX_BODY = 16 * 1024
MAX_KEPT = 100
MAX_KEPT_BYTES = 256 * 1024
NONCES = 500
"""How many nonces are remembered; an event that is delivered again later than that counts anew."""


def take_event(run: Run, given: EventGiven) -> Receipt:
    """Keep an event for the first ``wait`` of its name. Refused where no step waits for it, or too much is kept."""
    state, known = run.state, events_of(run.index)
    if given.nonce in state.event_nonces:
        return Receipt(accepted=True, message=f"The event {given.name} was already delivered.")
    if run.closing:
        return _refused("closed", f"The run {run.input.run} has ended.")
    if given.name not in known:
        names = ", ".join(known) or "none"
        return _refused("unknown_event", f"No step waits for an event {given.name[:60]} (known: {names}).")
    size = _bytes(given.body)
    if size is None or size > MAX_BODY:
        return _refused("too_large", f"An event holds JSON of at most {MAX_BODY // 1024} KB.")
    kept = sum(event.bytes for event in state.events)
    if len(state.events) >= MAX_KEPT or kept + size > MAX_KEPT_BYTES:
        return _refused("too_many_events", f"{len(state.events)} events wait already that no step has taken.")
    state.event_nonces = [*state.event_nonces, given.nonce][-NONCES:]
    state.events.append(Event(name=given.name, body=given.body, by=given.person, at=run.clock.stamp(), bytes=size))
    run.note(
        "event.received",
        actor=given.person,
        door=given.door,
        text=json.dumps(given.body, ensure_ascii=False, sort_keys=True),
        event=given.name,
        fields=sorted(given.body),
        bytes=size,
    )
    return Receipt(accepted=True, message=f"The event {given.name} was delivered to {run.input.run}.")


async def event_taken(run: Run, step: PlannedStep, place: Place, record: StepRecord, name: str, until: str) -> bool:
    """Wait for an event and take it: its body is the step's output, whoever sent it its supplier. ``False`` when
    ``until`` came first."""
    record.status, record.waiting_for = "waiting", f"event {name}"
    while True:
        await run.wait(lambda: _first(run, name) is not None, place, until)
        # Another step that waits for the same name may have been quicker.
        event = _first(run, name)
        if event is not None:
            break
        if run.clock.now() >= parse(until):
            return False
    run.state.events.remove(event)
    record.output, record.output_bytes = dict(event.body), event.bytes
    record.by, record.suppliers = [event.by], [event.by]
    return True


def _first(run: Run, name: str) -> Event | None:
    return next((event for event in run.state.events if event.name == name), None)


def _bytes(body: dict[str, Json]) -> int | None:
    """Bytes of a body as JSON; ``None`` if it cannot be written."""
    try:
        json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return size_of(body)


def _refused(code: str, message: str) -> Receipt:
    return Receipt(accepted=False, code=code, message=f"{message} Nothing was delivered.")
