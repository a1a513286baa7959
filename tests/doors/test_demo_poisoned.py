"""The demo of a poisoned model, whole, on real servers: rolled back, proven, retrained, signed anew, staged, a canary."""

import pytest

from tests.doors.demo_site import effects, played
from tests.systems.real import executable

SERVERS = ("mlflow", "mlserver", "haproxy", "opa", "moto", "step-ca")


@pytest.mark.real
def test_a_poisoned_model_is_replaced_by_the_clean_one_and_a_new_one_is_staged(tmp_path, temporal_binary):
    for name in SERVERS:
        executable(name)
    told, said = played(tmp_path, temporal_binary, "--playbook", "model-poisoned", "--seed", "7")
    for system in ("mlflow", "serving", "gateway", "aws", "stepca"):
        assert f"{system}: real" in said and f"{system}: peer" not in said
    # What the range found by asking as customer and by reading MLflow and HAProxy itself is among the checks.
    assert told["ok"] and {"world", "counts", "once", "evidence first"} <= {check["name"] for check in told["checks"]}
    changed = effects(told)
    assert changed["mlflow.quarantine_versions"] == 3 and changed["serving.reload_model"] == 2
    assert changed["mlflow.roll_back_alias"] == changed["mlflow.revoke_version"] == changed["mlflow.sign_version"] == 1
    # Five percent, then a quarter; nobody made it champion.
    assert changed["gateway.shift_traffic"] == 2 and "mlflow.promote_version" not in changed
    assert changed["salesforce.restore_derived_writes"] == 9
    approvals = {each["step"]: {vote["person"] for vote in each["decisions"]} for each in told["approvals"]}
    assert len(approvals["gate/g8"]) == 2
