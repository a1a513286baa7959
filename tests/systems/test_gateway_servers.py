"""Gateway: servers are drained and given shares of the requests, also after a reload; a failing canary is seen."""

import pytest

from tests.systems.gateway_site import undone

DRAIN, SHIFT, ERRORS = "gateway.drain_servers", "gateway.shift_traffic", "gateway.check_errors"


async def test_a_drained_server_gets_no_request_until_it_is_taken_back(gateway, at_gateway):
    params = {"backend": "models", "servers": ["replica1"]}
    assert set(gateway.served(6)) == {"replica1", "replica2"}
    preview = await at_gateway.preview(DRAIN, **params)
    assert (preview.count, preview.impact) == (1, ("1 server answers all requests",))
    result = await at_gateway.apply(DRAIN, **params)
    assert (result.changed, result.verified, result.affected.sample) == (True, True, ("models/replica1",))
    assert gateway.served(6) == {"replica2": 6}
    gateway.server.reload()
    assert gateway.served(6) == {"replica2": 6}, "a reload leaves it drained"
    back = await undone(at_gateway, DRAIN, result, **params)
    assert (back.changed, back.verified) == (True, True)
    assert gateway.served(6) == {"replica1": 3, "replica2": 3}
    gateway.server.reload()
    assert gateway.served(6) == {"replica1": 3, "replica2": 3}


async def test_draining_all_servers_says_that_nobody_is_answered(gateway, at_gateway):
    params = {"backend": "models", "servers": ["replica1", "replica2", "nobody"]}
    preview = await at_gateway.preview(DRAIN, **params)
    assert preview.count == 2
    assert preview.impact == ("no server is left: every caller gets 503 until they are taken back in",)
    assert preview.excluded == ("models/nobody: the gateway has no such server",)
    result = await at_gateway.apply(DRAIN, **params)
    assert gateway.ask("crm-sync")[0] == 503
    again = await at_gateway.run(at_gateway.call(DRAIN, params, step="again"))
    assert (again.changed, again.items.already) == (False, 2)
    assert (await undone(at_gateway, DRAIN, result, **params)).verified
    assert gateway.ask("crm-sync")[0] == 200


async def test_what_somebody_took_back_in_meanwhile_is_left_alone(gateway, at_gateway):
    params = {"backend": "models", "servers": ["replica1", "replica2"]}
    result = await at_gateway.apply(DRAIN, **params)
    gateway.runtime().change("set server models/replica2 state maint")
    back = await undone(at_gateway, DRAIN, result, **params)
    assert (back.items.done, back.items.unknown, back.verified) == (1, 1, False)
    assert gateway.served(4) == {"replica1": 4}


async def test_shares_of_a_canary_are_real_and_survive_a_reload(gateway, at_gateway):
    assert "canary" not in gateway.served(8)
    results = []
    for percent, asked, share in ((5, 40, range(1, 4)), (25, 20, range(4, 7))):
        params = {"backend": "models", "server": "canary", "percent": percent}
        call = at_gateway.call(SHIFT, params, step=f"to_{percent}")
        preview = await at_gateway.preview(SHIFT, **params)
        assert preview.count == 1 and f"gets {percent} of 100 requests" in preview.impact[0]
        results.append(await at_gateway.run(call))
        assert (results[-1].changed, results[-1].verified) == (True, True)
        assert gateway.served(asked)["canary"] in share
    gateway.server.reload()
    assert gateway.served(20)["canary"] in range(4, 7)
    checked = await at_gateway.apply(ERRORS, backend="models", server="canary")
    assert checked.output["share"] == pytest.approx(25, abs=0.5)
    back = await undone(at_gateway, SHIFT, results[-1], backend="models", server="canary", percent=25)
    assert back.verified
    assert gateway.served(40)["canary"] in range(1, 4), "back to the share before"


async def test_a_share_that_somebody_changed_since_is_left_alone(gateway, at_gateway):
    params = {"backend": "models", "server": "canary", "percent": 25}
    result = await at_gateway.apply(SHIFT, **params)
    gateway.runtime().change("set server models/canary weight 0")
    back = await undone(at_gateway, SHIFT, result, **params)
    assert (back.changed, back.items.unknown) == (False, 1)
    assert "canary" not in gateway.served(8)


async def test_all_or_none_can_be_shifted_and_no_server_is_invented(gateway, at_gateway):
    every = {"backend": "models", "server": "canary", "percent": 100}
    result = await at_gateway.apply(SHIFT, **every)
    assert gateway.served(6) == {"canary": 6}
    await undone(at_gateway, SHIFT, result, **every)
    assert set(gateway.served(6)) == {"replica1", "replica2"}
    nobody = await at_gateway.preview(SHIFT, backend="models", server="nobody", percent=5)
    assert (nobody.count, nobody.excluded) == (0, ("models/nobody: the gateway has no such server",))
    refused = await at_gateway.refused(at_gateway.call(SHIFT, {**every, "server": "x weight 1;shutdown"}, step="odd"))
    assert refused.type == "InvalidParams"


async def test_a_canary_that_fails_is_not_healthy(gateway, at_gateway):
    await at_gateway.apply(SHIFT, backend="models", server="canary", percent=50)
    start = await at_gateway.apply(ERRORS, backend="models", server="canary")
    since = {"since_requests": start.output["total_requests"], "since_errors": start.output["total_errors"]}
    gateway.served(20)
    params = {"backend": "models", "server": "canary", "at_least": 10, **since}
    good = await at_gateway.run(at_gateway.call(ERRORS, params, step="good"))
    assert (good.output["requests"], good.output["errors"], good.output["healthy"]) == (10, 0, True)
    gateway.models[2].fails = True
    gateway.served(20)
    bad = await at_gateway.run(at_gateway.call(ERRORS, params, step="bad"))
    assert (bad.output["requests"], bad.output["errors"], bad.output["healthy"]) == (20, 10, False)
    assert bad.output["rate"] == 0.5
    compared = {**params, "baseline": "replica1", "at_most": 0.1}
    assert not (await at_gateway.run(at_gateway.call(ERRORS, compared, step="to_other"))).output["healthy"]


async def test_too_few_requests_are_no_proof_of_health(gateway, at_gateway):
    start = await at_gateway.apply(ERRORS, backend="models", server="replica1")
    gateway.served(4)
    params = {"since_requests": start.output["total_requests"], "since_errors": start.output["total_errors"]}
    found = await at_gateway.run(
        at_gateway.call(ERRORS, {"backend": "models", "server": "replica1", **params}, step="later")
    )
    assert (found.output["requests"], found.output["healthy"], found.output["enough"]) == (2, False, False)
    assert found.warnings == ("only 2 requests: too few to call it healthy",)
