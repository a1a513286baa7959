"""The demos of a copied model, on real servers, and of an exposed key, on peers as where none has been obtained."""

import pytest

from tests.doors.demo_site import effects, played
from tests.systems.real import executable


@pytest.mark.real
def test_who_copies_a_model_is_refused_and_every_customer_is_served(tmp_path, temporal_binary):
    for name in ("mlflow", "mlserver", "haproxy", "opa", "moto", "step-ca"):
        executable(name)
    told, said = played(tmp_path, temporal_binary, "--playbook", "model-extraction", "--seed", "7")
    for system in ("mlflow", "serving", "gateway", "aws", "stepca"):
        assert f"{system}: real" in said and f"{system}: peer" not in said
    changed = effects(told)
    assert changed["gateway.block_certificates"] == changed["gateway.strip_outputs"] == 1
    # moto lets an inactive key through: containment did not stop there.
    assert changed["aws.deactivate_access_keys"] == changed["aws.deny_user"] == 1
    assert told["ok"] and told["journal"]["verified"]


@pytest.mark.real
def test_an_exposed_key_is_refused_and_replaced_with_no_real_server_at_hand(tmp_path, temporal_binary):
    told, said = played(
        tmp_path, temporal_binary, "--playbook", "key-exposed", "--seed", "7", env={"STANCH_RANGE": "peers"}
    )
    assert "aws: peer (STANCH_RANGE=peers)" in said and ": real" not in said
    changed = effects(told)
    assert changed["aws.delete_access_keys"] == changed["aws.rotate_access_key"] == changed["vault.roll_secret"] == 1
    assert told["ok"]
