"""The range with models on peers: what its people meet, what is wrong at the start, and that checks tell harm apart."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from worker.range_models.company import ModelRange
from worker.range_models.edge import PER_MINUTE
from worker.range_models.plan import GOOD, PARTNER, THIEF, make_plan

PEERS = {"STANCH_RANGE": "peers"}


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, told: list[str]) -> Iterator[ModelRange]:
    folder = tmp_path_factory.mktemp("range")
    with ModelRange(7, (), "model-poisoned", folder / "world", PEERS, told.append) as made:
        yield made


def test_a_seed_gives_the_same_story() -> None:
    plan, again, other = make_plan(7), make_plan(7), make_plan(8)
    assert [version.taken.digest() for version in plan.versions] != [each.taken.digest() for each in other.versions]
    assert plan.tokens == again.tokens and plan.bad_rows == again.bad_rows != other.bad_rows


def test_it_says_aloud_which_system_is_played_by_what_and_why(world: ModelRange, told: list[str]) -> None:
    said = "\n".join(told)
    for system in ("mlflow", "serving", "gateway", "aws", "stepca"):
        assert f"{system}: peer (STANCH_RANGE=peers)" in said
    assert "vault: peer (no Vault installs" in said
    assert world.state()["played_by"]["mlflow"] == {"played_by": "peer", "why": "STANCH_RANGE=peers"}


def test_everybody_works_and_the_model_is_wrong_at_the_start(world: ModelRange) -> None:
    for name in (GOOD, PARTNER):
        asked = world.actors.ask(name)
        assert asked.served and asked.version == "5" and not asked.logprobs
    assert world.actors.ask(THIEF).logprobs and world.actors.try_key()
    found = {each.name: each.ok for each in world.check()}
    assert found.pop("each effect once") and found.pop("nobody innocent is touched")
    assert found.pop(f"{GOOD} is served all the time") and found.pop(f"{PARTNER} is served all the time")
    # What a playbook has to bring about is not so by itself.
    assert found and not any(found.values())
    assert world.wrong(contained=False) == {}


def test_settings_reach_every_system_and_hold_no_secret(world: ModelRange, tmp_path: Path) -> None:
    settings = world.settings(tmp_path)
    text = json.dumps(settings)
    assert not [token for token in world.plan.tokens.values() if token in text]
    assert world.site.cloud.ours[1] not in text and "PRIVATE KEY" not in text
    token = (tmp_path / "range" / "stanch_token").read_text()
    url = settings["mlflow"]["url"]
    answer = httpx.get(
        f"{url}/api/2.0/mlflow/registered-models/get",
        params={"name": world.plan.model},
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
    )
    aliases = {row["alias"]: row["version"] for row in answer.json()["registered_model"]["aliases"]}
    assert aliases == {"champion": "5", "staged": "5"}
    assert httpx.get(f"{url}/health", trust_env=False).status_code == 401


def test_a_thief_who_is_blocked_at_the_gateway_is_seen_to_be_and_a_customer_who_is_blocked_too(
    world: ModelRange,
) -> None:
    site = world.site
    thief, good = site.certificates[THIEF].fingerprint, site.certificates[GOOD].fingerprint
    maps = site.edge.maps / "blocked_certs.map"
    runtime = site.edge.runtime()
    runtime.change(f"add map {maps} {thief} INC-1")
    assert world.actors.ask(THIEF).status == 403 and world.actors.ask(GOOD).served
    runtime.change(f"add map {maps} {good} INC-1")
    assert f"{GOOD} is served all the time" in world.wrong(contained=False)
    for one in (thief, good):
        runtime.change(f"del map {maps} {one}")
    # A customer who was refused once was not served all the time, whatever comes after.
    assert world.actors.ask(GOOD).served and f"{GOOD} is served all the time" in world.wrong(contained=False)


def test_a_busy_partner_keeps_under_its_limit_however_fast_the_machine_is(world: ModelRange) -> None:
    assert world.actors.busiest * 60 < PER_MINUTE
    world.actors.busiest = 10.0
    assert world.actors.rate() <= 10.0
    # So its canary is watched for longer: enough of its requests have to reach it.
    assert int(world.inputs_for("model-poisoned")["canary_hold"].removesuffix("s")) >= 80


def test_what_staged_names_is_loaded_by_the_canary(world: ModelRange) -> None:
    site = world.site
    body = {"name": world.plan.model, "alias": "staged", "version": "2"}
    httpx.post(f"{site.mlflow_url}/api/2.0/mlflow/registered-models/alias", json=body, trust_env=False)
    world.actors.deploy()
    assert site.served("canary")["version"] == "2" and site.served("replica1")["version"] == "5"
