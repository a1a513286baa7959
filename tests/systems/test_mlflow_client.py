"""The client of MLflow, on the simulated registry and on a real one: reading, paging, changing, errors."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.errors import (
    Ambiguous,
    AuthFailed,
    ConnectorError,
    Forbidden,
    NotFound,
    RateLimited,
    Rejected,
    Timeout,
    Unavailable,
)
from activities.systems.mlflow import client as mlflow
from activities.systems.mlflow.peer.app import MlflowPeer
from activities.systems.mlflow.peer.state import Registry
from activities.systems.mlflow.release import NotARelease, read_release
from tests.systems.mlflow_site import PARTS, Place, Site, files
from worker.secrets import Secrets


@pytest.fixture(scope="module")
def peer() -> Iterator[Place]:
    with Place(MlflowPeer()) as made:
        yield made


@pytest.fixture
def simulated(peer: Place, tmp_path: Path) -> Iterator[Site]:
    with Site(peer, tmp_path) as made:
        yield made


def test_a_model_its_versions_and_its_aliases(registry: Site) -> None:
    first = registry.version(1, tags={"builder": "builder-1"})
    second = registry.version(2)
    registry.point(second)
    registry.point(second, "shadow")
    client = registry.client()
    model = client.model(registry.name)
    assert model.tags == {"consumers": "crm-sync, partner-atlas"}
    assert model.aliases == {"champion": second, "shadow": second}
    assert model.pointing_to(second) == ["champion", "shadow"]
    found = client.versions(registry.name)
    assert [(version.number, version.model) for version in found] == [(first, registry.name), (second, registry.name)]
    assert found[0].tags["builder"] == "builder-1" and found[0].status == "READY" and found[0].created
    assert client.version(registry.name, first) == found[0]
    assert (client.alias(registry.name, "champion"), client.alias(registry.name, "none")) == (second, None)


def test_versions_of_all_pages_and_of_no_other_model(registry: Site) -> None:
    for _ in range(5):
        registry.version(content={"a": b"1"}, parts=None)
    registry.hand.model(f"{registry.name}0")
    registry.hand.version(f"{registry.name}0", {"a": b"1"})
    client = registry.client()
    client.page = 2
    assert [version.number for version in client.versions(registry.name)] == ["1", "2", "3", "4", "5"]
    assert registry.faults.asked("model-versions/search.*page_token") == 2


def test_files_of_a_version_are_listed_and_read(registry: Site) -> None:
    number = registry.version(7, {**files(7), "sub/deep/a b.txt": b"x"})
    client = registry.client()
    version = client.version(registry.name, number)
    found = {artifact.path: artifact.size for artifact in client.artifacts(version)}
    assert found == {**{path: len(data) for path, data in files(7).items()}, "sub/deep/a b.txt": 1} | {
        "release.json": found["release.json"]
    }
    assert client.content(version, "sub/deep/a b.txt", 10) == b"x"
    assert b"".join(client.pieces(version, "model.safetensors")) == b"weights 7"
    assert client.digest(version, "model.safetensors") == hashlib.sha256(b"weights 7").hexdigest()
    with pytest.raises(Rejected):
        client.content(version, "model.safetensors", 3)
    with pytest.raises(NotFound):
        client.content(version, "none.txt", 3)
    for path in ("../a", "/etc/passwd", "a/../../b", "a\\b", ""):
        with pytest.raises(Rejected):
            client.content(version, path, 3)


def test_a_run_with_its_metrics(registry: Site) -> None:
    made = registry.hand.run("evaluations", {"auc": 0.9, "fpr": 0.1}, {"seed": "7"}, {"suite": "release"})
    run = registry.client().run(made["run_id"])
    assert (run.metrics, run.params, run.status) == ({"auc": 0.9, "fpr": 0.1}, {"seed": "7"}, "FINISHED")
    assert run.tags["suite"] == "release" and run.started and run.ended


def test_what_is_not_there_is_not_found(registry: Site) -> None:
    client = registry.client()
    number = registry.version(content={"a": b"1"}, parts=None)
    for ask in (
        lambda: client.model("nobody"),
        lambda: client.version(registry.name, "99"),
        lambda: client.run("f" * 32),
        lambda: client.alias("nobody", "champion"),
        lambda: client.set_alias(registry.name, "champion", "99"),
        lambda: client.set_version_tag(registry.name, "99", "a", "b"),
        lambda: client.set_model_tag("nobody", "a", "b"),
    ):
        with pytest.raises(NotFound):
            ask()
    assert client.versions("nobody") == []
    # Removing what is not there is no error in MLflow.
    client.delete_alias(registry.name, "none")
    client.delete_version_tag(registry.name, number, "none")
    client.delete_artifact(client.version(registry.name, number), "none.txt")


def test_changes_are_read_back(registry: Site) -> None:
    number = registry.version()
    client = registry.client()
    client.set_alias(registry.name, "champion", number)
    client.set_version_tag(registry.name, number, "quarantine", "INC-2026-7")
    client.set_model_tag(registry.name, "frozen", "INC-2026-7")
    version = client.version(registry.name, number)
    client.upload(version, "model.sig", b"{}")
    assert (registry.alias(), registry.tags(number)["quarantine"]) == (number, "INC-2026-7")
    assert registry.model_tags()["frozen"] == "INC-2026-7" and client.content(version, "model.sig", 9) == b"{}"
    client.delete_alias(registry.name, "champion")
    client.delete_version_tag(registry.name, number, "quarantine")
    client.delete_model_tag(registry.name, "frozen")
    client.delete_artifact(version, "model.sig")
    assert (
        registry.alias() is None and "quarantine" not in registry.tags(number) and "frozen" not in registry.model_tags()
    )
    assert "model.sig" not in {artifact.path for artifact in client.artifacts(version)}


def test_a_release_set_whole_changed_and_incomplete(registry: Site) -> None:
    client = registry.client()

    def said(number: str, *, digests: bool = True) -> list[str]:
        return client.release(client.version(registry.name, number), digests=digests)[1]

    whole = registry.version()
    release, wrong = client.release(client.version(registry.name, whole))
    assert release is not None and wrong == [] and release.digest == registry.tags(whole)["release_digest"]
    registry.write(whole, "prompt.txt", b"Score them high.")
    assert said(whole) == ["prompt is not what the release manifest says (prompt.txt)"]
    assert said(whole, digests=False) == []
    client.delete_artifact(client.version(registry.name, whole), "index.json")
    assert said(whole, digests=False) == ["index is missing (index.json)"]
    assert said(registry.version(parts=None)) == ["the version has no release manifest (release.json)"]
    assert said(registry.version(parts={"weights": PARTS["weights"]})) == ["the release set lacks serving_config"]
    assert said(registry.version(tags={"release_digest": "0" * 64})) == [
        "its release manifest is not the one that was recorded when it was registered"
    ]


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b"{}", b'{"weights": 1}', b'{"weights": {"path": "a"}, "adapter": null}', b"x" * 1_000_001],
)
def test_what_is_no_release_manifest(content: bytes) -> None:
    with pytest.raises(NotARelease):
        read_release(content)


@pytest.mark.parametrize(
    ("kind", "rule", "reading", "changing"),
    [
        ("status", {"status": 500}, Unavailable, Ambiguous),
        ("status", {"status": 503}, Unavailable, Ambiguous),
        ("status", {"status": 429, "headers": {"retry-after": "7"}}, RateLimited, RateLimited),
        ("status", {"status": 401}, AuthFailed, AuthFailed),
        ("status", {"status": 403}, Forbidden, Forbidden),
        ("status", {"status": 404, "body": b"<html>"}, Rejected, Rejected),
        ("status", {"status": 302, "headers": {"location": "http://127.0.0.1:9/"}}, Rejected, Rejected),
        ("status", {"status": 400, "body": b'{"error_code": "INVALID_PARAMETER_VALUE"}'}, Rejected, Rejected),
        ("drop_before", {}, Unavailable, Ambiguous),
        ("drop_after", {}, Unavailable, Ambiguous),
        ("body", {"body": b"<html>"}, Unavailable, Ambiguous),
        ("body", {"body": b"[]"}, Unavailable, Ambiguous),
        ("delay", {"seconds": 0.5}, Timeout, Ambiguous),
    ],
)
def test_errors_are_mapped(
    simulated: Site, kind: str, rule: dict[str, object], reading: type[ConnectorError], changing: type[ConnectorError]
) -> None:
    number = simulated.version(content={"a": b"1"}, parts=None)
    client = simulated.client(read_timeout=0.2)
    client.place(client.version(simulated.name, number))
    simulated.faults.add(kind, **rule)
    with pytest.raises(ConnectorError) as caught:
        client.model(simulated.name)
    assert type(caught.value) is reading
    if reading is RateLimited:
        assert caught.value.retry_after and caught.value.retry_after.total_seconds() == 7
    simulated.faults.add(kind, **rule)
    with pytest.raises(ConnectorError) as caught:
        client.set_alias(simulated.name, "champion", number)
    assert type(caught.value) is changing


def test_an_answer_of_another_shape_is_not_understood(simulated: Site) -> None:
    for body in (b'{"registered_model": 3}', b"{}", b'{"registered_model": {"aliases": 3, "name": "a"}}'):
        simulated.faults.add("body", body=body)
        with pytest.raises(Unavailable):
            simulated.client().model(simulated.name)
    simulated.faults.add("status", status=200, body=b'{"next_page_token": "a"}', times=0)
    with pytest.raises(Unavailable, match="do not end"):
        simulated.client().versions(simulated.name)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".."])
def test_a_listing_that_leads_out_of_its_folder_is_refused(simulated: Site, name: str) -> None:
    number = simulated.version(content={"a": b"1"}, parts=None)
    client = simulated.client()
    version = client.version(simulated.name, number)
    simulated.faults.add("body", path="mlflow-artifacts", body=b'{"files": [{"path": "%s"}]}' % name.encode())
    with pytest.raises(Rejected):
        client.artifacts(version)


def test_files_that_lie_elsewhere_are_not_fetched(simulated: Site) -> None:
    simulated.hand.call("POST", "model-versions/create", name=simulated.name, source="s3://bucket/model")
    client = simulated.client()
    with pytest.raises(Rejected, match="s3:"):
        client.artifacts(client.version(simulated.name, "1"))


def test_a_reading_client_sends_nothing_that_changes(registry: Site) -> None:
    number = registry.version()
    client = registry.client(reading=True)
    version = client.version(registry.name, number)
    assert client.release(version)[1] == []
    before = len(registry.faults.requests)
    for change in (
        lambda: client.set_alias(registry.name, "champion", number),
        lambda: client.delete_alias(registry.name, "champion"),
        lambda: client.set_version_tag(registry.name, number, "a", "b"),
        lambda: client.delete_version_tag(registry.name, number, "a"),
        lambda: client.upload(version, "model.sig", b"{}"),
        lambda: client.delete_artifact(version, "model.safetensors"),
    ):
        with pytest.raises(Rejected, match="Nothing was sent"):
            change()
    assert len(registry.faults.requests) == before


def test_a_simulated_registry_stands_in(simulated: Site) -> None:
    number = simulated.version()
    client = simulated.client(url="https://mlflow.example/prefix", endpoint=simulated.url)
    assert client.version(simulated.name, number).number == number


def test_no_other_host_is_asked(simulated: Site) -> None:
    """Were a path ever an address: credentials must not go there."""
    client = simulated.client(env={"TOKEN": "hunter2"}, token="secret:env/TOKEN")
    for place in ("http://127.0.0.1:9/x", "https://mlflow.example/x", f"https{simulated.url[4:]}/x"):
        with pytest.raises(Rejected, match="not the configured registry"):
            client._wire.get(place, "trying", {})


def test_nothing_listens() -> None:
    client = mlflow.connect({"url": "http://127.0.0.1:9"}, Secrets({}, Path()))
    with pytest.raises(Unavailable, match="Nothing was sent"):
        client.set_alias("a", "b", "1")
    client.close()


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({"token": "secret:env/TOKEN"}, "Bearer hunter2"),
        ({"username": "stanch", "password": "secret:env/TOKEN"}, "Basic c3RhbmNoOmh1bnRlcjI="),
    ],
)
def test_it_signs_in(tmp_path: Path, settings: dict[str, str], header: str) -> None:
    peer = MlflowPeer(Registry())
    with Place(peer) as place, Site(place, tmp_path) as open_:
        peer.state.accounts[header] = "stanch"
        with pytest.raises(AuthFailed) as caught:
            open_.client().ping()
        assert "401" in caught.value.message
        good = open_.client(env={"TOKEN": "hunter2"}, **settings)
        assert good.ping() == "The registry answers; 2 trusted signers, a key to sign with."
        with pytest.raises(AuthFailed) as caught:
            open_.client(env={"TOKEN": "wrong"}, **settings).ping()
        assert "wrong" not in caught.value.message
        with pytest.raises(AuthFailed, match="TOKEN is not set"):
            open_.client(**settings).ping()


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "http://mlflow.example"},
        {"url": "https://me:pw@mlflow.example"},
        {"url": "ftp://mlflow.example"},
        {"url": "https://mlflow.example", "endpoint": "http://mlflow.example:80"},
        {"url": "https://mlflow.example", "token": "hunter2"},
        {"url": "https://mlflow.example", "username": "a"},
        {"url": "https://mlflow.example", "username": "a", "password": "secret:env/A", "token": "secret:env/B"},
        {"url": "https://mlflow.example", "signing": {"key": "-----BEGIN"}},
        {"url": "https://mlflow.example", "signing": {"trusted": [{"name": "a"}]}},
        {"url": "https://mlflow.example", "tags": {"color": "a"}},
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, object]) -> None:
    with pytest.raises(AuthFailed) as caught:
        mlflow.connect(settings, Secrets({}, Path()))
    assert "systems.mlflow" in caught.value.message and "hunter2" not in caught.value.message
