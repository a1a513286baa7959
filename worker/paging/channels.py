"""What a channel is given and what it promises; mail and the signed webhook."""

import asyncio
import contextlib
import hashlib
import ipaddress
import json
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Protocol
from urllib.parse import urlsplit

import httpx
from standardwebhooks import Webhook

from worker.settings_paging import MailSettings

PATIENCE = 15.0
TRIES = 3
PAUSE = 0.2
BODY_LINES = 60


class Undelivered(Exception):
    """A channel did not take a page; the message says why, and names no secret and no address."""


@dataclass(frozen=True)
class Call:
    """One page as a channel brings it. ``key`` is the same for the same page, person and round: what comes twice
    by it counts once.

    Attributes:
        text: What is needed, in a line.
        todo: What to do, in lines.
        fields: Further words for machines: ids, counts, severity.
        wakes: Whether somebody is to answer; a copy only tells.
    """

    key: str
    page: str
    incident: str
    mode: str
    severity: int
    text: str
    todo: tuple[str, ...] = ()
    link: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    wakes: bool = True

    @property
    def subject(self) -> str:
        """The line that a lock screen shows."""
        return " ".join(self.headline.split())[:200]

    @property
    def headline(self) -> str:
        """The whole of what is needed, marked where it is not real."""
        marked = "EXERCISE, nothing is real: " if self.mode == "exercise" else ""
        return f"{marked}{'PAGE ' if self.wakes else ''}{self.text}"


class PageChannel(Protocol):
    """Brings a page to one person."""

    async def send(self, page: Call, person: str, address: str) -> None:
        """Bring it; ``address`` is the person's own on this channel, or empty.

        Raises:
            Undelivered: the channel did not take it.
        """


def letter(page: Call, sender: str, address: str) -> EmailMessage:
    """A mail that says by itself what to do. The same page to the same person has the same Message-ID."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, address, page.subject
    digest = hashlib.sha256(f"{page.key}\n{address}".encode()).hexdigest()[:40]
    mail["Message-ID"] = f"<{digest}@{sender.rpartition('@')[2]}>"
    mail["Date"] = datetime.now(UTC)
    mail["Auto-Submitted"], mail["X-Stanch-Incident"] = "auto-generated", page.incident
    lines = [page.headline, "", *page.todo, *([page.link] if page.link else [])]
    mail.set_content("\n".join(lines[:BODY_LINES]) + "\n", cte="quoted-printable")
    return mail


class Mail:
    """Mail by SMTP, in a thread."""

    def __init__(self, settings: MailSettings, password: str | None, context: ssl.SSLContext | None = None) -> None:
        """``context`` says which certificates are believed; the system's by default."""
        self._settings, self._password, self._context = settings, password, context or ssl.create_default_context()

    async def send(self, page: Call, person: str, address: str) -> None:
        """Bring a page by mail."""
        if not address:
            raise Undelivered(f"no mail address is known of {person}")
        await self.post(letter(page, self._settings.sender, address))

    async def post(self, mail: EmailMessage) -> None:
        """Hand a mail to the server.

        Raises:
            Undelivered: it did not take it.
        """
        try:
            await asyncio.to_thread(self._post, mail)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise Undelivered(f"the mail server did not take it: {_why(error)}") from None

    async def check(self) -> None:
        """Greet and log in; nothing is sent.

        Raises:
            Undelivered: the server cannot be used so.
        """
        try:
            await asyncio.to_thread(lambda: self._connected().close())
        except (OSError, smtplib.SMTPException) as error:
            raise Undelivered(f"the mail server cannot be used: {_why(error)}") from None

    def _post(self, mail: EmailMessage) -> None:
        with self._connected() as server:
            server.send_message(mail)

    def _connected(self) -> smtplib.SMTP:
        given, server = self._settings, smtplib.SMTP(timeout=PATIENCE)
        if given.tls == "tls":
            server = smtplib.SMTP_SSL(timeout=PATIENCE, context=self._context)
        elif given.tls == "none" and not _loopback(given.host):
            raise Undelivered("unencrypted mail goes to this machine only; set paging.mail.tls")
        try:
            # The name is needed for the certificate, and connect() alone does not keep it.
            server._host = given.host  # type: ignore[attr-defined]
            server.connect(given.host, given.port)
            server.ehlo()
            if given.tls == "starttls":
                server.starttls(context=self._context)
                server.ehlo()
            if given.user is not None and self._password is not None:
                server.login(given.user, self._password)
        except BaseException:
            server.close()
            raise
        return server


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be believed ({error.verify_message})"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"it refuses our login (status {error.smtp_code})"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "it cannot do what the settings want of it (STARTTLS, or a login)"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"status {error.smtp_code}"
    return type(error).__name__


def _loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class SignedWebhook:
    """A POST signed as Standard Webhooks say; tried again with the same ``webhook-id``; redirects are not followed."""

    def __init__(self, url: str | None, secret: str) -> None:
        """``url`` serves people who have none of their own."""
        self._url, self._signer = url, Webhook(secret)

    async def send(self, page: Call, person: str, address: str) -> None:
        """Bring a page as JSON."""
        url = address or self._url or ""
        refused = unusable(url)
        if refused:
            raise Undelivered(refused)
        body = json.dumps(
            {"type": "page", "page": page.page, "incident": page.incident, "mode": page.mode, "person": person,
             "severity": page.severity, "text": page.subject, "todo": [*page.todo], "link": page.link, **page.fields},
            ensure_ascii=False,
        )  # fmt: skip
        problem = ""
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False, follow_redirects=False) as http:
            for tried in range(TRIES):
                if tried:
                    await asyncio.sleep(PAUSE * 4**tried)
                problem = await self._once(http, url, body, page.key)
                if not problem:
                    return
        raise Undelivered(f"the webhook did not take it: {problem}")

    async def _once(self, http: httpx.AsyncClient, url: str, body: str, key: str) -> str:
        now, name = datetime.now(UTC), "page_" + hashlib.sha256(key.encode()).hexdigest()[:32]
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(name, now, body),
        }
        try:
            answer = await http.post(url, content=body.encode(), headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return type(error).__name__
        return "" if answer.is_success else f"status {answer.status_code}"


def unusable(url: str) -> str:
    """Why a webhook's address is not used; empty if it is."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "the webhook's address cannot be read"
    if not host:
        return "no webhook's address is known"
    if parts.scheme == "https" or (parts.scheme == "http" and _loopback(host)):
        return ""
    return "the webhook's address is not https"
