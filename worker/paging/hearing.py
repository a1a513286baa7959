"""What PagerDuty knows and we do not, and the other way round: who acknowledged there, and what is over here."""

import logging

from worker.desk.open_incidents import CLOSED
from worker.paging.channels import Undelivered
from worker.paging.pagerduty import PagerDuty
from worker.paging.stops import acknowledge
from worker.paging.whom import key_of
from worker.store import Store
from worker.store.pages import Page

log = logging.getLogger(__name__)

OVER = "resolve"


class Hearing:
    """Keeps the pages of an installation and their incidents in one PagerDuty account alike."""

    def __init__(self, store: Store, channel: PagerDuty) -> None:
        self._store, self._channel = store, channel

    async def listen(self) -> None:
        """Hear once who acknowledged there, and tell it of what was stopped elsewhere."""
        pages = self._store.pages
        if self._channel.hears:
            for page in await self._store.call(pages.of_status, "open"):
                await self._hear(page)
        for page in await self._store.call(pages.unsettled, OVER):
            await self._settle(page)

    async def _hear(self, page: Page) -> None:
        for key, person in _keys(page):
            try:
                user = await self._channel.acknowledged(key)
            except Undelivered as error:
                log.warning("PagerDuty cannot be asked about %s: %s", page.id, error)
                return
            if user is not None:
                contacts = self._store.contacts.all().items()
                names = (name for name, contact in contacts if contact.get("pagerduty") == user)
                acknowledge(self._store, page.incident, next(names, person), page.id, door="pagerduty")
                return

    async def _settle(self, page: Page) -> None:
        record = self._store.incidents.get(page.incident)
        over = page.status == "ended" or record is None or record["status"] in CLOSED
        verb = OVER if over else "acknowledge"
        if page.settled == verb or (page.status == "unanswered" and not over):
            return
        contacts = self._store.contacts.all()
        try:
            for key, person in _keys(page):
                address = contacts.get(person, {}).get("pagerduty", "")
                await (self._channel.resolve if over else self._channel.acknowledge)(key, address)
        except Undelivered as error:
            log.warning("PagerDuty was not told about %s: %s", page.id, error)
            return
        self._store.pages.settle(page, verb)


def _keys(page: Page) -> list[tuple[str, str]]:
    """What PagerDuty took of a page: keys of its incidents there, and whom they were for."""
    taken = [each for each in page.state.get("attempts", ()) if each["channel"] == "pagerduty" and not each["error"]]
    return [(key_of(page.notice, each["person"], each["time"]), each["person"]) for each in taken]
