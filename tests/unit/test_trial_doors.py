"""Tests of playbooks as their authors run them: by the command, and by pytest."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from playbooks.loader import LIBRARY, TESTS, Library
from worker.cli.main import execute
from worker.trial.book import beside
from worker.trial.play import play_suite
from worker.trial.shelf import book_of

SHIPPED = Library.shipped().ids()
ROOT = Path(__file__).resolve().parents[2]
BOOK = """
stanch: 1
id: hello
version: 1.0.0
title: Hello
steps:
  - id: really
    ask: Really?
    by: {roles: [incident_commander]}
    form: {sure: {type: boolean}}
    within: 1h
    on_timeout: [unanswered]
"""
CASES = """
cases:
  somebody is sure:
    people: {really: {sure: true}}
    expect: {status: done, steps: {really: {sure: true}}}
  nobody says a word:
    expect: {status: done, lasts: 1h}
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STANCH_CONFIG", raising=False)
    (tmp_path / "hello.yaml").write_text(BOOK)
    (tmp_path / "hello.test.yaml").write_text(CASES)


@pytest.mark.parametrize("playbook", SHIPPED)
def test_every_shipped_playbook_is_tried_on_every_way(playbook: str) -> None:
    book = book_of(playbook)
    report = play_suite(book, book.suite(beside(Path(book.source.name))))
    assert [(played.case.name, played.wrong) for played in report.played if not played.ok] == []
    assert [way.as_json() for way in report.coverage().missing] == []


def test_tests_are_no_playbooks() -> None:
    assert list(LIBRARY.rglob(f"*{TESTS}")) and not Library.shipped().problems


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    code = execute(["playbook", "test", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_command_says_what_went_and_what_nobody_tried(capsys) -> None:
    assert document(capsys, "hello.yaml")[0] == 0
    code, found = document(capsys, "hello.test.yaml", "--case", "nobody says a word", "--min", "80")
    assert code == 1 and found["ok"] is False and found["problems"] == []
    (book,) = found["playbooks"]
    assert [case["name"] for case in book["cases"]] == ["nobody says a word"] and book["ok"]
    missing = [{"step": "really", "way": "answered", "line": 7}]
    assert book["coverage"] == {"ways": 3, "gone": 2, "percent": 66, "missing": missing}
    assert execute(["playbook", "test", "hello.yaml", "--case", "nobody says a word"]) == 0
    shown = capsys.readouterr().out
    assert "2 of 3 ways tried (66 %)" in shown and "really" in shown and "answered" in shown


def test_the_command_fails_with_a_case(capsys) -> None:
    Path("hello.test.yaml").write_text(CASES.replace("lasts: 1h", "lasts: 2h"))
    code, found = document(capsys, "hello.yaml")
    (wrong,) = found["playbooks"][0]["cases"][1]["problems"]
    assert code == 1 and wrong == {"line": 7, "message": "It took 1:00:00, not 2:00:00."}
    assert execute(["playbook", "test", "hello.yaml"]) == 1
    assert "hello.test.yaml:7: It took 1:00:00" in capsys.readouterr().out


@pytest.mark.parametrize("names", [("nobody",), ("none.yaml",), ("hello.yaml", "--case", "none")])
def test_the_command_refuses_what_is_not_there(names: tuple[str, ...], capsys) -> None:
    code, found = document(capsys, *names)
    assert code == 1 and found["ok"] is False


def run_pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Another pytest, with the plugin and nothing of this project's own configuration."""
    given = ["-p", "no:stanch", "-p", "worker.trial.plugin", "-p", "no:cacheprovider", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", ".", *given]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


PYTHON = """
def test_somebody_is_sure(stanch_playbook):
    run = stanch_playbook("hello.yaml")
    (asked,) = run.waiting
    assert (run.status, asked.who) == ("waiting", "1 of incident_commander")
    run.advance("30m")
    assert run.answer("really", "cleo", sure=True).accepted
    assert run.status == "done" and run.step("really")["output"] == {"sure": True}

def test_an_effect_needs_two(stanch_playbook):
    run = stanch_playbook(
        "crm-oauth-token-theft",
        inputs={"app": "Data Loader"},
        systems={"salesforce.list_oauth_tokens": {"users": ["ines"], "targets": ["t"], "count": 1}},
        started_by="farah",
    )
    assert run.answer("go", "farah").code == "requester"
    run.answer("go", "amal")
    assert run.effects == ["abort"]
    run.lose_worker()
    run.answer("go", "bruno")
    assert run.effects == ["abort", "revoke", "end", "freeze"]
    run.finish()
    assert run.status == "done" and run.coverage().percent < 100
"""


def test_pytest_collects_tests_of_playbooks_and_has_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_hello.py").write_text(PYTHON)
    ran = run_pytest()
    assert "4 passed" in ran.stdout, ran.stdout + ran.stderr
    Path("hello.test.yaml").write_text(CASES.replace("lasts: 1h", "lasts: 2h"))
    ran = run_pytest("hello.test.yaml")
    assert "1 failed, 1 passed" in ran.stdout and "hello.test.yaml:7: It took 1:00:00" in ran.stdout
    assert "Traceback" not in ran.stdout
    Path("hello.test.yaml").write_text("cases: {one: {}}")
    assert "missing_key" in run_pytest("hello.test.yaml").stdout


def test_the_plugin_costs_others_nothing() -> None:
    code = "import sys, worker.trial.plugin; sys.exit(bool({'temporalio', 'pydantic', 'yaml'} & set(sys.modules)))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
        ).returncode
        == 0
    )


def test_the_plugin_ships() -> None:
    assert '[project.entry-points.pytest11]\nstanch = "worker.trial.plugin"' in (ROOT / "pyproject.toml").read_text()
