"""What should stand in Slack, and what stands there: messages and files in lanes.

A lane is an incident's channel (its id), ``main``, or one person's direct messages (``person:NAME``). One process at a
time works on a lane, by a lease; so what stands there has one order, and nothing is sent twice. Instants that are
only compared (leases, next tries) are seconds since 1970.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, or_, select, update

from playbooks.contract import Json
from playbooks.digest import sha256_hex
from worker.store.database import Database, dumps, stamp
from worker.store.outbox import Notices
from worker.store.schema import slack_channels, slack_files, slack_messages

CHANNEL = "slack"
"""The name of this channel in the deliveries of notices."""
OFF = "off:"
"""How the keys begin of the lines that say that Slack is switched off."""


@dataclass(frozen=True)
class Lane:
    """A channel of Slack as it should be (``wanted``) and as far as it is (``done``).

    ``state`` is ``due`` while they differ, ``settled``, or ``refused`` where Slack will never have it so.
    """

    lane: str
    incident: str | None
    channel: str | None
    name: str | None
    state: str
    wanted: dict[str, Any]
    done: dict[str, Any]
    attempts: int
    next_try: float
    error: str | None


@dataclass(frozen=True)
class Wanted:
    """A message or file. ``state`` is ``new``, ``flight`` (sent, or about to be, and not known to stand), ``shown``,
    ``refused`` (for good) or ``dropped`` (superseded before it was ever sent).

    ``plain``: Slack refused its blocks, so its text is shown alone.
    """

    key: str
    lane: str
    incident: str
    position: int
    kind: str
    parent: str | None
    wanted: dict[str, Any]
    wanted_hash: str
    shown_hash: str | None
    notices: tuple[str, ...]
    pin: bool
    channel: str | None
    ts: str | None
    state: str
    plain: bool
    begun: float | None
    shown_at: float
    attempts: int
    next_try: float
    error: str | None

    @property
    def stale(self) -> bool:
        """It stands, with other content than is wanted."""
        return self.state == "shown" and self.wanted_hash != self.shown_hash


_COLUMNS = slack_messages.c
_OPEN = or_(
    _COLUMNS.state.in_(("new", "flight")),
    (_COLUMNS.state == "shown") & (_COLUMNS.wanted_hash != _COLUMNS.shown_hash),
)


class Outgoing:
    """Desired state of Slack, with how far it is true."""

    def __init__(self, database: Database) -> None:
        self._database, self._notices = database, Notices(database)

    def want(
        self,
        key: str,
        lane: str,
        incident: str,
        content: Mapping[str, Json],
        *,
        kind: str = "message",
        parent: str | None = None,
        pin: bool = False,
        notices: Sequence[str] = (),
    ) -> bool:
        """Want this content under this key; whether anything is new. ``notices`` are delivered once it stands."""
        text = dumps(dict(content))
        digest = sha256_hex(text)
        held = self.get(key)
        if held is not None and held.wanted_hash == digest and set(notices) <= set(held.notices):
            return False
        with self._database.transaction() as connection:
            held = self.get(key)
            if held is None:
                _ensure(connection, lane, incident if lane == incident else None)
                last = connection.execute(select(func.max(_COLUMNS.position))).scalar() or 0
                row = {"key": key, "lane": lane, "incident": incident, "position": last + 1, "kind": kind}
                row |= {"parent": parent, "wanted": text, "wanted_hash": digest, "notices": dumps(list(notices))}
                fresh = {"pin": pin, "state": "new", "plain": False, "attempts": 0, "next_try": 0.0, "shown_at": 0.0}
                connection.execute(insert(slack_messages), row | fresh)
                return True
            told = [*held.notices, *(each for each in notices if each not in held.notices)]
            change: dict[str, Any] = {"notices": dumps(told)}
            if held.wanted_hash != digest:
                change |= {"wanted": text, "wanted_hash": digest, "plain": False, "attempts": 0, "next_try": 0.0}
                if held.state in ("refused", "dropped"):
                    change |= {"state": "shown" if held.ts else "new", "error": None}
            elif held.state == "shown" and held.shown_hash == digest:
                self._deliver(notices)
            self._set(connection, key, **change)
        return True

    def want_file(self, key: str, incident: str, name: str, title: str, content: bytes) -> bool:
        """Want a file of this name in the incident's channel, as a message of its own; whether it is new."""
        if self.get(key) is not None:
            return False
        with self._database.transaction() as connection:
            if connection.execute(select(slack_files.c.key).where(slack_files.c.key == key)).first() is None:
                row = {"key": key, "name": name, "title": title, "content": content}
                connection.execute(insert(slack_files), row)
            return self.want(key, incident, incident, {"name": name, "title": title}, kind="file")

    def content(self, key: str) -> bytes:
        """The bytes of a wanted file."""
        with self._database.reading() as connection:
            found = connection.execute(select(slack_files.c.content).where(slack_files.c.key == key)).scalar_one()
        return bytes(found)

    def drop(self, key: str) -> bool:
        """No longer want what was never sent; whether it was so."""
        here = (_COLUMNS.key == key) & (_COLUMNS.state == "new")
        with self._database.transaction() as connection:
            return connection.execute(update(slack_messages).where(here).values(state="dropped")).rowcount == 1

    def want_channel(self, lane: str, incident: str | None, wanted: Mapping[str, Json]) -> bool:
        """Want a channel to be so; whether anything is new."""
        held = self.lane(lane)
        if held is not None and held.wanted == dict(wanted):
            return False
        with self._database.transaction() as connection:
            _ensure(connection, lane, incident)
            change = {"wanted": dumps(dict(wanted)), "state": "due", "attempts": 0, "next_try": 0.0}
            connection.execute(update(slack_channels).where(slack_channels.c.lane == lane).values(**change))
        return True

    def lane(self, lane: str) -> Lane | None:
        """A lane by its name."""
        return self._lane(slack_channels.c.lane == lane)

    def lane_in(self, channel: str) -> Lane | None:
        """The lane whose channel has this id."""
        return self._lane(slack_channels.c.channel == channel)

    def get(self, key: str) -> Wanted | None:
        """A message by its key."""
        with self._database.reading() as connection:
            row = connection.execute(select(slack_messages).where(_COLUMNS.key == key)).mappings().first()
        return _wanted(row) if row else None

    def of(self, incident: str) -> list[Wanted]:
        """Every message of an incident, wherever it stands, in order."""
        return self._rows(_COLUMNS.incident == incident)

    def open(self, lane: str, only: str = "") -> list[Wanted]:
        """What of a lane is not yet as it is wanted, in order; ``only`` what has a key that begins so."""
        return self._rows((_COLUMNS.lane == lane) & _OPEN & _COLUMNS.key.startswith(only, autoescape=True))

    def off_lines(self) -> list[Wanted]:
        """Every line that says, or said, that Slack is switched off."""
        return self._rows(_COLUMNS.key.startswith(OFF, autoescape=True))

    def open_channels(self) -> list[Lane]:
        """Channels of incidents, and the main one, that are made and not archived."""
        here = slack_channels.c.channel.is_not(None) & ~slack_channels.c.lane.startswith("person:", autoescape=True)
        with self._database.reading() as connection:
            found = [_lane(row) for row in connection.execute(select(slack_channels).where(here)).mappings()]
        return [lane for lane in found if not lane.done.get("archived")]

    def due(self, only: str = "") -> dict[str, float]:
        """Lanes with something to do, and when the next of it is to be tried.

        ``only``: counting messages with keys that begin so, and no work on channels.
        """
        wanted = _OPEN & _COLUMNS.key.startswith(only, autoescape=True)
        shown = (_COLUMNS.lane, _COLUMNS.kind, _COLUMNS.state, _COLUMNS.next_try)
        busy = select(*shown).where(wanted).order_by(_COLUMNS.position)
        known = select(slack_channels).where(or_(slack_channels.c.state == "due", slack_channels.c.channel.is_(None)))
        found: dict[str, float] = {}
        queued: set[tuple[str, str]] = set()
        with self._database.reading() as connection:
            for lane, kind, state, at in connection.execute(busy):
                # Posts of a lane go in order, files beside them: only the first of either counts.
                if state == "shown" or (lane, kind) not in queued:
                    found[lane] = min(found.get(lane, at), at)
                if state != "shown":
                    queued.add((lane, kind))
            for row in connection.execute(known):
                if row.channel is None:
                    found.pop(row.lane, None)
                if row.state == "due" and row.wanted != "{}" and not only:
                    found[row.lane] = min(found.get(row.lane, row.next_try), row.next_try)
        return found

    def claim(self, lane: str, owner: str, now: float, until: float) -> bool:
        """Take a lane that nobody holds, or hold it longer; whether it is held now."""
        free = or_(slack_channels.c.owner.is_(None), slack_channels.c.owner == owner, slack_channels.c.until < now)
        return self._compare(lane, free, owner=owner, until=until)

    def renew(self, lane: str, owner: str, until: float) -> bool:
        """Hold a lane longer; ``False`` where it was lost meanwhile."""
        return self._compare(lane, slack_channels.c.owner == owner, until=until)

    def release(self, lane: str, owner: str) -> None:
        """Give a lane back."""
        self._compare(lane, slack_channels.c.owner == owner, owner=None, until=0.0)

    def change_lane(self, lane: str, **change: Any) -> None:
        """Note how far a channel is: ``channel name state done attempts next_try error``."""
        if "done" in change:
            change["done"] = dumps(change["done"])
        with self._database.transaction() as connection:
            connection.execute(update(slack_channels).where(slack_channels.c.lane == lane).values(**change))

    def settle(self, lane: Lane, done: Mapping[str, Json]) -> None:
        """A channel is as ``lane.wanted`` said; if that has changed meanwhile, it stays due."""
        here = (slack_channels.c.lane == lane.lane) & (slack_channels.c.wanted == dumps(lane.wanted))
        change = {"state": "settled", "attempts": 0, "next_try": 0.0, "error": None}
        with self._database.transaction() as connection:
            self.change_lane(lane.lane, done=dict(done))
            connection.execute(update(slack_channels).where(here).values(**change))

    def begin(self, key: str, now: float) -> None:
        """A message is about to be sent for the first time: from here on it may stand."""
        with self._database.transaction() as connection:
            self._set(connection, key, state="flight", begun=func.coalesce(_COLUMNS.begun, now))

    def not_sent(self, key: str, next_try: float, error: str) -> None:
        """Slack did not take it, surely; it is sent later."""
        with self._database.transaction() as connection:
            self._set(connection, key, state="new", next_try=next_try, error=error, attempts=_COLUMNS.attempts + 1)

    def later(self, key: str, next_try: float, error: str) -> None:
        """Try again later; what was in flight stays so."""
        with self._database.transaction() as connection:
            self._set(connection, key, next_try=next_try, error=error, attempts=_COLUMNS.attempts + 1)

    def stands(self, row: Wanted, channel: str, ts: str, now: float, error: str | None = None) -> None:
        """It stands with the content of ``row``; its notices are delivered."""
        change = {"state": "shown", "shown_hash": row.wanted_hash, "channel": channel, "ts": ts, "shown_at": now}
        with self._database.transaction() as connection:
            self._set(connection, row.key, **change, attempts=0, next_try=0.0, error=error)
            self._deliver(row.notices)

    def found(self, row: Wanted, channel: str, ts: str, digest: str, now: float) -> None:
        """It stands after all, with the content of this hash."""
        if digest == row.wanted_hash:
            self.stands(row, channel, ts, now)
            return
        with self._database.transaction() as connection:
            change = {"state": "shown", "shown_hash": digest, "channel": channel, "ts": ts, "shown_at": now}
            self._set(connection, row.key, **change, attempts=0, next_try=0.0, error=None)

    def gone(self, row: Wanted) -> None:
        """Somebody deleted it: it is posted anew."""
        fresh = {"state": "new", "shown_hash": None, "channel": None, "ts": None, "begun": None, "next_try": 0.0}
        with self._database.transaction() as connection:
            self._set(connection, row.key, **fresh)

    def lost(self, lane: Lane, row: Wanted, next_try: float, error: str) -> None:
        """The channel of a lane is gone, found out with ``row``: that one, and what is pinned, is posted in another."""
        made = lane.incident is not None
        done = {"lost": int(lane.done.get("lost", 0)) + 1} if made else {}
        fresh = {"state": "new", "shown_hash": None, "channel": None, "ts": None, "begun": None}
        moved = (_COLUMNS.lane == lane.lane) & (or_(_COLUMNS.key == row.key, _COLUMNS.pin))
        with self._database.transaction() as connection:
            self.change_lane(lane.lane, channel=None, name=None, state="due", done=done, next_try=next_try, error=error)
            connection.execute(update(slack_messages).where(moved).values(**fresh, attempts=row.attempts + 1))
            self._set(connection, row.key, next_try=next_try, error=error)

    def plainly(self, row: Wanted, error: str) -> None:
        """Slack refuses its blocks: what is sent next is its text alone."""
        with self._database.transaction() as connection:
            state = "shown" if row.ts else "new"
            self._set(connection, row.key, plain=True, state=state, error=error, next_try=0.0)

    def refuse(self, row: Wanted, error: str) -> None:
        """Slack refuses it for good; its notices say why they did not arrive."""
        with self._database.transaction() as connection:
            self._set(connection, row.key, state="refused", error=error)
            for notice in row.notices:
                self._notices.failed(notice, CHANNEL, stamp(), error)

    def _deliver(self, notices: Sequence[str]) -> None:
        for notice in notices:
            self._notices.delivered(notice, CHANNEL, stamp())

    def _compare(self, lane: str, condition: Any, **change: Any) -> bool:
        here = update(slack_channels).where(slack_channels.c.lane == lane, condition)
        with self._database.transaction() as connection:
            return connection.execute(here.values(**change)).rowcount == 1

    def _set(self, connection: Connection, key: str, **change: Any) -> None:
        connection.execute(update(slack_messages).where(_COLUMNS.key == key).values(**change))

    def _rows(self, condition: Any) -> list[Wanted]:
        wanted = select(slack_messages).where(condition).order_by(_COLUMNS.position)
        with self._database.reading() as connection:
            return [_wanted(row) for row in connection.execute(wanted).mappings()]

    def _lane(self, condition: Any) -> Lane | None:
        with self._database.reading() as connection:
            row = connection.execute(select(slack_channels).where(condition)).mappings().first()
        return _lane(row) if row is not None else None


def _ensure(connection: Connection, lane: str, incident: str | None) -> None:
    if connection.execute(select(slack_channels.c.lane).where(slack_channels.c.lane == lane)).first() is None:
        row = {"lane": lane, "incident": incident, "state": "due", "wanted": "{}", "done": "{}"}
        connection.execute(insert(slack_channels), row | {"until": 0.0, "attempts": 0, "next_try": 0.0})


def _lane(row: RowMapping) -> Lane:
    kept = {name: row[name] for name in Lane.__dataclass_fields__}
    return Lane(**{**kept, "wanted": json.loads(row["wanted"]), "done": json.loads(row["done"])})


def _wanted(row: RowMapping) -> Wanted:
    kept = {name: row[name] for name in Wanted.__dataclass_fields__}
    return Wanted(**{**kept, "wanted": json.loads(row["wanted"]), "notices": tuple(json.loads(row["notices"]))})
