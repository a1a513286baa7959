"""Fronts of the range with models: who asked, what it read and changed, each once; and faults for whoever stands behind."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse

from worker.range_models import wires, wires_cloud
from worker.range_models.exchange import Exchange
from worker.range_models.front import Front, Tally
from worker.range_models.socket_front import SocketFront
from worker.range_record import Record
from worker.range_server import LoopbackServer

API = "/api/2.0/mlflow"
TOKENS = {"t-stanch": "stanch", "t-other": "business"}


class Behind:
    """Whatever stands behind: it says yes, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes, str]] = []
        self.status = 200

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        body = await request.body()
        raw = scope["raw_path"].decode()
        self.asked.append((request.method, raw, body, request.headers.get("host", "")))
        answer = JSONResponse({"id": "job-1", "said": "yes"}, self.status, {"x-kept": "1"})
        await answer(scope, receive, send)


class Place:
    """A front of the registry before something, and its record."""

    def __init__(self, wire: Any) -> None:
        self.behind, self.record = Behind(), Record()
        self._server = LoopbackServer(self.behind)
        self.front = Front("mlflow", wire, self._server.open(), self.record, Tally(self.record))
        self.url = self.front.open()

    def ask(self, method: str, path: str, token: str = "t-stanch", **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.request(method, self.url + path, headers=headers, trust_env=False, timeout=10, **more)

    def tag(self, key: str, value: str, version: str = "5") -> httpx.Response:
        body = {"name": "churn", "version": version, "key": key, "value": value}
        return self.ask("POST", f"{API}/model-versions/set-tag", json=body)

    def kinds(self) -> list[tuple[str, str]]:
        return [(effect["kind"], effect["target"]) for effect in self.record.effects()]

    def close(self) -> None:
        self.front.close()
        self._server.close()


@pytest.fixture
def registry() -> Iterator[Place]:
    place = Place(wires.mlflow(TOKENS))
    yield place
    place.close()


def test_a_request_passes_as_it_is_and_its_answer_comes_back(registry):
    got = registry.ask("GET", f"{API}/registered-models/get?name=a%2Fb", token="t-other")
    assert got.json() == {"id": "job-1", "said": "yes"} and got.headers["x-kept"] == "1"
    # The host that the client named: a signature may be over it.
    assert registry.behind.asked == [("GET", f"{API}/registered-models/get", b"", registry.url.partition("//")[2])]
    (entry,) = registry.record.requests()
    assert (entry["actor"], entry["status"], entry["read"]) == ("business", 200, ("registry_state",))
    assert registry.record.effects() == []


def test_a_change_is_entered_once_however_often_it_is_said(registry):
    for _ in range(2):
        registry.tag("quarantine", "INC-1")
        registry.ask(
            "POST", f"{API}/registered-models/alias", json={"name": "churn", "alias": "champion", "version": "2"}
        )
    registry.tag("revoked_reason", "says more about a change, and is none of its own")
    assert registry.kinds() == [("quarantine", "churn/5"), ("point champion at 2", "churn")]
    body = {"name": "churn", "version": "5", "key": "quarantine"}
    registry.ask("DELETE", f"{API}/model-versions/delete-tag", json=body)
    registry.tag("quarantine", "INC-1")
    assert [kind for kind, _ in registry.kinds()][2:] == ["end quarantine", "quarantine"]


def test_what_was_refused_changed_nothing_and_a_stranger_gets_nowhere(registry):
    registry.behind.status = 409
    registry.tag("quarantine", "INC-1")
    assert registry.record.effects() == []
    assert registry.ask("GET", f"{API}/registered-models/get", token="").status_code == 401
    assert registry.ask("GET", f"{API}/registered-models/get", token="guessed").status_code == 401
    assert len(registry.behind.asked) == 1
    assert [entry["actor"] for entry in registry.record.requests()] == ["stanch", "stranger", "stranger"]


def test_a_lost_answer_was_carried_out_and_a_refused_request_was_not(registry):
    registry.front.faults.add({"kind": "drop_after_commit", "path": "set-tag"})
    with pytest.raises(httpx.HTTPError):
        registry.tag("quarantine", "INC-1")
    assert registry.kinds() == [("quarantine", "churn/5")]
    registry.front.faults.add({"kind": "status", "path": "alias", "status": 503})
    alias = {"name": "churn", "alias": "champion", "version": "2"}
    assert registry.ask("POST", f"{API}/registered-models/alias", json=alias).status_code == 503
    assert len(registry.behind.asked) == 1 and [each["status"] for each in registry.record.requests()] == [0, 503]


def test_a_held_answer_goes_on_when_it_is_released_from_elsewhere(registry):
    from threading import Thread

    registry.front.faults.add({"kind": "hold_after_commit", "path": "set-tag"})
    got: list[int] = []
    asking = Thread(target=lambda: got.append(registry.tag("quarantine", "INC-1").status_code))
    asking.start()
    while not registry.front.faults.held:
        asking.join(0.01)
    assert registry.kinds() and not got
    assert registry.front.faults.release() == 1
    asking.join(5)
    assert got == [200]


def exchange(method: str, path: str, body: Any = None, answer: Any = None, **headers: str) -> Exchange:
    content = body.encode() if isinstance(body, str) else json.dumps(body or {}).encode()
    return Exchange(method, path, "", headers, content, 200, json.dumps(answer or {}).encode())


@pytest.mark.parametrize(
    ("wire", "asked", "kind", "target"),
    [
        (wires.training({}), exchange("POST", "/v1/jobs", {}, {"id": "job-7"}), "start job", "job-7"),
        (wires.training({}), exchange("PUT", "/v1/datasets/crm/holds/INC-1"), "hold", "crm"),
        (wires.training({}), exchange("DELETE", "/v1/pipelines/nightly/pauses/INC-1"), "resume", "nightly"),
        (wires.stepca(), exchange("POST", "/1.0/revoke", {"serial": "77"}), "revoke certificate", "77"),
        (wires.opa({}), exchange("PUT", "/v1/data/stanch/denied_digests/abc", '"INC-1"'), "deny digest", "abc"),
        (wires.serving("replica1", {}), exchange("POST", "/v2/repository/models/churn/load"), "load", "replica1/churn"),
        (
            wires_cloud.aws(lambda key: ""),
            exchange("POST", "/", "Action=UpdateAccessKey&AccessKeyId=AKIA1&Status=Inactive&UserName=svc"),
            "deactivate key",
            "AKIA1",
        ),
        (
            wires_cloud.aws(lambda key: ""),
            exchange("POST", "/", {"SecretId": "inference/key"}, **{"x-amz-target": "secretsmanager.RotateSecret"}),
            "rotate secret",
            "inference/key",
        ),
    ],
)
def test_a_change_is_read_from_the_wire(wire, asked, kind, target):
    (effect,) = wire.effects(asked)
    assert (effect.kind, effect.target) == (kind, target)


def test_whose_request_to_the_cloud_it_is_is_told_by_its_key():
    wire = wires_cloud.aws({"AKIAOURS": "stanch", "AKIATHIEF": "attacker"}.get)
    signed = "AWS4-HMAC-SHA256 Credential={}/20261130/eu-central-1/iam/aws4_request, SignedHeaders=host, Signature=0"
    actors = [
        wire.who(exchange("POST", "/", authorization=signed.format(key))) for key in ("AKIAOURS", "AKIATHIEF", "AKIAX")
    ]
    assert actors == ["stanch", "attacker", "business"]
    assert wire.reads(exchange("POST", "/", "Action=ListUserPolicies&UserName=svc")) == ("identity_state",)


@pytest.mark.parametrize(
    ("command", "answer", "kind"),
    [
        ("add map /g/maps/blocked_certs.map ab12 INC-1", "\n", "block certificate"),
        ("del acl /g/maps/blocked_keys.acl ab12", "\n", "end: block key"),
        ("set server models/canary weight 67", "\n", "weight 67"),
        ("add map /g/maps/blocked_certs.map ab12 INC-1", "Unknown map.\n", None),
        ("show map /g/maps/blocked_certs.map", "0x1 ab12 INC-1\n", None),
    ],
)
def test_a_command_of_the_gateway_is_a_change_only_if_it_was_taken(command, answer, kind):
    assert [effect.kind for effect in wires.runtime_effects(command, answer)] == ([kind] if kind else [])


def test_the_runtime_socket_is_recorded_and_can_lose_an_answer(tmp_path_factory):
    folder = Path(tmp_path_factory.mktemp("s"))
    listening = socket.create_server(("127.0.0.1", 0))
    said: list[bytes] = []

    def serve() -> None:
        while True:
            link, _ = listening.accept()
            with link:
                said.append(link.recv(4096))
                link.sendall(b"\n")

    from threading import Thread

    Thread(target=serve, daemon=True).start()
    record = Record()
    front = SocketFront(
        "gateway",
        "gateway",
        folder / "s.sock",
        f"tcp:127.0.0.1:{listening.getsockname()[1]}",
        record,
        Tally(record),
        wires.runtime_reads,
        wires.runtime_effects,
    )
    front.open()

    def ask(command: str) -> bytes:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(5)
            link.connect(str(front.path))
            link.sendall(command.encode())
            return link.recv(4096)

    assert ask("add map /g/blocked_certs.map ab INC-1\n") == b"\n"
    front.faults.add({"kind": "drop_after_commit", "path": "^add map"})
    assert ask("add map /g/blocked_certs.map cd INC-1\n") == b""
    front.faults.add({"kind": "drop", "path": "^add map"})
    assert ask("add map /g/blocked_certs.map ef INC-1\n") == b""
    assert [effect["target"] for effect in record.effects()] == ["ab", "cd"] and len(said) == 2
    assert ask("set ssl crl-file /g/revoked.pem <<\n-----BEGIN\nrest\n\n") == b"\n"
    assert said[-1].endswith(b"rest\n\n")
    front.close()
    listening.close()
