"""The pager of an installation, made of its settings."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from worker.edge import secrets_of
from worker.paging.channels import Call, Mail, PageChannel, SignedWebhook, Undelivered
from worker.paging.oncall import OnCall
from worker.paging.pager import Pager
from worker.paging.pagerduty import PagerDuty
from worker.secrets import SecretError
from worker.settings import Settings
from worker.settings_paging import PagingSettings
from worker.store import Store

log = logging.getLogger(__name__)


class Unusable:
    """A channel whose secret cannot be read: it takes nothing, and the next method is tried."""

    async def send(self, page: Call, person: str, address: str) -> None:
        """Take nothing.

        Raises:
            Undelivered: always.
        """
        raise Undelivered("its secret cannot be read where Stanch serves; `stanch doctor` says which")


def channels_of(settings: Settings, paging: PagingSettings, *, strict: bool = True) -> dict[str, PageChannel]:
    """The channels that the settings give. Not ``strict``, one whose secret cannot be read is ``Unusable``.

    Raises:
        SecretError: a reference cannot be read, and it is strict.
    """
    made = dict[str, PageChannel]()
    for name, make in _wanted(settings, paging).items():
        try:
            made[name] = make()
        except SecretError as error:
            if strict:
                raise
            log.error("nobody can be paged by %s: %s", name, error)
            made[name] = Unusable()
    return made


def _wanted(settings: Settings, paging: PagingSettings) -> dict[str, Callable[[], PageChannel]]:
    secrets, wanted = secrets_of(settings), dict[str, Callable[[], PageChannel]]()
    if (account := paging.pagerduty) is not None:

        def pagerduty() -> PageChannel:
            key = secrets.get(account.routing_key) if account.routing_key else None
            token = secrets.get(account.api_token) if account.api_token else None
            return PagerDuty(key, token, secrets.get, account.endpoint)

        wanted["pagerduty"] = pagerduty
    if (mail := paging.mail) is not None:
        wanted["mail"] = lambda: Mail(mail, secrets.get(mail.password) if mail.password else None)
    if (webhook := paging.webhook) is not None:
        wanted["webhook"] = lambda: SignedWebhook(webhook.url, secrets.get(webhook.secret))
    return wanted


def oncall_of(settings: Settings, paging: PagingSettings, channels: Mapping[str, PageChannel]) -> OnCall:
    """The schedules that the settings name."""
    account = channels.get("pagerduty")
    calendars = {role: settings.base / Path(path).expanduser() for role, path in paging.calendars.items()}
    schedules = paging.pagerduty.schedules if paging.pagerduty is not None else {}
    return OnCall(calendars, schedules, account if isinstance(account, PagerDuty) else None)


def pager_of(settings: Settings, store: Store, more: Mapping[str, PageChannel] | None = None) -> Pager | None:
    """The pager, with further channels such as Slack; ``None`` where nobody is to be woken.

    A secret that cannot be read takes its own channel away and no other: who serves an incident must start.
    """
    paging = settings.file.paging
    if paging is None:
        return None
    channels = {**channels_of(settings, paging, strict=False), **(more or {})}
    return Pager(store, channels, paging, oncall_of(settings, paging, channels))
