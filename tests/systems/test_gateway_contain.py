"""Gateway: what is cut off stays cut off, also after a reload; the others go on; an undo gives it back."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from playbooks.contract import TargetSet, Verb
from tests.systems.acme import Bench
from tests.systems.gateway_site import KEY, Site, sha256
from worker.store import Store

BLOCK = "gateway.block_certificates"


@pytest.fixture(scope="module", params=["peer", pytest.param("real", marks=pytest.mark.real)])
def sites(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One of each kind for all tests of this file."""
    with Site(request.param, tmp_path_factory.mktemp("gateway")) as site:
        yield site


@pytest.fixture
def site(sites: Site) -> Site:
    """As it was at first."""
    sites.reset()
    return sites


@pytest.fixture
def bench(site: Site, empty_database: Path, tmp_path: Path) -> Iterator[Bench]:
    """Calls of actions on the gateway."""
    shutil.copy(empty_database, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    yield Bench(site._client, store, "gateway")
    store.close()


async def undone(bench: Bench, name: str, result: Any, **params: Any) -> Any:
    """The undo of a step."""
    changes = {"undo_args": result.undo_args, "epoch": 1, "tries": 2}
    return await bench.run(bench.call(name, params, verb=Verb.UNDO, **changes))


async def suspects(bench: Bench, site: Site, *names: str) -> TargetSet:
    """Clients that were seen, as a playbook lists them."""
    for name in names:
        site.ask(name)
    listed = await bench.apply("gateway.list_clients", callers=list(names))
    assert listed.output["missing"] == []
    return TargetSet.model_validate(listed.output["targets"])


async def test_a_blocked_certificate_gets_403_and_the_others_go_on(site, bench):
    targets = await suspects(bench, site, "harvester")
    thief = site.link("harvester")
    assert site.send(thief)[0] == 200
    preview = await bench.preview(BLOCK, targets=targets)
    assert (preview.count, preview.already, preview.reversible) == (1, 0, True)
    assert preview.sample == (site.fingerprint("harvester"),) and preview.labels == ("harvester",)
    assert any("harvester" in line for line in preview.impact)
    assert site.front.commands and not any(c.startswith(("add", "set", "del")) for c in site.front.commands)

    result = await bench.apply(BLOCK, targets=targets)
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    assert site.send(thief)[0] == 403, "on a connection that was open, too"
    assert site.ask("harvester")[0] == 403
    assert site.ask("crm-sync")[0] == site.ask("partner-atlas")[0] == 200
    assert site.ask(None, key=KEY)[0] == 200

    site.gateway.reload()
    assert site.ask("harvester")[0] == 403, "a reload does not let it in again"
    assert site.ask("crm-sync")[0] == 200

    back = await undone(bench, BLOCK, result, targets=targets)
    assert (back.changed, back.verified, back.affected.count) == (True, True, 1)
    assert site.ask("harvester")[0] == 200
    site.gateway.reload()
    assert site.ask("harvester")[0] == 200, "nor does one block it again"


async def test_a_blocked_key_gets_403_also_beside_a_certificate(site, bench):
    result = await bench.apply("gateway.block_keys", targets=[sha256(KEY)])
    assert (result.verified, result.affected.count) == (True, 1)
    assert site.ask(None, key=KEY)[0] == 403
    assert site.ask("crm-sync", key=KEY)[0] == 403
    assert site.ask("crm-sync")[0] == 200
    site.gateway.reload()
    assert site.ask(None, key=KEY)[0] == 403
    assert (await undone(bench, "gateway.block_keys", result, targets=[sha256(KEY)])).verified
    assert site.ask(None, key=KEY)[0] == 200


async def test_a_limited_client_gets_429_and_the_others_do_not(site, bench):
    targets = [site.fingerprint("harvester")]
    result = await bench.apply("gateway.limit_clients", targets=targets, per_minute=3)
    assert result.verified
    assert [site.ask("harvester")[0] for _ in range(5)] == [200, 200, 200, 429, 429]
    assert [site.ask("partner-atlas")[0] for _ in range(5)] == [200] * 5
    site.gateway.reload()
    assert [site.ask("harvester")[0] for _ in range(5)][-1] == 429
    looser = await bench.run(bench.call("gateway.limit_clients", {"targets": targets, "per_minute": 50}, step="looser"))
    assert (looser.changed, looser.items.already) == (False, 1), "a tighter limit stays"
    assert (await undone(bench, "gateway.limit_clients", result, targets=targets, per_minute=3)).verified
    assert site.ask("harvester")[0] == 200


async def test_nothing_makes_a_client_get_log_probabilities_that_are_cut(site, bench):
    targets = [site.fingerprint("harvester")]
    assert site.outputs("harvester") == ["score", "logprobs"]
    result = await bench.apply("gateway.strip_outputs", targets=targets, outputs=["logprobs"])
    assert result.verified
    for headers in ({}, {"Accept-Encoding": "gzip"}, {"X-Client-Name": "crm-sync"}, {"Range": "bytes=0-"}):
        assert site.outputs("harvester", headers=headers) == ["score"]
    status, answer = site.ask("harvester", body={"parameters": {"logprobs": True, "pad": "x" * 200_000}})
    assert status == 200 and [output["name"] for output in answer["outputs"]] == ["score"]
    assert answer["parameters"] == {"digest": "d" * 64}, "all else is as the model gave it"
    assert site.outputs("crm-sync") == ["score", "logprobs"]
    site.gateway.reload()
    assert site.outputs("harvester") == ["score"]
    assert (await undone(bench, "gateway.strip_outputs", result, targets=targets)).verified
    assert site.outputs("harvester") == ["score", "logprobs"]


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
async def test_an_answer_that_cannot_be_cut_is_not_given(site, bench, answer):
    await bench.apply("gateway.strip_outputs", targets=[site.fingerprint("harvester")])
    for model in site.models:
        model.answer = answer
    status, content = site.ask("harvester")
    assert status == 502 and b"logprobs" not in str(content).encode()
    assert site.ask("crm-sync")[0] == 200


async def test_log_probabilities_under_another_spelling_are_cut_too(site, bench):
    await bench.apply("gateway.strip_outputs", targets=[site.fingerprint("harvester")])
    body = (
        b'{"outputs":[{"name":"Log_Probs"},{"name":"score","data":[0.10000000000000000001]},'
        b'{"name":"log\\u0070robs"}],"choices":[{"text":"\\u00e4\\\\u0041","top_logprobs":[1]}],"logprob":1,"logprob":2}'
    )
    for model in site.models:
        model.answer = Response(body, media_type="application/json")
    status, answer = site.ask("harvester")
    assert status == 200
    assert answer == {
        "outputs": [{"name": "score", "data": [0.1]}],
        "choices": [{"text": "ä\\u0041"}],
    }


async def test_without_an_answer_of_policy_everybody_is_refused(site, bench):
    assert site.ask("crm-sync")[0] == 200
    assert site.ask("stranger")[0] == 403, "a certificate of ours that policy does not know"
    assert site.ask(None)[0] == 401
    assert site.ask("crm-sync", "/v2/%2e%2e/admin")[0] == 403
    if site.real:
        site.opa.stop()
        try:
            assert site.ask("crm-sync")[0] == 503
        finally:
            site.opa.start()
    else:
        there, site.gateway.opa = site.gateway.opa, "http://127.0.0.1:9"
        assert site.ask("crm-sync")[0] == 503
        site.gateway.opa = there
    assert site.ask("crm-sync")[0] == 200


async def test_every_request_is_one_line_of_the_log(site, bench):
    site.ask("harvester")
    site.ask(None, key=KEY)
    site.ask(None, key="no-key-of-ours")
    await bench.apply(BLOCK, targets=[site.fingerprint("harvester")])
    site.ask("harvester")
    first, second, third, last = site.log()
    assert set(first) >= {"at", "request_id", "caller", "key", "path", "status", "bytes", "backend", "server"}
    assert (first["caller"], first["status"], first["backend"]) == ("harvester", 200, "models")
    assert first["server"] in ("replica1", "replica2") and first["certificate"] == site.fingerprint("harvester")
    assert (second["caller"], second["key"], second["status"]) == ("crm-sync", sha256(KEY), 200)
    assert (third["caller"], third["status"]) == ("", 403)
    assert (last["status"], last["reason"], last["server"]) == (403, "blocked", "")
    ids = {headers["x-request-id"] for model in site.models for headers in model.asked}
    assert ids == {first["request_id"], second["request_id"]}
    for model in site.models:
        for headers in model.asked:
            assert "x-api-key" not in headers and headers["x-client-name"] in ("harvester", "crm-sync")
