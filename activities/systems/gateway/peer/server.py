"""A simulated gateway over real sockets: TLS with client certificates, requests passed on, the runtime API.

Changing commands of the runtime API (first words): ``add|set|del|clear map``, ``add|del|clear acl``,
``set server B/S state|weight``, ``set|commit ssl crl-file``, ``clear table``. Everything else changes nothing.
"""

import asyncio
import contextlib
import hashlib
import json
import re
import ssl
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.x509.oid import NameOID

from activities.systems.gateway.layout import LOG
from activities.systems.gateway.models import octets
from activities.systems.gateway.peer.commands import CHANGES, answer
from activities.systems.gateway.peer.state import GatewayState

START_SECONDS = 10.0
OPA_SECONDS = 2.0
DROPPED = ("x-api-key", "connection", "keep-alive", "host", "content-length", "transfer-encoding", "accept-encoding")
REASONS = {"anonymous": 401, "blocked": 403, "revoked": 403, "limit": 429, "policy_silent": 503, "policy": 403}


class GatewayPeer:
    """From ``__enter__`` to ``__exit__`` it listens on free ports of 127.0.0.1, in a thread of its own.

    Attributes:
        url: As clients reach it.
        socket: Its runtime API, ``tcp:127.0.0.1:PORT``.
        commands: The changing commands that were carried out, in order.
    """

    def __init__(self, folder: Path, *, opa: str, replicas: tuple[str, str], canary: str | None = None) -> None:
        """``folder`` as ``layout.prepare`` made it; the servers are ``ADDRESS:PORT``."""
        self.folder, self.opa = folder, opa
        addresses = {"replica1": (replicas[0], 100), "replica2": (replicas[1], 100)}
        self._servers = {**addresses, "canary": (canary or "127.0.0.1:9", 0)}
        self.state = GatewayState(folder, self._servers)
        self.url = self.socket = ""
        self.commands: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="gateway", daemon=True)
        self._http: httpx.AsyncClient | None = None

    def __enter__(self) -> "GatewayPeer":
        self._thread.start()
        if not self._up.wait(START_SECONDS):
            raise RuntimeError("The simulated gateway did not start. Look whether 127.0.0.1 can be listened on.")
        return self

    def __exit__(self, *error: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    def reload(self) -> None:
        """As HAProxy's: everything anew from the files."""
        self.state = GatewayState(self.folder, self._servers)

    def view(self) -> dict[str, Any]:
        """Lists, weights and states."""
        servers = {name: [server.status, server.weight] for name, server in self.state.servers.items()}
        return {"lists": {file: dict(rows) for file, rows in self.state.lists.items()}, "servers": servers}

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "tls" / "server.pem")
        context.load_verify_locations(self.folder / "tls" / "clients.pem")
        context.verify_mode = ssl.CERT_OPTIONAL
        context.num_tickets = 0
        async with httpx.AsyncClient(trust_env=False, timeout=30) as self._http:
            clients = await asyncio.start_server(self._client, "127.0.0.1", 0, ssl=context)
            runtime = await asyncio.start_server(self._runtime, "127.0.0.1", 0)
            self.url = f"https://127.0.0.1:{clients.sockets[0].getsockname()[1]}"
            self.socket = f"tcp:127.0.0.1:{runtime.sockets[0].getsockname()[1]}"
            self._up.set()
            await self._stop.wait()
            clients.close()
            runtime.close()
            mine = asyncio.current_task()
            open_ = [task for task in asyncio.all_tasks() if task is not mine]
            for task in open_:
                task.cancel()
            await asyncio.gather(*open_, return_exceptions=True)

    # Runtime API

    async def _runtime(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            line = (await reader.readline()).decode().rstrip("\n")
            payload = ""
            if line.endswith("<<"):
                payload = (await reader.readuntil(b"\n\n")).decode()
            said = "".join(answer(self.state, part.strip(), payload) for part in line.split(";"))
            if line.startswith(CHANGES):
                self.commands.append(line.partition(" <<")[0])
            writer.write(said.encode())
            await writer.drain()
        writer.close()

    # Requests

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            shown = x509.load_der_x509_certificate(der) if der else None
            if shown is None or shown.serial_number not in self.state.revoked():
                while await self._request(reader, writer, der or b"", shown):
                    pass
        writer.close()

    async def _request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, der: bytes, shown: x509.Certificate | None
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        names = shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME) if shown else []
        key = headers.get("x-api-key")
        entry = {
            "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "request_id": str(uuid.uuid4()),
            "caller": str(names[0].value) if names else "",
            "certificate": hashlib.sha256(der).hexdigest() if der else "",
            "key": hashlib.sha256(key.encode()).hexdigest() if key is not None else "",
            "method": method,
            "path": target.partition("?")[0],
            "status": 0,
            "bytes": 0,
            "backend": "",
            "server": "",
            "reason": "",
            "stripped": "",
        }
        serial = octets(format(shown.serial_number, "x")) if shown else ""
        entry["reason"] = await self._judge(entry, serial)
        if entry["reason"]:
            status, content, kind = REASONS[str(entry["reason"])], b"<html><body>refused</body></html>", "text/html"
        else:
            status, content, kind = await self._pass_on(entry, target, headers, body)
        entry["status"], entry["bytes"] = status, len(content)
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        writer.write(
            f"HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n"
            f"x-request-id: {entry['request_id']}\r\n\r\n".encode()
            + content
        )
        await writer.drain()
        return headers.get("connection", "").lower() != "close"

    async def _judge(self, entry: dict[str, Any], serial: str) -> str:
        state, certificate, key = self.state, entry["certificate"], entry["key"]
        if not certificate and not key:
            return "anonymous"
        if certificate and state.value("blocked_certs.map", certificate) is not None:
            return "blocked"
        if key and state.value("blocked_keys.acl", key) is not None:
            return "blocked"
        if serial and state.value("revoked_serials.acl", serial) is not None:
            return "revoked"
        state.note(certificate, key, entry["caller"])
        if any([state.over(certificate), state.over(key)]):
            return "limit"
        asked = {"certificate": certificate, "name": entry["caller"], "key": key}
        asked |= {"method": entry["method"], "path": entry["path"]}
        assert self._http is not None
        try:
            url = f"{self.opa}/v1/data/stanch/gateway/decision"
            said = await self._http.post(url, json={"input": asked}, timeout=OPA_SECONDS)
            decision = said.json()["result"]
        except (httpx.HTTPError, ValueError, KeyError):
            return "policy_silent"
        entry["caller"] = str(decision.get("caller") or entry["caller"])
        return "" if decision.get("allow") is True else "policy"

    async def _pass_on(
        self, entry: dict[str, Any], target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, str]:
        cut = self.state.value("stripped.map", entry["certificate"]) or self.state.value("stripped.map", entry["key"])
        entry["stripped"] = cut or ""
        passed = {
            name: value for name, value in headers.items() if name not in DROPPED and not name.startswith("x-client-")
        }
        passed |= {"x-request-id": entry["request_id"], "x-client-name": entry["caller"]}
        passed |= {"x-client-certificate": entry["certificate"], "x-client-key": entry["key"]}
        tried: set[str] = set()
        assert self._http is not None
        while (server := self.state.pick(tried)) is not None:
            tried.add(server.name)
            server.requests += 1
            entry["backend"], entry["server"] = "models", server.name
            try:
                url = f"http://{server.address}{target}"
                got = await self._http.request(entry["method"], url, headers=passed, content=body)
            except httpx.ConnectError:
                server.no_connection += 1
                continue
            except httpx.HTTPError:
                server.errors += 1
                return 502, b"<html><body>502</body></html>", "text/html"
            server.errors += got.status_code >= 500
            kind = got.headers.get("content-type", "")
            if cut is None:
                return got.status_code, got.content, kind
            packed = "content-encoding" in got.headers
            return self._cut(entry, cut, got.status_code, got.content, "packed" if packed else kind)
        return 503, b"<html><body>503</body></html>", "text/html"

    def _cut(self, entry: dict[str, Any], cut: str, status: int, content: bytes, kind: str) -> tuple[int, bytes, str]:
        try:
            if kind == "packed" or (content and not kind.lower().startswith("application/json")):
                raise ValueError
            tree = json.loads(content) if content else None
        except ValueError:
            entry["reason"] = "not_stripped"
            return 502, b'{"error":"the answer cannot be given to this client"}', "application/json"
        stems = [re.sub(r"s$", "", _plain(name)) for name in cut.split(",")]
        return status, json.dumps(_stripped(tree, stems)).encode() if content else b"", "application/json"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _stripped(node: Any, stems: list[str]) -> Any:
    def unwanted(name: object) -> bool:
        return isinstance(name, str) and any(stem in _plain(name) for stem in stems)

    if isinstance(node, dict):
        return {key: _stripped(value, stems) for key, value in node.items() if not unwanted(key)}
    if isinstance(node, list):
        kept = [item for item in node if not (isinstance(item, dict) and unwanted(item.get("name")))]
        return [_stripped(item, stems) for item in kept]
    return node
