"""What stops a page: somebody has it, or it is over. The record says who and when."""

from worker.desk.entries import entry_of
from worker.store import Store


def acknowledge(store: Store, incident: str, person: str, page: str | None = None, door: str = "pager") -> list[str]:
    """Stop an incident's pages, or one, because somebody has it; their ids."""
    return stop(store, incident, "acknowledged", person, None if page is None else [page], door)


def stop(store: Store, incident: str, status: str, by: str, only: list[str] | None, door: str = "pager") -> list[str]:
    """End an incident's pages that are going on, or those of them that are named; their ids."""
    with store.transaction():
        ended = store.pages.end(incident, status, by=by, only=only)
        entries = [
            entry_of(by or "stanch", door, f"page.{status}", {"page": page}, key=f"page/{page}/{status}")
            for page in ended
        ]
        if entries:
            store.journal.append(incident, entries)
    return ended
