"""``stanch playbook plan``: what a run would do, read from a live org over sockets, by a client that can only read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from activities.errors import Rejected
from activities.systems.salesforce.adapter import ReadingSession, WriteRefused
from activities.systems.salesforce.client import Salesforce, connect_reading
from activities.systems.salesforce.config import SalesforceConfig
from activities.systems.salesforce.models import Grant, Job
from playbooks.contract import StandingApproval
from tests.books import whole
from tests.systems.acme import APP, Acme
from worker.cli.main import execute
from worker.secrets import Secrets
from worker.store import Store

BY = "by: {roles: [crm_owner]}, within: 1h, on_timeout: [deny]"
LIST = "- {id: tokens, action: salesforce.list_oauth_tokens, with: {app: '{{ inputs.app }}'}}\n"
APP_INPUT = "app: {type: string}"


@pytest.fixture
def home(acme: Acme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home whose settings name the org."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STANCH_CONFIG", raising=False)
    monkeypatch.delenv("STANCH_HOME", raising=False)
    monkeypatch.setenv("KEY", acme.private)
    settle(acme)
    return tmp_path


def settle(acme: Acme, text: str = "", **changes: Any) -> None:
    """Write the settings."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in acme.settings(**changes).items()]
    Path("stanch.toml").write_text("\n".join(['mode = "exercise"', text, "[systems.salesforce]", *lines]) + "\n")


def planned(capsys: pytest.CaptureFixture[str], book: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and document of the plan of a playbook."""
    Path("book.yaml").write_text(book)
    code = execute(["playbook", "plan", "book.yaml", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def by_path(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The steps of a plan by path."""
    return {step["path"]: step for step in document["steps"]}


def only_reads(acme: Acme) -> bool:
    """Whether the org was asked for nothing but data and a token, and nothing of it changed."""
    asked = {(request["method"], request["path"].split("?")[0]) for request in acme.asked()}
    reads = all(method == "GET" or (method, path) == ("POST", "/services/oauth2/token") for method, path in asked)
    return bool(asked) and reads and acme.record.effects() == []


# --- the client that can only read ----------------------------------------------------------------


@pytest.fixture
def reading(acme: Acme) -> Iterator[Salesforce]:
    """A client that can only read."""
    client = connect_reading(acme.settings(), Secrets({"KEY": acme.private}, Path()))
    yield client
    client.close()


NO_READS = [
    ("POST", "/services/data/v65.0/sobjects/User"),
    ("PATCH", "/services/data/v65.0/composite/sobjects"),
    ("DELETE", "/services/data/v65.0/composite/sobjects?ids=0Ak"),
    ("PUT", "/services/data/v65.0/jobs/ingest/750/batches"),
    ("HEAD", "/services/data/v65.0/query"),
    ("POST", "/services/data/v65.0/query?_HttpMethod=GET"),
    ("POST", "/services/oauth2/revoke"),
    ("GET", "/services/oauth2/revoke?token=x"),
    ("GET", "/services/data/../oauth2/revoke?token=x"),
    ("GET", "/services/data/%2e%2e/oauth2/revoke?token=x"),
    ("GET", "/secur/logout.jsp"),
    ("GET", "/services/oauth2/token"),
    ("POST", "/services/oauth2/token/"),
]


def test_what_is_no_read_never_leaves_the_process(acme: Acme) -> None:
    config = SalesforceConfig.model_validate(acme.settings())
    with ReadingSession(config) as session:
        for method, path in NO_READS:
            request = session.prepare_request(requests.Request(method, config.instance_url))
            request.url = f"{config.instance_url}{path}"
            with pytest.raises(WriteRefused):
                session.send(request)
    assert acme.asked() == []


def test_every_change_that_the_client_knows_is_refused(acme: Acme, reading: Salesforce) -> None:
    (user,) = acme.users(1)
    (grant,) = acme.grants([user])
    session = acme.session(user)
    assert [found.id for found in reading.sessions(users=[user.id])] == [session.id]
    found, _ = reading.grants(APP)
    job = Job("750000000000001", "query", "InProgress", "query", "Contact", user.id, "2026-01-01T00:00:00Z")
    attempts = [
        lambda: reading.revoke(found[0]),
        lambda: reading.end_sessions([session.id]),
        lambda: reading.set_frozen({"0Yw000000000001": True}),
        lambda: reading.abort_job(job),
    ]
    for attempt in attempts[:3]:
        with pytest.raises(Rejected, match=r"only reads are allowed here.*Nothing was sent"):
            attempt()
    assert attempts[3]() is False
    assert isinstance(found[0], Grant) and grant.id
    assert only_reads(acme)


def test_a_credential_of_its_own(acme: Acme, home: Path, capsys) -> None:
    viewer = acme.org.add_user("viewer@acme.example", "Viewer", permissions=acme.me.permissions)
    acme.integration.preauthorised.add(viewer.id)
    (user,) = acme.users(1)
    acme.session(user)
    acme.session(acme.me)
    settle(acme, reading={})
    text = Path("stanch.toml").read_text().replace("reading = {}\n", "")
    Path("stanch.toml").write_text(text + f'[systems.salesforce.reading]\nusername = "{viewer.username}"\n')
    book = whole(
        f"- {{id: all, action: salesforce.list_sessions, with: {{users: [{user.id}, {acme.me.id}]}}}}\n"
        f"- {{id: go, approve: [end], {BY}}}\n"
        "- {id: save, action: salesforce.snapshot_access}\n"
        "- {id: end, action: salesforce.end_sessions, with: {targets: '{{ steps.all.targets }}'}}"
    )
    code, document = planned(capsys, book)
    assert code == 0, document["problems"]
    assert by_path(document)["end"]["preview"]["count"] == 1, "Stanch's own sessions stay its own"
    assert acme.sign_ins() == 1 and only_reads(acme)


# --- the plan -------------------------------------------------------------------------------------


def test_the_plan_of_the_shipped_playbook_is_read_from_the_org(acme: Acme, home: Path, capsys) -> None:
    users = acme.users(3)
    acme.grants(users, each=2)
    for user in users:
        acme.session(user)
    before = sorted(home.rglob("*"))
    code = execute(["playbook", "plan", "crm-oauth-token-theft", "-i", f"app={APP}", "--severity", "5", "--json"])
    document = json.loads(capsys.readouterr().out)
    steps = by_path(document)
    assert (code, document["ok"], document["offline"], document["severity"]) == (0, True, False, 5)
    assert steps["tokens"]["output"]["count"] == 6
    assert [steps[name]["preview"]["count"] for name in ("revoke", "end", "freeze")] == [6, 3, 3]
    assert steps["revoke"]["reversible"] is False and "cannot be restored" in steps["revoke"]["irreversible_because"]
    assert steps["freeze"]["reversible"] is True
    assert steps["freeze"]["approval"]["rule"] == "contain: reversible at severity 5, free"
    assert steps["abort"]["approval"]["needs"] == [], "pre-authorised: the org itself listed the jobs"
    assert steps["go"]["approval"]["covers"] == ["revoke", "end", "freeze"]
    assert [(need["count"], need["roles"]) for need in steps["go"]["approval"]["needs"]] == [(2, ["crm_owner"])]
    assert steps["block"]["status"] == "depends"
    assert steps["block"]["because"] == ["steps.go.approved (what people decide)"]
    assert only_reads(acme)
    assert sorted(home.rglob("*")) == before, "nothing is kept"


def test_people_are_shown_every_step_what_it_does_and_who_must_approve(acme: Acme, home: Path, capsys) -> None:
    acme.grants(acme.users(2))
    settle(acme, '[[policy.demands]]\nname = "Sessions go to legal"\nactions = ["salesforce.end_*"]\ncount = 1\n'
                 'roles = ["legal"]')  # fmt: skip
    assert execute(["playbook", "plan", "crm-oauth-token-theft", "-i", f"app={APP}"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in (
        "▸ revoke salesforce.revoke_oauth_tokens_of_app",
        "complete: yes",
        "now: 0 bulk jobs of 0 users targets: none users: none",
        "2 would change: user0@acme.example",
        "CANNOT be undone: a revoked token cannot be restored",
        "approves: 2 of crm_owner, 1 of legal because of: the playbook; contain: 1 of crm_owner; Sessions go to legal: 1",
        "approved at go; policy: contain: 1 of crm_owner; Sessions go to legal: 1 of legal",
        "? block human Block the app in Setup depends on: steps.go.approved (what people decide)",
    ):
        assert part in shown


def test_loops_conditions_and_both_ways_of_what_is_open(acme: Acme, home: Path, capsys) -> None:
    acme.grants(acme.users(2))
    book = whole(
        LIST + f"- {{id: go, approve: [cut], {BY}}}\n"
        "- {id: cut, action: salesforce.freeze_users, with: {targets: '{{ steps.tokens.users }}'}}\n"
        "- id: each\n  for_each: ['{{ steps.tokens.count }}', x]\n  do: [{id: said, note: 'it is {{ item }}'}]\n"
        "- {id: ask, ask: Sure?, by: {roles: [legal]}, form: {sure: {type: string}}, within: 1h,\n"
        "   on_timeout: [{default: {sure: x}}]}\n"
        "- if: steps.tokens.count > 100\n  then: [{id: many, note: many}]\n  else: [{id: few, note: few}]\n"
        "- if: steps.ask.sure == 'x'\n  then: [{id: yes_, note: y}]\n  else: [{id: no_, note: n}]\n"
        "- {id: late, note: x, when: steps.few.meta.status == 'skipped'}\n"
        "- {id: theirs, action: salesforce.list_sessions, with: {users: ['{{ steps.ask.sure }}']}}\n"
        "- {id: more, for_each: ['{{ steps.theirs.count }}'], note: '{{ item }}'}\n"
        "- {id: halt, require: steps.tokens.count > 100, message: Too few.}\n"
        "- {id: after, note: x}",
        inputs=APP_INPUT,
        always="- {id: end, note: '{{ steps.tokens.meta.status }}'}",
    )
    code, document = planned(capsys, book, "-i", f"app={APP}")
    steps = by_path(document)
    assert code == 0, document["problems"]
    assert [steps[f"said[{n}]"]["text"] for n in (0, 1)] == ["it is 2", "it is x"]
    status = {step["id"]: step["status"] for step in document["steps"]}
    assert (status["many"], status["few"]) == ("skipped", "runs")
    assert (status["yes_"], status["no_"]) == ("depends", "depends")
    assert status["late"] == "skipped"
    assert steps["theirs"]["unknown"] == {"users": ["steps.ask.sure (what people answer)"]}
    assert steps["theirs"]["output"] is None
    assert steps["more[0]"]["because"] == ["steps.theirs.count (it needs steps.ask.sure)"]
    assert steps["cut"]["preview"]["count"] == 2
    assert (status["halt"], status["after"], steps["end"]["status"]) == ("runs", "skipped", "runs")
    assert steps["after"]["because"] == ["the run has ended at halt"]
    assert only_reads(acme)


def test_thresholds_count_what_is_there_and_people_are_compared(acme: Acme, home: Path, capsys) -> None:
    acme.grants(acme.users(3))
    settle(acme, '[[policy.demands]]\nname = "Over two"\naffected_over = 2\ncount = 3')
    store = Store(f"sqlite:///{home / '.stanch' / 'stanch.db'}", home / ".stanch")
    store.people.add("ann", ["crm_owner"])
    store.people.add("bob", ["crm_owner", "legal"])
    until = {"given_at": "2026-01-01T00:00:00.000000Z", "until": "2999-01-01T00:00:00.000000Z"}
    for most in (2, 3):
        given = StandingApproval(
            person="ann", roles=("crm_owner",), action="salesforce.freeze_users", max_affected=most, **until
        )
        store.standing.give(given, "nights")
    store.close()
    book = whole(
        LIST + f"- {{id: go, approve: [cut], {BY}}}\n"
        "- {id: cut, action: salesforce.freeze_users, with: {targets: '{{ steps.tokens.users }}'}}",
        inputs=APP_INPUT,
    )
    code, document = planned(capsys, book, "-i", f"app={APP}")
    go = by_path(document)["go"]["approval"]
    assert code == 1 and document["ok"] is False
    assert [(need["count"], need["why"]) for need in go["needs"]] == [
        (3, "Over two: 3 of crm_owner; contain: 1 of crm_owner; the playbook")
    ]
    assert (go["people"], go["reachable"]) == (["ann", "bob"], False)
    assert [problem["code"] for problem in document["problems"]] == ["approval_unreachable"]
    assert go["in_advance"] == []
    code, document = planned(capsys, book, "-i", "app=nobody's")
    assert code == 0, "with nothing to freeze one is enough"
    assert by_path(document)["go"]["approval"]["in_advance"] == ["SA-2"]


def test_what_policy_refuses_is_said(acme: Acme, home: Path, capsys) -> None:
    acme.grants(acme.users(3))
    settle(acme, '[[policy.demands]]\nname = "Not so many"\naffected_over = 2\nnever = true')
    book = whole(
        LIST + f"- {{id: go, approve: [cut], {BY}}}\n"
        "- {id: cut, action: salesforce.freeze_users, with: {targets: '{{ steps.tokens.users }}'}}",
        inputs=APP_INPUT,
    )
    code, document = planned(capsys, book, "-i", f"app={APP}")
    assert code == 1
    assert {(problem["step"], problem["code"]) for problem in document["problems"]} == {("cut", "policy_refused")}


def test_an_org_that_cannot_be_reached_still_gives_the_plan(acme: Acme, home: Path, capsys) -> None:
    settle(acme, endpoint="http://127.0.0.1:9")
    code, document = planned(
        capsys, whole(LIST + "- {id: n, note: '{{ steps.tokens.count }}'}", inputs=APP_INPUT), "-i", "app=x"
    )
    tokens = by_path(document)["tokens"]
    assert code == 1 and document["ok"] is False
    assert tokens["missing"]["code"] == "unavailable" and "cannot be reached" in tokens["missing"]["message"]
    assert [problem["step"] for problem in document["problems"]] == ["tokens"]
    code, document = planned(capsys, whole(LIST, inputs=APP_INPUT), "-i", "app=x", "--offline")
    assert code == 0 and document["offline"] and by_path(document)["tokens"]["missing"]["code"] == "not_asked"


def test_a_live_plan_asks_no_simulated_org(acme: Acme, home: Path, capsys) -> None:
    Path("stanch.toml").write_text(Path("stanch.toml").read_text().replace("exercise", "live"))
    code, document = planned(capsys, whole(LIST, inputs=APP_INPUT), "-i", "app=x")
    assert code == 2 and "names a simulated system" in document["message"]
    assert acme.asked() == []
