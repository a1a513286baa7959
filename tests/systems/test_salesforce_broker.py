"""Signing in: both flows, what is refused, renewals that are bounded and shared, a token that shows nowhere."""

import logging
import pickle
import threading
import time

import jwt
import pytest

from activities.errors import AuthFailed, Forbidden, RateLimited, Unavailable
from activities.systems.salesforce.broker import JWT_SECONDS, TokenBroker
from activities.systems.salesforce.client import connect
from activities.systems.salesforce.config import SalesforceConfig
from tests.systems.acme import Acme


class Vault:
    """Secrets by hand."""

    def __init__(self, **secrets: str) -> None:
        self.secrets = secrets

    def get(self, reference: str) -> str:
        return self.secrets[reference.rpartition("/")[2]]


def broker(acme: Acme, **changes) -> TokenBroker:
    """A broker of the org's integration."""
    vault = Vault(KEY=changes.pop("key", acme.private), SECRET=changes.pop("secret", acme.integration.consumer_secret))
    return TokenBroker(SalesforceConfig.model_validate(acme.settings(**changes)), vault)


def by_credentials(acme: Acme, **changes) -> TokenBroker:
    """The same by client credentials."""
    return broker(acme, flow="client_credentials", consumer_secret="secret:env/SECRET", **changes)


def test_the_jwt_flow_signs_in_as_the_user(acme):
    token = broker(acme).token()
    assert (token.user, token.org) == (acme.me.id, acme.org.id)
    assert acme.org.by_token(token.value).user is acme.me


def test_the_assertion_names_app_user_audience_and_lasts_at_most_three_minutes(acme):
    _, public = acme.private, acme.integration.certificate
    claims = jwt.decode(
        broker(acme)._form()["assertion"], public, algorithms=["RS256"], audience="https://login.salesforce.com"
    )
    assert (claims["iss"], claims["sub"]) == (acme.integration.consumer_key, acme.me.username)
    assert time.time() + 60 < claims["exp"] <= time.time() + JWT_SECONDS <= time.time() + 180


@pytest.mark.parametrize("audience", ["https://test.salesforce.com", "https://acme.my.salesforce.com"])
def test_a_sandbox_and_my_domain_are_audiences_too(acme, audience):
    assert broker(acme, audience=audience).token().user == acme.me.id


def test_client_credentials_sign_in_as_the_run_as_user(acme):
    assert by_credentials(acme).token().user == acme.me.id


def test_client_credentials_are_refused_at_the_general_login_host(acme):
    with pytest.raises(AuthFailed):
        by_credentials(acme, login_url="https://login.salesforce.com").token()


@pytest.mark.parametrize(
    ("why", "changes"),
    [
        ("wrong audience", {"audience": "https://example.com"}),
        ("unknown app", {"consumer_key": "3MVG9nobody"}),
        ("unknown user", {"username": "nobody@acme.example"}),
    ],
)
def test_a_refused_sign_in_says_so_once_and_without_secrets(acme, why, changes):
    with pytest.raises(AuthFailed) as caught:
        broker(acme, **changes).token()
    assert "Nothing was done" in str(caught.value), why
    assert acme.private[40:80] not in str(caught.value)
    assert acme.sign_ins() == 1


def test_a_user_who_is_not_preauthorised_is_refused(acme):
    acme.integration.preauthorised.clear()
    with pytest.raises(AuthFailed):
        broker(acme).token()


def test_a_frozen_integration_user_is_refused(acme):
    acme.me.frozen = True
    with pytest.raises(AuthFailed):
        broker(acme).token()


def test_another_key_than_the_certificates_is_refused(acme, key_pair):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(AuthFailed):
        broker(acme, key=other.decode()).token()


def test_text_that_is_no_key_is_refused_before_anything_is_sent(acme):
    with pytest.raises(AuthFailed) as caught:
        broker(acme, key="-----BEGIN hunter2-----").token()
    assert "hunter2" not in str(caught.value)
    assert acme.sign_ins() == 0


def test_a_wrong_secret_is_refused(acme):
    with pytest.raises(AuthFailed) as caught:
        by_credentials(acme, secret="hunter2").token()
    assert "hunter2" not in str(caught.value)


def test_a_secret_that_is_not_there_is_an_authentication_failure(acme, tmp_path):
    client = acme.client(private_key=f"secret:file/{tmp_path}/none.pem")
    with pytest.raises(AuthFailed) as caught:
        client.own_user()
    assert "none.pem" in str(caught.value)
    assert acme.sign_ins() == 0


def test_settings_that_do_not_hold_together_are_refused_at_connecting(acme):
    for changes in (
        {"private_key": None},
        {"private_key": acme.private},
        {"instance_url": "http://acme.my.salesforce.com"},
        {"instance_url": "https://acme.my.salesforce.com@evil.example"},
        {"endpoint": "http://192.0.2.1:80"},
        {"flow": "client_credentials"},
        {"colour": "blue"},
    ):
        with pytest.raises(AuthFailed) as caught:
            connect(acme.settings(**changes), Vault())
        assert "systems.salesforce" in str(caught.value)
        assert acme.private[40:80] not in str(caught.value)


def test_a_token_is_asked_for_once_while_it_lasts(acme):
    signer = broker(acme)
    assert {signer.token().value for _ in range(5)} == {signer.token().value}
    assert acme.sign_ins() == 1


def test_a_short_lived_token_is_used_before_it_is_renewed(acme):
    signer = broker(acme, token_minutes=0.02)
    first = signer.token()
    assert signer.token() is first
    time.sleep(0.8)
    assert signer.token() is not first
    assert acme.sign_ins() == 2


def test_a_token_that_expires_under_way_is_renewed_once(acme, client):
    users = acme.users(3)
    client.own_user()
    acme.org.sessions.clear()
    assert len(client.usernames([user.id for user in users])) == 3
    assert acme.sign_ins() == 2


def test_a_write_with_an_expired_token_is_done_once(acme, client):
    (user,) = acme.users(1)
    client.own_user()
    acme.org.sessions.clear()
    assert [row.ok for row in client.set_frozen({user.login_id: True})] == [True]
    assert acme.effects() == [user.id]
    assert acme.sign_ins() == 2


def test_a_lasting_401_ends_after_two_sign_ins(acme, client):
    acme.peer.faults.add(
        {"kind": "status", "path": "/services/data", "status": 401, "code": "INVALID_SESSION_ID", "times": 0}
    )
    with pytest.raises(AuthFailed) as caught:
        client.count("SELECT COUNT() FROM User")
    assert "Nothing was done" in str(caught.value)
    assert acme.sign_ins() == 2
    assert len(acme.asked("/services/data")) == 2


def test_sixteen_threads_share_one_sign_in(acme, client):
    acme.peer.faults.add({"kind": "latency", "path": "oauth2/token", "seconds": 0.2})
    together, found = threading.Barrier(16), []

    def ask() -> None:
        together.wait()
        found.append(client.count("SELECT COUNT() FROM User"))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [1] * 16
    assert acme.sign_ins() == 1


def test_sixteen_threads_with_one_dead_token_renew_it_once(acme, client):
    client.own_user()
    acme.org.sessions.clear()
    together, found = threading.Barrier(16), []

    def ask() -> None:
        together.wait()
        found.append(client.count("SELECT COUNT() FROM User"))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [1] * 16
    assert acme.sign_ins() == 2


@pytest.mark.parametrize(("status", "expected"), [(503, Unavailable), (429, RateLimited)])
def test_a_sign_in_that_fails_for_a_while_may_be_tried_again(acme, status, expected):
    acme.peer.faults.add({"kind": "status", "path": "oauth2/token", "status": status, "seconds": 7})
    signer = broker(acme)
    with pytest.raises(expected):
        signer.token()
    assert signer.token().user == acme.me.id


def test_the_token_shows_nowhere(acme, client, caplog):
    caplog.set_level(logging.DEBUG)
    (user,) = acme.users(1)
    (grant,) = acme.grants([user])
    token = client._broker.token()
    found, _ = client.grants()
    client.revoke(found[0])
    acme.peer.faults.add({"kind": "status", "status": 400, "code": "MALFORMED_QUERY"})
    errors = []
    for _ in range(2):
        try:
            client.count("SELECT COUNT() FROM User WHERE")
        except Exception as error:
            errors.append(f"{error!r} {error.__context__!r} {error.__cause__!r}")
    assert len(errors) == 2
    paths = [f"{asked['path']}" for asked in acme.record.requests()]
    seen = " ".join([repr(token), str(token), repr(found), repr(client), caplog.text, *errors, *paths])
    for secret in (token.value, grant.delete_token, grant.refresh_token, acme.private[40:80]):
        assert secret not in seen
    for thing in (client, client._broker, token, found[0]):
        with pytest.raises(TypeError):
            pickle.dumps(thing)


def test_the_doctor_is_told_which_permissions_are_missing(acme, client):
    assert "every permission" in client.ping()
    acme.me.permissions -= {"CustomizeApplication", "ManageDataIntegrations"}
    with pytest.raises(Forbidden) as caught:
        client.ping()
    assert "missing: CustomizeApplication, ManageDataIntegrations." in str(caught.value)


def test_an_org_that_does_not_know_a_permission_is_asked_for_the_others(acme, client):
    acme.fault("status", query="FreezeUsers", times=0, status=400, code="INVALID_FIELD")
    assert client.ping().endswith("does not say whether it has FreezeUsers.")
    acme.me.permissions -= {"ViewSetup"}
    with pytest.raises(Forbidden):
        client.ping()


def test_the_fingerprint_of_a_grant_is_keyed_and_lasting(acme, key_pair):
    signer, again = broker(acme), broker(acme)
    assert signer.fingerprint("delete-token") == again.fingerprint("delete-token")
    assert signer.fingerprint("delete-token") != by_credentials(acme).fingerprint("delete-token")
    assert "delete" not in signer.fingerprint("delete-token")
