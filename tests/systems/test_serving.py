"""Model servers: every replica is proven as a customer, on simulated replicas and on real MLServers."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.errors import AuthFailed, Rejected, Unavailable
from activities.systems.serving.client import connect, connect_reading
from activities.systems.serving.models import Served, agreeing
from playbooks.contract import Verb
from tests.systems.acme import Bench
from tests.systems.real import executable
from tests.systems.serving_site import MODEL, Registry, Site, fronted, peer, place
from worker.range_server import LoopbackServer
from worker.secrets import Secrets
from worker.servers.mlserver import MlServer
from worker.store import Store


@pytest.fixture(scope="session")
def peer_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two simulated replicas for all tests."""
    registry, logs = Registry(), tmp_path_factory.mktemp("logs")
    server = LoopbackServer(registry)
    url = server.open()
    peers = [peer(url, logs, name) for name in ("a", "b")]
    fronts, servers, urls = fronted(peers)
    site = Site(registry, fronts, urls, logs)
    site.peers = peers
    yield site
    site.close()
    for one in (*servers, server):
        one.close()


@pytest.fixture(scope="session")
def real_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two real MLServers for all tests."""
    executable("mlserver")
    registry, logs = Registry(), tmp_path_factory.mktemp("logs")
    server = LoopbackServer(registry)
    url = server.open()
    started: list[MlServer] = []
    try:
        for name in ("a", "b"):
            # A server comes up and serves nothing where there is nothing to load; the first test then loads it.
            registry.champion = None if name == "b" else "5"
            started.append(MlServer(tmp_path_factory.mktemp(f"mlserver-{name}"), place(url, logs, name)))
            started[-1].start()
        fronts, servers, urls = fronted([one.url for one in started])
        site = Site(registry, fronts, urls, logs)
        yield site
        site.close()
        for front in servers:
            front.close()
    finally:
        for one in started:
            one.stop()
        server.close()


@pytest.fixture(params=["peer", pytest.param("real", marks=pytest.mark.real)])
def site(request: pytest.FixtureRequest) -> Site:
    """Two replicas that serve version 5."""
    found: Site = request.getfixturevalue(f"{request.param}_site")
    found.reset()
    return found


@pytest.fixture
def serving(site: Site, empty_database: Path, tmp_path: Path) -> Iterator[Bench]:
    """Calls of actions on the replicas."""
    shutil.copy(empty_database, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    yield Bench(site.client(), store, "serving")
    store.close()


async def test_each_replica_is_asked_as_a_customer(serving: Bench, site: Site) -> None:
    digest = site.registry.digest("5")
    probed = await serving.apply("serving.probe_model", model=MODEL, version="5", digest=f"sha256:{digest}")
    assert probed.output == {
        "matching": True, "versions": ["5"], "digests": [digest], "replicas": 2, "serving": 2, "unreachable": 0
    }  # fmt: skip
    assert [front.asked("/infer$", "POST") for front in site.fronts] == [1, 1]
    wrong = await serving.apply("serving.probe_model", model=MODEL, version="5", digest="0" * 64)
    assert wrong.output["matching"] is False
    assert {line["caller"] for line in site.lines()} == {"stanch-probe"}


async def test_a_replica_that_lags_behind_is_not_hidden_by_the_other(serving: Bench, site: Site) -> None:
    site.registry.champion = "2"
    serving.client.load(site.names[0], MODEL)
    probed = await serving.apply("serving.probe_model", model=MODEL)
    assert (probed.output["matching"], probed.output["versions"]) == (False, ["2", "5"])
    asked = await serving.apply("serving.probe_model", model=MODEL, version="2")
    assert asked.output["matching"] is False


async def test_a_replica_that_does_not_answer_is_never_fine(serving: Bench, site: Site) -> None:
    site.fronts[1].add("drop_before", times=0)
    probed = await serving.apply("serving.probe_model", model=MODEL, version="5")
    assert (probed.output["matching"], probed.output["unreachable"]) == (False, 1)
    assert any("did not answer" in warning for warning in probed.warnings)
    listed = await serving.apply("serving.list_models")
    assert listed.output == {"models": [MODEL], "replicas": 2, "complete": False}


async def test_a_canary_is_asked_for_itself_and_is_no_replica(site: Site, empty_database: Path, tmp_path: Path) -> None:
    shutil.copy(empty_database, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    first, second = site.client().config.replicas
    serving = Bench(site.client(replicas=[first], canaries=[second]), store, "serving")
    site.registry.champion = "2"
    serving.client.load(serving.client.canaries[0], MODEL)
    canary = await serving.apply("serving.probe_canary", model=MODEL, version="2")
    assert (canary.output["matching"], canary.output["versions"], canary.output["replicas"]) == (True, ["2"], 1)
    assert not (await serving.apply("serving.probe_canary", model=MODEL, version="5")).output["matching"]
    assert (await serving.apply("serving.probe_model", model=MODEL, version="5")).output["replicas"] == 1
    site.fronts[1].add("drop_before", times=0)
    silent = await serving.apply("serving.probe_canary", model=MODEL, version="2")
    store.close()
    assert (silent.output["matching"], silent.output["unreachable"]) == (False, 1)


async def test_what_the_replicas_know_is_secured(serving: Bench) -> None:
    listed = await serving.apply("serving.list_models")
    assert listed.output == {"models": [MODEL], "replicas": 2, "complete": True}
    rows = serving.rows_of(listed.evidence[-1].ref)
    assert [row["served"]["version"] for row in rows] == ["5", "5"]
    assert [row["index"]["state"] for row in rows] == ["READY", "READY"]


async def test_every_replica_loads_what_the_registry_says(serving: Bench, site: Site) -> None:
    site.registry.champion = "2"
    digest = site.registry.digest("2")
    preview = await serving.preview("serving.reload_model", model=MODEL, version="2", digest=digest)
    assert preview.count == 2 and preview.sample == tuple(site.names) and site.loads() == [0, 0]
    assert any("serves version 5" in line for line in preview.impact)
    result = await serving.apply("serving.reload_model", model=MODEL, version="2", digest=digest)
    assert (result.verified, result.affected.count, result.output) == (True, 2, {"count": 2})
    assert site.served() == ["2", "2"] and site.loads() == [1, 1]


async def test_a_replica_that_serves_it_already_is_left_alone(serving: Bench, site: Site) -> None:
    site.registry.champion = "2"
    serving.client.load(site.names[0], MODEL)
    result = await serving.apply("serving.reload_model", model=MODEL, version="2")
    assert (result.affected.count, result.output, result.verified) == (1, {"count": 2}, True)
    assert site.loads() == [1, 1]


async def test_a_reload_that_changes_nothing_does_not_pass(serving: Bench, site: Site) -> None:
    site.fronts[0].add("status", path="/load$", status=200, times=0)
    site.registry.champion = "2"
    result = await serving.apply("serving.reload_model", model=MODEL, version="2")
    assert result.items is not None and result.items.done == 1
    assert result.verified is False
    assert result.items.failures == (f"{site.names[0]}: serves_other_version",)
    assert site.served() == ["5", "2"]


async def test_a_denied_digest_is_refused_and_the_old_one_goes_on_serving(serving: Bench, site: Site) -> None:
    site.registry.champion = "4"
    site.registry.denied = [site.registry.digest("4")]
    result = await serving.apply("serving.reload_model", model=MODEL, version="4")
    assert result.items is not None and result.items.failed == 2 and result.verified is False
    assert site.served() == ["5", "5"]


@pytest.mark.parametrize("spoilt", ["file", "manifest", "part", "registry", "tag", "policy"])
def test_a_replica_loads_nothing_that_is_not_whole(site: Site, spoilt: str) -> None:
    registry, client = site.registry, site.client()
    registry.champion = "2"
    if spoilt == "file":
        registry.versions["2"]["model.safetensors"] = registry.versions["5"]["model.safetensors"]
    elif spoilt == "manifest":
        registry.versions["2"]["release.json"] = b"[]"
    elif spoilt == "part":
        registry.versions["2"]["release.json"] = b'{"weights": {"path": "model.safetensors", "sha256": ""}}'
    elif spoilt == "tag":
        registry.tags["2"]["release_digest"] = "0" * 64
    elif spoilt == "policy":
        registry.policy = False
    else:
        registry.down = True
    with pytest.raises(Exception, match="500"):
        client.load(client.replicas[0], MODEL)
    assert site.served() == ["5", "5"]


async def test_an_unloaded_model_refuses_everybody_and_comes_back(serving: Bench, site: Site) -> None:
    preview = await serving.preview("serving.unload_model", model=MODEL)
    assert preview.count == 2 and preview.reversible
    result = await serving.apply("serving.unload_model", model=MODEL)
    assert (result.verified, result.affected.count) == (True, 2)
    assert [one.state for one in serving.client.ask_all(MODEL)] == ["absent", "absent"]
    again = await serving.run(serving.call("serving.unload_model", {"model": MODEL}, step="again"))
    assert (again.changed, again.output) == (False, {"count": 2})
    undone = await undo(serving, "serving.unload_model", result.undo_args)
    assert (undone.verified, undone.affected.count) == (True, 2)
    assert site.served() == ["5", "5"]


async def test_taking_back_says_when_another_version_came(serving: Bench, site: Site) -> None:
    result = await serving.apply("serving.unload_model", model=MODEL)
    site.registry.champion = "2"
    undone = await undo(serving, "serving.unload_model", result.undo_args)
    assert undone.items is not None and undone.items.unknown == 2
    assert undone.items.failures == tuple(f"{name}: serves_other_version" for name in site.names)


async def test_taking_back_leaves_alone_what_somebody_else_loaded(serving: Bench, site: Site) -> None:
    result = await serving.apply("serving.unload_model", model=MODEL)
    serving.client.load(site.names[0], MODEL)
    undone = await undo(serving, "serving.unload_model", result.undo_args)
    assert undone.items is not None and (undone.items.done, undone.items.unknown) == (1, 1)


async def test_a_reload_is_taken_back_once_the_registry_says_so(serving: Bench, site: Site) -> None:
    site.registry.champion = "2"
    result = await serving.apply("serving.reload_model", model=MODEL, version="2")
    early = await undo(serving, "serving.reload_model", result.undo_args, "early")
    assert early.items is not None and early.verified is False
    assert early.items.failures == tuple(f"{name}: serves_other_version" for name in site.names)
    site.registry.champion = "5"
    call = serving.call("serving.reload_model", {"model": MODEL}, verb=Verb.PREVIEW, undo_args=result.undo_args)
    preview: Any = await serving.run(call)
    assert preview.count == 2
    assert preview.impact[0] == f"{site.names[0]} loads what the registry says by then; it served version 5"
    undone = await undo(serving, "serving.reload_model", result.undo_args)
    assert (undone.verified, undone.affected.count, site.served()) == (True, 2, ["5", "5"])
    again = await undo(serving, "serving.reload_model", result.undo_args, "again")
    assert (again.changed, again.verified) == (False, True) and again.items is not None and again.items.already == 2
    assert site.loads() == [3, 3]


async def test_a_reload_that_somebody_followed_by_another_is_left(serving: Bench, site: Site) -> None:
    site.registry.champion = "2"
    result = await serving.apply("serving.reload_model", model=MODEL, version="2")
    site.registry.champion = "3"
    serving.client.load(site.names[0], MODEL)
    site.registry.champion = "5"
    undone = await undo(serving, "serving.reload_model", result.undo_args)
    assert undone.items is not None and undone.items.failures == (f"{site.names[0]}: changed_since",)
    assert site.served() == ["3", "5"]


async def test_what_served_nothing_before_a_reload_serves_nothing_again(serving: Bench, site: Site) -> None:
    serving.client.unload(site.names[0], MODEL)
    site.registry.champion = "2"
    result = await serving.apply("serving.reload_model", model=MODEL, version="2")
    assert site.served() == ["2", "2"]
    site.registry.champion = "5"
    undone = await undo(serving, "serving.reload_model", result.undo_args)
    assert undone.verified and [one.state for one in serving.client.ask_all(MODEL)] == ["absent", "serving"]


async def test_a_name_that_nobody_knows_is_not_called_unloaded(serving: Bench, site: Site) -> None:
    refused = await serving.refused(serving.call("serving.unload_model", {"model": "churn-scorrer"}))
    assert refused.type == "NotFound"
    probed = await serving.apply("serving.probe_model", model="churn-scorrer")
    assert probed.output["matching"] is False


async def test_customers_are_answered_and_logged(site: Site) -> None:
    import httpx

    row = [12.0, 3.0, 80.0, 4.0]
    body = {"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": row}]}
    headers = {"x-client-cn": "crm-sync", "x-client-key": "ab" * 32, "x-request-id": "r-1"}
    async with httpx.AsyncClient(trust_env=False) as http:
        url = f"{site.urls[0]}/v2/models/{MODEL}/infer"
        plain = await http.post(url, json=body, headers=headers)
        asked = await http.post(url, json={**body, "parameters": {"logprobs": True}}, headers=headers)
        wrong = await http.post(url, json={"inputs": [{**body["inputs"][0], "shape": [2, 4]}]}, headers=headers)
    assert plain.status_code == 200 and wrong.status_code == 400
    answer = plain.json()
    assert (answer["model_name"], answer["model_version"]) == (MODEL, "5")
    assert answer["parameters"]["digest"] == site.registry.digest("5")
    assert [output["name"] for output in answer["outputs"]] == ["score"]
    assert [output["name"] for output in asked.json()["outputs"]] == ["score", "logprobs"]
    first, second, third = site.lines()
    assert set(first) == {
        "at", "request_id", "caller", "key", "model", "version", "digest", "inputs", "outputs", "logprobs",
        "latency_ms", "status",
    }  # fmt: skip
    assert (first["request_id"], first["caller"], first["key"], first["inputs"]) == ("r-1", "crm-sync", "ab" * 32, row)
    assert first["outputs"]["score"] == pytest.approx(answer["outputs"][0]["data"])
    assert (first["logprobs"], second["logprobs"], third["status"]) == (False, True, 400)


@pytest.mark.parametrize(
    ("kind", "rule"),
    [("drop_after", {}), ("drop_before", {}), ("status", {"status": 503}), ("status", {"status": 429})],
)
async def test_a_reload_survives_a_bad_answer(serving: Bench, site: Site, kind: str, rule: dict[str, Any]) -> None:
    site.registry.champion = "2"
    site.fronts[0].add(kind, path="/load$", **rule)
    result = await serving.apply("serving.reload_model", model=MODEL, version="2")
    assert (result.verified, result.affected.count) == (True, 2)
    assert site.served() == ["2", "2"]


@pytest.mark.parametrize("kind", ["drop_after", "status"])
async def test_an_unload_survives_a_bad_answer(serving: Bench, site: Site, kind: str) -> None:
    site.fronts[0].add(kind, path="/unload$")
    result = await serving.apply("serving.unload_model", model=MODEL)
    assert (result.verified, result.affected.count, result.undo_args is not None) == (True, 2, True)


@pytest.mark.parametrize("name", ["reload", "unload"])
async def test_what_a_dead_worker_had_done_is_found_and_counted_as_ours(serving: Bench, site: Site, name: str) -> None:
    site.registry.champion = "2"
    params = {"model": MODEL, **({"version": "2"} if name == "reload" else {})}
    work = serving.client.load if name == "reload" else serving.client.unload

    def do_and_die() -> None:
        for replica in serving.client.replicas:
            work(replica, MODEL)
        raise Unavailable("the worker dies here")

    call = serving.call(f"serving.{name}_model", params)
    serving.before_change = do_and_die
    await serving.refused(call)
    serving.before_change = None
    asked = [len(front.requests) for front in site.fronts]
    result = await serving.run(call, attempt=2)
    assert (result.verified, result.affected.count) == (True, 2)
    sent = [front.requests[seen:] for front, seen in zip(site.fronts, asked, strict=True)]
    assert not [path for requests in sent for _, path in requests if path.endswith("load")]


async def test_a_replica_that_stays_away_is_reported_and_the_other_is_reloaded(serving: Bench, site: Site) -> None:
    site.registry.champion = "2"
    site.fronts[0].add("status", path=f"/models/{MODEL}", times=0)
    call = serving.call("serving.reload_model", {"model": MODEL, "version": "2"})
    for attempt in (1, 2):
        assert (await serving.refused(call, attempt=attempt)).type == "Ambiguous"
    result = await serving.run(call, attempt=3)
    assert result.items is not None and (result.items.done, result.items.failed + result.items.unknown) == (1, 1)
    assert result.verified is False and site.served()[1] == "2" and site.loads()[1] == 1


async def test_when_nobody_can_be_reached_nothing_was_done(serving: Bench, site: Site) -> None:
    for front in site.fronts:
        front.add("status", path="/load$", status=429, times=0)
    refused = await serving.refused(serving.call("serving.reload_model", {"model": MODEL}))
    assert (refused.type, refused.non_retryable) == ("RateLimited", False)


async def test_reading_back_asks_every_replica(serving: Bench, site: Site) -> None:
    site.registry.champion = "2"
    serving.client.load(site.names[0], MODEL)
    call = serving.call("serving.reload_model", {"model": MODEL, "version": "2"}, verb=Verb.VERIFY)
    assert (await serving.run(call)).verified is False
    serving.client.load(site.names[1], MODEL)
    assert (await serving.run(call)).verified is True


async def test_a_reload_without_a_version_proves_that_all_agree(serving: Bench, site: Site) -> None:
    site.registry.champion = "2"
    result = await serving.apply("serving.reload_model", model=MODEL)
    assert (result.verified, result.affected.count) == (True, 2) and site.served() == ["2", "2"]


async def undo(bench: Bench, name: str, undo_args: Any, step: str = "undone") -> Any:
    """Take a step back."""
    return await bench.run(bench.call(name, {"model": MODEL}, verb=Verb.UNDO, undo_args=undo_args, step=step))


def test_settings_that_could_mislead_are_refused() -> None:
    vault = Secrets({}, Path())
    for wrong in (
        {"replicas": []},
        {"replicas": ["http://u:p@models:8080"]},
        {"replicas": ["http://a:1", "http://a:1/"]},
        {"replicas": ["http://a:1"], "token": "plain"},
        {"replicas": ["https://b:1", "http://a:1"], "token": "secret:env/TOKEN"},
    ):
        with pytest.raises(AuthFailed, match=r"systems\.serving"):
            connect(wrong, vault)


def test_a_client_for_reading_changes_nothing(site: Site) -> None:
    client = connect_reading({"replicas": site.urls}, Secrets({}, Path()))
    with pytest.raises(Rejected, match="Nothing was sent"):
        client.load(client.replicas[0], MODEL)
    assert "2 replicas answer" in client.ping() and site.loads() == [0, 0]
    client.close()


def test_replicas_that_say_nothing_do_not_agree() -> None:
    assert not agreeing([Served("a", "serving"), Served("b", "serving")])
    assert not agreeing([])
    assert agreeing([Served("a", "serving", "2"), Served("b", "serving", "2")])
