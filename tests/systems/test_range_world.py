"""The company of a seed: whole and consistent for every seed, the same for the same one, another for another."""

import json
import re
from datetime import UTC, datetime

import pytest

from activities.systems.salesforce.models import record_id
from worker.alerts.intake import Intake
from worker.range_record import Record
from worker.range_story import alert_of
from worker.range_world import World, make_world

SEEDS = range(41)


@pytest.fixture(scope="module")
def worlds() -> dict[int, World]:
    """The companies of all seeds."""
    return {seed: make_world(seed, Record()) for seed in SEEDS}


def ids(world: World) -> list[str]:
    """Every id in it."""
    org = world.org
    tables = (org.users, org.apps, org.grants, org.sessions, org.jobs)
    found = [id_ for table in tables for id_ in table]
    found += [user.login_id for user in org.users.values()]
    found += [row["Id"] for rows in (org.logins, org.audit, *org.rows.values()) for row in rows]
    return [org.id, *found]


def names(world: World) -> tuple:
    """What a person would tell it by."""
    return (world.org.host, world.stolen.name, *(user.username for user in world.victims))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_company_is_whole(worlds, seed):
    world = worlds[seed]
    org = world.org
    every = ids(world)
    assert [record_id(id_) for id_ in every] == every, "with their checksums"
    assert len(set(every)) == len(every)
    assert 3 <= len(world.victims) <= 5
    assert {grant.user for grant in world.stolen_grants} == {user.id for user in world.victims}
    assert {grant.app for grant in world.stolen_grants} == {world.stolen.id}
    assert world.attacker_sessions and world.running_jobs
    assert any(session.grant is None for session in world.attacker_sessions), "some outlive their token"
    assert any(session.parent for session in world.attacker_sessions)
    assert {job.state for job in world.running_jobs} <= {"InProgress", "UploadComplete"}
    assert world.late_job.state == "JobComplete"
    assert world.deleted_job not in org.jobs
    logged = [event.fields.get("JOB_ID") for event in org.events]
    assert world.deleted_job[:15] in logged, "deleted from the list, not from the log"
    assert world.innocent.id != world.stolen.id
    assert world.innocent_user not in world.victims
    assert not {user.id for user in world.bystanders} & {user.id for user in world.victims}
    assert len({user.username for user in org.users.values()}) == len(org.users)
    assert re.fullmatch(r"[a-z]+-\d{3}\.my\.salesforce\.com", org.host)


def test_names_and_ids_differ_between_seeds(worlds):
    assert len({names(world) for world in worlds.values()}) == len(worlds)
    assert len({world.org.id for world in worlds.values()}) == len(worlds)
    seen: set[str] = set()
    for world in worlds.values():
        mine = set(ids(world))
        assert not mine & seen
        seen |= mine


def test_a_seed_makes_the_same_company_again(worlds):
    again = make_world(7, Record())
    assert ids(again) == ids(worlds[7])
    assert names(again) == names(worlds[7])
    assert [grant.delete_token for grant in again.stolen_grants] == [
        grant.delete_token for grant in worlds[7].stolen_grants
    ]
    assert again.stanch_key != worlds[7].stanch_key, "keys are never made from a seed"


@pytest.mark.parametrize("seed", SEEDS)
def test_its_alert_names_the_stolen_app_and_its_user(worlds, seed):
    world = worlds[seed]
    alert = alert_of(world)
    assert alert["EVENT_TYPE"] == "ApiTotalUsage"
    assert alert["CONNECTED_APP_NAME"] == world.stolen.name
    assert alert["USER_ID_DERIVED"] == world.victims[0].id
    assert alert["USER_ID"] == world.victims[0].id[:15]
    assert alert["API_TOTAL_COUNT"] > 10000
    read = Intake.of({}, (), lambda _: "").check(json.dumps(alert).encode(), "file", world.org.now()).check()
    assert (read["kind"], read["action"], read["severity"] >= 4) == ("crm.oauth_token_theft", "open", True)
    assert read["route"]["playbook"] == "crm-oauth-token-theft"
    assert read["route"]["inputs"]["app"] == world.stolen.name
    at = datetime.fromisoformat(alert["TIMESTAMP"]).replace(tzinfo=UTC)
    assert 0 < (world.org.started - at).total_seconds() < 3600
    for secret in (world.stolen.consumer_secret, *(session.token for session in world.attacker_sessions)):
        assert secret not in str(alert)
