import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import httpx
from fastapi import FastAPI

from worker.alerts.door import alerts_router
from worker.alerts.intake import Intake
from worker.api.problems import install
from worker.desk.refusals import DeskRefusal
from worker.store import Store

SAMPLES = Path(__file__).resolve().parent.parent / "data" / "alerts" / "panther_apache2"
REVOKED = json.loads((SAMPLES / "oauth_credential_abuse.json").read_text())[0]["event"]
SIEM = {"Authorization": "Bearer token-of-the-siem"}
ANA = {"Authorization": "Bearer token-of-ana"}


class SmallDesk:
    """What the door needs of a desk: a real store, and a record of what would be started."""

    def __init__(self, store):
        self.store, self.started, self.told = store, [], []
        self.starts = SimpleNamespace(for_alert=self._for_alert)
        self.reconciler = SimpleNamespace(joined=lambda incident, severity=None: self.told.append((incident, severity)))

    async def _for_alert(self, incident, start, *, count=1):
        self.started.append((incident, start.get("playbook"), count))

    def actor(self, token, door):
        if token != "token-of-ana":
            raise DeskRefusal("unknown_person", "Nobody is known by this token.")
        return SimpleNamespace(name="ana", roles=(), door=door)


@asynccontextmanager
async def door(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path)
    desk, app = SmallDesk(store), FastAPI()
    intake = Intake.of({"siem": {"secret": "secret:env/SIEM"}}, (), lambda _reference: "token-of-the-siem", "acme")
    app.state.desk = desk
    install(app)
    app.include_router(alerts_router(intake))
    transport = httpx.ASGITransport(app=app)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://stanch") as client:
            yield client, desk
    finally:
        store.close()


def now_event(**changes):
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return {**REVOKED, "TIMESTAMP": now, "TIMESTAMP_DERIVED": now, **changes}


async def settled(desk, count):
    for _ in range(100):
        if len(desk.started) >= count:
            return
        await asyncio.sleep(0.01)


async def test_five_hundred_at_once_are_one_incident(tmp_path):
    async with door(tmp_path) as (client, desk):
        event = now_event()
        bodies = [json.dumps({**event, "p_row_id": str(number)}) for number in range(500)]
        answers = await asyncio.gather(*(client.post("/v1/alerts/siem", content=body, headers=SIEM) for body in bodies))
        assert {answer.status_code for answer in answers} == {202}
        documents = [answer.json() for answer in answers]
        assert len({document["incident"] for document in documents}) == 1
        assert sum(document["created"] for document in documents) == 1
        assert sorted(document["count"] for document in documents) == list(range(1, 501))
        incident = documents[0]["incident"]
        await settled(desk, 1)
        assert desk.started == [(incident, "crm-oauth-token-theft", 1)]
        assert desk.store.incidents.alerts(incident)["count"] == 500
        assert len(desk.told) == 499 and set(desk.told) == {(incident, None)}
        pending = desk.store.alerts.pending_starts()
        assert [(each["incident"], each["playbook"]) for each in pending] == [(incident, "crm-oauth-token-theft")]
        assert pending[0]["inputs"]["app"] == "CompromisedApp"
        facts = desk.store.incidents.get(incident)["facts"]
        assert facts["kind"]["value"] == "crm.oauth_token_theft" and facts["kind"]["trust"] == "alert"
        assert facts["org"]["value"] == REVOKED["ORGANIZATION_ID"]


async def test_other_alerts_of_the_same_app_join_and_strangers_do_not(tmp_path):
    async with door(tmp_path) as (client, desk):
        events = [
            now_event(),
            now_event(USER_ID="0055f00000OTHER", EVENT_TYPE="OAuthTokenRefreshFailed"),
            now_event(USER_ID="0055f00000ALIEN", CONNECTED_APP_ID="0H05f000000ALIEN", EVENT_TYPE="ApiConnectedApp"),
            now_event(ORGANIZATION_ID="00D5f00000ALIEN"),
        ]
        found = [
            (await client.post("/v1/alerts/siem", content=json.dumps(event), headers=SIEM)).json() for event in events
        ]
        assert [each["created"] for each in found] == [True, False, True, True]
        assert found[0]["incident"] == found[1]["incident"]
        assert found[2]["severity"] == 1 and found[2]["route"] is None
        await settled(desk, 3)
        assert [playbook for _, playbook, _ in desk.started] == ["crm-oauth-token-theft", None, "crm-oauth-token-theft"]


async def test_an_incident_that_began_small_does_not_keep_the_playbook_from_starting(tmp_path):
    async with door(tmp_path) as (client, desk):

        async def sent(**changes):
            body = json.dumps(now_event(**changes))
            return (await client.post("/v1/alerts/siem", content=body, headers=SIEM)).json()

        small = await sent(EVENT_TYPE="ApiConnectedApp")
        assert (small["severity"], small["route"], small["created"]) == (1, None, True)
        stolen = await sent()
        assert (stolen["incident"], stolen["created"]) == (small["incident"], False)
        assert stolen["route"]["playbook"] == "crm-oauth-token-theft"
        assert (await sent())["route"] is None
        assert (await sent(EVENT_TYPE="ApiAnomalyEventStore", SCORE=90))["route"] is None
        await settled(desk, 2)
        assert [playbook for _, playbook, _ in desk.started] == [None, "crm-oauth-token-theft"]
        assert desk.told == [(small["incident"], severity) for severity in (4, None, 5)]
        wanted = desk.store.alerts.pending_starts()
        assert [each.get("playbook") for each in wanted] == [None, "crm-oauth-token-theft"]
        desk.store.alerts.confirm_started(small["incident"], "crm-oauth-token-theft")
        assert desk.store.alerts.pending_starts() == []


async def test_what_only_looks_gives_way_to_what_contains(tmp_path):
    async with door(tmp_path) as (client, _desk):

        async def sent(**changes):
            body = json.dumps(now_event(**changes))
            return (await client.post("/v1/alerts/siem", content=body, headers=SIEM)).json()

        looked_at = await sent(EVENT_TYPE="ApiAnomalyEventStore", SCORE=90)
        assert looked_at["route"]["playbook"] == "crm-triage"
        stolen = await sent()
        assert (stolen["incident"], stolen["route"]["playbook"]) == (looked_at["incident"], "crm-oauth-token-theft")
        assert (await sent(EVENT_TYPE="ApiAnomalyEventStore", SCORE=91, p_row_id="x"))["route"] is None


async def test_a_person_sends_by_hand_and_nobody_else_does(tmp_path):
    async with door(tmp_path) as (client, desk):
        body = json.dumps(now_event())
        assert (await client.post("/v1/alerts/file", content=body, headers=ANA)).status_code == 202
        assert (await client.post("/v1/alerts/siem", content=body, headers=ANA)).status_code == 202
        for source, headers, status, code in (
            ("siem", {}, 401, "signature_missing"),
            ("siem", {"Authorization": "Bearer nobodys"}, 401, "signature_invalid"),
            ("file", {"Authorization": "Bearer nobodys"}, 404, "unknown_source"),
            ("file", {}, 404, "unknown_source"),
        ):
            answer = await client.post(f"/v1/alerts/{source}", content=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert "nobodys" not in answer.text and answer.json()["next"]
        assert len(desk.store.incidents.list()) == 1


async def test_what_cannot_be_read_is_kept_and_said(tmp_path):
    async with door(tmp_path) as (client, desk):
        answer = await client.post("/v1/alerts/siem", content=b"\x00nope", headers=SIEM)
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_json")
        assert answer.json()["raw"] and not desk.store.incidents.list()
        login = await client.post("/v1/alerts/siem", content=b'{"EVENT_TYPE": "Login"}', headers=SIEM)
        assert login.status_code == 200 and login.json()["incident"] is None and not desk.store.incidents.list()
