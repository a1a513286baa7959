"""A simulated org over a real socket, the real client through our adapter, a real store for evidence."""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from activities.systems.aws.peer.app import AwsPeer
from activities.systems.aws.peer.state import AwsAccount
from activities.systems.mlflow.peer.app import MlflowPeer
from activities.systems.salesforce.client import Salesforce
from activities.systems.vault.peer.app import VaultPeer
from tests.systems import mlflow_site
from tests.systems.acme import Acme, Bench
from tests.systems.aws_site import Keeping, Served, Site
from tests.systems.gateway_site import Site as GatewaySite
from tests.systems.real import executable
from tests.systems.training_site import Site as TrainingSite
from tests.systems.vault_site import VaultSite
from worker.range_server import LoopbackServer
from worker.servers.mlflow import MlflowServer
from worker.servers.moto import MotoServer
from worker.store import Store


@pytest.fixture(scope="session")
def key_pair() -> tuple[str, str]:
    """PEM of a private key and of its public half."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


@pytest.fixture
def acme(key_pair: tuple[str, str]) -> Iterator[Acme]:
    """An org with Stanch's integration and one app that others use."""
    with Acme(*key_pair) as served:
        yield served


@pytest.fixture
def client(acme: Acme) -> Salesforce:
    """Stanch's client of the org."""
    return acme.client()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store's database as a first start leaves it; copying it is quicker than migrating anew."""
    folder = tmp_path_factory.mktemp("empty")
    Store(f"sqlite:///{folder / 'stanch.db'}", folder / "home").close()
    return folder / "stanch.db"


@pytest.fixture
def bench(acme: Acme, empty_database: Path, tmp_path: Path) -> Iterator[Bench]:
    """Calls of actions on the org."""
    shutil.copy(empty_database, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    yield Bench(acme.client(), store)
    store.close()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    """One moto for the session, with its access control on."""
    with MotoServer(executable("moto"), tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def served_aws() -> Iterator[Served]:
    """One simulated account for the session; each test gets a fresh state."""
    peer = AwsPeer(AwsAccount(random.Random(7)))
    with Served(peer) as served:
        yield served


@pytest.fixture(scope="session")
def served_moto(moto: MotoServer) -> Iterator[Served]:
    """moto behind a front with faults."""
    with Served(Keeping(moto.url)) as served:
        yield served


@pytest.fixture
def simulated_aws(served_aws: Served) -> Iterator[Site]:
    """A simulated AWS account behind a front with faults."""
    served_aws.app.account = AwsAccount(random.Random(7))
    site = Site(served_aws.app.account, None, served_aws)
    yield site
    site.close()


@pytest.fixture
def moto_aws(moto: MotoServer, served_moto: Served) -> Iterator[Site]:
    """moto's account behind such a front."""
    site = Site(None, moto, served_moto)
    yield site
    site.close()


@pytest.fixture(params=["peer", pytest.param("real", marks=pytest.mark.real)])
def aws(request: pytest.FixtureRequest) -> Site:
    """An AWS account, simulated or moto's."""
    site: Site = request.getfixturevalue("moto_aws" if request.param == "real" else "simulated_aws")
    return site


@pytest.fixture
def aws_bench(aws: Site, empty_database: Path, tmp_path: Path) -> Iterator[Bench]:
    """Calls of AWS actions."""
    shutil.copy(empty_database, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    yield Bench(aws.stanch, store, "aws")
    store.close()


@pytest.fixture
def training() -> Iterator[TrainingSite]:
    """A training service."""
    with TrainingSite() as served:
        yield served


@pytest.fixture
def training_bench(training: TrainingSite, empty_database: Path, tmp_path: Path) -> Iterator[Bench]:
    """Calls of actions on it."""
    shutil.copy(empty_database, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    yield Bench(training.client(), store, "training")
    store.close()


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One MLflow server for the session."""
    with MlflowServer(executable("mlflow"), tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="module", params=["peer", pytest.param("real", marks=pytest.mark.real)])
def registry_place(request: pytest.FixtureRequest) -> Iterator[mlflow_site.Place]:
    """A model registry, simulated or MLflow's own, behind a front with faults; for all tests of a file."""
    real = request.param == "real"
    with mlflow_site.Place(request.getfixturevalue("mlflow_server").url if real else MlflowPeer()) as made:
        yield made


@pytest.fixture
def registry(registry_place: mlflow_site.Place, tmp_path: Path) -> Iterator[mlflow_site.Site]:
    """A model of its own in the registry."""
    with mlflow_site.Site(registry_place, tmp_path) as made:
        yield made


@pytest.fixture
def registry_bench(registry: mlflow_site.Site, empty_database: Path, tmp_path: Path) -> Iterator[Bench]:
    """Calls of actions on the registry."""
    shutil.copy(empty_database, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    yield Bench(registry.client(), store, "mlflow")
    store.close()


@pytest.fixture(scope="session", params=["peer", pytest.param("real", marks=pytest.mark.real)])
def gateways(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewaySite]:
    """A simulated gateway for the session, and a real HAProxy with OPA."""
    with GatewaySite(request.param, tmp_path_factory.mktemp("gateway")) as site:
        yield site


@pytest.fixture
def gateway(gateways: GatewaySite) -> GatewaySite:
    """A gateway as it was at first."""
    gateways.reset()
    return gateways


@pytest.fixture
def at_gateway(gateway: GatewaySite, empty_database: Path, tmp_path: Path) -> Iterator[Bench]:
    """Calls of actions on the gateway."""
    shutil.copy(empty_database, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    yield Bench(gateway.own_client, store, "gateway")
    store.close()


@pytest.fixture(scope="session")
def simulated_vault() -> Iterator[tuple[VaultPeer, str]]:
    """One simulated Vault; each test has mounts of its own on it."""
    peer = VaultPeer()
    served = LoopbackServer(peer)
    yield peer, served.open()
    served.close()


@pytest.fixture(params=["peer", pytest.param("live", marks=pytest.mark.live("vault"))])
def vault_site(request: pytest.FixtureRequest) -> Iterator[VaultSite]:
    """A simulated Vault, or with ``--live=vault`` a real one."""
    if request.param == "live":
        found = VaultSite(os.environ["VAULT_ADDR"], os.environ["VAULT_TOKEN"], None)
    else:
        peer, url = request.getfixturevalue("simulated_vault")
        found = VaultSite(url, peer.state.root, peer)
    yield found
    found.close()


@pytest.fixture
def vault_bench(vault_site: VaultSite, empty_database: Path, tmp_path: Path) -> Iterator[Bench]:
    """Calls of actions on Vault."""
    shutil.copy(empty_database, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    yield Bench(vault_site.client(), store, "vault")
    store.close()
