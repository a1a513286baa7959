"""Real servers: where one is found, how it is installed and said to be missing, and that it never outlives us."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import httpx
import pytest

from worker.servers.catalog import SERVERS, Server
from worker.servers.obtain import Found, Missing, NotObtained, cache, find, main, needed, obtain
from worker.servers.process import Process, ServerFailed, free_port, quiet

ROOT = Path(__file__).parents[2]
SYSTEM = "/bin:/usr/bin"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_named_one_comes_before_the_cache_and_only_the_pinned_version_counts(tmp_path):
    env = {"XDG_CACHE_HOME": str(tmp_path), "PATH": SYSTEM}
    folder = cache(env)
    assert folder == tmp_path / "stanch" / "servers"
    script(folder / "mlflow-3.0.0" / "bin" / "mlflow", "exit 0")
    missing = find("mlflow", env)
    assert isinstance(missing, Missing) and "3.17.2" in missing.reason and "obtain mlflow" in missing.how
    cached = script(folder / "mlflow-3.17.2" / "bin" / "mlflow", "exit 0")
    assert find("mlflow", env) == Found(cached, "cache")
    named = script(tmp_path / "mine", "exit 0")
    assert find("mlflow", {**env, "STANCH_MLFLOW_BIN": str(named)}) == Found(named, "STANCH_MLFLOW_BIN")
    wrong = find("mlflow", {**env, "STANCH_MLFLOW_BIN": str(tmp_path / "none")})
    assert isinstance(wrong, Missing) and "not an executable file" in wrong.reason


def test_a_missing_one_says_how_to_get_it(tmp_path):
    with pytest.raises(NotObtained, match=r"step-ca: .* To get it: python -m .* STANCH_STEP_CA_BIN"):
        needed("step-ca", {"XDG_CACHE_HOME": str(tmp_path)})


def test_go_builds_beside_the_place_and_what_failed_leaves_nothing(tmp_path):
    told: list[str] = []
    env = {"XDG_CACHE_HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:{SYSTEM}"}
    script(tmp_path / "bin" / "go", "touch $GOBIN/opa; echo 'no network' >&2; exit 1")
    missing = obtain("opa", env, told.append)
    assert isinstance(missing, Missing) and "no network" in missing.reason
    assert not (cache(env) / "opa-1.22.2").exists()
    script(tmp_path / "bin" / "go", 'echo "$@ $CGO_ENABLED" > $GOBIN/opa; chmod +x $GOBIN/opa')
    found = obtain("opa", env, told.append)
    assert isinstance(found, Found)
    assert found.path.read_text() == "install github.com/open-policy-agent/opa@v1.22.2 0\n"
    assert any("some 3 minutes" in line for line in told) and told[-1].startswith("opa: installed")
    assert obtain("opa", env, told.append) == Found(found.path, "cache")


def test_without_go_the_reason_is_told(tmp_path):
    told: list[str] = []
    missing = obtain("opa", {"XDG_CACHE_HOME": str(tmp_path), "PATH": str(tmp_path)}, told.append)
    assert isinstance(missing, Missing) and "no `go` on PATH" in missing.reason and "no `go` on PATH" in told[-1]


@pytest.mark.real
def test_an_environment_works_where_it_was_moved_to(tmp_path, monkeypatch):
    # No package is asked for, so nothing is downloaded; its own pip stands for the server.
    (tmp_path / "none.txt").touch()
    monkeypatch.setitem(
        SERVERS, "small", Server("small", "1", "pip", "pip", str(tmp_path / "none.txt"), "a moment", "NAMED_ELSEWHERE")
    )
    found = obtain("small", {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}, lambda line: None)
    assert isinstance(found, Found)
    assert [path.name for path in found.path.parents[2].iterdir() if path.is_dir()] == ["small-1"]
    said = subprocess.run([found.path, "--version"], capture_output=True, text=True, check=True).stdout
    assert str(found.path.parents[1]) in said


def test_the_command_refuses_a_name_that_there_is_not(capsys):
    with pytest.raises(SystemExit):
        main(["kubernetes"])
    assert "kubernetes: there is mlflow, moto" in capsys.readouterr().err


@pytest.mark.parametrize(
    "server", [each for each in SERVERS.values() if each.kind == "pip"], ids=lambda each: each.name
)
def test_the_version_is_the_one_that_is_pinned_by_hash(server):
    text = (ROOT / server.source).read_text()
    assert f"\n{server.name}=={server.version} " in text.replace("[server]", "") and "--hash=sha256:" in text


def alive(group: int) -> list[str]:
    """Commands of a process group that still run; what is dead and not yet buried counts no more."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat=,comm="], capture_output=True, text=True, check=True).stdout
    rows = (line.split(None, 2) for line in listed.splitlines())
    return [command for pgid, state, command in rows if pgid == str(group) and not state.startswith("Z")]


SERVER = (
    "import http.server as h, subprocess, sys; subprocess.Popen(['sleep', '300']);"
    "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"
)
"""It starts a child of its own that does not end by itself."""


def test_a_server_is_ready_when_it_answers_and_gone_with_its_children_when_it_is_stopped(tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    process = Process([sys.executable, "-c", SERVER, str(port)], quiet(os.environ), tmp_path / "log", url, cwd=tmp_path)
    with process:
        assert process.running and httpx.get(url, trust_env=False).status_code == 200
        group = process.pid
        assert len(alive(group)) == 3
    assert not process.running and not alive(group)


def test_a_server_does_not_outlive_whoever_wanted_it(tmp_path):
    port = free_port()
    ours = textwrap.dedent(f"""
        import os, pathlib, signal, sys
        from worker.servers.process import Process
        kept = Process([sys.executable, "-c", {SERVER!r}, "{port}"], dict(os.environ), pathlib.Path({str(tmp_path / "log")!r}),
                       "http://127.0.0.1:{port}/", cwd=pathlib.Path({str(tmp_path)!r}))
        kept.start()
        print(kept.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    ran = subprocess.run([sys.executable, "-c", ours], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    until = time.monotonic() + 10
    while alive(int(ran.stdout)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(int(ran.stdout))


def test_a_server_that_ends_or_stays_silent_is_told_with_its_last_words(tmp_path):
    def process(command: str, patience: float) -> Process:
        return Process(["/bin/sh", "-c", command], quiet(os.environ), tmp_path / "log", lambda: False, patience)

    with pytest.raises(ServerFailed, match=r"ended at once.*port is taken"):
        process("echo port is taken; exit 3", 10).start()
    with pytest.raises(ServerFailed, match=r"did not answer in 0 s\."):
        process("exec sleep 60", 0.2).start()


def test_nothing_of_the_users_accounts_reaches_a_server():
    env = quiet({"PATH": "p", "AWS_SECRET_ACCESS_KEY": "s", "STANCH_HOME": "h", "VAULT_TOKEN": "t"})
    assert env == {"PATH": "p", "DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
