"""Channels against real servers: mail, the signed webhook, PagerDuty."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.mailbox import Letters, mail_server
from worker.paging.channels import Call, Mail, SignedWebhook, Undelivered, letter, unusable
from worker.paging.pagerduty import PagerDuty
from worker.paging.peer.pagerduty import PagerDutyPeer
from worker.paging.setup import channels_of, pager_of
from worker.secrets import SecretError
from worker.settings import Settings
from worker.settings_paging import MailSettings
from worker.store import Store

SECRET = "whsec_" + "QUJD" * 11


def call(**more: Any) -> Call:
    """A page of an exercise."""
    given = {"key": "n1/amal/0", "page": "n1", "incident": "INC-2026-1", "mode": "exercise", "severity": 4}
    return Call(**{**given, "text": "INC-2026-1: decide go", "todo": ("stanch incident ack INC-2026-1",), **more})


@pytest.fixture
def letters() -> Iterator[tuple[Letters, MailSettings]]:
    """A real mail server, and the settings that reach it."""
    with mail_server() as (box, port):
        yield box, MailSettings(host="127.0.0.1", port=port, tls="none", sender="stanch@acme.example")


async def test_a_mail_says_by_itself_what_to_do(letters: tuple[Letters, MailSettings]) -> None:
    box, settings = letters
    mail = Mail(settings, None)
    await mail.check()
    await mail.send(call(text="a\r\nBcc: eve@evil.example"), "amal", "amal@acme.example")
    await mail.send(call(text="a\r\nBcc: eve@evil.example"), "amal", "amal@acme.example")
    envelope, (first, second) = box.envelopes[0], box.taken
    assert envelope.rcpt_tos == ["amal@acme.example"] and first["bcc"] is None
    assert first["subject"].startswith("EXERCISE, nothing is real: PAGE a Bcc:")
    assert "stanch incident ack INC-2026-1" in first.get_content()
    assert first["message-id"] == second["message-id"]


def test_a_long_page_is_cut_in_the_subject_and_whole_in_the_mail() -> None:
    mail = letter(call(text="x" * 500), "a@b.example", "c@d.example")
    assert len(mail["subject"]) == 200 and "x" * 500 in mail.get_content()


def test_two_pages_have_two_message_ids() -> None:
    ids = {letter(call(key=key), "a@b.example", "c@d.example")["message-id"] for key in ("n1/amal/0", "n1/amal/1")}
    assert len(ids) == 2


async def test_a_mail_that_cannot_go_out_is_said_without_the_address() -> None:
    settings = MailSettings(host="127.0.0.1", port=1, tls="none", sender="stanch@acme.example")
    with pytest.raises(Undelivered) as said:
        await Mail(settings, None).send(call(), "amal", "amal@acme.example")
    assert "amal@" not in str(said.value)
    with pytest.raises(Undelivered):
        await Mail(settings, None).send(call(), "amal", "")


async def test_unencrypted_mail_goes_to_this_machine_only() -> None:
    settings = MailSettings(host="mail.invalid", tls="none", sender="stanch@acme.example")
    with pytest.raises(Undelivered, match="unencrypted"):
        await Mail(settings, None).send(call(), "amal", "amal@acme.example")


@dataclass
class Hook:
    """What a webhook's server took, and what it answers first."""

    statuses: list[int] = field(default_factory=list)
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A real HTTP server."""
    made = Hook()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.taken.append(({key.lower(): value for key, value in self.headers.items()}, body))
            self.send_response(made.statuses.pop(0) if made.statuses else 204)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


async def test_a_webhook_is_signed_and_tried_again_under_the_same_id(hook: Hook) -> None:
    hook.statuses = [503]
    await SignedWebhook(hook.url, SECRET).send(call(), "amal", "")
    (first, body), (second, _) = hook.taken
    assert first["webhook-id"] == second["webhook-id"]
    said = Webhook(SECRET).verify(body, second)
    assert (said["incident"], said["mode"], said["person"]) == ("INC-2026-1", "exercise", "amal")
    assert json.loads(body)["todo"]


async def test_a_webhook_follows_no_redirect(hook: Hook) -> None:
    hook.statuses = [307, 307, 307]
    with pytest.raises(Undelivered, match="307"):
        await SignedWebhook(hook.url, SECRET).send(call(), "amal", "")
    assert len(hook.taken) == 3


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://hooks.acme.example/x", True),
        ("http://127.0.0.1:9/x", True),
        ("http://[::1]:9/x", True),
        ("http://hooks.acme.example/x", False),
        ("file:///etc/passwd", False),
        ("", False),
        ("https://[", False),
    ],
)
def test_only_https_or_this_machine(url: str, good: bool) -> None:
    assert (unusable(url) == "") is good


async def test_pagerduty_opens_one_incident_and_hears_who_acknowledged() -> None:
    with PagerDutyPeer(faults=[502]) as peer:
        channel = PagerDuty(peer.routing_key, peer.api_token, lambda reference: reference, peer.url)
        await channel.send(call(link="https://stanch.acme.example"), "amal", "PUSER1")
        await channel.send(call(), "amal", "PUSER1")
        await channel.check()
        assert peer.incidents["n1/amal/0"]["opened"] == 1
        assert peer.events[0]["payload"]["severity"] == "critical" and peer.events[0]["links"]
        assert await channel.acknowledged("n1/amal/0") is None
        peer.acknowledge("n1/amal/0", "PUSER1")
        assert await channel.acknowledged("n1/amal/0") == "PUSER1"
        await channel.resolve("n1/amal/0", "")
        assert peer.incidents["n1/amal/0"]["status"] == "resolved"


async def test_pagerduty_refusals_are_said_without_the_key() -> None:
    with PagerDutyPeer() as peer:
        channel = PagerDuty("wrong-key-123", "wrong-token", lambda reference: reference, peer.url)
        with pytest.raises(Undelivered) as said:
            await channel.send(call(), "amal", "")
        assert "wrong-key" not in str(said.value)
        with pytest.raises(Undelivered):
            await channel.check()


async def test_pagerduty_says_who_is_on_call_page_by_page() -> None:
    with PagerDutyPeer(page_size=2, on_call={"PS1": ["PA", "PB", "PC"]}) as peer:
        channel = PagerDuty(None, peer.api_token, lambda reference: reference, peer.url)
        assert await channel.on_call("PS1", datetime(2026, 11, 24, tzinfo=UTC)) == ["PA", "PB", "PC"]


async def test_a_secret_that_cannot_be_read_takes_away_its_own_channel_only(store: Store, home: Path) -> None:
    (home / "stanch.toml").write_text(
        '[paging.mail]\nhost = "127.0.0.1"\nsender = "stanch@x.example"\n'
        '[paging.webhook]\nurl = "https://x.example/"\nsecret = "secret:file/gone"\n'
    )
    settings = Settings.load({"STANCH_HOME": str(home)}, home)
    paging = settings.file.paging
    assert paging is not None
    with pytest.raises(SecretError):
        channels_of(settings, paging)
    assert pager_of(settings, store) is not None
    found = channels_of(settings, paging, strict=False)
    assert isinstance(found["mail"], Mail)
    with pytest.raises(Undelivered, match="its secret cannot be read"):
        await found["webhook"].send(call(), "amal", "")
