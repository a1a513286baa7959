"""A false alarm: what the model playbooks contained is taken back by the ordinary undo, and the world is as before."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from activities.catalog import CATALOG
from tests.stage import Stage
from tests.systems.model_night import Night, differences, done, state_of, systems_of
from worker.range_models.company import ModelRange

PEERS = {"STANCH_RANGE": "peers"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelRange]:
    """The range with models on peers; every test leaves it as it found it."""
    folder = tmp_path_factory.mktemp("range")
    with ModelRange(7, (), "model-poisoned", folder / "world", PEERS, lambda line: None) as made:
        # Nobody works meanwhile: what is seen is what Stanch did.
        made.actors.stop()
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def stage(worker_env: Any, world: ModelRange) -> AsyncIterator[Stage]:
    """An installation whose systems are the range's."""
    systems = systems_of(world, worker_env.settings, worker_env.settings.home)
    served = {world.site.served(name)["version"] for name in ("replica1", "replica2")}
    assert (world.site.looker.alias("champion"), served) == ("5", {"5"}), "the test before left the world contained"
    async with worker_env.workers(catalog=CATALOG, systems=systems):
        yield Stage(worker_env)


async def test_a_poisoned_model_that_was_none_is_served_again_as_before(stage: Stage, world: ModelRange) -> None:
    before = state_of(world)
    night = await Night.begin(stage, world, "model-poisoned", settle="1s")
    await night.until(done("contain", "state_of_play"), skip=("law/personal", "reach", "order"))
    contained = state_of(world)
    assert contained["mlflow"]["aliases"]["champion"] == "2"
    assert {one["version"] for name, one in contained["serving"].items() if name != "canary"} == {"2"}
    assert contained["gateway"]["denied_digests"] and contained["training"] != before["training"]
    gate = await night.undo()
    steps = [part["step"] for part in gate["preview"]]
    assert steps.index("roll_back") < steps.index("quarantine") < steps.index("reload"), steps
    reload = next(part for part in gate["preview"] if part["step"] == "reload")
    assert any("it served version 5" in line for line in reload["impact"])
    ended = await night.undone(gate)
    assert (ended["end"], ended["left"]) == ("undone", [])
    assert differences(before, state_of(world)) == []
    await night.run.handle.cancel()


async def test_a_caller_who_was_none_gets_everything_back(stage: Stage, world: ModelRange) -> None:
    before = state_of(world)
    world.story = "model-extraction"
    night = await Night.begin(stage, world, "model-extraction")
    await night.until(done("proof", "state_of_play"), skip=("law/personal", "all", "back/reissue"))
    contained = state_of(world)
    assert {"stripped.map", "blocked_certs.map"} <= {name for name, one in contained["gateway"]["lists"].items() if one}
    assert contained["aws"]["role"] and "Inactive" in contained["aws"]["keys"].values() and contained["aws"]["policies"]
    gate = await night.undo()
    ended = await night.undone(gate)
    assert (ended["end"], ended["left"]) == ("undone", [])
    assert differences(before, state_of(world)) == []
    await night.run.handle.cancel()


RELEASE = """stanch: 1
id: probe
version: 1.0.0
title: Everything else
inputs: {model: {type: string}}
steps:
  - {id: registry, action: mlflow.snapshot_model, with: {model: "{{ inputs.model }}"}}
  - {id: sign, action: mlflow.sign_version, with: {model: "{{ inputs.model }}", version: "2"}}
  - {id: stage, action: mlflow.stage_version, with: {model: "{{ inputs.model }}", version: "2"}}
  - {id: five, action: gateway.shift_traffic, with: {backend: models, server: canary, percent: 5}}
  - {id: more, action: gateway.shift_traffic, with: {backend: models, server: canary, percent: 25}}
  - {id: drain, action: gateway.drain_servers, with: {backend: models, servers: [canary]}}
  - {id: back, action: mlflow.roll_back_alias, with: {model: "{{ inputs.model }}", version: "1"}}
  - {id: load, action: serving.reload_model, with: {model: "{{ inputs.model }}", version: "1"}}
  - {id: promote, action: mlflow.promote_version, with: {model: "{{ inputs.model }}", version: "2"}}
  - {id: load_it, action: serving.reload_model, with: {model: "{{ inputs.model }}", version: "2"}}
  - {id: off, action: serving.unload_model, with: {model: "{{ inputs.model }}"}}
  - {id: revoke, action: mlflow.revoke_version, with: {model: "{{ inputs.model }}", version: "5", reason: test}}
"""


async def test_a_release_is_taken_back_move_by_move_and_what_cannot_be_is_said(stage: Stage, world: ModelRange) -> None:
    before = state_of(world)
    night = await Night.begin(stage, world, RELEASE, model=world.plan.model)
    status = await night.until(lambda status: status["status"] == "done")
    assert {step["status"] for step in status["steps"]} == {"done"}
    released = state_of(world)
    assert released["mlflow"]["aliases"] == {"champion": "2", "staged": "2"}
    assert released["serving"]["replica1"]["version"] == ""
    gate = await night.undo()
    steps = [part["step"] for part in gate["preview"]]
    assert steps == ["off", "promote", "load_it", "back", "load", "drain", "more", "five", "stage", "sign"]
    assert gate["remains"] == ["revoke (mlflow.revoke_version): downstream was told"]
    ended = await night.undone(gate)
    assert (ended["end"], ended["left"]) == ("undone", [])
    left = differences(before, state_of(world))
    assert left and all(line.startswith("/mlflow/versions/5/revoked") for line in left), left


MOVED = """stanch: 1
id: probe
version: 1.0.0
title: Moved
inputs: {model: {type: string}}
steps:
  - {id: registry, action: mlflow.snapshot_model, with: {model: "{{ inputs.model }}"}}
  - {id: quarantine, action: mlflow.quarantine_versions, with: {model: "{{ inputs.model }}", targets: ["3", "4"]}}
  - {id: back, action: mlflow.roll_back_alias, with: {model: "{{ inputs.model }}", version: "2"}}
  - {id: load, action: serving.reload_model, with: {model: "{{ inputs.model }}", version: "2"}}
"""


def point(world: ModelRange, version: str) -> None:
    """Somebody moves the alias, past every front."""
    body = {"name": world.plan.model, "alias": "champion", "version": version}
    url = f"{world.site.mlflow_url}/api/2.0/mlflow/registered-models/alias"
    httpx.post(url, json=body, timeout=20, trust_env=False).raise_for_status()


async def test_what_somebody_moved_meanwhile_is_left_and_nothing_is_loaded_because_of_it(
    stage: Stage, world: ModelRange
) -> None:
    night = await Night.begin(stage, world, MOVED, model=world.plan.model)
    await night.until(lambda status: status["status"] == "done")
    point(world, "1")
    alone = await night.ask("load")
    assert (alone.accepted, alone.code) == (False, "nothing_to_undo")
    assert "load (serving.reload_model): it took up what quarantine, back did" in alone.message
    gate = await night.undo()
    back = next(part for part in gate["preview"] if part["step"] == "back")
    assert back["excluded"] == [f"{world.plan.model}@champion: no longer as Stanch left it"]
    ended = await night.undone(gate)
    assert ended["end"] == "partly"
    assert [line.partition(":")[0] for line in ended["left"]] == ["back", "load"]
    assert "it took up what back did, which is not taken back" in ended["left"][1]
    seen = state_of(world)
    assert seen["mlflow"]["aliases"]["champion"] == "1", "whoever moved it wins"
    assert {seen["serving"][name]["version"] for name in ("replica1", "replica2")} == {"2"}, "nobody approved version 1"
    assert not seen["mlflow"]["versions"]["4"].get("quarantine"), "what was ours is taken back all the same"
    # Once the alias is where it was, the rest is taken back by asking again.
    point(world, "5")
    ended = await night.undone(await night.undo())
    assert (ended["end"], ended["left"]) == ("undone", [])
    assert {state_of(world)["serving"][name]["version"] for name in ("replica1", "replica2")} == {"5"}


async def test_an_alias_that_is_moved_forward_during_the_run_is_noticed_and_asked_about(
    stage: Stage, world: ModelRange
) -> None:
    before = {name: part for name, part in state_of(world).items() if name in ("serving", "training")}
    world.story = "model-poisoned"
    night = await Night.begin(stage, world, "model-poisoned", settle="2s")
    await night.until(done("proof"))
    point(world, "5")
    await night.until(done("state_of_play"), skip=("law/personal", "reach", "order"))
    assert [line.partition(":")[0] for line in night.asked if line.startswith("go")] == ["go", "go_again"]
    seen = state_of(world)
    assert seen["mlflow"]["aliases"]["champion"] == "2"
    assert {seen["serving"][name]["version"] for name in ("replica1", "replica2")} == {"2"}
    told = [str(each) for each in stage.store.notices.of(night.run.incident)]
    assert any("the alias points to version 5" in text and "moved_told" in text for text in told)
    # A false alarm after all: the second move first, and the first one is then as it was before.
    ended = await night.undone(await night.undo())
    assert (ended["end"], ended["left"]) == ("undone", [])
    after = state_of(world)
    assert after["mlflow"]["aliases"]["champion"] == "5"
    assert differences(before, {name: after[name] for name in before}) == []
    await night.run.handle.cancel()
