"""Moving aliases of models: rolled back, staged, promoted; refused, moved meanwhile, lost answers, taken back."""

from typing import Any

import pytest

from playbooks.contract import ActionResult, Verb
from tests.systems.acme import INCIDENT, Bench
from tests.systems.mlflow_site import PARTS, PEER_ONLY, Site

MOVES = [
    pytest.param("mlflow.roll_back_alias", "champion", id="roll back"),
    pytest.param("mlflow.stage_version", "staged", id="stage"),
    pytest.param("mlflow.promote_version", "champion", id="promote"),
]


def prepared(registry: Site, alias: str, count: int = 2, name: str = "") -> list[str]:
    """Versions, the newest of them pointed to; the oldest is signed where the action asks for that."""
    numbers = registry.versions(count)
    if "promote" in name:
        registry.sign(numbers[0])
    registry.point(numbers[-1], alias)
    return numbers


async def undo(bench: Bench, name: str, done: ActionResult, params: dict[str, Any]) -> ActionResult:
    """What taking a step back gives."""
    return await bench.run(bench.call(name, params, verb=Verb.UNDO, undo_args=done.undo_args))


@pytest.mark.parametrize(("name", "alias"), MOVES)
async def test_an_alias_is_moved_and_moved_back(registry: Site, registry_bench: Bench, name: str, alias: str) -> None:
    old, new = prepared(registry, alias, name=name)
    params = {"model": registry.name, "version": old}
    shown = await registry_bench.preview(name, **params)
    assert (shown.count, shown.reversible, shown.sample) == (1, True, (f"{registry.name}@{alias}",))
    assert shown.labels == (f"{alias}: version {new} to version {old}",)
    assert f"version {old} instead of version {new}" in shown.impact[0]
    assert registry.alias(alias) == new
    done = await registry_bench.apply(name, **params)
    assert (done.changed, done.verified, done.affected.count, done.output) == (True, True, 1, {"count": 1})
    assert registry.alias(alias) == old
    again = await registry_bench.run(registry_bench.call(name, params, step="again"))
    assert (again.changed, again.verified, again.affected.count, again.output) == (False, True, 0, {"count": 1})
    back = await undo(registry_bench, name, done, params)
    assert (back.changed, back.verified) == (True, True)
    assert registry.alias(alias) == new


async def test_an_alias_that_was_not_there_is_removed_again(registry: Site, registry_bench: Bench) -> None:
    number = registry.version()
    params = {"model": registry.name, "version": number}
    done = await registry_bench.apply("mlflow.stage_version", **params)
    assert done.verified and registry.alias("staged") == number
    back = await undo(registry_bench, "mlflow.stage_version", done, params)
    assert back.verified and registry.alias("staged") is None


async def test_an_alias_that_somebody_has_put_back_needs_no_undo(registry: Site, registry_bench: Bench) -> None:
    old, new = prepared(registry, "champion")
    params = {"model": registry.name, "version": old}
    done = await registry_bench.apply("mlflow.roll_back_alias", **params)
    registry.point(new, "champion")
    back = await undo(registry_bench, "mlflow.roll_back_alias", done, params)
    assert (back.changed, back.verified) == (False, True) and back.items is not None
    assert (back.items.already, back.items.unknown, registry.alias()) == (1, 0, new)


@PEER_ONLY
@pytest.mark.parametrize(("name", "alias"), MOVES)
@pytest.mark.parametrize("tag", ["quarantine", "revoked"])
async def test_a_barred_version_is_refused(
    registry: Site, registry_bench: Bench, name: str, alias: str, tag: str
) -> None:
    old, new = prepared(registry, alias, name=name)
    registry.hand.tag(registry.name, old, tag, "INC-2026-1")
    error = await registry_bench.refused(registry_bench.call(name, {"model": registry.name, "version": old}))
    assert (error.type, error.non_retryable) == ("Conflict", True) and "INC-2026-1" in error.message
    assert registry.alias(alias) == new


@PEER_ONLY
@pytest.mark.parametrize(("name", "alias"), MOVES)
async def test_an_incomplete_release_set_is_refused(
    registry: Site, registry_bench: Bench, name: str, alias: str
) -> None:
    _, new = prepared(registry, alias, name=name)
    bare = registry.version(parts=None)
    half = registry.version(parts={part: PARTS[part] for part in PARTS if part != "serving_config"})
    changed = registry.version(9)
    registry.write(changed, "prompt.txt", b"Score them high.")
    lacking = registry.version(10)
    client = registry.client()
    client.delete_artifact(client.version(registry.name, lacking), "tokenizer.json")
    for number in (bare, half, changed, lacking):
        error = await registry_bench.refused(registry_bench.call(name, {"model": registry.name, "version": number}))
        assert error.type == "Conflict" and "not whole" in error.message
    assert registry.alias(alias) == new
    assert not registry.faults.asked("alias", "POST") - 1


@pytest.mark.parametrize("name", ["mlflow.roll_back_alias", "mlflow.promote_version"])
async def test_an_alias_that_is_not_as_expected_is_not_moved(registry: Site, registry_bench: Bench, name: str) -> None:
    one, two, three = prepared(registry, "champion", 3, name)
    call = registry_bench.call(name, {"model": registry.name, "version": one, "expected": two})
    error = await registry_bench.refused(call)
    assert error.type == "Conflict" and "somebody moved it meanwhile" in error.message
    assert registry.alias() == three
    good = await registry_bench.apply(name, model=registry.name, version=one, expected=three)
    assert good.verified and registry.alias() == one


@pytest.mark.parametrize(("name", "alias"), MOVES[:1])
async def test_moved_between_preview_and_writing(registry: Site, registry_bench: Bench, name: str, alias: str) -> None:
    one, two, _ = prepared(registry, alias, 3, name)
    registry_bench.before_change = lambda: registry.point(two, alias)
    done = await registry_bench.apply(name, model=registry.name, version=one)
    assert (done.changed, done.verified) == (False, False)
    assert done.items and done.items.failures == (f"{registry.name}@{alias}: moved_meanwhile",)
    assert registry.alias(alias) == two


@pytest.mark.parametrize(("name", "alias"), MOVES[:1])
async def test_moved_back_directly_after_writing(registry: Site, registry_bench: Bench, name: str, alias: str) -> None:
    old, new = prepared(registry, alias, name=name)
    registry.faults.add(
        "act_after", path="registered-models/alias$", method="POST", act=lambda: registry.point(new, alias)
    )
    done = await registry_bench.apply(name, model=registry.name, version=old)
    assert done.verified is False and done.items and done.items.unknown == 1
    assert done.items.failures == (f"{registry.name}@{alias}: moved_back",)
    assert registry.alias(alias) == new


async def test_moved_back_before_it_is_verified(registry: Site, registry_bench: Bench) -> None:
    old, new = prepared(registry, "champion")
    # Readings of the model: of the proposal, before writing, after writing; then it is verified.
    registry.faults.add("act_before", path="registered-models/get", skip=3, act=lambda: registry.point(new))
    done = await registry_bench.apply("mlflow.roll_back_alias", model=registry.name, version=old)
    assert (done.changed, done.verified) == (True, False)
    assert registry.alias() == new


@PEER_ONLY
async def test_a_part_lost_before_it_is_verified(registry: Site, registry_bench: Bench) -> None:
    old, _ = prepared(registry, "champion")
    client = registry.client()
    version = client.version(registry.name, old)

    def lose() -> None:
        client.delete_artifact(version, "index.json")

    registry.faults.add("act_after", path="registered-models/alias$", method="POST", act=lose)
    done = await registry_bench.apply("mlflow.roll_back_alias", model=registry.name, version=old)
    assert (done.changed, done.verified) == (True, False)


async def test_a_lost_answer(registry: Site, registry_bench: Bench) -> None:
    await lose(registry, registry_bench, "mlflow.roll_back_alias", "champion", "drop_after", {})


@PEER_ONLY
@pytest.mark.parametrize(
    ("name", "alias", "kind", "rule"),
    [
        ("mlflow.roll_back_alias", "champion", "drop_before", {}),
        ("mlflow.roll_back_alias", "champion", "status", {"status": 500}),
        ("mlflow.stage_version", "staged", "drop_after", {}),
        ("mlflow.promote_version", "champion", "drop_after", {}),
    ],
)
async def test_further_lost_answers(
    registry: Site, registry_bench: Bench, name: str, alias: str, kind: str, rule: dict[str, Any]
) -> None:
    await lose(registry, registry_bench, name, alias, kind, rule)


async def lose(registry: Site, bench: Bench, name: str, alias: str, kind: str, rule: dict[str, Any]) -> None:
    """The attempt after a lost answer does the rest, and knows what was before the lost one."""
    old, new = prepared(registry, alias, name=name)
    registry.faults.add(kind, path="registered-models/alias$", method="POST", **rule)
    params = {"model": registry.name, "version": old}
    done = await bench.after_lost(bench.call(name, params))
    assert (done.changed, done.verified, done.affected.count) == (True, True, 1)
    assert registry.alias(alias) == old
    back = await undo(bench, name, done, params)
    assert back.verified and registry.alias(alias) == new


@PEER_ONLY
async def test_too_many_requests_are_waited_out(registry: Site, registry_bench: Bench) -> None:
    old, _ = prepared(registry, "champion")
    registry.faults.add("status", path="alias$", method="POST", status=429, headers={"retry-after": "3"})
    call = registry_bench.call("mlflow.roll_back_alias", {"model": registry.name, "version": old})
    error = await registry_bench.refused(call)
    assert error.type == "RateLimited" and error.next_retry_delay and error.next_retry_delay.total_seconds() == 3
    done = await registry_bench.run(call, attempt=2)
    assert (done.changed, done.verified) == (True, True)


async def test_an_alias_that_somebody_moved_on_is_not_taken_back(registry: Site, registry_bench: Bench) -> None:
    one, two, _ = prepared(registry, "champion", 3)
    params = {"model": registry.name, "version": one}
    done = await registry_bench.apply("mlflow.roll_back_alias", **params)
    registry.point(two)
    shown: Any = await registry_bench.run(
        registry_bench.call("mlflow.roll_back_alias", params, verb=Verb.PREVIEW, undo_args=done.undo_args)
    )
    assert shown.count == 0 and shown.excluded == (f"{registry.name}@champion: no longer as Stanch left it",)
    back = await undo(registry_bench, "mlflow.roll_back_alias", done, params)
    assert (back.changed, back.verified) == (False, False) and back.items and back.items.unknown == 1
    assert registry.alias() == two


@PEER_ONLY
async def test_taking_back_says_when_the_former_version_is_barred(registry: Site, registry_bench: Bench) -> None:
    old, new = prepared(registry, "champion")
    params = {"model": registry.name, "version": old}
    done = await registry_bench.apply("mlflow.roll_back_alias", **params)
    registry.hand.tag(registry.name, new, "quarantine", INCIDENT)
    shown: Any = await registry_bench.run(
        registry_bench.call("mlflow.roll_back_alias", params, verb=Verb.PREVIEW, undo_args=done.undo_args)
    )
    assert shown.impact == (
        f"champion points to version {new} again; what is loaded stays until it is reloaded",
        f"careful: version {new} is quarantined by {INCIDENT}",
    )


async def test_unsigned_and_wrongly_signed_versions_are_not_promoted(registry: Site, registry_bench: Bench) -> None:
    unsigned, changed = registry.version(1), registry.version(2)
    registry.sign(changed)
    registry.write(changed, "extra.py", b"import os")
    for number, why in ((unsigned, "not signed"), (changed, "differ")):
        call = registry_bench.call("mlflow.promote_version", {"model": registry.name, "version": number})
        error = await registry_bench.refused(call)
        assert error.type == "Conflict" and why in error.message
    assert registry.alias() is None


@PEER_ONLY
@pytest.mark.parametrize(("name", "alias"), MOVES[1:])
async def test_a_model_frozen_by_another_incident(registry: Site, registry_bench: Bench, name: str, alias: str) -> None:
    old, new = prepared(registry, alias, name=name)
    client = registry.client()
    client.set_model_tag(registry.name, "frozen", "INC-2026-1")
    call = registry_bench.call(name, {"model": registry.name, "version": old})
    error = await registry_bench.refused(call)
    assert error.type == "Conflict" and "INC-2026-1" in error.message and registry.alias(alias) == new
    client.set_model_tag(registry.name, "frozen", INCIDENT)
    done = await registry_bench.run(call)
    assert done.verified and registry.alias(alias) == old


@PEER_ONLY
@pytest.mark.parametrize(
    "params",
    [
        {"version": "0"},
        {"version": "-1"},
        {"version": "x"},
        {"alias": "v1"},
        {"alias": "LATEST"},
        {"alias": "a/b"},
        {"model": "a'b"},
        {"model": "a/b"},
    ],
)
async def test_parameters_that_cannot_be_meant(registry: Site, registry_bench: Bench, params: dict[str, str]) -> None:
    given = {"model": registry.name, "version": "1", **params}
    error = await registry_bench.refused(registry_bench.call("mlflow.roll_back_alias", given))
    assert error.type == "InvalidParams"


@PEER_ONLY
async def test_a_version_that_is_not_there(registry: Site, registry_bench: Bench) -> None:
    call = registry_bench.call("mlflow.roll_back_alias", {"model": registry.name, "version": "77"})
    assert (await registry_bench.refused(call)).type == "NotFound"
