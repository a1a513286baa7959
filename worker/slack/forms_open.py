"""Modals: opened at once, because Slack gives three seconds, and read before they close."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from worker.desk.decisions import MAX_REASON
from worker.desk.desk import Desk
from worker.desk.refusals import DeskRefusal
from worker.desk.rights import require
from worker.slack import forms, modals, names, steering, words
from worker.slack.answers import FAILURES, Answers
from worker.slack.deciding import REVIEW, Click, Deciding
from worker.slack.identity import actor
from worker.slack.ports import Card
from worker.store.people import Person

log = logging.getLogger(__name__)

QUICK = 1.5
REMEMBERED = 3600.0
MOST_REMEMBERED = 200
MESSAGE = 3000


@dataclass(frozen=True)
class Read:
    """A form that was submitted: errors by block, or a further view, or what is to be carried out."""

    errors: dict[str, str] = field(default_factory=dict)
    view: dict[str, Any] | None = None
    what: dict[str, Any] | None = None


class Opening:
    """Opens and reads modals; what was chosen is carried out elsewhere."""

    VERDICTS = frozenset({"deny", "break_glass", "form", "review"})

    def __init__(self, desk: Desk, web: AsyncWebClient, deciding: Deciding, answers: Answers) -> None:
        self._desk, self._web, self._deciding, self._answers = desk, web, deciding, answers
        self._messages: dict[str, tuple[float, dict[str, str]]] = {}

    async def verdict(self, trigger: str, place: Mapping[str, Any], card: str, verdict: str, person: Person) -> None:
        """The modal of a verdict that needs words: a reason, an answer."""
        click = Click(card, verdict, str(place["channel"]), str(place["ts"]))
        asking = actor(person, "")
        try:
            question = self._deciding.question(click, asking)
            # From what is kept: a query of Temporal may take longer than the trigger lives.
            entry = await self._deciding.waiting(question, live=False) or await self._deciding.waiting(question)
            if entry is None:
                self._deciding.refused(question, click, asking, "digest_mismatch")
                text = "This card is not what waits now. Nothing was counted."
                raise DeskRefusal("digest_mismatch", text)
        except DeskRefusal as refusal:
            await self._answers.say(place, words.refused(refusal))
            return
        await self._open(trigger, place, self._view(question, entry, click))

    def _view(self, card: Card, entry: Mapping[str, Any], click: Click) -> dict[str, Any]:
        mode = self._mode(card.incident)
        metadata = json.dumps({"card": click.card, "channel": click.channel, "ts": click.ts})
        if card.kind == REVIEW:
            return modals.review_view(entry, mode=mode, metadata=metadata)
        if click.verdict == "form":
            return modals.answer_view(entry, mode=mode, metadata=metadata)
        return modals.reason_view(click.verdict, entry, mode=mode, metadata=metadata)

    async def note(self, trigger: str, place: Mapping[str, Any], incident: str) -> None:
        """The modal of a note."""
        ids = json.dumps({"incident": incident, "channel": str(place["channel"])})
        await self._open(trigger, place, modals.note_view(incident, mode=self._mode(incident), metadata=ids))

    async def pick(self, trigger: str, place: Mapping[str, Any], person: Person, playbook: str = "") -> None:
        """The picker of playbooks, or the form of the one that is named."""
        ids = {"channel": str(place["channel"])}
        try:
            require(person.name, person.roles, "start")
            if playbook:
                view = self._form(playbook, ids)
            else:
                view = self._picker(ids)
        except DeskRefusal as refusal:
            await self._answers.say(place, words.refused(refusal))
            return
        await self._open(trigger, place, view)

    async def from_message(
        self, trigger: str, place: Mapping[str, Any], person: Person, message: Mapping[str, Any]
    ) -> None:
        """The picker, for an incident that begins with a message."""
        try:
            require(person.name, person.roles, "start")
        except DeskRefusal as refusal:
            await self._answers.say(place, words.refused(refusal))
            return
        ids = {"channel": str(place["channel"]), "ts": str(place["ts"])}
        said = {"text": str(message.get("text") or "")[:MESSAGE], "author": str(message.get("user") or "")}
        self._remember(f"{ids['channel']}/{ids['ts']}", said)
        await self._open(trigger, place, self._picker(ids))

    async def read(self, view: Mapping[str, Any], ids: Mapping[str, Any], person: Person) -> Read:
        """What a submitted modal holds."""
        callback, state = str(view["callback_id"]), view.get("state") or {}
        if callback == names.START_PICK:
            chosen = entered(state, names.PLAYBOOK)
            return Read(view=self._form(chosen, {key: str(value) for key, value in ids.items()}))
        if callback == names.START_RUN:
            return self._start(state, ids)
        if callback == names.NOTE:
            text = entered(state, names.TEXT)
            if not text:
                return Read(errors={names.TEXT: "Write something."})
            return Read(what={"do": "steer", "verb": "note", "incident": str(ids.get("incident", "")), "rest": text})
        verdict = names.verdict_of(callback)
        if verdict is None:
            return Read()
        return await self._decision(verdict, state, ids, person)

    async def _decision(self, verdict: str, state: Mapping[str, Any], ids: Mapping[str, Any], person: Person) -> Read:
        what: dict[str, Any] = {"do": "decide", "card": str(ids.get("card", "")), "verdict": verdict}
        what |= {"channel": str(ids.get("channel", "")), "ts": str(ids.get("ts", ""))}
        reason = entered(state, names.REASON)
        if len(reason) > MAX_REASON:
            return Read(errors={names.REASON: f"At most {MAX_REASON} characters."})
        if verdict in ("break_glass", "review") and not reason:
            return Read(errors={names.REASON: "A reason is needed."})
        if verdict == REVIEW:
            return Read(what={**what, "verdict": entered(state, names.VERDICT), "reason": reason})
        if verdict not in ("answer", "done"):
            return Read(what={**what, "reason": reason})
        card = self._deciding.question(Click.of(what), actor(person, ""))
        entry = await self._deciding.waiting(card, live=False)
        if entry is None:
            with contextlib.suppress(TimeoutError):
                # The form is still open: Slack waits three seconds.
                async with asyncio.timeout(QUICK):
                    entry = await self._deciding.waiting(card)
        entry = entry or {}
        values, errors = forms.read(state, entry.get("form") or {})
        return Read(errors=errors) if errors else Read(what={**what, "reason": reason, "values": values})

    def _start(self, state: Mapping[str, Any], ids: Mapping[str, Any]) -> Read:
        playbook = str(ids.get("playbook", ""))
        fields = next(row["inputs"] for row in self._desk.starts.playbooks() if row["id"] == playbook)
        values, errors = forms.read(state, fields)
        if errors:
            return Read(errors=errors)
        severity = entered(state, names.SEVERITY)
        what = {
            "do": "start",
            "playbook": playbook,
            "inputs": values,
            "title": entered(state, names.TEXT),
            "severity": int(severity) if severity.isdigit() else 3,
        }
        if ids.get("ts"):
            what |= {"message_ts": str(ids["ts"]), "message": self._recalled(f"{ids['channel']}/{ids['ts']}")}
        return Read(what=what)

    def _form(self, playbook: str, ids: Mapping[str, str]) -> dict[str, Any]:
        """The form of a playbook.

        Raises:
            DeskRefusal: ``not_found``.
        """
        self._desk.starts.source(playbook)
        row = next(row for row in self._desk.starts.playbooks() if row["id"] == playbook)
        said = self._recalled(f"{ids.get('channel')}/{ids.get('ts')}") if ids.get("ts") else {}
        metadata = json.dumps({**ids, "playbook": playbook})
        return modals.start_form(
            row, mode=self._own_mode, metadata=metadata, title=steering.plain(said.get("text", ""))
        )

    def _picker(self, ids: Mapping[str, str]) -> dict[str, Any]:
        playbooks = self._desk.starts.playbooks()
        return modals.pick_playbook(playbooks, mode=self._own_mode, metadata=json.dumps(ids))

    async def _open(self, trigger: str, place: Mapping[str, Any], view: dict[str, Any]) -> None:
        try:
            await self._web.views_open(trigger_id=trigger, view=view)
        except FAILURES as error:
            log.warning("a form could not be opened in Slack: %s", type(error).__name__)
            await self._answers.say(place, words.said("The form could not be opened. Nothing was done; try once more."))

    def _remember(self, key: str, said: dict[str, str]) -> None:
        now = time.monotonic()
        held = {name: one for name, one in self._messages.items() if now - one[0] < REMEMBERED}
        self._messages = dict([*held.items(), (key, (now, said))][-MOST_REMEMBERED:])

    def _recalled(self, key: str) -> dict[str, str]:
        return self._messages.get(key, (0.0, {}))[1]

    def _mode(self, incident: str) -> str:
        record = self._desk.store.incidents.get(incident)
        return str(record["mode"]) if record else self._own_mode

    @property
    def _own_mode(self) -> str:
        return self._desk.installation.context.mode.value


def entered(state: Mapping[str, Any], block: str) -> str:
    """What was typed or chosen in a block that is no field of a playbook."""
    element = ((state.get("values") or {}).get(block) or {}).get(names.VALUE) or {}
    chosen = (element.get("selected_option") or {}).get("value")
    return str(chosen or element.get("value") or "").strip()
