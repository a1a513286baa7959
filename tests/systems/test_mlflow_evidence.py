"""What is secured of a model and read of it, on the simulated registry and on a real one."""

import hashlib
import json
from typing import Any

import pytest

from activities.systems.mlflow import actions_evidence
from tests.systems.acme import Bench
from tests.systems.mlflow_site import OLD, PEER_ONLY, STRANGER, Site, files


async def test_the_state_of_a_model_is_secured(registry: Site, registry_bench: Bench) -> None:
    first = registry.version(1, tags={"builder": "builder-1"})
    bare = registry.version(2, parts=None)
    last = registry.version(3)
    registry.point(first)
    registry.point(last, "staged")
    done = await registry_bench.apply("mlflow.snapshot_model", model=registry.name)
    assert done.output == {
        "versions": [first, bare, last],
        "latest": last,
        "champion": first,
        "digest": registry.tags(first)["release_digest"],
        "consumers": ["crm-sync", "partner-atlas"],
        "count": 3,
        "complete": True,
    }
    assert done.warnings == ()
    kept = json.loads(registry_bench.files()["registry.json"])
    assert kept["aliases"] == {"champion": first, "staged": last} and kept["tags"]["consumers"]
    rows = {row["id"]: row for row in kept["versions"]}
    assert rows[first]["tags"]["builder"] == "builder-1" and rows[first]["aliases"] == ["champion"]
    assert rows[first]["release"]["parts"]["weights"]["sha256"] == hashlib.sha256(b"weights 1").hexdigest()
    assert rows[first]["release"]["parts"]["adapter"] is None and rows[bare]["release"] is None


@PEER_ONLY
async def test_a_model_without_versions_and_aliases(registry: Site, registry_bench: Bench) -> None:
    done = await registry_bench.apply("mlflow.snapshot_model", model=registry.name, alias="staged")
    assert (done.output["champion"], done.output["latest"], done.output["digest"]) == ("", "", "")
    assert done.warnings == ("the alias points to no version",)
    error = await registry_bench.refused(registry_bench.call("mlflow.snapshot_model", {"model": "nobody"}))
    assert error.type == "NotFound"


@PEER_ONLY
async def test_an_inventory_says_when_it_is_not_whole(registry: Site, registry_bench: Bench) -> None:
    number = registry.version()
    registry.write(number, "release.json", b"x" * 2_000_000)
    done = await registry_bench.apply("mlflow.snapshot_model", model=registry.name)
    assert done.output["complete"] is False
    assert "the release manifests of 1 versions could not be read" in done.warnings


async def test_where_an_alias_points_to(registry: Site, registry_bench: Bench) -> None:
    number = registry.version()
    registry.point(number)
    found = await registry_bench.apply("mlflow.read_alias", model=registry.name)
    assert found.output == {"version": number, "found": True}
    other = await registry_bench.run(
        registry_bench.call("mlflow.read_alias", {"model": registry.name, "alias": "staged"}, step="other")
    )
    assert other.output == {"version": "", "found": False}


async def test_files_of_a_version_are_secured_byte_by_byte(registry: Site, registry_bench: Bench) -> None:
    content = {**files(), "sub/deep/weights.pkl": b"\x80\x04cos\nsystem\n"}
    number = registry.version(content=content)
    done = await registry_bench.apply("mlflow.copy_artifacts", model=registry.name, version=number)
    manifest = registry_bench.files()[f"{registry.name}-{number}-release.json"]
    assert done.output == {
        "count": len(content) + 1,
        "bytes": sum(map(len, content.values())) + len(manifest),
        "digest": registry.tags(number)["release_digest"],
        "complete": True,
    }
    kept = registry_bench.files()
    for path, data in content.items():
        assert kept[f"{registry.name}-{number}-{path.replace('/', '__')}"] == data
    rows = {row["id"]: row for row in map(json.loads, kept[f"{registry.name}-{number}.files"].splitlines())}
    assert rows["sub/deep/weights.pkl"]["sha256"] == hashlib.sha256(content["sub/deep/weights.pkl"]).hexdigest()


@PEER_ONLY
async def test_what_is_missing_of_a_copy_is_said(registry: Site, registry_bench: Bench) -> None:
    number = registry.version()
    registry.faults.add("status", path="artifacts/.*tokenizer.json$", method="GET", times=0, status=404)
    done = await registry_bench.apply("mlflow.copy_artifacts", model=registry.name, version=number)
    assert (done.output["complete"], done.output["count"]) == (False, len(files()))
    assert done.warnings == ("1 files could not be read",)
    empty = registry.version(content={}, parts=None)
    none = await registry_bench.run(
        registry_bench.call("mlflow.copy_artifacts", {"model": registry.name, "version": empty}, step="none")
    )
    assert (none.output["complete"], none.output["count"], none.warnings) == (False, 0, ("the version has no files",))


@PEER_ONLY
async def test_of_a_large_file_only_the_digest_is_kept(registry: Site, registry_bench: Bench) -> None:
    large = bytes(actions_evidence.LARGEST_COPY + 1)
    number = registry.version(content={**files(), "model.safetensors": large})
    done = await registry_bench.apply("mlflow.copy_artifacts", model=registry.name, version=number)
    assert (done.output["complete"], done.output["count"]) == (False, len(files()) + 1)
    assert done.warnings == ("of 1 files over 64 MB only the digest was kept",)
    kept = registry_bench.files()
    assert f"{registry.name}-{number}-model.safetensors" not in kept
    rows = {row["id"]: row for row in map(json.loads, kept[f"{registry.name}-{number}.files"].splitlines())}
    assert rows["model.safetensors"]["sha256"] == hashlib.sha256(large).hexdigest()
    assert rows["model.safetensors"]["copied"] is False


async def test_a_valid_signature_is_never_called_clean(registry: Site, registry_bench: Bench) -> None:
    number = registry.version(tags={"builder": "builder-2"})
    registry.sign(number)
    done = await registry_bench.apply("mlflow.verify_signature", model=registry.name, version=number)
    digest = registry.tags(number)["release_digest"]
    assert done.output == {
        "valid": True,
        "signer": "release-2025",
        "digest": digest,
        "mismatched": [],
        "complete": True,
    }
    assert not {"clean", "safe", "trustworthy"} & set(done.summary.lower().split())
    assert "who signed, not what is in it" in done.summary


@PEER_ONLY
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("none", {"signer": "", "mismatched": [], "why": "it is not signed"}),
        ("changed", {"signer": "release-2025", "mismatched": ["prompt.txt"], "why": "differ"}),
        ("added", {"signer": "release-2025", "mismatched": ["run.py"], "why": "differ"}),
        ("git", {"signer": "release-2025", "mismatched": [".gitattributes"], "why": "differ"}),
        ("gone", {"signer": "release-2025", "mismatched": ["README.md"], "why": "differ"}),
        ("stranger", {"signer": "", "mismatched": [], "why": "no trusted signer"}),
        ("garbage", {"signer": "", "why": "no trusted signer"}),
    ],
)
async def test_signatures_that_do_not_hold(
    registry: Site, registry_bench: Bench, change: str, said: dict[str, Any]
) -> None:
    number = registry.version()
    if change != "none":
        registry.sign(number, STRANGER if change == "stranger" else OLD)
    if change == "gone":
        client = registry.client()
        client.delete_artifact(client.version(registry.name, number), "README.md")
    written = {"changed": "prompt.txt", "added": "run.py", "git": ".gitattributes", "garbage": "model.sig"}
    if change in written:
        registry.write(number, written[change], b"{}")
    done = await registry_bench.apply("mlflow.verify_signature", model=registry.name, version=number)
    assert done.output["valid"] is False and said.pop("why") in done.summary
    assert {name: done.output[name] for name in said} == said
