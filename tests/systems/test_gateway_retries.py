"""Gateway: an effect survives lost answers, dead workers and others who change the same lists."""

import pytest

from activities.errors import Unavailable
from activities.systems.gateway.models import CERTIFICATES, LIMITS, STRIPPED
from tests.systems.gateway_site import undone

BLOCK, LIMIT, STRIP = "gateway.block_certificates", "gateway.limit_clients", "gateway.strip_outputs"
A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def changes(gateway, verb: str = "") -> list[str]:
    """Changing commands that reached the gateway."""
    return [command for command in gateway.front.commands if command.startswith(verb or ("add", "set", "del", "clear"))]


async def test_an_answer_lost_after_the_change_is_found_done(gateway, at_gateway):
    gateway.front.rules.append(("lose", f"add map {gateway.maps / CERTIFICATES.file} {B}"))
    result = await at_gateway.after_lost(at_gateway.call(BLOCK, {"targets": [A, B, C]}))
    assert (result.changed, result.verified, result.affected.count) == (True, True, 3)
    assert len(changes(gateway, "add map")) == 3, "none is added twice"
    assert (await undone(at_gateway, BLOCK, result, targets=[A, B, C])).affected.count == 3
    assert gateway.own_client.live(CERTIFICATES) == gateway.own_client.kept(CERTIFICATES) == {}


async def test_a_connection_cut_before_the_change_is_tried_again(gateway, at_gateway):
    gateway.front.rules.append(("cut", f"add map {gateway.maps / CERTIFICATES.file} {B}"))
    result = await at_gateway.after_lost(at_gateway.call(BLOCK, {"targets": [A, B, C]}))
    assert (result.verified, result.affected.count) == (True, 3)
    assert set(gateway.own_client.live(CERTIFICATES)) == {A, B, C}


async def test_a_worker_that_dies_between_file_and_gateway_leaves_nothing_half(gateway, at_gateway):
    call = at_gateway.call(BLOCK, {"targets": [A]})
    gateway.front.rules.append(("cut", "add map"))
    await at_gateway.refused(call)
    client = gateway.own_client
    assert A in client.kept(CERTIFICATES) and A not in client.live(CERTIFICATES)
    result = await at_gateway.run(call, attempt=2)
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    gateway.front.rules.append(("cut", "del map"))
    changes_ = {"undo_args": result.undo_args, "epoch": 1, "tries": 2}
    undo = at_gateway.call(BLOCK, {"targets": [A]}, verb="undo", **changes_)
    await at_gateway.refused(undo)
    assert A not in client.kept(CERTIFICATES) and A in client.live(CERTIFICATES)
    back = await at_gateway.run(undo, attempt=2)
    assert (back.changed, back.verified, back.affected.count) == (True, True, 1)
    assert client.live(CERTIFICATES) == client.kept(CERTIFICATES) == {}


async def test_an_undo_whose_answer_was_lost_is_found_done(gateway, at_gateway):
    result = await at_gateway.apply(BLOCK, targets=[A, B])
    gateway.front.rules.append(("lose", "del map"))
    undo = at_gateway.call(BLOCK, {"targets": [A, B]}, verb="undo", undo_args=result.undo_args, epoch=1, tries=2)
    back = await at_gateway.after_lost(undo)
    assert (back.verified, back.affected.count) == (True, 2)


async def test_what_another_incident_blocked_is_neither_counted_nor_taken_back(gateway, at_gateway):
    client = gateway.own_client
    client.keep(CERTIFICATES, {A: "OTHER"})
    client.set_live(CERTIFICATES, A, "OTHER", {})
    result = await at_gateway.apply(BLOCK, targets=[A, B])
    assert (result.affected.count, result.items.already, result.output) == (1, 1, {"count": 2})
    await undone(at_gateway, BLOCK, result, targets=[A, B])
    assert client.live(CERTIFICATES) == client.kept(CERTIFICATES) == {A: "OTHER"}


async def test_what_somebody_blocked_between_preview_and_change_is_theirs(gateway, at_gateway):
    client = gateway.own_client

    def block() -> None:
        client.keep(CERTIFICATES, {A: "OTHER"})
        client.set_live(CERTIFICATES, A, "OTHER", {})

    at_gateway.before_change = block
    result = await at_gateway.apply(BLOCK, targets=[A, B])
    assert (result.affected.count, result.items.already) == (1, 1)
    assert client.live(CERTIFICATES)[A] == "OTHER"


async def test_a_block_by_hand_is_made_to_last_and_stays_after_the_undo(gateway, at_gateway):
    client = gateway.own_client
    client.set_live(CERTIFICATES, A, "BY-HAND", {})
    result = await at_gateway.apply(BLOCK, targets=[A])
    assert (result.changed, result.verified) == (True, True)
    assert client.live(CERTIFICATES) == client.kept(CERTIFICATES) == {A: "BY-HAND"}
    await undone(at_gateway, BLOCK, result, targets=[A])
    assert client.live(CERTIFICATES) == {A: "BY-HAND"} and client.kept(CERTIFICATES) == {}


async def test_what_somebody_unblocked_since_is_left_alone(gateway, at_gateway):
    result = await at_gateway.apply(BLOCK, targets=[A, B])
    client = gateway.own_client
    client.keep(CERTIFICATES, {A: None})
    client.set_live(CERTIFICATES, A, None, client.live(CERTIFICATES))
    back = await undone(at_gateway, BLOCK, result, targets=[A, B])
    assert (back.items.done, back.items.unknown) == (1, 1)
    assert back.items.failures == (f"{A}: changed_since",)


async def test_a_limit_and_cut_outputs_come_back_as_they_were(gateway, at_gateway):
    client = gateway.own_client
    for which, key, value in ((LIMITS, A, "100"), (STRIPPED, A, "shap")):
        client.keep(which, {key: value})
        client.set_live(which, key, value, {})
    limited = await at_gateway.apply(LIMIT, targets=[A, B], per_minute=7)
    cut = await at_gateway.apply(STRIP, targets=[A, B], outputs=["logprobs"])
    assert client.live(LIMITS) == {"default": "600", A: "7", B: "7"} == client.kept(LIMITS)
    assert client.live(STRIPPED) == {A: "logprobs,shap", B: "logprobs"} == client.kept(STRIPPED)
    await undone(at_gateway, LIMIT, limited, targets=[A, B], per_minute=7)
    await undone(at_gateway, STRIP, cut, targets=[A, B], outputs=["logprobs"])
    assert client.live(LIMITS) == {"default": "600", A: "100"} == client.kept(LIMITS)
    assert client.live(STRIPPED) == {A: "shap"} == client.kept(STRIPPED)


async def test_comments_of_people_stay_in_a_file(gateway, at_gateway):
    file = gateway.maps / CERTIFICATES.file
    file.write_text(f"# by hand, ticket 7\n{C} OLD\n")
    result = await at_gateway.apply(BLOCK, targets=[A])
    assert file.read_text() == f"# by hand, ticket 7\n{C} OLD\n{A} INC-2026-7\n"
    await undone(at_gateway, BLOCK, result, targets=[A])
    assert file.read_text() == f"# by hand, ticket 7\n{C} OLD\n"


async def test_a_file_that_is_not_there_changes_nothing(gateway, at_gateway):
    (gateway.maps / CERTIFICATES.file).unlink()
    refused = await at_gateway.refused(at_gateway.call(BLOCK, {"targets": [A]}))
    assert (refused.type, refused.non_retryable) == ("NotFound", True)
    assert changes(gateway) == []


async def test_an_entry_that_the_gateway_refuses_is_not_in_the_file_either(gateway, at_gateway):
    gateway.front.rules.append(("refuse", f"add map {gateway.maps / CERTIFICATES.file} {B}"))
    result = await at_gateway.apply(BLOCK, targets=[A, B, C])
    assert (result.items.done, result.items.failed, result.verified) == (2, 1, False)
    assert result.items.failures == (f"{B}: rejected",)
    client = gateway.own_client
    assert set(client.live(CERTIFICATES)) == set(client.kept(CERTIFICATES)) == {A, C}
    back = await undone(at_gateway, BLOCK, result, targets=[A, B, C])
    assert (back.affected.count, back.verified) == (2, True)


async def test_five_hundred_targets_are_one_step(gateway, at_gateway):
    many = [f"{number:064x}" for number in range(500)]
    result = await at_gateway.apply(BLOCK, targets=many)
    assert (result.affected.count, result.verified) == (500, True)
    assert set(gateway.own_client.live(CERTIFICATES)) == set(gateway.own_client.kept(CERTIFICATES)) == set(many)
    assert (await undone(at_gateway, BLOCK, result, targets=many)).affected.count == 500


async def test_its_own_client_is_never_touched(gateway, at_gateway):
    gateway.ask("stanch")
    refused = await at_gateway.refused(at_gateway.call(BLOCK, {"targets": [gateway.fingerprint("stanch")]}))
    assert refused.type == "Protected"
    assert gateway.ask("stanch")[0] == 200


@pytest.mark.parametrize("bad", ["harvester", "a" * 63, f"{A} x;disable server", "g" * 64])
async def test_what_is_no_hash_never_becomes_a_command(gateway, at_gateway, bad):
    refused = await at_gateway.refused(at_gateway.call(BLOCK, {"targets": [bad]}))
    assert refused.type == "InvalidParams"
    assert changes(gateway) == []


def test_a_gateway_that_is_away_is_said_to_be(gateway):
    away = gateway.client(socket="tcp:127.0.0.1:9")
    with pytest.raises(Unavailable, match="Nothing was sent"):
        away.servers()
    nowhere = gateway.client(socket="/nowhere/admin.sock")
    with pytest.raises(Unavailable, match="Nothing was sent"):
        nowhere.servers()
