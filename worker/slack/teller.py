"""The teller: what should stand in Slack of an incident, out of its document and its notices."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from worker.settings_slack import SlackSettings
from worker.slack.channels import MAIN, channel_name
from worker.slack.decision_card import decided_card, decision_card
from worker.slack.files import versioned
from worker.slack.members import Members, OnCall, concerned, members_now
from worker.slack.off_line import say_off
from worker.slack.pump import Pump
from worker.slack.status_card import announcement, status_card
from worker.slack.told import told
from worker.store import Store
from worker.store.outbox import InForce
from worker.store.slack_outgoing import Lane
from worker.wording import ENDED

log = logging.getLogger(__name__)

GONE = frozenset({"closed", "false_alarm"})
EVERY = 1.0
FRESH = 30.0
"""Seconds after which the time left on cards that wait is told again."""
GATE = re.compile(r":(gate|result)(\d+)(?:\.(\d+))?\Z")
REVIEW = re.compile(r":review:(.+):(\d+)\Z")
REASONED = frozenset({"deny", "break_glass"})
"""Verdicts that everybody reads the reason of."""
SAID = {"approve": "approved", "deny": "denied", "break_glass": "broke the glass", "answer": "answered"}
Json = dict[str, Any]


class Documents(Protocol):
    """Where documents come from: ``desk.views``."""

    async def incident(self, incident: str, *, live: bool = True) -> Json:
        """The document of ``incident show --json``."""

    async def after_review(self, incident: str) -> str:
        """The after-review as Markdown."""


class Teller:
    """Tells the pump what is to stand.

    Args:
        store: Notices, drafts, people, cards.
        documents: The desk's views.
        pump: Makes it stand.
        settings: Workspace, who sees channels, whether they are archived.
        on_call: Who of a role is on call.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        documents: Documents,
        pump: Pump,
        settings: SlackSettings,
        *,
        on_call: OnCall = lambda _: (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._documents, self._pump, self._settings = store, documents, pump, settings
        self._on_call, self._clock = on_call, clock
        self._marks: dict[str, str] = {}
        self._off: tuple[InForce | None, ...] = ()
        """The switch as it was last told; empty before the first look."""
        self._waiting: dict[str, float] = {}
        self._reasons: dict[tuple[str, str, str], str] = {}
        self._poked: set[str] = set()
        self._wake = asyncio.Event()

    def poke(self, incident: str) -> None:
        """Tell at once what has changed."""
        self._poked.add(incident)
        self._wake.set()

    async def keep_telling(self, every: float = EVERY) -> None:
        """Tell what has changed, until cancelled. What cannot be told now is told later."""
        while True:
            self._wake.clear()
            try:
                await self._look()
            except Exception:
                log.exception("what is to be told in Slack cannot be read; trying again")
            try:
                async with asyncio.timeout(every):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        off = await self._store.call(self._store.slack.off.get)
        if self._off != (off,):
            await self._store.call(say_off, self._store, self._pump, off)
            self._off = (off,)
        if off is not None:
            return
        marks = await self._store.call(self._store.slack.marks)
        now, poked, self._poked = self._clock(), self._poked, set()
        aged = {incident for incident, at in self._waiting.items() if now - at > FRESH}
        for incident, mark in marks.items():
            if incident in poked or incident in aged or self._marks.get(incident) != mark:
                try:
                    await self.tell(incident)
                    self._marks[incident] = mark
                except Exception:
                    self._marks.pop(incident, None)
                    log.exception("%s cannot be told in Slack; trying again", incident)

    async def tell(self, incident: str) -> None:
        """Want all that should stand of one incident. What is archived, or was over before, is left alone."""
        lane = await self._store.call(self._store.slack.out.lane, incident)
        record = await self._store.call(self._store.incidents.get, incident)
        if record is None or (lane is None and record["status"] in GONE) or (lane and lane.done.get("archived")):
            return
        document = await self._documents.incident(incident)
        review = await self._after_review(incident) if document["status"] in GONE else ""
        # In one transaction: what is half told stands nowhere.
        await self._store.call(self._want_all, document, lane, review)
        if document["waiting"]:
            self._waiting[incident] = self._clock()
        else:
            self._waiting.pop(incident, None)

    async def _after_review(self, incident: str) -> str:
        try:
            return await self._documents.after_review(incident)
        except Exception:
            # All else that stands of it, and the archiving, must not wait for this.
            log.exception("the after-review of %s cannot be made; it is not in Slack", incident)
            return ""

    def _want_all(self, document: Json, lane: Lane | None, review: str) -> None:
        members = members_now(self._store, self._settings.workspace)
        with self._store.transaction():
            self._channel(document, lane, members)
            telling = _Telling(
                self._store, self._pump, document, lane, members, self._on_call, self._reason, self._clock()
            )
            telling.want()
            if review:
                self._review(document["incident"], review.encode())

    def _reason(self, incident: str, verdict: str, digest: str) -> str:
        """What the person said who decided so; it lies in evidence, and is looked up once."""
        known = (incident, verdict, digest)
        if known in self._reasons:
            return self._reasons[known]
        for entry in self._store.journal.entries(incident):
            body = entry["body"]
            if entry["kind"] != "decision.accepted" or (body.get("verdict"), body.get("digest")) != known[1:]:
                continue
            try:
                ref = str(body.get("text_ref") or "")
                self._reasons[known] = self._store.evidence.read(ref).decode() if ref else ""
            except (OSError, ValueError):
                log.warning("the reason of a decision of %s cannot be read; it is not in Slack", incident)
        return self._reasons.get(known, "")

    def _review(self, incident: str, content: bytes) -> None:
        name = versioned(f"{incident}-after-review.md", content)
        self._pump.want_file(f"{incident}:file:after-review:{name}", incident, name, "After-review", content)

    def _channel(self, document: Json, lane: Lane | None, members: Members) -> None:
        held, severity = (lane.wanted if lane else {}), document["severity"]
        users = [members.users[name] for name in concerned(document, members) if name in members.users]
        exercise = "EXERCISE · " if document["mode"] == "exercise" else ""
        status = f"{exercise}{document['incident']} · {document['status']}"
        private = not isinstance(severity, int) or severity >= self._settings.private_from
        wanted = {
            "name": held.get("name") or channel_name(document["incident"], document["title"], document["mode"]),
            "private": held.get("private", private),
            "purpose": held.get("purpose") or f"{exercise}Incident {document['incident']}, run by Stanch.",
            "topic": status + (f" · severity {severity}" if severity is not None else ""),
            "people": list(dict.fromkeys([*held.get("people", ()), *users])),
            "archive": self._settings.archive and document["status"] in GONE,
        }
        self._pump.want_channel(document["incident"], wanted)


class _Telling:
    """One incident at one moment."""

    def __init__(
        self,
        store: Store,
        pump: Pump,
        document: Json,
        lane: Lane | None,
        members: Members,
        on_call: OnCall,
        reasons: Callable[[str, str, str], str],
        now: float,
    ) -> None:
        self._store, self._pump, self._document, self._lane = store, pump, document, lane
        self._members, self._people, self._on_call, self._reasons = members, members.people, on_call, reasons
        self._now = datetime.fromtimestamp(now, UTC)
        self._incident, self._mode = document["incident"], document["mode"]
        self._asked = {_place(entry): entry for entry in document["waiting"]}
        self._reviews = {_place({**entry, "kind": "review"}): entry for entry in document["reviews"]}
        self._results = {place: each for each in document["notices"] if (place := _gate(each, "result")) is not None}
        self._replaced = {each["supersedes"]: each["id"] for each in document["notices"] if each.get("supersedes")}
        self._ended = {run["id"] for run in document["runs"] if run["status"] in ENDED}

    def want(self) -> None:
        """Everything."""
        card = status_card(self._document, people=self._people, now=self._now)
        self._pump.want(f"{self._incident}:status", self._incident, None, card, pin=True)
        self._announce()
        carried: dict[str, list[str]] = {}
        for notice in self._document["notices"]:
            self._notice(notice, carried)
        for place in self._asked:
            self._card(place, None, [])
        self._absent()
        for draft in self._document["drafts"]:
            self._draft(draft)

    def _announce(self) -> None:
        if self._pump.main is not None and self._lane is not None and self._lane.channel:
            private = bool(self._lane.wanted.get("private"))
            said = announcement(self._document, self._lane.channel, people=self._people, private=private)
            self._pump.want(f"{self._incident}:announced", self._incident, MAIN, said)

    def _notice(self, notice: Json, carried: dict[str, list[str]]) -> None:
        asked, review = _gate(notice, "gate"), _review(notice)
        if _gate(notice, "result") is not None:
            return
        if review is not None:
            self._card(review, notice, [notice["id"]])
        elif asked is not None:
            link = (GATE.search(notice["id"]) or [None] * 4)[3]
            result = self._results.get(asked)
            if not link:
                self._card(asked, notice, [notice["id"], *([result["id"]] if result else [])])
            elif result is not None and self._never(self._key(notice)):
                # Nobody is called to what is decided already; that it is stands on the card.
                self._pump.want(*self._decided(asked, notice, result), notices=[notice["id"]])
            else:
                self._tell(notice, parent=_key_of(self._incident, asked))
        elif notice["id"] in self._replaced and self._never(self._key(notice)):
            carried.setdefault(self._replaced[notice["id"]], []).append(notice["id"])
        else:
            self._tell(notice, also=carried.get(notice["id"], []))

    def _card(self, place: tuple[str, ...], notice: Json | None, notices: list[str]) -> None:
        key, entry = _key_of(self._incident, place), self._asked.get(place)
        result = self._results.get(place)
        review = self._reviews.get(place)
        if review is not None and review["verdict"] is not None:
            ended = {"status": "decided", "verdict": review["verdict"], "by": [review["by"]], "at": review["at"]}
            said = decided_card(self._mode, {"incident": self._incident, **review}, ended, people=self._people)
            self._pump.want(key, self._incident, None, said, notices=notices)
        elif result is not None and notice is not None:
            self._pump.want(*self._decided(place, notice, result), notices=notices)
        elif entry is not None and result is None:
            channel = (self._lane.channel if self._lane else None) or ""
            run, step, round_, _ = place
            card = self._store.slack.cards.issue(
                self._incident, run, step, int(round_), entry["digest"], entry["kind"], channel, key
            )
            said = decision_card(self._incident, self._mode, entry, card_id=card, people=self._people, now=self._now)
            self._pump.want(key, self._incident, None, said, notices=notices)
            self._votes(key, entry)
        elif notice is not None and place[0] in self._ended:
            self._pump.want(*self._decided(place, notice, {"status": "closed"}), notices=notices)

    def _decided(self, place: tuple[str, ...], notice: Json, result: Mapping[str, Any]) -> tuple[str, str, None, Any]:
        body = result.get("body") or {}
        if body.get("verdict") in REASONED:
            reason = self._reasons(self._incident, str(body["verdict"]), str(notice["body"].get("digest") or ""))
            result = {**result, "body": {**body, "reason": reason}}
        said = decided_card(self._mode, notice, result, people=self._people)
        return _key_of(self._incident, place), self._incident, None, said

    def _votes(self, parent: str, entry: Json) -> None:
        for vote in entry.get("decided", ()):
            text = f"{vote['person']} {SAID.get(vote['verdict'], vote['verdict'].replace('_', ' '))}."
            self._say(f"{parent}:{vote['person']}:{vote['at']}", text, parent=parent, step=entry["step"])

    def _tell(self, notice: Json, parent: str | None = None, also: list[str] | None = None) -> None:
        to = list(notice.get("to") or ())
        if to and all(one == "mail" for one in to):
            return
        ids = [notice["id"], *(also or [])]
        said = told(self._members.addressed(notice, self._on_call), self._mode, people=self._people)
        persons = [one.removeprefix("person:") for one in to if one.startswith("person:")]
        alone = bool(persons) and len(persons) == len(to)
        reached = [
            self._pump.want_dm(
                f"{self._key(notice)}:{name}", name, said, incident=self._incident, notices=ids if alone else ()
            )
            for name in persons
        ]
        if not alone or not all(reached):
            self._pump.want(self._key(notice), self._incident, None, said, parent=parent, notices=ids)

    def _absent(self) -> None:
        """Who should be in the channel and is not, as far as that is known."""
        barred = self._lane.done.get("barred", {}) if self._lane else {}
        names = [f"{name} ({barred[user]})" for name, user in self._members.users.items() if user in barred]
        names += [
            f"{name} (not linked to Slack)"
            for name in concerned(self._document, self._members)
            if name not in self._members.users
        ]
        if names:
            text = f"Not in this channel, though it concerns them: {', '.join(names[:20])}. Reach them another way."
            self._say(f"{self._incident}:absent", text)

    def _say(self, key: str, text: str, *, parent: str | None = None, step: str | None = None) -> None:
        notice = {"incident": self._incident, "step": step, "to": (), "body": {"kind": "text", "text": text}}
        said = told(notice, self._mode, people=self._people)
        self._pump.want(key, self._incident, None, said, parent=parent)

    def _draft(self, draft: Json) -> None:
        path = draft["path"]
        try:
            content = self._store.drafts.text(path).encode()
        except OSError:
            log.warning("the draft %s cannot be read; it is not in Slack", path)
            return
        name = versioned(path.rpartition("/")[2], content)
        title = str(draft.get("title") or name)
        self._pump.want_file(f"{self._incident}:file:{path}:{name}", self._incident, name, title, content)

    def _never(self, key: str) -> bool:
        """Whether a message was never sent; it is not sent any more."""
        row = self._store.slack.out.get(key)
        return row is None or row.state == "dropped" or self._store.slack.out.drop(key)

    def _key(self, notice: Json) -> str:
        return f"{self._incident}:notice:{notice['id']}"


def _place(entry: Json) -> tuple[str, ...]:
    kind = "review" if entry.get("kind") == "review" else "gate"
    return entry.get("run") or "", entry["step"], str(entry["round"]), kind


def _gate(notice: Json, kind: str) -> tuple[str, ...] | None:
    found = GATE.search(notice["id"])
    if (notice.get("body") or {}).get("kind") != kind or found is None or found[1] != kind:
        return None
    return notice["run"], notice["step"], found[2], "gate"


def _review(notice: Json) -> tuple[str, ...] | None:
    found = REVIEW.search(notice["id"])
    if found is None or not notice["id"].startswith(f"{notice['incident']}:review:"):
        return None
    return notice["run"], notice["step"], found[2], "review"


def _key_of(incident: str, place: tuple[str, ...]) -> str:
    run, step, round_, kind = place
    return f"{incident}:{kind}:{run}:{step}:{round_}"
