"""Gateway: what is cut off stays cut off, also after a reload; the others go on; an undo gives it back."""

import pytest
from starlette.responses import Response

from playbooks.contract import TargetSet
from tests.systems.acme import Bench
from tests.systems.gateway_site import KEY, Site, sha256, undone

BLOCK = "gateway.block_certificates"


async def suspects(at_gateway: Bench, gateway: Site, *names: str) -> TargetSet:
    """Clients that were seen, as a playbook lists them."""
    for name in names:
        gateway.ask(name)
    listed = await at_gateway.apply("gateway.list_clients", callers=list(names))
    assert listed.output["missing"] == []
    return TargetSet.model_validate(listed.output["targets"])


async def test_a_blocked_certificate_gets_403_and_the_others_go_on(gateway, at_gateway):
    targets = await suspects(at_gateway, gateway, "harvester")
    thief = gateway.link("harvester")
    assert gateway.send(thief)[0] == 200
    preview = await at_gateway.preview(BLOCK, targets=targets)
    assert (preview.count, preview.already, preview.reversible) == (1, 0, True)
    assert preview.sample == (gateway.fingerprint("harvester"),) and preview.labels == ("harvester",)
    assert any("harvester" in line for line in preview.impact)
    assert gateway.front.commands and not any(c.startswith(("add", "set", "del")) for c in gateway.front.commands)

    result = await at_gateway.apply(BLOCK, targets=targets)
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    assert gateway.send(thief)[0] == 403, "on a connection that was open, too"
    assert gateway.ask("harvester")[0] == 403
    assert gateway.ask("crm-sync")[0] == gateway.ask("partner-atlas")[0] == 200
    assert gateway.ask(None, key=KEY)[0] == 200

    gateway.server.reload()
    assert gateway.ask("harvester")[0] == 403, "a reload does not let it in again"
    assert gateway.ask("crm-sync")[0] == 200

    back = await undone(at_gateway, BLOCK, result, targets=targets)
    assert (back.changed, back.verified, back.affected.count) == (True, True, 1)
    assert gateway.ask("harvester")[0] == 200
    gateway.server.reload()
    assert gateway.ask("harvester")[0] == 200, "nor does one block it again"


async def test_a_blocked_key_gets_403_also_beside_a_certificate(gateway, at_gateway):
    result = await at_gateway.apply("gateway.block_keys", targets=[sha256(KEY)])
    assert (result.verified, result.affected.count) == (True, 1)
    assert gateway.ask(None, key=KEY)[0] == 403
    assert gateway.ask("crm-sync", key=KEY)[0] == 403
    assert gateway.ask("crm-sync")[0] == 200
    gateway.server.reload()
    assert gateway.ask(None, key=KEY)[0] == 403
    assert (await undone(at_gateway, "gateway.block_keys", result, targets=[sha256(KEY)])).verified
    assert gateway.ask(None, key=KEY)[0] == 200


async def test_a_limited_client_gets_429_and_the_others_do_not(gateway, at_gateway):
    targets = [gateway.fingerprint("harvester")]
    result = await at_gateway.apply("gateway.limit_clients", targets=targets, per_minute=3)
    assert result.verified
    assert [gateway.ask("harvester")[0] for _ in range(5)] == [200, 200, 200, 429, 429]
    assert [gateway.ask("partner-atlas")[0] for _ in range(5)] == [200] * 5
    gateway.server.reload()
    assert [gateway.ask("harvester")[0] for _ in range(5)][-1] == 429
    looser = await at_gateway.run(
        at_gateway.call("gateway.limit_clients", {"targets": targets, "per_minute": 50}, step="looser")
    )
    assert (looser.changed, looser.items.already) == (False, 1), "a tighter limit stays"
    assert (await undone(at_gateway, "gateway.limit_clients", result, targets=targets, per_minute=3)).verified
    assert gateway.ask("harvester")[0] == 200


async def test_nothing_makes_a_client_get_log_probabilities_that_are_cut(gateway, at_gateway):
    targets = [gateway.fingerprint("harvester")]
    assert gateway.outputs("harvester") == ["score", "logprobs"]
    result = await at_gateway.apply("gateway.strip_outputs", targets=targets, outputs=["logprobs"])
    assert result.verified
    for headers in ({}, {"Accept-Encoding": "gzip"}, {"X-Client-Name": "crm-sync"}, {"Range": "bytes=0-"}):
        assert gateway.outputs("harvester", headers=headers) == ["score"]
    status, answer = gateway.ask("harvester", body={"parameters": {"logprobs": True, "pad": "x" * 200_000}})
    assert status == 200 and [output["name"] for output in answer["outputs"]] == ["score"]
    assert answer["parameters"] == {"digest": "d" * 64}, "all else is as the model gave it"
    assert gateway.outputs("crm-sync") == ["score", "logprobs"]
    gateway.server.reload()
    assert gateway.outputs("harvester") == ["score"]
    assert (await undone(at_gateway, "gateway.strip_outputs", result, targets=targets)).verified
    assert gateway.outputs("harvester") == ["score", "logprobs"]


@pytest.mark.parametrize(
    "answer",
    [
        Response(b'{"outputs": [{"name": "logprobs", "data": [1]}', media_type="application/json"),
        Response(b'{"outputs": []} {"name": "logprobs"}', media_type="application/json"),
        Response(b'data: {"logprobs": [1]}\n\n', media_type="text/event-stream"),
        Response(b'{"outputs": [{"name": "logprobs"}]}', media_type="application/octet-stream"),
        Response(b"\x1f\x8b\x08", media_type="application/json", headers={"content-encoding": "gzip"}),
    ],
    ids=["broken", "two", "stream", "binary", "packed"],
)
async def test_an_answer_that_cannot_be_cut_is_not_given(gateway, at_gateway, answer):
    await at_gateway.apply("gateway.strip_outputs", targets=[gateway.fingerprint("harvester")])
    for model in gateway.models:
        model.answer = answer
    status, content = gateway.ask("harvester")
    assert status == 502 and b"logprobs" not in str(content).encode()
    assert gateway.ask("crm-sync")[0] == 200


async def test_log_probabilities_under_another_spelling_are_cut_too(gateway, at_gateway):
    await at_gateway.apply("gateway.strip_outputs", targets=[gateway.fingerprint("harvester")])
    body = (
        b'{"outputs":[{"name":"Log_Probs"},{"name":"score","data":[0.10000000000000000001]},'
        b'{"name":"log\\u0070robs"}],"choices":[{"text":"\\u00e4\\\\u0041","top_logprobs":[1]}],"logprob":1,"logprob":2}'
    )
    for model in gateway.models:
        model.answer = Response(body, media_type="application/json")
    status, answer = gateway.ask("harvester")
    assert status == 200
    assert answer == {
        "outputs": [{"name": "score", "data": [0.1]}],
        "choices": [{"text": "ä\\u0041"}],
    }


async def test_without_an_answer_of_policy_everybody_is_refused(gateway, at_gateway):
    assert gateway.ask("crm-sync")[0] == 200
    assert gateway.ask("stranger")[0] == 403, "a certificate of ours that policy does not know"
    assert gateway.ask(None)[0] == 401
    assert gateway.ask("crm-sync", "/v2/%2e%2e/admin")[0] == 403
    if gateway.real:
        gateway.opa.stop()
        try:
            assert gateway.ask("crm-sync")[0] == 503
        finally:
            gateway.opa.start()
    else:
        there, gateway.server.opa = gateway.server.opa, "http://127.0.0.1:9"
        assert gateway.ask("crm-sync")[0] == 503
        gateway.server.opa = there
    assert gateway.ask("crm-sync")[0] == 200


async def test_every_request_is_one_line_of_the_log(gateway, at_gateway):
    gateway.ask("harvester")
    gateway.ask(None, key=KEY)
    gateway.ask(None, key="no-key-of-ours")
    await at_gateway.apply(BLOCK, targets=[gateway.fingerprint("harvester")])
    gateway.ask("harvester")
    first, second, third, last = gateway.log(4)
    assert set(first) >= {"at", "request_id", "caller", "key", "path", "status", "bytes", "backend", "server"}
    assert (first["caller"], first["status"], first["backend"]) == ("harvester", 200, "models")
    assert first["server"] in ("replica1", "replica2") and first["certificate"] == gateway.fingerprint("harvester")
    assert (second["caller"], second["key"], second["status"]) == ("crm-sync", sha256(KEY), 200)
    assert (third["caller"], third["status"]) == ("", 403)
    assert (last["status"], last["reason"], last["server"]) == (403, "blocked", "")
    ids = {headers["x-request-id"] for model in gateway.models for headers in model.asked}
    assert ids == {first["request_id"], second["request_id"]}
    for model in gateway.models:
        for headers in model.asked:
            assert "x-api-key" not in headers and headers["x-client-name"] in ("harvester", "crm-sync")
