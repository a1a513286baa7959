"""How people are reached, over HTTP and at the command line: who may set, see and try it, and who is on call."""

import pytest
import pytest_asyncio

from tests.doors.paging_house import CALENDAR, KEY, SETTINGS
from tests.doors.test_cli_decisions import Shell
from tests.mailbox import mail_server
from worker.paging.desk import PagingDesk
from worker.paging.peer.pagerduty import PagerDutyPeer
from worker.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="session")
SECRETS = {"PD_KEY": KEY, "PD_TOKEN": "u+peer", "HOOK": "whsec_" + "QUJD" * 11}


@pytest_asyncio.fixture(loop_scope="session")
async def reached(house, tmp_path):
    """The house with a mail server, PagerDuty and a calendar; what they took."""
    folder = tmp_path / "paged"
    folder.mkdir()
    with mail_server() as (box, port), PagerDutyPeer(routing_key=KEY) as pagerduty:
        text = SETTINGS.format(pagerduty=pagerduty.url, port=port, hook="http://127.0.0.1:1/hook")
        (folder / "stanch.toml").write_text(text)
        (folder / "crm.ics").write_text(CALENDAR.replace("\n", "\r\n"))
        settings = Settings.load({"STANCH_HOME": str(folder), **SECRETS}, folder)
        house.desk.paging = PagingDesk(settings, house.env.store)
        yield box, pagerduty


async def test_people_set_and_see_their_own_contact_administrators_everybodys(house, reached):
    contact = {"mail": "amal@acme.example", "rule": "mail 0m"}
    assert (await house.ask("amal", "PUT", "/v1/people/amal/contact", contact)).json()["contact"] == contact
    refused = await house.ask("bo", "PUT", "/v1/people/amal/contact", {"mail": "bo@acme.example"})
    assert (refused.status_code, refused.json()["code"]) == (403, "wrong_role")
    wrong = await house.ask("amal", "PUT", "/v1/people/amal/contact", {"rule": "pigeon 0m"})
    assert wrong.json()["code"] == "bad_value" and "Nothing was changed" in wrong.text
    unknown = await house.ask("root", "PUT", "/v1/people/nobody/contact", contact)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    seen = {}
    for viewer in ("amal", "bo", "root", "vic"):
        rows = (await house.ask(viewer, "GET", "/v1/people")).json()["people"]
        seen[viewer] = next(row for row in rows if row["name"] == "amal").get("contact")
    assert seen == {"amal": contact, "bo": None, "root": contact, "vic": None}


async def test_a_test_page_is_sent_to_oneself_or_by_an_administrator(house, reached, tmp_path):
    box, pagerduty = reached
    given = {"mail": "amal@acme.example", "rule": "pagerduty 0m, mail 5m, webhook 9m"}
    await house.ask("amal", "PUT", "/v1/people/amal/contact", given)
    assert (await house.ask("bo", "POST", "/v1/people/amal/test-page")).json()["code"] == "wrong_role"
    assert (await house.ask("root", "POST", "/v1/people/nobody/test-page")).json()["code"] == "not_found"
    assert box.taken == [] and pagerduty.events == []
    told = (await house.ask("root", "POST", "/v1/people/amal/test-page")).json()
    assert told["ok"] is False and [bool(row["error"]) for row in told["methods"]] == [False, False, True]
    assert "TEST for amal" in box.taken[0]["subject"]
    assert [each["status"] for each in pagerduty.incidents.values()] == ["resolved"]
    (tmp_path / "cli").mkdir()
    shell = Shell(house, tmp_path / "cli")
    await shell.fine("amal", "people", "contact", "amal", "--rule", "mail 0m")
    assert (await shell.fine("amal", "people", "page", "amal", "--test"))["methods"] == [
        {"channel": "mail", "error": ""}
    ]
    assert len(box.taken) == 2


async def test_who_is_on_call_is_asked_at_every_door(house, reached, tmp_path):
    (tmp_path / "cli").mkdir()
    shell = Shell(house, tmp_path / "cli")
    (row,) = (await house.ask("vic", "GET", "/v1/oncall")).json()["oncall"]
    assert (row["role"], row["people"], row["otherwise"]) == ("crm_owner", ["bo"], ["amal", "bo"])
    (before,) = (await shell.fine("vic", "oncall", "--at", "2025-06-01T00:00:00Z"))["oncall"]
    assert (before["people"], before["next"]) == ([], None)
    assert (await house.ask("vic", "GET", "/v1/oncall?at=2026-06-01T00:00:00")).json()["code"] == "bad_value"
    assert house.desk.paging.on_call("crm_owner") == ()


async def test_a_process_that_wakes_nobody_says_so(house):
    for method, path in (("GET", "/v1/oncall"), ("POST", "/v1/people/amal/test-page")):
        answer = await house.ask("amal", method, path)
        assert answer.json()["code"] == "bad_value" and "wakes nobody" in answer.text
