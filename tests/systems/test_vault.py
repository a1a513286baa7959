"""Vault and OpenBao: rotate, raise, roll, revoke; on the simulated server, and with ``--live=vault`` on a real one."""

import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import hvac
import pytest

from activities.errors import AuthFailed, Forbidden, InvalidParams, NotFound, RateLimited, Rejected, Unavailable
from activities.systems.vault.models import MARK, name, path
from activities.systems.vault.peer.app import VaultPeer
from tests.systems.acme import Bench
from tests.systems.vault_site import VaultSite
from worker.range_server import LoopbackServer
from worker.store import Store


@pytest.fixture(scope="module")
def simulated() -> Iterator[tuple[VaultPeer, str]]:
    """One simulated server; each test has mounts of its own on it."""
    peer = VaultPeer()
    served = LoopbackServer(peer)
    yield peer, served.open()
    served.close()


@pytest.fixture(params=["peer", pytest.param("live", marks=pytest.mark.live("vault"))])
def site(request: pytest.FixtureRequest) -> Iterator[VaultSite]:
    """A simulated or a real server."""
    if request.param == "live":
        found = VaultSite(os.environ["VAULT_ADDR"], os.environ["VAULT_TOKEN"], None)
    else:
        peer, url = request.getfixturevalue("simulated")
        found = VaultSite(url, peer.state.root, peer)
    yield found
    found.close()


@pytest.fixture
def store(empty_database: Path, tmp_path: Path) -> Iterator[Store]:
    """A real store."""
    shutil.copy(empty_database, tmp_path)
    made = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def bench(site: VaultSite, store: Store) -> Bench:
    """Calls of actions on it."""
    return Bench(site.client(), store, "vault")


# Transit


async def test_a_rotated_key_encrypts_anew_and_still_reads_what_is_old(site: VaultSite, bench: Bench) -> None:
    site.key("scores")
    old = site.encrypt("scores", "before")
    shown = await bench.preview("vault.rotate_transit_key", key="scores")
    assert (shown.count, shown.reversible) == (1, False) and "rewrapped" in " ".join(shown.impact)
    result = await bench.apply("vault.rotate_transit_key", key="scores")
    assert (result.changed, result.verified, result.output) == (True, True, {"count": 1, "version": 2})
    assert site.encrypt("scores", "x").startswith("vault:v2:")
    assert site.decrypt("scores", old) == "before"


async def test_a_lost_rotation_is_found_and_not_done_twice(site: VaultSite, bench: Bench) -> None:
    site.key("scores")
    bench.client = site.faulted()
    assert site.faulty is not None
    site.faulty.add("drop_after", path="/rotate$")
    result = await bench.after_lost(bench.call("vault.rotate_transit_key", {"key": "scores"}))
    assert (result.changed, result.verified, result.output["version"]) == (True, True, 2)
    assert bench.client.key("scores").latest == 2


async def test_the_minimum_version_shuts_out_old_ciphertext_and_its_undo_lets_it_in_again(
    site: VaultSite, bench: Bench
) -> None:
    site.key("scores")
    old = site.encrypt("scores", "before")
    bench.client.rotate_key("scores")
    fresh = site.admin.secrets.transit.rewrap_data("scores", old, mount_point=site.transit)["data"]["ciphertext"]
    params = {"key": "scores", "version": 2}
    shown = await bench.preview("vault.raise_minimum_version", **params)
    assert "versions 1 to 1" in shown.impact[0] and shown.reversible
    result = await bench.apply("vault.raise_minimum_version", **params)
    assert (result.changed, result.verified, result.output["count"]) == (True, True, 1)
    with pytest.raises(hvac.exceptions.InvalidRequest, match="too old"):
        site.decrypt("scores", old)
    assert site.decrypt("scores", fresh) == "before"
    again = await bench.run(bench.call("vault.raise_minimum_version", params, step="again"))
    assert (again.changed, again.items and again.items.already) == (False, 1)
    undone = await bench.run(bench.call("vault.raise_minimum_version", params, verb="undo", undo_args=result.undo_args))
    assert (undone.changed, undone.verified) == (True, True)
    assert site.decrypt("scores", old) == "before"


async def test_a_minimum_that_somebody_raised_further_is_not_lowered_by_the_undo(site: VaultSite, bench: Bench) -> None:
    site.key("scores")
    bench.client.rotate_key("scores")
    bench.client.rotate_key("scores")
    params = {"key": "scores", "version": 2}
    result = await bench.apply("vault.raise_minimum_version", **params)
    bench.client.set_minimum("scores", 3)
    call = bench.call("vault.raise_minimum_version", params, verb="undo", undo_args=result.undo_args)
    undone = await bench.run(call)
    assert undone.items is not None and (undone.changed, undone.items.unknown) == (False, 1)
    assert bench.client.key("scores").minimum == 3


async def test_a_minimum_above_the_newest_version_is_refused(site: VaultSite, bench: Bench) -> None:
    site.key("scores")
    error = await bench.refused(bench.call("vault.raise_minimum_version", {"key": "scores", "version": 2}))
    assert error.type == "InvalidParams" and "Rotate the key first" in error.message


# Secrets


async def test_a_rolled_secret_has_new_values_that_nobody_is_told(site: VaultSite, bench: Bench) -> None:
    site.put("crm/api", user="sync", password="old-and-leaked")
    shown = await bench.preview("vault.roll_secret", path="crm/api")
    assert "password" in shown.impact[0] and "user" not in shown.impact[0].split("values of")[1].split(";")[0]
    result = await bench.apply("vault.roll_secret", path="crm/api", length=32)
    assert (result.changed, result.verified, result.output) == (True, True, {"count": 1, "version": 2})
    now = site.get("crm/api")
    assert now["user"] == "sync" and len(now["password"]) == 32 and now["password"] != "old-and-leaked"
    everything = str(result) + bench.journal() + "".join(map(str, bench.files().values()))
    assert now["password"] not in everything and "old-and-leaked" not in everything


async def test_the_undo_of_a_roll_sets_the_old_values_as_a_new_version(site: VaultSite, bench: Bench) -> None:
    site.put("crm/api", password="first")
    result = await bench.apply("vault.roll_secret", path="crm/api")
    call = bench.call("vault.roll_secret", {"path": "crm/api"}, verb="undo", undo_args=result.undo_args)
    undone = await bench.run(call)
    assert (undone.changed, undone.verified) == (True, True)
    assert site.get("crm/api") == {"password": "first"}
    data = site.metadata("crm/api")
    assert data["current_version"] == 3 and MARK not in (data["custom_metadata"] or {})


async def test_the_undo_leaves_what_somebody_wrote_since(site: VaultSite, bench: Bench) -> None:
    site.put("crm/api", password="first")
    result = await bench.apply("vault.roll_secret", path="crm/api")
    site.put("crm/api", password="by a person")
    call = bench.call("vault.roll_secret", {"path": "crm/api"}, verb="undo", undo_args=result.undo_args)
    undone = await bench.run(call)
    assert undone.items is not None and (undone.changed, undone.items.unknown) == (False, 1)
    assert site.get("crm/api") == {"password": "by a person"}


@pytest.mark.parametrize("lost", ["/data/crm/api", "/metadata/crm/api"])
async def test_a_lost_roll_is_found_by_its_mark_and_not_rolled_twice(site: VaultSite, bench: Bench, lost: str) -> None:
    site.put("crm/api", password="first")
    bench.client = site.faulted()
    assert site.faulty is not None
    site.faulty.add("drop_after", path=lost, method="POST")
    call = bench.call("vault.roll_secret", {"path": "crm/api"})
    result = await bench.after_lost(call)
    assert (result.changed, result.verified, result.output["version"]) == (True, True, 2)
    assert site.metadata("crm/api")["current_version"] == 2
    undone = await bench.run(
        bench.call("vault.roll_secret", {"path": "crm/api"}, verb="undo", undo_args=result.undo_args)
    )
    assert undone.verified and site.get("crm/api") == {"password": "first"}


async def test_who_writes_between_preview_and_change_wins(site: VaultSite, bench: Bench) -> None:
    site.put("crm/api", password="first")
    bench.before_change = lambda: site.put("crm/api", password="by a person")
    result = await bench.apply("vault.roll_secret", path="crm/api")
    assert result.items is not None and result.items.failures == ("crm/api: changed_since",)
    assert (result.changed, result.verified) == (False, False)
    assert site.get("crm/api") == {"password": "by a person"}


async def test_a_roll_keeps_the_secrets_other_metadata(site: VaultSite, bench: Bench) -> None:
    site.put("crm/api", password="first")
    site.admin.secrets.kv.v2.update_metadata(
        "crm/api", max_versions=7, delete_version_after="90h", custom_metadata={"owner": "crm"}, mount_point=site.kv
    )
    await bench.apply("vault.roll_secret", path="crm/api")
    data = site.metadata("crm/api")
    assert (data["max_versions"], data["custom_metadata"]["owner"]) == (7, "crm")
    assert data["delete_version_after"] in ("90h", "90h0m0s")


async def test_which_fields_are_rolled_must_be_clear(site: VaultSite, bench: Bench) -> None:
    site.put("odd", left="a", right="b")
    for params, said in [
        ({"path": "odd"}, "Name the fields"),
        ({"path": "odd", "fields": ["middle"]}, "no field middle"),
    ]:
        error = await bench.refused(bench.call("vault.roll_secret", params))
        assert error.type == "InvalidParams" and said in error.message
    await bench.run(bench.call("vault.roll_secret", {"path": "odd", "fields": ["left"]}))
    assert site.get("odd")["right"] == "b" and site.get("odd")["left"] != "a"


async def test_a_secret_that_is_not_there_or_deleted_is_not_rolled(site: VaultSite, bench: Bench) -> None:
    assert (await bench.refused(bench.call("vault.roll_secret", {"path": "nothing"}))).type == "NotFound"
    site.put("gone", password="x")
    site.admin.secrets.kv.v2.delete_latest_version_of_secret("gone", mount_point=site.kv) if site.peer is None else (
        site.admin.secrets.kv.v2.delete_secret_versions("gone", [1], mount_point=site.kv)
    )
    assert (await bench.refused(bench.call("vault.roll_secret", {"path": "gone"}))).type == "NotFound"


async def test_a_destroyed_version_cannot_be_set_back_and_says_so(site: VaultSite, bench: Bench) -> None:
    site.put("crm/api", password="first")
    result = await bench.apply("vault.roll_secret", path="crm/api")
    site.admin.secrets.kv.v2.destroy_secret_versions("crm/api", [1], mount_point=site.kv)
    call = bench.call("vault.roll_secret", {"path": "crm/api"}, verb="undo", undo_args=result.undo_args)
    undone = await bench.run(call)
    assert undone.items is not None and undone.items.failures == ("crm/api: version_gone",)


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


async def test_a_prefix_that_holds_stanchs_own_token_is_refused(site: VaultSite, store: Store) -> None:
    role_id = site.role("stanch", (site.tag,))
    site.login(site.role("crm-sync"), site.secret_id("crm-sync"))
    client = site.client(token=None, role_id=role_id, secret_id="secret:env/ID", env={"ID": site.secret_id("stanch")})
    bench = Bench(client, store, "vault")
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


def test_old_material_is_seen_until_it_no_longer_decrypts(simulated: tuple[VaultPeer, str]) -> None:
    from activities.systems.vault.actions_evidence import _age
    from activities.systems.vault.peer.state import Key, now

    peer, url = simulated
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


def test_the_environment_has_no_say(site: VaultSite, simulated: tuple[VaultPeer, str]) -> None:
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


def test_a_sealed_server_says_so(simulated: tuple[VaultPeer, str]) -> None:
    peer, url = simulated
    site = VaultSite(url, peer.state.root, peer)
    client = site.client()
    peer.state.sealed = True
    try:
        with pytest.raises(Unavailable, match="sealed"):
            client.key("scores")
    finally:
        peer.state.sealed = False
        site.close()
