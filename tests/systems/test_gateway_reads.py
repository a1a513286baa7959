"""Gateway: what is listed, checked and probed is what is so; a client for reading changes nothing."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.errors import AuthFailed, Rejected
from activities.systems.gateway.client import connect, connect_reading
from activities.systems.gateway.models import CERTIFICATES, LIMITS
from playbooks.contract import TargetSet
from tests.systems.gateway_site import KEY, sha256
from worker.secrets import Secrets

GOOD = {"socket": "/run/haproxy/admin.sock", "maps": "/etc/haproxy/maps", "opa": "http://127.0.0.1:8181"}


async def test_clients_are_listed_by_the_certificate_they_used(gateway, at_gateway):
    # Others used this gateway until a moment ago, and what is listed goes back a little from now.
    await asyncio.sleep(0.5)
    start = {"since": (datetime.now(UTC) - timedelta(seconds=0.2)).isoformat()}
    gateway.ask("harvester")
    gateway.ask("crm-sync")
    gateway.ask(None, key=KEY)
    listed = await at_gateway.apply("gateway.list_clients", **start)
    rows = {row["id"]: row["label"] for row in at_gateway.rows(listed.output["targets"])}
    assert rows == {gateway.fingerprint("harvester"): "harvester", gateway.fingerprint("crm-sync"): "crm-sync"}
    keys = [(row["id"], row["label"]) for row in at_gateway.rows(listed.output["keys"])]
    assert keys == [(sha256(KEY), "crm-sync")]
    assert (listed.output["count"], listed.warnings) == (2, ())

    one = {"callers": ["harvester", "nobody"], **start}
    named = await at_gateway.run(at_gateway.call("gateway.list_clients", one, step="named"))
    assert [row["id"] for row in at_gateway.rows(named.output["targets"])] == [gateway.fingerprint("harvester")]
    assert named.output["missing"] == ["nobody"] and named.warnings

    soon = {"since": (datetime.now(UTC) + timedelta(minutes=5)).isoformat()}
    assert (await at_gateway.run(at_gateway.call("gateway.list_clients", soon, step="soon"))).output["count"] == 0


async def test_clients_from_before_a_reload_are_listed_from_the_log(gateway, at_gateway):
    start = datetime.now(UTC) - timedelta(seconds=1)
    gateway.ask("harvester")
    gateway.server.reload()
    assert gateway.own_client.seen() == [], "the running gateway has forgotten"
    listed = await at_gateway.apply("gateway.list_clients", callers=["harvester"], since=start.isoformat())
    assert [row["id"] for row in at_gateway.rows(listed.output["targets"])] == [gateway.fingerprint("harvester")]
    assert listed.warnings == () and listed.output["targets"]["complete"]

    broken = gateway.folder / "logs" / "older.jsonl"
    broken.write_text('{"at": "2026-01-01T00:00:00Z", "caller"\n')
    call = at_gateway.call("gateway.list_clients", {"since": start.isoformat()}, step="broken")
    listed = await at_gateway.run(call)
    broken.unlink()
    assert listed.output["count"] and listed.warnings and not listed.output["targets"]["complete"]


async def test_a_check_says_what_the_gateway_would_do(gateway, at_gateway):
    gateway.ask("harvester")
    gateway.ask("crm-sync")
    gateway.ask("stranger")
    listed = await at_gateway.apply("gateway.list_clients", callers=["harvester", "crm-sync", "stranger"])
    targets = TargetSet.model_validate(listed.output["targets"])
    before = await at_gateway.apply("gateway.check_client", targets=targets)
    assert before.output == {"allowed": 2, "refused": 1}, "policy does not know the stranger"
    await at_gateway.apply("gateway.block_certificates", targets=[gateway.fingerprint("harvester")])
    after = await at_gateway.run(at_gateway.call("gateway.check_client", {"targets": targets}, step="after"))
    assert after.output == {"allowed": 1, "refused": 2}
    one = {"fingerprint": gateway.fingerprint("harvester")}
    assert (await at_gateway.run(at_gateway.call("gateway.check_client", one, step="one"))).output["refused"] == 1
    assert all(command.startswith(("show", "add map")) for command in gateway.front.commands)


async def test_a_key_is_checked_by_its_hash(gateway, at_gateway):
    gateway.ask(None, key=KEY)
    keys = {"targets": [sha256(KEY)]}
    assert (await at_gateway.apply("gateway.check_client", **keys)).output == {"allowed": 1, "refused": 0}
    await at_gateway.apply("gateway.block_keys", **keys)
    blocked = await at_gateway.run(at_gateway.call("gateway.check_client", keys, step="blocked"))
    assert blocked.output == {"allowed": 0, "refused": 1}


async def test_a_probe_gets_what_that_client_gets(gateway, at_gateway):
    async def probe(step: str, credential: str = "secret:env/HARVESTER") -> dict[str, object]:
        call = at_gateway.call("gateway.probe_gateway", {"credential": credential}, step=step)
        return (await at_gateway.run(call)).output

    assert await probe("free") == {"status": 200, "refused": False, "log_probabilities": True}
    assert (await probe("key", "secret:env/KEY"))["status"] == 200
    targets = [gateway.fingerprint("harvester")]
    await at_gateway.apply("gateway.strip_outputs", targets=targets)
    assert await probe("cut") == {"status": 200, "refused": False, "log_probabilities": False}
    await at_gateway.apply("gateway.limit_clients", targets=targets, per_minute=0)
    assert (await probe("limited"))["status"] == 429
    await at_gateway.apply("gateway.block_certificates", targets=targets)
    assert await probe("blocked") == {"status": 403, "refused": True, "log_probabilities": False}
    gateway.authority.revoked = [gateway.certificates["harvester"].serial_number]
    gateway.published = gateway.authority.revocations()
    await at_gateway.apply("gateway.refresh_revocations")
    assert await probe("revoked") == {"status": 0, "refused": True, "log_probabilities": False}
    assert (await probe("other", "secret:env/CRM_SYNC"))["status"] == 200
    for bad, kind in (("harvester.pem", "InvalidParams"), ("secret:env/BAD", "AuthFailed")):
        refused = await at_gateway.refused(
            at_gateway.call("gateway.probe_gateway", {"credential": bad}, step=f"bad{len(bad)}")
        )
        assert refused.type == kind
    assert "PRIVATE KEY" not in at_gateway.journal() and KEY not in at_gateway.journal()


async def test_a_snapshot_holds_what_is_live_and_what_is_kept(gateway, at_gateway):
    gateway.ask("harvester")
    gateway.runtime().change(f"add map {gateway.maps / CERTIFICATES.file} {'a' * 64} BY-HAND")
    result = await at_gateway.apply("gateway.snapshot_state")
    assert result.output == {"certificates_blocked": 1, "keys_blocked": 0, "limits": 0, "servers": 3}
    assert result.warnings == ("live and in its file not the same: blocked_certs.map",)
    kept = json.loads(at_gateway.files()["gateway.state.json"])
    assert kept["lists"][CERTIFICATES.file] == {"live": {"a" * 64: "BY-HAND"}, "kept": {}}
    assert kept["lists"][LIMITS.file]["live"] == {"default": "600"}
    assert {row["name"] for row in kept["servers"]} == {"replica1", "replica2", "canary"}
    assert kept["seen"][0]["name"] == "harvester"
    assert "crm-sync" in kept["policy"]["clients"]


def test_doctor_says_what_is_missing(gateway):
    assert gateway.own_client.ping().endswith("with every list that the actions need.")
    other = gateway.client(maps="/somewhere/else")
    with pytest.raises(Rejected, match=r"blocked_certs\.map"):
        other.ping()


def test_a_reading_client_changes_nothing(gateway):
    config = gateway.own_client.config
    reading = connect_reading(config, Secrets({"OPA": "opa-token-of-the-test"}, Path()))
    try:
        assert reading.ping()
        assert reading.servers("models") and reading.policy.denied() == {}
        for change in (
            lambda: reading.set_weight("models/canary", 5),
            lambda: reading.keep(CERTIFICATES, {"a" * 64: "x"}),
            lambda: reading.deny_digest("a" * 64, "x"),
            lambda: reading.policy.put("stanch/x", 1),
            reading.keep_servers,
        ):
            with pytest.raises(Rejected, match="only reads"):
                change()
    finally:
        reading.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"socket": "admin.sock"}, "whole path"),
        ({"socket": "tcp:10.0.0.1:9999"}, "127.0.0.1"),
        ({"maps": "maps"}, "whole path"),
        ({"maps": "/etc/x; disable"}, "without blanks"),
        ({"opa": "http://user:pass@host"}, "without credentials"),
        ({"opa_token": "s3cret"}, "not the secret itself"),
        ({"extra": 1}, "not permitted"),
    ],
)
def test_settings_that_cannot_be_used_are_named(change, said):
    with pytest.raises(AuthFailed, match=said) as caught:
        connect({**GOOD, **change}, Secrets({}, Path()))
    assert "s3cret" not in caught.value.message and "user:pass" not in caught.value.message
