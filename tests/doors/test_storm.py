"""Alerts over real HTTP at a serving process: many at once, malformed, huge, hostile. None is lost, none counts twice."""

import asyncio
import contextlib
import json
import time
from collections import Counter

import pytest
from temporalio.client import Client

from tests.doors.premises import SECRET
from worker.api.problems import MEDIA_TYPE
from worker.settings import Settings
from worker.start_base import open_store

STORM = 500
ORG = "00D5f00000STORM"


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
    client = await Client.connect(acme.env["TEMPORAL_ADDRESS"], namespace=acme.env["TEMPORAL_NAMESPACE"])
    for workflow in (f"incident/{incident}", run["id"]):
        found = [each async for each in client.list_workflows(f"WorkflowId = '{workflow}'")]
        assert len({each.run_id for each in found}) == 1, workflow
    of_runs = [each.id async for each in client.list_workflows("WorkflowType = 'PlaybookRun'")]
    assert [name for name in of_runs if f"/{incident}/" in name] == [run["id"]]
    kinds = Counter(
        entry["kind"] for entry in (await acme.document("amal", "incident", "timeline", incident))["entries"]
    )
    assert (kinds["alert.admitted"], kinds["run.started"], kinds["incident.opened"]) == (1, 1, 1)
    await acme.document("cleo", "incident", "cancel", incident, "--reason", "a storm only")


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
            ("siem", "wrong", 401, "signature_invalid"),
            ("nobody", "wrong", 404, "unknown_source"),
            ("nobody", None, 404, "unknown_source"),
        ):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = await http.post(f"/v1/alerts/{path}", content=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
    rows = (await acme.document("vic", "incident", "list"))["incidents"]
    assert not any("00D5f0000STRANGE" in json.dumps(row) for row in rows)
    assert "wrong" not in acme.logs()


async def test_a_source_that_may_start_nothing_only_has_its_alerts_looked_into(acme):
    body = acme.alert(ORGANIZATION_ID="00D5f00000CALM1", USER_ID="0055f00000CALM1")
    async with acme.http(SECRET) as http:
        told = (await http.post("/v1/alerts/calm", content=body)).json()
    assert told["route"]["playbook"] == "crm-triage"
    assert "capped" in [problem["code"] for problem in told["problems"]]
