"""What a person did at the desk, as an entry of the record."""

import uuid
from collections.abc import Mapping

from playbooks.contract import Json, NewEntry
from worker.desk.times import stamp


def entry_of(
    actor: str, door: str, kind: str, body: Mapping[str, Json] | None = None, text: str = "", *, key: str = ""
) -> NewEntry:
    """An entry that stands once: under ``key``, or under a key of its own where the same may happen again.

    ``body`` holds ids, counts and references; ``text`` is what the person said, which the store keeps as evidence.
    """
    return NewEntry(
        key=key or f"desk/{kind}/{uuid.uuid4()}",
        kind=kind,
        at=stamp(),
        actor=actor,
        door=door,
        body=dict(body or {}),
        text=text,
    )
