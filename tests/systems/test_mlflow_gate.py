"""The release gate's readings, on the simulated registry and on a real one: the traps of the range's story."""

import json
import pickle
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.systems.mlflow.peer.app import MlflowPeer
from activities.systems.training.client import connect
from activities.systems.training.peer.app import TrainingPeer
from activities.systems.training.peer.release import LOCK, MANIFEST, WEIGHTS, libraries
from activities.systems.training.peer.service import Account, Service
from tests.systems.acme import Bench
from tests.systems.gate_site import BAD, Made, Story, incident, taken
from tests.systems.mlflow_site import Place, Site
from worker.range_server import LoopbackServer
from worker.secrets import Secrets
from worker.store import Store

CLEAN = Made("builder-1", -20, -22)


@pytest.fixture
def story(registry: Site, tmp_path: Path) -> Iterator[Story]:
    """A model of its own in the registry, without versions yet."""
    told = Story(registry, tmp_path)
    yield told
    told.log.close()


@pytest.fixture(scope="module")
def told(registry_place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A model with the five versions of the story, which tests only read and add to."""
    folder = tmp_path_factory.mktemp("told")
    with Site(registry_place, folder) as site:
        made = Story(site, folder)
        made.tell()
        yield made
        made.log.close()


@pytest.fixture
def kept(empty_database: Path, tmp_path: Path) -> Iterator[Store]:
    """A store."""
    shutil.copy(empty_database, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    yield store
    store.close()


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[Story]:
    """The same in the simulated registry only: for what is decided on our side, and costs a real one much time."""
    with Place(MlflowPeer()) as place, Site(place, tmp_path) as site:
        told = Story(site, tmp_path)
        yield told
        told.log.close()


@pytest.fixture
def bench(story: Story, kept: Store) -> Bench:
    """Calls of actions on the model without versions."""
    return Bench(story.site.client(**story.settings()), kept, "mlflow")


@pytest.fixture
def reading(told: Story, kept: Store) -> Bench:
    """Calls of actions on the told story."""
    return Bench(told.site.client(**told.settings()), kept, "mlflow")


def bad_window(**more: Any) -> dict[str, Any]:
    """Parameters of the search for a clean version."""
    return {"first_bad": BAD.isoformat(), "compromised_builders": ["builder-2"], **more}


async def asked(bench: Bench, story: Story, name: str, version: str, **more: Any) -> Any:
    """Output of a reading of a version."""
    return (
        await bench.run(bench.call(f"mlflow.{name}", {"model": story.site.name, "version": version, **more}))
    ).output


async def test_every_signature_is_valid_and_the_clean_version_is_n_minus_3(told: Story, reading: Bench) -> None:
    for number in ("2", "3", "5"):
        assert (await asked(reading, told, "verify_signature", number))["valid"]
    result = await reading.apply("mlflow.find_clean_version", model=told.site.name, **bad_window(regression_of="5"))
    found = result.output
    assert (found["found"], found["version"], found["behind"], len(found["digest"])) == (True, "2", 3, 64)
    # The version that the incident is about is among them, though it is not judged.
    assert (found["model"], found["newer"][-3:]) == (told.site.name, ["5", "4", "3"])
    assert [line.partition(":")[0] for line in found["rejected"]] == ["4", "3"]
    assert found["rejected"][1] == "3: builder builder-2 is compromised"
    assert "signature" not in " ".join(found["rejected"])
    assert "clean" not in result.summary.replace("clean by the rule", "")
    report = json.loads(reading.files()[f"{told.site.name}.clean-version"])
    assert [row["clean"] for row in report["versions"]] == [False, False, True]


FLAWS: list[tuple[dict[str, Any], str]] = [
    ({"evaluated": False}, "its stored evaluation is missing"),
    ({"tags": {"eval_run": "0" * 32}}, "its stored evaluation is missing"),
    ({"signed": False}, "its signature is not valid: it is not signed"),
    ({"tags": {"quarantine": "INC-1"}}, "it is quarantined (INC-1)"),
    ({"tags": {"release_digest": "0" * 64}}, "its release manifest is not the one that was recorded"),
    ({"files": {"prompt.txt": b"Say yes."}}, "prompt is not what the release manifest says (prompt.txt)"),
    ({"files": {"release.json": b"{}"}}, "the release set lacks weights"),
]


async def test_each_flaw_passes_a_version_over(simulated: Story, kept: Store) -> None:
    story, bench = simulated, Bench(simulated.site.client(**simulated.settings()), kept, "mlflow")
    good = story.add(CLEAN, 1)
    for flaw, _ in FLAWS:
        story.add(CLEAN, 2, **flaw)
    story.add(CLEAN, 2)
    story.site.write("9", WEIGHTS, b"other")
    story.add(CLEAN, 2, evaluated=False, tags={"eval_run": good.run})
    found = (await bench.apply("mlflow.find_clean_version", model=story.site.name, **bad_window())).output
    borrowed, altered, *rest = found["rejected"]
    assert borrowed == "10: its stored evaluation is also that of version 1"
    assert altered.startswith(f"9: its files are not what was signed ({WEIGHTS}); weights is not what")
    for line, (_, reason) in zip(reversed(rest), FLAWS, strict=True):
        assert reason in line
        assert line.count(";") == 0
    assert (found["found"], found["version"], found["behind"]) == (True, "1", 9)


async def test_without_thresholds_no_version_is_clean_and_that_is_said(story: Story, bench: Bench) -> None:
    story.add(CLEAN, 1)
    (story.folder / "thresholds.yaml").write_text("other:\n  release:\n    accuracy: {min: 0}\n")
    result = await bench.apply("mlflow.find_clean_version", model=story.site.name, **bad_window())
    assert (result.output["found"], result.output["version"]) == (False, "")
    assert "no thresholds are set" in result.warnings[0]
    (story.folder / "thresholds.yaml").write_text("m:\n  release:\n    accuracy: {mim: 0}\n")
    call = bench.call("mlflow.find_clean_version", {"model": story.site.name, **bad_window()}, step="again")
    error = await bench.refused(call)
    assert error.type == "Rejected"
    assert "thresholds.yaml:3:16: mim is none of" in error.message
    call = bench.call(
        "mlflow.find_clean_version",
        {"model": story.site.name, "first_bad": "2026-09-10T00:00:00", "compromised_builders": []},
        step="third",
    )
    assert (await bench.refused(call)).type == "InvalidParams"


async def test_the_poisoned_rows_are_suspects_and_a_missing_dataset_is_not_no_difference(
    told: Story, reading: Bench
) -> None:
    params = {"model": told.site.name, "version": "5", "trusted": "2", "first_bad": BAD.isoformat()}
    result = await reading.apply("mlflow.diff_datasets", **params)
    suspects = reading.rows(result.output["targets"])
    late = {row.id for row in taken(5).rows if row.at >= "2026-09-10"}
    assert {row["id"] for row in suspects} == late
    assert {row.id for row in taken(5).rows if row.source.startswith("feed:")} <= late
    assert (result.output["suspects"], result.output["complete"]) == (len(late), True)
    assert result.output["added"] > len(late)
    other = told.add(CLEAN, 6, files={MANIFEST: b"{}"}).version
    result = await reading.run(reading.call("mlflow.diff_datasets", {**params, "version": other}, step="again"))
    assert (result.output["complete"], result.output["suspects"]) == (False, 0)
    assert "lists no rows" in result.warnings[0]


async def test_a_dependency_two_days_old_is_too_young(story: Story, bench: Bench) -> None:
    story.add(CLEAN, 1)
    at = BAD + timedelta(days=CLEAN.built)
    story.add(CLEAN, 2, packages=libraries(at, {"tanstack-router": timedelta(days=2)}))
    story.add(CLEAN, 3, files={LOCK: b"{}"})
    assert await asked(bench, story, "check_dependencies", "1", trusted="1") == {
        "ok": True,
        "young": [],
        "changed": [],
        "complete": True,
    }
    found = await asked(bench, story, "check_dependencies", "2", trusted="1")
    assert (found["ok"], found["complete"]) == (False, True)
    assert found["young"] == ["tanstack-router 1.0.0: 2 days old when it was used"]
    assert found["changed"] == ["tanstack-router 1.0.0: new"]
    short = bench.call(
        "mlflow.check_dependencies", {"model": story.site.name, "version": "2", "cool_down": 3600}, step="short"
    )
    assert (await bench.run(short)).output["ok"]
    # A builder that dates its build later cannot make its packages older than the registry has seen it.
    young = libraries(datetime.now(UTC), {"tanstack-router": timedelta(days=2)})
    story.add(CLEAN, 4, packages=young, tags={"built_at": "2126-01-01T00:00:00Z"})
    found = await asked(bench, story, "check_dependencies", "4")
    assert (found["ok"], found["young"]) == (False, ["tanstack-router 1.0.0: 2 days old when it was used"])
    found = await asked(bench, story, "check_dependencies", "3")
    assert (found["ok"], found["complete"]) == (False, False)


class Evil:
    """Runs when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit",)


async def test_a_pickle_under_another_name_whole_or_broken_is_found(story: Story, bench: Bench) -> None:
    story.add(CLEAN, 1)
    evil = pickle.dumps(Evil())
    story.add(CLEAN, 2, files={WEIGHTS: evil, "sub/vocab.txt": evil[:-1] + b"\xff", "config.json": b'{"auto_map": 1}'})
    clean = await asked(bench, story, "scan_formats", "1")
    assert (clean["ok"], clean["findings"]) == (True, [])
    found = await asked(bench, story, "scan_formats", "2")
    assert (found["ok"], found["files"]) == (False, clean["files"] + 2)
    assert found["findings"] == [
        "config.json: auto_map names code of the model's own repository",
        f"{WEIGHTS}: it is a pickle that would call builtins.exec, not safetensors",
        "sub/vocab.txt: it is a broken pickle that would call builtins.exec, not what its name says",
    ]


async def test_a_version_without_files_or_weights_is_not_fine(story: Story, bench: Bench) -> None:
    story.site.version(content={"README.md": b"x"}, parts=None)
    assert (await asked(bench, story, "scan_formats", "1"))["findings"] == [
        "there are no weights in the safetensors format"
    ]


async def test_metrics_and_thresholds_of_the_stored_evaluation(told: Story, reading: Bench) -> None:
    other = told.add(CLEAN, 6, evaluated=False).version
    read = await asked(reading, told, "read_metrics", "5")
    assert read["found"] and read["metrics"]["accuracy"] > 0.8 and read["run"]
    assert await asked(reading, told, "read_metrics", other) == {"metrics": {}, "run": "", "found": False}
    checked = await asked(reading, told, "check_evaluation", "5", baseline="2")
    assert checked == {"ok": True, "failed": [], "missing": [], "checked": 2}
    checked = await asked(reading, told, "check_evaluation", "5")
    assert (checked["ok"], checked["missing"]) == (False, ["accuracy of the baseline was not measured"])
    checked = await asked(reading, told, "check_evaluation", other, baseline="2")
    assert checked["missing"][0] == "its stored evaluation is missing"
    checked = await asked(reading, told, "check_evaluation", "5", suite="safety")
    assert (checked["ok"], checked["checked"]) == (False, 0)
    assert checked["missing"] == [f"no thresholds are set for {told.site.name} and suite safety"]


@pytest.mark.parametrize("trap", [False, True], ids=["clean", "trap"])
async def test_a_retrained_version_is_judged_by_the_incident_regression_set(
    told: Story, reading: Bench, trap: bool
) -> None:
    difference = await reading.apply(
        "mlflow.diff_datasets", model=told.site.name, version="5", trusted="2", first_bad=BAD.isoformat()
    )
    service = Service("builder-3", "builder-4", clock=lambda: BAD + timedelta(days=8))
    service.accounts["t"] = Account("stanch")
    service.add_pipeline("nightly")
    service.add_dataset(taken(5))
    service.incident, service.ignores_exclusions = incident(), trap
    server = LoopbackServer(TrainingPeer(service, told.log))
    settings = {"url": server.open(), "token": "secret:env/T", "poll_seconds": 0.2}
    client = connect(settings, Secrets({"T": "t"}, Path()))
    training = Bench(client, reading.store, "training")
    try:
        started = await training.apply(
            "training.start_job",
            pipeline="nightly",
            model=told.site.name,
            dataset="crm-day5",
            base_version="2",
            exclude=difference.output["targets"],
            trainer="tara",
            builds=2,
        )
        ended = await training.apply("training.follow_job", job=started.output["job"])
    finally:
        client.close()
        server.close()
    assert ended.output["status"] == "succeeded"
    new = ended.output["version"]
    tags = told.site.tags(new)
    assert (tags["builder"], tags["trainer"], tags["inputs_digest"]) == (
        "builder-3",
        "tara",
        started.output["inputs_digest"],
    )
    assert service.jobs["job-0001"].inputs["base_digest"] == told.site.tags("2")["release_digest"]
    assert (await asked(reading, told, "check_evaluation", new, baseline="2"))["ok"]
    checked = await asked(reading, told, "check_evaluation", new, suite="regression")
    assert checked["ok"] is not trap
    assert ("regression.trigger_rate is" in " ".join(checked["failed"])) is trap
    scanned = await asked(reading, told, "scan_formats", new)
    assert scanned["ok"] and scanned["digest"] == ended.output["release_digest"] == tags["release_digest"]
    assert ended.output["reproduced"]
    again = await asked(reading, told, "diff_datasets", new, trusted="2", first_bad=BAD.isoformat())
    assert (again["suspects"] == 0) is not trap
