"""Vault: who gets in, what is looked at, and how its client fails; simulated, and real with ``--live=vault``."""

from datetime import timedelta
from typing import Any

import hvac
import pytest

from activities.cryptoperiods import judge, renewable
from activities.errors import AuthFailed, Forbidden, InvalidParams, NotFound, RateLimited, Rejected, Unavailable
from activities.systems.vault.actions_evidence import _age
from activities.systems.vault.models import name, path
from activities.systems.vault.peer.app import VaultPeer
from activities.systems.vault.peer.state import Key, now
from tests.systems.acme import Bench
from tests.systems.vault_site import VaultSite


@pytest.fixture
def site(vault_site: VaultSite) -> VaultSite:
    """A simulated or a real server."""
    return vault_site


@pytest.fixture
def bench(vault_bench: Bench) -> Bench:
    """Calls of actions on it."""
    return vault_bench


# Access


async def test_destroying_secret_ids_ends_no_token_and_revoking_the_prefix_does(site: VaultSite, bench: Bench) -> None:
    site.put("crm/api", password="x")
    site.allow(f"{site.tag}-crm", {"path": {f"{site.kv}/data/crm/*": {"capabilities": ["read"]}}})
    role_id = site.role("crm-sync", (f"{site.tag}-crm",))
    secret_id = site.secret_id("crm-sync")
    site.secret_id("crm-sync")
    thief = site.login(role_id, secret_id)

    def read() -> object:
        return thief.secrets.kv.v2.read_secret_version("crm/api", mount_point=site.kv, raise_on_deleted_version=True)

    assert read()
    shown = await bench.preview("vault.destroy_secret_ids", role="crm-sync")
    assert shown.count == 2 and "revoke their prefix" in shown.impact[1]
    result = await bench.apply("vault.destroy_secret_ids", role="crm-sync")
    assert (result.changed, result.verified, result.affected.count) == (True, True, 2)
    with pytest.raises(hvac.exceptions.InvalidRequest):
        site.login(role_id, secret_id)
    assert read(), "a token that was issued lives on"
    prefix = f"auth/{site.approle}/login"
    shown = await bench.preview("vault.revoke_prefix", prefix=prefix)
    assert shown.count == 1
    result = await bench.apply("vault.revoke_prefix", prefix=prefix)
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    with pytest.raises(hvac.exceptions.Forbidden):
        read()


async def test_revoking_again_finds_nothing_and_says_so(site: VaultSite, bench: Bench) -> None:
    result = await bench.apply("vault.revoke_prefix", prefix=f"auth/{site.approle}/login")
    assert (result.changed, result.output["count"]) == (False, 0)
    assert any("no lease was found" in warning for warning in result.warnings)


async def test_a_lost_revocation_counts_what_it_ended(site: VaultSite, bench: Bench) -> None:
    role_id = site.role("crm-sync")
    for _ in range(3):
        site.login(role_id, site.secret_id("crm-sync"))
    bench.client = site.faulted()
    assert site.faulty is not None
    site.faulty.add("drop_after", path="/revoke-prefix/")
    result = await bench.after_lost(bench.call("vault.revoke_prefix", {"prefix": f"auth/{site.approle}/login"}))
    assert (result.changed, result.verified, result.affected.count) == (True, True, 3)


async def test_a_prefix_that_holds_stanchs_own_token_is_refused(site: VaultSite, vault_bench: Bench) -> None:
    role_id = site.role("stanch", (site.tag,))
    site.login(site.role("crm-sync"), site.secret_id("crm-sync"))
    client = site.client(token=None, role_id=role_id, secret_id="secret:env/ID", env={"ID": site.secret_id("stanch")})
    bench = Bench(client, vault_bench.store, "vault")
    for action, params in [
        ("vault.revoke_prefix", {"prefix": f"auth/{site.approle}/login"}),
        ("vault.revoke_prefix", {"prefix": f"auth/{site.approle}"}),
        ("vault.revoke_prefix", {"prefix": "auth"}),
        ("vault.destroy_secret_ids", {"role": "stanch"}),
    ]:
        error = await bench.refused(bench.call(action, params))
        assert error.type == "Protected", (action, params)
    assert client.leases(f"auth/{site.approle}/login")
    result = await bench.apply("vault.destroy_secret_ids", role="crm-sync")
    assert result.verified


async def test_a_token_that_ended_is_asked_for_anew(site: VaultSite) -> None:
    role_id, ids = site.role("stanch", (site.tag,)), site.secret_id("stanch")
    client = site.client(token=None, role_id=role_id, secret_id="secret:env/ID", env={"ID": ids})
    site.key("scores")
    assert client.key("scores").latest == 1
    site.admin.sys.revoke_prefix(f"auth/{site.approle}/login")
    assert client.key("scores").latest == 1
    client.close()
    assert site.client().leases(f"auth/{site.approle}/login") == []


async def test_a_role_that_is_not_there_is_said(site: VaultSite, bench: Bench) -> None:
    assert (await bench.refused(bench.call("vault.destroy_secret_ids", {"role": "nobody"}))).type == "NotFound"


# Looking


async def test_a_snapshot_holds_no_value(site: VaultSite, bench: Bench) -> None:
    site.put("crm/api", password="hunter2-hunter2")
    site.put("deep/er/still", password="x")
    site.key("scores")
    site.role("crm-sync")
    site.secret_id("crm-sync")
    for mount, count in ((site.kv, 2), (site.transit, 1), (site.approle, 1)):
        result = await bench.run(bench.call("vault.snapshot_mount", {"mount": mount}, step=mount))
        assert result.output == {"count": count, "complete": True}
    everything = bench.journal() + "".join(content.decode() for content in bench.files().values())
    assert "deep/er/still" in everything and "hunter2" not in everything
    error = await bench.refused(bench.call("vault.snapshot_mount", {"mount": "other"}))
    assert error.type == "InvalidParams"


async def test_overdue_keys_are_found_with_their_reason(site: VaultSite, bench: Bench) -> None:
    site.key("scores")
    site.put("crm/api", password="x")
    site.role("crm-sync")
    site.secret_id("crm-sync")
    fine = await bench.run(bench.call("vault.check_cryptoperiods", {}, step="one"))
    assert (fine.output["overdue"], fine.output["complete"]) == (0, True)
    late = await bench.run(bench.call("vault.check_cryptoperiods", {"at_most": "PT0S"}, step="two"))
    kinds = {row["id"].partition(":")[0]: row["reason"] for row in bench.rows(late.output["targets"])}
    assert late.output["overdue"] == 3 and set(kinds) == {"transit", "secret", "secret_id"}
    assert all("rule of this house" in reason for reason in kinds.values())
    assert (fine.output["transit_keys"], late.output["transit_keys"]) == ([], ["scores"])


def test_keys_whose_rotation_others_notice_are_not_offered() -> None:
    row = {"type": "aes256-gcm96", "versions": {}, "latest_version": 1, "min_decryption_version": 1}
    kinds = {"plain": {}, "lookup": {"convergent": True}, "signer": {"type": "ed25519"}, "mac": {"type": "hmac"}}
    ages = [_age("keys", {**row, "id": id_, "convergent": False, **more}) for id_, more in kinds.items()]
    judged = judge(ages, now())
    assert all(one.overdue for one in judged) and renewable(judged) == ["transit:plain"]


def test_old_material_is_seen_until_it_no_longer_decrypts(simulated_vault: tuple[VaultPeer, str]) -> None:
    peer, url = simulated_vault
    site = VaultSite(url, peer.state.root, peer)
    key = peer.state.transit[site.transit].setdefault("old", Key())
    key.rotate(now() - timedelta(days=3000))
    key.rotate(now())
    client = site.client()
    assert _age("keys", client.key("old").row()).oldest == client.key("old").versions[1]
    client.set_minimum("old", 2)
    assert _age("keys", client.key("old").row()).oldest == client.key("old").versions[2]
    site.close()


# The client


def test_errors_are_of_the_tree_and_tell_nothing_of_the_token(site: VaultSite) -> None:
    client = site.faulted()
    assert site.faulty is not None
    for status, kind in [
        (429, RateLimited),
        (503, Unavailable),
        (500, Unavailable),
        (502, Unavailable),
        (404, NotFound),
    ]:
        site.faulty.add("status", path="/keys/scores", status=status, body=b'{"errors": ["s.secret-in-an-error"]}')
        with pytest.raises(kind) as caught:
            client.key("scores")
        said = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.details}"
        assert site.token not in said and "secret-in-an-error" not in said


def test_a_standby_that_points_elsewhere_is_not_followed(site: VaultSite) -> None:
    client = site.faulted()
    assert site.faulty is not None
    site.faulty.add("status", path="/rotate$", status=307, headers={"location": "http://127.0.0.1:1/v1/x"})
    with pytest.raises((Unavailable, Rejected)):
        client.rotate_key("scores")
    assert site.faulty.asked("/rotate$") == 1


def test_a_bad_token_and_a_missing_right_are_told_apart(site: VaultSite) -> None:
    site.key("scores")
    with pytest.raises(AuthFailed):
        site.client(env={"TOKEN": "s.nobody"}).key("scores")
    site.allow(f"{site.tag}-nothing", {"path": {"nothing": {"capabilities": ["read"]}}})
    weak = site.admin.auth.token.create(policies=[f"{site.tag}-nothing"], ttl="5m")["auth"]["client_token"]
    with pytest.raises(Forbidden):
        site.client(env={"TOKEN": weak}).key("scores")


def test_a_reading_client_sends_nothing_that_changes(site: VaultSite) -> None:
    site.key("scores")
    client = site.client(reading=True)
    assert client.key("scores").latest == 1
    for change in (
        lambda: client.rotate_key("scores"),
        lambda: client.annotate("crm/api", {}),
        lambda: client.revoke_prefix("auth/approle/login"),
    ):
        with pytest.raises(Rejected, match="Nothing was sent"):
            change()
    assert client.key("scores").latest == 1


def test_the_environment_has_no_say(site: VaultSite, simulated_vault: tuple[VaultPeer, str]) -> None:
    with pytest.raises(AuthFailed, match="either token"):
        site.client(token=None)
    assert "Signed in" in site.client().ping()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"token": "hvs.abc"}, "reference"),
        ({"url": "http://vault.example"}, "https"),
        ({"endpoint": "https://vault.example"}, "127.0.0.1"),
        ({"kv_mount": "../sys"}, "kv_mount"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(site: VaultSite, change: dict[str, Any], said: str) -> None:
    with pytest.raises(AuthFailed, match=said):
        site.client(**change)


@pytest.mark.parametrize("text", ["", "../x", "a/../b", "a//b", "a?b", "a%2fb", "/", "a\nb", "a#b"])
def test_what_does_not_fit_a_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidParams):
        path(text)
    with pytest.raises(InvalidParams):
        name(text or "/")


def test_a_sealed_server_says_so(simulated_vault: tuple[VaultPeer, str]) -> None:
    peer, url = simulated_vault
    site = VaultSite(url, peer.state.root, peer)
    client = site.client()
    peer.state.sealed = True
    try:
        with pytest.raises(Unavailable, match="sealed"):
            client.key("scores")
    finally:
        peer.state.sealed = False
        site.close()
