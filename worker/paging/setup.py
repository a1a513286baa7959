"""The pager of an installation, made of its settings."""

from collections.abc import Mapping
from pathlib import Path

from worker.edge import secrets_of
from worker.paging.channels import Mail, PageChannel, SignedWebhook
from worker.paging.oncall import OnCall
from worker.paging.pager import Pager
from worker.paging.pagerduty import PagerDuty
from worker.settings import Settings
from worker.settings_paging import PagingSettings
from worker.store import Store


def channels_of(settings: Settings, paging: PagingSettings) -> dict[str, PageChannel]:
    """The channels that the settings give.

    Raises:
        SecretError: a reference cannot be read.
    """
    secrets, made = secrets_of(settings), dict[str, PageChannel]()
    if paging.pagerduty is not None:
        given = paging.pagerduty
        key = secrets.get(given.routing_key) if given.routing_key else None
        token = secrets.get(given.api_token) if given.api_token else None
        made["pagerduty"] = PagerDuty(key, token, secrets.get, given.endpoint)
    if paging.mail is not None:
        made["mail"] = Mail(paging.mail, secrets.get(paging.mail.password) if paging.mail.password else None)
    if paging.webhook is not None:
        made["webhook"] = SignedWebhook(paging.webhook.url, secrets.get(paging.webhook.secret))
    return made


def oncall_of(settings: Settings, paging: PagingSettings, channels: Mapping[str, PageChannel]) -> OnCall:
    """The schedules that the settings name."""
    account = channels.get("pagerduty")
    calendars = {role: settings.base / Path(path).expanduser() for role, path in paging.calendars.items()}
    schedules = paging.pagerduty.schedules if paging.pagerduty is not None else {}
    return OnCall(calendars, schedules, account if isinstance(account, PagerDuty) else None)


def pager_of(settings: Settings, store: Store, more: Mapping[str, PageChannel] | None = None) -> Pager | None:
    """The pager, with further channels such as Slack; ``None`` where nobody is to be woken.

    Raises:
        SecretError: a reference cannot be read.
    """
    paging = settings.file.paging
    if paging is None:
        return None
    channels = {**channels_of(settings, paging), **(more or {})}
    return Pager(store, channels, paging, oncall_of(settings, paging, channels))
