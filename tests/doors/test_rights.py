"""Every route of ``/v1``: closed to nobody-in-particular, closed to onlookers where it changes something."""

import json

import pytest

PATHS = {
    "{role}": "crm_owner",
    "{incident}": "INC-1999-1",
    "{name}": "amal",
    "{playbook}": "contain-things",
    "{source}": "siem",
    "{standing_id}": "SA-1",
}
BODIES = {
    "/v1/incidents": {"playbook": "contain-things"},
    "/v1/incidents/{incident}/decisions": {"step": "go", "verdict": "done"},
    "/v1/incidents/{incident}/notes": {"text": "x"},
    "/v1/incidents/{incident}/tell": {"text": "x"},
    "/v1/incidents/{incident}/facts": {"fact": "x", "value": 1},
    "/v1/incidents/{incident}/events": {"name": "x"},
    "/v1/incidents/{incident}/clocks": {"clock": "x", "verb": "confirm"},
    "/v1/incidents/{incident}/reviews": {"step": "go", "verdict": "justified", "reason": "so"},
    "/v1/people/{name}/delegations": {"role": "crm_owner", "to": "bo", "until": "1h"},
    "/v1/people": {"name": "eve", "roles": ["admin"]},
    "/v1/people/{name}/slack": {"user": "U0AMAL001"},
    "/v1/hold": {"reason": "look"},
    "/v1/slack/off": {"reason": "look"},
    "/v1/standing": {"action": "lab.touch", "max_affected": 1, "until": "2999-01-01T00:00:00Z", "reason": "x"},
    "/v1/standing/{standing_id}/revoke": {"reason": "x"},
}
READS = ("GET", "/v1/playbooks/{playbook}/plan")
"""What an onlooker may: look, and see what a start would do."""


async def routes(house):
    described = (await house.http.get("/openapi.json")).json()
    return [(method.upper(), path) for path, methods in described["paths"].items() for method in methods]


def filled(path):
    for name, value in PATHS.items():
        path = path.replace(name, value)
    return path


@pytest.mark.parametrize(
    "header",
    [None, "Bearer nobodys", "Basic YW1hbDphbWFs", "bearer", "Bearer stanch_"],
)
async def test_no_route_answers_somebody_unknown(house, header):
    found = await routes(house)
    assert len(found) >= 25
    for method, path in found:
        headers = {"Authorization": header} if header else {}
        answer = await house.http.request(method, filled(path), json=BODIES.get(path, {}), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unknown_person"), (method, path, answer.text)
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_onlookers_and_detectors_change_nothing(house):
    incident = await house.start()
    await house.card(incident, "go")
    for method, path in await routes(house):
        if method in READS or path in READS or path.endswith("/export"):
            continue
        target = filled(path).replace("INC-1999-1", incident)
        for person in ("vic", "detector"):
            answer = await house.ask(person, method, target, BODIES.get(path, {}))
            allowed = {"wrong_role", "bad_verdict"} if path.endswith("/decisions") else {"wrong_role"}
            assert answer.status_code in (403, 422) and answer.json()["code"] in allowed, (method, path, answer.text)
    theirs = [entry for entry in house.env.store.journal.entries(incident) if entry["actor"] in ("vic", "detector")]
    assert {entry["kind"] for entry in theirs} <= {"decision.refused"}
    assert (await house.ask("amal", "GET", "/v1/people")).json()["people"][0]["name"] == "amal"
    assert "eve" not in (await house.ask("amal", "GET", "/v1/people")).text


async def test_an_export_is_a_responders(house):
    incident = await house.start()
    assert (await house.ask("vic", "GET", f"/v1/incidents/{incident}/export")).json()["code"] == "wrong_role"


async def test_bodies_are_bounded_and_strict(house):
    large = {"playbook": "contain-things", "title": "x" * 300_000}
    assert (await house.ask("cleo", "POST", "/v1/incidents", large)).json()["code"] == "too_large"
    headers = {"Authorization": f"Bearer {house.tokens['cleo']}"}
    for content, kind in (
        (b"{", "application/json"),
        (b"[" * 5000, "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"playbook=x", "application/x-www-form-urlencoded"),
        (json.dumps({"playbook": "contain-things"}).encode(), "text/plain"),
        (json.dumps({"playbook": "contain-things", "admin": True}).encode(), "application/json"),
        (json.dumps({"playbook": ["a"]}).encode(), "application/json"),
    ):
        answer = await house.http.post("/v1/incidents", content=content, headers={**headers, "Content-Type": kind})
        assert answer.status_code in (400, 422) and answer.json()["code"] == "bad_value", (content[:20], answer.text)
        assert "Nothing was done" in answer.json()["detail"]
    assert (await house.ask("cleo", "GET", "/v1/incidents")).json()["incidents"] == []


async def test_hostile_ids_are_not_found_and_nothing_else(house):
    for name in ("..%2F..%2Fetc%2Fpasswd", "INC-2026-1%00", "%F0%9F%94%A5", "x" * 2000, "run%2Fx", "'; DROP TABLE x"):
        for path in (f"/v1/incidents/{name}", f"/v1/incidents/{name}/timeline", f"/v1/incidents/{name}/export"):
            answer = await house.ask("cleo", "GET", path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
