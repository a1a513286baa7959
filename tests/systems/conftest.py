"""A simulated org over a real socket, the real client through our adapter, a real store for evidence."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from activities.systems.salesforce.client import Salesforce
from tests.systems.acme import Acme, Bench
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
