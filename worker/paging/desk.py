"""What people ask of paging at every door: who is on call, and a test page. Its libraries load when they are needed."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from worker.desk.refusals import DeskRefusal
from worker.settings import Settings
from worker.store import Store

if TYPE_CHECKING:
    from worker.paging.channels import PageChannel
    from worker.paging.oncall import OnCall

log = logging.getLogger(__name__)

FRESH = 30.0


class PagingDesk:
    """Answers over one installation's settings. The caller has checked the right to.

    Args:
        settings: With ``[paging]``, or nobody is on call by a schedule.
        store: People and how they are reached.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._now: dict[str, tuple[str, ...]] = {}
        self.channels: dict[str, PageChannel] = {}
        """Further channels of this process, such as Slack."""

    def on_call(self, role: str) -> tuple[str, ...]:
        """Who was on call for a role when it was last looked up; nobody where there is no schedule."""
        return self._now.get(role, ())

    async def keep_fresh(self, *, every: float = FRESH) -> None:
        """Look up who is on call, again and again, until cancelled."""
        while True:
            try:
                rows = (await self.oncall())["oncall"]
                self._now = {row["role"]: tuple(row["people"]) for row in rows}
            except Exception:
                # Names in messages may be old for a while; whom to page is looked up when it is needed.
                log.exception("who is on call could not be looked up; trying again")
            await asyncio.sleep(every)

    async def oncall(self, instant: str | None = None) -> dict[str, Any]:
        """Who is on call: ``at``, and for each role with a schedule ``role people next problem otherwise``.

        ``otherwise`` are those who are paged where nobody is on call.

        Raises:
            DeskRefusal: ``bad_value`` for what is no instant with its zone, or a secret that cannot be read.
        """
        at = _instant(instant) if instant else datetime.now(UTC)
        schedules = self._schedules()
        rows = [] if schedules is None else [await self._row(schedules, role, at) for role in schedules.roles]
        return {"at": at.isoformat(), "oncall": rows}

    async def _row(self, schedules: "OnCall", role: str, at: datetime) -> dict[str, Any]:
        from worker.paging.oncall import ScheduleUnreadable

        people, contacts = self._store.people.list(), self._store.contacts.all()
        row: dict[str, Any] = {"role": role, "people": [], "next": None, "problem": ""}
        row["otherwise"] = [person.name for person in people if role in person.roles]
        try:
            row["people"] = await schedules.names(role, at, people, contacts)
            change = await schedules.next_change(role, at)
            row["next"] = change.strftime("%Y-%m-%dT%H:%MZ") if change else None
        except ScheduleUnreadable as error:
            row["problem"] = str(error)
        return row

    async def test_page(self, name: str) -> dict[str, Any]:
        """Send a marked test page by every method of somebody's rule: ``ok name methods`` (``channel error``).

        Raises:
            DeskRefusal: ``bad_value`` where nobody can be woken, ``not_found``.
        """
        from worker.paging.trial import try_rule
        from worker.secrets import SecretError

        paging = self._settings.file.paging
        if paging is None:
            raise DeskRefusal(
                "bad_value",
                "There is no [paging] in these settings, so nobody can be woken. Nothing was sent.",
                "The settings are ./stanch.toml, or what STANCH_CONFIG names; docs/paging.md says what to write.",
            )
        if self._store.people.get(name) is None:
            raise DeskRefusal("not_found", f"Nobody is known as {name[:64]!r}. Nothing was sent.")
        try:
            found = await try_rule(self._settings, paging, self._store, name, self.channels)
        except SecretError as error:
            raise DeskRefusal("bad_value", f"{error} Nothing was sent.") from None
        return {"ok": not any(row["error"] for row in found), "name": name, "methods": found}

    def _schedules(self) -> "OnCall | None":
        paging = self._settings.file.paging
        if paging is None or not (paging.calendars or (paging.pagerduty and paging.pagerduty.schedules)):
            return None
        from worker.paging.setup import channels_of, oncall_of
        from worker.secrets import SecretError

        try:
            return oncall_of(self._settings, paging, channels_of(self._settings, paging))
        except SecretError as error:
            raise DeskRefusal("bad_value", f"{error} The schedules were not read.") from None


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = datetime.min
    if at.tzinfo is None:
        raise DeskRefusal("bad_value", f"{text[:40]!r} is no instant with its zone. Nothing was looked up.")
    return at
