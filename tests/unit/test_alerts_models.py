"""Alerts of models and keys: what they name, which playbook they start, and with which inputs."""

import json
from datetime import UTC, datetime

import pytest

from worker.alerts.intake import Intake

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SINCE = "2026-03-01T11:00:00.000000Z"
INTAKE = Intake.of({}, (), lambda _reference: "")
KEY = "AKIAIOSFODNN7EXAMPLE"


def check(event):
    return INTAKE.check(json.dumps(event).encode(), "siem", NOW).check()


def generic(kind, **more):
    return check({"kind": kind, "severity": "high", "title": "t", "occurred_at": "2026-03-02T11:00:00Z", **more})


def entities(document):
    return {(each["kind"], each["id"]) for each in document["entities"]}


@pytest.mark.parametrize("kind", ["model.poisoned", "ai.supply_chain"])
def test_a_poisoned_model_starts_its_playbook_with_model_and_version(kind):
    found = generic(kind, model="churn-scorer", version="5")
    assert found["route"] == {
        "rule": "model-poisoned",
        "playbook": "model-poisoned",
        "inputs": {"model": "churn-scorer", "version": "5", "since": SINCE},
    }
    assert entities(found) == {("model", "churn-scorer"), ("model_version", "churn-scorer/5")}


def test_an_extraction_starts_its_playbook_with_the_key_that_was_stolen_with_it():
    found = generic("model.extraction", model="churn-scorer", secret=KEY)
    assert found["route"]["playbook"] == "model-extraction"
    assert found["route"]["inputs"] == {"model": "churn-scorer", "access_key": KEY, "since": SINCE}


def test_an_exposed_key_starts_its_playbook():
    assert generic("key.exposed", secret=KEY)["route"]["inputs"] == {"access_key": KEY}


def test_a_secret_that_is_no_access_key_is_asked_for():
    found = generic("key.exposed", secret="github-token/deploy")
    assert found["route"] == {"rule": "key-exposed", "playbook": "key-exposed", "inputs": {}}
    both = [{"kind": "secret", "id": "github-token/deploy"}, {"kind": "secret", "id": KEY}]
    assert generic("key.exposed", entities=both)["route"]["inputs"] == {"access_key": KEY}


@pytest.mark.parametrize("kind", ["model.weights_exposed", "model.prompt_injection", "model.training_data_exposed"])
def test_what_no_playbook_answers_is_triaged(kind):
    found = generic(kind, model="churn-scorer")
    assert found["route"]["playbook"] == "model-triage"
    assert found["route"]["inputs"] == {"model": "churn-scorer", "since": SINCE}


def test_the_same_version_of_two_models_is_two_things():
    one, other = (generic("model.poisoned", model=name, version="5") for name in ("churn-scorer", "fraud"))
    assert one["dedupe_key"] != other["dedupe_key"]
    assert entities(one) & entities(other) == set()


def test_a_name_that_nobody_writes_is_asked_for():
    found = generic("model.poisoned", model="churn\u202escorer", version="5")
    assert "model" not in found["route"]["inputs"]
    assert [each["code"] for each in found["problems"]] == ["input_unsafe"]


def ocsf(**more):
    return check(
        {
            "class_uid": 2004,
            "activity_id": 1,
            "severity_id": 4,
            "time": 1772449200000,
            "finding_info": {"title": "t", "attacks": [{"technique": {"uid": "AML.T0020"}}]},
            "metadata": {"product": {"name": "scanner"}},
            **more,
        }
    )


def test_ocsf_names_the_model_and_its_version_by_evidence():
    found = ocsf(evidences=[{"ai_model": {"name": "churn-scorer", "version": "5"}}])
    assert (found["kind"], found["route"]["playbook"]) == ("model.poisoned", "model-poisoned")
    assert found["route"]["inputs"]["model"] == "churn-scorer" and found["route"]["inputs"]["version"] == "5"


def test_ocsf_names_the_model_as_newer_versions_of_the_schema_do():
    found = ocsf(evidences=[{"ai_model": {"model_name": "churn-scorer", "version": "5"}}])
    assert ("model_version", "churn-scorer/5") in entities(found)
    assert found["route"]["inputs"]["model"] == "churn-scorer"


def test_ocsf_names_the_model_by_resource():
    resource = {
        "type": "MLflow registered model",
        "uid": "models:/churn-scorer",
        "name": "churn-scorer",
        "version": "5",
    }
    found = ocsf(resources=[resource])
    assert found["route"]["inputs"]["model"] == "churn-scorer" and found["route"]["inputs"]["version"] == "5"


def test_ocsf_names_the_key_by_who_used_it():
    found = ocsf(
        finding_info={
            "title": "t",
            "attacks": [{"technique": {"uid": "T1552"}, "sub_technique": {"uid": "T1552.001"}}],
        },
        evidences=[{"actor": {"user": {"name": "svc-inference", "credential_uid": KEY}}}],
    )
    assert (found["kind"], found["route"]["inputs"]) == ("key.exposed", {"access_key": KEY})
