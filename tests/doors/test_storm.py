"""Alerts over real HTTP at a serving process: many at once, malformed, huge, hostile. None is lost, none counts twice."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from tests.doors.premises import SECRET, WEBHOOK_SECRET
from worker.api.problems import MEDIA_TYPE
from worker.edge import key_ring
from worker.settings import Settings
from worker.start_base import open_store
from worker.temporal import connect
from workflows.messages import AlertsAttached

STORM = 500
ORG = "00D5f00000STORM"
SAMPLES = Path(__file__).resolve().parent.parent / "data" / "alerts" / "panther_apache2"


async def test_the_same_alert_five_hundred_times_at_once_is_one_incident(acme, tmp_path):
    body = acme.alert(ORGANIZATION_ID=ORG, USER_ID="0055f00000STORM", CONNECTED_APP_NAME="Storm")
    async with acme.http(SECRET) as http:
        begun = time.perf_counter()
        answers = await asyncio.gather(*(http.post("/v1/alerts/siem", content=body) for _ in range(STORM)))
        span = time.perf_counter() - begun
    refused = [answer.text for answer in answers if answer.status_code != 202]
    assert refused == [], f"{len(refused)} of {STORM} after {span:.1f} s"
    (incident,) = {answer.json()["incident"] for answer in answers}
    shown = await acme.document("amal", "incident", "show", incident)
    assert shown["alerts"]["count"] == STORM, "at once, and exactly"
    told = [answer.json() for answer in answers]
    assert sum(each["created"] for each in told) == 1
    assert sorted(each["count"] for each in told) == list(range(1, STORM + 1))
    assert len(shown["alerts"]["keys"]) == 1
    print(f"\n{STORM} alerts at once taken in {span:.2f} s, {span / STORM * 1000:.1f} ms each")

    (run,) = (await acme.until(incident, lambda shown: shown["runs"]))["runs"]
    settings = Settings.load(acme.env, acme.home)
    client = await connect(settings, key_ring(settings))
    for workflow in (f"incident/{incident}", run["id"]):
        found = [each async for each in client.list_workflows(f"WorkflowId = '{workflow}'")]
        assert len({each.run_id for each in found}) == 1, workflow
    of_runs = [each.id async for each in client.list_workflows("WorkflowType = 'PlaybookRun'")]
    assert [name for name in of_runs if f"/{incident}/" in name] == [run["id"]]
    history = await told_of_joining(client, incident)
    assert history[-1] == STORM and len(history) <= span / 5 + 3, "one signal in five seconds at most"
    kinds = Counter(
        entry["kind"] for entry in (await acme.document("amal", "incident", "timeline", incident))["entries"]
    )
    assert (kinds["alert.admitted"], kinds["run.started"], kinds["incident.opened"]) == (1, 1, 1)
    await acme.document("cleo", "incident", "cancel", incident, "--reason", "a storm only")


async def told_of_joining(client, incident):
    """Counts that the incident's workflow was told of, signal by signal, once it knows of all."""
    for _ in range(200):
        counts = []
        async for event in client.get_workflow_handle(f"incident/{incident}").fetch_history_events():
            if event.HasField("workflow_execution_signaled_event_attributes"):
                signal = event.workflow_execution_signaled_event_attributes
                if signal.signal_name == "alerts_attached":
                    (told,) = await client.data_converter.decode(signal.input.payloads, [AlertsAttached])
                    counts.append(told.count)
        if counts and counts[-1] == STORM:
            return counts
        await asyncio.sleep(0.2)
    raise AssertionError(counts)


BAD = {
    "not json": (b"nope", 422, "bad_json"),
    "nothing": (b"", 422, "bad_json"),
    "broken utf-8": (b'{"title": "\xff\xfe"}', 422, "bad_json"),
    "utf-16": (json.dumps({"EVENT_TYPE": "Login"}).encode("utf-16"), 200, None),
    "cut off": (b'{"EVENT_TYPE": "OAuthTokenRevoked", "USER_ID"', 422, "bad_json"),
    "deep": (b'{"a":' * 5000 + b"1" + b"}" * 5000, 422, "too_deep"),
    "deep list": (b"[" * 100_000, 422, "too_deep"),
    "a list": (b'[{"EVENT_TYPE": "OAuthTokenRevoked"}]', 422, "batch"),
    "a number": (b"17", 422, "not_an_object"),
    "nan": (b'{"SCORE": NaN}', 422, "bad_json"),
    "over one megabyte": (b'{"a": "' + b"x" * 1_100_000 + b'"}', 413, "too_large"),
    "ten megabytes": (b'{"a": "' + b"x" * 10_000_000 + b'"}', 413, "too_large"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind", ["application/json", "text/xml", "multipart/form-data; boundary=x"])
async def test_what_is_no_alert_is_refused_in_words_and_opens_nothing(acme, name, kind):
    body, status, code = BAD[name]
    async with acme.http(SECRET) as http:
        before = (await http.get("/v1/incidents", headers={"Authorization": f"Bearer {acme.tokens['vic']}"})).json()
        answer = await http.post("/v1/alerts/calm", content=body, headers={"Content-Type": kind})
        after = (await http.get("/v1/incidents", headers={"Authorization": f"Bearer {acme.tokens['vic']}"})).json()
    assert answer.status_code == status, answer.text
    assert len(before["incidents"]) == len(after["incidents"])
    if code is None:
        return
    told = answer.json()
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert (told["code"], told["status"]) == (code, status)
    assert told["detail"] and "Traceback" not in answer.text
    if status == 422:
        with contextlib.closing(open_store(Settings.load(acme.env, acme.home))) as store:
            assert store.evidence.read(told["raw"]) == body, "the bytes are not lost"


async def test_a_body_of_any_kind_of_content_is_read_if_it_is_json(acme):
    async with acme.http(SECRET) as http:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/cloudevents+json"):
            answer = await http.post(
                "/v1/alerts/calm", content=b'{"EVENT_TYPE": "Login"}', headers={"Content-Type": kind}
            )
            assert (answer.status_code, answer.json()["incident"]) == (200, None)


async def test_a_sender_who_is_not_proven_leaves_nothing(acme):
    body = acme.alert(ORGANIZATION_ID="00D5f0000STRANGE")
    async with acme.http() as http:
        for path, token, status, code in (
            ("siem", None, 401, "signature_missing"),
            ("siem", "no-key-of-ours", 401, "signature_invalid"),
            ("nobody", "no-key-of-ours", 404, "unknown_source"),
            ("nobody", None, 404, "unknown_source"),
        ):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = await http.post(f"/v1/alerts/{path}", content=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
    rows = (await acme.document("vic", "incident", "list"))["incidents"]
    assert not any("00D5f0000STRANGE" in json.dumps(row) for row in rows)
    assert "no-key-of-ours" not in acme.logs()


async def test_a_source_that_may_start_nothing_only_has_its_alerts_looked_into(acme):
    body = acme.alert(ORGANIZATION_ID="00D5f00000CALM1", USER_ID="0055f00000CALM1")
    async with acme.http(SECRET) as http:
        told = (await http.post("/v1/alerts/calm", content=body)).json()
    assert told["route"]["playbook"] == "crm-triage"
    assert "capped" in [problem["code"] for problem in told["problems"]]


def at(moment):
    """An instant as event logs write it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


async def test_what_the_alert_does_not_name_is_asked_while_the_rest_runs(acme):
    """A bulk export names no connected app: the incident commander is asked, evidence is secured meanwhile."""
    sample = json.loads((SAMPLES / "bulk_data_exfiltration.json").read_text())[0]["event"]
    event = {**sample, "TIMESTAMP": at(datetime.now(UTC)), "ORGANIZATION_ID": "00D5f00000BULK1"}
    event["TIMESTAMP_DERIVED"] = event["TIMESTAMP"]
    async with acme.http(SECRET) as http:
        told = (await http.post("/v1/alerts/siem", content=json.dumps(event))).json()
    assert (told["kind"], told["route"]["playbook"]) == ("crm.bulk_exfiltration", "crm-oauth-token-theft")
    assert set(told["route"]["inputs"]) == {"since"}
    incident = told["incident"]
    shown = await acme.until(incident, lambda shown: any(each["kind"] == "ask" for each in shown["waiting"]))
    (question,) = [each for each in shown["waiting"] if each["kind"] == "ask"]
    assert question["who"]["needs"][0]["roles"] == ["incident_commander"]
    assert set(question["form"]) == {"app"}
    left = datetime.fromisoformat(question["until"]) - datetime.fromisoformat(question["opened_at"])
    assert left == timedelta(minutes=30)
    done = {"audit", "event_logs"}
    await acme.until(
        incident, lambda shown: done <= {step["id"] for step in shown["steps"] if step["status"] == "done"}
    )
    assert any(notice["urgency"] == "page" for notice in shown["notices"])
    app = json.loads(acme.range.alert())["CONNECTED_APP_NAME"]
    await acme.document("cleo", "incident", "answer", incident, question["step"], "-f", f"app={app}")
    shown = await acme.until(incident, lambda shown: any(each["kind"] == "approve" for each in shown["waiting"]))
    (go,) = [each for each in shown["waiting"] if each["kind"] == "approve"]
    assert "cleo" in go["who"]["excluded"], "who supplied a value approves nothing that depends on it"
    await acme.document("cleo", "incident", "cancel", incident)


async def test_severity_one_opens_an_incident_and_runs_nothing(acme):
    sample = json.loads((SAMPLES / "oauth_credential_abuse.json").read_text())[3]["event"]
    event = {**sample, "ORGANIZATION_ID": "00D5f00000QUIET"}
    async with acme.http(SECRET) as http:
        told = (await http.post("/v1/alerts/siem", content=json.dumps(event))).json()
    assert (told["severity"], told["route"], told["created"]) == (1, None, True)
    shown = await acme.until(told["incident"], lambda shown: shown["live"])
    assert (shown["runs"], shown["severity"], shown["alerts"]["count"]) == ([], 1, 1)
    worse = {**event, "EVENT_TYPE": "OAuthTokenRevoked"}
    async with acme.http(SECRET) as http:
        joined = (await http.post("/v1/alerts/siem", content=json.dumps(worse))).json()
    assert (joined["incident"], joined["created"]) == (told["incident"], False)
    assert joined["route"]["playbook"] == "crm-oauth-token-theft"
    shown = await acme.until(told["incident"], lambda shown: shown["runs"] and shown["severity"] == 4)
    assert [run["playbook"]["id"] for run in shown["runs"] if "playbook" in run] in ([], ["crm-oauth-token-theft"])
    await acme.until(told["incident"], lambda shown: shown["runs"][0]["status"] in ("running", "waiting"))
    await acme.document("cleo", "incident", "cancel", told["incident"])


async def test_a_signed_delivery_that_comes_again_counts_once(acme):
    body = acme.alert(ORGANIZATION_ID="00D5f00000HOOK1", USER_ID="0055f00000HOOK1", API_TOTAL_COUNT=1).decode()
    now = datetime.now(UTC)

    def signed(delivery, moment, text=body):
        signature = Webhook(WEBHOOK_SECRET).sign(delivery, moment, text)
        stamped = {"webhook-id": delivery, "webhook-timestamp": str(int(moment.timestamp()))}
        return {**stamped, "webhook-signature": signature}

    async with acme.http() as http:

        async def send(headers, text=body):
            return await http.post("/v1/alerts/hook", content=text, headers=headers)

        first, again = (await send(signed("m1", now))).json(), (await send(signed("m1", now))).json()
        assert (first["created"], again["replayed"], again["count"]) == (True, True, 1)
        assert (await send(signed("m2", now))).json()["count"] == 2
        for headers, text, code in (
            (signed("m3", now - timedelta(seconds=400)), body, "timestamp_outside"),
            (signed("m3", now + timedelta(seconds=400)), body, "timestamp_outside"),
            ({**signed("m3", now), "webhook-id": "m4"}, body, "signature_invalid"),
            (signed("m3", now), body + " ", "signature_invalid"),
            ({}, body, "signature_missing"),
        ):
            answer = await send(headers, text)
            assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert (await acme.document("vic", "incident", "show", first["incident"]))["alerts"]["count"] == 2
    assert WEBHOOK_SECRET not in acme.logs()
