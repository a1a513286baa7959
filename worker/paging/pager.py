"""The pager: walks every page's chain, on the run's clock, until somebody acknowledges or the chain ends."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from playbooks.contract import Json, Notice, Urgency
from worker.desk.entries import entry_of
from worker.desk.open_incidents import CLOSED
from worker.desk.times import stamp
from worker.paging.channels import PageChannel, Undelivered
from worker.paging.hearing import Hearing
from worker.paging.oncall import OnCall, ScheduleUnreadable
from worker.paging.pagerduty import PagerDuty
from worker.paging.rules import Chain, Link, Method, after, chain_of, due, parse_rule, unanswered
from worker.paging.stops import acknowledge, stop
from worker.paging.whom import COMMANDER, WorldTime, call_of, context_of, key_of, opens_at, severity_of
from worker.settings_paging import PagingSettings
from worker.store import Store
from worker.store.pages import GOING, Page

log = logging.getLogger(__name__)

TICK = 1.0
LISTEN = 5.0
LEASE = timedelta(seconds=180)
"""Longer than any channel takes with its tries; after it another process goes on where this one died."""
SEND = 120.0


class Pager:
    """Wakes people.

    Args:
        store: The installation's store.
        channels: By the name that a rule writes.
        settings: Rules and times.
        oncall: Schedules.
        lease: Real time for which a page is one process's alone while it sends.
    """

    def __init__(
        self,
        store: Store,
        channels: Mapping[str, PageChannel],
        settings: PagingSettings,
        oncall: OnCall,
        *,
        lease: timedelta = LEASE,
    ) -> None:
        self._store, self._channels, self._settings, self._oncall = store, dict(channels), settings, oncall
        self._lease = lease

    async def keep_paging(self, *, every: float = TICK, listen: float = LISTEN) -> None:
        """Page what is to be paged, again and again, until cancelled. A slow channel holds up its own page only.

        ``every`` and ``listen``: seconds between two looks, here and at PagerDuty.
        """
        walking: dict[str, asyncio.Task[None]] = {}
        hearing = asyncio.create_task(self._keep_listening(listen))
        try:
            while True:
                try:
                    real = datetime.now(UTC)
                    for page in await self._going(real):
                        if page.id not in walking or walking[page.id].done():
                            walking[page.id] = asyncio.create_task(self._walk_on(page, real))
                    walking = {name: task for name, task in walking.items() if not task.done()}
                except Exception:
                    # The store may be away for a while; what is to be paged waits in it.
                    log.exception("pages could not be sent; trying again")
                await asyncio.sleep(every)
        finally:
            for task in (hearing, *walking.values()):
                task.cancel()
            await asyncio.gather(hearing, *walking.values(), return_exceptions=True)

    async def _keep_listening(self, every: float) -> None:
        while True:
            try:
                await self.listen()
            except Exception:
                log.exception("PagerDuty could not be heard; trying again")
            await asyncio.sleep(every)

    async def _walk_on(self, page: Page, real: datetime) -> None:
        try:
            await self._walk(page, real)
        except Exception:
            log.exception("page %s could not go on; trying again", page.id)

    def ack(self, incident: str, person: str, page: str | None = None) -> list[str]:
        """Stop an incident's pages, or one: somebody has it. Their ids."""
        return acknowledge(self._store, incident, person, page)

    async def turn(self, now: datetime | None = None) -> None:
        """Everything that is due at a real instant; now, if none is given."""
        real = now or datetime.now(UTC)
        await asyncio.gather(*(self._walk(page, real) for page in await self._going(real)))

    async def _going(self, real: datetime) -> list[Page]:
        for notice in await self._store.call(self._store.pages.unseen):
            await self._open(notice, real)
        return await self._store.call(self._store.pages.of_status, *GOING)

    async def _open(self, notice: Notice, real: datetime) -> None:
        store, pages = self._store, self._store.pages
        record = store.incidents.get(notice.incident)
        if notice.body.get("kind") == "result":
            alike = [
                page.id
                for page in pages.of_status(*GOING, incident=notice.incident)
                if (page.notice.run, page.notice.step) == (notice.run, notice.step)
            ]
            decided = notice.body.get("by")
            by = ", ".join(map(str, decided)) if isinstance(decided, list) else ""
            stop(store, notice.incident, "acknowledged" if by else "ended", by, alike)
        now = WorldTime(context_of(store, notice.incident, notice.run)).of(real)
        opens = None
        if record is not None and record["status"] not in CLOSED:
            severity, given = severity_of(record), self._settings
            opens = opens_at(store, notice, severity, now, high_from=given.high_from, share=given.share)
        if opens is not None:
            pages.open(notice, "waiting", {"opens": stamp(opens)})
        elif "mail" in notice.to and "mail" in self._channels and record is not None:
            pages.open(notice, "waiting", {"opens": stamp(now), "copies_only": True})
        else:
            pages.open(notice, "none", {})

    async def _walk(self, page: Page, real: datetime) -> None:
        store = self._store
        record = store.incidents.get(page.incident)
        if record is None or record["status"] in CLOSED:
            stop(store, page.incident, "ended", "", [page.id])
            return
        context = context_of(store, page.incident, page.notice.run)
        world = WorldTime(context)
        begun = datetime.now(UTC)
        if page.status == "waiting":
            if datetime.fromisoformat(page.state["opens"]) > world.of(real):
                return
            started = await self._begin(page, world.of(real))
            if started is None:
                return
            page = started
        while True:
            # What a channel took of real time has passed in the world, too.
            now = world.of(real + (datetime.now(UTC) - begun))
            chain = _chain(page.state)
            link = due(chain, now)
            if link is None:
                if unanswered(chain, now):
                    self._nobody(page, stamp(now))
                return
            current = datetime.now(UTC)
            if not store.pages.claim(page, stamp(current), stamp(current + self._lease)):
                return
            problem = await self._send(page, link, severity_of(record), str(record.get("mode", "live")))
            now = world.of(real + (datetime.now(UTC) - begun))
            moved = after(chain, now, taken=not problem, gap=self._settings.gap)
            sent = self._sent(page, link, chain.cursor, moved, stamp(now), problem)
            if sent is None:
                return
            page = sent

    async def _begin(self, page: Page, now: datetime) -> Page | None:
        """The page with its chain; ``None`` if somebody else began it."""
        only = bool(page.state.get("copies_only"))
        turns, problems = ([], []) if only else await self._whom(page.notice, now)
        people = [person for turn in turns for person in turn]
        copies = self._copies(page.notice)
        rules = {person: self._rule(person) for person in people}
        chain = chain_of(turns, rules, now, times=self._settings.times, copies=copies)
        if only and not copies:
            problems.append("nobody is named to mail it to: set paging.mail.list, or name roles")
        state = {**page.state, "attempts": [], **_kept(chain)}
        with self._store.transaction():
            if not self._store.pages.save(page, "open", state):
                return None
            body: dict[str, Json] = {"page": page.id, "step": page.notice.step, "people": len({*people, *copies})}
            text = "; ".join(problems)
            entry = entry_of("stanch", "pager", "page.opened", body, text, key=f"page/{page.id}/opened")
            self._store.journal.append(page.incident, [entry])
        return Page(page.id, page.incident, "open", state, page.version + 1, page.notice)

    async def _whom(self, notice: Notice, now: datetime) -> tuple[list[list[str]], list[str]]:
        """Whom to page, turn by turn, and what of the schedules could not be read."""
        everybody, contacts = self._store.people.list(), self._store.contacts.all()
        turns = [[each.removeprefix("person:")] for each in notice.to if each.startswith("person:")]
        problems = []
        for role in dict.fromkeys((*_roles(notice), COMMANDER)):
            try:
                turns.append(await self._oncall.names(role, now, everybody, contacts))
            except ScheduleUnreadable as error:
                problems.append(f"{role}: {error}; everybody with the role is paged")
            turns += [[person.name] for person in everybody if role in person.roles]
        return turns, problems

    def _copies(self, notice: Notice) -> list[str]:
        """Who gets a mail of it, without being paged: ``list:N``, or people of the named roles."""
        if "mail" not in notice.to or "mail" not in self._channels:
            return []
        listed = self._settings.mail.list if self._settings.mail is not None else ()
        wanted = set(_roles(notice))
        people = [person.name for person in self._store.people.list() if wanted & set(person.roles)]
        return [f"list:{number}" for number in range(len(listed))] or people

    def _rule(self, person: str) -> tuple[Method, ...]:
        own = self._store.contacts.all().get(person, {}).get("rule")
        if own:
            return parse_rule(own)
        rule = parse_rule(self._settings.rule)
        # The rule for everybody must not try in vain what this installation does not have.
        return tuple(method for method in rule if method.channel in self._channels) or rule

    async def _send(self, page: Page, link: Link, severity: int, mode: str) -> str:
        """Try one link; why it failed, or nothing."""
        channel = self._channels.get(link.channel)
        if channel is None:
            return f"{link.channel} is not set up here"
        key = key_of(page.notice, f"copy:{link.person}" if link.copy else link.person, link.time)
        call = call_of(page.notice, key, mode, severity, self._settings.url, wakes=not link.copy)
        try:
            async with asyncio.timeout(SEND):
                await channel.send(call, link.person, self._address(link.person, link.channel))
        except Undelivered as error:
            return str(error)
        except Exception as error:
            log.exception("channel %s failed", link.channel)
            return type(error).__name__
        return ""

    def _address(self, person: str, channel: str) -> str:
        if person.startswith("list:") and self._settings.mail is not None:
            return self._settings.mail.list[int(person.removeprefix("list:"))]
        return self._store.contacts.all().get(person, {}).get(channel, "")

    def _sent(self, page: Page, link: Link, number: int, moved: Chain, at: str, problem: str) -> Page | None:
        """Keep an attempt; the page as it goes on, or ``None`` if somebody stopped it meanwhile."""
        attempt: dict[str, Json] = {
            "person": link.person,
            "channel": link.channel,
            "time": link.time,
            "at": at,
            "error": problem,
        }
        if link.copy:
            attempt["copy"] = True
        store = self._store
        with store.transaction():
            found = store.pages.of_status("open", "acknowledged", "ended", "unanswered", incident=page.incident)
            current = next(each for each in found if each.id == page.id)
            state = {**current.state, "attempts": [*current.state["attempts"], attempt]}
            if current.version == page.version:
                state |= _kept(moved)
            store.pages.save(current, current.status, state)
            (store.notices.failed if problem else store.notices.delivered)(
                page.id, "mail" if link.copy else f"page:{link.channel}", at, *((problem,) if problem else ())
            )
            kind = "page.failed" if problem else "page.sent"
            body: dict[str, Json] = {"page": page.id, "channel": link.channel, "person": link.person}
            entry = entry_of("stanch", "pager", kind, body, problem, key=f"page/{page.id}/{number}")
            store.journal.append(page.incident, [entry])
        going = current.version == page.version
        return Page(page.id, page.incident, "open", state, current.version + 1, page.notice) if going else None

    def _nobody(self, page: Page, at: str) -> None:
        """Say that a chain has ended."""
        store = self._store
        if page.state.get("copies_only"):
            store.pages.save(page, "ended", page.state)
            return
        text = f"{page.incident}: nobody answered the page" + (f" for {page.notice.step}." if page.notice.step else ".")
        with store.transaction():
            if not store.pages.save(page, "unanswered", page.state):
                return
            body: dict[str, Json] = {"page": page.id, "step": page.notice.step, "attempts": len(page.state["attempts"])}
            entry = entry_of("stanch", "pager", "page.unanswered", body, key=f"page/{page.id}/unanswered")
            store.journal.append(page.incident, [entry])
            said = Notice(
                id=f"{page.id}/unanswered",
                incident=page.incident,
                to=("channel", f"role:{COMMANDER}"),
                urgency=Urgency.HIGH,
                body={"kind": "text", "text": text},
                at=at,
            )
            store.notices.put([said])

    async def listen(self) -> None:
        """Hear acknowledgements given in PagerDuty, and tell it of those given elsewhere."""
        channel = self._channels.get("pagerduty")
        if isinstance(channel, PagerDuty):
            await Hearing(self._store, channel).listen()


def _roles(notice: Notice) -> list[str]:
    return [each.removeprefix("role:") for each in notice.to if each.startswith("role:")]


def _kept(chain: Chain) -> dict[str, Any]:
    links = [asdict(link) for link in chain.links]
    then = stamp(chain.then) if chain.then is not None else None
    return {"links": links, "cursor": chain.cursor, "due": stamp(chain.due), "taken": chain.taken, "then": then}


def _chain(state: Mapping[str, Any]) -> Chain:
    links = tuple(Link(**link) for link in state["links"])
    then = datetime.fromisoformat(state["then"]) if state.get("then") else None
    return Chain(links, state["cursor"], datetime.fromisoformat(state["due"]), state["taken"], then)
