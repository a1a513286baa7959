"""Tests of playbooks as their authors run them: by the command, and by pytest."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from playbooks.loader import LIBRARY, TESTS, Library
from worker.cli.main import execute
from worker.trial.book import beside
from worker.trial.coverage import coverage
from worker.trial.play import play_suite
from worker.trial.report import table
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


def test_the_page_about_tests_says_what_happens(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "testing-playbooks.md").read_text(encoding="utf-8")
    playbook, first, second = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[:3]
    (tmp_path / "odd-sessions.yaml").write_text(playbook)
    (tmp_path / "odd-sessions.test.yaml").write_text(f"{first}\n{second}")
    book = book_of(tmp_path / "odd-sessions.yaml")
    report = play_suite(book, book.suite(tmp_path / "odd-sessions.test.yaml"))
    outcome = [(played.case.name, played.wrong) for played in report.played]
    assert outcome == [("two owners approve", []), ("nobody answers", [])]
    shown = list(table(coverage(book.outline, report.played[0].gone)))
    assert shown and all(line in page for line in shown)
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    assert code.strip() in PYTHON


def test_peers_stand_in_for_systems(tmp_path: Path) -> None:
    """The actions' own code against a simulated Salesforce; one that a stub answers stays a stub."""
    cases = """
playbook: crm-oauth-token-theft
cases:
  for real:
    systems: {peer: 3, freeze: rejected}
    people: {go: approved, freeze: skip, block: done}
    expect:
      status: done
      effects: [abort, revoke, end]
      steps: {block: {status: done, verified: true}, revoke: {verified: true}, freeze: skipped}
"""
    (tmp_path / "real.test.yaml").write_text(cases)
    book = book_of("crm-oauth-token-theft")
    (played,) = play_suite(book, book.suite(tmp_path / "real.test.yaml")).played
    assert played.wrong == []


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

def test_two_owners(stanch_playbook):
    run = stanch_playbook(
        "crm-oauth-token-theft",
        inputs={"app": "Data Loader"},
        systems={"salesforce.list_oauth_tokens": {"users": ["ines"], "targets": ["t"], "count": 1}},
        started_by="farah",
    )
    assert run.answer("go", "farah").code == "requester"
    run.answer("go", "amal")
    run.advance("10m")
    run.answer("go", "bruno")
    assert run.effects == ["abort", "revoke", "end", "freeze"]
    run.finish()
    assert run.status == "done"

def test_another_worker_goes_on(stanch_playbook):
    run = stanch_playbook("hello.yaml")
    run.lose_worker()
    assert run.coverage().percent == 33 and run.executions == 1
    run.finish()
    assert run.status == "done"
"""


def test_pytest_collects_tests_of_playbooks_and_has_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_hello.py").write_text(PYTHON)
    ran = run_pytest()
    assert "5 passed" in ran.stdout, ran.stdout + ran.stderr
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
