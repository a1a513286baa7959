"""Workflows of others as the settings declare them: what compiles for whom, and what a declaration must say."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from activities.foreign import id_of
from playbooks.compile import compile_plan
from playbooks.contract import ActionCall, RunContext
from playbooks.loader import Library
from playbooks.plan import ActionStep, WorkflowStep
from playbooks.policy import Policy
from tests.books import as_marked, loaded, refusals, warned, whole
from worker.cli.main import execute
from worker.foreign import catalog_of
from worker.settings import Settings, SettingsError

DECLARED = """
[workflows.retrain]
workflow = "RetrainModel"
queue = "ml"
risk = "change"
owner = "model_owner"
irreversible = "It learns."
timeout = "6h"
inputs.model = {type = "string"}
inputs.rows = {type = "list[integer]", required = false}
outputs.version = {type = "string"}
"""
LOOKING = """
[workflows.look]
queue = "ml"
risk = "read"
owner = "model_owner"
outputs.seen = {type = "string"}
"""
LOOK = '- {id: look, workflow: {type: look}}\n- {note: "{{ steps.look.seen }}"}'
GO = "- {id: go, approve: [train], by: {roles: [model_owner]}, within: 1h, on_timeout: [deny]}\n"
TRAIN = "- id: train\n  workflow: {type: retrain, with: {model: x}}\n"


def settings(tmp_path: Path, text: str = DECLARED, **env: str) -> Settings:
    """Settings from a file."""
    (tmp_path / "stanch.toml").write_text(text)
    return Settings.load({"STANCH_HOME": str(tmp_path), **env}, tmp_path)


def test_policy_sees_an_effect_of_the_declared_risk() -> None:
    assert refusals(whole(GO + TRAIN)) == [] and warned(whole(GO + TRAIN)) == []
    as_marked(whole(TRAIN.replace("id:", "»id:")), "approval_missing")
    as_marked(whole(GO + TRAIN + "- note: »'{{ steps.train.version }}'"), "maybe_unset")
    as_marked(whole(GO + TRAIN + "- note: »'{{ steps.train.model }}'"), "unknown_key")


def test_a_declared_type_is_an_action_of_its_own_kind(tmp_path: Path) -> None:
    facts = catalog_of(settings(tmp_path)).facts()["workflow.retrain"]
    assert (facts.risk, facts.owner, facts.irreversible_because) == ("change", "model_owner", "It learns.")
    compiled = compile_plan(
        loaded(whole(GO + TRAIN)),
        library=Library.of(),
        actions=catalog_of(settings(tmp_path)).facts(),
        policy=Policy(),
        inputs={},
        incident={},
        context=RunContext(),
    )
    assert compiled.plan is not None, compiled.problems
    spec = compiled.plan.frame.steps[1].spec
    assert isinstance(spec, WorkflowStep) and isinstance(spec, ActionStep)
    assert (spec.kind, spec.name, spec.covered_by) == ("workflow", "workflow.retrain", "go")
    assert type(compiled.plan.model_validate_json(compiled.plan.model_dump_json()).frame.steps[1].spec) is WorkflowStep


def test_an_exercise_knows_only_what_is_declared_for_exercises(tmp_path: Path) -> None:
    assert "workflow.retrain" not in catalog_of(settings(tmp_path, STANCH_MODE="exercise")).facts()
    both = DECLARED.replace("timeout", 'modes = ["live", "exercise"]\ntimeout')
    for mode in ("live", "exercise"):
        assert "workflow.retrain" in catalog_of(settings(tmp_path, both, STANCH_MODE=mode)).facts()


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('risk = "change"', 'risk = "huge"'),
        ('irreversible = "It learns."', ""),
        ('queue = "ml"', ""),
        ('timeout = "6h"', 'timeout = "soon"'),
        ('{type = "string"}\ninputs.rows', '{type = "text"}\ninputs.rows'),
        ("inputs.model", 'inputs."Mo del"'),
        ("[workflows.retrain]", '[workflows."Re train"]'),
        ('owner = "model_owner"', 'owner = "model_owner"\nowner_of = "x"'),
    ],
)
def test_a_declaration_that_says_too_little_or_too_much(tmp_path: Path, good: str, bad: str) -> None:
    assert DECLARED.count(good) == 1
    with pytest.raises(SettingsError, match="workflows"):
        settings(tmp_path, DECLARED.replace(good, bad))


def test_an_input_of_another_type_never_starts_anything(tmp_path: Path) -> None:
    spec = catalog_of(settings(tmp_path)).spec("workflow.retrain")
    assert spec.params(model="x", rows=[1]).model_dump(exclude_none=True) == {"model": "x", "rows": [1]}
    for wrong in ({"model": 5}, {"model": "x", "rows": ["a"]}, {"model": "x", "more": 1}, {}):
        with pytest.raises(ValidationError):
            spec.params(**wrong)


def test_its_id_names_the_step_and_nothing_of_the_engine() -> None:
    call = ActionCall(
        action="workflow.retrain", incident="INC-1", run="run/INC-1/x/2", lineage="run/INC-1/x/1", step="a/b"
    )
    assert id_of(call) == "wf/run/INC-1/x/1/a/b"
    assert id_of(call.model_copy(update={"item": "3/1", "pass_": 2})) == "wf/run/INC-1/x/1/a/b[3/1]#2"


def test_the_command_line_reads_what_is_declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    settings(tmp_path)
    (tmp_path / "book.yaml").write_text(whole(GO + TRAIN))
    monkeypatch.chdir(tmp_path)
    assert execute(["playbook", "validate", "book.yaml"]) == 0
    (tmp_path / "stanch.toml").write_text("")
    assert execute(["playbook", "validate", "book.yaml", "--json"]) == 1
    assert "unknown_action" in capsys.readouterr().out


def test_authors_test_what_starts_one_without_any_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    settings(tmp_path)
    (tmp_path / "book.yaml").write_text(whole(GO + TRAIN + "- note: \"{{ steps.train.version | default('none') }}\""))
    (tmp_path / "book.test.yaml").write_text(
        "playbook: example\ncases:\n  trained:\n    people: {go: mona approves}\n    cast: {mona: [model_owner]}\n"
        "    systems: {train: {output: {version: x-2}}}\n    expect: {status: done, steps: {train: done}}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert execute(["playbook", "test", "book.yaml"]) == 0, capsys.readouterr()


@pytest.mark.parametrize(("verified", "status"), [("true", "done"), ("false", "failed")])
def test_authors_test_one_that_only_reads(
    verified: str, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    settings(tmp_path, LOOKING)
    (tmp_path / "book.yaml").write_text(whole(LOOK))
    (tmp_path / "book.test.yaml").write_text(
        f"playbook: example\ncases:\n  it ends:\n    systems: {{look: {{output: {{seen: x}}, verified: {verified}}}}}\n"
        f"    expect: {{status: {status}, steps: {{look: {status}}}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert execute(["playbook", "test", "book.yaml"]) == 0, capsys.readouterr()


def test_a_dry_run_starts_none_that_only_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    settings(tmp_path, LOOKING)
    (tmp_path / "book.yaml").write_text(whole(LOOK))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STANCH_HOME", str(tmp_path / "home"))
    assert execute(["playbook", "plan", "book.yaml", "--json"]) == 0
    (step, said) = json.loads(capsys.readouterr().out)["steps"]
    assert step["missing"]["code"] == "not_asked" and "starts no workflow" in step["missing"]["message"]
    assert said["text"] == "{{ steps.look.seen }}", "what is not known stays as it is written"


def test_a_dry_run_shows_what_would_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    settings(tmp_path)
    (tmp_path / "book.yaml").write_text(whole(GO + TRAIN))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STANCH_HOME", str(tmp_path / "home"))
    assert execute(["playbook", "plan", "book.yaml"]) == 0
    told = capsys.readouterr().out
    assert "RetrainModel on ml" in told and "1 of model_owner" in told and "CANNOT be undone: It learns." in told
