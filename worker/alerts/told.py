"""What people are told where an alert's playbook was not started because its source has used up its starts."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from playbooks.contract import NewEntry, Notice, Urgency
from worker.alerts.model import Alert


class Told(Protocol):
    """What of the store it takes."""

    @property
    def journal(self) -> Any:
        """The record."""

    @property
    def notices(self) -> Any:
        """The outbox."""

    def transaction(self) -> AbstractContextManager[Any]:
        """Group writes: all or none."""


def tell_capped(store: Told, incident: str, alert: Alert, wanted: str, at: str) -> None:
    """Page the incident commander and put it into the record, once for each incident and playbook.

    ``wanted`` is the playbook that was not started; ``alert`` says what was started instead.
    """
    why = next((problem.message for problem in alert.problems if problem.code == "capped"), "")
    text = f"{incident}: {wanted} was not started. {why} Look whether this is one attack or a detector gone wrong."
    body = {"playbook": wanted, "code": "capped", "instead": alert.route.playbook if alert.route else None}
    key = f"alerts/capped/{wanted}"
    entry = NewEntry(key=key, kind="run.not_started", at=at, actor=alert.source, door="alerts", body=body, text=why)
    notice = Notice(
        id=f"{incident}/capped/{wanted}",
        incident=incident,
        to=("role:incident_commander",),
        urgency=Urgency.PAGE,
        body={"kind": "text", "text": text},
        at=at,
    )
    with store.transaction():
        store.journal.append(incident, [entry])
        store.notices.put([notice])
