"""What concerns every open incident goes into the record of each."""

from playbooks.contract import Json
from worker.desk.entries import entry_of
from worker.store import Store

CLOSED = frozenset({"closed", "false_alarm"})


def note_in_open(
    store: Store, actor: str, door: str, kind: str, body: dict[str, Json] | None = None, text: str = ""
) -> None:
    """Write an entry into the journal of each incident that is open."""
    for record in store.incidents.list():
        if record.get("status", "open") not in CLOSED:
            store.journal.append(record["incident"], [entry_of(actor, door, kind, body, text)])
