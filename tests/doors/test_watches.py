"""A watch from the settings to the closed finding, on one machine: nobody sends an alert, and an old key is found."""

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from activities.systems.aws.peer.app import AwsPeer
from activities.systems.aws.peer.state import FULL_ACCESS, AwsAccount
from tests.doors.one_machine import Up
from worker.range_server import LoopbackServer

SETTINGS = """
mode = "exercise"
organisation = "Acme"
{watch}
[systems.aws]
region = "eu-central-1"
endpoint = "{url}"
access_key_id = "secret:env/AWS_ID"
secret_access_key = "secret:env/AWS_SECRET"
"""
WATCH = """
[watches.aws_keys]
action = "aws.check_cryptoperiods"
every = "1d"
finds = "{{ result.overdue > 0 or not result.complete }}"
kind = "key.overdue"
title = "Keys are in use for too long"
inputs = { systems = ["aws"] }
"""


@pytest.fixture
def account() -> AwsAccount:
    """An account with Stanch's own user, and a key of 800 days."""
    made = AwsAccount(random.Random("watches"))
    made.add_user("stanch", FULL_ACCESS)
    made.add_key("stanch")
    made.add_kms_key("weights", created=made.now() - timedelta(days=800))
    return made


@pytest.fixture
def watched(up: Up, account: AwsAccount) -> Iterator[Up]:
    """A home whose settings watch that account."""
    server = LoopbackServer(AwsPeer(account))
    url = server.open()
    (key,) = account.users["stanch"].keys.values()
    up.env |= {"AWS_ID": key.id, "AWS_SECRET": key.secret}
    settings(up, url, WATCH)
    for name, roles in (("pia", ("platform_owner",)), ("cleo", ("incident_commander", "legal", "privacy_officer"))):
        assert up.run("people", "add", name, *(part for role in roles for part in ("--role", role))).returncode == 0
    try:
        yield up
    finally:
        server.close()


def settings(up: Up, url: str, watch: str) -> None:
    """Write the settings file."""
    (up.home / "stanch.toml").write_text(SETTINGS.format(url=url, watch=watch))


def token(up: Up, person: str) -> str:
    """A person's own token."""
    return str(up.run("people", "token", person).stdout.strip())


def until(said: Callable[[], Any], seconds: float = 60) -> Any:
    """What it gives once it gives something."""
    limit = time.monotonic() + seconds
    while not (found := said()):
        assert time.monotonic() < limit, "not reached"
        time.sleep(0.2)
    return found


def health(up: Up, name: str) -> dict[str, str]:
    """One check of doctor."""
    told = json.loads(up.run("doctor", "--json").stdout)
    return next((check for check in told["checks"] if check["name"] == name), {})


def test_an_old_key_is_found_asked_about_rotated_and_looked_at_again(watched: Up, account: AwsAccount) -> None:
    watched.begin()
    watched.until_ready()
    cleo, pia = token(watched, "cleo"), token(watched, "pia")

    def incidents() -> list[dict[str, Any]]:
        told = json.loads(watched.run("incident", "list", "--json", STANCH_TOKEN=cleo).stdout)
        return list(told["incidents"] if isinstance(told, dict) else told)

    def shown() -> dict[str, Any]:
        return dict(json.loads(watched.run("incident", "show", incident, "--json", STANCH_TOKEN=cleo).stdout))

    def asked(*steps: str) -> dict[str, dict[str, Any]]:
        waiting = {each["step"]: each for each in shown()["waiting"]}
        return waiting if set(steps) <= set(waiting) else {}

    (found,) = until(incidents)
    incident = found["incident"]
    assert found["title"].startswith("Keys are in use for too long: 1 of ")
    waiting = until(lambda: asked("misused", "go"))
    assert "NIST SP 800-57 suggests: 1;" in waiting["misused"]["question"]
    assert waiting["go"]["preview"][0]["count"] == 1
    done = watched.run("incident", "approve", incident, "go", "--digest", waiting["go"]["digest"], STANCH_TOKEN=pia)
    assert done.returncode == 0, done.stderr
    done = watched.run("incident", "answer", incident, "misused", "-f", "misused=false", STANCH_TOKEN=pia)
    assert done.returncode == 0, done.stderr
    until(lambda: shown()["runs"][0]["status"] == "done")
    (key,) = [key for key in account.kms.values() if key.description == "weights"]
    assert [kind for _, kind in key.rotations] == ["ON_DEMAND"]
    kept = shown()
    ends = {step["path"]: step["status"] for step in kept["steps"]}
    assert (ends["aws_now"], ends["rest_aws"]) == ("done", "skipped"), "looking again found nothing"
    assert kept["facts"]["personal_data"]["value"] is False
    assert {row["state"] for row in kept["clocks"]} <= {"not_applicable", "waiting"}, (
        "no clock runs: nothing was breached"
    )
    check = health(watched, "watch aws_keys")
    assert check["state"] == "ok" and incident in check["message"] and "Next look" in check["message"]
    watched.process.send_signal(signal.SIGTERM)
    assert watched.ended() == 0
