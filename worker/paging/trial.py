"""A test page: a person's own rule, each method at once, clearly marked."""

from collections.abc import Mapping
from typing import Any

from worker.desk.times import stamp
from worker.paging.channels import Call, PageChannel, Undelivered
from worker.paging.pagerduty import PagerDuty
from worker.paging.rules import parse_rule
from worker.paging.setup import channels_of
from worker.settings import Settings
from worker.settings_paging import PagingSettings
from worker.store import Store

SEVERITY = 1
ELSEWHERE = "slack is tried by a serving process that is in Slack only: ask it, with STANCH_TOKEN"


async def try_rule(
    settings: Settings,
    paging: PagingSettings,
    store: Store,
    person: str,
    more: Mapping[str, PageChannel] | None = None,
) -> list[dict[str, Any]]:
    """Send a test page by every method of a person's rule: ``channel``, and ``error`` if it was not taken.

    What it opened in PagerDuty is resolved at once. ``more`` are channels of this process, such as Slack.

    Raises:
        SecretError: a channel's secret cannot be read.
    """
    channels, contact = {**channels_of(settings, paging), **(more or {})}, store.contacts.all().get(person, {})
    call = Call(
        key=f"stanch/test/{person}/{stamp()}",
        page="test",
        incident="TEST",
        mode=settings.mode.value,
        severity=SEVERITY,
        text=f"TEST for {person}: nothing has happened, nothing is to be done",
        todo=("This is a test of how you are woken. You need not answer.",),
    )
    found = []
    for name in dict.fromkeys(method.channel for method in parse_rule(contact.get("rule") or paging.rule)):
        channel, problem = channels.get(name), ""
        try:
            if channel is None:
                elsewhere = name == "slack" and settings.file.slack is not None
                raise Undelivered(ELSEWHERE if elsewhere else f"{name} is not set up here")
            await channel.send(call, person, contact.get(name, ""))
            if isinstance(channel, PagerDuty):
                await channel.resolve(call.key, contact.get(name, ""))
        except Undelivered as error:
            problem = str(error)
        found.append({"channel": name, "error": problem})
    return found
