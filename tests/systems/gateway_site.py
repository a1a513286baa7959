"""A gateway with its policy engine and three model servers: the simulated one or the real HAProxy and OPA."""

import datetime as dt
import hashlib
import http.client
import json
import socket
import ssl
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from activities.systems.gateway.client import Gateway, connect
from activities.systems.gateway.layout import LOG, prepare
from activities.systems.gateway.models import DATA, LIMITS, LISTS, REVOKED, SERVERS
from activities.systems.gateway.peer.policy import OpaPeer
from activities.systems.gateway.peer.server import GatewayPeer
from activities.systems.gateway.runtime import Runtime
from playbooks.contract import ActionResult, Verb
from tests.systems.acme import Bench
from tests.systems.faulty import Faulty
from tests.systems.gateway_authority import Authority
from tests.systems.real import executable
from worker.range_server import LoopbackServer
from worker.secrets import Secrets
from worker.servers.haproxy import HaproxyServer
from worker.servers.opa import OpaServer

INFER = "/v2/models/churn-scorer/infer"
TOKEN = "opa-token-of-the-test"
KEY = "key-of-crm-sync"
DIGEST = "d" * 64


class Model:
    """A model server: the V2 protocol, as little of it as a gateway sees."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[dict[str, str]] = []
        self.fails = False
        self.answer: Response | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        body = await request.body()
        await self._answer(request, body)(scope, receive, send)

    def _answer(self, request: Request, body: bytes) -> Response:
        if request.url.path.startswith("/v2/health"):
            return JSONResponse({"ready": True})
        self.asked.append(dict(request.headers))
        if self.fails:
            return JSONResponse({"error": "it broke"}, 500)
        if self.answer is not None:
            return self.answer
        outputs: list[dict[str, Any]] = [{"name": "score", "shape": [1], "datatype": "FP32", "data": [0.25]}]
        if json.loads(body or b"{}").get("parameters", {}).get("logprobs"):
            outputs.append({"name": "logprobs", "shape": [1, 2], "datatype": "FP32", "data": [-0.28, -1.38]})
        answer = {"model_name": "churn-scorer", "model_version": "5", "outputs": outputs, "served_by": self.name}
        return JSONResponse({**answer, "parameters": {"digest": DIGEST}})


class RuntimeFront:
    """Stands before a runtime API and misbehaves as told: ``lose`` an answer, ``cut`` before the
    command, or ``refuse`` it.

    Keeps the commands that came through.
    """

    def __init__(self, behind: str) -> None:
        self.rules: list[tuple[str, str]] = []
        self.commands: list[str] = []
        self._behind = Runtime(behind, connect=5, read=10)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.socket = f"tcp:127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listening.accept()
            except OSError:
                return
            with link:
                self._one(link)

    def _one(self, link: socket.socket) -> None:
        link.settimeout(5)
        data = b""
        with suppress(OSError):
            while not data.endswith(b"\n\n" if b"<<" in data else b"\n"):
                data += link.recv(65536)
            command = data.decode().rstrip("\n")
            rule = next((rule for rule in self.rules if command.startswith(rule[1])), None)
            if rule:
                self.rules.remove(rule)
                if rule[0] == "cut":
                    return
                if rule[0] == "refuse":
                    link.sendall(b"Out of memory error.\n\n")
                    return
            self.commands.append(command.partition(" <<")[0])
            answer = self._behind._ask(data.decode().removesuffix("\n"), write=True)
            if not rule:
                link.sendall(answer.encode())


class Publisher:
    """Where the authority's list is fetched."""

    def __init__(self, site: "Site") -> None:
        self.site = site

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await Response(self.site.published, media_type="application/pkix-crl")(scope, receive, send)


class Site:
    """One of the two, brought back to a clean state between tests."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self.real = kind == "real"
        self.authority = Authority()
        self.models = [Model("replica1"), Model("replica2"), Model("canary")]
        self._pems: dict[str, str] = {}
        self.certificates: dict[str, x509.Certificate] = {}
        self._stack = ExitStack()
        self.published = b""
        self._logged = 0

    def __enter__(self) -> "Site":
        clients = ("crm-sync", "partner-atlas", "harvester", "stanch")
        for name in (*clients, "stranger"):
            self._pems[name], self.certificates[name] = self.authority.issue(name)
        server, _ = self.authority.issue("gateway", server=True)
        known: dict[str, dict[str, Any]] = {name: {"paths": ["/v2/"], "keys": []} for name in clients}
        known["crm-sync"]["keys"] = [sha256(KEY)]
        # A list that is as old as can be: every later one is newer.
        first = self.authority.revocations(at=dt.datetime.now(dt.UTC) - dt.timedelta(hours=2))
        self._first = x509.load_der_x509_crl(first).public_bytes(serialization.Encoding.PEM).decode()
        prepare(self.folder, server=server, authorities=self.authority.pem, revocations=self._first, clients=known)
        self._pristine = {name: (self.maps / name).read_text() for name in [*(f.file for f in LISTS), SERVERS, DATA]}
        enter = self._stack.enter_context
        places = []
        for model in self.models:
            served = LoopbackServer(model)
            places.append(served.open().removeprefix("http://"))
            self._stack.callback(served.close)
        publisher = LoopbackServer(Publisher(self))
        self.crl_url = publisher.open() + "/crl"
        self._stack.callback(publisher.close)
        replicas, canary = (places[0], places[1]), places[2]
        if self.real:
            executable("haproxy"), executable("opa")
            self.opa: Any = enter(OpaServer(self.maps / DATA, self.folder / "logs" / "opa.log", token=TOKEN))
            opa_url = self.opa.url
            self.server: Any = enter(HaproxyServer(self.folder, opa=opa_url, replicas=replicas, canary=canary))
        else:
            self.opa = OpaPeer(self.maps / DATA, TOKEN)
            served = LoopbackServer(self.opa)
            opa_url = served.open()
            self._stack.callback(served.close)
            self.server = enter(GatewayPeer(self.folder, opa=opa_url, replicas=replicas, canary=canary))
        self.opa_itself = opa_url
        self.opa_front = Faulty(opa_url)
        served = LoopbackServer(self.opa_front)
        self.opa_url = served.open()
        self._stack.callback(served.close)
        self.front = RuntimeFront(self.server.socket)
        self._stack.callback(self.front.close)
        self.own_client = self.client()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def maps(self) -> Path:
        """The folder of lists."""
        return self.folder / "maps"

    def client(self, **changes: Any) -> Gateway:
        """Stanch's client; requests to the policy engine and to the runtime API pass the fronts."""
        settings = {
            "socket": self.front.socket,
            "maps": str(self.maps),
            "opa": self.opa_url,
            "opa_token": "secret:env/OPA",
            "logs": str(self.folder / "logs"),
            "crl": self.crl_url,
            "ca": str(self.folder / "tls" / "clients.pem"),
            "url": self.server.url,
            "server_ca": str(self.folder / "tls" / "clients.pem"),
            "own": ["stanch"],
            **changes,
        }
        secrets = {"OPA": TOKEN, "KEY": KEY, "BAD": "secret\nof two lines"}
        secrets |= {name.replace("-", "_").upper(): pem for name, pem in self._pems.items()}
        client = connect(settings, Secrets(secrets, Path()))
        self._stack.callback(client.close)
        return client

    def fingerprint(self, name: str) -> str:
        """Of a client's certificate."""
        return self.certificates[name].fingerprint(hashes.SHA256()).hex()

    def ask(self, name: str | None, path: str = INFER, *, key: str | None = None, **how: Any) -> tuple[int, Any]:
        """One request as a client: the status (0 if its certificate was refused) and the JSON of the answer."""
        try:
            link = self.link(name)
            return self.send(link, path, key=key, **how)
        except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
            return 0, None

    def link(self, name: str | None) -> http.client.HTTPSConnection:
        """A connection of a client, that stays open."""
        context = ssl.create_default_context(cadata=self.authority.pem)
        if name is not None:
            file = self.folder / f"{name}.pem"
            file.write_text(self._pems[name])
            context.load_cert_chain(file)
        host, _, port = self.server.url.removeprefix("https://").rpartition(":")
        link = http.client.HTTPSConnection(host, int(port), timeout=10, context=context)
        self._stack.callback(link.close)
        return link

    def send(
        self,
        link: http.client.HTTPSConnection,
        path: str = INFER,
        *,
        key: str | None = None,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        method: str = "POST",
    ) -> tuple[int, Any]:
        """One request on an open connection."""
        sent = {"Content-Type": "application/json", **(headers or {}), **({"X-Api-Key": key} if key else {})}
        given = json.dumps(body if body is not None else {"inputs": [], "parameters": {"logprobs": True}})
        link.request(method, path, body=given, headers=sent)
        answer = link.getresponse()
        content = answer.read()
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, content

    def outputs(self, name: str, **how: Any) -> list[str]:
        """Names of the outputs that a client gets."""
        status, answer = self.ask(name, **how)
        assert status == 200, (status, answer)
        return [output["name"] for output in answer["outputs"]]

    def served(self, count: int, name: str = "crm-sync") -> dict[str, int]:
        """Who answered so many requests."""
        link = self.link(name)
        found: dict[str, int] = {}
        for _ in range(count):
            status, answer = self.send(link)
            by = answer["served_by"] if status == 200 else str(status)
            found[by] = found.get(by, 0) + 1
        return found

    def log(self, lines: int) -> list[dict[str, Any]]:
        """So many lines of the gateway's log since the test began, as soon as they are there."""
        until = time.monotonic() + 5
        while (text := self._text()[self._logged :]).count("\n") < lines and time.monotonic() < until:
            time.sleep(0.02)
        return [json.loads(line) for line in text.splitlines()]

    def _text(self) -> str:
        return (self.folder / LOG).read_text() if (self.folder / LOG).exists() else ""

    def runtime(self) -> Runtime:
        """The runtime API, as a person uses it."""
        return Runtime(self.server.socket, connect=5, read=10)

    def restart_opa(self) -> None:
        """A fresh policy engine on the same port, from its file."""
        if self.real:
            self.opa.stop()
            self.opa.start()
        else:
            self.opa.restart()

    def reset(self) -> None:
        """As it was at first."""
        self.front.rules.clear()
        self.front.commands.clear()
        self.opa_front.rules.clear()
        for model in self.models:
            model.fails, model.answer = False, None
            model.asked.clear()
        for name, text in self._pristine.items():
            (self.maps / name).write_text(text)
        self._logged = len(self._text())
        client, runtime = self.own_client, self.runtime()
        for found in LISTS:
            if found is not LIMITS and client.live(found):
                runtime.change(f"clear {found.kind} {self.maps / found.file}")
        for key in client.live(LIMITS):
            runtime.change(
                f"set map {self.maps / LIMITS.file} default 600"
                if key == "default"
                else f"del map {self.maps / LIMITS.file} {key}"
            )
        for server, weight in (("replica1", 100), ("replica2", 100), ("canary", 0)):
            runtime.change(f"set server models/{server} state ready")
            runtime.change(f"set server models/{server} weight {weight}")
        for table in ("seen", "rates"):
            runtime.change(f"clear table {table}")
        if (self.maps / REVOKED).read_text() != self._first:
            client.load_revocations(self._first)
        for digest in client.policy.denied():
            client.policy.drop(f"stanch/denied_digests/{digest}")
        self.front.commands.clear()
        self.authority.revoked = []


def sha256(text: str) -> str:
    """Of a key, as lists name it."""
    return hashlib.sha256(text.encode()).hexdigest()


async def undone(bench: Bench, name: str, result: ActionResult, *, attempt: int = 1, **params: Any) -> ActionResult:
    """The undo of a step."""
    changes = {"undo_args": result.undo_args, "epoch": 1, "tries": 2}
    return await bench.run(bench.call(name, params, verb=Verb.UNDO, **changes), attempt=attempt)
