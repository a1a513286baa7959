"""Linking people to Slack: looked up in the workspace itself, one account one person, and what links is on record."""

import os
import subprocess
import sys

import pytest
import pytest_asyncio
import yaml

from tests.doors.slack_house import SECRETS, settings
from worker.desk.slack_people import SlackPeople
from worker.settings import Settings
from worker.slack.manifest import SCOPES, manifest
from worker.slack.peer.server import SlackPeer

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def peer():
    """A workspace whose app has what the manifest asks for."""
    with SlackPeer() as made:
        made.rates.limited = False
        made.state.scopes = {scope.name for scope in SCOPES}
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def linked(peer, house):
    """The house, with a workspace that its server knows."""
    house.desk.slack = SlackPeople(
        house.desk.people, settings(peer), lambda reference: str(getattr(peer, SECRETS[reference]))
    )
    return house


async def test_an_administrator_links_by_address_or_id_and_it_is_on_record(peer, linked):
    user = peer.add_user("amal", "Amal Haddad", "amal@acme.example")
    incident = await linked.start()
    told = (await linked.ask("root", "PUT", "/v1/people/amal/slack", {"email": "Amal@acme.example"})).json()
    assert told["slack"] == {"user": user, "name": "amal", "real_name": "Amal Haddad", "guest": False}
    assert linked.desk.store.people.by_identity(("slack", peer.team_id, user)).name == "amal"
    rows = (await linked.ask("vic", "GET", "/v1/slack/people")).json()["people"]
    assert {row["name"]: row["user"] for row in rows}["amal"] == user and rows[1]["user"] is None

    newer = peer.add_user("amal2", "Amal Haddad", "amal2@acme.example")
    await linked.ask("root", "PUT", "/v1/people/amal/slack", {"user": newer})
    assert linked.desk.store.people.by_identity(("slack", peer.team_id, user)) is None
    assert (await linked.ask("root", "PUT", "/v1/people/amal/slack", {"user": newer})).json()["code"] == "no_change"
    await linked.ask("root", "POST", "/v1/people", {"name": "amal", "roles": ["crm_owner", "legal"]})
    assert linked.desk.store.people.by_identity(("slack", peer.team_id, newer)).roles == ("crm_owner", "legal")
    assert (await linked.ask("root", "DELETE", "/v1/people/amal/slack")).status_code == 200
    assert linked.desk.store.people.by_identity(("slack", peer.team_id, newer)) is None
    kept = [e for e in linked.env.store.journal.entries(incident) if e["kind"].startswith("identity.")]
    assert [(e["kind"], e["actor"], e["body"]["external_id"]) for e in kept] == [
        ("identity.linked", "root", user),
        ("identity.linked", "root", newer),
        ("identity.unlinked", "root", newer),
    ]


async def test_who_cannot_be_linked_is_refused_and_nothing_changes(peer, linked):
    user = peer.add_user("amal", "Amal", "amal@acme.example")
    away = peer.add_user("old", "Old", "old@acme.example")
    peer.do(lambda: setattr(peer.state.users[away], "deleted", True))
    stranger = peer.add_user("eve", "Eve", "eve@other.example", stranger=True)
    await linked.ask("root", "PUT", "/v1/people/amal/slack", {"user": user})

    async def code(person, name, **given):
        return (await linked.ask(person, "PUT", f"/v1/people/{name}/slack", given)).json()["code"]

    assert await code("cleo", "bo", user=user) == "wrong_role"
    assert await code("root", "bo", user=user) == "identity_taken"
    assert await code("root", "bo", user=stranger) == "slack_user_refused"
    assert await code("root", "bo", user=away) == "slack_user_refused"
    assert await code("root", "bo", user=peer.state.bot_user_id) == "slack_user_refused"
    assert await code("root", "bo", user="U0NOBODY0") == "not_found"
    assert await code("root", "bo", email="nobody@acme.example") == "not_found"
    assert await code("root", "nobody", user=user) == "not_found"
    assert await code("root", "bo") == await code("root", "bo", user=user, email="a@b") == "bad_value"
    peer.state.scopes = {"users:read"}
    assert await code("root", "bo", email="amal@acme.example") == "slack_refused"
    peer.faults.take_down()
    assert await code("root", "bo", user=user) == "slack_unreachable"
    assert [row["user"] for row in linked.desk.slack.listed() if row["user"]] == [user]
    given = [{"door": "slack", "workspace": peer.team_id, "external_id": user}]
    added = await linked.ask("root", "POST", "/v1/people", {"name": "bo", "roles": [], "identities": given})
    assert added.json()["code"] == "identity_taken"


async def test_the_command_links_on_the_home_of_who_may_write_there(peer, tmp_path):
    user = peer.add_user("amal", "Amal Haddad", "amal@acme.example")
    lines = ["bot_token = 'secret:env/BOT'", "app_token = 'secret:env/APP'", f"workspace = '{peer.team_id}'"]
    table = "\n".join(['mode = "exercise"', "[slack]", *lines, f"endpoint = '{peer.api_url}'"])
    (tmp_path / "stanch.toml").write_text(table + "\n")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("STANCH_")}
    env = plain | {"BOT": peer.bot_token, "STANCH_HOME": str(tmp_path / "home"), "PYTHONPATH": os.getcwd()}
    assert Settings.load(env, tmp_path).file.slack is not None

    def stanch(*arguments):
        command = [sys.executable, "-m", "worker.cli.main", *arguments]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert stanch("people", "add", "amal", "--role", "crm_owner").returncode == 0
    assert "not linked" in stanch("slack", "people").stdout
    done = stanch("slack", "link", "amal", "--email", "amal@acme.example")
    assert done.stdout == f"amal is Amal Haddad (@amal, {user}).\n", done.stderr
    assert user in stanch("slack", "people").stdout
    refused = stanch("slack", "link", "bo", "--user", user)
    assert refused.returncode == 1 and "[not_found]" in refused.stderr and peer.bot_token not in str(refused)
    assert "nobody in Slack" in stanch("slack", "unlink", "amal").stdout
    shown = stanch("slack", "manifest", "--http", "https://stanch.example.com")
    assert yaml.safe_load(shown.stdout) == manifest(url="https://stanch.example.com")
    assert stanch("slack", "manifest", "--http", "http://stanch.example.com").returncode == 2
