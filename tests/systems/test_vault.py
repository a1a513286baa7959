"""Vault and OpenBao: rotate, raise, roll; on the simulated server, and with ``--live=vault`` on a real one."""

import hvac
import pytest

from activities.systems.vault.models import MARK
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


async def test_who_writes_while_the_undo_is_on_its_way_wins_too(site: VaultSite, bench: Bench) -> None:
    site.put("crm/api", password="first")
    result = await bench.apply("vault.roll_secret", path="crm/api")
    bench.client = site.faulted()
    assert site.faulty is not None
    site.faulty.add("act_before", path="/data/crm/api", method="POST", act=lambda: site.put("crm/api", password="hers"))
    call = bench.call("vault.roll_secret", {"path": "crm/api"}, verb="undo", undo_args=result.undo_args)
    undone = await bench.run(call)
    assert undone.items is not None and (undone.changed, undone.items.unknown) == (False, 1)
    assert site.get("crm/api") == {"password": "hers"}


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
    site.admin.secrets.kv.v2.delete_latest_version_of_secret("gone", mount_point=site.kv)
    assert (await bench.refused(bench.call("vault.roll_secret", {"path": "gone"}))).type == "NotFound"


async def test_a_destroyed_version_cannot_be_set_back_and_says_so(site: VaultSite, bench: Bench) -> None:
    site.put("crm/api", password="first")
    result = await bench.apply("vault.roll_secret", path="crm/api")
    site.admin.secrets.kv.v2.destroy_secret_versions("crm/api", [1], mount_point=site.kv)
    call = bench.call("vault.roll_secret", {"path": "crm/api"}, verb="undo", undo_args=result.undo_args)
    undone = await bench.run(call)
    assert undone.items is not None and undone.items.failures == ("crm/api: version_gone",)
