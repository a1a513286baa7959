"""Gateway: releases are refused at admission, revoked certificates at the door; a bad list is never loaded."""

import datetime as dt

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.systems.gateway_site import DIGEST, undone

DENY, REFRESH = "gateway.deny_digests", "gateway.refresh_revocations"


async def test_a_denied_release_is_refused_also_after_policy_was_started_anew(gateway, at_gateway):
    policy = gateway.own_client.policy
    assert policy.admits(DIGEST) and policy.admits(f"sha256:{DIGEST}")
    result = await at_gateway.apply(DENY, digests=[f"sha256:{DIGEST}"])
    assert (result.changed, result.verified, result.affected.sample) == (True, True, (DIGEST,))
    assert not policy.admits(DIGEST) and not policy.admits(f"sha256:{DIGEST}") and policy.admits("e" * 64)
    assert not policy.admits("") and not policy.admits("latest"), "what is no digest is not admitted either"
    gateway.restart_opa()
    assert not policy.admits(DIGEST)
    again = await at_gateway.run(at_gateway.call(DENY, {"digests": [DIGEST]}, step="again"))
    assert (again.changed, again.items.already) == (False, 1)
    back = await undone(at_gateway, DENY, result, digests=[f"sha256:{DIGEST}"])
    assert back.verified and policy.admits(DIGEST)
    gateway.restart_opa()
    assert policy.admits(DIGEST)


async def test_a_denial_whose_answer_was_lost_is_not_sent_twice_as_new(gateway, at_gateway):
    call = at_gateway.call(DENY, {"digests": [DIGEST]})
    gateway.opa_front.add("drop_after", path="denied_digests/", method="PUT")
    result = await at_gateway.after_lost(call)
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    back = await undone(at_gateway, DENY, result, digests=[DIGEST])
    assert back.verified and gateway.own_client.policy.admits(DIGEST)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_denial_comes_through_refusals_of_the_policy_engine(gateway, at_gateway, status):
    call = at_gateway.call(DENY, {"digests": [DIGEST]})
    gateway.opa_front.add("status", path="denied_digests/", method="PUT", status=status)
    failed = await at_gateway.refused(call)
    assert not failed.non_retryable
    result = await at_gateway.run(call, attempt=2)
    assert (result.verified, result.affected.count) == (True, 1)


@pytest.mark.parametrize("name", ["harvester", "partner-atlas"])
async def test_a_revoked_certificate_is_refused_by_the_gateway(gateway, at_gateway, name):
    link = gateway.link(name)
    assert gateway.send(link)[0] == 200
    gateway.authority.revoked = [gateway.certificates[name].serial_number]
    gateway.published = gateway.authority.revocations()
    preview = await at_gateway.preview(REFRESH)
    assert (preview.count, preview.reversible) == (1, False) and preview.irreversible_because
    result = await at_gateway.apply(REFRESH)
    assert (result.changed, result.verified, result.output) == (True, True, {"count": 1})
    assert gateway.ask(name)[0] == 0, "no handshake"
    assert gateway.send(link)[0] == 403, "nor a request on a connection that was open"
    assert gateway.ask("crm-sync")[0] == 200
    gateway.server.reload()
    assert gateway.ask(name)[0] == 0 and gateway.ask("crm-sync")[0] == 200
    again = await at_gateway.run(at_gateway.call(REFRESH, {}, step="again"))
    assert (again.changed, again.verified, again.affected.count) == (False, True, 0)


async def test_a_list_that_would_do_harm_is_not_loaded(gateway, at_gateway):
    authority = gateway.authority
    authority.revoked = [gateway.certificates["harvester"].serial_number]
    now = dt.datetime.now(dt.UTC)
    bad = {
        "is over": authority.revocations(days=0.001),
        "not signed": authority.revocations(key=ec.generate_private_key(ec.SECP256R1())),
        "older list": authority.revocations(at=now - dt.timedelta(hours=5)),
        "no list": b"<html>maintenance</html>",
    }
    for number, (why, content) in enumerate(bad.items()):
        gateway.published = content
        refused = await at_gateway.refused(at_gateway.call(REFRESH, {}, step=f"s{number}"))
        assert refused.type == "Rejected" and why in refused.message, refused.message
        assert gateway.ask("crm-sync")[0] == gateway.ask("harvester")[0] == 200
    assert not any("crl-file" in command for command in gateway.front.commands if not command.startswith("show"))


async def test_a_list_whose_loading_was_lost_is_loaded_once_more(gateway, at_gateway):
    gateway.authority.revoked = [gateway.certificates["harvester"].serial_number]
    gateway.published = gateway.authority.revocations()
    gateway.front.rules.append(("lose", "commit ssl"))
    result = await at_gateway.after_lost(at_gateway.call(REFRESH, {}))
    assert (result.changed, result.verified) == (True, True)
    assert gateway.ask("harvester")[0] == 0 and gateway.ask("crm-sync")[0] == 200
