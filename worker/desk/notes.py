"""What people say into an incident: a note for its timeline, and something to tell others."""

from collections.abc import Mapping, Sequence

from playbooks.contract import Json, Notice, Urgency
from worker.desk.decisions import Actor
from worker.desk.entries import entry_of
from worker.desk.people import NAME
from worker.desk.refusals import DeskRefusal
from worker.desk.rights import require
from worker.desk.times import stamp
from worker.desk.views import Views
from worker.store import Store
from workflows.messages import Receipt

NOTE = "incident.note"
LONGEST = 3000
PLACES = ("channel", "mail", "page")


class Notes:
    """Notes and messages of people. Every method checks the person's right first.

    A door that fixes ``actor.request`` may ask again after a death: it is said once.
    """

    def __init__(self, store: Store, views: Views) -> None:
        self._store, self._views = store, views

    def note(
        self, incident: str, actor: Actor, text: str, *, source: Mapping[str, Json] | None = None, key: str = ""
    ) -> Receipt:
        """Keep a line in the timeline; its text lies in evidence.

        ``source`` says where it was said (ids and links only); under ``key`` the same thing is kept once.

        Raises:
            DeskRefusal: ``wrong_role``, ``not_found``, or ``bad_value`` for no text or too much.
        """
        require(actor.name, actor.roles, "note")
        self._views.known(incident)
        said = _checked(text, "A note")
        entry = entry_of(actor.name, actor.door, NOTE, source, said, key=key or f"desk/{actor.once('note')}")
        if not self._store.journal.append(incident, [entry]):
            return Receipt(accepted=True, message=f"It is in the timeline of {incident} already.")
        return Receipt(accepted=True, message=f"Kept in the timeline of {incident}.")

    def tell(self, incident: str, actor: Actor, text: str, to: Sequence[str] = (), urgency: str = "normal") -> Receipt:
        """Tell the incident's channel, or roles; nothing leaves the organisation's own channels.

        ``to`` holds ``channel``, ``mail``, ``page`` or names of roles; ``page`` wakes people.

        Raises:
            DeskRefusal: ``wrong_role``, ``not_found``, or ``bad_value``.
        """
        require(actor.name, actor.roles, "tell")
        self._views.known(incident)
        said = _checked(text, "A message")
        wrong = [each for each in to if not NAME.match(each)]
        if wrong:
            raise DeskRefusal(
                "bad_value", f"{wrong[0][:64]!r} is no role, and none of {', '.join(PLACES)}. Nobody was told."
            )
        if urgency not in {each.value for each in Urgency}:
            words = ", ".join(each.value for each in Urgency)
            raise DeskRefusal("bad_value", f"An urgency is one of {words}. Nobody was told.")
        meant = tuple(dict.fromkeys(to)) or ("channel",)
        loud = Urgency.PAGE if "page" in meant else Urgency(urgency)
        addressed = tuple(each if each in PLACES else f"role:{each}" for each in meant)
        name = actor.once("tell")
        notice = Notice(
            id=f"{incident}/{name}",
            incident=incident,
            to=addressed,
            urgency=loud,
            body={"kind": "text", "text": f"{actor.name}: {said}", "by": actor.name},
            at=stamp(),
        )
        body: dict[str, Json] = {"to": list(addressed), "urgency": loud.value}
        entry = entry_of(actor.name, actor.door, "incident.told", body, said, key=f"desk/{name}")
        with self._store.transaction():
            self._store.journal.append(incident, [entry])
            self._store.notices.put([notice])
        heard = ", ".join(meant)
        return Receipt(accepted=True, message=f"Told to {heard}; `stanch incident show {incident}` says what arrived.")


def _checked(text: str, what: str) -> str:
    """Text without blank ends.

    Raises:
        DeskRefusal: ``bad_value``.
    """
    said = text.strip()
    if not said:
        raise DeskRefusal("bad_value", f"{what} needs words. Nothing was kept.")
    if len(said) > LONGEST:
        raise DeskRefusal("bad_value", f"{what} may have {LONGEST} characters. Nothing was kept.")
    return said
