"""The client of AWS: its own credentials and places only, each error in its kind, nothing written when it only reads."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.errors import (
    Ambiguous,
    AuthFailed,
    Forbidden,
    InvalidParams,
    RateLimited,
    Rejected,
    Timeout,
    Unavailable,
)
from activities.systems.aws.account import Credential, identity_of
from activities.systems.aws.client import connect, connect_reading, credential_of
from activities.systems.aws.models import deny_all, older_sessions
from activities.systems.aws.peer.policy import allows
from activities.systems.aws.peer.state import FULL_ACCESS
from tests.systems.aws_site import READER, Site
from worker.secrets import Secrets

GIVEN = {"region": "eu-central-1", "access_key_id": "secret:env/ID", "secret_access_key": "secret:env/KEY"}
NOBODY = Secrets({}, Path())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"access_key_id": "AKIAIOSFODNN7EXAMPLE"}, "access_key_id: Value error, write a reference"),
        ({"secret_access_key": "wJalrXUtnFEMI"}, "secret_access_key: Value error, write a reference"),
        ({"region": "Frankfurt"}, "write a region such as"),
        ({"endpoint": "https://iam.example.com"}, "a simulated account is at"),
        ({"profile": "default"}, "profile: Extra inputs"),
    ],
)
def test_settings_that_cannot_be_used_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(AuthFailed) as caught:
        connect({**GIVEN, **changes}, NOBODY)
    assert said in caught.value.message
    assert "wJalrXUtnFEMI" not in caught.value.message


def test_without_an_endpoint_it_is_aws_itself() -> None:
    client = connect(GIVEN, Secrets({"ID": "AKIAAAAAAAAAAAAAAAAA", "KEY": "k"}, Path()))
    places = {service: client._client(service).meta.endpoint_url for service in ("iam", "sts", "kms", "secretsmanager")}
    assert places == {
        "iam": "https://iam.amazonaws.com",
        "sts": "https://sts.eu-central-1.amazonaws.com",
        "kms": "https://kms.eu-central-1.amazonaws.com",
        "secretsmanager": "https://secretsmanager.eu-central-1.amazonaws.com",
    }
    client.close()


def test_nothing_around_it_gives_it_a_credential_or_a_place(
    aws: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / "config").write_text("[default]\nregion = us-west-2\nendpoint_url = http://127.0.0.1:9\n")
    (folder / "credentials").write_text("[default]\naws_access_key_id = AKIAWRONG\naws_secret_access_key = wrong\n")
    for name, value in {
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "AKIAWRONG",
        "AWS_SECRET_ACCESS_KEY": "wrong",
        "AWS_SESSION_TOKEN": "wrong",
        "AWS_PROFILE": "no-such-profile",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_MAX_ATTEMPTS": "9",
        "AWS_CA_BUNDLE": "/no/such/file",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    client = aws.client()
    assert client.identity().user == aws.name("stanch")
    assert aws.me.id in client.own and aws.name("stanch") in client.own
    real = connect(GIVEN, Secrets({"ID": "AKIAAAAAAAAAAAAAAAAA", "KEY": "k"}, Path()))
    assert real._client("kms").meta.endpoint_url == "https://kms.eu-central-1.amazonaws.com"
    real.close()


def test_a_credential_that_cannot_be_read_sends_nothing(aws: Site) -> None:
    client = connect(aws.settings(secret_access_key="secret:env/NONE"), Secrets({"ID": "AKIA"}, Path()))
    with pytest.raises(AuthFailed, match="secret:env/NONE"):
        client.identity()
    assert aws.front.asked() == 0


def test_a_client_that_only_reads_sends_no_change(aws: Site) -> None:
    client = connect_reading(aws.settings(), Secrets(aws.env, Path()))
    assert aws.name("stanch") in client.users()
    for change in (
        lambda: client.set_key(aws.name("stanch"), aws.me.id, active=False),
        lambda: client.put_policy("User", aws.name("stanch"), "x", deny_all()),
        lambda: client.create_key(aws.name("stanch")),
        lambda: client.rotate_kms("k"),
        lambda: client.move_stage("s", stage="AWSCURRENT", to="v" * 32, away_from="w" * 32),
    ):
        with pytest.raises(Rejected, match="only reads are allowed"):
            change()
    assert aws.front.asked("/(Update|Put|Create|Rotate)") == 0
    client.close()


def test_doctor_says_who_it_is_and_what_is_missing(aws: Site) -> None:
    assert "user/" + aws.name("stanch") in aws.stanch.ping()
    poor = aws.user("poor", READER)
    aws.hold("POOR_ID", poor.id)
    aws.hold("POOR_KEY", poor.secret)
    client = aws.client(access_key_id="secret:env/POOR_ID", secret_access_key="secret:env/POOR_KEY")
    with pytest.raises(Forbidden, match="iam:ListUsers failed"):
        client.ping()
    aws.hold("WRONG", "not-the-secret")
    with pytest.raises(AuthFailed, match="SignatureDoesNotMatch"):
        aws.client(secret_access_key="secret:env/WRONG").ping()


def test_every_page_is_read(aws: Site) -> None:
    if aws.account is not None:
        aws.account.page = 2
    names = [aws.name(f"user{n}") for n in range(5)]
    for n in range(5):
        aws.user(f"user{n}")
    assert set(names) <= set(aws.stanch.users())
    for n in range(5):
        aws.secret(f"secret{n}", "v")
    assert {aws.name(f"secret{n}") for n in range(5)} <= {secret.name for secret in aws.stanch.secrets()}
    keys = {aws.kms_key() for _ in range(3)}
    assert keys <= set(aws.stanch.kms_keys())
    if aws.account is not None:
        assert aws.front.asked("/ListUsers") >= 4


@pytest.mark.parametrize(
    ("fault", "reading", "writing"),
    [
        ({"kind": "status", "status": 503, "body": b"<html>down</html>"}, Unavailable, Ambiguous),
        ({"kind": "status", "status": 500, "body": b'{"__type": "InternalServiceError"}'}, Unavailable, Ambiguous),
        ({"kind": "status", "status": 429}, RateLimited, RateLimited),
        ({"kind": "status", "status": 400, "body": b'{"__type": "ThrottlingException"}'}, RateLimited, RateLimited),
        ({"kind": "status", "status": 400, "body": b'{"__type": "ExpiredTokenException"}'}, AuthFailed, AuthFailed),
        ({"kind": "status", "status": 403, "body": b"<Error><Code>AccessDenied</Code></Error>"}, Forbidden, Forbidden),
        ({"kind": "drop_after"}, Unavailable, Ambiguous),
        ({"kind": "drop_before"}, Unavailable, Ambiguous),
        ({"kind": "delay", "seconds": 0.6}, Timeout, Ambiguous),
    ],
    ids=lambda value: str(value.get("status", value["kind"])) if isinstance(value, dict) else value.__name__,
)
def test_what_goes_wrong_is_told_apart(
    simulated_aws: Site, fault: dict[str, Any], reading: type, writing: type
) -> None:
    aws = simulated_aws
    key = aws.kms_key()
    client = aws.client(read_timeout=0.2) if fault["kind"] == "delay" else aws.stanch
    aws.front.add(path="/(DescribeKey|DisableKey)", times=0, **fault)
    with pytest.raises(reading):
        client.kms_key(key)
    with pytest.raises(writing) as caught:
        client.enable_kms(key, enabled=False)
    assert "down" not in str(caught.value)


def test_an_answer_that_is_not_understood(simulated_aws: Site) -> None:
    aws = simulated_aws
    key = aws.kms_key()
    aws.front.add("body", path="/(DescribeKey|GetUser|CreateAccessKey)", times=0, body=b"no answer of AWS")
    with pytest.raises(Unavailable):
        aws.stanch.kms_key(key)
    with pytest.raises(Unavailable):
        aws.stanch.call("iam", "GetUser", doing="reading a user", UserName=aws.name("stanch"))
    with pytest.raises(Ambiguous):
        aws.stanch.create_key(aws.name("stanch"))
    aws.front.clear()
    aws.front.add("body", path="/CreateAccessKey", body=b"<CreateAccessKeyResponse></CreateAccessKeyResponse>")
    with pytest.raises(Ambiguous):
        aws.stanch.create_key(aws.name("somebody"))


def test_a_dead_port_and_a_value_that_fits_nothing(aws: Site) -> None:
    away = aws.client(endpoint="http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="Nothing was sent"):
        away.create_key("somebody")
    with pytest.raises(InvalidParams):
        aws.stanch.set_key("", aws.me.id, active=False)
    assert aws.front.asked("/UpdateAccessKey") == 0


def test_a_credential_is_read_and_never_written_down() -> None:
    held = credential_of('{"access_key_id": "A", "secret_access_key": "s", "session_token": "t"}')
    assert (held.id, held.secret, held.token) == ("A", "s", "t")
    assert credential_of("A:s/+=").secret == "s/+="
    for odd in ("", "A", "{}", '{"access_key_id": "A"}', "[]"):
        with pytest.raises(AuthFailed):
            credential_of(odd)
    with pytest.raises(TypeError):
        Credential("a", "b").__reduce__()


def test_the_peer_refuses_an_old_request(simulated_aws: Site) -> None:
    assert simulated_aws.account is not None
    simulated_aws.account.now = lambda: datetime.now(UTC) + timedelta(minutes=20)
    with pytest.raises(AuthFailed, match="clock is wrong"):
        simulated_aws.client().identity()


def test_who_an_arn_is() -> None:
    user = identity_of("1", "arn:aws:iam::1:user/team/ana")
    assert (user.user, user.role) == ("ana", "")
    role = identity_of("1", "arn:aws:sts::1:assumed-role/deployer/session-1")
    assert (role.user, role.role) == ("", "deployer")


def test_an_explicit_deny_wins() -> None:
    now = datetime.now(UTC)
    assert allows([FULL_ACCESS], "kms:ListKeys", "arn:x", None)
    assert not allows([], "kms:ListKeys", "arn:x", None)
    assert not allows([FULL_ACCESS, deny_all()], "kms:ListKeys", "arn:x", None)
    assert not allows([READER], "kms:ListKeys", "arn:x", None)
    revoked = [FULL_ACCESS, older_sessions(now)]
    assert not allows(revoked, "kms:ListKeys", "arn:x", now - timedelta(hours=1))
    assert allows(revoked, "kms:ListKeys", "arn:x", now + timedelta(hours=1))
    assert allows(revoked, "kms:ListKeys", "arn:x", None), "a long-term key has no time of issue"
    odd = {"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Bool": {"x": "y"}}}]}
    assert not allows([FULL_ACCESS, odd], "kms:ListKeys", "arn:x", None), "what is not understood denies"
