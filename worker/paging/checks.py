"""What ``stanch doctor`` finds of paging. Nobody is woken by it."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from worker.desk.rights import BYSTANDERS
from worker.paging.channels import Mail, PageChannel, Undelivered, unusable
from worker.paging.oncall import OnCall, ScheduleUnreadable, gaps
from worker.paging.pagerduty import PagerDuty
from worker.paging.rules import parse_rule
from worker.paging.setup import channels_of, oncall_of
from worker.secrets import SecretError
from worker.settings import Settings
from worker.settings_paging import PagingSettings
from worker.start_findings import Finding
from worker.store.people import Person


async def examine_paging(
    settings: Settings, paging: PagingSettings, people: Sequence[Person], contacts: Mapping[str, Mapping[str, str]]
) -> list[Finding]:
    """Channels, schedules, and people whom nothing reaches."""
    try:
        channels = channels_of(settings, paging)
    except (SecretError, ValueError) as error:
        said = str(error) if isinstance(error, SecretError) else "a secret cannot be used as one"
        return [Finding("paging", "fail", said[:300], "It must be readable where `stanch serve` or `stanch up` runs.")]
    if not channels:
        mend = "Add [paging.pagerduty], [paging.mail] or [paging.webhook]."
        return [Finding("paging", "fail", "There is no channel, so nobody can be woken.", mend)]
    found = [await _channel(name, channel, paging) for name, channel in channels.items()]
    oncall = oncall_of(settings, paging, channels)
    found += [await _schedule(role, oncall, settings, paging, people, contacts) for role in oncall.roles]
    return [*found, *_people(settings, paging, channels, people, contacts)]


async def _channel(name: str, channel: PageChannel, paging: PagingSettings) -> Finding:
    name = f"paging {name}"
    try:
        if isinstance(channel, Mail):
            await channel.check()
            login = paging.mail is not None and paging.mail.user is not None
            return Finding(name, "ok", "It answers, and takes our login." if login else "It answers.")
        if isinstance(channel, PagerDuty):
            if not channel.hears:
                mend = "Set paging.pagerduty.api_token, so that acknowledgements there stop the page."
                return Finding(name, "warn", "Without an api_token it cannot be tried without waking somebody.", mend)
            await channel.check()
            return Finding(name, "ok", "Its REST API takes our token; the routing key is tried by a page only.")
    except Undelivered as error:
        return Finding(name, "fail", str(error), f"Check [{name.replace(' ', '.')}] of stanch.toml.")
    refused = unusable(paging.webhook.url) if paging.webhook is not None and paging.webhook.url else ""
    if refused:
        return Finding(name, "fail", refused, "Write an https address.")
    return Finding(name, "ok", "Its secret can be read and its address be used; it was not tried.")


async def _schedule(
    role: str,
    oncall: OnCall,
    settings: Settings,
    paging: PagingSettings,
    people: Sequence[Person],
    contacts: Mapping[str, Mapping[str, str]],
) -> Finding:
    name, mend = f"on call {role}", "Meanwhile everybody with the role is paged."
    now = datetime.now(UTC)
    try:
        names = await oncall.names(role, now, people, contacts)
        path = paging.calendars.get(role)
        holes = await asyncio.to_thread(gaps, settings.base / path, now) if path is not None else []
    except ScheduleUnreadable as error:
        return Finding(name, "fail", str(error), mend)
    if holes:
        return Finding(name, "warn", f"Nobody from {holes[0]:%Y-%m-%d %H:%M}Z, within the next 7 days.", mend)
    if not names:
        return Finding(name, "warn", "Nobody who is known here is on call now.", mend)
    return Finding(name, "ok", f"{', '.join(names)} now.")


def _people(
    settings: Settings,
    paging: PagingSettings,
    channels: Mapping[str, PageChannel],
    people: Sequence[Person],
    contacts: Mapping[str, Mapping[str, str]],
) -> list[Finding]:
    shared = {
        "pagerduty": paging.pagerduty is not None and paging.pagerduty.routing_key is not None,
        "webhook": paging.webhook is not None and paging.webhook.url is not None,
    }
    workspace = settings.file.slack.workspace if settings.file.slack is not None else None
    lost, unlinked = [], []
    for person in people:
        if not set(person.roles) - BYSTANDERS:
            continue
        own = contacts.get(person.name, {})
        linked = workspace is not None and any(each[:2] == ("slack", workspace) for each in person.identities)
        methods = {method.channel for method in parse_rule(own.get("rule") or paging.rule)}
        if "slack" in methods and not linked:
            unlinked.append(person.name)
        reached = {name for name in methods & channels.keys() if own.get(name) or shared.get(name)}
        if not reached and not ("slack" in methods and linked):
            lost.append(person.name)
    found = []
    if unlinked:
        why = "have no Slack identity" if workspace is not None else "Slack is not set up here"
        mend = "`stanch slack link NAME --email ADDRESS`, or another rule: `stanch people contact NAME --rule R`."
        said = f"The rule of {', '.join(unlinked)} names slack, but {'they ' if workspace else ''}{why}."
        found.append(Finding("paging slack", "warn", said, mend))
    if lost:
        mend = "stanch people contact NAME --mail A"
        return [*found, Finding("paging people", "warn", f"Nothing reaches {', '.join(lost)}.", mend)]
    return [*found, Finding("paging people", "ok", "Everybody can be reached.")]
