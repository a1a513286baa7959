"""The range's own doors under /_range/: faults, holds, limits, the human act, and what they refuse."""

import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from worker.range import Range

API = "/services/data/v65.0"


@pytest.fixture
def world() -> Iterator[Range]:
    """A range that is up."""
    with Range(11) as running:
        yield running


@pytest.fixture
def http(world: Range) -> Iterator[httpx.Client]:
    """Plain HTTP to it."""
    with httpx.Client(base_url=world.url, trust_env=False, timeout=10) as client:
        yield client


def business(world: Range) -> dict[str, str]:
    """Headers of the innocent integration."""
    org = world.world.org
    session = next(found for found in org.sessions.values() if found.grant == world.world.innocent_grant.id)
    return {"Host": org.host, "Authorization": f"Bearer {session.token}"}


def test_a_request_goes_to_the_system_that_its_host_names(world, http):
    assert http.get(f"{API}/limits", headers=business(world)).status_code == 200
    stranger = http.get(f"{API}/limits", headers={"Host": "evil.example"})
    assert stranger.status_code == 421
    assert http.post("/services/oauth2/token", headers={"Host": "login.salesforce.com"}).status_code == 400


def test_the_state_shows_tokens_sessions_jobs_and_users_without_secrets(world, http):
    state = http.get("/_range/state").json()["salesforce"]
    assert {"tokens", "sessions", "jobs", "users"} <= set(state)
    for each in (*world.world.org.grants.values(), *world.world.org.sessions.values()):
        assert each.id in str(state)
    seen = http.get("/_range/state").text + http.get("/_range/log").text + http.get("/_range/alert").text
    for grant in world.world.stolen_grants:
        assert grant.refresh_token not in seen and grant.delete_token not in seen
    assert world.world.stanch_key[60:100] not in seen


def test_a_fault_strikes_whom_it_is_meant_for_as_often_as_it_says(world, http):
    rule = {"kind": "status", "path": "/limits", "actor": "business", "times": 2, "status": 503}
    assert http.post("/_range/faults", json=rule).status_code == 200
    codes = [http.get(f"{API}/limits", headers=business(world)).status_code for _ in range(3)]
    assert codes == [503, 503, 200]
    shown = http.get("/_range/faults").json()["salesforce"]["rules"]
    assert [each["struck"] for each in shown] == [2]
    assert http.post("/_range/faults/clear").json() == {"rules": 0}
    assert http.get("/_range/faults").json()["salesforce"]["rules"] == []


def test_a_fault_can_wait_for_its_turn_and_name_a_query(world, http):
    rule = {"kind": "status", "query": "FROM Contact", "actor": "business", "skip": 1, "status": 500}
    http.post("/_range/faults", json=rule)
    ask = {"q": "SELECT COUNT() FROM Contact"}
    codes = [http.get(f"{API}/query", params=ask, headers=business(world)).status_code for _ in range(3)]
    assert codes == [200, 500, 200]
    other = http.get(f"{API}/query", params={"q": "SELECT COUNT() FROM Account"}, headers=business(world))
    assert other.status_code == 200


def test_an_answer_is_held_back_after_the_change_until_it_is_released(world, http):
    org, user = world.world.org, world.world.bystanders[0]
    boss = org.open_session(world.world.stanch_user, "API", "stanch")
    headers = {"Host": org.host, "Authorization": f"Bearer {boss.token}"}
    http.post("/_range/hold", json={"method": "PATCH", "actor": "stanch"})
    answers: list[int] = []

    def freeze() -> None:
        path = f"{world.url}{API}/sobjects/UserLogin/{user.login_id}"
        answers.append(httpx.patch(path, json={"IsFrozen": True}, headers=headers, trust_env=False).status_code)

    thread = threading.Thread(target=freeze)
    thread.start()
    held = waited(http, 1)
    assert (held[0]["phase"], held[0]["method"], held[0]["actor"]) == ("after_commit", "PATCH", "stanch")
    assert user.frozen and answers == [], "done, and not answered"
    assert [effect["target"] for effect in http.get("/_range/effects").json()] == [user.id]
    assert http.post("/_range/hold/release", json={"id": held[0]["id"]}).json() == {"released": 1}
    thread.join(5)
    assert answers == [204]


def test_a_request_can_be_held_before_the_change(world, http):
    org = world.world.org
    http.post("/_range/hold", json={"phase": "before", "path": "/limits"})
    thread = threading.Thread(
        target=lambda: httpx.get(f"{world.url}{API}/limits", headers=business(world), trust_env=False)
    )
    used = org.api_used
    thread.start()
    assert waited(http, 1)[0]["phase"] == "before"
    assert http.post("/_range/hold/release", json={}).json() == {"released": 1}
    thread.join(5)
    assert org.api_used > used


def waited(http: httpx.Client, count: int) -> list[dict]:
    """What is held, once that many are."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        held = http.get("/_range/hold").json()
        if len(held) == count:
            return held
        time.sleep(0.02)
    raise AssertionError("nothing was held")


def test_a_range_that_ends_lets_go_of_what_it_holds(http, world):
    http.post("/_range/hold", json={"path": "/limits", "times": 0})
    answers: list[int] = []
    thread = threading.Thread(
        target=lambda: answers.append(
            httpx.get(f"{world.url}{API}/limits", headers=business(world), trust_env=False).status_code
        )
    )
    thread.start()
    waited(http, 1)
    began = time.monotonic()
    world._close()
    thread.join(5)
    assert answers == [200]
    assert time.monotonic() - began < 8


def test_limits_can_be_set(world, http):
    locked = world.world.bystanders[0].login_id
    answer = http.post("/_range/org", json={"api_limit": 3, "page_size": 200, "locked": {locked: 2}}).json()
    assert (answer["api_limit"], answer["page_size"]) == (3, 200)
    assert world.world.org.locked == {locked: 2}
    codes = {http.get(f"{API}/limits", headers=business(world)).status_code for _ in range(5)}
    assert 403 in codes


def test_the_human_act_is_a_persons(world, http):
    answer = http.post("/_range/person/block_app", json={}).json()
    assert answer["app"] == world.world.stolen.name
    assert set(answer["ended"]) and http.get("/_range/effects").json() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "faults", {"kind": "earthquake"}, 400),
        ("POST", "faults", {"kind": "status", "colour": "red"}, 400),
        ("POST", "faults", {"kind": "status", "path": "("}, 400),
        ("POST", "faults", {"system": "nowhere", "kind": "status"}, 400),
        ("POST", "faults", ["status"], 400),
        ("POST", "person/block_app", {"app": "no such app"}, 400),
        ("POST", "nothing", {}, 404),
        ("GET", "nothing", None, 404),
        ("PUT", "faults", {}, 405),
    ],
)
def test_what_its_doors_do_not_know_they_refuse(http, method, path, body, status):
    answer = http.request(method, f"/_range/{path}", json=body)
    assert (answer.status_code, "error" in answer.json()) == (status, True)
