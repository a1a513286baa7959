"""What ``stanch doctor`` finds out about a workspace, against the simulated one."""

from pathlib import Path

import pytest

from worker.settings import Settings
from worker.slack.checks import examine_slack
from worker.slack.manifest import SCOPES
from worker.slack.peer.server import SlackPeer
from worker.store.outbox import InForce
from worker.store.people import Person

NAMES = {scope.name for scope in SCOPES}


@pytest.fixture
def peer():
    """A workspace with what the manifest asks for."""
    with SlackPeer() as served:
        served.state.scopes = set(NAMES)
        yield served


def settings(peer: SlackPeer, folder: Path, **changes: str) -> Settings:
    """Settings for the workspace."""
    table = {
        "bot_token": "secret:env/BOT",
        "app_token": "secret:env/APP",
        "workspace": peer.team_id,
        "endpoint": peer.api_url,
        **changes,
    }
    text = 'mode = "exercise"\n[slack]\n' + "".join(f'{key} = "{value}"\n' for key, value in table.items())
    (folder / "stanch.toml").write_text(text)
    return Settings.load({"BOT": peer.bot_token, "APP": peer.app_token, "BAD": "xoxb-no"}, folder)


async def found(peer: SlackPeer, folder: Path, people: tuple[Person, ...] = (), **changes: str) -> dict[str, str]:
    """Findings by name: state and words."""
    findings = await examine_slack(settings(peer, folder, **changes), people)
    assert not any(word in str(findings) for word in (peer.bot_token, peer.app_token))
    return {each.name: f"{each.state}: {each.message}" for each in findings}


async def test_all_is_well_where_all_is_granted_and_everybody_is_linked(peer, tmp_path):
    peer.add_channel("incidents")
    people = (Person("amal", (), (("slack", peer.team_id, "U1"),)),)
    told = await found(peer, tmp_path, people, channel="#incidents")
    assert {name: text.partition(":")[0] for name, text in told.items()} == {
        "slack": "ok",
        "slack scopes": "ok",
        "slack channel": "ok",
        "slack socket": "ok",
        "slack people": "ok",
    }


async def test_that_it_is_switched_off_is_said_without_the_reason(peer, tmp_path):
    off = InForce("the token leaked", "amal", "2026-11-25T02:10:00.000000Z")
    findings = await examine_slack(settings(peer, tmp_path), (), off)
    (said,) = [each for each in findings if each.name == "slack switch"]
    assert said.state == "warn" and "by amal at 2026-11-25T02:10Z" in said.message and "leaked" not in str(findings)
    assert "slack switch" not in await found(peer, tmp_path)


async def test_a_missing_scope_is_named_with_what_fails_without_it(peer, tmp_path):
    peer.state.scopes = NAMES - {"reactions:read"} | {"admin"}
    told = await found(peer, tmp_path)
    assert told["slack scopes"] == "fail: Missing: reactions:read (reactions keep nothing)."
    peer.state.scopes = NAMES | {"search:read"}
    assert (await found(peer, tmp_path))["slack scopes"] == "warn: More than needed: search:read."


async def test_each_thing_that_is_wrong_is_said(peer, tmp_path):
    assert "invalid_auth" in (await found(peer, tmp_path, bot_token="secret:env/BAD"))["slack"]
    assert "BOT2 is not set" in (await found(peer, tmp_path, bot_token="secret:env/BOT2"))["slack"]
    assert f"is of workspace {peer.team_id}" in (await found(peer, tmp_path, workspace="T0OTHER01"))["slack"]
    assert (await found(peer, tmp_path, app_token="secret:env/BAD"))["slack socket"].startswith("fail")
    assert "is not there" in (await found(peer, tmp_path, channel="nowhere"))["slack channel"]
    peer.add_channel("quiet", bot=False)
    assert "does not have the app in it" in (await found(peer, tmp_path, channel="quiet"))["slack channel"]
    people = (Person("amal"), Person("bo", (), (("slack", peer.team_id, "U2"),)))
    assert "Without a Slack identity: amal" in (await found(peer, tmp_path, people))["slack people"]
    peer.faults.take_down()
    assert "cannot be reached" in (await found(peer, tmp_path))["slack"]


async def test_each_question_is_asked_once(peer, tmp_path):
    rule = peer.faults.add("drop", method="auth.test", times=0)
    assert (await found(peer, tmp_path))["slack"].startswith("fail")
    assert rule.struck == 1
