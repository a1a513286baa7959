"""The door shut by the switch: nothing that comes from Slack is done."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.response import BoltResponse

from worker.slack import names, words
from worker.slack.answers import Answers
from worker.slack.deciding import Click, Deciding
from worker.slack.identity import Identities, actor, origin, whereabouts
from worker.store import Store
from worker.store.outbox import InForce
from worker.store.people import Person

Body = dict[str, Any]


class Shut:
    """Stands before every listener.

    Args:
        store: Where the switch is.
        identities: Who somebody is.
        answers: Private answers.
        deciding: For the record of what was clicked.
    """

    def __init__(self, store: Store, identities: Identities, answers: Answers, deciding: Deciding) -> None:
        self._store, self._identities, self._answers, self._deciding = store, identities, answers, deciding
        self._tasks: set[asyncio.Task[Any]] = set()

    async def pass_on(self, ack: AsyncAck, body: Body, next: Callable[[], Awaitable[None]]) -> BoltResponse | None:
        """Pass on while Slack is on. While it is off, acknowledge, tell privately, and do nothing.

        Strangers are passed on in any case: they are told what strangers are told.
        """
        off = await self._store.call(self._store.slack.off.get)
        person = await self._identities.found(origin(body)) if off is not None else None
        if off is None or person is None or _of_home(body):
            await next()
            return None
        told = words.refusal("slack_off", words.OFF, words.NEXT["slack_off"])
        if "command" in body:
            return await ack(**self._answers.at_once(told))
        if "actions" in body or body.get("type") in ("view_submission", "message_action", "shortcut"):
            self._note(body, person, off)
            task = asyncio.ensure_future(self._answers.say(_where(body), told))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await ack()

    async def stop(self) -> None:
        """End what is still being told."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _note(self, body: Body, person: Person, off: InForce) -> None:
        """Keep in the record that somebody tried to decide, once for each card."""
        pressed, view = (body.get("actions") or [{}])[0], body.get("view") or {}
        verdict = names.verdict_of(str(pressed.get("action_id") or view.get("callback_id") or ""))
        card = str(pressed.get("value") or _metadata(body).get("card") or "")
        if verdict is not None:
            asking = actor(person, f"off/{off.at}/{card}/{person.name}")
            self._deciding.not_counted(Click(card, verdict), asking, "slack_off")


def _of_home(body: Body) -> bool:
    """Whether somebody looks at the App Home, which knows the switch itself."""
    event = body.get("event")
    return isinstance(event, dict) and event.get("type") == "app_home_opened"


def _where(body: Body) -> dict[str, Any]:
    where = whereabouts(body)
    return where if where["channel"] else {**where, "channel": str(_metadata(body).get("channel") or "")}


def _metadata(body: Body) -> dict[str, Any]:
    try:
        found = json.loads((body.get("view") or {}).get("private_metadata") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
