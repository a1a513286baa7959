"""What a replica loads and what it refuses, from the simulated registry and OPA; and how it writes its log."""

import json
import threading
import urllib.error
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.systems.gateway.peer.policy import OpaPeer
from activities.systems.mlflow.peer.app import MlflowPeer
from activities.systems.mlflow.peer.seeding import Seeding
from activities.systems.serving.peer.replica import Place, Refused, Replica, fetch_url
from activities.systems.training.peer import churn
from tests.systems.serving_site import MODEL, Registry, weights
from worker.range_server import LoopbackServer

ROW = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [10.0, 2.0, 50.0, 1.0]}


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[str, str, OpaPeer]]:
    """A simulated MLflow with two versions, an OPA with a token, and their addresses."""
    opa = OpaPeer({"stanch": {"clients": {}, "denied_digests": {}}}, "t-opa")
    servers = [LoopbackServer(MlflowPeer()), LoopbackServer(opa)]
    registry, policy = (server.open() for server in servers)
    with Seeding(registry) as site:
        site.model(MODEL)
        for bias in (0.1, 0.2):
            files = {"model.safetensors": weights(bias), "serving/config.json": b"{}"}
            parts = {"weights": "model.safetensors", "serving_config": "serving/config.json"}
            site.alias(MODEL, "champion", site.version(MODEL, files, parts=parts))
    yield registry, policy, opa
    for server in servers:
        server.close()


def test_a_release_of_the_registry_is_loaded_and_answers(world: tuple[str, str, OpaPeer]) -> None:
    registry, policy, opa = world
    replica = Replica(Place(registry, MODEL, opa=policy), churn.load)
    loaded = replica.load()
    assert loaded.version == "2"
    answer = replica.infer({"inputs": [ROW], "parameters": {"logprobs": True}}, {})
    assert answer["parameters"] == {"digest": loaded.digest} and len(answer["outputs"][1]["data"]) == 2
    opa.data["stanch"]["denied_digests"][loaded.digest] = "INC-1"
    with pytest.raises(Refused, match="not admitted"):
        replica.load()
    assert replica.release == loaded
    opa.data["stanch"]["denied_digests"].clear()


def test_an_alias_or_a_policy_that_is_not_there_loads_nothing(world: tuple[str, str, OpaPeer]) -> None:
    registry = world[0]
    with pytest.raises(Refused, match="the alias"):
        Replica(Place(registry, MODEL, alias="staged"), churn.load).load()
    for wrong in (registry, "http://127.0.0.1:9"):
        with pytest.raises(Refused, match="OPA"):
            Replica(Place(registry, MODEL, opa=wrong), churn.load).load()


class Files:
    """A registry in the process, whose answers a test can spoil."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.headers: list[dict[str, str]] = []

    def fetch(self, url: str, headers: Any, body: bytes | None) -> bytes:
        """What the registry answers."""
        self.headers.append(dict(headers))
        path, _, query = url.removeprefix("http://registry").partition("?")
        given = dict(pair.split("=") for pair in query.split("&") if pair)
        content = self.registry._content(path, given, json.loads(body or b"{}"))
        if content is None:
            raise urllib.error.HTTPError(url, 404, "", None, None)  # type: ignore[arg-type]
        return content


@pytest.mark.parametrize(
    "entry", [{"path": "../../secret", "sha256": "0" * 64}, {"path": "/etc/passwd", "sha256": ""}, {"sha256": ""}, "x"]
)
def test_a_path_that_leads_elsewhere_is_not_followed(entry: Any) -> None:
    files = Files()
    manifest = json.loads(files.registry.versions["5"]["release.json"])
    files.registry.versions["5"]["release.json"] = json.dumps({**manifest, "prompt": entry}).encode()
    files.registry.tags["5"] = {}
    with pytest.raises(Refused, match=r"outside|malformed"):
        Replica(Place("http://registry", MODEL), churn.load, fetch=files.fetch).load()


def test_weights_that_are_none_are_refused_with_words() -> None:
    files = Files()
    with pytest.raises(Refused, match="cannot be read"):
        Replica(
            Place("http://registry", MODEL), lambda content: churn.load(b"\x80\x04pickle"), fetch=files.fetch
        ).load()


def test_the_token_is_read_from_its_file_and_sent_to_the_registry_only(tmp_path: Path) -> None:
    files = Files()
    (tmp_path / "token").write_text("t-registry\n")
    place = Place("http://registry", MODEL, token_file=str(tmp_path / "token"), opa="http://registry")
    Replica(place, churn.load, fetch=files.fetch).load()
    sent = [headers.get("Authorization") for headers in files.headers]
    assert sent.count("Bearer t-registry") == len(sent) - 1 and sent.count(None) == 1


@pytest.mark.parametrize("said", [{}, {"result": {}}, {"result": {"allow": "yes"}}, {"result": True}])
def test_only_a_clear_yes_admits(said: Any) -> None:
    files = Files()

    def fetch(url: str, headers: Any, body: bytes | None) -> bytes:
        return json.dumps(said).encode() if body is not None else files.fetch(url, headers, body)

    with pytest.raises(Refused, match="not admitted"):
        Replica(Place("http://registry", MODEL, opa="http://opa"), churn.load, fetch=fetch).load()


def test_a_redirect_is_not_followed() -> None:
    async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"location", b"http://127.0.0.1:9/"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 302, "headers": headers})
        await send({"type": "http.response.body"})

    server = LoopbackServer(elsewhere)
    with pytest.raises(urllib.error.HTTPError, match="302"):
        fetch_url(server.open(), {"Authorization": "Bearer t"}, None)
    server.close()


def test_the_log_begins_a_file_each_hour_and_after_so_many_bytes(tmp_path: Path) -> None:
    at = datetime(2026, 11, 30, 10, 59, tzinfo=UTC)
    clock = [at]
    place = Place("http://registry", MODEL, logs=str(tmp_path / "logs"), name="a", rotate_bytes=600)
    replica = Replica(place, churn.load, fetch=Files().fetch, now=lambda: clock[0])
    replica.load()

    def ask(times: int) -> None:
        for _ in range(times):
            replica.infer({"inputs": [ROW]}, {"x-request-id": "r"})

    ask(4)
    clock[0] = at + timedelta(minutes=2)
    threads = [threading.Thread(target=ask, args=(5,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert names[:2] == ["inference-a-20261130T10-000.jsonl", "inference-a-20261130T10-001.jsonl"]
    assert "inference-a-20261130T11-000.jsonl" in names
    lines = [json.loads(line) for name in names for line in (tmp_path / "logs" / name).read_text().splitlines()]
    assert len(lines) == 24 and {line["status"] for line in lines} == {200}


def test_rows_of_a_batch_are_logged_as_rows(tmp_path: Path) -> None:
    replica = Replica(Place("http://registry", MODEL, logs=str(tmp_path)), churn.load, fetch=Files().fetch)
    replica.load()
    both = {**ROW, "shape": [2, 4], "data": [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]}
    assert len(replica.infer({"inputs": [both]}, {})["outputs"][0]["data"]) == 2
    (line,) = [json.loads(text) for path in tmp_path.iterdir() for text in path.read_text().splitlines()]
    assert line["inputs"] == both["data"]
