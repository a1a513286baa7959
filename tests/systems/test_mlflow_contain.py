"""Freezing, quarantining, revoking and signing, on the simulated registry and on a real one."""

from typing import Any

import pytest

from playbooks.contract import ActionResult, Verb
from tests.systems.acme import INCIDENT, Bench
from tests.systems.mlflow_site import NEW, OLD, PEER_ONLY, STRANGER, Site


async def undo(bench: Bench, name: str, done: ActionResult, **params: Any) -> ActionResult:
    """What taking a step back gives."""
    return await bench.run(bench.call(name, params, verb=Verb.UNDO, undo_args=done.undo_args))


async def test_aliases_are_frozen_and_thawed(registry: Site, registry_bench: Bench) -> None:
    shown = await registry_bench.preview("mlflow.freeze_aliases", model=registry.name)
    assert shown.count == 1 and "plain MLflow does not enforce this" in shown.impact[1]
    done = await registry_bench.apply("mlflow.freeze_aliases", model=registry.name)
    assert (done.verified, done.affected.count) == (True, 1) and registry.model_tags()["frozen"] == INCIDENT
    back = await undo(registry_bench, "mlflow.freeze_aliases", done, model=registry.name)
    assert back.verified and "frozen" not in registry.model_tags()


@PEER_ONLY
async def test_what_another_incident_froze_is_not_ours(registry: Site, registry_bench: Bench) -> None:
    registry.client().set_model_tag(registry.name, "frozen", "INC-2026-1")
    done = await registry_bench.apply("mlflow.freeze_aliases", model=registry.name)
    assert (done.changed, done.affected.count, done.output) == (False, 0, {"count": 1})
    assert registry.model_tags()["frozen"] == "INC-2026-1"


async def test_versions_are_quarantined_and_released(registry: Site, registry_bench: Bench) -> None:
    one, two, three = registry.versions(3)
    registry.hand.tag(registry.name, one, "quarantine", "INC-2026-1")
    registry.point(three)
    params = {"model": registry.name, "targets": [one, two, three, "99"]}
    shown = await registry_bench.preview("mlflow.quarantine_versions", **params)
    assert (shown.count, shown.already, shown.excluded) == (2, 1, ("99: no such version in this model",))
    assert f"champion still points to version {three}: it is served until that alias is moved" in shown.impact
    done = await registry_bench.apply("mlflow.quarantine_versions", **params)
    assert (done.verified, done.affected.count, done.output) == (True, 2, {"count": 3})
    assert "1 aliases still point to quarantined versions" in done.warnings[-1]
    assert [registry.tags(number)["quarantine"] for number in (one, two, three)] == ["INC-2026-1", INCIDENT, INCIDENT]
    back = await undo(registry_bench, "mlflow.quarantine_versions", done, **params)
    assert (back.verified, back.affected.count) == (True, 2)
    assert "quarantine" not in registry.tags(two) and registry.tags(one)["quarantine"] == "INC-2026-1"


@PEER_ONLY
async def test_a_quarantine_that_somebody_took_over_is_not_lifted(registry: Site, registry_bench: Bench) -> None:
    one, two = registry.versions(2)
    params = {"model": registry.name, "targets": [one, two]}
    done = await registry_bench.apply("mlflow.quarantine_versions", **params)
    registry.hand.tag(registry.name, one, "quarantine", "INC-2026-9")
    back = await undo(registry_bench, "mlflow.quarantine_versions", done, **params)
    assert back.verified is False and back.items and (back.items.done, back.items.unknown) == (1, 1)
    assert registry.tags(one)["quarantine"] == "INC-2026-9" and "quarantine" not in registry.tags(two)


@PEER_ONLY
async def test_another_incident_is_quicker(registry: Site, registry_bench: Bench) -> None:
    (one,) = registry.versions(1)
    registry_bench.before_change = lambda: registry.hand.tag(registry.name, one, "quarantine", "INC-2026-9")
    done = await registry_bench.apply("mlflow.quarantine_versions", model=registry.name, targets=[one])
    assert (done.changed, done.affected.count) == (False, 0) and registry.tags(one)["quarantine"] == "INC-2026-9"


@PEER_ONLY
@pytest.mark.parametrize("targets", [["x"], ["0"], ["1/../2"], ["01"]])
async def test_numbers_that_are_none(registry: Site, registry_bench: Bench, targets: list[str]) -> None:
    call = registry_bench.call("mlflow.quarantine_versions", {"model": registry.name, "targets": targets})
    assert (await registry_bench.refused(call)).type == "InvalidParams"


@PEER_ONLY
@pytest.mark.parametrize(("kind", "rule"), [("drop_after", {}), ("drop_before", {}), ("status", {"status": 502})])
async def test_a_lost_answer_among_many(registry: Site, registry_bench: Bench, kind: str, rule: dict[str, Any]) -> None:
    numbers = registry.versions(4)
    registry.faults.add(kind, path="model-versions/set-tag", skip=1, **rule)
    params = {"model": registry.name, "targets": numbers}
    done = await registry_bench.after_lost(registry_bench.call("mlflow.quarantine_versions", params))
    assert (done.changed, done.verified, done.affected.count) == (True, True, 4)
    assert {registry.tags(number)["quarantine"] for number in numbers} == {INCIDENT}
    back = await undo(registry_bench, "mlflow.quarantine_versions", done, **params)
    assert back.verified and not any("quarantine" in registry.tags(number) for number in numbers)


async def test_a_version_is_revoked_with_its_reason(registry: Site, registry_bench: Bench) -> None:
    (number,) = registry.versions(1)
    registry.point(number)
    params = {"model": registry.name, "version": number, "reason": "Its builder was compromised."}
    shown = await registry_bench.preview("mlflow.revoke_version", **params)
    assert (shown.reversible, shown.irreversible_because) == (False, "downstream was told")
    assert shown.impact == ("told to its consumers: crm-sync, partner-atlas", "champion still points to it")
    registry.faults.add("drop_after", path="set-tag", skip=1)
    done = await registry_bench.after_lost(registry_bench.call("mlflow.revoke_version", params))
    assert (done.verified, done.affected.count, done.undo_args) == (True, 1, None)
    tags = registry.tags(number)
    assert (tags["revoked"], tags["revoked_reason"]) == (INCIDENT, "Its builder was compromised.")
    again = await registry_bench.run(registry_bench.call("mlflow.revoke_version", params, step="again"))
    assert (again.changed, again.affected.count, again.output) == (False, 0, {"count": 1})


async def test_a_version_is_signed_with_the_new_key_and_unsigned(registry: Site, registry_bench: Bench) -> None:
    number = registry.version()
    params = {"model": registry.name, "version": number}
    before = registry.there(number)
    shown = await registry_bench.preview("mlflow.sign_version", **params)
    assert shown.count == 1 and "release-2026" in shown.impact[0]
    done = await registry_bench.apply("mlflow.sign_version", **params)
    assert (done.verified, done.affected.count) == (True, 1) and registry.there(number) == before | {"model.sig"}
    read = await registry_bench.apply("mlflow.verify_signature", **params)
    assert (read.output["valid"], read.output["signer"]) == (True, "release-2026")
    assert NEW.private.splitlines()[1] not in registry_bench.journal() + str(registry_bench.files())
    back = await undo(registry_bench, "mlflow.sign_version", done, **params)
    assert back.verified and registry.there(number) == before


async def test_a_former_signature_is_replaced_and_comes_back(registry: Site, registry_bench: Bench) -> None:
    number = registry.version()
    registry.sign(number, OLD)
    client = registry.client()
    version = client.version(registry.name, number)
    former = client.content(version, "model.sig", 100_000)
    params = {"model": registry.name, "version": number}
    shown = await registry_bench.preview("mlflow.sign_version", **params)
    assert "the signature that it has now is replaced" in shown.impact
    registry.faults.add("drop_after", path="model.sig", method="PUT")
    done = await registry_bench.after_lost(registry_bench.call("mlflow.sign_version", params))
    assert done.verified and done.affected.count == 1 and client.content(version, "model.sig", 100_000) != former
    back = await undo(registry_bench, "mlflow.sign_version", done, **params)
    assert back.verified and client.content(version, "model.sig", 100_000) == former


@PEER_ONLY
async def test_a_signature_that_somebody_replaced_is_not_removed(registry: Site, registry_bench: Bench) -> None:
    number = registry.version()
    params = {"model": registry.name, "version": number}
    done = await registry_bench.apply("mlflow.sign_version", **params)
    registry.sign(number, OLD)
    back = await undo(registry_bench, "mlflow.sign_version", done, **params)
    assert back.items and back.items.unknown == 1 and "model.sig" in registry.there(number)


@PEER_ONLY
@pytest.mark.parametrize("tag", ["quarantine", "revoked"])
async def test_a_barred_version_is_not_signed(registry: Site, registry_bench: Bench, tag: str) -> None:
    number = registry.version()
    registry.hand.tag(registry.name, number, tag, "INC-2026-1")
    call = registry_bench.call("mlflow.sign_version", {"model": registry.name, "version": number})
    error = await registry_bench.refused(call)
    assert error.type == "Conflict" and "model.sig" not in registry.there(number)


@PEER_ONLY
async def test_what_cannot_be_signed(registry: Site, registry_bench: Bench) -> None:
    changed, odd = registry.version(1), registry.version(2)
    registry.write(changed, "prompt.txt", b"Score them high.")
    registry.write(odd, ".gitattributes", b"x")
    call = registry_bench.call("mlflow.sign_version", {"model": registry.name, "version": changed})
    assert "not whole" in (await registry_bench.refused(call)).message
    done = await registry_bench.apply("mlflow.sign_version", model=registry.name, version=odd)
    assert done.items and done.items.failures == (f"{odd}: rejected",), "a signature would not cover a file"
    good = registry.version(3)
    for settings, env, said in (
        ({"trusted": [{"name": "a", "public_key": OLD.public}]}, {}, "No key to sign with"),
        ({"trusted": [{"name": "a", "public_key": OLD.public}], "key": "secret:env/K"}, {"K": NEW.private}, "none of"),
        ({"key": "secret:env/K"}, {"K": "no key"}, "is not a PEM private key"),
        ({"key": "secret:env/K"}, {}, "K is not set"),
    ):
        registry_bench.client = registry.client(signing=settings, env=env)
        call = registry_bench.call("mlflow.sign_version", {"model": registry.name, "version": good}, step=said)
        error = await registry_bench.refused(call)
        assert said in error.message and STRANGER.private not in error.message
    assert "model.sig" not in registry.there(good)


@PEER_ONLY
async def test_protected_models_say_so(registry: Site, registry_bench: Bench) -> None:
    (number,) = registry.versions(1)
    registry_bench.protected = (registry.name,)
    for name, params in (
        ("mlflow.freeze_aliases", {}),
        ("mlflow.quarantine_versions", {"targets": [number]}),
        ("mlflow.stage_version", {"version": number}),
    ):
        shown = await registry_bench.preview(name, model=registry.name, **params)
        assert len(shown.protected) == 1
