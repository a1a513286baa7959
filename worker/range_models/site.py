"""Starts everything of the range with models, fills it, and puts a recording front before each system."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import httpx

from activities.systems.serving.config import CALLER
from activities.systems.serving.peer.app import ServingPeer
from activities.systems.serving.peer.replica import Place, Replica
from activities.systems.stepca.client import connect as connect_stepca
from activities.systems.stepca.peer.app import StepCaPeer
from activities.systems.stepca.peer.state import Ca
from activities.systems.training.peer import churn
from activities.systems.training.peer.app import TrainingPeer
from activities.systems.training.peer.registry import MlflowLog
from activities.systems.training.peer.release import Built
from activities.systems.training.peer.service import Account, Service
from worker.range_models import wires
from worker.range_models.backends import Choice, Running, Tell, choose
from worker.range_models.callers import Caller
from worker.range_models.cloud import Cloud
from worker.range_models.edge import Edge
from worker.range_models.front import Front, Tally
from worker.range_models.history import write_history
from worker.range_models.plan import GOOD, OURS, PARTNER, PIPELINE, THIEF, Plan
from worker.range_models.registry import PLAIN, Looker, regression, seed_registry
from worker.range_models.signing import ReleaseKeys
from worker.range_models.store import SecretStore
from worker.range_record import Record
from worker.secrets import Secrets
from worker.servers.obtain import NotObtained
from worker.servers.process import ServerFailed
from worker.servers.stepca import ClientCertificate, StepCaServer, issue, write_authority

REPLICAS = ("replica1", "replica2")
CANARY = "canary"
CERTIFICATE_MINUTES = 60
PACE = 0.4
T = TypeVar("T")


class Site:
    """From ``open`` to ``close``.

    Attributes:
        chosen: What plays each system.
        fronts: By name.
        built: Version number to what was built.
        certificates: Who holds which.
    """

    def __init__(self, plan: Plan, folder: Path, env: Mapping[str, str], record: Record, tell: Tell) -> None:
        """``folder`` keeps databases, logs and credentials."""
        self.plan, self.folder, self._tell = plan, folder, tell
        self.chosen: dict[str, Choice] = choose(env)
        self.fronts: dict[str, Front] = {}
        self.built: dict[str, Built] = {}
        self.certificates: dict[str, ClientCertificate] = {}
        self.callers: dict[str, Caller] = {}
        self.replicas: dict[str, str] = {}
        self.logs = folder / "logs"
        self.keys = ReleaseKeys(folder / "keys")
        self._env, self._record = env, record
        self._tally = Tally(record)
        self._running = Running(env)
        self._short = Path()

    def open(self) -> None:
        """Start and fill everything.

        Raises:
            ServerFailed: Something of it does not come up.
        """
        for path in (self.folder, self.logs):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A socket's path has room for a hundred characters only.
        self._short = Path(tempfile.mkdtemp(prefix="stanch-"))
        self._running.later(lambda: shutil.rmtree(self._short, ignore_errors=True))
        for choice in self.chosen.values():
            self._tell(f"  {choice.said()}")
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End everything, fronts first."""
        for front in self.fronts.values():
            front.close()
        self._running.close()

    def _start(self) -> None:
        self._opa_token = self.keys.private("opa_token", self.plan.tokens["stanch"])
        with ThreadPoolExecutor(5, "range") as pool:
            registry = pool.submit(self._registry)
            authority = pool.submit(self._authority)
            cloud = pool.submit(self._cloud)
            self.store = SecretStore(self.plan, self._running)
            authority.result()
            self.edge = Edge(
                self.plan, self._short / "gateway", self.authority_files, self.crl, self._running, self._env
            )
            self._or_peer("gateway", self.edge.start_opa)
            self.mlflow_url = registry.result()
            list(pool.map(self._replica, (*REPLICAS, CANARY)))
            self._training()
            cloud.result()
        history = write_history(self.plan, self.built, self.logs, self.edge.log.parent)
        self._tell(f"  logs of the past weeks: {sum(history.values())} requests of {len(history)} callers")
        self._or_peer("gateway", lambda real: self.edge.start_gateway(real, self.replicas))
        self.looker = Looker(self.mlflow_url, self.plan)
        self._open_fronts()
        for name in (GOOD, PARTNER, THIEF):
            self.callers[name] = Caller(name, self.pem(name), self.edge.url, self.authority_files.root, self.plan.model)

    def _or_peer(self, system: str, start: Callable[[bool], T]) -> T:
        """Start the real server; where it does not come up, its peer, aloud."""
        choice = self.chosen[system]
        if choice.real:
            try:
                return start(True)
            except (ServerFailed, NotObtained, OSError) as error:
                self._tell(f"  {system}: the real server does not come up, so its peer plays it. {error}")
                self.chosen[system] = Choice(system, False, "the real server does not come up", choice.paths)
        return start(False)

    def _registry(self) -> str:
        url = self._or_peer("mlflow", self._start_mlflow)
        self.built = seed_registry(url, self.plan, self.keys.sign_as_company)
        return url

    def _start_mlflow(self, real: bool) -> str:
        if real:
            from worker.servers.mlflow import MlflowServer

            server = MlflowServer(self.chosen["mlflow"].paths["mlflow"], self.folder / "mlflow", self._env)
            return str(self._running.enter(server).url)
        from activities.systems.mlflow.peer.app import MlflowPeer

        return self._running.serve(MlflowPeer())

    def _authority(self) -> None:
        """The authority, its front, and the certificates that it gave out."""
        self.authority_files = write_authority(self.folder / "authority")
        self.authority_url, behind, verify = self._or_peer("stepca", self._start_authority)
        self._front("stepca", wires.stepca(), behind, verify)
        self.crl = f"{self.fronts['stepca'].open()}/1.0/crl"
        # Straight to it: these are the company's own doing, not Stanch's.
        settings = self.authority_files.settings(self.authority_url, behind if behind != self.authority_url else None)
        with closing(connect_stepca(settings, Secrets({}, self.folder))) as client:
            for name in (GOOD, PARTNER, THIEF, OURS):
                self._certify(client, name)

    def _start_authority(self, real: bool) -> tuple[str, str, Any]:
        if real:
            server = StepCaServer(
                self.authority_files, self.folder / "step-ca", self.chosen["stepca"].paths["step-ca"], self._env
            )
            running = self._running.enter(server)
            return running.url, running.url, running.trust
        return "https://127.0.0.1:1", self._running.serve(StepCaPeer(Ca(self.authority_files.authority))), True

    def _certify(self, client: Any, name: str) -> None:
        found = issue(client, name, CERTIFICATE_MINUTES)
        self.certificates[name] = found
        path = self.pem(name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(found.pem)

    def pem(self, name: str) -> Path:
        """File with somebody's certificate, chain and key."""
        return self.folder / "held" / f"{name}.pem"

    @property
    def stolen_key(self) -> Path:
        """File with the stolen access key, ``ID:SECRET``."""
        return self.folder / "held" / "stolen-aws-key"

    def served(self, name: str) -> dict[str, Any]:
        """What a replica answers with to somebody who asks it directly."""
        body = {"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [1.0, 1.0, 1.0, 0.0]}]}
        url = f"{self.replicas[name]}/v2/models/{self.plan.model}/infer"
        try:
            answer = httpx.post(
                url, json=body, timeout=20, trust_env=False, verify=PLAIN, headers={"x-client-cn": CALLER}
            )
            found = answer.json() if answer.status_code == 200 else {}
        except (httpx.HTTPError, ValueError):
            found = {}
        digest = (found.get("parameters") or {}).get("digest", "")
        return {"version": str(found.get("model_version", "")), "digest": str(digest)}

    def _cloud(self) -> None:
        self.cloud = Cloud(self.plan, self.folder / "held", self._running)
        self._or_peer("aws", lambda real: self.cloud.start(real, self.chosen["aws"].paths, self.folder, self._env))

    def _replica(self, name: str) -> None:
        self.replicas[name] = self._or_peer("serving", lambda real: self._start_replica(real, name))

    def _start_replica(self, real: bool, name: str) -> str:
        place: dict[str, Any] = {
            "registry": self.mlflow_url,
            "model": self.plan.model,
            "alias": "staged" if name == CANARY else "champion",
            "opa": self.edge.opa,
            "opa_token_file": str(self._opa_token),
            "logs": str(self.logs),
            "name": name,
        }
        if real:
            from worker.servers.mlserver import MlServer

            return str(self._running.enter(MlServer(self.folder / name, place, env=self._env)).url)
        replica = Replica(Place(**place), churn.load)
        replica.load()
        return self._running.serve(ServingPeer(replica))

    def _training(self) -> None:
        service = Service("builder-3", "builder-4", seed=int(self.plan.clean) + 4)
        service.accounts[self.plan.tokens["stanch"]] = Account("stanch")
        service.add_pipeline(PIPELINE)
        service.add_dataset(self.plan.dataset)
        service.incident = regression(self.plan)
        self.service = service
        registry = MlflowLog(self.mlflow_url)
        self._running.later(registry.close)
        self.training_url = self._running.serve(TrainingPeer(service, registry, PACE))

    def _front(self, name: str, wire: Any, behind: str, verify: Any = True) -> Front:
        self.fronts[name] = Front(name, wire, behind, self._record, self._tally, verify)
        return self.fronts[name]

    def _open_fronts(self) -> None:
        tokens = self.plan.actors("stanch")
        self._front("mlflow", wires.mlflow(tokens), self.mlflow_url).open()
        for name in (*REPLICAS, CANARY):
            self._front(name, wires.serving(name, tokens), self.replicas[name]).open()
        self._front("opa", wires.opa(tokens), self.edge.opa).open()
        self._front("training", wires.training(tokens), self.training_url).open()
        self._front("aws", self.cloud.wire(), self.cloud.url).open()
        self._front("vault", self.store.wire(), self.store.url).open()
        self.edge.open_front(self._record, self._tally)
