"""The simulated org is honest: it has the traps of the real one, and does nothing that the real one would not."""

from datetime import timedelta

import httpx
import pytest

from tests.systems.acme import APP, Acme
from tests.systems.test_salesforce_lists import job

API = "/services/data/v65.0"


@pytest.fixture
def http(acme):
    """Plain HTTP to the org."""
    host = {"Host": acme.org.host}
    with httpx.Client(base_url=acme.url, headers=host, trust_env=False, timeout=10) as client:
        yield client


def bearer(session) -> dict[str, str]:
    """The header of a session's token."""
    return {"Authorization": f"Bearer {session.token}"}


def admin(acme: Acme):
    """A session with every permission."""
    return acme.session(acme.me, actor="person")


def rows(http, session, soql: str) -> list[dict]:
    """The first page of a query."""
    answer = http.get(f"{API}/query", params={"q": soql}, headers=bearer(session))
    assert answer.status_code == 200, answer.text
    return answer.json()["records"]


def count(http, session, soql: str) -> int:
    """What COUNT() says."""
    answer = http.get(f"{API}/query", params={"q": soql}, headers=bearer(session))
    assert answer.status_code == 200, answer.text
    return answer.json()["totalSize"]


def refresh(acme: Acme, http, grant):
    """A refresh of a grant's token."""
    form = {
        "grant_type": "refresh_token",
        "refresh_token": grant.refresh_token,
        "client_id": acme.app.consumer_key,
        "client_secret": acme.app.consumer_secret,
    }
    return http.post("/services/oauth2/token", data=form)


def test_freezing_ends_neither_session_nor_token_but_refuses_the_next_sign_in(acme, http, client):
    (user,) = acme.users(1)
    (grant,) = acme.grants([user])
    session = acme.session(user, kind="Oauth2", app=acme.app.id, grant=grant.id)
    client.set_frozen({user.login_id: True})
    assert count(http, session, "SELECT COUNT() FROM Account") == 0
    assert grant.id in acme.org.grants
    refused = refresh(acme, http, grant)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_frozen_is_a_field_of_the_login_not_of_the_user(acme, http):
    (user,) = acme.users(1)
    answer = http.patch(f"{API}/sobjects/User/{user.id}", json={"IsFrozen": True}, headers=bearer(admin(acme)))
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_FIELD")
    assert not user.frozen


def test_deactivating_does_end_the_users_requests(acme, http):
    (user,) = acme.users(1)
    session = acme.session(user)
    boss = admin(acme)
    assert (
        http.patch(f"{API}/sobjects/User/{user.id}", json={"IsActive": False}, headers=bearer(boss)).status_code == 204
    )
    assert http.get(f"{API}/limits", headers=bearer(session)).status_code == 401


@pytest.mark.parametrize("kind", ["delete_token", "refresh_token"])
def test_revoking_a_grant_ends_its_sessions_and_their_children(acme, http, kind):
    one, two = acme.users(2)
    grant, other = acme.grants([one, two])
    session = acme.session(one, kind="Oauth2", app=acme.app.id, grant=grant.id)
    child = acme.session(one, kind="Content", parent=session.id)
    browser = acme.session(one)
    boss = admin(acme)
    answer = http.post("/services/oauth2/revoke", data={"token": getattr(grant, kind)}, headers=bearer(boss))
    assert (answer.status_code, answer.content) == (200, b"")
    assert set(acme.org.sessions) == {browser.id, boss.id}
    assert list(acme.org.grants) == [other.id]
    assert http.get(f"{API}/limits", headers=bearer(session)).status_code == 401
    assert acme.record.changes[-1].caused == (session.id, child.id)
    again = http.post("/services/oauth2/revoke", data={"token": getattr(grant, kind)})
    assert (again.status_code, again.json()["error"]) == (400, "invalid_token")
    assert refresh(acme, http, grant).json()["error"] == "invalid_grant"


def test_revoking_an_access_token_ends_only_itself(acme, http):
    (user,) = acme.users(1)
    (grant,) = acme.grants([user])
    one = acme.session(user, kind="Oauth2", app=acme.app.id, grant=grant.id)
    two = acme.session(user, kind="Oauth2", app=acme.app.id, grant=grant.id)
    assert http.post("/services/oauth2/revoke", data={"token": one.token}).status_code == 200
    assert list(acme.org.sessions) == [two.id]
    assert refresh(acme, http, grant).status_code == 200


def test_a_token_in_the_url_revokes_nothing(acme, http):
    (grant,) = acme.grants(acme.users(1))
    answer = http.post("/services/oauth2/revoke", params={"token": grant.delete_token})
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_token_type")
    assert grant.id in acme.org.grants


def test_a_deleted_session_takes_its_children_and_they_are_not_found(acme, http):
    (user,) = acme.users(1)
    parent = acme.session(user)
    child = acme.session(user, kind="Aura", parent=parent.id)
    boss = bearer(admin(acme))
    assert http.delete(f"{API}/sobjects/AuthSession/{parent.id}", headers=boss).status_code == 204
    gone = http.delete(f"{API}/sobjects/AuthSession/{child.id}", headers=boss)
    assert gone.status_code == 404
    many = http.delete(f"{API}/composite/sobjects", params={"ids": child.id}, headers=boss)
    assert many.status_code == 200
    assert many.json() == [
        {
            "success": False,
            "errors": [{"statusCode": "ENTITY_IS_DELETED", "message": "entity is deleted", "fields": []}],
        }
    ]
    assert acme.record.changes[-1].caused == (child.id,)


def test_ones_own_session_is_current_and_can_be_deleted_by_a_fool(acme, http):
    mine, other = admin(acme), acme.session(acme.me, actor="person")
    seen = {row["Id"]: row["IsCurrent"] for row in rows(http, mine, "SELECT Id, IsCurrent FROM AuthSession")}
    assert seen == {mine.id: True, other.id: False}
    http.delete(f"{API}/sobjects/AuthSession/{mine.id}", headers=bearer(mine))
    assert http.get(f"{API}/limits", headers=bearer(mine)).status_code == 401


@pytest.mark.parametrize(
    ("kind", "state", "allowed"),
    [
        ("query", "UploadComplete", True),
        ("query", "InProgress", True),
        ("query", "JobComplete", False),
        ("query", "Failed", False),
        ("query", "Aborted", False),
        ("ingest", "Open", True),
        ("ingest", "JobComplete", False),
    ],
)
def test_a_job_can_be_aborted_in_some_states_only(acme, http, kind, state, allowed):
    (user,) = acme.users(1)
    work = job(acme, user, state, kind=kind)
    answer = http.patch(f"{API}/jobs/{kind}/{work.id}", json={"state": "Aborted"}, headers=bearer(admin(acme)))
    assert answer.status_code == (200 if allowed else 400)
    assert work.state == ("Aborted" if allowed else state)
    if not allowed:
        assert answer.json()[0]["errorCode"] == "INVALIDJOBSTATE"


def test_a_job_is_its_owners_or_the_data_managers(acme, http):
    owner, stranger = acme.users(2)
    work = job(acme, owner)
    path = f"{API}/jobs/query/{work.id}"
    assert http.patch(path, json={"state": "Aborted"}, headers=bearer(acme.session(stranger))).status_code == 403
    assert http.get(path, headers=bearer(acme.session(stranger))).status_code == 403
    listed = http.get(f"{API}/jobs/query", headers=bearer(acme.session(stranger))).json()
    assert listed["records"] == []
    assert http.patch(path, json={"state": "Aborted"}, headers=bearer(acme.session(owner))).status_code == 200


def test_a_deleted_job_leaves_the_list_and_stays_in_the_log(acme, http, client):
    (user,) = acme.users(1)
    session = acme.session(user)
    made = http.post(
        f"{API}/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Case"}, headers=bearer(session)
    )
    work = acme.org.jobs[made.json()["id"]]
    path = f"{API}/jobs/query/{work.id}"
    assert http.delete(path, headers=bearer(session)).status_code == 400, "not while it runs"
    work.state = "JobComplete"
    assert http.get(f"{path}/results", headers=bearer(session)).status_code == 200
    assert http.delete(path, headers=bearer(session)).status_code == 204
    assert http.get(path, headers=bearer(session)).status_code == 404
    assert client.jobs() == []
    soql = "SELECT JobIdentifier, JobStatus FROM BulkApi2EventLog"
    seen = rows(http, admin(acme), soql)
    assert [row["JobStatus"] for row in seen] == ["UploadComplete", "Deleted"]
    assert {row["JobIdentifier"] for row in seen} == {work.id[:15]}, "logs hold the 15-character form"


def test_what_happens_now_is_in_no_log_file_yet(acme, client):
    now = acme.org.now()
    acme.org.log_event("RestApi", acme.me, now)
    acme.org.log_event("RestApi", acme.me, now - timedelta(hours=3))
    files = client.log_files(now - timedelta(days=1), now, ["RestApi"])
    assert len(files) == 1
    assert client.log_content(files[0]).count(b"\n") == 2
    assert files[0].length == len(client.log_content(files[0]))


def test_a_blocked_app_loses_its_sessions_and_gets_no_new_ones(acme, http):
    (user,) = acme.users(1)
    (grant,) = acme.grants([user])
    session = acme.session(user, kind="Oauth2", app=acme.app.id, grant=grant.id)
    assert acme.org.block_app(acme.app) == [session.id]
    assert refresh(acme, http, grant).json()["error"] == "invalid_client"
    assert acme.record.effects() == [] and acme.record.effects("person")[0]["kind"] == "app.blocked"


def test_a_session_ends_by_its_age(acme, http):
    session = acme.session(acme.users(1)[0], seconds_valid=1)
    assert http.get(f"{API}/limits", headers=bearer(session)).status_code == 200
    session.used = acme.org.now() - timedelta(seconds=2)
    refused = http.get(f"{API}/limits", headers=bearer(session))
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")


def test_pages_and_cursors(acme, http):
    acme.users(450)
    boss = bearer(admin(acme)) | {"Sforce-Query-Options": "batchSize=200"}
    page = http.get(f"{API}/query", params={"q": "SELECT Id FROM User ORDER BY Id"}, headers=boss).json()
    seen, sizes = [], []
    while True:
        seen += [row["Id"] for row in page["records"]]
        sizes.append(len(page["records"]))
        assert page["totalSize"] == 451
        if page["done"]:
            break
        page = http.get(page["nextRecordsUrl"], headers=boss).json()
    assert sizes == [200, 200, 51]
    assert seen == sorted(seen, key=str.lower) and len(set(seen)) == 451
    assert http.get(f"{API}/query/01gnonsense-200", headers=boss).status_code == 400


def test_tokens_are_capped_at_500_a_page_and_2500_a_query(acme, http):
    acme.grants(acme.users(26), each=100)
    boss = admin(acme)
    assert count(http, boss, "SELECT COUNT() FROM OauthToken") == 2600
    answer = http.get(
        f"{API}/query", params={"q": "SELECT DeleteToken, Id FROM OauthToken"}, headers=bearer(boss)
    ).json()
    assert (answer["totalSize"], len(answer["records"])) == (2500, 500)
    assert {row["Id"] for row in answer["records"]} == {None}
    assert http.get(f"{API}/sobjects/OauthToken/000000000000000", headers=bearer(boss)).status_code == 404


def test_a_collections_request_holds_at_most_200_and_answers_200_where_rows_fail(acme, http):
    users = acme.users(3)
    acme.org.locked[users[1].login_id] = 1
    boss = bearer(admin(acme))
    records = [{"attributes": {"type": "UserLogin"}, "id": user.login_id, "IsFrozen": True} for user in users]
    records.append({"attributes": {"type": "UserLogin"}, "id": "0Yw000000000001AAA", "IsFrozen": True})
    answer = http.patch(f"{API}/composite/sobjects", json={"records": records}, headers=boss)
    assert answer.status_code == 200
    assert [row["success"] for row in answer.json()] == [True, False, True, False]
    assert answer.json()[1]["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"
    many = http.patch(f"{API}/composite/sobjects", json={"records": records * 51}, headers=boss)
    assert (many.status_code, many.json()[0]["errorCode"]) == (400, "EXCEEDED_MAX_SIZE_REQUEST")
    ids = ",".join(["0Ak000000000001AAA"] * 201)
    assert http.delete(f"{API}/composite/sobjects", params={"ids": ids}, headers=boss).status_code == 400


@pytest.mark.parametrize(
    ("permission", "soql"),
    [
        ("ManageUsers", "SELECT Id FROM LoginHistory"),
        ("ViewSetup", "SELECT Id FROM SetupAuditTrail"),
        ("ViewEventLogFiles", "SELECT Id FROM EventLogFile"),
    ],
)
def test_objects_need_their_permission(acme, http, permission, soql):
    boss = admin(acme)
    assert rows(http, boss, soql) is not None
    acme.me.permissions -= {permission}
    refused = http.get(f"{API}/query", params={"q": soql}, headers=bearer(boss))
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "INVALID_TYPE")


def test_without_rights_one_sees_and_ends_only_ones_own(acme, http, client):
    one, two = acme.users(2)
    acme.grants([one, two])
    mine, theirs = acme.session(one), acme.session(two)
    for soql, own in (
        ("SELECT UserId FROM OauthToken", "UserId"),
        ("SELECT UsersId FROM AuthSession", "UsersId"),
        ("SELECT UserId FROM UserLogin", "UserId"),
    ):
        assert {row[own] for row in rows(http, mine, soql)} == {one.id}
    assert http.delete(f"{API}/sobjects/AuthSession/{theirs.id}", headers=bearer(mine)).status_code == 403
    record = {"attributes": {"type": "UserLogin"}, "id": two.login_id, "IsFrozen": True}
    answer = http.patch(f"{API}/composite/sobjects", json={"records": [record]}, headers=bearer(mine)).json()
    assert answer[0]["errors"][0]["statusCode"] == "INSUFFICIENT_ACCESS_OR_READONLY"
    one.permissions = frozenset()
    refused = http.get(f"{API}/limits", headers=bearer(mine))
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (403, "API_DISABLED_FOR_ORG")


def test_every_rest_request_counts_against_the_limit_and_says_so(acme, http):
    boss = bearer(admin(acme))
    used = acme.org.api_used
    answer = http.get(f"{API}/limits", headers=boss)
    assert answer.headers["Sforce-Limit-Info"] == f"api-usage={used + 1}/100000"
    acme.org.api_limit = used + 1
    refused = http.get(f"{API}/limits", headers=boss)
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")


def test_both_lengths_of_an_id_are_the_same_record(acme, http):
    (user,) = acme.users(1)
    for id_ in (user.id, user.id[:15]):
        assert http.get(f"{API}/sobjects/User/{id_}", headers=bearer(admin(acme))).json()["Id"] == user.id


def test_the_password_and_soap_doors_are_shut(acme, http):
    form = {"grant_type": "password", "username": "a", "password": "b", "client_id": acme.app.consumer_key}
    assert http.post("/services/oauth2/token", data=form).json()["error"] == "invalid_grant"
    assert http.post("/services/Soap/u/65.0", content=b"<login/>").status_code == 500
    assert http.post("/services/oauth2/token", data={"grant_type": "magic"}).json()["error"] == "unsupported_grant_type"


def test_unknown_paths_methods_and_bodies_are_refused(acme, http):
    boss = bearer(admin(acme))
    assert http.get(f"{API}/nothing/here", headers=boss).status_code == 404
    assert http.delete(f"{API}/limits", headers=boss).status_code == 405
    answer = http.patch(f"{API}/composite/sobjects", content=b"{", headers=boss)
    assert answer.json()[0]["errorCode"] == "JSON_PARSER_ERROR"
    assert http.get(f"{API}/limits", headers={"Authorization": "Bearer nonsense"}).status_code == 401
    (user,) = acme.users(1)
    assert http.delete(f"{API}/sobjects/User/{user.id}", headers=boss).status_code == 400


def test_nothing_that_is_shown_holds_a_secret(acme, http):
    (user,) = acme.users(1)
    (grant,) = acme.grants([user])
    session = acme.session(user, grant=grant.id, app=acme.app.id)
    seen = str(acme.org.view()) + repr(acme.record.effects()) + repr(acme.record.requests())
    for secret in (grant.refresh_token, grant.delete_token, session.token, acme.app.consumer_secret):
        assert secret not in seen
    assert APP in seen
