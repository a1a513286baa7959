"""The simulated registry answers as the real one: the same calls on both, compared by status and shape."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from activities.systems.mlflow.peer.app import MlflowPeer
from worker.range_server import LoopbackServer
from worker.servers.mlflow import MlflowServer

API = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
MODEL = "conformity"
"""Of the model and of the experiment; the real registry is shared with other tests."""
NOT_COMPARED = {"workspace", "last_update_time", "creation_time"}
"""Fields of experiments that nothing here reads."""


class Talk:
    """A conversation with a registry, kept as what can be compared."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self.heard: list[tuple[str, int, Any]] = []

    def close(self) -> None:
        self._client.close()

    def say(self, method: str, path: str, body: bytes | None = None, /, **given: Any) -> Any:
        """A request; its answer's JSON."""
        where = path if path.startswith("/") else f"{API}/{path}"
        if body is not None:
            answer = self._client.request(method, where, content=body)
        elif method == "GET":
            answer = self._client.get(where, params=given)
        else:
            answer = self._client.request(method, where, json=given)
        try:
            found = answer.json()
        except ValueError:
            # Of a page for people only that it is none of JSON is compared.
            found = None if answer.status_code >= 400 else answer.text
        self.heard.append((f"{method} {path} {given}", answer.status_code, found))
        return found


def converse(talk: Talk) -> None:
    """All that the client and the range say, with what goes wrong."""
    say = talk.say
    say("GET", "/health")
    say("GET", "/version")
    say("POST", "registered-models/create", name=MODEL, tags=[{"key": "a", "value": "b"}], description="d")
    say("POST", "registered-models/create", name=MODEL)
    say("POST", "registered-models/create", name="a/b")
    say("POST", "registered-models/create")
    say("GET", "registered-models/get", name=MODEL)
    say("GET", "registered-models/get", name="nobody")
    say("GET", "registered-models/get")
    say("POST", "experiments/create", name=MODEL)
    say("POST", "experiments/create", name=MODEL)
    experiment = say("GET", "experiments/get-by-name", experiment_name=MODEL)["experiment"]["experiment_id"]
    say("GET", "experiments/get-by-name", experiment_name="nobody")
    made = say(
        "POST", "runs/create", experiment_id=experiment, run_name="r", start_time=1, tags=[{"key": "t", "value": "v"}]
    )
    say("POST", "runs/create", experiment_id="77")
    run, place = made["run"]["info"]["run_id"], made["run"]["info"]["artifact_uri"]
    metrics = [
        {"key": "auc", "value": 0.5, "timestamp": 1, "step": 1},
        {"key": "auc", "value": 0.9, "timestamp": 1, "step": 2},
        {"key": "odd", "value": "NaN", "timestamp": 1, "step": 0},
    ]
    say("POST", "runs/log-batch", run_id=run, metrics=metrics, params=[{"key": "p", "value": "1"}], tags=[])
    say("POST", "runs/log-metric", run_id=run, key="loss", value=0.25, timestamp=1, step=0)
    say("POST", "runs/log-parameter", run_id=run, key="q", value="2")
    say("POST", "runs/log-parameter", run_id=run, key="q", value="3")
    say("POST", "runs/set-tag", run_id=run, key="suite", value="release")
    say("POST", "runs/update", run_id=run, status="FINISHED", end_time=2)
    say("GET", "runs/get", run_id=run)
    say("GET", "runs/get", run_id="nobody")
    folder = place.split("mlflow-artifacts:/", 1)[1]
    for path, content in (("model/a%20b.txt", b"hello"), ("model/sub/w.bin", b"\0" * 10), ("other", b"x")):
        say("PUT", f"{PROXY}/{folder}/{path}", content)
    say("GET", f"{PROXY}/{folder}/model/a%20b.txt")
    say("GET", f"{PROXY}/{folder}/model/none.txt")
    say("GET", f"{PROXY}/{folder}/model/..%2f..%2fx")
    say("GET", PROXY, path=f"{folder}/model")
    say("GET", PROXY, path=f"{folder}/none")
    for below in ({}, {"path": "model"}, {"path": "none"}):
        say("GET", "artifacts/list", run_id=run, **below)
    say("DELETE", f"{PROXY}/{folder}/other")
    say("DELETE", f"{PROXY}/{folder}/other")
    source = f"{place}/model"
    for number in range(3):
        tags = [{"key": "k", "value": str(number)}]
        say("POST", "model-versions/create", name=MODEL, source=source, run_id=run, tags=tags, description="d")
    say("POST", "model-versions/create", name=MODEL, source=source)
    say("POST", "model-versions/create", name=MODEL, source="s3://bucket/model")
    say("POST", "model-versions/create", name="nobody", source=source, run_id=run)
    for version in ("1", "99", "x"):
        say("GET", "model-versions/get", name=MODEL, version=version)
    say("GET", "model-versions/get-download-uri", name=MODEL, version="1")
    say("GET", "model-versions/get-download-uri", name=MODEL, version="99")
    asked = {"filter": f"name='{MODEL}'", "max_results": 2, "order_by": "version_number ASC"}
    page = say("GET", "model-versions/search", **asked)
    say("GET", "model-versions/search", **asked, page_token=page["next_page_token"])
    say("GET", "model-versions/search", **asked, page_token="bad")
    for more in (
        {"filter": f"name='{MODEL}'"},
        {"filter": "name='nobody'"},
        {"filter": "bogus"},
        {"max_results": 10**8},
    ):
        say("GET", "model-versions/search", **more)
    for version in ("1", "99"):
        say("POST", "model-versions/set-tag", name=MODEL, version=version, key="q", value="INC")
        say("POST", "registered-models/alias", name=MODEL, alias="champion", version=version)
    say("POST", "model-versions/set-tag", name=MODEL, version="1", key="empty")
    say("POST", "model-versions/set-tag", name=MODEL, version="1")
    say("GET", "model-versions/get", name=MODEL, version="1")
    say("POST", "registered-models/alias", name=MODEL, alias="v1", version="1")
    say("POST", "registered-models/alias", name=MODEL, alias="Latest", version="1")
    say("POST", "registered-models/alias", name="nobody", alias="champion", version="1")
    for name, alias in ((MODEL, "champion"), (MODEL, "none"), ("nobody", "none")):
        say("GET", "registered-models/alias", name=name, alias=alias)
    say("GET", "registered-models/get", name=MODEL)
    say("GET", "registered-models/search", filter=f"name='{MODEL}'", max_results=1)
    for _ in range(2):
        say("DELETE", "model-versions/delete-tag", name=MODEL, version="1", key="q")
        say("DELETE", "registered-models/alias", name=MODEL, alias="champion")
        say("DELETE", "registered-models/delete-tag", name=MODEL, key="a")
    say("DELETE", "registered-models/alias", name="nobody", alias="champion")
    say("POST", "registered-models/set-tag", name=MODEL, key="frozen", value="INC")
    say("POST", "registered-models/set-tag", name="nobody", key="frozen", value="INC")
    say("POST", "registered-models/alias", name=MODEL, alias="old", version="2")
    say("DELETE", "model-versions/delete", name=MODEL, version="2")
    say("GET", "registered-models/get", name=MODEL)
    say("POST", "model-versions/create", name=MODEL, source=source, run_id=run)
    say("GET", "nothing/here")
    say("POST", "registered-models/get", name=MODEL)


def shaped(value: Any, name: str = "") -> Any:
    """A value with what differs from run to run put in words."""
    if isinstance(value, dict):
        return {key: shaped(value[key], key) for key in sorted(value) if key not in NOT_COMPARED}
    if isinstance(value, list):
        return [shaped(one, name) for one in value]
    if name.endswith(("_timestamp", "_time")) and isinstance(value, int) and value > 1_000_000:
        return "an instant"
    if name == "experiment_id":
        return "a number"
    if isinstance(value, str):
        # Of a database's own words only those before them are compared.
        text = re.sub(r"\b[0-9a-f]{32}\b", "an id", value.partition(" Error: ")[0])
        return re.sub(r"(mlflow-artifacts:/|')\d+(?=/|$)", r"\1a place", text)
    return value


@pytest.fixture
def talks(mlflow_server: MlflowServer) -> Iterator[tuple[Talk, Talk]]:
    """With the simulated and with the real one, which knows nothing of this model yet."""
    served = LoopbackServer(MlflowPeer())
    both = Talk(served.open()), Talk(mlflow_server.url)
    yield both
    for talk in both:
        talk.close()
    served.close()


@pytest.mark.real
def test_the_simulated_registry_answers_as_the_real_one(talks: tuple[Talk, Talk]) -> None:
    simulated, real = talks
    for talk in talks:
        converse(talk)
    differing = []
    for (said, status, body), (_, real_status, real_body) in zip(simulated.heard, real.heard, strict=True):
        mine, theirs = shaped(body), shaped(real_body)
        if (status, mine) != (real_status, theirs):
            differing.append(f"{said}\n  simulated {status} {mine}\n  real      {real_status} {theirs}")
    assert not differing, "\n".join(differing)
