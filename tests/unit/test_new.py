"""A package of one's own: written whole or not at all, found by its entry point, its tests pass, as the page says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from worker.cli.main import execute
from worker.new.package import NewRefused, filled, names, write
from worker.reference import DOCS

ROOT = DOCS.parent


PLUGIN = ["-p", "no:stanch", "-p", "worker.trial.plugin", "-p", "no:cacheprovider"]
STANCH = """
import contextlib, io, json, sys
from worker.cli.main import execute
for line in sys.argv[1:]:
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = execute(line.split()[1:])
    print(json.dumps([line, code, told.getvalue()]))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page's commands are carried out."""
    return tmp_path_factory.mktemp("own")


def page_commands() -> list[str]:
    """Every command of the tutorial, in order."""
    text = (DOCS / "own-actions.md").read_text(encoding="utf-8")
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.strip().splitlines()]


def python(home: Path, folder: Path, *words: str) -> str:
    """Run Python where the package is installed; what it prints."""
    env = {**os.environ, "PYTHONPATH": f"{home / 'site'}{os.pathsep}{ROOT}", "STANCH_HOME": str(home / ".stanch")}
    for name in ("STANCH_CONFIG", "PYTEST_ADDOPTS"):
        env.pop(name, None)
    given = [sys.executable, *words]
    done = subprocess.run(given, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def stanch(home: Path, folder: Path, *lines: str) -> dict[str, str]:
    """Carry out commands of ``stanch``, all in one process; what each printed."""
    rows = [json.loads(row) for row in python(home, folder, "-c", STANCH, *lines).splitlines()]
    assert [(line, code) for line, code, _ in rows] == [(line, 0) for line in lines], rows
    return {line: told for line, _, told in rows}


def test_the_page_is_followed_to_the_word(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, change, install, tests, *looks, doctor = page_commands()
    monkeypatch.chdir(home)
    assert execute(new.split()[1:]) == 0
    assert change == "cd acme-accounts" and (install, tests, doctor) == ("pip install -e .", "pytest", "stanch doctor")
    folder = home / "acme-accounts"
    # The same package, into a folder of the test's own, and nothing from a network.
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(home / "site")]
    python(home, folder, "-m", "pip", "install", "-q", *offline, ".")
    assert re.search(r"\b(1[5-9]|2\d) passed", python(home, folder, "-m", "pytest", "-q", *PLUGIN))
    told = stanch(home, folder, *looks)
    listed, _, drawn, tried = told.values()
    assert "acme-accounts-disable-accounts" in listed and "acme.disable_accounts" in drawn
    assert "(100 %)" in tried, tried
    assert not list(home.glob(".acme*")), "nothing half done is left"


def test_the_doctor_asks_the_system(home: Path) -> None:
    code = """
import asyncio, json, os, sys
sys.path.insert(0, "acme-accounts/tests")
from peer import TOKEN, Peer
from worker.settings import Settings
from worker.start_checks import _systems
from pathlib import Path
os.environ["ACME_TOKEN"] = TOKEN
with Peer({"a1": "ines"}) as peer:
    told = {}
    for name, table in {
        "good": f'url = "{peer.url}"\\ntoken = "secret:env/ACME_TOKEN"',
        "misspelt": f'url = "{peer.url}"\\ntoken = "secret:env/ACME_TOKEN"\\ncolour = "red"',
        "plain": f'url = "{peer.url}"\\ntoken = "hunter2"',
    }.items():
        Path("stanch.toml").write_text(f"[systems.acme]\\n{table}\\n")
        found = asyncio.run(_systems(Settings.load(os.environ)))
        told[name] = [(one.state, one.message) for one in found if one.name == "acme"]
    print(json.dumps(told))
"""
    printed = python(home, home, "-c", code)
    told = json.loads(printed)
    assert told["good"] == [["ok", "It answers, and knows us as stanch."]]
    assert told["misspelt"][0][0] == "fail" and "systems.acme.colour" in told["misspelt"][0][1]
    assert told["plain"][0][0] == "fail" and "hunter2" not in printed


@pytest.mark.parametrize(
    ("package", "system", "code"),
    [
        ("Acme", None, "bad_value"),
        ("acme_x", None, "bad_value"),
        ("../acme", None, "bad_value"),
        ("acme-", None, "bad_value"),
        ("a" * 41, None, "bad_value"),
        ("acme", "Ac me", "bad_value"),
        ("acme", "a_b", "bad_value"),
        ("acme", "salesforce", "name_taken"),
        ("acme", "workflow", "name_taken"),
        ("acme", "exercise", "name_taken"),
        ("json", None, "name_taken"),
        ("class", None, "name_taken"),
        ("worker", None, "name_taken"),
        ("pytest", None, "name_taken"),
    ],
)
def test_names_are_checked(package: str, system: str | None, code: str) -> None:
    with pytest.raises(NewRefused) as caught:
        names(package, system)
    assert caught.value.code == code and "Nothing was written" in str(caught.value)


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme-accounts").mkdir()
    assert execute(["new", "acme-accounts", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "exists"
    assert list((tmp_path / "acme-accounts").iterdir()) == []
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NewRefused):
        write(names("acme-accounts"), tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


def test_a_document_says_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert execute(["new", "acme-accounts", "--folder", "here", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["system"] == "acmeaccounts" and told["actions"] == ["acmeaccounts.disable_accounts"]
    assert sorted(told["files"]) == sorted(
        str(path.relative_to(tmp_path / "here")) for path in (tmp_path / "here").rglob("*") if path.is_file()
    )
    for file in told["files"]:
        text = (tmp_path / "here" / file).read_text(encoding="utf-8")
        assert "@@" not in text and filled(text, names("acme-accounts")) == text
