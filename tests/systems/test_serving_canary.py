"""Canaries of model servers: named apart from the replicas, or not there."""

from pathlib import Path

import pytest

from activities.errors import AuthFailed
from activities.systems.serving.client import connect
from worker.secrets import Secrets

FIRST, SECOND = "http://127.0.0.1:1", "http://127.0.0.1:2"


def test_a_canary_among_the_replicas_is_refused() -> None:
    with pytest.raises(AuthFailed, match="canary is named among the replicas"):
        connect({"replicas": [FIRST, SECOND], "canaries": [SECOND]}, Secrets({}, Path()))


def test_a_canary_is_no_replica() -> None:
    client = connect({"replicas": [FIRST], "canaries": [SECOND]}, Secrets({}, Path()))
    assert (client.replicas, client.canaries) == (("127.0.0.1:1",), ("127.0.0.1:2",))
    client.close()
