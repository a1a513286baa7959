"""App Homes: shown when somebody looks, and again when what waits for them has changed, not too often."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from playbooks.digest import digest_of
from worker.desk.desk import Desk
from worker.slack import home
from worker.slack.answers import FAILURES
from worker.slack.identity import Identities
from worker.store.people import Person

log = logging.getLogger(__name__)

EVERY = 5.0
OFF = "off"
CLOSED = frozenset({"closed", "false_alarm"})


class HomeTabs:
    """Publishes homes of those who have looked since the start."""

    def __init__(self, desk: Desk, web: AsyncWebClient, identities: Identities) -> None:
        self._desk, self._web, self._identities = desk, web, identities
        self._shown: dict[str, tuple[str, str]] = {}

    async def opened(self, user: str, person: Person | None) -> None:
        """Somebody looks: show them what waits for them, or nothing if nobody knows them."""
        if person is None:
            await self._publish(user, home.home(None, [], [], now=datetime.now(UTC)))
        else:
            await self._refresh(user, person.name, await self._desk.views.waiting(live=False), again=True)

    async def keep_fresh(self, *, every: float = EVERY) -> None:
        """Show again what has changed, until cancelled."""
        while True:
            await asyncio.sleep(every)
            try:
                if self._shown:
                    waiting = await self._desk.views.waiting(live=False)
                    for user, (name, _) in list(self._shown.items()):
                        await self._refresh(user, name, waiting)
            except Exception:
                log.exception("the homes in Slack could not be refreshed; trying again")

    async def _refresh(self, user: str, name: str, waiting: list[dict[str, Any]], *, again: bool = False) -> None:
        if await self._desk.store.call(self._desk.store.slack.off.get) is not None:
            if (again or self._shown.get(user, ("", ""))[1] != OFF) and await self._publish(user, home.off()):
                self._shown[user] = (name, OFF)
            return
        mine = [entry for entry in waiting if name in entry["who"].get("may", ())]
        rows = [row for row in await self._desk.views.overview() if row["status"] not in CLOSED]
        digest = digest_of([[[e["incident"], e["step"], e.get("digest", ""), e.get("until")] for e in mine], rows])
        if not again and self._shown.get(user, ("", ""))[1] == digest:
            return
        for entry in mine:
            lane = await self._desk.store.call(self._desk.store.slack.out.lane, entry["incident"])
            entry["channel"] = lane.channel if lane else None
        view = home.home(name, mine, rows, now=datetime.now(UTC))
        if await self._publish(user, view):
            self._shown[user] = (name, digest)

    async def _publish(self, user: str, view: dict[str, Any]) -> bool:
        try:
            await self._web.views_publish(user_id=user, view=view)
        except FAILURES as error:
            log.warning("a home in Slack could not be shown: %s", type(error).__name__)
            return False
        return True
