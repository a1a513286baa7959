"""Cards: what a button in Slack stands for. The button carries the card's id and nothing else."""

import secrets
from dataclasses import asdict, dataclass

from sqlalchemy import func, insert, select

from worker.store.database import Database, stamp
from worker.store.outbox import Switch
from worker.store.schema import drafts, notices, slack_cards, slack_channels, slack_off, snapshots
from worker.store.slack_outgoing import Outgoing


@dataclass(frozen=True)
class Card:
    """One question as it was shown: ``round`` and ``digest`` are those of that moment.

    ``channel`` is the channel that it was made for; ``message_key`` the key of the message that shows it.
    """

    incident: str
    run: str
    step: str
    round: int
    digest: str
    kind: str
    channel: str
    message_key: str


class Cards:
    """Ids are random: they tell nothing, and cannot be guessed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def issue(
        self, incident: str, run: str, step: str, round_: int, digest: str, kind: str, channel: str, message_key: str
    ) -> str:
        """The card of a question in a message: the same id for the same question, round and digest."""
        card = Card(incident, run, step, round_, digest, kind, channel, message_key)
        columns = {name: value for name, value in asdict(card).items() if name != "channel"}
        same = [slack_cards.c[name] == value for name, value in columns.items()]
        with self._database.reading() as connection:
            held = connection.execute(select(slack_cards.c.id).where(*same)).scalar()
        if held is not None:
            return str(held)
        with self._database.transaction() as connection:
            held = connection.execute(select(slack_cards.c.id).where(*same)).scalar()
            if held is None:
                held = secrets.token_urlsafe(18)
                connection.execute(insert(slack_cards), {"id": held, **asdict(card), "at": stamp()})
        return str(held)

    def find(self, id_: str) -> Card | None:
        """The card of this id; one issued before its incident's channel was made has that channel now."""
        wanted = select(slack_cards).where(slack_cards.c.id == id_)
        with self._database.reading() as connection:
            row = connection.execute(wanted).mappings().first()
            if row is None:
                return None
            here = select(slack_channels.c.channel).where(slack_channels.c.lane == row["incident"])
            channel = row["channel"] or connection.execute(here).scalar() or ""
        kept = {name: row[name] for name in Card.__dataclass_fields__ if name != "channel"}
        return Card(**kept, channel=channel)


class Slack:
    """What of Slack is kept: ``cards``, what should stand there (``out``), and whether it is switched off (``off``)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.cards = Cards(database)
        self.out = Outgoing(database)
        self.off = Switch(database, slack_off)

    def marks(self) -> dict[str, str]:
        """Incident to something that is another text whenever there is something else to tell of it."""
        told = select(notices.c.incident, func.max(notices.c.position)).group_by(notices.c.incident)
        known = select(snapshots.c.incident, func.sum(snapshots.c.version)).group_by(snapshots.c.incident)
        kept = select(drafts.c.incident, func.max(drafts.c.at)).group_by(drafts.c.incident)
        stands = select(slack_channels.c.incident, slack_channels.c.channel, slack_channels.c.done)
        found: dict[str, str] = {}
        with self._database.reading() as connection:
            for wanted in (told, known, kept, stands.where(slack_channels.c.incident.is_not(None))):
                for incident, *parts in connection.execute(wanted):
                    found[incident] = f"{found.get(incident, '')}|{parts}"
        return found
