"""Fixtures: a home with a signing key, and a real store in it.

``STANCH_TEST_STORE_URL`` names a PostgreSQL database in which each test gets a schema of its own; without it the
store is SQLite, as in a home.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from worker.store import Store
from worker.store.keys import SigningKey


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def store_url(home: Path) -> Iterator[str]:
    """An empty database."""
    server = os.environ.get("STANCH_TEST_STORE_URL")
    if not server:
        yield f"sqlite:///{home / 'stanch.db'}"
        return
    schema = f"t{uuid.uuid4().hex[:12]}"
    engine = create_engine(server)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield f"{server}?options=-csearch_path%3D{schema}"
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


@pytest.fixture
def signer(home: Path) -> SigningKey:
    """The home's key."""
    return SigningKey.load(home)


@pytest.fixture
def store(store_url: str, home: Path, signer: SigningKey) -> Iterator[Store]:
    """An installation's store."""
    opened = Store(store_url, home, signer)
    yield opened
    opened.close()
