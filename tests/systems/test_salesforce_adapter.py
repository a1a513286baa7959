"""The one way out: pinned hosts, no redirects, time-outs, surroundings ignored, errors mapped once."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import requests

from activities.errors import (
    Ambiguous,
    AuthFailed,
    Conflict,
    Forbidden,
    InvalidParams,
    NotFound,
    RateLimited,
    Rejected,
    Timeout,
    Unavailable,
)
from activities.systems.salesforce.adapter import HostRefused, PinnedSession, error_code
from activities.systems.salesforce.config import SalesforceConfig
from activities.systems.salesforce.models import Grant, Job, LogFile
from tests.systems.acme import Acme

EVIL = "https://evil.example/services/data/v65.0/x"
CLIMB = "../../query?q=SELECT+Id+FROM+User"


@contextmanager
def speaking(answer: bytes, *, times: int = 1) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives ready bytes: its address, and the requests that it got."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(5)
        got: list[bytes] = []

        def serve() -> None:
            for _ in range(times):
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    got.append(connection.recv(65536))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", got
        listening.close()
        thread.join(6)


@contextmanager
def session_to(acme: Acme, **changes) -> Iterator[PinnedSession]:
    """A session of the org's settings."""
    session = PinnedSession(SalesforceConfig.model_validate(acme.settings(**changes)))
    yield session
    session.close()


@pytest.mark.parametrize(
    "url",
    [
        EVIL,
        "http://acme.my.salesforce.com/services/data",
        "https://acme.my.salesforce.com.evil.example/services",
        "https://acme.my.salesforce.com:8443/services",
        "https://acme.my.salesforce.com@evil.example/services",
        "https://127.0.0.1/services",
    ],
)
def test_a_request_to_any_other_host_is_not_sent(acme, url):
    with session_to(acme) as session, pytest.raises(requests.exceptions.RequestException):
        session.get(url, headers={"Authorization": "Bearer hunter2"})
    assert acme.asked() == []


def test_a_record_id_that_is_a_url_does_not_carry_the_token_away(acme, client):
    client.own_user()
    before = len(acme.asked())
    rest = client._rest(client._broker.token(), client._session())
    with pytest.raises(HostRefused):
        rest.Case.get(EVIL)
    assert len(acme.asked()) == before


@pytest.mark.parametrize("id_", [EVIL, CLIMB, "005000000000001/../../../../etc"])
def test_ids_are_checked_before_anything_is_sent(acme, client, id_):
    file = LogFile(id_, "Login", "", "", "", 1, 0, "", "")
    job = Job(id_, "query", "InProgress", "query", "Case", "", "")
    tries = [
        lambda: client.job(id_),
        lambda: client.abort_job(job),
        lambda: client.end_sessions([id_]),
        lambda: client.set_frozen({id_: True}),
        lambda: client.log_content(file),
        lambda: client.grants(users=[id_]),
    ]
    for work in tries:
        with pytest.raises(InvalidParams):
            work()
    assert acme.asked() == []


def test_a_redirect_is_an_answer_that_is_not_followed(acme):
    moved = b"HTTP/1.1 302 Found\r\nLocation: https://acme.my.salesforce.com/elsewhere\r\nContent-Length: 0\r\n\r\n"
    with speaking(moved) as (url, got):
        client = acme.client(endpoint=url)
        with pytest.raises(AuthFailed):
            client.own_user()
        assert len(got) == 1


def test_a_redirect_of_a_query_is_not_followed(acme):
    moved = b"HTTP/1.1 307 Moved\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n"
    with speaking(moved) as (url, got), session_to(acme, endpoint=url) as session:
        answer = session.get("https://acme.my.salesforce.com/x", headers={"Authorization": "Bearer t"})
        assert (answer.status_code, answer.history) == (307, [])
        assert answer.url == "https://acme.my.salesforce.com/x", "errors name the org, not the loopback address"
        assert len(got) == 1


def test_proxies_and_netrc_of_the_surroundings_are_ignored(acme, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine acme.my.salesforce.com login evil password evil\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    client = acme.client()
    assert client.own_user() == acme.me.id
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with speaking(ok) as (url, got), session_to(acme, endpoint=url) as session:
        session.get("https://acme.my.salesforce.com/x", headers={"Authorization": "Bearer t"})
        assert b"Authorization: Bearer t" in got[0]
        assert b"Host: acme.my.salesforce.com" in got[0]


def test_every_request_has_a_time_out(acme):
    client = acme.client(read_timeout=0.2)
    (user,) = acme.users(1)
    client.own_user()
    acme.fault("hold", times=0)
    with pytest.raises(Timeout) as caught:
        client.count("SELECT COUNT() FROM User")
    assert "Nothing was changed" in str(caught.value)
    with pytest.raises(Ambiguous):
        client.set_frozen({user.login_id: True})


def test_nobody_listening_means_that_nothing_was_sent(acme):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    client = acme.client(endpoint=url)
    with pytest.raises(Unavailable) as caught:
        client.own_user()
    assert "Nothing was sent" in str(caught.value)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<ht>", b"garbage\r\n\r\n", b""])
def test_an_answer_that_is_not_understood_is_no_success(acme, client, answer):
    (user,) = acme.users(1)
    client.own_user()
    with speaking(answer, times=2) as (url, _):
        other = acme.client(endpoint=url)
        other._broker._token = client._broker._token
        with pytest.raises(Unavailable):
            other.count("SELECT COUNT() FROM User")
        with pytest.raises(Ambiguous):
            other.set_frozen({user.login_id: True})


READ_ERRORS = [
    (400, "MALFORMED_QUERY", Rejected),
    (400, "INVALID_FIELD", Rejected),
    (400, "UNABLE_TO_LOCK_ROW", Unavailable),
    (403, "REQUEST_LIMIT_EXCEEDED", RateLimited),
    (403, "INSUFFICIENT_ACCESS_OR_READONLY", Forbidden),
    (403, "API_DISABLED_FOR_ORG", Forbidden),
    (404, "NOT_FOUND", NotFound),
    (404, "ENTITY_IS_DELETED", NotFound),
    (409, "CONFLICT", Conflict),
    (410, "GONE", Rejected),
    (415, "UNSUPPORTED_MEDIA_TYPE", Rejected),
    (429, "TOO_MANY", RateLimited),
    (500, "UNKNOWN_EXCEPTION", Unavailable),
    (503, "SERVER_UNAVAILABLE", Unavailable),
]


@pytest.mark.parametrize(("status", "code", "expected"), READ_ERRORS)
def test_what_an_answer_to_a_read_means(acme, client, status, code, expected):
    client.own_user()
    acme.fault("status", path="/query", status=status, code=code)
    with pytest.raises(expected) as caught:
        client.count("SELECT COUNT() FROM User")
    assert code in str(caught.value)
    assert "simulated fault" not in str(caught.value), "of what a system answers only its code is kept"
    assert client.count("SELECT COUNT() FROM User") == 1


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "INVALID_FIELD", Rejected),
        (400, "UNABLE_TO_LOCK_ROW", Unavailable),
        (403, "REQUEST_LIMIT_EXCEEDED", RateLimited),
        (403, "INSUFFICIENT_ACCESS_OR_READONLY", Forbidden),
        (429, "TOO_MANY", RateLimited),
        (500, "UNKNOWN_EXCEPTION", Ambiguous),
        (503, "SERVER_UNAVAILABLE", Ambiguous),
    ],
)
def test_what_an_answer_to_a_change_means(acme, client, status, code, expected):
    (user,) = acme.users(1)
    client.own_user()
    acme.fault("status", path="/composite", status=status, code=code)
    with pytest.raises(expected):
        client.set_frozen({user.login_id: True})
    assert acme.effects() == []


def test_a_change_that_breaks_off_is_ambiguous_whether_or_not_it_was_done(acme, client):
    one, two = acme.users(2)
    client.own_user()
    acme.fault("drop", method="PATCH")
    with pytest.raises(Ambiguous):
        client.set_frozen({one.login_id: True})
    acme.fault("drop_after_commit", method="PATCH")
    with pytest.raises(Ambiguous):
        client.set_frozen({two.login_id: True})
    assert acme.effects() == [two.id]


def test_when_to_come_back_is_taken_from_the_answer(acme, client):
    client.own_user()
    acme.fault("status", status=429, code="TOO_MANY", seconds=17)
    with pytest.raises(RateLimited) as caught:
        client.count("SELECT COUNT() FROM User")
    assert caught.value.retry_after == timedelta(seconds=17)


def test_a_used_up_api_limit_is_asked_again_only_after_minutes(acme, client):
    client.own_user()
    acme.org.api_limit = acme.org.api_used
    with pytest.raises(RateLimited) as caught:
        client.count("SELECT COUNT() FROM User")
    assert caught.value.retry_after >= timedelta(minutes=5)
    assert "API limit" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ([{"errorCode": "MALFORMED_QUERY", "message": "x"}], "MALFORMED_QUERY"),
        (b'{"error": "invalid_token", "error_description": "x"}', "invalid_token"),
        ({"exceptionCode": "InvalidJob"}, "InvalidJob"),
        (b"<html>Bad_OAuth_Token</html>", ""),
        ([], ""),
        ("null", ""),
        ([{"errorCode": "<script>alert(1)</script>"}], ""),
        ([{"errorCode": "A" * 200}], ""),
    ],
)
def test_error_codes_are_read_in_every_shape(content, code):
    assert error_code(content) == code


def test_a_settings_host_in_capitals_is_the_same_host(acme):
    assert acme.client(instance_url="https://ACME.my.salesforce.com").own_user() == acme.me.id


def test_grants_never_show_their_delete_token():
    grant = Grant("app", "005", "", None, 0, "fp", "hunter2")
    assert "hunter2" not in repr(grant) + str(grant.row())
