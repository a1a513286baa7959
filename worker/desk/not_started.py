"""What people are told where a playbook was wanted and could not start."""

from playbooks.contract import NewEntry, Notice, Urgency
from worker.desk.refusals import DeskRefusal
from worker.desk.times import stamp
from worker.store import Store


def tell_nothing_ran(store: Store, incident: str, playbook: str, refusal: DeskRefusal) -> None:
    """Page the incident commander, and put it into the record."""
    text = f"No playbook runs for {incident}: {refusal.message} Nothing was contained; act by hand."
    with store.transaction():
        store.journal.append(
            incident,
            [
                NewEntry(
                    key=f"desk/not-started/{playbook}",
                    kind="run.not_started",
                    at=stamp(),
                    door="desk",
                    body={"playbook": playbook, "code": refusal.code},
                    text=refusal.message,
                )
            ],
        )
        store.notices.put(
            [
                Notice(
                    id=f"{incident}/not-started/{playbook}",
                    incident=incident,
                    to=("role:incident_commander",),
                    urgency=Urgency.PAGE,
                    body={"kind": "text", "text": text},
                    at=stamp(),
                )
            ]
        )
