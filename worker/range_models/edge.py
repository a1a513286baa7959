"""The edge of the range: policy engine, gateway, and the front before the gateway's runtime socket."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from activities.systems.gateway.layout import LOG, prepare
from activities.systems.gateway.models import DATA, LISTS, entries
from activities.systems.gateway.models import servers as shown_servers
from activities.systems.gateway.peer.policy import OpaPeer
from activities.systems.gateway.peer.server import GatewayPeer
from activities.systems.gateway.runtime import Runtime
from worker.range_models.backends import Running
from worker.range_models.front import Tally
from worker.range_models.plan import GOOD, OURS, PARTNER, THIEF, Plan
from worker.range_models.socket_front import SocketFront
from worker.range_models.wires import runtime_effects, runtime_reads
from worker.range_record import Record
from worker.servers.stepca import AuthorityFiles, ClientCertificate

PER_MINUTE = 6000
"""What the gateway lets a client ask, in contract with each."""


class Edge:
    """OPA first, since serving asks it for admission; then the gateway before the replicas.

    Attributes:
        opa: URL of the policy engine itself.
        url: Of the gateway, as clients reach it.
        front: Before its runtime socket, once it is open.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        authority: AuthorityFiles,
        crl: str,
        running: Running,
        env: Mapping[str, str],
    ) -> None:
        """``folder`` has a short path; ``crl`` is where the authority publishes its list."""
        self._plan, self.folder, self._authority, self._crl = plan, folder, authority, crl
        self._running, self._env = running, env
        self.opa = self.url = ""
        self._socket = ""
        self._simulated = True
        self._prepare()

    def _prepare(self) -> None:
        chain, key = self._authority.tls(name="gateway")
        path = f"/v2/models/{self._plan.model}"
        prepare(
            self.folder,
            server=chain.read_text() + key.read_text(),
            authorities=self._authority.clients.read_text(),
            revocations=self._authority.authority.root_list + self._revocations(),
            clients={name: {"paths": [path], "keys": []} for name in (GOOD, PARTNER, THIEF, OURS)},
            per_minute=PER_MINUTE,
        )

    def _revocations(self) -> str:
        answer = httpx.get(self._crl, timeout=20, trust_env=False).raise_for_status()
        return x509.load_der_x509_crl(answer.content).public_bytes(Encoding.PEM).decode()

    @property
    def maps(self) -> Path:
        """Folder of the gateway's lists."""
        return self.folder / "maps"

    @property
    def log(self) -> Path:
        """The gateway's own log of requests."""
        return self.folder / LOG

    def start_opa(self, real: bool) -> None:
        """Start the policy engine."""
        token, data = self._plan.tokens["stanch"], self.maps / DATA
        if real:
            from worker.servers.opa import OpaServer

            self.opa = self._running.enter(OpaServer(data, self.folder / "opa.log", token=token, env=self._env)).url
        else:
            self.opa = self._running.serve(OpaPeer(data, token))

    def start_gateway(self, real: bool, replicas: Mapping[str, str]) -> None:
        """Start the gateway before the replicas."""
        places = {name: url.partition("//")[2] for name, url in replicas.items()}
        pair, canary = (places["replica1"], places["replica2"]), places["canary"]
        server: Any
        if real:
            from worker.servers.haproxy import HaproxyServer

            server = HaproxyServer(self.folder, opa=self.opa, replicas=pair, canary=canary, env=self._env)
        else:
            server = GatewayPeer(self.folder, opa=self.opa, replicas=pair, canary=canary)
        started = self._running.enter(server)
        self.url, self._socket, self._simulated = started.url, started.socket, not real

    def runtime(self) -> Runtime:
        """The gateway's own runtime API, past the front."""
        return Runtime(self._socket, connect=5, read=10)

    def view(self) -> dict[str, Any]:
        """Lists, refused releases and servers, as the running gateway and its policy engine have them."""
        runtime = self.runtime()
        lists = {}
        for found in LISTS:
            shown = runtime.show(f"show {found.kind} {self.maps / found.file}")
            lists[found.file] = entries(shown, found.kind)
        servers = {server.name: [server.status, server.weight] for server in shown_servers(runtime.show("show stat"))}
        token = {"Authorization": f"Bearer {self._plan.tokens['stanch']}"}
        denied = httpx.get(f"{self.opa}/v1/data/stanch/denied_digests", headers=token, timeout=10, trust_env=False)
        return {"lists": lists, "servers": servers, "denied_digests": denied.json().get("result", {})}

    def open_front(self, record: Record, tally: Tally) -> None:
        """Listen before the runtime socket."""
        self.front = SocketFront(
            "gateway",
            "gateway",
            self.folder.parent / "front.sock",
            self._socket,
            record,
            tally,
            runtime_reads,
            runtime_effects,
        )
        self.front.open()
        self._running.later(self.front.close)

    def settings(self, opa: str, own: ClientCertificate, token: str) -> dict[str, Any]:
        """What ``[systems.gateway]`` must hold; ``opa`` is the front before the policy engine, ``token`` a
        reference."""
        return {
            "socket": str(self.front.path),
            "maps": str(self.maps),
            "opa": opa,
            "opa_token": token,
            "logs": str(self.log.parent),
            "crl": self._crl,
            "ca": str(self._authority.clients),
            "url": self.url,
            "server_ca": str(self._authority.root),
            "probe_path": f"/v2/models/{self._plan.model}/infer",
            "own": [own.subject, own.fingerprint],
            **({"endpoint": self.url} if self._simulated else {}),
        }
