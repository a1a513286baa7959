"""PagerDuty: Events v2 to wake somebody, its REST API to hear who acknowledged and who is on call."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import pagerduty

from worker.paging.channels import PATIENCE, Call, Undelivered
from worker.secrets import SecretError, is_reference

SEVERITIES = {0: "info", 1: "info", 2: "warning", 3: "error", 4: "critical", 5: "critical"}
Reveal = Callable[[str], str]


class PagerDuty:
    """One account. A person's address is a reference of a routing key, or the id of their PagerDuty user."""

    def __init__(
        self, routing_key: str | None, api_token: str | None, reveal: Reveal, endpoint: str | None = None
    ) -> None:
        """``reveal`` reads a reference; ``endpoint`` is a simulated PagerDuty's."""
        self._key, self._token, self._reveal, self._endpoint = routing_key, api_token, reveal, endpoint

    @property
    def hears(self) -> bool:
        """Whether its REST API can be asked."""
        return self._token is not None

    async def send(self, page: Call, person: str, address: str) -> None:
        """Open an incident there; the same page opens one."""
        details = {"incident": page.incident, "mode": page.mode, "for": person, "todo": "\n".join(page.todo)}
        more: dict[str, Any] = {
            "severity": SEVERITIES.get(page.severity, "critical"),
            "custom_details": {**page.fields, **details},
        }
        if page.link:
            more["links"] = [{"href": page.link, "text": page.incident}]
        subject = page.subject[:1024]
        await self._event(address, lambda client: client.trigger(subject, "stanch", dedup_key=page.key, **more))

    async def acknowledge(self, key: str, address: str) -> None:
        """Say there that somebody has it."""
        await self._event(address, lambda client: client.acknowledge(key))

    async def resolve(self, key: str, address: str) -> None:
        """Say there that it is over."""
        await self._event(address, lambda client: client.resolve(key))

    async def acknowledged(self, key: str) -> str | None:
        """The PagerDuty user who acknowledged or resolved a page's incident there, by id; ``None`` if nobody.

        Raises:
            Undelivered: it cannot be asked.
        """
        found = await self._ask("incidents", {"incident_key": key, "date_range": "all"})
        for incident in found:
            for said in incident.get("acknowledgements") or ():
                return str((said.get("acknowledger") or {}).get("id") or "somebody")
            if incident.get("status") == "resolved":
                return str((incident.get("last_status_change_by") or {}).get("id") or "somebody")
        return None

    async def on_call(self, schedule: str, at: datetime) -> list[str]:
        """Ids of the users who are on call by a schedule at an instant.

        Raises:
            Undelivered: it cannot be asked.
        """
        instant = at.isoformat()
        found = await self._ask("oncalls", {"schedule_ids[]": [schedule], "since": instant, "until": instant})
        return list(dict.fromkeys(str(each["user"]["id"]) for each in found if each.get("user")))

    async def check(self) -> None:
        """Ask something that wakes nobody.

        Raises:
            Undelivered: it cannot be asked.
        """
        await self._ask("abilities", {})

    async def _event(self, address: str, event: Callable[[pagerduty.EventsApiV2Client], Any]) -> None:
        try:
            key = self._reveal(address) if is_reference(address) else self._key
        except SecretError as error:
            raise Undelivered(str(error)) from None
        if not key:
            raise Undelivered("no PagerDuty routing key is known")
        await _told(lambda: self._with(pagerduty.EventsApiV2Client(key), event))

    async def _ask(self, what: str, params: Mapping[str, Any]) -> list[Any]:
        if self._token is None:
            raise Undelivered("PagerDuty is not asked: paging.pagerduty has no api_token")
        token = self._token

        def ask(client: pagerduty.RestApiV2Client) -> list[Any]:
            if what == "abilities":
                return list(client.rget(what))
            return list(client.iter_all(what, params=dict(params)))

        rest = pagerduty.RestApiV2Client(token)
        found: list[Any] = await _told(lambda: self._with(rest, ask))
        return found

    def _with(self, client: Any, ask: Callable[[Any], Any]) -> Any:
        # A page has further methods that wait: better the next one soon than this one after minutes.
        client.timeout, client.sleep_timer, client.max_network_attempts = PATIENCE, 0.2, 2
        client.retry = {429: 2, 500: 1, 502: 1, 503: 1, 504: 1}
        if self._endpoint is not None:
            # The library takes https only, and a simulated PagerDuty listens on this machine without.
            client._url = self._endpoint
        with contextlib.closing(client):
            return ask(client)


async def _told(ask: Callable[[], Any]) -> Any:
    with _said():
        return await asyncio.to_thread(ask)


@contextlib.contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except pagerduty.HttpError as error:
        status = getattr(error.response, "status_code", "unknown")
        raise Undelivered(f"PagerDuty did not take it: status {status}") from None
    except (pagerduty.Error, OSError) as error:
        raise Undelivered(f"PagerDuty did not take it: {type(error).__name__}") from None
