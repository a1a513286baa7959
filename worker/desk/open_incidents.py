"""What concerns every open incident goes into the record of each."""

import uuid

from playbooks.contract import Json, NewEntry
from worker.desk.times import stamp
from worker.store import Store

CLOSED = frozenset({"closed", "false_alarm"})


def note_in_open(
    store: Store, actor: str, door: str, kind: str, body: dict[str, Json] | None = None, text: str = ""
) -> None:
    """Write an entry into the journal of each incident that is open."""
    for record in store.incidents.list():
        if record.get("status", "open") not in CLOSED:
            entry = NewEntry(
                key=f"desk/{kind}/{uuid.uuid4()}",
                kind=kind,
                at=stamp(),
                actor=actor,
                door=door,
                body=body or {},
                text=text,
            )
            store.journal.append(record["incident"], [entry])
