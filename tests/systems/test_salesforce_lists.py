"""Lists and counts: the outputs that playbooks read, whose things are left out, and what an empty set means."""

from datetime import timedelta

import pytest

from activities.systems.salesforce.grants import CAP
from activities.systems.salesforce.peer.state import Job
from tests.systems.acme import APP, Acme


def job(acme: Acme, user, state: str = "InProgress", kind: str = "query", **more) -> Job:
    """A bulk job of a user."""
    found = Job(
        acme.org.mint("750"), kind, "query", "Case", user.id, state, more.pop("created", acme.org.now()), **more
    )
    acme.org.jobs[found.id] = found
    return found


async def test_tokens_are_listed_by_reference_with_the_users_who_gave_them(acme, bench):
    one, two = acme.users(2)
    acme.grants([one], each=2)
    acme.grants([two])
    acme.grants(acme.users(1, "other"), app=acme.org.add_app("Another"))
    result = await bench.apply("salesforce.list_oauth_tokens", app=APP)
    assert set(result.output) == {"targets", "users", "count"}
    assert result.output["count"] == result.output["targets"]["count"] == 3
    rows = bench.rows(result.output["targets"])
    assert {row["user"] for row in rows} == {one.id, two.id}
    assert all(set(row) >= {"app", "user", "created", "fp"} for row in rows)
    users = bench.rows(result.output["users"])
    assert {(row["id"], row["label"]) for row in users} == {(one.id, one.username), (two.id, two.username)}
    assert not result.warnings
    for grant in acme.org.grants.values():
        assert grant.delete_token not in bench.journal() + result.model_dump_json()


async def test_tokens_of_a_user_are_found_by_id_and_by_name(acme, bench):
    one, two = acme.users(2)
    acme.grants([one, two])
    for user in (one.id, one.id[:15], one.username, one.username.upper()):
        result = await bench.apply("salesforce.list_oauth_tokens", user=user)
        assert [row["user"] for row in bench.rows(result.output["targets"])] == [one.id]
        counted = await bench.apply("salesforce.count_oauth_tokens", user=user, app=APP)
        assert counted.output == {"count": 1}


async def test_an_empty_user_never_means_everybody(acme, bench):
    acme.grants(acme.users(2))
    for name in ("salesforce.list_oauth_tokens", "salesforce.count_oauth_tokens"):
        refused = await bench.refused(bench.call(name, {"user": ""}))
        assert (refused.type, refused.non_retryable) == ("InvalidParams", True)


async def test_a_user_name_that_is_not_there_is_said(acme, bench):
    acme.grants(acme.users(2))
    listed = await bench.apply("salesforce.list_oauth_tokens", user="nobody@acme.example")
    assert listed.output["count"] == 0
    assert listed.warnings == ("1 user name that was given is not in this org",)
    counted = await bench.apply("salesforce.count_oauth_tokens", user="nobody@acme.example")
    assert (counted.output, len(counted.warnings)) == ({"count": 0}, 1)


async def test_stanchs_own_tokens_are_left_out_of_lists_and_counted(acme, bench):
    acme.grants(acme.users(2))
    acme.grants([acme.me], app=acme.integration)
    acme.grants([acme.me])
    listed = await bench.apply("salesforce.list_oauth_tokens")
    assert listed.output["count"] == 2
    assert acme.me.id not in [row["id"] for row in bench.rows(listed.output["users"])]
    assert listed.warnings == ("2 of Stanch's own tokens are left out",)
    assert (await bench.apply("salesforce.count_oauth_tokens")).output == {"count": 4}


async def test_a_list_that_salesforce_cuts_off_says_so(acme, bench):
    acme.grants(acme.users(1), each=CAP + 1)
    listed = await bench.apply("salesforce.list_oauth_tokens", app=APP)
    assert listed.output["targets"]["complete"] is False
    assert "2,500" in listed.warnings[0]


async def test_sessions_of_users_are_listed_without_our_own(acme, bench):
    one, two, three = acme.users(3)
    parent = acme.session(one)
    child = acme.session(one, kind="Aura", parent=parent.id)
    acme.session(two)
    acme.session(three)
    bench.client.own_user()
    users = [one.id, two.username, acme.me.id]
    result = await bench.apply("salesforce.list_sessions", users=users)
    assert set(result.output) == {"targets", "users", "count"}
    assert result.output["count"] == 3
    rows = {row["id"]: row for row in bench.rows(result.output["targets"])}
    assert rows[child.id]["parent"] == parent.id and rows[parent.id]["parent"] is None
    assert {row["id"] for row in bench.rows(result.output["users"])} == {one.id, two.id}
    assert result.warnings == ("1 of Stanch's own sessions are left out",)


async def test_no_users_means_nobodys_things(acme, bench):
    (user,) = acme.users(1)
    acme.session(user)
    job(acme, user)
    nobody = (await bench.apply("salesforce.list_oauth_tokens", app="none of this name")).output["users"]
    assert nobody["count"] == 0
    for name in ("salesforce.list_sessions", "salesforce.list_bulk_jobs"):
        for users in (nobody, []):
            result = await bench.apply(name, users=users)
            assert (result.output["count"], result.output["targets"]["count"]) == (0, 0)


async def test_jobs_are_chosen_by_users_states_and_age(acme, bench):
    one, two = acme.users(2)
    now = acme.org.now()
    running = job(acme, one)
    done = job(acme, one, "JobComplete")
    old = job(acme, one, created=now - timedelta(days=3))
    other = job(acme, two, "UploadComplete", kind="ingest")

    async def ids(**params) -> set[str]:
        result = await bench.apply("salesforce.list_bulk_jobs", **params)
        rows = bench.rows(result.output["targets"])
        assert result.output["count"] == len(rows)
        assert {row["id"] for row in bench.rows(result.output["users"])} == {row["user"] for row in rows}
        return {row["id"] for row in rows}

    everything = {running.id, done.id, old.id, other.id}
    assert await ids() == everything
    assert await ids(users=[one.id]) == everything - {other.id}
    assert await ids(states=["InProgress", "UploadComplete"]) == everything - {done.id}
    assert await ids(since=(now - timedelta(days=1)).isoformat()) == everything - {old.id}
    assert await ids(users=[two.username], states=["InProgress"]) == set()


async def test_a_deleted_job_is_in_no_list(acme, bench):
    (user,) = acme.users(1)
    gone = job(acme, user, "JobComplete")
    del acme.org.jobs[gone.id]
    assert (await bench.apply("salesforce.list_bulk_jobs")).output["count"] == 0


async def test_many_jobs_are_read_over_all_pages(acme, bench):
    (user,) = acme.users(1)
    for _ in range(230):
        job(acme, user)
    for _ in range(120):
        job(acme, user, kind="ingest")
    assert (await bench.apply("salesforce.list_bulk_jobs")).output["count"] == 350


async def test_long_user_names_are_asked_in_lists_that_fit_a_url(acme, bench):
    host = "a" * 50 + ".example"
    users = [acme.org.add_user(f"somebody.with-a-long+name-{n}@{host}", f"n{n}") for n in range(450)]
    acme.session(users[0])
    acme.session(users[449])
    result = await bench.apply("salesforce.list_sessions", users=[user.username for user in users])
    assert result.output["count"] == 2
    assert not [asked for asked in acme.asked() if asked["status"] == 414]


@pytest.mark.parametrize("users", [["https://evil.example/"], ["../../query"], ["0Ak000000000001AAA"]])
async def test_values_that_are_neither_id_nor_name_are_refused(acme, bench, users):
    refused = await bench.refused(bench.call("salesforce.list_sessions", {"users": users}))
    assert (refused.type, refused.non_retryable) == ("InvalidParams", True)


async def test_more_than_500_literals_are_refused(acme, bench):
    users = [user.id for user in acme.users(501)]
    refused = await bench.refused(bench.call("salesforce.list_sessions", {"users": users}))
    assert refused.type == "InvalidParams"
    assert "target set" in refused.message
