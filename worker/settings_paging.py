"""The ``[paging]`` table of ``stanch.toml``: how people are woken. Keys, logins and tokens are references."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from worker.paging.rules import parse_rule
from worker.settings_slack import Reference


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _rule(text: str) -> str:
    parse_rule(text)
    return text


class PagerDutySettings(_Part):
    """PagerDuty. ``api_token`` lets acknowledgements there stop the page; ``schedules`` needs it.

    Attributes:
        routing_key: Reference of the Events v2 integration key of people who have none of their own.
        api_token: Reference of a REST API token that may read.
        schedules: Role to the id of the PagerDuty schedule that says who is on call.
        endpoint: Base address of a simulated PagerDuty; for exercises only.
    """

    routing_key: Reference | None = None
    api_token: Reference | None = None
    schedules: dict[str, str] = Field(default_factory=dict)
    endpoint: str | None = None


class MailSettings(_Part):
    """An SMTP server. ``tls``: from the first byte, after STARTTLS, or none (loopback only)."""

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    sender: str
    user: str | None = None
    password: Reference | None = None
    list: tuple[str, ...] = ()
    """Where ``tell: mail`` goes; without it, to the people of the named roles."""

    @field_validator("sender", "list")
    @classmethod
    def _address(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for each in (value,) if isinstance(value, str) else value:
            if "@" not in each or any(letter.isspace() for letter in each):
                raise ValueError(f"{each!r} is no mail address")
        return value


class WebhookSettings(_Part):
    """A webhook, signed as Standard Webhooks say. ``url`` serves people who have none of their own."""

    url: str | None = None
    secret: Reference


class PagingSettings(_Part):
    """How people are woken.

    Attributes:
        rule: Methods with delays for people who have no rule of their own.
        times: How often one person's rule is gone through before the next person's turn.
        gap_seconds: Silence after a person's last method until they, or the next person, are paged.
        high_from: Severity from which a question of urgency high pages as soon as it waits.
        share: Part of its time after which a question that still waits pages.
        calendars: Role to an iCal file that says who is on call; relative to the settings file.
        url: Address of this server as people reach it, for links.
    """

    rule: Annotated[str, AfterValidator(_rule)] = "pagerduty 0m, mail 0m"
    times: int = Field(default=2, ge=1, le=10)
    gap_seconds: int = Field(default=300, ge=1, le=86400)
    high_from: int = Field(default=3, ge=0, le=6)
    share: float = Field(default=0.5, ge=0, le=1)
    calendars: dict[str, str] = Field(default_factory=dict)
    url: str | None = None
    pagerduty: PagerDutySettings | None = None
    mail: MailSettings | None = None
    webhook: WebhookSettings | None = None

    @property
    def gap(self) -> timedelta:
        """``gap_seconds`` as a duration."""
        return timedelta(seconds=self.gap_seconds)
