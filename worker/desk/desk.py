"""The desk: the one place that knows who a person is and what they may do now. Doors are thin views of it."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.client import Client

from worker.desk.decisions import Actor, Decisions
from worker.desk.life import Life
from worker.desk.outbox import Outbox
from worker.desk.people import People
from worker.desk.reconcile import Reconciler
from worker.desk.refusals import DeskRefusal
from worker.desk.starts import Installation, Starts
from worker.desk.views import Views
from worker.store import Store


class Desk:
    """Everything that a door needs.

    Args:
        store: The installation's store.
        client: Temporal.
        installation: What every start shares.
        key: The desk's signing key; its public half is in ``installation.desk_keys`` under ``key_id``.
        key_id: Id of that key.
    """

    def __init__(
        self,
        store: Store,
        client: Client,
        installation: Installation,
        key: Ed25519PrivateKey,
        key_id: str,
    ) -> None:
        self.store, self.client, self.installation = store, client, installation
        self.people = People(store)
        self.views = Views(store, client)
        self.starts = Starts(store, client, installation)
        self.decisions = Decisions(store, client, self.views, key, key_id)
        self.life = Life(store, client, self.views)
        self.outbox = Outbox(store)
        self.reconciler = Reconciler(store, client, self.starts)

    def actor(self, token: str, door: str) -> Actor:
        """Who holds this token, with the roles of this very moment.

        Raises:
            DeskRefusal: ``unknown_person``.
        """
        person = self.store.people.by_token(token) if token else None
        if person is None:
            raise DeskRefusal("unknown_person", "Nobody is known by this token. Nothing was done.")
        return Actor(name=person.name, roles=tuple(person.roles), door=door)
