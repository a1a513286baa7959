"""Evidence before effects: files as Salesforce gave them, rows that exist only live, and what is missing is said."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

from activities.systems.salesforce.peer.logs import log_files
from tests.systems.acme import APP, Acme
from tests.systems.test_salesforce_lists import job


def ago(**span) -> str:
    """An instant before now."""
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


def log(acme: Acme, type_: str, hours: float, user=None, **fields) -> None:
    """An event of some hours ago."""
    acme.org.log_event(type_, user or acme.me, acme.org.now() - timedelta(hours=hours), **fields)


async def test_log_files_are_kept_byte_by_byte_with_their_columns(acme, bench):
    (user,) = acme.users(1)
    log(acme, "Login", 5, user, CLIENT_IP="203.0.113.77")
    log(acme, "BulkApi2", 4, user, JOB_ID="750000000000001", ROWS_PROCESSED=90000)
    log(acme, "BulkApi2", 30 * 24, user)
    result = await bench.apply("salesforce.collect_event_logs", since=ago(hours=24))
    assert result.output == {"count": 2, "complete": True}
    assert not result.warnings
    kept = bench.files()
    listing = [json.loads(line) for line in kept["EventLogFile.jsonl"].splitlines()]
    served = {file.row["Id"]: file for file in log_files(acme.org)}
    assert {row["event_type"] for row in listing} == {"Login", "BulkApi2"}
    for row in listing:
        assert row["sha256"] == hashlib.sha256(served[row["id"]].content).hexdigest()
        assert row["field_names"].startswith("EVENT_TYPE,TIMESTAMP")
        assert row["whole"]
    assert b'"750000000000001"' in b"".join(kept.values()), "15-character ids stay as they are"
    assert len(result.evidence) == 3


async def test_only_the_types_asked_for_are_read_and_missing_ones_are_said(acme, bench):
    log(acme, "Login", 5)
    log(acme, "RestApi", 5)
    result = await bench.apply("salesforce.collect_event_logs", since=ago(hours=24), types=["Login", "UniqueQuery"])
    assert result.output["count"] == 1
    assert result.warnings == ("no file of 1 of the types: UniqueQuery",)


async def test_a_window_ends_where_it_is_told_to(acme, bench):
    log(acme, "Login", 20)
    log(acme, "Login", 5)
    result = await bench.apply("salesforce.collect_event_logs", since=ago(hours=24), until=ago(hours=10))
    assert result.output["count"] == 1


async def test_a_window_older_than_the_logs_is_not_complete(acme, bench):
    result = await bench.apply("salesforce.collect_event_logs", since=ago(days=40))
    assert result.output == {"count": 0, "complete": False}
    assert "30 days" in result.warnings[0]


async def test_a_file_that_vanishes_is_missed_and_the_rest_is_kept(acme, bench):
    log(acme, "Login", 5)
    log(acme, "RestApi", 5)
    acme.fault("status", path="/LogFile", status=404, code="NOT_FOUND")
    result = await bench.apply("salesforce.collect_event_logs", since=ago(hours=24))
    assert result.output == {"count": 1, "complete": False}
    assert "1 of 2" in result.warnings[0]


async def test_an_answer_that_breaks_off_leads_to_another_try(acme, bench):
    log(acme, "Login", 5)
    call = bench.call("salesforce.collect_event_logs", {"since": ago(hours=24)})
    acme.fault("drop", path="/LogFile")
    refused = await bench.refused(call)
    assert (refused.type, refused.non_retryable) == ("Unavailable", False)
    assert (await bench.run(call, attempt=2)).output == {"count": 1, "complete": True}


async def test_the_login_history_is_in_order_whoever_asks(acme, bench):
    users = acme.users(450)
    for number, user in enumerate(reversed(users)):
        session = acme.session(user)
        acme.org.logins[-1]["LoginTime"] = acme.org.now() - timedelta(minutes=number)
        del acme.org.sessions[session.id]
    chosen = [user.id for user in users[:420]]
    result = await bench.apply("salesforce.collect_login_history", since=ago(days=1), users=chosen)
    assert result.output == {"count": 420, "complete": True}
    rows = [json.loads(line) for line in bench.files()["LoginHistory.jsonl"].splitlines()]
    assert [row["LoginTime"] for row in rows] == sorted(row["LoginTime"] for row in rows)
    assert {row["UserId"] for row in rows} == set(chosen)
    everybody = await bench.apply("salesforce.collect_login_history", since=ago(days=1))
    assert everybody.output["count"] >= 450


async def test_a_login_history_of_nobody_is_empty_and_of_an_unknown_name_says_so(acme, bench):
    acme.session(acme.users(1)[0])
    empty = await bench.apply("salesforce.collect_login_history", since=ago(days=1), users=[])
    assert empty.output["count"] == 0
    unknown = await bench.apply("salesforce.collect_login_history", since=ago(days=1), users=["who@acme.example"])
    assert (unknown.output["count"], len(unknown.warnings)) == (0, 1)


async def test_the_setup_audit_trail_is_kept(acme, bench):
    acme.org.block_app(acme.app)
    result = await bench.apply("salesforce.collect_setup_audit", since=ago(hours=1))
    assert result.output == {"count": 1, "complete": True}
    assert b"blockConnectedApplication" in bench.files()["SetupAuditTrail.jsonl"]
    assert (await bench.apply("salesforce.collect_setup_audit", since=ago(hours=-1))).output["count"] == 0


async def test_a_snapshot_of_an_app_holds_tokens_sessions_jobs_logins_and_the_app(acme, bench):
    one, two, stranger = acme.users(3)
    grant, _ = acme.grants([one, two])
    acme.session(one, grant=grant.id)
    acme.session(stranger)
    job(acme, two)
    job(acme, stranger)
    result = await bench.apply("salesforce.snapshot_access", app=APP)
    files = bench.files()
    count = {name: len(content.splitlines()) for name, content in files.items()}
    assert count == {
        "OauthToken.jsonl": 2,
        "AuthSession.jsonl": 1,
        "BulkJob.jsonl": 1,
        "UserLogin.jsonl": 2,
        "ConnectedApplication.jsonl": 1,
    }
    assert result.output == {"count": 7, "complete": True}
    whole = b"".join(files.values())
    assert grant.delete_token.encode() not in whole and acme.org.sessions
    for session in acme.org.sessions.values():
        assert session.token.encode() not in whole


async def test_a_snapshot_of_users_or_of_everything(acme, bench):
    one, two = acme.users(2)
    acme.grants([one, two])
    acme.session(two)
    of_one = await bench.apply("salesforce.snapshot_access", users=[one.username])
    assert [json.loads(line)["user"] for line in bench.files()["OauthToken.jsonl"].splitlines()] == [one.id]
    assert of_one.output["complete"]
    everything = await bench.apply("salesforce.snapshot_access")
    assert everything.output["count"] > of_one.output["count"]


async def test_a_snapshot_without_the_right_to_list_apps_still_counts(acme, bench):
    acme.grants(acme.users(1))
    acme.fault("status", query="FROM ConnectedApplication", status=400, code="INVALID_TYPE")
    result = await bench.apply("salesforce.snapshot_access", app=APP)
    assert result.output["complete"]
    assert "connected apps could not be listed" in " ".join(result.warnings)


async def test_what_may_not_be_read_is_refused_at_once(acme, bench):
    acme.me.permissions -= {"ViewEventLogFiles"}
    refused = await bench.refused(bench.call("salesforce.collect_event_logs", {"since": ago(hours=2)}))
    assert refused.non_retryable
